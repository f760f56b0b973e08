//! Looks at this machine when the daemon starts and when something changes, and tells the catalog.
//!
//! Invariant: an idle host starts no process. The login shell is asked again when a file it reads
//! changed, an agent for its version when its own file did; both stand beside the runtime.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hostler_proto::host::{AgentFacts, HostFacts};
use tokio::sync::Notify;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::changes::{Changed, Interests};
use super::machine;
use crate::agents::{Agents, Versions, find};
use crate::store::{StoreError, meta};
use crate::watch::Watches;
use crate::{Context, announce, clock, enrol, host, policy};

/// The versions that are known (JSON).
const VERSIONS_KEY: &str = "agent_versions";

/// How long changes are collected: an installation is many of them.
const DEBOUNCE: Duration = Duration::from_secs(1);

/// How often is looked again although nothing was heard; nothing is started unless it changed.
const LOOK_AGAIN: Duration = Duration::from_secs(6 * 60 * 60);

/// The same where file system events are not to be had.
const LOOK_WITHOUT_EVENTS: Duration = Duration::from_secs(10 * 60);

/// What was heard and not yet followed.
#[derive(Default)]
struct Heard {
    interests: Mutex<Interests>,
    changed: Mutex<Changed>,
    wake: Notify,
}

impl Heard {
    fn hear(&self, hint: crate::watch::Hint) {
        let changed = match hint {
            Some(paths) => lock(&self.interests).of(&paths),
            None => Changed::all(),
        };
        if !changed.is_nothing() {
            let mut all = lock(&self.changed);
            *all = all.and(changed);
            self.wake.notify_one();
        }
    }
}

/// Tells the host's facts until `stop`.
pub(crate) async fn run(context: Context, stop: CancellationToken) -> Result<(), String> {
    let words = |error: StoreError| error.to_string();
    let versions = known_versions(&context).await.map_err(words)?;
    // The first facts ever go at once, from this process' own PATH, so that the host can be used.
    if !announce::has_facts(&context).await.map_err(words)? {
        let path = std::env::var("PATH").unwrap_or_default();
        let agents = context.machine.agents();
        let facts = find::facts(&agents, &path, &versions, clock::wall());
        tell(&context, facts).await;
    }
    let heard = Arc::new(Heard::default());
    let ear = Arc::clone(&heard);
    let watches = Watches::new(move |hint| ear.hear(hint)).inspect_err(|error| {
        tracing::warn!(%error, "file system events are not available; agents are looked for every ten minutes");
    });
    let mut follower = Follower {
        context,
        heard,
        watches: watches.ok(),
        versions,
    };
    let mut changed = Changed::all();
    loop {
        change_an_old_key(&follower.context).await;
        let wait = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            looked = follower.look(changed) => looked.map_err(|error| error.to_string())?,
        };
        let heard = &follower.heard;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = heard.wake.notified() => tokio::time::sleep(DEBOUNCE).await,
            () = tokio::time::sleep(wait) => *lock(&heard.changed) = Changed::all(),
        }
        changed = std::mem::take(&mut *lock(&heard.changed));
    }
}

/// A key of the link is not kept for ever; a change that was interrupted is finished. Not by itself
/// while it is not settled that this machine is the host.
async fn change_an_old_key(context: &Context) {
    if !matches!(policy::doubt(context).await, Ok(None)) {
        return;
    }
    match enrol::rotate_when_due(context.layout.home()).await {
        Ok(None) => {}
        Ok(Some(rotated)) => tracing::info!(server = %rotated.url, "this host has a new key"),
        Err(error) => {
            tracing::warn!("this host's key was not changed, and will be tried again: {error}");
        }
    }
}

struct Follower {
    context: Context,
    heard: Arc<Heard>,
    watches: Option<Watches>,
    versions: Versions,
}

impl Follower {
    /// Looks and tells; the answer is after which time to look again although nothing was heard.
    async fn look(&mut self, changed: Changed) -> Result<Duration, JoinError> {
        let look = Look {
            context: self.context.clone(),
            changed,
            versions: self.versions.clone(),
        };
        let (heard, mut watches) = (Arc::clone(&self.heard), self.watches.take());
        let looked = tokio::task::spawn_blocking(move || {
            let (agents, path) = look.ask();
            // Listened to before anything is looked for: what changes meanwhile is heard.
            let layout = &look.context.layout;
            let files = [layout.agents_file(), layout.config_file()];
            let interests = Interests::new(&agents, &path, &machine::home(), &files);
            let folders = interests.folders();
            *lock(&heard.interests) = interests;
            if let Some(watches) = &mut watches {
                watches.set(&folders);
            }
            let facts = find::facts(&agents, &path, &look.versions, clock::wall());
            (look, facts, watches)
        });
        let (look, facts, watches) = looked.await?;
        self.watches = watches;
        tell(&self.context, facts).await;
        // The owner may allow more runs, or others, than a moment ago.
        self.context.signals.runs.notify_one();
        let heard = Arc::clone(&self.heard);
        let asked = tokio::task::spawn_blocking(move || look.ask_versions(&heard)).await?;
        if let Some((facts, known)) = asked {
            tell(&self.context, facts).await;
            self.versions = known;
            if let Err(error) = keep_versions(&self.context, &self.versions).await {
                tracing::warn!(%error, "the agents' versions could not be kept");
            }
        }
        Ok(match self.watches {
            Some(_) => LOOK_AGAIN,
            None => LOOK_WITHOUT_EVENTS,
        })
    }
}

/// One look at the machine.
struct Look {
    context: Context,
    changed: Changed,
    versions: Versions,
}

impl Look {
    /// The agents and the PATH, anew where they may be others.
    fn ask(&self) -> (Arc<Agents>, String) {
        let machine = &self.context.machine;
        let agents = if self.changed.agents {
            machine.read_agents()
        } else {
            machine.agents()
        };
        let path = if self.changed.shell {
            machine.ask_path()
        } else {
            machine.path()
        };
        (agents, path)
    }

    /// Asks every agent whose version is not known, until something is heard that is looked at first;
    /// none when all were known.
    fn ask_versions(mut self, heard: &Heard) -> Option<(Vec<AgentFacts>, Versions)> {
        let (agents, path) = (self.context.machine.agents(), self.context.machine.path());
        let scratch = self.context.layout.host().join("asking");
        let before = self.versions.clone();
        let mut there = Vec::new();
        for agent in agents.iter() {
            let Some(program) = find::program(&agent.command, &path) else {
                continue;
            };
            let asks = !agent.version_args.is_empty();
            let is_known = self.versions.get(&program, clock::wall()).is_some();
            if asks && !is_known && lock(&heard.changed).is_nothing() {
                self.versions
                    .ask(agent, &program, &path, &scratch, clock::wall());
            }
            there.push(program);
        }
        self.versions.keep_only(&there);
        let facts = find::facts(&agents, &path, &self.versions, clock::wall());
        (self.versions != before).then_some((facts, self.versions))
    }
}

async fn known_versions(context: &Context) -> Result<Versions, StoreError> {
    let known = context.store.meta(VERSIONS_KEY).await?;
    // What an older daemon wrote is asked again.
    Ok(known
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default())
}

async fn keep_versions(context: &Context, versions: &Versions) -> Result<(), StoreError> {
    let json = serde_json::to_string(versions).map_err(StoreError::corrupt("set of versions"))?;
    let mut tx = context.store.begin().await?;
    meta::set(&mut tx, VERSIONS_KEY, &json).await?;
    context.store.commit(tx).await
}

async fn tell(context: &Context, agents: Vec<AgentFacts>) {
    let rules = context.policy.rules();
    let facts = HostFacts {
        os: host::os().to_owned(),
        arch: host::arch().to_owned(),
        daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
        cpus: host::cpus(),
        memory_bytes: host::memory_bytes(),
        agents,
        max_autonomy: rules.max_autonomy,
        tzdb_version: host::tzdb_version(),
        policy: Some(rules.told.clone()),
    };
    if let Err(error) = announce::facts(context, facts, clock::wall()).await {
        tracing::warn!(%error, "this host's facts could not be recorded");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
