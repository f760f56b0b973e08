//! Times as a person reads them, in the zone of this machine.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

/// An RFC 3339 value of a tool's answer in local time, `-` when absent.
pub(crate) fn local(value: &Value) -> String {
    value
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
        .map_or_else(|| "-".to_owned(), |at| in_zone(at, &TimeZone::system()))
}

/// An instant in a zone: `Mon 2026-03-02 09:00 EST`.
pub(crate) fn in_zone(at: Timestamp, zone: &TimeZone) -> String {
    zoned(&at.to_zoned(zone.clone()))
}

/// A time of a zone: `Mon 2026-03-02 09:00 EST`.
pub(crate) fn zoned(zoned: &jiff::Zoned) -> String {
    if zoned.second() == 0 {
        zoned.strftime("%a %Y-%m-%d %H:%M %Z").to_string()
    } else {
        zoned.strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string()
    }
}

/// The time now: the program's only look at the clock.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place of the program that asks the clock"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Milliseconds as `1m 05s`.
pub(crate) fn duration(value: &Value) -> String {
    let Some(ms) = value.as_u64() else {
        return "-".to_owned();
    };
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}m {:02}s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{}h {:02}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_by_people() {
        assert_eq!(duration(&serde_json::json!(950)), "950 ms");
        assert_eq!(duration(&serde_json::json!(61_500)), "1m 01s");
        assert_eq!(duration(&Value::Null), "-");
    }
}
