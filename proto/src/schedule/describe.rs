//! A schedule in plain words: "Weekdays at 9:00 AM, New York".
//!
//! Every part of a rule is either said or summed up truthfully; nothing is left out silently.
//! Common rules read as a person would say them, rare ones are merely correct.

use super::Schedule;
use super::calendar::{Civil, DAY, weekday};
use super::describe_times::{Times, even_step, hour_window, numbered, times};
use super::parts::{Freq, Parts};
use super::series::Series;
use super::words::{
    ALL_DAYS, WEEKDAYS, WORKING_DAYS, every, list, month_days, months, nth, ordinal, weekday_names,
    weekdays,
};
use super::zone;

/// The schedule in plain words, ending with its zone's city.
pub fn describe(schedule: &Schedule) -> String {
    let mut said: Vec<String> = schedule
        .rules
        .iter()
        .map(|rule| sentence(schedule, rule))
        .collect();
    match (schedule.rdates.len(), said.is_empty()) {
        (0, _) => {}
        (1, true) => said.push(once(schedule)),
        (dates, true) => said.push(format!("on {dates} given dates")),
        (dates, false) => said.push(format!("also on {}", counted(dates, "added date"))),
    }
    said.extend(
        schedule
            .exrules
            .iter()
            .map(|rule| format!("except {}", sentence(schedule, rule))),
    );
    let taken_out = schedule.exdates.len() + schedule.exdays.len();
    if taken_out > 0 {
        said.push(format!("except on {}", counted(taken_out, "date")));
    }
    format!(
        "{}, {}",
        capitalised(&said.join("; ")),
        city(schedule.timezone())
    )
}

/// The only date of a schedule without a rule.
fn once(schedule: &Schedule) -> String {
    let date = schedule.rdates.first().copied().unwrap_or_default();
    let local = schedule.local(zone::timestamp(date));
    format!("once, on {}", local.strftime("%Y-%m-%d at %H:%M"))
}

fn sentence(schedule: &Schedule, rule: &Series) -> String {
    let parts = rule.parts();
    let mut said = if parts.freq >= Freq::Hourly {
        stepping(parts)
    } else {
        daily_or_rarer(parts, schedule.start)
    };
    match parts.count {
        None => {}
        Some(1) => said.push_str(", once"),
        Some(count) => said.extend([", ", &count.to_string(), " times"]),
    }
    if let Some(until) = rule.until() {
        let shown = schedule
            .local(zone::timestamp(until))
            .strftime("%Y-%m-%d %H:%M");
        said.extend([", until ", &shown.to_string()]);
    }
    said
}

fn daily_or_rarer(parts: &Parts, start: i64) -> String {
    let (days, choosing_said) = days(parts, start);
    let mut said = match times(parts, start) {
        Times::At(at) => format!("{days} {at}"),
        Times::Repeating(repeating) if days == "daily" => format!("{repeating} every day"),
        Times::Repeating(repeating) if starts_with_days(&days) => format!("{repeating} on {days}"),
        Times::Repeating(repeating) => format!("{repeating}, {days}"),
    };
    if !choosing_said && !parts.set_pos.is_empty() {
        said.push_str(&choosing(parts));
    }
    said
}

/// Which days, and whether BYSETPOS is said with them.
fn days(parts: &Parts, start: i64) -> (String, bool) {
    match parts.freq {
        Freq::Monthly => monthly(parts, start),
        Freq::Yearly => match weekdays_of_year(parts) {
            Some(days) => (days, !parts.set_pos.is_empty()),
            None => (yearly(parts, start), false),
        },
        Freq::Weekly => (weekly(parts, start), false),
        Freq::Daily | Freq::Hourly | Freq::Minutely | Freq::Secondly => (daily(parts), false),
    }
}

fn daily(parts: &Parts) -> String {
    let limits = limits(parts);
    match (parts.interval, limits.is_empty()) {
        (1, true) => "daily".to_owned(),
        (1, false) if limits.starts_with("on the") && parts.year_days.is_empty() => {
            format!("monthly {limits}")
        }
        (1, false) if limits.starts_with("on the") || limits.starts_with("in ") => {
            format!("daily {limits}")
        }
        (1, false) => limits.trim_start_matches("on ").to_owned(),
        (interval, true) => every(interval, "day"),
        (interval, false) => format!("{} if {limits}", every(interval, "day")),
    }
}

fn weekly(parts: &Parts, start: i64) -> String {
    let mask = if parts.weekdays == 0 {
        1 << weekday(start.div_euclid(DAY))
    } else {
        parts.weekdays
    };
    let days = if parts.interval == 1 {
        weekdays(mask)
    } else if mask == WORKING_DAYS {
        format!("{} on weekdays", every(parts.interval, "week"))
    } else {
        format!(
            "{} on {}",
            every(parts.interval, "week"),
            weekday_names(mask)
        )
    };
    format!("{days}{}", in_months(parts))
}

fn monthly(parts: &Parts, start: i64) -> (String, bool) {
    let cadence = if parts.interval == 1 {
        "monthly".to_owned()
    } else {
        every(parts.interval, "month")
    };
    if let Some(of) = chosen_weekday(parts) {
        return (format!("{cadence} {of}{}", in_months(parts)), true);
    }
    let mut days = day_limits(parts);
    if days.is_empty() {
        let day = Civil::of(start.div_euclid(DAY)).day;
        days = format!("on the {}", ordinal(i64::from(day)));
    }
    (format!("{cadence} {days}{}", in_months(parts)), false)
}

/// "on the first and last weekday": BYSETPOS where it chooses among nothing but weekdays.
fn chosen_weekday(parts: &Parts) -> Option<String> {
    let one_time = parts.hours.count_ones() <= 1
        && parts.minutes.count_ones() <= 1
        && parts.seconds.count_ones() <= 1;
    if parts.set_pos.is_empty() || !one_time || !has_weekdays_alone(parts) {
        return None;
    }
    let of = match parts.weekdays {
        WORKING_DAYS => "weekday".to_owned(),
        ALL_DAYS => "day".to_owned(),
        mask => weekday_names(mask).replace(" and ", " or "),
    };
    Some(format!("on the {} {of}", places(parts)))
}

fn has_weekdays_alone(parts: &Parts) -> bool {
    parts.weekdays != 0
        && parts.nth.is_empty()
        && parts.month_days.is_empty()
        && parts.year_days.is_empty()
        && parts.week_numbers.is_empty()
}

/// "Fridays in May", "yearly on the last weekday in December": a yearly rule of weekdays alone.
fn weekdays_of_year(parts: &Parts) -> Option<String> {
    if parts.set_pos.is_empty() {
        let plain = parts.interval == 1 && has_weekdays_alone(parts);
        return plain.then(|| format!("{}{}", weekdays(parts.weekdays), in_months(parts)));
    }
    // Of several months it chooses among all of them together, which takes more words.
    let chosen = chosen_weekday(parts).filter(|_| parts.months.count_ones() <= 1)?;
    let cadence = if parts.interval == 1 {
        "yearly".to_owned()
    } else {
        every(parts.interval, "year")
    };
    let of = if parts.months == 0 {
        " of the year".to_owned()
    } else {
        in_months(parts)
    };
    Some(format!("{cadence} {chosen}{of}"))
}

fn yearly(parts: &Parts, start: i64) -> String {
    let cadence = if parts.interval == 1 {
        "yearly".to_owned()
    } else {
        every(parts.interval, "year")
    };
    let first = Civil::of(start.div_euclid(DAY));
    let no_weekday = parts.weekdays == 0 && parts.nth.is_empty();
    let days = day_limits(parts);
    if !days.is_empty() && no_weekday && parts.year_days.is_empty() && parts.month_days.is_empty() {
        let day = WEEKDAYS
            .get(usize::from(weekday(start.div_euclid(DAY))))
            .copied()
            .unwrap_or_default();
        return format!("{cadence} on {day}s {days} of the year{}", in_months(parts));
    }
    let monthly = parts.interval == 1 && no_weekday && parts.year_days.is_empty();
    if monthly && parts.months == 0 && parts.week_numbers.is_empty() && !days.is_empty() {
        return format!("monthly {days}");
    }
    if days.is_empty() {
        let mask = if parts.months == 0 {
            1 << first.month
        } else {
            parts.months
        };
        return format!("{cadence} on {} {}", months(mask), first.day);
    }
    if parts.months == 0 {
        let of = match (parts.year_days.is_empty(), parts.month_days.is_empty()) {
            (false, _) => "",
            (true, true) => " of the year",
            (true, false) => " of each month",
        };
        return format!("{cadence} {days}{of}");
    }
    match (parts.month_days.as_slice(), parts.months.count_ones()) {
        ([day], 1) if *day > 0 && !parts.has_weekday_or_year_parts() => {
            format!("{cadence} on {} {day}", months(parts.months))
        }
        _ => format!("{cadence} {days}{}", in_months(parts)),
    }
}

/// Hourly and finer rules: "every 15 minutes from 9:00 to 17:59 on weekdays".
fn stepping(parts: &Parts) -> String {
    let unit = match parts.freq {
        Freq::Secondly => "second",
        Freq::Minutely => "minute",
        Freq::Yearly | Freq::Monthly | Freq::Weekly | Freq::Daily | Freq::Hourly => "hour",
    };
    let even =
        even_step(parts.minutes).filter(|_| parts.freq == Freq::Hourly && parts.interval == 1);
    let mut said = even.map_or_else(|| every(parts.interval, unit), |step| every(step, "minute"));
    if parts.minutes != 0 && even.is_none() {
        said.push_str(&numbered(" at minute", parts.minutes));
    }
    if parts.seconds != 0 && parts.seconds != 1 {
        said.push_str(&numbered(" at second", parts.seconds));
    }
    if parts.hours != 0 {
        let hours = match hour_window(parts.hours) {
            Some((first, last)) => format!(" from {first}:00 to {last}:59"),
            None => numbered(" in hour", u64::from(parts.hours)),
        };
        said.push_str(&hours);
    }
    let limits = limits(parts);
    if !limits.is_empty() {
        said.extend([" ", &limits]);
    }
    if !parts.set_pos.is_empty() {
        said.push_str(&choosing(parts));
    }
    said
}

/// Everything that limits days, months included, or nothing.
fn limits(parts: &Parts) -> String {
    format!("{}{}", day_limits(parts), in_months(parts))
        .trim_start()
        .to_owned()
}

/// "on weekdays", "on the first Monday", "on Fridays that are the 13th".
fn day_limits(parts: &Parts) -> String {
    let mut named = Vec::new();
    if parts.weekdays != 0 {
        named.push(weekdays(parts.weekdays));
    }
    named.extend(numbered_weekdays(parts));
    let mut which = Vec::new();
    if !named.is_empty() {
        which.push(list(&named));
    }
    if !parts.month_days.is_empty() {
        which.push(month_days(&parts.month_days));
    }
    if !parts.year_days.is_empty() {
        let days: Vec<String> = parts
            .year_days
            .iter()
            .map(|day| ordinal(i64::from(*day)))
            .collect();
        which.push(format!("the {} day of the year", list(&days)));
    }
    let mut said = which.join(" that are ");
    if !said.is_empty() {
        said.insert_str(0, "on ");
    }
    said.push_str(&in_weeks(parts));
    said.trim_start().to_owned()
}

/// "the first and third Monday", or "the first Monday" and "the last Friday" apart.
fn numbered_weekdays(parts: &Parts) -> Vec<String> {
    let name = |day: u8| WEEKDAYS.get(usize::from(day)).copied().unwrap_or_default();
    if let [(_, first), rest @ ..] = parts.nth.as_slice()
        && rest.iter().all(|(_, day)| day == first)
    {
        let numbers: Vec<i64> = parts.nth.iter().map(|(n, _)| i64::from(*n)).collect();
        return vec![format!("the {} {}", in_order(&numbers), name(*first))];
    }
    let each = parts.nth.iter();
    each.map(|&(n, day)| format!("the {} {}", nth(i64::from(n)), name(day)))
        .collect()
}

/// " in weeks 1 and 27", " in the last week".
fn in_weeks(parts: &Parts) -> String {
    let forward: Vec<String> = parts
        .week_numbers
        .iter()
        .filter(|week| **week > 0)
        .map(ToString::to_string)
        .collect();
    let back = parts.week_numbers.iter().filter(|week| **week < 0);
    let mut said: Vec<String> = back
        .map(|week| format!("the {} week", nth(i64::from(*week))))
        .collect();
    if !forward.is_empty() {
        let plural = if forward.len() == 1 { "" } else { "s" };
        said.insert(0, format!("week{plural} {}", list(&forward)));
    }
    if said.is_empty() {
        String::new()
    } else {
        format!(" in {}", list(&said))
    }
}

fn in_months(parts: &Parts) -> String {
    if parts.months == 0 {
        String::new()
    } else {
        format!(" in {}", months(parts.months))
    }
}

/// What BYSETPOS leaves, where no shorter way of saying it fits.
fn choosing(parts: &Parts) -> String {
    let period = match parts.freq {
        Freq::Yearly => "year",
        Freq::Monthly => "month",
        Freq::Weekly => "week",
        Freq::Daily => "day",
        Freq::Hourly => "hour",
        Freq::Minutely => "minute",
        Freq::Secondly => "second",
    };
    format!(" (only the {} of each {period})", places(parts))
}

/// BYSETPOS in words: "first and last".
fn places(parts: &Parts) -> String {
    let places: Vec<i64> = parts.set_pos.iter().map(|pos| i64::from(*pos)).collect();
    in_order(&places)
}

/// "first, third and last": from the start first, then from the end.
fn in_order(numbers: &[i64]) -> String {
    let mut numbers = numbers.to_vec();
    numbers.sort_by_key(|n| (*n < 0, *n));
    list(&numbers.into_iter().map(nth).collect::<Vec<_>>())
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

fn starts_with_days(days: &str) -> bool {
    days.starts_with("week") || WEEKDAYS.iter().any(|day| days.starts_with(day))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// `America/New_York` is "New York".
fn city(zone: &str) -> String {
    zone.rsplit('/').next().unwrap_or(zone).replace('_', " ")
}
