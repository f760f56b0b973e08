//! What a project wants done in a new workspace and before an old one goes: its setup and teardown
//! commands and the files to copy from the main checkout.
//!
//! Invariant: finding out changes nothing and runs nothing. `.hostler/config.json` is looked for
//! first, then `.superset/config.json`; the worktree's file stands before the repository's, a
//! `config.local.json` beside it overlays key by key, and scripts are used where no config is.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use hostler_proto::command::SetupReport;
use hostler_proto::ids::WorkspaceId;
use serde::Deserialize;

/// How long setup may take in all.
pub const SETUP_LIMIT: Duration = Duration::from_secs(600);
/// How long teardown may take in all.
pub const TEARDOWN_LIMIT: Duration = Duration::from_secs(60);

const FOLDERS: [&str; 2] = [".hostler", ".superset"];

/// What a project asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Shell commands, one after another, once the files are there.
    pub setup: Vec<String>,
    /// Shell commands before the workspace goes.
    pub teardown: Vec<String>,
    /// Paths relative to the repository, copied from the main checkout when they exist there.
    pub copy: Vec<PathBuf>,
    /// The folder commands run in, relative to the workspace.
    pub cwd: PathBuf,
}

/// Why a project's wishes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Not JSON, or not of the right shape.
    #[error("{} cannot be used: {source}", .path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// The parser's words.
        source: serde_json::Error,
    },
    /// A path that leaves the workspace.
    #[error("{} names '{}', which is not a path inside the repository", .path.display(), .named.display())]
    Outside {
        /// Which.
        path: PathBuf,
        /// What it names.
        named: PathBuf,
    },
}

/// Commands to run one after another with `sh -eu`, in one folder and within one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// What they are for, in words: `setup`, `teardown`.
    pub what: &'static str,
    /// The commands.
    pub commands: Vec<String>,
    /// The folder they run in.
    pub dir: PathBuf,
    /// Added to the environment every run gets.
    pub env: BTreeMap<String, String>,
    /// For all of them together.
    pub limit: Duration,
}

/// An answer that comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whoever runs commands in workspaces, under the rules of a run: own processes, ended at the limit
/// with all their children.
pub trait Supervise: Send + Sync {
    /// Runs steps to their end.
    fn steps(&self, steps: Steps) -> Later<'_, SetupReport>;

    /// Ends everything that runs in a workspace; returns when nothing does any more.
    fn vacate(&self, workspace: WorkspaceId) -> Later<'_, ()>;
}

/// Finds what the project asks for in the workspace at `workspace`, whose main checkout is `root`.
pub fn find(workspace: &Path, root: &Path) -> Result<Setup, SetupError> {
    for place in [workspace, root] {
        for folder in FOLDERS {
            let dir = place.join(folder);
            if let Some(config) = Config::load(&dir)? {
                return config.into_setup(&dir);
            }
        }
    }
    Ok(scripts(workspace, root))
}

/// Copies what `copy` names from the main checkout, where it exists there and not yet here.
/// Gives the paths that could not be copied, with the reason.
pub fn copy(setup: &Setup, root: &Path, workspace: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for path in &setup.copy {
        let (from, to) = (root.join(path), workspace.join(path));
        if let Err(error) = copy_tree(&from, &to) {
            problems.push(format!("{} was not copied: {error}", path.display()));
        }
    }
    problems
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    let meta = match from.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if meta.is_dir() {
        std::fs::create_dir_all(to)?;
        for entry in from.read_dir()? {
            let entry = entry?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if to.symlink_metadata().is_ok() {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    if meta.is_symlink() {
        return std::os::unix::fs::symlink(from.read_link()?, to);
    }
    std::fs::copy(from, to).map(drop)
}

fn scripts(workspace: &Path, root: &Path) -> Setup {
    let script = |name: &str| {
        let found = [workspace, root].into_iter().find_map(|place| {
            FOLDERS
                .into_iter()
                .map(|folder| place.join(folder).join(name))
                .find(|path| path.is_file())
        });
        found
            .map(|path| format!("sh -eu {}", quote(&path)))
            .into_iter()
            .collect()
    };
    Setup {
        setup: script("setup.sh"),
        teardown: script("teardown.sh"),
        ..Setup::default()
    }
}

/// A path as one word of a shell command.
fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// The file as written. Keys we do not use (`run`) are for other programs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    setup: Vec<String>,
    teardown: Vec<String>,
    copy: Vec<PathBuf>,
    cwd: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Overlay {
    setup: Option<Change>,
    teardown: Option<Change>,
    copy: Option<Vec<PathBuf>>,
    cwd: Option<PathBuf>,
}

/// A list that replaces, or what goes around the list that is there.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Change {
    Instead(Vec<String>),
    Around {
        #[serde(default)]
        before: Vec<String>,
        #[serde(default)]
        after: Vec<String>,
    },
}

impl Change {
    fn apply(self, list: &mut Vec<String>) {
        match self {
            Self::Instead(all) => *list = all,
            Self::Around { before, after } => {
                let middle = std::mem::replace(list, before);
                list.extend(middle);
                list.extend(after);
            }
        }
    }
}

impl Config {
    fn load(dir: &Path) -> Result<Option<Self>, SetupError> {
        let config: Option<Self> = read(&dir.join("config.json"))?;
        let overlay: Option<Overlay> = read(&dir.join("config.local.json"))?;
        let (mut config, overlay) = match (config, overlay) {
            (None, None) => return Ok(None),
            (config, overlay) => (config.unwrap_or_default(), overlay.unwrap_or_default()),
        };
        if let Some(change) = overlay.setup {
            change.apply(&mut config.setup);
        }
        if let Some(change) = overlay.teardown {
            change.apply(&mut config.teardown);
        }
        config.copy = overlay.copy.unwrap_or(config.copy);
        config.cwd = overlay.cwd.unwrap_or(config.cwd);
        Ok(Some(config))
    }

    fn into_setup(self, dir: &Path) -> Result<Setup, SetupError> {
        for named in self.copy.iter().chain([&self.cwd]) {
            let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
            if !named.components().all(inside) {
                return Err(SetupError::Outside {
                    path: dir.join("config.json"),
                    named: named.clone(),
                });
            }
        }
        Ok(Setup {
            setup: self.setup,
            teardown: self.teardown,
            copy: self.copy,
            cwd: self.cwd,
        })
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, SetupError> {
    let path = path.to_owned();
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| SetupError::Invalid { path, source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SetupError::Unreadable { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Places {
        dir: tempfile::TempDir,
    }

    impl Places {
        fn new() -> Self {
            Self {
                dir: tempfile::tempdir().unwrap(),
            }
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn find(&self) -> Result<Setup, SetupError> {
            find(&self.dir.path().join("tree"), &self.dir.path().join("root"))
        }
    }

    #[test]
    fn nothing_scripts_repository_worktree_in_rising_order() {
        let places = Places::new();
        assert_eq!(places.find().unwrap(), Setup::default());
        places.write("root/.superset/setup.sh", "");
        let script = places.find().unwrap().setup;
        assert!(
            script.len() == 1 && script[0].ends_with("root/.superset/setup.sh'"),
            "{script:?}"
        );
        for (path, word) in [
            ("root/.superset/config.json", "1"),
            ("root/.hostler/config.json", "2"),
            ("tree/.superset/config.json", "3"),
            ("tree/.hostler/config.json", "4"),
        ] {
            places.write(path, &format!(r#"{{"setup": ["{word}"], "run": ["x"]}}"#));
            assert_eq!(places.find().unwrap().setup, [word]);
        }
    }

    #[test]
    fn the_local_file_overlays_key_by_key() {
        let places = Places::new();
        let config = r#"{"setup": ["a"], "teardown": ["t"], "copy": [".env"], "cwd": "web"}"#;
        places.write("tree/.hostler/config.json", config);
        let local = r#"{"setup": {"before": ["0"], "after": ["z"]}, "teardown": ["other"]}"#;
        places.write("tree/.hostler/config.local.json", local);
        let setup = places.find().unwrap();
        assert_eq!(setup.setup, ["0", "a", "z"]);
        assert_eq!(setup.teardown, ["other"]);
        assert_eq!((setup.copy, setup.cwd), (vec![".env".into()], "web".into()));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let places = Places::new();
        for (text, word) in [
            ("{", "EOF"),
            (r#"{"setup": "one"}"#, "sequence"),
            (r#"{"copy": ["../secret"]}"#, "../secret"),
            (r#"{"cwd": "/etc"}"#, "/etc"),
        ] {
            places.write("tree/.hostler/config.json", text);
            let error = places.find().unwrap_err().to_string();
            assert!(
                error.contains(word) && error.contains("config.json"),
                "{error}"
            );
        }
    }

    #[test]
    fn listed_files_are_copied_and_nothing_is_overwritten() {
        let places = Places::new();
        places.write("root/.env", "SECRET=1");
        places.write("root/conf/deep/x", "x");
        places.write("tree/conf/deep/x", "mine");
        places.write("root/conf/deep/y", "y");
        let setup = Setup {
            copy: vec![".env".into(), "conf".into(), "missing".into()],
            ..Setup::default()
        };
        let (root, tree) = (
            places.dir.path().join("root"),
            places.dir.path().join("tree"),
        );
        assert_eq!(copy(&setup, &root, &tree), Vec::<String>::new());
        let text = |path: &str| std::fs::read_to_string(tree.join(path)).unwrap();
        assert_eq!(
            (text(".env"), text("conf/deep/x"), text("conf/deep/y")),
            ("SECRET=1".into(), "mine".into(), "y".into())
        );
    }
}
