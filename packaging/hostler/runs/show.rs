//! `hostler runs show`: everything that is known of one run.

use hostler_proto::transcript::Renderer;
use serde_json::{Value, json};

use crate::client::Session;
use crate::failure::Failure;
use crate::{output, when};

pub(super) fn show(session: &Session, run: &str) -> Result<(), Failure> {
    let full = super::in_full(session, run)?;
    if session.json() {
        return output::json(&full);
    }
    let mut fields = what(&full);
    fields.extend(times(&full));
    fields.extend(did(&full["run"]["outcome"]));
    output::fields(&fields)?;
    if let Some(words) = output::text(&full["run"]["outcome"]["resultText"]) {
        output::line("\nResult:")?;
        output::text_block(&words)?;
    }
    log(&full["run"])
}

type Fields = Vec<(&'static str, Option<String>)>;

/// What it is, where, and how it stands.
fn what(full: &Value) -> Fields {
    let (run, automation, host) = (&full["run"], &full["automation"], &full["host"]);
    let deleted = !automation["deletedAt"].is_null();
    let name = marked(&automation["name"], deleted, "deleted");
    let away = host["online"] != json!(true);
    let trigger = format!(
        "{}, attempt {}",
        output::cell(&run["trigger"]),
        output::cell(&run["attempt"])
    );
    let version = whole(&run["promptVersion"]).map(|version| format!("version {version}"));
    vec![
        ("run", output::text(&run["runId"])),
        (
            "automation",
            Some(format!("{name} ({})", output::cell(&automation["id"]))),
        ),
        ("state", Some(output::state(&output::cell(&run["state"])))),
        ("reason", output::text(&run["reason"])),
        ("exit code", whole(&run["exitCode"])),
        ("signal", whole(&run["signal"])),
        ("agent", output::text(&run["agent"])),
        ("prompt", version),
        ("trigger", Some(trigger)),
        ("host", Some(marked(&host["name"], away, "offline"))),
        ("workspace", place(&full["workspace"])),
        ("branch", output::text(&run["branch"])),
    ]
}

/// When what happened, and what is still to happen.
fn times(full: &Value) -> Fields {
    let (run, wish) = (&full["run"], &full["cancelRequested"]);
    let time = |value: &Value| (!value.is_null()).then(|| when::local(value));
    let took = &run["durationMs"];
    let wished = output::text(&wish["by"]).map(|by| {
        format!(
            "wished by {by} {}, not yet answered by the host",
            when::local(&wish["at"])
        )
    });
    vec![
        ("scheduled for", time(&run["scheduledFor"])),
        ("queued", time(&run["queuedAt"])),
        ("preparing", time(&run["preparingAt"])),
        ("started", time(&run["startedAt"])),
        ("ended", time(&run["finishedAt"])),
        ("took", took.as_u64().map(|_| when::duration(took))),
        ("cancel", wished),
        ("as of", time(&full["asOf"])),
    ]
}

fn marked(name: &Value, on: bool, mark: &str) -> String {
    let name = output::cell(name);
    if on { format!("{name}, {mark}") } else { name }
}

fn place(workspace: &Value) -> Option<String> {
    let path = output::text(&workspace["path"])?;
    let gone = if workspace["removed"] == json!(true) {
        ", removed since"
    } else {
        ""
    };
    Some(format!("{path}{gone} ({})", output::cell(&workspace["id"])))
}

/// What it did, once it ended.
fn did(outcome: &Value) -> Fields {
    if outcome.is_null() {
        return Vec::new();
    }
    let denied = output::cell(&outcome["denied"]);
    let memory = &outcome["peakMemoryBytes"];
    let cost = outcome["costUsd"].as_f64();
    let cpu = outcome["cpuSeconds"].as_f64();
    vec![
        ("commits", whole(&outcome["commits"])),
        ("changed", Some(changed(outcome))),
        ("tokens", whole(&outcome["tokens"])),
        ("cost", cost.map(|cost| format!("${cost:.4}"))),
        ("peak memory", memory.as_u64().map(|_| output::size(memory))),
        ("cpu", cpu.map(|cpu| format!("{cpu:.2} s"))),
        (
            "denied",
            Some(denied).filter(|denied| denied != "-" && !denied.is_empty()),
        ),
        ("session", output::text(&outcome["sessionId"])),
        ("resume", output::text(&outcome["resume"])),
    ]
}

fn changed(outcome: &Value) -> String {
    let dirty = if outcome["dirty"] == json!(true) {
        ", uncommitted work left"
    } else {
        ""
    };
    format!(
        "{} files, +{} -{}{dirty}",
        output::cell(&outcome["filesChanged"]),
        output::cell(&outcome["insertions"]),
        output::cell(&outcome["deletions"])
    )
}

fn log(run: &Value) -> Result<(), Failure> {
    let tail = run["logTail"].as_str().unwrap_or_default();
    if tail.is_empty() {
        return output::line("\nNo output.");
    }
    output::line(&format!(
        "\nEnd of the log ({} in all):",
        output::size(&run["logBytes"])
    ))?;
    let mut renderer = Renderer::new();
    let text = renderer.push(tail.as_bytes()) + &renderer.finish();
    output::bytes(text.as_bytes())?;
    output::line(&format!(
        "\nAll of it: hostler runs tail {}",
        output::cell(&run["runId"])
    ))
}

fn whole(value: &Value) -> Option<String> {
    value.is_number().then(|| value.to_string())
}
