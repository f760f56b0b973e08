//! Throws old run logs away: by age, and the oldest beyond a size. Only whole logs of runs that are
//! over go; runs and their outcomes stay for ever.
//!
//! It gives room back to the catalog's file, which does not shrink but is used again.

use hostler_proto::error::Failure;
use hostler_proto::time::UtcMillis;

use crate::config::KeepLogs;
use crate::{App, store};

/// A day, milliseconds.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Logs looked at together.
const AT_ONCE: u32 = 256;

/// Throws away what need not be kept; returns how many logs that were. Each log is a transaction of
/// its own, so that hosts are not held up.
pub async fn round(app: &App, keep: KeepLogs, now: UtcMillis) -> Result<u64, Failure> {
    let store = &app.store;
    let oldest_kept = (keep.days > 0).then(|| now.plus_ms(-i64::from(keep.days) * DAY_MS));
    let most = (keep.gib > 0).then(|| u64::from(keep.gib) << 30);
    let mut bytes = store::logs::stored_bytes(store).await?;
    let mut removed = 0;
    loop {
        let logs = store::logs::oldest(store, AT_ONCE).await?;
        let all_looked_at = logs.len() < AT_ONCE as usize;
        for (run, at, stored) in logs {
            let too_old = oldest_kept.is_some_and(|oldest| at < oldest);
            let too_many = most.is_some_and(|most| bytes > most);
            if !too_old && !too_many {
                return Ok(removed);
            }
            let mut tx = store.begin().await?;
            store::logs::remove(&mut tx, run, now).await?;
            store.commit(tx).await?;
            bytes = bytes.saturating_sub(stored);
            removed += 1;
        }
        if all_looked_at {
            return Ok(removed);
        }
    }
}
