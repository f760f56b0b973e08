//! `hostler automations history`: every instant of an automation with what became of it and why, and
//! every change made to it, in one list.

use std::cmp::Reverse;
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::client::Session;
use crate::failure::Failure;
use crate::output;
use crate::when;

/// Runs asked for at once.
const PAGE: usize = 100;

/// Prints the newest `limit` runs and instants that did not run, and the changes among them; all of
/// them with `limit` 0.
pub(crate) fn show(session: &Session, id: &str, limit: usize) -> Result<ExitCode, Failure> {
    let history = read(session, id, limit)?;
    if session.json() {
        output::json(&json!({
            "runs": history.runs, "changes": history.changes, "notes": history.notes, "total": history.total,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for note in &history.notes {
        output::line(&format!("open: {}", localised(&output::cell(note))))?;
    }
    let oldest = history.runs.iter().map(last_instant).min();
    let cut = history.runs.len() < history.total;
    let recent = |change: &&Value| !cut || oldest.is_none_or(|oldest| at(&change["at"]) >= oldest);
    let changes = history.changes.iter().filter(recent);
    let mut rows: Vec<(Option<Timestamp>, Vec<String>)> = changes
        .map(|change| (at(&change["at"]), change_row(change)))
        .chain(
            history
                .runs
                .iter()
                .map(|run| (last_instant(run), run_row(run))),
        )
        .collect();
    rows.sort_by_key(|(at, _)| Reverse(*at));
    let rows = rows.into_iter().map(|(_, row)| row).collect();
    output::table(
        &["when", "host", "what", "why", "run"],
        rows,
        "Nothing yet.",
    )?;
    if cut {
        output::line(&format!(
            "The newest {} of {}; --all lists every one.",
            history.runs.len(),
            history.total
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

struct History {
    runs: Vec<Value>,
    changes: Vec<Value>,
    notes: Vec<Value>,
    total: usize,
}

fn read(session: &Session, id: &str, limit: usize) -> Result<History, Failure> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut history = History {
        runs: Vec::new(),
        changes: Vec::new(),
        notes: Vec::new(),
        total: 0,
    };
    loop {
        let offset = history.runs.len();
        let page = match limit {
            0 => PAGE,
            limit => PAGE.min(limit - offset),
        };
        let arguments = json!({"automationId": id, "limit": page, "offset": offset});
        let answer = session.call("automations_logs", &arguments)?;
        if offset == 0 {
            history.changes = list(&answer["changes"]);
            history.notes = list(&answer["notes"]);
        }
        let runs = list(&answer["runs"]);
        let empty = runs.is_empty();
        history.runs.extend(runs);
        history.total = answer["total"]
            .as_u64()
            .map_or(history.runs.len(), |total| {
                usize::try_from(total).unwrap_or(usize::MAX)
            });
        let enough = limit != 0 && history.runs.len() >= limit;
        if empty || enough || answer["hasMore"] != json!(true) {
            return Ok(history);
        }
    }
}

fn run_row(run: &Value) -> Vec<String> {
    let skipped = run["state"] == json!("skipped");
    vec![
        span(run),
        output::cell(&run["hostName"]),
        output::state(&output::cell(&run["state"])),
        localised(&output::cell(&run["explanation"])),
        if skipped {
            "-".to_owned()
        } else {
            output::cell(&run["runId"])
        },
    ]
}

fn change_row(change: &Value) -> Vec<String> {
    vec![
        when::local(&change["at"]),
        "-".to_owned(),
        "change".to_owned(),
        localised(&output::cell(&change["what"])),
        "-".to_owned(),
    ]
}

/// An instant, or the first and last of several with their number.
fn span(run: &Value) -> String {
    let first = when::local(&run["scheduledFor"]);
    match run["count"].as_u64() {
        Some(count) if count > 1 => {
            format!(
                "{first} to {} ({count} instants)",
                when::local(&run["until"])
            )
        }
        Some(_) | None => first,
    }
}

fn last_instant(run: &Value) -> Option<Timestamp> {
    at(&run["until"]).or_else(|| at(&run["scheduledFor"]))
}

fn at(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// A sentence with its UTC times told in the reader's zone.
fn localised(text: &str) -> String {
    let zone = TimeZone::system();
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ';', '.', ':']);
        let read = Some(bare).filter(|bare| bare.ends_with('Z'));
        let told = read.and_then(|bare| bare.parse::<Timestamp>().ok());
        told.map_or_else(
            || word.to_owned(),
            |at| when::in_zone(at, &zone) + &word[bare.len()..],
        )
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_sentences_are_told_in_the_readers_zone() {
        let at = "2026-03-02T14:00:00Z".parse().unwrap();
        let shown = when::in_zone(at, &TimeZone::system());
        let told = localised("moving: or at 2026-03-02T14:00:00Z, 10 minutes later Z");
        assert_eq!(told, format!("moving: or at {shown}, 10 minutes later Z"));
    }
}
