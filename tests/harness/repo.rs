//! Real git repositories, made with git itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Home, program::Ended, wait::secs};

pub(crate) struct Repo<'a> {
    home: &'a Home,
    pub(crate) path: PathBuf,
}

impl<'a> Repo<'a> {
    /// A repository with one commit of this many small files, on `main`.
    #[track_caller]
    pub(crate) fn new(home: &'a Home, name: &str, files: usize) -> Self {
        let repo = Self::empty(home, name);
        for number in 0..files {
            let folder = repo.path.join(format!("src/part{}", number / 100));
            fs::create_dir_all(&folder).unwrap();
            fs::write(
                folder.join(format!("file{number}.txt")),
                format!("line one of {number}\nline two\n"),
            )
            .unwrap();
        }
        fs::write(repo.path.join("README.md"), format!("# {name}\n")).unwrap();
        repo.git(&["add", "--all"]);
        repo.git(&["commit", "--quiet", "--message", "first"]);
        repo
    }

    /// A repository without a commit.
    #[track_caller]
    pub(crate) fn empty(home: &'a Home, name: &str) -> Self {
        let path = home.user().join(name);
        fs::create_dir_all(&path).unwrap();
        let repo = Self { home, path };
        repo.git(&["init", "--quiet"]);
        repo
    }

    /// A bare copy of this repository, as a remote has it; gives its path.
    #[track_caller]
    pub(crate) fn bare_copy(&self, name: &str) -> PathBuf {
        let bare = self.home.path(name);
        self.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
        bare
    }

    /// Runs git here; gives its output without the last line break.
    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(self.home, &self.path, arguments)
    }

    /// Writes and commits one file; gives the commit.
    #[track_caller]
    pub(crate) fn commit(&self, file: &str, text: &str) -> String {
        fs::write(self.path.join(file), text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", file]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Every local branch.
    #[track_caller]
    pub(crate) fn branches(&self) -> Vec<String> {
        self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The folders git knows as worktrees besides the main one.
    #[track_caller]
    pub(crate) fn worktrees(&self) -> Vec<PathBuf> {
        let list = self.git(&["worktree", "list", "--porcelain"]);
        list.lines()
            .filter_map(|line| line.strip_prefix("worktree "))
            .map(PathBuf::from)
            .skip(1)
            .collect()
    }

    pub(crate) fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// Runs git in a folder of this home.
#[track_caller]
pub(crate) fn git(home: &Home, folder: &Path, arguments: &[&str]) -> String {
    let mut command = home.command("git");
    command.current_dir(folder).args(arguments);
    Ended::of(command, secs(60)).ok().trim_end().to_owned()
}
