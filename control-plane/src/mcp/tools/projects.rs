//! Tools for projects.

use hostler_proto::error::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Call, Effect, Entry, entry};
use crate::auth::Scope;
use crate::mcp::schema::Instant;
use crate::projects::{self, CreateProject, ProjectPlace, ProjectView};

pub(super) fn tools() -> Vec<Entry> {
    vec![entry(&LIST, list), entry(&CREATE, create)]
}

const LIST: About = About {
    name: "projects_list",
    title: "List registered git projects",
    description: "Lists the git repositories registered as projects, and for each the hosts that hold \
        it with path, default branch and state. Use it to find the id, slug or name that \
        workspaces_create and automations_create take; use projects_create when the repository is not \
        there yet, and workspaces_list for the worktrees made from it. It reads the catalog, so it \
        answers while hosts are offline, with what each told last (`asOf`). With a host given, only \
        projects on that host are listed. A project whose folder vanished stays listed as `missing`.",
    scope: Scope::ProjectsRead,
    effect: Effect::Reads,
    open_world: false,
};

const CREATE: About = About {
    name: "projects_create",
    title: "Register a git project on a host",
    description: "Registers a git repository on one host, either by cloning `url` or by importing the \
        checkout at `path` that is already there; give exactly one of the two. Do this once before \
        workspaces_create; look with projects_list first. A clone can take minutes and tells \
        progress; `parentDir` says where it goes, and an import leaves its files where they are. \
        Repeating it with the same path or remote returns the existing project (`existed: true`). \
        Addresses with a password or token in them are refused: set up a credential helper or ssh \
        key on the host. When a clone fails, what was half made is removed and git's words are in \
        `detail`.",
    scope: Scope::ProjectsWrite,
    effect: Effect::AddsOnce,
    open_world: true,
};

async fn list(call: Call, input: ListInput) -> Result<ListOutput, Failure> {
    let projects = projects::list(&call.app, &call.caller, input.host_id.as_deref()).await?;
    Ok(ListOutput {
        projects: projects.into_iter().map(ProjectOutput::from).collect(),
    })
}

async fn create(call: Call, input: CreateInput) -> Result<CreateOutput, Failure> {
    let wanted = CreateProject {
        host: input.host_id,
        url: input.url,
        path: input.path,
        name: input.name,
        parent_dir: input.parent_dir,
    };
    let made = projects::create(&call.app, &call.caller, wanted, call.sink()).await?;
    Ok(CreateOutput {
        project: made.project.into(),
        existed: made.existed,
        path: made.path,
        default_branch: made.default_branch,
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListInput {
    /// Only projects on this host: its id or name.
    #[schemars(length(min = 1, max = 200))]
    host_id: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CreateInput {
    /// The host: its id or name.
    #[schemars(length(min = 1, max = 200))]
    host_id: String,
    /// Remote to clone: https, ssh, `git@host:path`, `file://` or a local bare repository.
    #[schemars(length(min = 1, max = 2000))]
    url: Option<String>,
    /// Absolute path on the host of a checkout to import; any folder inside it will do.
    #[schemars(length(min = 1, max = 4096))]
    path: Option<String>,
    /// Display name; left out, the repository's folder name.
    #[schemars(length(min = 1, max = 200))]
    name: Option<String>,
    /// Absolute folder on the host to clone into, with `url` only; left out, the host's projects
    /// folder.
    #[schemars(length(min = 1, max = 4096))]
    parent_dir: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListOutput {
    /// The projects, by name.
    projects: Vec<ProjectOutput>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CreateOutput {
    /// The project with all the hosts that hold it.
    project: ProjectOutput,
    /// Whether it was registered on that host before.
    existed: bool,
    /// Its main checkout on that host.
    path: String,
    /// Branch that new workspaces start from; null before the first commit.
    default_branch: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ProjectOutput {
    /// Project id.
    id: String,
    /// Name.
    name: String,
    /// Readable id.
    slug: String,
    /// Remote, never with credentials; null without one.
    url: Option<String>,
    /// When it was first registered.
    created_at: Instant,
    /// Where it is.
    hosts: Vec<PlaceOutput>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PlaceOutput {
    /// Host id.
    host_id: String,
    /// Host name.
    host_name: String,
    /// Whether the host is connected now.
    host_online: bool,
    /// Main checkout there.
    path: String,
    /// Branch that new workspaces start from.
    default_branch: Option<String>,
    /// `cloning`, `ready` or `missing`.
    state: String,
    /// When the host last told of it.
    as_of: Instant,
}

impl From<ProjectView> for ProjectOutput {
    fn from(project: ProjectView) -> Self {
        Self {
            id: project.id.to_string(),
            name: project.name,
            slug: project.slug,
            url: project.url,
            created_at: project.created_at.into(),
            hosts: project.hosts.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ProjectPlace> for PlaceOutput {
    fn from(place: ProjectPlace) -> Self {
        Self {
            host_id: place.host_id.to_string(),
            host_name: place.host_name,
            host_online: place.host_online,
            path: place.path,
            default_branch: place.default_branch,
            state: super::word(&place.state),
            as_of: place.as_of.into(),
        }
    }
}
