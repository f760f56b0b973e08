//! Codex's `exec --json`: threads, turns and items.

use serde_json::Value;

use super::Memory;
use super::call::{below, call, ending, sum, tokens};
use super::claude::{text_of, thought};
use super::layout::Piece;

/// The pieces of a line; none when it is not one of these.
pub(super) fn read(kind: &str, line: &Value, memory: &mut Memory) -> Option<Vec<Piece>> {
    match kind {
        "thread.started" => {
            let id = line["thread_id"].as_str()?;
            Some(vec![Piece::About(format!("Codex, session {id}"))])
        }
        "turn.started" => Some(Vec::new()),
        "turn.completed" => {
            let used = sum(&line["usage"], &["input_tokens", "output_tokens"]);
            Some(vec![Piece::End(ending("done", &[tokens(used)]))])
        }
        "turn.failed" => {
            let words = line["error"]["message"].as_str()?;
            Some(vec![Piece::End(ending(
                "failed",
                &[Some(words.to_owned())],
            ))])
        }
        "error" => Some(vec![Piece::Trouble(line["message"].as_str()?.to_owned())]),
        "item.started" | "item.updated" | "item.completed" => item(kind, &line["item"], memory),
        _ => None,
    }
}

fn item(kind: &str, item: &Value, memory: &mut Memory) -> Option<Vec<Piece>> {
    let done = kind == "item.completed";
    let text = || item["text"].as_str();
    Some(match item["type"].as_str()? {
        "agent_message" if done => vec![Piece::Words(text()?.to_owned())],
        "reasoning" if done => thought(text()?).into_iter().collect(),
        "agent_message" | "reasoning" => Vec::new(),
        "error" => vec![Piece::Trouble(item["message"].as_str()?.to_owned())],
        "command_execution" => {
            let command = bare(item["command"].as_str()?);
            let mut pieces = begun(kind, item, memory, format!("shell: {command}"));
            if done {
                let output = item["aggregated_output"].as_str().unwrap_or_default();
                pieces.extend(not_empty(output).map(Piece::Answer));
                pieces.extend(not_zero(&item["exit_code"]));
                pieces.extend(declined(item));
            }
            pieces
        }
        "file_change" => {
            let changes: Vec<String> = item["changes"].as_array()?.iter().map(change).collect();
            let mut pieces = begun(kind, item, memory, format!("edit: {}", changes.join(", ")));
            if done && item["status"] == "failed" {
                pieces.push(Piece::Trouble("the change was not made".to_owned()));
            }
            pieces.extend(declined(item));
            pieces
        }
        "mcp_tool_call" => {
            let name = format!("{}.{}", item["server"].as_str()?, item["tool"].as_str()?);
            let mut pieces = begun(kind, item, memory, call(&name, &item["arguments"], None));
            if let Some(words) = item["error"]["message"].as_str() {
                pieces.push(Piece::Trouble(words.to_owned()));
            } else if done {
                let text = text_of(&item["result"]["content"]);
                pieces.extend(not_empty(&text).map(Piece::Answer));
            }
            pieces
        }
        "web_search" => {
            let query = item["query"].as_str().unwrap_or_default();
            begun(kind, item, memory, format!("web search: {query}"))
        }
        "todo_list" => vec![Piece::Call(plan(item)?)],
        _ => return None,
    })
}

/// The call's line, unless it was shown when it began.
fn begun(kind: &str, item: &Value, memory: &mut Memory, text: String) -> Vec<Piece> {
    let id = item["id"].as_str().unwrap_or_default();
    let shown = match kind {
        "item.started" => {
            memory.open(id);
            false
        }
        "item.updated" => memory.open.contains(id),
        _ => memory.close(id),
    };
    if shown {
        Vec::new()
    } else {
        vec![Piece::Call(text)]
    }
}

fn change(change: &Value) -> String {
    let word = |name: &str| change[name].as_str().unwrap_or("?");
    format!("{} {}", word("kind"), below(word("path"), None))
}

fn plan(item: &Value) -> Option<String> {
    let steps: Vec<String> = item["items"]
        .as_array()?
        .iter()
        .map(|step| {
            let mark = if step["completed"] == true { "x" } else { " " };
            format!("[{mark}] {}", step["text"].as_str().unwrap_or_default())
        })
        .collect();
    Some(format!("plan: {}", steps.join(" ")))
}

fn declined(item: &Value) -> Option<Piece> {
    let is_declined = item["status"] == "declined";
    is_declined.then(|| Piece::Trouble("denied".to_owned()))
}

fn not_zero(code: &Value) -> Option<Piece> {
    let code = code.as_i64().filter(|code| *code != 0)?;
    Some(Piece::Trouble(format!("exit code {code}")))
}

fn not_empty(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// The command without the shell that Codex wraps around it.
fn bare(command: &str) -> &str {
    let inner = ["/bin/bash", "bash", "/bin/zsh", "zsh", "/bin/sh", "sh"]
        .iter()
        .find_map(|shell| command.strip_prefix(shell)?.strip_prefix(" -lc "));
    let Some(inner) = inner else {
        return command;
    };
    ['\'', '"']
        .iter()
        .find_map(|quote| inner.strip_prefix(*quote)?.strip_suffix(*quote))
        .filter(|text| !text.contains(['\'', '"', '\\']))
        .unwrap_or(inner)
}
