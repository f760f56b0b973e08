//! This machine as runs see it: the user, the login shell's PATH, the agents.
//!
//! Asking for the PATH takes the login shell's time, so it is asked once, and again when something
//! it is made from has changed or an agent is not found; nothing here decides when.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::agents::Agents;
use crate::config::Layout;
use crate::platform;

/// The user as runs see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Home folder.
    pub home: PathBuf,
    /// Login name.
    pub name: String,
    /// Login shell.
    pub shell: PathBuf,
    /// The login shell's PATH.
    pub path: String,
    /// Language and encoding (`C.UTF-8`).
    pub language: String,
}

/// What is known of the machine.
#[derive(Debug)]
pub struct Machine {
    file: PathBuf,
    agents: Mutex<Arc<Agents>>,
    /// What the login shell answered.
    login: Mutex<Option<String>>,
}

impl Machine {
    /// With the agents that the home's file tells of.
    pub fn new(layout: &Layout) -> Self {
        let file = layout.agents_file();
        Self {
            agents: Mutex::new(Arc::new(load(&file))),
            file,
            login: Mutex::new(None),
        }
    }

    /// The agents as the file said when it was last read.
    pub fn agents(&self) -> Arc<Agents> {
        let known = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known)
    }

    /// Reads the agents' file again.
    pub fn read_agents(&self) -> Arc<Agents> {
        let agents = Arc::new(load(&self.file));
        let mut known = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Arc::clone(&agents);
        agents
    }

    /// Where programs are looked for, by the login shell's last answer; asks it when there is none.
    /// May take seconds.
    pub fn path(&self) -> String {
        let known = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(login) = &*known {
            return platform::search_path(login, &home());
        }
        drop(known);
        self.ask_path()
    }

    /// Asks the login shell for its PATH. May take seconds.
    pub fn ask_path(&self) -> String {
        let login = platform::login_path();
        let path = platform::search_path(&login, &home());
        let mut known = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(login);
        path
    }

    /// The user, with the last known PATH. May take seconds the first time.
    pub fn user(&self) -> User {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        User {
            home: home(),
            name: variable("USER")
                .or_else(|| variable("LOGNAME"))
                .unwrap_or_else(platform::user_name),
            shell: platform::login_shell(),
            path: self.path(),
            language: variable("LANG").unwrap_or_else(|| "C.UTF-8".to_owned()),
        }
    }
}

/// The user's home folder.
pub(super) fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"))
}

fn load(file: &std::path::Path) -> Agents {
    let agents = Agents::load(file);
    for (_, mistake) in agents.mistakes() {
        tracing::warn!("{mistake}");
    }
    agents
}
