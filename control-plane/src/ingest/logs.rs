//! Log bytes by offset. Frames that came together are one transaction, so that the disk is waited
//! for once; each log is acknowledged up to what that transaction committed.

use std::collections::BTreeMap;

use hostler_proto::error::Failure;
use hostler_proto::frame::log::{LogFrame, LogRecord};
use hostler_proto::ids::{HostId, RunId};
use hostler_proto::time::UtcMillis;

use super::LogAck;
use crate::store::logs::{Chunk, LogRow};
use crate::store::{self, StoreError, Tx};
use crate::{App, clock};

/// What to answer to the frames of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which log.
    pub run_id: RunId,
    /// Where it stands.
    pub ack: LogAck,
    /// A frame began beyond the last committed byte: send again from there.
    pub gap: bool,
}

/// A log and what is to be appended to it.
struct Growing {
    log: LogRow,
    fresh: Chunk,
    gap: bool,
}

/// Frames of a host's logs, in the order they came. What is here already is skipped; beyond a hole
/// nothing is taken, and the acknowledged offset says where to go on.
pub async fn log_frames(
    app: &App,
    host: HostId,
    frames: &[LogFrame],
) -> Result<Vec<Stored>, Failure> {
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    super::known(&mut tx, host).await?;
    let mut growing: BTreeMap<RunId, Option<Growing>> = BTreeMap::new();
    let mut foreign: BTreeMap<RunId, u64> = BTreeMap::new();
    for frame in frames {
        let run = frame.run_id;
        if let std::collections::btree_map::Entry::Vacant(place) = growing.entry(run) {
            place.insert(own_log(&mut tx, host, run, now).await?.map(Growing::new));
        }
        if let Some(Some(one)) = growing.get_mut(&run) {
            one.take(frame, now);
        } else {
            let end = frame.offset.saturating_add(frame.bytes.len() as u64);
            foreign.insert(run, end);
        }
    }
    let mut stored = Vec::with_capacity(growing.len());
    let mut changed = false;
    for (run_id, one) in growing {
        let Some(Growing {
            mut log,
            fresh,
            gap,
        }) = one
        else {
            continue;
        };
        if !fresh.bytes.is_empty() {
            store::logs::append(&mut tx, run_id, &mut log, fresh, now).await?;
            changed = true;
        }
        let ack = ack_of(log);
        stored.push(Stored { run_id, ack, gap });
    }
    if changed {
        app.store.commit(tx).await?;
        for one in &stored {
            app.hosts.tell(one.run_id);
        }
    }
    stored.extend(foreign.into_iter().map(|(run_id, end)| Stored {
        run_id,
        ack: not_its_log(host, run_id, end),
        gap: false,
    }));
    Ok(stored)
}

/// A run's log is complete: its size and CRC-32. When they do not fit what came, the log is wanted
/// again from the start: the acknowledged offset says so.
pub async fn log_final(
    app: &App,
    host: HostId,
    run: RunId,
    size: u64,
    crc: u32,
) -> Result<LogAck, Failure> {
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    super::known(&mut tx, host).await?;
    let Some(mut log) = own_log(&mut tx, host, run, now).await? else {
        return Ok(not_its_log(host, run, size));
    };
    if log.size.is_some() || log.end < size {
        return Ok(ack_of(log));
    }
    if log.end == size && log.crc == crc {
        store::logs::complete(&mut tx, run, &mut log, now).await?;
    } else {
        tracing::warn!(%run, %host, size, have = log.end, "a log does not fit its checksum");
        store::logs::clear(&mut tx, run, &mut log, now).await?;
    }
    app.store.commit(tx).await?;
    app.hosts.tell(run);
    Ok(ack_of(log))
}

impl Growing {
    fn new(log: LogRow) -> Self {
        Self {
            log,
            fresh: Chunk::default(),
            gap: false,
        }
    }

    fn take(&mut self, frame: &LogFrame, now: UtcMillis) {
        let have = self.log.end + self.fresh.bytes.len() as u64;
        if self.log.size.is_some() {
            return;
        }
        if frame.offset > have {
            self.gap = true;
            return;
        }
        let known = usize::try_from(have - frame.offset).unwrap_or(usize::MAX);
        if known < frame.bytes.len() {
            let records = behind(&frame.records, known);
            self.fresh.push(&frame.bytes[known..], &records, now);
        }
    }
}

/// The records of what follows the first `known` bytes.
fn behind(records: &[LogRecord], mut known: usize) -> Vec<LogRecord> {
    let mut rest = Vec::with_capacity(records.len());
    for record in records {
        let cut = known.min(usize::try_from(record.len).unwrap_or(usize::MAX));
        known -= cut;
        let len = record.len - u32::try_from(cut).unwrap_or(record.len);
        if len > 0 {
            rest.push(LogRecord { len, ..*record });
        }
    }
    rest
}

/// Where a run's log stands, if it is this host's to write (a new log is). What another host wrote
/// before the run was known gives way to the host the run is on.
async fn own_log(
    tx: &mut Tx,
    host: HostId,
    run: RunId,
    now: UtcMillis,
) -> Result<Option<LogRow>, StoreError> {
    let owner = store::runs::host_in(tx, run).await?;
    if owner.is_some_and(|owner| owner != host) {
        return Ok(None);
    }
    let empty = LogRow::empty(host);
    let mut log = store::logs::state(tx, run).await?.unwrap_or(empty);
    if log.host_id != host && owner.is_some() {
        log = empty;
        store::logs::clear(tx, run, &mut log, now).await?;
    }
    Ok((log.host_id == host).then_some(log))
}

/// A log that will never be taken, because its run is another host's: said to be complete, so that
/// it does not come again for ever. Its events are refused with the reason.
fn not_its_log(host: HostId, run: RunId, offset: u64) -> LogAck {
    tracing::warn!(%host, %run, "a host sent the log of another host's run; it is not kept");
    LogAck {
        offset,
        complete: true,
    }
}

pub(super) fn ack_of(log: LogRow) -> LogAck {
    LogAck {
        offset: log.end,
        complete: log.size.is_some(),
    }
}
