//! What the link needs of this machine. Implemented where commands are carried out; the link itself
//! only moves frames.

use std::sync::Arc;

use hostler_proto::command::{Command, Progress, Reply};
use hostler_proto::error::Failure;
use hostler_proto::frame::log::LogRecord;
use hostler_proto::frame::payload::Sync as DesiredStep;
use hostler_proto::host::HostLoad;
use hostler_proto::ids::{CommandId, RunId};
use hostler_proto::link::host::{Dismissal, HelloFacts, LogState, SyncOutcome};

/// Told how far a command is; only the newest report of a command is kept.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// Bytes of a run's spool from an offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPart {
    /// The bytes; none when the spool ends there.
    pub bytes: Vec<u8>,
    /// The records they belong to, from the first byte on (the first one cut to what is left).
    pub records: Vec<LogRecord>,
}

/// This machine, as the link sees it. Every method may be called again with the same arguments.
pub trait Local: Send + Sync + 'static {
    /// Where the machine stands, read from the database when a session starts.
    fn hello(&self) -> impl Future<Output = Result<HelloFacts, Failure>> + Send;

    /// Carries out a command, or returns the stored reply of one already carried out. The link
    /// never runs one id twice at the same time.
    fn command(
        &self,
        id: CommandId,
        command: Command,
        progress: ProgressSink,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send;

    /// Applies a step of the desired state in one transaction, or says why it cannot.
    fn apply_sync(
        &self,
        step: DesiredStep,
    ) -> impl Future<Output = Result<SyncOutcome, Failure>> + Send;

    /// At most `limit` events after `seq`, oldest first, as (sequence, JSON text).
    fn events_after(
        &self,
        seq: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(u64, String)>, Failure>> + Send;

    /// The control plane has every event up to and including `seq`.
    fn events_acked(&self, seq: u64) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The control plane will never take this event: set it aside for `doctor` to show.
    fn event_refused(
        &self,
        seq: u64,
        reason: String,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Runs whose log is not wholly acknowledged, as their spools are now, newest first.
    fn log_streams(&self) -> impl Future<Output = Result<Vec<LogState>, Failure>> + Send;

    /// Bytes in a run's log by now.
    fn log_end(&self, run: RunId) -> u64;

    /// At most `max` bytes of a run's log from `offset`.
    fn log_read(
        &self,
        run: RunId,
        offset: u64,
        max: usize,
    ) -> impl Future<Output = Result<LogPart, Failure>> + Send;

    /// The control plane has the whole log of a run.
    fn log_delivered(&self, run: RunId) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The control plane has these runs' logs up to these offsets, and not all of them.
    fn logs_acked(&self, acks: &[(RunId, u64)])
    -> impl Future<Output = Result<(), Failure>> + Send;

    /// The control plane takes this host, and has its events up to this one.
    fn welcomed(&self, events_there: u64) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The control plane does not want this host any more, or not until something is settled.
    fn dismissed(&self, how: Dismissal) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Readings for a heartbeat.
    fn load(&self) -> impl Future<Output = HostLoad> + Send;
}
