//! What a form would make, before it is sent: when a schedule fires, and what is wrong with which
//! field. The checks are those of making and changing an automation; nothing is written.

use hostler_proto::error::Failure;
use hostler_proto::schedule::{Schedule, clock_change_at, clock_change_notes};
use hostler_proto::time::UtcMillis;

use super::check::{self, Written, stored};
use super::record::CreateAutomation;
use super::target;
use crate::auth::Caller;
use crate::{App, clock, hosts_catalog};

/// How many instants are shown.
const SHOWN_INSTANTS: usize = 5;

/// When a schedule fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The schedule in plain words.
    pub text: String,
    /// Its zone, as the database spells it.
    pub timezone: String,
    /// The next instants.
    pub instants: Vec<Instant>,
    /// Nothing follows after them.
    pub exhausted: bool,
    /// One sentence for each clock change within a year that moves or doubles one of its times.
    pub warnings: Vec<String>,
}

/// An instant of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instant {
    /// When.
    pub at: UtcMillis,
    /// As a clock in the zone shows it: `Mon 2026-03-09 09:00 EDT`.
    pub local: String,
    /// What a clock change has to do with it.
    pub note: Option<String>,
}

/// A part of an automation that can be wrong by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Its name.
    Name,
    /// Its prompt.
    Prompt,
    /// Its agent.
    Agent,
    /// Its host.
    Host,
    /// Project, workspace and branch.
    Place,
    /// Rule, start, zone and dates.
    Schedule,
    /// Any of its policies.
    Policies,
}

/// When the schedule of `input` fires from now on.
pub fn preview(input: &CreateAutomation) -> Result<Preview, Failure> {
    let now = clock::wall();
    let plan = check::schedule(&Written::of_new(input), now)?;
    let schedule = Schedule::parse(&stored(&plan.spec)).map_err(|error| check::refused(&error))?;
    Ok(shown(&schedule, plan.text, now))
}

/// The next instants of a compiled schedule.
pub(super) fn shown(schedule: &Schedule, text: String, after: UtcMillis) -> Preview {
    let from = after.to_timestamp();
    let next = std::iter::successors(schedule.next_after(from), |at| schedule.next_after(*at));
    let mut instants: Vec<_> = next.take(SHOWN_INSTANTS + 1).collect();
    let exhausted = instants.len() <= SHOWN_INSTANTS;
    instants.truncate(SHOWN_INSTANTS);
    let instants = instants.into_iter().map(|at| Instant {
        at: at.into(),
        local: schedule
            .local(at)
            .strftime("%a %Y-%m-%d %H:%M %Z")
            .to_string(),
        note: clock_change_at(schedule, at),
    });
    Preview {
        text,
        timezone: schedule.timezone().to_owned(),
        instants: instants.collect(),
        exhausted,
        warnings: clock_change_notes(schedule, from),
    }
}

/// Everything that is wrong with an automation as a form has it, in the order of its fields.
pub async fn faults(app: &App, caller: &Caller, input: &CreateAutomation) -> Vec<(Field, Failure)> {
    let mut faults = Vec::new();
    let mut note = |field, result: Result<(), Failure>| {
        faults.extend(result.err().map(|failure| (field, failure)));
    };
    note(Field::Name, check::name(&input.name).map(drop));
    note(Field::Prompt, check::prompt(&input.prompt));
    let plan = check::schedule(&Written::of_new(input), clock::wall());
    note(Field::Schedule, plan.map(drop));
    let host = hosts_catalog::resolve_or_only(app, caller, input.host.as_deref()).await;
    let host = match host {
        Ok(host) => host,
        Err(failure) => {
            note(Field::Host, Err(failure));
            return faults;
        }
    };
    note(Field::Agent, check::agent(&input.agent, &host));
    let policies = check::policies(&check::defaults(&host), &input.policies, &host);
    note(Field::Policies, policies.map(drop));
    let asked = target::Asked {
        project: input.project.as_deref(),
        workspace: input.workspace.as_deref(),
        base_branch: input.base_branch.as_deref(),
    };
    let place = target::resolve(app, caller, &host, asked).await;
    note(Field::Place, place.map(drop));
    faults
}
