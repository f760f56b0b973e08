//! What is asked of a host and not yet answered for good: sent, settled by the answer, and sent
//! again with the same id when the host is back.
//!
//! A timeout or a lost link is not a failure: the command stays open. Settling is idempotent, and
//! a host's own events settle too; whoever comes last changes nothing.

use std::sync::PoisonError;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use hostler_proto::command::{
    Command, Reply, RunCancel, RunStart, WorkspaceCreate, WorkspaceDelete,
};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{AutomationId, CommandId, HostId};
use hostler_proto::run::{Finished, Outcome, Run, RunResult, RunState};
use hostler_proto::time::UtcMillis;

use crate::hosts::ProgressSink;
use crate::store::commands::OpenCommand;
use crate::store::hosts::HostRow;
use crate::store::{self, StoreError, Tx};
use crate::{App, automations, clock};

/// Commands sent to one host at once.
const AT_ONCE: usize = 4;

/// A host that moved its automations away and was not heard of for this long has let go of them.
pub(crate) const LEASE_MS: i64 = 10 * 60 * 1000;

/// Sends a host what is still open for it. Call it when its link is up and when something was
/// recorded for it; it does nothing while the host is away.
pub async fn host_is_back(app: &App, host: HostId) {
    if app.hosts.online(host).is_none() {
        return;
    }
    let open = match ready_to_send(app, host).await {
        Ok(open) => open,
        Err(error) => {
            tracing::error!(%host, %error, "open commands");
            return;
        }
    };
    stream::iter(open)
        .for_each_concurrent(AT_ONCE, |command| async move {
            if let Err(failure) = ask(app, &command, None).await {
                tracing::info!(command = %command.id, %host, %failure, "a recorded command");
            }
        })
        .await;
}

/// Sends one recorded command and settles what its answer settles.
pub(crate) async fn ask(
    app: &App,
    open: &OpenCommand,
    progress: Option<ProgressSink>,
) -> Result<Reply, Failure> {
    let Some(_asking) = Asking::begin(app, open.id) else {
        return Err(Failure::new(
            ErrorCode::Timeout,
            "this is being asked of the host already",
        )
        .hint("list again in a moment"));
    };
    let deadline = deadline(&open.command);
    let answer = app
        .hosts
        .call(
            open.host_id,
            open.id,
            open.command.clone(),
            deadline,
            progress,
        )
        .await;
    settle(app, open, &answer, clock::wall()).await?;
    answer
}

/// Writes down what an answer means. An answer that says nothing for good leaves the command open.
pub(crate) async fn settle(
    app: &App,
    open: &OpenCommand,
    answer: &Result<Reply, Failure>,
    now: UtcMillis,
) -> Result<(), Failure> {
    if answer
        .as_ref()
        .is_err_and(|failure| failure.code.retryable())
    {
        return Ok(());
    }
    let mut tx = app.store.begin().await?;
    match &open.command {
        Command::WorkspaceCreate(create) => {
            created(&mut tx, open, create, answer, now).await?;
        }
        Command::WorkspaceDelete(delete) => {
            deleted(&mut tx, open, delete, answer, now).await?;
        }
        Command::RunStart(start) => started(&mut tx, open, start, answer, now).await?,
        Command::RunCancel(cancel) => cancelled(&mut tx, open, cancel, answer, now).await?,
        Command::ProjectCreate(_) | Command::WorkspacesCount(_) => {}
    }
    store::commands::remove(&mut tx, open.id).await?;
    app.store.commit(tx).await?;
    Ok(())
}

/// Lets automations start on their new host once their old one has let go of them, or was away for
/// longer than its lease.
pub async fn release_moved(app: &App, old: HostId, now: UtcMillis) -> Result<(), Failure> {
    let mut tx = app.store.begin().await?;
    let Some(old_host) = store::hosts::by_id_in(&mut tx, old).await? else {
        return Ok(());
    };
    let away = app.hosts.online(old).is_none()
        && old_host
            .last_seen_at
            .is_none_or(|seen| now.since(seen) > LEASE_MS);
    let gone = old_host.revoked_at.is_some() || old_host.last_seen_at.is_none();
    let mut woken = Vec::new();
    for mut row in store::automations::leaving(&mut tx, old).await? {
        let told = row
            .moving
            .is_some_and(|(_, revision)| old_host.applied_revision >= revision);
        if told || away || gone {
            row.moving = None;
            let known = store::runs::accounted_until(&mut tx, row.id, now).await?;
            row.plan_after = row.plan_after.max(known.unwrap_or(row.plan_after));
            row.host_revision = store::hosts::next_revision(&mut tx, row.host_id).await?;
            store::automations::put(&mut tx, &row).await?;
            let why = let_go(&old_host.name, told, gone);
            automations::record_taken_over(&mut tx, &row, &why, now).await?;
            woken.push(row.host_id);
        }
    }
    app.store.commit(tx).await?;
    for host in woken {
        app.hosts.sync_soon(host);
    }
    Ok(())
}

/// Why an automation's new host may begin.
fn let_go(old: &str, told: bool, gone: bool) -> String {
    if told {
        format!("host {old} has let go of it")
    } else if gone {
        format!("host {old} is no host any more, or never was connected")
    } else {
        format!(
            "host {old} was away for more than {} minutes",
            LEASE_MS / 60_000
        )
    }
}

/// A host whose database was restored from a backup does not know what it has run since: its
/// automations are planned anew, after the last instant the catalog knows of. Returns the revision
/// of its desired state.
pub(crate) async fn plan_anew(
    tx: &mut Tx,
    host: &HostRow,
    now: UtcMillis,
) -> Result<u64, StoreError> {
    tracing::warn!(host = %host.id, "this host's database is older than what it told before");
    let mut revision = host.desired_revision;
    for mut row in store::automations::of_host(tx, host.id).await? {
        if let Some(known) = store::runs::accounted_until(tx, row.id, now).await? {
            revision = store::hosts::next_revision(tx, host.id).await?;
            row.plan_after = row.plan_after.max(known);
            row.revision += 1;
            row.host_revision = revision;
            store::automations::put(tx, &row).await?;
        }
    }
    Ok(revision)
}

/// One round of what time alone settles: leases that ran out.
pub async fn round(app: &App, now: UtcMillis) -> Result<(), Failure> {
    for host in store::automations::left_hosts(&app.store).await? {
        release_moved(app, host, now).await?;
    }
    Ok(())
}

/// Open commands that may go now: a run only after its automation is where it is to run.
async fn ready_to_send(app: &App, host: HostId) -> Result<Vec<OpenCommand>, StoreError> {
    let open = store::commands::of_host(&app.store, host).await?;
    let needs_sync = open
        .iter()
        .any(|open| matches!(open.command, Command::RunStart(_)));
    if !needs_sync {
        return Ok(open);
    }
    let row = store::hosts::by_id(&app.store, host).await?;
    let applied = row.map_or(0, |row| row.applied_revision);
    let later = store::automations::touched_after(&app.store, host, applied).await?;
    if !later.is_empty() {
        app.hosts.sync_soon(host);
    }
    Ok(open
        .into_iter()
        .filter(|open| automation_of(open).is_none_or(|id| !later.contains(&id)))
        .collect())
}

fn automation_of(open: &OpenCommand) -> Option<AutomationId> {
    match &open.command {
        Command::RunStart(start) => Some(start.automation_id),
        Command::ProjectCreate(_)
        | Command::WorkspaceCreate(_)
        | Command::WorkspaceDelete(_)
        | Command::WorkspacesCount(_)
        | Command::RunCancel(_) => None,
    }
}

async fn created(
    tx: &mut Tx,
    open: &OpenCommand,
    create: &WorkspaceCreate,
    answer: &Result<Reply, Failure>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    if let Ok(Reply::WorkspaceCreated(made)) = answer {
        let (org, host) = (open.org_id, open.host_id);
        store::workspaces::put(tx, org, host, &made.workspace, now).await?;
        if made.workspace.id == create.workspace_id {
            return Ok(());
        }
    }
    store::workspaces::remove_intent(tx, create.workspace_id).await
}

async fn deleted(
    tx: &mut Tx,
    open: &OpenCommand,
    delete: &WorkspaceDelete,
    answer: &Result<Reply, Failure>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let refused = match answer {
        Ok(_) => None,
        Err(failure) if failure.code == ErrorCode::NotFound => None,
        Err(failure) => Some(format!("removing it was refused: {}", failure.message)),
    };
    let id = delete.workspace_id;
    match refused {
        None => store::workspaces::mark_removed(tx, open.host_id, id, now).await,
        Some(why) => store::workspaces::set_delete_asked(tx, id, None, Some(&why)).await,
    }
}

async fn started(
    tx: &mut Tx,
    open: &OpenCommand,
    start: &RunStart,
    answer: &Result<Reply, Failure>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let Err(failure) = answer else {
        return Ok(());
    };
    let Some(mut run) = store::runs::record_in(tx, start.run_id).await? else {
        return Ok(());
    };
    if run.state.is_final() {
        return Ok(());
    }
    end(&mut run, RunResult::Failed, failure.message.clone(), now);
    store::runs::put(tx, open.org_id, open.host_id, &run, now).await?;
    Ok(())
}

/// A host that does not know a run will not start it any more, and will never tell of it.
async fn cancelled(
    tx: &mut Tx,
    open: &OpenCommand,
    cancel: &RunCancel,
    answer: &Result<Reply, Failure>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let unknown = answer
        .as_ref()
        .is_err_and(|failure| failure.code == ErrorCode::NotFound);
    let known = store::runs::record_in(tx, cancel.run_id).await?;
    let Some(mut run) = known.filter(|run| unknown && !run.state.is_final()) else {
        return Ok(());
    };
    let by = &cancel.requested_by;
    if run.state == RunState::Queued {
        let reason = format!("cancelled by {by} before it started");
        end(&mut run, RunResult::Cancelled, reason, now);
    } else {
        let reason = format!("its host did not know it any more when {by} cancelled it");
        end(&mut run, RunResult::Lost, reason, now);
    }
    store::runs::put(tx, open.org_id, open.host_id, &run, now).await?;
    Ok(())
}

/// Ends a run that its host will never report on.
pub(crate) fn end(run: &mut Run, result: RunResult, reason: String, now: UtcMillis) {
    run.state = RunState::Finished(Box::new(Finished {
        result,
        started_at: match &run.state {
            RunState::Running { started_at } => Some(*started_at),
            RunState::Queued
            | RunState::Preparing { .. }
            | RunState::Finished(_)
            | RunState::Skipped { .. } => None,
        },
        finished_at: now,
        reason: Some(reason),
        exit_code: None,
        signal: None,
        outcome: Outcome::default(),
        log_bytes: 0,
    }));
}

/// How long a host gets before its caller stops waiting; the host goes on.
pub(crate) fn deadline(command: &Command) -> Duration {
    match command {
        Command::ProjectCreate(_) => Duration::from_secs(60 * 60),
        Command::WorkspaceCreate(_) => Duration::from_secs(20 * 60),
        Command::WorkspaceDelete(_) => Duration::from_secs(5 * 60),
        Command::WorkspacesCount(_) => Duration::from_millis(500),
        Command::RunStart(_) | Command::RunCancel(_) => Duration::from_secs(30),
    }
}

/// Marks a command as being asked, until dropped.
struct Asking<'a> {
    app: &'a App,
    id: CommandId,
}

impl<'a> Asking<'a> {
    /// None when somebody asks it already. The mark is made only once it is sure to be ours: one
    /// dropped here would take the other's away, and wait for the lock that is held.
    fn begin(app: &'a App, id: CommandId) -> Option<Self> {
        let mut asking = app.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if !asking.insert(id) {
            return None;
        }
        Some(Self { app, id })
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asking = self
            .app
            .asking
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        asking.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Catalog;

    #[tokio::test]
    async fn a_command_is_asked_by_one_at_a_time() {
        let catalog = Catalog::new().await;
        let id = CommandId(uuid::Uuid::from_u128(1));
        let first = Asking::begin(&catalog.app, id);
        assert!(first.is_some());
        assert!(Asking::begin(&catalog.app, id).is_none());
        assert!(
            Asking::begin(&catalog.app, id).is_none(),
            "the first still asks"
        );
        drop(first);
        assert!(Asking::begin(&catalog.app, id).is_some());
    }
}
