//! Bearer secrets by their hash: one table, one lookup.
//!
//! The secret itself is never here. What a token may do is decided in `auth`.

use hostler_proto::ids::{OrgId, UserId};
use hostler_proto::time::UtcMillis;
use uuid::Uuid;

use super::row::Columns;
use super::{Store, StoreError, Tx};

/// A token to store.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Identity.
    pub id: Uuid,
    /// The kind's word (`api_key`, `access_token`, `refresh_token`, `enrolment_key`).
    pub kind: String,
    /// SHA-256 of the secret, hex.
    pub hash: String,
    /// The part that may be shown.
    pub prefix: String,
    /// The organization it is for.
    pub org_id: OrgId,
    /// Whose it is.
    pub user_id: UserId,
    /// What its owner calls it.
    pub name: String,
    /// Scopes, space-separated.
    pub scopes: String,
    /// The resource it is for, when bound to one.
    pub audience: Option<String>,
    /// The OAuth client it was given to.
    pub client_id: Option<String>,
    /// The family of rotated refresh tokens it belongs to.
    pub family_id: Option<Uuid>,
    /// When it was made.
    pub created_at: UtcMillis,
    /// When it stops being good; none never.
    pub expires_at: Option<UtcMillis>,
}

/// A token with its owner's membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Identity.
    pub id: Uuid,
    /// The kind's word.
    pub kind: String,
    /// The part that may be shown.
    pub prefix: String,
    /// The organization it is for.
    pub org_id: OrgId,
    /// Whose it is.
    pub user_id: UserId,
    /// Their email.
    pub email: String,
    /// Their role in the organization, as its word.
    pub role: String,
    /// What its owner calls it.
    pub name: String,
    /// Scopes, space-separated.
    pub scopes: String,
    /// The resource it is for.
    pub audience: Option<String>,
    /// The OAuth client it was given to.
    pub client_id: Option<String>,
    /// The family of rotated refresh tokens it belongs to.
    pub family_id: Option<Uuid>,
    /// When it was made.
    pub created_at: UtcMillis,
    /// When it stops being good.
    pub expires_at: Option<UtcMillis>,
    /// When it was last used, at a minute's accuracy.
    pub last_used_at: Option<UtcMillis>,
    /// When a single-use token was used.
    pub spent_at: Option<UtcMillis>,
    /// When it was revoked.
    pub revoked_at: Option<UtcMillis>,
}

/// Stores a token.
pub async fn insert(tx: &mut Tx, token: &NewToken) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO tokens (id, kind, hash, prefix, org_id, user_id, name, scopes, audience, \
         client_id, family_id, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(token.id.to_string())
    .bind(&token.kind)
    .bind(&token.hash)
    .bind(&token.prefix)
    .bind(token.org_id.to_string())
    .bind(token.user_id.to_string())
    .bind(&token.name)
    .bind(&token.scopes)
    .bind(token.audience.as_deref())
    .bind(token.client_id.as_deref())
    .bind(token.family_id.map(|id| id.to_string()))
    .bind(token.created_at.0)
    .bind(token.expires_at.map(|at| at.0))
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("stores a token"))?;
    Ok(())
}

/// The token with this hash, whatever its state; none also when its owner left the organization.
pub async fn by_hash(store: &Store, hash: &str) -> Result<Option<TokenRow>, StoreError> {
    let row = sqlx::query(
        "SELECT t.*, u.email, m.role FROM tokens t JOIN users u ON u.id = t.user_id \
         JOIN members m ON m.org_id = t.org_id AND m.user_id = t.user_id WHERE t.hash = $1",
    )
    .bind(hash)
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("looks up a token"))?;
    row.map(|row| token(Columns::of("token", &row))).transpose()
}

/// A person's tokens of one kind that are not revoked, newest first.
pub async fn list(
    store: &Store,
    org: OrgId,
    user: UserId,
    kind: &str,
) -> Result<Vec<TokenRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT t.*, u.email, m.role FROM tokens t JOIN users u ON u.id = t.user_id \
         JOIN members m ON m.org_id = t.org_id AND m.user_id = t.user_id \
         WHERE t.org_id = $1 AND t.user_id = $2 AND t.kind = $3 AND t.revoked_at IS NULL \
         ORDER BY t.created_at DESC, t.id DESC",
    )
    .bind(org.to_string())
    .bind(user.to_string())
    .bind(kind)
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists tokens"))?;
    rows.iter()
        .map(|row| token(Columns::of("token", row)))
        .collect()
}

/// API keys of an organization that are not revoked, one person's or everybody's, newest first.
pub async fn keys(
    store: &Store,
    org: OrgId,
    user: Option<UserId>,
) -> Result<Vec<TokenRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT t.*, u.email, m.role FROM tokens t JOIN users u ON u.id = t.user_id \
         JOIN members m ON m.org_id = t.org_id AND m.user_id = t.user_id \
         WHERE t.org_id = $1 AND ($2 IS NULL OR t.user_id = $2) AND t.kind = 'api_key' \
         AND t.revoked_at IS NULL ORDER BY t.created_at DESC, t.id DESC",
    )
    .bind(org.to_string())
    .bind(user.map(|user| user.to_string()))
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists API keys"))?;
    rows.iter()
        .map(|row| token(Columns::of("token", row)))
        .collect()
}

/// The tokens of one kind in an organization that are still good, newest first; of one person, or
/// of everybody.
pub async fn open(
    store: &Store,
    org: OrgId,
    user: Option<UserId>,
    kind: &str,
    now: UtcMillis,
) -> Result<Vec<TokenRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT t.*, u.email, m.role FROM tokens t JOIN users u ON u.id = t.user_id \
         JOIN members m ON m.org_id = t.org_id AND m.user_id = t.user_id \
         WHERE t.org_id = $1 AND ($2 IS NULL OR t.user_id = $2) AND t.kind = $3 \
         AND t.revoked_at IS NULL AND t.spent_at IS NULL \
         AND (t.expires_at IS NULL OR t.expires_at > $4) ORDER BY t.created_at DESC, t.id DESC",
    )
    .bind(org.to_string())
    .bind(user.map(|user| user.to_string()))
    .bind(kind)
    .bind(now.0)
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists tokens"))?;
    rows.iter()
        .map(|row| token(Columns::of("token", row)))
        .collect()
}

/// Notes that a token was used.
pub async fn touch(tx: &mut Tx, id: Uuid, now: UtcMillis) -> Result<(), StoreError> {
    sqlx::query("UPDATE tokens SET last_used_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("notes a token's use"))?;
    Ok(())
}

/// Uses up a single-use token. False when it was used, revoked or expired before.
pub async fn spend(tx: &mut Tx, id: Uuid, now: UtcMillis) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE tokens SET spent_at = $2, last_used_at = $2 WHERE id = $1 AND spent_at IS NULL \
         AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
    )
    .bind(id.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("uses up a token"))?;
    Ok(done.rows_affected() == 1)
}

/// Revokes a token of an organization. False when there is none, or it was revoked before.
pub async fn revoke(tx: &mut Tx, org: OrgId, id: Uuid, now: UtcMillis) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE tokens SET revoked_at = $3 WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL",
    )
    .bind(org.to_string())
    .bind(id.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("revokes a token"))?;
    Ok(done.rows_affected() == 1)
}

/// Revokes everything a person holds of an organization; how many it were.
pub async fn revoke_of_user(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    now: UtcMillis,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE tokens SET revoked_at = $3 WHERE org_id = $1 AND user_id = $2 AND revoked_at IS NULL",
    )
    .bind(org.to_string())
    .bind(user.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("revokes a member's tokens"))?;
    Ok(done.rows_affected())
}

pub(super) fn token(columns: Columns<'_>) -> Result<TokenRow, StoreError> {
    Ok(TokenRow {
        id: columns.parsed("id")?,
        kind: columns.text("kind")?,
        prefix: columns.text("prefix")?,
        org_id: columns.parsed("org_id")?,
        user_id: columns.parsed("user_id")?,
        email: columns.text("email")?,
        role: columns.text("role")?,
        name: columns.text("name")?,
        scopes: columns.text("scopes")?,
        audience: columns.maybe_text("audience")?,
        client_id: columns.maybe_text("client_id")?,
        family_id: columns.maybe_parsed("family_id")?,
        created_at: columns.time("created_at")?,
        expires_at: columns.maybe_time("expires_at")?,
        last_used_at: columns.maybe_time("last_used_at")?,
        spent_at: columns.maybe_time("spent_at")?,
        revoked_at: columns.maybe_time("revoked_at")?,
    })
}
