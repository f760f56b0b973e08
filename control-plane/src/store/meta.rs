//! The server's own facts: its identity and how often it has started.

use sqlx::Row as _;

use super::{Store, StoreError, Tx};

/// Reads a fact.
pub async fn get(store: &Store, name: &str) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT value FROM server_meta WHERE name = $1")
        .bind(name)
        .fetch_optional(store.reader())
        .await
        .map_err(StoreError::at("reads a server fact"))?;
    row.map(|row| {
        row.try_get(0)
            .map_err(StoreError::unreadable("server fact"))
    })
    .transpose()
}

/// Writes a fact over whatever was there.
pub async fn set(tx: &mut Tx, name: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO server_meta (name, value) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("writes a server fact"))?;
    Ok(())
}
