//! Git on this machine: blocking functions over paths, no database and no runtime.
//!
//! Invariant: everything that changes a repository's refs or worktree entries happens under
//! [`lock::Locks`], and whatever a failed operation made is taken away again before it returns.
//! Two engines stand behind the same functions (see [`repo::Engine`]): git2 and gix where they read
//! the repository's format, the system's git everywhere else and for all network traffic.
//!
//! Deliberately not here: which branch a workspace should have, what a database believes, and any
//! policy about deleting. The callers decide; these functions act and report.

pub mod clone;
pub mod entries;
pub mod error;
pub mod fetch;
pub mod files;
pub mod hooks;
pub mod journal;
pub mod lock;
pub mod names;
mod plain;
pub mod refs;
pub mod remote;
pub mod repo;
pub mod status;
pub mod system;
pub mod tools;
pub mod trash;
pub mod worktree;

pub use error::{Error, Kind};
pub use lock::{Gate, Locks};
pub use repo::{Engine, Repo, Why};
pub use system::{Git, Limits, Progress, Watch};
pub use tools::Tools;

/// A full commit id in lower-case hex, 40 or 64 digits.
pub type CommitId = String;

#[cfg(test)]
pub(crate) mod fixture;
