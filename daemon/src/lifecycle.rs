//! The daemon from start to stop: one instance per home, recovery in order, tasks that end within
//! five seconds of being asked.
//!
//! Invariant: nothing touches the database before the lock is held. Runs are not children of this
//! process in spirit: they go on under their supervisors after it returns.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError, Layout};
use crate::dispatch::{Dispatch, START_COUNTER_KEY};
use crate::host::machine::Machine;
use crate::policy::Policy;
use crate::runs::task::Runs;
use crate::store::{Store, StoreError, meta, outbox};
use crate::{Context, Signals, clock, host, link, projects, scheduler, watch, workspaces};

/// How often a lock that is held is tried again, and after how long each time.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How long tasks may take to end once asked.
const STOP_LIMIT: Duration = Duration::from_millis(4_500);

/// Why the daemon did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another daemon holds this home.
    #[error(
        "another hostler daemon{} already works with {home}. Stop it first, or set HOSTLER_HOME to another folder",
        holder.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    AlreadyRunning {
        /// The home folder.
        home: PathBuf,
        /// Its process, when the lock tells.
        holder: Option<String>,
    },
    /// A folder or file of the home cannot be made or opened.
    #[error("{path} cannot be used: {source}. Check its owner and permissions")]
    Home {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The owner's settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A part of the daemon ended although nobody asked it to.
    #[error(
        "the daemon's {part} stopped unexpectedly: {reason}. Start the daemon again; its log has more"
    )]
    Stopped {
        /// Which part.
        part: &'static str,
        /// Why.
        reason: String,
    },
}

/// Runs the daemon of a home folder until `shutdown`. Returns within five seconds of it.
pub async fn run(home: &Path, shutdown: CancellationToken) -> Result<(), DaemonError> {
    let layout = Layout::new(home);
    make_folders(&layout)?;
    let _lock = take_lock_soon(&layout).await?;
    let context = open(layout).await?;
    recover(&context).await;
    let mut parts = Parts::new(shutdown.child_token());
    start(&context, &mut parts);
    let ended = parts.until(&shutdown).await;
    context.git.stop();
    parts.stop().await;
    context.store.close().await;
    ended
}

/// Whether a daemon works with this home now.
pub fn runs_in(home: &Path) -> bool {
    let lock = File::open(Layout::new(home).lock());
    lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Opens a home without running anything in it: folders, settings, database. The caller sees to it
/// that nobody else works with the home.
pub async fn open_home(home: &Path) -> Result<Context, DaemonError> {
    let layout = Layout::new(home);
    make_folders(&layout)?;
    open(layout).await
}

/// Settles what the last life left unfinished. What cannot be settled now is told and left to the
/// next look; it does not stop the daemon.
async fn recover(context: &Context) {
    let now = clock::wall();
    if let Err(failure) = projects::recover(context, now).await {
        tracing::warn!(%failure, "could not settle unfinished clones");
    }
    if let Err(failure) = workspaces::recover(context, now).await {
        tracing::warn!(%failure, "could not settle unfinished workspaces");
    }
}

/// Starts every long-lived part, each after what it builds on.
fn start(context: &Context, parts: &mut Parts) {
    let facts = host::task::run(context.clone(), parts.stop.clone());
    parts.spawn("look at the host", facts);
    let scheduler = scheduler::task::run(context.clone(), parts.stop.clone());
    parts.spawn("scheduler", scheduler);
    let watch = watch::task::run(context.clone(), parts.stop.clone());
    parts.spawn("watch", watch);
    let runs = Runs::new(context.clone());
    parts.spawn("runs", runs.clone().serve(parts.stop.clone()));
    let (local, context, stop) = (
        Dispatch::new(context.clone(), runs),
        context.clone(),
        parts.stop.clone(),
    );
    parts.spawn("link", async move {
        link::run(&context.layout, Arc::new(local), context.signals, stop).await
    });
}

async fn open(layout: Layout) -> Result<Context, DaemonError> {
    let config = Config::load(&layout)?;
    let signals = Arc::new(Signals::default());
    let woken = Arc::clone(&signals);
    open_private(&layout.database())?;
    let store = Store::open(&layout.database(), move || woken.outbox.notify_one()).await?;
    let starts = count_start(&store).await?;
    tracing::info!(home = %layout.home().display(), starts, "daemon started");
    Ok(Context {
        machine: Arc::new(Machine::new(&layout)),
        policy: Arc::new(Policy::new(&layout, &config)),
        layout: Arc::new(layout),
        config: Arc::new(config),
        store,
        git: Arc::new(crate::git::Tools::of_the_daemon()),
        busy: Arc::default(),
        signals,
    })
}

/// Counts and marks this start: the control plane tells restarts from cloned machines by it, and a
/// restored database from the one it knew.
async fn count_start(store: &Store) -> Result<u64, StoreError> {
    let mut tx = store.begin().await?;
    let before = meta::get(&mut tx, START_COUNTER_KEY).await?;
    let starts = before.and_then(|text| text.parse().ok()).unwrap_or(0_u64) + 1;
    meta::set(&mut tx, START_COUNTER_KEY, &starts.to_string()).await?;
    let mark = u64::from_le_bytes(clock::random());
    outbox::begin_life(&mut tx, &format!("{mark:016x}")).await?;
    store.commit(tx).await?;
    Ok(starts)
}

/// The daemon's long-lived tasks.
struct Parts {
    stop: CancellationToken,
    tasks: JoinSet<(&'static str, Result<(), String>)>,
}

impl Parts {
    fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            tasks: JoinSet::new(),
        }
    }

    /// Starts a part. It ends when `stop` is cancelled; ending before is an error of the daemon.
    fn spawn<F>(&mut self, part: &'static str, body: F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.tasks.spawn(async move { (part, body.await) });
    }

    /// Waits until shutdown is asked for, or a part ends by itself.
    async fn until(&mut self, shutdown: &CancellationToken) -> Result<(), DaemonError> {
        tokio::select! {
            // Parts end the moment they are asked to: being asked is looked at first.
            biased;
            () = shutdown.cancelled() => Ok(()),
            ended = self.tasks.join_next() => Err(unexpected(ended)),
        }
    }

    /// Asks every part to end and waits for it; what does not end in time is dropped.
    async fn stop(mut self) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, ended).await.is_err() {
            tracing::warn!("some parts did not end in time and were dropped");
        }
        self.tasks.abort_all();
    }
}

type Ended = Result<(&'static str, Result<(), String>), tokio::task::JoinError>;

fn unexpected(ended: Option<Ended>) -> DaemonError {
    let (part, reason) = match ended {
        Some(Ok((part, Ok(())))) => (part, "it returned".to_owned()),
        Some(Ok((part, Err(reason)))) => (part, reason),
        Some(Err(error)) => ("inner part", error.to_string()),
        None => ("inner part", "there was none".to_owned()),
    };
    DaemonError::Stopped { part, reason }
}

/// The folders every part may count on; only their owner can look into them.
fn make_folders(layout: &Layout) -> Result<(), DaemonError> {
    for path in [layout.home().to_owned(), layout.host(), layout.runs()] {
        make_private(&path).map_err(|source| DaemonError::Home { path, source })?;
    }
    Ok(())
}

fn make_private(path: &Path) -> std::io::Result<()> {
    if !path.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    }
    let mut permissions = path.metadata()?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(0o700);
        std::fs::set_permissions(path, permissions)?;
    }
    Ok(())
}

/// Opens a file, made readable for its owner alone where it does not exist.
fn open_private(path: &Path) -> Result<File, DaemonError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| DaemonError::Home {
            path: path.to_owned(),
            source,
        })
}

/// Takes the home's lock; a daemon that was killed holds its own for the moment that it takes to go.
async fn take_lock_soon(layout: &Layout) -> Result<File, DaemonError> {
    for _ in 0..LOCK_TRIES {
        match take_lock(layout) {
            Err(DaemonError::AlreadyRunning { .. }) => tokio::time::sleep(LOCK_PAUSE).await,
            taken => return taken,
        }
    }
    take_lock(layout)
}

/// Takes the home's lock, for as long as the file is held open.
fn take_lock(layout: &Layout) -> Result<File, DaemonError> {
    let path = layout.lock();
    let mut file = open_private(&path)?;
    let at = |source| DaemonError::Home {
        path: path.clone(),
        source,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(at)?;
            return Err(DaemonError::AlreadyRunning {
                home: layout.home().to_owned(),
                holder: Some(holder.trim().to_owned()).filter(|pid| !pid.is_empty()),
            });
        }
        Err(TryLockError::Error(source)) => return Err(at(source)),
    }
    file.set_len(0).map_err(at)?;
    writeln!(file, "{}", std::process::id()).map_err(at)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_admits_one_and_names_the_other() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(home.path());
        make_folders(&layout).unwrap();
        let first = take_lock(&layout).unwrap();
        let refused = take_lock(&layout).unwrap_err().to_string();
        assert!(
            refused.contains(&std::process::id().to_string()),
            "{refused}"
        );
        assert!(refused.contains("already works with"), "{refused}");
        assert!(runs_in(home.path()));
        drop(first);
        assert!(!runs_in(home.path()));
        take_lock(&layout).unwrap();
    }

    #[test]
    fn folders_are_the_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(&home.path().join("new"));
        make_folders(&layout).unwrap();
        for path in [layout.home().to_owned(), layout.host(), layout.runs()] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[tokio::test]
    async fn a_wrong_setting_stops_the_start_and_damages_nothing() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("host.toml"), "max_rums = 2\n").unwrap();
        let error = run(home.path(), CancellationToken::new())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("max_rums"), "{error}");
        assert!(!home.path().join("host/host.db").exists());
    }

    #[tokio::test]
    async fn a_home_that_is_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("file");
        std::fs::write(&home, "").unwrap();
        let error = run(&home, CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
