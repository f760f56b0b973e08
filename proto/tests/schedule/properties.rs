//! What must hold for any rule: order, restarts, seeking, and agreement with two other ways of
//! finding the same instants.

use std::collections::BTreeSet;

use hostler_proto::schedule::Schedule;
use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;

use super::{parse, schedule};

const ZONES: [&str; 8] = [
    "UTC",
    "America/New_York",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "America/Havana",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
];
const FREQUENCIES: [&str; 6] = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"];

fn list(of: impl Strategy<Value = i32>, most: usize) -> impl Strategy<Value = String> {
    prop::collection::btree_set(of, 1..=most).prop_map(|values| {
        values
            .iter()
            .map(i32::to_string)
            .collect::<Vec<_>>()
            .join(",")
    })
}

/// A part written in about one rule of three.
fn part(
    name: &'static str,
    values: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 1 => values.prop_map(move |values| format!(";{name}={values}"))]
}

fn weekdays() -> impl Strategy<Value = String> {
    let day = prop::sample::select(vec!["MO", "TU", "WE", "TH", "FR", "SA", "SU"]);
    prop::collection::btree_set(day, 1..4)
        .prop_map(|days| days.into_iter().collect::<Vec<_>>().join(","))
}

fn frequency_and_interval() -> impl Strategy<Value = String> {
    (prop::sample::select(FREQUENCIES.to_vec()), 1..20_u32)
        .prop_map(|(frequency, interval)| format!("FREQ={frequency};INTERVAL={interval}"))
}

fn limits() -> impl Strategy<Value = String> {
    (
        part("BYMONTH", list(1..13, 4)),
        part("BYDAY", weekdays()),
        part("BYMONTHDAY", list(1..29, 6)),
        part("BYHOUR", list(0..24, 4)),
        part("BYMINUTE", list(0..60, 4)),
    )
        .prop_map(|(months, days, month_days, hours, minutes)| {
            format!("{months}{days}{month_days}{hours}{minutes}")
        })
}

fn ends() -> impl Strategy<Value = String> {
    let set_pos = prop::sample::select(vec![1, 2, 3, -1, -2]).prop_map(|pos| pos.to_string());
    let end = prop_oneof![
        4 => Just(String::new()),
        1 => (1..40_u32).prop_map(|count| format!(";COUNT={count}")),
        1 => (2024..2034_u32).prop_map(|year| format!(";UNTIL={year}0702T113000Z")),
    ];
    (
        part("BYSETPOS", set_pos),
        part("WKST", Just("SU".to_owned())),
        end,
    )
        .prop_map(|(set_pos, week_start, end)| format!("{set_pos}{week_start}{end}"))
}

fn start() -> impl Strategy<Value = String> {
    (0..8_000_i64, 0..1_440_i64).prop_map(|(day, minute)| {
        (date(2003, 1, 1).at(0, 0, 0, 0) + day.days().minutes(minute)).to_string()
    })
}

/// Rules the RFC allows, in any zone.
fn schedules() -> impl Strategy<Value = (String, Schedule)> {
    (
        frequency_and_interval(),
        limits(),
        ends(),
        start(),
        prop::sample::select(ZONES.to_vec()),
    )
        .prop_filter_map(
            "forbidden by the RFC",
            |(frequency, limits, ends, start, zone)| {
                let rule = format!("{frequency}{limits}{ends}");
                let schedule = parse(&rule, &start, zone).ok()?;
                Some((format!("{rule} from {start} in {zone}"), schedule))
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn instants_increase_and_go_on_from_anywhere((said, schedule) in schedules(), ahead in 0..100_000_i64) {
        let listed: Vec<Timestamp> = schedule.instants_from(Timestamp::MIN).take(40).collect();
        for pair in listed.windows(2) {
            prop_assert!(pair[0] < pair[1], "{said}: {pair:?}");
            let between = pair[0] + SignedDuration::from_secs(ahead % (pair[1] - pair[0]).get_seconds().max(1));
            prop_assert_eq!(schedule.next_after(between), Some(pair[1]), "{} from {}", said, between);
            prop_assert_eq!(schedule.latest_at_or_before(between), Some(pair[0]), "{} at {}", said, between);
            prop_assert_eq!(schedule.first_at_or_after(pair[1]), Some(pair[1]), "{}", said);
        }
        let restarted: Vec<Timestamp> = listed.first().map_or_else(Vec::new, |first| {
            schedule.clone().instants_from(*first).take(40).collect()
        });
        prop_assert_eq!(restarted, listed);
    }

    #[test]
    fn far_ahead_latest_and_next_agree((said, schedule) in schedules(), seconds in 0..1_500_000_000_i64) {
        let at = Timestamp::from_second(1_100_000_000 + seconds).unwrap();
        if let (Some(latest), Some(next)) = (schedule.latest_at_or_before(at), schedule.next_after(at)) {
            prop_assert!(latest <= at && at < next, "{said}");
            prop_assert_eq!(schedule.next_after(latest), Some(next), "{}", said);
            prop_assert_eq!(schedule.count_between(latest, next, 10), 1, "{}", said);
            prop_assert_eq!(schedule.latest_at_or_before(next), Some(next), "{}", said);
        }
    }

    /// The `rrule` crate's generator, where it is right: UTC, no BYSETPOS, and no limits finer
    /// than its stepping.
    #[test]
    fn the_crate_generates_the_same(frequency in 0..4_usize, interval in 1..20_u32, limits in limits(), start in start()) {
        let rule = format!("FREQ={};INTERVAL={interval}{limits}", FREQUENCIES[frequency]);
        let Ok(ours) = parse(&rule, &start, "UTC") else { return Ok(()) };
        let compact = start.replace(['-', ':'], "");
        let theirs: rrule::RRuleSet = format!("DTSTART:{compact}Z\nRRULE:{rule}").parse().unwrap();
        let theirs: Vec<i64> = theirs.into_iter().take(25).map(|instant| instant.timestamp()).collect();
        let ours: Vec<i64> = ours.instants_from(Timestamp::MIN).take(theirs.len().max(1)).map(Timestamp::as_second).collect();
        if !theirs.is_empty() {
            prop_assert_eq!(ours, theirs, "{} from {}", rule, start);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Each local time made an instant on its own, sorted: what seeking must give across gaps.
    #[test]
    fn localising_matches_one_by_one(
        zone in prop::sample::select(ZONES.to_vec()),
        year in prop::sample::select(vec![2011_i16, 2023, 2026]),
        hours in prop::collection::btree_set(0..5_i8, 1..5),
        minutes in prop::collection::btree_set(0..60_i8, 1..6),
    ) {
        let numbers = |values: &BTreeSet<i8>| values.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
        let rule = format!("FREQ=DAILY;BYHOUR={};BYMINUTE={}", numbers(&hours), numbers(&minutes));
        let ours = schedule(&rule, &format!("{year}-01-01T00:00:00"), zone);
        let tz = TimeZone::get(zone).unwrap();
        let wanted: BTreeSet<Timestamp> = date(year, 1, 1)
            .series(1.day())
            .take_while(|day| day.year() == year)
            .flat_map(|day| hours.iter().flat_map(move |hour| minutes_of(day.at(*hour, 0, 0, 0))))
            .filter(|local| minutes.contains(&local.minute()))
            .map(|local| tz.to_timestamp(local).unwrap())
            .collect();
        let given: Vec<Timestamp> = ours.instants_from(Timestamp::MIN).take(wanted.len()).collect();
        prop_assert_eq!(given, wanted.into_iter().collect::<Vec<_>>(), "{} in {}", rule, zone);
    }
}

fn minutes_of(hour: jiff::civil::DateTime) -> impl Iterator<Item = jiff::civil::DateTime> {
    hour.series(1.minute()).take(60)
}

#[test]
fn count_is_used_up_by_skipped_times_and_reaches_its_last() {
    let rule = schedule(
        "FREQ=DAILY;COUNT=3",
        "2026-03-07T02:30:00",
        "America/New_York",
    );
    let all: Vec<String> = rule
        .instants_from(Timestamp::MIN)
        .map(|instant| instant.to_string())
        .collect();
    assert_eq!(
        all,
        [
            "2026-03-07T07:30:00Z",
            "2026-03-08T07:30:00Z",
            "2026-03-09T06:30:00Z"
        ]
    );
    let old = schedule(
        "FREQ=MINUTELY;BYSECOND=0;COUNT=1000000",
        "2010-01-01T00:00:00",
        "UTC",
    );
    let last = super::at("2011-11-26T10:39:00Z");
    assert_eq!(
        old.latest_at_or_before(super::at("2026-01-01T00:00:00Z")),
        Some(last)
    );
    assert_eq!(old.next_after(last), None);
    let huge = schedule(
        "FREQ=MINUTELY;BYHOUR=9;COUNT=4294967295",
        "2010-01-01T09:00:00",
        "UTC",
    );
    assert_eq!(
        huge.next_after(super::at("2026-01-01T09:59:00Z")),
        Some(super::at("2026-01-02T09:00:00Z"))
    );
}

#[test]
fn rdates_join_without_doubling_and_exdates_take_out() {
    let mut text = super::text(
        "FREQ=DAILY;COUNT=3\nRDATE:20260102T090000Z\nRDATE;VALUE=DATE:20260110\nEXDATE;VALUE=DATE:20260103",
        "2026-01-01T09:00:00",
        "UTC",
    );
    text.rdates = vec![
        super::at("2026-01-01T09:00:00Z"),
        super::at("2026-01-05T00:00:00Z"),
    ];
    text.exdates = vec![super::at("2026-01-01T09:00:00Z")];
    let schedule = Schedule::parse(&text).unwrap();
    let all: Vec<String> = schedule
        .instants_from(Timestamp::MIN)
        .map(|instant| instant.to_string())
        .collect();
    assert_eq!(
        all,
        [
            "2026-01-02T09:00:00Z",
            "2026-01-05T00:00:00Z",
            "2026-01-10T09:00:00Z"
        ]
    );
}
