//! Workspaces nobody asks for by name: the main checkout, a run's own worktree, a scratch folder.
//!
//! Invariant: their ids follow from the project or the run, so making one twice makes it once.

use std::path::Path;
use std::sync::Arc;

use hostler_proto::command::{WorkspaceCreate, WorkspaceCreated};
use hostler_proto::error::Failure;
use hostler_proto::ids::{ProjectId, RunId, WorkspaceId};
use hostler_proto::project::Project;
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{Workspace, WorkspaceKind, WorkspaceState};
use uuid::Uuid;

use super::create::{Crash, Wish, create_at, short};
use super::{forget, save, set_state};
use crate::Context;
use crate::git::{names, repo};
use crate::link::ProgressSink;
use crate::projects::{blocking, made_folder, text};
use crate::setup::Supervise;
use crate::store::workspaces::{Private, WorkspaceRow};

/// The id of a project's main checkout as a workspace.
pub fn main_workspace_id(project: ProjectId) -> WorkspaceId {
    WorkspaceId(Uuid::new_v5(&project.0, b"main"))
}

/// The id of the workspace made for a run.
pub fn run_workspace_id(run: RunId) -> WorkspaceId {
    WorkspaceId(Uuid::new_v5(&run.0, b"workspace"))
}

/// The main checkout as a workspace.
pub fn main_row(
    project: &Project,
    branch: Option<String>,
    commit: Option<String>,
    now: UtcMillis,
) -> WorkspaceRow {
    WorkspaceRow {
        workspace: Workspace {
            id: main_workspace_id(project.id),
            project_id: Some(project.id),
            name: project.name.clone(),
            branch,
            base_branch: None,
            base_commit: commit,
            kind: WorkspaceKind::Main,
            state: WorkspaceState::Ready,
            path: project.path.clone(),
            changes: None,
            task_id: None,
            created_by: "hostler".to_owned(),
            created_at: now,
        },
        private: Private::default(),
    }
}

/// What a run needs of its own worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPlace {
    /// The run.
    pub run_id: RunId,
    /// The project.
    pub project_id: ProjectId,
    /// The automation's name; its slug is in the branch.
    pub automation: String,
    /// The branch to start from; none is the project's default.
    pub base_branch: Option<String>,
    /// `automation:<id>`.
    pub created_by: String,
}

/// Makes a fresh worktree for a run, on `hostler/<automation>-<run>`, with the project's setup.
pub async fn for_run(
    context: &Context,
    place: RunPlace,
    supervise: &dyn Supervise,
    report: ProgressSink,
    now: UtcMillis,
) -> Result<WorkspaceCreated, Failure> {
    let slug = names::slug(&place.automation).unwrap_or_else(|| "run".to_owned());
    let run = place.run_id.to_string();
    let command = WorkspaceCreate {
        workspace_id: run_workspace_id(place.run_id),
        project_id: place.project_id,
        name: format!("{} {}", place.automation, short(&run))
            .chars()
            .take(200)
            .collect(),
        branch: Some(format!("hostler/{slug}-{}", short(&run))),
        base_branch: place.base_branch,
        task_id: None,
        setup: true,
        created_by: place.created_by,
        by: None,
    };
    let at: Crash = Arc::new(|_| ());
    create_at(
        context,
        Wish {
            command,
            run_id: Some(place.run_id),
        },
        supervise,
        report,
        at,
        now,
    )
    .await
}

/// Makes a scratch folder with a git repository of its own and one empty commit.
pub async fn scratch(
    context: &Context,
    run: RunId,
    name: &str,
    created_by: &str,
    now: UtcMillis,
) -> Result<Workspace, Failure> {
    let id = run_workspace_id(run);
    let _turn = context.busy.turn(format!("workspace {id}")).await;
    if let Some(row) = context.store.workspace(id).await? {
        if row.workspace.state == WorkspaceState::Ready {
            return Ok(row.workspace);
        }
        super::recover::take_back(context, &row, now).await?;
    }
    let root = context.layout.scratch();
    let folder = blocking(move || made_folder(root))
        .await?
        .join(run.to_string());
    let mut row = scratch_row(id, run, name, created_by, text(&folder)?, now);
    save(context, &row, now).await?;
    match blocking(move || make(&folder, now)).await {
        Ok(commit) => {
            row.workspace.base_commit = Some(commit);
            set_state(context, &mut row, WorkspaceState::Ready, now).await?;
            Ok(row.workspace)
        }
        Err(failure) => {
            forget(context, &row, now).await?;
            Err(failure)
        }
    }
}

fn make(folder: &Path, now: UtcMillis) -> Result<String, crate::git::Error> {
    let made = repo::init(folder, now.0.div_euclid(1000));
    if made.is_err() {
        crate::git::trash::delete(folder);
    }
    made
}

fn scratch_row(
    id: WorkspaceId,
    run: RunId,
    name: &str,
    created_by: &str,
    path: String,
    now: UtcMillis,
) -> WorkspaceRow {
    WorkspaceRow {
        workspace: Workspace {
            id,
            project_id: None,
            name: name.to_owned(),
            branch: Some("main".to_owned()),
            base_branch: None,
            base_commit: None,
            kind: WorkspaceKind::Scratch,
            state: WorkspaceState::Creating,
            path,
            changes: None,
            task_id: None,
            created_by: created_by.to_owned(),
            created_at: now,
        },
        private: Private {
            run_id: Some(run),
            ..Private::default()
        },
    }
}
