//! What an agent's own output says about its run: its last words, session, tokens, cost, denials.
//!
//! Every dialect is read leniently: a line that is not understood is skipped, a value that is not
//! there stays absent. Output is never changed here.

mod dialects;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Agent, Output};

/// A line longer than this is not looked at, bytes.
const LONGEST_LINE: usize = 8 << 20;

/// Longest result text kept, bytes.
const LONGEST_RESULT: usize = 16 << 10;

/// Longest reason for a failure kept, bytes.
const LONGEST_FAILURE: usize = 2 << 10;

/// The end of the log in which words about a missing login count, bytes.
const TAIL: usize = 8 << 10;

/// Longest line on standard error that is looked at, bytes.
const LONGEST_ERROR_LINE: usize = 16 << 10;

/// Most different tools that are named as denied.
const MOST_DENIED: usize = 50;

/// Most tool calls under way whose names are remembered.
const MOST_OPEN_CALLS: usize = 1_000;

/// What an agent reported about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Its final words.
    pub result_text: Option<String>,
    /// Its session id.
    pub session_id: Option<String>,
    /// Tokens, input and output.
    pub tokens: Option<u64>,
    /// Cost in US dollars.
    pub cost_usd: Option<f64>,
    /// Tools it was denied, each once, in order.
    pub denied: Vec<String>,
    /// It says of itself that it failed, with its words.
    pub failure: Option<String>,
    /// Its last words are those of an agent that nobody is signed in to: what to do.
    pub sign_in: Option<String>,
}

/// Reads what an agent prints as it comes.
#[derive(Debug)]
pub struct Reader<'a> {
    agent: &'a Agent,
    line: Vec<u8>,
    too_long: bool,
    /// The line of standard error that is read.
    error_line: Vec<u8>,
    /// The last bytes of both.
    tail: Vec<u8>,
    reading: Reading,
}

/// A report in the making.
#[derive(Debug, Default)]
struct Reading {
    report: Report,
    /// Trouble that the agent may still get over.
    trouble: Option<String>,
    /// Names of tools by the id of their call.
    calls: BTreeMap<String, String>,
}

impl<'a> Reader<'a> {
    /// A reader of what this agent prints.
    pub fn new(agent: &'a Agent) -> Self {
        Self {
            agent,
            line: Vec::new(),
            too_long: false,
            error_line: Vec::new(),
            tail: Vec::new(),
            reading: Reading::default(),
        }
    }

    /// Takes more of its standard output.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if self.agent.output == Output::Text {
            return self.push_error(bytes);
        }
        self.keep_tail(bytes);
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.add(bytes);
    }

    /// Takes more of its standard error, where only words tell anything.
    pub fn push_error(&mut self, mut bytes: &[u8]) {
        self.keep_tail(bytes);
        if self.agent.denied.is_empty() {
            return;
        }
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add_error(&bytes[..end]);
            self.end_error_line();
            bytes = &bytes[end + 1..];
        }
        self.add_error(bytes);
    }

    /// The output has ended.
    pub fn finish(mut self) -> Report {
        self.end_line();
        self.end_error_line();
        let mut report = self.reading.report;
        report.failure = report.failure.or(self.reading.trouble);
        if let Some(text) = &mut report.result_text {
            shorten(text, LONGEST_RESULT);
        }
        if let Some(text) = &mut report.failure {
            shorten(text, LONGEST_FAILURE);
        }
        let tail = String::from_utf8_lossy(&self.tail);
        let mut words = self.agent.logged_out.iter();
        let is_out = words.any(|words| tail.contains(words.as_str()));
        report.sign_in = is_out.then(|| {
            format!(
                "{} seems to be signed out on this host: {} (variables go into [env] of host.toml)",
                self.agent.label, self.agent.login
            )
        });
        report
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(TAIL)..];
        self.tail.extend_from_slice(last);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
    }

    fn add_error(&mut self, bytes: &[u8]) {
        let room = LONGEST_ERROR_LINE.saturating_sub(self.error_line.len());
        self.error_line
            .extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    /// What a line says from the words of a denial on.
    fn end_error_line(&mut self) {
        let line = std::mem::take(&mut self.error_line);
        let line = String::from_utf8_lossy(&line);
        let found = self
            .agent
            .denied
            .iter()
            .find_map(|words| line.find(words.as_str()));
        if let Some(at) = found {
            self.reading.deny(Some(line[at..].trim().to_owned()));
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > LONGEST_LINE {
            self.too_long = true;
            self.line.clear();
        }
        if !self.too_long {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let is_whole = !std::mem::take(&mut self.too_long);
        if !is_whole || line.first() != Some(&b'{') {
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(&line) else {
            return;
        };
        let mut dialect = self.agent.output;
        if dialect == Output::JsonLines {
            dialect = dialects::of(&value);
        }
        let reading = &mut self.reading;
        match dialect {
            Output::Text | Output::JsonLines => {}
            Output::ClaudeLines => reading.claude(&value),
            Output::CodexLines => reading.codex(&value),
            Output::CopilotLines => reading.copilot(&value),
            Output::GeminiLines => reading.gemini(&value),
            Output::OpencodeLines => reading.opencode(&value),
            Output::VibeLines => reading.vibe(&value),
        }
    }
}

impl Reading {
    fn session(&mut self, id: &Value) {
        if let Some(id) = text(id) {
            self.report.session_id = Some(id);
        }
    }

    fn said(&mut self, words: &Value) {
        if let Some(words) = text(words).filter(|words| !words.is_empty()) {
            self.report.result_text = Some(words);
        }
    }

    fn add_tokens(&mut self, more: Option<u64>) {
        if let Some(more) = more {
            let before = self.report.tokens.unwrap_or(0);
            self.report.tokens = Some(before.saturating_add(more));
        }
    }

    fn deny(&mut self, tool: Option<String>) {
        let mut tool = tool.unwrap_or_else(|| "a tool".to_owned());
        shorten(&mut tool, 100);
        let denied = &mut self.report.denied;
        if denied.len() < MOST_DENIED && !denied.contains(&tool) {
            denied.push(tool);
        }
    }

    fn called(&mut self, id: &Value, tool: &Value) {
        if let (Some(id), Some(tool)) = (text(id), text(tool)) {
            if self.calls.len() >= MOST_OPEN_CALLS {
                self.calls.clear();
            }
            self.calls.insert(id, tool);
        }
    }

    fn call(&mut self, id: &Value) -> Option<String> {
        self.calls.remove(id.as_str()?)
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('\u{2026}');
    }
}
