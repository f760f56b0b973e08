//! A control plane that remembers what it stored: desired automations, events by number, logs by
//! offset. A restart loses its session only.

use std::collections::BTreeMap;

use hostler_proto::automation::AutomationSpec;
use hostler_proto::automation::AutomationStatus;
use hostler_proto::command::{Command, Reply};
use hostler_proto::error::Failure;
use hostler_proto::event::Event;
use hostler_proto::frame::payload::{Acks, Hello, LogAck, Sync as DesiredStep};
use hostler_proto::ids::{AutomationId, CommandId, RunId};
use hostler_proto::link::control::{Accepted, ControlConfig, ControlEvent, ControlSession};
use hostler_proto::link::{Now, Outgoing, desired_hash, proof};
use hostler_proto::run::Run;
use uuid::Uuid;

pub(crate) const SERVER: Uuid = Uuid::from_u128(77);

#[derive(Default)]
pub(crate) struct Plane {
    pub(crate) session: Option<ControlSession>,
    pub(crate) wanted: BTreeMap<AutomationId, AutomationSpec>,
    /// What changed with each revision: the automation, as wanted then.
    changes: Vec<AutomationId>,
    /// The revision the host is known to have.
    host_has: Option<u64>,
    seq: u64,
    pub(crate) runs: BTreeMap<RunId, Run>,
    pub(crate) statuses: BTreeMap<AutomationId, AutomationStatus>,
    pub(crate) logs: BTreeMap<RunId, (Vec<u8>, bool)>,
    /// Requests without an answer: they are sent again under the same id.
    pub(crate) open: BTreeMap<CommandId, Command>,
    pub(crate) answers: BTreeMap<CommandId, Result<Reply, Failure>>,
    epoch: u64,
}

impl Plane {
    pub(crate) fn revision(&self) -> u64 {
        self.changes.len() as u64
    }

    pub(crate) fn want(&mut self, spec: AutomationSpec) {
        self.changes.push(spec.id);
        self.wanted.insert(spec.id, spec);
    }

    pub(crate) fn unwant(&mut self, id: AutomationId) {
        self.changes.push(id);
        self.wanted.remove(&id);
    }

    pub(crate) fn accept_socket(&mut self, seed: u64, now: Now) {
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&seed.to_le_bytes());
        self.session = Some(ControlSession::new(
            &ControlConfig {
                server_id: SERVER,
                nonce,
                seed,
            },
            now,
        ));
        self.host_has = None;
    }

    /// Does what the session asks for, and collects what it has to send.
    pub(crate) fn pump(&mut self, now: Now) -> Vec<Outgoing> {
        let mut out = Vec::new();
        let Some(mut session) = self.session.take() else {
            return out;
        };
        while let Some(event) = session.poll_event() {
            if let ControlEvent::Ended(_) = event {
                return out;
            }
            self.happened(&mut session, event, now);
        }
        if session.is_live() {
            self.ask(&mut session, now);
        }
        while let Some(frame) = session.poll_transmit() {
            out.push(frame);
        }
        self.session = Some(session);
        out
    }

    fn happened(&mut self, session: &mut ControlSession, event: ControlEvent, now: Now) {
        match event {
            ControlEvent::Hello(hello) => self.hello(session, &hello, now),
            ControlEvent::Reply { id, result, .. } => self.answered(id, &result),
            ControlEvent::SyncAcked(ack) => {
                assert_eq!(
                    ack.hash,
                    self.hash_at(ack.revision).unwrap_or(ack.hash.clone())
                );
                self.host_has = Some(ack.revision);
            }
            ControlEvent::SyncWanted(_) => session.sync(self.whole()),
            ControlEvent::Events { prev, items } => {
                assert!(prev <= self.seq, "events after {} are missing", self.seq);
                for item in items {
                    if item.seq <= self.seq {
                        continue;
                    }
                    self.seq = item.seq;
                    self.learn(serde_json::from_value(item.event).unwrap());
                }
                session.events_stored(self.seq, vec![]);
            }
            ControlEvent::Log(frame) => {
                let (log, complete) = self.logs.entry(frame.run_id).or_default();
                let have = log.len() as u64;
                if frame.offset <= have && !*complete {
                    let known = usize::try_from(have - frame.offset).unwrap();
                    log.extend(frame.bytes.iter().skip(known));
                }
                session.log_stored(frame.run_id, log.len() as u64, *complete);
            }
            ControlEvent::LogFinal(end) => {
                let (log, complete) = self.logs.entry(end.run_id).or_default();
                if log.len() as u64 == end.size && crc32fast::hash(log) == end.crc32 {
                    *complete = true;
                    session.log_stored(end.run_id, end.size, true);
                } else {
                    session.log_resend(end.run_id, 0);
                    log.clear();
                }
            }
            ControlEvent::Heartbeat { .. }
            | ControlEvent::Progress { .. }
            | ControlEvent::Expired(_)
            | ControlEvent::Probed(_)
            | ControlEvent::Noticed(_)
            | ControlEvent::Ended(_) => {}
        }
    }

    fn hello(&mut self, session: &mut ControlSession, hello: &Hello, now: Now) {
        let key = proof::HostKey::from_bytes(&[7; 32]).public_hex();
        assert!(proof::verify_hello(&key, session.challenge(), hello));
        self.epoch += 1;
        let logs = hello.runs.iter().filter_map(|mark| {
            let (log, complete) = self.logs.get(&mark.run_id)?;
            Some(LogAck {
                run_id: mark.run_id,
                offset: log.len() as u64,
                complete: *complete,
            })
        });
        let accepted = Accepted {
            session: Uuid::from_u128(u128::from(self.epoch)),
            epoch: self.epoch,
            desired_revision: self.revision(),
            acks: Acks {
                seq: self.seq,
                logs: logs.collect(),
            },
        };
        session.accept(accepted, now);
        self.host_has = Some(hello.applied_revision);
    }

    /// Sends what the host does not have, and unanswered requests again.
    fn ask(&mut self, session: &mut ControlSession, now: Now) {
        let revision = self.revision();
        if let Some(has) = self.host_has.take_if(|has| *has != revision) {
            session.sync(self.step(has));
        }
        for (id, command) in &self.open {
            session.call(*id, command.clone(), 30_000, now);
        }
    }

    fn step(&self, from: u64) -> DesiredStep {
        let Some(changed) = self.changes.get(usize::try_from(from).unwrap()..) else {
            return self.whole();
        };
        let (upserts, gone): (Vec<AutomationId>, Vec<AutomationId>) =
            changed.iter().partition(|id| self.wanted.contains_key(id));
        DesiredStep {
            from,
            full: false,
            upserts: upserts.iter().map(|id| self.wanted[id].clone()).collect(),
            tombstones: gone,
            ..self.whole()
        }
    }

    fn whole(&self) -> DesiredStep {
        DesiredStep {
            from: 0,
            to: self.revision(),
            upserts: self.wanted.values().cloned().collect(),
            tombstones: vec![],
            full: true,
            hash: self.hash(),
            more: false,
        }
    }

    pub(crate) fn hash(&self) -> String {
        desired_hash(self.wanted.values().map(|spec| (spec.id, spec.revision)))
    }

    fn hash_at(&self, revision: u64) -> Option<String> {
        (revision == self.revision()).then(|| self.hash())
    }

    fn answered(&mut self, id: CommandId, result: &Result<Reply, Failure>) {
        self.open.remove(&id);
        if let Some(before) = self.answers.insert(id, result.clone()) {
            assert_eq!(before, *result, "the same request was answered in two ways");
        }
    }

    fn learn(&mut self, event: Event) {
        match event {
            Event::RunChanged(run) => {
                if let Some(before) = self.runs.get(&run.id) {
                    assert!(
                        !before.state.is_final(),
                        "run {} changed after its end",
                        run.id
                    );
                }
                self.runs.insert(run.id, *run);
            }
            Event::AutomationChanged(status) => {
                self.statuses.insert(status.id, status);
            }
            Event::HostChanged(_)
            | Event::ProjectChanged(_)
            | Event::ProjectRemoved { .. }
            | Event::WorkspaceChanged(_)
            | Event::WorkspaceRemoved { .. } => {}
        }
    }
}
