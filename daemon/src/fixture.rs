//! A host for tests: its own home, database and git, no runtime parts and no supervisor.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hostler_proto::command::SetupReport;
use hostler_proto::ids::WorkspaceId;
use hostler_proto::time::UtcMillis;

use crate::config::{Config, Layout};
use crate::host::machine::Machine;
use crate::link::ProgressSink;
use crate::setup::{Later, Steps, Supervise};
use crate::store::Store;
use crate::{Context, git};

/// The time in tests that need one.
pub(crate) const NOW: UtcMillis = UtcMillis(1_800_000_000_000);

/// A home folder with an open database.
pub(crate) struct Host {
    dir: Arc<tempfile::TempDir>,
    pub(crate) context: Context,
}

impl Host {
    pub(crate) async fn open() -> Self {
        Self::in_folder(Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// The same home as after a crash: everything in memory forgotten.
    pub(crate) async fn reopened(&self) -> Self {
        Self::in_folder(Arc::clone(&self.dir)).await
    }

    async fn in_folder(dir: Arc<tempfile::TempDir>) -> Self {
        let home = dir.path().canonicalize().unwrap();
        let layout = Layout::new(&home);
        std::fs::create_dir_all(layout.host()).unwrap();
        let config = Config::load(&layout).unwrap();
        let store = Store::open(&layout.database(), || ()).await.unwrap();
        let context = Context {
            machine: Arc::new(Machine::new(&layout)),
            policy: Arc::new(crate::policy::Policy::new(&layout, &config)),
            layout: Arc::new(layout),
            config: Arc::new(config),
            store,
            git: Arc::new(git::Tools::new(git::fixture::git())),
            busy: Arc::default(),
            signals: Arc::default(),
        };
        Self { dir, context }
    }

    pub(crate) fn home(&self) -> &Path {
        self.context.layout.home()
    }

    /// Every file and folder under a folder of the home, but for `.git` and what is in it.
    pub(crate) fn tree(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.home().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                found.push(entry.path());
                if entry.path().is_dir() && entry.file_name() != ".git" {
                    folders.push(entry.path());
                }
            }
        }
        found
    }
}

/// Nobody listens.
pub(crate) fn silent() -> ProgressSink {
    Arc::new(|_| ())
}

/// Notes what it is asked to do and answers at once.
#[derive(Default)]
pub(crate) struct Scripted {
    /// Steps and evictions in order.
    pub(crate) asked: Mutex<Vec<String>>,
    /// The exit code steps end with.
    pub(crate) code: i32,
}

impl Supervise for Scripted {
    fn steps(&self, steps: Steps) -> Later<'_, SetupReport> {
        let said = format!(
            "{} in {}: {}",
            steps.what,
            steps.dir.display(),
            steps.commands.join(" && ")
        );
        self.asked.lock().unwrap().push(said);
        let ok = self.code == 0;
        let report = SetupReport {
            ok,
            failed_command: (!ok).then(|| steps.commands[0].clone()),
            exit_code: Some(self.code),
            duration_ms: 1,
            last_lines: String::new(),
        };
        Box::pin(std::future::ready(report))
    }

    fn vacate(&self, workspace: WorkspaceId) -> Later<'_, ()> {
        self.asked
            .lock()
            .unwrap()
            .push(format!("vacate {workspace}"));
        Box::pin(std::future::ready(()))
    }
}
