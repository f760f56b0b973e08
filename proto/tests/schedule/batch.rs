//! `hostler schedule preview --batch`, one line at a time.

use hostler_proto::schedule::answer_line;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::at;

fn answer(line: &str, unrestricted: bool) -> Value {
    serde_json::from_str(&answer_line(line, unrestricted, at("2026-03-02T12:34:56Z"))).unwrap()
}

#[test]
fn a_request_is_answered_with_instants() {
    let line = r#"{"id":"a","rrule":"RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260302T140000Z","dtstart":"2026-03-01T09:00:00-05:00","timezone":"America/New_York","limit":5}"#;
    assert_eq!(
        answer(line, true),
        json!({"id": "a", "instants": ["2026-03-01T14:00:00Z", "2026-03-03T14:00:00Z"], "exhausted": true}),
    );
    let line = r#"{"id":7,"rrule":"FREQ=DAILY;COUNT=3","dtstart":"20260301T090000","timezone":"UTC","limit":3}"#;
    assert_eq!(answer(line, true)["exhausted"], json!(true));
    let line = r#"{"id":7,"rrule":"FREQ=DAILY","timezone":"UTC","limit":1}"#;
    assert_eq!(
        answer(line, true),
        json!({"id": 7, "instants": ["2026-03-02T12:34:00Z"], "exhausted": false})
    );
}

#[test]
fn the_products_limits_hold_unless_lifted() {
    for (rule, start) in [
        ("FREQ=SECONDLY", "20260301T090000"),
        ("FREQ=MINUTELY;BYSECOND=0,30", "20260301T090000"),
        ("FREQ=YEARLY;COUNT=1", "20400301T090000"),
        ("FREQ=DAILY;COUNT=1", "19970902T090000"),
    ] {
        let line =
            json!({"id": rule, "rrule": rule, "dtstart": start, "timezone": "UTC", "limit": 2})
                .to_string();
        assert!(answer(&line, false)["error"]["code"].is_string(), "{rule}");
        assert!(
            !answer(&line, true)["instants"]
                .as_array()
                .unwrap()
                .is_empty(),
            "{rule}"
        );
    }
}

#[test]
fn malformed_lines_are_answered_with_their_id_where_it_can_be_read() {
    for (line, id) in [
        ("", json!(null)),
        ("{", json!(null)),
        ("[]", json!(null)),
        ("\"x\"", json!(null)),
        (r#"{"id":{"deep":1}}"#, json!({"deep": 1})),
        (r#"{"id":1,"rrule":5,"timezone":"UTC"}"#, json!(1)),
        (r#"{"id":1,"rrule":"FREQ=DAILY"}"#, json!(1)),
        (
            r#"{"id":1,"rrule":"FREQ=DAILY","timezone":"UTC","limit":-1}"#,
            json!(1),
        ),
        (
            r#"{"id":1,"rrule":"FREQ=DAILY","timezone":"UTC","limit":"9"}"#,
            json!(1),
        ),
        (
            r#"{"id":1,"rrule":"FREQ=DAILY","timezone":"UTC","dtstart":3}"#,
            json!(1),
        ),
        (
            r#"{"id":1,"rrule":"FREQ=DAILY","timezone":"Mars/Base"}"#,
            json!(1),
        ),
    ] {
        let given = answer(line, true);
        assert_eq!(given["id"], id, "{line}");
        assert!(
            given["error"]["code"].is_string() && given["error"]["message"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn answers_are_bounded() {
    let line = r#"{"id":1,"rrule":"FREQ=SECONDLY","dtstart":"20260301T090000","timezone":"UTC","limit":18446744073709551615}"#;
    assert_eq!(
        answer(line, true)["instants"].as_array().unwrap().len(),
        10_000
    );
    let deep = "[".repeat(100_000);
    assert_eq!(
        answer(&deep, true)["error"]["code"],
        json!("invalid_request")
    );
    let long = json!({"id": 1, "rrule": "9,".repeat(500_000), "timezone": "UTC"}).to_string();
    assert_eq!(
        answer(&long, true)["error"]["code"],
        json!("schedule_too_long")
    );
}

proptest! {
    #[test]
    fn any_line_gets_one_line_of_json(line in "\\PC{0,100}") {
        let given = answer_line(&line, true, at("2026-03-02T12:00:00Z"));
        prop_assert!(!given.contains('\n'));
        prop_assert!(serde_json::from_str::<Value>(&given).is_ok());
    }
}
