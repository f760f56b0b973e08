//! One line of `hostler schedule preview --batch`: a JSON request in, a JSON answer out.
//!
//! Every line gets exactly one answer; nothing a line says can stop the next.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::error::ScheduleError;
use super::{Schedule, ScheduleText, parse_dtstart};

/// The most instants one answer holds.
pub const BATCH_MAX_LIMIT: usize = 10_000;
const DEFAULT_LIMIT: usize = 10;

/// Answers `{"id", "rrule", "dtstart", "timezone", "limit"}` with `{"id", "instants",
/// "exhausted"}` or `{"id", "error": {"code", "message"}}`. The instants begin at the schedule's
/// first; `unrestricted` lifts the limits automations have on top of RFC 5545.
pub fn answer_line(line: &str, unrestricted: bool, now: Timestamp) -> String {
    let request = read(line);
    let id = request.as_ref().map_or(Value::Null, |request| {
        request.get("id").cloned().unwrap_or(Value::Null)
    });
    match request.and_then(|request| expand(&request, unrestricted, now)) {
        Ok((instants, exhausted)) => {
            json!({"id": id, "instants": instants, "exhausted": exhausted})
        }
        Err(refusal) => {
            json!({"id": id, "error": {"code": refusal.code(), "message": refusal.to_string()}})
        }
    }
    .to_string()
}

fn read(line: &str) -> Result<Map<String, Value>, ScheduleError> {
    match serde_json::from_str(line) {
        Ok(Value::Object(request)) => Ok(request),
        Ok(_) => Err(bad("it is not a JSON object")),
        Err(_) => Err(bad("it is not JSON")),
    }
}

fn expand(
    request: &Map<String, Value>,
    unrestricted: bool,
    now: Timestamp,
) -> Result<(Vec<String>, bool), ScheduleError> {
    let rrule = text(request, "rrule")?.ok_or_else(|| bad("\"rrule\" is missing"))?;
    let timezone = text(request, "timezone")?.ok_or_else(|| bad("\"timezone\" is missing"))?;
    let dtstart = parse_dtstart(text(request, "dtstart")?, timezone, now)?;
    let limit = limit(request)?;
    let schedule = Schedule::parse(&ScheduleText {
        rrule: rrule.to_owned(),
        dtstart,
        timezone: timezone.to_owned(),
        exdates: Vec::new(),
        rdates: Vec::new(),
    })?;
    if !unrestricted {
        schedule.check_product(now)?;
    }
    let mut coming = schedule.instants_from(Timestamp::MIN);
    let instants: Vec<String> = coming
        .by_ref()
        .take(limit)
        .map(|instant| instant.to_string())
        .collect();
    let exhausted = coming.next().is_none();
    Ok((instants, exhausted))
}

fn text<'a>(request: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, ScheduleError> {
    match request.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(bad(&format!("{name:?} is not text"))),
    }
}

fn limit(request: &Map<String, Value>) -> Result<usize, ScheduleError> {
    match request.get("limit") {
        None | Some(Value::Null) => Ok(DEFAULT_LIMIT),
        Some(limit) => limit
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok())
            .map(|limit| limit.min(BATCH_MAX_LIMIT))
            .ok_or_else(|| bad("\"limit\" is not a whole number")),
    }
}

fn bad(reason: &str) -> ScheduleError {
    ScheduleError::BadRequest {
        reason: reason.to_owned(),
    }
}
