//! The control plane's catalog: what users want, what hosts told, what is still to be asked. Each
//! method is one transaction, as the control plane's operations make it.
//!
//! It follows `control-plane/src/{automations,ingest,reconcile}.rs` and their stores, and keeps only
//! what the simulation needs of them.

use std::collections::{BTreeMap, BTreeSet};

use hostler_proto::automation::{AutomationSpec, AutomationStatus, StopReason};
use hostler_proto::command::{Command, Reply, RunCancel, RunStart};
use hostler_proto::error::Failure;
use hostler_proto::event::Event;
use hostler_proto::frame::log::LogFrame;
use hostler_proto::frame::payload::{EventItem, Life, LogAck, LogFinal, Sync};
use hostler_proto::ids::{AutomationId, CommandId, RunId};
use hostler_proto::link::desired_hash;
use hostler_proto::run::{Finished, Outcome, Run, RunResult, RunState, SkipReason, Trigger};
use hostler_proto::time::UtcMillis;

/// A host that was not heard of for so long has let go of what moved away from it.
pub(crate) const LEASE_MS: i64 = 10 * 60_000;

#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) automations: BTreeMap<AutomationId, Entry>,
    pub(crate) hosts: [HostEntry; 2],
    tombstones: BTreeMap<(usize, AutomationId), u64>,
    pub(crate) runs: BTreeMap<RunId, (usize, Run)>,
    pub(crate) logs: BTreeMap<RunId, LogEntry>,
    pub(crate) open: BTreeMap<CommandId, Open>,
    /// Ends of runs that were asked for and not answered, with the run's host.
    pub(crate) cancels: BTreeMap<CommandId, (usize, RunCancel)>,
    /// Events never taken, as the catalog keeps them: host, number, what it is about.
    pub(crate) refused: Vec<(usize, u64, Event)>,
    /// Runs that went on after their end had been told.
    pub(crate) revived: Vec<RunId>,
    /// Automations that were ever handed over from one host to another.
    pub(crate) let_go: BTreeSet<AutomationId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) spec: AutomationSpec,
    pub(crate) host: usize,
    pub(crate) host_revision: u64,
    pub(crate) moving: Option<(usize, u64)>,
    pub(crate) status: Option<AutomationStatus>,
    pub(crate) deleted: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct HostEntry {
    pub(crate) desired: u64,
    pub(crate) applied: u64,
    pub(crate) event_seq: u64,
    pub(crate) lives: Vec<Life>,
    pub(crate) last_seen: UtcMillis,
}

#[derive(Debug)]
pub(crate) struct LogEntry {
    pub(crate) host: usize,
    pub(crate) bytes: Vec<u8>,
    pub(crate) whole: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) host: usize,
    pub(crate) start: RunStart,
}

/// What to answer to a batch of events.
pub(crate) struct Stored {
    pub(crate) acked: u64,
    pub(crate) gap: bool,
    pub(crate) refused: Vec<(u64, String)>,
}

impl Catalog {
    pub(crate) fn create(&mut self, spec: AutomationSpec, host: usize) {
        let entry = Entry {
            host,
            host_revision: self.next_revision(host),
            moving: None,
            status: None,
            deleted: false,
            spec,
        };
        self.automations.insert(entry.spec.id, entry);
    }

    /// Writes a changed automation; a changed host is told to let go first.
    pub(crate) fn change(&mut self, mut spec: AutomationSpec, new: usize, now: UtcMillis) {
        let id = spec.id;
        let before = self.automations[&id].clone();
        if new != before.host && before.moving.is_none() {
            spec.plan_after = open_since(&before, now);
        }
        spec.revision = before.spec.revision + 1;
        let mut moving = before.moving;
        if new != before.host {
            let told = self.next_revision(before.host);
            self.tombstones.insert((before.host, id), told);
            self.tombstones.remove(&(new, id));
            moving = match before.moving {
                Some((holder, _)) if holder == new => None,
                Some(held) => Some(held),
                None => Some((before.host, told)),
            };
        }
        let entry = Entry {
            host: new,
            host_revision: self.next_revision(new),
            moving,
            spec,
            ..before
        };
        self.automations.insert(id, entry);
    }

    pub(crate) fn delete(&mut self, id: AutomationId, now: UtcMillis) {
        let host = self.automations[&id].host;
        let told = self.next_revision(host);
        self.tombstones.insert((host, id), told);
        if let Some(entry) = self.automations.get_mut(&id) {
            entry.deleted = true;
            entry.spec.enabled = false;
            entry.spec.revision += 1;
        }
        let undelivered: Vec<_> = self
            .open
            .iter()
            .filter(|(_, open)| open.host == host && open.start.automation_id == id)
            .map(|(command, open)| (*command, open.start.run_id))
            .collect();
        for (command, run) in undelivered {
            self.open.remove(&command);
            if let Some((_, run)) = self.runs.get_mut(&run)
                && !run.state.is_final()
            {
                run.state = RunState::Skipped {
                    reason: SkipReason::Deleted,
                    at: now,
                    count: 1,
                    until: None,
                    why: None,
                };
            }
        }
    }

    /// Asks for a run now; it is sent when its host can take it.
    pub(crate) fn ask_for_run(
        &mut self,
        id: AutomationId,
        (command, run_id): (CommandId, RunId),
        now: UtcMillis,
    ) {
        let entry = &self.automations[&id];
        let (host, spec) = (entry.host, &entry.spec);
        let run = Run {
            id: run_id,
            automation_id: id,
            attempt: 1,
            trigger: Trigger::Manual,
            scheduled_for: now,
            rule_revision: spec.revision,
            prompt_version: spec.prompt_version,
            agent: spec.agent.clone(),
            queued_at: now,
            workspace_id: None,
            branch: None,
            preparing_at: None,
            state: RunState::Queued,
        };
        let start = RunStart {
            run_id,
            automation_id: id,
            requested_at: now,
            by: None,
        };
        self.runs.insert(run_id, (host, run));
        self.open.insert(command, Open { host, start });
    }

    /// Asks for a run's end.
    pub(crate) fn ask_to_cancel(&mut self, command: CommandId, run_id: RunId) {
        let host = self.runs[&run_id].0;
        let requested_by = "ada".to_owned();
        let cancel = RunCancel {
            run_id,
            requested_by,
            by: None,
        };
        self.cancels.insert(command, (host, cancel));
    }

    pub(crate) fn next_revision(&mut self, host: usize) -> u64 {
        self.hosts[host].desired += 1;
        self.hosts[host].desired
    }

    pub(crate) fn seen(&mut self, host: usize, now: UtcMillis) {
        self.hosts[host].last_seen = now;
    }

    /// Events of a host, in order.
    pub(crate) fn events(&mut self, host: usize, prev: u64, items: &[EventItem]) -> Stored {
        let mut stored = Stored {
            acked: self.hosts[host].event_seq,
            gap: prev > self.hosts[host].event_seq,
            refused: Vec::new(),
        };
        if stored.gap {
            return stored;
        }
        for item in items.iter().filter(|item| item.seq > stored.acked) {
            let event: Event = serde_json::from_value(item.event.clone()).unwrap();
            if !self.apply(host, event.clone()) {
                let reason = "it is about something that is not this host's".to_owned();
                self.refused.push((host, item.seq, event));
                stored.refused.push((item.seq, reason));
            }
        }
        stored.acked = items.last().map_or(stored.acked, |item| item.seq);
        self.hosts[host].event_seq = stored.acked;
        stored
    }

    fn apply(&mut self, host: usize, event: Event) -> bool {
        match event {
            Event::RunChanged(run) => {
                let skipped = |run: &Run| matches!(run.state, RunState::Skipped { .. });
                let known = self.runs.get(&run.id).filter(|(of, _)| *of != host);
                if known.is_some_and(|(_, known)| !skipped(known) || skipped(&run)) {
                    return false;
                }
                if known.is_none() && forgotten(&run) && self.ended_before(run.id) {
                    return true;
                }
                self.open.retain(|_, open| open.start.run_id != run.id);
                // A run asked for just before its automation is deleted is taken for one that its
                // host was never told of; what the host then tells puts that right.
                let ended = |known: &Run| matches!(known.state, RunState::Finished(_));
                let known = self.runs.get(&run.id).filter(|(of, _)| *of == host);
                if known.is_some_and(|(_, known)| ended(known)) && !run.state.is_final() {
                    self.revived.push(run.id);
                }
                self.runs.insert(run.id, (host, *run));
            }
            Event::AutomationChanged(status) => self.set_status(host, status),
            Event::HostChanged(_)
            | Event::ProjectChanged(_)
            | Event::ProjectRemoved { .. }
            | Event::WorkspaceChanged(_)
            | Event::WorkspaceRemoved { .. } => {}
        }
        true
    }

    fn set_status(&mut self, host: usize, status: AutomationStatus) {
        let entry = self.automations.get_mut(&status.id);
        let current =
            |entry: &&mut Entry| entry.host == host && entry.spec.revision == status.revision;
        if let Some(entry) = entry.filter(current) {
            if matches!(status.stopped, Some(StopReason::Failures { .. })) {
                entry.spec.enabled = false;
            }
            entry.status = Some(status);
        }
    }

    pub(crate) fn log_bytes(&mut self, host: usize, frame: &LogFrame) -> LogAck {
        let end = frame.offset + frame.bytes.len() as u64;
        let Some(log) = self.own_log(host, frame.run_id) else {
            return not_its_log(frame.run_id, end);
        };
        let have = log.bytes.len() as u64;
        if !log.whole && frame.offset <= have && end > have {
            let known = usize::try_from(have - frame.offset).unwrap();
            log.bytes.extend_from_slice(&frame.bytes[known..]);
        }
        log.ack(frame.run_id)
    }

    pub(crate) fn log_final(&mut self, host: usize, last: &LogFinal) -> LogAck {
        let Some(log) = self.own_log(host, last.run_id) else {
            return not_its_log(last.run_id, last.size);
        };
        let have = log.bytes.len() as u64;
        if !log.whole && have >= last.size {
            if have == last.size && crc32fast::hash(&log.bytes) == last.crc32 {
                log.whole = true;
            } else {
                log.bytes.clear();
            }
        }
        log.ack(last.run_id)
    }

    fn own_log(&mut self, host: usize, run: RunId) -> Option<&mut LogEntry> {
        if self.runs.get(&run).is_some_and(|(of, _)| *of != host) {
            return None;
        }
        let log = self.logs.entry(run).or_insert(LogEntry {
            host,
            bytes: Vec::new(),
            whole: false,
        });
        (log.host == host).then_some(log)
    }

    /// What a host should have, from a revision on, or all of it.
    pub(crate) fn desired(&self, host: usize, from: Option<u64>) -> Sync {
        let to = self.hosts[host].desired;
        let from = from.filter(|from| *from <= to);
        let since = from.unwrap_or(0);
        let of_host =
            |entry: &&Entry| entry.host == host && !entry.deleted && entry.moving.is_none();
        let all = self.automations.values().filter(of_host);
        let hash = desired_hash(
            all.clone()
                .map(|entry| (entry.spec.id, entry.spec.revision)),
        );
        let changed = all.filter(|entry| entry.host_revision > since);
        let buried = self.tombstones.iter();
        let buried = buried.filter(|((of, _), at)| *of == host && **at > since);
        Sync {
            from: since,
            to,
            upserts: changed.map(|entry| self.told(&entry.spec)).collect(),
            tombstones: match from {
                Some(_) => buried.map(|((_, id), _)| *id).collect(),
                None => Vec::new(),
            },
            full: from.is_none(),
            hash,
            more: false,
        }
    }

    /// An automation as hosts are told it.
    fn told(&self, spec: &AutomationSpec) -> AutomationSpec {
        let mut spec = spec.clone();
        if spec.policies.max_runs.is_some() {
            let begun = |run: &&Run| {
                let begun = !matches!(run.state, RunState::Queued | RunState::Skipped { .. });
                begun && run.trigger == Trigger::Schedule
            };
            spec.starts =
                u32::try_from(self.scheduled_runs(spec.id).filter(begun).count()).unwrap();
        }
        spec
    }

    fn ended_before(&self, run: RunId) -> bool {
        let known = self.runs.get(&run).map(|(_, known)| known);
        known.is_some_and(|known| known.state.is_final() && !forgotten(known))
    }

    /// The host is at this revision of its desired state.
    pub(crate) fn applied(&mut self, host: usize, revision: u64) {
        self.hosts[host].applied = revision;
    }

    /// Lets automations start on their new host once the old one has let go and told what it did,
    /// or was away for longer than its lease. The answer: which did, and which of them by lease.
    pub(crate) fn release(
        &mut self,
        online: [bool; 2],
        now: UtcMillis,
    ) -> (Vec<AutomationId>, Vec<AutomationId>) {
        let away =
            [0, 1].map(|old| !online[old] && now.since(self.hosts[old].last_seen) > LEASE_MS);
        let moving = self.automations.values().filter(|entry| !entry.deleted);
        let moving: Vec<_> = moving
            .filter_map(|entry| Some((entry.spec.id, entry.moving?)))
            .collect();
        let (mut told, mut leased) = (Vec::new(), Vec::new());
        for (id, (old, revision)) in moving {
            if self.hosts[old].applied >= revision {
                told.push(id);
            } else if away[old] {
                leased.push(id);
            } else {
                continue;
            }
            self.hand_over(id, now);
        }
        (told, leased)
    }

    fn hand_over(&mut self, id: AutomationId, now: UtcMillis) {
        let known = self.accounted_until(id, now);
        let new = self.automations[&id].host;
        let host_revision = self.next_revision(new);
        if let Some(entry) = self.automations.get_mut(&id) {
            entry.moving = None;
            entry.spec.plan_after = known.unwrap_or_default().max(entry.spec.plan_after);
            entry.host_revision = host_revision;
        }
        self.let_go.insert(id);
    }

    /// Until when the instants of an automation are known to have run or to have been recorded.
    pub(crate) fn accounted_until(&self, id: AutomationId, now: UtcMillis) -> Option<UtcMillis> {
        let until_now = self
            .scheduled_runs(id)
            .filter(|run| run.scheduled_for <= now);
        let newest = until_now.max_by_key(|run| run.scheduled_for)?;
        Some(last_instant(newest).min(now))
    }

    /// Runs and skips of an automation's own schedule.
    pub(crate) fn scheduled_runs(&self, id: AutomationId) -> impl Iterator<Item = &Run> {
        let runs = self.runs.values().map(|(_, run)| run);
        runs.filter(move |run| run.automation_id == id && run.trigger != Trigger::Manual)
    }

    /// Commands that may go now: a run only after its automation is where it is to run.
    pub(crate) fn ready(&self, host: usize) -> Vec<(CommandId, Command)> {
        let applied = self.hosts[host].applied;
        let later = |id: &AutomationId| {
            let entry = self.automations.get(id);
            entry.is_some_and(|entry| {
                entry.host == host && entry.host_revision > applied && !entry.deleted
            })
        };
        let open = self.open.iter().filter(|(_, open)| open.host == host);
        let starts = open.filter(|(_, open)| !later(&open.start.automation_id));
        let starts = starts.map(|(id, open)| (*id, Command::RunStart(open.start.clone())));
        let cancels = self.cancels.iter().filter(|(_, (of, _))| *of == host);
        let cancels = cancels.map(|(id, (_, cancel))| (*id, Command::RunCancel(cancel.clone())));
        starts.chain(cancels).collect()
    }

    /// Writes down what an answer means; one that says nothing for good leaves the command open.
    pub(crate) fn settle(
        &mut self,
        id: CommandId,
        answer: &Result<Reply, Failure>,
        now: UtcMillis,
    ) {
        if answer
            .as_ref()
            .is_err_and(|failure| failure.code.retryable())
        {
            return;
        }
        self.cancels.remove(&id);
        let Some(open) = self.open.remove(&id) else {
            return;
        };
        if answer.is_err()
            && let Some((_, run)) = self.runs.get_mut(&open.start.run_id)
            && !run.state.is_final()
        {
            run.state = over(RunResult::Failed, now);
        }
    }
}

impl LogEntry {
    fn ack(&self, run_id: RunId) -> LogAck {
        LogAck {
            run_id,
            offset: self.bytes.len() as u64,
            complete: self.whole,
        }
    }
}

/// Whether this is what a host says of a run that it knows nothing of any more.
pub(crate) fn forgotten(run: &Run) -> bool {
    match &run.state {
        RunState::Finished(finished) => finished.result == RunResult::Lost,
        RunState::Skipped { .. } => true,
        RunState::Queued | RunState::Preparing { .. } | RunState::Running { .. } => false,
    }
}

/// Since when nobody has seen to an automation's instants, as far as its host has told.
fn open_since(entry: &Entry, now: UtcMillis) -> UtcMillis {
    let told = entry.status.as_ref();
    match told.filter(|told| told.revision == entry.spec.revision) {
        Some(told) => told
            .next_run_at
            .map_or(now, |next| next.plus_ms(-1).min(now)),
        None => entry.spec.plan_after,
    }
}

/// The last instant a record stands for.
pub(crate) fn last_instant(run: &Run) -> UtcMillis {
    match run.state {
        RunState::Skipped { until, .. } => until.unwrap_or(run.scheduled_for),
        RunState::Queued
        | RunState::Preparing { .. }
        | RunState::Running { .. }
        | RunState::Finished(_) => run.scheduled_for,
    }
}

/// A log that will never be taken is not asked for again.
fn not_its_log(run_id: RunId, offset: u64) -> LogAck {
    LogAck {
        run_id,
        offset,
        complete: true,
    }
}

pub(crate) fn over(result: RunResult, now: UtcMillis) -> RunState {
    RunState::Finished(Box::new(Finished {
        result,
        started_at: None,
        finished_at: now,
        reason: None,
        exit_code: None,
        signal: None,
        outcome: Outcome::default(),
        log_bytes: 0,
    }))
}
