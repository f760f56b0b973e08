//! The books of one batch: between where a plan was and where it is, each instant of its rule has a
//! row, and a row that stands for many stands for as many as it says.
//!
//! Checked with every transaction of a scheduler, whatever clocks showed and whatever befell it.

use hostler_daemon::scheduler::{Change, PlanState, Step};
use hostler_proto::automation::{AutomationSpec, StopReason};
use hostler_proto::ids::AutomationId;
use hostler_proto::run::{Run, RunState};
use hostler_proto::time::UtcMillis;

use crate::disk::Disk;
use crate::invariants::compiled;

/// More instants than any batch here passes by.
const MOST: u32 = 100_000;

/// An automation before a batch.
pub(crate) struct Before {
    plan: PlanState,
    /// What the plan was made for, and what is wanted now.
    specs: Option<(AutomationSpec, AutomationSpec)>,
}

impl Before {
    pub(crate) fn of(disk: &Disk, change: &Change) -> Self {
        let row = disk.automations.get(&change.id);
        let specs = row.map(|row| {
            let planned = row.planned_spec.as_ref().unwrap_or(&row.spec);
            (planned.clone(), row.spec.clone())
        });
        Self {
            plan: row.map(|row| row.plan.clone()).unwrap_or_default(),
            specs,
        }
    }

    /// What is wrong with the rows of a batch, which are written by now.
    pub(crate) fn wrong(&self, disk: &Disk, change: &Change, now: UtcMillis) -> Option<String> {
        let (planned, wanted) = self.specs.as_ref()?;
        let mut skips = change.steps.iter().filter_map(|step| match step {
            Step::Skip(run) => Some(run),
            Step::Start(_)
            | Step::Wait(_)
            | Step::Retry(_)
            | Step::Settle { .. }
            | Step::Cancel { .. }
            | Step::DropQueued { .. } => None,
        });
        let of = |run: &Run| {
            [planned, wanted]
                .into_iter()
                .find(|s| s.revision == run.rule_revision)
        };
        if let Some(wrong) = skips.find_map(|run| miscounted(run, of(run)?)) {
            return Some(wrong);
        }
        let plan = change.plan.as_ref()?;
        let used_up =
            plan.stopped == Some(StopReason::Finished) && wanted.policies.max_runs.is_some();
        if used_up || self.plan.stopped.is_some() {
            return None;
        }
        let moved = plan.planned_after > self.plan.planned_after;
        let (from, to) = (self.plan.cursor, plan.cursor);
        let unseen = |spec, from, to| unseen(disk, change.id, spec, from, to);
        if self.plan.planned_revision == 0 {
            unseen(wanted, wanted.plan_after, to)
        } else if moved {
            unseen(planned, from, plan.planned_after.min(now))
                .or_else(|| unseen(wanted, from.max(plan.planned_after), to))
        } else {
            unseen(planned, from, to)
        }
    }
}

/// An instant after one time and up to another that no row stands for.
fn unseen(
    disk: &Disk,
    id: AutomationId,
    spec: &AutomationSpec,
    from: UtcMillis,
    to: UtcMillis,
) -> Option<String> {
    if to <= from {
        return None;
    }
    let schedule = compiled(spec);
    let instants = schedule.instants_from(from.plus_ms(1).to_timestamp());
    let mut instants = instants.map(UtcMillis::from).take_while(|at| *at <= to);
    let missing = instants.find(|at| {
        let at = at.0.div_euclid(1000);
        let rows = disk.occurrences.range((id, i64::MIN)..=(id, at));
        !rows
            .rev()
            .any(|((_, first), row)| *first == at || row.until >= at)
    })?;
    Some(format!(
        "the plan of {id} went on from {from} to {to}, and nothing was recorded for {missing}"
    ))
}

/// A row that says it stands for another number of instants than there are.
fn miscounted(run: &Run, spec: &AutomationSpec) -> Option<String> {
    // One that waited was claimed by an older rule, and stands for itself.
    let RunState::Skipped {
        count,
        until: Some(last),
        ..
    } = run.state
    else {
        return None;
    };
    let first = run.scheduled_for;
    let schedule = compiled(spec);
    let before = first.plus_ms(-1000).to_timestamp();
    let are = schedule.count_between(before, last.to_timestamp(), MOST);
    (are != count).then(|| {
        format!(
            "a record of {} says {count} instants from {first} to {last}, and there are {are}",
            run.automation_id
        )
    })
}
