//! The scheduler's decisions: from what the database holds and what time it is to what is claimed,
//! put off, recorded and planned next. Pure; the shell is [`task`].
//!
//! Invariants: one call of [`Scheduler::handle`] is one batch is one transaction, and nothing is
//! spawned before that transaction is committed. What is held here is a cache of the stored plans:
//! after a failed commit it is thrown away and loaded again. An instant is started at most once
//! because its key is unique in the database, and is never silently dropped because the cursor
//! passes it only with a step.

mod due;
mod plan;
mod state;
mod taken;
pub mod task;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use hostler_proto::automation::AutomationStatus;
use hostler_proto::ids::{AutomationId, RunId};
use hostler_proto::run::{Run, RunResult};
use hostler_proto::time::UtcMillis;

use crate::clock::Now;
use plan::{Moment, Plan};
pub use state::{PlanState, Retry, Rule};
pub use taken::Taken;

/// Automations advanced in one batch; the rest follow in the next.
const BATCH: usize = 256;
/// Clocks that drift apart by more than this between two looks: somebody set the wall clock.
const CLOCK_SET_MS: i64 = 5_000;
/// After the clock was set, catching up waits this long: it may be set back.
const HOLD_MS: u64 = 60_000;

/// After a start or a sleep, catching up waits this long for the control plane's word: the automation
/// may run elsewhere by now, and a restored database does not know what has run.
const UNHEARD_MS: u64 = 30_000;

/// An automation as stored.
#[derive(Clone, Debug)]
pub struct Record {
    /// What the catalog wants.
    pub rule: Rule,
    /// What its plan was made for, when that is something older.
    pub planned: Option<Rule>,
    /// True when the catalog wants it no more.
    pub deleted: bool,
    /// Where its plan stands.
    pub state: PlanState,
    /// Claimed occurrences that wait for a run to end, oldest first.
    pub waiting: Vec<UtcMillis>,
    /// Attempts to come.
    pub retries: Vec<Retry>,
}

/// What changed in the database since the last batch.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Automations whose spec is newer than their plan, or deleted.
    pub changed: Vec<Record>,
    /// Occurrences whose attempt has ended.
    pub ended: Vec<Ended>,
    /// Unfinished runs by automation, for at least those in [`Scheduler::interest`], `changed` and
    /// `ended`.
    pub going: BTreeMap<AutomationId, Vec<RunId>>,
    /// For the same automations: instants ahead of the plan that have a row already.
    pub taken: BTreeMap<AutomationId, Taken>,
}

/// An attempt of an occurrence that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Whose.
    pub automation_id: AutomationId,
    /// Which occurrence.
    pub scheduled_at: UtcMillis,
    /// Which attempt.
    pub attempt: u32,
    /// How; none when the run was skipped after it had been queued.
    pub result: Option<RunResult>,
    /// When.
    pub finished_at: UtcMillis,
}

/// What one transaction has to write, and when to look again.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Automation by automation.
    pub changes: Vec<Change>,
}

/// What becomes of one automation.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which.
    pub id: AutomationId,
    /// Its plan from now on; none when the automation is gone.
    pub plan: Option<PlanState>,
    /// Occurrence by occurrence, in order.
    pub steps: Vec<Step>,
    /// To be told to the control plane, when it changed.
    pub status: Option<AutomationStatus>,
}

/// What becomes of one occurrence.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Claimed: the run is queued. It was never seen before, waited, or is tried again.
    Start(Box<Run>),
    /// Claimed, but it waits for the run before it; to the control plane it is queued.
    Wait(Box<Run>),
    /// Recorded as not run; the run's state has reason, count and range.
    Skip(Box<Run>),
    /// Its attempt failed and another one comes.
    Retry(Retry),
    /// Nothing more will happen to it.
    Settle {
        /// The occurrence.
        scheduled_at: UtcMillis,
    },
    /// A run that goes on is to be ended for the next one.
    Cancel {
        /// Which.
        run_id: RunId,
    },
    /// Every queued run of the automation is skipped as deleted.
    DropQueued {
        /// When that was decided.
        now: UtcMillis,
    },
}

/// The plans of all automations of this host.
#[derive(Debug, Default)]
pub struct Scheduler {
    plans: BTreeMap<AutomationId, Plan>,
    due: BTreeSet<(UtcMillis, AutomationId)>,
    /// Plans with occurrences that wait for a run to end.
    waiting: BTreeSet<AutomationId>,
    /// Plans changed outside a batch, with what the database still has of them.
    dirty: BTreeMap<AutomationId, PlanState>,
    last_look: Option<Now>,
    /// Catch-up is held until the boot-time clock shows this.
    hold_until_boot_ms: Option<u64>,
    /// And until this, unless the control plane is heard before.
    unheard_until_boot_ms: Option<u64>,
}

/// One automation's part of a batch that is being decided.
struct Draft {
    /// Its plan as the database has it; none when it is new.
    before: Option<PlanState>,
    steps: Vec<Step>,
    deleted: bool,
}

type Drafts = BTreeMap<AutomationId, Draft>;

impl Scheduler {
    /// The plans as stored. `zones_changed`: the time zone database is another one than when they
    /// were stored, so that the future is planned anew.
    pub fn load(records: Vec<Record>, zones_changed: bool, now: Now) -> Self {
        let mut scheduler = Self {
            last_look: Some(now),
            ..Self::default()
        };
        for record in records.into_iter().filter(|record| !record.deleted) {
            let id = record.rule.id;
            let mut plan = Plan::new(record.planned.unwrap_or(record.rule), record.state);
            plan.resume(record.waiting, record.retries);
            if zones_changed || plan.is_ahead_of(now.wall) {
                scheduler.dirty.insert(id, plan.state.clone());
                plan.replan_future(now.wall);
            }
            scheduler.put(id, plan);
        }
        scheduler
    }

    /// When there is next something to do; may lie in the past.
    pub fn next_due(&self) -> Option<UtcMillis> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The machine was off or asleep: what was missed is caught up once the control plane has said
    /// what it wants here ([`Self::heard`]), or did not for 30 s. Instants that are on time start.
    pub fn await_word(&mut self, now: Now) {
        self.unheard_until_boot_ms = Some(now.boot_ms.saturating_add(UNHEARD_MS));
    }

    #[cfg(test)]
    fn is_unheard(&self) -> bool {
        self.unheard_until_boot_ms.is_some()
    }

    /// The control plane has said what it wants here, and that is stored.
    pub fn heard(&mut self) {
        if self.unheard_until_boot_ms.take().is_none() {
            return;
        }
        let held = self.plans.values().filter(|plan| plan.is_held());
        for id in held.map(|plan| plan.rule.id).collect::<Vec<_>>() {
            if let Some(mut plan) = self.take(id) {
                plan.release();
                self.put(id, plan);
            }
        }
    }

    /// The automations the next batch will look at: those whose unfinished runs it must be told.
    pub fn interest(&self, now: UtcMillis) -> BTreeSet<AutomationId> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now).take(BATCH);
        due.map(|(_, id)| *id)
            .chain(self.waiting.iter().copied())
            .collect()
    }

    /// One batch: everything that changed, and everything that is due (at most 256 automations).
    pub fn handle(&mut self, facts: Facts, now: Now) -> Effects {
        // What the facts were read for; a clock that was set makes more due in the next batch.
        let interest = self.interest(now.wall);
        self.watch_clock(now);
        let mut drafts = Drafts::new();
        let mut taken = facts.taken;
        for (id, before) in std::mem::take(&mut self.dirty) {
            draft(&mut drafts, id, Some(&before));
        }
        for ended in &facts.ended {
            self.settle(ended, now.wall, &mut drafts);
        }
        for record in facts.changed {
            let taken = taken.get(&record.rule.id).cloned().unwrap_or_default();
            self.change(record, taken, now.wall, &mut drafts);
        }
        for id in interest {
            draft(&mut drafts, id, self.plans.get(&id).map(|plan| &plan.state));
        }
        let moment = Moment {
            now: now.wall,
            hold: self.hold(now),
        };
        let changes = drafts.into_iter().filter_map(|(id, draft)| {
            let going = facts.going.get(&id).map_or(&[][..], Vec::as_slice);
            let taken = taken.remove(&id).unwrap_or_default();
            self.advance(id, draft, (going, taken), moment)
        });
        Effects {
            changes: changes.collect(),
        }
    }

    fn settle(&mut self, ended: &Ended, now: UtcMillis, drafts: &mut Drafts) {
        let id = ended.automation_id;
        let scheduled_at = ended.scheduled_at;
        let plan = self.plans.get_mut(&id);
        let draft = draft(drafts, id, plan.as_ref().map(|plan| &plan.state));
        match plan {
            Some(plan) => plan.settle(ended, now, &mut draft.steps),
            None => draft.steps.push(Step::Settle { scheduled_at }),
        }
    }

    fn change(&mut self, record: Record, taken: Taken, now: UtcMillis, drafts: &mut Drafts) {
        let id = record.rule.id;
        let known = self.plans.get(&id).map(|plan| &plan.state);
        let draft = draft(drafts, id, known.or(Some(&record.state)));
        let plan = self.plans.entry(id).or_insert_with(|| {
            let planned = record.planned.unwrap_or_else(|| record.rule.clone());
            let mut plan = Plan::new(planned, record.state);
            plan.resume(record.waiting, record.retries);
            plan
        });
        plan.taken = taken;
        if record.deleted {
            plan.retire(now, &mut draft.steps);
            draft.deleted = true;
        } else {
            plan.replan(record.rule, now, &mut draft.steps);
        }
    }

    /// Ends an automation's draft: what is due is decided last, on the plan as it now is.
    fn advance(
        &mut self,
        id: AutomationId,
        mut draft: Draft,
        (going, taken): (&[RunId], Taken),
        moment: Moment,
    ) -> Option<Change> {
        let plan = self.take(id).filter(|_| !draft.deleted);
        let Some(mut plan) = plan else {
            let (plan, status, steps) = (None, None, draft.steps);
            return Some(Change {
                id,
                plan,
                steps,
                status,
            });
        };
        plan.taken = taken;
        plan.advance(going, moment, &mut draft.steps);
        let status = Some(plan.status()).filter(|_| {
            !draft
                .before
                .as_ref()
                .is_some_and(|before| told_same(before, &plan.state))
        });
        let changed = draft.before.as_ref() != Some(&plan.state) || !draft.steps.is_empty();
        let state = plan.state.clone();
        self.put(id, plan);
        changed.then_some(Change {
            id,
            plan: Some(state),
            steps: draft.steps,
            status,
        })
    }

    fn put(&mut self, id: AutomationId, mut plan: Plan) {
        plan.indexed_at = plan.due();
        self.due.extend(plan.indexed_at.map(|at| (at, id)));
        if plan.is_waiting() {
            self.waiting.insert(id);
        }
        self.plans.insert(id, plan);
    }

    fn take(&mut self, id: AutomationId) -> Option<Plan> {
        let plan = self.plans.remove(&id)?;
        self.waiting.remove(&id);
        if let Some(at) = plan.indexed_at {
            self.due.remove(&(at, id));
        }
        Some(plan)
    }

    /// Compares the wall clock with the boot-time clock: they go apart only when the wall clock is
    /// set. (Sleep counts on both.)
    fn watch_clock(&mut self, now: Now) {
        let Some(last) = self.last_look.replace(now) else {
            return;
        };
        let wall = now.wall.since(last.wall);
        let boot = i64::try_from(now.boot_ms.saturating_sub(last.boot_ms)).unwrap_or(i64::MAX);
        let step = wall.saturating_sub(boot);
        if step.abs() <= CLOCK_SET_MS {
            return;
        }
        tracing::warn!(
            step_ms = step,
            "the wall clock was set; catching up waits a minute"
        );
        self.hold_until_boot_ms = Some(now.boot_ms.saturating_add(HOLD_MS));
        self.after_clock_set(now.wall);
    }

    /// Nothing stays put off until a time of the old clock, and plans that have gone further than
    /// the clock now shows start again from now.
    fn after_clock_set(&mut self, now: UtcMillis) {
        let affected = |plan: &&Plan| plan.is_ahead_of(now) || plan.is_held();
        let affected = self.plans.values().filter(affected);
        for id in affected.map(|plan| plan.rule.id).collect::<Vec<_>>() {
            if let Some(mut plan) = self.take(id) {
                plan.release();
                if plan.is_ahead_of(now) {
                    self.dirty.entry(id).or_insert_with(|| plan.state.clone());
                    plan.replan_future(now);
                }
                self.put(id, plan);
            }
        }
    }

    /// The wall time until which catching up is held.
    fn hold(&mut self, now: Now) -> Option<UtcMillis> {
        let over = |until: &u64| *until <= now.boot_ms;
        self.hold_until_boot_ms.take_if(|until| over(until));
        self.unheard_until_boot_ms.take_if(|until| over(until));
        let until = self.hold_until_boot_ms.max(self.unheard_until_boot_ms)?;
        let left = i64::try_from(until - now.boot_ms).unwrap_or(0);
        Some(now.wall.plus_ms(left))
    }
}

fn draft<'a>(
    drafts: &'a mut Drafts,
    id: AutomationId,
    before: Option<&PlanState>,
) -> &'a mut Draft {
    drafts.entry(id).or_insert_with(|| Draft {
        before: before.cloned(),
        steps: Vec::new(),
        deleted: false,
    })
}

/// Whether the control plane has been told the same of both.
fn told_same(one: &PlanState, other: &PlanState) -> bool {
    one.planned_revision == other.planned_revision
        && one.next_at == other.next_at
        && one.stopped == other.stopped
}
