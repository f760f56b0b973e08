//! What is given up when this host is low on space, in this order: the trash, delivered logs, and
//! workspaces of ended runs that nobody asked to keep and that hold no work.

use hostler_proto::automation::KeepWorkspace;
use hostler_proto::command::WorkspaceDelete;
use hostler_proto::error::Failure;
use hostler_proto::run::{Run, RunState, SkipReason};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::WorkspaceState;

use super::task::Runs;
use crate::store::runs::{self as rows, RunRow};
use crate::{clock, space, workspaces};

/// How long a queued run waits for room before it is recorded as skipped, milliseconds: from when it
/// was queued, or from when the room was first lacking.
const PATIENCE_MS: i64 = 10_000;

/// A lack of space.
#[derive(Clone, Debug)]
pub(super) struct Low {
    /// What is lacking, in a sentence with figures.
    pub(super) words: String,
    /// Since when, without a break.
    pub(super) since: UtcMillis,
}

impl Runs {
    /// Frees what may be freed, until there is room again; returns whether there is.
    pub(super) async fn make_room(&self) -> bool {
        if let Err(failure) = self.try_make_room().await {
            tracing::warn!(%failure, "room cannot be made");
        }
        space::low(&self.0.context).is_none()
    }

    async fn try_make_room(&self) -> Result<(), Failure> {
        let (context, now) = (&self.0.context, clock::wall());
        workspaces::sweep(context).await?;
        for (id, _, _) in context.store.delivered_spools().await? {
            if space::low(context).is_none() {
                return Ok(());
            }
            self.delete_spool(id, now).await;
        }
        let mut owned = context.store.workspaces().await?;
        owned.sort_by_key(|row| row.workspace.created_at);
        for row in owned {
            let (Some(run), WorkspaceState::Ready) = (row.private.run_id, &row.workspace.state)
            else {
                continue;
            };
            if space::low(context).is_none() {
                return Ok(());
            }
            let pinned = |run: &RunRow| {
                let keep = run.automation.policies.keep_workspace;
                keep == KeepWorkspace::Always || !run.run.state.is_final()
            };
            if context.store.run(run).await?.is_none_or(|run| pinned(&run)) {
                continue;
            }
            let id = row.workspace.id;
            let command = WorkspaceDelete {
                workspace_id: id,
                force: false,
                delete_branch: true,
                by: None,
            };
            match workspaces::delete(context, command, self, now).await {
                Ok(_) => {
                    tracing::warn!(workspace = %id, path = %row.workspace.path, "a run's workspace was removed to make room");
                    workspaces::sweep(context).await?;
                }
                Err(failure) => {
                    tracing::info!(workspace = %id, %failure, "a run's workspace stays");
                }
            }
        }
        Ok(())
    }

    /// A queued run that found no room for long is recorded as skipped: it does not come as a
    /// surprise hours later.
    pub(super) async fn skip_for_space(&self, row: &RunRow, low: &Low) -> Result<(), Failure> {
        let now = clock::wall();
        let waits = now.since(row.run.queued_at.max(low.since));
        if row.run.state != RunState::Queued || waits < PATIENCE_MS {
            return Ok(());
        }
        let why = Some(low.words.clone());
        self.skip(row, SkipReason::DiskFull, why, now).await?;
        tracing::warn!(run = %row.run.id, "a run was skipped: this host is low on disk space");
        Ok(())
    }

    /// A queued run that the owner of this machine does not allow is recorded as such.
    pub(super) async fn refuse(&self, row: &RunRow, why: String) -> Result<(), Failure> {
        tracing::warn!(run = %row.run.id, "a run was refused: {why}");
        let now = clock::wall();
        self.skip(row, SkipReason::Policy, Some(why), now).await
    }

    async fn skip(
        &self,
        row: &RunRow,
        reason: SkipReason,
        why: Option<String>,
        now: UtcMillis,
    ) -> Result<(), Failure> {
        let context = &self.0.context;
        let run = Run {
            state: RunState::Skipped {
                reason,
                at: now,
                count: 1,
                until: None,
                why,
            },
            ..row.run.clone()
        };
        let mut tx = context.store.begin().await?;
        rows::update(&mut tx, &run, now).await?;
        context.store.commit(tx).await?;
        context.signals.scheduler.notify_one();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::launch::tests::row;

    #[tokio::test]
    async fn a_run_waits_for_room_from_when_it_was_lacking_and_then_says_what_was() {
        let home = tempfile::tempdir().unwrap();
        let context = crate::open_home(home.path()).await.unwrap();
        let runs = Runs::new(context.clone());
        // It was queued long ago, behind others.
        let row = row("shell", "true");
        let mut tx = context.store.begin().await.unwrap();
        rows::insert(&mut tx, &row.run, &row.automation)
            .await
            .unwrap();
        context.store.commit(tx).await.unwrap();
        let state = async || {
            context
                .store
                .run(row.run.id)
                .await
                .unwrap()
                .unwrap()
                .run
                .state
        };
        let words = "the volume is 99 % full".to_owned();
        let low = |since| Low {
            words: words.clone(),
            since,
        };
        runs.skip_for_space(&row, &low(clock::wall()))
            .await
            .unwrap();
        assert_eq!(state().await, RunState::Queued);
        runs.skip_for_space(&row, &low(UtcMillis(0))).await.unwrap();
        let RunState::Skipped { reason, why, .. } = state().await else {
            panic!("it waits for ever");
        };
        assert_eq!((reason, why), (SkipReason::DiskFull, Some(words.clone())));
    }
}
