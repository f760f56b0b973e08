//! What the control plane's session does with each frame of a host.

use super::{
    Body, ControlEvent, ControlSession, Envelope, ErrorCode, Events, Failure, FrameError,
    Heartbeat, Hello, MAX_TEXT, MOST_LATE, Message, Now, Outgoing, Phase, Reject, SYNC_PART, Sync,
    WireError, close, close_for, closing, text, version,
};
use crate::command::Reply;
use crate::frame::payload::RejectCode;
use crate::ids::CommandId;
use crate::time::UtcMillis;

/// A host of an unsupported version tries again this late: one end must be updated first.
const OTHER_VERSION_RETRY_MS: u64 = 300_000;

impl ControlSession {
    pub(super) fn handle(&mut self, envelope: Envelope, now: Now) {
        let Envelope { id, re, body, .. } = envelope;
        match body {
            Body::Message(message) => self.message(re, message, now),
            Body::Command(_) => self.refuse(
                id,
                ErrorCode::Unsupported,
                "the control plane takes no commands from hosts",
            ),
            Body::Unknown { kind } => self.refuse(
                id,
                ErrorCode::Unsupported,
                &format!("this control plane does not know frames of type {kind}"),
            ),
        }
    }

    fn message(&mut self, re: Option<String>, message: Message, now: Now) {
        match message {
            Message::Hello(hello) => self.hello(hello, now),
            Message::Heartbeat(heartbeat) => self.heartbeat(heartbeat, now),
            Message::Error(error) if re.is_none() => self.events.push_back(ControlEvent::Noticed(
                format!("the host did not take a frame: {}", error.message),
            )),
            Message::Ok(reply) => self.reply(re, Ok(reply)),
            Message::Error(error) => self.reply(re, Err(error.into())),
            Message::Progress(progress) => {
                if let Some(id) = self.pending_id(re) {
                    self.events
                        .push_back(ControlEvent::Progress { id, progress });
                }
            }
            Message::SyncAck(ack) => self.when_live(ControlEvent::SyncAcked(ack)),
            Message::SyncWanted(wanted) => self.when_live(ControlEvent::SyncWanted(wanted)),
            Message::Events(events) => self.in_order(events),
            Message::LogFinal(last) => {
                // Sent before the host heard that bytes are missing: it will come again.
                if !self.resending.contains_key(&last.run_id) {
                    self.when_live(ControlEvent::LogFinal(last));
                }
            }
            Message::Challenge(_)
            | Message::Welcome(_)
            | Message::Reject(_)
            | Message::Sync(_)
            | Message::EventAck(_)
            | Message::EventNack(_)
            | Message::EventRefused(_)
            | Message::LogAck(_)
            | Message::LogResend(_)
            | Message::Watch(_)
            | Message::Slow(_)
            | Message::Bye(_) => self.refuse(
                None,
                ErrorCode::Unsupported,
                "only the control plane sends this frame",
            ),
        }
    }

    fn hello(&mut self, hello: Box<Hello>, now: Now) {
        let Phase::Challenged { sent_at, .. } = self.phase else {
            self.refuse(None, ErrorCode::InvalidArgument, "a second hello");
            return;
        };
        // The answer was written about half a round trip before it arrived.
        let half = i64::try_from(now.ms.saturating_sub(sent_at.ms) / 2).unwrap_or(0);
        self.skew
            .sample(hello.time, UtcMillis(now.wall.0.saturating_sub(half)));
        self.phase = Phase::Judging {
            until: now.ms + super::HANDSHAKE_MS,
        };
        if version::SUPPORTED.contains(hello.version) {
            self.events.push_back(ControlEvent::Hello(hello));
            return;
        }
        let range = version::SUPPORTED;
        self.reject(Reject {
            code: RejectCode::VersionUnsupported,
            message: format!(
                "this control plane speaks link versions {} to {}, the host {}; update the older one",
                range.min, range.max, hello.version
            ),
            retry_after_ms: Some(OTHER_VERSION_RETRY_MS),
            fatal: false,
            versions: Some(range),
        });
    }

    fn heartbeat(&mut self, heartbeat: Heartbeat, now: Now) {
        self.skew.sample(heartbeat.time, now.wall);
        let skew_ms = self.skew.estimate_ms();
        if heartbeat.probe && self.is_live() {
            self.beat(false, now);
        }
        self.when_live(ControlEvent::Heartbeat {
            load: heartbeat.load,
            skew_ms,
        });
    }

    fn reply(&mut self, re: Option<String>, result: Result<Reply, Failure>) {
        let Some(id) = re.and_then(|re| re.parse::<CommandId>().ok()) else {
            self.refuse(
                None,
                ErrorCode::InvalidArgument,
                "an answer needs `re`, the id of its request",
            );
            return;
        };
        let late = self.given_up.iter().position(|given_up| *given_up == id);
        if self.pending.remove(&id).is_some() {
            let late = false;
            self.events
                .push_back(ControlEvent::Reply { id, result, late });
        } else if let Some(at) = late {
            self.given_up.remove(at);
            let late = true;
            self.events
                .push_back(ControlEvent::Reply { id, result, late });
        }
    }

    fn pending_id(&self, re: Option<String>) -> Option<CommandId> {
        let id = re?.parse().ok()?;
        self.pending.contains_key(&id).then_some(id)
    }

    /// Hands out what is new and in order; asks again from the last known one after a gap.
    fn in_order(&mut self, events: Events) {
        if !self.is_live() {
            self.protocol_error("events before welcome");
            return;
        }
        if events.prev > self.received {
            if !self.nacked {
                self.events_failed(self.received);
            }
            return;
        }
        self.nacked = false;
        let prev = self.received;
        let mut last = prev;
        let mut items = events.items;
        items.retain(|item| {
            let new = item.seq > last;
            last = last.max(item.seq);
            new
        });
        self.received = last;
        if items.is_empty() {
            // All known: the host missed the acknowledgement.
            self.events_stored(last, Vec::new());
        } else {
            self.events.push_back(ControlEvent::Events { prev, items });
        }
    }

    pub(super) fn expire(&mut self, now: Now) {
        let expired: Vec<_> = self
            .pending
            .iter()
            .filter(|(_, until)| now.ms >= **until)
            .map(|(id, _)| *id)
            .collect();
        for id in expired {
            self.pending.remove(&id);
            if self.given_up.len() == MOST_LATE {
                self.given_up.pop_front();
            }
            self.given_up.push_back(id);
            self.events.push_back(ControlEvent::Expired(id));
        }
    }

    pub(super) fn heard(&mut self, now: Now) {
        let Phase::Live(liveness) = &mut self.phase else {
            return;
        };
        liveness.heard(now);
        if self.probe.take().is_some() {
            self.events.push_back(ControlEvent::Probed(true));
        }
    }

    pub(super) fn beat(&mut self, probe: bool, now: Now) {
        if let Phase::Live(liveness) = &mut self.phase {
            liveness.sent(&mut self.chance, now);
            self.send(Message::Heartbeat(Heartbeat {
                time: now.wall,
                load: None,
                probe,
            }));
        }
    }

    fn when_live(&mut self, event: ControlEvent) {
        if self.is_live() {
            self.events.push_back(event);
        } else {
            self.protocol_error("a frame before welcome");
        }
    }

    pub(super) fn unreadable(&mut self, error: &FrameError) {
        if let Some(closing) = close_for(error) {
            self.end(&error.to_string(), Some(closing));
        } else if !self.is_live() {
            self.protocol_error(&error.to_string());
        } else if let FrameError::Payload { id, .. } = error {
            self.refuse(id.clone(), ErrorCode::InvalidArgument, &error.to_string());
        }
    }

    pub(super) fn protocol_error(&mut self, what: &str) {
        self.end(what, Some(closing(close::PROTOCOL, what)));
    }

    fn refuse(&mut self, re: Option<String>, code: ErrorCode, message: &str) {
        self.events
            .push_back(ControlEvent::Noticed(message.to_owned()));
        let error = WireError::from(Failure::new(code, message));
        self.out
            .push_back(text(&Envelope::answer(re, Message::Error(error))));
    }

    pub(super) fn send(&mut self, message: Message) {
        self.out.push_back(text(&Envelope::message(message)));
    }

    pub(super) fn end(&mut self, why: &str, closing: Option<Outgoing>) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.phase = Phase::Over;
        self.out.extend(closing);
        self.events.push_back(ControlEvent::Ended(why.to_owned()));
    }
}

/// A step in parts that each fit a frame; every part but the last has `more`.
pub(super) fn split(step: Sync) -> Vec<Sync> {
    let part = |tombstones| Sync {
        from: step.from,
        to: step.to,
        upserts: Vec::new(),
        tombstones,
        full: step.full,
        hash: step.hash.clone(),
        more: true,
    };
    let (mut parts, mut size) = (vec![part(Vec::new())], 0);
    for chunk in step.tombstones.chunks(2_000) {
        parts.push(part(chunk.to_vec()));
    }
    for spec in step.upserts {
        let bytes = serde_json::to_string(&spec).map_or(MAX_TEXT, |json| json.len());
        if size + bytes > SYNC_PART || size == 0 {
            parts.push(part(Vec::new()));
            size = 0;
        }
        size += bytes;
        if let Some(last) = parts.last_mut() {
            last.upserts.push(spec);
        }
    }
    if parts.len() > 1 {
        parts.remove(0);
    }
    if let Some(last) = parts.last_mut() {
        last.more = false;
    }
    parts
}
