//! The error a user can meet, as it crosses the link and as tools report it.

use serde::{Deserialize, Serialize};

/// What kind of failure it was. The words are the tools' documented error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The thing named does not exist, or is not the caller's to see.
    NotFound,
    /// The input is wrong; the same call will fail again.
    InvalidArgument,
    /// It collides with something that exists.
    Conflict,
    /// The caller may not do this.
    Forbidden,
    /// The caller is not signed in, or the credential is no longer good.
    Unauthorized,
    /// The host is not connected.
    HostOffline,
    /// No answer within the deadline; the outcome is settled later.
    Timeout,
    /// Something else must be done first (commit, force, resume).
    PreconditionFailed,
    /// The host tried and failed (git, disk, process).
    HostError,
    /// Too many calls; wait.
    RateLimited,
    /// The other end does not know this request.
    Unsupported,
}

impl ErrorCode {
    /// The code's word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::InvalidArgument => "invalid_argument",
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::HostOffline => "host_offline",
            Self::Timeout => "timeout",
            Self::PreconditionFailed => "precondition_failed",
            Self::HostError => "host_error",
            Self::RateLimited => "rate_limited",
            Self::Unsupported => "unsupported",
        }
    }

    /// Whether the same call may succeed later without a change.
    pub fn retryable(self) -> bool {
        match self {
            Self::HostOffline | Self::Timeout | Self::RateLimited => true,
            Self::NotFound
            | Self::InvalidArgument
            | Self::Conflict
            | Self::Forbidden
            | Self::Unauthorized
            | Self::PreconditionFailed
            | Self::HostError
            | Self::Unsupported => false,
        }
    }
}

/// A failure told to a user: one sentence that says what happened to which thing, and a hint that
/// says what to do next. Words of git or of the system go in `detail`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind of failure.
    pub code: ErrorCode,
    /// One sentence: what happened, to which thing.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The words of git or the system, as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Failure {
    /// A failure with a code and its sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            detail: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the underlying words (git's, the system's).
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
