//! Looks at this machine when the daemon starts and now and then, and tells what changed.
//!
//! Finding agents asks the login shell and each agent, so it happens seldom and beside the runtime.

use std::time::Duration;

use hostler_proto::host::{AgentFacts, HostFacts};
use tokio_util::sync::CancellationToken;

use crate::agents::{Agents, find};
use crate::{Context, announce, clock, host, platform};

/// How often agents are looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(30 * 60);

/// Tells the host's facts until `stop`.
pub(crate) async fn run(context: Context, stop: CancellationToken) -> Result<(), String> {
    let agents = Agents::load(&context.layout.agents_file()).map_err(|error| error.to_string())?;
    // The first facts ever go at once, from this process' own PATH, so that the host can be used.
    if !announce::has_facts(&context)
        .await
        .map_err(|error| error.to_string())?
    {
        let path = std::env::var("PATH").unwrap_or_default();
        tell(&context, quick(&agents, &path)).await;
    }
    loop {
        let agents = agents.clone();
        let look = move || {
            find::facts(
                &agents,
                &platform::login_path(&std::env::home_dir().unwrap_or_default()),
            )
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            found = tokio::task::spawn_blocking(look) => match found {
                Ok(found) => tell(&context, found).await,
                Err(error) => tracing::warn!(%error, "agents could not be looked for"),
            },
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

async fn tell(context: &Context, agents: Vec<AgentFacts>) {
    let facts = HostFacts {
        os: host::os().to_owned(),
        arch: host::arch().to_owned(),
        daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
        cpus: host::cpus(),
        memory_bytes: host::memory_bytes(),
        agents,
        max_autonomy: context.config.max_autonomy,
        tzdb_version: host::tzdb_version(),
    };
    if let Err(error) = announce::facts(context, facts, clock::wall()).await {
        tracing::warn!(%error, "this host's facts could not be recorded");
    }
}

/// Agents without their versions: nothing is started.
fn quick(agents: &Agents, path: &str) -> Vec<AgentFacts> {
    let facts = |agent: &crate::agents::Agent| {
        let found = find::program(&agent.command, path);
        AgentFacts {
            id: agent.id.clone(),
            label: agent.label.clone(),
            available: found.is_some(),
            path: found.map(|place| place.to_string_lossy().into_owned()),
            version: None,
        }
    };
    agents.iter().map(facts).collect()
}
