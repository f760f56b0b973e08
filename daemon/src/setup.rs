//! What a project wants done in a new workspace and before an old one goes: its setup and teardown
//! commands and the files to copy from the main checkout.
//!
//! Invariant: finding out changes nothing and runs nothing. `.hostler/config.json` is looked for
//! first, then `.superset/config.json`; the worktree's file stands before the repository's, the
//! nearest `config.local.json` of the same folder overlays key by key, and scripts are used where no
//! config is.

mod config;
mod copy;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use hostler_proto::command::SetupReport;
use hostler_proto::ids::WorkspaceId;

pub use copy::copy;

/// How long setup may take in all.
pub const SETUP_LIMIT: Duration = Duration::from_secs(600);
/// How long teardown may take in all.
pub const TEARDOWN_LIMIT: Duration = Duration::from_secs(60);

/// Folders a project's config may lie in, ours first.
const FOLDERS: [&str; 2] = [".hostler", ".superset"];

/// What a project asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Shell commands, one after another, once the files are there.
    pub setup: Vec<String>,
    /// Shell commands before the workspace goes.
    pub teardown: Vec<String>,
    /// Paths relative to the repository, copied from the main checkout; `*`, `?`, `[ab]` and `**`
    /// stand for what they do in a shell.
    pub copy: Vec<String>,
    /// The folder commands run in, relative to the workspace.
    pub cwd: PathBuf,
    /// What was left aside, one sentence each.
    pub warnings: Vec<String>,
}

impl Setup {
    /// The folder commands run in: inside the workspace, also when links are followed.
    pub fn folder(&self, workspace: &Path) -> Result<PathBuf, SetupError> {
        let folder = workspace.join(&self.cwd);
        let outside = || SetupError::Outside {
            named: self.cwd.display().to_string(),
            workspace: workspace.to_owned(),
        };
        let (Ok(real), Ok(root)) = (folder.canonicalize(), workspace.canonicalize()) else {
            return Err(SetupError::NoFolder { folder });
        };
        if !real.starts_with(root) {
            return Err(outside());
        }
        if !real.is_dir() {
            return Err(SetupError::NoFolder { folder });
        }
        Ok(folder)
    }
}

/// Why a project's wishes cannot be met.
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
    /// Not JSON.
    #[error("{} cannot be used: {source}", .path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// The parser's words.
        source: serde_json::Error,
    },
    /// A key that is not known, or a value that makes no sense.
    #[error("{} cannot be used: `{key}` {problem}", .path.display())]
    Value {
        /// Which.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// The folder for commands lies elsewhere by way of a link.
    #[error("`cwd` of the project's setup config is '{named}', which leads out of the workspace {}", .workspace.display())]
    Outside {
        /// What it names.
        named: String,
        /// The workspace.
        workspace: PathBuf,
    },
    /// The folder for commands is not there.
    #[error("the setup folder {} does not exist; correct `cwd` in the project's setup config", .folder.display())]
    NoFolder {
        /// Which.
        folder: PathBuf,
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
    let places = [workspace, root];
    for place in places {
        for folder in FOLDERS {
            if let Some(found) = config::load(place, folder, places)? {
                return Ok(found);
            }
        }
    }
    Ok(scripts(workspace, root))
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
    fn a_local_file_that_git_ignores_counts_from_the_main_checkout() {
        let places = Places::new();
        places.write("tree/.hostler/config.json", r#"{"setup": ["a"]}"#);
        let local = |word: &str| format!(r#"{{"setup": {{"after": ["{word}"]}}}}"#);
        places.write("root/.hostler/config.local.json", &local("root"));
        places.write("tree/.superset/config.local.json", &local("no"));
        assert_eq!(places.find().unwrap().setup, ["a", "root"]);
        places.write("tree/.hostler/config.local.json", &local("tree"));
        assert_eq!(places.find().unwrap().setup, ["a", "tree"]);
    }

    #[test]
    fn the_folder_for_commands_is_inside_the_workspace() {
        let places = Places::new();
        places.write("tree/web/x", "");
        places.write("outside/x", "");
        let tree = places.dir.path().join("tree");
        std::os::unix::fs::symlink("../outside", tree.join("link")).unwrap();
        let at = |cwd: &str| {
            let setup = Setup {
                cwd: cwd.into(),
                ..Setup::default()
            };
            setup.folder(&tree).map_err(|error| error.to_string())
        };
        assert_eq!(at("").unwrap(), tree.join(""));
        assert_eq!(at("web").unwrap(), tree.join("web"));
        assert!(at("link").unwrap_err().contains("leads out of"));
        for missing in ["missing", "web/x"] {
            assert!(at(missing).unwrap_err().contains("does not exist"));
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let places = Places::new();
        for (text, words) in [
            ("{", vec!["EOF"]),
            ("[]", vec!["must be an object"]),
            (r#"{"setup": "one"}"#, vec!["`setup`", "a string"]),
            (r#"{"setup": ["a", 1]}"#, vec!["`setup[1]`", "a number"]),
            (
                r#"{"teardown": {"before": ["a"]}}"#,
                vec!["`teardown`", "config.local.json"],
            ),
            (r#"{"copy": ["../secret"]}"#, vec!["`copy[0]`", "../secret"]),
            (r#"{"copy": ["."]}"#, vec!["`copy[0]`"]),
            (r#"{"copy": [".git/config"]}"#, vec!["`copy[0]`", ".git"]),
            (r#"{"cwd": "/etc"}"#, vec!["`cwd`", "/etc"]),
            (r#"{"cwd": ["web"]}"#, vec!["`cwd`", "a list"]),
            (r#"{"run": "x"}"#, vec!["`run`"]),
            (
                r#"{"setpu": []}"#,
                vec!["`setpu`", "setup, teardown, run, copy, cwd"],
            ),
        ] {
            places.write("tree/.hostler/config.json", text);
            let error = places.find().unwrap_err().to_string();
            for word in words.iter().chain(&["tree/.hostler/config.json"]) {
                assert!(error.contains(word), "{text}: {error}");
            }
        }
        places.write("tree/.hostler/config.json", "{}");
        places.write(
            "tree/.hostler/config.local.json",
            r#"{"setup": {"befor": []}}"#,
        );
        let error = places.find().unwrap_err().to_string();
        assert!(
            error.contains("config.local.json") && error.contains("`setup.befor`"),
            "{error}"
        );
    }

    #[test]
    fn keys_of_another_program_are_left_aside_and_told() {
        let places = Places::new();
        places.write(
            "tree/.superset/config.json",
            r#"{"setup": ["a"], "theme": 1}"#,
        );
        let setup = places.find().unwrap();
        assert_eq!(setup.setup, ["a"]);
        assert!(setup.warnings[0].contains("`theme`"), "{setup:?}");
    }
}
