//! What the host's session does with each frame of the control plane.

use super::{
    Body, Challenge, Command, CommandId, Ended, Envelope, ErrorCode, Failure, FrameError,
    Heartbeat, Hello, HostEvent, HostSession, JUMP_MS, Live, Liveness, MAX_TEXT, MOST_MARKS,
    MOST_OPEN, MOST_SYNC_BYTES, Message, Now, Outflow, Outgoing, Phase, Sync, SyncOutcome,
    SyncWanted, WAKE_CHECK_MS, Welcome, WireError, clock_gap, close, close_for, closing, text,
    version,
};
use std::collections::{BTreeMap, BTreeSet};

impl HostSession {
    pub(super) fn handle(&mut self, envelope: Envelope, now: Now) {
        let Envelope {
            id,
            deadline_ms,
            body,
            ..
        } = envelope;
        match body {
            Body::Message(message) => self.message(message, now),
            Body::Command(command) => {
                self.command(id, command, deadline_ms.unwrap_or(u64::MAX));
            }
            Body::Unknown { kind } => self.refuse(
                id,
                Failure::new(
                    ErrorCode::Unsupported,
                    format!("this host does not know requests of type {kind}"),
                )
                .hint("update hostler on the host"),
            ),
        }
    }

    fn message(&mut self, message: Message, now: Now) {
        match message {
            Message::Challenge(challenge) => self.challenge(&challenge, now),
            Message::Welcome(welcome) => self.welcome(welcome, now),
            Message::Reject(reject) => self.end(Ended::Rejected(reject), None),
            Message::Heartbeat(heartbeat) => {
                if heartbeat.probe && self.is_live() {
                    self.beat(now);
                }
            }
            Message::Sync(part) => self.sync_part(part),
            Message::EventAck(mark) => self.event_acked(mark.seq),
            Message::EventNack(mark) => self.on_flow(|flow| flow.event_nacked(mark.seq)),
            Message::EventRefused(refused) => self.events.push_back(HostEvent::EventRefused {
                seq: refused.seq,
                reason: refused.reason,
            }),
            Message::LogAck(ack) => {
                self.on_flow(|flow| flow.log_acked(ack));
                self.events.push_back(HostEvent::LogAcked(ack));
            }
            Message::LogResend(resend) => {
                let mut fine = true;
                self.on_flow(|flow| fine = flow.log_resend(resend.run_id, resend.offset));
                if !fine {
                    self.events.push_back(HostEvent::LogStuck(resend.run_id));
                }
            }
            Message::Watch(watch) => self.on_flow(|flow| flow.watch(watch.run_id, watch.on)),
            Message::Slow(slow) => self.on_flow(|flow| flow.slow(slow.max_bps)),
            Message::Bye(bye) => self.end(Ended::Bye(bye.reconnect_after_ms), None),
            Message::Error(error) => self.events.push_back(HostEvent::Noticed(format!(
                "the control plane did not take a frame: {} ({})",
                error.message, error.code
            ))),
            Message::Hello(_)
            | Message::Ok(_)
            | Message::Progress(_)
            | Message::SyncAck(_)
            | Message::SyncWanted(_)
            | Message::Events(_)
            | Message::LogFinal(_) => self.events.push_back(HostEvent::Noticed(
                "the control plane sent a frame that only hosts send".to_owned(),
            )),
        }
    }

    fn challenge(&mut self, challenge: &Challenge, now: Now) {
        let Phase::Greeting { until, hello_sent } = &mut self.phase else {
            return;
        };
        if *hello_sent {
            return;
        }
        if challenge.server_id != self.config.server_id {
            let server = challenge.server_id;
            self.end(
                Ended::WrongServer(server),
                Some(closing(
                    close::NORMAL,
                    "enrolled with another control plane",
                )),
            );
            return;
        }
        *hello_sent = true;
        *until = now.ms + super::HANDSHAKE_MS;
        let hello = self.hello(challenge, now);
        self.send(&Envelope::message(Message::Hello(Box::new(hello))));
    }

    fn hello(&self, challenge: &Challenge, now: Now) -> Hello {
        let config = &self.config;
        let facts = config.facts.clone();
        let mut runs = facts.runs;
        runs.truncate(MOST_MARKS);
        Hello {
            // Without a common version the control plane says so, with what it accepts.
            version: version::SUPPORTED
                .newest_common(challenge.versions)
                .unwrap_or(version::NEWEST),
            host_id: config.host_id,
            boot_id: facts.boot_id,
            instance_id: config.instance_id,
            start_counter: facts.start_counter,
            daemon_version: facts.daemon_version,
            os: facts.os,
            arch: facts.arch,
            capabilities: facts.capabilities,
            signature: config.key.answer(
                &challenge.nonce,
                config.host_id,
                config.instance_id,
                challenge.server_id,
            ),
            time: now.wall,
            applied_revision: facts.applied_revision,
            applied_hash: facts.applied_hash,
            next_seq: facts.next_seq,
            runs,
            lives: facts.lives,
            machine: facts.machine,
        }
    }

    fn welcome(&mut self, welcome: Box<Welcome>, now: Now) {
        let Phase::Greeting {
            hello_sent: true, ..
        } = self.phase
        else {
            self.protocol_error("a welcome before hello");
            return;
        };
        let liveness =
            Liveness::new(welcome.heartbeat_ms, welcome.dead_ms, &mut self.chance, now).due(now);
        self.phase = Phase::Live(Box::new(Live {
            liveness,
            flow: Outflow::new(welcome.limits.window, &welcome.acks),
            acks: welcome.acks.clone(),
            max_text: usize::try_from(welcome.limits.max_text)
                .unwrap_or(MAX_TEXT)
                .min(MAX_TEXT),
            open: BTreeSet::new(),
            progress: BTreeMap::new(),
            sync: None,
        }));
        let acks = welcome.acks.clone();
        self.events.push_back(HostEvent::Welcome(welcome));
        self.events.push_back(HostEvent::EventsAcked(acks.seq));
        for ack in acks.logs {
            self.events.push_back(HostEvent::LogAcked(ack));
        }
    }

    fn command(&mut self, id: Option<String>, command: Command, deadline_ms: u64) {
        let Some(parsed) = id.as_deref().and_then(|id| id.parse::<CommandId>().ok()) else {
            self.refuse(
                id,
                Failure::new(
                    ErrorCode::InvalidArgument,
                    "a request needs an id that is a UUID",
                ),
            );
            return;
        };
        let Phase::Live(live) = &mut self.phase else {
            self.protocol_error("a request before welcome");
            return;
        };
        if live.open.contains(&parsed) {
            return;
        }
        if live.open.len() >= MOST_OPEN {
            let busy = format!("this host has {MOST_OPEN} requests open; repeat this one later");
            self.refuse(id, Failure::new(ErrorCode::RateLimited, busy));
            return;
        }
        live.open.insert(parsed);
        self.events.push_back(HostEvent::Command {
            id: parsed,
            command: Box::new(command),
            deadline_ms,
        });
    }

    /// Collects the parts of one step; the last one makes it whole.
    fn sync_part(&mut self, part: Sync) {
        let Phase::Live(live) = &mut self.phase else {
            self.protocol_error("a sync before welcome");
            return;
        };
        let more = part.more;
        let size: usize = part.upserts.iter().map(|spec| spec.prompt.len()).sum();
        let (mut whole, total) = match live.sync.take() {
            Some((mut whole, total)) if whole.to == part.to && whole.from == part.from => {
                whole.upserts.extend(part.upserts);
                whole.tombstones.extend(part.tombstones);
                (whole, total + size)
            }
            Some(_) | None => (part, size),
        };
        if total > MOST_SYNC_BYTES {
            let have = self.config.facts.applied_revision;
            let reason = format!("the step is over {MOST_SYNC_BYTES} bytes");
            self.sync_done(SyncOutcome::Wanted(SyncWanted { have, reason }));
        } else if more {
            live.sync = Some((whole, total));
        } else {
            whole.more = false;
            self.events.push_back(HostEvent::Sync(Box::new(whole)));
        }
    }

    fn event_acked(&mut self, seq: u64) {
        let mut moved = false;
        self.on_flow(|flow| moved = flow.event_acked(seq));
        if moved {
            self.events.push_back(HostEvent::EventsAcked(seq));
        }
    }

    pub(super) fn beat(&mut self, now: Now) {
        let message = Message::Heartbeat(Heartbeat {
            time: now.wall,
            load: Some(self.load.clone()),
            probe: false,
        });
        if let Phase::Live(live) = &mut self.phase {
            live.liveness.sent(&mut self.chance, now);
            self.send(&Envelope::message(message));
        }
    }

    pub(super) fn heard(&mut self, now: Now) {
        self.check_wake(now);
        if let Phase::Live(live) = &mut self.phase {
            live.liveness.heard(now);
        }
    }

    /// Compares the two clocks; a jump ends the session, for the socket may be long dead.
    pub(super) fn check_wake(&mut self, now: Now) {
        let gap = clock_gap(now);
        let jump = gap.saturating_sub(self.clock_gap);
        if now.ms >= self.next_wake_check {
            // Clocks drift apart slowly on their own: only a step between two checks counts.
            self.next_wake_check = now.ms + WAKE_CHECK_MS;
            self.clock_gap = gap;
        }
        if jump.abs() > JUMP_MS {
            self.end(
                Ended::Woke(jump),
                Some(closing(close::NORMAL, "clock jump: connecting again")),
            );
        }
    }

    pub(super) fn unreadable(&mut self, error: &FrameError) {
        if let Some(closing) = close_for(error) {
            self.end(Ended::Protocol(error.to_string()), Some(closing));
        } else if let FrameError::Payload { id, .. } = error {
            self.refuse(
                id.clone(),
                Failure::new(ErrorCode::InvalidArgument, error.to_string()),
            );
        }
    }

    pub(super) fn protocol_error(&mut self, what: &str) {
        self.end(
            Ended::Protocol(what.to_owned()),
            Some(closing(close::PROTOCOL, what)),
        );
    }

    fn refuse(&mut self, re: Option<String>, failure: Failure) {
        self.events
            .push_back(HostEvent::Noticed(failure.message.clone()));
        let error = WireError::from(failure);
        self.send(&Envelope::answer(re, Message::Error(error)));
    }

    fn on_flow(&mut self, change: impl FnOnce(&mut Outflow)) {
        if let Phase::Live(live) = &mut self.phase {
            change(&mut live.flow);
        }
    }

    pub(super) fn send(&mut self, envelope: &Envelope) {
        self.out.push_back(text(envelope));
    }

    pub(super) fn end(&mut self, why: Ended, closing: Option<Outgoing>) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.phase = Phase::Over;
        self.out.extend(closing);
        self.events.push_back(HostEvent::Ended(why));
    }
}
