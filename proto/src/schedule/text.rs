//! The lines of a schedule: `RRULE`, `EXRULE`, `RDATE` and `EXDATE`, or a bare rule.
//!
//! Reads text into typed lines; it does not know the start, and turns local dates into instants
//! only where the line or the schedule names the zone.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::error::{ScheduleError, quoted};
use super::parts::Parts;
use super::zone::{self, Zone};

/// The longest text that is read at all.
pub(super) const LONGEST_TEXT: usize = 64 * 1024;
/// At most this many rules, and this many dates.
const MOST_RULES: usize = 20;
pub(super) const MOST_DATES: usize = 5_000;

/// A date or time as RFC 5545 writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateValue {
    /// Seconds since 1970 in UTC.
    Utc(i64),
    Local(DateTime),
    Day(Date),
}

impl DateValue {
    /// `20260301T090000Z`, `20260301T090000` or `20260301`, of the years 1 to 9999.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some((day, time)) = text.split_once(['T', 't']) else {
            return read_date(text).map(Self::Day);
        };
        let (time, utc) = match time.strip_suffix(['Z', 'z']) {
            Some(time) => (time, true),
            None => (time, false),
        };
        let local = read_date(day)?.to_datetime(read_time(time)?);
        Some(if utc {
            Self::Utc(zone::floating_of(local))
        } else {
            Self::Local(local)
        })
    }
}

/// What the lines of a schedule say.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) rules: Vec<Parts>,
    pub(super) exrules: Vec<Parts>,
    /// Instants.
    pub(super) rdates: Vec<i64>,
    pub(super) exdates: Vec<i64>,
    /// Whole days of the schedule's zone.
    pub(super) rdays: Vec<Date>,
    pub(super) exdays: Vec<Date>,
}

impl Lines {
    pub(super) fn parse(text: &str, own: &Zone) -> Result<Self, ScheduleError> {
        if text.len() > LONGEST_TEXT {
            return Err(ScheduleError::TooLong {
                length: text.len(),
                limit: LONGEST_TEXT,
            });
        }
        let unfolded = text
            .replace("\r\n", "\n")
            .replace("\n ", "")
            .replace("\n\t", "");
        let mut lines = Self::default();
        for line in unfolded
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            lines.read(line, own)?;
        }
        if lines.rules.len() + lines.exrules.len() > MOST_RULES {
            return Err(ScheduleError::TooMany {
                what: "rules",
                limit: MOST_RULES,
            });
        }
        Ok(lines)
    }

    fn read(&mut self, line: &str, own: &Zone) -> Result<(), ScheduleError> {
        let Some((head, value)) = line.split_once(':') else {
            self.rules.push(Parts::parse(line)?);
            return Ok(());
        };
        let (name, parameters) = head.split_once(';').unwrap_or((head, ""));
        match name.trim().to_ascii_uppercase().as_str() {
            "RRULE" => self.rules.push(read_rule(parameters, value)?),
            "EXRULE" => self.exrules.push(read_rule(parameters, value)?),
            "RDATE" => read_dates(
                "RDATE",
                parameters,
                value,
                own,
                &mut self.rdates,
                &mut self.rdays,
            )?,
            "EXDATE" => read_dates(
                "EXDATE",
                parameters,
                value,
                own,
                &mut self.exdates,
                &mut self.exdays,
            )?,
            "DTSTART" => return Err(ScheduleError::DtstartInRule),
            _ => return Err(ScheduleError::UnknownLine { line: quoted(line) }),
        }
        Ok(())
    }
}

fn read_rule(parameters: &str, value: &str) -> Result<Parts, ScheduleError> {
    if parameters.is_empty() {
        Parts::parse(value)
    } else {
        Err(ScheduleError::UnknownParameter {
            parameter: quoted(parameters),
        })
    }
}

/// Reads the comma separated dates of one line. Local times are of the line's TZID, or else of
/// the schedule's zone; of a PERIOD only its start counts.
fn read_dates(
    name: &str,
    parameters: &str,
    values: &str,
    own: &Zone,
    instants: &mut Vec<i64>,
    days: &mut Vec<Date>,
) -> Result<(), ScheduleError> {
    let zone = zone_parameter(parameters)?.unwrap_or_else(|| own.clone());
    for value in values.split(',') {
        let start = value.split('/').next().unwrap_or(value).trim();
        let Some(read) = DateValue::parse(start) else {
            return Err(ScheduleError::BadValue {
                name: name.to_owned(),
                value: quoted(value),
                instead: "times such as 20260301T090000Z, or dates such as 20260301",
            });
        };
        match read {
            DateValue::Utc(instant) => instants.push(instant),
            DateValue::Local(local) => instants.push(zone.instant(zone::floating_of(local))),
            DateValue::Day(day) => days.push(day),
        }
    }
    if instants.len() + days.len() > MOST_DATES {
        return Err(ScheduleError::TooMany {
            what: "dates",
            limit: MOST_DATES,
        });
    }
    Ok(())
}

fn zone_parameter(parameters: &str) -> Result<Option<Zone>, ScheduleError> {
    let mut zone = None;
    for parameter in parameters
        .split(';')
        .filter(|parameter| !parameter.is_empty())
    {
        let unknown = || ScheduleError::UnknownParameter {
            parameter: quoted(parameter),
        };
        let (name, value) = parameter.split_once('=').ok_or_else(unknown)?;
        match name.trim().to_ascii_uppercase().as_str() {
            "TZID" => zone = Some(Zone::named(value.trim().trim_matches('"'))?),
            "VALUE"
                if matches!(
                    value.trim().to_ascii_uppercase().as_str(),
                    "DATE" | "DATE-TIME" | "PERIOD"
                ) => {}
            _ => return Err(unknown()),
        }
    }
    Ok(zone)
}

fn read_date(text: &str) -> Option<Date> {
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let year = text.get(..4)?.parse().ok().filter(|year| *year >= 1)?;
    Date::new(
        year,
        text.get(4..6)?.parse().ok()?,
        text.get(6..)?.parse().ok()?,
    )
    .ok()
}

/// A leap second is read as second 59.
fn read_time(text: &str) -> Option<Time> {
    if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let second: i8 = text.get(4..)?.parse().ok()?;
    let second = if second == 60 { 59 } else { second };
    Time::new(
        text.get(..2)?.parse().ok()?,
        text.get(2..4)?.parse().ok()?,
        second,
        0,
    )
    .ok()
}

/// The start of an automation: RFC 3339 with an offset (shown in the zone), local
/// `YYYYMMDDTHHMMSS` (or RFC 3339 without an offset), or now with its seconds dropped.
///
/// ```
/// use hostler_proto::schedule::parse_dtstart;
/// let start = parse_dtstart(Some("2026-03-01T14:00:00Z"), "America/New_York", jiff::Timestamp::UNIX_EPOCH)?;
/// assert_eq!(start.to_string(), "2026-03-01T09:00:00");
/// # Ok::<(), hostler_proto::schedule::ScheduleError>(())
/// ```
pub fn parse_dtstart(
    text: Option<&str>,
    timezone: &str,
    now: jiff::Timestamp,
) -> Result<DateTime, ScheduleError> {
    let zone = Zone::named(timezone)?;
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        let shown = zone.floating(zone::floor_second(now));
        return Ok(zone::civil(shown - shown.rem_euclid(60)));
    };
    let local = read_start(text, zone.jiff()).ok_or_else(|| ScheduleError::BadStart {
        value: quoted(text),
    })?;
    if (1..=9_999).contains(&local.year()) {
        Ok(local)
    } else {
        Err(ScheduleError::StartOutOfRange {
            value: quoted(text),
        })
    }
}

fn read_start(text: &str, zone: &TimeZone) -> Option<DateTime> {
    let whole = |local: DateTime| local.with().subsec_nanosecond(0).build().ok();
    match DateValue::parse(text) {
        Some(DateValue::Utc(instant)) => return Some(zone.to_datetime(zone::timestamp(instant))),
        Some(DateValue::Local(local)) => return Some(local),
        Some(DateValue::Day(day)) => return Some(day.to_datetime(Time::midnight())),
        None => {}
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return whole(zone.to_datetime(instant));
    }
    text.parse::<DateTime>().ok().and_then(whole)
}
