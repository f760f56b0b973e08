//! A page of workspaces as last known: what people look at, at a cost that does not grow with how
//! many there are.
//!
//! Nobody waits for hosts: those that are here are asked to count what differs beside the answer,
//! and tell it by their events, so the next look shows it.

use crate::auth::Caller;
use crate::store::workspaces::Filter;
use crate::{App, hosts_catalog, projects, store};
use hostler_proto::error::Failure;

use super::{ListWorkspaces, WorkspaceView, check_state, count, view};

/// A page of workspaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkspacePage {
    /// The page, newest first.
    pub workspaces: Vec<WorkspaceView>,
    /// How many there are in all.
    pub total: u64,
}

/// The organization's workspaces on hosts the caller may use, with `search` in name or branch.
pub async fn page(
    app: &App,
    caller: &Caller,
    input: ListWorkspaces,
    search: Option<String>,
    limit: u32,
    offset: u64,
) -> Result<WorkspacePage, Failure> {
    check_state(input.state.as_deref())?;
    let hosts = hosts_catalog::list(app, caller, None).await?;
    let mut wanted: Vec<_> = hosts.iter().map(|host| host.id).collect();
    if let Some(reference) = &input.host {
        wanted = vec![hosts_catalog::resolve(app, caller, reference).await?.id];
    }
    if wanted.is_empty() {
        return Ok(WorkspacePage::default());
    }
    let project = match &input.project {
        Some(reference) => Some(projects::resolve_any(app, caller, reference).await?),
        None => None,
    };
    let filter = Filter {
        hosts: wanted,
        project,
        state: input.state,
        search,
    };
    let found = store::workspaces::page(&app.store, caller.org_id, &filter, limit, offset).await?;
    let (rows, total) = found;
    let workspaces: Vec<_> = rows
        .into_iter()
        .filter_map(|row| view(row, &hosts))
        .collect();
    let (asked, who, mut counted) = (app.clone(), caller.clone(), workspaces.clone());
    app.in_background(async move { count::refresh(&asked, &who, &mut counted).await });
    Ok(WorkspacePage { workspaces, total })
}
