//! Links that work once, by the hash of their secret.
//!
//! What a link is good for is decided in `people`.

use hostler_proto::ids::{OrgId, UserId};
use hostler_proto::time::UtcMillis;
use uuid::Uuid;

use super::row::Columns;
use super::{Store, StoreError, Tx};

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    /// Identity.
    pub id: Uuid,
    /// The kind's word: `setup`, `invitation`, `recovery`.
    pub kind: String,
    /// The organization it is about.
    pub org_id: OrgId,
    /// That organization's name.
    pub org_name: String,
    /// Whom it lets in, when they are known.
    pub user_id: Option<UserId>,
    /// Whom it invites.
    pub email: Option<String>,
    /// As what it invites them: the role's word.
    pub role: Option<String>,
    /// Who made it; none when the server did.
    pub created_by: Option<UserId>,
    /// When it was made.
    pub created_at: UtcMillis,
    /// When it stops being good.
    pub expires_at: UtcMillis,
    /// When it was used or taken back.
    pub spent_at: Option<UtcMillis>,
}

/// A link to store.
#[derive(Clone, Debug)]
pub struct NewLink<'a> {
    /// Identity.
    pub id: Uuid,
    /// The kind's word.
    pub kind: &'a str,
    /// SHA-256 of the secret, hex.
    pub hash: String,
    /// The organization it is about.
    pub org_id: OrgId,
    /// Whom it lets in, when they are known.
    pub user_id: Option<UserId>,
    /// Whom it invites.
    pub email: Option<&'a str>,
    /// As what: the role's word.
    pub role: Option<&'a str>,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// Now.
    pub created_at: UtcMillis,
    /// When it stops being good.
    pub expires_at: UtcMillis,
}

/// Stores a link.
pub async fn insert(tx: &mut Tx, link: &NewLink<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO links (id, kind, hash, org_id, user_id, email, role, created_by, created_at, \
         expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(link.id.to_string())
    .bind(link.kind)
    .bind(&link.hash)
    .bind(link.org_id.to_string())
    .bind(link.user_id.map(|id| id.to_string()))
    .bind(link.email)
    .bind(link.role)
    .bind(link.created_by.map(|id| id.to_string()))
    .bind(link.created_at.0)
    .bind(link.expires_at.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("stores a link"))?;
    Ok(())
}

/// The link with this hash, whatever its state.
pub async fn by_hash(store: &Store, hash: &str) -> Result<Option<LinkRow>, StoreError> {
    let row = sqlx::query(
        "SELECT l.*, o.name AS org_name FROM links l JOIN organizations o ON o.id = l.org_id \
         WHERE l.hash = $1",
    )
    .bind(hash)
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("looks up a link"))?;
    row.map(|row| link(Columns::of("link", &row))).transpose()
}

/// The links of one kind of an organization that are still good, newest first.
pub async fn open(
    store: &Store,
    org: OrgId,
    kind: &str,
    now: UtcMillis,
) -> Result<Vec<LinkRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT l.*, o.name AS org_name FROM links l JOIN organizations o ON o.id = l.org_id \
         WHERE l.org_id = $1 AND l.kind = $2 AND l.spent_at IS NULL AND l.expires_at > $3 \
         ORDER BY l.created_at DESC, l.id DESC",
    )
    .bind(org.to_string())
    .bind(kind)
    .bind(now.0)
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists links"))?;
    rows.iter()
        .map(|row| link(Columns::of("link", row)))
        .collect()
}

/// Uses up a link. False when it was used, taken back or has expired.
pub async fn spend(tx: &mut Tx, id: Uuid, now: UtcMillis) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE links SET spent_at = $2 WHERE id = $1 AND spent_at IS NULL AND expires_at > $2",
    )
    .bind(id.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("uses up a link"))?;
    Ok(done.rows_affected() == 1)
}

/// Takes an organization's link back. False when it was not good any more.
pub async fn take_back(
    tx: &mut Tx,
    org: OrgId,
    id: Uuid,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE links SET spent_at = $3 WHERE org_id = $1 AND id = $2 AND spent_at IS NULL \
         AND expires_at > $3",
    )
    .bind(org.to_string())
    .bind(id.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("takes a link back"))?;
    Ok(done.rows_affected() == 1)
}

/// Takes back every link of one kind that would let a person in.
pub async fn take_back_of_user(
    tx: &mut Tx,
    user: UserId,
    kind: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE links SET spent_at = $3 WHERE user_id = $1 AND kind = $2 AND spent_at IS NULL",
    )
    .bind(user.to_string())
    .bind(kind)
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("takes links back"))?;
    Ok(())
}

/// Takes back every open invitation of an email to an organization.
pub async fn take_back_of_email(
    tx: &mut Tx,
    org: OrgId,
    email: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE links SET spent_at = $3 WHERE org_id = $1 AND kind = 'invitation' \
         AND LOWER(email) = $2 AND spent_at IS NULL",
    )
    .bind(org.to_string())
    .bind(email.to_lowercase())
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("takes invitations back"))?;
    Ok(())
}

/// Takes back what a person invited others with.
pub async fn take_back_by(
    tx: &mut Tx,
    org: OrgId,
    creator: UserId,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE links SET spent_at = $3 WHERE org_id = $1 AND created_by = $2 AND spent_at IS NULL",
    )
    .bind(org.to_string())
    .bind(creator.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("takes somebody's links back"))?;
    Ok(())
}

fn link(columns: Columns<'_>) -> Result<LinkRow, StoreError> {
    Ok(LinkRow {
        id: columns.parsed("id")?,
        kind: columns.text("kind")?,
        org_id: columns.parsed("org_id")?,
        org_name: columns.text("org_name")?,
        user_id: columns.maybe_parsed("user_id")?,
        email: columns.maybe_text("email")?,
        role: columns.maybe_text("role")?,
        created_by: columns.maybe_parsed("created_by")?,
        created_at: columns.time("created_at")?,
        expires_at: columns.time("expires_at")?,
        spent_at: columns.maybe_time("spent_at")?,
    })
}
