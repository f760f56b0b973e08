//! Times and lengths of time for people who read a page about a schedule: in the schedule's own zone,
//! with UTC beside it.

use hostler_proto::time::UtcMillis;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::parts;

/// The zone of this name; UTC when this server does not know it.
pub(super) fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// `Mon 2026-03-09 09:00 EDT`
pub(super) fn local(at: UtcMillis, zone: &TimeZone) -> String {
    let zoned = at.to_timestamp().to_zoned(zone.clone());
    zoned.strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

/// A time in a zone, with UTC for programs and on hover.
pub(super) fn at(at: UtcMillis, zone: &TimeZone) -> Markup {
    let utc = at.to_timestamp();
    let zoned = utc.to_zoned(zone.clone());
    html! {
        time datetime=(utc) title=(utc.strftime("%Y-%m-%d %H:%M:%S UTC")) {
            span.nowrap { (zoned.strftime("%a %Y-%m-%d")) } " " span.nowrap { (zoned.strftime("%H:%M %Z")) }
        }
    }
}

/// The same and how long ago, or until, it is.
pub(super) fn told(when: UtcMillis, zone: &TimeZone, now: UtcMillis) -> Markup {
    html! { (at(when, zone)) " " span.muted { "(" (parts::when(when, now)) ")" } }
}

/// `850 ms`, `40 s`, `3 min 20 s`, `2 h 5 min`
pub(super) fn length(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0 => format!("{} ms", ms.max(0)),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// `950 B`, `12.3 KiB`, `4.5 MiB`
pub(super) fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", tenths(1 << 10)),
        1_048_576..1_073_741_824 => format!("{} MiB", tenths(1 << 20)),
        _ => format!("{} GiB", tenths(1 << 30)),
    }
}

/// A sentence with its UTC times (`2026-03-02T14:00:00Z`) told in a zone.
pub(super) fn localised(text: &str, zone: &TimeZone) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ';', '.', ':']);
        let read = Some(bare).filter(|bare| bare.ends_with('Z'));
        let read = read.and_then(|bare| bare.parse::<jiff::Timestamp>().ok());
        match read {
            Some(at) => local(at.into(), zone) + &word[bare.len()..],
            None => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sizes_and_sentences_are_told_shortly() {
        assert_eq!([length(850), length(40_999)], ["850 ms", "40 s"]);
        assert_eq!(length(200_000), "3 min 20 s");
        assert_eq!(length(7_500_000), "2 h 5 min");
        assert_eq!([size(950), size(12_595)], ["950 B", "12.2 KiB"]);
        assert_eq!(size(5 << 20), "5.0 MiB");
        let told = localised("or at 2026-03-02T14:00:00Z, then", &zone("Europe/Berlin"));
        assert_eq!(told, "or at Mon 2026-03-02 15:00 CET, then");
    }
}
