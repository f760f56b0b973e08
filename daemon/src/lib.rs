//! The host daemon: registers git projects, makes workspaces, fires schedules from its own database
//! and runs agents unattended, whether or not the control plane can be reached.

pub mod agents;
mod announce;
pub mod automations;
pub mod busy;
pub mod clock;
pub mod config;
pub mod dispatch;
mod enrol;
mod failpoint;
mod failure;
#[cfg(test)]
mod fixture;
pub mod git;
pub mod host;
mod lifecycle;
pub mod link;
pub mod logs;
pub mod platform;
pub mod policy;
pub mod projects;
pub mod reconcile;
pub mod runs;
pub mod scheduler;
pub mod setup;
pub mod space;
pub mod store;
pub mod supervisor;
pub mod watch;
pub mod workspaces;

use std::sync::Arc;

use tokio::sync::Notify;

pub use enrol::{
    EnrolError, Enrolled, Identity, Left, Rotated, address, enrol, identity, leave, moved, rotate,
    tls_roots,
};
pub use lifecycle::{DaemonError, open_home, run, runs_in};
pub use link::{Standing, standing};
pub use supervisor::supervise;

use busy::Busy;
use config::{Config, Layout};
use host::machine::Machine;
use store::Store;

/// What every part of the daemon stands on, shared by handle.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where things lie.
    pub layout: Arc<Layout>,
    /// What the owner decided.
    pub config: Arc<Config>,
    /// What the owner allows, as it is now.
    pub policy: Arc<policy::Policy>,
    /// The truth.
    pub store: Store,
    /// The user, the PATH and the agents of this machine.
    pub machine: Arc<Machine>,
    /// The system's git and who may change which repository.
    pub git: Arc<git::Tools>,
    /// Who is at work on what.
    pub busy: Arc<Busy>,
    /// Who to wake after a commit.
    pub signals: Arc<Signals>,
}

/// Wake-ups between the daemon's parts. They carry nothing: whoever wakes reads the database, so a
/// lost or doubled wake-up does no harm.
#[derive(Debug, Default)]
pub struct Signals {
    /// Something was committed that may have events in it: the link looks at the outbox.
    pub outbox: Notify,
    /// A run's spool grew or ended: the link looks at the log streams.
    pub logs: Notify,
    /// Automations or final run states changed: the scheduler looks.
    pub scheduler: Notify,
    /// The control plane's wishes are known and stored: what was missed may be caught up.
    pub heard: Notify,
    /// Runs were queued or cancelled: the runs task looks.
    pub runs: Notify,
    /// Projects were registered: their repositories are to be watched.
    pub watch: Notify,
}
