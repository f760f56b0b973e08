//! A host's facts and its heartbeat's readings.

use serde::{Deserialize, Serialize};

use crate::automation::Autonomy;

/// What a host says of itself; changes rarely, sent as an event when it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Operating system (`linux`, `macos`).
    pub os: String,
    /// Processor architecture (`x86_64`, `aarch64`).
    pub arch: String,
    /// Version of the daemon program.
    pub daemon_version: String,
    /// Logical processors.
    pub cpus: u32,
    /// Physical memory in bytes.
    pub memory_bytes: u64,
    /// Agents that this host can run.
    pub agents: Vec<AgentFacts>,
    /// The most an automation may let an agent do here.
    pub max_autonomy: Autonomy,
    /// Version of the time zone database in use, when known.
    #[serde(default)]
    pub tzdb_version: Option<String>,
}

/// One agent as found on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFacts {
    /// Its id in automations (`claude`, `codex`, `shell`).
    pub id: String,
    /// Display name.
    pub label: String,
    /// Whether its command was found on the login shell's PATH.
    pub available: bool,
    /// Absolute path of the command found.
    #[serde(default)]
    pub path: Option<String>,
    /// What its `--version` says, when asked.
    #[serde(default)]
    pub version: Option<String>,
    /// Why it cannot be used although it may be there: what is wrong in the host's `agents.toml`.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Readings carried by each heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostLoad {
    /// One-minute load average.
    pub load_1m: f32,
    /// Memory in use, bytes.
    pub memory_used_bytes: u64,
    /// Free space on the data volume, bytes.
    pub disk_free_bytes: u64,
    /// Size of the data volume, bytes.
    pub disk_total_bytes: u64,
    /// Agent runs going on.
    pub running_runs: u32,
    /// Why the host takes no new work for want of disk space, in a sentence with figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_space: Option<String>,
}
