//! A plain MCP client: JSON-RPC over HTTP as the specification writes it, in both protocol eras.
//! It knows nothing of the server's code, so what it sees is what a foreign client sees.

use std::cell::Cell;

use serde_json::{Value, json};

use super::http::{Answer, Http};

/// How a client speaks: with `initialize`, or with metadata in every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2025-06-18 and its neighbours, by their version.
    Initialize(&'static str),
    /// 2026-07-28: no handshake.
    PerRequest,
}

pub(crate) struct Mcp {
    http: Http,
    era: Era,
    authorization: (String, String),
    next: Cell<u64>,
}

/// A tool's refusal, as `structuredContent.error` gives it.
#[derive(Debug)]
pub(crate) struct ToolError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: String,
    pub(crate) whole: Value,
}

impl Mcp {
    pub(crate) fn new(url: &str, key: &str) -> Self {
        Self {
            http: Http::new(url),
            era: Era::PerRequest,
            authorization: ("authorization".into(), format!("Bearer {key}")),
            next: Cell::new(1),
        }
    }

    pub(crate) fn speaking(mut self, era: Era) -> Self {
        self.era = era;
        self
    }

    /// Sends one request and gives the whole HTTP answer.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, params: Value) -> Answer {
        let id = self.next.replace(self.next.get() + 1);
        let mut params = params;
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            (self.authorization.0.as_str(), self.authorization.1.as_str()),
        ];
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        match self.era {
            Era::Initialize(version) => headers.push(("mcp-protocol-version", version)),
            Era::PerRequest => {
                headers.extend([
                    ("mcp-protocol-version", "2026-07-28"),
                    ("mcp-method", method),
                ]);
                if !name.is_empty() {
                    headers.push(("mcp-name", &name));
                }
                add_metadata(&mut params);
            }
        }
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.http.post("", &headers, body.to_string().as_bytes())
    }

    /// The result or error of one request, with the notifications that came before it.
    #[track_caller]
    pub(crate) fn request(
        &self,
        method: &str,
        params: Value,
    ) -> (Result<Value, Value>, Vec<Value>) {
        let answer = self.send(method, params);
        let mut messages = answer.messages();
        let last = messages
            .pop()
            .unwrap_or_else(|| panic!("{method}: no message in {answer:?}"));
        let result = match last.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(last["result"].clone()),
        };
        (result, messages)
    }

    #[track_caller]
    pub(crate) fn tools(&self) -> Vec<Value> {
        let (result, _) = self.request("tools/list", json!({}));
        result.unwrap()["tools"].as_array().unwrap().clone()
    }

    /// Calls a tool: its structured content, or its refusal.
    #[track_caller]
    pub(crate) fn call(&self, tool: &str, arguments: Value) -> Result<Value, ToolError> {
        self.call_with_progress(tool, arguments).0
    }

    /// Calls a tool with a progress token; the progress notifications come second.
    #[track_caller]
    pub(crate) fn call_with_progress(
        &self,
        tool: &str,
        arguments: Value,
    ) -> (Result<Value, ToolError>, Vec<Value>) {
        let mut params = json!({"name": tool, "_meta": {"progressToken": "p"}});
        params["arguments"] = arguments;
        let (result, notifications) = self.request("tools/call", params);
        let result = match result {
            Ok(result) => read_result(tool, &result),
            Err(error) => Err(ToolError::of_protocol(error)),
        };
        (result, notifications)
    }

    /// Calls a tool that has to work.
    #[track_caller]
    pub(crate) fn ok(&self, tool: &str, arguments: Value) -> Value {
        let shown = arguments.to_string();
        match self.call(tool, arguments) {
            Ok(content) => content,
            Err(error) => panic!("{tool} {shown}: {error:?}"),
        }
    }

    /// Calls a tool that has to refuse with this code.
    #[track_caller]
    pub(crate) fn refused(&self, tool: &str, arguments: Value, code: &str) -> ToolError {
        let shown = arguments.to_string();
        match self.call(tool, arguments) {
            Ok(content) => panic!("{tool} {shown} should be {code}, but gave {content}"),
            Err(error) => {
                assert_eq!(error.code, code, "{tool} {shown}: {error:?}");
                assert!(
                    error.message.len() > 10,
                    "{tool} {shown} says too little: {error:?}"
                );
                error
            }
        }
    }
}

impl ToolError {
    fn of_tool(whole: Value) -> Self {
        let text = |name: &str| whole[name].as_str().unwrap_or_default().to_owned();
        Self {
            code: text("code"),
            message: text("message"),
            hint: text("hint"),
            whole,
        }
    }

    /// A refusal by the protocol itself; its number stands as the code.
    fn of_protocol(whole: Value) -> Self {
        let message = whole["message"].as_str().unwrap_or_default().to_owned();
        Self {
            code: whole["code"].to_string(),
            message,
            hint: String::new(),
            whole,
        }
    }
}

#[track_caller]
fn read_result(tool: &str, result: &Value) -> Result<Value, ToolError> {
    let content = &result["structuredContent"];
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    assert!(!text.is_empty(), "{tool}: no text in {result}");
    if result["isError"] == true {
        return Err(ToolError::of_tool(content["error"].clone()));
    }
    let repeated: Option<Value> = serde_json::from_str(text).ok();
    assert_eq!(
        repeated.as_ref(),
        Some(content),
        "{tool}: the text is not the structured content"
    );
    Ok(content.clone())
}

/// What every request of the newer era carries.
fn add_metadata(params: &mut Value) {
    if !params.is_object() {
        *params = json!({});
    }
    if !params["_meta"].is_object() {
        params["_meta"] = json!({});
    }
    let meta = &mut params["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    meta["io.modelcontextprotocol/clientInfo"] =
        json!({"name": "hostler-tests", "version": "1.0.0"});
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
}
