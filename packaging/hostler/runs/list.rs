//! `hostler runs list`: the newest runs over all automations, deleted ones included.
//!
//! Runs are listed per automation, so the automations are asked one after another, those that ran
//! last first, until no older one can have a newer run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::args::RunsFilter;
use crate::client::Session;
use crate::failure::Failure;
use crate::{automations, output, when};

/// Most runs of one automation that a call gives.
const MOST_OF_ONE: usize = 100;

pub(super) fn list(session: &Session, filter: &RunsFilter) -> Result<(), Failure> {
    let hosts = hosts(session)?;
    let wanted = Wanted {
        host: filter
            .host
            .as_deref()
            .map(|host| host_id(&hosts, host))
            .transpose()?,
        state: filter.state.clone(),
        limit: filter.limit,
    };
    let automations = candidates(session, filter.automation.as_deref())?;
    let mut runs = newest(session, &automations, &wanted)?;
    for run in &mut runs {
        let host = run["hostId"].as_str().and_then(|id| hosts.get(id));
        run["hostName"] = json!(host);
    }
    if session.json() {
        return output::json(&json!({"runs": runs}));
    }
    let rows = runs.iter().map(row).collect();
    output::table(
        &[
            "queued",
            "automation",
            "trigger",
            "state",
            "took",
            "host",
            "outcome",
            "run",
        ],
        rows,
        "No such runs.",
    )
}

struct Wanted {
    host: Option<String>,
    state: Option<String>,
    limit: usize,
}

impl Wanted {
    fn takes(&self, run: &Value) -> bool {
        let is = |key: &str, wanted: &Option<String>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| run[key] == json!(wanted))
        };
        is("hostId", &self.host) && is("state", &self.state)
    }

    /// How many runs of one automation to ask for: a filter may leave out any of them.
    fn of_one(&self) -> usize {
        let filtered = self.host.is_some() || self.state.is_some();
        if filtered {
            MOST_OF_ONE
        } else {
            self.limit.min(MOST_OF_ONE)
        }
    }
}

/// Names of hosts by id.
fn hosts(session: &Session) -> Result<BTreeMap<String, String>, Failure> {
    let answer = session.call("hosts_list", &json!({}))?;
    let hosts = answer["hosts"].as_array().into_iter().flatten();
    Ok(hosts
        .map(|host| (output::cell(&host["id"]), output::cell(&host["name"])))
        .collect())
}

fn host_id(hosts: &BTreeMap<String, String>, text: &str) -> Result<String, Failure> {
    let same =
        |one: &(&String, &String)| one.0 == text || one.1.to_lowercase() == text.to_lowercase();
    match hosts.iter().find(same) {
        Some((id, _)) => Ok(id.clone()),
        None if uuid::Uuid::parse_str(text).is_ok() => Ok(text.to_owned()),
        None => Err(Failure::of_tool(&json!({
            "code": "not_found", "message": format!("There is no host called {text:?}."),
            "hint": "`hostler hosts list` shows them."
        }))),
    }
}

/// The automations to look at, those that ran last first.
fn candidates(session: &Session, only: Option<&str>) -> Result<Vec<Value>, Failure> {
    let mut found = automations::all(session)?;
    found.extend(automations::deleted(session)?);
    if let Some(text) = only {
        let named = |one: &Value| {
            one["id"] == json!(text)
                || one["name"]
                    .as_str()
                    .is_some_and(|name| name.to_lowercase() == text.to_lowercase())
        };
        found.retain(named);
        if found.is_empty() {
            return Err(Failure::of_tool(&json!({
                "code": "not_found", "message": format!("There is no automation called {text:?}, and there was none."),
                "hint": "`hostler automations list` shows them."
            })));
        }
    }
    found.retain(|one| !one["lastRun"].is_null());
    found.sort_by_key(|one| std::cmp::Reverse(output::cell(&one["lastRun"]["at"])));
    Ok(found)
}

/// The newest runs that are wanted, newest first.
fn newest(
    session: &Session,
    automations: &[Value],
    wanted: &Wanted,
) -> Result<Vec<Value>, Failure> {
    let mut runs: Vec<Value> = Vec::new();
    let queued = |run: &Value| output::cell(&run["queuedAt"]);
    for automation in automations {
        let enough = runs.get(wanted.limit.saturating_sub(1));
        if enough.is_some_and(|last| queued(last) > output::cell(&automation["lastRun"]["at"])) {
            break;
        }
        let arguments = json!({"automationId": automation["id"], "limit": wanted.of_one()});
        let answer = session.call("automations_logs", &arguments)?;
        for run in answer["runs"].as_array().into_iter().flatten() {
            if wanted.takes(run) {
                let mut run = run.clone();
                run["automationName"] = automation["name"].clone();
                runs.push(run);
            }
        }
        runs.sort_by_key(|run| std::cmp::Reverse(queued(run)));
        runs.truncate(wanted.limit);
    }
    Ok(runs)
}

fn row(run: &Value) -> Vec<String> {
    vec![
        when::local(&run["queuedAt"]),
        output::cell(&run["automationName"]),
        output::cell(&run["trigger"]),
        output::state(&output::cell(&run["state"])),
        when::duration(&run["durationMs"]),
        output::text(&run["hostName"]).unwrap_or_else(|| output::cell(&run["hostId"])),
        automations::summary(run),
        output::cell(&run["runId"]),
    ]
}
