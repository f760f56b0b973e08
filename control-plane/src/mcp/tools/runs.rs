//! The tools for runs and their logs.

use std::time::Duration;

use hostler_proto::error::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Call, Effect, Entry, entry};
use crate::auth::Scope;
use crate::history;
use crate::mcp::views::runs::{Ended, InFull, Logs};
use crate::runs::{self, ReadLog};

pub(super) fn tools() -> Vec<Entry> {
    vec![entry(&GET, get), entry(&CANCEL, cancel)]
}

/// `automations_logs`, which stands among the automations' tools.
pub(super) fn logs() -> Entry {
    entry(&LOGS, read)
}

const LOGS: About = About {
    name: "automations_logs",
    title: "Read runs and logs of automations",
    description: "Reads what an automation did: without `runId` its newest runs with state, times, \
        outcome, an `explanation` and the end of each log (instants that did not run stand among them), and \
        the `changes` made to it; with `runId` that one run and its log. To follow a run, call again with \
        `cursor` set to the last `nextCursor` until `done` is true: no byte is missed or repeated. Use it \
        after automations_run or to see why something ran, did not run, or paused; automations_get tells \
        the plan instead. It reads what the host has delivered: `notes` say what is still open. \
        Deleted automations stay readable by their id. Owner only.",
    scope: Scope::AutomationsRead,
    effect: Effect::Reads,
    open_world: false,
};

const GET: About = About {
    name: "runs_get",
    title: "Read one run in full",
    description: "Reads one run in full: its automation, host and workspace, its state with the time of each \
        step, exit code and reason, what it did (commits, changed files, tokens, cost, the agent's own \
        result, denied tools, memory and CPU), the command that resumes the agent's session, and the last \
        lines of its log. Use it with a `runId` from automations_run or automations_logs to judge how a \
        run went, or whether runs_cancel took effect. To read or follow the whole log use \
        automations_logs. Runs of deleted automations stay readable. While the host is offline it shows \
        what was last told (`asOf`). Owner only: for others it is not_found.",
    scope: Scope::AutomationsRead,
    effect: Effect::Reads,
    open_world: false,
};

const CANCEL: About = About {
    name: "runs_cancel",
    title: "Cancel a run that is queued or going on",
    description: "Ends one run that is queued, being prepared or running. Its agent and all it started are \
        interrupted, terminated 10 seconds later and killed 5 seconds after that; its log and the changes \
        it made stay. Use it for a run gone wrong; to stop future runs use automations_pause, which leaves \
        a run alone. The answer waits about 2 seconds for the end; if `run.state` is not final yet, look \
        with runs_get. A run that had ended is said (`alreadyOver`), not an error. When the host is \
        offline the wish is kept and delivered on its return (`pending`): the run may end by itself \
        before. Owner only.",
    scope: Scope::AutomationsWrite,
    effect: Effect::Removes,
    open_world: false,
};

async fn get(call: Call, input: ById) -> Result<InFull, Failure> {
    let run = runs::get(&call.app, &call.caller, &input.run_id).await?;
    Ok(run.into())
}

async fn cancel(call: Call, input: ById) -> Result<Ended, Failure> {
    let cancelled = runs::cancel(&call.app, &call.caller, &input.run_id).await?;
    Ok(cancelled.into())
}

async fn read(call: Call, input: Input) -> Result<Logs, Failure> {
    let (app, caller, automation) = (&call.app, &call.caller, &input.automation_id);
    let Some(run) = &input.run_id else {
        let history = history::of(app, caller, automation, input.limit, input.offset).await?;
        return Ok(history.into());
    };
    let read = ReadLog {
        cursor: input.cursor.unwrap_or(0),
        max_bytes: input.max_bytes,
        patience: Duration::from_millis(input.wait_ms.into()),
        exact: matches!(input.encoding, Encoding::Base64),
    };
    let page = runs::log(app, caller, automation, run, read).await?;
    Ok(page.into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ById {
    /// Run id.
    #[schemars(length(min = 1, max = 200))]
    run_id: String,
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
    /// How many of the newest runs to leave out first, without `runId`.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    offset: u32,
    /// With `runId`: byte offset of the log to read from; left out, its start.
    #[schemars(range(min = 0, max = 1_000_000_000_000_u64))]
    cursor: Option<u64>,
    /// With `runId`: how many bytes of log to return at most.
    #[serde(default = "page")]
    #[schemars(range(min = 1, max = 1_048_576))]
    max_bytes: u32,
    /// With `runId`: milliseconds to wait for output when there is none yet at `cursor`.
    #[serde(default)]
    #[schemars(range(min = 0, max = 20_000))]
    wait_ms: u32,
    /// With `runId`: the log as text, or byte for byte in base64.
    #[serde(default)]
    encoding: Encoding,
}

/// How a log's bytes are given.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    /// UTF-8, invalid bytes replaced.
    #[default]
    Text,
    /// Every byte as it is.
    Base64,
}

fn twenty() -> u32 {
    20
}

fn page() -> u32 {
    65_536
}
