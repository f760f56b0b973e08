//! `hostler runs …`: one run's log, whole or followed to its end.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::RunsCommand;
use crate::client::Session;
use crate::failure::Failure;
use crate::output;

/// How long to wait before asking again when a run has printed nothing new.
const PAUSE: Duration = Duration::from_millis(150);

pub(crate) fn run(session: &Session, command: RunsCommand) -> Result<ExitCode, Failure> {
    match command {
        RunsCommand::Tail { run, follow } => {
            let automation = automation_of(session, &run)?;
            tail(session, &automation, &run, follow)
        }
    }
}

/// Prints a run's log; with `follow` until it ends. The exit code tells whether it succeeded.
pub(crate) fn tail(
    session: &Session,
    automation: &str,
    run: &str,
    follow: bool,
) -> Result<ExitCode, Failure> {
    let mut cursor: Option<Value> = None;
    loop {
        let mut arguments = json!({"automationId": automation, "runId": run});
        if let Some(cursor) = &cursor {
            arguments["cursor"] = cursor.clone();
        }
        let answer = session.call("automations_logs", &arguments)?;
        let log = answer["log"].as_str().unwrap_or_default();
        if session.json() {
            output::line(&answer.to_string())?;
        } else {
            output::bytes(log.as_bytes())?;
        }
        let next = answer["nextCursor"].clone();
        let done = answer["done"] == json!(true);
        if done || (!follow && log.is_empty()) {
            return Ok(verdict(&answer["run"], follow));
        }
        cursor = Some(next).filter(|next| !next.is_null()).or(cursor);
        if log.is_empty() {
            std::thread::sleep(PAUSE);
        }
    }
}

fn verdict(run: &Value, follow: bool) -> ExitCode {
    if follow && run["state"] != json!("succeeded") {
        let reason = run["reason"]
            .as_str()
            .map_or(String::new(), |reason| format!(": {reason}"));
        Failure::new(format!(
            "Run {} ended as {}{reason}",
            output::cell(&run["runId"]),
            output::cell(&run["state"])
        ))
        .print();
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The automation a run belongs to, found among the newest runs of each.
fn automation_of(session: &Session, run: &str) -> Result<String, Failure> {
    let automations = crate::automations::all(session)?;
    for automation in &automations {
        let id = output::cell(&automation["id"]);
        match session.call(
            "automations_logs",
            &json!({"automationId": id, "runId": run, "maxBytes": 1}),
        ) {
            Ok(_) => return Ok(id),
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::of_tool(&json!({
        "code": "not_found", "message": format!("There is no run {run}."),
        "hint": "`hostler automations logs AUTOMATION` lists an automation's runs."
    })))
}
