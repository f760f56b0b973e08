//! Runs and their logs, as delivered so far: read from the catalog alone.
//!
//! A log is read by byte offset; pages join to exactly the delivered bytes, and no page ends
//! inside a character while the rest of it may still come.

use hostler_proto::error::Failure;
use hostler_proto::ids::HostId;
use hostler_proto::run::Run;
use hostler_proto::time::UtcMillis;

use crate::auth::Caller;
use crate::{App, pending};

/// A run as its automation's owner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunView {
    /// The record.
    pub run: Run,
    /// Where it runs.
    pub host_id: HostId,
    /// Bytes of log delivered so far.
    pub log_bytes: u64,
    /// The end of the log: at most 20 lines and 4 KiB.
    pub log_tail: String,
    /// When the host last told of it.
    pub as_of: UtcMillis,
}

/// Part of a run's log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    /// The run.
    pub run: RunView,
    /// The text from the cursor on, invalid bytes replaced.
    pub log: String,
    /// Where the next page starts.
    pub next_cursor: u64,
    /// Nothing will follow.
    pub done: bool,
}

/// The newest runs of an automation (also of a deleted one) with the ends of their logs.
pub async fn list(
    app: &App,
    caller: &Caller,
    automation_id: &str,
    limit: u32,
) -> Result<Vec<RunView>, Failure> {
    pending(app, caller, &(automation_id, limit)).await
}

/// One run's log from a byte offset, at most `max_bytes` (1..=1 MiB) of it.
pub async fn log(
    app: &App,
    caller: &Caller,
    automation_id: &str,
    run_id: &str,
    cursor: u64,
    max_bytes: u32,
) -> Result<LogPage, Failure> {
    pending(app, caller, &(automation_id, run_id, cursor, max_bytes)).await
}
