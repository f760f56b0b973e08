//! Signed-in browsers, by the hash of their cookie's secret.

use hostler_proto::ids::{OrgId, UserId};
use hostler_proto::time::UtcMillis;
use uuid::Uuid;

use super::row::Columns;
use super::{Store, StoreError, Tx};

/// A session with its person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Identity.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: UserId,
    /// Their email.
    pub email: String,
    /// Their name.
    pub name: String,
    /// The organization it works in.
    pub org_id: Option<OrgId>,
    /// When they signed in.
    pub created_at: UtcMillis,
    /// When it was last used, at a minute's accuracy.
    pub last_seen_at: UtcMillis,
    /// When it ends whatever happens.
    pub expires_at: UtcMillis,
    /// The browser, as it names itself.
    pub agent: Option<String>,
    /// Where the browser was.
    pub address: Option<String>,
    /// When whoever sits there last proved to be the one, after signing in.
    pub proved_at: Option<UtcMillis>,
}

/// A session to store.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Identity.
    pub id: Uuid,
    /// SHA-256 of the secret, hex.
    pub hash: String,
    /// Whose it is.
    pub user_id: UserId,
    /// The organization it works in.
    pub org_id: Option<OrgId>,
    /// Now.
    pub created_at: UtcMillis,
    /// When it ends whatever happens.
    pub expires_at: UtcMillis,
    /// The browser, as it names itself.
    pub agent: Option<String>,
    /// Where the browser is.
    pub address: Option<String>,
}

/// An organization somebody belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipRow {
    /// The organization.
    pub org_id: OrgId,
    /// Its name.
    pub name: String,
    /// The role's word.
    pub role: String,
}

/// Stores a session.
pub async fn insert(tx: &mut Tx, session: &NewSession) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sessions (id, hash, user_id, org_id, created_at, last_seen_at, expires_at, \
         agent, address) VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8)",
    )
    .bind(session.id.to_string())
    .bind(&session.hash)
    .bind(session.user_id.to_string())
    .bind(session.org_id.map(|id| id.to_string()))
    .bind(session.created_at.0)
    .bind(session.expires_at.0)
    .bind(session.agent.as_deref())
    .bind(session.address.as_deref())
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("stores a session"))?;
    Ok(())
}

/// The session with this hash, whatever its age.
pub async fn by_hash(store: &Store, hash: &str) -> Result<Option<SessionRow>, StoreError> {
    let row = sqlx::query(
        "SELECT s.*, u.email, u.name FROM sessions s JOIN users u ON u.id = s.user_id \
         WHERE s.hash = $1",
    )
    .bind(hash)
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("looks up a session"))?;
    row.map(|row| session(Columns::of("session", &row)))
        .transpose()
}

/// Somebody's sessions, last used first.
pub async fn of_user(store: &Store, user: UserId) -> Result<Vec<SessionRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT s.*, u.email, u.name FROM sessions s JOIN users u ON u.id = s.user_id \
         WHERE s.user_id = $1 ORDER BY s.last_seen_at DESC, s.id",
    )
    .bind(user.to_string())
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists sessions"))?;
    rows.iter()
        .map(|row| session(Columns::of("session", row)))
        .collect()
}

/// The organizations somebody belongs to, by name.
pub async fn memberships(store: &Store, user: UserId) -> Result<Vec<MembershipRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT o.id, o.name, m.role FROM members m JOIN organizations o ON o.id = m.org_id \
         WHERE m.user_id = $1 ORDER BY LOWER(o.name), o.id",
    )
    .bind(user.to_string())
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists memberships"))?;
    let rows = rows.iter().map(|row| {
        let columns = Columns::of("membership", row);
        Ok(MembershipRow {
            org_id: columns.parsed("id")?,
            name: columns.text("name")?,
            role: columns.text("role")?,
        })
    });
    rows.collect()
}

/// Sets the organization a session works in.
pub async fn choose_org(tx: &mut Tx, id: Uuid, org: OrgId) -> Result<(), StoreError> {
    sqlx::query("UPDATE sessions SET org_id = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(org.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("chooses a session's organization"))?;
    Ok(())
}

/// Notes that a session was used.
pub async fn touch(tx: &mut Tx, id: Uuid, now: UtcMillis) -> Result<(), StoreError> {
    sqlx::query("UPDATE sessions SET last_seen_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("notes a session's use"))?;
    Ok(())
}

/// Notes that whoever sits there proved to be the one.
pub async fn prove(tx: &mut Tx, id: Uuid, now: UtcMillis) -> Result<(), StoreError> {
    sqlx::query("UPDATE sessions SET proved_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("notes a proof"))?;
    Ok(())
}

/// Ends a session.
pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sessions WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("ends a session"))?;
    Ok(())
}

/// Ends the session with this hash, if there is one.
pub async fn delete_by_hash(tx: &mut Tx, hash: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sessions WHERE hash = $1")
        .bind(hash)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("ends a session"))?;
    Ok(())
}

/// Forgets sessions that have expired, or were last used before `idle_since`.
pub async fn delete_ended(
    tx: &mut Tx,
    now: UtcMillis,
    idle_since: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sessions WHERE expires_at <= $1 OR last_seen_at <= $2")
        .bind(now.0)
        .bind(idle_since.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("forgets old sessions"))?;
    Ok(())
}

/// Ends all sessions of somebody, but one if given.
pub async fn delete_of_user(
    tx: &mut Tx,
    user: UserId,
    except: Option<Uuid>,
) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM sessions WHERE user_id = $1 AND id <> $2")
        .bind(user.to_string())
        .bind(except.unwrap_or_default().to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("ends sessions"))?;
    Ok(done.rows_affected())
}

fn session(columns: Columns<'_>) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        id: columns.parsed("id")?,
        user_id: columns.parsed("user_id")?,
        email: columns.text("email")?,
        name: columns.text("name")?,
        org_id: columns.maybe_parsed("org_id")?,
        created_at: columns.time("created_at")?,
        last_seen_at: columns.time("last_seen_at")?,
        expires_at: columns.time("expires_at")?,
        agent: columns.maybe_text("agent")?,
        address: columns.maybe_text("address")?,
        proved_at: columns.maybe_time("proved_at")?,
    })
}
