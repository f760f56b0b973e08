//! Schedules: from RFC 5545 text in an IANA zone to instants, from any point and in either
//! direction, at a cost that does not grow with the age of the start.
//!
//! * [`ScheduleText`] is what is stored: the user's own words, zone and local start.
//! * [`Schedule::parse`] compiles it and refuses what RFC 5545 forbids or cannot be read.
//! * [`Schedule::check_product`] adds the limits automations have on top of the RFC.
//! * [`Schedule::next_after`], [`Schedule::latest_at_or_before`] and the rest answer when.
//! * [`describe`], [`clock_change_notes`] and [`clock_change_at`] speak to people; [`from_cron`] reads cron lines;
//!   [`answer_line`] serves `hostler schedule preview --batch`.
//!
//! The `rrule` crate reads the rules. Generation is our own (`generate`): the crate always walks
//! from DTSTART, and is wrong on BYWEEKNO=53, WEEKLY with BYSETPOS and MINUTELY with BYHOUR. In
//! the tests its generator stands beside ours where it is right.
//!
//! Semantics beyond the RFC's letter:
//! * DTSTART fires only if its rule yields it. RDATE equal to an instance fires once.
//! * A time in a gap takes the offset before it and counts toward COUNT; a repeated time is its
//!   first occurrence.
//! * HOURLY and finer rules without BYHOUR, BYMINUTE, BYSECOND and BYSETPOS step in elapsed time
//!   from DTSTART: "every 2 hours" stays so over a clock change. This departs from the RFC.
//! * YEARLY with BYMONTHDAY alone means that day of every month; BYWEEKNO alone means DTSTART's
//!   weekday of those weeks.
//! * A date in EXDATE takes out that whole local day; in RDATE it fires at DTSTART's time of day;
//!   in UNTIL it lasts to the end of that local day.
//!
//! Pure: no clock is read, `now` is a parameter. Instants are whole seconds.

mod batch;
mod calendar;
mod cron;
mod describe;
mod describe_times;
mod error;
mod generate;
mod notes;
mod parts;
mod product;
mod series;
mod syntax;
mod text;
mod times;
mod words;
mod zone;

use jiff::civil::DateTime;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

pub use batch::{BATCH_MAX_LIMIT, answer_line};
pub use cron::from_cron;
pub use describe::describe;
pub use error::ScheduleError;
pub use notes::{clock_change_at, clock_change_notes};
pub use product::{LONGEST_RULE, MOST_COUNT};
pub use text::parse_dtstart;

use calendar::DAY;
use series::{LAST_INSTANT, Series};
use text::{Lines, MOST_DATES};
use zone::Zone;

/// An EXRULE may take out this many instants in a row before the schedule counts as ended.
const MOST_EXCLUDED_IN_A_ROW: u32 = 600_000;

/// A schedule as stored: the user's text, never a rendering of what was understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleText {
    /// A bare rule, or `RRULE:`, `EXRULE:`, `RDATE` and `EXDATE` lines.
    pub rrule: String,
    /// The start as a clock in the zone shows it.
    pub dtstart: DateTime,
    /// An IANA zone name.
    pub timezone: String,
    /// Instants taken out.
    #[serde(default)]
    pub exdates: Vec<Timestamp>,
    /// Instants added.
    #[serde(default)]
    pub rdates: Vec<Timestamp>,
}

/// A compiled schedule. A few hundred bytes; the zone's data is shared between schedules.
#[derive(Debug, Clone)]
pub struct Schedule {
    zone: Zone,
    /// DTSTART in floating seconds.
    start: i64,
    rules: Vec<Series>,
    exrules: Vec<Series>,
    /// Instants, ascending.
    rdates: Vec<i64>,
    exdates: Vec<i64>,
    /// Day numbers of the zone, ascending.
    exdays: Vec<i64>,
    /// Characters of the rule as written.
    written: usize,
}

impl Schedule {
    /// Compiles stored text, checking what RFC 5545 and the zone database allow.
    ///
    /// ```
    /// use hostler_proto::schedule::{Schedule, ScheduleText};
    /// let schedule = Schedule::parse(&ScheduleText {
    ///     rrule: "FREQ=DAILY;BYHOUR=2;BYMINUTE=30".into(),
    ///     dtstart: "2026-03-07T00:00:00".parse()?,
    ///     timezone: "America/New_York".into(),
    ///     exdates: vec![],
    ///     rdates: vec![],
    /// })?;
    /// // 02:30 does not exist on 8 March: it fires at 03:30, New York summer time.
    /// let next = schedule.next_after("2026-03-07T12:00:00Z".parse()?);
    /// assert_eq!(next, Some("2026-03-08T07:30:00Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(text: &ScheduleText) -> Result<Self, ScheduleError> {
        if !(1..=9_999).contains(&text.dtstart.year()) {
            return Err(ScheduleError::StartOutOfRange {
                value: text.dtstart.to_string(),
            });
        }
        if text.exdates.len().max(text.rdates.len()) > MOST_DATES {
            return Err(ScheduleError::TooMany {
                what: "dates",
                limit: MOST_DATES,
            });
        }
        let zone = Zone::named(&text.timezone)?;
        let lines = Lines::parse(&text.rrule, &zone)?;
        if lines.rules.is_empty()
            && lines.rdates.is_empty()
            && lines.rdays.is_empty()
            && text.rdates.is_empty()
        {
            return Err(ScheduleError::Empty);
        }
        let schedule = Self::compile(text, lines, zone);
        schedule.check_ends(text)?;
        Ok(schedule)
    }

    /// The first instant strictly after `after`.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.next(zone::floor_second(after), LAST_INSTANT)
            .map(zone::timestamp)
    }

    /// The first instant at or after `from`.
    pub fn first_at_or_after(&self, from: Timestamp) -> Option<Timestamp> {
        let floor = zone::floor_second(from);
        let after = if from.subsec_nanosecond() == 0 {
            floor - 1
        } else {
            floor
        };
        self.next(after, LAST_INSTANT).map(zone::timestamp)
    }

    /// The newest instant not after `at`, found by halving and not by walking from the start.
    pub fn latest_at_or_before(&self, at: Timestamp) -> Option<Timestamp> {
        let at = zone::floor_second(at).min(LAST_INSTANT);
        let first = self.next(i64::MIN / 4, at)?;
        let mut back = 64;
        let mut latest = loop {
            if at - back < first {
                break first;
            }
            if let Some(found) = self.next(at - back, at) {
                break found;
            }
            back *= 2;
        };
        let mut none_after = at;
        while latest < none_after {
            let middle = latest + (none_after - latest) / 2;
            match self.next(middle, none_after) {
                Some(found) => latest = found,
                None => none_after = middle,
            }
        }
        Some(zone::timestamp(latest))
    }

    /// How many instants lie after one and up to another, counting no further than `cap`.
    pub fn count_between(&self, after: Timestamp, until_inclusive: Timestamp, cap: u32) -> u32 {
        let end = zone::floor_second(until_inclusive).min(LAST_INSTANT);
        let mut last = zone::floor_second(after);
        let mut count = 0;
        while count < cap {
            match self.next(last, end) {
                Some(found) => last = found,
                None => break,
            }
            count += 1;
        }
        count
    }

    /// The moment a preview stands at: just before the start, or `now` when that is earlier.
    pub fn before_start(&self, now: Timestamp) -> Timestamp {
        zone::timestamp(self.zone.instant(self.start) - 1).min(now)
    }

    /// The instants at or after `from`, in order.
    pub fn instants_from(&self, from: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.first_at_or_after(from), |last| self.next_after(*last))
    }

    /// The zone's name as the database spells it.
    pub fn timezone(&self) -> &str {
        self.zone.name()
    }

    /// An instant as a clock in the schedule's zone shows it.
    pub fn local(&self, instant: Timestamp) -> Zoned {
        instant.to_zoned(self.zone.jiff().clone())
    }

    /// Checks what automations may not do although RFC 5545 allows it: see [`ScheduleError`].
    pub fn check_product(&self, now: Timestamp) -> Result<(), ScheduleError> {
        product::check(self, now)
    }

    fn compile(text: &ScheduleText, lines: Lines, zone: Zone) -> Self {
        let start = zone::floating_of(text.dtstart);
        let series = |rules: Vec<parts::Parts>| -> Vec<Series> {
            rules
                .into_iter()
                .map(|parts| Series::new(parts, start, &zone))
                .collect()
        };
        let at_start_time = |day: jiff::civil::Date| {
            zone.instant(zone::floating_of(day.to_datetime(text.dtstart.time())))
        };
        let seconds = |given: &[Timestamp]| -> Vec<i64> {
            given.iter().copied().map(zone::floor_second).collect()
        };
        let midnight = |day: jiff::civil::Date| zone::floating_of(day.into()).div_euclid(DAY);
        Self {
            start,
            rules: series(lines.rules),
            exrules: series(lines.exrules),
            rdates: ascending(
                [
                    lines.rdates,
                    seconds(&text.rdates),
                    lines.rdays.into_iter().map(at_start_time).collect(),
                ]
                .concat(),
            ),
            exdates: ascending([lines.exdates, seconds(&text.exdates)].concat()),
            exdays: ascending(lines.exdays.into_iter().map(midnight).collect()),
            written: text.rrule.chars().count(),
            zone,
        }
    }

    fn check_ends(&self, text: &ScheduleText) -> Result<(), ScheduleError> {
        let start = self.zone.instant(self.start);
        let ends_before = |series: &Series| series.until().is_some_and(|until| until < start);
        if self.rules.iter().chain(&self.exrules).any(ends_before) {
            return Err(ScheduleError::UntilBeforeStart {
                start: text.dtstart.to_string(),
            });
        }
        Ok(())
    }

    /// The first instant after `after` and not after `to`, in seconds.
    fn next(&self, after: i64, to: i64) -> Option<i64> {
        let mut after = after;
        for _ in 0..MOST_EXCLUDED_IN_A_ROW {
            let of_rules = self
                .rules
                .iter()
                .filter_map(|rule| rule.next_after(after, to, &self.zone));
            let of_dates = self
                .rdates
                .get(self.rdates.partition_point(|date| *date <= after))
                .copied();
            let found = of_rules
                .chain(of_dates)
                .min()
                .filter(|found| *found <= to)?;
            if !self.is_excluded(found) {
                return Some(found);
            }
            after = found;
        }
        None
    }

    fn is_excluded(&self, instant: i64) -> bool {
        self.exdates.binary_search(&instant).is_ok()
            || (!self.exdays.is_empty()
                && self
                    .exdays
                    .binary_search(&self.zone.floating(instant).div_euclid(DAY))
                    .is_ok())
            || self
                .exrules
                .iter()
                .any(|rule| rule.next_after(instant - 1, instant, &self.zone).is_some())
    }
}

fn ascending(mut values: Vec<i64>) -> Vec<i64> {
    values.sort_unstable();
    values.dedup();
    values
}
