//! Projects: repositories registered on hosts, as one list for the organization.
//!
//! A host owns what it reports of a project; the catalog keeps the copy that answers while the
//! host is away. Credentials in a URL are refused here and never reach the catalog or a host.

use hostler_proto::error::Failure;
use hostler_proto::ids::{HostId, ProjectId};
use hostler_proto::project::ProjectState;
use hostler_proto::time::UtcMillis;

use crate::auth::Caller;
use crate::hosts::ProgressSink;
use crate::{App, pending};

/// A project as its users see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectView {
    /// Identity.
    pub id: ProjectId,
    /// Display name.
    pub name: String,
    /// File-system and URL safe form of the name.
    pub slug: String,
    /// Canonical remote URL, never with credentials.
    pub url: Option<String>,
    /// When it was first registered.
    pub created_at: UtcMillis,
    /// Where it is.
    pub hosts: Vec<ProjectPlace>,
}

/// A project on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectPlace {
    /// The host.
    pub host_id: HostId,
    /// Its name.
    pub host_name: String,
    /// Whether it is connected now.
    pub host_online: bool,
    /// Absolute path of the main checkout there.
    pub path: String,
    /// Branch new workspaces start from.
    pub default_branch: Option<String>,
    /// Whether it can be used.
    pub state: ProjectState,
    /// When the host last told of it.
    pub as_of: UtcMillis,
}

/// What to register.
#[derive(Clone, Debug, Default)]
pub struct CreateProject {
    /// Id or name of the host.
    pub host: String,
    /// Remote to clone; exactly one of this and `path`.
    pub url: Option<String>,
    /// Checkout to import.
    pub path: Option<String>,
    /// Display name.
    pub name: Option<String>,
    /// Absolute folder to clone into.
    pub parent_dir: Option<String>,
}

/// A project registered, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectMade {
    /// The project with all its places.
    pub project: ProjectView,
    /// Whether it was registered on that host before.
    pub existed: bool,
    /// Its path on that host.
    pub path: String,
    /// Its default branch there.
    pub default_branch: Option<String>,
}

/// The organization's projects on hosts the caller may use, by name.
pub async fn list(
    app: &App,
    caller: &Caller,
    host: Option<&str>,
) -> Result<Vec<ProjectView>, Failure> {
    pending(app, caller, &host).await
}

/// Registers a repository on a host: clones a URL, or imports a checkout.
pub async fn create(
    app: &App,
    caller: &Caller,
    input: CreateProject,
    progress: Option<ProgressSink>,
) -> Result<ProjectMade, Failure> {
    pending(app, caller, &(input, progress.is_some())).await
}
