//! Counting what differs in a workspace.
//!
//! Invariant: one look is one `git status` (and one count of commits where there is no upstream);
//! nothing is written and no event is told when the counts are as before.

use std::path::PathBuf;
use std::sync::Arc;

use hostler_proto::error::Failure;
use hostler_proto::ids::WorkspaceId;
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{Changes, Workspace, WorkspaceState};

use super::save;
use crate::Context;
use crate::git::{Error, Git, status};
use crate::projects::blocking;

/// Looks at a workspace and records its changes and branch.
pub async fn refresh(
    context: &Context,
    id: WorkspaceId,
    now: UtcMillis,
) -> Result<Option<Workspace>, Failure> {
    let Some(row) = context.store.workspace(id).await? else {
        return Ok(None);
    };
    match row.workspace.state {
        WorkspaceState::Ready | WorkspaceState::Failed { .. } => {}
        WorkspaceState::Creating | WorkspaceState::Deleting => return Ok(Some(row.workspace)),
    }
    let (tools, workspace) = (Arc::clone(&context.git), row.workspace.clone());
    let seen = blocking(move || Ok(count(&tools.git, &workspace).ok())).await?;
    let Some(mut row) = context.store.workspace(id).await? else {
        return Ok(None);
    };
    if let (Some((changes, branch)), WorkspaceState::Ready) = (seen, &row.workspace.state) {
        let before = row.workspace.clone();
        row.workspace.changes = Some(changes);
        row.workspace.branch = branch;
        if row.workspace != before {
            save(context, &row, now).await?;
        }
    }
    Ok(Some(row.workspace))
}

/// Several workspaces, counted now; unknown ones are left out. Whoever asks while somebody else's
/// look goes on gets what is known, so that many who look cost no more than one.
pub async fn counted(
    context: &Context,
    ids: Vec<WorkspaceId>,
    now: UtcMillis,
) -> Result<Vec<Workspace>, Failure> {
    let turn = context.busy.free("count workspaces".to_owned());
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let workspace = if turn.is_some() {
            refresh(context, id, now).await?
        } else {
            context.store.workspace(id).await?.map(|row| row.workspace)
        };
        found.extend(workspace);
    }
    Ok(found)
}

fn count(git: &Git, workspace: &Workspace) -> Result<(Changes, Option<String>), Error> {
    let path = PathBuf::from(&workspace.path);
    let seen = status::status(git, &path)?;
    let (ahead, behind) = match (&workspace.base_branch, &workspace.base_commit) {
        (_, _) if seen.upstream => (seen.ahead, seen.behind),
        (Some(branch), _) if seen.head.is_some() => {
            let against = status::against(git, &path, branch);
            against.or_else(|error| {
                workspace
                    .base_commit
                    .as_deref()
                    .map_or(Err(error), |commit| status::against(git, &path, commit))
            })?
        }
        (None, Some(commit)) if seen.head.is_some() => status::against(git, &path, commit)?,
        (Some(_) | None, _) => (0, 0),
    };
    let changes = Changes {
        ahead,
        behind,
        staged: seen.staged,
        unstaged: seen.unstaged,
        untracked: seen.untracked,
    };
    Ok((changes, seen.branch))
}
