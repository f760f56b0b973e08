//! What hosts tell, made part of the catalog: events by sequence, log bytes by offset.
//!
//! Everything here commits before it returns what to acknowledge, and a repeat changes nothing. A
//! host writes only what is its own. It never waits for a host.

use hostler_proto::error::Failure;
use hostler_proto::frame::payload::Sync;
use hostler_proto::host::HostLoad;
use hostler_proto::ids::{HostId, RunId};

use crate::{App, pending};

/// What to answer to a batch of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsAck {
    /// Every event up to this one is committed, or refused for good.
    pub acked: u64,
    /// The batch starts beyond the last committed event: send again after `acked`.
    pub gap: bool,
    /// Events that will never be taken, each with the reason.
    pub refused: Vec<(u64, String)>,
}

/// What to answer to log bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogAck {
    /// Every byte before this offset is committed. A sender that is elsewhere goes on from here.
    pub offset: u64,
    /// That is all of it, checked against its size and checksum.
    pub complete: bool,
}

/// A run as its host states it when it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedRun {
    /// Which.
    pub run_id: RunId,
    /// The word of its state.
    pub state: String,
    /// The end of its log on the host.
    pub log_end: u64,
}

/// Where a host stands when it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// Revision of its automations.
    pub applied_revision: u64,
    /// The sequence its next event will get.
    pub next_seq: u64,
    /// Runs going on, and runs whose log is not wholly acknowledged.
    pub runs: Vec<StatedRun>,
}

/// What a host needs to know after it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The last event committed of this host.
    pub acked_seq: u64,
    /// The revision its automations should be at.
    pub desired_revision: u64,
    /// For each run stated: where its log stands here.
    pub logs: Vec<(RunId, LogAck)>,
}

/// A host connected: records presence, compares what it states with the catalog, and says where to
/// go on. Whatever was asked of the host while it was away is sent from here, in the background.
pub async fn hello(app: &App, host: HostId, stated: &Stated) -> Result<Greeting, Failure> {
    pending(app, &host, (stated)).await
}

/// The host's link is gone.
pub async fn gone(app: &App, host: HostId) -> Result<(), Failure> {
    pending(app, &host, ()).await
}

/// Readings of a heartbeat.
pub async fn heartbeat(app: &App, host: HostId, load: HostLoad) -> Result<(), Failure> {
    pending(app, &host, (load)).await
}

/// Events in the order of the host's outbox, each with its sequence, still as JSON. `prev` is the
/// sequence sent before the first of them.
pub async fn events(
    app: &App,
    host: HostId,
    prev: u64,
    batch: &[(u64, serde_json::Value)],
) -> Result<EventsAck, Failure> {
    pending(app, &host, (prev, batch)).await
}

/// Bytes of a run's log at an offset.
pub async fn log_bytes(
    app: &App,
    host: HostId,
    run: RunId,
    offset: u64,
    bytes: &[u8],
) -> Result<LogAck, Failure> {
    pending(app, &host, (run, offset, bytes)).await
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
    pending(app, &host, (run, size, crc)).await
}

/// The host applied its automations up to this revision.
pub async fn sync_applied(app: &App, host: HostId, revision: u64) -> Result<(), Failure> {
    pending(app, &host, (revision)).await
}

/// What a host should have: the step from revision `from` to the newest, or the whole state when
/// `from` is none (or older than what tombstones remember).
pub async fn desired_state(app: &App, host: HostId, from: Option<u64>) -> Result<Sync, Failure> {
    pending(app, &host, from).await
}
