//! `hostler runs …`: runs of all automations, one in full, its log, ending it, running it again.

mod list;
mod show;
mod tail;

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::args::RunsCommand;
use crate::client::Session;
use crate::failure::Failure;
use crate::output;

pub(crate) use tail::{How, tail};

pub(crate) fn run(session: &Session, command: RunsCommand) -> Result<ExitCode, Failure> {
    match command {
        RunsCommand::List(filter) => list::list(session, &filter)?,
        RunsCommand::Show { run } => show::show(session, &run)?,
        RunsCommand::Cancel { run } => cancel(session, &run)?,
        RunsCommand::Retry { run, follow } => return retry(session, &run, follow),
        RunsCommand::Tail { run, follow, raw } => {
            let full = in_full(session, &run)?;
            let automation = output::cell(&full["automation"]["id"]);
            let run = output::cell(&full["run"]["runId"]);
            return tail(session, &automation, &run, How { follow, raw });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A run with everything it belongs to.
fn in_full(session: &Session, run: &str) -> Result<Value, Failure> {
    session.call("runs_get", &json!({"runId": run}))
}

fn cancel(session: &Session, run: &str) -> Result<(), Failure> {
    let answer = session.call("runs_cancel", &json!({"runId": run}))?;
    if session.json() {
        return output::json(&answer);
    }
    let run = &answer["run"];
    let (id, state) = (output::cell(&run["runId"]), output::cell(&run["state"]));
    let host = output::cell(&answer["hostName"]);
    if answer["alreadyOver"] == json!(true) {
        return output::line(&format!("Run {id} had ended already: {state}."));
    }
    if answer["pending"] == json!(true) {
        return output::line(&format!(
            "Run {id} is {state} as far as is known. Host {host} is away; it is told to end the run when it is back."
        ));
    }
    if run["finishedAt"].is_null() {
        return output::line(&format!(
            "Run {id} is being ended. See how: hostler runs show {id}"
        ));
    }
    match state.as_str() {
        "cancelled" => output::line(&format!("Run {id} is cancelled.")),
        _ => output::line(&format!(
            "Run {id} came to its end before it could be cancelled: {state}."
        )),
    }
}

/// A new run of the same automation, as the automation is now.
fn retry(session: &Session, run: &str, follow: bool) -> Result<ExitCode, Failure> {
    let full = in_full(session, run)?;
    let (old, automation) = (&full["run"], &full["automation"]);
    let (id, name) = (
        output::cell(&old["runId"]),
        output::cell(&automation["name"]),
    );
    if !automation["deletedAt"].is_null() {
        return Err(Failure::unmet(format!(
            "Automation {name} was deleted, so run {id} cannot be run again."
        ))
        .hint("Create an automation with the same prompt: `hostler automations create`."));
    }
    if old["finishedAt"].is_null() {
        return Err(Failure::unmet(format!(
            "Run {id} is still {}.",
            output::cell(&old["state"])
        ))
        .hint(format!(
            "Wait for its end (`hostler runs tail {id} -f`), or end it: `hostler runs cancel {id}`."
        )));
    }
    let answer = session.call("automations_run", &json!({"id": automation["id"]}))?;
    let new = output::cell(&answer["runId"]);
    if session.json() && !follow {
        output::json(&answer)?;
    } else if !session.json() {
        output::line(&format!(
            "Run {new} of {name} is {}, after run {id}.",
            output::cell(&answer["state"])
        ))?;
        say_what_changed(session, old, &automation["id"])?;
    }
    if follow {
        let automation = output::cell(&automation["id"]);
        let how = How { follow, raw: false };
        return tail(session, &automation, &new, how);
    }
    if !session.json() {
        output::line(&format!("Follow it: hostler runs tail {new} -f"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A run again is of the automation as it is now, which may not be what ran before.
fn say_what_changed(session: &Session, old: &Value, automation: &Value) -> Result<(), Failure> {
    let answer = session.call("automations_get", &json!({"id": automation}))?;
    let (then, now) = (
        &old["promptVersion"],
        &answer["automation"]["promptVersion"],
    );
    if then == now {
        return Ok(());
    }
    output::line(&format!(
        "The prompt has changed since: version {now} runs now, version {then} ran before."
    ))
}
