//! The one edge where a [`Failure`] becomes what a tool answers: `isError`, a sentence with what to
//! do next as text, and the same as structured content.
//!
//! A failure of a known tool is never a protocol error: clients show those opaquely, and the model
//! could not correct itself.

use hostler_proto::error::{ErrorCode, Failure};
use rmcp::model::{CallToolResult, ContentBlock};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

/// The `error` of a tool's structured content.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ToolError {
    /// What kind of failure it was.
    code: Code,
    /// One sentence: what happened, to which thing.
    message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Whether the same call may succeed later without a change.
    retryable: bool,
    /// The words of git or the system, as they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// The documented codes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Code {
    NotFound,
    InvalidArgument,
    Conflict,
    Forbidden,
    Unauthorized,
    HostOffline,
    Timeout,
    PreconditionFailed,
    HostError,
    RateLimited,
}

/// The answer of a tool that failed.
pub(crate) fn answer(failure: Failure) -> CallToolResult {
    let mut text = sentence(&failure.message);
    for part in [&failure.hint, &failure.detail].into_iter().flatten() {
        text.push(' ');
        text.push_str(&sentence(part));
    }
    let error = ToolError::from(failure);
    let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
    result.structured_content = Some(json!({ "error": error }));
    result
}

/// The answer of a tool that did what it was asked.
pub(crate) fn success(value: Value) -> CallToolResult {
    CallToolResult::structured(value)
}

impl From<Failure> for ToolError {
    fn from(failure: Failure) -> Self {
        Self {
            retryable: failure.code.retryable(),
            code: failure.code.into(),
            message: failure.message,
            hint: failure.hint,
            detail: failure.detail,
        }
    }
}

impl From<ErrorCode> for Code {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::InvalidArgument => Self::InvalidArgument,
            ErrorCode::Conflict => Self::Conflict,
            ErrorCode::Forbidden => Self::Forbidden,
            ErrorCode::Unauthorized => Self::Unauthorized,
            ErrorCode::HostOffline => Self::HostOffline,
            ErrorCode::Timeout => Self::Timeout,
            ErrorCode::PreconditionFailed | ErrorCode::Unsupported => Self::PreconditionFailed,
            ErrorCode::HostError => Self::HostError,
            ErrorCode::RateLimited => Self::RateLimited,
        }
    }
}

/// Starts with a capital (unless it starts with a name in quotes) and ends with a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut letters = text.chars();
    let mut sentence: String = match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => return String::new(),
    };
    if !sentence.ends_with(['.', '!', '?', ':', '\n']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_sentence_and_its_parts() {
        let failure = Failure::new(ErrorCode::HostOffline, "the host \"MacBook\" is offline")
            .hint("Try again when it is back")
            .detail("last seen today");
        let result = answer(failure);
        assert_eq!(result.is_error, Some(true));
        let text = result.content[0].as_text().unwrap().text.clone();
        assert_eq!(
            text,
            "The host \"MacBook\" is offline. Try again when it is back. Last seen today."
        );
        assert_eq!(
            result.structured_content.unwrap(),
            json!({"error": {
                "code": "host_offline", "message": "the host \"MacBook\" is offline",
                "hint": "Try again when it is back", "retryable": true, "detail": "last seen today",
            }})
        );
    }
}
