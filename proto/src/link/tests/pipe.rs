//! Both sessions over a pipe that cuts anywhere, with databases that keep only what was committed:
//! random traffic, cuts, crashes of either end, half-open sockets that go on delivering beside
//! their successors, repeated requests. Whatever happened, in the end every event was applied once
//! and in order, every log is exact, every request was carried out once and answered, and the
//! desired state arrived. A failure prints its seed.

mod catalog;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use crate::command::{Command, Reply, RunStart};
use crate::frame::log::LogFrame;
use crate::frame::payload::{EventItem, LogAck, LogFinal, RunMark, Sync, SyncAck, SyncWanted};
use crate::ids::AutomationId;
use crate::link::host::{LogState, SyncOutcome, Want};
use crate::link::{Chance, desired_hash};

/// What the host's disk holds.
#[derive(Default)]
struct HostDisk {
    outbox: BTreeMap<u64, String>,
    last_seq: u64,
    spools: BTreeMap<RunId, (Vec<u8>, bool)>,
    delivered: BTreeSet<RunId>,
    replies: BTreeMap<CommandId, u64>,
    carried_out: u64,
    revision: u64,
    automations: BTreeMap<AutomationId, u64>,
}

/// What the control plane's disk holds.
#[derive(Default)]
struct Catalog {
    applied: Vec<u64>,
    logs: BTreeMap<RunId, (Vec<u8>, bool)>,
    asked: BTreeMap<CommandId, Option<RunId>>,
    revision: u64,
    automations: BTreeMap<AutomationId, u64>,
}

/// One socket: both sessions and what is between them.
struct Socket {
    host: HostSession,
    control: ControlSession,
    to_host: VecDeque<Outgoing>,
    to_control: VecDeque<Outgoing>,
    /// The host has given it up; the control plane may still read what was sent.
    host_gone: bool,
    answered: BTreeSet<CommandId>,
}

struct World {
    chance: Chance,
    ms: u64,
    disk: HostDisk,
    catalog: Catalog,
    sockets: Vec<Socket>,
    in_flight: BTreeSet<CommandId>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            chance: Chance(seed),
            ms: 0,
            disk: HostDisk::default(),
            catalog: Catalog::default(),
            sockets: vec![],
            in_flight: BTreeSet::new(),
        }
    }

    fn now(&self) -> Now {
        at(self.ms)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.chance.below(n) == 0
    }

    fn step(&mut self) {
        self.ms += self.chance.below(60);
        match self.chance.below(16) {
            0 => self.new_event(),
            1 | 2 => self.new_log_bytes(),
            3 => self.new_request(),
            4 => self.new_desired(),
            5 => self.carry_out(),
            6 if self.one_in(4) => self.cut(),
            7 if self.one_in(6) => self.reconnect_beside(),
            8 if self.one_in(12) => self.daemon_restarts(),
            _ => {}
        }
        if self.sockets.iter().all(|socket| socket.host_gone) {
            self.connect();
        }
        for at in 0..self.sockets.len() {
            self.tick(at);
        }
        self.sockets
            .retain(|socket| !(socket.host_gone && socket.to_control.is_empty()));
    }

    fn new_event(&mut self) {
        self.disk.last_seq += 1;
        let seq = self.disk.last_seq;
        self.disk.outbox.insert(seq, format!(r#"{{"n":{seq}}}"#));
        for socket in &mut self.sockets {
            socket.host.outbox_changed();
        }
    }

    fn new_log_bytes(&mut self) {
        let run = run(u128::from(self.chance.below(4)));
        let (len, word) = (self.chance.below(90_000), self.chance.next());
        let over = self.one_in(8);
        let spool = self.disk.spools.entry(run).or_default();
        if !spool.1 {
            spool.0.extend(
                word.to_le_bytes()
                    .into_iter()
                    .cycle()
                    .take(usize::try_from(len).unwrap()),
            );
            spool.1 = over;
        }
        self.tell_logs();
    }

    fn tell_logs(&mut self) {
        let states = self.log_states();
        for socket in &mut self.sockets {
            socket.host.logs_changed(&states);
        }
    }

    fn log_states(&self) -> Vec<LogState> {
        self.disk
            .spools
            .iter()
            .filter(|(run, _)| !self.disk.delivered.contains(run))
            .map(|(run_id, (bytes, over))| LogState {
                run_id: *run_id,
                end: bytes.len() as u64,
                acked: 0,
                finished: over.then(|| (bytes.len() as u64, crc32fast::hash(bytes))),
            })
            .collect()
    }

    fn new_request(&mut self) {
        let id = command_id(u128::from(self.chance.next()));
        self.catalog.asked.insert(id, None);
        self.ask_again();
    }

    /// What is not answered is asked on every live socket, and asked again.
    fn ask_again(&mut self) {
        let now = self.now();
        let open: Vec<_> = self
            .catalog
            .asked
            .iter()
            .filter(|(_, answer)| answer.is_none())
            .map(|(id, _)| *id)
            .collect();
        for socket in &mut self.sockets {
            for id in &open {
                socket.control.call(*id, request(*id), 2_000, now);
            }
        }
    }

    fn new_desired(&mut self) {
        let id = AutomationId(Uuid::from_u128(u128::from(self.chance.below(5))));
        self.catalog.revision += 1;
        let revision = self.catalog.revision;
        if self.one_in(3) {
            self.catalog.automations.remove(&id);
        } else {
            self.catalog.automations.insert(id, revision);
        }
        self.push_desired();
    }

    fn push_desired(&mut self) {
        let step = Sync {
            to: self.catalog.revision,
            full: true,
            upserts: vec![],
            // The pipe carries revisions only: ids stand in for whole records.
            tombstones: self.catalog.automations.keys().copied().collect(),
            hash: desired_hash(self.catalog.automations.iter().map(|(id, rev)| (*id, *rev))),
            from: 0,
            more: false,
        };
        for socket in &mut self.sockets {
            socket.control.sync(step.clone());
        }
    }

    fn connect(&mut self) {
        let now = self.now();
        let facts = HelloFacts {
            applied_revision: self.disk.revision,
            next_seq: self.disk.last_seq + 1,
            runs: self
                .log_states()
                .iter()
                .map(|state| RunMark {
                    run_id: state.run_id,
                    state: "running".into(),
                    log_end: state.end,
                })
                .collect(),
            ..HelloFacts::default()
        };
        let (a, b) = (self.chance.next(), self.chance.next());
        self.sockets.push(Socket {
            host: host_session(facts, a, now),
            control: control_session(b, now),
            to_host: VecDeque::new(),
            to_control: VecDeque::new(),
            host_gone: false,
            answered: BTreeSet::new(),
        });
    }

    /// The socket breaks: what was on its way is lost from some frame on, in both directions.
    fn cut(&mut self) {
        if let Some(mut socket) = self.sockets.pop() {
            socket.host_gone = true;
            let keep = self.chance.below(socket.to_control.len() as u64 + 1);
            socket.to_control.truncate(usize::try_from(keep).unwrap());
            self.sockets.push(socket);
        }
    }

    /// The host connects anew while the control plane still reads the old socket.
    fn reconnect_beside(&mut self) {
        for socket in &mut self.sockets {
            socket.host_gone = true;
        }
        self.connect();
    }

    fn daemon_restarts(&mut self) {
        self.in_flight.clear();
        self.reconnect_beside();
    }

    fn tick(&mut self, at: usize) {
        let now = self.now();
        if !self.sockets[at].host_gone {
            self.sockets[at].host.handle_timeout(now);
            self.host_side(at);
            for _ in 0..self.chance.below(4) {
                match self.sockets[at].to_host.pop_front() {
                    Some(Outgoing::Text(text)) => self.sockets[at].host.handle_text(&text, now),
                    Some(Outgoing::Close { .. }) => self.sockets[at].host_gone = true,
                    Some(Outgoing::Binary(_)) => panic!("no binary frames to hosts"),
                    None => break,
                }
                self.host_side(at);
            }
        }
        self.sockets[at].control.handle_timeout(now);
        for _ in 0..self.chance.below(4) {
            match self.sockets[at].to_control.pop_front() {
                Some(Outgoing::Text(text)) => self.sockets[at].control.handle_text(&text, now),
                Some(Outgoing::Binary(bytes)) => {
                    self.sockets[at].control.handle_binary(&bytes, now);
                }
                Some(Outgoing::Close { code, reason }) => {
                    self.sockets[at].control.handle_close(code, &reason);
                }
                None => break,
            }
            self.control_side(at);
        }
        self.control_side(at);
    }

    fn host_side(&mut self, at: usize) {
        while let Some(event) = self.sockets[at].host.poll_event() {
            self.host_event(at, event);
        }
        let now = self.now();
        while let Some(out) = self.sockets[at].host.poll_transmit() {
            self.sockets[at].to_control.push_back(out);
        }
        for _ in 0..self.chance.below(6) {
            let Some(want) = self.sockets[at].host.poll_want(now) else {
                break;
            };
            let host = &mut self.sockets[at].host;
            match want {
                Want::Events { after, limit } => host.supply_events(
                    self.disk
                        .outbox
                        .range(after + 1..)
                        .take(limit as usize)
                        .map(|(seq, json)| (*seq, json.clone()))
                        .collect(),
                ),
                Want::Log {
                    run_id,
                    offset,
                    max,
                } => {
                    let spool = &self.disk.spools[&run_id].0;
                    let from = usize::try_from(offset).unwrap();
                    let to = spool.len().min(from + max);
                    host.supply_log(run_id, offset, spool[from..to].to_vec(), vec![], now);
                }
            }
            while let Some(out) = self.sockets[at].host.poll_transmit() {
                self.sockets[at].to_control.push_back(out);
            }
        }
    }

    fn host_event(&mut self, at: usize, event: HostEvent) {
        match event {
            HostEvent::Welcome(_) => {
                let states = self.log_states();
                self.sockets[at].host.logs_changed(&states);
            }
            HostEvent::Command { id, .. } => {
                assert!(
                    self.sockets[at].answered.insert(id),
                    "{id} was asked twice on one socket"
                );
                if self.disk.replies.contains_key(&id) {
                    self.sockets[at].host.reply(id, Ok(answer(id)));
                } else {
                    self.in_flight.insert(id);
                }
                self.sockets[at].answered.remove(&id);
            }
            HostEvent::Sync(step) => {
                let outcome = self.apply(&step);
                self.sockets[at].host.sync_done(outcome);
            }
            HostEvent::EventsAcked(seq) => self.disk.outbox.retain(|at, _| *at > seq),
            HostEvent::LogAcked(ack) => {
                let spool = &self.disk.spools[&ack.run_id];
                assert!(ack.offset <= spool.0.len() as u64);
                if ack.complete {
                    assert!(spool.1);
                    self.disk.delivered.insert(ack.run_id);
                }
            }
            HostEvent::Ended(_) => self.sockets[at].host_gone = true,
            HostEvent::EventRefused { .. } | HostEvent::LogStuck(_) | HostEvent::Noticed(_) => {
                panic!("{event:?}")
            }
        }
    }

    fn apply(&mut self, step: &Sync) -> SyncOutcome {
        if step.to < self.disk.revision {
            // An old socket's step after a newer one.
            return SyncOutcome::Wanted(SyncWanted {
                have: self.disk.revision,
                reason: "older".into(),
            });
        }
        self.disk.revision = step.to;
        self.disk.automations = step.tombstones.iter().map(|id| (*id, step.to)).collect();
        SyncOutcome::Applied(SyncAck {
            revision: step.to,
            hash: step.hash.clone(),
            next_seq: None,
        })
    }

    /// A request under way is carried out: effect and reply in one commit, then the answer.
    fn carry_out(&mut self) {
        let Some(id) = self.in_flight.pop_first() else {
            return;
        };
        if self
            .disk
            .replies
            .insert(id, self.disk.carried_out)
            .is_none()
        {
            self.disk.carried_out += 1;
        }
        for socket in self.sockets.iter_mut().filter(|socket| !socket.host_gone) {
            socket.host.reply(id, Ok(answer(id)));
        }
    }

    fn control_side(&mut self, at: usize) {
        while let Some(event) = self.sockets[at].control.poll_event() {
            self.control_event(at, event);
        }
        while let Some(out) = self.sockets[at].control.poll_transmit() {
            self.sockets[at].to_host.push_back(out);
        }
    }

    fn control_event(&mut self, at: usize, event: ControlEvent) {
        match event {
            ControlEvent::Hello(hello) => self.welcome(at, &hello),
            ControlEvent::Reply { id, result, .. } => {
                let Ok(Reply::RunStarted { run_id }) = result else {
                    panic!("{result:?}");
                };
                let known = self
                    .catalog
                    .asked
                    .get_mut(&id)
                    .expect("an answer to nothing");
                assert!(known.is_none_or(|before| before == run_id));
                *known = Some(run_id);
            }
            ControlEvent::Expired(_) => self.ask_again(),
            ControlEvent::Events { prev, items } => self.store_events(at, prev, &items),
            ControlEvent::Log(frame) => self.store_log(at, &frame),
            ControlEvent::LogFinal(last) => self.finish_log(at, last),
            ControlEvent::Heartbeat { .. }
            | ControlEvent::Progress { .. }
            | ControlEvent::SyncAcked(_)
            | ControlEvent::SyncWanted(_)
            | ControlEvent::Probed(_)
            | ControlEvent::Ended(_) => {}
            ControlEvent::Noticed(what) => panic!("{what}"),
        }
    }

    /// No more faults: whatever is left arrives.
    fn settle(&mut self) {
        let open: Vec<_> = self.disk.spools.keys().copied().collect();
        for run in open {
            self.disk.spools.get_mut(&run).unwrap().1 = true;
        }
        self.reconnect_beside();
        self.tell_logs();
        for _ in 0..20_000 {
            self.ms += 20;
            self.carry_out();
            if self.sockets.iter().all(|socket| socket.host_gone) {
                self.connect();
            }
            for at in 0..self.sockets.len() {
                self.tick(at);
            }
            self.sockets
                .retain(|socket| !(socket.host_gone && socket.to_control.is_empty()));
            if self.settled() {
                return;
            }
        }
        panic!("not settled: {}", self.what_is_left());
    }

    fn settled(&self) -> bool {
        self.disk.outbox.is_empty()
            && self.catalog.asked.values().all(Option::is_some)
            && self.disk.revision == self.catalog.revision
            && self
                .disk
                .spools
                .keys()
                .all(|run| self.disk.delivered.contains(run))
    }

    fn what_is_left(&self) -> String {
        format!(
            "{} events, {} of {} requests, revision {} of {}, logs {:?} of {:?}",
            self.disk.outbox.len(),
            self.catalog
                .asked
                .values()
                .filter(|answer| answer.is_none())
                .count(),
            self.catalog.asked.len(),
            self.disk.revision,
            self.catalog.revision,
            self.disk.delivered,
            self.disk.spools.keys()
        )
    }

    fn check(&self) {
        let all: Vec<u64> = (1..=self.disk.last_seq).collect();
        assert_eq!(
            self.catalog.applied, all,
            "events applied once and in order"
        );
        for (run, (bytes, _)) in &self.disk.spools {
            let stored = &self.catalog.logs[run];
            assert!(stored.1 && stored.0 == *bytes, "log {run} is exact");
        }
        assert_eq!(self.disk.carried_out, self.disk.replies.len() as u64);
        for (id, answer) in &self.catalog.asked {
            assert_eq!(*answer, Some(RunId(id.0)), "{id} was answered");
            assert!(self.disk.replies.contains_key(id));
        }
        let wanted: Vec<_> = self.catalog.automations.keys().collect();
        assert_eq!(self.disk.automations.keys().collect::<Vec<_>>(), wanted);
    }
}

fn request(id: CommandId) -> Command {
    Command::RunStart(RunStart {
        run_id: RunId(id.0),
        automation_id: AutomationId(Uuid::nil()),
        requested_at: UtcMillis(0),
        by: None,
    })
}

fn answer(id: CommandId) -> Reply {
    Reply::RunStarted {
        run_id: RunId(id.0),
    }
}

#[test]
fn nothing_is_lost_or_doubled_over_a_pipe_that_cuts_anywhere() {
    let from: u64 = std::env::var("HOSTLER_SEED").map_or(0, |seed| seed.parse().unwrap());
    let count = if std::env::var_os("HOSTLER_SEED").is_some() {
        1
    } else {
        150
    };
    for seed in from..from + count {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..400 {
                world.step();
            }
            world.settle();
            world.check();
            assert!(!world.catalog.applied.is_empty() && !world.catalog.asked.is_empty());
        });
        assert!(outcome.is_ok(), "failed with HOSTLER_SEED={seed}");
    }
}
