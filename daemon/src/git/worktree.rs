//! Making and removing worktrees.
//!
//! Making one passes the [`Step`]s in their order; a crash after any of them is undone by
//! [`undo`] with nothing but the facts known before the first. Invariant: until `Unlocked`, the
//! entry is locked with a reason that starts with [`LOCK_REASON`], so neither `git worktree prune`
//! nor another program takes it away, and whoever finds such an entry without an owner may undo it.
//!
//! The repository's lock is held while the branch and the entry appear (1-3 ms), not while files
//! are written.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice;

use super::entries::{self, Entry, Holder};

use super::system::Watch;
use super::tools::Tools;
use super::{CommitId, Engine, Error, Git, Limits, Repo, files, hooks, names, refs, repo, trash};

/// How the lock reason of an unfinished worktree starts; the plan's token follows.
pub const LOCK_REASON: &str = "hostler: creating ";

/// The points between which a crash may fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The branch exists.
    RefCreated,
    /// The entry stands in `.git/worktrees`.
    EntryPublished,
    /// The folder exists and points to the entry.
    FolderMade,
    /// The files are written.
    FilesWritten,
    /// The index is written.
    IndexWritten,
    /// The entry is no longer locked: the worktree is complete.
    Unlocked,
}

impl Step {
    /// All steps in order.
    pub const ALL: [Self; 6] = [
        Self::RefCreated,
        Self::EntryPublished,
        Self::FolderMade,
        Self::FilesWritten,
        Self::IndexWritten,
        Self::Unlocked,
    ];

    /// The step's name in a failpoint.
    pub fn name(self) -> &'static str {
        match self {
            Self::RefCreated => "ref_created",
            Self::EntryPublished => "entry_published",
            Self::FolderMade => "folder_made",
            Self::FilesWritten => "files_written",
            Self::IndexWritten => "index_written",
            Self::Unlocked => "unlocked",
        }
    }
}

/// What to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Unique to this attempt: names its working files and its lock reason.
    pub token: String,
    /// The branch to check out.
    pub branch: String,
    /// Where; the parent is made if needed, the folder itself must not exist.
    pub path: PathBuf,
    /// Where the branch comes from.
    pub start: Start,
}

/// Where a plan's branch comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// It exists already.
    Existing,
    /// It is made at this commit.
    New(CommitId),
    /// It is made at this commit and tracks the branch of the same name of this remote.
    Track(CommitId, String),
}

impl Start {
    /// The commit a new branch is made at.
    pub fn created(&self) -> Option<&CommitId> {
        match self {
            Self::Existing => None,
            Self::New(commit) | Self::Track(commit, _) => Some(commit),
        }
    }
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The entry's id under `.git/worktrees`.
    pub entry: String,
    /// The commit that is checked out.
    pub commit: CommitId,
    /// What did not go as it should without stopping it.
    pub warnings: Vec<String>,
}

/// Makes a worktree, all or nothing. `at` is called after each step, for tests that crash there.
pub fn create(
    tools: &Tools,
    repo: &Repo,
    plan: &Plan,
    watch: &Watch<'_>,
    at: &dyn Fn(Step),
) -> Result<Made, Error> {
    if fs::symlink_metadata(&plan.path).is_ok() {
        return Err(Error::Occupied {
            path: plan.path.clone(),
        });
    }
    let branch_made = Cell::new(false);
    let note = |step| {
        branch_made.set(branch_made.get() || step == Step::RefCreated);
        at(step);
    };
    let made = build(tools, repo, plan, watch, &note);
    if made.is_err() {
        let created = plan
            .start
            .created()
            .filter(|_| branch_made.get())
            .map(String::as_str);
        // The first error is the one to tell; what could not be undone is found again by reconciling.
        drop(undo(
            tools,
            repo,
            &plan.path,
            &plan.branch,
            created,
            &plan.token,
        ));
    }
    made
}

fn build(
    tools: &Tools,
    repo: &Repo,
    plan: &Plan,
    watch: &Watch<'_>,
    at: &dyn Fn(Step),
) -> Result<Made, Error> {
    let parent = plan.path.parent().unwrap_or(&plan.path);
    fs::create_dir_all(parent).map_err(Error::io("could not create the folder", parent))?;
    let (entry, commit) = tools
        .locks
        .exclusive(&repo.common, || register(&tools.git, repo, plan, at))?;
    let mut warnings = match repo.engine {
        Engine::Native => fill_native(tools, repo, plan, &entry, watch, at)?,
        Engine::System(_) => {
            at(Step::FolderMade);
            let _pass = tools.gate.enter();
            reset(&tools.git, repo, &plan.path, watch, at)?;
            Vec::new()
        }
    };
    unlock(repo, &entry)?;
    at(Step::Unlocked);
    warnings.extend(hooks::post_checkout(&tools.git, repo, &plan.path, &commit)?);
    Ok(Made {
        entry,
        commit,
        warnings,
    })
}

/// Under the lock: the branch, then its entry.
fn register(
    git: &Git,
    repo: &Repo,
    plan: &Plan,
    at: &dyn Fn(Step),
) -> Result<(String, CommitId), Error> {
    make_room(git, repo, plan)?;
    if let Some(commit) = plan.start.created() {
        names::check_beside(&plan.branch, &refs::branches(git, repo)?)?;
        if !refs::create(git, repo, &plan.branch, commit)? {
            return Err(Error::Busy {
                path: repo.root.clone(),
            });
        }
    }
    at(Step::RefCreated);
    if let Start::Track(_, remote) = &plan.start {
        refs::track(git, repo, &plan.branch, remote)?;
    }
    let commit = refs::branch(git, repo, &plan.branch)?.ok_or_else(|| Error::NoBase {
        base: plan.branch.clone(),
        repo: repo.root.clone(),
    })?;
    let entry = match repo.engine {
        Engine::Native => publish(repo, plan)?,
        Engine::System(_) => add_by_git(git, repo, plan)?,
    };
    at(Step::EntryPublished);
    Ok((entry, commit))
}

/// The branch must be free; a stale entry of ours that holds it is removed, a foreign one is named.
fn make_room(git: &Git, repo: &Repo, plan: &Plan) -> Result<(), Error> {
    let taken = |path: PathBuf| {
        Err(Error::CheckedOut {
            branch: plan.branch.clone(),
            path,
        })
    };
    match entries::holder(git, repo, &plan.branch)? {
        None => Ok(()),
        Some(Holder::Main(path)) => taken(path),
        Some(Holder::Linked(entry)) => {
            let ours = entry.path.parent() == plan.path.parent() && entry.locked.is_none();
            if !ours || entry.present {
                return taken(entry.path);
            }
            entries::remove(repo, &entry.id, &plan.token).map(drop)
        }
    }
}

/// Prepares a complete, locked entry aside and moves it into place with one rename.
fn publish(repo: &Repo, plan: &Plan) -> Result<String, Error> {
    let aside = entries::staging_dir(repo).join(&plan.token);
    let what = "could not prepare the worktree's entry";
    fs::create_dir_all(aside.join("refs")).map_err(Error::io(what, &aside))?;
    let gitdir = plan.path.join(".git");
    let files: [(&str, String); 4] = [
        ("HEAD", format!("ref: refs/heads/{}\n", plan.branch)),
        ("commondir", "../..\n".to_owned()),
        ("locked", format!("{LOCK_REASON}{}\n", plan.token)),
        ("gitdir", format!("{}\n", gitdir.display())),
    ];
    for (name, content) in files {
        fs::write(aside.join(name), content).map_err(Error::io(what, &aside))?;
    }
    let all = repo.entries_dir();
    fs::create_dir_all(&all).map_err(Error::io(what, &all))?;
    let id = free_id(&all, &plan.path);
    fs::rename(&aside, all.join(&id)).map_err(Error::io(what, &aside))?;
    drop(fs::remove_dir(entries::staging_dir(repo)));
    Ok(id)
}

/// The folder's name, made fit for a ref component, with a number where it is taken.
fn free_id(all: &Path, path: &Path) -> String {
    let name = path.file_name().map_or_else(
        || "worktree".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let base: String = name
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let mut id = base.clone();
    let mut number = 1;
    while fs::symlink_metadata(all.join(&id)).is_ok() {
        id = format!("{base}{number}");
        number += 1;
    }
    id
}

fn add_by_git(git: &Git, repo: &Repo, plan: &Plan) -> Result<String, Error> {
    let reason = format!("{LOCK_REASON}{}", plan.token);
    let fixed = [
        "worktree",
        "add",
        "--no-checkout",
        "--quiet",
        "--lock",
        "--reason",
    ];
    let mut args: Vec<&std::ffi::OsStr> = fixed.iter().map(AsRef::as_ref).collect();
    args.extend([
        reason.as_ref(),
        "--".as_ref(),
        plan.path.as_os_str(),
        plan.branch.as_ref(),
    ]);
    git.local(&repo.root, "adding the worktree", &args)?;
    let found = entries::list(git, repo)?
        .into_iter()
        .find(|entry| entry.path == plan.path);
    found.map(|entry| entry.id).ok_or_else(|| Error::Missing {
        path: plan.path.clone(),
    })
}

fn fill_native(
    tools: &Tools,
    repo: &Repo,
    plan: &Plan,
    entry: &str,
    watch: &Watch<'_>,
    at: &dyn Fn(Step),
) -> Result<Vec<String>, Error> {
    let path = &plan.path;
    fs::create_dir(path).map_err(Error::io("could not create the folder", path))?;
    let target = repo.entries_dir().join(entry);
    fs::write(path.join(".git"), format!("gitdir: {}\n", target.display()))
        .map_err(Error::io("could not write into", path))?;
    at(Step::FolderMade);
    let pass = tools.gate.enter();
    let Some(written) = files::write(path, pass.threads, watch)? else {
        return reset(&tools.git, repo, path, watch, at).map(|()| Vec::new());
    };
    at(Step::FilesWritten);
    let warnings = written
        .collisions
        .iter()
        .map(|name| format!("'{name}' cannot stand beside another file on this file system"))
        .collect();
    written.finish()?;
    drop(pass);
    at(Step::IndexWritten);
    Ok(warnings)
}

/// Lets git write the files and the index.
fn reset(
    git: &Git,
    repo: &Repo,
    path: &Path,
    watch: &Watch<'_>,
    at: &dyn Fn(Step),
) -> Result<(), Error> {
    let remote = repo.engine == Engine::System(repo::Why::PartialClone);
    let limits = if remote { Limits::CLONE } else { Limits::LOCAL };
    let args = ["reset", "--hard", "--quiet", "--no-recurse-submodules"];
    let output = git.run(path, "writing the files", &args, limits, watch)?;
    if !output.status.success() {
        return Err(Error::Command {
            what: "writing the files".to_owned(),
            detail: output.stderr,
        });
    }
    at(Step::FilesWritten);
    at(Step::IndexWritten);
    Ok(())
}

fn unlock(repo: &Repo, entry: &str) -> Result<(), Error> {
    let locked = repo.entries_dir().join(entry).join("locked");
    fs::remove_file(&locked).map_err(Error::io("could not unlock the worktree", &locked))
}

/// Takes back whatever of a worktree exists: entry, branch (if made here and still there), folder.
/// Harmless when there is nothing, and when repeated.
pub fn undo(
    tools: &Tools,
    repo: &Repo,
    path: &Path,
    branch: &str,
    created: Option<&str>,
    token: &str,
) -> Result<(), Error> {
    let mine = is_ours(repo, path);
    tools.locks.exclusive(&repo.common, || {
        trash::delete(&entries::staging_dir(repo).join(token));
        drop(fs::remove_dir(entries::staging_dir(repo)));
        let entries = entries::list(&tools.git, repo)?;
        for entry in entries
            .iter()
            .filter(|entry| unfinished_by(entry, path, token))
        {
            entries::remove(repo, &entry.id, token)?;
        }
        if let Some(commit) = created
            && entries::holder(&tools.git, repo, branch)?.is_none()
        {
            refs::delete(&tools.git, repo, branch, commit)?;
        }
        Ok(())
    })?;
    if mine && let Some(place) = trash::discard(path, token)? {
        trash::delete(&place);
        drop(place.parent().map(fs::remove_dir));
    }
    Ok(())
}

fn unfinished_by(entry: &Entry, path: &Path, token: &str) -> bool {
    let mine = entry
        .locked
        .as_deref()
        .and_then(|reason| reason.strip_prefix(LOCK_REASON));
    mine == Some(token) || (entry.path == path && entry.locked.is_none())
}

/// A folder is ours when it is empty or points into this repository's entries.
fn is_ours(repo: &Repo, path: &Path) -> bool {
    let Ok(mut content) = fs::read_dir(path) else {
        return false;
    };
    let points_here = repo::linked(&path.join(".git"))
        .is_some_and(|target| target.parent() == Some(&*repo.entries_dir()));
    points_here || content.next().is_none()
}

/// What a removal found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Where the tree now waits for its deletion; `None` when the folder was gone already.
    pub trashed: Option<PathBuf>,
    /// Whether git still knew the worktree.
    pub known: bool,
    /// Why it was locked, if it was.
    pub locked: Option<String>,
}

/// Removes a worktree: its folder goes into the `.trash` beside it, its entry away.
pub fn remove(tools: &Tools, repo: &Repo, path: &Path, token: &str) -> Result<Removed, Error> {
    if path == repo.root {
        return Err(Error::Occupied {
            path: path.to_owned(),
        });
    }
    tools.locks.exclusive(&repo.common, || {
        let found = entries::list(&tools.git, repo)?
            .into_iter()
            .find(|entry| entry.path == path);
        let trashed = trash::discard(path, token)?;
        let locked = found.as_ref().and_then(|entry| entry.locked.clone());
        let known = match &found {
            Some(entry) => entries::remove(repo, &entry.id, token)?,
            None => false,
        };
        Ok(Removed {
            trashed,
            known,
            locked,
        })
    })
}

/// Removes the entry of a worktree whose folder is gone, unless it is locked.
pub fn prune(tools: &Tools, repo: &Repo, id: &str, token: &str) -> Result<bool, Error> {
    tools.locks.exclusive(&repo.common, || {
        let entries = entries::list(&tools.git, repo)?;
        let stale = |entry: &Entry| entry.id == id && !entry.present && entry.locked.is_none();
        if !entries.iter().any(stale) {
            return Ok(false);
        }
        entries::remove(repo, id, token)
    })
}

/// The id a worktree's `.git` file points to, wherever the folder is now.
pub fn entry_of(path: &Path) -> Option<String> {
    let target = fs::read(path.join(".git")).ok()?;
    let target = target
        .strip_prefix(b"gitdir: ")?
        .trim_end()
        .to_path()
        .ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod content_tests;
#[cfg(test)]
mod tests;
