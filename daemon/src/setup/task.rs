//! Runs a project's setup and teardown commands under a supervisor, and empties a workspace of what
//! runs in it.
//!
//! Invariant: commands get an environment made for them, never the daemon's own. It does not know
//! why they run or what their failure means.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use hostler_proto::command::SetupReport;
use hostler_proto::ids::{IdEntropy, RunId, WorkspaceId};

use super::{Later, Steps, Supervise};
use crate::store::{StoreError, runs};
use crate::supervisor::commands::{self, Commands};
use crate::supervisor::record::StepKind;
use crate::{Context, clock, platform};

/// How often a run that was asked to end is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A run ends within its grace periods and a little more.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// Who ends runs of a workspace that goes, as the runs' reason shows it.
const CANCELLED_BY: &str = "the removal of its workspace";

/// Supervision by processes of this program.
#[derive(Clone, Debug)]
pub struct Supervisors {
    context: Context,
}

impl Supervisors {
    /// Over the daemon's context.
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    async fn run(&self, steps: Steps) -> SetupReport {
        let (program, config) = (self.program(), self.context.config.clone());
        let entropy: IdEntropy = clock::id_entropy();
        let name = format!("steps-{}", RunId::fresh(clock::wall(), &entropy));
        let dir = self.context.layout.runs().join(name);
        let work = move || {
            let commands = Commands {
                kind: if steps.what == "teardown" {
                    StepKind::Teardown
                } else {
                    StepKind::Setup
                },
                texts: steps.commands,
                folder: steps.dir,
                env: environment(config.env.iter().chain(&steps.env)),
                limit_ms: u64::try_from(steps.limit.as_millis()).unwrap_or(u64::MAX),
            };
            commands::run(&program, &dir, &commands, |_| {})
        };
        let report = tokio::task::spawn_blocking(work).await;
        let words = match report {
            Ok(Ok(report)) => return report,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        SetupReport {
            ok: false,
            failed_command: None,
            exit_code: None,
            duration_ms: 0,
            last_lines: format!("the commands could not be run: {words}"),
        }
    }

    /// The program that has the `supervise` command: this one, unless the owner set another.
    fn program(&self) -> PathBuf {
        let set = self.context.config.supervisor.clone();
        set.or_else(|| std::env::current_exe().ok())
            .unwrap_or_else(|| PathBuf::from("hostler"))
    }

    async fn end_runs(&self, workspace: WorkspaceId) -> Result<(), StoreError> {
        let mut going = self.runs_in(workspace).await?;
        let mut tx = self.context.store.begin().await?;
        for run in &going {
            runs::request_cancel(&mut tx, *run, CANCELLED_BY).await?;
        }
        self.context.store.commit(tx).await?;
        self.context.signals.runs.notify_one();
        while !going.is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
            going = self.runs_in(workspace).await?;
        }
        Ok(())
    }

    async fn runs_in(&self, workspace: WorkspaceId) -> Result<Vec<RunId>, StoreError> {
        let unfinished = self.context.store.unfinished_runs().await?;
        let here = unfinished.iter().filter(|row| {
            row.place
                .as_ref()
                .is_some_and(|place| place.workspace_id == workspace)
        });
        Ok(here.map(|row| row.run.id).collect())
    }
}

impl Supervise for Supervisors {
    fn steps(&self, steps: Steps) -> Later<'_, SetupReport> {
        Box::pin(self.run(steps))
    }

    fn vacate(&self, workspace: WorkspaceId) -> Later<'_, ()> {
        Box::pin(async move {
            match tokio::time::timeout(ENDS_WITHIN, self.end_runs(workspace)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%workspace, %error, "the workspace's runs could not be ended");
                }
                Err(_) => tracing::warn!(%workspace, "the workspace's runs did not end in time"),
            }
        })
    }
}

/// A clean base with the additions on top.
fn environment<'a>(
    additions: impl Iterator<Item = (&'a String, &'a String)>,
) -> BTreeMap<String, String> {
    let own = ["HOME", "USER", "SHELL", "LANG"]
        .map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    let home = std::env::home_dir().unwrap_or_default();
    let path = [
        ("PATH", platform::login_path(&home)),
        ("TERM", "dumb".to_owned()),
    ];
    let mut all: BTreeMap<String, String> = own.into_iter().flatten().collect();
    all.extend(path.map(|(name, value)| (name.to_owned(), value)));
    all.extend(additions.map(|(name, value)| (name.clone(), value.clone())));
    all
}
