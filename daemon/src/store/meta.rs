//! Single values that belong to the host as a whole.

use sqlx::Row;

use super::{Store, StoreError, Tx};

impl Store {
    /// The value of a key.
    pub async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT value FROM meta WHERE key = $1")
            .bind(key)
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::at("reads a setting"))?;
        Ok(row.map(|row| row.get(0)))
    }
}

/// Sets a key within a transaction.
pub async fn set(tx: &mut Tx, key: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2",
    )
    .bind(key)
    .bind(value)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("writes a setting"))?;
    Ok(())
}

/// The value of a key within a transaction.
pub async fn get(tx: &mut Tx, key: &str) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT value FROM meta WHERE key = $1")
        .bind(key)
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("reads a setting"))?;
    Ok(row.map(|row| row.get(0)))
}
