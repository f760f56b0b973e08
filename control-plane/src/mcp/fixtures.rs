//! Tools of the names that the MCP conformance suite calls. A debug build offers them when
//! `HOSTLER_MCP_FIXTURES` is set, so that the suite drives the very path every other tool takes.

use hostler_proto::command::Progress;
use hostler_proto::error::{ErrorCode, Failure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tools::{About, Call, Effect, Entry, entry};
use crate::auth::Scope;

pub(super) fn tools() -> Vec<Entry> {
    vec![
        entry(
            &about("test_simple_text", "Answer with a simple text"),
            simple,
        ),
        entry(
            &about("test_error_handling", "Answer with an error of the tool"),
            failing,
        ),
        entry(
            &about("test_tool_with_progress", "Tell progress, then answer"),
            telling,
        ),
    ]
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
