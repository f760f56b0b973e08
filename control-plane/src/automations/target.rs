//! Where an automation runs: a worktree of a project, a workspace, or a scratch folder, on the host
//! it is for.

use hostler_proto::automation::RunTarget;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{ProjectId, WorkspaceId};

use super::UpdateAutomation;
use crate::auth::Caller;
use crate::store::hosts::HostRow;
use crate::{App, projects, workspaces};

/// What was asked for, as written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) project: Option<&'a str>,
    pub(super) workspace: Option<&'a str>,
    pub(super) base_branch: Option<&'a str>,
}

/// What an automation has, in the form it would be written.
#[derive(Debug)]
pub(super) struct Kept {
    project: Option<String>,
    workspace: Option<String>,
    base_branch: Option<String>,
}

/// Finds the project or workspace on the host.
pub(super) async fn resolve(
    app: &App,
    caller: &Caller,
    host: &HostRow,
    asked: Asked<'_>,
) -> Result<RunTarget, Failure> {
    match (asked.project, asked.workspace, asked.base_branch) {
        (Some(_), Some(_), _) => Err(invalid(
            "a project and a workspace were given; a run takes place in one of them",
            "pass projectId for a fresh worktree per run, or workspaceId to run in that workspace",
        )),
        (None, _, Some(_)) => Err(invalid(
            "baseBranch was given without a project",
            "baseBranch says where a project's fresh worktrees start: pass projectId too, or leave it out",
        )),
        (Some(project), None, base_branch) => Ok(RunTarget::Project {
            project_id: on_host(app, caller, host, project).await?,
            base_branch: base_branch.map(str::to_owned),
        }),
        (None, Some(workspace), None) => Ok(RunTarget::Workspace {
            workspace_id: workspace_on(app, caller, host, workspace).await?,
        }),
        (None, None, None) => Ok(RunTarget::Scratch),
    }
}

/// Whether a change says anything of where it runs.
pub(super) fn touched(input: &UpdateAutomation) -> bool {
    input.project.is_some() || input.workspace.is_some() || input.base_branch.is_some()
}

/// What an automation has now.
pub(super) fn kept(target: &RunTarget) -> Kept {
    let (project, workspace, base_branch) = match target {
        RunTarget::Project {
            project_id,
            base_branch,
        } => (Some(project_id.to_string()), None, base_branch.clone()),
        RunTarget::Workspace { workspace_id } => (None, Some(workspace_id.to_string()), None),
        RunTarget::Scratch => (None, None, None),
    };
    Kept {
        project,
        workspace,
        base_branch,
    }
}

/// A change over what is kept. Naming a project replaces a workspace, and the other way round.
pub(super) fn merge<'a>(kept: &'a Kept, input: &'a UpdateAutomation) -> Asked<'a> {
    let project = over(input.project.as_ref(), kept.project.as_deref());
    let workspace = over(input.workspace.as_ref(), kept.workspace.as_deref());
    let names = |field: &Option<Option<String>>| matches!(field, Some(Some(_)));
    let (project, workspace) = match (names(&input.project), names(&input.workspace)) {
        (true, false) => (project, None),
        (false, true) => (None, workspace),
        (true, true) | (false, false) => (project, workspace),
    };
    let base_branch = over(input.base_branch.as_ref(), kept.base_branch.as_deref());
    let base_branch = match &input.base_branch {
        Some(_) => base_branch,
        None => base_branch.filter(|_| project.is_some()),
    };
    Asked {
        project,
        workspace,
        base_branch,
    }
}

fn over<'a>(change: Option<&'a Option<String>>, kept: Option<&'a str>) -> Option<&'a str> {
    match change {
        Some(value) => value.as_deref(),
        None => kept,
    }
}

async fn on_host(
    app: &App,
    caller: &Caller,
    host: &HostRow,
    reference: &str,
) -> Result<ProjectId, Failure> {
    Ok(projects::resolve_on(app, caller, host, reference).await?.id)
}

async fn workspace_on(
    app: &App,
    caller: &Caller,
    host: &HostRow,
    id: &str,
) -> Result<WorkspaceId, Failure> {
    let found = workspaces::get(app, caller, id).await?;
    if found.host_id == host.id {
        return Ok(found.workspace.id);
    }
    Err(invalid(
        &format!(
            "workspace {} is on host {}, and the automation is for host {}",
            found.workspace.id, found.host_name, host.name
        ),
        "pass that host as targetHostId, or a workspace of this host",
    ))
}

fn invalid(message: &str, hint: &str) -> Failure {
    Failure::new(ErrorCode::InvalidArgument, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naming_one_place_replaces_the_other_and_clearing_leaves_none() {
        let project = Kept {
            project: Some("p".into()),
            workspace: None,
            base_branch: Some("dev".into()),
        };
        let to_workspace = UpdateAutomation {
            workspace: Some(Some("w".into())),
            ..UpdateAutomation::default()
        };
        let asked = merge(&project, &to_workspace);
        assert_eq!(
            (asked.project, asked.workspace, asked.base_branch),
            (None, Some("w"), None)
        );
        let cleared = UpdateAutomation {
            project: Some(None),
            ..UpdateAutomation::default()
        };
        let asked = merge(&project, &cleared);
        assert_eq!(
            (asked.project, asked.workspace, asked.base_branch),
            (None, None, None)
        );
        let untouched = UpdateAutomation::default();
        let asked = merge(&project, &untouched);
        assert_eq!((asked.project, asked.base_branch), (Some("p"), Some("dev")));
    }
}
