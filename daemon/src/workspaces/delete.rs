//! Removing a workspace: look, refuse or go on, stop what runs in it, unregister, trash.
//!
//! Invariant: once the row says `deleting`, the deletion ends, in this life of the daemon or the
//! next; before that nothing has changed. Uncommitted or unpushed work goes only by force.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hostler_proto::command::{SetupReport, WorkspaceDelete, WorkspaceDeleted};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::WorkspaceId;
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{WorkspaceKind, WorkspaceState};

use super::create::env_of;
use super::{forget, save, setup_key, turn_key};
use crate::git::{Error, Repo, Tools, entries, refs, status, trash, worktree};
use crate::projects::blocking;
use crate::setup::{self, Steps, Supervise, TEARDOWN_LIMIT};
use crate::store::runs::Place;
use crate::store::workspaces::{Deleting, WorkspaceRow};
use crate::{Context, failpoint};

/// Removes a workspace. A workspace that is not known is already gone.
pub async fn delete(
    context: &Context,
    command: WorkspaceDelete,
    supervise: &dyn Supervise,
    now: UtcMillis,
) -> Result<WorkspaceDeleted, Failure> {
    let id = command.workspace_id;
    let mut answer = WorkspaceDeleted {
        workspace_id: id,
        already_gone: true,
        branch_deleted: false,
        teardown: None,
        warnings: Vec::new(),
    };
    let Some(seen) = context.store.workspace(id).await? else {
        return Ok(answer);
    };
    if context.busy.may_be_cut(&setup_key(id)) {
        // What sets it up need not go on: that may take minutes.
        check(context, &seen, &command).await?;
        context.busy.cut(&setup_key(id));
    }
    let _turn = context.busy.turn(turn_of(&seen)).await;
    let Some(mut row) = context.store.workspace(id).await? else {
        return Ok(answer);
    };
    answer.already_gone = false;
    check(context, &row, &command).await?;
    if !command.force && is_worked_in(context, id).await? {
        // What works there goes on writing until it is ended: looked at again after that.
        supervise.vacate(id).await;
        check(context, &row, &command).await?;
    }
    let branch = branch_to_delete(context, &row, command.delete_branch).await?;
    row.private.deleting = Some(Deleting {
        branch,
        force: command.force,
    });
    row.workspace.state = WorkspaceState::Deleting;
    save(context, &row, now).await?;
    failpoint::reached("workspace_delete", "intent");
    supervise.vacate(id).await;
    answer.teardown = tear_down(context, &row, supervise, &mut answer.warnings).await?;
    let ended = go_on(context, row, now).await?;
    answer.branch_deleted = ended.branch_deleted;
    answer.warnings.extend(ended.warnings);
    if command.delete_branch && !answer.branch_deleted {
        answer
            .warnings
            .push("its branch was kept: it has moved, holds commits that are nowhere else, is in use elsewhere, or is gone".to_owned());
    }
    Ok(answer)
}

async fn is_worked_in(context: &Context, id: WorkspaceId) -> Result<bool, Failure> {
    let rows = context.store.unfinished_runs().await?;
    let there = |place: &Place| place.workspace_id == id;
    Ok(rows.iter().any(|row| row.place.as_ref().is_some_and(there)))
}

pub(super) struct Ended {
    branch_deleted: bool,
    warnings: Vec<String>,
}

/// The part that a restart takes up again: tree into the trash, branch, row.
pub(super) async fn go_on(
    context: &Context,
    row: WorkspaceRow,
    now: UtcMillis,
) -> Result<Ended, Failure> {
    let root = match row.workspace.project_id {
        Some(project) => context
            .store
            .project(project)
            .await?
            .map(|row| PathBuf::from(row.project.path)),
        None => None,
    };
    let (tools, place) = (Arc::clone(&context.git), row.clone());
    let ended = blocking(move || take_away(&tools, &place, root.as_deref())).await?;
    forget(context, &row, now).await?;
    let parent = Path::new(&row.workspace.path).parent().map(Path::to_owned);
    if let Some(parent) = parent {
        // Nobody waits for this one; what a stop leaves is swept at the next start.
        drop(tokio::task::spawn_blocking(move || trash::sweep(&parent)));
    }
    Ok(ended)
}

fn take_away(tools: &Tools, row: &WorkspaceRow, root: Option<&Path>) -> Result<Ended, Error> {
    let (path, token) = (Path::new(&row.workspace.path), row.workspace.id.to_string());
    let mut ended = Ended {
        branch_deleted: false,
        warnings: Vec::new(),
    };
    let repo = root.map(Repo::discover).and_then(Result::ok);
    let Some(repo) = repo.filter(|_| row.workspace.kind == WorkspaceKind::Worktree) else {
        trash::discard(path, &token)?;
        failpoint::reached("workspace_delete", "trashed");
        return Ok(ended);
    };
    let removed = worktree::remove(tools, &repo, path, &token)?;
    failpoint::reached("workspace_delete", "trashed");
    if let Some(reason) = removed.locked {
        ended.warnings.push(format!(
            "the worktree was locked ({reason}) and was removed all the same"
        ));
    }
    let deleting = row.private.deleting.as_ref();
    if let Some(deleting) = deleting {
        ended.branch_deleted = delete_branch(tools, &repo, deleting)?;
        failpoint::reached("workspace_delete", "branch_deleted");
    }
    Ok(ended)
}

/// Looks once more at what would be lost, because the branch that had these commits too may have
/// been deleted since.
fn delete_branch(tools: &Tools, repo: &Repo, deleting: &Deleting) -> Result<bool, Error> {
    let Some((branch, commit)) = &deleting.branch else {
        return Ok(false);
    };
    tools.locks.exclusive(&repo.common, || {
        let last = || status::unpushed(&tools.git, &repo.root, commit, Some(branch));
        if !deleting.force && !last().is_ok_and(|commits| commits.is_empty()) {
            return Ok(false);
        }
        if entries::holder(&tools.git, repo, branch)?.is_some() {
            return Ok(false);
        }
        refs::delete(&tools.git, repo, branch, commit)
    })
}

fn turn_of(row: &WorkspaceRow) -> String {
    let workspace = &row.workspace;
    match (workspace.project_id, &workspace.branch) {
        (Some(project), Some(branch)) => turn_key(project, branch),
        (Some(_) | None, _) => format!("workspace {}", workspace.id),
    }
}

async fn check(
    context: &Context,
    row: &WorkspaceRow,
    command: &WorkspaceDelete,
) -> Result<(), Failure> {
    let workspace = &row.workspace;
    if workspace.kind == WorkspaceKind::Main {
        let message = format!(
            "workspace '{}' is the main checkout at {}, which is never deleted",
            workspace.name, workspace.path
        );
        return Err(Failure::new(ErrorCode::PreconditionFailed, message)
            .hint("Delete other workspaces of the project; the repository itself stays yours."));
    }
    if command.force
        || workspace.state == WorkspaceState::Deleting
        || !Path::new(&workspace.path).exists()
    {
        return Ok(());
    }
    let (tools, place) = (Arc::clone(&context.git), row.clone());
    let work = blocking(move || Ok(unsaved(&tools, &place))).await?;
    match work {
        Ok(work) if work.is_empty() => Ok(()),
        Ok(work) => Err(refusal(row, &work)),
        Err(error) => {
            let message = format!(
                "workspace '{}' at {} could not be checked for unsaved work",
                workspace.name, workspace.path
            );
            let failure = Failure::new(ErrorCode::PreconditionFailed, message);
            let failure =
                failure.hint("Look at the folder yourself, then delete with force: true.");
            Err(failure.detail(error.detail().unwrap_or_else(|| error.to_string())))
        }
    }
}

/// What would be lost: dirty files and commits that are nowhere else.
fn unsaved(tools: &Tools, row: &WorkspaceRow) -> Result<Vec<String>, Error> {
    let path = Path::new(&row.workspace.path);
    let state = status::status(&tools.git, path)?;
    let mut work = state.dirty.clone();
    if row.workspace.kind == WorkspaceKind::Scratch {
        if let Some(base) = &row.workspace.base_commit {
            work.extend(status::since(&tools.git, path, base)?);
        }
        return Ok(work);
    }
    if state.head.is_some() {
        let commits = status::unpushed(&tools.git, path, "HEAD", state.branch.as_deref())?;
        work.extend(commits.into_iter().map(|commit| format!("commit {commit}")));
    }
    Ok(work)
}

fn refusal(row: &WorkspaceRow, work: &[String]) -> Failure {
    let message = format!(
        "workspace '{}' ({}) holds work that is saved nowhere else: {}",
        row.workspace.name,
        row.workspace.id,
        work.join("; ")
    );
    Failure::new(ErrorCode::PreconditionFailed, message).hint(
        "Commit and push it (or keep it on another branch), or delete with force: true to lose it.",
    )
}

async fn branch_to_delete(
    context: &Context,
    row: &WorkspaceRow,
    wanted: bool,
) -> Result<Option<(String, String)>, Failure> {
    let (Some(project), Some(branch), true) = (
        row.workspace.project_id,
        row.workspace.branch.clone(),
        wanted,
    ) else {
        return Ok(None);
    };
    let Some(project) = context.store.project(project).await? else {
        return Ok(None);
    };
    let (tools, root) = (
        Arc::clone(&context.git),
        PathBuf::from(project.project.path),
    );
    blocking(move || {
        let Ok(repo) = Repo::discover(&root) else {
            return Ok(None);
        };
        if refs::default_branch(&tools.git, &repo)? == branch {
            return Ok(None);
        }
        let commit = refs::branch(&tools.git, &repo, &branch)?;
        Ok(commit.map(|commit| (branch, commit)))
    })
    .await
}

async fn tear_down(
    context: &Context,
    row: &WorkspaceRow,
    supervise: &dyn Supervise,
    warnings: &mut Vec<String>,
) -> Result<Option<SetupReport>, Failure> {
    let (Some(project), Some(_)) = (row.workspace.project_id, &row.private.entry) else {
        return Ok(None);
    };
    let Some(project) = context.store.project(project).await? else {
        return Ok(None);
    };
    let (tree, root) = (
        PathBuf::from(&row.workspace.path),
        PathBuf::from(&project.project.path),
    );
    let look = move || {
        let wants = setup::find(&tree, &root)?;
        let folder = if wants.teardown.is_empty() {
            tree
        } else {
            wants.folder(&tree)?
        };
        Ok::<_, setup::SetupError>((wants, folder))
    };
    let there = Path::new(&row.workspace.path).is_dir();
    let wants = blocking(move || Ok(there.then(look))).await?;
    let (wants, dir) = match wants {
        Some(Ok((wants, dir))) if !wants.teardown.is_empty() => (wants, dir),
        Some(Err(error)) => {
            warnings.push(format!("teardown was left out: {error}"));
            return Ok(None);
        }
        Some(Ok(_)) | None => return Ok(None),
    };
    let steps = Steps {
        what: "teardown",
        commands: wants.teardown,
        dir,
        env: env_of(row, &project.project.path),
        limit: TEARDOWN_LIMIT,
    };
    let report = supervise.steps(steps).await;
    if !report.ok {
        let command = report.failed_command.as_deref().unwrap_or("a command");
        warnings.push(format!(
            "teardown failed at '{command}'; the workspace was removed all the same"
        ));
    }
    Ok(Some(report))
}
