//! A host's database as the daemon's store keeps it: rows, keys, outbox. A transaction is one call
//! of a method: it happens as a whole or, when the process dies before it, not at all.
//!
//! It follows the statements of `daemon/src/store` one by one and takes no decisions. `keys` off is
//! the deliberately broken disk that does not hold its keys unique, nor is what it holds looked at
//! before (rows ahead of a plan, a run's folder): the key is the last of three guards.

use std::collections::{BTreeMap, BTreeSet};

use hostler_daemon::scheduler::{
    Effects, Ended, Facts, PlanState, Record, Retry, Rule, Step, Taken,
};
use hostler_daemon::store::runs::RunRow;
use hostler_proto::automation::AutomationSpec;
use hostler_proto::command::{Reply, RunCancel, RunStart};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::event::Event;
use hostler_proto::frame::payload::{Life, Sync, SyncAck, SyncWanted};
use hostler_proto::ids::{AutomationId, CommandId, RunId};
use hostler_proto::link::desired_hash;
use hostler_proto::link::host::SyncOutcome;
use hostler_proto::run::{Run, RunResult, RunState, SkipReason, Trigger};
use hostler_proto::time::UtcMillis;

use crate::catalog::over;
use crate::ledger::Before;

pub(crate) type Outcome = Result<Reply, Failure>;

#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) keys: bool,
    pub(crate) automations: BTreeMap<AutomationId, AutomationRow>,
    pub(crate) occurrences: BTreeMap<(AutomationId, i64), Occurrence>,
    pub(crate) runs: BTreeMap<RunId, RunEntry>,
    pub(crate) outbox: BTreeMap<u64, Event>,
    pub(crate) quarantined: BTreeMap<u64, Event>,
    pub(crate) last_seq: u64,
    /// The newest event that this host dropped as acknowledged.
    pub(crate) acked_up_to: u64,
    pub(crate) commands: BTreeMap<CommandId, Outcome>,
    pub(crate) revision: u64,
    pub(crate) hash: String,
    pub(crate) starts: u64,
    /// Every revision that was ever planned here and how far the automation had come by then, for
    /// the invariants.
    pub(crate) planned: BTreeMap<(AutomationId, u64), UtcMillis>,
    /// Which start of the daemon numbered which events.
    pub(crate) lives: Vec<Life>,
    /// Runs whose end was asked for before they came.
    cancelled: BTreeSet<RunId>,
    /// What the ledger found wrong with a batch.
    pub(crate) wrong: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct AutomationRow {
    pub(crate) spec: AutomationSpec,
    /// The spec of the planned revision, while a newer one waits for its plan.
    pub(crate) planned_spec: Option<AutomationSpec>,
    pub(crate) deleted: bool,
    pub(crate) plan: PlanState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Waiting,
    Open,
    Retrying(UtcMillis),
    Done,
    Skipped(SkipReason),
}

#[derive(Clone, Debug)]
pub(crate) struct Occurrence {
    pub(crate) stage: Stage,
    pub(crate) run_id: RunId,
    pub(crate) attempt: u32,
    /// The last instant the row stands for, UTC seconds.
    pub(crate) until: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct RunEntry {
    /// The row as the product's decisions look at it.
    pub(crate) row: RunRow,
    pub(crate) log_acked: u64,
    pub(crate) log_whole: Option<(u64, u32)>,
    pub(crate) log_delivered: bool,
}

impl Disk {
    pub(crate) fn new(keys: bool) -> Self {
        Self {
            keys,
            automations: BTreeMap::new(),
            occurrences: BTreeMap::new(),
            runs: BTreeMap::new(),
            outbox: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            last_seq: 0,
            acked_up_to: 0,
            commands: BTreeMap::new(),
            revision: 0,
            hash: String::new(),
            starts: 0,
            planned: BTreeMap::new(),
            lives: Vec::new(),
            cancelled: BTreeSet::new(),
            wrong: Vec::new(),
        }
    }

    /// A start of the daemon.
    pub(crate) fn begin_life(&mut self, mark: String) {
        self.starts += 1;
        let first_seq = self.last_seq + 1;
        self.lives.retain(|life| life.first_seq < first_seq);
        self.lives.push(Life { first_seq, mark });
    }

    /// The database is replaced by an older copy; what only the invariants look at stays.
    pub(crate) fn restore(&mut self, copy: &Self) {
        let now = std::mem::replace(self, copy.clone());
        self.planned = now.planned;
        self.wrong = now.wrong;
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let rows = self.automations.values();
        rows.map(|row| self.record(row)).collect()
    }

    pub(crate) fn facts(&self, mut interest: BTreeSet<AutomationId>) -> Facts {
        let changed = self
            .automations
            .values()
            .filter(|row| row.deleted || row.spec.revision != row.plan.planned_revision)
            .map(|row| self.record(row))
            .collect::<Vec<_>>();
        let ended = self.ended();
        interest.extend(changed.iter().map(|record| record.rule.id));
        interest.extend(ended.iter().map(|ended| ended.automation_id));
        let mut going: BTreeMap<AutomationId, Vec<RunId>> = BTreeMap::new();
        for row in self.unfinished() {
            if interest.contains(&row.run.automation_id) && !row.waiting {
                let of = going.entry(row.run.automation_id).or_default();
                of.push(row.run.id);
            }
        }
        let taken = interest.iter().map(|id| (*id, self.taken(*id))).collect();
        Facts {
            changed,
            ended,
            going,
            taken,
        }
    }

    /// Rows beyond what the automation's plan has come to.
    fn taken(&self, id: AutomationId) -> Taken {
        let mut taken = Taken::default();
        let Some(row) = self.automations.get(&id).filter(|_| self.keys) else {
            return taken;
        };
        let come_to = match row.plan.planned_revision {
            0 => row.spec.plan_after,
            _ => row.plan.cursor,
        };
        for ((_, at), row) in self.occurrences.range((id, i64::MIN)..=(id, i64::MAX)) {
            let last = UtcMillis(row.until * 1000);
            if last > come_to {
                taken.push(UtcMillis(at * 1000), last);
            }
        }
        taken
    }

    fn record(&self, row: &AutomationRow) -> Record {
        let mut record = Record {
            rule: Rule::from(row.spec.clone()),
            planned: row.planned_spec.clone().map(Rule::from),
            deleted: row.deleted,
            state: row.plan.clone(),
            waiting: Vec::new(),
            retries: Vec::new(),
        };
        let id = row.spec.id;
        for ((_, at), occurrence) in self.occurrences.range((id, i64::MIN)..=(id, i64::MAX)) {
            let scheduled_at = UtcMillis(at * 1000);
            match occurrence.stage {
                Stage::Waiting => record.waiting.push(scheduled_at),
                Stage::Retrying(at) => record.retries.push(Retry {
                    scheduled_at,
                    attempt: occurrence.attempt + 1,
                    at,
                }),
                Stage::Open | Stage::Done | Stage::Skipped(_) => {}
            }
        }
        record
    }

    fn ended(&self) -> Vec<Ended> {
        let open = self.occurrences.iter();
        let open = open.filter(|(_, row)| matches!(row.stage, Stage::Open | Stage::Waiting));
        open.filter_map(|((id, at), row)| {
            let run = &self.runs.get(&row.run_id)?.row.run;
            let (result, finished_at) = match &run.state {
                RunState::Finished(finished) => (Some(finished.result), finished.finished_at),
                RunState::Skipped { at, .. } => (None, *at),
                RunState::Queued | RunState::Preparing { .. } | RunState::Running { .. } => {
                    return None;
                }
            };
            Some(Ended {
                automation_id: *id,
                scheduled_at: UtcMillis(at * 1000),
                attempt: row.attempt,
                result,
                finished_at,
            })
        })
        .collect()
    }

    /// Unfinished runs in the order of their plan.
    pub(crate) fn unfinished(&self) -> Vec<&RunRow> {
        let rows = self.runs.values().map(|entry| &entry.row);
        let mut rows: Vec<_> = rows.filter(|row| !row.run.state.is_final()).collect();
        rows.sort_by_key(|row| (row.run.scheduled_for, row.run.id));
        rows
    }

    /// One batch of the scheduler's.
    pub(crate) fn apply(&mut self, effects: &Effects, now: UtcMillis) {
        for change in &effects.changes {
            let before = Before::of(self, change);
            for step in &change.steps {
                self.write(change.id, step);
            }
            self.wrong.extend(before.wrong(self, change, now));
            match &change.plan {
                Some(plan) => {
                    if let Some(row) = self.automations.get_mut(&change.id) {
                        let revision = (change.id, plan.planned_revision);
                        self.planned.entry(revision).or_insert(row.plan.cursor);
                        row.plan = plan.clone();
                        if row.spec.revision == plan.planned_revision {
                            row.planned_spec = None;
                        }
                    }
                }
                None => {
                    if self
                        .automations
                        .get(&change.id)
                        .is_some_and(|row| row.deleted)
                    {
                        self.automations.remove(&change.id);
                    }
                }
            }
            if let Some(status) = &change.status {
                self.tell(Event::AutomationChanged(status.clone()));
            }
        }
    }

    fn write(&mut self, id: AutomationId, step: &Step) {
        let at = |scheduled_at: &UtcMillis| (id, scheduled_at.0.div_euclid(1000));
        match step {
            Step::Start(run) => self.start(run),
            Step::Wait(run) => self.wait(run),
            Step::Skip(run) => self.skip(run),
            Step::Retry(retry) => {
                let row = self.occurrences.get_mut(&at(&retry.scheduled_at));
                if let Some(row) = row.filter(|row| row.stage == Stage::Open) {
                    row.stage = Stage::Retrying(retry.at);
                }
            }
            Step::Settle { scheduled_at } => {
                let row = self.occurrences.get_mut(&at(scheduled_at));
                let pending =
                    |row: &&mut Occurrence| !matches!(row.stage, Stage::Done | Stage::Skipped(_));
                if let Some(row) = row.filter(pending) {
                    row.stage = Stage::Done;
                }
            }
            Step::Cancel { run_id } => self.request_cancel(*run_id),
            Step::DropQueued { now } => self.drop_queued(id, *now),
        }
    }

    fn start(&mut self, run: &Run) {
        let at = run.scheduled_for.0.div_euclid(1000);
        let key = (run.automation_id, at);
        let claimable = match self.occurrences.get(&key) {
            None => run.attempt == 1,
            Some(row) if run.attempt == 1 => row.stage == Stage::Waiting,
            Some(row) => matches!(row.stage, Stage::Retrying(_)) && row.attempt + 1 == run.attempt,
        };
        if !claimable && self.keys {
            return;
        }
        let row = Occurrence {
            stage: Stage::Open,
            run_id: run.id,
            attempt: run.attempt,
            until: at,
        };
        self.occurrences.insert(key, row);
        let waiting = self.runs.get_mut(&run.id);
        if let Some(entry) = waiting.filter(|entry| entry.row.waiting) {
            entry.row.waiting = false;
            return;
        }
        let known = self.automations.get(&run.automation_id);
        if let Some(row) = known.filter(|row| !row.deleted) {
            self.insert_run(run.clone(), row.spec.clone());
        }
    }

    fn wait(&mut self, run: &Run) {
        let seconds = run.scheduled_for.0.div_euclid(1000);
        let key = (run.automation_id, seconds);
        if self.occurrences.contains_key(&key) {
            return;
        }
        let row = Occurrence {
            stage: Stage::Waiting,
            run_id: run.id,
            attempt: 1,
            until: seconds,
        };
        self.occurrences.insert(key, row);
        let known = self.automations.get(&run.automation_id);
        if let Some(row) = known.filter(|row| !row.deleted) {
            self.insert_run(run.clone(), row.spec.clone());
            let entry = self.runs.get_mut(&run.id);
            if let Some(entry) = entry.filter(|entry| !entry.row.run.state.is_final()) {
                entry.row.waiting = true;
            }
        }
    }

    fn skip(&mut self, run: &Run) {
        let RunState::Skipped { reason, until, .. } = run.state else {
            return;
        };
        let at = run.scheduled_for.0.div_euclid(1000);
        let key = (run.automation_id, at);
        let known = self.occurrences.get(&key);
        if known.is_some_and(|row| row.stage != Stage::Waiting) {
            return;
        }
        let row = Occurrence {
            stage: Stage::Skipped(reason),
            run_id: run.id,
            attempt: 1,
            until: until.map_or(at, |until| until.0.div_euclid(1000)),
        };
        self.occurrences.insert(key, row);
        let waiting = |entry: &&RunEntry| entry.row.waiting && !entry.row.run.state.is_final();
        if let Some(entry) = self.runs.get(&run.id).filter(waiting) {
            let mut ended = entry.row.run.clone();
            ended.state = run.state.clone();
            return self.update_run(&ended);
        }
        self.tell(Event::RunChanged(Box::new(run.clone())));
    }

    fn drop_queued(&mut self, id: AutomationId, now: UtcMillis) {
        let of = |row: &&RunRow| row.run.automation_id == id && row.run.state == RunState::Queued;
        let rows = self.runs.values().map(|entry| &entry.row);
        let queued: Vec<Run> = rows.filter(of).map(|row| row.run.clone()).collect();
        for mut run in queued {
            run.state = RunState::Skipped {
                reason: SkipReason::Deleted,
                at: now,
                count: 1,
                until: None,
                why: None,
            };
            self.update_run(&run);
        }
    }

    fn insert_run(&mut self, run: Run, automation: AutomationSpec) {
        if self.runs.contains_key(&run.id) && self.keys {
            return;
        }
        let row = RunRow {
            run: run.clone(),
            automation,
            place: None,
            launched_at: None,
            cancel_requested: None,
            waiting: false,
        };
        let over = run.state.is_final();
        let entry = RunEntry {
            row,
            log_acked: 0,
            log_whole: over.then_some((0, 0)),
            log_delivered: false,
        };
        self.runs.insert(run.id, entry);
        self.tell(Event::RunChanged(Box::new(run)));
    }

    /// Records a run's new state; nothing when it is final already.
    pub(crate) fn update_run(&mut self, run: &Run) {
        if let Some(entry) = self.runs.get_mut(&run.id)
            && !entry.row.run.state.is_final()
        {
            entry.row.run = run.clone();
            entry.log_delivered |= matches!(run.state, RunState::Skipped { .. });
            self.tell(Event::RunChanged(Box::new(run.clone())));
        }
    }

    fn request_cancel(&mut self, id: RunId) {
        let entry = self.runs.get_mut(&id);
        if let Some(entry) = entry.filter(|entry| !entry.row.run.state.is_final()) {
            entry.row.cancel_requested.get_or_insert("somebody".into());
        }
    }

    /// Appends an event. Of an automation's unsent plans only the newest is kept.
    fn tell(&mut self, event: Event) {
        if let Event::AutomationChanged(status) = &event {
            let superseded = |event: &Event| matches!(event, Event::AutomationChanged(old) if old.id == status.id);
            self.outbox.retain(|_, event| !superseded(event));
        }
        self.last_seq += 1;
        self.outbox.insert(self.last_seq, event);
    }

    pub(crate) fn acked(&mut self, seq: u64) {
        self.acked_up_to = self.acked_up_to.max(seq);
        self.outbox = self.outbox.split_off(&(seq + 1));
    }

    /// A step of the desired state, as `automations::apply` takes it.
    pub(crate) fn apply_sync(&mut self, step: Sync) -> SyncOutcome {
        let have = self.revision;
        let next_seq = Some(self.last_seq + 1);
        let acked = |revision, hash: &String| {
            SyncOutcome::Applied(SyncAck {
                revision,
                hash: hash.clone(),
                next_seq,
            })
        };
        if !step.full && step.to == have && step.hash == self.hash {
            return acked(have, &self.hash);
        }
        let wanted = |reason: &str| {
            SyncOutcome::Wanted(SyncWanted {
                have,
                reason: reason.to_owned(),
            })
        };
        if !step.full && step.from != have {
            return wanted("a gap");
        }
        let hash = desired_hash(self.revisions_after(&step));
        if hash != step.hash && !step.full {
            return wanted("another hash");
        }
        self.take_over(step);
        self.hash = hash;
        acked(self.revision, &self.hash)
    }

    fn revisions_after(&self, step: &Sync) -> BTreeMap<AutomationId, u64> {
        let kept = self.automations.values().filter(|row| !row.deleted);
        let mut after: BTreeMap<_, _> = kept
            .map(|row| (row.spec.id, row.spec.revision))
            .filter(|(id, _)| !step.full && !step.tombstones.contains(id))
            .collect();
        after.extend(step.upserts.iter().map(|spec| (spec.id, spec.revision)));
        after
    }

    fn take_over(&mut self, step: Sync) {
        for (id, row) in &mut self.automations {
            row.deleted |= step.full || step.tombstones.contains(id);
        }
        for spec in step.upserts {
            let Some(row) = self.automations.get_mut(&spec.id) else {
                let row = AutomationRow {
                    planned_spec: None,
                    deleted: false,
                    plan: PlanState::default(),
                    spec,
                };
                self.automations.insert(row.spec.id, row);
                continue;
            };
            let before = std::mem::replace(&mut row.spec, spec);
            if before.revision == row.plan.planned_revision {
                row.planned_spec = Some(before);
            }
            row.deleted = false;
        }
        self.revision = step.to;
    }

    /// Queues a run somebody asked for, with the stored reply.
    pub(crate) fn start_manual(&mut self, id: CommandId, start: &RunStart, now: UtcMillis) {
        let known = self.automations.get(&start.automation_id);
        let outcome = match known.filter(|row| !row.deleted) {
            Some(row) => {
                let mut run = Run {
                    id: start.run_id,
                    automation_id: start.automation_id,
                    attempt: 1,
                    trigger: Trigger::Manual,
                    scheduled_for: start.requested_at,
                    rule_revision: row.spec.revision,
                    prompt_version: row.spec.prompt_version,
                    agent: row.spec.agent.clone(),
                    queued_at: now,
                    workspace_id: None,
                    branch: None,
                    preparing_at: None,
                    state: RunState::Queued,
                };
                let (run_id, spec) = (run.id, row.spec.clone());
                if self.cancelled.contains(&run_id) {
                    run.state = over(RunResult::Cancelled, now);
                }
                self.insert_run(run, spec);
                Ok(Reply::RunStarted { run_id })
            }
            None => Err(Failure::new(ErrorCode::NotFound, "no such automation here")),
        };
        self.commands.entry(id).or_insert(outcome);
    }

    /// Asks for a run's end, with the stored reply.
    pub(crate) fn cancel(&mut self, id: CommandId, cancel: &RunCancel) {
        let run_id = cancel.run_id;
        let outcome = if let Some(row) = self.runs.get(&run_id) {
            Ok(Reply::RunCancelled {
                run_id,
                already_over: row.row.run.state.is_final(),
            })
        } else {
            self.cancelled.insert(run_id);
            Err(Failure::new(ErrorCode::NotFound, "no such run here"))
        };
        self.request_cancel(run_id);
        self.commands.entry(id).or_insert(outcome);
    }
}
