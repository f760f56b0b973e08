//! One run in full, and ending one.
//!
//! The wish to end a run is recorded before it is sent and kept until its host has answered or the
//! run is over, so a host that is away hears of it when it is back. A start that no host has
//! acknowledged is taken back in the same transaction; should it have arrived all the same, the wish
//! ends what it began, and the host's word on the run stands.

use std::time::Duration;

use hostler_proto::command::{Command, RunCancel};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{CommandId, RunId, WorkspaceId};
use hostler_proto::run::{RunResult, RunState};
use hostler_proto::time::UtcMillis;
use serde_json::json;

use super::{RunView, tail, view};
use crate::audit::{self, Thing};
use crate::auth::Caller;
use crate::store::automations::AutomationRow;
use crate::store::commands::OpenCommand;
use crate::store::hosts::HostRow;
use crate::store::runs::RunRow;
use crate::{App, automations, clock, history, hosts_catalog, names, reconcile, store};

/// How long an answer waits for the end of a run that its host has been asked to end: most agents
/// end at the first signal.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// A run with everything it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct RunInFull {
    /// The run.
    pub view: RunView,
    /// The automation's name.
    pub automation_name: String,
    /// When the automation was deleted.
    pub automation_deleted_at: Option<UtcMillis>,
    /// The zone of the automation's schedule.
    pub timezone: String,
    /// Why it ran when it did, or why it did not, without a full stop.
    pub explanation: String,
    /// The host's name.
    pub host_name: String,
    /// Whether the host is connected now.
    pub host_online: bool,
    /// Where it works, once known.
    pub place: Option<RunPlace>,
    /// The wish to end it, while its host has not answered.
    pub cancel: Option<CancelWish>,
}

/// The workspace of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPlace {
    /// Identity.
    pub id: WorkspaceId,
    /// Name.
    pub name: String,
    /// Folder on the host.
    pub path: String,
    /// Whether it has been removed since.
    pub removed: bool,
}

/// Somebody wants a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelWish {
    /// Who.
    pub by: String,
    /// Since when.
    pub at: UtcMillis,
}

/// What became of the wish to end a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Cancelled {
    /// The run as it is now.
    pub run: RunView,
    /// It had ended before.
    pub already_over: bool,
    /// The host is away: it is told when it is back.
    pub pending: bool,
    /// The host's name.
    pub host_name: String,
}

/// One of the caller's runs, also of a deleted automation.
pub async fn get(app: &App, caller: &Caller, run_id: &str) -> Result<RunInFull, Failure> {
    let row = find(app, caller, run_id).await?;
    let automation = automation_of(app, caller, &row).await?;
    let host = hosts_catalog::by_id(app, row.host_id).await?;
    let place = place(app, caller, &row).await?;
    let open = store::commands::of_subject(&app.store, row.run.id.0).await?;
    let tail = tail(app, &row).await?;
    Ok(RunInFull {
        cancel: open
            .iter()
            .find_map(wish_of)
            .filter(|_| !row.run.state.is_final()),
        explanation: history::explanation(&row.run, &host.name, &automation),
        timezone: automation.schedule.timezone,
        view: view(row, &tail),
        automation_name: automation.name,
        automation_deleted_at: automation.deleted_at,
        host_online: app.hosts.online(host.id).is_some(),
        host_name: host.name,
        place,
    })
}

/// Ends one of the caller's runs. One that is over is said to be; a host that is away is told when
/// it is back.
pub async fn cancel(app: &App, caller: &Caller, run_id: &str) -> Result<Cancelled, Failure> {
    let row = find(app, caller, run_id).await?;
    let host = hosts_catalog::by_id(app, row.host_id).await?;
    let id = row.run.id;
    let mut listener = app.hosts.listen(id, END_PATIENCE);
    let wish = record_wish(app, caller, &row, &host).await?;
    let already_over = matches!(wish, Wish::TooLate);
    if let Wish::Ask(open) = wish {
        let asking = app.clone();
        let answer = app
            .to_the_end(async move { reconcile::ask(&asking, &open, None).await })
            .await;
        // What may pass stays recorded: the next contact brings the answer.
        answer.err().map_or(Ok(()), passing)?;
        let online = || app.hosts.online(host.id).is_some();
        while online() && !find(app, caller, run_id).await?.run.state.is_final() {
            if !listener.hear(&app.shutdown).await {
                break;
            }
        }
    }
    let row = find(app, caller, run_id).await?;
    let open = store::commands::of_subject(&app.store, id.0).await?;
    let over = row.run.state.is_final();
    let tail = tail(app, &row).await?;
    Ok(Cancelled {
        run: view(row, &tail),
        already_over,
        pending: !over && open.iter().any(|open| wish_of(open).is_some()),
        host_name: host.name,
    })
}

/// Runs the automation of a run again, as the automation is now. Refused while that run goes on.
pub async fn retry(
    app: &App,
    caller: &Caller,
    run_id: &str,
) -> Result<automations::RunAsked, Failure> {
    let row = find(app, caller, run_id).await?;
    let automation = automation_of(app, caller, &row).await?;
    let refused = |message: String| Failure::new(ErrorCode::PreconditionFailed, message);
    if automation.deleted_at.is_some() {
        return Err(refused(format!(
            "automation {} was deleted, so run {} cannot be run again",
            automation.name, row.run.id
        ))
        .hint("create an automation with the same prompt"));
    }
    if !row.run.state.is_final() {
        return Err(refused(format!(
            "run {} is still {}",
            row.run.id,
            row.run.state.word()
        ))
        .hint("wait for its end, or cancel it first"));
    }
    automations::run(app, caller, &automation.id.to_string()).await
}

/// What is to be done about a run that somebody wants ended.
enum Wish {
    /// Nothing: it had ended.
    TooLate,
    /// Nothing: nobody will start it or tell of it any more.
    Done,
    /// To tell its host.
    Ask(Box<OpenCommand>),
}

/// Records the wish, in place of a start that no host has acknowledged.
async fn record_wish(
    app: &App,
    caller: &Caller,
    row: &RunRow,
    host: &HostRow,
) -> Result<Wish, Failure> {
    let (now, id) = (clock::wall(), row.run.id);
    let mut tx = app.store.begin().await?;
    let known = store::runs::record_in(&mut tx, id).await?;
    let Some(mut run) = known.filter(|run| !run.state.is_final()) else {
        return Ok(Wish::TooLate);
    };
    if let Some(open) = store::commands::cancel_of(&mut tx, id).await? {
        return Ok(Wish::Ask(Box::new(open)));
    }
    let untold = store::commands::remove_start(&mut tx, host.id, id).await?;
    let away = app.hosts.online(host.id).is_none();
    let unstarted = untold && away && run.state == RunState::Queued;
    let left = host.revoked_at.is_some();
    if unstarted || left {
        let when = if unstarted {
            "before its host heard of it"
        } else {
            "after its host had left"
        };
        let reason = format!("cancelled by {} {when}", caller.label);
        reconcile::end(&mut run, RunResult::Cancelled, reason, now);
        store::runs::put(&mut tx, caller.org_id, host.id, &run, now).await?;
    }
    let open = wish_to_record(caller, host, id, now);
    if !left {
        store::commands::insert(&mut tx, &open).await?;
    }
    let thing = Thing {
        kind: "run",
        id: &id.to_string(),
        name: "",
    };
    let detail = json!({"automationId": run.automation_id, "host": host.name});
    audit::record(&mut tx, caller, "run.cancel", thing, Some(detail), now).await?;
    app.store.commit(tx).await?;
    app.hosts.tell(id);
    Ok(if left {
        Wish::Done
    } else {
        Wish::Ask(Box::new(open))
    })
}

fn wish_to_record(caller: &Caller, host: &HostRow, id: RunId, now: UtcMillis) -> OpenCommand {
    OpenCommand {
        id: CommandId::fresh(now, &clock::id_entropy()),
        org_id: caller.org_id,
        host_id: host.id,
        subject: id.0,
        command: Command::RunCancel(RunCancel {
            run_id: id,
            requested_by: caller.label.clone(),
            by: Some(caller.actor()),
        }),
        created_at: now,
    }
}

/// A host that does not know the run will not start it, which is what was wished for.
fn passing(failure: Failure) -> Result<(), Failure> {
    if failure.code.retryable() || failure.code == ErrorCode::NotFound {
        return Ok(());
    }
    Err(failure)
}

pub(super) async fn find(app: &App, caller: &Caller, run_id: &str) -> Result<RunRow, Failure> {
    let id: Option<RunId> = run_id.trim().parse().ok();
    let id = id.ok_or_else(|| missing(run_id))?;
    let row = store::runs::of_owner(&app.store, caller.org_id, caller.user_id, id).await?;
    row.ok_or_else(|| missing(run_id))
}

async fn automation_of(app: &App, caller: &Caller, row: &RunRow) -> Result<AutomationRow, Failure> {
    automations::find_with_deleted(app, caller, &row.run.automation_id.to_string()).await
}

async fn place(app: &App, caller: &Caller, row: &RunRow) -> Result<Option<RunPlace>, Failure> {
    let Some(id) = row.run.workspace_id else {
        return Ok(None);
    };
    let found = store::workspaces::by_id(&app.store, caller.org_id, id).await?;
    Ok(found.map(|found| RunPlace {
        id,
        name: found.workspace.name,
        path: found.workspace.path,
        removed: found.removed_at.is_some(),
    }))
}

fn wish_of(open: &OpenCommand) -> Option<CancelWish> {
    match &open.command {
        Command::RunCancel(cancel) => Some(CancelWish {
            by: cancel.requested_by.clone(),
            at: open.created_at,
        }),
        Command::ProjectCreate(_)
        | Command::WorkspaceCreate(_)
        | Command::WorkspaceDelete(_)
        | Command::WorkspacesCount(_)
        | Command::RunStart(_) => None,
    }
}

fn missing(id: &str) -> Failure {
    names::missing("run of yours", "automations_logs", id)
}
