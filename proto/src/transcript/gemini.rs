//! Gemini CLI's `stream-json`.

use serde_json::Value;

use super::Memory;
use super::call::{call, duration, ending, tokens};
use super::claude::text_of;
use super::layout::Piece;

/// The pieces of a line; none when it is not one of these.
pub(super) fn read(kind: &str, line: &Value, memory: &mut Memory) -> Option<Vec<Piece>> {
    let text = |name: &str| line[name].as_str();
    match kind {
        "init" => {
            let (model, id) = (text("model")?, text("session_id")?);
            Some(vec![Piece::About(format!(
                "Gemini CLI, {model}, session {id}"
            ))])
        }
        "message" => {
            let words = text("content")?.to_owned();
            Some(vec![match text("role")? {
                "assistant" if line["delta"] == true => Piece::More(words),
                "assistant" => Piece::Words(words),
                "user" => Piece::Asked(words),
                _ => return None,
            }])
        }
        "tool_use" => {
            let name = text("tool_name")?;
            Some(vec![Piece::Call(call(
                name,
                &line["parameters"],
                memory.cwd.as_deref(),
            ))])
        }
        "tool_result" => {
            text("tool_id")?;
            let output = text_of(&line["output"]);
            let error = line["error"]["message"].as_str();
            Some(match error {
                Some(words) => vec![Piece::Trouble(words.to_owned())],
                None if output.trim().is_empty() => Vec::new(),
                None => vec![Piece::Answer(output)],
            })
        }
        "error" => Some(vec![Piece::Trouble(text("message")?.to_owned())]),
        "result" if line["stats"].is_object() || line["error"].is_object() => {
            let stats = &line["stats"];
            let (word, reason) = match line["status"].as_str()? {
                "success" => ("done", None),
                _ => (
                    "failed",
                    line["error"]["message"].as_str().map(str::to_owned),
                ),
            };
            let facts = [
                reason,
                tokens(stats["total_tokens"].as_u64()),
                duration(stats["duration_ms"].as_u64()),
            ];
            Some(vec![Piece::End(ending(word, &facts))])
        }
        _ => None,
    }
}
