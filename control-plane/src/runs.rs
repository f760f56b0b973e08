//! Runs and their logs, as delivered so far: read from the catalog alone.
//!
//! A log is read by byte offset; pages join to exactly the delivered bytes, and no page ends
//! inside a character while the rest of it may still come. One run in full, and ending one, are in
//! `control`; runs over all automations in `listing`; a log's bytes as they are in `bytes`.

mod bytes;
mod control;
mod listing;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_proto::error::Failure;
use hostler_proto::frame::log::LogRecord;
use hostler_proto::ids::{AutomationId, HostId, RunId};
use hostler_proto::run::{Run, RunState};
use hostler_proto::time::UtcMillis;

use crate::auth::Caller;
use crate::store::runs::RunRow;
use crate::{App, automations, names, store};

pub use bytes::{LogBytes, bytes};
pub use control::{CancelWish, Cancelled, RunInFull, RunPlace, cancel, get, retry};
pub use listing::{ListRuns, ListedRun, RunsPage, STATES, listed};

/// Most runs of one listing.
const MOST_RUNS: u32 = 100;

/// Bytes of log shown with a listed run.
const TAIL_BYTES: u64 = 4096;

/// Lines of log shown with a listed run.
const TAIL_LINES: usize = 20;

/// Least bytes of a page: the longest character fits, so that every page goes on.
const LEAST_PAGE: u32 = 4;

/// Most bytes of a page.
const MOST_PAGE: u32 = 1 << 20;

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
    /// When the log was thrown away here to make room; then none of it can be read.
    pub log_removed_at: Option<UtcMillis>,
    /// When the host last told of it.
    pub as_of: UtcMillis,
}

/// Which part of a run's log to read, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadLog {
    /// Byte offset to start from.
    pub cursor: u64,
    /// Bytes to return at most (4 bytes to 1 MiB).
    pub max_bytes: u32,
    /// How long to wait for something to return.
    pub patience: Duration,
    /// The bytes themselves, in base64, instead of text.
    pub exact: bool,
}

/// Part of a run's log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    /// The run.
    pub run: RunView,
    /// The text from the cursor on, invalid bytes replaced; or the bytes in base64.
    pub log: String,
    /// When, and from which stream, the bytes from the cursor on came.
    pub records: Vec<LogRecord>,
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
    let automation = automations::find_with_deleted(app, caller, automation_id).await?;
    let (org, id) = (caller.org_id, automation.id);
    let limit = limit.clamp(1, MOST_RUNS);
    let rows = store::runs::newest(&app.store, org, id, limit).await?;
    let mut tails = store::logs::tails(&app.store, org, id, limit, TAIL_BYTES).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let at = tails.iter().position(|(run, _)| *run == row.run.id);
            let tail = at.map(|at| tails.swap_remove(at).1);
            view(row, &tail.unwrap_or_default())
        })
        .collect())
}

/// The same from an offset on, and how many there are in all.
pub(crate) async fn listed_from(
    app: &App,
    caller: &Caller,
    automation: AutomationId,
    limit: u32,
    offset: u32,
) -> Result<(Vec<RunView>, u64), Failure> {
    let (org, limit) = (caller.org_id, limit.clamp(1, MOST_RUNS));
    let total = store::runs::count(&app.store, org, automation).await?;
    if offset == 0 {
        let runs = list(app, caller, &automation.to_string(), limit).await?;
        return Ok((runs, total));
    }
    let rows = store::runs::newest_from(&app.store, org, automation, limit, offset).await?;
    let mut views = Vec::new();
    for row in rows {
        let tail = tail(app, &row).await?;
        views.push(view(row, &tail));
    }
    Ok((views, total))
}

/// The same without the ends of their logs.
pub(crate) async fn listed_bare(
    app: &App,
    caller: &Caller,
    automation: AutomationId,
    limit: u32,
    offset: u32,
) -> Result<(Vec<RunView>, u64), Failure> {
    let (org, limit) = (caller.org_id, limit.clamp(1, MOST_RUNS));
    let total = store::runs::count(&app.store, org, automation).await?;
    let rows = store::runs::newest_from(&app.store, org, automation, limit, offset).await?;
    Ok((rows.into_iter().map(|row| view(row, &[])).collect(), total))
}

/// Part of one run's log. Waits for something to return as long as it is told to.
pub async fn log(
    app: &App,
    caller: &Caller,
    automation_id: &str,
    run_id: &str,
    read: ReadLog,
) -> Result<LogPage, Failure> {
    let automation = automations::find_with_deleted(app, caller, automation_id).await?;
    let id: Option<RunId> = run_id.trim().parse().ok();
    let id = id.ok_or_else(|| missing(run_id))?;
    let mut listener = app.hosts.listen(id, read.patience);
    loop {
        let row = store::runs::by_id(&app.store, caller.org_id, automation.id, id).await?;
        let row = row.ok_or_else(|| missing(run_id))?;
        if !is_whole(&row) {
            app.hosts.watch(row.host_id, id);
        }
        let page = page(app, row, read).await?;
        let something = page.done || page.next_cursor > read.cursor;
        if something || !listener.hear(&app.shutdown).await {
            return Ok(page);
        }
    }
}

async fn page(app: &App, row: RunRow, read: ReadLog) -> Result<LogPage, Failure> {
    let (id, cursor) = (row.run.id, read.cursor);
    let most = u64::from(read.max_bytes.clamp(LEAST_PAGE, MOST_PAGE));
    let to = cursor.saturating_add(most).min(row.log_end);
    let part = store::logs::read(&app.store, id, cursor, to).await?;
    let removed = row.log_removed_at.is_some();
    let read_to = cursor.saturating_add(part.bytes.len() as u64);
    let ends_here = removed || (is_whole(&row) && read_to >= row.log_end);
    let (log, used) = if read.exact {
        (STANDARD.encode(&part.bytes), part.bytes.len())
    } else {
        decode(&part.bytes, ends_here)
    };
    let tail = tail(app, &row).await?;
    let next_cursor = if removed {
        row.log_end
    } else {
        cursor.saturating_add(used as u64)
    };
    Ok(LogPage {
        run: view(row, &tail),
        log,
        records: part.records,
        next_cursor,
        done: ends_here,
    })
}

async fn tail(app: &App, row: &RunRow) -> Result<Vec<u8>, Failure> {
    let from = row.log_end.saturating_sub(TAIL_BYTES);
    let read = store::logs::read(&app.store, row.run.id, from, row.log_end).await?;
    Ok(read.bytes)
}

/// Whether every byte the run will ever have is here.
fn is_whole(row: &RunRow) -> bool {
    match &row.run.state {
        RunState::Finished(finished) => row.log_end >= finished.log_bytes,
        RunState::Skipped { .. } => true,
        RunState::Queued | RunState::Preparing { .. } | RunState::Running { .. } => false,
    }
}

/// Bytes as text, and how many of them were taken: all, but for a character at the end whose rest
/// is not here yet.
fn decode(bytes: &[u8], ends_here: bool) -> (String, usize) {
    let used = if ends_here {
        bytes.len()
    } else {
        bytes.len() - unfinished(bytes)
    };
    (String::from_utf8_lossy(&bytes[..used]).into_owned(), used)
}

/// Length of a character's beginning at the end of the bytes.
fn unfinished(bytes: &[u8]) -> usize {
    (1..=bytes.len().min(3))
        .find(|length| {
            let end = &bytes[bytes.len() - length..];
            std::str::from_utf8(end)
                .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(0)
}

/// The last lines, starting at a whole character.
fn tail_text(bytes: &[u8]) -> String {
    let cut = bytes.len() as u64 >= TAIL_BYTES;
    let is_middle = |byte: &&u8| (**byte & 0b1100_0000) == 0b1000_0000;
    let skipped = if cut {
        bytes.iter().take(3).take_while(is_middle).count()
    } else {
        0
    };
    let text = String::from_utf8_lossy(&bytes[skipped..]);
    let body = text.strip_suffix('\n').unwrap_or(&text);
    match body.rmatch_indices('\n').nth(TAIL_LINES - 1) {
        Some((at, _)) => text[at + 1..].to_owned(),
        None => text.into_owned(),
    }
}

fn view(row: RunRow, tail: &[u8]) -> RunView {
    RunView {
        run: row.run,
        host_id: row.host_id,
        log_bytes: row.log_end,
        log_tail: tail_text(tail),
        log_removed_at: row.log_removed_at,
        as_of: row.as_of,
    }
}

fn missing(id: &str) -> Failure {
    names::missing(
        "run of this automation",
        "automations_logs without runId",
        id,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_any_size_join_to_the_whole_text() {
        let mut bytes = "plain, h\u{e9}llo, \u{20ac}uro, \u{1f980}!\n"
            .repeat(3)
            .into_bytes();
        bytes.extend([0xff, 0xe2, 0x82, b'x', 0xf0, 0x9f, 0x80, 0x80, 0xc3]);
        let whole = String::from_utf8_lossy(&bytes);
        for page in 4..bytes.len() {
            let (mut text, mut cursor) = (String::new(), 0);
            while cursor < bytes.len() {
                let to = (cursor + page).min(bytes.len());
                let (part, used) = decode(&bytes[cursor..to], to == bytes.len());
                assert!(used > 0, "no progress at {cursor} with pages of {page}");
                text += &part;
                cursor += used;
            }
            assert_eq!(text, whole, "pages of {page}");
        }
    }

    #[test]
    fn a_tail_is_the_last_lines() {
        let lines: Vec<String> = (1..=30).map(|line| format!("line {line}")).collect();
        let lines = lines.join("\n") + "\n";
        let tail = tail_text(lines.as_bytes());
        assert!(
            tail.starts_with("line 11\n") && tail.ends_with("line 30\n"),
            "{tail}"
        );
        assert_eq!(tail_text(b"one\ntwo"), "one\ntwo");
        assert_eq!(tail_text(b""), "");
    }
}
