//! Schedules in plain words, and warnings about clock changes.

use hostler_proto::schedule::{clock_change_at, clock_change_notes, describe, from_cron};

use super::{at, schedule};

/// Rules starting on Monday 2026-03-02 at 8:30 in New York.
const SAID: &[(&str, &str)] = &[
    (
        "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0",
        "Weekdays at 9:00 AM",
    ),
    (
        "FREQ=MINUTELY;INTERVAL=15;BYHOUR=9,10,11,12,13,14,15,16,17;BYDAY=MO,TU,WE,TH,FR",
        "Every 15 minutes from 9:00 to 17:59 on weekdays",
    ),
    (
        "FREQ=DAILY;BYHOUR=9,10,11;BYMINUTE=0,15,30,45;BYDAY=MO,TU,WE,TH,FR",
        "Every 15 minutes from 9:00 to 11:59 on weekdays",
    ),
    (
        "FREQ=DAILY;BYHOUR=9,10,11;BYMINUTE=0,20,40",
        "Every 20 minutes from 9:00 to 11:59 every day",
    ),
    ("FREQ=DAILY", "Daily at 8:30 AM"),
    (
        "FREQ=DAILY;INTERVAL=3;COUNT=10",
        "Every 3 days at 8:30 AM, 10 times",
    ),
    (
        "FREQ=DAILY;BYHOUR=0,12;BYMINUTE=0",
        "Daily at 12:00 AM and 12:00 PM",
    ),
    (
        "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23;BYMINUTE=5",
        "Daily every hour at minute 5",
    ),
    ("FREQ=WEEKLY", "Mondays at 8:30 AM"),
    (
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH",
        "Every 2 weeks on Monday and Thursday at 8:30 AM",
    ),
    (
        "FREQ=WEEKLY;BYDAY=SA,SU;BYMONTH=7",
        "Weekends in July at 8:30 AM",
    ),
    ("FREQ=MONTHLY", "Monthly on the 2nd at 8:30 AM"),
    (
        "FREQ=MONTHLY;BYMONTHDAY=1,15,-1",
        "Monthly on the 1st, 15th and last day at 8:30 AM",
    ),
    (
        "FREQ=MONTHLY;BYDAY=1MO,-1FR",
        "Monthly on the first Monday and the last Friday at 8:30 AM",
    ),
    (
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=17;BYMINUTE=0",
        "Monthly on the last weekday at 5:00 PM",
    ),
    (
        "FREQ=MONTHLY;INTERVAL=3;BYDAY=FR;BYMONTHDAY=13",
        "Every 3 months on Fridays that are the 13th at 8:30 AM",
    ),
    ("FREQ=YEARLY", "Yearly on March 2 at 8:30 AM"),
    (
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
        "Yearly on February 29 at 8:30 AM",
    ),
    (
        "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
        "Yearly on the fourth Thursday in November at 8:30 AM",
    ),
    (
        "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
        "Yearly on Mondays in week 20 of the year at 8:30 AM",
    ),
    (
        "FREQ=YEARLY;BYYEARDAY=100,-1",
        "Yearly on the last and 100th day of the year at 8:30 AM",
    ),
    (
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1,1",
        "Monthly on the first and last weekday at 8:30 AM",
    ),
    (
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=-2",
        "Monthly on the second-last day at 8:30 AM",
    ),
    (
        "FREQ=MONTHLY;BYDAY=3MO,1MO",
        "Monthly on the first and third Monday at 8:30 AM",
    ),
    (
        "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
        "Monthly on Saturdays that are the 7th to 13th at 8:30 AM",
    ),
    (
        "FREQ=YEARLY;BYMONTH=12;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "Yearly on the last weekday in December at 8:30 AM",
    ),
    (
        "FREQ=YEARLY;BYMONTH=3,12;BYDAY=FR;BYSETPOS=-1",
        "Yearly on Fridays in March and December at 8:30 AM (only the last of each year)",
    ),
    ("FREQ=YEARLY;BYDAY=FR", "Fridays at 8:30 AM"),
    ("FREQ=YEARLY;BYMONTHDAY=1", "Monthly on the 1st at 8:30 AM"),
    (
        "FREQ=YEARLY;BYWEEKNO=-1,1,27;BYDAY=FR",
        "Yearly on Fridays in weeks 1 and 27 and the last week of the year at 8:30 AM",
    ),
    (
        "FREQ=YEARLY;BYWEEKNO=20",
        "Yearly on Mondays in week 20 of the year at 8:30 AM",
    ),
    (
        "FREQ=DAILY;BYMONTHDAY=1,15;BYMONTH=6",
        "Monthly on the 1st and 15th in June at 8:30 AM",
    ),
    (
        "FREQ=DAILY;BYHOUR=0,2,4,6,8,10,12,14,16,18,20,22;BYMINUTE=23",
        "Daily every 2 hours from 0:23 to 22:23",
    ),
    ("RDATE:20271224T090000Z", "Once, on 2027-12-24 at 04:00"),
    ("FREQ=HOURLY;INTERVAL=2", "Every 2 hours"),
    (
        "FREQ=HOURLY;BYMINUTE=0,30;BYHOUR=6,7,8",
        "Every 30 minutes from 6:00 to 8:59",
    ),
    (
        "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU",
        "Every day at 8:30 AM",
    ),
    ("FREQ=HOURLY;BYMINUTE=5", "Every hour at minute 5"),
    ("FREQ=MINUTELY", "Every minute"),
    (
        "FREQ=MINUTELY;INTERVAL=10;BYMONTH=1;BYHOUR=3,5",
        "Every 10 minutes in hours 3 and 5 in January",
    ),
    (
        "FREQ=DAILY;UNTIL=20261231T220000Z",
        "Daily at 8:30 AM, until 2026-12-31 17:00",
    ),
    (
        "FREQ=MONTHLY;BYDAY=TU,WE;BYSETPOS=2,-1;BYHOUR=7,19;BYMINUTE=0",
        "Monthly on Tuesdays and Wednesdays at 7:00 AM and 7:00 PM (only the second and last of each month)",
    ),
    (
        "RRULE:FREQ=DAILY\nRDATE:20260401T100000Z\nEXDATE:20260402T123000Z,20260403T123000Z",
        "Daily at 8:30 AM; also on 1 added date; except on 2 dates",
    ),
];

#[test]
fn common_rules_read_as_a_person_says_them() {
    let wrong: Vec<String> = SAID
        .iter()
        .filter_map(|(rule, words)| {
            let said = describe(&schedule(rule, "2026-03-02T08:30:00", "America/New_York"));
            (said != format!("{words}, New York")).then(|| format!("{rule}: {said}"))
        })
        .collect();
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn cron_lines_are_described_through_their_rule() {
    let rule = from_cron("*/15 9-17 * * 1-5").unwrap();
    let words = describe(&schedule(&rule, "2026-03-02T08:30:00", "Europe/Berlin"));
    assert_eq!(
        words,
        "Every 15 minutes from 9:00 to 17:59 on weekdays, Berlin"
    );
}

#[test]
fn an_instant_tells_what_a_clock_change_did_to_it() {
    let note = |rule: &str, instant: &str| {
        let schedule = schedule(rule, "2026-01-01T00:30:00", "America/New_York");
        clock_change_at(&schedule, at(instant)).unwrap_or_default()
    };
    let (daily, hourly) = ("FREQ=DAILY;BYHOUR=1,2", "FREQ=HOURLY");
    let moved = "02:30 does not exist: clocks go from 02:00 to 03:00";
    assert_eq!(note(daily, "2027-03-14T07:30:00Z"), moved);
    let after = "clocks have gone from 02:00 to 03:00";
    assert_eq!(note(hourly, "2027-03-14T07:30:00Z"), after);
    let once = "01:30 comes twice; it fires once, at the first";
    assert_eq!(note(daily, "2027-11-07T05:30:00Z"), once);
    let first = "01:30 comes twice; this is the first";
    assert_eq!(note(hourly, "2027-11-07T05:30:00Z"), first);
    let second = "01:30 comes twice; this is the second";
    assert_eq!(note(hourly, "2027-11-07T06:30:00Z"), second);
    for (rule, instant) in [
        (daily, "2027-03-14T06:30:00Z"),
        ("FREQ=DAILY;BYHOUR=3", "2027-03-14T07:30:00Z"),
        (hourly, "2027-03-14T08:00:00Z"),
        (hourly, "2027-11-07T04:59:59Z"),
        (hourly, "2027-11-07T07:00:00Z"),
        (daily, "2027-06-01T05:30:00Z"),
    ] {
        assert_eq!(note(rule, instant), "", "{rule} at {instant}");
    }
}

#[test]
fn clock_changes_ahead_are_told() {
    let now = at("2026-02-01T00:00:00Z");
    let daily = schedule(
        "FREQ=DAILY;BYHOUR=1,2;BYMINUTE=30",
        "2026-01-01T00:00:00",
        "America/New_York",
    );
    assert_eq!(
        clock_change_notes(&daily, now),
        [
            "On 2026-03-08 clocks go forward and 02:30 does not exist; the run starts at 03:30 EDT.",
            "On 2026-11-01 clocks go back 60 minutes and 01:30 comes twice; the run starts once, at 01:30 EDT.",
        ],
    );
    for rule in [
        "FREQ=DAILY;BYHOUR=9",
        "FREQ=HOURLY",
        "FREQ=DAILY;BYHOUR=2;UNTIL=20260307T000000Z",
        "FREQ=DAILY;BYHOUR=2;COUNT=3",
    ] {
        let unmoved = schedule(rule, "2026-01-01T00:00:00", "America/New_York");
        assert_eq!(clock_change_notes(&unmoved, now), [""; 0], "{rule}");
    }
    let utc = schedule("FREQ=DAILY;BYHOUR=2", "2026-01-01T00:00:00", "UTC");
    assert_eq!(clock_change_notes(&utc, now), [""; 0]);
}
