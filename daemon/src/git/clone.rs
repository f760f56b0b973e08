//! Cloning a remote into a folder, all or nothing.
//!
//! Invariant: the target appears complete by one rename or not at all. The half-made clone lives in
//! a hidden folder beside the target, is removed on failure or cancel, and can be told from other
//! folders by its name after a crash ([`leftovers`]).

use std::fs;
use std::path::{Path, PathBuf};

use super::remote::Remote;
use super::system::{Git, Limits, Output, Watch};
use super::{Error, trash};

const PREFIX: &str = ".hostler-clone-";

/// Clones `remote` into `target`, which must not exist; `token` makes the working name unique.
pub fn clone(
    git: &Git,
    remote: &Remote,
    target: &Path,
    token: &str,
    limits: Limits,
    watch: &Watch<'_>,
) -> Result<(), Error> {
    let parent = parent_of(target)?;
    if fs::symlink_metadata(target).is_ok() {
        return Err(Error::Occupied {
            path: target.to_owned(),
        });
    }
    let staging = parent.join(format!("{PREFIX}{token}"));
    let result =
        fill(git, remote, &staging, limits, watch).and_then(|()| publish(&staging, target));
    if result.is_err() {
        trash::delete(&staging);
    }
    result
}

/// Half-made clones a crash left in `parent`.
pub fn leftovers(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .map(|entry| entry.path())
        .collect()
}

fn parent_of(target: &Path) -> Result<&Path, Error> {
    let parent = target.parent().ok_or_else(|| Error::Occupied {
        path: target.to_owned(),
    })?;
    if parent.exists() && !parent.is_dir() {
        return Err(Error::NotFolder {
            path: parent.to_owned(),
        });
    }
    fs::create_dir_all(parent).map_err(Error::io("could not create the folder", parent))?;
    Ok(parent)
}

fn fill(
    git: &Git,
    remote: &Remote,
    staging: &Path,
    limits: Limits,
    watch: &Watch<'_>,
) -> Result<(), Error> {
    let parent = staging.parent().unwrap_or(staging);
    let args = [
        "-c".as_ref(),
        "gc.auto=0".as_ref(),
        "clone".as_ref(),
        "--progress".as_ref(),
        "--".as_ref(),
        remote.url.as_ref(),
        staging.as_os_str(),
    ];
    let output = git.run(
        parent,
        &format!("cloning {}", remote.url),
        &args,
        limits,
        watch,
    )?;
    succeeded(&output, "could not clone", remote)
}

fn publish(staging: &Path, target: &Path) -> Result<(), Error> {
    // rename(2) replaces an empty folder, so look again as late as possible.
    if fs::symlink_metadata(target).is_ok() {
        return Err(Error::Occupied {
            path: target.to_owned(),
        });
    }
    fs::rename(staging, target).map_err(Error::io("could not move the finished clone to", target))
}

/// Turns a failed network command into words by what git said.
pub(crate) fn succeeded(output: &Output, what: &'static str, remote: &Remote) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    let (reason, hint) = explain(&output.stderr);
    Err(Error::Remote {
        what,
        remote: remote.url.clone(),
        reason,
        hint,
        detail: output.stderr.clone(),
    })
}

/// What git's words mean: (needles, reason, what to do).
const MEANINGS: [(&[&str], &str, &str); 5] = [
    (
        &[
            "could not read Username",
            "could not read Password",
            "Authentication failed",
            "HTTP Basic",
        ],
        "the server wants credentials and this host has none for it",
        "Set up a credential helper or an ssh key for the daemon's user, then try again.",
    ),
    (
        &[
            "Permission denied (publickey",
            "Host key verification failed",
            "Permission denied, please",
        ],
        "ssh was refused",
        "Add this host's ssh key to the server and the server to known_hosts, then try again.",
    ),
    (
        &[
            "Could not resolve host",
            "unable to look up",
            "Name or service not known",
        ],
        "the server's name could not be found",
        "Check the address and the host's network.",
    ),
    (
        &[
            "Connection refused",
            "Failed to connect",
            "timed out",
            "unable to connect",
            "Network is unreachable",
        ],
        "the server could not be reached",
        "Check the address and the host's network, then try again.",
    ),
    (
        &[
            "not found",
            "does not exist",
            "not appear to be a git repository",
            "Could not read from remote",
        ],
        "there is no repository there, or this host may not read it",
        "Check the address and the access rights of the daemon's user.",
    ),
];

fn explain(words: &str) -> (&'static str, &'static str) {
    MEANINGS
        .iter()
        .find(|(needles, ..)| needles.iter().any(|needle| words.contains(needle)))
        .map_or(
            (
                "git could not finish",
                "See the detail for git's own words.",
            ),
            |(_, reason, hint)| (reason, hint),
        )
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use super::*;
    use crate::git::fixture::{self, Sample};

    fn quiet<T>(work: impl FnOnce(&Watch<'_>) -> T) -> T {
        work(&Watch {
            progress: &|_| (),
            cancel: &AtomicBool::new(false),
        })
    }

    #[test]
    fn a_clone_appears_whole_with_progress() {
        let sample = Sample::new();
        let bare = sample.bare_copy();
        let remote = Remote::parse(&format!("file://{}", bare.display())).unwrap();
        let target = sample.dir().join("clones/copy");
        let phases = Mutex::new(Vec::new());
        let watch = Watch {
            progress: &|p| phases.lock().unwrap().push(p.phase),
            cancel: &AtomicBool::new(false),
        };
        clone(
            &fixture::git(),
            &remote,
            &target,
            "t1",
            Limits::CLONE,
            &watch,
        )
        .unwrap();
        assert!(target.join("README.md").exists());
        assert!(
            phases
                .lock()
                .unwrap()
                .iter()
                .any(|phase| phase == "Receiving objects"),
            "{phases:?}"
        );
        let again = clone(
            &fixture::git(),
            &remote,
            &target,
            "t2",
            Limits::CLONE,
            &watch,
        )
        .unwrap_err();
        assert!(matches!(again, Error::Occupied { .. }), "{again}");
    }

    #[test]
    fn a_server_that_never_answers_is_given_up_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!(
            "git://127.0.0.1:{}/repo.git",
            silent.local_addr().unwrap().port()
        );
        let remote = Remote::parse(&address).unwrap();
        let limits = Limits {
            total: Duration::from_secs(30),
            stall: Duration::from_millis(400),
        };
        let target = dir.path().join("repo");
        let error = quiet(|watch| clone(&fixture::git(), &remote, &target, "t", limits, watch))
            .unwrap_err();
        assert!(matches!(error, Error::Stalled { .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_failed_clone_says_why_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let remote =
            Remote::parse(&format!("file://{}/nowhere.git", dir.path().display())).unwrap();
        let error = quiet(|watch| {
            clone(
                &fixture::git(),
                &remote,
                &dir.path().join("x"),
                "t",
                Limits::CLONE,
                watch,
            )
        })
        .unwrap_err();
        assert!(error.to_string().contains("no repository there"), "{error}");
        assert!(error.detail().unwrap().contains("fatal"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_parent_must_be_a_folder() {
        let sample = Sample::new();
        let remote = Remote::parse(sample.root().to_str().unwrap()).unwrap();
        let target = sample.root().join("README.md/x");
        let error =
            quiet(|watch| clone(&fixture::git(), &remote, &target, "t", Limits::CLONE, watch))
                .unwrap_err();
        assert!(matches!(error, Error::NotFolder { .. }), "{error}");
    }

    #[test]
    fn empty_and_shallow_remotes_can_be_cloned() {
        let sample = Sample::new();
        let empty = sample.dir().join("empty.git");
        fixture::run(
            sample.dir(),
            &["init", "-q", "--bare", empty.to_str().unwrap()],
        );
        let shallow = sample.dir().join("shallow");
        let source = format!("file://{}", sample.root().display());
        fixture::run(
            sample.dir(),
            &[
                "clone",
                "-q",
                "--depth=1",
                &source,
                shallow.to_str().unwrap(),
            ],
        );
        for (from, to) in [(&empty, "a"), (&shallow, "b")] {
            let remote = Remote::parse(from.to_str().unwrap()).unwrap();
            let target = sample.dir().join(to);
            quiet(|watch| clone(&fixture::git(), &remote, &target, to, Limits::CLONE, watch))
                .unwrap();
            assert!(target.join(".git").is_dir());
        }
    }
}
