//! From which commit a workspace's branch starts.
//!
//! Invariant: an existing branch is taken as it is. Local commits of the base win over a remote that
//! does not have them; a remote that is simply ahead wins over a local branch nobody updated.

use crate::git::worktree::Start;
use crate::git::{CommitId, Error, Git, Repo, refs};

/// Where a branch starts and what to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) start: Start,
    /// The branch it was made from; none for a branch that existed.
    pub(super) made_from: Option<String>,
    /// The branch to name as the base.
    pub(super) branch: String,
    pub(super) commit: CommitId,
    pub(super) warnings: Vec<String>,
}

/// The branch itself, if it exists here.
pub(super) fn existing(git: &Git, repo: &Repo, branch: &str) -> Result<Option<Choice>, Error> {
    let found = refs::branch(git, repo, branch)?;
    // Looked up in the list too: a file system that ignores case finds twins.
    let listed = found.is_some() && refs::branches(git, repo)?.iter().any(|name| name == branch);
    Ok(found.filter(|_| listed).map(|commit| Choice {
        start: Start::Existing,
        made_from: None,
        branch: branch.to_owned(),
        commit,
        warnings: Vec::new(),
    }))
}

/// The remote's branch of the same name, else a new branch from `base`. After the fetch.
pub(super) fn new(git: &Git, repo: &Repo, branch: &str, base: &str) -> Result<Choice, Error> {
    let remote = refs::remote_name(git, repo)?;
    if let Some(remote) = &remote
        && let Some(commit) = refs::remote_branch(git, repo, remote, branch)?
    {
        return Ok(Choice {
            start: Start::Track(commit.clone(), remote.clone()),
            made_from: None,
            branch: branch.to_owned(),
            commit,
            warnings: Vec::new(),
        });
    }
    let (commit, warnings) = base_commit(git, repo, remote.as_deref(), base)?;
    Ok(Choice {
        start: Start::New(commit.clone()),
        made_from: Some(base.to_owned()),
        branch: base.to_owned(),
        commit,
        warnings,
    })
}

fn base_commit(
    git: &Git,
    repo: &Repo,
    remote: Option<&str>,
    base: &str,
) -> Result<(CommitId, Vec<String>), Error> {
    let local = refs::branch(git, repo, base)?;
    let theirs = match remote {
        Some(remote) => refs::remote_branch(git, repo, remote, base)?,
        None => None,
    };
    match (local, theirs) {
        (Some(local), Some(theirs)) => newer(git, repo, base, local, theirs),
        (Some(commit), None) | (None, Some(commit)) => Ok((commit, Vec::new())),
        (None, None) => match refs::resolve(git, repo, base)? {
            Some(commit) => Ok((commit, Vec::new())),
            None if refs::resolve(git, repo, "HEAD")?.is_none() => Err(Error::NoCommits {
                path: repo.root.clone(),
            }),
            None => Err(Error::NoBase {
                base: base.to_owned(),
                repo: repo.root.clone(),
            }),
        },
    }
}

fn newer(
    git: &Git,
    repo: &Repo,
    base: &str,
    local: CommitId,
    theirs: CommitId,
) -> Result<(CommitId, Vec<String>), Error> {
    if refs::contains(git, repo, &local, &theirs)? {
        return Ok((local, Vec::new()));
    }
    if refs::contains(git, repo, &theirs, &local)? {
        return Ok((theirs, Vec::new()));
    }
    let warning =
        format!("'{base}' here and on the remote have gone different ways; the one here was used");
    Ok((local, vec![warning]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture::{self, Sample};

    #[test]
    fn the_base_is_the_one_with_the_work_in_it() {
        let sample = Sample::new();
        let copy = sample.clone_of_bare("copy");
        let (git, repo) = (fixture::git(), Repo::discover(&copy).unwrap());
        let pushed = fixture::run(&copy, &["rev-parse", "HEAD"]);
        let commit = |base: &str| new(&git, &repo, "topic", base).unwrap().commit;
        assert_eq!(commit("main"), pushed);
        let ahead = fixture::commit(&copy, "x", "local work");
        assert_eq!(
            commit("main"),
            ahead,
            "local commits win over a stale remote"
        );
        fixture::run(&copy, &["push", "-q", "origin", "main"]);
        fixture::run(&copy, &["reset", "-q", "--hard", &pushed]);
        assert_eq!(commit("main"), ahead, "a remote that is ahead wins");
        assert_eq!(commit("origin/main"), ahead);
        fixture::commit(&copy, "y", "another way");
        let apart = new(&git, &repo, "topic", "main").unwrap();
        assert!(apart.warnings[0].contains("different ways"), "{apart:?}");
        assert!(matches!(
            new(&git, &repo, "topic", "nowhere"),
            Err(Error::NoBase { .. })
        ));
    }

    #[test]
    fn existing_branches_come_first_here_then_there() {
        let sample = Sample::new();
        fixture::run(sample.root(), &["branch", "shared"]);
        let copy = sample.clone_of_bare("copy");
        let (git, repo) = (fixture::git(), Repo::discover(&copy).unwrap());
        assert_eq!(existing(&git, &repo, "shared").unwrap(), None);
        let there = new(&git, &repo, "shared", "main").unwrap();
        assert!(matches!(there.start, Start::Track(_, remote) if remote == "origin"));
        fixture::run(&copy, &["branch", "shared", "origin/shared"]);
        let here = existing(&git, &repo, "shared").unwrap().unwrap();
        assert_eq!((here.start, here.made_from), (Start::Existing, None));
    }

    #[test]
    fn a_repository_without_commits_is_told_apart() {
        for init in [&["--ref-format", "files"], &["--ref-format", "reftable"]] {
            let sample = Sample::empty(init);
            let error = new(&fixture::git(), &sample.repo(), "topic", "main").unwrap_err();
            assert!(matches!(error, Error::NoCommits { .. }), "{error}");
        }
    }
}
