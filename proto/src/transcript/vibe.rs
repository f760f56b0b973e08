//! Mistral Vibe's `--output streaming`: the entries of its journal.

use serde_json::Value;

use super::Memory;
use super::call::call;
use super::claude::text_of;
use super::layout::Piece;

/// The pieces of a line; none when it is not one of these.
pub(super) fn read(kind: &str, line: &Value, memory: &mut Memory) -> Option<Vec<Piece>> {
    match kind {
        "message" => {
            let words = text_of(&line["content"]);
            Some(vec![match line["role"].as_str()? {
                "assistant" => Piece::Words(words),
                "user" => Piece::Asked(words),
                _ => return None,
            }])
        }
        // What was decided stands in the effect.
        "callback" if line["state"]["status"] == "answered" => Some(Vec::new()),
        "effect" => {
            let (detail, state) = (&line["detail"], &line["state"]);
            let name = detail["toolName"].as_str()?;
            let name = name.rsplit_once('.').map_or(name, |(_, name)| name);
            let mut pieces = vec![Piece::Call(call(
                name,
                &detail["input"],
                memory.cwd.as_deref(),
            ))];
            let output = state["outputText"].as_str().unwrap_or_default();
            if let Some(words) = state["error"]["message"].as_str() {
                pieces.push(Piece::Trouble(words.to_owned()));
            } else if !output.trim().is_empty() {
                pieces.push(Piece::Answer(output.to_owned()));
            }
            Some(pieces)
        }
        _ => None,
    }
}
