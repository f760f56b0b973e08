//! Projects: repositories registered on hosts, as one list for the organization.
//!
//! A host owns what it reports of a project; the catalog keeps the copy that answers while the
//! host is away. Credentials in a URL are refused here and never reach the catalog or a host.

use hostler_proto::command::{Command, ProjectCreate, ProjectCreated, ProjectSource, Reply};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{CommandId, HostId, ProjectId};
use hostler_proto::project::ProjectState;
use hostler_proto::time::UtcMillis;
use serde_json::json;

use crate::audit::{self, Thing};
use crate::auth::Caller;
use crate::hosts::ProgressSink;
use crate::hosts_catalog::{self, HostView};
use crate::names::{self, Named};
use crate::store::hosts::HostRow;
use crate::store::projects::PlaceRow;
use crate::{App, clock, reconcile, store};

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
    /// When this was last known to be so: the host's last sign of life, or when it last told of it.
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
    let mut hosts = hosts_catalog::list(app, caller, None).await?;
    if let Some(reference) = host {
        let only = hosts_catalog::resolve(app, caller, reference).await?.id;
        hosts.retain(|host| host.id == only);
    }
    let places = store::projects::places(&app.store, caller.org_id).await?;
    Ok(views(places, &hosts))
}

/// The place on `host` of the project that an id, a slug or a name means.
pub(crate) async fn resolve_on(
    app: &App,
    caller: &Caller,
    host: &HostRow,
    reference: &str,
) -> Result<PlaceRow, Failure> {
    let hosts = hosts_catalog::list(app, caller, None).await?;
    let places = store::projects::places(&app.store, caller.org_id).await?;
    let (here, elsewhere): (Vec<_>, Vec<_>) = places
        .into_iter()
        .partition(|place| place.host_id == host.id);
    match names::pick(
        "project",
        "projects_list",
        reference,
        here.into_iter().map(named).collect(),
    ) {
        Err(failure) if failure.code == ErrorCode::NotFound => {
            let seen = elsewhere.into_iter().filter_map(|place| {
                let at = hosts.iter().find(|host| host.id == place.host_id)?;
                Some((place, at.name.clone()))
            });
            Err(not_here(host, reference, seen.collect()).unwrap_or(failure))
        }
        found => found,
    }
}

/// The ids of the projects an id, a slug or a name means, on any host the caller may use.
pub(crate) async fn resolve_any(
    app: &App,
    caller: &Caller,
    reference: &str,
) -> Result<ProjectId, Failure> {
    let candidates = list(app, caller, None)
        .await?
        .into_iter()
        .map(|view| Named {
            id: view.id.to_string(),
            name: view.name,
            slug: Some(view.slug),
            thing: view.id,
        });
    names::pick("project", "projects_list", reference, candidates.collect())
}

/// Registers a repository on a host: clones a URL, or imports a checkout.
pub async fn create(
    app: &App,
    caller: &Caller,
    input: CreateProject,
    progress: Option<ProgressSink>,
) -> Result<ProjectMade, Failure> {
    let source = source(&input)?;
    check_name(input.name.as_deref())?;
    let host = hosts_catalog::resolve_to_work(app, caller, &input.host).await?;
    let known = match &source {
        ProjectSource::Url(url) => {
            store::projects::by_url(&app.store, caller.org_id, &url_key(url)).await?
        }
        ProjectSource::Path(_) => None,
    };
    let now = clock::wall();
    let command = Command::ProjectCreate(ProjectCreate {
        project_id: known.unwrap_or_else(|| ProjectId::fresh(now, &clock::id_entropy())),
        source,
        name: input.name,
        parent_dir: input.parent_dir,
        by: Some(caller.actor()),
    });
    let asked = app.clone();
    let (asking, at) = (caller.clone(), host.clone());
    let made = app
        .to_the_end(async move { register(&asked, &asking, &at, command, progress).await })
        .await?;
    let view = list(app, caller, None)
        .await?
        .into_iter()
        .find(|view| view.id == made.project.id)
        .ok_or_else(|| names::missing("project", "projects_list", &made.project.name))?;
    Ok(ProjectMade {
        project: view,
        existed: made.existed,
        path: made.project.path,
        default_branch: made.project.default_branch,
    })
}

/// A remote as it is compared: without scheme, user, case of the host, `.git` and slashes at the
/// end, so that the https and ssh forms of one repository are one project.
pub(crate) fn url_key(url: &str) -> String {
    let url = url.trim();
    let bare = match url.split_once("://") {
        Some(("file", path)) => return trimmed(path).to_owned(),
        Some((_, rest)) => rest.to_owned(),
        None => match url.split_once(':') {
            Some((host, path)) if !host.contains('/') => {
                format!("{host}/{}", path.trim_start_matches('/'))
            }
            Some(_) | None => return trimmed(url).to_owned(),
        },
    };
    let (host, path) = bare.split_once('/').unwrap_or((&bare, ""));
    let host = host.rsplit('@').next().unwrap_or(host).to_lowercase();
    format!("{host}/{}", trimmed(path))
}

fn trimmed(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.strip_suffix(".git").unwrap_or(path)
}

async fn register(
    app: &App,
    caller: &Caller,
    at: &HostRow,
    command: Command,
    progress: Option<ProgressSink>,
) -> Result<ProjectCreated, Failure> {
    let (org, host) = (caller.org_id, at.id);
    let id = CommandId::fresh(clock::wall(), &clock::id_entropy());
    let deadline = reconcile::deadline(&command);
    let reply = app
        .hosts
        .call(host, id, command, deadline, progress)
        .await?;
    let Reply::ProjectCreated(made) = reply else {
        return Err(Failure::new(
            ErrorCode::HostError,
            format!("host {host} answered something else than was asked"),
        )
        .hint("update hostler on that host"));
    };
    let key = made.project.url.as_deref().map(url_key);
    let mut tx = app.store.begin().await?;
    let now = clock::wall();
    store::projects::put(&mut tx, org, host, &made.project, key.as_deref(), now).await?;
    if !made.existed {
        let id = made.project.id.to_string();
        let thing = Thing {
            kind: "project",
            id: &id,
            name: &made.project.name,
        };
        let detail = json!({"host": at.name, "path": made.project.path});
        audit::record(&mut tx, caller, "project.create", thing, Some(detail), now).await?;
    }
    app.store.commit(tx).await?;
    Ok(made)
}

fn source(input: &CreateProject) -> Result<ProjectSource, Failure> {
    let source = match (&input.url, &input.path) {
        (Some(url), None) => ProjectSource::Url(checked_url(url)?.to_owned()),
        (None, Some(path)) if path.trim().is_empty() => {
            return Err(invalid(
                "the path is empty",
                "pass the folder of a git repository",
            ));
        }
        (None, Some(path)) => ProjectSource::Path(path.clone()),
        (Some(_), Some(_)) | (None, None) => {
            return Err(invalid(
                "exactly one of url and path is needed",
                "pass url to clone a remote, or path to import a checkout that is on the host",
            ));
        }
    };
    match (&source, &input.parent_dir) {
        (ProjectSource::Path(_), Some(_)) => Err(invalid(
            "parentDir says where to clone to, and a path is not cloned",
            "leave parentDir out",
        )),
        _ => Ok(source),
    }
}

/// Refuses credentials, helper transports and what git would take for an option. No message
/// repeats the URL: it may hold a secret.
fn checked_url(url: &str) -> Result<&str, Failure> {
    let url = url.trim();
    if url.is_empty() || url.starts_with('-') || url.contains(|c: char| c.is_control()) {
        return Err(invalid(
            "the url is not one that git can clone",
            "pass https://host/path, ssh://user@host/path, user@host:path or file:///path",
        ));
    }
    if url
        .split(['/', '@'])
        .next()
        .is_some_and(|head| head.contains("::"))
    {
        return Err(invalid(
            "urls of helper transports (such as ext::) are refused, because they run programs",
            "pass an https, ssh or file url",
        ));
    }
    if holds_credentials(url) {
        return Err(invalid(
            "the url holds a password or token",
            "pass it without, and let a git credential helper on the host (or an ssh key) sign in",
        ));
    }
    Ok(url)
}

fn holds_credentials(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        let user = url.split_once('@').map_or("", |(user, _)| user);
        return user.contains(':') && !user.contains('/');
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let web = scheme.to_lowercase().starts_with("http");
    let in_query = rest.split_once('?').is_some_and(|(_, query)| {
        let query = query.to_lowercase();
        ["token", "password", "secret", "key="]
            .iter()
            .any(|word| query.contains(word))
    });
    user.is_some_and(|user| web || user.contains(':')) || (web && in_query)
}

fn check_name(name: Option<&str>) -> Result<(), Failure> {
    match name.map(|name| name.trim().chars().count()) {
        None | Some(1..=200) => Ok(()),
        Some(length) => Err(invalid(
            &format!("the name has {length} characters; 1 to 200 are allowed"),
            "choose another name, or leave it out to take the repository's",
        )),
    }
}

fn invalid(message: &str, hint: &str) -> Failure {
    Failure::new(ErrorCode::InvalidArgument, message).hint(hint)
}

fn not_here(host: &HostRow, reference: &str, seen: Vec<(PlaceRow, String)>) -> Option<Failure> {
    let wanted = reference.trim().to_lowercase();
    let at: Vec<String> = seen
        .into_iter()
        .filter(|(place, _)| {
            place.id.to_string() == wanted
                || place.name.to_lowercase() == wanted
                || place.slug.to_lowercase() == wanted
        })
        .map(|(_, host)| host)
        .collect();
    (!at.is_empty()).then(|| {
        Failure::new(
            ErrorCode::NotFound,
            format!(
                "project \"{}\" is not on host {}; it is on {}",
                names::shortened(reference),
                host.name,
                at.join(", ")
            ),
        )
        .hint("register it there with projects_create, or use a host that has it")
    })
}

fn named(place: PlaceRow) -> Named<PlaceRow> {
    Named {
        id: place.id.to_string(),
        name: place.name.clone(),
        slug: Some(place.slug.clone()),
        thing: place,
    }
}

/// Places grouped by project, leaving out hosts that are not in `hosts`.
fn views(places: Vec<PlaceRow>, hosts: &[HostView]) -> Vec<ProjectView> {
    let mut views: Vec<ProjectView> = Vec::new();
    for row in places {
        let Some(host) = hosts.iter().find(|host| host.id == row.host_id) else {
            continue;
        };
        let place = ProjectPlace {
            host_id: row.host_id,
            host_name: host.name.clone(),
            host_online: host.online,
            path: row.path,
            default_branch: row.default_branch,
            state: row.state,
            as_of: host
                .last_seen_at
                .map_or(row.as_of, |seen| seen.max(row.as_of)),
        };
        match views.last_mut() {
            Some(view) if view.id == row.id => view.hosts.push(place),
            Some(_) | None => views.push(ProjectView {
                id: row.id,
                name: row.name,
                slug: row.slug,
                url: row.url,
                created_at: row.created_at,
                hosts: vec![place],
            }),
        }
    }
    views
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_key() {
        let forms = [
            "https://github.com/acme/api",
            "https://GitHub.com/acme/api.git/",
            "git@github.com:acme/api.git",
            "ssh://git@github.com/acme/api",
        ];
        for form in forms {
            assert_eq!(url_key(form), "github.com/acme/api", "{form}");
        }
        assert_eq!(url_key("file:///srv/git/Api.git"), "/srv/git/Api");
        assert_eq!(url_key("/srv/git/Api"), "/srv/git/Api");
        assert_ne!(url_key("https://github.com/acme/API"), url_key(forms[0]));
    }

    #[test]
    fn urls_with_secrets_or_helpers_are_refused_without_being_repeated() {
        let bad = [
            "https://user:hunter2@github.com/a/b",
            "https://hunter2@github.com/a/b",
            "HTTPS://x-access-token:hunter2@github.com/a/b",
            "ssh://git:hunter2@github.com/a/b",
            "git:hunter2@github.com:a/b",
            "https://github.com/a/b?private_token=hunter2",
            "ext::sh -c hunter2",
            "-uhunter2",
            "",
        ];
        for url in bad {
            let failure = checked_url(url).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidArgument, "{url}");
            assert!(!format!("{failure:?}").contains("hunter2"), "{url}");
        }
        let good = [
            "https://github.com/a/b.git",
            "ssh://git@github.com:22/a/b",
            "git@github.com:a/b",
            "file:///srv/git/a.git",
            "/srv/git/a.git",
        ];
        for url in good {
            assert_eq!(checked_url(url).unwrap(), url);
        }
    }
}
