//! Which browsers signed in to which account before.

use hostler_proto::ids::UserId;
use hostler_proto::time::UtcMillis;

use super::{Store, StoreError, Tx};

/// Browsers remembered for each person; the ones seen longest ago go.
const MOST: i64 = 20;

/// Notes that a browser signed in to an account.
pub async fn remember(
    tx: &mut Tx,
    user: UserId,
    hash: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO known_browsers (user_id, hash, seen_at) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id, hash) DO UPDATE SET seen_at = excluded.seen_at",
    )
    .bind(user.to_string())
    .bind(hash)
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("remembers a browser"))?;
    sqlx::query(
        "DELETE FROM known_browsers WHERE user_id = $1 AND hash NOT IN \
         (SELECT hash FROM known_browsers WHERE user_id = $1 ORDER BY seen_at DESC, hash LIMIT $2)",
    )
    .bind(user.to_string())
    .bind(MOST)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("forgets a browser"))?;
    Ok(())
}

/// Whether a browser signed in before to the account with this email. It asks the same of one that
/// does not exist.
pub async fn is_known(store: &Store, email: &str, hash: &str) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT 1 AS found FROM known_browsers k JOIN users u ON u.id = k.user_id \
         WHERE u.email_key = $1 AND k.hash = $2",
    )
    .bind(email.to_lowercase())
    .bind(hash)
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("looks up a browser"))?;
    Ok(row.is_some())
}

/// Forgets every browser of an account.
pub async fn forget(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM known_browsers WHERE user_id = $1")
        .bind(user.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("forgets browsers"))?;
    Ok(())
}
