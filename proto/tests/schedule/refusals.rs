//! Every refusal with its word, and that its sentence says what to write instead.

use hostler_proto::schedule::{Schedule, ScheduleError, ScheduleText, parse_dtstart};
use proptest::prelude::*;

use super::{at, parse, schedule, text};

const NOW: &str = "2026-03-02T12:00:00Z";

/// What the expansion refuses: rule, code, and a piece of advice in the sentence.
const REFUSED: &[(&str, &str, &str)] = &[
    ("", "invalid_rule", "write a rule such as FREQ=DAILY"),
    ("RRULE:", "invalid_rule", "NAME=value parts"),
    ("garbage", "invalid_rule", "NAME=value parts"),
    ("every day at nine", "invalid_rule", "NAME=value parts"),
    ("FREQ", "invalid_rule", "NAME=value parts"),
    ("FREQ=", "invalid_rule", "MINUTELY, HOURLY"),
    ("FREQ=FORTNIGHTLY", "invalid_rule", "MINUTELY, HOURLY"),
    ("BYHOUR=9", "invalid_rule", "start it with one of FREQ="),
    ("FREQ=DAILY;;BYHOUR=9", "invalid_rule", "NAME=value parts"),
    ("FREQ=DAILY;FREQ=WEEKLY", "invalid_rule", "write it once"),
    ("FREQ=DAILY;BYEASTER=0", "invalid_rule", "BYSETPOS"),
    ("FREQ=DAILY;X-NAME=1", "invalid_rule", "use FREQ, INTERVAL"),
    ("FREQ=DAILY;INTERVAL=0", "invalid_rule", "INTERVAL=1"),
    ("FREQ=DAILY;INTERVAL=-1", "invalid_rule", "whole number"),
    (
        "FREQ=DAILY;INTERVAL=99999999999",
        "invalid_rule",
        "whole number",
    ),
    ("FREQ=DAILY;COUNT=0", "invalid_rule", "COUNT=10"),
    ("FREQ=DAILY;COUNT=x", "invalid_rule", "COUNT=10"),
    (
        "FREQ=DAILY;COUNT=3;UNTIL=20270101T000000Z",
        "invalid_rule",
        "keep COUNT",
    ),
    (
        "FREQ=DAILY;UNTIL=tomorrow",
        "invalid_rule",
        "UNTIL=20261231T235959Z",
    ),
    (
        "FREQ=DAILY;UNTIL=20260231T000000Z",
        "invalid_rule",
        "UNTIL=20261231T235959Z",
    ),
    ("FREQ=DAILY;BYHOUR=24", "invalid_rule", "from 0 to 23"),
    ("FREQ=DAILY;BYHOUR=-1", "invalid_rule", "from 0 to 23"),
    ("FREQ=DAILY;BYHOUR=", "invalid_rule", "from 0 to 23"),
    ("FREQ=DAILY;BYHOUR=9,,10", "invalid_rule", "from 0 to 23"),
    ("FREQ=DAILY;BYMINUTE=60", "invalid_rule", "from 0 to 59"),
    ("FREQ=DAILY;BYSECOND=61", "invalid_rule", "from 0 to 59"),
    ("FREQ=DAILY;BYMONTH=13", "invalid_rule", "from 1 to 12"),
    ("FREQ=DAILY;BYMONTHDAY=0", "invalid_rule", "1 to 31"),
    ("FREQ=DAILY;BYMONTHDAY=32", "invalid_rule", "1 to 31"),
    ("FREQ=YEARLY;BYYEARDAY=367", "invalid_rule", "1 to 366"),
    ("FREQ=YEARLY;BYWEEKNO=54", "invalid_rule", "1 to 53"),
    (
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0",
        "invalid_rule",
        "1 to 366",
    ),
    ("FREQ=MONTHLY;BYDAY=xMO", "invalid_rule", "weekdays MO"),
    ("FREQ=MONTHLY;BYDAY=0MO", "invalid_rule", "weekdays MO"),
    ("FREQ=MONTHLY;BYDAY=54MO", "invalid_rule", "weekdays MO"),
    ("FREQ=MONTHLY;BYDAY=éMO", "invalid_rule", "weekdays MO"),
    ("FREQ=WEEKLY;BYDAY=Monday", "invalid_rule", "weekdays MO"),
    ("FREQ=WEEKLY;WKST=1MO", "invalid_rule", "WKST=MO"),
    ("FREQ=MONTHLY;BYSETPOS=1", "invalid_rule", "another BY part"),
    (
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "invalid_rule",
        "write FREQ=MONTHLY",
    ),
    (
        "FREQ=MONTHLY;BYYEARDAY=1",
        "invalid_rule",
        "write FREQ=YEARLY",
    ),
    (
        "FREQ=MONTHLY;BYWEEKNO=1",
        "invalid_rule",
        "write FREQ=YEARLY",
    ),
    (
        "FREQ=WEEKLY;BYDAY=1MO",
        "invalid_rule",
        "leave the number out",
    ),
    (
        "FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO",
        "invalid_rule",
        "leave the number",
    ),
    (
        "DTSTART:20260101T090000\nFREQ=DAILY",
        "invalid_rule",
        "the dtstart field",
    ),
    ("SUMMARY:x", "invalid_rule", "RRULE:, EXRULE:, RDATE"),
    ("RRULE;TZID=UTC:FREQ=DAILY", "invalid_rule", "TZID="),
    ("RDATE;X=Y:20260301T090000Z", "invalid_rule", "TZID="),
    ("RDATE:soon", "invalid_rule", "20260301T090000Z"),
    (
        "RDATE;TZID=Mars/Base:20260301T090000",
        "unknown_timezone",
        "an IANA name",
    ),
    (
        "FREQ=DAILY;UNTIL=20250101T000000Z",
        "until_before_start",
        "an UNTIL after it",
    ),
];

#[test]
fn the_expansion_refuses_with_advice() {
    for (rule, code, advice) in REFUSED {
        let refusal = parse(rule, "2026-01-01T09:00:00", "Europe/Berlin").expect_err(rule);
        assert_eq!(refusal.code(), *code, "{rule}: {refusal}");
        assert!(refusal.to_string().contains(advice), "{rule}: {refusal}");
        assert!(refusal.to_string().ends_with('.'), "{rule}: {refusal}");
    }
}

/// What only the product refuses.
const REFUSED_BY_PRODUCT: &[(&str, &str, &str)] = &[
    (
        "FREQ=SECONDLY",
        "schedule_too_frequent",
        "write FREQ=MINUTELY",
    ),
    (
        "FREQ=SECONDLY;INTERVAL=3600",
        "schedule_too_frequent",
        "write FREQ=MINUTELY",
    ),
    (
        "FREQ=MINUTELY;BYSECOND=0,30",
        "schedule_too_frequent",
        "a single BYSECOND",
    ),
    (
        "FREQ=DAILY;BYSECOND=0,30",
        "schedule_too_frequent",
        "a single BYSECOND",
    ),
    (
        "FREQ=DAILY\nRDATE:20260303T080010Z",
        "schedule_too_frequent",
        "at least a minute",
    ),
    ("FREQ=DAILY;COUNT=1", "schedule_in_past", "a later dtstart"),
    (
        "FREQ=DAILY;UNTIL=20260201T000000Z",
        "schedule_in_past",
        "a later dtstart",
    ),
    (
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "schedule_never_fires",
        "BY parts",
    ),
    (
        "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=31",
        "schedule_never_fires",
        "BY parts",
    ),
    (
        "FREQ=HOURLY;INTERVAL=24;BYHOUR=5",
        "schedule_never_fires",
        "BY parts",
    ),
    (
        "FREQ=DAILY;BYHOUR=9;BYSETPOS=2",
        "schedule_never_fires",
        "BY parts",
    ),
    (
        "FREQ=MINUTELY\nEXRULE:FREQ=MINUTELY",
        "schedule_never_fires",
        "BY parts",
    ),
    (
        "FREQ=YEARLY;INTERVAL=50",
        "schedule_never_fires",
        "fires sooner",
    ),
    (
        "FREQ=DAILY;COUNT=10000001",
        "count_too_large",
        "a smaller COUNT",
    ),
];

#[test]
fn the_product_refuses_with_advice() {
    let long = format!("FREQ=DAILY;BYHOUR={}", vec!["9"; 250].join(","));
    let too_long = (long.as_str(), "schedule_too_long", "at most 500");
    for (rule, code, advice) in REFUSED_BY_PRODUCT.iter().chain([&too_long]) {
        let refusal = schedule(rule, "2026-01-01T09:00:00", "Europe/Berlin")
            .check_product(at(NOW))
            .expect_err(rule);
        assert_eq!(refusal.code(), *code, "{rule}: {refusal}");
        assert!(refusal.to_string().contains(advice), "{rule}: {refusal}");
    }
}

#[test]
fn what_rfc_5545_allows_is_accepted() {
    for rule in [
        "FREQ=MINUTELY",
        "rrule:freq=daily;byhour=9",
        "RRULE:FREQ=DAILY;",
        "FREQ=MONTHLY;BYDAY=-5FR",
        "FREQ=YEARLY;BYDAY=-53TU,53MO",
        "FREQ=MONTHLY;BYMONTHDAY=1;BYSETPOS=-366",
        "FREQ=DAILY;INTERVAL=100000;COUNT=3",
        "FREQ=DAILY;BYSECOND=60",
        "FREQ=MINUTELY;INTERVAL=7;BYHOUR=9",
        "FREQ=DAILY;UNTIL=20270101",
        "FREQ=DAILY;UNTIL=20270101T090000",
        "FREQ=DAILY\r\nEXDATE;VALUE=DATE:20260401,202604\r\n 02",
        "RDATE;VALUE=PERIOD:20270101T090000Z/PT1H",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=9",
    ] {
        let accepted = parse(rule, "2026-01-01T09:00:00", "Europe/Berlin");
        accepted.unwrap_or_else(|refusal| panic!("{rule}: {refusal}"));
    }
}

#[test]
fn zones_are_iana_names() {
    for name in [
        "America/New_York",
        "europe/berlin",
        "UTC",
        "Etc/GMT+5",
        "Asia/Calcutta",
        "EST5EDT",
    ] {
        parse("FREQ=DAILY", "2026-01-01T09:00:00", name)
            .unwrap_or_else(|refusal| panic!("{refusal}"));
    }
    for name in [
        "",
        "Mars/Base",
        "../../etc/passwd",
        "/etc/localtime",
        "localtime",
        "posix/UTC",
        "EST5EDT,M3.2.0,M11.1.0",
        "America/New_York\0",
        "é",
    ] {
        let refusal = parse("FREQ=DAILY", "2026-01-01T09:00:00", name).expect_err(name);
        assert_eq!(refusal.code(), "unknown_timezone", "{name}");
    }
}

#[test]
fn starts_are_read_in_the_zone() {
    let read = |text: Option<&str>| {
        parse_dtstart(text, "America/New_York", at("2026-03-02T12:34:56.789Z"))
    };
    for (written, start) in [
        (Some("2026-03-02T09:00:00-05:00"), "2026-03-02T09:00:00"),
        (Some("2026-03-02T14:00:00.25Z"), "2026-03-02T09:00:00"),
        (Some("20260302T140000Z"), "2026-03-02T09:00:00"),
        (Some("20260302T090000"), "2026-03-02T09:00:00"),
        (Some("2026-03-02T09:00:00"), "2026-03-02T09:00:00"),
        (Some("20260302"), "2026-03-02T00:00:00"),
        (Some("00010101T000000"), "0001-01-01T00:00:00"),
        (Some("99991231T235959"), "9999-12-31T23:59:59"),
        (None, "2026-03-02T07:34:00"),
        (Some("  "), "2026-03-02T07:34:00"),
    ] {
        assert_eq!(
            read(written).map(|start| start.to_string()).as_deref(),
            Ok(start),
            "{written:?}"
        );
    }
    for written in [
        "tomorrow",
        "10000-01-01T00:00:00Z",
        "00000101T000000",
        "-000001-01-01T00:00:00Z",
        "2026-02-30T09:00:00Z",
        "0000-06-01T00:00:00",
    ] {
        assert_eq!(
            read(Some(written)).map_err(|refusal| refusal.code()),
            Err("invalid_dtstart"),
            "{written}"
        );
    }
    assert_eq!(
        parse_dtstart(None, "Mars/Base", at(NOW)).map_err(|refusal| refusal.code()),
        Err("unknown_timezone")
    );
}

#[test]
fn starts_at_the_ends_of_time_and_in_a_gap_expand() {
    let first = |rule: &str, start: &str, zone: &str| {
        schedule(rule, start, zone).next_after(jiff::Timestamp::MIN)
    };
    assert_eq!(
        first("FREQ=DAILY", "0001-01-01T00:00:00", "UTC"),
        Some(at("0001-01-01T00:00:00Z"))
    );
    assert_eq!(
        schedule("FREQ=DAILY", "0001-01-01T09:00:00", "UTC").next_after(at(NOW)),
        Some(at("2026-03-03T09:00:00Z"))
    );
    assert_eq!(
        first("FREQ=DAILY", "9999-12-29T00:00:00", "UTC"),
        Some(at("9999-12-29T00:00:00Z"))
    );
    let last = schedule("FREQ=MINUTELY", "9999-12-29T23:59:00", "UTC");
    assert_eq!(last.instants_from(at(NOW)).count(), 2);
    assert_eq!(
        first("FREQ=DAILY", "9999-12-31T23:59:59", "America/New_York"),
        None
    );
    assert_eq!(
        first("FREQ=DAILY", "2026-03-08T02:30:00", "America/New_York"),
        Some(at("2026-03-08T07:30:00Z"))
    );
    for year in ["0000-12-31T00:00:00", "-009999-01-01T00:00:00"] {
        assert_eq!(
            parse("FREQ=DAILY", year, "UTC")
                .map(drop)
                .map_err(|refusal| refusal.code()),
            Err("invalid_dtstart")
        );
    }
}

#[test]
fn a_megabyte_of_rule_is_refused_at_once() {
    for rule in [
        "9,".repeat(524_288),
        "\n".repeat(1 << 20),
        format!("FREQ=DAILY;BYHOUR={}", "9,".repeat(524_288)),
    ] {
        let refusal = parse(&rule, "2026-01-01T09:00:00", "UTC").expect_err("too long");
        assert_eq!(refusal.code(), "schedule_too_long");
        assert!(refusal.to_string().len() < 300, "the text is not echoed");
    }
    let many = vec!["FREQ=DAILY"; 21].join("\n");
    assert_eq!(
        parse(&many, "2026-01-01T09:00:00", "UTC")
            .map(drop)
            .map_err(|refusal| refusal.code()),
        Err("schedule_too_long")
    );
    let mut dates = text("FREQ=DAILY", "2026-01-01T09:00:00", "UTC");
    dates.exdates = vec![at(NOW); 5_001];
    assert!(matches!(
        Schedule::parse(&dates),
        Err(ScheduleError::TooMany { .. })
    ));
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(rule in "\\PC{0,80}", zone in "\\PC{0,20}", start in "\\PC{0,24}") {
        let parsed = parse(&rule, "2026-01-01T09:00:00", "UTC");
        prop_assert!(parsed.is_err() || rule.contains("FREQ") || rule.contains("DATE"));
        prop_assert!(parse_dtstart(Some(&start), &zone, at(NOW)).is_err() || jiff::tz::TimeZone::get(&zone).is_ok());
    }

    #[test]
    fn half_right_rules_never_panic(parts in prop::collection::vec("(FREQ|BYDAY|BYSETPOS|BYHOUR|UNTIL|COUNT|INTERVAL|BYMONTHDAY|BYYEARDAY|WKST)=(DAILY|YEARLY|[-+0-9,]{0,6}|-?[0-9]{0,2}(MO|FR)|2026[0-9]{4}T[0-9]{6}Z?|é)", 1..5)) {
        if let Ok(schedule) = parse(&parts.join(";"), "2026-01-01T09:00:00", "Europe/Berlin") {
            prop_assert!(schedule.next_after(at(NOW)).is_none_or(|next| next > at(NOW)));
        }
    }
}

#[test]
fn stored_text_is_the_users_own() {
    let stored = ScheduleText {
        rdates: vec![at("2026-03-04T05:06:07Z")],
        ..text(
            "RRULE:FREQ=MONTHLY;BYDAY=1MO",
            "2026-01-05T09:00:00",
            "America/New_York",
        )
    };
    let json = serde_json::to_string(&stored).unwrap();
    let read: ScheduleText = serde_json::from_str(&json).unwrap();
    assert_eq!(read, stored);
    let bare = r#"{"rrule":"FREQ=DAILY","dtstart":"2026-01-05T09:00:00","timezone":"UTC"}"#;
    assert_eq!(
        serde_json::from_str::<ScheduleText>(bare).unwrap(),
        text("FREQ=DAILY", "2026-01-05T09:00:00", "UTC")
    );
}
