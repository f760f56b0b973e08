//! What the frames of the link carry. Passive data; unknown fields are ignored on reading.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::automation::AutomationSpec;
use crate::error::{ErrorCode, Failure};
use crate::host::HostLoad;
use crate::ids::{AutomationId, HostId, InstanceId, RunId};
use crate::time::UtcMillis;
use crate::version::VersionRange;

/// The control plane's first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// 32 random bytes, hex: the host signs them.
    pub nonce: String,
    /// Which control plane this is.
    pub server_id: Uuid,
    /// Its wall clock.
    pub server_time: UtcMillis,
    /// Versions it accepts.
    pub versions: VersionRange,
}

/// The host's answer: who it is, the proof, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version the host will speak.
    pub version: u16,
    /// Which host.
    pub host_id: HostId,
    /// One boot of the machine's operating system.
    pub boot_id: String,
    /// One start of the daemon process.
    pub instance_id: InstanceId,
    /// How often the daemon has started on this machine.
    pub start_counter: u64,
    /// Version of the daemon program.
    pub daemon_version: String,
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub arch: String,
    /// Named abilities beyond the version's base.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Ed25519 signature (hex) over nonce, host id, instance id and server id.
    pub signature: String,
    /// The host's wall clock.
    pub time: UtcMillis,
    /// Revision of the desired state it has applied.
    pub applied_revision: u64,
    /// Hash of the desired state it has applied; empty when it has none.
    #[serde(default)]
    pub applied_hash: String,
    /// The sequence number its next event will get.
    pub next_seq: u64,
    /// Runs going on, and runs whose log is not wholly acknowledged (the newest thousand).
    #[serde(default)]
    pub runs: Vec<RunMark>,
    /// Which start of the daemon numbered which events, oldest first (the newest two hundred). A
    /// host whose database was restored from a backup gives numbers again, from another start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lives: Vec<Life>,
    /// What tells this machine from others: [`crate::link::proof::machine_mark`]. None where the
    /// system has no name of its own for the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

/// One start of a daemon on its database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// The number its first event got, or would get.
    pub first_seq: u64,
    /// Made by chance for this start.
    pub mark: String,
}

/// Where one run stands on its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMark {
    /// Which run.
    pub run_id: RunId,
    /// The word of its state.
    pub state: String,
    /// Bytes of log so far.
    pub log_end: u64,
}

/// The control plane takes the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Name of this session, for logs on both ends.
    pub session: Uuid,
    /// Grows with each accepted connection of this host.
    pub epoch: u64,
    /// Time between heartbeats, milliseconds.
    pub heartbeat_ms: u64,
    /// Silence after which the other end is dead, milliseconds.
    pub dead_ms: u64,
    /// Limits of the control plane.
    #[serde(default)]
    pub limits: Limits,
    /// Revision of the desired state it holds for this host.
    pub desired_revision: u64,
    /// What it has stored of this host.
    pub acks: Acks,
}

/// Limits the sender of data keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Largest text frame, bytes.
    pub max_text: u64,
    /// Largest binary frame, bytes.
    pub max_binary: u64,
    /// Most event and log bytes in flight without an acknowledgement.
    pub window: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_text: super::MAX_TEXT as u64,
            max_binary: super::MAX_BINARY as u64,
            window: 1 << 20,
        }
    }
}

/// What the control plane has stored of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acks {
    /// Every event up to this sequence number.
    pub seq: u64,
    /// Log offsets of the runs named in `hello`.
    #[serde(default)]
    pub logs: Vec<LogAck>,
}

/// The control plane refuses the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Why.
    pub code: RejectCode,
    /// One sentence for the host's log.
    #[serde(default)]
    pub message: String,
    /// Earliest time to try again, milliseconds from now.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
    /// True when trying again is useless.
    pub fatal: bool,
    /// With `version_unsupported`: what would be accepted.
    #[serde(default)]
    pub versions: Option<VersionRange>,
}

/// Why a host is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectCode {
    /// Never enrolled here, or removed.
    UnknownHost,
    /// Its access was taken away.
    Revoked,
    /// The proof does not fit the host's key.
    BadSignature,
    /// No common version.
    VersionUnsupported,
    /// The same identity is alive on another machine.
    Duplicate,
    /// The identity was last used on another machine: its owner has to say which one is the host.
    Moved,
    /// Its clock is too far off.
    ClockSkew,
    /// Too many connections at once.
    Overloaded,
    /// A reason newer than this program.
    #[serde(other)]
    Other,
}

/// Sign of life, both ways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// The sender's wall clock.
    pub time: UtcMillis,
    /// The host's readings; absent from the control plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<HostLoad>,
    /// Asks for a heartbeat at once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub probe: bool,
}

/// An error on the wire. Its code is open: one newer than this program reads as `host_error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireError {
    /// Word of the code.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// Whether the same request may succeed later.
    #[serde(default)]
    pub retryable: bool,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The words of git or the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl From<Failure> for WireError {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code.as_str().to_owned(),
            message: failure.message,
            retryable: failure.code.retryable(),
            hint: failure.hint,
            detail: failure.detail,
        }
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        let code = serde_json::from_value(serde_json::Value::String(error.code))
            .unwrap_or(ErrorCode::HostError);
        Self {
            code,
            message: error.message,
            hint: error.hint,
            detail: error.detail,
        }
    }
}

/// A step of the desired state of one host, from one revision to another. `full` replaces
/// everything the host has. A large step travels in parts; only the last has `more` false.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// The revision it starts from (meaningless when full).
    pub from: u64,
    /// The revision it leads to.
    pub to: u64,
    /// Automations new or changed.
    #[serde(default)]
    pub upserts: Vec<AutomationSpec>,
    /// Automations no longer wanted on this host.
    #[serde(default)]
    pub tombstones: Vec<AutomationId>,
    /// Whether it is the whole state.
    #[serde(default)]
    pub full: bool,
    /// [`crate::link::desired_hash`] of the state at `to`.
    pub hash: String,
    /// Whether another part of the same step follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// The host has applied a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncAck {
    /// The revision it is at.
    pub revision: u64,
    /// The hash it computed from what it stored.
    pub hash: String,
    /// The number its next event got in the moment it applied the step: what it did with what it
    /// had before lies below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_seq: Option<u64>,
}

/// The host cannot apply a step and asks for the whole state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncWanted {
    /// The revision it is at.
    pub have: u64,
    /// Why.
    pub reason: String,
}

/// Events in the order of the host's outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Events {
    /// The sequence number sent before the first of these (sequences may skip quarantined ones).
    pub prev: u64,
    /// The events.
    pub items: Vec<EventItem>,
}

/// One event, still as JSON, so that one newer than this program can be set aside by number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventItem {
    /// Its number on the host.
    pub seq: u64,
    /// An [`crate::event::Event`].
    pub event: serde_json::Value,
}

/// A cumulative position in the host's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMark {
    /// Everything up to and including this number.
    pub seq: u64,
}

/// The control plane will never take this event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRefused {
    /// Which.
    pub seq: u64,
    /// Why, in one sentence.
    pub reason: String,
}

/// A finished run's log, as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFinal {
    /// Which run.
    pub run_id: RunId,
    /// Bytes in all.
    pub size: u64,
    /// CRC-32 (IEEE) of all of them.
    pub crc32: u32,
}

/// How much of a run's log the control plane has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAck {
    /// Which run.
    pub run_id: RunId,
    /// Every byte before this offset.
    pub offset: u64,
    /// Whether that is all of it, checked against size and checksum.
    #[serde(default)]
    pub complete: bool,
}

/// The control plane wants a run's log again from an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogResend {
    /// Which run.
    pub run_id: RunId,
    /// From here on.
    pub offset: u64,
}

/// Somebody began or stopped watching a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Which run.
    pub run_id: RunId,
    /// Whether it is watched now.
    pub on: bool,
}

/// The control plane asks for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slow {
    /// Most log bytes per second; 0 lifts the limit.
    pub max_bps: u64,
}

/// The control plane is going down in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bye {
    /// When to come back, milliseconds from now.
    pub reconnect_after_ms: u64,
}
