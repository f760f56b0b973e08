//! Setup and teardown of workspaces outside runs, and emptying a workspace of its runs.

use std::path::Path;

use hostler_proto::command::SetupReport;
use hostler_proto::error::Failure;
use hostler_proto::ids::{RunId, WorkspaceId};

use super::environment;
use super::settle::{STRAYS_GRACE, remove};
use super::task::Runs;
use crate::clock;
use crate::setup::{Later, Steps, Supervise};
use crate::store::runs::{self as rows, Place};
use crate::supervisor::commands::{self, Commands};
use crate::supervisor::record::{RunDir, StepKind};
use crate::supervisor::{client, strays};

/// Folder of setup and teardown commands outside runs, in the host's folder.
pub(super) const STEPS: &str = "steps";

impl Supervise for Runs {
    fn steps(&self, steps: Steps) -> Later<'_, SetupReport> {
        Box::pin(async move {
            self.run_steps(steps)
                .await
                .unwrap_or_else(|error| SetupReport {
                    ok: false,
                    failed_command: None,
                    exit_code: None,
                    duration_ms: 0,
                    last_lines: format!("the commands cannot be run: {error}"),
                })
        })
    }

    fn vacate(&self, workspace: WorkspaceId) -> Later<'_, ()> {
        Box::pin(async move {
            if let Err(failure) = self.end_all_in(workspace).await {
                tracing::error!(%workspace, %failure, "runs in a workspace cannot be ended");
            }
        })
    }
}

impl Runs {
    /// Unfinished runs that work in a workspace.
    async fn runs_in(&self, workspace: WorkspaceId) -> Result<Vec<RunId>, Failure> {
        let rows = self.0.context.store.unfinished_runs().await?;
        let there = |place: &Place| place.workspace_id == workspace;
        Ok(rows
            .iter()
            .filter(|row| row.place.as_ref().is_some_and(there))
            .map(|row| row.run.id)
            .collect())
    }

    async fn end_all_in(&self, workspace: WorkspaceId) -> Result<(), Failure> {
        loop {
            let ended = self.0.ended.notified();
            let there = self.runs_in(workspace).await?;
            if there.is_empty() {
                return Ok(());
            }
            let store = &self.0.context.store;
            let mut tx = store.begin().await?;
            for id in there {
                rows::request_cancel(&mut tx, id, "the deletion of its workspace").await?;
            }
            store.commit(tx).await?;
            self.0.context.signals.runs.notify_one();
            ended.await;
        }
    }

    async fn run_steps(&self, steps: Steps) -> std::io::Result<SetupReport> {
        let runs = self.clone();
        let user = tokio::task::spawn_blocking(move || runs.0.context.machine.user());
        let user = user.await.map_err(std::io::Error::other)?;
        let mut env = environment::base(&user, &self.0.context.config.env);
        env.extend(steps.env);
        let commands = Commands {
            kind: match steps.what {
                "teardown" => StepKind::Teardown,
                _ => StepKind::Setup,
            },
            texts: steps.commands,
            folder: steps.dir,
            env,
            limit_ms: u64::try_from(steps.limit.as_millis()).unwrap_or(u64::MAX),
        };
        let name = hex::encode(clock::random::<8>());
        let dir = self.0.context.layout.host().join(STEPS).join(name);
        commands::run(&self.program()?, &dir, &commands).await
    }
}

/// Folders of setup commands whose daemon is gone; those that just end themselves are left alone.
pub(super) fn remove_abandoned(steps: &Path) {
    let entries = std::fs::read_dir(steps).into_iter().flatten().flatten();
    for folder in entries.map(|entry| entry.path()) {
        let dir = RunDir::new(&folder);
        if !client::is_supervised(&dir) {
            strays::end(&dir, None, STRAYS_GRACE);
            // What cannot be removed now is tried again at the next start.
            remove(&folder).ok();
        }
    }
}
