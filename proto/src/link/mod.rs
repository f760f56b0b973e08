//! The link session of each end, without sockets, tasks or clocks.
//!
//! Both sessions have the same shape: frames and facts go in through `handle_*` and named inputs,
//! each with `now`; frames to send, things that happened and the next deadline come out of
//! `poll_transmit`, `poll_event` and `poll_timeout`. A session lives as long as one socket. What
//! must outlive it (unacknowledged events, log bytes, replies) lies in the databases of both ends,
//! so a cut at any byte loses nothing and repeats nothing that is applied.

pub mod backoff;
pub mod control;
pub mod history;
pub mod host;
mod liveness;
mod outflow;
pub mod proof;
mod skew;

use sha2::{Digest, Sha256};

use crate::frame::{Envelope, FrameError};
use crate::ids::AutomationId;
use crate::time::UtcMillis;

/// Both clocks as the caller read them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never steps back and does not count time asleep.
    pub ms: u64,
    /// The wall clock.
    pub wall: UtcMillis,
}

/// Something for the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
    /// Close the socket, with a code and a reason of at most 120 bytes.
    Close {
        /// One of [`close`].
        code: u16,
        /// For people.
        reason: String,
    },
}

/// When a session wants `handle_timeout`, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// On the scale of [`Now::ms`].
    pub at_ms: u64,
    /// What falls due then.
    pub reason: TimeoutReason,
}

/// What falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutReason {
    /// The peer must have introduced itself.
    Handshake,
    /// A heartbeat is to be sent.
    Heartbeat,
    /// The peer counts as dead.
    Dead,
    /// Wall and awake clocks are compared, to notice that the machine slept.
    WakeCheck,
    /// Log bytes held back for a moment may go.
    Pacing,
    /// A request's deadline.
    Deadline,
    /// The answer to a probe.
    Probe,
}

/// Close codes of the link (RFC 6455 section 7.4; 4000-4999 are private use).
pub mod close {
    /// Done, in good order.
    pub const NORMAL: u16 = 1000;
    /// The peer broke the protocol.
    pub const PROTOCOL: u16 = 1002;
    /// A frame that is not what its type says (text that is not an envelope).
    pub const NOT_READABLE: u16 = 1007;
    /// A frame over the limit.
    pub const TOO_LARGE: u16 = 1009;
    /// The server is restarting.
    pub const RESTARTING: u16 = 1012;
    /// Authenticate again.
    pub const AUTHENTICATE: u16 = 4401;
    /// The host's access was taken away.
    pub const REVOKED: u16 = 4403;
    /// Silent too long.
    pub const STALE: u16 = 4408;
    /// A newer connection of the same host took over.
    pub const REPLACED: u16 = 4409;
    /// The host was removed.
    pub const GONE: u16 = 4410;
}

/// Hash of a desired state: SHA-256 (hex) over `id revision` lines in the order of ids.
pub fn desired_hash(entries: impl IntoIterator<Item = (AutomationId, u64)>) -> String {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_unstable();
    let mut hash = Sha256::new();
    for (id, revision) in entries {
        hash.update(format!("{id} {revision}\n"));
    }
    hex::encode(hash.finalize())
}

/// The close that answers a frame that cannot be read; none when an error frame answers it.
fn close_for(error: &FrameError) -> Option<Outgoing> {
    let code = match error {
        FrameError::TooLarge { .. } => close::TOO_LARGE,
        FrameError::NotAnEnvelope(_) => close::NOT_READABLE,
        FrameError::Binary(_) => close::PROTOCOL,
        FrameError::Payload { .. } => return None,
    };
    Some(closing(code, &error.to_string()))
}

/// A close with its reason cut to what a close frame can carry.
fn closing(code: u16, reason: &str) -> Outgoing {
    let mut end = reason.len().min(120);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    Outgoing::Close {
        code,
        reason: reason[..end].to_owned(),
    }
}

/// A frame as text. Our own types always serialize; should one not, the peer is told so.
fn text(envelope: &Envelope) -> Outgoing {
    envelope.encode().map_or_else(
        |error| closing(close::PROTOCOL, &error.to_string()),
        Outgoing::Text,
    )
}

/// Uniform numbers from one seed (SplitMix64): chance is a parameter.
#[derive(Clone, Copy, Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound` (0 when the bound is 0).
    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
