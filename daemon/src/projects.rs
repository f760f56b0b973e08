//! Registering repositories on this host: importing a checkout, cloning a remote.
//!
//! Invariant: the row exists before a clone touches the disk, and a clone that did not finish leaves
//! neither row nor folder. An imported repository's files are never deleted by us.
//! Deliberately not here: workspaces, except for the one that is the main checkout.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hostler_proto::command::{Progress, ProjectCreate, ProjectCreated, ProjectSource};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::ProjectId;
use hostler_proto::project::{Project, ProjectState};
use hostler_proto::time::UtcMillis;

use crate::git::remote::Remote;
use crate::git::{self, Engine, Limits, Repo, Tools, Watch, clone, names, refs, trash};
use crate::link::ProgressSink;
use crate::store::projects::{self, ProjectRow};
use crate::store::{Tx, workspaces as rows};
use crate::{Context, failpoint, policy, workspaces};

/// Registers a repository. The same path, or for a clone the same remote, gives the project that is
/// there.
pub async fn create(
    context: &Context,
    command: ProjectCreate,
    report: ProgressSink,
    now: UtcMillis,
) -> Result<ProjectCreated, Failure> {
    match command.source.clone() {
        ProjectSource::Path(path) => import(context, &command, Path::new(&path), now).await,
        ProjectSource::Url(url) => clone_remote(context, &command, &url, report, now).await,
    }
}

/// Brings clones that a crash interrupted to their end: finished ones are kept, others taken away.
pub async fn recover(context: &Context, now: UtcMillis) -> Result<(), Failure> {
    for row in context.store.projects().await? {
        if row.project.state != ProjectState::Cloning {
            continue;
        }
        let path = PathBuf::from(&row.project.path);
        let tools = Arc::clone(&context.git);
        let found = blocking(move || Ok(look(&tools, &path).ok())).await?;
        match found {
            Some(seen) => finish(context, row, seen, now).await.map(drop)?,
            None => forget(context, &row, now).await?,
        }
    }
    Ok(())
}

/// Looks whether each project's repository is where it was, and at its default branch where that
/// needs no process.
pub async fn reconcile(context: &Context, now: UtcMillis) -> Result<(), Failure> {
    for mut row in context.store.projects().await? {
        if row.project.state == ProjectState::Cloning {
            continue;
        }
        let (tools, path) = (Arc::clone(&context.git), PathBuf::from(&row.project.path));
        let known = row.project.default_branch.clone();
        let seen = blocking(move || Ok(glance(&tools, &path, known).ok())).await?;
        let before = row.project.clone();
        match seen {
            Some(default_branch) => {
                row.project.state = ProjectState::Ready;
                row.project.default_branch = default_branch;
            }
            None => row.project.state = ProjectState::Missing,
        }
        if row.project != before {
            let mut tx = context.store.begin().await?;
            projects::put(&mut tx, &row, now).await?;
            context.store.commit(tx).await?;
        }
    }
    Ok(())
}

/// The default branch of the repository at `path`; as known where only a process could tell.
fn glance(tools: &Tools, path: &Path, known: Option<String>) -> Result<Option<String>, git::Error> {
    let repo = Repo::discover(path)?;
    match repo.engine {
        Engine::System(_) if known.is_some() => Ok(known),
        Engine::Native | Engine::System(_) => Ok(look(tools, path)?.default_branch),
    }
}

/// Runs blocking work beside the runtime; a panic in it goes on here.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, git::Error> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Failure::new(ErrorCode::HostError, "the host is stopping")),
        },
    }
}

/// git's progress in the words of the link.
pub(crate) fn told(report: &ProgressSink) -> impl Fn(git::Progress) + Send + Sync + use<> {
    let report = Arc::clone(report);
    move |progress| {
        report(Progress {
            phase: progress.phase,
            done: progress.done,
            total: progress.total,
        });
    }
}

async fn import(
    context: &Context,
    command: &ProjectCreate,
    path: &Path,
    now: UtcMillis,
) -> Result<ProjectCreated, Failure> {
    let given = absolute(path)?;
    // Before anything is looked at: what lies elsewhere is not even told of.
    policy::check_path(context, &given)?;
    let tools = Arc::clone(&context.git);
    let (repo, seen) = blocking(move || {
        let repo = Repo::discover(&given)?;
        let seen = look_at(&tools, &repo)?;
        if seen.default_branch.is_none() {
            return Err(git::Error::NoCommits { path: repo.root });
        }
        Ok((repo, seen))
    })
    .await?;
    policy::check_path(context, &repo.root)?;
    let root = text(&repo.root)?;
    let _turn = context.busy.turn(format!("project {root}")).await;
    if let Some(row) = context.store.project_at(&root).await? {
        return existing(row);
    }
    let row = new_row(command, &root, folder_name(&repo.root), true, now);
    finish(context, row, seen, now).await
}

async fn clone_remote(
    context: &Context,
    command: &ProjectCreate,
    url: &str,
    report: ProgressSink,
    now: UtcMillis,
) -> Result<ProjectCreated, Failure> {
    let remote = Remote::parse(url)?;
    if let Some(path) = remote.local() {
        // Cloning it would bring it inside.
        policy::check_path(context, path)?;
    }
    let _turn = context
        .busy
        .turn(format!("clone {}", remote.canonical))
        .await;
    if let Some(row) = context.store.project_of(&remote.canonical).await? {
        return existing(row);
    }
    let target = target(context, command, &remote)?;
    let root = text(&target)?;
    let _place = context.busy.turn(format!("project {root}")).await;
    if context.store.project_at(&root).await?.is_some() || target.symlink_metadata().is_ok() {
        return Err(git::Error::Occupied { path: target }.into());
    }
    let mut row = new_row(command, &root, remote.name.clone(), false, now);
    row.project.state = ProjectState::Cloning;
    row.project.url = Some(remote.url.clone());
    row.canonical = Some(remote.canonical.clone());
    row.fetched_at = Some(now);
    let row = insert(context, row, now).await?;
    failpoint::reached("project_clone", "intent");
    match fetch_all(context, &row, remote, target, report).await {
        Ok(seen) => finish(context, row, seen, now).await,
        Err(failure) => {
            forget(context, &row, now).await?;
            Err(failure)
        }
    }
}

async fn fetch_all(
    context: &Context,
    row: &ProjectRow,
    remote: Remote,
    target: PathBuf,
    report: ProgressSink,
) -> Result<Seen, Failure> {
    let (tools, token) = (Arc::clone(&context.git), row.project.id.to_string());
    blocking(move || {
        let tell = told(&report);
        let watch = Watch {
            progress: &tell,
            cancel: tools.stopping(),
        };
        clone::clone(&tools.git, &remote, &target, &token, Limits::CLONE, &watch)?;
        failpoint::reached("project_clone", "cloned");
        look(&tools, &target)
    })
    .await
}

/// What a repository on disk says of itself.
struct Seen {
    default_branch: Option<String>,
    head: Option<String>,
    commit: Option<String>,
    remote: Option<Remote>,
}

fn look(tools: &Tools, path: &Path) -> Result<Seen, git::Error> {
    let repo = Repo::discover(path)?;
    if repo.root != path {
        return Err(git::Error::NotRepository {
            path: path.to_owned(),
        });
    }
    look_at(tools, &repo)
}

fn look_at(tools: &Tools, repo: &Repo) -> Result<Seen, git::Error> {
    let git = &tools.git;
    let branch = refs::default_branch(git, repo)?;
    let remote = match refs::remote_name(git, repo)? {
        Some(name) => refs::remote_url(git, repo, &name)?,
        None => None,
    };
    let has_commits =
        refs::resolve(git, repo, &branch)?.is_some() || !refs::branches(git, repo)?.is_empty();
    Ok(Seen {
        default_branch: has_commits.then_some(branch),
        head: refs::head_branch(git, repo)?,
        commit: refs::resolve(git, repo, "HEAD")?,
        // An address with a password in it is not an address we may keep.
        remote: remote.and_then(|url| Remote::parse(&url).ok()),
    })
}

async fn finish(
    context: &Context,
    mut row: ProjectRow,
    seen: Seen,
    now: UtcMillis,
) -> Result<ProjectCreated, Failure> {
    row.project.state = ProjectState::Ready;
    row.project.default_branch = seen.default_branch;
    if row.project.imported {
        row.canonical = seen.remote.as_ref().map(|remote| remote.canonical.clone());
        row.project.url = seen.remote.map(|remote| remote.url);
    }
    let known = context.store.project(row.project.id).await?;
    let mut tx = context.store.begin().await?;
    claim_slug(&mut tx, &mut row, known).await?;
    projects::put(&mut tx, &row, now).await?;
    let main = workspaces::main_row(&row.project, seen.head, seen.commit, now);
    rows::put(&mut tx, &main, now).await?;
    context.store.commit(tx).await?;
    context.signals.watch.notify_one();
    Ok(ProjectCreated {
        project: row.project,
        existed: false,
    })
}

async fn insert(
    context: &Context,
    mut row: ProjectRow,
    now: UtcMillis,
) -> Result<ProjectRow, Failure> {
    let known = context.store.project(row.project.id).await?;
    let mut tx = context.store.begin().await?;
    claim_slug(&mut tx, &mut row, known).await?;
    projects::put(&mut tx, &row, now).await?;
    context.store.commit(tx).await?;
    Ok(row)
}

/// Gives the project a slug of its own, once.
async fn claim_slug(
    tx: &mut Tx,
    row: &mut ProjectRow,
    known: Option<ProjectRow>,
) -> Result<(), Failure> {
    if let Some(known) = known {
        if known.project.path == row.project.path {
            row.project.slug = known.project.slug;
            return Ok(());
        }
        let message = format!(
            "project id {} already stands for {}",
            row.project.id, known.project.path
        );
        return Err(Failure::new(ErrorCode::Conflict, message).hint("Use a fresh id."));
    }
    let base = names::slug(&row.project.name).unwrap_or_else(|| "project".to_owned());
    let mut slug = base.clone();
    let mut number = 2;
    while projects::slug_taken(tx, &slug).await? {
        slug = format!("{base}-{number}");
        number += 1;
    }
    row.project.slug = slug;
    Ok(())
}

async fn forget(context: &Context, row: &ProjectRow, now: UtcMillis) -> Result<(), Failure> {
    let (path, token) = (PathBuf::from(&row.project.path), row.project.id.to_string());
    blocking(move || {
        let parent = path.parent().unwrap_or(&path);
        let ours = clone::leftovers(parent)
            .into_iter()
            .filter(|left| left.to_string_lossy().ends_with(&token));
        ours.for_each(|left| trash::delete(&left));
        Ok(())
    })
    .await?;
    let mut tx = context.store.begin().await?;
    projects::remove(&mut tx, row.project.id, now).await?;
    Ok(context.store.commit(tx).await?)
}

fn existing(row: ProjectRow) -> Result<ProjectCreated, Failure> {
    let path = Path::new(&row.project.path);
    if path.is_dir() {
        return Ok(ProjectCreated {
            project: row.project,
            existed: true,
        });
    }
    let message = format!(
        "project '{}' is registered at {}, which is gone",
        row.project.name, row.project.path
    );
    Err(Failure::new(ErrorCode::PreconditionFailed, message)
        .hint("Put the repository back at that path, then try again."))
}

fn new_row(
    command: &ProjectCreate,
    path: &str,
    folder: String,
    imported: bool,
    now: UtcMillis,
) -> ProjectRow {
    let name = command
        .name
        .as_deref()
        .map(str::trim)
        .filter(|name| !name.is_empty());
    ProjectRow {
        project: Project {
            id: command.project_id,
            name: name.map_or(folder, str::to_owned),
            slug: String::new(),
            url: None,
            path: path.to_owned(),
            default_branch: None,
            state: ProjectState::Ready,
            imported,
            created_at: now,
        },
        canonical: None,
        fetched_at: None,
        fetch_failed_at: None,
    }
}

fn target(context: &Context, command: &ProjectCreate, remote: &Remote) -> Result<PathBuf, Failure> {
    let parent = match &command.parent_dir {
        Some(given) => present_folder(absolute(Path::new(given))?)?,
        None => made_folder(context.config.projects_root.clone())?,
    };
    let parent = parent
        .canonicalize()
        .map_err(git::Error::io("could not resolve", &parent))?;
    policy::check_path(context, &parent)?;
    Ok(parent.join(&remote.name))
}

fn present_folder(path: PathBuf) -> Result<PathBuf, git::Error> {
    if !path.exists() {
        return Err(git::Error::Missing { path });
    }
    if path.is_dir() {
        Ok(path)
    } else {
        Err(git::Error::NotFolder { path })
    }
}

/// The folder, made if needed, without symlinks in its path.
pub(crate) fn made_folder(path: PathBuf) -> Result<PathBuf, git::Error> {
    std::fs::create_dir_all(&path).map_err(git::Error::io("could not create the folder", &path))?;
    path.canonicalize()
        .map_err(git::Error::io("could not resolve", path))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let home = std::env::home_dir();
    let path = match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        (Ok(_) | Err(_), _) => path.to_owned(),
    };
    if path.is_absolute() {
        return Ok(path);
    }
    let message = format!("'{}' is not an absolute path on the host", path.display());
    Err(Failure::new(ErrorCode::InvalidArgument, message)
        .hint("Give the whole path, starting with / or ~/."))
}

pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("{} is not valid UTF-8", path.display());
        Failure::new(ErrorCode::InvalidArgument, message).hint("Rename the folder, then try again.")
    })
}

fn folder_name(path: &Path) -> String {
    path.file_name().map_or_else(
        || "project".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// The project, if it can be worked in.
pub(crate) async fn ready(context: &Context, id: ProjectId) -> Result<ProjectRow, Failure> {
    let Some(row) = context.store.project(id).await? else {
        return Err(Failure::new(
            ErrorCode::NotFound,
            format!("this host has no project {id}"),
        )
        .hint("See projects_list for the projects of each host."));
    };
    match row.project.state {
        ProjectState::Cloning => {
            let message = format!("project '{}' is still being cloned", row.project.name);
            Err(Failure::new(ErrorCode::PreconditionFailed, message)
                .hint("Wait until it is ready, then try again."))
        }
        ProjectState::Ready | ProjectState::Missing => Ok(row),
    }
}

#[cfg(test)]
mod tests;
