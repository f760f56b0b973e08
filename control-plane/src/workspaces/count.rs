//! Fresh counts for whoever is looking at workspaces.
//!
//! A host does not watch whole trees, so it notices an edited file when somebody asks. Each host gets
//! a moment; what it has not answered by then is shown as last known, and follows by its events.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use hostler_proto::command::{Command, Reply, WorkspacesCount};
use hostler_proto::ids::{CommandId, HostId, WorkspaceId};
use hostler_proto::workspace::{Workspace, WorkspaceState};

use super::WorkspaceView;
use crate::auth::Caller;
use crate::{App, clock, reconcile};

/// The most workspaces of one host that are counted for one look.
const MOST: usize = 50;

/// Replaces what differs in the workspaces of hosts that answer in time.
pub(super) async fn refresh(app: &App, caller: &Caller, views: &mut [WorkspaceView]) {
    let mut asked: BTreeMap<HostId, Vec<WorkspaceId>> = BTreeMap::new();
    for view in views.iter().filter(|view| countable(view)) {
        let ids = asked.entry(view.host_id).or_default();
        if ids.len() < MOST {
            ids.push(view.workspace.id);
        }
    }
    let answers = asked
        .into_iter()
        .map(|(host, ids)| ask(app, caller, host, ids));
    let counted: BTreeMap<WorkspaceId, Workspace> = join_all(answers)
        .await
        .into_iter()
        .flatten()
        .map(|workspace| (workspace.id, workspace))
        .collect();
    for view in views {
        if let Some(now) = counted.get(&view.workspace.id) {
            view.workspace.changes = now.changes;
            view.workspace.branch.clone_from(&now.branch);
        }
    }
}

fn countable(view: &WorkspaceView) -> bool {
    view.host_online && view.workspace.state == WorkspaceState::Ready
}

async fn ask(
    app: &App,
    caller: &Caller,
    host: HostId,
    workspace_ids: Vec<WorkspaceId>,
) -> Vec<Workspace> {
    let command = Command::WorkspacesCount(WorkspacesCount {
        workspace_ids,
        by: Some(caller.actor()),
    });
    let deadline = reconcile::deadline(&command);
    let id = CommandId::fresh(clock::wall(), &clock::id_entropy());
    match app.hosts.call(host, id, command, deadline, None).await {
        Ok(Reply::WorkspacesCounted { workspaces }) => workspaces,
        Ok(
            Reply::ProjectCreated(_)
            | Reply::WorkspaceCreated(_)
            | Reply::WorkspaceDeleted(_)
            | Reply::RunStarted { .. }
            | Reply::RunCancelled { .. },
        )
        | Err(_) => Vec::new(),
    }
}
