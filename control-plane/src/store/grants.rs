//! What people allowed OAuth clients, the codes on the way there, and the families of tokens that
//! came of it.
//!
//! A grant's id is the `family_id` of its tokens, so that taking it back takes all of them back.

use hostler_proto::ids::{OrgId, UserId};
use hostler_proto::time::UtcMillis;
use uuid::Uuid;

use super::row::Columns;
use super::tokens::{TokenRow, token};
use super::{Store, StoreError, Tx};

/// A grant to store.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// Identity, and the family of its tokens.
    pub id: Uuid,
    /// The organization it is for.
    pub org_id: OrgId,
    /// Who allowed it.
    pub user_id: UserId,
    /// The client's id.
    pub client_id: String,
    /// The client's name at that time.
    pub client_name: String,
    /// Scopes, space-separated.
    pub scopes: String,
    /// The resource it is for.
    pub audience: String,
    /// Where the browser was that allowed it.
    pub address: Option<String>,
    /// Now.
    pub created_at: UtcMillis,
}

/// A grant with its person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// Identity, and the family of its tokens.
    pub id: Uuid,
    /// The organization it is for.
    pub org_id: OrgId,
    /// Who allowed it.
    pub user_id: UserId,
    /// Their email.
    pub email: String,
    /// The client's id.
    pub client_id: String,
    /// The client's name.
    pub client_name: String,
    /// Scopes, space-separated.
    pub scopes: String,
    /// The resource it is for.
    pub audience: String,
    /// Where the browser was that allowed it.
    pub address: Option<String>,
    /// When it was allowed.
    pub created_at: UtcMillis,
    /// When it was taken back.
    pub revoked_at: Option<UtcMillis>,
    /// When one of its tokens was last used, at a minute's accuracy.
    pub last_used_at: Option<UtcMillis>,
}

/// An authorization code, without the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRow {
    /// SHA-256 of the code, hex.
    pub hash: String,
    /// What it gives.
    pub grant_id: Uuid,
    /// Where it was sent.
    pub redirect_uri: String,
    /// SHA-256 of the verifier (RFC 7636 section 4.2, S256).
    pub challenge: String,
    /// When it stops being good.
    pub expires_at: UtcMillis,
    /// When it was used.
    pub spent_at: Option<UtcMillis>,
}

const GRANT: &str = "SELECT g.*, u.email, \
     (SELECT MAX(t.last_used_at) FROM tokens t WHERE t.family_id = g.id) AS last_used_at \
     FROM oauth_grants g JOIN users u ON u.id = g.user_id \
     JOIN members m ON m.org_id = g.org_id AND m.user_id = g.user_id";

/// Stores a grant.
pub async fn insert(tx: &mut Tx, grant: &NewGrant) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO oauth_grants (id, org_id, user_id, client_id, client_name, scopes, audience, \
         address, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(grant.id.to_string())
    .bind(grant.org_id.to_string())
    .bind(grant.user_id.to_string())
    .bind(&grant.client_id)
    .bind(&grant.client_name)
    .bind(&grant.scopes)
    .bind(&grant.audience)
    .bind(grant.address.as_deref())
    .bind(grant.created_at.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("stores a grant"))?;
    Ok(())
}

/// The grant with this id, whatever its state; none when its person left the organization.
pub async fn by_id_in(tx: &mut Tx, id: Uuid) -> Result<Option<GrantRow>, StoreError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{GRANT} WHERE g.id = $1")))
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks up a grant"))?;
    row.map(|row| grant(Columns::of("grant", &row))).transpose()
}

/// The connected clients of an organization, newest first; of one person, or of all. Those whose
/// tokens have all run out are gone.
pub async fn list(
    store: &Store,
    org: OrgId,
    user: Option<UserId>,
    now: UtcMillis,
) -> Result<Vec<GrantRow>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{GRANT} WHERE g.org_id = $1 AND ($2 IS NULL OR g.user_id = $2) AND g.revoked_at IS NULL \
         AND EXISTS (SELECT 1 FROM tokens t WHERE t.family_id = g.id AND t.expires_at > $3) \
         ORDER BY g.created_at DESC, g.id DESC"
    )))
    .bind(org.to_string())
    .bind(user.map(|user| user.to_string()))
    .bind(now.0)
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists grants"))?;
    rows.iter()
        .map(|row| grant(Columns::of("grant", row)))
        .collect()
}

/// Notes that a grant's code was exchanged.
pub async fn connected(tx: &mut Tx, id: Uuid, now: UtcMillis) -> Result<(), StoreError> {
    sqlx::query("UPDATE oauth_grants SET connected_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("connects a grant"))?;
    Ok(())
}

/// Takes a grant and every token of it back. False when that was done before.
pub async fn revoke(tx: &mut Tx, id: Uuid, now: UtcMillis) -> Result<bool, StoreError> {
    let done =
        sqlx::query("UPDATE oauth_grants SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(id.to_string())
            .bind(now.0)
            .execute(&mut **tx)
            .await
            .map_err(StoreError::at("revokes a grant"))?;
    sqlx::query("UPDATE tokens SET revoked_at = $2 WHERE family_id = $1 AND revoked_at IS NULL")
        .bind(id.to_string())
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("revokes a family of tokens"))?;
    Ok(done.rows_affected() == 1)
}

/// Stores a code.
pub async fn insert_code(tx: &mut Tx, code: &CodeRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO oauth_codes (hash, grant_id, redirect_uri, challenge, expires_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&code.hash)
    .bind(code.grant_id.to_string())
    .bind(&code.redirect_uri)
    .bind(&code.challenge)
    .bind(code.expires_at.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("stores a code"))?;
    Ok(())
}

/// The code with this hash, whatever its state.
pub async fn code_in(tx: &mut Tx, hash: &str) -> Result<Option<CodeRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM oauth_codes WHERE hash = $1")
        .bind(hash)
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks up a code"))?;
    row.map(|row| {
        let columns = Columns::of("code", &row);
        Ok(CodeRow {
            hash: columns.text("hash")?,
            grant_id: columns.parsed("grant_id")?,
            redirect_uri: columns.text("redirect_uri")?,
            challenge: columns.text("challenge")?,
            expires_at: columns.time("expires_at")?,
            spent_at: columns.maybe_time("spent_at")?,
        })
    })
    .transpose()
}

/// Uses a code up.
pub async fn spend_code(tx: &mut Tx, hash: &str, now: UtcMillis) -> Result<(), StoreError> {
    sqlx::query("UPDATE oauth_codes SET spent_at = $2 WHERE hash = $1")
        .bind(hash)
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("uses up a code"))?;
    Ok(())
}

/// The token with this hash, read inside a transaction; none also when its owner left.
pub async fn token_in(tx: &mut Tx, hash: &str) -> Result<Option<TokenRow>, StoreError> {
    let row = sqlx::query(
        "SELECT t.*, u.email, m.role FROM tokens t JOIN users u ON u.id = t.user_id \
         JOIN members m ON m.org_id = t.org_id AND m.user_id = t.user_id WHERE t.hash = $1",
    )
    .bind(hash)
    .fetch_optional(&mut **tx)
    .await
    .map_err(StoreError::at("looks up a token"))?;
    row.map(|row| token(Columns::of("token", &row))).transpose()
}

/// Whether a refresh token that came after `old` was used itself.
pub async fn went_on(tx: &mut Tx, old: &TokenRow) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS used FROM tokens WHERE family_id = $1 AND kind = 'refresh_token' \
         AND id <> $2 AND created_at >= $3 AND spent_at IS NOT NULL",
    )
    .bind(old.family_id.map(|id| id.to_string()))
    .bind(old.id.to_string())
    .bind(old.spent_at.map(|at| at.0))
    .fetch_one(&mut **tx)
    .await
    .map_err(StoreError::at("looks for later tokens"))?;
    Ok(Columns::of("count of tokens", &row).count("used")? > 0)
}

/// Forgets codes and OAuth tokens that ran out before `before`, and grants that nothing is left of.
pub async fn forget(tx: &mut Tx, before: UtcMillis) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM oauth_codes WHERE expires_at < $1",
        "DELETE FROM tokens WHERE kind IN ('access_token', 'refresh_token') AND expires_at < $1",
        "DELETE FROM oauth_devices WHERE expires_at < $1",
        "DELETE FROM oauth_grants WHERE created_at < $1 \
         AND NOT EXISTS (SELECT 1 FROM tokens t WHERE t.family_id = oauth_grants.id) \
         AND NOT EXISTS (SELECT 1 FROM oauth_codes c WHERE c.grant_id = oauth_grants.id) \
         AND NOT EXISTS (SELECT 1 FROM oauth_devices d WHERE d.grant_id = oauth_grants.id)",
    ] {
        sqlx::query(statement)
            .bind(before.0)
            .execute(&mut **tx)
            .await
            .map_err(StoreError::at("forgets old grants"))?;
    }
    Ok(())
}

/// Makes everything of OAuth look so much older, for tests of what time does.
#[cfg(test)]
pub(crate) async fn age(store: &Store, ms: i64) {
    let mut tx = store.begin().await.expect("a transaction");
    for statement in [
        "UPDATE oauth_codes SET expires_at = expires_at - $1, spent_at = spent_at - $1",
        "UPDATE tokens SET created_at = created_at - $1, expires_at = expires_at - $1, \
         spent_at = spent_at - $1 WHERE family_id IS NOT NULL",
        "UPDATE oauth_devices SET created_at = created_at - $1, expires_at = expires_at - $1, \
         polled_at = polled_at - $1",
        "UPDATE oauth_clients SET created_at = created_at - $1, expires_at = expires_at - $1",
        "UPDATE oauth_grants SET created_at = created_at - $1",
    ] {
        let aged = sqlx::query(statement).bind(ms).execute(&mut *tx).await;
        aged.expect("rows get older");
    }
    store.commit(tx).await.expect("a commit");
}

fn grant(columns: Columns<'_>) -> Result<GrantRow, StoreError> {
    Ok(GrantRow {
        id: columns.parsed("id")?,
        org_id: columns.parsed("org_id")?,
        user_id: columns.parsed("user_id")?,
        email: columns.text("email")?,
        client_id: columns.text("client_id")?,
        client_name: columns.text("client_name")?,
        scopes: columns.text("scopes")?,
        audience: columns.text("audience")?,
        address: columns.maybe_text("address")?,
        created_at: columns.time("created_at")?,
        revoked_at: columns.maybe_time("revoked_at")?,
        last_used_at: columns.maybe_time("last_used_at")?,
    })
}
