//! Who a person is at an OpenID Connect provider.

use hostler_proto::ids::UserId;
use hostler_proto::time::UtcMillis;
use sqlx::any::AnyRow;

use super::row::Columns;
use super::{Store, StoreError, Tx};

const OF_USER: &str = "SELECT issuer, subject, email, created_at FROM identities \
     WHERE user_id = $1 ORDER BY created_at, issuer, subject";

/// One identity of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRow {
    /// The provider.
    pub issuer: String,
    /// Who they are there.
    pub subject: String,
    /// Their email there when it was linked.
    pub email: Option<String>,
    /// When it was linked.
    pub created_at: UtcMillis,
}

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

/// Somebody's identities, oldest first.
pub async fn of_user(store: &Store, user: UserId) -> Result<Vec<IdentityRow>, StoreError> {
    let rows = sqlx::query(OF_USER)
        .bind(user.to_string())
        .fetch_all(store.reader())
        .await
        .map_err(StoreError::at("lists identities"))?;
    rows.iter().map(identity).collect()
}

/// The same as of this transaction.
pub async fn of_user_in(tx: &mut Tx, user: UserId) -> Result<Vec<IdentityRow>, StoreError> {
    let rows = sqlx::query(OF_USER)
        .bind(user.to_string())
        .fetch_all(&mut **tx)
        .await
        .map_err(StoreError::at("lists identities"))?;
    rows.iter().map(identity).collect()
}

/// Gives a person an identity. One that is somebody's already is refused as a duplicate.
pub async fn insert(tx: &mut Tx, user: UserId, identity: &IdentityRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO identities (issuer, subject, user_id, email, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&identity.issuer)
    .bind(&identity.subject)
    .bind(user.to_string())
    .bind(identity.email.as_deref())
    .bind(identity.created_at.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("links an identity"))?;
    Ok(())
}

/// Takes an identity away from whomever it is of.
pub async fn delete(tx: &mut Tx, issuer: &str, subject: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM identities WHERE issuer = $1 AND subject = $2")
        .bind(issuer)
        .bind(subject)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("unlinks an identity"))?;
    Ok(())
}

fn identity(row: &AnyRow) -> Result<IdentityRow, StoreError> {
    let columns = Columns::of("identity", row);
    Ok(IdentityRow {
        issuer: columns.text("issuer")?,
        subject: columns.text("subject")?,
        email: columns.maybe_text("email")?,
        created_at: columns.time("created_at")?,
    })
}
