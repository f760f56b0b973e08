//! A workspace: a branch-scoped git worktree, a main checkout or a scratch folder.

use serde::{Deserialize, Serialize};

use crate::ids::{ProjectId, TaskId, WorkspaceId};
use crate::time::UtcMillis;

/// A workspace as its host knows it. The host's database is the owner of this record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Identity on the host and in the catalog.
    pub id: WorkspaceId,
    /// The project it belongs to; none for a scratch folder.
    pub project_id: Option<ProjectId>,
    /// Free-text name.
    pub name: String,
    /// The branch checked out (short name), as last seen; none on a detached HEAD.
    pub branch: Option<String>,
    /// The branch it was made from; none when an existing branch was checked out.
    pub base_branch: Option<String>,
    /// The commit it was made at (hex).
    pub base_commit: Option<String>,
    /// What kind of place it is.
    #[serde(rename = "type")]
    pub kind: WorkspaceKind,
    /// Where it is in its life.
    pub state: WorkspaceState,
    /// Absolute path of the folder.
    pub path: String,
    /// What differs from its upstream or base and from HEAD, as last looked at.
    #[serde(default)]
    pub changes: Option<Changes>,
    /// The task it was made for.
    #[serde(default)]
    pub task_id: Option<TaskId>,
    /// Who asked for it: a person's email, or `automation:<id>`.
    pub created_by: String,
    /// When it was asked for.
    pub created_at: UtcMillis,
}

/// What kind of place a workspace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceKind {
    /// The project's main checkout: never deleted.
    Main,
    /// A git worktree of ours.
    Worktree,
    /// A folder with a git repository of its own, for a run without a project.
    Scratch,
}

/// Where a workspace is in its life; a failure carries its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum WorkspaceState {
    /// Asked for, not yet usable.
    Creating,
    /// Usable.
    Ready,
    /// Could not be made, or its setup failed.
    Failed {
        /// What happened, in one sentence.
        error: String,
    },
    /// Being removed.
    Deleting,
}

/// Counts of what differs in a workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Commits that the upstream (or base) does not have.
    pub ahead: u32,
    /// Commits of the upstream (or base) that are not here.
    pub behind: u32,
    /// Files staged.
    pub staged: u32,
    /// Tracked files changed and not staged.
    pub unstaged: u32,
    /// Files neither tracked nor ignored.
    pub untracked: u32,
}
