//! Where a run works: an existing workspace, a fresh worktree, or a scratch folder.
//!
//! A worktree made for a run is not set up while it is made: its setup commands are the first steps
//! of the run's own supervisor, so that their output is in the run's log and a cancel ends them too.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hostler_proto::automation::{KeepWorkspace, RunTarget};
use hostler_proto::command::{SetupReport, WorkspaceDelete};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::WorkspaceId;
use hostler_proto::run::Outcome;
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{Workspace, WorkspaceState};

use crate::Context;
use crate::git::{Repo, journal, refs, status};
use crate::projects::blocking;
use crate::setup::{self, Later, Steps, Supervise};
use crate::store::runs::{Place, RunRow};
use crate::store::workspaces as rows;
use crate::workspaces::{self, RunPlace};

/// A place and what has to be run in it first.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) place: Place,
    /// Setup commands and their folder.
    pub(super) setup: (Vec<String>, PathBuf),
    /// What was left undone on the way, for the run's log.
    pub(super) warnings: Vec<String>,
}

/// Makes or finds the place of a run. Doing it twice gives the same place.
pub(super) async fn prepare(
    context: &Context,
    row: &RunRow,
    now: UtcMillis,
) -> Result<Prepared, Failure> {
    let automation = &row.automation;
    let created_by = format!("automation:{}", automation.id);
    match &automation.target {
        RunTarget::Workspace { workspace_id } => existing(context, *workspace_id).await,
        RunTarget::Project {
            project_id,
            base_branch,
        } => {
            let wish = RunPlace {
                run_id: row.run.id,
                project_id: *project_id,
                automation: automation.name.clone(),
                base_branch: base_branch.clone(),
                created_by,
            };
            let made =
                workspaces::for_run(context, wish, &SetupInTheRun, Arc::new(|_| ()), now).await?;
            let mut prepared = with_setup(context, made.workspace).await?;
            prepared.warnings = made.warnings;
            Ok(prepared)
        }
        RunTarget::Scratch => {
            let name = &automation.name;
            let made = workspaces::scratch(context, row.run.id, name, &created_by, now).await?;
            let folder = PathBuf::from(&made.path);
            Ok(Prepared {
                place: place(context, made, true).await?,
                setup: (Vec::new(), folder),
                warnings: Vec::new(),
            })
        }
    }
}

async fn existing(context: &Context, id: WorkspaceId) -> Result<Prepared, Failure> {
    let gone = |what: &str| {
        Failure::new(ErrorCode::NotFound, format!("workspace {id} {what}"))
            .hint("Point the automation at another workspace or at the project.")
    };
    let row = context.store.workspace(id).await?;
    let workspace = row.ok_or_else(|| gone("is not on this host"))?.workspace;
    match &workspace.state {
        WorkspaceState::Ready => {}
        WorkspaceState::Creating => return Err(gone("is not ready yet")),
        WorkspaceState::Failed { error } => {
            return Err(gone(&format!("cannot be used: {error}")));
        }
        WorkspaceState::Deleting => return Err(gone("is being deleted")),
    }
    if !Path::new(&workspace.path).is_dir() {
        return Err(gone(&format!("has lost its folder {}", workspace.path)));
    }
    let folder = PathBuf::from(&workspace.path);
    Ok(Prepared {
        place: place(context, workspace, false).await?,
        setup: (Vec::new(), folder),
        warnings: Vec::new(),
    })
}

/// A fresh worktree with the project's setup commands.
async fn with_setup(context: &Context, workspace: Workspace) -> Result<Prepared, Failure> {
    let place = place(context, workspace, true).await?;
    let (path, root) = (PathBuf::from(&place.path), PathBuf::from(&place.root));
    let look = move || {
        let wants = setup::find(&path, &root)?;
        let folder = if wants.setup.is_empty() {
            path
        } else {
            wants.folder(&path)?
        };
        Ok::<_, setup::SetupError>((wants.setup, folder))
    };
    let wants = blocking(move || Ok(look())).await?;
    let setup = wants.map_err(|error| {
        Failure::new(ErrorCode::PreconditionFailed, error.to_string())
            .hint("Correct the project's setup config.")
    })?;
    Ok(Prepared {
        place,
        setup,
        warnings: Vec::new(),
    })
}

async fn place(context: &Context, workspace: Workspace, owned: bool) -> Result<Place, Failure> {
    let root = match workspace.project_id {
        Some(project) => context.store.project(project).await?,
        None => None,
    };
    let root = root.map_or_else(|| workspace.path.clone(), |row| row.project.path);
    let (tools, path) = (Arc::clone(&context.git), PathBuf::from(&workspace.path));
    let main = PathBuf::from(&root);
    let head = blocking(move || {
        let repo = Repo::discover(&main)?;
        refs::head_of(&tools.git, &repo, &path)
    })
    .await?;
    Ok(Place {
        journal: journal::position(Path::new(&workspace.path)),
        workspace_id: workspace.id,
        name: workspace.name,
        path: workspace.path,
        root,
        branch: workspace.branch,
        head,
        owned,
    })
}

/// What happened in the place since the run began; nothing when it cannot be told.
pub(super) async fn changes(context: &Context, place: &Place) -> Outcome {
    let (tools, place) = (Arc::clone(&context.git), place.clone());
    let path = place.path.clone();
    let look = blocking(move || {
        let (path, head) = (PathBuf::from(&place.path), place.head.as_deref());
        status::outcome(&tools.git, &path, head, place.journal)
    });
    match look.await {
        Ok(found) => Outcome {
            commits: found.commits,
            files_changed: found.files_changed,
            insertions: found.insertions,
            deletions: found.deletions,
            dirty: found.dirty,
            ..Outcome::default()
        },
        Err(failure) => {
            tracing::warn!(%path, %failure, "a run's changes cannot be told");
            Outcome::default()
        }
    }
}

/// A failed setup makes the run's own workspace unusable, visibly.
pub(super) async fn set_up_failed(
    context: &Context,
    id: WorkspaceId,
    error: &str,
    now: UtcMillis,
) -> Result<(), Failure> {
    let Some(mut row) = context.store.workspace(id).await? else {
        return Ok(());
    };
    row.workspace.state = WorkspaceState::Failed {
        error: error.to_owned(),
    };
    let mut tx = context.store.begin().await?;
    rows::put(&mut tx, &row, now).await?;
    Ok(context.store.commit(tx).await?)
}

/// Removes a run's own workspace as the automation wishes; never one with unsaved work.
pub(super) async fn leave(
    context: &Context,
    supervise: &dyn Supervise,
    workspace_id: WorkspaceId,
    keep: KeepWorkspace,
    outcome: &Outcome,
    now: UtcMillis,
) {
    let changed = outcome.commits > 0 || outcome.files_changed > 0 || outcome.dirty;
    let stays = match keep {
        KeepWorkspace::Always => true,
        KeepWorkspace::IfChanged => changed,
        KeepWorkspace::Never => false,
    };
    if stays {
        return;
    }
    let command = WorkspaceDelete {
        workspace_id,
        force: false,
        delete_branch: true,
        by: None,
    };
    if let Err(failure) = workspaces::delete(context, command, supervise, now).await {
        tracing::info!(workspace = %workspace_id, %failure, "a run's workspace stays");
    }
}

/// Leaves setup to the run's supervisor.
struct SetupInTheRun;

impl Supervise for SetupInTheRun {
    fn steps(&self, _steps: Steps) -> Later<'_, SetupReport> {
        Box::pin(std::future::ready(SetupReport {
            ok: true,
            failed_command: None,
            exit_code: None,
            duration_ms: 0,
            last_lines: String::new(),
        }))
    }

    fn vacate(&self, _workspace: WorkspaceId) -> Later<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
