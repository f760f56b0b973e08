//! This machine as runs see it: the user, the login shell's PATH, the agents.
//!
//! The PATH is asked once and again only when it may have changed; asking takes the login shell's
//! time, so it is not asked on the way of a run that can do with the last answer.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::environment::User;
use crate::agents::{Agents, AgentsError};
use crate::config::Layout;
use crate::{clock, platform};

/// After this time the PATH is asked again, milliseconds.
const FRESH_MS: u64 = 5 * 60 * 1000;

/// What is known of the machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) agents: Agents,
    path: Mutex<Option<Arc<str>>>,
    asked_ms: AtomicU64,
}

impl Machine {
    pub(super) fn new(layout: &Layout) -> Result<Self, AgentsError> {
        Ok(Self {
            agents: Agents::load(&layout.agents_file())?,
            path: Mutex::new(None),
            asked_ms: AtomicU64::new(0),
        })
    }

    /// Whether it is time to ask for the PATH (again); says so once.
    pub(super) fn should_ask(&self) -> bool {
        let now_ms = clock::now().awake_ms;
        let asked_ms = self.asked_ms.load(Ordering::Relaxed);
        let stale = asked_ms == 0 || now_ms.saturating_sub(asked_ms) > FRESH_MS;
        if stale {
            self.asked_ms.store(now_ms.max(1), Ordering::Relaxed);
        }
        stale
    }

    /// The last answer; asks the login shell when there is none. May take seconds.
    pub(super) fn path(&self) -> Arc<str> {
        let known = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*known {
            return Arc::clone(path);
        }
        drop(known);
        self.ask_path()
    }

    /// Asks the login shell for its PATH. May take seconds.
    pub(super) fn ask_path(&self) -> Arc<str> {
        let path: Arc<str> = platform::login_path(&home()).into();
        let mut known = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::clone(&path));
        path
    }

    /// The user, with the last known PATH.
    pub(super) fn user(&self) -> User {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        User {
            home: home(),
            name: variable("USER")
                .or_else(|| variable("LOGNAME"))
                .unwrap_or_else(platform::user_name),
            shell: platform::login_shell(),
            path: self.path().to_string(),
            language: variable("LANG").unwrap_or_else(|| "C.UTF-8".to_owned()),
        }
    }
}

fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"))
}
