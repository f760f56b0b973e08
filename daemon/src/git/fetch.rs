//! Fetching a project's remote, one fetch per repository at a time.
//!
//! Invariant: only remote-tracking refs and tags change; `FETCH_HEAD` and local branches do not.

use super::clone::succeeded;
use super::remote::Remote;
use super::system::{Git, Limits, Watch};
use super::{Error, Locks, Repo, refs};

/// Fetches the repository's remote unless `fresh` says, once it is our turn, that it is not needed
/// any more. `None` when there is no remote or nothing had to be done.
pub fn fetch(
    git: &Git,
    repo: &Repo,
    locks: &Locks,
    fresh: &dyn Fn() -> bool,
    limits: Limits,
    watch: &Watch<'_>,
) -> Result<Option<String>, Error> {
    let Some(name) = refs::remote_name(git, repo)? else {
        return Ok(None);
    };
    locks.fetching(&repo.common, || {
        if fresh() {
            Ok(None)
        } else {
            run(git, repo, &name, limits, watch).map(|()| Some(name))
        }
    })
}

fn run(git: &Git, repo: &Repo, name: &str, limits: Limits, watch: &Watch<'_>) -> Result<(), Error> {
    let args = [
        "-c",
        "gc.auto=0",
        "-c",
        "maintenance.auto=false",
        "fetch",
        "--progress",
        "--no-write-fetch-head",
        "--no-recurse-submodules",
        "--",
        name,
    ];
    let output = git.run(&repo.root, "fetching from the remote", &args, limits, watch)?;
    let shown = Remote {
        url: name.to_owned(),
        canonical: name.to_owned(),
        name: name.to_owned(),
    };
    succeeded(&output, "could not fetch from the remote", &shown)
}
