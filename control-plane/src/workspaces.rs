//! Workspaces: made, listed and removed on hosts through the catalog.
//!
//! An intent is recorded before a host is asked, and settled by its answer, or later by its events
//! or by asking again with the same command id. Listing reads the catalog alone, so it answers
//! while hosts are away and says as of when.

use hostler_proto::command::{Base, SetupReport};
use hostler_proto::error::Failure;
use hostler_proto::ids::{HostId, TaskId};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::Workspace;

use crate::auth::Caller;
use crate::hosts::ProgressSink;
use crate::{App, pending};

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
    /// When the host last told of it.
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
    pending(app, caller, &input).await
}

/// One workspace.
pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<WorkspaceView, Failure> {
    pending(app, caller, &id).await
}

/// Makes a workspace and waits until it is ready.
pub async fn create(
    app: &App,
    caller: &Caller,
    input: CreateWorkspace,
    progress: Option<ProgressSink>,
) -> Result<WorkspaceMade, Failure> {
    pending(app, caller, &(input, progress.is_some())).await
}

/// Removes a workspace, or records that it is to be removed when its host is back.
pub async fn delete(
    app: &App,
    caller: &Caller,
    input: DeleteWorkspace,
) -> Result<WorkspaceGone, Failure> {
    pending(app, caller, &input).await
}
