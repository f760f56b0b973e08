//! `hostler hosts …`

mod manage;

use std::process::ExitCode;

use hostler_proto::enrol::ENROLMENT_KEYS_PATH;
use serde_json::{Value, json};

use crate::args::HostsCommand;
use crate::client::{self, Session};
use crate::failure::Failure;
use crate::output;
use crate::when;

pub(crate) fn run(session: &Session, command: &HostsCommand) -> Result<ExitCode, Failure> {
    match command {
        HostsCommand::List { all: true, .. } => manage::all(session)?,
        HostsCommand::List { online, .. } => list(session, *online)?,
        HostsCommand::Show(host) => manage::show(session, host)?,
        HostsCommand::Members(host) => manage::members_of(session, host)?,
        HostsCommand::Rename { host, name } => manage::rename(session, host, name)?,
        HostsCommand::Revoke(host) => manage::revoke(session, host)?,
        HostsCommand::Grant { host, member } => manage::grant(session, host, member)?,
        HostsCommand::Ungrant { host, member } => manage::ungrant(session, host, member)?,
        HostsCommand::Transfer { host, member } => manage::transfer(session, host, member)?,
        HostsCommand::Confirm { host, keep } => manage::confirm(session, host, *keep)?,
        HostsCommand::Keys { revoke } => manage::keys(session, revoke.as_deref())?,
        HostsCommand::RotateKey => manage::rotate_key(session)?,
        HostsCommand::EnrolKey => enrol_key(session)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The host a command means when none was named: the only one there is.
pub(crate) fn only(session: &Session, named: Option<String>) -> Result<String, Failure> {
    if let Some(named) = named {
        return Ok(named);
    }
    let answer = session.call("hosts_list", &json!({}))?;
    let hosts = answer["hosts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    match hosts {
        [only] => Ok(output::cell(&only["id"])),
        [] => Err(Failure::usage("There is no host yet.")
            .hint("Enrol one: `hostler up` on this machine, or `hostler join URL` on another.")),
        several => {
            let choices: Vec<_> = several
                .iter()
                .map(|host| output::cell(&host["name"]))
                .collect();
            Err(Failure::usage("There is more than one host.")
                .hint(format!("Say which with --host: {}.", choices.join(", "))))
        }
    }
}

fn list(session: &Session, online: bool) -> Result<(), Failure> {
    let arguments = if online {
        json!({"online": true})
    } else {
        json!({})
    };
    let answer = session.call("hosts_list", &arguments)?;
    if session.json() {
        return output::json(&answer);
    }
    let rows = answer["hosts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(row)
        .collect();
    output::table(
        &[
            "name",
            "state",
            "last seen",
            "os",
            "load",
            "memory",
            "disk free",
            "runs",
            "agents",
            "id",
        ],
        rows,
        "No hosts. Enrol one: `hostler join URL` there.",
    )?;
    for host in answer["hosts"].as_array().into_iter().flatten() {
        for warning in host["warnings"].as_array().into_iter().flatten() {
            let name = output::cell(&host["name"]);
            output::line(&format!("warning: {name}: {}", output::cell(warning)))?;
        }
    }
    Ok(())
}

fn row(host: &Value) -> Vec<String> {
    let agents: Vec<_> = host["agents"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(agent_cell)
        .collect();
    let online = host["online"] == json!(true);
    vec![
        output::cell(&host["name"]),
        output::state(if online { "online" } else { "offline" }),
        when::local(&host["lastSeenAt"]),
        format!(
            "{}/{}",
            output::cell(&host["os"]),
            output::cell(&host["arch"])
        ),
        load(&host["load"]),
        output::size(&host["memory"]["totalBytes"]),
        output::size(&host["disk"]["freeBytes"]),
        output::cell(&host["runningRuns"]),
        agents.join(", "),
        output::cell(&host["id"]),
    ]
}

/// `claude 2.1.330`; nothing for one that is not installed.
fn agent_cell(agent: &Value) -> Option<String> {
    let id = output::cell(&agent["id"]);
    if agent["problem"].is_string() {
        return Some(format!("{id} (see agents.toml)"));
    }
    if agent["available"] == json!(false) {
        return None;
    }
    // Programs say more than their number: `codex-cli 0.169.0`, `2.1.330 (Claude Code)`.
    let said = agent["version"].as_str().unwrap_or_default();
    let mut words = said.split_ascii_whitespace();
    let number = words.find(|word| {
        let word = word.trim_start_matches('v');
        word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.')
    });
    let number = number.map(|word| word.trim_end_matches(['.', ',']));
    Some(number.map_or_else(|| id.clone(), |number| format!("{id} {number}")))
}

fn load(load: &Value) -> String {
    load.as_f64()
        .map_or_else(|| output::cell(load), |load| format!("{load:.2}"))
}

fn enrol_key(session: &Session) -> Result<(), Failure> {
    let access = session.access(None)?;
    let answer = client::post(&access, ENROLMENT_KEYS_PATH)?;
    if session.json() {
        return output::json(&answer);
    }
    output::line("Single use, good for 15 minutes. On the machine to enrol:")?;
    output::line(&format!(
        "  hostler join {} --key {} && hostler daemon",
        access.url,
        output::cell(&answer["key"])
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_shown_with_its_number() {
        for (agent, expected) in [
            (
                json!({"id": "claude", "available": true, "version": "2.1.330 (Claude Code)"}),
                Some("claude 2.1.330"),
            ),
            (
                json!({"id": "codex", "available": true, "version": "codex-cli 0.169.0"}),
                Some("codex 0.169.0"),
            ),
            (
                json!({"id": "copilot", "available": true, "version": "GitHub Copilot CLI 1.0.102."}),
                Some("copilot 1.0.102"),
            ),
            (json!({"id": "shell", "available": true}), Some("shell")),
            (json!({"id": "amp", "available": false}), None),
            (
                json!({"id": "pi", "available": false, "problem": "x"}),
                Some("pi (see agents.toml)"),
            ),
        ] {
            assert_eq!(agent_cell(&agent).as_deref(), expected);
        }
    }
}
