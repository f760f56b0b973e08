//! The times of day of a rule in plain words.

use super::calendar::DAY;
use super::parts::Parts;
use super::words::{bits, clock, list};

/// More times of day than this are summed up.
const MOST_TIMES: usize = 6;

/// How the times of a day are said.
pub(super) enum Times {
    /// "at 9:00 AM and 5:00 PM"
    At(String),
    /// "every 15 minutes from 9:00 to 17:59"
    Repeating(String),
}

pub(super) fn times(parts: &Parts, start: i64) -> Times {
    let time = start.rem_euclid(DAY);
    let or = |mask: u64, implied: i64| if mask == 0 { 1 << implied } else { mask };
    let hours = or(u64::from(parts.hours), time / 3_600);
    let minutes = or(parts.minutes, time / 60 % 60);
    let seconds = or(parts.seconds, time % 60);
    let repeats = seconds.is_power_of_two() && hours.count_ones() * minutes.count_ones() > 2;
    if let (Some(step), Some((first, last)), true) = (
        even_step(minutes),
        hour_window(u32::try_from(hours).unwrap_or_default()),
        repeats,
    ) {
        return Times::Repeating(format!("every {step} minutes from {first}:00 to {last}:59"));
    }
    let mut all = Vec::new();
    for hour in bits(hours) {
        for minute in bits(minutes) {
            for second in bits(seconds) {
                all.push(clock(
                    i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second),
                ));
            }
        }
    }
    if all.len() <= MOST_TIMES {
        return Times::At(format!("at {}", list(&all)));
    }
    Times::At(many_times(hours, minutes, seconds))
}

fn many_times(hours: u64, minutes: u64, seconds: u64) -> String {
    let mut said = match (
        hour_window(u32::try_from(hours).unwrap_or_default()),
        bits(minutes).as_slice(),
    ) {
        (Some((0, 23)), [minute]) => format!("every hour at minute {minute}"),
        (Some((first, last)), [minute]) => {
            format!("every hour from {first}:{minute:02} to {last}:{minute:02}")
        }
        (None, [minute]) if hour_step(hours).is_some() => {
            let step = hour_step(hours).unwrap_or(1);
            let (first, last) = (hours.trailing_zeros(), hours.ilog2());
            format!("every {step} hours from {first}:{minute:02} to {last}:{minute:02}")
        }
        _ => format!(
            "at{} of{}",
            numbered(" minute", minutes),
            numbered(" hour", hours)
        ),
    };
    if seconds != 1 {
        said.push_str(&numbered(", second", seconds));
    }
    said
}

/// The first and last of at least one hour without a hole.
pub(super) fn hour_window(hours: u32) -> Option<(u32, u32)> {
    let first = hours.trailing_zeros();
    let run = (hours.checked_shr(first)?).trailing_ones();
    (run == hours.count_ones()).then(|| (first, first + run - 1))
}

/// The minutes between minutes that divide an hour evenly from :00.
pub(super) fn even_step(minutes: u64) -> Option<u32> {
    let count = minutes.count_ones();
    if count < 2 || 60 % count != 0 {
        return None;
    }
    let step = 60 / count;
    let even: Vec<u32> = (0..count).map(|n| n * step).collect();
    (bits(minutes) == even).then_some(step)
}

/// The hours between hours that lie evenly.
fn hour_step(hours: u64) -> Option<u32> {
    let all = bits(hours);
    let steps = all.windows(2).map(|pair| match pair {
        [one, next] => next - one,
        _ => 0,
    });
    let mut steps: Vec<u32> = steps.collect();
    steps.dedup();
    match steps.as_slice() {
        [step] => Some(*step),
        _ => None,
    }
}

pub(super) fn numbered(what: &str, mask: u64) -> String {
    let numbers: Vec<String> = bits(mask).iter().map(u32::to_string).collect();
    let plural = if numbers.len() == 1 { "" } else { "s" };
    format!("{what}{plural} {}", list(&numbers))
}
