//! Live links to hosts: who is connected, and asking one of them to do something.
//!
//! At most one link per host is registered; its number tells a link that was replaced from the one
//! that replaced it, so the end of the old never takes the new one down. What must survive a
//! restart is in the catalog; nothing here is.

mod admit;
mod api;
mod enrol;
mod greeting;
mod link;
mod news;
mod registry;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use hostler_proto::command::{Command, Progress, Reply};
use hostler_proto::enrol::{ENROL_PATH, LEAVE_PATH, LINK_PATH};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::host::HostLoad;
use hostler_proto::ids::{CommandId, HostId, RunId};
use hostler_proto::link::close;
use hostler_proto::time::UtcMillis;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::{App, clock};
use registry::{Ask, Call, Handle};

/// A host's clock that is off by more than this is told.
pub(crate) const CLOCK_OFF_MS: i64 = 30_000;

pub use link::Desired;
pub use news::Listener;
pub use registry::Hosts;

/// Told how far a command is.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// A host that is connected now.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// Since when.
    pub since: UtcMillis,
    /// Its latest readings.
    pub load: Option<HostLoad>,
    /// How far its clock is ahead of this one, milliseconds.
    pub skew_ms: i64,
    /// The same identity was seen alive elsewhere: its credential was copied.
    pub cloned: bool,
}

/// The routes hosts use: enrolment, leaving, and the link itself.
pub fn router(app: &App) -> Router {
    Router::new()
        .route(LINK_PATH, get(upgrade::link))
        .route(ENROL_PATH, post(enrol::enrol))
        .route(LEAVE_PATH, post(enrol::leave))
        .merge(api::routes())
        .layer(axum::extract::DefaultBodyLimit::max(16 << 10))
        .with_state(app.clone())
}

impl Hosts {
    /// Asks a host to do something and waits for its answer, at most for `deadline`. When the link
    /// is lost meanwhile, the same id is asked again on the next one.
    pub async fn call(
        &self,
        host: HostId,
        id: CommandId,
        command: Command,
        deadline: Duration,
        progress: Option<ProgressSink>,
    ) -> Result<Reply, Failure> {
        let until = Instant::from_std(clock::monotonic()) + deadline;
        let mut link = self.handle(host).ok_or_else(|| offline(host))?;
        loop {
            let (answer, answered) = oneshot::channel();
            let call = Ask::Call(Box::new(Call {
                id,
                command: command.clone(),
                left: until.saturating_duration_since(Instant::from_std(clock::monotonic())),
                progress: progress.clone(),
                answer,
            }));
            let asked = async {
                link.asks.send(call).await.ok()?;
                answered.await.ok()
            };
            match timeout_at(until, asked).await {
                Ok(Some(result)) => return result,
                Ok(None) => {}
                Err(_) => return Err(timed_out(host, deadline)),
            }
            let number = link.number;
            let next = async { Ok(self.next_link(host, number).await) };
            link = timeout_at(until, next)
                .await
                .unwrap_or_else(|_| Err(timed_out(host, deadline)))?;
        }
    }

    /// Whether a host is connected, and since when.
    pub fn online(&self, host: HostId) -> Option<Presence> {
        self.presence(host)
    }

    /// How many hosts are connected.
    pub fn connected(&self) -> usize {
        self.count()
    }

    /// Says that a host's desired state changed.
    pub fn sync_soon(&self, host: HostId) {
        if let Some(Handle { wake, .. }) = self.handle(host) {
            wake.sync.notify_one();
        }
    }

    /// Closes a host's link because its access was taken away.
    pub fn disconnect(&self, host: HostId, reason: &str) {
        self.close(host, close::REVOKED, reason);
    }

    /// Somebody is reading this run's log now: it comes before other logs for a while.
    pub fn watch(&self, host: HostId, run: RunId) {
        if let Some(link) = self.handle(host)
            && link.asks.try_send(Ask::Watch(run)).is_err()
        {
            tracing::trace!(%host, %run, "the link is busy: not watched this time");
        }
    }
}

fn offline(host: HostId) -> Failure {
    Failure::new(
        ErrorCode::HostOffline,
        format!("host {host} is not connected"),
    )
    .hint("start `hostler daemon` (or `hostler up`) on it, then try again")
}

fn timed_out(host: HostId, deadline: Duration) -> Failure {
    Failure::new(
        ErrorCode::Timeout,
        format!(
            "host {host} did not answer within {} s; it may still finish",
            deadline.as_secs()
        ),
    )
    .hint("look again in a moment: what it did will show")
}

#[cfg(test)]
mod tests;
