//! Real repositories for the tests of `git/` and of what stands on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Git, Repo};
use crate::clock;

/// The system's git without the account's configuration.
pub(crate) fn git() -> Git {
    Git::new(ticks)
        .with_env("GIT_CONFIG_GLOBAL", "/dev/null")
        .with_env("GIT_CONFIG_NOSYSTEM", "1")
}

fn ticks() -> Duration {
    Duration::from_millis(clock::now().awake_ms)
}

/// Runs git and gives its output; panics with git's words when it fails.
pub(crate) fn run(dir: &Path, args: &[&str]) -> String {
    let (ok, text) = attempt(dir, args);
    assert!(ok, "git {args:?} in {}: {text}", dir.display());
    text
}

/// Runs git and says whether it succeeded, with what it said.
pub(crate) fn attempt(dir: &Path, args: &[&str]) -> (bool, String) {
    let mut command = Command::new("git");
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("GIT_"))
    {
        command.env_remove(key);
    }
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "Test")
            .env(format!("GIT_{who}_EMAIL"), "test@example.com");
    }
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("LC_ALL", "C");
    let output = command
        .args(["-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    (output.status.success(), text.trim_end().to_owned())
}

/// Whether git itself would take this as a branch name.
pub(crate) fn git_accepts_branch(name: &str) -> bool {
    !["HEAD", "@"].contains(&name)
        && attempt(
            Path::new("/"),
            &["check-ref-format", &format!("refs/heads/{name}")],
        )
        .0
        && !name.starts_with('-')
}

/// Commits one new file and gives the commit's id.
pub(crate) fn commit(dir: &Path, file: &str, message: &str) -> String {
    fs::write(dir.join(file), format!("{message}\n")).unwrap();
    run(dir, &["add", "--", file]);
    run(dir, &["commit", "-q", "-m", message]);
    run(dir, &["rev-parse", "HEAD"])
}

/// Makes a tree belong to another user. Needs root.
pub(crate) fn give_away(root: &Path) {
    assert!(
        Command::new("chown")
            .args(["-R", "12345"])
            .arg(root)
            .status()
            .unwrap()
            .success()
    );
}

/// Waits until `true`, at most ten seconds.
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = ticks() + Duration::from_secs(10);
    while !check() {
        assert!(ticks() < deadline, "waited 10 s for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A repository with a few files and two commits on `main`.
pub(crate) struct Sample {
    dir: tempfile::TempDir,
    root: PathBuf,
}

impl Sample {
    pub(crate) fn new() -> Self {
        Self::with_init(&[])
    }

    /// Made with more arguments to `git init`.
    pub(crate) fn with_init(init: &[&str]) -> Self {
        let sample = Self::empty(init);
        let root = sample.root();
        fs::create_dir_all(root.join("src/deep")).unwrap();
        fs::write(root.join("README.md"), "# sample\n").unwrap();
        fs::write(root.join("src/deep/a.txt"), "a\n".repeat(50)).unwrap();
        fs::write(root.join("src/main.sh"), "#!/bin/sh\n").unwrap();
        run(root, &["add", "."]);
        run(root, &["commit", "-q", "-m", "first"]);
        sample.commit("second.txt", "second");
        sample
    }

    /// Without any commit.
    pub(crate) fn empty(init: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("repo");
        fs::create_dir(&root).unwrap();
        let mut args = vec!["init", "-q", "-b", "main"];
        args.extend_from_slice(init);
        run(&root, &args);
        for (key, value) in [
            ("user.name", "Test"),
            ("user.email", "test@example.com"),
            ("gc.auto", "0"),
        ] {
            run(&root, &["config", key, value]);
        }
        Self { dir, root }
    }

    /// One repository for each engine.
    pub(crate) fn both_engines() -> [Self; 2] {
        [
            Self::new(),
            Self::with_init(&["--ref-format", "reftable", "--object-format", "sha256"]),
        ]
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder around it, for clones and worktrees.
    pub(crate) fn dir(&self) -> &Path {
        self.root.parent().unwrap_or_else(|| self.dir.path())
    }

    pub(crate) fn repo(&self) -> Repo {
        Repo::discover(&self.root).unwrap()
    }

    pub(crate) fn commit(&self, file: &str, message: &str) -> String {
        commit(&self.root, file, message)
    }

    pub(crate) fn bare_copy(&self) -> PathBuf {
        let bare = self.dir().join("bare.git");
        if !bare.exists() {
            run(
                self.dir(),
                &[
                    "clone",
                    "-q",
                    "--bare",
                    self.root.to_str().unwrap(),
                    bare.to_str().unwrap(),
                ],
            );
        }
        bare
    }

    /// A clone of the bare copy, so that it has a remote it can push to.
    pub(crate) fn clone_of_bare(&self, name: &str) -> PathBuf {
        let bare = self.bare_copy();
        let copy = self.dir().join(name);
        run(
            self.dir(),
            &[
                "clone",
                "-q",
                bare.to_str().unwrap(),
                copy.to_str().unwrap(),
            ],
        );
        for (key, value) in [("user.name", "Test"), ("user.email", "test@example.com")] {
            run(&copy, &["config", key, value]);
        }
        copy
    }
}
