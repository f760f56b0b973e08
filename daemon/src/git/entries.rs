//! The worktree entries of a repository, read from `.git/worktrees` itself.
//!
//! Invariant: one broken entry never hides or taints another (libgit2 can claim that every branch
//! is checked out because of one stale entry).

use std::fs;
use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice;

use super::{Engine, Error, Git, Repo, Why, refs};

/// One linked worktree as git has it registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The folder's name under `.git/worktrees`.
    pub id: String,
    /// Where the worktree is, or was.
    pub path: PathBuf,
    /// The branch it is on; `None` when detached or unreadable.
    pub branch: Option<String>,
    /// Why it is locked, if it is.
    pub locked: Option<String>,
    /// Whether the worktree's folder is there and points back.
    pub present: bool,
}

/// All linked worktrees.
pub fn list(git: &Git, repo: &Repo) -> Result<Vec<Entry>, Error> {
    let Ok(folders) = fs::read_dir(repo.entries_dir()) else {
        return Ok(Vec::new());
    };
    let mut entries: Vec<Entry> = folders
        .flatten()
        .filter_map(|folder| read(&folder.path()))
        .collect();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    if repo.engine == Engine::System(Why::Reftable) {
        fill_branches(git, repo, &mut entries)?;
    }
    Ok(entries)
}

/// Where a branch is checked out, the main checkout included.
pub fn holder(git: &Git, repo: &Repo, branch: &str) -> Result<Option<Holder>, Error> {
    if refs::head_branch(git, repo)?.as_deref() == Some(branch) {
        return Ok(Some(Holder::Main(repo.root.clone())));
    }
    let found = list(git, repo)?
        .into_iter()
        .find(|entry| entry.branch.as_deref() == Some(branch));
    Ok(found.map(Holder::Linked))
}

/// Who has a branch checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The main checkout, at this path.
    Main(PathBuf),
    /// A linked worktree.
    Linked(Entry),
}

/// Removes an entry, first from sight and then from disk. Only under the repository's lock.
pub fn remove(repo: &Repo, id: &str, token: &str) -> Result<bool, Error> {
    let entry = repo.entries_dir().join(id);
    if fs::symlink_metadata(&entry).is_err() {
        return Ok(false);
    }
    let staging = staging_dir(repo);
    fs::create_dir_all(&staging).map_err(Error::io("could not create the folder", &staging))?;
    let aside = staging.join(format!("{token}-gone"));
    super::trash::delete(&aside);
    fs::rename(&entry, &aside).map_err(Error::io("could not remove the worktree entry", &entry))?;
    super::trash::delete(&aside);
    drop(fs::remove_dir(&staging));
    // git removes the folder with its last worktree too.
    drop(fs::remove_dir(repo.entries_dir()));
    Ok(true)
}

/// Where entries are prepared before they are published, inside the common directory.
pub(crate) fn staging_dir(repo: &Repo) -> PathBuf {
    repo.common.join("hostler")
}

fn read(folder: &Path) -> Option<Entry> {
    let id = folder.file_name()?.to_str()?.to_owned();
    let gitdir = fs::read(folder.join("gitdir")).ok()?;
    let dot_git = folder.join(gitdir.trim_end().to_path().ok()?);
    let head = fs::read_to_string(folder.join("HEAD")).unwrap_or_default();
    let branch = head
        .trim_end()
        .strip_prefix("ref: refs/heads/")
        .filter(|name| *name != ".invalid")
        .map(str::to_owned);
    let locked = fs::read_to_string(folder.join("locked"))
        .ok()
        .map(|reason| reason.trim_end().to_owned());
    let present = fs::symlink_metadata(&dot_git).is_ok();
    Some(Entry {
        id,
        path: dot_git.parent()?.to_owned(),
        branch,
        locked,
        present,
    })
}

fn fill_branches(git: &Git, repo: &Repo, entries: &mut [Entry]) -> Result<(), Error> {
    let output = git.local(
        &repo.root,
        "listing the worktrees",
        &["worktree", "list", "--porcelain", "-z"],
    )?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut path = PathBuf::new();
    for line in text.split('\0') {
        if let Some(at) = line.strip_prefix("worktree ") {
            path = PathBuf::from(at);
        } else if let Some(branch) = line.strip_prefix("branch refs/heads/") {
            for entry in entries.iter_mut().filter(|entry| entry.path == path) {
                entry.branch = Some(branch.to_owned());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture::{self, Sample};

    #[test]
    fn entries_are_read_whatever_state_they_are_in() {
        for sample in Sample::both_engines() {
            let (git, repo) = (fixture::git(), sample.repo());
            for name in ["one", "two", "three"] {
                let path = sample.dir().join(name);
                fixture::run(
                    sample.root(),
                    &["worktree", "add", "-q", "-b", name, path.to_str().unwrap()],
                );
            }
            fixture::run(
                sample.root(),
                &[
                    "worktree",
                    "lock",
                    "--reason",
                    "on a stick",
                    sample.dir().join("two").to_str().unwrap(),
                ],
            );
            fs::remove_dir_all(sample.dir().join("three")).unwrap();
            fs::create_dir_all(repo.entries_dir().join("broken")).unwrap();
            let entries = list(&git, &repo).unwrap();
            let seen: Vec<_> = entries
                .iter()
                .map(|e| {
                    (
                        e.id.as_str(),
                        e.branch.as_deref(),
                        e.locked.as_deref(),
                        e.present,
                    )
                })
                .collect();
            assert_eq!(
                seen,
                [
                    ("one", Some("one"), None, true),
                    ("three", Some("three"), None, false),
                    ("two", Some("two"), Some("on a stick"), true)
                ]
            );
            assert!(matches!(
                holder(&git, &repo, "main").unwrap(),
                Some(Holder::Main(_))
            ));
            assert!(matches!(
                holder(&git, &repo, "one").unwrap(),
                Some(Holder::Linked(_))
            ));
            assert_eq!(holder(&git, &repo, "free").unwrap(), None);
            assert!(remove(&repo, "one", "t").unwrap());
            assert!(!remove(&repo, "one", "t").unwrap());
            assert_eq!(list(&git, &repo).unwrap().len(), 2);
        }
    }
}
