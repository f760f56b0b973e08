//! Bringing rows and disk together: after a restart, and whenever something may have changed behind
//! our back.
//!
//! Invariant: no input but the rows and the disk; running it again changes nothing. Rows of
//! workspaces that somebody works on at this moment are left alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hostler_proto::error::Failure;
use hostler_proto::ids::ProjectId;
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{WorkspaceKind, WorkspaceState};

use super::{forget, save, set_state, turn_key};
use crate::Context;
use crate::git::entries::{self, Entry};
use crate::git::worktree::LOCK_REASON;
use crate::git::{Error, Repo, Tools, refs, trash, worktree};
use crate::projects::blocking;
use crate::reconcile::{self, Seen, Verdict};
use crate::store::projects::ProjectRow;
use crate::store::workspaces::WorkspaceRow;

/// Ends what a crash interrupted: creations are taken back, deletions go on. Before anything else
/// touches workspaces.
pub async fn recover(context: &Context, now: UtcMillis) -> Result<(), Failure> {
    for mut row in context.store.workspaces_unfinished().await? {
        let id = row.workspace.id;
        let result = match (&row.workspace.state, &row.private.entry) {
            (WorkspaceState::Deleting, _) => {
                super::delete::go_on(context, row, now).await.map(drop)
            }
            (WorkspaceState::Creating, Some(_)) => {
                let error = "setup was interrupted when the daemon stopped; create the workspace again to run it".to_owned();
                set_state(context, &mut row, WorkspaceState::Failed { error }, now).await
            }
            (WorkspaceState::Creating, None) => take_back(context, &row, now).await,
            (WorkspaceState::Ready | WorkspaceState::Failed { .. }, _) => Ok(()),
        };
        if let Err(failure) = result {
            tracing::warn!(workspace = %id, %failure, "could not settle a workspace; trying again later");
        }
    }
    sweep(context).await
}

/// Deletes what lies in the trash beside worktrees and scratch folders.
pub(crate) async fn sweep(context: &Context) -> Result<(), Failure> {
    let (root, scratch) = (
        context.config.worktrees_root.clone(),
        context.layout.scratch(),
    );
    blocking(move || {
        for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            trash::sweep(&entry.path());
        }
        trash::sweep(&scratch);
        Ok(())
    })
    .await
}

/// Undoes a creation that did not finish: branch, entry, folder. The row stays, as failed: the
/// catalog may ask for the same workspace again, and never takes back one it was told is gone.
pub(super) async fn take_back(
    context: &Context,
    row: &WorkspaceRow,
    now: UtcMillis,
) -> Result<(), Failure> {
    let project = match row.workspace.project_id {
        Some(id) => context.store.project(id).await?,
        None => None,
    };
    let (tools, place) = (Arc::clone(&context.git), row.clone());
    blocking(move || undo(&tools, &place, project.as_ref())).await?;
    let error = "its creation was interrupted when the daemon stopped; create it again".to_owned();
    set_state(
        context,
        &mut row.clone(),
        WorkspaceState::Failed { error },
        now,
    )
    .await
}

fn undo(tools: &Tools, row: &WorkspaceRow, project: Option<&ProjectRow>) -> Result<(), Error> {
    let (path, token) = (Path::new(&row.workspace.path), row.workspace.id.to_string());
    if row.workspace.kind == WorkspaceKind::Scratch {
        trash::discard(path, &token)?;
        return Ok(());
    }
    let Some(project) = project else {
        return Ok(());
    };
    let Ok(repo) = Repo::discover(Path::new(&project.project.path)) else {
        return Ok(());
    };
    let branch = row.workspace.branch.as_deref().unwrap_or_default();
    worktree::undo(
        tools,
        &repo,
        path,
        branch,
        row.private.branch_made_at.as_deref(),
        &token,
    )
}

/// Compares a project's workspaces with the disk and records what is true.
pub async fn reconcile(
    context: &Context,
    project: ProjectId,
    now: UtcMillis,
) -> Result<(), Failure> {
    let Some(project) = context.store.project(project).await? else {
        return Ok(());
    };
    let rows = context.store.workspaces_of(project.project.id).await?;
    let (tools, root) = (
        Arc::clone(&context.git),
        PathBuf::from(&project.project.path),
    );
    let ours = context.config.worktrees_root.clone();
    let seen = blocking(move || Ok(look(&tools, &root, &ours).ok())).await?;
    let Some((facts, strays)) = seen else {
        return Ok(());
    };
    for row in rows {
        settle(context, row, &facts, now).await?;
    }
    clear(context, &project, strays).await
}

struct Facts {
    entries: Vec<Entry>,
    main: Option<String>,
}

/// Everything git knows, and the unfinished worktrees under our root.
fn look(tools: &Tools, root: &Path, ours: &Path) -> Result<(Facts, Vec<Entry>), Error> {
    let repo = Repo::discover(root)?;
    let entries = entries::list(&tools.git, &repo)?;
    let ours = ours.canonicalize().unwrap_or_else(|_| ours.to_owned());
    let unfinished = |entry: &&Entry| {
        entry.path.starts_with(&ours)
            && entry
                .locked
                .as_deref()
                .is_some_and(|reason| reason.starts_with(LOCK_REASON))
    };
    let strays = entries.iter().filter(unfinished).cloned().collect();
    Ok((
        Facts {
            entries,
            main: refs::head_branch(&tools.git, &repo)?,
        },
        strays,
    ))
}

async fn settle(
    context: &Context,
    row: WorkspaceRow,
    facts: &Facts,
    now: UtcMillis,
) -> Result<(), Failure> {
    let seen = Seen {
        entries: &facts.entries,
        main_branch: facts.main.as_deref(),
        folder: Path::new(&row.workspace.path).is_dir(),
    };
    if reconcile::judge(&row, &seen) == Verdict::Same {
        return Ok(());
    }
    // Look again in our turn: an operation may have been under way.
    let key = match (row.workspace.project_id, &row.workspace.branch) {
        (Some(project), Some(branch)) => turn_key(project, branch),
        (Some(_) | None, _) => format!("workspace {}", row.workspace.id),
    };
    let _turn = context.busy.turn(key).await;
    let Some(row) = context.store.workspace(row.workspace.id).await? else {
        return Ok(());
    };
    let seen = Seen {
        folder: Path::new(&row.workspace.path).is_dir(),
        ..seen
    };
    match reconcile::judge(&row, &seen) {
        Verdict::Same => Ok(()),
        Verdict::Gone => {
            prune(context, &row).await?;
            forget(context, &row, now).await
        }
        Verdict::Changed(workspace) => {
            let row = WorkspaceRow {
                workspace: *workspace,
                ..row
            };
            save(context, &row, now).await
        }
    }
}

/// What git still remembers of a tree that is gone goes with it.
async fn prune(context: &Context, row: &WorkspaceRow) -> Result<(), Failure> {
    let (Some(project), Some(entry)) = (row.workspace.project_id, row.private.entry.clone()) else {
        return Ok(());
    };
    let Some(project) = context.store.project(project).await? else {
        return Ok(());
    };
    let (tools, token) = (Arc::clone(&context.git), row.workspace.id.to_string());
    blocking(move || {
        let repo = Repo::discover(Path::new(&project.project.path))?;
        worktree::prune(&tools, &repo, &entry, &token).map(drop)
    })
    .await
}

/// Takes away unfinished worktrees under our root that no row speaks of.
async fn clear(context: &Context, project: &ProjectRow, strays: Vec<Entry>) -> Result<(), Failure> {
    for stray in strays {
        let token = stray
            .locked
            .as_deref()
            .and_then(|reason| reason.strip_prefix(LOCK_REASON))
            .unwrap_or_default()
            .to_owned();
        let known = match token.parse() {
            Ok(id) => context.store.workspace(id).await?.is_some(),
            Err(_) => false,
        };
        if known {
            continue;
        }
        let (tools, root) = (
            Arc::clone(&context.git),
            PathBuf::from(&project.project.path),
        );
        blocking(move || {
            let repo = Repo::discover(&root)?;
            worktree::undo(&tools, &repo, &stray.path, "", None, &token)
        })
        .await?;
    }
    Ok(())
}
