//! Password hashes, and who somebody is by their email.
//!
//! It only keeps PHC strings; making and checking them is `auth::password`'s.

use hostler_proto::ids::UserId;
use hostler_proto::time::UtcMillis;

use super::row::Columns;
use super::{Store, StoreError, Tx};

/// A person and the hash of their password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// The person.
    pub user_id: UserId,
    /// Their email as they wrote it.
    pub email: String,
    /// Their name.
    pub name: String,
    /// The hash (a PHC string), when they have a password.
    pub phc: Option<String>,
    /// How many identities at other providers are theirs.
    pub identities: u64,
}

/// How every account is read.
const ACCOUNT: &str = "SELECT u.id, u.email, u.name, p.phc, \
     (SELECT COUNT(*) FROM identities i WHERE i.user_id = u.id) AS identities \
     FROM users u LEFT JOIN passwords p ON p.user_id = u.id";

/// The account with this email, in any case.
pub async fn by_email(store: &Store, email: &str) -> Result<Option<AccountRow>, StoreError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{ACCOUNT} WHERE u.email_key = $1"
    )))
    .bind(email.to_lowercase())
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("looks up an account"))?;
    row.map(|row| account(Columns::of("account", &row)))
        .transpose()
}

/// The account of a person.
pub async fn by_user(store: &Store, user: UserId) -> Result<Option<AccountRow>, StoreError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{ACCOUNT} WHERE u.id = $1")))
        .bind(user.to_string())
        .fetch_optional(store.reader())
        .await
        .map_err(StoreError::at("looks up an account"))?;
    row.map(|row| account(Columns::of("account", &row)))
        .transpose()
}

/// Sets somebody's password.
pub async fn set(tx: &mut Tx, user: UserId, phc: &str, now: UtcMillis) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO passwords (user_id, phc, updated_at) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id) DO UPDATE SET phc = excluded.phc, updated_at = excluded.updated_at",
    )
    .bind(user.to_string())
    .bind(phc)
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("sets a password"))?;
    Ok(())
}

/// Replaces a hash by one of the same password, unless the password was changed meanwhile.
pub async fn renew(tx: &mut Tx, user: UserId, old: &str, new: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE passwords SET phc = $3 WHERE user_id = $1 AND phc = $2")
        .bind(user.to_string())
        .bind(old)
        .bind(new)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("renews a password's hash"))?;
    Ok(())
}

/// Whether somebody who owns an organization can sign in.
pub async fn an_owner_can_sign_in(store: &Store) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT 1 AS found FROM members m WHERE m.role = 'owner' AND \
         (EXISTS (SELECT 1 FROM passwords p WHERE p.user_id = m.user_id) OR \
          EXISTS (SELECT 1 FROM identities i WHERE i.user_id = m.user_id)) LIMIT 1",
    )
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("looks for an owner who can sign in"))?;
    Ok(row.is_some())
}

fn account(columns: Columns<'_>) -> Result<AccountRow, StoreError> {
    Ok(AccountRow {
        user_id: columns.parsed("id")?,
        email: columns.text("email")?,
        name: columns.text("name")?,
        phc: columns.maybe_text("phc")?,
        identities: columns.count("identities")?,
    })
}
