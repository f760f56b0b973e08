//! The control plane's end of one host's socket, without the socket: challenges, hands the hello to
//! its caller to judge, carries requests with deadlines, pushes desired state, takes events and log
//! bytes in order and acknowledges what the caller has stored.
//!
//! Events and log bytes come out of [`ControlSession::poll_event`] each once and in order; the
//! caller stores them and says so (`events_stored`, `log_stored`). A request whose deadline passed
//! is given up, and its late answer is still told. It does not know which hosts exist.

use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

mod handle;

use handle::split;

use super::liveness::{DEAD_MS, HEARTBEAT_MS, Liveness};
use super::skew::Skew;
use super::{Chance, Now, Outgoing, Timeout, TimeoutReason, close, close_for, closing, text};
use crate::command::{Command, Progress, Reply};
use crate::error::{ErrorCode, Failure};
use crate::frame::log::LogFrame;
use crate::frame::payload::{
    Acks, Bye, Challenge, EventItem, EventMark, EventRefused, Events, Heartbeat, Hello, Limits,
    LogAck, LogFinal, LogResend, Reject, Slow, Sync, SyncAck, SyncWanted, Watch, Welcome,
    WireError,
};
use crate::frame::{Body, Envelope, FrameError, MAX_TEXT, MAX_TEXT_BEFORE_WELCOME, Message};
use crate::host::HostLoad;
use crate::ids::{CommandId, RunId};
use crate::version;

/// Time for hello to arrive, and for the caller to judge it.
const HANDSHAKE_MS: u64 = 10_000;
/// Time for a probed host to give any sign of life.
const PROBE_MS: u64 = 2_000;
/// Requests given up whose late answer is still awaited.
const MOST_LATE: usize = 256;
/// Bytes of one part of a step of desired state.
const SYNC_PART: usize = 128 << 10;

/// What a session needs to know at its start.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Which control plane this is.
    pub server_id: Uuid,
    /// Fresh random bytes for the challenge.
    pub nonce: [u8; 32],
    /// Chance for jitter.
    pub seed: u64,
}

/// What the caller decided about a host it takes.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Name of the session.
    pub session: Uuid,
    /// The host's new epoch.
    pub epoch: u64,
    /// Revision of the desired state held for it.
    pub desired_revision: u64,
    /// What is stored of it.
    pub acks: Acks,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlEvent {
    /// A host introduced itself: check the proof with [`ControlSession::challenge`], then
    /// [`ControlSession::accept`] or [`ControlSession::reject`].
    Hello(Box<Hello>),
    /// A heartbeat.
    Heartbeat {
        /// Its readings.
        load: Option<HostLoad>,
        /// How far its clock is ahead, milliseconds.
        skew_ms: i64,
    },
    /// The answer to a request.
    Reply {
        /// Which.
        id: CommandId,
        /// The answer.
        result: Result<Reply, Failure>,
        /// Whether its deadline had passed.
        late: bool,
    },
    /// How far a request is.
    Progress {
        /// Which.
        id: CommandId,
        /// How far.
        progress: Progress,
    },
    /// No answer within the deadline.
    Expired(CommandId),
    /// The host applied a step.
    SyncAcked(SyncAck),
    /// The host asks for the whole desired state.
    SyncWanted(SyncWanted),
    /// New events, in order: store them, then [`ControlSession::events_stored`].
    Events {
        /// The number before the first of them.
        prev: u64,
        /// The events.
        items: Vec<EventItem>,
    },
    /// Log bytes: store them, then [`ControlSession::log_stored`].
    Log(LogFrame),
    /// A finished log's size and checksum: compare, then [`ControlSession::log_stored`] with
    /// `complete`, or [`ControlSession::log_resend`].
    LogFinal(LogFinal),
    /// Whether a probed host gave a sign of life in time.
    Probed(bool),
    /// A frame could not be read or made no sense here; it was answered and changes nothing.
    Noticed(String),
    /// The session is over. Nothing else follows.
    Ended(String),
}

#[derive(Debug)]
enum Phase {
    /// Waiting for hello.
    Challenged { until: u64, sent_at: Now },
    /// The caller judges the hello.
    Judging { until: u64 },
    /// Taken.
    Live(Liveness),
    /// Over.
    Over,
}

/// One session of the control plane with one host. Drop it when it has ended.
#[derive(Debug)]
pub struct ControlSession {
    challenge: Challenge,
    chance: Chance,
    phase: Phase,
    skew: Skew,
    /// Sequence number up to which events were handed out.
    received: u64,
    /// A nack is on its way: not repeated until events connect again.
    nacked: bool,
    pending: BTreeMap<CommandId, u64>,
    given_up: VecDeque<CommandId>,
    /// Logs asked for again from an offset: what is beyond it is not looked at until that came.
    resending: BTreeMap<RunId, u64>,
    /// Awaiting a sign of life after this moment.
    probe: Option<u64>,
    out: VecDeque<Outgoing>,
    events: VecDeque<ControlEvent>,
}

impl ControlSession {
    /// A session on a socket just accepted; the challenge is ready to transmit.
    pub fn new(config: &ControlConfig, now: Now) -> Self {
        let challenge = Challenge {
            nonce: hex::encode(config.nonce),
            server_id: config.server_id,
            server_time: now.wall,
            versions: version::SUPPORTED,
        };
        let first = text(&Envelope::message(Message::Challenge(challenge.clone())));
        Self {
            challenge,
            chance: Chance(config.seed),
            phase: Phase::Challenged {
                until: now.ms + HANDSHAKE_MS,
                sent_at: now,
            },
            skew: Skew::default(),
            received: 0,
            nacked: false,
            pending: BTreeMap::new(),
            given_up: VecDeque::new(),
            resending: BTreeMap::new(),
            probe: None,
            out: VecDeque::from([first]),
            events: VecDeque::new(),
        }
    }

    /// The challenge this session sent, to check a proof against.
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// A text frame arrived.
    pub fn handle_text(&mut self, frame: &str, now: Now) {
        self.heard(now);
        let limit = if self.is_live() {
            MAX_TEXT
        } else {
            MAX_TEXT_BEFORE_WELCOME
        };
        match Envelope::decode(frame, limit) {
            Ok(envelope) => self.handle(envelope, now),
            Err(error) => self.unreadable(&error),
        }
    }

    /// A binary frame arrived.
    pub fn handle_binary(&mut self, frame: &[u8], now: Now) {
        self.heard(now);
        if !self.is_live() {
            self.protocol_error("a binary frame before welcome");
            return;
        }
        match LogFrame::decode(frame) {
            Ok(log) => {
                let wanted = self.resending.get(&log.run_id).copied();
                if wanted.is_none_or(|from| log.offset <= from) {
                    self.resending.remove(&log.run_id);
                    self.events.push_back(ControlEvent::Log(log));
                }
            }
            Err(error) => self.unreadable(&error),
        }
    }

    /// Any other sign of life (a ping or a pong).
    pub fn handle_alive(&mut self, now: Now) {
        self.heard(now);
    }

    /// The host closed the socket, or it broke.
    pub fn handle_close(&mut self, code: u16, reason: &str) {
        self.end(&format!("closed by the host ({code} {reason})"), None);
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Now) {
        self.expire(now);
        if let Some(asked) = self.probe
            && now.ms >= asked + PROBE_MS
        {
            self.probe = None;
            self.events.push_back(ControlEvent::Probed(false));
        }
        match &self.phase {
            Phase::Challenged { until, .. } | Phase::Judging { until } if now.ms >= *until => {
                self.end(
                    "no hello in time",
                    Some(closing(close::STALE, "no hello in time")),
                );
            }
            Phase::Live(liveness) if liveness.dead(now) => {
                self.end(
                    "silent too long",
                    Some(closing(close::STALE, "silent too long")),
                );
            }
            Phase::Live(liveness) if liveness.beat_due(now) => self.beat(false, now),
            Phase::Challenged { .. } | Phase::Judging { .. } | Phase::Live(_) | Phase::Over => {}
        }
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        self.out.pop_front()
    }

    /// Something that happened.
    pub fn poll_event(&mut self) -> Option<ControlEvent> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`]; none when over.
    pub fn poll_timeout(&self) -> Option<Timeout> {
        let phase = match &self.phase {
            Phase::Challenged { until, .. } | Phase::Judging { until } => Timeout {
                at_ms: *until,
                reason: TimeoutReason::Handshake,
            },
            Phase::Live(liveness) => liveness.timeout(),
            Phase::Over => return None,
        };
        let deadline = self.pending.values().min().map(|at| Timeout {
            at_ms: *at,
            reason: TimeoutReason::Deadline,
        });
        let probe = self.probe.map(|asked| Timeout {
            at_ms: asked + PROBE_MS,
            reason: TimeoutReason::Probe,
        });
        [deadline, probe]
            .into_iter()
            .flatten()
            .chain([phase])
            .min_by_key(|timeout| timeout.at_ms)
    }

    /// Whether the host was taken.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live(_))
    }

    /// Takes the host.
    pub fn accept(&mut self, accepted: Accepted, now: Now) {
        if !matches!(self.phase, Phase::Judging { .. }) {
            return;
        }
        self.received = accepted.acks.seq;
        self.phase = Phase::Live(Liveness::new(HEARTBEAT_MS, DEAD_MS, &mut self.chance, now));
        self.send(Message::Welcome(Box::new(Welcome {
            session: accepted.session,
            epoch: accepted.epoch,
            heartbeat_ms: HEARTBEAT_MS,
            dead_ms: DEAD_MS,
            limits: Limits::default(),
            desired_revision: accepted.desired_revision,
            acks: accepted.acks,
        })));
    }

    /// Refuses the host and closes.
    pub fn reject(&mut self, reject: Reject) {
        let (code, why) = (close::NORMAL, format!("refused: {:?}", reject.code));
        self.send(Message::Reject(reject));
        self.end(&why, Some(closing(code, &why)));
    }

    /// Sends a request with its time to live; the answer is an event. Repeating an id that is
    /// pending only moves its deadline.
    pub fn call(&mut self, id: CommandId, command: Command, deadline_ms: u64, now: Now) {
        let until = now.ms.saturating_add(deadline_ms);
        if !self.is_live() || self.pending.insert(id, until).is_some() {
            return;
        }
        self.given_up.retain(|late| *late != id);
        let envelope = Envelope::command(id.to_string(), deadline_ms, command);
        self.out.push_back(text(&envelope));
    }

    /// Pushes a step of desired state, in as many parts as it takes.
    pub fn sync(&mut self, step: Sync) {
        if self.is_live() {
            for part in split(step) {
                self.send(Message::Sync(part));
            }
        }
    }

    /// Events up to `seq` are stored; `refused` among them will never be.
    pub fn events_stored(&mut self, seq: u64, refused: Vec<(u64, String)>) {
        for (seq, reason) in refused {
            self.send(Message::EventRefused(EventRefused { seq, reason }));
        }
        self.send(Message::EventAck(EventMark { seq }));
    }

    /// Storing failed after `seq`: asks for everything after it again.
    pub fn events_failed(&mut self, seq: u64) {
        self.received = seq;
        self.nacked = true;
        self.send(Message::EventNack(EventMark { seq }));
    }

    /// A run's log is stored up to `offset`; `complete` when it matched its final record.
    pub fn log_stored(&mut self, run_id: RunId, offset: u64, complete: bool) {
        self.send(Message::LogAck(LogAck {
            run_id,
            offset,
            complete,
        }));
    }

    /// Asks for a run's log again from `offset` (a gap, or a checksum that does not match).
    pub fn log_resend(&mut self, run_id: RunId, offset: u64) {
        self.resending.insert(run_id, offset);
        self.send(Message::LogResend(LogResend { run_id, offset }));
    }

    /// Somebody watches a run, or no longer.
    pub fn watch(&mut self, run_id: RunId, on: bool) {
        self.send(Message::Watch(Watch { run_id, on }));
    }

    /// Asks the host for at most so many log bytes per second; 0 lifts it.
    pub fn slow(&mut self, max_bps: u64) {
        self.send(Message::Slow(Slow { max_bps }));
    }

    /// Asks for a sign of life within two seconds; [`ControlEvent::Probed`] tells.
    pub fn probe(&mut self, now: Now) {
        if self.is_live() && self.probe.is_none() {
            self.probe = Some(now.ms);
            self.beat(true, now);
        }
    }

    /// Going down: says when to come back, and closes.
    pub fn bye(&mut self, reconnect_after_ms: u64) {
        self.send(Message::Bye(Bye { reconnect_after_ms }));
        self.close(close::RESTARTING, "restarting");
    }

    /// Closes with one of [`close`]'s codes.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.end(reason, Some(closing(code, reason)));
    }
}
