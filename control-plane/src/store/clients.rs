//! OAuth clients: those that registered themselves, and the last reading of a client's own document.

use hostler_proto::time::UtcMillis;

use super::row::{Columns, json};
use super::{Store, StoreError, Tx};

/// A client as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRow {
    /// What it calls itself in a request: an id of ours, or the address of its document.
    pub id: String,
    /// `registered`, `document`, or `unreachable` for a document that nobody served.
    pub kind: String,
    /// What people are told it is.
    pub name: String,
    /// Where its users may be sent back to.
    pub redirect_uris: Vec<String>,
    /// When it was first known.
    pub created_at: UtcMillis,
    /// From when on it is no longer known.
    pub expires_at: UtcMillis,
}

/// Stores a client, or a newer reading of it.
pub async fn put(tx: &mut Tx, client: &ClientRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO oauth_clients (id, kind, name, redirect_uris, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET \
         kind = excluded.kind, name = excluded.name, redirect_uris = excluded.redirect_uris, \
         expires_at = excluded.expires_at",
    )
    .bind(&client.id)
    .bind(&client.kind)
    .bind(&client.name)
    .bind(json("client", &client.redirect_uris)?)
    .bind(client.created_at.0)
    .bind(client.expires_at.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("stores a client"))?;
    Ok(())
}

/// The client with this id, if it is still known.
pub async fn by_id(
    store: &Store,
    id: &str,
    now: UtcMillis,
) -> Result<Option<ClientRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM oauth_clients WHERE id = $1 AND expires_at > $2")
        .bind(id)
        .bind(now.0)
        .fetch_optional(store.reader())
        .await
        .map_err(StoreError::at("looks up a client"))?;
    row.map(|row| client(Columns::of("client", &row)))
        .transpose()
}

/// Notes that somebody uses a client; a registered one then stays known until `until`.
pub async fn used(
    tx: &mut Tx,
    id: &str,
    now: UtcMillis,
    until: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE oauth_clients SET used_at = $2, expires_at = $3 \
         WHERE id = $1 AND kind = 'registered' AND expires_at < $3",
    )
    .bind(id)
    .bind(now.0)
    .bind(until.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("notes a client's use"))?;
    Ok(())
}

/// How many registered themselves, are still known, and were never allowed anything.
pub async fn count_unused(tx: &mut Tx, now: UtcMillis) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS unused FROM oauth_clients \
         WHERE kind = 'registered' AND used_at IS NULL AND expires_at > $1",
    )
    .bind(now.0)
    .fetch_one(&mut **tx)
    .await
    .map_err(StoreError::at("counts clients"))?;
    Columns::of("count of clients", &row).count("unused")
}

/// Forgets clients whose time is over.
pub async fn forget(tx: &mut Tx, now: UtcMillis) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM oauth_clients WHERE expires_at <= $1")
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("forgets clients"))?;
    Ok(())
}

fn client(columns: Columns<'_>) -> Result<ClientRow, StoreError> {
    Ok(ClientRow {
        id: columns.text("id")?,
        kind: columns.text("kind")?,
        name: columns.text("name")?,
        redirect_uris: columns.json("redirect_uris")?,
        created_at: columns.time("created_at")?,
        expires_at: columns.time("expires_at")?,
    })
}
