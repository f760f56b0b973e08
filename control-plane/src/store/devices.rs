//! Devices that wait for somebody to type their code elsewhere (RFC 8628).

use hostler_proto::time::UtcMillis;
use uuid::Uuid;

use super::row::Columns;
use super::{Store, StoreError, Tx};

/// A device that asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// SHA-256 of its code, hex.
    pub hash: String,
    /// What its person types, without the dash.
    pub user_code: String,
    /// The client's id.
    pub client_id: String,
    /// The client's name.
    pub client_name: String,
    /// The scopes it asks for, space-separated.
    pub scopes: String,
    /// The resource it asks for.
    pub audience: String,
    /// Where it is.
    pub address: Option<String>,
    /// When it asked.
    pub created_at: UtcMillis,
    /// When both codes stop being good.
    pub expires_at: UtcMillis,
    /// How long it has to wait between two looks, milliseconds.
    pub interval_ms: i64,
    /// When it last looked.
    pub polled_at: Option<UtcMillis>,
    /// `pending`, `allowed`, `denied` or `spent`.
    pub state: String,
    /// What it was given.
    pub grant_id: Option<Uuid>,
}

/// Stores a device. One with the same user code is refused as a duplicate.
pub async fn insert(tx: &mut Tx, device: &DeviceRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO oauth_devices (hash, user_code, client_id, client_name, scopes, audience, \
         address, created_at, expires_at, interval_ms, state) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&device.hash)
    .bind(&device.user_code)
    .bind(&device.client_id)
    .bind(&device.client_name)
    .bind(&device.scopes)
    .bind(&device.audience)
    .bind(device.address.as_deref())
    .bind(device.created_at.0)
    .bind(device.expires_at.0)
    .bind(device.interval_ms)
    .bind(&device.state)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("stores a device"))?;
    Ok(())
}

/// The device with this user code that still waits.
pub async fn waiting(
    store: &Store,
    user_code: &str,
    now: UtcMillis,
) -> Result<Option<DeviceRow>, StoreError> {
    let row = sqlx::query(
        "SELECT * FROM oauth_devices WHERE user_code = $1 AND state = 'pending' \
         AND expires_at > $2",
    )
    .bind(user_code)
    .bind(now.0)
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("looks up a device"))?;
    row.map(|row| device(Columns::of("device", &row)))
        .transpose()
}

/// The device with this code's hash, whatever its state.
pub async fn by_hash_in(tx: &mut Tx, hash: &str) -> Result<Option<DeviceRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM oauth_devices WHERE hash = $1")
        .bind(hash)
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks up a device"))?;
    row.map(|row| device(Columns::of("device", &row)))
        .transpose()
}

/// Notes a look, and how long to wait until the next.
pub async fn polled(
    tx: &mut Tx,
    hash: &str,
    interval_ms: i64,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE oauth_devices SET polled_at = $2, interval_ms = $3 WHERE hash = $1")
        .bind(hash)
        .bind(now.0)
        .bind(interval_ms)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("notes a device's look"))?;
    Ok(())
}

/// Decides over a device that still waits. False when that was done before, or its time is over.
pub async fn decide(
    tx: &mut Tx,
    hash: &str,
    state: &str,
    grant: Option<Uuid>,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE oauth_devices SET state = $2, grant_id = $3 \
         WHERE hash = $1 AND state = 'pending' AND expires_at > $4",
    )
    .bind(hash)
    .bind(state)
    .bind(grant.map(|id| id.to_string()))
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("decides over a device"))?;
    Ok(done.rows_affected() == 1)
}

/// Uses an allowed device's code up.
pub async fn spend(tx: &mut Tx, hash: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE oauth_devices SET state = 'spent' WHERE hash = $1")
        .bind(hash)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("uses up a device code"))?;
    Ok(())
}

fn device(columns: Columns<'_>) -> Result<DeviceRow, StoreError> {
    Ok(DeviceRow {
        hash: columns.text("hash")?,
        user_code: columns.text("user_code")?,
        client_id: columns.text("client_id")?,
        client_name: columns.text("client_name")?,
        scopes: columns.text("scopes")?,
        audience: columns.text("audience")?,
        address: columns.maybe_text("address")?,
        created_at: columns.time("created_at")?,
        expires_at: columns.time("expires_at")?,
        interval_ms: columns.number("interval_ms")?,
        polled_at: columns.maybe_time("polled_at")?,
        state: columns.text("state")?,
        grant_id: columns.maybe_parsed("grant_id")?,
    })
}
