//! Every CORE case of `fixtures/schedule/rrule.json`: from the start, and from each instant on.

use hostler_proto::schedule::{Schedule, answer_line};
use jiff::Timestamp;
use serde_json::{Value, json};

const CASES: &str = include_str!("../../fixtures/schedule/rrule.json");

/// CORE: legal by RFC 5545, unambiguous, and with a start its rule yields.
fn core() -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(CASES).unwrap();
    all.into_iter()
        .filter(|case| {
            case.get("rfc_invalid").is_none()
                && case.get("ambiguous").is_none()
                && case["dtstart_in_rule"] != json!(false)
        })
        .collect()
}

fn expected(case: &Value) -> Vec<String> {
    let wanted = case.get("expected_elapsed").unwrap_or(&case["expected"]);
    serde_json::from_value(wanted.clone()).unwrap()
}

fn answer(case: &Value) -> Value {
    let request = json!({
        "id": case["id"], "rrule": case["rrule"], "dtstart": case["dtstart"],
        "timezone": case["tz"], "limit": case["limit"],
    });
    serde_json::from_str(&answer_line(
        &request.to_string(),
        true,
        Timestamp::UNIX_EPOCH,
    ))
    .unwrap()
}

#[test]
fn all_core_cases_expand_as_expected() {
    let cases = core();
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let wanted = json!({"id": case["id"], "instants": expected(case), "exhausted": case["exhausted"]});
            let given = answer(case);
            (given != wanted).then(|| format!("{case}\n  wanted {wanted}\n  given  {given}"))
        })
        .collect();
    println!(
        "{} of {} CORE cases pass",
        cases.len() - failures.len(),
        cases.len()
    );
    assert_eq!(cases.len(), 255);
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn every_core_case_goes_on_from_each_of_its_instants() {
    for case in core() {
        let field = |name: &str| case[name].as_str().unwrap();
        let schedule = super::schedule(field("rrule"), field("dtstart"), field("tz"));
        let instants: Vec<Timestamp> = expected(&case)
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        for pair in instants.windows(2) {
            let [one, next] = pair else { unreachable!() };
            assert_eq!(schedule.next_after(*one), Some(*next), "{case}");
            check_between(&schedule, *one, *next, &case);
        }
    }
}

fn check_between(schedule: &Schedule, one: Timestamp, next: Timestamp, case: &Value) {
    let just_before = next - jiff::SignedDuration::from_nanos(1);
    assert_eq!(
        schedule.latest_at_or_before(just_before),
        Some(one),
        "{case}"
    );
    assert_eq!(
        schedule.first_at_or_after(just_before),
        Some(next),
        "{case}"
    );
    assert_eq!(schedule.count_between(one, next, 10), 1, "{case}");
}
