//! Signs of life, the same on both ends: when to send a heartbeat (every interval, give or take a
//! tenth) and when silence means that the peer is dead. Any frame counts.

use super::{Chance, Now, Timeout, TimeoutReason};

pub(super) const HEARTBEAT_MS: u64 = 10_000;
pub(super) const DEAD_MS: u64 = 30_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    heartbeat_ms: u64,
    dead_ms: u64,
    next_beat: u64,
    heard: u64,
}

impl Liveness {
    /// Intervals as agreed in `welcome`, held to sane bounds.
    pub(super) fn new(heartbeat_ms: u64, dead_ms: u64, chance: &mut Chance, now: Now) -> Self {
        let heartbeat_ms = heartbeat_ms.clamp(100, 300_000);
        let mut liveness = Self {
            heartbeat_ms,
            dead_ms: dead_ms.max(heartbeat_ms.saturating_mul(2)),
            next_beat: 0,
            heard: now.ms,
        };
        liveness.sent(chance, now);
        liveness
    }

    /// The next heartbeat is due at once: the first one tells how the host is.
    pub(super) fn due(mut self, now: Now) -> Self {
        self.next_beat = now.ms;
        self
    }

    pub(super) fn heard(&mut self, now: Now) {
        self.heard = self.heard.max(now.ms);
    }

    /// A heartbeat went out: plans the next.
    pub(super) fn sent(&mut self, chance: &mut Chance, now: Now) {
        let tenth = self.heartbeat_ms / 10;
        let jitter = chance.below(2 * tenth + 1);
        self.next_beat = now.ms + self.heartbeat_ms - tenth + jitter;
    }

    pub(super) fn beat_due(&self, now: Now) -> bool {
        now.ms >= self.next_beat
    }

    pub(super) fn dead(&self, now: Now) -> bool {
        now.ms >= self.heard + self.dead_ms
    }

    pub(super) fn timeout(&self) -> Timeout {
        let dead = self.heard + self.dead_ms;
        if self.next_beat <= dead {
            Timeout {
                at_ms: self.next_beat,
                reason: TimeoutReason::Heartbeat,
            }
        } else {
            Timeout {
                at_ms: dead,
                reason: TimeoutReason::Dead,
            }
        }
    }
}
