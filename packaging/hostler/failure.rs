//! What went wrong, as a person reads it, and the exit code a script reads.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use hostler_proto::error::ErrorCode;
use serde_json::Value;

/// Exit codes, shown in `hostler --help`.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  done
  1  it failed; the message says why
  2  the command line is wrong
  3  not signed in, or not allowed
  4  no such thing
  5  it collides with what exists, or something must be done first
  6  the host is offline, or did not answer in time
  7  the control plane cannot be reached";

/// A failure told to the person at the terminal.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    detail: Option<String>,
    code: u8,
    passing: bool,
    signed_out: bool,
}

impl Failure {
    /// A plain failure (exit code 1).
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            detail: None,
            code: 1,
            passing: false,
            signed_out: false,
        }
    }

    /// A wrong command line (exit code 2).
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: 2,
            ..Self::new(message)
        }
    }

    /// Credentials are missing or refused (exit code 3).
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self {
            code: 3,
            signed_out: true,
            ..Self::new(message)
        }
    }

    /// The control plane cannot be reached (exit code 7).
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self {
            code: 7,
            passing: true,
            ..Self::new(message)
        }
    }

    /// Something must be done first (exit code 5).
    pub(crate) fn unmet(message: impl Into<String>) -> Self {
        Self {
            code: 5,
            ..Self::new(message)
        }
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// From a tool's `structuredContent.error`.
    pub(crate) fn of_tool(error: &Value) -> Self {
        let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
        let code = error
            .get("code")
            .and_then(|code| serde_json::from_value::<ErrorCode>(code.clone()).ok());
        Self {
            message: text("message").unwrap_or_else(|| error.to_string()),
            hint: text("hint").map(|hint| as_commands(&hint)),
            detail: text("detail"),
            code: code.map_or(1, exit_code_of),
            passing: error.get("retryable") == Some(&Value::Bool(true)),
            signed_out: code == Some(ErrorCode::Unauthorized),
        }
    }

    /// Whether the same call may succeed a little later: the control plane is away, or says so.
    pub(crate) fn may_pass(&self) -> bool {
        self.passing
    }

    /// Whether signing in may cure it.
    pub(crate) fn wants_sign_in(&self) -> bool {
        self.signed_out
    }

    /// Writes the failure to standard error.
    pub(crate) fn print(&self) {
        let mut text = format!("hostler: {}\n", self.message);
        if let Some(detail) = &self.detail {
            for line in detail.lines() {
                text.push_str("  | ");
                text.push_str(line);
                text.push('\n');
            }
        }
        if let Some(hint) = &self.hint {
            text.push_str("  ");
            text.push_str(hint);
            text.push('\n');
        }
        // Nobody is left to tell when standard error is gone.
        drop(std::io::stderr().write_all(text.as_bytes()));
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// Its message and what to do next, on one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " {hint}"),
            None => Ok(()),
        }
    }
}

/// A hint that names tools, with the commands that do the same in their place.
fn as_commands(hint: &str) -> String {
    const NOUNS: &[&str] = &[
        "hosts_",
        "projects_",
        "workspaces_",
        "tasks_",
        "automations_",
        "runs_",
    ];
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = hint.split_inclusive(|c: char| !is_name(c)).map(|piece| {
        let tool = piece.trim_end_matches(|c: char| !is_name(c));
        if !NOUNS.iter().any(|noun| tool.starts_with(noun)) {
            return piece.to_owned();
        }
        let command = match tool {
            "automations_get_prompt" => "automations prompt get".to_owned(),
            "automations_set_prompt" => "automations prompt set".to_owned(),
            other => other.replace('_', " "),
        };
        format!("`hostler {command}`{}", &piece[tool.len()..])
    });
    let text: String = words.collect();
    text.replace("call `", "run `")
}

fn exit_code_of(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::Unauthorized | ErrorCode::Forbidden => 3,
        ErrorCode::NotFound => 4,
        ErrorCode::Conflict | ErrorCode::PreconditionFailed => 5,
        ErrorCode::HostOffline | ErrorCode::Timeout => 6,
        ErrorCode::InvalidArgument => 2,
        ErrorCode::HostError | ErrorCode::RateLimited | ErrorCode::Unsupported => 1,
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_what_is_typed_here() {
        let hints = [
            (
                "call hosts_list to see what there is",
                "run `hostler hosts list` to see what there is",
            ),
            (
                "see automations_get_prompt.",
                "see `hostler automations prompt get`.",
            ),
            (
                "a task's status_type is one of ...",
                "a task's status_type is one of ...",
            ),
        ];
        for (tools, commands) in hints {
            assert_eq!(as_commands(tools), commands);
        }
    }

    #[test]
    fn a_tool_error_keeps_its_words_and_gets_its_exit_code() {
        let failure = Failure::of_tool(&serde_json::json!({
            "code": "host_offline", "message": "Host m is offline.", "hint": "Start it.", "retryable": true
        }));
        assert_eq!(failure.code, 6);
        assert_eq!(failure.message, "Host m is offline.");
        assert_eq!(failure.hint.as_deref(), Some("Start it."));
    }
}
