//! What operations on repositories share for the life of the daemon.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Gate, Git, Locks};

/// The system's git, who may change which repository, and how many may write files at once.
#[derive(Debug)]
pub struct Tools {
    /// The system's git.
    pub git: Git,
    /// Who may change which repository.
    pub locks: Locks,
    /// How many may write files at once.
    pub gate: Gate,
    stopping: AtomicBool,
}

impl Tools {
    /// Tools around this git.
    pub fn new(git: Git) -> Self {
        Self {
            git,
            locks: Locks::default(),
            gate: Gate::per_core(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Tools of the daemon: the git on the PATH, limited by the daemon's clock.
    pub fn of_the_daemon() -> Self {
        Self::new(Git::new(|| {
            Duration::from_millis(crate::clock::now().awake_ms)
        }))
    }

    /// Cancels every operation under way, now and from now on: the daemon is about to end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Set once everything is to end.
    pub fn stopping(&self) -> &AtomicBool {
        &self.stopping
    }
}
