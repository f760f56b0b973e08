//! What goes into and comes out of the automation operations. Passive data.

use hostler_proto::automation::{
    Autonomy, CatchUp, KeepWorkspace, Overlap, Policies, ScheduleSpec, StopReason,
};
use hostler_proto::ids::{AutomationId, HostId, ProjectId, RunId, UserId, WorkspaceId};
use hostler_proto::time::UtcMillis;

/// An automation as its owner sees it, without its prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct AutomationView {
    /// Identity.
    pub id: AutomationId,
    /// Display name.
    pub name: String,
    /// Agent id.
    pub agent: String,
    /// Whether it fires.
    pub enabled: bool,
    /// Grows with every change.
    pub revision: u64,
    /// Why it does not (paused by its owner, paused after failures) or will not again (finished).
    pub paused_reason: Option<String>,
    /// Why its host stopped planning it by itself.
    pub stopped: Option<StopReason>,
    /// The host it runs on.
    pub host_id: HostId,
    /// That host's name.
    pub host_name: String,
    /// Whether that host is connected now.
    pub host_online: bool,
    /// The project it makes a worktree of.
    pub project_id: Option<ProjectId>,
    /// The workspace it runs in.
    pub workspace_id: Option<WorkspaceId>,
    /// Branch a run's worktree starts from.
    pub base_branch: Option<String>,
    /// When it runs.
    pub schedule: ScheduleSpec,
    /// The same in plain words.
    pub schedule_text: String,
    /// Policies.
    pub policies: Policies,
    /// The next instant; none when paused or finished.
    pub next_run_at: Option<UtcMillis>,
    /// Its newest run.
    pub last_run: Option<LastRun>,
    /// Version of the prompt.
    pub prompt_version: u32,
    /// Whose it is.
    pub owner_id: UserId,
    /// When it was made.
    pub created_at: UtcMillis,
    /// When it was last changed by its owner.
    pub updated_at: UtcMillis,
    /// When it was deleted.
    pub deleted_at: Option<UtcMillis>,
}

/// The newest run of an automation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// Which.
    pub run_id: RunId,
    /// The state's word.
    pub state: &'static str,
    /// When its agent started; when it was claimed or skipped if no agent ever did.
    pub at: UtcMillis,
}

/// An instant in UTC and in the automation's zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextRun {
    /// The instant.
    pub at: UtcMillis,
    /// RFC 3339 with the zone's offset: `2026-03-09T09:00:00-04:00`.
    pub local: String,
}

/// An automation with what comes next.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The automation.
    pub automation: AutomationView,
    /// The next five instants (none while paused).
    pub next_runs: Vec<NextRun>,
    /// The schedule in plain words.
    pub schedule_text: String,
    /// One sentence for each clock change within a year that moves or doubles one of its times.
    pub warnings: Vec<String>,
}

/// Which automations to list.
#[derive(Clone, Debug, Default)]
pub struct ListAutomations {
    /// Part of the name, in any case.
    pub name: Option<String>,
    /// Only those that fire, or only those that do not.
    pub enabled: Option<bool>,
    /// Only those of this host.
    pub host: Option<HostId>,
    /// Those that were deleted instead of those that are there.
    pub deleted: bool,
    /// How many (1..=500).
    pub limit: u32,
    /// How many to leave out first.
    pub offset: u32,
}

/// A page of automations.
#[derive(Clone, Debug, PartialEq)]
pub struct AutomationPage {
    /// The page.
    pub automations: Vec<AutomationView>,
    /// How many there are in all.
    pub total: u64,
    /// Whether more follow.
    pub has_more: bool,
}

/// A prompt with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptView {
    /// Whose.
    pub id: AutomationId,
    /// The text.
    pub prompt: String,
    /// Its version, from 1.
    pub version: u32,
    /// When this version was written.
    pub updated_at: UtcMillis,
}

/// Policies to set; what is none stays as it is (or at its default).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyChanges {
    /// Missed instants.
    pub catch_up: Option<CatchUp>,
    /// The previous run still goes.
    pub overlap: Option<Overlap>,
    /// Spread of the start, seconds (0..=900).
    pub jitter_seconds: Option<u32>,
    /// Wall-time limit of a run, seconds.
    pub max_runtime_seconds: Option<u32>,
    /// Further attempts (0..=3).
    pub retries: Option<u32>,
    /// Failures in a row that pause it.
    pub pause_after_failures: Option<u32>,
    /// Starts after which it is finished; `Some(None)` takes the limit away.
    pub max_runs: Option<Option<u32>>,
    /// How much the agent may do.
    pub autonomy: Option<Autonomy>,
    /// Whether a run's own workspace is kept.
    pub keep_workspace: Option<KeepWorkspace>,
}

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct CreateAutomation {
    /// Name, 1..=200 characters.
    pub name: String,
    /// Prompt, 1..=100,000 characters.
    pub prompt: String,
    /// Agent id.
    pub agent: String,
    /// Id or name of the host; none is the caller's only one.
    pub host: Option<String>,
    /// Id, slug or name of a project; at most one of this and `workspace`.
    pub project: Option<String>,
    /// Id of a workspace.
    pub workspace: Option<String>,
    /// Branch a run's worktree starts from.
    pub base_branch: Option<String>,
    /// RFC 5545 recurrence rule.
    pub rrule: String,
    /// RFC 3339 start; none is now.
    pub dtstart: Option<String>,
    /// IANA zone name.
    pub timezone: String,
    /// Instants left out, RFC 3339.
    pub exdates: Vec<String>,
    /// Instants added, RFC 3339.
    pub rdates: Vec<String>,
    /// Policies that differ from the defaults.
    pub policies: PolicyChanges,
}

/// What to change; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct UpdateAutomation {
    /// Name.
    pub name: Option<String>,
    /// Agent id.
    pub agent: Option<String>,
    /// Id or name of another host.
    pub host: Option<String>,
    /// Another project; `Some(None)` clears it.
    pub project: Option<Option<String>>,
    /// Another workspace; `Some(None)` clears it.
    pub workspace: Option<Option<String>>,
    /// Another base branch; `Some(None)` takes the project's default.
    pub base_branch: Option<Option<String>>,
    /// Recurrence rule.
    pub rrule: Option<String>,
    /// Start.
    pub dtstart: Option<String>,
    /// Zone.
    pub timezone: Option<String>,
    /// Instants left out.
    pub exdates: Option<Vec<String>>,
    /// Instants added.
    pub rdates: Option<Vec<String>>,
    /// Policies.
    pub policies: PolicyChanges,
    /// The prompt.
    pub prompt: Option<NewPrompt>,
    /// Refused unless this is the automation's revision.
    pub if_revision: Option<u64>,
}

/// A prompt that replaces another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPrompt {
    /// The whole text.
    pub text: String,
    /// Refused unless this is the version it has.
    pub if_version: Option<u32>,
}

/// A run asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAsked {
    /// Whose.
    pub automation_id: AutomationId,
    /// The run.
    pub run_id: RunId,
    /// The state's word: `queued`.
    pub state: &'static str,
    /// Whether the host is connected; when not, the run starts after it returns.
    pub host_online: bool,
    /// The host's name.
    pub host_name: String,
}
