//! What can go wrong with a repository, in words a user can act on.
//!
//! Invariant: every message says what happened and to which path or branch; git's own words stand
//! in [`Error::detail`] alone, and what to do next in [`Error::hint`].

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The class of a failure, for callers that map it to their own codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The caller gave something that can never work.
    Invalid,
    /// The thing named is not there.
    Missing,
    /// Something else already stands where this would go.
    Conflict,
    /// This account may not touch it.
    Forbidden,
    /// Possible later, once the state named has changed.
    Precondition,
    /// A limit in time was reached.
    Timeout,
    /// The caller took the request back.
    Cancelled,
    /// The machine, the disk, the network or git itself failed.
    Failed,
}

/// A failed git operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is nothing at {}", .path.display())]
    Missing { path: PathBuf },
    #[error("{} is a file, not a folder with a git repository", .path.display())]
    IsFile { path: PathBuf },
    #[error("{} is not inside a git repository", .path.display())]
    NotRepository { path: PathBuf },
    #[error("{} is git's own folder, not a checkout", .path.display())]
    GitFolder { path: PathBuf },
    #[error("{} is a bare repository: it has no checkout to work in", .path.display())]
    Bare { path: PathBuf },
    #[error("the repository at {} is owned by another user, so git refuses to work in it", .path.display())]
    OtherOwner { path: PathBuf },
    #[error("the repository at {} has no commits yet, so no workspace can be made from it", .path.display())]
    NoCommits { path: PathBuf },
    #[error("'{name}' cannot be a branch name: {reason}")]
    BranchName { name: String, reason: &'static str },
    #[error(
        "branch '{name}' differs only in upper and lower case from the existing branch '{other}'"
    )]
    BranchTwin { name: String, other: String },
    #[error(
        "branch '{name}' cannot stand beside the existing branch '{other}': git keeps branches as files and folders"
    )]
    BranchClash { name: String, other: String },
    #[error("branch '{branch}' is already checked out at {}", .path.display())]
    CheckedOut { branch: String, path: PathBuf },
    #[error("there is no branch, tag or commit '{base}' in {}", .repo.display())]
    NoBase { base: String, repo: PathBuf },
    #[error("there is already something at {}", .path.display())]
    Occupied { path: PathBuf },
    #[error("{} is not a folder", .path.display())]
    NotFolder { path: PathBuf },
    #[error("the address cannot be used: {reason}")]
    Address {
        reason: &'static str,
        hint: &'static str,
    },
    #[error("{what} at {remote}: {reason}")]
    Remote {
        what: &'static str,
        remote: String,
        reason: &'static str,
        hint: &'static str,
        detail: String,
    },
    #[error("{what} made no progress for {} s and was stopped", .after.as_secs_f32())]
    Stalled { what: String, after: Duration },
    #[error("{what} took longer than {} s and was stopped", .after.as_secs_f32())]
    TooLong { what: String, after: Duration },
    #[error("{what} was cancelled")]
    Cancelled { what: String },
    #[error("the repository at {} is being changed by another program", .path.display())]
    Busy { path: PathBuf },
    #[error("{what} failed")]
    Command { what: String, detail: String },
    #[error("git could not be started")]
    NoGit { source: io::Error },
    #[error("{what} {}", .path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// How the system words a full disk.
const DISK_FULL: &str = "No space left on device";

const FREE_SPACE: &str = "The host's disk is full: free space on it, then try again.";

impl Error {
    /// Which class of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } | Self::NoBase { .. } => Kind::Missing,
            Self::IsFile { .. }
            | Self::NotRepository { .. }
            | Self::Bare { .. }
            | Self::GitFolder { .. }
            | Self::BranchName { .. }
            | Self::NotFolder { .. }
            | Self::Address { .. } => Kind::Invalid,
            Self::OtherOwner { .. } => Kind::Forbidden,
            Self::NoCommits { .. } => Kind::Precondition,
            Self::BranchTwin { .. }
            | Self::BranchClash { .. }
            | Self::CheckedOut { .. }
            | Self::Occupied { .. }
            | Self::Busy { .. } => Kind::Conflict,
            Self::Stalled { .. } | Self::TooLong { .. } => Kind::Timeout,
            Self::Cancelled { .. } => Kind::Cancelled,
            Self::Remote { .. } | Self::Command { .. } | Self::NoGit { .. } | Self::Io { .. } => {
                Kind::Failed
            }
        }
    }

    /// What the user can do next, where there is something.
    pub fn hint(&self) -> Option<String> {
        let words = match self {
            Self::Missing { .. } => "Check the path; it must exist on the host itself.",
            Self::IsFile { .. } | Self::NotRepository { .. } => {
                "Give a folder inside a git checkout, or the repository's address to clone it."
            }
            Self::GitFolder { .. } => "Give the folder that holds it.",
            Self::Bare { .. } => "Clone it: give its path as the url instead.",
            Self::OtherOwner { path } => {
                return Some(format!(
                    "If you trust it, run on the host: git config --global --add safe.directory '{}'",
                    path.display()
                ));
            }
            Self::NoCommits { .. } => "Make a first commit in it, then try again.",
            Self::BranchName { .. } => "Give another branch name, such as 'fix/login-timeout'.",
            Self::BranchTwin { .. } | Self::BranchClash { .. } => {
                "Choose another name, or use the existing branch."
            }
            Self::CheckedOut { .. } => {
                "Use that folder, switch it to another branch, or choose another branch. A folder that is gone: git worktree prune."
            }
            Self::NoBase { .. } => {
                "Check baseBranch; a branch of the remote can be given by its plain name."
            }
            Self::Occupied { .. } => "Move it away or choose another place.",
            Self::Remote { detail, .. } if detail.contains(DISK_FULL) => FREE_SPACE,
            Self::Address { hint, .. } | Self::Remote { hint, .. } => hint,
            Self::Stalled { .. } | Self::TooLong { .. } => {
                "Check the network and the server, then try again."
            }
            Self::Busy { .. } => "Try again in a moment.",
            Self::NoGit { .. } => {
                "Install git on the host and make sure it is on the daemon's PATH."
            }
            Self::Command { detail, .. } if detail.contains(DISK_FULL) => FREE_SPACE,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => FREE_SPACE,
            Self::Command { .. } | Self::Io { .. } => {
                "The detail says why; correct that on the host, then try again."
            }
            Self::NotFolder { .. } => "Give the path of a folder.",
            Self::Cancelled { .. } => "Send the request again.",
        };
        Some(words.to_owned())
    }

    /// Git's or the system's own words, for the person who wants to dig.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Remote { detail, .. } | Self::Command { detail, .. } => Some(detail.clone()),
            Self::Io { source, .. } | Self::NoGit { source } => Some(source.to_string()),
            Self::Missing { .. }
            | Self::IsFile { .. }
            | Self::NotRepository { .. }
            | Self::Bare { .. }
            | Self::GitFolder { .. }
            | Self::OtherOwner { .. }
            | Self::NoCommits { .. }
            | Self::BranchName { .. }
            | Self::BranchTwin { .. }
            | Self::BranchClash { .. }
            | Self::CheckedOut { .. }
            | Self::NoBase { .. }
            | Self::Occupied { .. }
            | Self::NotFolder { .. }
            | Self::Address { .. }
            | Self::Stalled { .. }
            | Self::TooLong { .. }
            | Self::Cancelled { .. }
            | Self::Busy { .. } => None,
        }
    }

    /// Whether the same request may work when it is simply made again.
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            Self::Stalled { .. } | Self::TooLong { .. } | Self::Busy { .. } | Self::Remote { .. }
        )
    }

    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    pub(crate) fn git2(what: impl Into<String>) -> impl FnOnce(git2::Error) -> Self {
        let what = what.into();
        move |error| Self::Command {
            what,
            detail: error.message().to_owned(),
        }
    }

    pub(crate) fn gix<E: std::error::Error + 'static>(
        what: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self::Command {
            what,
            detail: with_causes(&error),
        }
    }
}

/// An error and what caused it, on one line.
pub(super) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
