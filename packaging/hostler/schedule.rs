//! `hostler schedule preview`: when a rule fires, without a server.
//!
//! Local times carry their offset from UTC, and an instant that a clock change moves or doubles
//! says so in its row.

use std::io::{BufRead as _, BufWriter, Write as _};
use std::process::ExitCode;

use hostler_proto::schedule::{self, Schedule, ScheduleError, ScheduleText};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};
use serde_json::{Value, json};

use crate::args::{PreviewArgs, ScheduleCommand};
use crate::client::Session;
use crate::failure::Failure;
use crate::output;
use crate::when;

/// At most this many instants are listed at once.
const MOST: u32 = 10_000;
/// So many without `--count`, `--until` and `--days`.
const FEW: u32 = 5;

pub(crate) fn run(session: &Session, command: ScheduleCommand) -> Result<ExitCode, Failure> {
    let ScheduleCommand::Preview(asked) = command;
    let now = when::now();
    if asked.batch {
        return answer_lines(asked.unrestricted, now);
    }
    let timezone = asked.tz.clone().unwrap_or_default();
    let rrule = rule_of(session, asked.rrule.as_deref(), asked.cron.as_deref())?
        .ok_or_else(|| Failure::usage("Give --rrule or --cron."))?;
    let dtstart = schedule::parse_dtstart(asked.dtstart.as_deref(), &timezone, now)
        .map_err(|error| refused(&error))?;
    let text = ScheduleText {
        rrule,
        dtstart,
        timezone,
        exdates: Vec::new(),
        rdates: Vec::new(),
    };
    let plan = Schedule::parse(&text).map_err(|error| refused(&error))?;
    if !asked.unrestricted {
        plan.check_product(now).map_err(|error| {
            refused(&error).hint("To look at it all the same, add --unrestricted.")
        })?;
    }
    let part = Part::of(&asked, &plan, now)?;
    show(session, &text, &plan, &part)?;
    Ok(ExitCode::SUCCESS)
}

/// The rule given, or the one that cron text means; the translation is shown.
pub(crate) fn rule_of(
    session: &Session,
    rrule: Option<&str>,
    line: Option<&str>,
) -> Result<Option<String>, Failure> {
    let translated = match (line, rrule) {
        (Some(line), _) => {
            let meant = schedule::from_cron(line).map_err(|error| refused(&error))?;
            Some((line, meant))
        }
        (None, Some(text)) => schedule::from_cron(text).ok().map(|meant| (text, meant)),
        (None, None) => None,
    };
    let Some((line, meant)) = translated else {
        return Ok(rrule.map(str::to_owned));
    };
    if !session.json() {
        let shown = meant.replace('\n', "  and  ");
        output::line(&format!("{}  is  {shown}", line.trim()))?;
    }
    Ok(Some(meant))
}

/// Which of a schedule's instants are listed.
struct Part {
    from: Timestamp,
    /// The first instant that is not listed.
    until: Option<Timestamp>,
    count: usize,
}

impl Part {
    fn of(asked: &PreviewArgs, plan: &Schedule, now: Timestamp) -> Result<Self, Failure> {
        let zone = plan.local(now).time_zone().clone();
        let from = match &asked.from {
            Some(text) => time_in(&zone, "--from", text)?,
            None => plan.before_start(now),
        };
        let until = match (&asked.until, asked.days) {
            (Some(text), _) => Some(time_in(&zone, "--until", text)?),
            (None, Some(days)) => Some(days_after(&zone, from, days)?),
            (None, None) => None,
        };
        let usual = if until.is_some() { MOST } else { FEW };
        let count = asked.count.unwrap_or(usual).min(MOST);
        Ok(Self {
            from,
            until,
            count: usize::try_from(count).unwrap_or(usize::MAX),
        })
    }
}

/// RFC 3339, or a local time or date, whose first instant is meant.
fn time_in(zone: &TimeZone, option: &str, text: &str) -> Result<Timestamp, Failure> {
    let text = text.trim();
    let local = || {
        let read = text.parse::<jiff::civil::DateTime>().ok()?;
        Some(read.to_zoned(zone.clone()).ok()?.timestamp())
    };
    text.parse().ok().or_else(local).ok_or_else(|| {
        Failure::usage(format!("{option} {text:?} is not a time.")).hint(
            "Write RFC 3339 such as 2027-03-11T09:00:00Z, or local time or date such as 2027-03-11.",
        )
    })
}

fn days_after(zone: &TimeZone, from: Timestamp, days: u32) -> Result<Timestamp, Failure> {
    let span: Span = i64::from(days).days();
    let end = from.to_zoned(zone.clone()).checked_add(span);
    end.map(|end| end.timestamp()).map_err(|error| {
        Failure::usage(format!("--days {days} leads beyond the calendar: {error}."))
    })
}

fn show(
    session: &Session,
    text: &ScheduleText,
    plan: &Schedule,
    part: &Part,
) -> Result<(), Failure> {
    let listed = |at: &Timestamp| part.until.is_none_or(|until| *at < until);
    let instants: Vec<Timestamp> = plan
        .instants_from(part.from)
        .take_while(listed)
        .take(part.count)
        .collect();
    let exhausted = match instants.last() {
        Some(last) => plan.next_after(*last).is_none(),
        None => plan.first_at_or_after(part.from).is_none(),
    };
    let words = schedule::describe(plan);
    let warnings = schedule::clock_change_notes(plan, part.from);
    if session.json() {
        let instants: Vec<_> = instants.iter().map(|at| record(plan, *at)).collect();
        return output::json(&json!({
            "rrule": text.rrule, "timezone": text.timezone, "dtstart": text.dtstart.to_string(),
            "scheduleText": words, "instants": instants, "exhausted": exhausted, "warnings": warnings,
        }));
    }
    output::line(&words)?;
    let mut rows: Vec<_> = instants.iter().map(|at| row(plan, *at)).collect();
    let mut header = vec![text.timezone.as_str(), "offset", "UTC"];
    if rows.iter().any(|row| row.len() > header.len()) {
        header.push("clock change");
        for row in &mut rows {
            row.resize(header.len(), String::new());
        }
    }
    output::table(&header, rows, "No instants.")?;
    if exhausted && !instants.is_empty() {
        output::line("The schedule ends there.")?;
    } else if instants.len() == part.count && part.until.is_some() {
        output::line(&format!("Only the first {} are listed.", part.count))?;
    }
    for warning in warnings {
        output::line(&format!("warning: {warning}"))?;
    }
    Ok(())
}

fn row(plan: &Schedule, at: Timestamp) -> Vec<String> {
    let local = plan.local(at);
    let mut row = vec![
        when::zoned(&local),
        local.strftime("%:z").to_string(),
        at.to_string(),
    ];
    row.extend(schedule::clock_change_at(plan, at));
    row
}

fn record(plan: &Schedule, at: Timestamp) -> Value {
    let local = plan.local(at);
    let mut record = json!({
        "utc": at.to_string(),
        "local": local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        "offset": local.strftime("%:z").to_string(),
    });
    if let Some(note) = schedule::clock_change_at(plan, at) {
        record["note"] = json!(note);
    }
    record
}

fn answer_lines(unrestricted: bool, now: Timestamp) -> Result<ExitCode, Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if !line.trim().is_empty() {
            writeln!(out, "{}", schedule::answer_line(&line, unrestricted, now))?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn refused(error: &ScheduleError) -> Failure {
    Failure::usage(error.to_string())
}
