//! `hostler schedule preview`: tables a person can check by hand, and cron text.

use serde_json::json;

use crate::harness::Home;

/// The weeks around both clock changes of New York in 2027 (14 March and 7 November).
const CLOCK_CHANGES: &str = include_str!("clock_changes.txt");

#[test]
fn a_week_around_both_clock_changes() {
    let home = Home::new();
    let mut shown = String::new();
    for (rule, from) in [
        ("30 2 * * *", "2027-03-11"),
        ("30 2 * * *", "2027-11-04"),
        ("FREQ=HOURLY", "2027-03-11"),
        ("FREQ=HOURLY", "2027-11-04"),
    ] {
        let options = [
            "--dtstart",
            "2027-01-01T00:30:00",
            "--tz",
            "America/New_York",
        ];
        let week = ["--from", from, "--days", "7"];
        let command = [
            &["schedule", "preview", "--rrule", rule],
            &options[..],
            &week,
        ]
        .concat();
        shown.push_str(&home.run(&command).ok());
        shown.push('\n');
    }
    if shown != CLOCK_CHANGES {
        let file = home.path("clock_changes.txt");
        std::fs::write(&file, &shown).unwrap();
        panic!("another table than clock_changes.txt:\n{shown}");
    }
}

#[test]
fn cron_text_is_translated_and_says_so() {
    let home = Home::new();
    let preview = |option: &str, text: &str| {
        let rest = ["--tz", "UTC", "--from", "2027-02-26", "-n", "4"];
        home.run(&[&["schedule", "preview", option, text], &rest[..]].concat())
    };
    let either = preview("--cron", "0 0 1 * MON").ok();
    assert!(
        either.starts_with("0 0 1 * MON  is  RRULE:FREQ=DAILY;BYMONTHDAY=1;"),
        "{either}"
    );
    // 1 March 2027 is a Monday: it fires once, though both rules name it.
    for day in ["2027-03-01", "2027-03-08", "2027-03-15", "2027-03-22"] {
        assert_eq!(
            either.matches(&format!("{day}T00:00:00Z")).count(),
            1,
            "{either}"
        );
    }
    let (_, whole) = preview("--cron", "0 25 * * *").failed();
    assert!(
        whole.contains("The cron hour field \"25\" cannot be read; write"),
        "{whole}"
    );
    let json = [
        "schedule",
        "preview",
        "--rrule",
        "@daily",
        "--tz",
        "America/New_York",
        "--from",
        "2027-03-13",
        "--until",
        "2027-03-15T05:00:00Z",
        "--json",
    ];
    let json_answer = home.run(&json).json();
    assert_eq!(json_answer["rrule"], "FREQ=DAILY;BYHOUR=0;BYMINUTE=0");
    assert_eq!(
        json_answer["instants"][1],
        json!({"utc": "2027-03-14T05:00:00Z", "local": "2027-03-14T00:00:00-05:00", "offset": "-05:00"})
    );
    assert_eq!(json_answer["instants"].as_array().unwrap().len(), 3);
}
