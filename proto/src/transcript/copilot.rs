//! GitHub Copilot CLI's `--output-format json`: its session's events.

use serde_json::Value;

use super::Memory;
use super::call::{call, duration, ending};
use super::layout::Piece;

/// Events that tell nothing a reader wants: the same is told by others, or only concerns a screen.
const SILENT: &[&str] = &[
    "assistant.turn_start",
    "assistant.turn_end",
    "assistant.idle",
    "assistant.message_start",
    "assistant.message_delta",
    "assistant.tool_call_delta",
];

/// The pieces of a line; none when it is not one of these.
pub(super) fn read(kind: &str, line: &Value, memory: &mut Memory) -> Option<Vec<Piece>> {
    let data = &line["data"];
    let text = |name: &str| data[name].as_str();
    match kind {
        "user.message" => Some(vec![Piece::Asked(text("content")?.to_owned())]),
        "assistant.message" => {
            let words = text("content")?;
            let said = (!words.is_empty()).then(|| Piece::Words(words.to_owned()));
            Some(said.into_iter().collect())
        }
        "tool.execution_start" => {
            let name = text("toolName")?;
            let text = call(name, &data["arguments"], memory.cwd.as_deref());
            Some(vec![Piece::Call(text)])
        }
        "tool.execution_complete" => answered(data),
        "session.error" => Some(vec![Piece::Trouble(text("message")?.to_owned())]),
        "result" => {
            let facts = [
                line["sessionId"].as_str().map(|id| format!("session {id}")),
                duration(line["usage"]["sessionDurationMs"].as_u64()),
            ];
            let word = match line["exitCode"].as_i64()? {
                0 => "done",
                _ => "failed",
            };
            Some(vec![Piece::End(ending(word, &facts))])
        }
        _ if SILENT.contains(&kind) || line["ephemeral"] == true => Some(Vec::new()),
        _ => None,
    }
}

fn answered(data: &Value) -> Option<Vec<Piece>> {
    if let Some(words) = data["error"]["message"].as_str() {
        return Some(vec![Piece::Trouble(words.to_owned())]);
    }
    let words = data["result"]["content"].as_str()?;
    let shown = !words.trim().is_empty();
    Some(
        shown
            .then(|| Piece::Answer(words.to_owned()))
            .into_iter()
            .collect(),
    )
}
