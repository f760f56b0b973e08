//! One automation's plan: which of its instants are claimed, put off or recorded as not run.
//!
//! Invariant: the cursor only passes an instant together with a step that claims or records it.
//! It does not know the other automations, the database or the clock.

use std::collections::VecDeque;

use hostler_proto::automation::{AutomationStatus, CatchUp, Overlap, ScheduleSpec, StopReason};
use hostler_proto::ids::RunId;
use hostler_proto::run::{Run, RunResult, RunState, SkipReason, Trigger};
use hostler_proto::schedule::{Schedule, ScheduleText};
use hostler_proto::time::UtcMillis;

use super::due::{Due, Range, jitter_ms};
use super::state::{PlanState, Retry, Rule};
use super::taken::Taken;
use super::{Ended, Step};

/// Minutes from the end of a failed attempt to the next one.
const RETRY_AFTER_MINUTES: [i64; 3] = [1, 5, 15];

/// The time of a decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: UtcMillis,
    /// Catch-up is held until then: the clock was set and may be set back.
    pub(super) hold: Option<UtcMillis>,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) rule: Rule,
    pub(super) state: PlanState,
    /// Claimed occurrences that wait for the run before them, oldest first.
    waiting: VecDeque<UtcMillis>,
    retries: Vec<Retry>,
    /// Compiled when first needed.
    schedule: Option<Schedule>,
    held_until: Option<UtcMillis>,
    /// What of the future has a row already, as far as this batch needs it.
    pub(super) taken: Taken,
    /// Under which time the scheduler has it in its queue.
    pub(super) indexed_at: Option<UtcMillis>,
}

impl Plan {
    pub(super) fn new(rule: Rule, state: PlanState) -> Self {
        Self {
            rule,
            state,
            waiting: VecDeque::new(),
            retries: Vec::new(),
            schedule: None,
            held_until: None,
            taken: Taken::default(),
            indexed_at: None,
        }
    }

    /// Takes back what was under way before a restart.
    pub(super) fn resume(&mut self, waiting: Vec<UtcMillis>, retries: Vec<Retry>) {
        self.waiting = waiting.into();
        self.retries = retries;
    }

    /// When this plan next has something to do by itself.
    pub(super) fn due(&self) -> Option<UtcMillis> {
        let fires = self
            .state
            .due_at
            .max(self.held_until.filter(|_| self.state.due_at.is_some()));
        let retries = self.retries.iter().map(|retry| retry.at);
        fires.into_iter().chain(retries).min()
    }

    /// Whether it has gone further than the clock shows: the clock was set back.
    pub(super) fn is_ahead_of(&self, now: UtcMillis) -> bool {
        self.state.cursor > now.max(self.state.planned_after)
    }

    /// Whether catching up is put off.
    pub(super) fn is_held(&self) -> bool {
        self.held_until.is_some()
    }

    /// Catching up is no longer put off.
    pub(super) fn release(&mut self) {
        self.held_until = None;
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn status(&self) -> AutomationStatus {
        AutomationStatus {
            id: self.rule.id,
            revision: self.state.planned_revision,
            next_run_at: self.state.next_at,
            stopped: self.state.stopped.clone(),
        }
    }

    /// An attempt ended: a retry, a failure that counts, or the end of a row of failures.
    pub(super) fn settle(&mut self, ended: &Ended, now: UtcMillis, out: &mut Vec<Step>) {
        self.stop_waiting(ended.scheduled_at);
        // A lost run is a failure, but never silently run again.
        let again = match ended.result {
            Some(RunResult::Failed | RunResult::TimedOut | RunResult::Stalled) => {
                self.retries_left(ended.attempt)
            }
            Some(RunResult::Lost | RunResult::Succeeded | RunResult::Cancelled) | None => false,
        };
        if again {
            return self.retry(ended, out);
        }
        out.push(Step::Settle {
            scheduled_at: ended.scheduled_at,
        });
        match ended.result {
            Some(RunResult::Succeeded) => self.state.failures = 0,
            Some(
                RunResult::Failed | RunResult::TimedOut | RunResult::Stalled | RunResult::Lost,
            ) => {
                self.count_failure(now, out);
            }
            Some(RunResult::Cancelled) | None => {}
        }
    }

    /// An occurrence that waited will not start: somebody cancelled it.
    fn stop_waiting(&mut self, at: UtcMillis) {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| *waiting != at);
        let finished = matches!(self.state.stopped, Some(StopReason::Finished));
        if self.waiting.len() < before && finished && self.starts_left() {
            self.state.stopped = None;
            self.plan_next();
        }
    }

    /// The automation was deleted or moved away: nothing of it starts any more.
    pub(super) fn retire(&mut self, now: UtcMillis, out: &mut Vec<Step>) {
        self.drop_pending(SkipReason::Deleted, now, out);
        out.push(Step::DropQueued { now });
        self.state.next_at = None;
        self.state.due_at = None;
    }

    /// The automation was edited, paused or resumed, or is new here.
    pub(super) fn replan(&mut self, rule: Rule, now: UtcMillis, out: &mut Vec<Step>) {
        let moved = rule.plan_after > self.state.planned_after;
        let finished = matches!(self.state.stopped, Some(StopReason::Finished));
        if moved && self.state.planned_revision > 0 && !finished {
            self.record_unfired(rule.plan_after.min(now), now, out);
        }
        if moved || (rule.enabled && !self.rule.enabled) {
            self.state.failures = 0;
            self.state.stopped = None;
        }
        if self
            .state
            .stopped
            .as_ref()
            .is_some_and(|reason| !matches!(reason, StopReason::Failures { .. }))
        {
            self.state.stopped = None;
        }
        self.schedule = None;
        self.held_until = None;
        self.state.planned_revision = rule.revision;
        self.state.planned_after = rule.plan_after;
        self.state.cursor = self.state.cursor.max(rule.plan_after);
        self.state.starts = self.state.starts.max(rule.starts);
        if !rule.enabled {
            // Under the rule they were claimed with.
            self.drop_pending(SkipReason::Paused, now, out);
        }
        self.rule = rule;
        if !self.rule.enabled {
            self.pass_by(now, out);
        }
        self.plan_next();
    }

    /// What was due before the pause was heard of does not wait for a resume to be recorded.
    fn pass_by(&mut self, now: UtcMillis, out: &mut Vec<Step>) {
        if self.state.stopped.is_none() {
            self.record_unfired(now, now, out);
            self.state.cursor = self.state.cursor.max(now);
        }
    }

    /// The clock went back, or the zones changed: only the future is planned anew. What was claimed
    /// stays claimed, its key sees to that.
    pub(super) fn replan_future(&mut self, now: UtcMillis) {
        if matches!(self.state.stopped, Some(StopReason::Unplannable { .. })) {
            // Perhaps its zone is there again: it goes on where it stopped.
            self.state.stopped = None;
            return self.plan_next();
        }
        let is_future = self.state.next_at.is_some_and(|next| next > now);
        let known = now.max(self.state.planned_after);
        if self.state.cursor > known {
            self.state.cursor = known;
        } else if is_future {
            self.state.cursor = self.state.cursor.max(now);
        } else {
            return;
        }
        self.schedule = None;
        if matches!(self.state.stopped, Some(StopReason::Finished)) {
            self.state.stopped = None;
        }
        self.plan_next();
    }

    /// Starts, puts off or records everything that is due.
    pub(super) fn advance(&mut self, going: &[RunId], moment: Moment, out: &mut Vec<Step>) {
        let mut going = going.to_vec();
        self.start_retries(moment.now, &mut going, out);
        self.start_waiting(moment.now, &mut going, out);
        if self.state.due_at.is_some_and(|due| due <= moment.now) {
            self.fire(moment, &mut going, out);
            self.start_waiting(moment.now, &mut going, out);
        }
    }

    fn is_planning(&self) -> bool {
        self.rule.enabled && self.state.stopped.is_none()
    }

    fn fire(&mut self, moment: Moment, going: &mut Vec<RunId>, out: &mut Vec<Step>) {
        let Some(due) = self.look(moment.now) else {
            return self.plan_next();
        };
        let caught_up = self.catch_up(&due, moment.now);
        if !caught_up.is_empty() && moment.hold.is_some() {
            self.held_until = moment.hold;
            return;
        }
        self.held_until = None;
        if let Some(missed) = due.missed {
            self.record_missed(missed, &caught_up, moment.now, out);
        }
        let in_order = !caught_up.is_empty() && self.rule.policies.catch_up == CatchUp::All;
        for at in caught_up.into_iter().chain(due.on_time) {
            if self.starts_left() && !self.taken.is_key(at) {
                self.admit(at, in_order, moment.now, going, out);
            }
        }
        self.state.cursor = self.state.cursor.max(due.newest);
        self.plan_next();
    }

    fn look(&mut self, now: UtcMillis) -> Option<Due> {
        let first = self.state.next_at?;
        let jitter = self.state.due_at?.since(first);
        Some(Due::look(self.compiled()?, first, jitter, now))
    }

    /// The missed instants that run after all.
    fn catch_up(&mut self, due: &Due, now: UtcMillis) -> Vec<UtcMillis> {
        let Some(missed) = due.missed else {
            return Vec::new();
        };
        let mut newest = match self.rule.policies.catch_up {
            // An instant that is on time is fresher than any missed one.
            CatchUp::Latest if due.on_time.is_empty() => missed.recent(now),
            CatchUp::Skip | CatchUp::Latest => Vec::new(),
            CatchUp::All => self
                .compiled()
                .map(|schedule| missed.newest(schedule))
                .unwrap_or_default(),
        };
        // What ran or is on record as missed was decided before.
        newest.retain(|at| !self.taken.covers(*at));
        newest
    }

    fn record_missed(
        &mut self,
        missed: Range,
        caught_up: &[UtcMillis],
        now: UtcMillis,
        out: &mut Vec<Step>,
    ) {
        let taken = std::mem::take(&mut self.taken);
        let rest = match (caught_up.first(), self.compiled()) {
            (None, Some(schedule)) => taken.gaps(missed, schedule),
            (Some(first), Some(schedule)) if !taken.touches(missed) => missed
                .before(*first, caught_up.len(), schedule)
                .into_iter()
                .collect(),
            (Some(first), Some(schedule)) => {
                let (after, until) = (missed.first.plus_ms(-1), first.plus_ms(-1));
                let rest = Range::between(schedule, after, until);
                rest.map(|rest| taken.gaps(rest, schedule))
                    .unwrap_or_default()
            }
            (_, None) => Vec::new(),
        };
        self.taken = taken;
        for range in rest {
            self.skip(range, SkipReason::Missed, now, out);
        }
    }

    /// One instant that should run now, against whatever still goes on.
    fn admit(
        &mut self,
        at: UtcMillis,
        in_order: bool,
        now: UtcMillis,
        going: &mut Vec<RunId>,
        out: &mut Vec<Step>,
    ) {
        let free = going.is_empty() && self.retries.is_empty() && self.waiting.is_empty();
        match self.rule.policies.overlap {
            Overlap::Allow => self.start(at, 1, now, going, out),
            Overlap::Skip | Overlap::QueueOne | Overlap::CancelPrevious if free => {
                self.start(at, 1, now, going, out);
            }
            Overlap::Skip | Overlap::QueueOne | Overlap::CancelPrevious if in_order => {
                self.wait(at, now, out);
            }
            Overlap::QueueOne if self.waiting.is_empty() => self.wait(at, now, out),
            Overlap::Skip | Overlap::QueueOne => {
                self.skip(Range::one(at), SkipReason::Overlap, now, out);
            }
            Overlap::CancelPrevious => self.cancel_previous(at, now, going, out),
        }
    }

    fn cancel_previous(
        &mut self,
        at: UtcMillis,
        now: UtcMillis,
        going: &[RunId],
        out: &mut Vec<Step>,
    ) {
        self.drop_pending(SkipReason::Overlap, now, out);
        out.extend(going.iter().map(|run_id| Step::Cancel { run_id: *run_id }));
        self.wait(at, now, out);
    }

    fn wait(&mut self, at: UtcMillis, now: UtcMillis, out: &mut Vec<Step>) {
        self.waiting.push_back(at);
        let run = self.run(at, 1, Trigger::Schedule, RunState::Queued, now);
        out.push(Step::Wait(Box::new(run)));
    }

    fn start(
        &mut self,
        at: UtcMillis,
        attempt: u32,
        now: UtcMillis,
        going: &mut Vec<RunId>,
        out: &mut Vec<Step>,
    ) {
        let trigger = if attempt == 1 {
            Trigger::Schedule
        } else {
            Trigger::Retry
        };
        let run = self.run(at, attempt, trigger, RunState::Queued, now);
        going.push(run.id);
        if attempt == 1 {
            self.state.starts += 1;
        }
        out.push(Step::Start(Box::new(run)));
    }

    fn start_waiting(&mut self, now: UtcMillis, going: &mut Vec<RunId>, out: &mut Vec<Step>) {
        if !going.is_empty() || !self.retries.is_empty() {
            return;
        }
        if let Some(at) = self.waiting.pop_front() {
            self.start(at, 1, now, going, out);
        }
    }

    fn start_retries(&mut self, now: UtcMillis, going: &mut Vec<RunId>, out: &mut Vec<Step>) {
        let (due, later) = self.retries.iter().partition(|retry| retry.at <= now);
        self.retries = later;
        for retry in due {
            self.start(retry.scheduled_at, retry.attempt, now, going, out);
        }
    }

    fn retry(&mut self, ended: &Ended, out: &mut Vec<Step>) {
        let index = usize::try_from(ended.attempt).unwrap_or(1).clamp(1, 3) - 1;
        let retry = Retry {
            scheduled_at: ended.scheduled_at,
            attempt: ended.attempt + 1,
            at: ended
                .finished_at
                .plus_ms(RETRY_AFTER_MINUTES[index] * 60_000),
        };
        self.retries.push(retry);
        out.push(Step::Retry(retry));
    }

    fn retries_left(&self, attempt: u32) -> bool {
        let given_up = matches!(self.state.stopped, Some(StopReason::Failures { .. }));
        self.rule.enabled && !given_up && attempt <= self.rule.policies.retries.min(3)
    }

    fn count_failure(&mut self, now: UtcMillis, out: &mut Vec<Step>) {
        self.state.failures += 1;
        let limit = self.rule.policies.pause_after_failures;
        if limit == 0 || self.state.failures < limit || !self.is_planning() {
            return;
        }
        self.state.stopped = Some(StopReason::Failures {
            count: self.state.failures,
        });
        self.drop_pending(SkipReason::Paused, now, out);
        self.plan_next();
    }

    /// Gives up what waits and what would be tried again.
    pub(super) fn drop_pending(&mut self, reason: SkipReason, now: UtcMillis, out: &mut Vec<Step>) {
        for at in std::mem::take(&mut self.waiting) {
            self.skip(Range::one(at), reason, now, out);
        }
        let given_up = std::mem::take(&mut self.retries);
        out.extend(given_up.iter().map(|retry| Step::Settle {
            scheduled_at: retry.scheduled_at,
        }));
    }

    fn skip(&self, range: Range, reason: SkipReason, now: UtcMillis, out: &mut Vec<Step>) {
        let state = RunState::Skipped {
            reason,
            at: now,
            count: range.count,
            until: (range.count > 1).then_some(range.last),
            why: None,
        };
        let run = self.run(range.first, 1, Trigger::Schedule, state, now);
        out.push(Step::Skip(Box::new(run)));
    }

    /// Instants of the old rule that the new one makes obsolete before they fired.
    fn record_unfired(&mut self, until: UtcMillis, now: UtcMillis, out: &mut Vec<Step>) {
        let reason = if self.is_planning() {
            SkipReason::Missed
        } else {
            SkipReason::Paused
        };
        let cursor = self.state.cursor;
        let taken = std::mem::take(&mut self.taken);
        let ranges = self.compiled().and_then(|schedule| {
            let range = Range::between(schedule, cursor, until)?;
            Some(taken.gaps(range, schedule))
        });
        self.taken = taken;
        for range in ranges.unwrap_or_default() {
            self.skip(range, reason, now, out);
        }
    }

    fn starts_left(&self) -> bool {
        let promised = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let most = self.rule.policies.max_runs.unwrap_or(u32::MAX);
        self.state.starts.saturating_add(promised) < most
    }

    /// The next instant after the cursor, or why there is none.
    fn plan_next(&mut self) {
        self.state.next_at = None;
        self.state.due_at = None;
        if !self.is_planning() {
            return;
        }
        let cursor = self.state.cursor.to_timestamp();
        let left = self.starts_left();
        let next = self.compiled().filter(|_| left).and_then(|schedule| {
            let next = schedule.next_after(cursor)?;
            Some((
                UtcMillis::from(next),
                schedule.next_after(next).map(UtcMillis::from),
            ))
        });
        match next {
            Some((next, following)) => {
                self.state.next_at = Some(next);
                self.state.due_at = Some(next.plus_ms(jitter_ms(&self.rule, next, following)));
            }
            None if self.state.stopped.is_none() => self.state.stopped = Some(StopReason::Finished),
            None => {}
        }
    }

    /// The compiled schedule; none (and stopped) when it cannot be compiled on this host.
    fn compiled(&mut self) -> Option<&Schedule> {
        if self.schedule.is_none() {
            match Schedule::parse(&text_of(&self.rule.schedule)) {
                Ok(schedule) => self.schedule = Some(schedule),
                Err(error) => {
                    let message = error.to_string();
                    self.state.stopped = Some(StopReason::Unplannable { message });
                }
            }
        }
        self.schedule.as_ref()
    }

    fn run(
        &self,
        at: UtcMillis,
        attempt: u32,
        trigger: Trigger,
        state: RunState,
        now: UtcMillis,
    ) -> Run {
        Run {
            id: RunId::of_occurrence(self.rule.id, at, attempt),
            automation_id: self.rule.id,
            attempt,
            trigger,
            scheduled_for: at,
            rule_revision: self.rule.revision,
            prompt_version: self.rule.prompt_version,
            agent: self.rule.agent.clone(),
            queued_at: now,
            workspace_id: None,
            branch: None,
            preparing_at: None,
            state,
        }
    }
}

fn text_of(spec: &ScheduleSpec) -> ScheduleText {
    let instants = |given: &[UtcMillis]| given.iter().map(|at| at.to_timestamp()).collect();
    ScheduleText {
        rrule: spec.rrule.clone(),
        dtstart: spec.dtstart,
        timezone: spec.timezone.clone(),
        exdates: instants(&spec.exdates),
        rdates: instants(&spec.rdates),
    }
}
