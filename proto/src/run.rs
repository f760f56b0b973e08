//! A run: one execution of an agent, or one recorded non-execution, as typed states.
//!
//! `queued -> preparing -> running -> finished`, or `skipped` for an occurrence that never became
//! a run. Each state carries its data; a transition that makes no sense is an error.

use serde::{Deserialize, Serialize};

use crate::ids::{AutomationId, RunId, WorkspaceId};
use crate::time::UtcMillis;

/// A run as its host knows it and as the catalog repeats it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Identity: derived from the occurrence, or chosen by the control plane for a manual run.
    pub id: RunId,
    /// Whose run it is.
    pub automation_id: AutomationId,
    /// 1 for the first try of an occurrence.
    pub attempt: u32,
    /// Why it exists.
    pub trigger: Trigger,
    /// The instant it was planned for; for a manual run the time it was asked for.
    pub scheduled_for: UtcMillis,
    /// Revision of the automation it was claimed with.
    pub rule_revision: u64,
    /// Version of the prompt it was claimed with.
    pub prompt_version: u32,
    /// Agent id.
    pub agent: String,
    /// When it was claimed.
    pub queued_at: UtcMillis,
    /// Where it runs, once known.
    #[serde(default)]
    pub workspace_id: Option<WorkspaceId>,
    /// Branch of that workspace.
    #[serde(default)]
    pub branch: Option<String>,
    /// When its workspace began to be prepared; none while it is queued.
    #[serde(default)]
    pub preparing_at: Option<UtcMillis>,
    /// State with its data.
    pub state: RunState,
}

/// Why a run exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its schedule.
    Schedule,
    /// Somebody asked.
    Manual,
    /// An earlier attempt failed.
    Retry,
}

/// State of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// Claimed, waiting for a place.
    Queued,
    /// Workspace and setup under way.
    Preparing {
        /// Since when.
        since: UtcMillis,
    },
    /// The agent's process runs.
    Running {
        /// When the agent's process started.
        started_at: UtcMillis,
    },
    /// It ended.
    Finished(Box<Finished>),
    /// It never became a process.
    Skipped {
        /// Why.
        reason: SkipReason,
        /// When that was decided.
        at: UtcMillis,
        /// How many instants this record stands for (1, more for `missed`).
        count: u32,
        /// The last instant it stands for, when more than one.
        #[serde(default)]
        until: Option<UtcMillis>,
        /// The sentence that goes with the reason, where it needs one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
}

/// Why an occurrence never became a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The previous run still went on.
    Overlap,
    /// The automation was paused.
    Paused,
    /// The host was off, asleep or late.
    Missed,
    /// The host had no place in time.
    HostBusy,
    /// The host's disk was too full to start anything.
    DiskFull,
    /// The automation was deleted or moved away while the run was queued.
    Deleted,
    /// The owner of the machine does not allow it there.
    Policy,
}

/// How a run ended, with everything known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// The word.
    pub result: RunResult,
    /// When the agent's process started; none when it never did (setup failed, agent missing).
    #[serde(default)]
    pub started_at: Option<UtcMillis>,
    /// When it ended.
    pub finished_at: UtcMillis,
    /// One sentence for every result but `succeeded`.
    #[serde(default)]
    pub reason: Option<String>,
    /// Exit code of the agent.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Signal that ended the agent.
    #[serde(default)]
    pub signal: Option<i32>,
    /// What it did.
    #[serde(default)]
    pub outcome: Outcome,
    /// Size of the log in bytes.
    pub log_bytes: u64,
}

/// The word for how a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// The agent exited with 0 and was denied nothing.
    Succeeded,
    /// Non-zero exit, a signal, a failed setup, or an agent that was denied its tools.
    Failed,
    /// Wall-time limit.
    TimedOut,
    /// No output and no CPU for the idle limit.
    Stalled,
    /// Somebody ended it.
    Cancelled,
    /// Its supervisor vanished without a record.
    Lost,
}

/// What a finished run did. Absent values were not reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Commits made in the workspace during the run.
    pub commits: u32,
    /// Files changed against the commit the run started from, committed or not.
    pub files_changed: u32,
    /// Lines added.
    pub insertions: u32,
    /// Lines removed.
    pub deletions: u32,
    /// Whether uncommitted work is left.
    pub dirty: bool,
    /// The agent's own final words.
    pub result_text: Option<String>,
    /// The agent's session id, to resume it.
    pub session_id: Option<String>,
    /// The shell command that goes on with that session, on the run's host.
    pub resume: Option<String>,
    /// Tokens used, input and output.
    pub tokens: Option<u64>,
    /// Cost in US dollars.
    pub cost_usd: Option<f64>,
    /// Peak resident memory of the process tree, bytes.
    pub peak_memory_bytes: Option<u64>,
    /// CPU time of the process tree, seconds.
    pub cpu_seconds: Option<f64>,
    /// Tools the agent asked for and was denied.
    pub denied: Vec<String>,
}

/// A transition that makes no sense from the state the run is in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("run {id} is {from} and cannot become {to}")]
pub struct BadTransition {
    /// The run.
    pub id: RunId,
    /// The state it is in.
    pub from: &'static str,
    /// The state asked for.
    pub to: &'static str,
}

impl RunState {
    /// The state's word as users see it: `queued preparing running succeeded failed timed_out
    /// stalled cancelled lost skipped`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preparing { .. } => "preparing",
            Self::Running { .. } => "running",
            Self::Finished(finished) => finished.result.word(),
            Self::Skipped { .. } => "skipped",
        }
    }

    /// Whether nothing more will happen to the run.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Queued | Self::Preparing { .. } | Self::Running { .. } => false,
            Self::Finished(_) | Self::Skipped { .. } => true,
        }
    }
}

impl RunResult {
    /// The result's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Stalled => "stalled",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

impl SkipReason {
    /// The reason's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Paused => "paused",
            Self::Missed => "missed",
            Self::HostBusy => "host_busy",
            Self::DiskFull => "disk_full",
            Self::Deleted => "deleted",
            Self::Policy => "policy",
        }
    }
}

impl Run {
    /// `queued -> preparing`.
    pub fn prepare(&mut self, now: UtcMillis) -> Result<(), BadTransition> {
        match self.state {
            RunState::Queued => {
                self.preparing_at = Some(now);
                self.state = RunState::Preparing { since: now };
                Ok(())
            }
            RunState::Preparing { .. }
            | RunState::Running { .. }
            | RunState::Finished(_)
            | RunState::Skipped { .. } => Err(self.bad("preparing")),
        }
    }

    /// `preparing -> running`, when the agent's process exists.
    pub fn start(&mut self, started_at: UtcMillis) -> Result<(), BadTransition> {
        match self.state {
            RunState::Preparing { .. } => {
                self.state = RunState::Running { started_at };
                Ok(())
            }
            RunState::Queued
            | RunState::Running { .. }
            | RunState::Finished(_)
            | RunState::Skipped { .. } => Err(self.bad("running")),
        }
    }

    /// Any unfinished state `-> finished`. A run ends once.
    pub fn finish(&mut self, finished: Finished) -> Result<(), BadTransition> {
        if self.state.is_final() {
            return Err(self.bad(finished.result.word()));
        }
        self.state = RunState::Finished(Box::new(finished));
        Ok(())
    }

    fn bad(&self, to: &'static str) -> BadTransition {
        BadTransition {
            id: self.id,
            from: self.state.word(),
            to,
        }
    }
}
