//! Tools for hosts.

use hostler_proto::error::Failure;
use hostler_proto::host::{AgentFacts, HostFacts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Call, Effect, Entry, entry};
use crate::auth::Scope;
use crate::hosts_catalog::{self, HostView, show};
use crate::mcp::schema::Instant;

pub(super) fn tools() -> Vec<Entry> {
    vec![entry(&LIST, list)]
}

const LIST: About = About {
    name: "hosts_list",
    title: "List hosts and their agents",
    description: "Lists the machines (hosts) on which the caller may work, with their connection, \
        system, load and the coding agents installed on each. Call it first: its ids and names are \
        what workspaces_create, projects_create and automations_create take, and its `agents` are \
        the words for an automation's agent. It says nothing of repositories on a host; use \
        projects_list for those. Facts and readings are the last ones the host sent, so an offline \
        host shows old ones with `lastSeenAt`. Hosts of other people appear only after their owner \
        shared them. An empty list means that none is enrolled yet: `hostler join` does that.",
    scope: Scope::HostsRead,
    effect: Effect::Reads,
    open_world: false,
};

async fn list(call: Call, input: ListInput) -> Result<ListOutput, Failure> {
    let hosts = hosts_catalog::list(&call.app, &call.caller, input.online).await?;
    Ok(ListOutput {
        hosts: hosts.into_iter().map(HostOutput::from).collect(),
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListInput {
    /// True for connected hosts only, false for the others only; left out, all.
    online: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListOutput {
    /// The hosts, by name.
    hosts: Vec<HostOutput>,
}

/// What was never told (before a host's first connection) is null.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HostOutput {
    /// Host id.
    id: String,
    /// Name; taken by other tools in any case.
    name: String,
    /// Whether it is connected now.
    online: bool,
    /// When it was last heard of.
    last_seen_at: Option<Instant>,
    /// `linux` or `macos`.
    os: Option<String>,
    /// Processor architecture.
    arch: Option<String>,
    /// Version of its daemon.
    version: Option<String>,
    /// Logical processors.
    cpus: Option<u32>,
    /// One-minute load average.
    load: Option<f32>,
    /// Memory.
    memory: Option<MemoryOutput>,
    /// The volume that holds Hostler's data.
    disk: Option<DiskOutput>,
    /// Agent runs going on.
    running_runs: Option<u32>,
    /// When load, memory, disk and runs were read.
    readings_at: Option<Instant>,
    /// The most an automation may let an agent do there: `read_only`, `edits` or `full`.
    max_autonomy: Option<String>,
    /// Agents it knows.
    agents: Vec<AgentOutput>,
    /// When it was enrolled.
    enrolled_at: Instant,
    /// What is wrong with it: a second machine that uses its identity, a clock that is off, too
    /// little disk space to take work, or settings that cannot be read.
    warnings: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MemoryOutput {
    /// Physical memory, bytes.
    total_bytes: u64,
    /// In use, bytes.
    used_bytes: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DiskOutput {
    /// Size, bytes.
    total_bytes: u64,
    /// Free, bytes.
    free_bytes: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AgentOutput {
    /// The word for an automation's agent.
    id: String,
    /// Display name.
    label: String,
    /// Whether its program was found.
    available: bool,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// What it says of its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// What has to be mended on that host before it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl From<HostView> for HostOutput {
    fn from(host: HostView) -> Self {
        let warnings = show::warnings(&host);
        let readings_at = host.load.as_ref().map(|(_, at)| (*at).into());
        let readings = host.load.map(|(load, _)| load);
        let facts = host.facts;
        let memory = facts.as_ref().map(|facts| MemoryOutput {
            total_bytes: facts.memory_bytes,
            used_bytes: readings.as_ref().map(|load| load.memory_used_bytes),
        });
        Self {
            id: host.id.to_string(),
            name: host.name,
            online: host.online,
            last_seen_at: host.last_seen_at.map(Into::into),
            os: facts.as_ref().map(|facts| facts.os.clone()),
            arch: facts.as_ref().map(|facts| facts.arch.clone()),
            version: facts.as_ref().map(|facts| facts.daemon_version.clone()),
            cpus: facts.as_ref().map(|facts| facts.cpus),
            load: readings.as_ref().map(|load| load.load_1m),
            memory,
            disk: readings.as_ref().map(|load| DiskOutput {
                total_bytes: load.disk_total_bytes,
                free_bytes: load.disk_free_bytes,
            }),
            running_runs: readings.as_ref().map(|load| load.running_runs),
            readings_at,
            max_autonomy: facts.as_ref().map(|facts| super::word(&facts.max_autonomy)),
            agents: facts.map(agents).unwrap_or_default(),
            enrolled_at: host.enrolled_at.into(),
            warnings,
        }
    }
}

/// The agents, those that the owner of the machine does not allow as such that cannot be used.
fn agents(facts: HostFacts) -> Vec<AgentOutput> {
    let policy = facts.policy.unwrap_or_default();
    let shown = facts.agents.into_iter().map(|agent| {
        let allowed = policy.allows_agent(&agent.id);
        let mut shown = AgentOutput::from(agent);
        if !allowed {
            shown.available = false;
            let why = "the host's owner does not allow it (allowed_agents in host.toml)";
            shown.problem = Some(why.to_owned());
        }
        shown
    });
    shown.collect()
}

impl From<AgentFacts> for AgentOutput {
    fn from(agent: AgentFacts) -> Self {
        Self {
            id: agent.id,
            label: agent.label,
            available: agent.available,
            path: agent.path,
            version: agent.version,
            problem: agent.problem,
        }
    }
}
