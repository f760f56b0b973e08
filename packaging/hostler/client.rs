//! A small MCP client (Streamable HTTP, revision 2026-07-28): one POST per call, the answer as JSON
//! or as a stream of progress notifications that ends with it.
//!
//! It keeps no session: the server has none.

use std::io::{BufRead as _, BufReader, Read};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::home;
use crate::output::Progress;

const PROTOCOL: &str = "2026-07-28";

/// Where the control plane is and with which key; by default what `hostler up` left.
#[derive(Args, Clone, Debug)]
pub(crate) struct Connection {
    /// Base URL of the control plane
    #[arg(
        long,
        global = true,
        env = "HOSTLER_URL",
        value_name = "URL",
        help_heading = "Connection"
    )]
    server: Option<String>,
    /// API key
    #[arg(
        long,
        global = true,
        env = "HOSTLER_API_KEY",
        hide_env_values = true,
        value_name = "KEY",
        help_heading = "Connection"
    )]
    api_key: Option<String>,
    /// Print JSON instead of tables
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
}

/// One command's connection to the control plane, opened at the first call.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
}

impl Session {
    /// A session that will connect as told.
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Whether JSON was asked for.
    pub(crate) fn json(&self) -> bool {
        self.connection.json
    }

    /// Calls a tool; returns its `structuredContent`.
    pub(crate) fn call(&self, tool: &str, arguments: &Value) -> Result<Value, Failure> {
        self.request(tool, arguments, None)
    }

    /// Calls a tool and shows its progress while it goes on.
    pub(crate) fn call_with_progress(
        &self,
        tool: &str,
        arguments: &Value,
    ) -> Result<Value, Failure> {
        let mut progress = Progress::start();
        let result = self.request(tool, arguments, Some(&mut progress));
        progress.clear();
        result
    }

    /// Base URL and API key in use.
    pub(crate) fn target(&self) -> Result<(String, String), Failure> {
        let saved = home::credentials(&home::path()?)?;
        let pick = |given: &Option<String>, saved: Option<String>| given.clone().or(saved);
        let url = pick(
            &self.connection.server,
            saved.as_ref().map(|saved| saved.url.clone()),
        );
        let key = pick(&self.connection.api_key, saved.map(|saved| saved.api_key));
        match (url, key) {
            (Some(url), Some(key)) => Ok((url.trim_end_matches('/').to_owned(), key)),
            _ => Err(Failure::unauthorized(format!(
                "There are no credentials in {}.",
                home::credentials_file(&home::path()?).display()
            ))
            .hint("Run `hostler up` on this machine, or give --server and --api-key (HOSTLER_URL, HOSTLER_API_KEY).")),
        }
    }

    fn request(
        &self,
        tool: &str,
        arguments: &Value,
        progress: Option<&mut Progress>,
    ) -> Result<Value, Failure> {
        let (url, key) = self.target()?;
        let body = call_body(tool, arguments, progress.is_some());
        let response = agent()
            .post(format!("{url}/mcp"))
            .header("authorization", format!("Bearer {key}"))
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", PROTOCOL)
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
            .send(body.to_string())
            .map_err(|error| unreachable(&url, &error))?;
        let status = response.status().as_u16();
        let streamed = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("text/event-stream"));
        let reader = response.into_body().into_reader();
        match status {
            401 => Err(
                Failure::unauthorized(format!("{url} does not accept this API key."))
                    .hint("Check HOSTLER_API_KEY or credentials.json in HOSTLER_HOME."),
            ),
            _ if streamed => answer_of_stream(reader, progress),
            _ => answer_of_json(reader, status),
        }
    }
}

/// The HTTP agent all of the program's own calls use.
pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_global(Some(Duration::from_secs(1800)))
        .build()
        .into()
}

/// The failure of a call that did not get through.
pub(crate) fn unreachable(url: &str, error: &ureq::Error) -> Failure {
    Failure::unreachable(format!(
        "The control plane at {url} cannot be reached: {error}."
    ))
    .hint("Start it with `hostler up` (or `hostler server`), or name another with --server.")
}

fn call_body(tool: &str, arguments: &Value, progress: bool) -> Value {
    let mut meta = json!({
        "io.modelcontextprotocol/protocolVersion": PROTOCOL,
        "io.modelcontextprotocol/clientInfo": {"name": "hostler", "version": env!("CARGO_PKG_VERSION")},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    if progress {
        meta["progressToken"] = json!(1);
    }
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": tool, "arguments": arguments, "_meta": meta},
    })
}

fn answer_of_json(mut reader: impl Read, status: u16) -> Result<Value, Failure> {
    let mut text = String::new();
    reader
        .read_to_string(&mut text)
        .map_err(|error| cut(&error))?;
    match serde_json::from_str(&text) {
        Ok(message) => result_of(&message),
        Err(_) => Err(Failure::new(format!(
            "The control plane answered {status}: {}",
            text.trim()
        ))),
    }
}

fn answer_of_stream(
    reader: impl Read,
    mut progress: Option<&mut Progress>,
) -> Result<Value, Failure> {
    for line in BufReader::new(reader).lines() {
        let line = line.map_err(|error| cut(&error))?;
        let Some(data) = line.strip_prefix("data:") else {
            continue;
        };
        let Ok(message) = serde_json::from_str::<Value>(data.trim()) else {
            continue;
        };
        if message.get("id").is_some() && message.get("method").is_none() {
            return result_of(&message);
        }
        if let Some(progress) = progress.as_deref_mut() {
            progress.show(&message["params"]);
        }
    }
    Err(
        Failure::unreachable("The control plane closed the connection before it answered.")
            .hint("What was asked for goes on there: look at it with the matching `list` command."),
    )
}

/// The failure of an answer that did not come whole.
fn cut(error: &std::io::Error) -> Failure {
    Failure::unreachable(format!(
        "The connection to the control plane was lost before it answered: {error}."
    ))
    .hint("What was asked for may go on there: look at it with the matching `list` command.")
}

/// The structured content of a JSON-RPC answer, or its failure.
fn result_of(message: &Value) -> Result<Value, Failure> {
    if let Some(error) = message.get("error") {
        let text = error["message"]
            .as_str()
            .unwrap_or("it refused the request");
        return Err(Failure::new(format!("The control plane answered: {text}.")));
    }
    let content = &message["result"]["structuredContent"];
    if message["result"]["isError"] == json!(true) {
        return Err(Failure::of_tool(&content["error"]));
    }
    Ok(content.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_with_the_answer() {
        let stream = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":1}}\n\n\
                      data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"structuredContent\":{\"a\":1}}}\n\n";
        assert_eq!(
            answer_of_stream(stream.as_bytes(), None).unwrap(),
            json!({"a": 1})
        );
    }

    #[test]
    fn a_stream_cut_short_is_a_failure() {
        assert!(answer_of_stream(&b"data: {\"method\":\"x\"}\n"[..], None).is_err());
    }

    #[test]
    fn a_tool_error_is_a_failure() {
        let message = json!({"id": 1, "result": {"isError": true, "structuredContent": {"error": {"code": "not_found", "message": "No."}}}});
        assert!(result_of(&message).is_err());
    }
}
