//! Tools of the names that the MCP conformance suite calls. A debug build offers them when
//! `HOSTLER_MCP_FIXTURES` is set, so that the suite drives the very path every other tool takes.

use std::sync::Arc;

use hostler_proto::command::Progress;
use hostler_proto::error::{ErrorCode, Failure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::tools::{About, Call, Effect, Entry, entry};
use crate::auth::Scope;

pub(super) fn tools() -> Vec<Entry> {
    let telling_too = [
        ("test_tool_with_progress", "Tell progress, then answer"),
        (
            "test_streaming_elicitation",
            "Answer over a stream, asking nothing",
        ),
        ("test_logging_tool", "Answer over a stream, logging nothing"),
    ];
    let mut tools = vec![
        entry(
            &about("test_simple_text", "Answer with a simple text"),
            simple,
        ),
        entry(
            &about("test_error_handling", "Answer with a tool's error"),
            failing,
        ),
        with_a_rich_schema(),
    ];
    tools.extend(telling_too.map(|(name, title)| entry(&about(name, title), telling)));
    tools
}

/// A tool whose schema uses what ours do not: it must reach the client as it is.
fn with_a_rich_schema() -> Entry {
    let mut rich = entry(
        &about("json_schema_2020_12_tool", "Take a rich schema"),
        simple,
    );
    if let Value::Object(schema) = rich_schema() {
        rich.tool.input_schema = Arc::new(schema);
    }
    rich
}

fn rich_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}

fn about(name: &'static str, title: &'static str) -> About {
    About {
        name,
        title,
        description: "A fixture of the MCP conformance suite.",
        scope: Scope::TasksRead,
        effect: Effect::Reads,
        open_world: false,
    }
}

async fn simple(_: Call, _: Nothing) -> Result<Text, Failure> {
    Ok(Text {
        text: "This is a simple text response for testing.".to_owned(),
    })
}

async fn failing(_: Call, _: Nothing) -> Result<Text, Failure> {
    Err(Failure::new(
        ErrorCode::PreconditionFailed,
        "This tool intentionally returns an error for testing",
    ))
}

async fn telling(call: Call, _: Nothing) -> Result<Text, Failure> {
    for done in [0, 50, 100] {
        if let Some(progress) = &call.progress {
            progress.send(Progress {
                phase: "testing".to_owned(),
                done,
                total: Some(100),
            });
        }
    }
    simple(call, Nothing {}).await
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[derive(Serialize, JsonSchema)]
struct Text {
    /// The text.
    text: String,
}

/// A tool that says when it began and when it is done, and waits in between.
#[cfg(test)]
pub(super) fn gated() -> (Entry, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let held = gate.clone();
    let entry = entry(
        &about("test_gated", "Wait at a gate"),
        move |call, nothing| {
            let gate = held.clone();
            async move {
                gate.begun.notify_one();
                gate.go_on.notified().await;
                gate.done.notify_one();
                simple(call, nothing).await
            }
        },
    );
    (entry, gate)
}

/// Where [`gated`] waits.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Gate {
    pub(super) begun: tokio::sync::Notify,
    pub(super) go_on: tokio::sync::Notify,
    pub(super) done: tokio::sync::Notify,
}
