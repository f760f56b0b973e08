//! `hostler schedule preview`: when a rule fires, without a server.

use std::io::{BufRead as _, BufWriter, Write as _};
use std::process::ExitCode;

use hostler_proto::schedule::{self, Schedule, ScheduleError, ScheduleText};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::args::ScheduleCommand;
use crate::client::Session;
use crate::failure::Failure;
use crate::output;
use crate::when;

/// At most this many instants are listed at once.
const MOST: u32 = 10_000;

pub(crate) fn run(session: &Session, command: ScheduleCommand) -> Result<ExitCode, Failure> {
    let ScheduleCommand::Preview {
        rrule,
        cron,
        dtstart,
        tz,
        from,
        count,
        batch,
        unrestricted,
    } = command;
    let now = when::now();
    if batch {
        return answer_lines(unrestricted, now);
    }
    let timezone = tz.unwrap_or_default();
    let rrule = match (rrule, cron) {
        (Some(rule), _) => rule,
        (None, Some(cron)) => translate(session, &cron)?,
        (None, None) => return Err(Failure::usage("Give --rrule or --cron.")),
    };
    let dtstart = schedule::parse_dtstart(dtstart.as_deref(), &timezone, now)
        .map_err(|error| refused(&error))?;
    let text = ScheduleText {
        rrule,
        dtstart,
        timezone,
        exdates: Vec::new(),
        rdates: Vec::new(),
    };
    let plan = Schedule::parse(&text).map_err(|error| refused(&error))?;
    if !unrestricted {
        plan.check_product(now).map_err(|error| {
            refused(&error).hint("To look at it all the same, add --unrestricted.")
        })?;
    }
    let from = from.unwrap_or_else(|| plan.before_start(now));
    show(session, &text, &plan, from, count.min(MOST))?;
    Ok(ExitCode::SUCCESS)
}

/// The rule that a line of cron text means.
pub(crate) fn from_cron(cron: &str) -> Result<String, Failure> {
    schedule::from_cron(cron).map_err(|error| refused(&error))
}

fn translate(session: &Session, cron: &str) -> Result<String, Failure> {
    let rule = from_cron(cron)?;
    if !session.json() {
        output::line(&format!("{cron}  is  {rule}"))?;
    }
    Ok(rule)
}

fn show(
    session: &Session,
    text: &ScheduleText,
    plan: &Schedule,
    from: Timestamp,
    count: u32,
) -> Result<(), Failure> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let instants: Vec<Timestamp> = plan.instants_from(from).take(count).collect();
    let exhausted = instants.len() < count;
    let words = schedule::describe(plan);
    let zone = TimeZone::get(&text.timezone).unwrap_or(TimeZone::UTC);
    let notes = schedule::clock_change_notes(plan, from);
    if session.json() {
        let instants: Vec<_> = instants
            .iter()
            .map(|at| json!({"utc": at.to_string(), "local": at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()}))
            .collect();
        return output::json(&json!({
            "rrule": text.rrule, "timezone": text.timezone, "dtstart": text.dtstart.to_string(),
            "scheduleText": words, "instants": instants, "exhausted": exhausted, "warnings": notes,
        }));
    }
    output::line(&words)?;
    let rows = instants
        .iter()
        .map(|at| vec![when::in_zone(*at, &zone), at.to_string()])
        .collect();
    output::table(&[text.timezone.as_str(), "UTC"], rows, "No instants.")?;
    if exhausted && !instants.is_empty() {
        output::line("The schedule ends there.")?;
    }
    for note in notes {
        output::line(&format!("warning: {note}"))?;
    }
    Ok(())
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
