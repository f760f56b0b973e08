//! What clock changes do to a schedule: warnings for the coming year, and a note for one instant.

use jiff::{SignedDuration, Timestamp};

use super::Schedule;
use super::calendar::DAY;
use super::series::Series;
use super::zone::{self, Change};

/// How far ahead is looked.
const AHEAD: i64 = 366 * DAY;
/// At most this many clock changes are looked at.
const MOST_CHANGES: usize = 8;

/// One sentence for each coming clock change (within a year) that moves or doubles a local time
/// of the schedule. Rules that step in elapsed time are never moved, and get none.
pub fn clock_change_notes(schedule: &Schedule, now: Timestamp) -> Vec<String> {
    let from = zone::floor_second(now);
    let mut notes = Vec::new();
    let mut change = schedule.zone.change_after(from);
    for _ in 0..MOST_CHANGES {
        let Some(met) = change.filter(|change| change.at <= from + AHEAD) else {
            break;
        };
        notes.extend(
            schedule
                .rules
                .iter()
                .find_map(|rule| note(schedule, rule, met)),
        );
        change = schedule.zone.change_after(met.at);
    }
    notes
}

/// What a clock change has to do with one instant of the schedule; none for nearly all of them.
pub fn clock_change_at(schedule: &Schedule, instant: Timestamp) -> Option<String> {
    let at = zone::floor_second(instant);
    let zone = &schedule.zone;
    if let Some(change) = zone.change_until(at) {
        let length = (change.after - change.before).abs();
        if at < change.at + length && change.after > change.before {
            return in_gap(schedule, at, change);
        }
        if at < change.at + length {
            let shown = clock(at + change.after);
            return Some(format!("{shown} comes twice; this is the second"));
        }
    }
    let change = zone.change_after(at)?;
    let length = change.before - change.after;
    (at >= change.at - length).then(|| {
        let shown = clock(at + change.before);
        if schedule.rules.iter().any(Series::steps_in_elapsed_time) {
            format!("{shown} comes twice; this is the first")
        } else {
            format!("{shown} comes twice; it fires once, at the first")
        }
    })
}

fn in_gap(schedule: &Schedule, at: i64, change: Change) -> Option<String> {
    let zone = &schedule.zone;
    let written = at + change.before;
    let moved = |rule: &Series| rule.first_wall_time(written, written, zone).is_some();
    let (from, to) = (
        clock(change.at + change.before),
        clock(change.at + change.after),
    );
    if schedule.rules.iter().any(moved) {
        let shown = clock(written);
        return Some(format!(
            "{shown} does not exist: clocks go from {from} to {to}"
        ));
    }
    let stepping = schedule.rules.iter().any(Series::steps_in_elapsed_time);
    stepping.then(|| format!("clocks have gone from {from} to {to}"))
}

/// A floating time as a clock shows it: `02:30`.
fn clock(floating: i64) -> String {
    zone::civil(floating).strftime("%H:%M").to_string()
}

/// What happens to the first time of a rule within a change's gap or fold.
fn note(schedule: &Schedule, rule: &Series, change: Change) -> Option<String> {
    let (low, high) = (
        change.before.min(change.after),
        change.before.max(change.after),
    );
    let time = rule.first_wall_time(change.at + low, change.at + high - 1, &schedule.zone)?;
    let instant = schedule.zone.instant(time);
    if schedule.is_excluded(instant) {
        return None;
    }
    let written = clock(time);
    let day = zone::civil(time).strftime("%Y-%m-%d");
    let fires = schedule
        .local(zone::timestamp(instant))
        .strftime("%H:%M %Z")
        .to_string();
    Some(if change.after > change.before {
        format!(
            "On {day} clocks go forward and {written} does not exist; the run starts at {fires}."
        )
    } else {
        let length = SignedDuration::from_secs(change.before - change.after).as_mins();
        format!(
            "On {day} clocks go back {length} minutes and {written} comes twice; the run starts once, at {fires}."
        )
    })
}
