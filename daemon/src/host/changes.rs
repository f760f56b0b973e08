//! Which changes on the disk mean that this host's agents are to be looked at again. Pure but for
//! asking which folders exist.
//!
//! Folders are watched, never trees. A home folder sees a write every few seconds, so what is heard
//! is compared with the few names that matter before anything is woken.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::agents::Agents;

/// Files below the home folder that a login shell makes its PATH from.
const HOME_FILES: &[&str] = &[
    ".profile",
    ".bash_profile",
    ".bash_login",
    ".bashrc",
    ".zshenv",
    ".zprofile",
    ".zshrc",
    ".zlogin",
    ".config/fish/config.fish",
];

/// The same for everybody.
const MACHINE_FILES: &[&str] = &[
    "/etc/profile",
    "/etc/environment",
    "/etc/paths",
    "/etc/zshenv",
    "/etc/zprofile",
    "/etc/zsh/zshenv",
    "/etc/zsh/zprofile",
    "/etc/bash.bashrc",
];

/// Folders of such files.
const MACHINE_FOLDERS: &[&str] = &["/etc/profile.d", "/etc/paths.d"];

/// What has to be done anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The login shell may have another PATH.
    pub shell: bool,
    /// `agents.toml`, or what `host.toml` allows.
    pub agents: bool,
    /// An agent's program came, went or is another one.
    pub programs: bool,
}

/// What is listened for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interests {
    shell: BTreeSet<PathBuf>,
    shell_folders: BTreeSet<PathBuf>,
    own_files: Vec<PathBuf>,
    /// Where agents' programs are or may be put, and what these lead to.
    programs: BTreeSet<PathBuf>,
}

impl Changed {
    /// Everything, when nobody knows what changed.
    pub fn all() -> Self {
        Self {
            shell: true,
            agents: true,
            programs: true,
        }
    }

    /// Whether there is nothing to do.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// This and that.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            shell: self.shell || other.shell,
            agents: self.agents || other.agents,
            programs: self.programs || other.programs,
        }
    }
}

impl Interests {
    /// For these agents on this PATH. `common`: folders that are looked into once they exist.
    pub fn new(agents: &Agents, path: &str, home: &Path, own_files: &[PathBuf]) -> Self {
        let mut programs = BTreeSet::new();
        let folders: Vec<PathBuf> = std::env::split_paths(path)
            .chain(crate::platform::common_folders(home))
            .filter(|folder| folder.is_absolute())
            .collect();
        for agent in agents.iter() {
            let places: Vec<PathBuf> = if agent.command.contains('/') {
                vec![PathBuf::from(&agent.command)]
            } else {
                folders
                    .iter()
                    .map(|folder| folder.join(&agent.command))
                    .collect()
            };
            for place in places {
                // Installers often put a link there and replace what it leads to.
                programs.extend(place.canonicalize().ok());
                programs.insert(place);
            }
        }
        let home_files = HOME_FILES.iter().map(|name| home.join(name));
        Self {
            shell: home_files
                .chain(MACHINE_FILES.iter().map(PathBuf::from))
                .collect(),
            shell_folders: MACHINE_FOLDERS.iter().map(PathBuf::from).collect(),
            own_files: own_files.to_vec(),
            programs,
        }
    }

    /// The folders to watch: those of everything of interest; for one that does not exist yet the
    /// nearest above it, to see it come.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let files = self
            .shell
            .iter()
            .chain(&self.programs)
            .chain(&self.own_files);
        let parents = files.filter_map(|file| file.parent());
        let folders = parents.chain(self.shell_folders.iter().map(PathBuf::as_path));
        folders
            .filter_map(|folder| folder.ancestors().find(|folder| folder.is_dir()))
            .map(Path::to_owned)
            .collect()
    }

    /// What a change of these paths means.
    pub fn of(&self, paths: &[PathBuf]) -> Changed {
        let touches = |wanted: &BTreeSet<PathBuf>| {
            // A folder above a wanted file that comes or goes takes it along.
            paths.iter().any(|path| {
                let mut from = wanted.range(path.clone()..);
                from.next().is_some_and(|first| first.starts_with(path))
            })
        };
        let in_folder = |path: &PathBuf| {
            let parent = path.parent();
            parent.is_some_and(|parent| self.shell_folders.contains(parent))
        };
        Changed {
            shell: touches(&self.shell)
                || touches(&self.shell_folders)
                || paths.iter().any(in_folder),
            agents: paths
                .iter()
                .any(|path| self.own_files.iter().any(|file| file.starts_with(path))),
            programs: touches(&self.programs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interests(home: &Path) -> Interests {
        let path = format!("{}/bin:/usr/bin", home.display());
        Interests::new(
            &Agents::default(),
            &path,
            home,
            &[
                home.join(".hostler/agents.toml"),
                home.join(".hostler/host.toml"),
            ],
        )
    }

    #[test]
    fn only_what_matters_is_heard() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let interests = interests(&home);
        let of = |name: &str| interests.of(&[home.join(name)]);
        let nothing = Changed::default();
        let programs = Changed {
            programs: true,
            ..nothing
        };
        let shell = Changed {
            shell: true,
            ..nothing
        };
        let agents = Changed {
            agents: true,
            ..nothing
        };
        assert_eq!(of("bin/claude"), programs);
        assert_eq!(of("bin"), programs);
        assert_eq!(of(".local"), programs, "a folder above ~/.local/bin");
        assert_eq!(of("bin/claude2"), nothing);
        assert_eq!(of(".bash_history"), nothing);
        assert_eq!(of(".claude.json"), nothing);
        assert_eq!(of(".profile"), shell);
        assert_eq!(of(".hostler/agents.toml"), agents);
        assert_eq!(of(".hostler/host.toml"), agents);
        assert_eq!(of(".hostler/credentials.json"), nothing);
        assert_eq!(interests.of(&["/etc/profile.d/nvm.sh".into()]), shell);
        assert_eq!(interests.of(&["/usr/bin/codex".into()]), programs);
        assert_eq!(interests.of(&["/usr/bin/cat".into()]), nothing);
    }

    #[test]
    fn folders_that_exist_are_watched_and_others_from_above() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        std::fs::create_dir(home.join("bin")).unwrap();
        let target = home.join("opt/claude-1");
        std::fs::create_dir(home.join("opt")).unwrap();
        std::fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, home.join("bin/claude")).unwrap();
        let folders = interests(&home).folders();
        for folder in ["", "bin", "opt"] {
            assert!(
                folders.contains(&home.join(folder)),
                "{folder}: {folders:?}"
            );
        }
        assert!(folders.iter().all(|folder| folder.is_dir()));
        assert!(interests(&home).of(&[target]).programs);
    }
}
