//! Live links to hosts: who is connected, and asking one of them to do something.

use std::sync::Arc;
use std::time::Duration;

use hostler_proto::command::{Command, Progress, Reply};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::host::HostLoad;
use hostler_proto::ids::{CommandId, HostId};
use hostler_proto::time::UtcMillis;

/// Told how far a command is.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// A host that is connected now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Presence {
    /// Since when.
    pub since: UtcMillis,
    /// Its latest readings.
    pub load: Option<HostLoad>,
}

/// The live links.
#[derive(Debug, Default)]
pub struct Hosts {}

impl Hosts {
    /// Asks a host to do something and waits for its answer, at most for `deadline`.
    pub async fn call(
        &self,
        host: HostId,
        _id: CommandId,
        _command: Command,
        _deadline: Duration,
        _progress: Option<ProgressSink>,
    ) -> Result<Reply, Failure> {
        Err(Failure::new(
            ErrorCode::HostOffline,
            format!("host {host} is not connected"),
        ))
    }

    /// Whether a host is connected, and since when.
    pub fn online(&self, _host: HostId) -> Option<Presence> {
        None
    }

    /// Says that a host's desired state changed.
    pub fn sync_soon(&self, _host: HostId) {}

    /// Closes a host's link.
    pub fn disconnect(&self, _host: HostId, _reason: &str) {}
}
