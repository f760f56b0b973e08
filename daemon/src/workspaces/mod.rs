//! Workspaces: made from projects, refreshed, removed, and brought in line with what is on the disk.
//!
//! Invariant: the row is written before the disk is touched and removed after; whatever a crash
//! leaves between the two is taken back by [`recover`]. One worktree per (project, branch).
//! Deliberately not here: how git does it (`git/`) and how commands are run (`supervisor/`).

mod base;
mod create;
mod delete;
mod recover;
mod refresh;
mod special;

pub use create::{Crash, create, create_at};
pub use delete::delete;
pub(crate) use recover::sweep;
pub use recover::{reconcile, recover};
pub use refresh::{counted, refresh};
pub use special::{RunPlace, for_run, main_row, main_workspace_id, run_workspace_id, scratch};

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::WorkspaceState;

use crate::Context;
use crate::store::workspaces::{self, WorkspaceRow};

/// Writes the row and its event in one transaction.
async fn save(context: &Context, row: &WorkspaceRow, now: UtcMillis) -> Result<(), Failure> {
    let mut tx = context.store.begin().await?;
    workspaces::put(&mut tx, row, now).await?;
    Ok(context.store.commit(tx).await?)
}

/// Removes the row, with its event, in one transaction.
async fn forget(context: &Context, row: &WorkspaceRow, now: UtcMillis) -> Result<(), Failure> {
    let mut tx = context.store.begin().await?;
    workspaces::remove(&mut tx, row.workspace.id, now).await?;
    Ok(context.store.commit(tx).await?)
}

async fn set_state(
    context: &Context,
    row: &mut WorkspaceRow,
    state: WorkspaceState,
    now: UtcMillis,
) -> Result<(), Failure> {
    row.workspace.state = state;
    save(context, row, now).await
}

/// The key under which work on one branch of a project takes turns.
fn turn_key(project: hostler_proto::ids::ProjectId, branch: &str) -> String {
    format!("workspace {project} {branch}")
}

/// The key under which a workspace's setup may be cut short.
fn setup_key(id: hostler_proto::ids::WorkspaceId) -> String {
    format!("setup {id}")
}

fn invalid(message: impl Into<String>, hint: &str) -> Failure {
    Failure::new(ErrorCode::InvalidArgument, message).hint(hint)
}

#[cfg(test)]
mod tests;
