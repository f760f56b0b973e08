//! How the daemon's own errors become the failure a user meets.
//!
//! Invariant: the message is ours, with the thing's name; the words of git, SQLite and the system
//! go into `detail`.

use hostler_proto::error::{ErrorCode, Failure};

use crate::git;
use crate::store::StoreError;

impl From<git::Error> for Failure {
    fn from(error: git::Error) -> Self {
        let code = match error.kind() {
            git::Kind::Invalid => ErrorCode::InvalidArgument,
            git::Kind::Missing => ErrorCode::NotFound,
            git::Kind::Conflict => ErrorCode::Conflict,
            git::Kind::Forbidden => ErrorCode::Forbidden,
            git::Kind::Precondition => ErrorCode::PreconditionFailed,
            git::Kind::Timeout => ErrorCode::Timeout,
            git::Kind::Cancelled | git::Kind::Failed => ErrorCode::HostError,
        };
        let mut failure = Self::new(code, error.to_string());
        failure.hint = error.hint();
        failure.detail = error.detail();
        failure
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let detail = std::error::Error::source(&error).map(ToString::to_string);
        let mut failure = Self::new(
            ErrorCode::HostError,
            "the host's database could not be used",
        )
        .hint("Look at the daemon's log; free disk space if it is full, then try again.");
        failure.detail = detail.or_else(|| Some(error.to_string()));
        failure
    }
}
