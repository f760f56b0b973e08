//! A small MCP client (Streamable HTTP, revision 2026-07-28): one POST per call, the answer as JSON
//! or as a stream of progress notifications that ends with it.
//!
//! It keeps no session: the server has none.

use std::io::{BufRead as _, BufReader, Read};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use crate::access::{self, Access, Source};
use crate::credentials::Saved;
use crate::failure::Failure;
use crate::home;
use crate::output::{self, Progress};

const PROTOCOL: &str = "2026-07-28";

/// The environment's API key.
const KEY_VARIABLE: &str = "HOSTLER_API_KEY";

/// Where the control plane is and with which key; by default what `hostler up` or `hostler login` left.
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
    /// API key; wins over what `hostler login` saved
    #[arg(
        long,
        global = true,
        env = KEY_VARIABLE,
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

    /// The control plane named with `--server` or `HOSTLER_URL`.
    pub(crate) fn named(&self) -> Result<Option<String>, Failure> {
        self.connection.server.as_deref().map(address).transpose()
    }

    /// By which name an API key was given with this call.
    pub(crate) fn given_key(&self) -> Option<&'static str> {
        let key = self.connection.api_key.as_ref()?;
        let from_environment = std::env::var(KEY_VARIABLE).is_ok_and(|found| found == *key);
        Some(if from_environment {
            KEY_VARIABLE
        } else {
            "--api-key"
        })
    }

    /// The credential in use and its control plane: `url` when given, else the one named with
    /// `--server`, else the first one known.
    pub(crate) fn access(&self, url: Option<&str>) -> Result<Access, Failure> {
        let home = home::path()?;
        let named = match url {
            Some(url) => Some(url.to_owned()),
            None => self.named()?,
        };
        let Some(key) = self.connection.api_key.clone() else {
            return access::saved(&home, named.as_deref());
        };
        let known = || -> Result<Option<String>, Failure> {
            let saved = Saved::load(&home)?;
            Ok(saved.entries.first().map(|entry| entry.url.clone()))
        };
        let url = match named {
            Some(url) => url,
            None => known()?.ok_or_else(|| {
                Failure::usage("There is a key, but no control plane to use it with.")
                    .hint("Name it with --server (HOSTLER_URL).")
            })?,
        };
        Ok(Access {
            url,
            bearer: key,
            source: Source::Given(self.given_key().unwrap_or("--api-key")),
        })
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

    /// Base URL and bearer secret in use.
    pub(crate) fn target(&self) -> Result<(String, String), Failure> {
        let access = self.access(None)?;
        Ok((access.url, access.bearer))
    }

    fn request(
        &self,
        tool: &str,
        arguments: &Value,
        progress: Option<&mut Progress>,
    ) -> Result<Value, Failure> {
        let body = call_body(tool, arguments, progress.is_some()).to_string();
        let access = self.access(None)?;
        let response = with_renewal(&access, |access| {
            signed(access, Agent::post, "/mcp")
                .header("accept", "application/json, text/event-stream")
                .header("content-type", "application/json")
                .header("mcp-protocol-version", PROTOCOL)
                .header("mcp-method", "tools/call")
                .header("mcp-name", tool)
                .send(&body)
        })?;
        let status = response.status().as_u16();
        let streamed = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("text/event-stream"));
        let reader = response.into_body().into_reader();
        if streamed {
            answer_of_stream(reader, progress)
        } else {
            answer_of_json(&access.url, reader, status)
        }
    }
}

/// `GET` of a JSON answer.
pub(crate) fn get(access: &Access, path: &str) -> Result<Value, Failure> {
    json_of(&access.url, got(access, path)?)
}

/// `POST` without a body, for a JSON answer.
pub(crate) fn post(access: &Access, path: &str) -> Result<Value, Failure> {
    let response = with_renewal(access, |access| {
        signed(access, Agent::post, path).send_empty()
    })?;
    json_of(&access.url, response)
}

/// `POST` of JSON, for a JSON answer.
pub(crate) fn post_json(access: &Access, path: &str, body: &Value) -> Result<Value, Failure> {
    let response = with_renewal(access, |access| {
        signed(access, Agent::post, path)
            .header("content-type", "application/json")
            .send(body.to_string())
    })?;
    json_of(&access.url, response)
}

/// `DELETE`, for a JSON answer.
pub(crate) fn delete(access: &Access, path: &str) -> Result<Value, Failure> {
    let response = with_renewal(access, |access| signed(access, Agent::delete, path).call())?;
    json_of(&access.url, response)
}

/// `GET` of a file of any size, copied to standard output as it comes.
pub(crate) fn copy(access: &Access, path: &str) -> Result<(), Failure> {
    let response = got(access, path)?;
    if !response.status().is_success() {
        return json_of(&access.url, response).map(|_| ());
    }
    let mut reader = response.into_body().into_reader();
    let mut part = vec![0; 64 << 10];
    loop {
        match reader.read(&mut part).map_err(|error| cut(&error))? {
            0 => return Ok(()),
            count => output::bytes(&part[..count])?,
        }
    }
}

/// Text as one part of a path or a query (RFC 3986 section 2.1).
pub(crate) fn path_part(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let coded = text.bytes().map(|byte| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    coded.collect()
}

/// The base URL of a control plane as it is saved: secrets go over TLS, or stay on this machine.
pub(crate) fn address(url: &str) -> Result<String, Failure> {
    hostler_daemon::address(url).map_err(|error| Failure::usage(error.to_string()))
}

fn got(access: &Access, path: &str) -> Result<Response<Body>, Failure> {
    with_renewal(access, |access| signed(access, Agent::get, path).call())
}

/// A request to the control plane that carries the credential.
fn signed<B>(
    access: &Access,
    begin: impl FnOnce(&Agent, String) -> RequestBuilder<B>,
    path: &str,
) -> RequestBuilder<B> {
    begin(&agent(), format!("{}{path}", access.url))
        .header("authorization", format!("Bearer {}", access.bearer))
}

/// Asks; after a 401 the credential is renewed and the question repeated, once.
fn with_renewal(
    access: &Access,
    ask: impl Fn(&Access) -> Result<Response<Body>, ureq::Error>,
) -> Result<Response<Body>, Failure> {
    let asked = |access: &Access| ask(access).map_err(|error| unreachable(&access.url, &error));
    let response = asked(access)?;
    if response.status() != 401 {
        return Ok(response);
    }
    let Some(next) = access.after_refusal(&home::path()?)? else {
        return Err(access.refused());
    };
    let response = asked(&next)?;
    if response.status() == 401 {
        return Err(next.refused());
    }
    Ok(response)
}

/// The JSON of a good answer, or the failure of another.
fn json_of(url: &str, mut response: Response<Body>) -> Result<Value, Failure> {
    let status = response.status();
    let text = response
        .body_mut()
        .read_to_string()
        .map_err(|error| unreachable(url, &error))?;
    let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status.is_success() && !answer.is_null() {
        return Ok(answer);
    }
    if answer["code"].is_string() {
        return Err(Failure::of_tool(&answer));
    }
    Err(no_answer(url, status.as_u16(), &text))
}

/// The failure of an answer that is none of a control plane's: it is going down just then, or
/// something in front of it answers in its place.
fn no_answer(url: &str, status: u16, text: &str) -> Failure {
    let words = text.lines().next().unwrap_or_default();
    let words: String = words.trim().chars().take(100).collect();
    let said = format!("{url} answered {status} ({words}), not as a Hostler control plane does.");
    if status >= 500 {
        return Failure::unreachable(said)
            .hint("Try again in a moment; if it lasts, look at what answers there.");
    }
    Failure::new(said).hint("Check the address: --server (HOSTLER_URL) names another.")
}

/// The HTTP agent all of the program's own calls use.
fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(hostler_daemon::tls_roots())
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_global(Some(Duration::from_secs(1800)))
        .build()
        .into()
}

/// The failure of a call that did not get through.
pub(crate) fn unreachable(url: &str, error: &ureq::Error) -> Failure {
    // Plain HTTP is for a control plane on this machine alone.
    let hint = if url.starts_with("http://") {
        "Start it with `hostler up` (or `hostler server`), or name another with --server."
    } else {
        "Check that it runs and that this machine is online; if it has moved, run `hostler login URL` with its new address."
    };
    Failure::unreachable(format!(
        "The control plane at {url} cannot be reached: {error}."
    ))
    .hint(hint)
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

fn answer_of_json(url: &str, mut reader: impl Read, status: u16) -> Result<Value, Failure> {
    let mut text = String::new();
    reader
        .read_to_string(&mut text)
        .map_err(|error| cut(&error))?;
    match serde_json::from_str::<Value>(&text) {
        Ok(refusal) if status == 403 && refusal.get("jsonrpc").is_none() => {
            Err(forbidden(&refusal))
        }
        Ok(message) => result_of(&message),
        Err(_) => Err(no_answer(url, status, &text)),
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

/// The failure of a call that the credential has no scope for (RFC 6750 section 3.1).
fn forbidden(refusal: &Value) -> Failure {
    let error = &refusal["error"];
    if error.is_object() {
        return Failure::of_tool(error);
    }
    let words = refusal["error_description"].as_str().or(error.as_str());
    Failure::unauthorized(format!(
        "The control plane does not allow this: {}.",
        words.unwrap_or("it gave no reason").trim_end_matches('.')
    ))
    .hint("Sign in with what it needs: `hostler login`, or an API key that has the scope.")
}

/// The structured content of a JSON-RPC answer, or its failure.
fn result_of(message: &Value) -> Result<Value, Failure> {
    if let Some(error) = message.get("error") {
        // Words of our own from before the protocol was spoken: too many requests, a wrong host.
        if error["code"].is_string() {
            return Err(Failure::of_tool(error));
        }
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
    fn an_answer_of_somebody_else_may_pass_when_it_is_a_server_error() {
        for (status, may_pass) in [(404, false), (500, true), (502, true), (503, true)] {
            let page = "<html>\n<p>long story</p>".as_bytes();
            let failure = answer_of_json("http://a.example", page, status).unwrap_err();
            assert_eq!(failure.may_pass(), may_pass, "{status}");
            assert!(!failure.to_string().contains("long story"), "{failure}");
        }
    }

    #[test]
    fn a_tool_error_is_a_failure() {
        let message = json!({"id": 1, "result": {"isError": true, "structuredContent": {"error": {"code": "not_found", "message": "No."}}}});
        assert!(result_of(&message).is_err());
    }

    #[test]
    fn a_refusal_before_the_protocol_says_when_to_come_back() {
        let message = json!({"error": {
            "code": "rate_limited", "message": "too many requests from this address",
            "hint": "wait 3 s, then try again", "retryable": true,
        }});
        let failure = result_of(&message).unwrap_err();
        assert!(failure.may_pass());
        assert!(failure.to_string().contains("wait 3 s"), "{failure}");
    }
}
