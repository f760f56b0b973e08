//! Tools for automations; `automations_logs` stands with the runs.

use hostler_proto::automation;
use hostler_proto::error::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Call, Effect, Entry, entry, runs};
use crate::auth::Scope;
use crate::automations::{
    self, CreateAutomation, ListAutomations, PolicyChanges, UpdateAutomation,
};
use crate::mcp::schema::Instant;
use crate::mcp::views::automations::{
    Deleted, One, Page, Planned, PromptSet, PromptText, RunAsked,
};
use crate::patch::Patch;

pub(super) fn tools() -> Vec<Entry> {
    vec![
        entry(&LIST, list),
        entry(&GET, get),
        entry(&GET_PROMPT, get_prompt),
        entry(&CREATE, create),
        entry(&UPDATE, update),
        entry(&SET_PROMPT, set_prompt),
        entry(&PAUSE, pause),
        entry(&RESUME, resume),
        entry(&RUN, run),
        runs::logs(),
        entry(&DELETE, delete),
    ]
}

const LIST: About = About {
    name: "automations_list",
    title: "List the caller's automations",
    description: "Lists the caller's own automations (an agent, a prompt and a schedule on a host), \
        newest first, each with its plan, next instant and last run. Use it to find an automation's id \
        or to see what is paused; with the id in hand, automations_get adds the next five instants, \
        and automations_logs the runs and their output. Prompts are left out: read one with \
        automations_get_prompt. Automations of other members never appear, whatever the \
        caller's role. Pages follow by raising `offset` by `limit` while `hasMore` is true.",
    scope: Scope::AutomationsRead,
    effect: Effect::Reads,
    open_world: false,
};

const GET: About = About {
    name: "automations_get",
    title: "Read one automation and its plan",
    description: "Reads one automation with its schedule in plain words, policies, last run and the next \
        five instants in UTC and in its own zone. Use it to check a plan after changing it, or to see \
        why nothing fires: `pausedReason` tells. The prompt is not included, because it can be long: \
        that is automations_get_prompt. Past runs and their output are in automations_logs; to find an \
        id use automations_list. The next instants come from the catalog and hold also while the \
        host is offline. Only the owner can read it; for others it is not_found.",
    scope: Scope::AutomationsRead,
    effect: Effect::Reads,
    open_world: false,
};

const GET_PROMPT: About = About {
    name: "automations_get_prompt",
    title: "Read an automation's prompt",
    description: "Reads the full text of the prompt that an automation gives its agent (for agent `shell` \
        the script it runs), with its version. Use it before automations_set_prompt, which replaces \
        the whole text: edit what this returns and pass its `version` as `ifVersion`, so that nobody \
        else's change is lost. For schedule, host and policies use automations_get, which leaves the \
        prompt out. Runs that are queued or going on may still use an older version. Only the owner \
        can read it; for others it is not_found.",
    scope: Scope::AutomationsRead,
    effect: Effect::Reads,
    open_world: false,
};

const CREATE: About = About {
    name: "automations_create",
    title: "Create a scheduled automation",
    description: "Creates an automation: a coding agent that runs a prompt unattended on a host, by \
        schedule, also while this server is away. Use it for recurring or later work; for one run \
        now, create it and call automations_run. Give `projectId` (a fresh worktree per \
        run) or `workspaceId` (always that place), or neither for a scratch folder. `targetHostId` may \
        be left out when there is one host; `agent` must be one that hosts_list shows there. It fires from \
        creation on unless paused. The answer shows the schedule in words and the next five \
        instants: check them. Each call adds another one; a rule that cannot fire is refused.",
    scope: Scope::AutomationsWrite,
    effect: Effect::Adds,
    open_world: false,
};

const UPDATE: About = About {
    name: "automations_update",
    title: "Update an automation's settings",
    description: "Changes schedule, host, agent, place or policies of one automation and returns it with \
        the next five instants. The prompt has its own tool, automations_set_prompt; to stop and start \
        firing use automations_pause and automations_resume. Fields left out keep their value. A new \
        schedule applies to instants after now; runs that are queued or going on keep the settings \
        they began with. `projectId` and `workspaceId` exclude each other: null clears one. Moving it to another \
        host takes effect once the old one confirms, so that it never fires twice. Old settings are \
        not kept. A refused rule changes nothing. Owner only.",
    scope: Scope::AutomationsWrite,
    effect: Effect::Overwrites,
    open_world: false,
};

const SET_PROMPT: About = About {
    name: "automations_set_prompt",
    title: "Replace an automation's prompt",
    description: "Replaces the whole prompt of one automation with a new version. Read the present text with \
        automations_get_prompt first, edit that, and pass its version as `ifVersion`: if \
        somebody changed it meanwhile, the call is refused as a conflict and nothing is lost. Without \
        `ifVersion` the last writer wins. Older versions are kept by the server. The next run uses the new text; runs \
        that are queued or going on keep theirs. For schedule, host or policies use \
        automations_update. Owner only: for others the automation is not_found.",
    scope: Scope::AutomationsWrite,
    effect: Effect::Writes,
    open_world: false,
};

const PAUSE: About = About {
    name: "automations_pause",
    title: "Pause an automation's schedule",
    description: "Pauses one automation: from now on its schedule fires nothing, until automations_resume. \
        Use it to stop an automation for a while; use automations_delete when it shall never come back. \
        A run that is going on is not ended and finishes as usual, and instants that pass while paused are not \
        made up for later. automations_run still works by hand. If the host is offline it may fire \
        until it next connects, since it keeps its own copy of the schedule. Pausing it again changes \
        nothing. Owner only: for others it is not_found.",
    scope: Scope::AutomationsWrite,
    effect: Effect::Switches,
    open_world: false,
};

const RESUME: About = About {
    name: "automations_resume",
    title: "Resume a paused automation",
    description: "Resumes one paused automation: its schedule fires again from the next instant after now. \
        Use it after automations_pause, or after an automation paused itself because of failures in a row; look at \
        automations_logs for their cause first, since the count starts anew. Instants missed while \
        paused are not run; for one at once call automations_run. An automation whose last instant has \
        passed stays finished: give it a new schedule with automations_update. Resuming one that is \
        not paused changes nothing. Owner only: for others it is not_found.",
    scope: Scope::AutomationsWrite,
    effect: Effect::Switches,
    open_world: false,
};

const RUN: About = About {
    name: "automations_run",
    title: "Run an automation once, now",
    description: "Starts one run of an automation now, beside its schedule, and returns at once with the run's \
        id. Follow it with automations_logs and that `runId`; this call does not wait for the agent. Use it \
        to try an automation or to make up for a missed instant; it works while paused, and the \
        schedule stays as it is. Every call starts another run, which counts neither toward `maxRuns` \
        nor as a failure in a row; a scheduled run meets it by its overlap policy. When the host is offline the run stays queued and starts after it returns (`hostOnline: false`). The \
        agent acts unattended on the host within the automation's autonomy. Owner only.",
    scope: Scope::AutomationsWrite,
    effect: Effect::Adds,
    open_world: true,
};

const DELETE: About = About {
    name: "automations_delete",
    title: "Delete an automation for good",
    description: "Deletes one automation for good: its schedule stops at once, queued runs are cancelled and \
        its prompt can no longer be read. To stop it only for a while use automations_pause, which \
        can be undone. A run that is going on finishes; past runs and their logs stay readable with \
        automations_logs by the same id, and workspaces that runs left behind stay until \
        workspaces_delete. If its host is offline, it may fire until it next connects. Owner \
        only. Deleting it again is not_found.",
    scope: Scope::AutomationsWrite,
    effect: Effect::Removes,
    open_world: false,
};

async fn list(call: Call, input: ListInput) -> Result<Page, Failure> {
    let wanted = ListAutomations {
        name: input.name,
        enabled: input.enabled,
        host: None,
        deleted: input.deleted,
        limit: input.limit,
        offset: input.offset,
    };
    let page = automations::list(&call.app, &call.caller, wanted).await?;
    Ok(page.into())
}

async fn get(call: Call, input: ById) -> Result<Planned, Failure> {
    let planned = automations::get(&call.app, &call.caller, &input.id).await?;
    Ok(planned.into())
}

async fn get_prompt(call: Call, input: ById) -> Result<PromptText, Failure> {
    let prompt = automations::get_prompt(&call.app, &call.caller, &input.id).await?;
    Ok(prompt.into())
}

async fn create(call: Call, input: CreateInput) -> Result<Planned, Failure> {
    let policies = input.policies.changes(Patch::from_given(input.max_runs));
    let wanted = CreateAutomation {
        name: input.name,
        prompt: input.prompt,
        agent: input.agent,
        host: input.target_host_id,
        project: input.project_id,
        workspace: input.workspace_id,
        base_branch: input.base_branch,
        rrule: input.rrule,
        dtstart: input.dtstart,
        timezone: input.timezone,
        exdates: texts(input.exdates).unwrap_or_default(),
        rdates: texts(input.rdates).unwrap_or_default(),
        policies,
    };
    let planned = automations::create(&call.app, &call.caller, wanted).await?;
    Ok(planned.into())
}

async fn update(call: Call, input: UpdateInput) -> Result<Planned, Failure> {
    let changes = UpdateAutomation {
        name: input.name,
        agent: input.agent,
        host: input.target_host_id,
        project: input.project_id.into(),
        workspace: input.workspace_id.into(),
        base_branch: input.base_branch.into(),
        rrule: input.rrule,
        dtstart: input.dtstart,
        timezone: input.timezone,
        exdates: texts(input.exdates),
        rdates: texts(input.rdates),
        policies: input.policies.changes(input.max_runs),
        prompt: None,
        if_revision: None,
    };
    let planned = automations::update(&call.app, &call.caller, &input.id, changes).await?;
    Ok(planned.into())
}

async fn set_prompt(call: Call, input: SetPromptInput) -> Result<PromptSet, Failure> {
    let (id, prompt) = (&input.id, &input.prompt);
    let set =
        automations::set_prompt(&call.app, &call.caller, id, prompt, input.if_version).await?;
    Ok(set.into())
}

async fn pause(call: Call, input: ById) -> Result<One, Failure> {
    let paused = automations::pause(&call.app, &call.caller, &input.id).await?;
    Ok(paused.into())
}

async fn resume(call: Call, input: ById) -> Result<One, Failure> {
    let resumed = automations::resume(&call.app, &call.caller, &input.id).await?;
    Ok(resumed.into())
}

async fn run(call: Call, input: ById) -> Result<RunAsked, Failure> {
    let asked = automations::run(&call.app, &call.caller, &input.id).await?;
    Ok(asked.into())
}

async fn delete(call: Call, input: ById) -> Result<Deleted, Failure> {
    let id = automations::delete(&call.app, &call.caller, &input.id).await?;
    Ok(Deleted::of(&id))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListInput {
    /// Part of the name, in any case.
    #[schemars(length(max = 200))]
    name: Option<String>,
    /// True for those that fire, false for those that do not.
    enabled: Option<bool>,
    /// True for those that were deleted, whose runs are still readable, instead of those there are.
    #[serde(default)]
    deleted: bool,
    /// How many automations to return at most.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 500))]
    limit: u32,
    /// How many automations to skip from the newest.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    offset: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ById {
    /// The automation's id.
    #[schemars(length(min = 1, max = 200))]
    id: String,
}

/// What every call must carry besides name, prompt and rule hangs on these (a flat list of more than
/// three required fields reads as a costlier tool than it is).
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "prompt", "rrule"]))]
#[schemars(extend("dependentRequired" = {"prompt": ["agent"], "rrule": ["timezone"]}))]
struct CreateInput {
    /// Name.
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// What the agent is told, markdown; for agent `shell` the script to run.
    #[schemars(length(min = 1, max = 100_000))]
    prompt: String,
    /// Required. Agent to run, by its id in hosts_list, such as `claude`, `codex` or `shell`.
    #[schemars(length(min = 1, max = 100))]
    agent: String,
    /// Host to run on: its id or name; left out, the caller's only host.
    #[schemars(length(min = 1, max = 200))]
    target_host_id: Option<String>,
    /// Project of which each run gets a worktree: its id, slug or name.
    #[schemars(length(min = 1, max = 200))]
    project_id: Option<String>,
    /// Workspace in which every run works: its id.
    #[schemars(length(min = 1, max = 200))]
    workspace_id: Option<String>,
    /// With `projectId`: branch from which each worktree starts; left out, the default branch.
    #[schemars(length(min = 1, max = 255))]
    base_branch: Option<String>,
    /// RFC 5545 recurrence rule, such as `FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=0`.
    #[schemars(length(min = 1, max = 500))]
    rrule: String,
    /// First possible instant, RFC 3339 with an offset; left out, now.
    #[schemars(extend("format" = "date-time"))]
    dtstart: Option<String>,
    /// Required. IANA zone in which the rule is read, such as `Europe/Berlin`.
    #[schemars(length(min = 1, max = 100))]
    timezone: String,
    /// Instants to leave out, RFC 3339.
    #[schemars(length(max = 500))]
    exdates: Option<Vec<Instant>>,
    /// Instants to add, RFC 3339.
    #[schemars(length(max = 500))]
    rdates: Option<Vec<Instant>>,
    /// Scheduled starts after which it is finished; left out, no limit.
    #[schemars(range(min = 1, max = 1_000_000))]
    max_runs: Option<u32>,
    #[serde(flatten)]
    policies: PolicyInput,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct UpdateInput {
    /// The automation's id.
    #[schemars(length(min = 1, max = 200))]
    id: String,
    /// New name.
    #[schemars(length(min = 1, max = 200))]
    name: Option<String>,
    /// Another agent, by its id in hosts_list.
    #[schemars(length(min = 1, max = 100))]
    agent: Option<String>,
    /// Another host: its id or name.
    #[schemars(length(min = 1, max = 200))]
    target_host_id: Option<String>,
    /// Another project: its id, slug or name; null clears it.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    project_id: Patch<String>,
    /// Another workspace: its id; null clears it.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    workspace_id: Patch<String>,
    /// Another branch to start from; null takes the project's default branch.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    base_branch: Patch<String>,
    /// New RFC 5545 recurrence rule.
    #[schemars(length(min = 1, max = 500))]
    rrule: Option<String>,
    /// New first possible instant, RFC 3339 with an offset.
    #[schemars(extend("format" = "date-time"))]
    dtstart: Option<String>,
    /// New IANA zone.
    #[schemars(length(min = 1, max = 100))]
    timezone: Option<String>,
    /// All instants to leave out, RFC 3339; an empty list removes them.
    #[schemars(length(max = 500))]
    exdates: Option<Vec<Instant>>,
    /// All instants to add, RFC 3339; an empty list removes them.
    #[schemars(length(max = 500))]
    rdates: Option<Vec<Instant>>,
    /// Starts after which it is finished; null takes the limit away.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    max_runs: Patch<u32>,
    #[serde(flatten)]
    policies: PolicyInput,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SetPromptInput {
    /// The automation's id.
    #[schemars(length(min = 1, max = 200))]
    id: String,
    /// The whole new prompt, markdown; for agent `shell` the script to run.
    #[schemars(length(min = 1, max = 100_000))]
    prompt: String,
    /// Refuse unless this is the version it has now.
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    if_version: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PolicyInput {
    /// Instants missed while the host was off: run the `latest` (at creation the default), `skip`
    /// them, or run `all` (at most ten).
    catch_up: Option<CatchUp>,
    /// When the previous run still goes: `skip` (at creation the default), `queue_one`,
    /// `cancel_previous`, or `allow` both.
    overlap: Option<Overlap>,
    /// Spread of the start in seconds (at creation 0).
    #[schemars(range(min = 0, max = 900))]
    jitter_seconds: Option<u32>,
    /// Wall-time limit of a run in seconds (at creation 3600).
    #[schemars(range(min = 1, max = 604_800))]
    max_runtime_seconds: Option<u32>,
    /// Further attempts of a failed run, 1, 5 and 15 minutes apart (at creation 0).
    #[schemars(range(min = 0, max = 3))]
    retries: Option<u32>,
    /// Failures in a row that pause it (at creation 5); 0 never pauses it.
    #[schemars(range(min = 0, max = 1000))]
    pause_after_failures: Option<u32>,
    /// How much the agent may do by itself (at creation `edits`), at most what the host allows.
    autonomy: Option<Autonomy>,
    /// Whether a run's own worktree stays after it (at creation `if_changed`).
    keep_workspace: Option<KeepWorkspace>,
}

macro_rules! words {
    ($($name:ident { $($word:ident),+ })+) => {$(
        #[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        enum $name { $($word),+ }

        impl From<$name> for automation::$name {
            fn from(word: $name) -> Self {
                match word { $($name::$word => Self::$word),+ }
            }
        }
    )+};
}

words! {
    CatchUp { Latest, Skip, All }
    Overlap { Skip, QueueOne, CancelPrevious, Allow }
    Autonomy { ReadOnly, Edits, Full }
    KeepWorkspace { IfChanged, Always, Never }
}

impl PolicyInput {
    fn changes(self, max_runs: Patch<u32>) -> PolicyChanges {
        PolicyChanges {
            catch_up: self.catch_up.map(Into::into),
            overlap: self.overlap.map(Into::into),
            jitter_seconds: self.jitter_seconds,
            max_runtime_seconds: self.max_runtime_seconds,
            retries: self.retries,
            pause_after_failures: self.pause_after_failures,
            max_runs: max_runs.into(),
            autonomy: self.autonomy.map(Into::into),
            keep_workspace: self.keep_workspace.map(Into::into),
        }
    }
}

fn texts(instants: Option<Vec<Instant>>) -> Option<Vec<String>> {
    let instants = instants?.into_iter();
    Some(instants.map(|at| at.0.to_string()).collect())
}

fn fifty() -> u32 {
    50
}
