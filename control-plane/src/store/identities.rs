//! Who a person is at an OpenID Connect provider.

use hostler_proto::ids::UserId;
use hostler_proto::time::UtcMillis;

use super::row::Columns;
use super::{Store, StoreError, Tx};

/// The person with this identity.
pub async fn user(
    store: &Store,
    issuer: &str,
    subject: &str,
) -> Result<Option<UserId>, StoreError> {
    let row = sqlx::query("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2")
        .bind(issuer)
        .bind(subject)
        .fetch_optional(store.reader())
        .await
        .map_err(StoreError::at("looks up an identity"))?;
    row.map(|row| Columns::of("identity", &row).parsed("user_id"))
        .transpose()
}

/// Gives a person an identity. One that is somebody's already is refused as a duplicate.
pub async fn insert(
    tx: &mut Tx,
    issuer: &str,
    subject: &str,
    user: UserId,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO identities (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(issuer)
    .bind(subject)
    .bind(user.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("links an identity"))?;
    Ok(())
}
