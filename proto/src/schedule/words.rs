//! English for the pieces of a rule: lists, ordinals, weekdays, months and times of day.

use super::calendar::DAY;

pub(super) const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const WORKING_DAYS: u8 = 0b001_1111;
const WEEKEND: u8 = 0b110_0000;
pub(super) const ALL_DAYS: u8 = 0b111_1111;

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `1st`, `22nd`; from the end: `last`, `2nd-last`.
pub(super) fn ordinal(n: i64) -> String {
    if n == -1 {
        return "last".to_owned();
    }
    let from_end = if n < 0 { "-last" } else { "" };
    let n = n.unsigned_abs();
    let suffix = match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{n}{suffix}{from_end}")
}

/// `first` to `fifth`, then figures; from the end `last`, `second-last`.
pub(super) fn nth(n: i64) -> String {
    match n {
        1 => "first".to_owned(),
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        4 => "fourth".to_owned(),
        5 => "fifth".to_owned(),
        -2 => "second-last".to_owned(),
        -3 => "third-last".to_owned(),
        _ => ordinal(n),
    }
}

/// `every day`, `every 3 days`.
pub(super) fn every(interval: u32, unit: &str) -> String {
    if interval == 1 {
        format!("every {unit}")
    } else {
        format!("every {interval} {unit}s")
    }
}

/// The set bits of a mask, ascending.
pub(super) fn bits(mask: u64) -> Vec<u32> {
    (0..64).filter(|bit| mask >> bit & 1 == 1).collect()
}

/// `weekdays`, `weekends`, `Mondays and Fridays`.
pub(super) fn weekdays(mask: u8) -> String {
    match mask {
        WORKING_DAYS => "weekdays".to_owned(),
        WEEKEND => "weekends".to_owned(),
        ALL_DAYS => "every day".to_owned(),
        _ => list(
            &named(&WEEKDAYS, u64::from(mask))
                .map(|day| format!("{day}s"))
                .collect::<Vec<_>>(),
        ),
    }
}

/// `Monday and Friday`.
pub(super) fn weekday_names(mask: u8) -> String {
    list(
        &named(&WEEKDAYS, u64::from(mask))
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    )
}

/// The names of the months of a mask whose bit 1 is January.
pub(super) fn months(mask: u16) -> String {
    list(
        &named(&MONTHS, u64::from(mask) >> 1)
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    )
}

/// `the 1st and last day`, `the 7th to 13th`.
pub(super) fn month_days(days: &[i8]) -> String {
    let (back, forward): (Vec<i8>, Vec<i8>) = days.iter().partition(|day| **day < 0);
    let mut written = spans(&forward);
    written.extend(
        back.iter()
            .rev()
            .map(|day| format!("{} day", ordinal(i64::from(*day)))),
    );
    format!("the {}", list(&written))
}

/// Ordinals, three and more in a row as their first and last.
fn spans(days: &[i8]) -> Vec<String> {
    let mut days = days.to_vec();
    days.sort_unstable();
    let shown = |day: &i8| ordinal(i64::from(*day));
    days.chunk_by(|one, next| *next - *one == 1)
        .flat_map(|run| match run {
            [first, _, .., last] => vec![format!("{} to {}", shown(first), shown(last))],
            few => few.iter().map(shown).collect(),
        })
        .collect()
}

/// `9:00 AM`, with seconds where there are any.
pub(super) fn clock(second_of_day: i64) -> String {
    let second_of_day = second_of_day.rem_euclid(DAY);
    let (hour, minute, second) = (
        second_of_day / 3_600,
        second_of_day / 60 % 60,
        second_of_day % 60,
    );
    let half = if hour < 12 { "AM" } else { "PM" };
    let shown = if hour % 12 == 0 { 12 } else { hour % 12 };
    if second == 0 {
        format!("{shown}:{minute:02} {half}")
    } else {
        format!("{shown}:{minute:02}:{second:02} {half}")
    }
}

fn named(names: &'static [&'static str], mask: u64) -> impl Iterator<Item = &'static str> {
    names
        .iter()
        .enumerate()
        .filter(move |(at, _)| mask >> at & 1 == 1)
        .map(|(_, name)| *name)
}
