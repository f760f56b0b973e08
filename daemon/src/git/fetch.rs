//! Fetching a project's remote.
//!
//! Invariant: only remote-tracking refs and tags change; `FETCH_HEAD` and local branches do not.
//! Callers let one fetch run per repository.

use super::clone::succeeded;
use super::remote::Remote;
use super::system::{Git, Limits, Watch};
use super::{Error, Repo, refs};

/// Fetches the repository's remote; `false` when it has none.
pub fn fetch(git: &Git, repo: &Repo, limits: Limits, watch: &Watch<'_>) -> Result<bool, Error> {
    let Some(name) = refs::remote_name(git, repo)? else {
        return Ok(false);
    };
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
        &name,
    ];
    let output = git.run(&repo.root, "fetching from the remote", &args, limits, watch)?;
    let shown = Remote {
        url: name.clone(),
        canonical: name.clone(),
        name,
    };
    succeeded(&output, "could not fetch from the remote", &shown)?;
    Ok(true)
}
