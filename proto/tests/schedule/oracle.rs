//! A second, plain expansion in UTC that walks every period from the start and filters every day
//! through jiff's calendar: slow, and written without looking at how the engine seeks.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;

use super::parse;

const DAYS: [(&str, Weekday); 7] = [
    ("MO", Weekday::Monday),
    ("TU", Weekday::Tuesday),
    ("WE", Weekday::Wednesday),
    ("TH", Weekday::Thursday),
    ("FR", Weekday::Friday),
    ("SA", Weekday::Saturday),
    ("SU", Weekday::Sunday),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frequency {
    Yearly,
    Monthly,
    Weekly,
    Daily,
    Hourly,
    Minutely,
}

#[derive(Debug, Clone)]
struct Rule {
    frequency: Frequency,
    interval: i64,
    months: BTreeSet<i8>,
    /// Indexes into `DAYS`, never empty.
    weekdays: BTreeSet<usize>,
    hours: BTreeSet<i8>,
    minutes: BTreeSet<i8>,
    set_pos: BTreeSet<i64>,
    start: DateTime,
}

impl Rule {
    fn text(&self) -> String {
        let join = |name: &str, values: Vec<String>| {
            if values.is_empty() {
                String::new()
            } else {
                format!(";{name}={}", values.join(","))
            }
        };
        let numbers = |values: &BTreeSet<i8>| values.iter().map(i8::to_string).collect();
        format!(
            "FREQ={};INTERVAL={}{}{}{}{}{}",
            format!("{:?}", self.frequency).to_uppercase(),
            self.interval,
            join("BYMONTH", numbers(&self.months)),
            join(
                "BYDAY",
                self.weekdays
                    .iter()
                    .map(|day| DAYS[*day].0.to_owned())
                    .collect()
            ),
            join("BYHOUR", numbers(&self.hours)),
            join("BYMINUTE", numbers(&self.minutes)),
            join(
                "BYSETPOS",
                self.set_pos.iter().map(i64::to_string).collect()
            ),
        )
    }

    /// The first `most` times, looking at no more than `periods` periods.
    fn expand(&self, most: usize, periods: i64) -> Vec<Timestamp> {
        let mut found = Vec::new();
        for n in 0..periods {
            let set = self.period(n * self.interval);
            let last = i64::try_from(set.len()).unwrap();
            for (at, time) in (0..).zip(&set) {
                let chosen = self.set_pos.is_empty()
                    || self.set_pos.contains(&(at + 1))
                    || self.set_pos.contains(&(at - last));
                if chosen && *time >= self.start {
                    found.push(time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp());
                }
            }
            if found.len() >= most {
                break;
            }
        }
        found.truncate(most);
        found
    }

    /// Every time of the n-th period after the start's, before BYSETPOS.
    fn period(&self, n: i64) -> Vec<DateTime> {
        let day = self.start.date();
        let days: Vec<Date> = match self.frequency {
            Frequency::Yearly => {
                let first = day.first_of_year() + n.years();
                first
                    .series(1.day())
                    .take_while(|day| day.year() == first.year())
                    .collect()
            }
            Frequency::Monthly => {
                let first = day.first_of_month() + n.months();
                first
                    .series(1.day())
                    .take_while(|day| day.month() == first.month())
                    .collect()
            }
            Frequency::Weekly => {
                let monday =
                    day - i64::from(day.weekday().to_monday_zero_offset()).days() + n.weeks();
                monday.series(1.day()).take(7).collect()
            }
            Frequency::Daily => vec![day + n.days()],
            Frequency::Hourly => return self.hour(self.start + n.hours()),
            Frequency::Minutely => return self.minute(self.start + n.minutes()),
        };
        let clock = self.start.time();
        days.into_iter()
            .filter(|day| self.day_passes(*day))
            .flat_map(|day| {
                self.hours_or(clock.hour())
                    .into_iter()
                    .map(move |hour| day.at(hour, 0, 0, 0))
            })
            .flat_map(|hour| {
                self.minutes_or(clock.minute())
                    .into_iter()
                    .map(move |minute| hour + i64::from(minute).minutes())
            })
            .collect()
    }

    fn hour(&self, at: DateTime) -> Vec<DateTime> {
        if !self.day_passes(at.date()) || !self.hours_or(at.hour()).contains(&at.hour()) {
            return Vec::new();
        }
        let hour = at.date().at(at.hour(), 0, 0, 0);
        self.minutes_or(self.start.minute())
            .into_iter()
            .map(|minute| hour + i64::from(minute).minutes())
            .collect()
    }

    fn minute(&self, at: DateTime) -> Vec<DateTime> {
        let passes = self.day_passes(at.date())
            && self.hours_or(at.hour()).contains(&at.hour())
            && self.minutes_or(at.minute()).contains(&at.minute());
        if passes { vec![at] } else { Vec::new() }
    }

    fn day_passes(&self, day: Date) -> bool {
        (self.months.is_empty() || self.months.contains(&day.month()))
            && self
                .weekdays
                .iter()
                .any(|weekday| DAYS[*weekday].1 == day.weekday())
    }

    fn hours_or(&self, implied: i8) -> BTreeSet<i8> {
        if self.hours.is_empty() {
            BTreeSet::from([implied])
        } else {
            self.hours.clone()
        }
    }

    fn minutes_or(&self, implied: i8) -> BTreeSet<i8> {
        if self.minutes.is_empty() {
            BTreeSet::from([implied])
        } else {
            self.minutes.clone()
        }
    }
}

fn some_or_none<T: std::fmt::Debug + Ord + Clone>(
    values: impl Strategy<Value = T>,
    most: usize,
) -> impl Strategy<Value = BTreeSet<T>> {
    prop::collection::btree_set(values, 0..=most)
}

fn rules(frequencies: &'static [Frequency]) -> impl Strategy<Value = Rule> {
    let start = (0..9_000_i64, 0..1_440_i64);
    (
        (prop::sample::select(frequencies), 1..30_i64),
        (
            some_or_none(1..13_i8, 3),
            prop::collection::btree_set(0..7_usize, 1..6),
        ),
        (some_or_none(0..24_i8, 3), some_or_none(0..60_i8, 3)),
        some_or_none(prop::sample::select(vec![-5_i64, -2, -1, 1, 2, 4]), 2),
        start,
    )
        .prop_map(
            |(
                (frequency, interval),
                (months, weekdays),
                (hours, minutes),
                set_pos,
                (day, minute),
            )| Rule {
                frequency,
                interval,
                months,
                weekdays,
                hours,
                minutes,
                set_pos,
                start: jiff::civil::date(2001, 1, 1).at(0, 0, 0, 0) + day.days().minutes(minute),
            },
        )
}

fn check(rule: &Rule, periods: i64) -> Result<(), TestCaseError> {
    let wanted = rule.expand(20, periods);
    let schedule = parse(&rule.text(), &rule.start.to_string(), "UTC").unwrap();
    let given: Vec<Timestamp> = schedule
        .instants_from(Timestamp::MIN)
        .take(wanted.len())
        .collect();
    prop_assert_eq!(given, wanted, "{} from {}", rule.text(), rule.start);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn days_and_rarer_match_a_plain_walk(rule in rules(&[Frequency::Yearly, Frequency::Monthly, Frequency::Weekly, Frequency::Daily])) {
        let periods = if matches!(rule.frequency, Frequency::Yearly) { 20 } else { 200 };
        check(&rule, periods)?;
    }

    #[test]
    fn hours_and_minutes_match_a_plain_walk(rule in rules(&[Frequency::Hourly, Frequency::Minutely])) {
        check(&rule, 20_000)?;
    }
}
