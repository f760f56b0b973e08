//! Keeps projects and workspaces in line with the disk: soon after a hint, and all of them once a
//! minute.
//!
//! Invariant: an idle host starts no process. Reconciling reads files; `git status` runs only for a
//! workspace that was hinted at, at most once in five seconds each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hostler_proto::error::Failure;
use hostler_proto::ids::{ProjectId, WorkspaceId};
use hostler_proto::project::ProjectState;
use hostler_proto::workspace::WorkspaceKind;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Hint, Watches, folders};
use crate::git::{Engine, Repo};
use crate::projects::{self, blocking};
use crate::store::projects::ProjectRow;
use crate::{Context, clock, workspaces};

const DEBOUNCE: Duration = Duration::from_millis(150);
const FULL_LOOK_MS: u64 = 60_000;
const BETWEEN_COUNTS_MS: u64 = 5_000;

/// Hints heard and not yet followed.
#[derive(Default)]
struct Heard {
    paths: Mutex<BTreeSet<PathBuf>>,
    all: std::sync::atomic::AtomicBool,
    wake: Notify,
}

impl Heard {
    fn hear(&self, hint: Hint) {
        match hint {
            Some(paths) => self.lock().extend(paths),
            None => self.all.store(true, std::sync::atomic::Ordering::Relaxed),
        }
        self.wake.notify_one();
    }

    fn take(&self) -> (BTreeSet<PathBuf>, bool) {
        let all = self.all.swap(false, std::sync::atomic::Ordering::Relaxed);
        (std::mem::take(&mut *self.lock()), all)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows changes until `stop`.
pub(crate) async fn run(context: Context, stop: CancellationToken) -> Result<(), String> {
    let heard = Arc::new(Heard::default());
    let ear = Arc::clone(&heard);
    // Without a watcher (no inotify instances left) the full look once a minute remains.
    let watches = Watches::new(move |hint| ear.hear(hint)).inspect_err(|error| {
        tracing::warn!(%error, "file system events are not available; changes are noticed once a minute");
    });
    let mut follower = Follower {
        context,
        watches: watches.ok(),
        places: BTreeMap::new(),
        counted: BTreeMap::new(),
        pending: BTreeSet::new(),
        full_at: 0,
    };
    loop {
        let (paths, all) = heard.take();
        let wait = match follower.follow(&paths, all).await {
            Ok(wait) => wait,
            Err(failure) => {
                tracing::warn!(%failure, "could not compare workspaces with the disk; trying again");
                Duration::from_secs(5)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
            () = follower.context.signals.watch.notified() => {}
            () = heard.wake.notified() => tokio::time::sleep(DEBOUNCE).await,
        }
    }
}

/// Where a project is to be looked for among hints.
struct Place {
    common: PathBuf,
    trees: PathBuf,
    /// Whether looking at it starts no process.
    free: bool,
    looked: bool,
}

struct Follower {
    context: Context,
    watches: Option<Watches>,
    places: BTreeMap<ProjectId, Place>,
    /// When each workspace was last counted, awake milliseconds.
    counted: BTreeMap<WorkspaceId, u64>,
    pending: BTreeSet<WorkspaceId>,
    full_at: u64,
}

impl Follower {
    /// One look; the answer is how long there is nothing to do.
    async fn follow(&mut self, paths: &BTreeSet<PathBuf>, all: bool) -> Result<Duration, Failure> {
        let now = clock::now();
        let full = all || now.awake_ms >= self.full_at;
        if full {
            self.full_at = now.awake_ms + FULL_LOOK_MS;
            projects::reconcile(&self.context, now.wall).await?;
        }
        let rows = self.context.store.projects().await?;
        self.find(&rows).await?;
        // Before looking, so that nothing falls between the look and the watch.
        self.watch();
        for id in self.due_looks(paths, full, all) {
            workspaces::reconcile(&self.context, id, now.wall).await?;
        }
        if !paths.is_empty() {
            self.note(paths).await?;
        }
        self.count(now.awake_ms).await?;
        Ok(self.wait(clock::now().awake_ms))
    }

    /// The projects hinted at, new ones, and now and then all; where looking starts a process, only
    /// with a reason.
    fn due_looks(&mut self, paths: &BTreeSet<PathBuf>, full: bool, lost: bool) -> Vec<ProjectId> {
        let blind = self.watches.is_none();
        let mut wanted = Vec::new();
        for (id, place) in &mut self.places {
            let near =
                |path: &PathBuf| path.starts_with(&place.common) || path.starts_with(&place.trees);
            let due = full && (place.free || lost || blind);
            if !place.looked || due || paths.iter().any(near) {
                wanted.push(*id);
            }
            place.looked = true;
        }
        wanted
    }

    /// Learns where new projects are and forgets those that are gone.
    async fn find(&mut self, rows: &[ProjectRow]) -> Result<(), Failure> {
        let ready = |row: &&ProjectRow| row.project.state == ProjectState::Ready;
        let known: BTreeSet<ProjectId> = rows
            .iter()
            .filter(ready)
            .map(|row| row.project.id)
            .collect();
        self.places.retain(|id, _| known.contains(id));
        for row in rows.iter().filter(ready) {
            if self
                .places
                .get(&row.project.id)
                .is_some_and(|place| place.trees.is_dir())
            {
                continue;
            }
            let path = PathBuf::from(&row.project.path);
            let Some(repo) = blocking(move || Ok(Repo::discover(&path).ok())).await? else {
                continue;
            };
            let trees = self.context.config.worktrees_root.join(&row.project.slug);
            let trees = trees.canonicalize().unwrap_or(trees);
            let looked = self.places.contains_key(&row.project.id);
            let free = repo.engine == Engine::Native;
            let common = repo.common;
            let place = Place {
                common,
                trees,
                free,
                looked,
            };
            self.places.insert(row.project.id, place);
        }
        Ok(())
    }

    /// Which workspaces the hints are about.
    async fn note(&mut self, paths: &BTreeSet<PathBuf>) -> Result<(), Failure> {
        for row in self.context.store.workspaces().await? {
            let Some(place) = row.workspace.project_id.and_then(|id| self.places.get(&id)) else {
                continue;
            };
            let about = match (&row.workspace.kind, &row.private.entry) {
                (WorkspaceKind::Worktree, Some(entry)) => {
                    place.common.join("worktrees").join(entry)
                }
                (WorkspaceKind::Main, _) => place.common.join("index"),
                (WorkspaceKind::Worktree | WorkspaceKind::Scratch, _) => continue,
            };
            if paths.iter().any(|path| path.starts_with(&about)) {
                self.pending.insert(row.workspace.id);
            }
        }
        Ok(())
    }

    fn watch(&mut self) {
        if let Some(watches) = &mut self.watches {
            let all = self.places.values();
            watches.set(
                &all.flat_map(|place| folders(&place.common, &place.trees))
                    .collect(),
            );
        }
    }

    /// Counts the changes of workspaces whose turn it is.
    async fn count(&mut self, awake_ms: u64) -> Result<(), Failure> {
        let due: Vec<WorkspaceId> = self
            .pending
            .iter()
            .copied()
            .filter(|id| self.due_at(*id) <= awake_ms)
            .collect();
        for id in due {
            self.pending.remove(&id);
            self.counted.insert(id, awake_ms);
            if workspaces::refresh(&self.context, id, clock::wall())
                .await?
                .is_none()
            {
                self.counted.remove(&id);
            }
        }
        Ok(())
    }

    fn due_at(&self, id: WorkspaceId) -> u64 {
        self.counted.get(&id).map_or(0, |at| at + BETWEEN_COUNTS_MS)
    }

    fn wait(&self, awake_ms: u64) -> Duration {
        let counts = self.pending.iter().map(|id| self.due_at(*id));
        let next = counts.chain([self.full_at]).min().unwrap_or(self.full_at);
        Duration::from_millis(next.saturating_sub(awake_ms).max(10))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hostler_proto::command::{ProjectCreate, ProjectSource, WorkspaceCreate};
    use hostler_proto::workspace::Workspace;
    use uuid::Uuid;

    use super::*;
    use crate::fixture::{Host, NOW, Scripted, silent};
    use crate::git::fixture::{self, Sample};

    async fn workspace(host: &Host, sample: &Sample) -> Workspace {
        let project_id = ProjectId(Uuid::from_u128(1));
        let source = ProjectSource::Path(sample.root().to_str().unwrap().to_owned());
        let command = ProjectCreate {
            project_id,
            source,
            name: None,
            parent_dir: None,
            by: None,
        };
        projects::create(&host.context, command, silent(), NOW)
            .await
            .unwrap();
        let command = WorkspaceCreate {
            workspace_id: WorkspaceId(Uuid::from_u128(2)),
            project_id,
            name: "Watched".to_owned(),
            branch: None,
            base_branch: None,
            task_id: None,
            setup: false,
            created_by: "ada@example.com".to_owned(),
            by: None,
        };
        let nobody = Scripted::default();
        let made = workspaces::create(&host.context, command, &nobody, silent(), NOW);
        made.await.unwrap().workspace
    }

    async fn until(
        host: &Host,
        id: WorkspaceId,
        what: &str,
        check: impl Fn(Option<&Workspace>) -> bool,
    ) {
        for _ in 0..400 {
            let row = host.context.store.workspace(id).await.unwrap();
            if check(row.as_ref().map(|row| &row.workspace)) {
                return;
            }
            let pause = || std::thread::park_timeout(Duration::from_millis(25));
            tokio::task::spawn_blocking(pause).await.unwrap();
        }
        panic!("waited 10 s for {what}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn changes_are_followed_soon_after_they_happen() {
        let host = Host::open().await;
        let sample = Sample::new();
        let stop = CancellationToken::new();
        let mut parts = tokio::task::JoinSet::new();
        parts.spawn(run(host.context.clone(), stop.clone()));
        let made = workspace(&host, &sample).await;
        let path = Path::new(&made.path);
        fixture::run(path, &["switch", "-q", "-c", "elsewhere"]);
        until(&host, made.id, "the branch", |seen| {
            seen.unwrap().branch.as_deref() == Some("elsewhere")
        })
        .await;
        fixture::commit(path, "one", "one");
        let ahead = |seen: Option<&Workspace>| {
            seen.unwrap()
                .changes
                .is_some_and(|changes| changes.ahead == 1)
        };
        until(&host, made.id, "the commit", ahead).await;
        std::fs::remove_dir_all(path).unwrap();
        until(&host, made.id, "the loss", |seen| seen.is_none()).await;
        stop.cancel();
        assert_eq!(parts.join_next().await.unwrap().unwrap(), Ok(()));
    }
}
