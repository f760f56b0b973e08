//! A repository on disk: found from any folder inside it, and which engine can work with it.
//!
//! Invariant: a [`Repo`] is a main checkout this account may work in; its engine was decided from
//! the configuration alone, before any library opened it.
//! Deliberately not here: whether it has commits. A project may be registered before its first one.

use std::fs;
use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice;

use super::Error;

/// A repository with a main checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    /// The main checkout.
    pub root: PathBuf,
    /// The common git directory, usually `<root>/.git`.
    pub common: PathBuf,
    /// How it is worked with.
    pub engine: Engine,
}

/// How a repository is worked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// git2 for refs, gix for files.
    Native,
    /// The system's git, for the reason given.
    System(Why),
}

/// Why the libraries cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Refs are in a reftable.
    Reftable,
    /// Objects are named by SHA-256.
    Sha256,
    /// Objects are fetched when they are needed.
    PartialClone,
    /// Only part of the tree is checked out.
    Sparse,
    /// There are submodules in use.
    Submodules,
    /// libgit2 would not open it.
    Refused,
}

impl Repo {
    /// The repository `path` lies in. A linked worktree leads to its main checkout.
    pub fn discover(path: &Path) -> Result<Self, Error> {
        let meta = fs::metadata(path).map_err(|source| unreachable_path(path, source))?;
        if !meta.is_dir() {
            return Err(Error::IsFile {
                path: path.to_owned(),
            });
        }
        let path = path
            .canonicalize()
            .map_err(Error::io("could not resolve", path))?;
        for folder in path.ancestors() {
            if let Some((root, common)) = at(folder)? {
                return Self::open(root, common);
            }
        }
        Err(Error::NotRepository { path })
    }

    fn open(root: PathBuf, common: PathBuf) -> Result<Self, Error> {
        let config = Config::read(&common)?;
        if config.flag("core.bare") {
            return Err(Error::Bare { path: root });
        }
        let engine = match config.obstacle() {
            Some(why) => Engine::System(why),
            None => match git2::Repository::open(&root) {
                Ok(_) => Engine::Native,
                Err(error) if error.code() == git2::ErrorCode::Owner => {
                    return Err(Error::OtherOwner { path: root });
                }
                Err(_) => Engine::System(Why::Refused),
            },
        };
        if engine != Engine::Native && !safe(&root, &common) {
            return Err(Error::OtherOwner { path: root });
        }
        Ok(Self {
            root,
            common,
            engine,
        })
    }

    /// Where the worktrees' entries are.
    pub fn entries_dir(&self) -> PathBuf {
        self.common.join("worktrees")
    }

    pub(crate) fn git2(&self) -> Result<git2::Repository, Error> {
        git2::Repository::open(&self.root).map_err(Error::git2(format!(
            "opening the repository at {}",
            self.root.display()
        )))
    }
}

fn unreachable_path(path: &Path, source: std::io::Error) -> Error {
    if source.kind() == std::io::ErrorKind::NotFound {
        Error::Missing {
            path: path.to_owned(),
        }
    } else if source.kind() == std::io::ErrorKind::NotADirectory {
        Error::IsFile {
            path: path.to_owned(),
        }
    } else {
        Error::io("could not look at", path)(source)
    }
}

/// Makes a repository in a new folder, with one empty commit on `main` dated `now` (Unix seconds).
pub fn init(folder: &Path, now: i64) -> Result<super::CommitId, Error> {
    if fs::symlink_metadata(folder).is_ok() {
        return Err(Error::Occupied {
            path: folder.to_owned(),
        });
    }
    let what = || Error::git2(format!("making a repository at {}", folder.display()));
    let mut options = git2::RepositoryInitOptions::new();
    options.no_reinit(true).initial_head("main").mkpath(true);
    let repo = git2::Repository::init_opts(folder, &options).map_err(what())?;
    let tree = repo
        .treebuilder(None)
        .and_then(|builder| builder.write())
        .map_err(what())?;
    let tree = repo.find_tree(tree).map_err(what())?;
    let who = git2::Signature::new("hostler", "hostler@localhost", &git2::Time::new(now, 0))
        .map_err(what())?;
    let commit = repo
        .commit(Some("HEAD"), &who, &who, "Empty start", &tree, &[])
        .map_err(what())?;
    Ok(commit.to_string())
}

/// The repository whose checkout or git directory `folder` itself is, as (root, common directory).
fn at(folder: &Path) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    let dot_git = folder.join(".git");
    if is_git_dir(&dot_git) {
        return Ok(Some((folder.to_owned(), dot_git)));
    }
    if let Some(git_dir) = linked(&dot_git) {
        return Ok(Some(main_of(folder, &git_dir)));
    }
    if is_git_dir(folder) {
        if folder.file_name().is_some_and(|name| name == ".git") {
            return Err(Error::GitFolder {
                path: folder.to_owned(),
            });
        }
        return Err(Error::Bare {
            path: folder.to_owned(),
        });
    }
    Ok(None)
}

fn is_git_dir(path: &Path) -> bool {
    fs::symlink_metadata(path.join("HEAD")).is_ok()
        && path.join("objects").is_dir()
        && path.join("refs").is_dir()
}

/// The git directory a `.git` file points to.
pub(crate) fn linked(dot_git: &Path) -> Option<PathBuf> {
    if !dot_git.is_file() {
        return None;
    }
    let text = fs::read(dot_git).ok()?;
    let target = text
        .strip_prefix(b"gitdir: ")?
        .trim_end()
        .to_path()
        .ok()?
        .to_owned();
    Some(dot_git.parent()?.join(target))
}

fn main_of(folder: &Path, git_dir: &Path) -> (PathBuf, PathBuf) {
    let common = fs::read_to_string(git_dir.join("commondir"))
        .ok()
        .and_then(|text| git_dir.join(text.trim_end()).canonicalize().ok());
    match common {
        Some(common) => {
            let root = common
                .parent()
                .map_or_else(|| common.clone(), Path::to_owned);
            (root, common)
        }
        None => (
            folder.to_owned(),
            git_dir
                .canonicalize()
                .unwrap_or_else(|_| git_dir.to_owned()),
        ),
    }
}

/// git's rule for repositories the libraries do not check for us: the same user, or declared safe.
fn safe(root: &Path, common: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let me = rustix::process::geteuid().as_raw();
    let owned = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == me);
    if owned(root) && owned(common) {
        return true;
    }
    let Ok(config) = git2::Config::open_default() else {
        return false;
    };
    let Ok(entries) = config.multivar("safe.directory", None) else {
        return false;
    };
    let mut found = false;
    let walked = entries.for_each(|entry| {
        found |= entry
            .value()
            .is_ok_and(|value| value == "*" || Path::new(value) == root);
    });
    walked.is_ok() && found
}

struct Config(Vec<gix::config::File>);

impl Config {
    fn read(common: &Path) -> Result<Self, Error> {
        let mut files = Vec::new();
        for (name, source) in [
            ("config", gix::config::Source::Local),
            ("config.worktree", gix::config::Source::Worktree),
        ] {
            let path = common.join(name);
            if !path.exists() {
                continue;
            }
            let file = gix::config::File::from_path_no_includes(path.clone(), source)
                .map_err(Error::gix(format!("reading {}", path.display())))?;
            files.push(file);
        }
        Ok(Self(files))
    }

    fn text(&self, key: &str) -> Option<String> {
        self.0
            .iter()
            .rev()
            .find_map(|file| file.string(key))
            .map(|value| value.to_string())
    }

    fn flag(&self, key: &str) -> bool {
        self.0
            .iter()
            .rev()
            .find_map(|file| file.boolean(key).ok().flatten())
            .unwrap_or(false)
    }

    fn obstacle(&self) -> Option<Why> {
        let said = |key: &str, plain: &str| {
            self.text(key)
                .is_some_and(|value| !value.eq_ignore_ascii_case(plain))
        };
        if said("extensions.refStorage", "files") {
            return Some(Why::Reftable);
        }
        if said("extensions.objectFormat", "sha1") {
            return Some(Why::Sha256);
        }
        if self.text("extensions.partialClone").is_some() || self.any_promisor() {
            return Some(Why::PartialClone);
        }
        if self.flag("core.sparseCheckout") {
            return Some(Why::Sparse);
        }
        let submodules = self.0.iter().any(|file| {
            file.sections_by_name("submodule")
                .is_some_and(|mut all| all.next().is_some())
        });
        submodules.then_some(Why::Submodules)
    }

    fn any_promisor(&self) -> bool {
        self.0
            .iter()
            .filter_map(|file| file.sections_by_name("remote"))
            .flatten()
            .any(|remote| remote.value("promisor").is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture::{self, Sample};

    #[test]
    fn found_from_inside_and_from_a_linked_worktree() {
        let sample = Sample::new();
        let linked = sample.dir().join("linked");
        fixture::run(
            sample.root(),
            &[
                "worktree",
                "add",
                "-q",
                "-b",
                "other",
                linked.to_str().unwrap(),
            ],
        );
        let expected = Repo {
            root: sample.root().to_owned(),
            common: sample.root().join(".git"),
            engine: Engine::Native,
        };
        for inside in [
            sample.root().to_owned(),
            sample.root().join("src/deep"),
            linked.join("src"),
        ] {
            assert_eq!(
                Repo::discover(&inside).unwrap(),
                expected,
                "{}",
                inside.display()
            );
        }
    }

    #[test]
    fn what_is_no_checkout_is_named() {
        let sample = Sample::new();
        let file = Repo::discover(&sample.root().join("README.md")).unwrap_err();
        assert!(matches!(file, Error::IsFile { .. }), "{file}");
        let missing = Repo::discover(&sample.dir().join("nowhere")).unwrap_err();
        assert!(matches!(missing, Error::Missing { .. }), "{missing}");
        let bare = Repo::discover(&sample.bare_copy()).unwrap_err();
        assert!(matches!(bare, Error::Bare { .. }), "{bare}");
        let plain = tempfile::tempdir().unwrap();
        let plain = Repo::discover(plain.path()).unwrap_err();
        assert!(matches!(plain, Error::NotRepository { .. }), "{plain}");
    }

    #[test]
    fn another_users_repository_is_refused_by_both_engines() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        for format in ["files", "reftable"] {
            let sample = Sample::with_init(&["--ref-format", format]);
            fixture::give_away(sample.root());
            let error = Repo::discover(sample.root()).unwrap_err();
            assert!(
                matches!(error, Error::OtherOwner { .. }),
                "{format}: {error}"
            );
            assert!(error.hint().unwrap().contains("safe.directory"));
        }
    }

    #[test]
    fn the_engine_follows_the_configuration() {
        let engine = |sample: &Sample| Repo::discover(sample.root()).unwrap().engine;
        assert_eq!(
            engine(&Sample::with_init(&["--ref-format", "reftable"])),
            Engine::System(Why::Reftable)
        );
        assert_eq!(
            engine(&Sample::with_init(&["--object-format", "sha256"])),
            Engine::System(Why::Sha256)
        );
        let sample = Sample::new();
        for (key, value, why) in [
            ("submodule.lib.url", "x", Why::Submodules),
            ("core.sparseCheckout", "true", Why::Sparse),
            ("remote.origin.promisor", "true", Why::PartialClone),
        ] {
            fixture::run(sample.root(), &["config", key, value]);
            assert_eq!(engine(&sample), Engine::System(why));
        }
    }
}
