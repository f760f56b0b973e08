//! The surface of a rule: `NAME=value` parts, each name once, each value within its range.
//!
//! Checks what the `rrule` crate lets pass or would refuse wrongly, and hands it only text it
//! reads right. What parts mean together is `parts`' business.

use super::error::{ScheduleError, quoted};
use super::parts::Freq;

/// The `NAME=value` parts in capitals, each name once.
pub(super) fn split(body: &str) -> Result<Vec<(String, String)>, ScheduleError> {
    const KNOWN: [&str; 14] = [
        "FREQ",
        "INTERVAL",
        "COUNT",
        "UNTIL",
        "WKST",
        "BYMONTH",
        "BYWEEKNO",
        "BYYEARDAY",
        "BYMONTHDAY",
        "BYDAY",
        "BYHOUR",
        "BYMINUTE",
        "BYSECOND",
        "BYSETPOS",
    ];
    let mut pairs: Vec<(String, String)> = Vec::new();
    let body = body.trim();
    for part in body.strip_suffix(';').unwrap_or(body).split(';') {
        let Some((name, value)) = part.split_once('=') else {
            return Err(ScheduleError::NotAPart { part: quoted(part) });
        };
        let name = name.trim().to_ascii_uppercase();
        let value = value.trim().to_ascii_uppercase();
        if !KNOWN.contains(&name.as_str()) {
            return Err(ScheduleError::UnknownPart {
                name: quoted(&name),
            });
        }
        if pairs.iter().any(|(other, _)| *other == name) {
            return Err(ScheduleError::RepeatedPart { name });
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// The rule text the crate reads right: its parts without INTERVAL, COUNT and UNTIL. A leap
/// second (`BYSECOND=60`) is second 59, as RFC 5545 asks of systems without leap seconds.
pub(super) fn for_crate(pairs: &[(String, String)]) -> String {
    let kept = pairs
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "INTERVAL" | "COUNT" | "UNTIL"));
    let written: Vec<String> = kept
        .map(|(name, value)| {
            if name == "BYSECOND" {
                let seconds: Vec<&str> = value
                    .split(',')
                    .map(|second| if second == "60" { "59" } else { second })
                    .collect();
                format!("{name}={}", seconds.join(","))
            } else {
                format!("{name}={value}")
            }
        })
        .collect();
    written.join(";")
}

pub(super) fn check_freq(value: &str) -> Result<(), ScheduleError> {
    const ALL: [Freq; 7] = [
        Freq::Yearly,
        Freq::Monthly,
        Freq::Weekly,
        Freq::Daily,
        Freq::Hourly,
        Freq::Minutely,
        Freq::Secondly,
    ];
    if ALL.iter().any(|freq| freq.name() == value) {
        return Ok(());
    }
    Err(ScheduleError::UnknownFreq {
        value: quoted(value),
    })
}

/// Checks the values of a BY list or WKST against the ranges of RFC 5545.
pub(super) fn check_list(name: &str, value: &str) -> Result<(), ScheduleError> {
    let (from, to, signed, instead) = match name {
        "BYMONTH" => (1, 12, false, "months from 1 to 12, such as BYMONTH=1,7"),
        "BYWEEKNO" => (
            1,
            53,
            true,
            "week numbers from 1 to 53 or -53 to -1, such as BYWEEKNO=20",
        ),
        "BYYEARDAY" => (
            1,
            366,
            true,
            "days from 1 to 366 or -366 to -1, such as BYYEARDAY=100",
        ),
        "BYMONTHDAY" => (
            1,
            31,
            true,
            "days from 1 to 31 or -31 to -1, such as BYMONTHDAY=1,-1",
        ),
        "BYHOUR" => (0, 23, false, "hours from 0 to 23, such as BYHOUR=9,17"),
        "BYMINUTE" => (0, 59, false, "minutes from 0 to 59, such as BYMINUTE=0,30"),
        "BYSECOND" => (0, 60, false, "seconds from 0 to 59, such as BYSECOND=0"),
        "BYSETPOS" => (
            1,
            366,
            true,
            "positions from 1 to 366 or -366 to -1, such as BYSETPOS=-1",
        ),
        "BYDAY" => return check_weekdays(name, value, true),
        "WKST" => return check_weekdays(name, value, false),
        _ => return Ok(()),
    };
    let in_range = |item: &str| {
        let digits = if signed {
            item.strip_prefix(['+', '-']).unwrap_or(item)
        } else {
            item
        };
        is_number(digits, 3)
            && digits
                .parse::<u16>()
                .is_ok_and(|n| (from..=to).contains(&n))
    };
    if value.split(',').all(in_range) {
        Ok(())
    } else {
        Err(bad(name, value, instead))
    }
}

fn check_weekdays(name: &str, value: &str, list: bool) -> Result<(), ScheduleError> {
    const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    if !list {
        return if DAYS.contains(&value) {
            Ok(())
        } else {
            Err(bad(name, value, "a weekday: WKST=MO or WKST=SU"))
        };
    }
    let is_weekday = |item: &str| {
        let Some(number) = DAYS.iter().find_map(|day| item.strip_suffix(day)) else {
            return false;
        };
        let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
        number.is_empty()
            || is_number(digits, 2) && digits.parse::<u8>().is_ok_and(|n| (1..=53).contains(&n))
    };
    if value.split(',').all(is_weekday) {
        Ok(())
    } else {
        Err(bad(
            name,
            value,
            "weekdays MO, TU, WE, TH, FR, SA, SU, numbered from 1 to 53 if at all, such as BYDAY=MO or BYDAY=-1FR",
        ))
    }
}

fn is_number(text: &str, digits: usize) -> bool {
    (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn number(name: &str, value: &str, instead: &'static str) -> Result<u32, ScheduleError> {
    if is_number(value, 10) {
        value.parse().map_err(|_overflow| bad(name, value, instead))
    } else {
        Err(bad(name, value, instead))
    }
}

pub(super) fn bad(name: &str, value: &str, instead: &'static str) -> ScheduleError {
    ScheduleError::BadValue {
        name: name.to_owned(),
        value: quoted(value),
        instead,
    }
}
