//! The host's end of the link, without a socket: introduces the host, answers requests, ships
//! events and logs, and says when the session is over and why.
//!
//! Each request of a session gets one answer. Events and log bytes are asked for with
//! [`HostSession::poll_want`] only when nothing more urgent waits, so control frames never queue
//! behind a backlog. It does not connect, store, or run anything.

mod handle;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use uuid::Uuid;

use super::liveness::Liveness;
use super::outflow::Outflow;
use super::proof::HostKey;
use super::{Chance, Now, Outgoing, Timeout, TimeoutReason, close, close_for, closing, text};
use crate::command::{Command, Progress, Reply};
use crate::error::{ErrorCode, Failure};
use crate::frame::log::{LogFrame, LogRecord};
use crate::frame::payload::{
    Acks, Challenge, EventItem, Events, Heartbeat, Hello, Life, LogAck, Reject, RejectCode,
    RunMark, Sync, SyncAck, SyncWanted, Welcome, WireError,
};
use crate::frame::{Body, Envelope, FrameError, MAX_TEXT, Message};
use crate::host::HostLoad;
use crate::ids::{CommandId, HostId, InstanceId, RunId};
use crate::version;

/// Time for each of challenge and welcome to arrive.
const HANDSHAKE_MS: u64 = 10_000;
/// How often the two clocks are compared.
const WAKE_CHECK_MS: u64 = 5_000;
/// Wall and awake clocks apart by more than this: the machine slept, or its clock was set.
const JUMP_MS: i64 = 5_000;
/// Requests open at once; more are refused, to be repeated.
const MOST_OPEN: usize = 256;
/// Runs named in `hello`.
const MOST_MARKS: usize = 1_000;
/// Events of one frame stay below this, so that a frame is never held up long.
const EVENTS_FRAME: usize = 128 << 10;
/// Parts of one step of the desired state.
const MOST_SYNC_BYTES: usize = 64 << 20;

/// Who the host is and what it says of itself at the start of a session.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Its private key.
    pub key: HostKey,
    /// Its id.
    pub host_id: HostId,
    /// The control plane it enrolled with; a challenge from another is not answered.
    pub server_id: Uuid,
    /// This start of the daemon.
    pub instance_id: InstanceId,
    /// Chance for jitter.
    pub seed: u64,
    /// Everything else of `hello`.
    pub facts: HelloFacts,
}

/// What the machine tells about itself for `hello`.
#[derive(Clone, Debug, Default)]
pub struct HelloFacts {
    /// One boot of the operating system.
    pub boot_id: String,
    /// How often the daemon has started.
    pub start_counter: u64,
    /// Version of the daemon program.
    pub daemon_version: String,
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub arch: String,
    /// Named abilities.
    pub capabilities: Vec<String>,
    /// Revision of the desired state applied.
    pub applied_revision: u64,
    /// Its hash.
    pub applied_hash: String,
    /// Sequence number the next event will get.
    pub next_seq: u64,
    /// Runs going on or not wholly delivered, newest first.
    pub runs: Vec<RunMark>,
    /// Which start of the daemon numbered which events, oldest first.
    pub lives: Vec<Life>,
    /// What tells this machine from others, where the system does.
    pub machine: Option<String>,
}

/// A run's log as the host has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Which run.
    pub run_id: RunId,
    /// Bytes in the spool.
    pub end: u64,
    /// Bytes the control plane has acknowledged, as last recorded.
    pub acked: u64,
    /// Size and CRC-32 once the run has ended.
    pub finished: Option<(u64, u32)>,
}

/// Data the session would send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Events after a sequence number: answer with [`HostSession::supply_events`].
    Events {
        /// After this number.
        after: u64,
        /// At most so many.
        limit: u32,
    },
    /// Log bytes: answer with [`HostSession::supply_log`].
    Log {
        /// Of this run.
        run_id: RunId,
        /// From here.
        offset: u64,
        /// At most so many bytes.
        max: usize,
    },
}

/// What became of a step of the desired state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncOutcome {
    /// Stored.
    Applied(SyncAck),
    /// It does not fit what the host has.
    Wanted(SyncWanted),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum HostEvent {
    /// The control plane took the host.
    Welcome(Box<Welcome>),
    /// A request to carry out; answer with [`HostSession::reply`].
    Command {
        /// Its id.
        id: CommandId,
        /// What to do.
        command: Box<Command>,
        /// Time left for it, milliseconds.
        deadline_ms: u64,
    },
    /// A whole step of the desired state; answer with [`HostSession::sync_done`].
    Sync(Box<Sync>),
    /// Events up to here are stored there.
    EventsAcked(u64),
    /// This event will never be taken: set it aside.
    EventRefused {
        /// Which.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// Log bytes are stored there.
    LogAcked(LogAck),
    /// A log keeps failing its checksum; it is left to the next session.
    LogStuck(RunId),
    /// A frame could not be read or made no sense here; it was answered and changes nothing.
    Noticed(String),
    /// The session is over. Nothing else follows.
    Ended(Ended),
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The control plane refused the host.
    Rejected(Reject),
    /// The challenge came from another control plane than the one enrolled with.
    WrongServer(Uuid),
    /// No challenge or welcome in time.
    NoHandshake,
    /// Silence.
    Dead,
    /// The machine slept, or its clock was set: milliseconds the clocks are apart.
    Woke(i64),
    /// The control plane goes down and says when to come back.
    Bye(u64),
    /// The control plane closed the socket with this code.
    Closed(u16, String),
    /// It broke the protocol.
    Protocol(String),
}

/// What a host does after a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Connect at once.
    Now,
    /// Connect after the backoff, and not before this many milliseconds.
    Later(Option<u64>),
    /// Do not connect again; the sentence says what a person must do.
    Stop(String),
}

/// What a control plane that does not want this host any more, or not now, means for its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dismissal {
    /// Its access was taken away: nothing goes on for that control plane.
    Revoked,
    /// It left: nothing new begins.
    Left,
    /// Another machine has this identity: until it is settled which one is the host, nothing new
    /// begins here. The sentence says what a person must do.
    Doubted(String),
}

impl Ended {
    /// What the end of the session means for the host's work, when it means anything.
    pub fn dismissal(&self) -> Option<Dismissal> {
        match self {
            Self::Closed(close::REVOKED, _) => Some(Dismissal::Revoked),
            Self::Closed(close::GONE, _) => Some(Dismissal::Left),
            Self::Rejected(reject) => match reject.code {
                RejectCode::Revoked => Some(Dismissal::Revoked),
                RejectCode::Moved => Some(Dismissal::Doubted(reject.message.clone())),
                RejectCode::Duplicate if reject.fatal => {
                    Some(Dismissal::Doubted(reject.message.clone()))
                }
                RejectCode::Duplicate
                | RejectCode::UnknownHost
                | RejectCode::BadSignature
                | RejectCode::VersionUnsupported
                | RejectCode::ClockSkew
                | RejectCode::Overloaded
                | RejectCode::Other => None,
            },
            Self::WrongServer(_)
            | Self::NoHandshake
            | Self::Dead
            | Self::Woke(_)
            | Self::Bye(_)
            | Self::Closed(..)
            | Self::Protocol(_) => None,
        }
    }

    /// What to do next.
    pub fn next(&self) -> Next {
        match self {
            Self::Rejected(reject) if reject.fatal => Next::Stop(reject_words(reject)),
            Self::Rejected(reject) => Next::Later(reject.retry_after_ms),
            Self::WrongServer(id) => Next::Stop(format!(
                "the control plane at this address is another one (id {id}) than this host was enrolled with; run `hostler leave`, then `hostler join` again"
            )),
            Self::Woke(_) | Self::Closed(close::AUTHENTICATE, _) => Next::Now,
            Self::Bye(after) => Next::Later(Some(*after)),
            Self::Closed(close::REVOKED, _) => Next::Stop(
                "this host's access was revoked; run `hostler leave`, then `hostler join` again".to_owned(),
            ),
            Self::Closed(close::GONE, _) => Next::Stop(
                "this host was removed from the control plane; run `hostler leave`, then `hostler join` again"
                    .to_owned(),
            ),
            Self::NoHandshake | Self::Dead | Self::Closed(..) | Self::Protocol(_) => {
                Next::Later(None)
            }
        }
    }
}

fn reject_words(reject: &Reject) -> String {
    if reject.message.is_empty() {
        format!("the control plane refused this host ({:?})", reject.code)
    } else {
        reject.message.clone()
    }
}

#[derive(Debug)]
enum Phase {
    /// Waiting for the challenge, then for the welcome.
    Greeting { until: u64, hello_sent: bool },
    /// Taken.
    Live(Box<Live>),
    /// Over.
    Over,
}

#[derive(Debug)]
struct Live {
    liveness: Liveness,
    flow: Outflow,
    acks: Acks,
    max_text: usize,
    open: BTreeSet<CommandId>,
    progress: BTreeMap<CommandId, Progress>,
    sync: Option<(Sync, usize)>,
}

/// One session of the host. Drop it when it has ended.
#[derive(Debug)]
pub struct HostSession {
    config: HostConfig,
    chance: Chance,
    phase: Phase,
    load: HostLoad,
    /// Wall minus awake clock at the start.
    clock_gap: i64,
    next_wake_check: u64,
    out: VecDeque<Outgoing>,
    events: VecDeque<HostEvent>,
}

impl HostSession {
    /// A session on a socket just opened.
    pub fn new(config: HostConfig, now: Now) -> Self {
        Self {
            chance: Chance(config.seed),
            config,
            phase: Phase::Greeting {
                until: now.ms + HANDSHAKE_MS,
                hello_sent: false,
            },
            load: HostLoad::default(),
            clock_gap: clock_gap(now),
            next_wake_check: now.ms + WAKE_CHECK_MS,
            out: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// A text frame arrived.
    pub fn handle_text(&mut self, frame: &str, now: Now) {
        self.heard(now);
        match Envelope::decode(frame, MAX_TEXT) {
            Ok(envelope) => self.handle(envelope, now),
            Err(error) => self.unreadable(&error),
        }
    }

    /// A binary frame arrived: none is defined in this direction.
    pub fn handle_binary(&mut self, _frame: &[u8], now: Now) {
        self.heard(now);
        self.protocol_error("a binary frame came from the control plane");
    }

    /// Any other sign of life (a ping or a pong).
    pub fn handle_alive(&mut self, now: Now) {
        self.heard(now);
    }

    /// The control plane closed the socket, or it broke (code 1006).
    pub fn handle_close(&mut self, code: u16, reason: &str) {
        self.end(Ended::Closed(code, reason.to_owned()), None);
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Now) {
        self.check_wake(now);
        match &mut self.phase {
            Phase::Greeting { until, .. } if now.ms >= *until => self.end(
                Ended::NoHandshake,
                Some(closing(close::STALE, "no handshake in time")),
            ),
            Phase::Live(live) if live.liveness.dead(now) => {
                self.end(Ended::Dead, Some(closing(close::STALE, "silent too long")));
            }
            Phase::Live(live) if live.liveness.beat_due(now) => self.beat(now),
            Phase::Greeting { .. } | Phase::Live(_) | Phase::Over => {}
        }
    }

    /// The next frame to send. Data is not among them; see [`Self::poll_want`].
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        if let Some(out) = self.out.pop_front() {
            return Some(out);
        }
        let Phase::Live(live) = &mut self.phase else {
            return None;
        };
        if let Some((id, progress)) = live.progress.pop_first() {
            let message = Message::Progress(progress);
            return Some(text(&Envelope::answer(Some(id.to_string()), message)));
        }
        let last = live.flow.take_final()?;
        Some(text(&Envelope::message(Message::LogFinal(last))))
    }

    /// Something that happened.
    pub fn poll_event(&mut self) -> Option<HostEvent> {
        self.events.pop_front()
    }

    /// Data to read and hand over, once nothing is left to transmit.
    pub fn poll_want(&self, now: Now) -> Option<Want> {
        match &self.phase {
            Phase::Live(live) => live.flow.want(now),
            Phase::Greeting { .. } | Phase::Over => None,
        }
    }

    /// When to call [`Self::handle_timeout`]; none when over. For `Heartbeat`, tell the load first.
    pub fn poll_timeout(&self) -> Option<Timeout> {
        let wake = Timeout {
            at_ms: self.next_wake_check,
            reason: TimeoutReason::WakeCheck,
        };
        let other = match &self.phase {
            Phase::Greeting { until, .. } => Timeout {
                at_ms: *until,
                reason: TimeoutReason::Handshake,
            },
            Phase::Live(live) => {
                let beat = live.liveness.timeout();
                match live.flow.timeout() {
                    Some(pacing) if pacing.at_ms < beat.at_ms => pacing,
                    Some(_) | None => beat,
                }
            }
            Phase::Over => return None,
        };
        Some(if other.at_ms <= wake.at_ms {
            other
        } else {
            wake
        })
    }

    /// Whether the control plane has taken the host.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live(_))
    }

    /// Bytes sent and not acknowledged.
    pub fn unacked(&self) -> u64 {
        match &self.phase {
            Phase::Live(live) => live.flow.unacked(),
            Phase::Greeting { .. } | Phase::Over => 0,
        }
    }

    /// Readings for the next heartbeat.
    pub fn set_load(&mut self, load: HostLoad) {
        self.load = load;
    }

    /// The outbox has new events.
    pub fn outbox_changed(&mut self) {
        if let Phase::Live(live) = &mut self.phase {
            live.flow.outbox_changed();
        }
    }

    /// The logs not wholly acknowledged, as they are now.
    pub fn logs_changed(&mut self, states: &[LogState]) {
        if let Phase::Live(live) = &mut self.phase {
            live.flow.logs_changed(states, &live.acks.logs);
        }
    }

    /// The runs going on whose log somebody watches: their spools are worth a look now and then,
    /// because what is said of them comes later.
    pub fn watched(&self) -> Vec<RunId> {
        match &self.phase {
            Phase::Live(live) => live.flow.watched().collect(),
            Phase::Greeting { .. } | Phase::Over => Vec::new(),
        }
    }

    /// The spool of a run going on reaches to here by now.
    pub fn log_grew(&mut self, run: RunId, end: u64) {
        if let Phase::Live(live) = &mut self.phase {
            live.flow.log_grew(run, end);
        }
    }

    /// The answer to a request. Sent if this session was asked; otherwise it waits, stored, for
    /// the request to be repeated.
    pub fn reply(&mut self, id: CommandId, result: Result<Reply, Failure>) {
        let Phase::Live(live) = &mut self.phase else {
            return;
        };
        if !live.open.remove(&id) {
            return;
        }
        live.progress.remove(&id);
        let message = match result {
            Ok(reply) => Message::Ok(reply),
            Err(failure) => Message::Error(failure.into()),
        };
        self.send(&Envelope::answer(Some(id.to_string()), message));
    }

    /// How far a request is. Only the newest of each request is kept until it can be sent.
    pub fn progress(&mut self, id: CommandId, progress: Progress) {
        if let Phase::Live(live) = &mut self.phase
            && live.open.contains(&id)
        {
            live.progress.insert(id, progress);
        }
    }

    /// What became of [`HostEvent::Sync`].
    pub fn sync_done(&mut self, outcome: SyncOutcome) {
        self.send(&Envelope::message(match outcome {
            SyncOutcome::Applied(ack) => Message::SyncAck(ack),
            SyncOutcome::Wanted(wanted) => Message::SyncWanted(wanted),
        }));
    }

    /// The answer to [`Want::Events`]: events (as JSON text) after that number, oldest first;
    /// empty when there are none.
    pub fn supply_events(&mut self, events: Vec<(u64, String)>) {
        let Phase::Live(live) = &mut self.phase else {
            return;
        };
        if events.is_empty() {
            live.flow.no_more_events();
            return;
        }
        let after = live.flow.events_sent_up_to();
        let prev = live.flow.last_event_in_a_frame();
        let (mut items, mut size) = (Vec::new(), 0);
        for (seq, json) in events.into_iter().filter(|(seq, _)| *seq > after) {
            if size > 0 && size + json.len() > EVENTS_FRAME {
                break;
            }
            match event_item(seq, &json, live.max_text) {
                Ok(item) => {
                    size += json.len();
                    items.push(item);
                    live.flow.event_sent(seq, json.len() as u64);
                }
                Err(reason) => {
                    live.flow.event_skipped(seq);
                    self.events
                        .push_back(HostEvent::EventRefused { seq, reason });
                }
            }
        }
        if !items.is_empty() {
            self.send(&Envelope::message(Message::Events(Events { prev, items })));
        }
    }

    /// The answer to [`Want::Log`]: bytes from that offset; empty when there are none.
    pub fn supply_log(
        &mut self,
        run_id: RunId,
        offset: u64,
        bytes: Vec<u8>,
        records: Vec<LogRecord>,
        now: Now,
    ) {
        let Phase::Live(live) = &mut self.phase else {
            return;
        };
        if bytes.is_empty() {
            live.flow.log_ends_at(run_id, offset);
            return;
        }
        let len = bytes.len() as u64;
        let frame = LogFrame {
            run_id,
            offset,
            bytes,
            records,
        };
        match frame.encode() {
            Ok(wire) => {
                live.flow.log_sent(run_id, offset, len, now);
                self.out.push_back(Outgoing::Binary(wire));
            }
            Err(error) => {
                live.flow.log_ends_at(run_id, offset);
                self.events.push_back(HostEvent::Noticed(error.to_string()));
            }
        }
    }

    /// Ends the session from this side, in good order.
    pub fn leave(&mut self, reason: &str) {
        self.phase = Phase::Over;
        self.out.push_back(closing(close::NORMAL, reason));
    }
}

fn clock_gap(now: Now) -> i64 {
    now.wall
        .0
        .saturating_sub(i64::try_from(now.ms).unwrap_or(i64::MAX))
}

fn event_item(seq: u64, json: &str, max_text: usize) -> Result<EventItem, String> {
    // Room for the envelope around it.
    if json.len() + 1_024 > max_text {
        return Err(format!(
            "the event has {} bytes, more than the {max_text} a frame may have",
            json.len()
        ));
    }
    let event = serde_json::from_str(json).map_err(|error| format!("not JSON: {error}"))?;
    Ok(EventItem { seq, event })
}
