//! A run's log as bytes, for whoever shows or copies it himself.

use hostler_proto::error::Failure;

use super::control::find;
use super::{MOST_PAGE, RunView, is_whole, view};
use crate::auth::Caller;
use crate::{App, store};

/// Part of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogBytes {
    /// The run, without the end of its log.
    pub run: RunView,
    /// Its bytes from the place asked for.
    pub bytes: Vec<u8>,
    /// Nothing follows, now or later.
    pub done: bool,
}

/// At most `most` bytes (1 MiB) of a run's log from an offset on, as far as they are here. Its host is
/// asked for what is missing, so that it comes quickly.
pub async fn bytes(
    app: &App,
    caller: &Caller,
    run_id: &str,
    from: u64,
    most: u32,
) -> Result<LogBytes, Failure> {
    let row = find(app, caller, run_id).await?;
    if !is_whole(&row) {
        app.hosts.watch(row.host_id, row.run.id);
    }
    let to = from
        .saturating_add(most.min(MOST_PAGE).into())
        .min(row.log_end);
    let bytes = if from < to {
        store::logs::read(&app.store, row.run.id, from, to)
            .await?
            .bytes
    } else {
        Vec::new()
    };
    let reached = from.saturating_add(bytes.len() as u64) >= row.log_end;
    Ok(LogBytes {
        done: row.log_removed_at.is_some() || (is_whole(&row) && reached),
        bytes,
        run: view(row, &[]),
    })
}
