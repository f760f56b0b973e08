//! Settles runs: their end with the log's size and checksum in one transaction, then what is left on
//! the disk. Nothing here follows a supervisor.

use std::path::{Path, PathBuf};

use hostler_proto::error::Failure;
use hostler_proto::ids::RunId;
use hostler_proto::run::{Finished, Outcome, RunResult, RunState};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::WorkspaceState;

use super::task::{Runs, wrong};
use super::{outcome, place, retention};
use crate::agents::{Reader, Report, resume};
use crate::clock;
use crate::store::runs::{self as rows, Place, RunRow};
use crate::supervisor::record::{Exit, Grace, Spec};
use crate::supervisor::spool::Stream;
use crate::supervisor::{commands, spool, strays};

/// Grace for what a killed supervisor left behind.
pub(super) const STRAYS_GRACE: Grace = Grace {
    int_ms: 2_000,
    term_ms: 3_000,
};

impl Runs {
    /// Settles a run from its supervisor's record.
    pub(super) async fn finish(&self, row: RunRow, exit: &Exit) -> Result<(), Failure> {
        let report = self.report(&row).await;
        let changes = match &row.place {
            Some(place) => place::changes(&self.0.context, place).await,
            None => Outcome::default(),
        };
        let mut finished = outcome::finished(exit, report, &changes);
        finished.outcome.resume = self.resume(&row, &finished.outcome);
        let setup_failed = exit.agent().is_none() && !exit.steps.is_empty();
        let log = (exit.log_bytes, exit.log_crc32);
        self.settle(row, finished, log, setup_failed).await
    }

    /// How to go on with the agent's session by hand.
    fn resume(&self, row: &RunRow, outcome: &Outcome) -> Option<String> {
        let agents = self.0.context.machine.agents();
        let agent = agents.get(&row.automation.agent).ok()?;
        let place = row.place.as_ref()?;
        resume(agent, outcome.session_id.as_ref()?, &place.path)
    }

    /// What the agent said of itself.
    async fn report(&self, row: &RunRow) -> Report {
        let agents = self.0.context.machine.agents();
        let Ok(agent) = agents.get(&row.automation.agent).cloned() else {
            return Report::default();
        };
        let dir = self.dir(row.run.id);
        let read = tokio::task::spawn_blocking(move || {
            let mut reader = Reader::new(&agent);
            spool::read_streams(&dir, |stream, bytes| match stream {
                Stream::Out | Stream::Mixed => reader.push(bytes),
                Stream::Err => reader.push_error(bytes),
                Stream::Note => {}
            })?;
            Ok::<_, std::io::Error>(reader.finish())
        });
        match read.await {
            Ok(Ok(report)) => report,
            Ok(Err(_)) | Err(_) => Report::default(),
        }
    }

    /// Settles a run that has neither a supervisor nor a record, and ends what is left of it.
    pub(super) async fn lose(&self, row: RunRow) -> Result<(), Failure> {
        let dir = self.dir(row.run.id);
        let own = row.place.as_ref().filter(|place| place.owned);
        let own = own.map(|place| PathBuf::from(&place.path));
        let look = tokio::task::spawn_blocking(move || {
            let ended = strays::end(&dir, own.as_deref(), STRAYS_GRACE);
            // What it did not come to: there may be no spec either.
            Spec::forget_env(&dir).ok();
            let words = commands::own_error(&dir);
            (ended, words, spool::measure(&dir).unwrap_or((0, 0)))
        });
        let (ended, words, log) = look.await.unwrap_or_default();
        let started_at = match &row.run.state {
            RunState::Running { started_at } => Some(*started_at),
            RunState::Queued
            | RunState::Preparing { .. }
            | RunState::Finished(_)
            | RunState::Skipped { .. } => None,
        };
        let left = match ended {
            0 => String::new(),
            count => format!("; {count} of its processes were still there and were ended"),
        };
        let reason = format!("{words}{left}");
        let now = clock::wall();
        let finished = outcome::unrecorded(RunResult::Lost, reason, started_at, log.0, now);
        self.settle(row, finished, log, false).await
    }

    /// Settles a run whose supervisor was never started.
    pub(super) async fn end_unlaunched(
        &self,
        row: RunRow,
        result: RunResult,
        reason: String,
    ) -> Result<(), Failure> {
        let finished = outcome::unrecorded(result, reason, None, 0, clock::wall());
        self.settle(row, finished, (0, 0), false).await
    }

    /// Records the end with the log's size and checksum, then leaves the workspace as wished.
    async fn settle(
        &self,
        mut row: RunRow,
        finished: Finished,
        (bytes, crc): (u64, u32),
        setup_failed: bool,
    ) -> Result<(), Failure> {
        let (now, context) = (clock::wall(), &self.0.context);
        if let Some(place) = &row.place {
            row.run.workspace_id = Some(place.workspace_id);
            row.run.branch.clone_from(&place.branch);
        }
        let done = finished.clone();
        row.run.finish(finished).map_err(|error| wrong(&error))?;
        let mut tx = context.store.begin().await?;
        rows::complete_log(&mut tx, row.run.id, bytes, crc).await?;
        rows::update(&mut tx, &row.run, now).await?;
        context.store.commit(tx).await?;
        context.signals.logs.notify_one();
        context.signals.scheduler.notify_one();
        tracing::info!(run = %row.run.id, result = done.result.word(), "a run ended");
        let Some(place) = &row.place else {
            return Ok(());
        };
        if setup_failed && place.owned {
            let error = done.reason.clone().unwrap_or_default();
            place::set_up_failed(context, place.workspace_id, &error, now).await?;
            return Ok(());
        }
        if place.owned {
            let keep = row.automation.policies.keep_workspace;
            let (id, outcome) = (place.workspace_id, &done.outcome);
            place::leave(context, self, id, keep, outcome, now).await;
        }
        Ok(())
    }

    /// Leaves a place in which nothing was run.
    pub(super) async fn leave_unused(&self, row: &RunRow, place: &Place) {
        if place.owned {
            let (id, now) = (place.workspace_id, clock::wall());
            let keep = row.automation.policies.keep_workspace;
            place::leave(&self.0.context, self, id, keep, &Outcome::default(), now).await;
        }
    }

    /// Takes up the leaving of workspaces whose runs ended just before the daemon did.
    pub(super) async fn leave_places(self) {
        if let Err(failure) = self.try_leave_places().await {
            tracing::warn!(%failure, "workspaces of ended runs cannot be looked through");
        }
    }

    async fn try_leave_places(&self) -> Result<(), Failure> {
        let context = &self.0.context;
        for row in context.store.workspaces().await? {
            let (Some(run), WorkspaceState::Ready) = (row.private.run_id, &row.workspace.state)
            else {
                continue;
            };
            let Some(ended) = context.store.run(run).await? else {
                continue;
            };
            if let RunState::Finished(finished) = &ended.run.state {
                let keep = ended.automation.policies.keep_workspace;
                let (id, outcome) = (row.workspace.id, &finished.outcome);
                place::leave(context, self, id, keep, outcome, clock::wall()).await;
            }
        }
        Ok(())
    }

    /// Deletes delivered logs that are old or too many.
    pub(super) async fn delete_spools(self) {
        let (store, now) = (&self.0.context.store, clock::wall());
        let spools = match store.delivered_spools().await {
            Ok(spools) => spools,
            Err(error) => {
                tracing::warn!(%error, "old logs cannot be looked for");
                return;
            }
        };
        for id in retention::to_delete(&spools, &self.0.context.config.logs, now) {
            self.delete_spool(id, now).await;
        }
    }

    /// Deletes a run's folder with its delivered log.
    pub(super) async fn delete_spool(&self, id: RunId, now: UtcMillis) {
        let folder = self.dir(id).path().to_owned();
        let removed = tokio::task::spawn_blocking(move || remove(&folder)).await;
        let forgotten = match removed {
            Ok(Ok(())) => self.0.context.store.spool_deleted(id, now).await.is_ok(),
            Ok(Err(_)) | Err(_) => false,
        };
        if !forgotten {
            tracing::warn!(run = %id, "an old log cannot be deleted; it is tried again later");
        }
    }
}

/// Removes a folder; one that is gone is as good.
pub(super) fn remove(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
