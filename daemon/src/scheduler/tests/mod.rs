//! The scheduler on a model of the database that keeps only what was committed: clocks move, runs
//! end, processes crash between deciding and committing.

mod faults;
mod policies;

use std::collections::BTreeMap;

use hostler_proto::automation::{AutomationStatus, Policies, ScheduleSpec};
use hostler_proto::ids::{AutomationId, RunId};
use hostler_proto::run::{RunResult, RunState};
use hostler_proto::time::UtcMillis;
use uuid::Uuid;

use super::*;

pub(super) const MINUTE: i64 = 60_000;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;
/// 2026-03-02T12:00:00Z, a Monday.
pub(super) const NOON: i64 = 1_772_452_800_000;

pub(super) const ID: AutomationId = AutomationId(Uuid::from_u128(42));

/// One row of `occurrences`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) state: &'static str,
    pub(super) attempt: u32,
    pub(super) retry_at: Option<UtcMillis>,
    pub(super) reason: Option<&'static str>,
    pub(super) count: u32,
    pub(super) until: Option<UtcMillis>,
}

/// One row of `runs`.
#[derive(Clone, Debug)]
pub(super) struct RunRow {
    pub(super) scheduled_for: UtcMillis,
    pub(super) attempt: u32,
    /// None while it goes on.
    pub(super) end: Option<(Option<RunResult>, UtcMillis)>,
    pub(super) cancel: bool,
}

/// A host: its database, its clocks, and a scheduler that can be lost at any moment.
pub(super) struct World {
    pub(super) record: Option<Record>,
    pub(super) rows: BTreeMap<UtcMillis, Row>,
    pub(super) runs: BTreeMap<RunId, RunRow>,
    pub(super) told: Vec<AutomationStatus>,
    pub(super) now: Now,
    scheduler: Option<Scheduler>,
}

pub(super) fn rule_of(rrule: &str) -> Rule {
    Rule {
        id: ID,
        revision: 1,
        enabled: true,
        plan_after: UtcMillis(NOON - 1),
        starts: 0,
        agent: "shell".into(),
        prompt_version: 1,
        policies: Policies::default(),
        schedule: ScheduleSpec {
            rrule: rrule.into(),
            dtstart: "2026-03-02T12:00:00".parse().unwrap(),
            timezone: "UTC".into(),
            exdates: vec![],
            rdates: vec![],
        },
    }
}

impl World {
    /// At noon, with one automation just synced.
    pub(super) fn new(rrule: &str, policies: Policies) -> Self {
        let record = Record {
            rule: Rule {
                policies,
                ..rule_of(rrule)
            },
            planned: None,
            deleted: false,
            state: PlanState::default(),
            waiting: vec![],
            retries: vec![],
        };
        Self {
            record: Some(record),
            rows: BTreeMap::new(),
            runs: BTreeMap::new(),
            told: vec![],
            now: Now {
                wall: UtcMillis(NOON - MINUTE),
                boot_ms: 1_000_000,
                awake_ms: 1_000_000,
            },
            scheduler: None,
        }
    }

    /// Time passes, and the scheduler looks once at its end.
    pub(super) fn pass(&mut self, ms: i64) {
        self.clocks(ms, ms);
        self.settle_down();
    }

    /// Time passes with the scheduler awake: it looks whenever something is due.
    pub(super) fn live(&mut self, ms: i64) {
        let end = self.now.wall.plus_ms(ms);
        while self.now.wall < end {
            self.settle_down();
            let due = self.scheduler.as_ref().and_then(Scheduler::next_due);
            let next = due.unwrap_or(end).min(end).max(self.now.wall.plus_ms(1));
            let ms = next.since(self.now.wall);
            self.clocks(ms, ms);
        }
        self.settle_down();
    }

    /// The wall clock is set while boot time goes on as it is.
    pub(super) fn set_clock(&mut self, ms: i64) {
        self.clocks(ms, 0);
    }

    fn clocks(&mut self, wall: i64, boot: i64) {
        self.now.wall = self.now.wall.plus_ms(wall);
        self.now.boot_ms += boot.unsigned_abs();
        self.now.awake_ms += boot.unsigned_abs();
    }

    /// Batches until nothing is left to decide.
    pub(super) fn settle_down(&mut self) {
        for _ in 0..20 {
            let effects = self.decide();
            if effects.changes.is_empty() {
                return;
            }
            self.commit(&effects);
        }
        panic!("the scheduler does not come to rest: {:?}", self.rows);
    }

    /// Decides a batch without committing it.
    pub(super) fn decide(&mut self) -> Effects {
        let now = self.now;
        let stored = self.records();
        let scheduler = self
            .scheduler
            .get_or_insert_with(|| Scheduler::load(stored, false, now));
        let interest = scheduler.interest(now.wall);
        let changed = self
            .records()
            .into_iter()
            .filter(|r| r.deleted || r.rule.revision != r.state.planned_revision);
        let facts = Facts {
            changed: changed.collect(),
            ended: self.ended(),
            going: self.going(&interest),
            taken: self.taken(),
        };
        self.scheduler.as_mut().unwrap().handle(facts, now)
    }

    /// A daemon starts that has not heard of the control plane yet.
    pub(super) fn start_unheard(&mut self) {
        let mut scheduler = Scheduler::load(self.records(), false, self.now);
        scheduler.await_word(self.now);
        self.scheduler = Some(scheduler);
    }

    /// The control plane says what it wants.
    pub(super) fn hear(&mut self) {
        self.scheduler.as_mut().unwrap().heard();
    }

    /// The process dies: everything not committed is gone.
    pub(super) fn crash(&mut self) {
        self.scheduler = None;
    }

    fn records(&self) -> Vec<Record> {
        let pending =
            |state: &'static str| self.rows.iter().filter(move |(_, row)| row.state == state);
        let mut record = match &self.record {
            Some(record) => record.clone(),
            None => return vec![],
        };
        record.waiting = pending("waiting").map(|(at, _)| *at).collect();
        record.retries = pending("retrying")
            .map(|(at, row)| Retry {
                scheduled_at: *at,
                attempt: row.attempt + 1,
                at: row.retry_at.unwrap(),
            })
            .collect();
        vec![record]
    }

    fn taken(&self) -> BTreeMap<AutomationId, Taken> {
        let mut taken = Taken::default();
        let Some(record) = &self.record else {
            return BTreeMap::new();
        };
        let come_to = match record.state.planned_revision {
            0 => record.rule.plan_after,
            _ => record.state.cursor,
        };
        for (at, row) in &self.rows {
            let last = row.until.unwrap_or(*at);
            if last > come_to {
                taken.push(*at, last);
            }
        }
        BTreeMap::from([(ID, taken)])
    }

    fn ended(&self) -> Vec<Ended> {
        let open = self.rows.iter();
        let open = open.filter(|(_, row)| ["open", "waiting"].contains(&row.state));
        open.filter_map(|(at, row)| {
            let run = RunId::of_occurrence(ID, *at, row.attempt);
            let (result, finished_at) = self.runs.get(&run)?.end?;
            Some(Ended {
                automation_id: ID,
                scheduled_at: *at,
                attempt: row.attempt,
                result,
                finished_at,
            })
        })
        .collect()
    }

    /// All unfinished runs, whatever the interest: that it is asked for is checked on the database.
    fn going(&self, _interest: &BTreeSet<AutomationId>) -> BTreeMap<AutomationId, Vec<RunId>> {
        let going = self
            .runs
            .iter()
            .filter(|(_, run)| run.end.is_none())
            .map(|(id, _)| *id);
        BTreeMap::from([(ID, going.collect())])
    }

    /// Writes a batch as the database would.
    pub(super) fn commit(&mut self, effects: &Effects) {
        for change in &effects.changes {
            for step in &change.steps {
                self.write(step);
            }
            match (&change.plan, &mut self.record) {
                (Some(plan), Some(record)) => record.state = plan.clone(),
                (None, record) => *record = None,
                (Some(_), None) => panic!("a plan without an automation"),
            }
            self.told.extend(change.status.clone());
        }
    }

    fn write(&mut self, step: &Step) {
        match step {
            Step::Start(run) => self.start(run),
            Step::Wait(run) => {
                let before = self.rows.insert(run.scheduled_for, row("waiting"));
                assert_eq!(before, None, "it waits twice");
            }
            Step::Skip(run) => self.skip(run),
            Step::Retry(retry) => {
                let row = self.rows.get_mut(&retry.scheduled_at).unwrap();
                assert_eq!((row.state, row.attempt + 1), ("open", retry.attempt));
                row.state = "retrying";
                row.retry_at = Some(retry.at);
            }
            Step::Settle { scheduled_at } => {
                let row = self.rows.get_mut(scheduled_at).unwrap();
                let pending = ["waiting", "open", "retrying"];
                assert!(pending.contains(&row.state), "{row:?}");
                row.state = "done";
            }
            Step::Cancel { run_id } => self.runs.get_mut(run_id).unwrap().cancel = true,
            Step::DropQueued { .. } => {}
        }
    }

    fn start(&mut self, run: &Run) {
        let at = run.scheduled_for;
        let claimable = match self.rows.get(&at) {
            None => run.attempt == 1,
            Some(row) if run.attempt == 1 => row.state == "waiting",
            Some(row) => row.state == "retrying" && row.attempt + 1 == run.attempt,
        };
        assert!(
            claimable,
            "{at} is claimed already: {:?}",
            self.rows.get(&at)
        );
        self.rows.insert(
            at,
            Row {
                attempt: run.attempt,
                ..row("open")
            },
        );
        let started = RunRow {
            scheduled_for: at,
            attempt: run.attempt,
            end: None,
            cancel: false,
        };
        assert!(
            self.runs.insert(run.id, started).is_none(),
            "{at} attempt {} started twice",
            run.attempt
        );
    }

    fn skip(&mut self, run: &Run) {
        let RunState::Skipped {
            reason,
            count,
            until,
            ..
        } = run.state
        else {
            panic!("a skip that is {}", run.state.word());
        };
        let skipped = Row {
            reason: Some(reason.word()),
            count,
            until,
            ..row("skipped")
        };
        let before = self.rows.insert(run.scheduled_for, skipped);
        let fresh = before.as_ref().is_none_or(|row| row.state == "waiting");
        assert!(fresh, "{} was {before:?}", run.scheduled_for);
    }

    /// Somebody cancels the run of an occurrence that waits, and its row ends.
    pub(super) fn cancel_waiting(&mut self, at: UtcMillis) {
        let cancelled = RunRow {
            scheduled_for: at,
            attempt: 1,
            end: Some((Some(RunResult::Cancelled), self.now.wall)),
            cancel: true,
        };
        self.runs.insert(RunId::of_occurrence(ID, at, 1), cancelled);
        self.settle_down();
    }

    /// Ends the oldest run that goes on.
    pub(super) fn end(&mut self, result: RunResult) {
        let now = self.now.wall;
        let going = self.runs.values_mut().filter(|run| run.end.is_none());
        let oldest = going
            .min_by_key(|run| run.scheduled_for)
            .expect("a run goes on");
        oldest.end = Some((Some(result), now));
        self.settle_down();
    }

    pub(super) fn edit(&mut self, edit: impl FnOnce(&mut Rule)) {
        let record = self.record.as_mut().unwrap();
        record.rule.revision += 1;
        edit(&mut record.rule);
    }

    pub(super) fn plan(&self) -> &PlanState {
        &self.record.as_ref().unwrap().state
    }

    /// `minute:state` of every row, with reason and count: what a user would see.
    pub(super) fn seen(&self) -> Vec<String> {
        let minute = |at: UtcMillis| (at.0 - NOON) / MINUTE;
        let line = |(at, row): (&UtcMillis, &Row)| {
            let reason = row
                .reason
                .map(|reason| format!(" {reason}"))
                .unwrap_or_default();
            let range = row
                .until
                .map(|until| format!(" x{} to {}", row.count, minute(until)));
            format!(
                "{} {}{reason}{}",
                minute(*at),
                row.state,
                range.unwrap_or_default()
            )
        };
        self.rows.iter().map(line).collect()
    }

    /// Minutes of the occurrences that were started, in order of their start's key.
    pub(super) fn started(&self) -> Vec<i64> {
        let mut minutes: Vec<i64> = self
            .runs
            .values()
            .map(|run| (run.scheduled_for.0 - NOON) / MINUTE)
            .collect();
        minutes.sort_unstable();
        minutes
    }
}

fn row(state: &'static str) -> Row {
    Row {
        state,
        attempt: 1,
        retry_at: None,
        reason: None,
        count: 1,
        until: None,
    }
}
