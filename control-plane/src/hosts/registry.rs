//! Which links are registered, by host. The lock is held for moments and never across an await.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hostler_proto::command::{Command, Reply};
use hostler_proto::error::Failure;
use hostler_proto::host::HostLoad;
use hostler_proto::ids::{CommandId, HostId, InstanceId, RunId};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};

use super::greeting::Greeting;
use super::news::News;
use super::{Presence, ProgressSink};
use hostler_proto::time::UtcMillis;

/// Hosts admitted at the same time: a whole fleet returns at once after a restart.
const MOST_ADMITTING: usize = 8;
/// Locks that put what happens to one host in order.
const GATES: usize = 64;

/// Something for a link to do.
#[derive(Debug)]
pub(super) enum Ask {
    /// A request to the host.
    Call(Box<Call>),
    /// Is the host alive? Answered within two seconds, or the link is dead.
    Probe(oneshot::Sender<bool>),
    /// This run's log is being read.
    Watch(RunId),
}

/// A request with whoever waits for it.
pub(super) struct Call {
    pub(super) id: CommandId,
    pub(super) command: Command,
    pub(super) left: Duration,
    pub(super) progress: Option<ProgressSink>,
    pub(super) answer: oneshot::Sender<Result<Reply, Failure>>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What reaches a link without a queue.
#[derive(Debug)]
pub(super) struct Wake {
    /// Its host's desired state changed.
    pub(super) sync: Notify,
    /// It must close, with this code and reason.
    pub(super) close: watch::Sender<Option<(u16, String)>>,
}

/// A registered link, as others see it.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    /// Tells links of one host apart.
    pub(super) number: u64,
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) wake: Arc<Wake>,
    pub(super) boot_id: String,
    pub(super) instance: InstanceId,
    presence: Presence,
}

impl Handle {
    /// A link that took a host `since`.
    pub(super) fn new(
        number: u64,
        asks: mpsc::Sender<Ask>,
        wake: Arc<Wake>,
        identity: (String, InstanceId),
        since: UtcMillis,
    ) -> Self {
        Self {
            number,
            asks,
            wake,
            boot_id: identity.0,
            instance: identity.1,
            presence: Presence {
                since,
                load: None,
                skew_ms: 0,
                cloned: false,
            },
        }
    }
}

/// The live links.
#[derive(Debug)]
pub struct Hosts {
    links: Mutex<BTreeMap<HostId, Handle>>,
    /// Counts registrations; a link's number is its count.
    changed: watch::Sender<u64>,
    gates: Vec<tokio::sync::Mutex<()>>,
    pub(super) admitting: Semaphore,
    pub(super) greeting: Greeting,
    pub(super) news: News,
}

impl Default for Hosts {
    fn default() -> Self {
        Self {
            links: Mutex::default(),
            changed: watch::Sender::new(0),
            gates: (0..GATES).map(|_| tokio::sync::Mutex::new(())).collect(),
            admitting: Semaphore::new(MOST_ADMITTING),
            greeting: Greeting::default(),
            news: News::default(),
        }
    }
}

impl Hosts {
    /// Held while a host is admitted or seen off, so that the two never mix.
    pub(super) async fn gate(&self, host: HostId) -> tokio::sync::MutexGuard<'_, ()> {
        let at = usize::from(host.0.as_bytes()[15]) % GATES;
        self.gates[at].lock().await
    }

    /// A number no other link has.
    pub(super) fn next_number(&self) -> u64 {
        let mut number = 0;
        self.changed.send_if_modified(|count| {
            *count += 1;
            number = *count;
            false
        });
        number
    }

    pub(super) fn handle(&self, host: HostId) -> Option<Handle> {
        self.links().get(&host).cloned()
    }

    pub(super) fn presence(&self, host: HostId) -> Option<Presence> {
        self.links().get(&host).map(|link| link.presence.clone())
    }

    pub(super) fn count(&self) -> usize {
        self.links().len()
    }

    /// Registers a link in place of any other of its host, which is told to close.
    pub(super) fn register(&self, host: HostId, link: Handle) {
        let old = self.links().insert(host, link);
        if let Some(old) = old {
            let reason = "a newer connection of this host took over".to_owned();
            old.wake
                .close
                .send_replace(Some((hostler_proto::link::close::REPLACED, reason)));
        }
        self.changed.send_modify(|_| {});
    }

    /// Takes a link out, if it is still the registered one.
    pub(super) fn remove(&self, host: HostId, number: u64) -> bool {
        let mut links = self.links();
        let current = links.get(&host).is_some_and(|link| link.number == number);
        if current {
            links.remove(&host);
        }
        current
    }

    /// Notes readings of the link's host, if it is still the registered one.
    pub(super) fn note(&self, host: HostId, number: u64, load: Option<HostLoad>, skew_ms: i64) {
        if let Some(link) = self.links().get_mut(&host)
            && link.number == number
        {
            link.presence.load = load.or(link.presence.load.take());
            link.presence.skew_ms = skew_ms;
        }
    }

    /// Flags a host whose identity was seen alive twice.
    pub(super) fn flag_cloned(&self, host: HostId) {
        if let Some(link) = self.links().get_mut(&host) {
            link.presence.cloned = true;
        }
    }

    /// Tells a host's link to close.
    pub(crate) fn close(&self, host: HostId, code: u16, reason: &str) {
        if let Some(link) = self.handle(host) {
            link.wake
                .close
                .send_replace(Some((code, reason.to_owned())));
        }
    }

    /// Waits until the host has another link than `number`.
    pub(super) async fn next_link(&self, host: HostId, number: u64) -> Handle {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(link) = self.handle(host)
                && link.number != number
            {
                return link;
            }
            if changed.changed().await.is_err() {
                // The sender is part of `self`, so this cannot end before `self` does.
                std::future::pending::<()>().await;
            }
        }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<HostId, Handle>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
