//! Tools for workspaces.

use hostler_proto::command::{Base, SetupReport};
use hostler_proto::error::Failure;
use hostler_proto::workspace::{Changes, WorkspaceState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Call, Effect, Entry, entry};
use crate::auth::Scope;
use crate::mcp::schema::Instant;
use crate::tasks;
use crate::workspaces::{self, CreateWorkspace, DeleteWorkspace, ListWorkspaces, WorkspaceView};

pub(super) fn tools() -> Vec<Entry> {
    vec![
        entry(&LIST, list),
        entry(&CREATE, create),
        entry(&DELETE, delete),
    ]
}

const LIST: About = About {
    name: "workspaces_list",
    title: "List workspaces on hosts",
    description: "Lists workspaces, newest first: git worktrees of projects, the projects' main \
        checkouts and scratch folders of automations, each with host, path, branch, state and counts \
        of changed files and commits. Use it to find where work is, or the id that \
        workspaces_delete and an automation's `workspaceId` take; use projects_list for the \
        repositories themselves. It answers while hosts are offline with what they told last: \
        `asOf` says when, `hostOnline` whether that is live. A workspace in state `failed` carries \
        the reason in `error`. Only workspaces on hosts the caller may use are listed.",
    scope: Scope::WorkspacesRead,
    effect: Effect::Reads,
    open_world: false,
};

const CREATE: About = About {
    name: "workspaces_create",
    title: "Create a workspace for a branch",
    description: "Creates a workspace, a git worktree with its own folder for one branch of a project \
        on a host, and waits until it is ready. Register the repository with projects_create first. \
        An existing branch is checked out as it is, otherwise a new one starts from `baseBranch`, \
        freshly fetched; without `branch` it is named after `name`. There is one workspace per branch: \
        a repeat returns it with `existed: true`. The project's setup commands run unless `setup` is \
        false. Progress is told. On failure nothing is left behind, and a conflict names what is in the way; \
        after a timeout look with workspaces_list, since the host goes on.",
    scope: Scope::WorkspacesWrite,
    effect: Effect::AddsOnce,
    open_world: true,
};

const DELETE: About = About {
    name: "workspaces_delete",
    title: "Delete a workspace and its folder",
    description: "Deletes a workspace: ends what runs in it, runs teardown, then removes the worktree \
        and its folder. Uncommitted files or commits found nowhere else make it refuse and list them; \
        `force` deletes those too, beyond recovery, so commit, push or ask the user first. The branch \
        stays unless `deleteBranch`. A project's main checkout is never deleted. If the host is offline, \
        the request is recorded and carried out on reconnect (`pending: true`), unless there \
        is work to lose by then. Deleting it again answers `alreadyGone`. Find ids with \
        workspaces_list; to remove the work item itself use tasks_delete.",
    scope: Scope::WorkspacesWrite,
    effect: Effect::Removes,
    open_world: false,
};

async fn list(call: Call, input: ListInput) -> Result<ListOutput, Failure> {
    let wanted = ListWorkspaces {
        host: input.host_id,
        project: input.project_id,
        state: input.state.map(|state| super::word(&state)),
    };
    let workspaces = workspaces::list(&call.app, &call.caller, wanted).await?;
    Ok(ListOutput {
        workspaces: workspaces.into_iter().map(WorkspaceOutput::from).collect(),
    })
}

async fn create(call: Call, input: CreateInput) -> Result<CreateOutput, Failure> {
    let task_id = match &input.task_id {
        Some(task) => Some(tasks::resolve(&call.app, &call.caller, task).await?),
        None => None,
    };
    let wanted = CreateWorkspace {
        host: input.host_id,
        project: input.project_id,
        name: input.name,
        branch: input.branch,
        base_branch: input.base_branch,
        task_id,
        setup: input.setup,
    };
    let made = workspaces::create(&call.app, &call.caller, wanted, call.sink()).await?;
    Ok(CreateOutput {
        workspace: made.workspace.into(),
        existed: made.existed,
        base: made.base.into(),
        setup: made.setup.map(Into::into),
        warnings: made.warnings,
    })
}

async fn delete(call: Call, input: DeleteInput) -> Result<DeleteOutput, Failure> {
    let wanted = DeleteWorkspace {
        id: input.id,
        force: input.force,
        delete_branch: input.delete_branch,
    };
    let gone = workspaces::delete(&call.app, &call.caller, wanted).await?;
    Ok(DeleteOutput {
        id: gone.id,
        deleted: gone.deleted,
        already_gone: gone.already_gone,
        branch_deleted: gone.branch_deleted,
        pending: gone.pending,
        teardown: gone.teardown.map(Into::into),
        warnings: gone.warnings,
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListInput {
    /// Only workspaces on this host: its id or name.
    #[schemars(length(min = 1, max = 200))]
    host_id: Option<String>,
    /// Only workspaces of this project: its id, slug or name.
    #[schemars(length(min = 1, max = 200))]
    project_id: Option<String>,
    /// Only workspaces in this state.
    state: Option<State>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CreateInput {
    /// The host: its id or name.
    #[schemars(length(min = 1, max = 200))]
    host_id: String,
    /// The project: its id, slug or name.
    #[schemars(length(min = 1, max = 200))]
    project_id: String,
    /// Name in free text, such as what the work is about.
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// Git branch to check out or create; left out, made from the name.
    #[schemars(length(min = 1, max = 255))]
    branch: Option<String>,
    /// Branch that a new branch starts from; left out, the project's default branch.
    #[schemars(length(min = 1, max = 255))]
    base_branch: Option<String>,
    /// The task it is for: its UUID or slug.
    #[schemars(length(min = 1, max = 200))]
    task_id: Option<String>,
    /// Whether to run the project's setup commands.
    #[serde(default = "yes")]
    setup: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeleteInput {
    /// The workspace's id.
    #[schemars(length(min = 1, max = 200))]
    id: String,
    /// Delete it although it holds uncommitted or unpushed work; that work is lost.
    #[serde(default)]
    force: bool,
    /// Delete its branch too.
    #[serde(default)]
    delete_branch: bool,
}

/// Where a workspace is in its life.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Creating,
    Ready,
    Failed,
    Deleting,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListOutput {
    /// The workspaces, newest first.
    workspaces: Vec<WorkspaceOutput>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CreateOutput {
    /// The workspace.
    workspace: WorkspaceOutput,
    /// Whether it was there before.
    existed: bool,
    /// What it was made from.
    base: BaseOutput,
    /// How the setup commands went; null when there was nothing to run.
    setup: Option<ReportOutput>,
    /// What did not go as asked without stopping it.
    warnings: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of an answer, as the tool documents them"
)]
struct DeleteOutput {
    /// The workspace's id.
    id: String,
    /// Whether it is gone now.
    deleted: bool,
    /// Whether it had been deleted before.
    already_gone: bool,
    /// Whether its branch was deleted.
    branch_deleted: bool,
    /// Whether the deletion waits for the host to return.
    pending: bool,
    /// How the teardown commands went; null when there was nothing to run.
    teardown: Option<ReportOutput>,
    /// What did not go as asked without stopping it.
    warnings: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkspaceOutput {
    /// Workspace id.
    id: String,
    /// Name.
    name: String,
    /// Branch checked out; null on a detached HEAD.
    branch: Option<String>,
    /// Branch it was made from; null when an existing branch was checked out.
    base_branch: Option<String>,
    /// `main`, `worktree` or `scratch`.
    #[serde(rename = "type")]
    kind: String,
    /// `creating`, `ready`, `failed` or `deleting`.
    state: State,
    /// Absolute folder on the host.
    path: String,
    /// Project id; null for a scratch folder.
    project_id: Option<String>,
    /// Project name; null for a scratch folder.
    project_name: Option<String>,
    /// Host id.
    host_id: String,
    /// Host name.
    host_name: String,
    /// Whether the host is connected now.
    host_online: bool,
    /// What differs, as last looked at; null before the first look.
    changes: Option<ChangesOutput>,
    /// The task it was made for.
    task_id: Option<String>,
    /// Who asked for it: an email, or `automation:<id>`.
    created_by: String,
    /// When it was asked for.
    created_at: Instant,
    /// When the host last told of it.
    as_of: Instant,
    /// Why it failed, or why an earlier deletion was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ChangesOutput {
    /// Commits that the upstream (or base) does not have.
    ahead: u32,
    /// Commits of the upstream (or base) that are not here.
    behind: u32,
    /// Files staged.
    staged: u32,
    /// Tracked files changed and not staged.
    unstaged: u32,
    /// Files neither tracked nor ignored.
    untracked: u32,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct BaseOutput {
    /// Branch.
    branch: String,
    /// Commit.
    commit: String,
    /// When it was last fetched; absent without a remote.
    #[serde(skip_serializing_if = "Option::is_none")]
    fetched_at: Option<Instant>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ReportOutput {
    /// Whether every command exited with 0.
    ok: bool,
    /// The command that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_command: Option<String>,
    /// Its exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// Milliseconds it took.
    duration_ms: u64,
    /// Last lines of output.
    last_lines: String,
}

fn yes() -> bool {
    true
}

impl From<WorkspaceView> for WorkspaceOutput {
    fn from(view: WorkspaceView) -> Self {
        let workspace = view.workspace;
        Self {
            id: workspace.id.to_string(),
            name: workspace.name,
            branch: workspace.branch,
            base_branch: workspace.base_branch,
            kind: super::word(&workspace.kind),
            state: State::from(&workspace.state),
            path: workspace.path,
            project_id: workspace.project_id.map(|id| id.to_string()),
            project_name: view.project_name,
            host_id: view.host_id.to_string(),
            host_name: view.host_name,
            host_online: view.host_online,
            changes: workspace.changes.map(Into::into),
            task_id: workspace.task_id.map(|id| id.to_string()),
            created_by: workspace.created_by,
            created_at: workspace.created_at.into(),
            as_of: view.as_of.into(),
            error: view.error.or(match workspace.state {
                WorkspaceState::Failed { error } => Some(error),
                WorkspaceState::Creating | WorkspaceState::Ready | WorkspaceState::Deleting => None,
            }),
        }
    }
}

impl From<&WorkspaceState> for State {
    fn from(state: &WorkspaceState) -> Self {
        match state {
            WorkspaceState::Creating => Self::Creating,
            WorkspaceState::Ready => Self::Ready,
            WorkspaceState::Failed { .. } => Self::Failed,
            WorkspaceState::Deleting => Self::Deleting,
        }
    }
}

impl From<Changes> for ChangesOutput {
    fn from(changes: Changes) -> Self {
        Self {
            ahead: changes.ahead,
            behind: changes.behind,
            staged: changes.staged,
            unstaged: changes.unstaged,
            untracked: changes.untracked,
        }
    }
}

impl From<Base> for BaseOutput {
    fn from(base: Base) -> Self {
        Self {
            branch: base.branch,
            commit: base.commit,
            fetched_at: base.fetched_at.map(Into::into),
        }
    }
}

impl From<SetupReport> for ReportOutput {
    fn from(report: SetupReport) -> Self {
        Self {
            ok: report.ok,
            failed_command: report.failed_command,
            exit_code: report.exit_code,
            duration_ms: report.duration_ms,
            last_lines: report.last_lines,
        }
    }
}
