//! Requests from the control plane to a host, and their replies.
//!
//! Every request has a `CommandId`; a repeated id returns the stored reply. The control plane
//! chooses the ids of what is to be made, so that a repeat makes nothing twice.

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::ids::{AutomationId, ProjectId, RunId, TaskId, WorkspaceId};
use crate::project::Project;
use crate::time::UtcMillis;
use crate::workspace::Workspace;

/// A request to a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum Command {
    /// Register a repository: clone it, or import a checkout.
    ProjectCreate(ProjectCreate),
    /// Make a workspace.
    WorkspaceCreate(WorkspaceCreate),
    /// Remove a workspace.
    WorkspaceDelete(WorkspaceDelete),
    /// Count what differs in workspaces, because somebody is looking at them.
    WorkspacesCount(WorkspacesCount),
    /// Run an automation now.
    RunStart(RunStart),
    /// End a run.
    RunCancel(RunCancel),
}

impl Command {
    /// Who asked, where the control plane says it.
    pub fn by(&self) -> Option<&Actor> {
        match self {
            Self::ProjectCreate(create) => create.by.as_ref(),
            Self::WorkspaceCreate(create) => create.by.as_ref(),
            Self::WorkspaceDelete(delete) => delete.by.as_ref(),
            Self::WorkspacesCount(count) => count.by.as_ref(),
            Self::RunStart(start) => start.by.as_ref(),
            Self::RunCancel(cancel) => cancel.by.as_ref(),
        }
    }
}

/// Register a repository on the host. Idempotent by path and by canonical URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectCreate {
    /// Id to use if the project is new here.
    pub project_id: ProjectId,
    /// Where it comes from.
    pub source: ProjectSource,
    /// Display name; none takes the repository's folder name.
    #[serde(default)]
    pub name: Option<String>,
    /// Absolute folder to clone into; none is the host's projects root.
    #[serde(default)]
    pub parent_dir: Option<String>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
}

/// Where a project comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectSource {
    /// Clone this remote.
    Url(String),
    /// Import the checkout at this path.
    Path(String),
}

/// Make a workspace of a project. Idempotent by (project, branch).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceCreate {
    /// Id to use if the workspace is new.
    pub workspace_id: WorkspaceId,
    /// The project.
    pub project_id: ProjectId,
    /// Free-text name, 1..=200 characters.
    pub name: String,
    /// Branch; none is made from the name.
    #[serde(default)]
    pub branch: Option<String>,
    /// Branch to start from; none is the project's default branch.
    #[serde(default)]
    pub base_branch: Option<String>,
    /// Task it is made for.
    #[serde(default)]
    pub task_id: Option<TaskId>,
    /// Whether to run the project's setup commands.
    pub setup: bool,
    /// Who asked (a person's email).
    pub created_by: String,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
}

/// Remove a workspace. Idempotent by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceDelete {
    /// Which.
    pub workspace_id: WorkspaceId,
    /// Remove it although it holds uncommitted or unpushed work.
    pub force: bool,
    /// Delete its branch too.
    pub delete_branch: bool,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
}

/// Count what differs in workspaces now. Changes nothing, so its reply is not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspacesCount {
    /// Which; unknown ones are left out of the reply.
    pub workspace_ids: Vec<WorkspaceId>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
}

/// Run an automation now, whatever its schedule. The automation is known to the host from sync;
/// the control plane syncs before it asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStart {
    /// Id of the run, chosen by the control plane: repeated delivery starts one run.
    pub run_id: RunId,
    /// Which automation.
    pub automation_id: AutomationId,
    /// When it was asked for.
    pub requested_at: UtcMillis,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
}

/// End a run (queued or going on).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCancel {
    /// Which.
    pub run_id: RunId,
    /// Who or what asked, for the run's reason.
    pub requested_by: String,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
}

/// The answer to a command that worked. A failure is an [`crate::error::Failure`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// For `ProjectCreate`.
    ProjectCreated(ProjectCreated),
    /// For `WorkspaceCreate`.
    WorkspaceCreated(Box<WorkspaceCreated>),
    /// For `WorkspaceDelete`.
    WorkspaceDeleted(WorkspaceDeleted),
    /// For `WorkspacesCount`: those that are there, as they are now.
    WorkspacesCounted {
        /// The records.
        workspaces: Vec<Workspace>,
    },
    /// For `RunStart`: accepted (now or earlier).
    RunStarted {
        /// The run.
        run_id: RunId,
    },
    /// For `RunCancel`.
    RunCancelled {
        /// The run.
        run_id: RunId,
        /// True when it had already ended.
        already_over: bool,
    },
}

/// A project registered, now or before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectCreated {
    /// The project (its id is the older one's when it existed).
    pub project: Project,
    /// Whether it was registered before.
    pub existed: bool,
}

/// A workspace made, now or before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceCreated {
    /// The workspace (its id is the older one's when it existed).
    pub workspace: Workspace,
    /// Whether it was there before.
    pub existed: bool,
    /// What it was made from.
    pub base: Base,
    /// How setup went; none when not asked for or nothing to do.
    #[serde(default)]
    pub setup: Option<SetupReport>,
    /// What did not go as asked but did not stop it (a failed fetch, a failed hook).
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What a workspace was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Branch name.
    pub branch: String,
    /// Commit (hex).
    pub commit: String,
    /// When the base was last fetched; none when there is no remote.
    #[serde(default)]
    pub fetched_at: Option<UtcMillis>,
}

/// How a workspace's setup commands went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupReport {
    /// Whether every command exited with 0.
    pub ok: bool,
    /// The command that failed.
    #[serde(default)]
    pub failed_command: Option<String>,
    /// Its exit code; none when a signal or the limit ended it.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Last lines of output.
    pub last_lines: String,
}

/// A workspace removed, now or before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceDeleted {
    /// Which.
    pub workspace_id: WorkspaceId,
    /// True when it had been removed before.
    pub already_gone: bool,
    /// Whether its branch was deleted.
    pub branch_deleted: bool,
    /// How teardown went; none when there is none.
    #[serde(default)]
    pub teardown: Option<SetupReport>,
    /// What did not go as asked.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// How far a command is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Phase in words: `fetching`, `receiving objects`, `writing files`, `setup`.
    pub phase: String,
    /// Units done.
    pub done: u64,
    /// Units in all, when known.
    #[serde(default)]
    pub total: Option<u64>,
}
