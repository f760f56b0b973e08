//! The schedule engine from outside: test vectors, properties, refusals, descriptions, batch.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise"
)]

mod batch;
mod describe;
mod oracle;
mod properties;
mod refusals;
mod vectors;

use hostler_proto::schedule::{Schedule, ScheduleError, ScheduleText};
use jiff::Timestamp;

fn text(rrule: &str, dtstart: &str, timezone: &str) -> ScheduleText {
    ScheduleText {
        rrule: rrule.to_owned(),
        dtstart: dtstart.parse().unwrap(),
        timezone: timezone.to_owned(),
        exdates: Vec::new(),
        rdates: Vec::new(),
    }
}

fn parse(rrule: &str, dtstart: &str, timezone: &str) -> Result<Schedule, ScheduleError> {
    Schedule::parse(&text(rrule, dtstart, timezone))
}

fn schedule(rrule: &str, dtstart: &str, timezone: &str) -> Schedule {
    parse(rrule, dtstart, timezone).unwrap_or_else(|refusal| panic!("{rrule}: {refusal}"))
}

fn at(instant: &str) -> Timestamp {
    instant.parse().unwrap()
}
