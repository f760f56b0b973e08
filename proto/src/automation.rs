//! An automation: what to run and when, as the control plane tells a host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::ids::{AutomationId, ProjectId, WorkspaceId};
use crate::time::UtcMillis;

/// An automation as synced to the host that fires it. The catalog is the owner of this record;
/// the host keeps a copy and fires from it with the control plane gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomationSpec {
    /// Identity.
    pub id: AutomationId,
    /// Revision of this automation: grows with every edit, pause, resume and prompt change.
    pub revision: u64,
    /// Display name.
    pub name: String,
    /// Id of the agent to run (`claude`, `shell`, ...).
    pub agent: String,
    /// The prompt (markdown; a script for `shell`), at most 100,000 characters.
    pub prompt: String,
    /// Version of the prompt.
    pub prompt_version: u32,
    /// False while paused: no occurrence is claimed.
    pub enabled: bool,
    /// Where it runs.
    pub target: RunTarget,
    /// When it runs.
    pub schedule: ScheduleSpec,
    /// Only instants strictly after this are planned: the time of creation, of the last edit of
    /// the schedule, or of the last resume.
    pub plan_after: UtcMillis,
    /// Starts by its schedule that the catalog knows of, on whichever host: `max_runs` goes on from
    /// there. Only told of automations that have a `max_runs`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub starts: u32,
    /// Policies.
    pub policies: Policies,
    /// Environment of its runs, on top of the host's own `[env]`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Whose it is: the host runs it only for members it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Actor>,
}

/// Where an automation runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "snake_case")]
pub enum RunTarget {
    /// A fresh worktree of the project for each run.
    Project {
        /// The project.
        project_id: ProjectId,
        /// Branch to start from; none is the project's default branch.
        #[serde(default)]
        base_branch: Option<String>,
    },
    /// An existing workspace.
    Workspace {
        /// The workspace.
        workspace_id: WorkspaceId,
    },
    /// A scratch folder for each run.
    Scratch,
}

/// A schedule as its user wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// RFC 5545 recurrence rule text, as written.
    pub rrule: String,
    /// Local start in the zone, `YYYY-MM-DDTHH:MM:SS`.
    pub dtstart: jiff::civil::DateTime,
    /// IANA zone name.
    pub timezone: String,
    /// Instants left out.
    #[serde(default)]
    pub exdates: Vec<UtcMillis>,
    /// Instants added.
    #[serde(default)]
    pub rdates: Vec<UtcMillis>,
}

/// Policies of an automation, each with its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policies {
    /// What to do with instants missed while the host was off, asleep or more than 60 s late.
    pub catch_up: CatchUp,
    /// What to do when the previous run still goes.
    pub overlap: Overlap,
    /// Spread of the start, seconds (0..=900).
    pub jitter_seconds: u32,
    /// Wall-time limit of a run, seconds of awake time.
    pub max_runtime_seconds: u32,
    /// Further attempts of a failed occurrence (0..=3).
    pub retries: u32,
    /// Failures in a row that pause the automation.
    pub pause_after_failures: u32,
    /// Starts after which the automation is finished; none is no limit.
    pub max_runs: Option<u32>,
    /// How much the agent may do by itself.
    pub autonomy: Autonomy,
    /// Whether a run's own workspace is kept.
    pub keep_workspace: KeepWorkspace,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            catch_up: CatchUp::Latest,
            overlap: Overlap::Skip,
            jitter_seconds: 0,
            max_runtime_seconds: 3600,
            retries: 0,
            pause_after_failures: 5,
            max_runs: None,
            autonomy: Autonomy::Edits,
            keep_workspace: KeepWorkspace::IfChanged,
        }
    }
}

/// What to do with missed instants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// One run for the newest missed instant if within 7 days.
    #[default]
    Latest,
    /// None: they are recorded as missed.
    Skip,
    /// At most the ten newest, in order.
    All,
}

/// What to do when the previous run still goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Do not start; the skip is recorded.
    #[default]
    Skip,
    /// Start when the previous ends; at most one waits.
    QueueOne,
    /// End the previous and start.
    CancelPrevious,
    /// Start beside it.
    Allow,
}

/// How much an agent may do by itself, from least to most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autonomy {
    /// Look, change nothing.
    ReadOnly,
    /// Edit files of the workspace.
    #[default]
    Edits,
    /// Anything the user could do.
    Full,
}

/// Whether a run's own workspace stays after the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepWorkspace {
    /// When it holds commits or changes.
    #[default]
    IfChanged,
    /// Always.
    Always,
    /// Never, unless it holds unsaved work.
    Never,
}

/// What the host tells of an automation it plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomationStatus {
    /// Which automation.
    pub id: AutomationId,
    /// The revision this status speaks of.
    pub revision: u64,
    /// The next instant it will fire at; none when paused or finished.
    pub next_run_at: Option<UtcMillis>,
    /// Why the host stopped planning it by itself.
    #[serde(default)]
    pub stopped: Option<StopReason>,
}

/// Why a host stopped planning an automation by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum StopReason {
    /// Its last instant has passed, or its starts are used up.
    Finished,
    /// Too many failures in a row.
    Failures {
        /// How many.
        count: u32,
    },
    /// The schedule cannot be planned here (for example its zone is unknown on this host).
    Unplannable {
        /// The sentence.
        message: String,
    },
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
