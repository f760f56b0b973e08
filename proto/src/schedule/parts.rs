//! One RRULE or EXRULE body, read and checked against RFC 5545 section 3.3.10.
//!
//! The `rrule` crate reads FREQ, WKST and the BY lists. INTERVAL, COUNT and UNTIL are read here
//! (the crate keeps 16 bits of INTERVAL and reads a local UNTIL in the machine's zone), and so is
//! the legality of each value: the crate refuses `-5FR` and `-53TU`, reads `xMO` as `MO`, and
//! cuts text at byte positions. The parts stay as written; what the start implies is added by
//! `generate`. Nothing is ever printed back from here: the user's text is what is kept.

use rrule::{Frequency, NWeekday, RRule, Unvalidated};

use super::error::{ScheduleError, quoted};
use super::syntax::{bad, check_freq, check_list, for_crate, number, split};
use super::text::DateValue;
use super::zone;

/// How often the periods of a rule come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Freq {
    Yearly,
    Monthly,
    Weekly,
    Daily,
    Hourly,
    Minutely,
    Secondly,
}

impl Freq {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Yearly => "YEARLY",
            Self::Monthly => "MONTHLY",
            Self::Weekly => "WEEKLY",
            Self::Daily => "DAILY",
            Self::Hourly => "HOURLY",
            Self::Minutely => "MINUTELY",
            Self::Secondly => "SECONDLY",
        }
    }
}

/// The end of a rule as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Seconds since 1970 in UTC.
    Utc(i64),
    /// Floating seconds in the schedule's zone.
    Local(i64),
}

/// The parts of a rule as written. Empty lists and zero masks are parts left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) freq: Freq,
    pub(super) interval: u32,
    pub(super) count: Option<u32>,
    pub(super) until: Option<Until>,
    /// Monday is 0.
    pub(super) week_start: u8,
    pub(super) set_pos: Vec<i16>,
    pub(super) months: u16,
    pub(super) month_days: Vec<i8>,
    pub(super) year_days: Vec<i16>,
    pub(super) week_numbers: Vec<i8>,
    pub(super) weekdays: u8,
    pub(super) nth: Vec<(i8, u8)>,
    pub(super) hours: u32,
    pub(super) minutes: u64,
    pub(super) seconds: u64,
}

impl Parts {
    /// Reads the body of a rule, without its `RRULE:`.
    pub(super) fn parse(body: &str) -> Result<Self, ScheduleError> {
        let pairs = split(body)?;
        let find = |name: &str| {
            pairs
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.as_str())
        };
        let freq = find("FREQ").ok_or(ScheduleError::NoFreq)?;
        check_freq(freq)?;
        for (name, value) in &pairs {
            check_list(name, value)?;
        }
        let crate_rule: RRule<Unvalidated> = for_crate(&pairs)
            .parse()
            .map_err(|_detail| ScheduleError::NotAPart { part: quoted(body) })?;
        let mut parts = Self::from_crate(&crate_rule);
        if let Some(value) = find("INTERVAL") {
            parts.interval = number("INTERVAL", value, "a whole number such as INTERVAL=2")?;
        }
        if let Some(value) = find("COUNT") {
            parts.count = Some(number(
                "COUNT",
                value,
                "a whole number from 1, such as COUNT=10",
            )?);
        }
        parts.until = find("UNTIL").map(read_until).transpose()?;
        parts.check()?;
        Ok(parts)
    }

    /// Whether the rule sets a time of day of its own.
    pub(super) const fn has_time_parts(&self) -> bool {
        self.hours != 0 || self.minutes != 0 || self.seconds != 0
    }

    /// Whether the rule limits days in any way.
    pub(super) fn has_day_parts(&self) -> bool {
        self.months != 0
            || self.weekdays != 0
            || !self.month_days.is_empty()
            || !self.year_days.is_empty()
            || !self.week_numbers.is_empty()
            || !self.nth.is_empty()
    }

    pub(super) fn has_weekday_or_year_parts(&self) -> bool {
        self.weekdays != 0
            || !self.nth.is_empty()
            || !self.year_days.is_empty()
            || !self.week_numbers.is_empty()
    }

    fn from_crate(rule: &RRule<Unvalidated>) -> Self {
        let mut weekdays = 0;
        let mut nth = Vec::new();
        for day in rule.get_by_weekday() {
            match day {
                NWeekday::Every(weekday) => weekdays |= 1 << weekday.num_days_from_monday(),
                NWeekday::Nth(n, weekday) => nth.push((
                    i8::try_from(*n).unwrap_or_default(),
                    u8::try_from(weekday.num_days_from_monday()).unwrap_or_default(),
                )),
            }
        }
        Self {
            freq: freq_of(rule.get_freq()),
            interval: 1,
            count: None,
            until: None,
            week_start: u8::try_from(rule.get_week_start().num_days_from_monday())
                .unwrap_or_default(),
            set_pos: rule
                .get_by_set_pos()
                .iter()
                .filter_map(|pos| i16::try_from(*pos).ok())
                .collect(),
            months: rule
                .get_by_month()
                .iter()
                .fold(0, |mask, month| mask | 1 << month),
            month_days: rule.get_by_month_day().to_vec(),
            year_days: rule.get_by_year_day().to_vec(),
            week_numbers: rule.get_by_week_no().to_vec(),
            weekdays,
            nth,
            hours: rule
                .get_by_hour()
                .iter()
                .fold(0, |mask, hour| mask | 1 << hour),
            minutes: rule
                .get_by_minute()
                .iter()
                .fold(0, |mask, minute| mask | 1 << minute),
            seconds: rule
                .get_by_second()
                .iter()
                .fold(0, |mask, second| mask | 1 << second),
        }
    }

    /// What RFC 5545 forbids between parts.
    fn check(&self) -> Result<(), ScheduleError> {
        if self.interval == 0 {
            return Err(ScheduleError::IntervalZero);
        }
        if self.count == Some(0) {
            return Err(bad("COUNT", "0", "a whole number from 1, such as COUNT=10"));
        }
        if self.count.is_some() && self.until.is_some() {
            return Err(ScheduleError::CountAndUntil);
        }
        if !self.set_pos.is_empty() && !self.has_time_parts() && !self.has_day_parts() {
            return Err(ScheduleError::SetPosAlone);
        }
        self.check_freq_parts()
    }

    fn check_freq_parts(&self) -> Result<(), ScheduleError> {
        let forbidden = |part, instead| {
            Err(ScheduleError::Forbidden {
                part,
                freq: self.freq.name(),
                instead,
            })
        };
        if !self.week_numbers.is_empty() && self.freq != Freq::Yearly {
            return forbidden(
                "BYWEEKNO",
                "write FREQ=YEARLY, or choose weeks with BYDAY and BYMONTHDAY",
            );
        }
        if !self.year_days.is_empty()
            && matches!(self.freq, Freq::Daily | Freq::Weekly | Freq::Monthly)
        {
            return forbidden(
                "BYYEARDAY",
                "write FREQ=YEARLY, or use BYMONTH and BYMONTHDAY",
            );
        }
        if !self.month_days.is_empty() && self.freq == Freq::Weekly {
            return forbidden("BYMONTHDAY", "write FREQ=MONTHLY, or use BYDAY");
        }
        if !self.nth.is_empty() && !matches!(self.freq, Freq::Monthly | Freq::Yearly) {
            return forbidden(
                "A numbered BYDAY such as 1MO",
                "write FREQ=MONTHLY, or leave the number out",
            );
        }
        if !self.nth.is_empty() && !self.week_numbers.is_empty() {
            return forbidden(
                "A numbered BYDAY beside BYWEEKNO",
                "leave the number or BYWEEKNO out",
            );
        }
        Ok(())
    }
}

fn freq_of(freq: Frequency) -> Freq {
    match freq {
        Frequency::Yearly => Freq::Yearly,
        Frequency::Monthly => Freq::Monthly,
        Frequency::Weekly => Freq::Weekly,
        Frequency::Daily => Freq::Daily,
        Frequency::Hourly => Freq::Hourly,
        Frequency::Minutely => Freq::Minutely,
        Frequency::Secondly => Freq::Secondly,
    }
}

/// UNTIL as a UTC time, a local time, or a date (which lasts to the end of that local day).
fn read_until(value: &str) -> Result<Until, ScheduleError> {
    const INSTEAD: &str = "a UTC time such as UNTIL=20261231T235959Z";
    let refused = || bad("UNTIL", value, INSTEAD);
    let read = DateValue::parse(value).ok_or_else(refused)?;
    Ok(match read {
        DateValue::Utc(instant) => Until::Utc(instant),
        DateValue::Local(local) => Until::Local(zone::floating_of(local)),
        DateValue::Day(day) => {
            Until::Local(zone::floating_of(day.to_datetime(jiff::civil::Time::MAX)))
        }
    })
}
