//! Claude Code's `stream-json`, and what cursor-agent and amp made of it.

use serde_json::Value;

use super::Memory;
use super::call::{call, cost, duration, ending, sum, tokens};
use super::layout::Piece;

/// The pieces of a line; none when it is not one of these.
pub(super) fn read(kind: &str, line: &Value, memory: &mut Memory) -> Option<Vec<Piece>> {
    match kind {
        "system" if line["subtype"] == "init" => Some(vec![about(line, memory)]),
        "assistant" => said(line, memory),
        "user" => answered(line),
        // The whole message follows.
        "stream_event" if line["event"].is_object() => Some(Vec::new()),
        "tool_call" => cursor_call(line, memory),
        "result" if line["subtype"].is_string() => Some(result(line, memory)),
        _ => None,
    }
}

fn about(line: &Value, memory: &mut Memory) -> Piece {
    memory.cwd = line["cwd"].as_str().map(str::to_owned);
    let version = line["claude_code_version"].as_str();
    let facts = [
        version.map(|version| format!("Claude Code {version}")),
        line["model"].as_str().map(str::to_owned),
        line["session_id"]
            .as_str()
            .map(|id| format!("session {id}")),
    ];
    Piece::About(facts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn said(line: &Value, memory: &mut Memory) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    for block in line["message"]["content"].as_array()? {
        match block["type"].as_str()? {
            "text" => {
                let text = block["text"].as_str()?;
                memory.remember_words(text);
                pieces.push(Piece::Words(text.to_owned()));
            }
            "thinking" => pieces.extend(thought(block["thinking"].as_str()?)),
            "redacted_thinking" => {}
            "tool_use" | "server_tool_use" => {
                let name = block["name"].as_str()?;
                let text = call(name, &block["input"], memory.cwd.as_deref());
                // A call of a helper that the agent started itself.
                let inner = if line["parent_tool_use_id"].is_string() {
                    "> "
                } else {
                    ""
                };
                pieces.push(Piece::Call(format!("{inner}{text}")));
            }
            other => pieces.push(Piece::Call(format!("{other} {block}"))),
        }
    }
    Some(pieces)
}

fn answered(line: &Value) -> Option<Vec<Piece>> {
    let content = &line["message"]["content"];
    if let Some(text) = content.as_str() {
        return Some(vec![Piece::Asked(text.to_owned())]);
    }
    let mut pieces = Vec::new();
    for block in content.as_array()? {
        match block["type"].as_str()? {
            "text" => pieces.push(Piece::Asked(block["text"].as_str()?.to_owned())),
            "tool_result" => {
                let text = text_of(&block["content"]);
                pieces.push(if block["is_error"] == true {
                    Piece::Trouble(text)
                } else {
                    Piece::Answer(text)
                });
            }
            other => pieces.push(Piece::Answer(format!("({other})"))),
        }
    }
    Some(pieces)
}

fn result(line: &Value, memory: &mut Memory) -> Vec<Piece> {
    let words = line["result"].as_str().unwrap_or_default();
    let failed = line["is_error"] == true;
    let mut pieces = Vec::new();
    if !words.is_empty() && !memory.just_said(words) {
        pieces.push(Piece::Words(words.to_owned()));
    }
    let mut denied: Vec<&str> = line["permission_denials"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|denial| denial["tool_name"].as_str())
        .collect();
    denied.dedup();
    if !denied.is_empty() {
        pieces.push(Piece::Trouble(format!("denied: {}", denied.join(", "))));
    }
    let used = [
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
    ];
    let facts = [
        line["subtype"]
            .as_str()
            .filter(|word| failed && *word != "success")
            .map(str::to_owned),
        tokens(sum(&line["usage"], &used)),
        cost(line["total_cost_usd"].as_f64()),
        duration(line["duration_ms"].as_u64()),
    ];
    pieces.push(Piece::End(ending(
        if failed { "failed" } else { "done" },
        &facts,
    )));
    pieces
}

/// `{"tool_call":{"readToolCall":{"args":{..},"result":{..}}}}`, once at its start and once at its end.
fn cursor_call(line: &Value, memory: &mut Memory) -> Option<Vec<Piece>> {
    let (name, value) = line["tool_call"].as_object()?.iter().next()?;
    let id = line["call_id"].as_str().unwrap_or(name);
    let name = name.strip_suffix("ToolCall").unwrap_or(name);
    let mut pieces = Vec::new();
    let begins = line["subtype"] == "started";
    if begins {
        memory.open(id);
    }
    if begins || !memory.close(id) {
        pieces.push(Piece::Call(call(
            name,
            &value["args"],
            memory.cwd.as_deref(),
        )));
    }
    for trouble in ["error", "rejected", "failure"] {
        let told = &value["result"][trouble];
        if !told.is_null() {
            pieces.push(Piece::Trouble(format!("{trouble}: {}", text_of(told))));
        }
    }
    Some(pieces)
}

/// Thinking, when it is told at all.
pub(super) fn thought(text: &str) -> Option<Piece> {
    let text = text.trim();
    (!text.is_empty()).then(|| Piece::Thought(text.to_owned()))
}

/// The text of a tool's result, which may be a text, blocks, or any JSON.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<String> = blocks.iter().map(block_text).collect();
            texts.join("\n")
        }
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => content.to_string(),
    }
}

fn block_text(block: &Value) -> String {
    if let Some(text) = block["text"].as_str() {
        return text.to_owned();
    }
    // An image's bytes are nothing to read.
    match block["type"].as_str() {
        Some(kind) => format!("({kind})"),
        None => block.to_string(),
    }
}
