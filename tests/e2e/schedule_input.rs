//! Schedules that cannot be: every refusal with its sentence and its way out, through the tool; and
//! those at the edge of what can.

use serde_json::{Value, json};

use crate::harness::{Home, Stopwatch, secs, yearly};

/// Rule, start, what the message says, and what the hint says.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "FREQ=SECONDLY",
        "2025-01-01T00:00:00Z",
        "FREQ=SECONDLY is too often",
        "write FREQ=MINUTELY",
    ),
    (
        "FREQ=MINUTELY;BYSECOND=0,30",
        "2025-01-01T00:00:00Z",
        "would fire twice within 60 seconds",
        "keep a single BYSECOND",
    ),
    (
        "FREQ=DAILY;COUNT=3;UNTIL=20400101T000000Z",
        "2025-01-01T00:00:00Z",
        "COUNT and UNTIL cannot stand together",
        "keep COUNT for a number of instants",
    ),
    (
        "FREQ=DAILY;INTERVAL=0",
        "2025-01-01T00:00:00Z",
        "INTERVAL=0 would never advance",
        "write INTERVAL=1",
    ),
    (
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "2025-01-01T00:00:00Z",
        "BYMONTHDAY is not allowed with FREQ=WEEKLY (RFC 5545)",
        "write FREQ=MONTHLY",
    ),
    (
        "FREQ=YEARLY;INTERVAL=100",
        "2025-01-01T00:00:00Z",
        "no instant in the next 8 years",
        "write one that fires sooner",
    ),
    (
        "FREQ=DAILY",
        "9999-12-01T00:00:00Z",
        "no instant in the next 8 years",
        "write one that fires sooner",
    ),
    (
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "2025-01-01T00:00:00Z",
        "has no instant at all",
        "check that its BY parts",
    ),
    (
        "FREQ=DAILY;COUNT=1",
        "2025-01-01T00:00:00Z",
        "is in the past (the last was 2025-01-01",
        "write a later dtstart",
    ),
    (
        "FREQ=DAILY;UNTIL=20240101T000000Z",
        "2025-01-01T00:00:00Z",
        "UNTIL is before the start (2025-01-01T00:00:00)",
        "write an UNTIL after it",
    ),
    (
        "0 9 * * 1-5",
        "2025-01-01T00:00:00Z",
        "is cron text and no RFC 5545 rule",
        "pass this rrule instead: FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0",
    ),
];

#[test]
fn every_refusal_says_what_to_write_instead() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let automation = mcp.automation(&json!({}));
    for (rule, start, message, hint) in REFUSED {
        let fields = json!({"rrule": rule, "dtstart": start});
        let mut change = fields.clone();
        change["id"] = automation.clone();
        for (tool, arguments) in [
            ("automations_create", yearly(&fields)),
            ("automations_update", change),
        ] {
            let error = mcp.refused(tool, arguments, "invalid_argument");
            assert!(error.message.contains(message), "{tool} {rule}: {error:?}");
            assert!(error.hint.contains(hint), "{tool} {rule}: {error:?}");
        }
    }
    for zone in [
        "Mars/Olympus",
        "EST5EDT4",
        "Europe/",
        "../../etc/passwd",
        "US/Pacific-New",
    ] {
        let error = mcp.refused(
            "automations_create",
            yearly(&json!({"timezone": zone})),
            "invalid_argument",
        );
        assert!(
            error.message.contains(zone) && error.message.contains("is not known"),
            "{error:?}"
        );
        assert!(
            error
                .hint
                .contains("write an IANA name such as America/New_York"),
            "{error:?}"
        );
    }
    let shown = mcp.ok("automations_get", json!({"id": automation}));
    assert_eq!(
        shown["automation"]["rrule"], "FREQ=YEARLY",
        "a refused change changes nothing"
    );
    assert_eq!(mcp.ok("automations_list", json!({}))["total"], 1);
}

#[test]
fn a_megabyte_of_rule_is_refused_at_once() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let long = format!("FREQ=DAILY;BYHOUR={}1", "1,".repeat(500_000));
    for rule in [
        long.as_str(),
        &"A".repeat(1_000_000),
        &"FREQ=DAILY\n".repeat(90_000),
    ] {
        let watch = Stopwatch::start();
        let error = mcp.refused(
            "automations_create",
            yearly(&json!({"rrule": rule})),
            "invalid_argument",
        );
        assert!(error.message.contains("500"), "{error:?}");
        assert!(
            error.whole.to_string().len() < 2_000,
            "the rule is not told back"
        );
        assert!(watch.elapsed() < secs(5), "{:?}", watch.elapsed());
    }
}

#[test]
fn starts_at_the_edges_are_right() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let noon = "FREQ=DAILY;BYHOUR=12;BYMINUTE=0;BYSECOND=0";
    let first = json!({"rrule": noon, "dtstart": "0001-01-01T00:00:00Z"});
    let made = mcp.ok("automations_create", yearly(&first));
    assert!(
        made["nextRuns"][0]["utc"]
            .as_str()
            .unwrap()
            .ends_with("T12:00:00Z"),
        "{made}"
    );
    // A start in New York's gap of 2027: the day fires at 3:30, later days at 2:30.
    let preview = [
        "schedule",
        "preview",
        "--rrule",
        "FREQ=DAILY",
        "--dtstart",
        "2027-03-14T02:30:00",
        "--tz",
        "America/New_York",
        "-n",
        "2",
        "--json",
    ];
    let shown = home.run(&preview).json();
    assert_eq!(shown["instants"][0]["utc"], "2027-03-14T07:30:00Z");
    assert_eq!(shown["instants"][1]["local"], "2027-03-15T02:30:00-04:00");
}

#[test]
fn clock_changes_ahead_stand_in_the_warnings() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let made = |rule: &str, zone: &str| {
        let fields = json!({"rrule": rule, "timezone": zone});
        let warnings = mcp.ok("automations_create", yearly(&fields))["warnings"].clone();
        let list: Vec<Value> = warnings.as_array().unwrap().clone();
        list.iter()
            .map(|one| one.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let moved = made("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "America/New_York");
    assert_eq!(moved.len(), 1, "{moved:?}");
    let told = "clocks go forward and 02:30 does not exist; the run starts at 03:30 EDT.";
    assert!(
        moved[0].starts_with("On 20") && moved[0].ends_with(told),
        "{moved:?}"
    );
    let twice = made("FREQ=DAILY;BYHOUR=1;BYMINUTE=30", "America/New_York");
    let told =
        "clocks go back 60 minutes and 01:30 comes twice; the run starts once, at 01:30 EDT.";
    assert!(twice.len() == 1 && twice[0].ends_with(told), "{twice:?}");
    for (rule, zone) in [
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "UTC"),
        ("FREQ=DAILY;BYHOUR=12;BYMINUTE=30", "America/New_York"),
        ("FREQ=HOURLY", "America/New_York"),
    ] {
        assert!(made(rule, zone).is_empty(), "{rule} in {zone}");
    }
}
