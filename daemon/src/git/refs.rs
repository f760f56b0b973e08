//! Branches and remotes, through whichever engine the repository has.
//!
//! Invariant: a branch is made only where none is and deleted only where it still is at the commit
//! the caller saw; nothing here moves a branch.

use std::path::Path;
use std::thread;
use std::time::Duration;

use git2::{BranchType, ErrorCode, Oid};

use super::{CommitId, Engine, Error, Git, Repo};

/// The commit `name` (a full ref, or anything git can resolve) stands for.
pub fn resolve(git: &Git, repo: &Repo, name: &str) -> Result<Option<CommitId>, Error> {
    match repo.engine {
        Engine::Native => {
            let git2 = repo.git2()?;
            let found = git2
                .revparse_single(name)
                .and_then(|object| object.peel_to_commit());
            Ok(found.ok().map(|commit| commit.id().to_string()))
        }
        Engine::System(_) => {
            let spec = format!("{name}^{{commit}}");
            let output = git.attempt(
                &repo.root,
                "resolving a name",
                &[
                    "rev-parse",
                    "--verify",
                    "--quiet",
                    "--end-of-options",
                    &spec,
                ],
            )?;
            Ok(output.status.success().then(|| output.text()))
        }
    }
}

/// The commit of a local branch.
pub fn branch(git: &Git, repo: &Repo, name: &str) -> Result<Option<CommitId>, Error> {
    resolve(git, repo, &format!("refs/heads/{name}"))
}

/// The commit of the remote's branch of this name, as last fetched.
pub fn remote_branch(
    git: &Git,
    repo: &Repo,
    remote: &str,
    name: &str,
) -> Result<Option<CommitId>, Error> {
    resolve(git, repo, &format!("refs/remotes/{remote}/{name}"))
}

/// Whether `old` is `new` or one of its ancestors.
pub fn contains(git: &Git, repo: &Repo, new: &str, old: &str) -> Result<bool, Error> {
    if new == old {
        return Ok(true);
    }
    match repo.engine {
        Engine::Native => {
            let what = || Error::git2("comparing commits");
            let (new, old) = (
                Oid::from_str(new).map_err(what())?,
                Oid::from_str(old).map_err(what())?,
            );
            repo.git2()?.graph_descendant_of(new, old).map_err(what())
        }
        Engine::System(_) => {
            let args = ["merge-base", "--is-ancestor", old, new];
            Ok(git
                .attempt(&repo.root, "comparing commits", &args)?
                .status
                .success())
        }
    }
}

/// The names of all local branches.
pub fn branches(git: &Git, repo: &Repo) -> Result<Vec<String>, Error> {
    match repo.engine {
        Engine::Native => {
            let git2 = repo.git2()?;
            let mut all = git2
                .references_glob("refs/heads/*")
                .map_err(Error::git2("listing the branches"))?;
            let names = all
                .names()
                .flatten()
                .filter_map(|name| name.strip_prefix("refs/heads/"));
            Ok(names.map(str::to_owned).collect())
        }
        Engine::System(_) => {
            let output = git.local(
                &repo.root,
                "listing the branches",
                &["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"],
            )?;
            Ok(output.text().lines().map(str::to_owned).collect())
        }
    }
}

/// The branch the main checkout is on, also when it has no commit yet; `None` when detached.
pub fn head_branch(git: &Git, repo: &Repo) -> Result<Option<String>, Error> {
    branch_of(git, repo, &repo.root)
}

/// The branch the checkout at `path` is on.
pub fn branch_of(git: &Git, repo: &Repo, path: &Path) -> Result<Option<String>, Error> {
    match repo.engine {
        Engine::Native => {
            let git2 = git2::Repository::open(path)
                .map_err(Error::git2(format!("opening {}", path.display())))?;
            let head = git2
                .find_reference("HEAD")
                .map_err(Error::git2("reading HEAD"))?;
            let target = head.symbolic_target().ok().flatten();
            Ok(target
                .and_then(|name| name.strip_prefix("refs/heads/"))
                .map(str::to_owned))
        }
        Engine::System(_) => {
            let output = git.attempt(
                path,
                "reading HEAD",
                &["symbolic-ref", "--quiet", "--short", "HEAD"],
            )?;
            Ok(output.status.success().then(|| output.text()))
        }
    }
}

/// The commit the checkout at `path` is on; `None` when it has none yet.
pub fn head_of(git: &Git, repo: &Repo, path: &Path) -> Result<Option<CommitId>, Error> {
    match repo.engine {
        Engine::Native => {
            let git2 = git2::Repository::open(path)
                .map_err(Error::git2(format!("opening {}", path.display())))?;
            let head = git2.head().and_then(|head| head.peel_to_commit());
            Ok(head.ok().map(|commit| commit.id().to_string()))
        }
        Engine::System(_) => {
            let args = ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"];
            let output = git.attempt(path, "reading HEAD", &args)?;
            Ok(output.status.success().then(|| output.text()))
        }
    }
}

/// The project's default branch: the remote's, else the main checkout's, else main or master.
pub fn default_branch(git: &Git, repo: &Repo) -> Result<String, Error> {
    if let Some(remote) = remote_name(git, repo)?
        && let Some(branch) = remote_head(git, repo, &remote)?
    {
        return Ok(branch);
    }
    if let Some(branch) = head_branch(git, repo)? {
        return Ok(branch);
    }
    let all = branches(git, repo)?;
    let usual = ["main", "master"]
        .into_iter()
        .find(|name| all.iter().any(|branch| branch == name));
    Ok(usual
        .map(str::to_owned)
        .or_else(|| all.first().cloned())
        .unwrap_or_else(|| "main".to_owned()))
}

fn remote_head(git: &Git, repo: &Repo, remote: &str) -> Result<Option<String>, Error> {
    let prefix = format!("refs/remotes/{remote}/");
    let name = format!("{prefix}HEAD");
    let target = match repo.engine {
        Engine::Native => {
            let git2 = repo.git2()?;
            let head = git2.find_reference(&name).ok();
            head.and_then(|head| head.symbolic_target().ok().flatten().map(str::to_owned))
        }
        Engine::System(_) => {
            let output = git.attempt(
                &repo.root,
                "reading the remote's HEAD",
                &["symbolic-ref", "--quiet", &name],
            )?;
            output.status.success().then(|| output.text())
        }
    };
    Ok(target.and_then(|target| target.strip_prefix(&prefix).map(str::to_owned)))
}

/// The remote work is based on: `origin`, or the only one there is.
pub fn remote_name(git: &Git, repo: &Repo) -> Result<Option<String>, Error> {
    let names: Vec<String> = match repo.engine {
        Engine::Native => {
            let remotes = repo
                .git2()?
                .remotes()
                .map_err(Error::git2("listing the remotes"))?;
            remotes
                .iter()
                .flatten()
                .flatten()
                .map(str::to_owned)
                .collect()
        }
        Engine::System(_) => git
            .local(&repo.root, "listing the remotes", &["remote"])?
            .text()
            .lines()
            .map(str::to_owned)
            .collect(),
    };
    if names.iter().any(|name| name == "origin") {
        return Ok(Some("origin".to_owned()));
    }
    Ok(names
        .into_iter()
        .next()
        .filter(|name| !name.starts_with('-')))
}

/// The address of a remote.
pub fn remote_url(git: &Git, repo: &Repo, remote: &str) -> Result<Option<String>, Error> {
    match repo.engine {
        Engine::Native => {
            let git2 = repo.git2()?;
            let found = git2.find_remote(remote).ok();
            Ok(found.and_then(|remote| remote.url().ok().map(str::to_owned)))
        }
        Engine::System(_) => {
            let key = format!("remote.{remote}.url");
            let what = "reading the remote's address";
            let output = git.attempt(&repo.root, what, &["config", "--get", &key])?;
            Ok(output.status.success().then(|| output.text()))
        }
    }
}

/// Makes a branch where none is; `false` when it exists already.
pub fn create(git: &Git, repo: &Repo, name: &str, commit: &str) -> Result<bool, Error> {
    let full = format!("refs/heads/{name}");
    match repo.engine {
        Engine::Native => {
            let git2 = repo.git2()?;
            let id =
                Oid::from_str(commit).map_err(Error::git2(format!("reading commit {commit}")))?;
            match git2.reference(&full, id, false, "branch: Created by hostler") {
                Ok(_) => Ok(true),
                Err(error) if error.code() == ErrorCode::Exists => Ok(false),
                Err(error) => Err(Error::git2(format!("creating branch '{name}'"))(error)),
            }
        }
        Engine::System(_) => {
            if branch(git, repo, name)?.is_some() {
                return Ok(false);
            }
            let zero = "0".repeat(commit.len());
            let args = [
                "update-ref",
                "-m",
                "branch: Created by hostler",
                &full,
                commit,
                &zero,
            ];
            git.local(&repo.root, &format!("creating branch '{name}'"), &args)?;
            Ok(true)
        }
    }
}

/// Deletes a branch that is still at `commit`; `false` when it is gone or has moved.
pub fn delete(git: &Git, repo: &Repo, name: &str, commit: &str) -> Result<bool, Error> {
    // Looked up in the list, because a file system that ignores case would find a twin.
    let listed = branches(git, repo)?.iter().any(|branch| branch == name);
    if !listed || branch(git, repo, name)?.as_deref() != Some(commit) {
        return Ok(false);
    }
    let full = format!("refs/heads/{name}");
    match repo.engine {
        Engine::Native => {
            let git2 = repo.git2()?;
            let what = format!("deleting branch '{name}'");
            let mut reference = git2
                .find_reference(&full)
                .map_err(Error::git2(what.clone()))?;
            if reference.target().is_none_or(|id| id.to_string() != commit) {
                return Ok(false);
            }
            reference.delete().map_err(Error::git2(what))?;
        }
        Engine::System(_) => {
            git.local(
                &repo.root,
                &format!("deleting branch '{name}'"),
                &["update-ref", "-d", &full, commit],
            )?;
        }
    }
    forget_upstream(git, repo, name)?;
    Ok(true)
}

fn forget_upstream(git: &Git, repo: &Repo, name: &str) -> Result<(), Error> {
    let key = format!("branch.{name}");
    let text = std::fs::read_to_string(repo.common.join("config")).unwrap_or_default();
    if text.contains(&format!("[branch \"{name}\"]")) {
        // Already gone is as good.
        git.attempt(
            &repo.root,
            "removing the branch's settings",
            &["config", "--remove-section", &key],
        )?;
    }
    Ok(())
}

/// Makes `name` track `<remote>/<name>`. Another program may hold the config's lock: five attempts.
pub fn track(git: &Git, repo: &Repo, name: &str, remote: &str) -> Result<(), Error> {
    let mut last = None;
    for attempt in 0..5 {
        thread::sleep(Duration::from_millis(20 * attempt));
        match track_once(git, repo, name, remote) {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::Busy {
        path: repo.root.clone(),
    }))
}

fn track_once(git: &Git, repo: &Repo, name: &str, remote: &str) -> Result<(), Error> {
    let upstream = format!("{remote}/{name}");
    let what = format!("making '{name}' track '{upstream}'");
    match repo.engine {
        Engine::Native => {
            let git2 = repo.git2()?;
            let mut branch = git2
                .find_branch(name, BranchType::Local)
                .map_err(Error::git2(what.clone()))?;
            branch
                .set_upstream(Some(&upstream))
                .map_err(Error::git2(what))
        }
        Engine::System(_) => git
            .local(
                &repo.root,
                &what,
                &[
                    "branch",
                    "--quiet",
                    &format!("--set-upstream-to={upstream}"),
                    "--",
                    name,
                ],
            )
            .map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture::{self, Sample};

    #[test]
    fn branches_are_made_once_and_deleted_only_where_seen() {
        for sample in Sample::both_engines() {
            let (git, repo) = (fixture::git(), sample.repo());
            let head = resolve(&git, &repo, "HEAD").unwrap().unwrap();
            assert!(create(&git, &repo, "topic/a", &head).unwrap());
            assert!(!create(&git, &repo, "topic/a", &head).unwrap());
            let mut names = branches(&git, &repo).unwrap();
            names.sort();
            assert_eq!(names, ["main", "topic/a"]);
            let later = sample.commit("later.txt", "later");
            assert!(!delete(&git, &repo, "topic/a", &later).unwrap());
            assert!(delete(&git, &repo, "topic/a", &head).unwrap());
            assert!(!delete(&git, &repo, "topic/a", &head).unwrap());
            assert_eq!(branches(&git, &repo).unwrap(), ["main"]);
        }
    }

    #[test]
    fn a_tracking_branch_leaves_no_settings_behind() {
        let sample = Sample::new();
        let copy = sample.clone_of_bare("copy");
        let (git, repo) = (fixture::git(), Repo::discover(&copy).unwrap());
        fixture::run(&copy, &["update-ref", "refs/remotes/origin/theirs", "HEAD"]);
        let head = resolve(&git, &repo, "HEAD").unwrap().unwrap();
        assert!(create(&git, &repo, "theirs", &head).unwrap());
        track(&git, &repo, "theirs", "origin").unwrap();
        assert_eq!(
            fixture::run(&copy, &["rev-parse", "--abbrev-ref", "theirs@{upstream}"]),
            "origin/theirs"
        );
        assert!(delete(&git, &repo, "theirs", &head).unwrap());
        assert!(
            !std::fs::read_to_string(copy.join(".git/config"))
                .unwrap()
                .contains("theirs")
        );
    }

    #[test]
    fn the_default_branch_is_the_remotes() {
        let sample = Sample::new();
        let copy = sample.clone_of_bare("copy");
        fixture::run(&copy, &["switch", "-q", "-c", "elsewhere"]);
        let (git, repo) = (fixture::git(), Repo::discover(&copy).unwrap());
        assert_eq!(default_branch(&git, &repo).unwrap(), "main");
        assert_eq!(
            head_branch(&git, &repo).unwrap().as_deref(),
            Some("elsewhere")
        );
    }
}
