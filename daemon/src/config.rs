//! What the owner of this machine decided: `host.toml`, and where everything lies under the home
//! folder.
//!
//! Invariant: a file with an unknown key or a senseless value is refused whole, with the key's
//! name; nothing is guessed. It does not read the environment and does not create folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hostler_proto::automation::Autonomy;
use serde::Deserialize;

/// Where everything of one home folder lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    home: PathBuf,
}

impl Layout {
    /// The layout under a home folder (`HOSTLER_HOME`, default `~/.hostler`).
    pub fn new(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
        }
    }

    /// The home folder itself.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The host's own folder: database, lock, identity, runs.
    pub fn host(&self) -> PathBuf {
        self.home.join("host")
    }

    /// The host's database.
    pub fn database(&self) -> PathBuf {
        self.host().join("host.db")
    }

    /// Held by the one daemon of this home.
    pub fn lock(&self) -> PathBuf {
        self.host().join("lock")
    }

    /// Run folders, one per run id.
    pub fn runs(&self) -> PathBuf {
        self.host().join("runs")
    }

    /// Scratch folders of runs without a project.
    pub fn scratch(&self) -> PathBuf {
        self.home.join("scratch")
    }

    /// The owner's settings.
    pub fn config_file(&self) -> PathBuf {
        self.home.join("host.toml")
    }

    /// The owner's own agents.
    pub fn agents_file(&self) -> PathBuf {
        self.home.join("agents.toml")
    }
}

/// The owner's settings, each with its default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder that clones go into; relative paths and `~/` are resolved. Default `<home>/projects`.
    pub projects_root: PathBuf,
    /// Folder that worktrees go into. Default `<home>/worktrees`.
    pub worktrees_root: PathBuf,
    /// Folders that projects may lie in; none means anywhere the owner can read.
    pub allowed_roots: Vec<PathBuf>,
    /// Agents that may be run, by id; without it every agent, with an empty list none.
    pub allowed_agents: Option<Vec<String>>,
    /// Emails or ids of the members who may use this host through the control plane; without it
    /// whoever the control plane lets, with an empty list nobody.
    pub allowed_members: Option<Vec<String>>,
    /// Agent runs at the same time (1..=64). Default 2.
    pub max_runs: u32,
    /// The most an automation may let an agent do here. Default `edits`.
    pub max_autonomy: Autonomy,
    /// The program started as `<program> supervise <run-dir>`; none is this program itself.
    pub supervisor: Option<PathBuf>,
    /// For how long the logs of runs are kept here once they are delivered.
    pub logs: Logs,
    /// From when on this machine takes no new work for want of space.
    pub disk: Disk,
    /// Environment of every run, below the automation's own.
    pub env: BTreeMap<String, String>,
    /// When a run is ended, besides its own time limit.
    pub limits: RunLimits,
}

/// The `[limits]` of every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunLimits {
    /// Minutes without a byte of output and without CPU use. Default 15.
    pub idle_minutes: u32,
    /// The same, when the last words look like a question to somebody. Default 2.
    pub asks_minutes: u32,
    /// MiB of a log that are kept: all of it up to this size; beyond, also the last three quarters
    /// of it. Default 64.
    pub log_mb: u32,
    /// MiB of resident memory that a run's processes may use together. Default: no limit.
    pub memory_mb: Option<u32>,
    /// MiB that stay free on the disks of logs and workspaces, but no more than a fiftieth of a disk;
    /// a run that takes them is ended. Default 64; 0 is off.
    pub free_mb: u32,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            idle_minutes: 15,
            asks_minutes: 2,
            log_mb: 64,
            memory_mb: None,
            free_mb: 64,
        }
    }
}

/// How long delivered logs stay on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// Days a delivered log stays. Default 14.
    pub keep_days: u32,
    /// MiB of delivered logs that stay; the oldest beyond it go. Default 5120.
    pub keep_mb: u64,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            keep_days: 14,
            keep_mb: 5 << 10,
        }
    }
}

/// The watermark: a volume that is fuller than this and has not enough left stops new work.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// Per cent of a volume's bytes in use (1..=100; 100 never stops anything). Default 80.
    pub used_percent: u8,
    /// Per cent of a volume's inodes in use (1..=100). Default 70.
    pub inodes_percent: u8,
    /// With so many MiB free a volume counts as having space, however full it is. Default 2048.
    pub enough_free_mb: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            used_percent: 80,
            inodes_percent: 70,
            enough_free_mb: 2 << 10,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            projects_root: PathBuf::from("projects"),
            worktrees_root: PathBuf::from("worktrees"),
            allowed_roots: Vec::new(),
            allowed_agents: None,
            allowed_members: None,
            max_runs: 2,
            max_autonomy: Autonomy::Edits,
            supervisor: None,
            logs: Logs::default(),
            disk: Disk::default(),
            env: BTreeMap::new(),
            limits: RunLimits::default(),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there but cannot be read.
    #[error("the settings file {path} cannot be read: {source}. Make it readable or remove it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("the settings file {path} cannot be used:\n{source}Correct that line or remove it")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The parser's words, with the line.
        source: Box<toml::de::Error>,
    },
    /// A value outside its range.
    #[error("the settings file {path} cannot be used: `{key}` {problem}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong with it and what would be right.
        problem: String,
    },
}

impl Config {
    /// Reads `host.toml` of the home folder; a missing file is all defaults.
    pub fn load(layout: &Layout) -> Result<Self, ConfigError> {
        let path = layout.config_file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::Unreadable { path, source }),
        };
        Self::parse(&text, layout, std::env::home_dir().as_deref())
    }

    /// Settings from their text, with paths made absolute.
    fn parse(text: &str, layout: &Layout, user: Option<&Path>) -> Result<Self, ConfigError> {
        let path = layout.config_file();
        let mut config: Self = toml::from_str(text).map_err(|source| ConfigError::Invalid {
            path: path.clone(),
            source: Box::new(source),
        })?;
        let absolute = |given: &Path| layout.home().join(expand(given, user));
        config.projects_root = absolute(&config.projects_root);
        config.worktrees_root = absolute(&config.worktrees_root);
        config.allowed_roots = config.allowed_roots.iter().map(|p| absolute(p)).collect();
        config.supervisor = config.supervisor.as_deref().map(absolute);
        config.check(path)
    }

    fn check(self, path: PathBuf) -> Result<Self, ConfigError> {
        let refuse = |key, problem: String| ConfigError::Value { path, key, problem };
        if !(1..=64).contains(&self.max_runs) {
            let problem = format!("is {}; it must be 1 to 64", self.max_runs);
            return Err(refuse("max_runs", problem));
        }
        let limits = &self.limits;
        for (key, value) in [
            ("limits.idle_minutes", limits.idle_minutes),
            ("limits.asks_minutes", limits.asks_minutes),
            ("limits.log_mb", limits.log_mb),
            ("limits.memory_mb", limits.memory_mb.unwrap_or(1)),
        ] {
            if value == 0 {
                return Err(refuse(key, "is 0; it must be 1 or more".to_owned()));
            }
        }
        for (key, percent) in [
            ("disk.used_percent", self.disk.used_percent),
            ("disk.inodes_percent", self.disk.inodes_percent),
        ] {
            if !(1..=100).contains(&percent) {
                return Err(refuse(key, format!("is {percent}; it must be 1 to 100")));
            }
        }
        if let Some(name) = self.env.keys().find(|name| !is_env_name(name)) {
            let problem = format!("holds `{name}`, which is not a name of an environment variable");
            return Err(refuse("env", problem));
        }
        for (key, list) in [
            ("allowed_agents", &self.allowed_agents),
            ("allowed_members", &self.allowed_members),
        ] {
            if list.iter().flatten().any(|one| one.trim().is_empty()) {
                let problem = "holds an empty entry; remove it".to_owned();
                return Err(refuse(key, problem));
            }
        }
        Ok(self)
    }
}

/// `~` and `~/...` with the user's home folder put in.
fn expand(path: &Path, user: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), user) {
        (Ok(rest), Some(user)) => user.join(rest),
        (Ok(_) | Err(_), _) => path.to_owned(),
    }
}

fn is_env_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        let layout = Layout::new(Path::new("/home/ada/.hostler"));
        Config::parse(text, &layout, Some(Path::new("/home/ada")))
    }

    #[test]
    fn an_empty_file_is_all_defaults_with_absolute_paths() {
        let config = parse("").unwrap();
        assert_eq!(config.max_runs, 2);
        assert_eq!(config.max_autonomy, Autonomy::Edits);
        assert_eq!(
            config.worktrees_root,
            Path::new("/home/ada/.hostler/worktrees")
        );
        assert_eq!(
            (config.allowed_agents, config.allowed_members),
            (None, None)
        );
    }

    #[test]
    fn every_key_is_read() {
        let config = parse(
            "allowed_agents = ['claude', 'shell']\nallowed_members = ['ada@example.com']\n\
             projects_root = '~/code'\nworktrees_root = '/fast/trees'\nallowed_roots = ['~/code', '/srv']\n\
             max_runs = 5\nmax_autonomy = 'full'\nsupervisor = '/opt/hostler'\n[env]\nLANG = 'C'\n\
             [limits]\nidle_minutes = 5\nasks_minutes = 1\nlog_mb = 8\nmemory_mb = 4096\nfree_mb = 0\n\
             [logs]\nkeep_days = 3\nkeep_mb = 100\n[disk]\nused_percent = 95\ninodes_percent = 99\n\
             enough_free_mb = 1\n",
        )
        .unwrap();
        assert_eq!(config.projects_root, Path::new("/home/ada/code"));
        assert_eq!(config.worktrees_root, Path::new("/fast/trees"));
        let roots = ["/home/ada/code", "/srv"].map(PathBuf::from);
        assert_eq!(config.allowed_roots, roots);
        assert_eq!(config.allowed_agents.unwrap(), ["claude", "shell"]);
        assert_eq!(config.allowed_members.unwrap(), ["ada@example.com"]);
        assert_eq!((config.max_runs, config.max_autonomy), (5, Autonomy::Full));
        assert_eq!(
            config.supervisor.as_deref(),
            Some(Path::new("/opt/hostler"))
        );
        assert_eq!(config.env["LANG"], "C");
        let limits = config.limits;
        assert_eq!((limits.idle_minutes, limits.asks_minutes), (5, 1));
        assert_eq!((limits.log_mb, limits.free_mb), (8, 0));
        assert_eq!(limits.memory_mb, Some(4096));
        assert_eq!((config.logs.keep_days, config.logs.keep_mb), (3, 100));
        assert_eq!(config.disk.used_percent, 95);
        assert_eq!(
            (config.disk.inodes_percent, config.disk.enough_free_mb),
            (99, 1)
        );
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, word) in [
            ("max_rums = 3", "max_rums"),
            ("max_runs = 0", "max_runs"),
            ("max_runs = 'two'", "max_runs"),
            ("[limits]\nlog_mb = 0", "limits.log_mb"),
            ("[limits]\nmemory_gb = 1", "memory_gb"),
            ("max_autonomy = 'yolo'", "yolo"),
            ("[logs]\nkeep_day = 1", "keep_day"),
            ("[disk]\nused_percent = 0", "disk.used_percent"),
            ("allowed_members = ['']", "allowed_members"),
            ("allowed_agents = 'claude'", "allowed_agents"),
            ("[env]\n'A=B' = '1'", "A=B"),
            ("max_runs = ", "line 1"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
            assert!(error.contains("host.toml"), "{error}");
        }
    }
}
