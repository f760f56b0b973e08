//! Places where a test may kill the program, to prove that a restart converges.
//!
//! `HOSTLER_FAILPOINT=<operation>:<step>` makes a debug build kill itself (SIGKILL) on reaching that
//! step. A release build does not look at the variable.
//!
//! Operations and steps:
//! * `workspace_create`: `intent`, `ref_created`, `entry_published`, `folder_made`, `files_written`,
//!   `index_written`, `unlocked`, `recorded`
//! * `workspace_delete`: `intent`, `trashed`, `branch_deleted`
//! * `project_clone`: `intent`, `cloned`

use rustix::process::{Signal, getpid, kill_process};

/// Ends the program at once if this step was chosen.
pub(crate) fn reached(operation: &str, step: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let chosen = std::env::var("HOSTLER_FAILPOINT").unwrap_or_default();
    if chosen.split_once(':') == Some((operation, step)) {
        kill_process(getpid(), Signal::KILL).ok();
    }
}
