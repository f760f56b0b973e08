//! Workspaces: made, listed and removed on hosts through the catalog.
//!
//! An intent is recorded before a host is asked, and settled by its answer, or later by its events
//! or by asking again with the same command id. Listing reads the catalog, so it answers while hosts
//! are away and says as of when; hosts that are here get a moment to count what differs.

mod count;
mod paging;

use hostler_proto::command::{Base, Command, Reply, SetupReport, WorkspaceCreate, WorkspaceDelete};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{CommandId, HostId, TaskId, WorkspaceId};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{Workspace, WorkspaceKind, WorkspaceState};
use serde_json::json;

use crate::audit::{self, Thing};
use crate::auth::Caller;
use crate::hosts::ProgressSink;
use crate::hosts_catalog::{self, HostView};
use crate::store::commands::OpenCommand;
use crate::store::hosts::HostRow;
use crate::store::projects::PlaceRow;
use crate::store::workspaces::WorkspaceRow;
use crate::{App, clock, names, projects, reconcile, store};

pub use paging::{WorkspacePage, page};

/// A workspace as its users see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceView {
    /// The record as its host last told it.
    pub workspace: Workspace,
    /// Name of its project; none for a scratch folder.
    pub project_name: Option<String>,
    /// The host it is on.
    pub host_id: HostId,
    /// That host's name.
    pub host_name: String,
    /// Whether that host is connected now.
    pub host_online: bool,
    /// When this was last known to be so: the host's last sign of life, or when it last told of it.
    pub as_of: UtcMillis,
    /// Why its making failed, or why a removal asked for earlier was refused.
    pub error: Option<String>,
}

/// Which workspaces to list.
#[derive(Clone, Debug, Default)]
pub struct ListWorkspaces {
    /// Id or name of a host.
    pub host: Option<String>,
    /// Id, slug or name of a project.
    pub project: Option<String>,
    /// Only this state: `creating`, `ready`, `failed` or `deleting`.
    pub state: Option<String>,
}

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct CreateWorkspace {
    /// Id or name of the host.
    pub host: String,
    /// Id, slug or name of the project.
    pub project: String,
    /// Free-text name, 1..=200 characters.
    pub name: String,
    /// Branch; none is made from the name.
    pub branch: Option<String>,
    /// Branch to start from.
    pub base_branch: Option<String>,
    /// Task it is made for (looked up by the caller of this function).
    pub task_id: Option<TaskId>,
    /// Whether to run the project's setup.
    pub setup: bool,
}

/// A workspace made, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceMade {
    /// The workspace.
    pub workspace: WorkspaceView,
    /// Whether it was there before.
    pub existed: bool,
    /// What it was made from.
    pub base: Base,
    /// How setup went; none when not asked for or nothing to do.
    pub setup: Option<SetupReport>,
    /// What did not go as asked.
    pub warnings: Vec<String>,
}

/// What to remove, and how.
#[derive(Clone, Debug, Default)]
pub struct DeleteWorkspace {
    /// Its id.
    pub id: String,
    /// Although it holds uncommitted or unpushed work.
    pub force: bool,
    /// Its branch too.
    pub delete_branch: bool,
}

/// How a removal went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own that the caller is told"
)]
pub struct WorkspaceGone {
    /// Which.
    pub id: String,
    /// Whether it is gone.
    pub deleted: bool,
    /// Whether it had been removed before.
    pub already_gone: bool,
    /// Whether its branch was deleted.
    pub branch_deleted: bool,
    /// Recorded, and done when the host is back.
    pub pending: bool,
    /// How teardown went.
    pub teardown: Option<SetupReport>,
    /// What did not go as asked.
    pub warnings: Vec<String>,
}

/// The organization's workspaces on hosts the caller may use, newest first.
pub async fn list(
    app: &App,
    caller: &Caller,
    input: ListWorkspaces,
) -> Result<Vec<WorkspaceView>, Failure> {
    check_state(input.state.as_deref())?;
    let mut hosts = hosts_catalog::list(app, caller, None).await?;
    if let Some(reference) = &input.host {
        let only = hosts_catalog::resolve(app, caller, reference).await?.id;
        hosts.retain(|host| host.id == only);
    }
    let project = match &input.project {
        Some(reference) => Some(projects::resolve_any(app, caller, reference).await?),
        None => None,
    };
    let rows = store::workspaces::list(&app.store, caller.org_id).await?;
    let mut views: Vec<WorkspaceView> = rows
        .into_iter()
        .filter_map(|row| view(row, &hosts))
        .filter(|view| project.is_none() || view.workspace.project_id == project)
        .filter(|view| {
            let wanted = input.state.as_deref();
            wanted.is_none_or(|wanted| state_word(&view.workspace.state) == wanted)
        })
        .collect();
    count::refresh(app, caller, &mut views).await;
    Ok(views)
}

/// One workspace that is not removed.
pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<WorkspaceView, Failure> {
    let (row, hosts) = find(app, caller, id).await?;
    let here = row.removed_at.is_none().then_some(row);
    here.and_then(|row| view(row, &hosts))
        .ok_or_else(|| missing(id))
}

/// One workspace, with what differs in it counted now where its host is here.
pub async fn look(app: &App, caller: &Caller, id: &str) -> Result<WorkspaceView, Failure> {
    let mut views = [get(app, caller, id).await?];
    count::refresh(app, caller, &mut views).await;
    let [view] = views;
    Ok(view)
}

/// Makes a workspace and waits until it is ready.
pub async fn create(
    app: &App,
    caller: &Caller,
    input: CreateWorkspace,
    progress: Option<ProgressSink>,
) -> Result<WorkspaceMade, Failure> {
    let name = input.name.trim();
    check_length("name", name, 200)?;
    let host = hosts_catalog::resolve_to_work(app, caller, &input.host).await?;
    let place = projects::resolve_on(app, caller, &host, &input.project).await?;
    if app.hosts.online(host.id).is_none() {
        return Err(offline(&host, "no workspace can be made on it"));
    }
    let open = intend(app, caller, &host, &place, &input).await?;
    let asked = app.clone();
    let reply = app
        .to_the_end(async move { reconcile::ask(&asked, &open, progress).await })
        .await
        .map_err(|failure| unsettled(failure, name))?;
    let Reply::WorkspaceCreated(made) = reply else {
        return Err(wrong_answer(&host));
    };
    Ok(WorkspaceMade {
        workspace: get(app, caller, &made.workspace.id.to_string()).await?,
        existed: made.existed,
        base: made.base,
        setup: made.setup,
        warnings: made.warnings,
    })
}

/// Removes a workspace, or records that it is to be removed when its host is back.
pub async fn delete(
    app: &App,
    caller: &Caller,
    input: DeleteWorkspace,
) -> Result<WorkspaceGone, Failure> {
    let (row, hosts) = find(app, caller, &input.id).await?;
    let gone = WorkspaceGone {
        id: row.workspace.id.to_string(),
        ..WorkspaceGone::default()
    };
    if row.removed_at.is_some() {
        return Ok(WorkspaceGone {
            deleted: true,
            already_gone: true,
            ..gone
        });
    }
    if row.workspace.kind == WorkspaceKind::Main {
        return Err(main_checkout(&row));
    }
    let open = record_delete(app, caller, &row, &input).await?;
    let online = hosts
        .iter()
        .any(|host| host.id == row.host_id && host.online);
    if !online {
        return Ok(WorkspaceGone {
            pending: true,
            ..gone
        });
    }
    let asked = app.clone();
    let answer = app
        .to_the_end(async move { reconcile::ask(&asked, &open, None).await })
        .await;
    removed(app, caller, &row, gone, answer).await
}

/// What a removal's answer means to the one who asked.
async fn removed(
    app: &App,
    caller: &Caller,
    row: &WorkspaceRow,
    gone: WorkspaceGone,
    answer: Result<Reply, Failure>,
) -> Result<WorkspaceGone, Failure> {
    match answer {
        Ok(Reply::WorkspaceDeleted(done)) => Ok(WorkspaceGone {
            deleted: true,
            already_gone: done.already_gone,
            branch_deleted: done.branch_deleted,
            teardown: done.teardown,
            warnings: done.warnings,
            ..gone
        }),
        Ok(_) => Err(Failure::new(
            ErrorCode::HostError,
            format!("the host of workspace {} answered something else", gone.id),
        )
        .hint("update hostler on that host")),
        Err(failure) if failure.code == ErrorCode::NotFound => Ok(WorkspaceGone {
            deleted: true,
            already_gone: true,
            ..gone
        }),
        Err(failure) if failure.code == ErrorCode::HostOffline => Ok(WorkspaceGone {
            pending: true,
            ..gone
        }),
        Err(failure) => {
            forget_refusal(app, caller, row, &failure).await?;
            Err(failure)
        }
    }
}

/// The one who asked is told of the refusal now, so it is not kept to be shown later.
async fn forget_refusal(
    app: &App,
    caller: &Caller,
    row: &WorkspaceRow,
    failure: &Failure,
) -> Result<(), Failure> {
    if failure.code.retryable() {
        return Ok(());
    }
    let mut tx = app.store.begin().await?;
    store::workspaces::set_delete_asked(&mut tx, row.workspace.id, None, None).await?;
    let id = row.workspace.id.to_string();
    let thing = thing(&id, &row.workspace.name);
    let (action, detail) = ("workspace.delete_refused", json!({"why": failure.code}));
    audit::record(&mut tx, caller, action, thing, Some(detail), clock::wall()).await?;
    app.store.commit(tx).await?;
    Ok(())
}

/// Records the intent: a row `creating` and the command that makes it true.
async fn intend(
    app: &App,
    caller: &Caller,
    host: &HostRow,
    place: &PlaceRow,
    input: &CreateWorkspace,
) -> Result<OpenCommand, Failure> {
    let now = clock::wall();
    let id = WorkspaceId::fresh(now, &clock::id_entropy());
    let name = input.name.trim().to_owned();
    let workspace = Workspace {
        id,
        project_id: Some(place.id),
        name: name.clone(),
        branch: input.branch.clone(),
        base_branch: input.base_branch.clone(),
        base_commit: None,
        kind: WorkspaceKind::Worktree,
        state: WorkspaceState::Creating,
        path: String::new(),
        changes: None,
        task_id: input.task_id,
        created_by: caller.label.clone(),
        created_at: now,
    };
    let open = OpenCommand {
        id: CommandId::fresh(now, &clock::id_entropy()),
        org_id: caller.org_id,
        host_id: host.id,
        subject: id.0,
        command: Command::WorkspaceCreate(WorkspaceCreate {
            workspace_id: id,
            project_id: place.id,
            name,
            branch: input.branch.clone(),
            base_branch: input.base_branch.clone(),
            task_id: input.task_id,
            setup: input.setup,
            created_by: caller.label.clone(),
            by: Some(caller.actor()),
        }),
        created_at: now,
    };
    let mut tx = app.store.begin().await?;
    store::workspaces::insert_intent(&mut tx, caller.org_id, host.id, &workspace).await?;
    store::commands::insert(&mut tx, &open).await?;
    let detail = json!({"host": host.name, "project": place.name, "branch": input.branch});
    let id = id.to_string();
    let thing = thing(&id, &workspace.name);
    audit::record(
        &mut tx,
        caller,
        "workspace.create",
        thing,
        Some(detail),
        now,
    )
    .await?;
    app.store.commit(tx).await?;
    Ok(open)
}

fn thing<'a>(id: &'a str, name: &'a str) -> Thing<'a> {
    Thing {
        kind: "workspace",
        id,
        name,
    }
}

/// Records that a workspace is to go, in place of whatever was still asked about it.
async fn record_delete(
    app: &App,
    caller: &Caller,
    row: &WorkspaceRow,
    input: &DeleteWorkspace,
) -> Result<OpenCommand, Failure> {
    let now = clock::wall();
    let id = row.workspace.id;
    let open = OpenCommand {
        id: CommandId::fresh(now, &clock::id_entropy()),
        org_id: caller.org_id,
        host_id: row.host_id,
        subject: id.0,
        command: Command::WorkspaceDelete(WorkspaceDelete {
            workspace_id: id,
            force: input.force,
            delete_branch: input.delete_branch,
            by: Some(caller.actor()),
        }),
        created_at: now,
    };
    let mut tx = app.store.begin().await?;
    store::commands::remove_of_subject(&mut tx, row.host_id, id.0).await?;
    store::commands::insert(&mut tx, &open).await?;
    store::workspaces::set_delete_asked(&mut tx, id, Some(now), None).await?;
    let detail = json!({"force": input.force, "deleteBranch": input.delete_branch});
    let (id, name) = (id.to_string(), &row.workspace.name);
    let thing = thing(&id, name);
    audit::record(
        &mut tx,
        caller,
        "workspace.delete",
        thing,
        Some(detail),
        now,
    )
    .await?;
    app.store.commit(tx).await?;
    Ok(open)
}

/// The row, also of a removed one, on a host the caller may use; and those hosts.
async fn find(
    app: &App,
    caller: &Caller,
    id: &str,
) -> Result<(WorkspaceRow, Vec<HostView>), Failure> {
    let parsed: Option<WorkspaceId> = id.trim().parse().ok();
    let parsed = parsed.ok_or_else(|| missing(id))?;
    let hosts = hosts_catalog::list(app, caller, None).await?;
    let row = store::workspaces::by_id(&app.store, caller.org_id, parsed).await?;
    let row = row.filter(|row| hosts.iter().any(|host| host.id == row.host_id));
    Ok((row.ok_or_else(|| missing(id))?, hosts))
}

fn view(row: WorkspaceRow, hosts: &[HostView]) -> Option<WorkspaceView> {
    let host = hosts.iter().find(|host| host.id == row.host_id)?;
    let mut workspace = row.workspace;
    let failed = match &workspace.state {
        WorkspaceState::Failed { error } => Some(error.clone()),
        WorkspaceState::Creating | WorkspaceState::Ready | WorkspaceState::Deleting => None,
    };
    if row.delete_asked_at.is_some() {
        workspace.state = WorkspaceState::Deleting;
    }
    Some(WorkspaceView {
        workspace,
        project_name: row.project_name,
        host_id: host.id,
        host_name: host.name.clone(),
        host_online: host.online,
        as_of: host
            .last_seen_at
            .map_or(row.as_of, |seen| seen.max(row.as_of)),
        error: row.delete_error.or(failed),
    })
}

/// The word of a state, as users see it.
pub fn state_word(state: &WorkspaceState) -> &'static str {
    match state {
        WorkspaceState::Creating => "creating",
        WorkspaceState::Ready => "ready",
        WorkspaceState::Failed { .. } => "failed",
        WorkspaceState::Deleting => "deleting",
    }
}

fn check_state(state: Option<&str>) -> Result<(), Failure> {
    match state {
        None | Some("creating" | "ready" | "failed" | "deleting") => Ok(()),
        Some(other) => Err(Failure::new(
            ErrorCode::InvalidArgument,
            format!(
                "there is no workspace state \"{}\"",
                names::shortened(other)
            ),
        )
        .hint("pass creating, ready, failed or deleting")),
    }
}

fn check_length(what: &str, text: &str, most: usize) -> Result<(), Failure> {
    let length = text.chars().count();
    if (1..=most).contains(&length) {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::InvalidArgument,
        format!("the {what} has {length} characters; 1 to {most} are allowed"),
    )
    .hint(format!("pass another {what}")))
}

fn missing(id: &str) -> Failure {
    names::missing("workspace", "workspaces_list", id)
}

fn offline(host: &HostRow, consequence: &str) -> Failure {
    Failure::new(
        ErrorCode::HostOffline,
        format!("host {} is not connected: {consequence}", host.name),
    )
    .hint("start hostler on it (`hostler up` or `hostler daemon`), or use another host")
}

fn unsettled(failure: Failure, name: &str) -> Failure {
    if !failure.code.retryable() {
        return failure;
    }
    failure.hint(format!(
        "the host goes on making \"{name}\", or starts over when it is back: look with workspaces_list"
    ))
}

fn main_checkout(row: &WorkspaceRow) -> Failure {
    Failure::new(
        ErrorCode::PreconditionFailed,
        format!(
            "workspace {} is the main checkout of {} and is never deleted",
            row.workspace.id,
            row.project_name.as_deref().unwrap_or("its project"),
        ),
    )
    .hint("delete worktrees only; remove the repository on the host by hand if you mean that")
}

fn wrong_answer(host: &HostRow) -> Failure {
    Failure::new(
        ErrorCode::HostError,
        format!("host {} answered something else than was asked", host.name),
    )
    .hint("update hostler on that host")
}
