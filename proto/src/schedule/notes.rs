//! Warnings for instants that meet a clock change within the coming year.

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
    let written = zone::civil(time).strftime("%H:%M");
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
