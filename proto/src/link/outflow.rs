//! What a host has to deliver in one session: events by sequence and log bytes by offset, inside
//! one window of unacknowledged bytes, in the order events, watched logs, backlog.
//!
//! While somebody watches a log, the rest of the logs keeps to a part of the window: what is watched
//! never waits behind much that is already on its way.
//!
//! It holds positions, never the data: the outbox and the spool files do. Whatever is sent and not
//! acknowledged when the session ends is sent again by the next one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::host::{LogState, Want};
use super::{Now, Timeout, TimeoutReason};
use crate::frame::log::MAX_LOG_BODY;
use crate::frame::payload::{Acks, LogAck, LogFinal};
use crate::ids::RunId;

/// Log bytes leave at once, then at most this often unless there are many.
const PACE_MS: u64 = 100;
/// The same for a log that somebody watches.
const WATCHED_PACE_MS: u64 = 20;
/// Part of the window for other logs while one is watched.
const BACKLOG_PART: u64 = 4;
/// Most runs watched at once.
const MOST_WATCHED: usize = 1024;
/// Enough bytes to leave before the pace allows.
const PACE_BYTES: u64 = 32 << 10;
/// Events asked for at once.
const EVENT_BATCH: u32 = 64;
/// A log whose checksum failed this often in one session is left to the next.
const MOST_RESENDS: u32 = 3;

#[derive(Debug)]
pub(super) struct Outflow {
    window: u64,
    events: EventFlow,
    logs: BTreeMap<RunId, LogFlow>,
    /// Runs somebody watches, also those whose log has not begun.
    watched: BTreeSet<RunId>,
    /// Most log bytes per second; 0 is no limit.
    max_bps: u64,
    /// With a limit: when the next log bytes may go.
    log_free_at: u64,
}

#[derive(Debug, Default)]
struct EventFlow {
    /// Everything up to here was looked at.
    sent: u64,
    /// The last one that went into a frame: the next frame's `prev`.
    chain: u64,
    acked: u64,
    in_flight: VecDeque<(u64, u64)>,
    /// The outbox may hold events after `sent`.
    more: bool,
}

#[derive(Debug)]
struct LogFlow {
    end: u64,
    sent: u64,
    acked: u64,
    finished: Option<(u64, u32)>,
    final_sent: bool,
    sent_at: Option<u64>,
    resends: u32,
}

impl Outflow {
    /// Starts where the control plane says it is.
    pub(super) fn new(window: u64, acks: &Acks) -> Self {
        Self {
            window: window.max(MAX_LOG_BODY as u64),
            events: EventFlow {
                sent: acks.seq,
                chain: acks.seq,
                acked: acks.seq,
                in_flight: VecDeque::new(),
                more: true,
            },
            logs: BTreeMap::new(),
            watched: BTreeSet::new(),
            max_bps: 0,
            log_free_at: 0,
        }
    }

    pub(super) fn outbox_changed(&mut self) {
        self.events.more = true;
    }

    pub(super) fn events_sent_up_to(&self) -> u64 {
        self.events.sent
    }

    pub(super) fn last_event_in_a_frame(&self) -> u64 {
        self.events.chain
    }

    /// This event goes nowhere: set aside by the caller.
    pub(super) fn event_skipped(&mut self, seq: u64) {
        self.events.sent = seq;
    }

    pub(super) fn no_more_events(&mut self) {
        self.events.more = false;
    }

    pub(super) fn event_sent(&mut self, seq: u64, bytes: u64) {
        self.events.sent = seq;
        self.events.chain = seq;
        self.events.in_flight.push_back((seq, bytes));
    }

    /// True when the position moved.
    pub(super) fn event_acked(&mut self, seq: u64) -> bool {
        let moved = seq > self.events.acked;
        self.events.acked = self.events.acked.max(seq);
        self.events.sent = self.events.sent.max(seq);
        self.events.chain = self.events.chain.max(seq);
        while self
            .events
            .in_flight
            .front()
            .is_some_and(|(at, _)| *at <= seq)
        {
            self.events.in_flight.pop_front();
        }
        moved
    }

    /// The control plane missed what came after `seq`: goes back there.
    pub(super) fn event_nacked(&mut self, seq: u64) {
        self.events.sent = seq;
        self.events.chain = seq;
        self.events.acked = self.events.acked.min(seq);
        self.events.in_flight.retain(|(at, _)| *at <= seq);
        self.events.more = true;
    }

    /// The streams there are. `acks` are the offsets of `welcome`.
    pub(super) fn logs_changed(&mut self, states: &[LogState], acks: &[LogAck]) {
        for state in states {
            let known = acks.iter().find(|ack| ack.run_id == state.run_id);
            let start = known.map_or(state.acked, |ack| ack.offset).min(state.end);
            let flow = self.logs.entry(state.run_id).or_insert(LogFlow {
                end: state.end,
                sent: start,
                acked: start,
                finished: state.finished,
                final_sent: false,
                sent_at: None,
                resends: 0,
            });
            flow.end = flow.end.max(state.end);
            flow.finished = flow.finished.or(state.finished);
        }
    }

    pub(super) fn watch(&mut self, run: RunId, on: bool) {
        if !on {
            self.watched.remove(&run);
        } else if self.watched.len() < MOST_WATCHED {
            self.watched.insert(run);
        }
    }

    /// The runs going on that somebody watches.
    pub(super) fn watched(&self) -> impl Iterator<Item = RunId> {
        let goes_on = |run: &&RunId| {
            let flow = self.logs.get(run);
            flow.is_some_and(|flow| flow.finished.is_none())
        };
        self.watched.iter().filter(goes_on).copied()
    }

    /// The spool of a run going on reaches to here by now.
    pub(super) fn log_grew(&mut self, run: RunId, end: u64) {
        if let Some(flow) = self.logs.get_mut(&run)
            && flow.finished.is_none()
        {
            flow.end = flow.end.max(end);
        }
    }

    pub(super) fn slow(&mut self, max_bps: u64) {
        self.max_bps = max_bps;
        if max_bps == 0 {
            self.log_free_at = 0;
        }
    }

    pub(super) fn log_sent(&mut self, run: RunId, offset: u64, bytes: u64, now: Now) {
        if let Some(flow) = self.logs.get_mut(&run) {
            flow.sent = offset + bytes;
            flow.sent_at = Some(now.ms);
        }
        if let Some(cost_ms) = bytes.saturating_mul(1_000).checked_div(self.max_bps) {
            self.log_free_at = self.log_free_at.max(now.ms).saturating_add(cost_ms);
        }
    }

    /// The spool gave nothing at this offset: waits for the next change.
    pub(super) fn log_ends_at(&mut self, run: RunId, end: u64) {
        if let Some(flow) = self.logs.get_mut(&run) {
            flow.end = end.max(flow.sent);
        }
    }

    pub(super) fn log_acked(&mut self, ack: LogAck) {
        let Some(flow) = self.logs.get_mut(&ack.run_id) else {
            return;
        };
        if ack.complete {
            self.logs.remove(&ack.run_id);
            return;
        }
        let offset = ack.offset.min(flow.end);
        flow.acked = flow.acked.max(offset);
        flow.sent = flow.sent.max(offset);
    }

    /// Goes back to an offset. False when that has not helped before: the log is then left alone.
    pub(super) fn log_resend(&mut self, run: RunId, offset: u64) -> bool {
        let Some(flow) = self.logs.get_mut(&run) else {
            return true;
        };
        if flow.final_sent {
            flow.resends += 1;
        }
        if flow.resends > MOST_RESENDS {
            self.logs.remove(&run);
            return false;
        }
        flow.sent = offset.min(flow.end);
        flow.acked = flow.sent;
        flow.final_sent = false;
        flow.sent_at = None;
        true
    }

    /// A finished log whose bytes have all been sent: its final record goes now, once.
    pub(super) fn take_final(&mut self) -> Option<LogFinal> {
        self.logs.iter_mut().find_map(|(run, flow)| {
            let (size, crc32) = flow.finished?;
            if flow.final_sent || flow.sent < size {
                return None;
            }
            flow.final_sent = true;
            Some(LogFinal {
                run_id: *run,
                size,
                crc32,
            })
        })
    }

    /// The most urgent data that may go now.
    pub(super) fn want(&self, now: Now) -> Option<Want> {
        if self.events.more && self.room(true) > 0 {
            return Some(Want::Events {
                after: self.events.sent,
                limit: EVENT_BATCH,
            });
        }
        if now.ms < self.log_free_at {
            return None;
        }
        self.sendable()
            .filter(|(_, watched, flow)| flow.free_at(*watched).is_some_and(|at| now.ms >= at))
            .min_by_key(|(run, watched, flow)| (!watched, flow.sent_at, *run))
            .map(|(run_id, watched, flow)| Want::Log {
                run_id,
                offset: flow.sent,
                max: usize::try_from(self.room(watched))
                    .unwrap_or(MAX_LOG_BODY)
                    .min(MAX_LOG_BODY),
            })
    }

    /// When held-back log bytes may go.
    pub(super) fn timeout(&self) -> Option<Timeout> {
        let earliest = self
            .sendable()
            .filter_map(|(_, watched, flow)| flow.free_at(watched))
            .min()?;
        Some(Timeout {
            at_ms: earliest.max(self.log_free_at),
            reason: TimeoutReason::Pacing,
        })
    }

    /// Logs for which there is room, each with whether it is watched. A small remainder of the
    /// window is not worth a frame while acknowledgements are due.
    fn sendable(&self) -> impl Iterator<Item = (RunId, bool, &LogFlow)> {
        let (room, backlog_room) = (self.room(true), self.room(false));
        self.logs.iter().filter_map(move |(run, flow)| {
            let watched = self.watched.contains(run);
            let room = if watched { room } else { backlog_room };
            (room >= PACE_BYTES).then_some((*run, watched, flow))
        })
    }

    /// What may be sent before something is acknowledged.
    fn room(&self, watched: bool) -> u64 {
        let held_back = !watched && self.watched().next().is_some();
        let window = if held_back {
            self.window / BACKLOG_PART
        } else {
            self.window
        };
        window.saturating_sub(self.unacked())
    }

    /// Bytes sent and not acknowledged.
    pub(super) fn unacked(&self) -> u64 {
        let events: u64 = self.events.in_flight.iter().map(|(_, bytes)| bytes).sum();
        let logs: u64 = self
            .logs
            .values()
            .map(|flow| flow.sent.saturating_sub(flow.acked))
            .sum();
        events + logs
    }
}

impl LogFlow {
    /// When bytes that are there may go; none when all are sent.
    fn free_at(&self, watched: bool) -> Option<u64> {
        let waiting = self.end.saturating_sub(self.sent);
        if waiting == 0 {
            return None;
        }
        let pace = if waiting >= PACE_BYTES || self.finished.is_some() {
            0
        } else if watched {
            WATCHED_PACE_MS
        } else if self.sent > self.acked {
            // Little by little, but not faster than it is stored: the acknowledgement says when.
            return None;
        } else {
            PACE_MS
        };
        Some(self.sent_at.map_or(0, |at| at + pace))
    }
}
