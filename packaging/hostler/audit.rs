//! `hostler audit …`

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::args::{AuditCommand, AuditFormat};
use crate::client::{self, Session};
use crate::failure::Failure;
use crate::output;
use crate::when;

pub(crate) fn run(session: &Session, command: AuditCommand) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::List {
            actor,
            action,
            thing,
            id,
            before,
            limit,
        } => {
            let number = |number: u64| number.to_string();
            let pairs = [
                ("actor", actor),
                ("action", action),
                ("thing", thing),
                ("thingId", id),
                ("before", before.map(number)),
                ("limit", Some(limit.to_string())),
            ];
            list(session, &pairs)?;
        }
        AuditCommand::Export { format } => {
            let format = match format {
                AuditFormat::Jsonl => "jsonl",
                AuditFormat::Csv => "csv",
            };
            let path = format!("/v1/audit/export?format={format}");
            client::copy(&session.access(None)?, &path)?;
        }
        AuditCommand::Verify => return verify(session),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(session: &Session, pairs: &[(&str, Option<String>)]) -> Result<(), Failure> {
    let given = pairs.iter().filter_map(|(name, value)| {
        let value = value.as_deref()?;
        Some(format!("{name}={}", client::path_part(value)))
    });
    let path = format!("/v1/audit?{}", given.collect::<Vec<_>>().join("&"));
    let answer = client::get(&session.access(None)?, &path)?;
    if session.json() {
        return output::json(&answer);
    }
    let entries = answer["entries"].as_array().into_iter().flatten();
    output::table(
        &["no", "at", "who", "action", "thing", "with", "detail"],
        entries.map(row).collect(),
        "No entries.",
    )
}

fn row(entry: &Value) -> Vec<String> {
    let name = output::text(&entry["thingName"]).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| output::cell(&entry["thingId"]));
    let detail = &entry["detail"];
    let address = output::text(&entry["address"]).unwrap_or_default();
    vec![
        output::cell(&entry["seq"]),
        when::local(&entry["at"]),
        output::cell(&entry["actor"]),
        output::cell(&entry["action"]),
        format!("{} {name}", output::cell(&entry["thingKind"])),
        format!("{} {address}", output::cell(&entry["client"]))
            .trim_end()
            .to_owned(),
        if detail.is_null() {
            String::new()
        } else {
            detail.to_string()
        },
    ]
}

fn verify(session: &Session) -> Result<ExitCode, Failure> {
    let answer = client::get(&session.access(None)?, "/v1/audit/verify")?;
    if session.json() {
        output::json(&answer)?;
    } else if answer["brokenAt"].is_null() {
        output::line(&format!(
            "All {} entries fit together. The newest one's digest is {}: keep it elsewhere to notice a cut at the end.",
            output::cell(&answer["entries"]),
            output::cell(&answer["digest"])
        ))?;
    }
    if answer["brokenAt"] == json!(null) {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(format!(
        "The audit log was tampered with: entry {} does not fit what is before it.",
        output::cell(&answer["brokenAt"])
    ))
    .hint("Compare it with an earlier export, and find out who could write to the catalog's file."))
}
