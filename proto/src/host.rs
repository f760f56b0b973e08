//! A host's facts and its heartbeat's readings.

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
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
    /// What its owner allows; none from daemons that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<HostPolicy>,
}

/// What the owner of a machine allows on it, in its `host.toml`. Told so that a request that would
/// be refused is refused early; the host itself has the last word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostPolicy {
    /// Folders that projects may lie in; empty is anywhere.
    pub allowed_roots: Vec<String>,
    /// Agents that may be run; none is every agent.
    pub allowed_agents: Option<Vec<String>>,
    /// Emails or ids of the members that may use it; none is whoever the control plane lets.
    pub allowed_members: Option<Vec<String>>,
    /// Agent runs at the same time.
    pub max_runs: u32,
    /// What is wrong with the file, whose last good content still holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl HostPolicy {
    /// Whether a person may use the host. Somebody unnamed may only where everybody may.
    pub fn allows_member(&self, who: Option<&Actor>) -> bool {
        let Some(members) = &self.allowed_members else {
            return true;
        };
        who.is_some_and(|who| {
            let id = who.user_id.to_string();
            let named = |entry: &String| {
                entry.trim().eq_ignore_ascii_case(&id)
                    || entry.trim().to_lowercase() == who.email.trim().to_lowercase()
            };
            members.iter().any(named)
        })
    }

    /// Whether an agent may be run.
    pub fn allows_agent(&self, agent: &str) -> bool {
        let allowed = self.allowed_agents.as_ref();
        allowed.is_none_or(|allowed| allowed.iter().any(|one| one == agent))
    }
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::UserId;

    #[test]
    fn members_are_named_by_email_in_any_case_or_by_id_and_nobody_is_not_somebody() {
        let ada = Actor {
            user_id: UserId(Uuid::from_u128(7)),
            email: "Ada@Example.com".into(),
        };
        let policy = |members: &[&str]| HostPolicy {
            allowed_members: Some(members.iter().map(|one| (*one).to_owned()).collect()),
            ..HostPolicy::default()
        };
        assert!(policy(&["bob@example.com", " ada@example.COM "]).allows_member(Some(&ada)));
        assert!(policy(&[&Uuid::from_u128(7).to_string()]).allows_member(Some(&ada)));
        for others in [&[][..], &["ada"], &["ada@example.com.evil"], &[""]] {
            assert!(!policy(others).allows_member(Some(&ada)), "{others:?}");
        }
        assert!(!policy(&["ada@example.com"]).allows_member(None));
        assert!(HostPolicy::default().allows_member(None));
    }

    #[test]
    fn no_list_allows_every_agent_and_an_empty_one_none() {
        let policy = |agents: Option<&[&str]>| HostPolicy {
            allowed_agents: agents.map(|all| all.iter().map(|one| (*one).to_owned()).collect()),
            ..HostPolicy::default()
        };
        assert!(policy(None).allows_agent("claude"));
        assert!(policy(Some(&["claude"])).allows_agent("claude"));
        assert!(!policy(Some(&["claude"])).allows_agent("Claude"));
        assert!(!policy(Some(&[])).allows_agent("claude"));
    }
}
