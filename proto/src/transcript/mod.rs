//! A readable rendering of an agent's log: its words as words, each tool call on one line, results
//! shortened, the end with tokens, cost and time.
//!
//! The dialects of claude (also of cursor-agent, amp and grok), codex, copilot, gemini, opencode and vibe are told apart by
//! each line's own shape, so that a reader may begin anywhere in a log. What is not understood is
//! shown as it is, text goes through as it comes; only terminal control is taken out. Memory is
//! bounded whatever comes. The log itself is never changed: this is for showing it.

mod call;
mod claude;
mod clean;
mod codex;
mod copilot;
mod gemini;
mod layout;
mod opencode;
#[cfg(test)]
mod tests;
mod vibe;

use std::collections::BTreeSet;

use serde_json::Value;

use clean::Cleaner;
use layout::{Layout, Piece};

/// A JSON line longer than this is not looked into, bytes.
const LONGEST_LINE: usize = 8 << 20;

/// What is shown of such a line, bytes.
const SHOWN_OF_LONG: usize = 200;

/// Longest text that is remembered to not show it twice, bytes.
const LONGEST_REMEMBERED: usize = 64 << 10;

/// Most calls under way that are remembered.
const MOST_OPEN_CALLS: usize = 1_000;

/// Makes a log readable as it comes.
#[derive(Debug, Default)]
pub struct Renderer {
    line: Line,
    layout: Layout,
    memory: Memory,
}

/// The line that is being read.
#[derive(Debug, Default)]
enum Line {
    /// Nothing of it but spaces yet.
    #[default]
    Start,
    /// Text: shown as it comes.
    Text(Cleaner),
    /// It may be JSON: held until it is whole.
    Held(Vec<u8>),
    /// It is too long to be held: its beginning and how many bytes came so far.
    Long(Vec<u8>, u64),
}

/// What earlier lines said that later ones need.
#[derive(Debug, Default)]
struct Memory {
    /// Working directory of the session.
    cwd: Option<String>,
    /// The agent's last words.
    words: String,
    /// Calls whose beginning was shown.
    open: BTreeSet<String>,
    /// Tokens of the steps so far, where only steps tell them.
    tokens: Option<u64>,
    /// Cost of the steps so far, US dollars.
    cost: Option<f64>,
}

impl Renderer {
    /// A renderer at the beginning of a log, or of any line of it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The text for more bytes of the log. Text is shown at once, a line that may be JSON when it
    /// is complete.
    #[must_use]
    pub fn push(&mut self, mut bytes: &[u8]) -> String {
        let mut out = String::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end], &mut out);
            self.end_line(true, &mut out);
            bytes = &bytes[end + 1..];
        }
        self.add(bytes, &mut out);
        out
    }

    /// The text for what is left when the log has ended, or is left here.
    #[must_use]
    pub fn finish(mut self) -> String {
        let mut out = String::new();
        self.end_line(false, &mut out);
        self.layout.finish(&mut out);
        out
    }

    fn add(&mut self, bytes: &[u8], out: &mut String) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.line {
            Line::Start if bytes[0] == b'{' => self.line = Line::Held(Vec::new()),
            Line::Start => self.line = Line::Text(Cleaner::default()),
            Line::Held(held) if held.len() + bytes.len() > LONGEST_LINE => {
                let count = u64::try_from(held.len()).unwrap_or(u64::MAX);
                let mut beginning = std::mem::take(held);
                beginning.extend_from_slice(&bytes[..bytes.len().min(SHOWN_OF_LONG)]);
                beginning.truncate(SHOWN_OF_LONG);
                self.line = Line::Long(beginning, count);
            }
            Line::Text(_) | Line::Held(_) | Line::Long(..) => {}
        }
        match &mut self.line {
            Line::Start => {}
            Line::Text(cleaner) => {
                let mut text = String::new();
                cleaner.push(bytes, &mut text);
                self.layout.plain(&text, out);
            }
            Line::Held(held) => held.extend_from_slice(bytes),
            Line::Long(_, count) => {
                *count = count.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            }
        }
    }

    /// `whole`: a newline ended it.
    fn end_line(&mut self, whole: bool, out: &mut String) {
        let end = if whole { "\n" } else { "" };
        let mut text = String::new();
        match std::mem::take(&mut self.line) {
            Line::Start => text.push_str(end),
            Line::Text(mut cleaner) => {
                cleaner.push(end.as_bytes(), &mut text);
                cleaner.finish(&mut text);
            }
            Line::Held(line) => match self.read(&line) {
                Some(pieces) => {
                    for piece in &pieces {
                        self.layout.add(piece, out);
                    }
                }
                None => text = as_text(&line, end),
            },
            Line::Long(beginning, count) => {
                text = as_text(&beginning, "");
                let rest = format!("\u{2026} (a line of {count} bytes){end}");
                text.push_str(&rest);
            }
        }
        self.layout.plain(&text, out);
    }

    /// What a line says, when it is of a known dialect and shape.
    fn read(&mut self, line: &[u8]) -> Option<Vec<Piece>> {
        let value: Value = serde_json::from_slice(line).ok()?;
        let kind = value["type"].as_str()?;
        let memory = &mut self.memory;
        if value["sessionID"].is_string() {
            return opencode::read(kind, &value, memory);
        }
        if value["turnId"].is_string() {
            return vibe::read(kind, &value, memory);
        }
        if value["data"].is_object() || value["exitCode"].is_i64() {
            return copilot::read(kind, &value, memory);
        }
        codex::read(kind, &value, memory)
            .or_else(|| gemini::read(kind, &value, memory))
            .or_else(|| claude::read(kind, &value, memory))
    }
}

impl Memory {
    fn remember_words(&mut self, words: &str) {
        self.words.clear();
        if words.len() <= LONGEST_REMEMBERED {
            self.words.push_str(words);
        }
    }

    /// Whether these words have just been shown.
    fn just_said(&self, words: &str) -> bool {
        !self.words.is_empty() && self.words.trim() == words.trim()
    }

    fn open(&mut self, call: &str) {
        if self.open.len() >= MOST_OPEN_CALLS {
            self.open.clear();
        }
        self.open.insert(call.to_owned());
    }

    /// Whether the beginning of this call was shown.
    fn close(&mut self, call: &str) -> bool {
        self.open.remove(call)
    }
}

/// A line as it is.
fn as_text(line: &[u8], end: &str) -> String {
    let mut text = String::new();
    let mut cleaner = Cleaner::default();
    cleaner.push(line, &mut text);
    cleaner.push(end.as_bytes(), &mut text);
    cleaner.finish(&mut text);
    text
}
