//! Automations as tools answer with them. The prompt is never part of one.

use hostler_proto::automation::{Policies, ScheduleSpec, StopReason};
use schemars::JsonSchema;
use serde::Serialize;

use crate::automations::{self, AutomationView};
use crate::mcp::schema::Instant;
use crate::mcp::tools::word;

/// An automation, `?` fields left out where there is nothing.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Automation {
    /// Automation id.
    id: String,
    /// Name.
    name: String,
    /// Agent it runs.
    agent: String,
    /// Whether it fires.
    enabled: bool,
    /// Why it does not fire, or never will again.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_reason: Option<String>,
    /// Host it runs on.
    host_id: String,
    /// That host's name.
    host_name: String,
    /// Whether that host is connected now; it fires either way.
    host_online: bool,
    /// Project of which each run gets a worktree of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<String>,
    /// Workspace in which every run works.
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_id: Option<String>,
    /// Branch from which a run's worktree starts; left out, the project's default branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_branch: Option<String>,
    /// Recurrence rule as written.
    rrule: String,
    /// Start, with the zone's offset.
    dtstart: String,
    /// IANA zone in which the rule is read.
    timezone: String,
    /// Instants left out.
    exdates: Vec<Instant>,
    /// Instants added.
    rdates: Vec<Instant>,
    /// The schedule in plain words.
    schedule_text: String,
    /// Policies.
    policies: PolicyValues,
    /// The next instant; null when it will not fire.
    next_run_at: Option<Instant>,
    /// Its newest run; null before the first.
    last_run: Option<LastRun>,
    /// Version of its prompt.
    prompt_version: u32,
    /// Whose it is.
    owner_id: String,
    /// When it was created.
    created_at: Instant,
    /// When its owner last changed it.
    updated_at: Instant,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Instant>,
}

/// Policies with their values.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PolicyValues {
    /// Missed instants: `latest`, `skip` or `all`.
    catch_up: String,
    /// When the previous run still goes: `skip`, `queue_one`, `cancel_previous` or `allow`.
    overlap: String,
    /// Spread of the start, seconds.
    jitter_seconds: u32,
    /// Wall-time limit of a run, seconds.
    max_runtime_seconds: u32,
    /// Further attempts of a failed run.
    retries: u32,
    /// Failures in a row that pause it; 0 never.
    pause_after_failures: u32,
    /// Starts after which it is finished; null is no limit.
    max_runs: Option<u32>,
    /// How much the agent may do: `read_only`, `edits` or `full`.
    autonomy: String,
    /// Whether a run's own workspace is kept: `if_changed`, `always` or `never`.
    keep_workspace: String,
}

/// The newest run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LastRun {
    /// Run id.
    run_id: String,
    /// Its state.
    state: String,
    /// When its agent started, or when it was queued or skipped.
    at: Instant,
}

/// One future instant.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NextRun {
    /// In UTC.
    utc: Instant,
    /// With the offset of the automation's zone.
    local: String,
}

/// One automation.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct One {
    /// The automation.
    automation: Automation,
}

/// An automation with what comes next.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Planned {
    /// The automation.
    automation: Automation,
    /// At most the next five instants; none when it will not fire.
    next_runs: Vec<NextRun>,
    /// The schedule in plain words.
    schedule_text: String,
    /// One sentence for each clock change within a year that moves or doubles one of its times.
    warnings: Vec<String>,
}

/// A page of automations.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    /// The page, newest first.
    automations: Vec<Automation>,
    /// How many match in all.
    total: u64,
    /// Whether more follow after this page.
    has_more: bool,
}

/// A prompt.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromptText {
    /// Automation id.
    id: String,
    /// The prompt, markdown (a script for agent `shell`).
    prompt: String,
    /// Its version, to pass as `ifVersion`.
    version: u32,
    /// When this version was written.
    updated_at: Instant,
}

/// A prompt replaced.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromptSet {
    /// Automation id.
    id: String,
    /// The version it has now.
    version: u32,
}

/// A run asked for.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunAsked {
    /// Automation id.
    automation_id: String,
    /// Run id, to pass to automations_logs.
    run_id: String,
    /// `queued`, or what it has become since.
    state: String,
    /// The host that runs it.
    host_name: String,
    /// Whether that host is connected; when not, the run starts after it returns.
    host_online: bool,
}

/// An automation deleted.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deleted {
    /// Always true: its schedule is stopped.
    deleted: bool,
    /// Its id: automations_logs still takes it.
    id: String,
}

impl From<AutomationView> for Automation {
    fn from(view: AutomationView) -> Self {
        let why = view.stopped.as_ref().map(stopped);
        Self {
            id: view.id.to_string(),
            name: view.name,
            agent: view.agent,
            enabled: view.enabled,
            paused_reason: view.paused_reason.or(why),
            host_id: view.host_id.to_string(),
            host_name: view.host_name,
            host_online: view.host_online,
            project_id: view.project_id.map(|id| id.to_string()),
            workspace_id: view.workspace_id.map(|id| id.to_string()),
            base_branch: view.base_branch,
            dtstart: start(&view.schedule),
            rrule: view.schedule.rrule,
            timezone: view.schedule.timezone,
            exdates: view.schedule.exdates.into_iter().map(Into::into).collect(),
            rdates: view.schedule.rdates.into_iter().map(Into::into).collect(),
            schedule_text: view.schedule_text,
            policies: (&view.policies).into(),
            next_run_at: view.next_run_at.map(Into::into),
            last_run: view.last_run.map(Into::into),
            prompt_version: view.prompt_version,
            owner_id: view.owner_id.to_string(),
            created_at: view.created_at.into(),
            updated_at: view.updated_at.into(),
            deleted_at: view.deleted_at.map(Into::into),
        }
    }
}

impl From<AutomationView> for One {
    fn from(view: AutomationView) -> Self {
        Self {
            automation: view.into(),
        }
    }
}

impl From<automations::Planned> for Planned {
    fn from(planned: automations::Planned) -> Self {
        let next = planned.next_runs.into_iter();
        Self {
            automation: planned.automation.into(),
            next_runs: next
                .map(|run| NextRun {
                    utc: run.at.into(),
                    local: run.local,
                })
                .collect(),
            schedule_text: planned.schedule_text,
            warnings: planned.warnings,
        }
    }
}

impl From<automations::AutomationPage> for Page {
    fn from(page: automations::AutomationPage) -> Self {
        Self {
            automations: page.automations.into_iter().map(Into::into).collect(),
            total: page.total,
            has_more: page.has_more,
        }
    }
}

impl From<automations::PromptView> for PromptText {
    fn from(view: automations::PromptView) -> Self {
        Self {
            id: view.id.to_string(),
            prompt: view.prompt,
            version: view.version,
            updated_at: view.updated_at.into(),
        }
    }
}

impl From<automations::PromptView> for PromptSet {
    fn from(view: automations::PromptView) -> Self {
        Self {
            id: view.id.to_string(),
            version: view.version,
        }
    }
}

impl From<automations::RunAsked> for RunAsked {
    fn from(asked: automations::RunAsked) -> Self {
        Self {
            automation_id: asked.automation_id.to_string(),
            run_id: asked.run_id.to_string(),
            state: asked.state.to_owned(),
            host_name: asked.host_name,
            host_online: asked.host_online,
        }
    }
}

impl Deleted {
    /// The automation with this id is deleted.
    pub(crate) fn of(id: &impl ToString) -> Self {
        Self {
            deleted: true,
            id: id.to_string(),
        }
    }
}

impl From<automations::LastRun> for LastRun {
    fn from(run: automations::LastRun) -> Self {
        Self {
            run_id: run.run_id.to_string(),
            state: run.state.to_owned(),
            at: run.at.into(),
        }
    }
}

impl From<&Policies> for PolicyValues {
    fn from(policies: &Policies) -> Self {
        Self {
            catch_up: word(&policies.catch_up),
            overlap: word(&policies.overlap),
            jitter_seconds: policies.jitter_seconds,
            max_runtime_seconds: policies.max_runtime_seconds,
            retries: policies.retries,
            pause_after_failures: policies.pause_after_failures,
            max_runs: policies.max_runs,
            autonomy: word(&policies.autonomy),
            keep_workspace: word(&policies.keep_workspace),
        }
    }
}

/// The local start with its zone's offset; without one when the zone is unknown here.
fn start(schedule: &ScheduleSpec) -> String {
    let zone = jiff::tz::TimeZone::get(&schedule.timezone).ok();
    let zoned = zone.and_then(|zone| schedule.dtstart.to_zoned(zone).ok());
    zoned.map_or_else(
        || schedule.dtstart.to_string(),
        |zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    )
}

fn stopped(reason: &StopReason) -> String {
    match reason {
        StopReason::Finished => "finished: its last instant has passed".to_owned(),
        StopReason::Failures { count } => format!("{count} failures in a row"),
        StopReason::Unplannable { message } => message.clone(),
    }
}
