//! opencode's `run --format json`: the parts of its messages.

use serde_json::Value;

use super::Memory;
use super::call::{call, cost, ending, sum, tokens};
use super::claude::thought;
use super::layout::Piece;

/// The pieces of a line; none when it is not one of these.
pub(super) fn read(kind: &str, line: &Value, memory: &mut Memory) -> Option<Vec<Piece>> {
    let part = &line["part"];
    match kind {
        "step_start" => Some(Vec::new()),
        "text" => Some(vec![Piece::Words(part["text"].as_str()?.to_owned())]),
        "reasoning" => Some(thought(part["text"].as_str()?).into_iter().collect()),
        "tool_use" => tool(part, memory),
        "step_finish" => Some(finished(part, memory)),
        "error" => {
            let error = &line["error"];
            let words = error["data"]["message"]
                .as_str()
                .or(error["name"].as_str())?;
            Some(vec![Piece::End(ending(
                "failed",
                &[Some(words.to_owned())],
            ))])
        }
        _ => None,
    }
}

fn tool(part: &Value, memory: &Memory) -> Option<Vec<Piece>> {
    let state = &part["state"];
    let name = part["tool"].as_str()?;
    let mut pieces = vec![Piece::Call(call(
        name,
        &state["input"],
        memory.cwd.as_deref(),
    ))];
    if let Some(words) = state["error"].as_str() {
        pieces.push(Piece::Trouble(words.to_owned()));
    } else if let Some(text) = state["output"]
        .as_str()
        .filter(|text| !text.trim().is_empty())
    {
        pieces.push(Piece::Answer(text.to_owned()));
    }
    let code = state["metadata"]["exit"].as_i64().filter(|code| *code != 0);
    pieces.extend(code.map(|code| Piece::Trouble(format!("exit code {code}"))));
    Some(pieces)
}

/// Only steps tell what they took; the last one tells the sum.
fn finished(part: &Value, memory: &mut Memory) -> Vec<Piece> {
    let used = sum(&part["tokens"], &["input", "output", "reasoning"]);
    memory.tokens = used
        .map(|used| memory.tokens.unwrap_or(0).saturating_add(used))
        .or(memory.tokens);
    let paid = part["cost"].as_f64();
    memory.cost = paid
        .map(|paid| memory.cost.unwrap_or(0.0) + paid)
        .or(memory.cost);
    if part["reason"] == "tool-calls" {
        return Vec::new();
    }
    let facts = [tokens(memory.tokens), cost(memory.cost)];
    vec![Piece::End(ending("done", &facts))]
}
