//! What an agent's own output says about its run: its last words, session, tokens, cost, denials.
//!
//! Every dialect is read leniently: a line that is not understood is skipped, a value that is not
//! there stays absent. Output is never changed here.

use serde_json::Value;

use super::Output;

/// A line longer than this is not looked at, bytes.
const LONGEST_LINE: usize = 8 << 20;

/// Longest result text kept, bytes.
const LONGEST_RESULT: usize = 16 << 10;

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
}

/// Reads standard output as it comes.
#[derive(Debug)]
pub struct Reader {
    output: Output,
    line: Vec<u8>,
    too_long: bool,
    report: Report,
}

impl Reader {
    /// A reader of an agent's dialect.
    pub fn new(output: Output) -> Self {
        Self {
            output,
            line: Vec::new(),
            too_long: false,
            report: Report::default(),
        }
    }

    /// Takes more of the output.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if self.output == Output::Text {
            return;
        }
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.add(bytes);
    }

    /// The output has ended.
    pub fn finish(mut self) -> Report {
        self.end_line();
        if let Some(text) = &mut self.report.result_text {
            shorten(text);
        }
        self.report
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
        match self.output {
            Output::Text => {}
            Output::ClaudeLines => self.report.claude(&value),
            Output::CodexLines => self.report.codex(&value),
            Output::GeminiLines => self.report.gemini(&value),
            Output::OpencodeLines => self.report.opencode(&value),
        }
    }
}

impl Report {
    fn claude(&mut self, value: &Value) {
        self.session(&value["session_id"]);
        if value["type"] != "result" {
            return;
        }
        self.result_text = text(&value["result"]);
        self.cost_usd = value["total_cost_usd"].as_f64();
        let usage = &value["usage"];
        self.tokens = sum(
            usage,
            &[
                "input_tokens",
                "cache_creation_input_tokens",
                "cache_read_input_tokens",
                "output_tokens",
            ],
        );
        for denial in value["permission_denials"].as_array().into_iter().flatten() {
            let tool = text(&denial["tool_name"]).unwrap_or_else(|| "a tool".to_owned());
            if !self.denied.contains(&tool) {
                self.denied.push(tool);
            }
        }
        if value["is_error"] == true {
            let words = text(&value["result"]).or_else(|| text(&value["subtype"]));
            self.failure = Some(words.unwrap_or_else(|| "no reason given".to_owned()));
        }
    }

    fn codex(&mut self, value: &Value) {
        match value["type"].as_str() {
            Some("thread.started") => self.session(&value["thread_id"]),
            Some("item.completed") if value["item"]["type"] == "agent_message" => {
                self.result_text = text(&value["item"]["text"]).or(self.result_text.take());
            }
            Some("turn.completed") => {
                self.add_tokens(sum(&value["usage"], &["input_tokens", "output_tokens"]));
            }
            Some("turn.failed" | "error") => {
                let words = text(&value["error"]["message"]).or_else(|| text(&value["message"]));
                self.failure = words.or(self.failure.take());
            }
            Some(_) | None => {}
        }
    }

    fn gemini(&mut self, value: &Value) {
        match value["type"].as_str() {
            Some("init") => self.session(&value["session_id"]),
            Some("message") if value["role"] == "assistant" => {
                let words = text(&value["content"]).unwrap_or_default();
                if value["delta"] == true {
                    self.result_text.get_or_insert_default().push_str(&words);
                } else {
                    self.result_text = Some(words);
                }
            }
            Some("tool_use") => self.result_text = None,
            Some("result") => {
                self.tokens = value["stats"]["total_tokens"].as_u64().or(self.tokens);
                if value["status"] == "error" {
                    self.failure = text(&value["error"]["message"]);
                }
            }
            Some(_) | None => {}
        }
    }

    fn opencode(&mut self, value: &Value) {
        self.session(&value["sessionID"]);
        let part = &value["part"];
        match value["type"].as_str() {
            Some("text") => self.result_text = text(&part["text"]).or(self.result_text.take()),
            Some("step_finish") => {
                self.add_tokens(sum(&part["tokens"], &["input", "output", "reasoning"]));
                if let Some(cost) = part["cost"].as_f64() {
                    self.cost_usd = Some(self.cost_usd.unwrap_or(0.0) + cost);
                }
            }
            Some("error") => {
                let words = text(&value["error"]["data"]["message"]);
                self.failure = words.or_else(|| text(&value["error"]["name"]));
            }
            Some(_) | None => {}
        }
    }

    fn session(&mut self, id: &Value) {
        if let Some(id) = text(id) {
            self.session_id = Some(id);
        }
    }

    fn add_tokens(&mut self, more: Option<u64>) {
        if let Some(more) = more {
            self.tokens = Some(self.tokens.unwrap_or(0).saturating_add(more));
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The sum of the named numbers; none when none of them is there.
fn sum(value: &Value, names: &[&str]) -> Option<u64> {
    let found: Vec<u64> = names
        .iter()
        .filter_map(|name| value[*name].as_u64())
        .collect();
    (!found.is_empty()).then(|| found.iter().sum())
}

fn shorten(text: &mut String) {
    if text.len() > LONGEST_RESULT {
        let end = (0..=LONGEST_RESULT)
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('\u{2026}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: Output, text: &str) -> Report {
        let mut whole = Reader::new(output);
        whole.push(text.as_bytes());
        let whole = whole.finish();
        let mut cut = Reader::new(output);
        for chunk in text.as_bytes().chunks(3) {
            cut.push(chunk);
        }
        assert_eq!(cut.finish(), whole);
        whole
    }

    #[test]
    fn claude_tells_result_cost_and_denials() {
        let report = read(
            Output::ClaudeLines,
            r#"{"type":"system","subtype":"init","session_id":"s-1"}
not json
{"type":"assistant","message":{"content":[{"type":"text","text":"hm"}]},"session_id":"s-1"}
{"type":"result","subtype":"success","is_error":false,"result":"Done.","session_id":"s-1","total_cost_usd":0.25,"usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":7},"permission_denials":[{"tool_name":"Bash","tool_input":{}},{"tool_name":"Bash"},{"tool_name":"WebFetch"}]}"#,
        );
        let expected = Report {
            result_text: Some("Done.".into()),
            session_id: Some("s-1".into()),
            tokens: Some(22),
            cost_usd: Some(0.25),
            denied: vec!["Bash".into(), "WebFetch".into()],
            failure: None,
        };
        assert_eq!(report, expected);
    }

    #[test]
    fn an_error_claude_tells_of_itself_is_a_failure() {
        let report = read(
            Output::ClaudeLines,
            r#"{"type":"result","subtype":"error_max_turns","is_error":true,"session_id":"s"}"#,
        );
        assert_eq!(report.failure.as_deref(), Some("error_max_turns"));
    }

    #[test]
    fn codex_sums_its_turns() {
        let report = read(
            Output::CodexLines,
            r#"{"type":"thread.started","thread_id":"t-1"}
{"type":"item.completed","item":{"id":"0","type":"reasoning","text":"..."}}
{"type":"item.completed","item":{"id":"1","type":"agent_message","text":"first"}}
{"type":"turn.completed","usage":{"input_tokens":100,"cached_input_tokens":50,"output_tokens":10}}
{"type":"item.completed","item":{"id":"2","type":"agent_message","text":"last"}}
{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":2}}"#,
        );
        assert_eq!(report.session_id.as_deref(), Some("t-1"));
        assert_eq!(report.result_text.as_deref(), Some("last"));
        assert_eq!(report.tokens, Some(113));
    }

    #[test]
    fn gemini_joins_the_pieces_of_its_last_message() {
        let report = read(
            Output::GeminiLines,
            r#"{"type":"init","session_id":"g","model":"x"}
{"type":"message","role":"assistant","content":"Looking","delta":true}
{"type":"tool_use","tool_name":"read_file"}
{"type":"message","role":"assistant","content":"All ","delta":true}
{"type":"message","role":"assistant","content":"good","delta":true}
{"type":"result","status":"success","stats":{"total_tokens":42}}"#,
        );
        assert_eq!(report.result_text.as_deref(), Some("All good"));
        assert_eq!(
            (report.session_id.as_deref(), report.tokens),
            (Some("g"), Some(42))
        );
    }

    #[test]
    fn opencode_sums_its_steps() {
        let report = read(
            Output::OpencodeLines,
            r#"{"type":"step_start","sessionID":"ses_1","part":{}}
{"type":"text","sessionID":"ses_1","part":{"text":"ok"}}
{"type":"step_finish","sessionID":"ses_1","part":{"cost":0.5,"tokens":{"input":3,"output":4,"reasoning":1}}}
{"type":"step_finish","sessionID":"ses_1","part":{"cost":0.25,"tokens":{"input":1,"output":1,"reasoning":0}}}"#,
        );
        assert_eq!((report.tokens, report.cost_usd), (Some(10), Some(0.75)));
        assert_eq!(report.session_id.as_deref(), Some("ses_1"));
    }

    #[test]
    fn text_and_garbage_say_nothing() {
        assert_eq!(
            read(Output::Text, "{\"type\":\"result\"}\n"),
            Report::default()
        );
        for output in [Output::ClaudeLines, Output::CodexLines, Output::GeminiLines] {
            assert_eq!(
                read(output, "{}\n{\"type\":7}\n[1]\n\u{0}{\n{"),
                Report::default()
            );
        }
    }
}
