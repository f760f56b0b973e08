//! Frames of the link: JSON text `{"id","re","deadline_ms","type","payload"}` for everything but
//! log bytes, which are binary (see [`log`]).
//!
//! Reading is tolerant: unknown fields are ignored and an unknown type is a value
//! ([`Body::Unknown`]), because a newer peer must not be cut off for saying something new. Sizes
//! are bounded before anything is parsed.

pub mod log;
pub mod payload;

use serde::{Deserialize, Serialize};

use crate::command::{Command, Progress, Reply};
use payload::{
    Bye, Challenge, EventMark, EventRefused, Events, Heartbeat, Hello, LogAck, LogFinal, LogResend,
    Reject, Slow, Sync, SyncAck, SyncWanted, Watch, Welcome, WireError,
};

/// Largest text frame, bytes: one automation with a prompt of 100,000 characters fits however its
/// characters are escaped.
pub const MAX_TEXT: usize = 1 << 20;

/// Largest text frame before the host is known, bytes: `hello` with a thousand runs fits.
pub const MAX_TEXT_BEFORE_WELCOME: usize = 256 << 10;

/// Largest binary frame, bytes.
pub const MAX_BINARY: usize = 128 << 10;

/// One text frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Present on requests; commands use their `CommandId`.
    pub id: Option<String>,
    /// The request this answers.
    pub re: Option<String>,
    /// Time left for the request, milliseconds from when the frame was sent.
    pub deadline_ms: Option<u64>,
    /// What it says.
    pub body: Body,
}

/// What a text frame says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A frame of the link itself.
    Message(Message),
    /// A request to the host.
    Command(Command),
    /// A type this program does not know; answered with `unsupported`.
    Unknown {
        /// The type.
        kind: String,
    },
}

/// Frames of the link itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum Message {
    /// Control plane: prove who you are.
    Challenge(Challenge),
    /// Host: who it is, with proof.
    Hello(Box<Hello>),
    /// Control plane: taken.
    Welcome(Box<Welcome>),
    /// Control plane: refused.
    Reject(Reject),
    /// Both: alive.
    Heartbeat(Heartbeat),
    /// Host: a request worked.
    Ok(Reply),
    /// Both: a request failed.
    Error(WireError),
    /// Host: how far a request is.
    Progress(Progress),
    /// Control plane: a step of the desired state.
    Sync(Sync),
    /// Host: the step is applied.
    SyncAck(SyncAck),
    /// Host: send the whole state.
    SyncWanted(SyncWanted),
    /// Host: events.
    Events(Events),
    /// Control plane: events stored.
    EventAck(EventMark),
    /// Control plane: a gap; send again after this one.
    EventNack(EventMark),
    /// Control plane: this event will never be taken.
    EventRefused(EventRefused),
    /// Host: a log's size and checksum.
    LogFinal(LogFinal),
    /// Control plane: log bytes stored.
    LogAck(LogAck),
    /// Control plane: send a log again.
    LogResend(LogResend),
    /// Control plane: this log comes first now.
    Watch(Watch),
    /// Control plane: less.
    Slow(Slow),
    /// Control plane: going down.
    Bye(Bye),
}

impl Message {
    /// Every type of this enum as on the wire.
    pub const TYPES: &[&str] = &[
        "challenge",
        "hello",
        "welcome",
        "reject",
        "heartbeat",
        "ok",
        "error",
        "progress",
        "sync",
        "sync_ack",
        "sync_wanted",
        "events",
        "event_ack",
        "event_nack",
        "event_refused",
        "log_final",
        "log_ack",
        "log_resend",
        "watch",
        "slow",
        "bye",
    ];

    /// The type as on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Challenge(_) => "challenge",
            Self::Hello(_) => "hello",
            Self::Welcome(_) => "welcome",
            Self::Reject(_) => "reject",
            Self::Heartbeat(_) => "heartbeat",
            Self::Ok(_) => "ok",
            Self::Error(_) => "error",
            Self::Progress(_) => "progress",
            Self::Sync(_) => "sync",
            Self::SyncAck(_) => "sync_ack",
            Self::SyncWanted(_) => "sync_wanted",
            Self::Events(_) => "events",
            Self::EventAck(_) => "event_ack",
            Self::EventNack(_) => "event_nack",
            Self::EventRefused(_) => "event_refused",
            Self::LogFinal(_) => "log_final",
            Self::LogAck(_) => "log_ack",
            Self::LogResend(_) => "log_resend",
            Self::Watch(_) => "watch",
            Self::Slow(_) => "slow",
            Self::Bye(_) => "bye",
        }
    }
}

/// Types of [`Command`] as on the wire.
pub const COMMAND_TYPES: &[&str] = &[
    "project_create",
    "workspace_create",
    "workspace_delete",
    "workspaces_count",
    "run_start",
    "run_cancel",
];

/// A frame that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than allowed.
    #[error("a frame of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Not an envelope at all: the peer does not speak this protocol.
    #[error("a frame is not an envelope: {0}")]
    NotAnEnvelope(#[source] serde_json::Error),
    /// An envelope of a known type whose payload does not fit.
    #[error("a {kind} frame cannot be read: {source}")]
    Payload {
        /// Its id, to answer it.
        id: Option<String>,
        /// Its type.
        kind: String,
        /// What did not fit.
        source: serde_json::Error,
    },
    /// A binary frame that is not a log frame.
    #[error("a binary frame cannot be read: {0}")]
    Binary(String),
}

#[derive(Deserialize)]
struct RawEnvelope {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    re: Option<String>,
    #[serde(default)]
    deadline_ms: Option<u64>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default = "empty_object")]
    payload: serde_json::Value,
}

fn empty_object() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

#[derive(Serialize)]
struct WrittenEnvelope<'a, T: Serialize> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    re: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u64>,
    #[serde(flatten)]
    body: &'a T,
}

impl Envelope {
    /// A frame that is neither a request nor an answer.
    pub fn message(message: Message) -> Self {
        Self {
            id: None,
            re: None,
            deadline_ms: None,
            body: Body::Message(message),
        }
    }

    /// An answer to a request.
    pub fn answer(re: Option<String>, message: Message) -> Self {
        Self {
            re,
            ..Self::message(message)
        }
    }

    /// A request to the host.
    pub fn command(id: String, deadline_ms: u64, command: Command) -> Self {
        Self {
            id: Some(id),
            re: None,
            deadline_ms: Some(deadline_ms),
            body: Body::Command(command),
        }
    }

    /// Reads a text frame of at most `limit` bytes.
    pub fn decode(text: &str, limit: usize) -> Result<Self, FrameError> {
        if text.len() > limit {
            return Err(FrameError::TooLarge {
                size: text.len(),
                limit,
            });
        }
        let raw: RawEnvelope = serde_json::from_str(text).map_err(FrameError::NotAnEnvelope)?;
        let body = if Message::TYPES.contains(&raw.kind.as_str()) {
            Body::Message(typed(raw.id.as_ref(), raw.kind, raw.payload)?)
        } else if COMMAND_TYPES.contains(&raw.kind.as_str()) {
            Body::Command(typed(raw.id.as_ref(), raw.kind, raw.payload)?)
        } else {
            Body::Unknown { kind: raw.kind }
        };
        Ok(Self {
            id: raw.id,
            re: raw.re,
            deadline_ms: raw.deadline_ms,
            body,
        })
    }

    /// Writes the frame as JSON text.
    pub fn encode(&self) -> Result<String, FrameError> {
        match &self.body {
            Body::Message(message) => self.write(message, message.kind()),
            Body::Command(command) => self.write(command, "command"),
            Body::Unknown { kind } => self.write(&serde_json::json!({ "type": kind }), kind),
        }
    }

    fn write<T: Serialize>(&self, body: &T, kind: &str) -> Result<String, FrameError> {
        serde_json::to_string(&WrittenEnvelope {
            id: self.id.as_deref(),
            re: self.re.as_deref(),
            deadline_ms: self.deadline_ms,
            body,
        })
        .map_err(|source| FrameError::Payload {
            id: self.id.clone(),
            kind: kind.to_owned(),
            source,
        })
    }
}

fn typed<T: for<'de> Deserialize<'de>>(
    id: Option<&String>,
    kind: String,
    payload: serde_json::Value,
) -> Result<T, FrameError> {
    let tagged = serde_json::Value::Object(serde_json::Map::from_iter([
        ("type".to_owned(), serde_json::Value::String(kind.clone())),
        ("payload".to_owned(), payload),
    ]));
    serde_json::from_value(tagged).map_err(|source| FrameError::Payload {
        id: id.cloned(),
        kind,
        source,
    })
}

#[cfg(test)]
mod tests;
