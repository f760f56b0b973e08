//! Each agent's JSON lines, as its program prints them. Samples of all of them, recorded from the
//! real programs, are in `proto/fixtures/agents`.

use serde_json::Value;

use super::{Reading, text};
use crate::agents::Output;

/// Whose line this is, by its shape.
pub(super) fn of(line: &Value) -> Output {
    let kind = line["type"].as_str().unwrap_or_default();
    if line["sessionID"].is_string() {
        return Output::OpencodeLines;
    }
    if line["turnId"].is_string() {
        return Output::VibeLines;
    }
    if line["data"].is_object() || line["exitCode"].is_i64() {
        return Output::CopilotLines;
    }
    if ["thread.", "turn.", "item."]
        .iter()
        .any(|start| kind.starts_with(start))
    {
        return Output::CodexLines;
    }
    match kind {
        "init" | "message" | "tool_use" | "tool_result" => Output::GeminiLines,
        "result" if line["stats"].is_object() => Output::GeminiLines,
        _ => Output::ClaudeLines,
    }
}

impl Reading {
    /// Claude Code; amp, grok and cursor-agent print the same.
    pub(super) fn claude(&mut self, line: &Value) {
        self.session(&line["session_id"]);
        match line["type"].as_str() {
            Some("system") if line["subtype"] == "permission_denied" => {
                self.deny(text(&line["tool_name"]));
            }
            Some("result") => self.claude_result(line),
            Some(_) | None => {}
        }
    }

    fn claude_result(&mut self, line: &Value) {
        self.report.result_text = text(&line["result"]);
        self.report.cost_usd = line["total_cost_usd"].as_f64();
        let used = [
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "output_tokens",
        ];
        self.report.tokens = sum(&line["usage"], &used);
        for denial in line["permission_denials"].as_array().into_iter().flatten() {
            self.deny(text(&denial["tool_name"]));
        }
        if line["is_error"] == true {
            let words = text(&line["result"]).or_else(|| text(&line["error"]));
            let words = words.or_else(|| text(&line["subtype"]));
            self.report.failure = Some(words.unwrap_or_else(|| "no reason given".to_owned()));
        }
    }

    pub(super) fn codex(&mut self, line: &Value) {
        let item = &line["item"];
        match line["type"].as_str() {
            Some("thread.started") => self.session(&line["thread_id"]),
            Some("item.completed") if item["type"] == "agent_message" => self.said(&item["text"]),
            Some("item.completed") if item["status"] == "declined" => {
                self.deny(text(&item["tool"]).or_else(|| text(&item["type"])));
            }
            Some("turn.completed") => {
                // It got over what troubled it.
                self.trouble = None;
                let used = sum(&line["usage"], &["input_tokens", "output_tokens"]);
                self.add_tokens(used);
            }
            // Also each of its attempts to connect again.
            Some("error") => self.trouble = text(&line["message"]).or(self.trouble.take()),
            Some("turn.failed") => {
                let words = text(&line["error"]["message"]).or(self.trouble.take());
                let words = words.unwrap_or_else(|| "no reason given".to_owned());
                self.report.failure = Some(words);
            }
            Some(_) | None => {}
        }
    }

    pub(super) fn gemini(&mut self, line: &Value) {
        match line["type"].as_str() {
            Some("init") => self.session(&line["session_id"]),
            Some("message") if line["role"] == "assistant" => {
                let words = text(&line["content"]).unwrap_or_default();
                if line["delta"] == true {
                    self.report
                        .result_text
                        .get_or_insert_default()
                        .push_str(&words);
                } else {
                    self.report.result_text = Some(words);
                }
            }
            Some("tool_use") => {
                self.report.result_text = None;
                self.called(&line["tool_id"], &line["tool_name"]);
            }
            Some("tool_result") => {
                let tool = self.call(&line["tool_id"]);
                if gemini_denied(&line["error"]) {
                    self.deny(tool);
                }
            }
            Some("result") => {
                self.report.tokens = line["stats"]["total_tokens"]
                    .as_u64()
                    .or(self.report.tokens);
                if line["status"] == "error" {
                    let words = text(&line["error"]["message"]);
                    self.report.failure =
                        Some(words.unwrap_or_else(|| "no reason given".to_owned()));
                }
            }
            Some(_) | None => {}
        }
    }

    pub(super) fn opencode(&mut self, line: &Value) {
        self.session(&line["sessionID"]);
        let part = &line["part"];
        match line["type"].as_str() {
            Some("text") => self.said(&part["text"]),
            Some("tool_use") => {
                if part["state"]["error"].as_str().is_some_and(opencode_denied) {
                    self.deny(text(&part["tool"]));
                }
            }
            Some("step_finish") => {
                self.add_tokens(sum(&part["tokens"], &["input", "output", "reasoning"]));
                if let Some(cost) = part["cost"].as_f64() {
                    self.report.cost_usd = Some(self.report.cost_usd.unwrap_or(0.0) + cost);
                }
            }
            Some("error") => {
                let error = &line["error"];
                let words = text(&error["data"]["message"]).or_else(|| text(&error["name"]));
                self.report.failure = words.or(self.report.failure.take());
            }
            Some(_) | None => {}
        }
    }

    pub(super) fn vibe(&mut self, line: &Value) {
        self.session(&line["sessionId"]);
        match line["type"].as_str() {
            Some("message") if line["role"] == "assistant" => {
                let blocks = line["content"].as_array().into_iter().flatten();
                blocks.for_each(|block| self.said(&block["text"]));
            }
            Some("effect") if line["state"]["error"]["code"] == "tool_denied" => {
                self.deny(text(&line["detail"]["toolName"]));
            }
            Some(_) | None => {}
        }
    }

    pub(super) fn copilot(&mut self, line: &Value) {
        let data = &line["data"];
        match line["type"].as_str() {
            Some("assistant.message") => self.said(&data["content"]),
            Some("tool.execution_start") => self.called(&data["toolCallId"], &data["toolName"]),
            Some("tool.execution_complete") => {
                let tool = self.call(&data["toolCallId"]);
                if data["error"]["code"] == "denied" {
                    self.deny(tool);
                }
            }
            Some("session.error") => self.trouble = text(&data["message"]).or(self.trouble.take()),
            Some("result") => {
                self.session(&line["sessionId"]);
                if line["exitCode"] == 0 {
                    self.trouble = None;
                }
            }
            Some(_) | None => {}
        }
    }
}

/// Refused by a policy, or it would have asked and nobody is there.
fn gemini_denied(error: &Value) -> bool {
    let words = error["message"].as_str().unwrap_or_default();
    error["type"] == "policy_violation"
        || words.contains("requires user confirmation, which is not supported")
}

fn opencode_denied(words: &str) -> bool {
    words.contains("rejected permission") || words.contains("rule which prevents you from using")
}

/// The sum of the named numbers; none when none of them is there.
fn sum(value: &Value, names: &[&str]) -> Option<u64> {
    names
        .iter()
        .filter_map(|name| value[*name].as_u64())
        .reduce(u64::saturating_add)
}
