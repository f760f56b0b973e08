//! `hostler status`: this machine as a host, hosts, what runs next and what ran last, on one screen.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::auth;
use crate::client::Session;
use crate::failure::Failure;
use crate::home;
use crate::output;
use crate::when;

pub(crate) fn run(session: &Session) -> Result<ExitCode, Failure> {
    let machine = auth::this_machine(&home::path()?);
    if !session.json() && !machine.is_null() {
        output::line(&format!("This machine  {}", auth::host_words(&machine)))?;
        if let Some(problem) = output::text(&machine["settingsProblem"]) {
            output::line(&indented(&problem))?;
        }
    }
    let (url, _) = session.target()?;
    let hosts = session.call("hosts_list", &json!({}))?["hosts"].take();
    let workspaces = session.call("workspaces_list", &json!({}))?["workspaces"].take();
    let automations = crate::automations::all(session)?;
    if session.json() {
        output::json(
            &json!({"url": url, "thisMachine": machine, "hosts": hosts, "workspaces": workspaces, "automations": automations}),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!("Control plane {url}"))?;
    for host in hosts.as_array().into_iter().flatten() {
        output::line(&host_line(host))?;
        for warning in host["warnings"].as_array().into_iter().flatten() {
            output::line(&indented(&output::cell(warning)))?;
        }
    }
    let count = |list: &Value| list.as_array().map_or(0, Vec::len);
    output::line(&format!(
        "workspaces: {}, automations: {}",
        count(&workspaces),
        automations.len()
    ))?;
    let mut planned: Vec<&Value> = automations
        .iter()
        .filter(|one| one["enabled"] == json!(true) && !one["nextRunAt"].is_null())
        .collect();
    planned.sort_by_key(|one| output::cell(&one["nextRunAt"]));
    for one in planned.iter().take(5) {
        output::line(&format!(
            "  next  {}  {}",
            when::local(&one["nextRunAt"]),
            output::cell(&one["name"])
        ))?;
    }
    let mut ran: Vec<&Value> = automations
        .iter()
        .filter(|one| !one["lastRun"].is_null())
        .collect();
    ran.sort_by_key(|one| std::cmp::Reverse(output::cell(&one["lastRun"]["at"])));
    for one in ran.iter().take(5) {
        let last = &one["lastRun"];
        let state = output::state(&output::cell(&last["state"]));
        output::line(&format!(
            "  last  {}  {}  {state}",
            when::local(&last["at"]),
            output::cell(&one["name"])
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Below what it is about, each of its lines.
fn indented(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| format!("        {line}")).collect();
    lines.join("\n")
}

fn host_line(host: &Value) -> String {
    let online = host["online"] == json!(true);
    let state = output::state(if online { "online" } else { "offline" });
    let seen = if online {
        String::new()
    } else {
        format!(", last seen {}", when::local(&host["lastSeenAt"]))
    };
    let runs = host["runningRuns"].as_u64().unwrap_or(0);
    format!(
        "  host  {}  {state}{seen}, {runs} running",
        output::cell(&host["name"])
    )
}
