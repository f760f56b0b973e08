//! Enrolment over HTTP: a host posts the public half of a key pair it made itself, with a single-use
//! key (`Authorization: Bearer hk_…`), to `POST /v1/hosts/enrol`.
//!
//! The statement signed proves that the host holds the private half. Repeating a request with the
//! same single-use key and the same public key gives the same answer.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::HostId;

/// Path of enrolment.
pub const ENROL_PATH: &str = "/v1/hosts/enrol";
/// Path where somebody with an API key gets a single-use enrolment key.
pub const ENROLMENT_KEYS_PATH: &str = "/v1/hosts/enrolment-keys";
/// Path of changing a host's key.
pub const ROTATE_PATH: &str = "/v1/hosts/rotate-key";
/// Path of leaving.
pub const LEAVE_PATH: &str = "/v1/hosts/leave";
/// Path of the websocket.
pub const LINK_PATH: &str = "/v1/host/link";

/// What a host posts to enrol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// Name it wants; 1..=100 characters.
    pub name: String,
    /// Its Ed25519 public key, hex.
    pub public_key: String,
    /// Signature (hex) of [`enrol_statement`].
    pub signature: String,
}

/// The host is enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolReply {
    /// Its id.
    pub host_id: HostId,
    /// Its name.
    pub name: String,
    /// The control plane it now belongs to.
    pub server_id: Uuid,
}

/// What a host posts to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveRequest {
    /// Which host.
    pub host_id: HostId,
    /// Signature (hex) of [`leave_statement`].
    pub signature: String,
}

/// What a host posts to change its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotateRequest {
    /// Which host.
    pub host_id: HostId,
    /// The new Ed25519 public key, hex.
    pub public_key: String,
    /// Signature (hex) of [`rotate_statement`] by the key it has.
    pub old_signature: String,
    /// The same by the new key.
    pub new_signature: String,
}

/// The host has another key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotateReply {
    /// Until when the key before is good, UTC milliseconds; none when it no longer is.
    #[serde(default)]
    pub old_key_until: Option<i64>,
}

/// What is signed to enrol: the single-use key, which no one else knows, and the name.
pub fn enrol_statement(key: &str, name: &str) -> Vec<u8> {
    format!("hostler enrol v1\0{key}\0{name}").into_bytes()
}

/// What is signed to leave. Good for ever, for leaving twice is leaving once.
pub fn leave_statement(host: HostId, server: Uuid) -> Vec<u8> {
    format!("hostler leave v1\0{host}\0{server}").into_bytes()
}

/// What is signed, by the key a host has and by the new one, to change to the new one.
pub fn rotate_statement(host: HostId, server: Uuid, public_key: &str) -> Vec<u8> {
    format!("hostler rotate v1\0{host}\0{server}\0{public_key}").into_bytes()
}
