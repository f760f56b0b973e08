//! The tool for runs and their logs.

use hostler_proto::error::Failure;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{About, Call, Effect, Entry, entry};
use crate::auth::Scope;
use crate::mcp::views::runs::Logs;
use crate::runs;

/// `automations_logs`, which stands among the automations' tools.
pub(super) fn logs() -> Entry {
    entry(&LOGS, read)
}

const LOGS: About = About {
    name: "automations_logs",
    title: "Read runs and logs of automations",
    description: "Reads what an automation did: without `runId` its newest runs with state, times, exit \
        code, outcome and the end of each log; with `runId` that one run and its log. To \
        follow a run, call again with `cursor` set to the last `nextCursor` until `done` is true: no \
        byte is missed or repeated. Use it after automations_run or to see why an automation \
        paused; automations_get tells the plan instead. It reads what the host has delivered, so a log \
        may lag while the host is offline, and skipped instants appear as runs with their reason. \
        Runs of a deleted automation stay readable by its id. Owner only.",
    scope: Scope::AutomationsRead,
    effect: Effect::Reads,
    open_world: false,
};

async fn read(call: Call, input: Input) -> Result<Logs, Failure> {
    let (app, caller, automation) = (&call.app, &call.caller, &input.automation_id);
    let Some(run) = &input.run_id else {
        let runs = runs::list(app, caller, automation, input.limit).await?;
        return Ok(runs.into());
    };
    let from = input.cursor.unwrap_or(0);
    let page = runs::log(app, caller, automation, run, from, input.max_bytes).await?;
    Ok(page.into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("dependentRequired" = {"cursor": ["runId"]}))]
struct Input {
    /// The automation's id.
    #[schemars(length(min = 1, max = 200))]
    automation_id: String,
    /// One run, as automations_run or an earlier call named it.
    #[schemars(length(min = 1, max = 200))]
    run_id: Option<String>,
    /// How many runs to return at most, without `runId`.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
    /// With `runId`: byte offset of the log to read from; left out, its start.
    #[schemars(range(min = 0, max = 1_000_000_000_000_u64))]
    cursor: Option<u64>,
    /// With `runId`: how many bytes of log to return at most.
    #[serde(default = "page")]
    #[schemars(range(min = 1, max = 1_048_576))]
    max_bytes: u32,
}

fn twenty() -> u32 {
    20
}

fn page() -> u32 {
    65_536
}
