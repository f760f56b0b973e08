//! What is stored of a plan, and what a plan is made from. Passive data.

use hostler_proto::automation::{AutomationSpec, Policies, ScheduleSpec, StopReason};
use hostler_proto::ids::AutomationId;
use hostler_proto::time::UtcMillis;

/// What planning needs of an [`AutomationSpec`]; the prompt stays in the database.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Identity.
    pub id: AutomationId,
    /// Revision of the spec.
    pub revision: u64,
    /// False while paused by a user.
    pub enabled: bool,
    /// Only instants after this are planned.
    pub plan_after: UtcMillis,
    /// Starts the catalog knows of, from here or elsewhere.
    pub starts: u32,
    /// Agent of its runs.
    pub agent: String,
    /// Version of its prompt.
    pub prompt_version: u32,
    /// Its policies.
    pub policies: Policies,
    /// Its schedule as written.
    pub schedule: ScheduleSpec,
}

impl From<AutomationSpec> for Rule {
    fn from(spec: AutomationSpec) -> Self {
        Self {
            id: spec.id,
            revision: spec.revision,
            enabled: spec.enabled,
            plan_after: spec.plan_after,
            starts: spec.starts,
            agent: spec.agent,
            prompt_version: spec.prompt_version,
            policies: spec.policies,
            schedule: spec.schedule,
        }
    }
}

/// The stored part of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanState {
    /// The revision this plan was made for; 0 is none yet.
    pub planned_revision: u64,
    /// The `plan_after` this plan was made for.
    pub planned_after: UtcMillis,
    /// Every instant up to here is claimed or recorded.
    pub cursor: UtcMillis,
    /// The next instant.
    pub next_at: Option<UtcMillis>,
    /// When that is started: jitter added.
    pub due_at: Option<UtcMillis>,
    /// Occurrences started so far.
    pub starts: u32,
    /// Occurrences failed in a row.
    pub failures: u32,
    /// Why the host stopped planning it by itself.
    pub stopped: Option<StopReason>,
}

/// A further attempt of a failed occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The occurrence.
    pub scheduled_at: UtcMillis,
    /// Number of the coming attempt, from 2.
    pub attempt: u32,
    /// When it starts.
    pub at: UtcMillis,
}
