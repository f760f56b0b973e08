//! Between floating time and instants: one IANA zone read through jiff.
//!
//! A time in a gap takes the offset before the gap, a repeated time is its first occurrence
//! (RFC 5545 3.3.5 with erratum 4271). Instants are whole seconds since 1970 in UTC here.
//! Zones come from the system's zoneinfo, or jiff's bundled copy on a system without one.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::calendar::{Civil, DAY};
use super::error::{ScheduleError, quoted};

/// No offset from UTC reaches this many seconds.
pub(super) const WIDEST_OFFSET: i64 = 94_000;

/// One change of a zone's offset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// The first instant with the new offset.
    pub(super) at: i64,
    /// Offsets from UTC in seconds on either side.
    pub(super) before: i64,
    pub(super) after: i64,
}

/// Where a floating time lies.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Once {
        offset: i64,
    },
    /// Skipped by a clock set forward.
    Gap {
        before: i64,
        after: i64,
    },
    /// Repeated by a clock set back.
    Fold {
        before: i64,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Zone {
    inner: TimeZone,
    /// Set for zones that never change, such as UTC.
    fixed: Option<i64>,
}

impl Zone {
    /// Looks an IANA name up.
    pub(super) fn named(name: &str) -> Result<Self, ScheduleError> {
        let unknown = || ScheduleError::UnknownZone { name: quoted(name) };
        if !is_iana_shaped(name) {
            return Err(unknown());
        }
        let inner = TimeZone::get(name).map_err(|_lookup| unknown())?;
        if inner.is_unknown() {
            return Err(unknown());
        }
        let fixed = (inner.preceding(Timestamp::MAX).next().is_none()
            && inner.following(Timestamp::MIN).next().is_none())
        .then(|| seconds(inner.to_offset(Timestamp::UNIX_EPOCH)));
        Ok(Self { inner, fixed })
    }

    /// The name as the database spells it.
    pub(super) fn name(&self) -> &str {
        self.inner.iana_name().unwrap_or("UTC")
    }

    pub(super) const fn jiff(&self) -> &TimeZone {
        &self.inner
    }

    /// The offset in force at an instant.
    pub(super) fn offset(&self, instant: i64) -> i64 {
        self.fixed
            .unwrap_or_else(|| seconds(self.inner.to_offset(timestamp(instant))))
    }

    /// The floating time a clock shows at an instant.
    pub(super) fn floating(&self, instant: i64) -> i64 {
        instant + self.offset(instant)
    }

    pub(super) fn place(&self, floating: i64) -> Place {
        if let Some(offset) = self.fixed {
            return Place::Once { offset };
        }
        match self.inner.to_ambiguous_timestamp(civil(floating)).offset() {
            AmbiguousOffset::Unambiguous { offset } => Place::Once {
                offset: seconds(offset),
            },
            AmbiguousOffset::Gap { before, after } => Place::Gap {
                before: seconds(before),
                after: seconds(after),
            },
            AmbiguousOffset::Fold { before, .. } => Place::Fold {
                before: seconds(before),
            },
        }
    }

    /// The instant of a floating time.
    pub(super) fn instant(&self, floating: i64) -> i64 {
        match self.place(floating) {
            Place::Once { offset } => floating - offset,
            Place::Gap { before, .. } | Place::Fold { before } => floating - before,
        }
    }

    /// The last change at or before an instant.
    pub(super) fn change_until(&self, instant: i64) -> Option<Change> {
        if self.fixed.is_some() {
            return None;
        }
        let found = self.inner.preceding(timestamp(instant + 1)).next()?;
        Some(self.change(found.timestamp(), found.offset()))
    }

    /// The first change after an instant.
    pub(super) fn change_after(&self, instant: i64) -> Option<Change> {
        if self.fixed.is_some() {
            return None;
        }
        let found = self.inner.following(timestamp(instant)).next()?;
        Some(self.change(found.timestamp(), found.offset()))
    }

    fn change(&self, at: Timestamp, after: Offset) -> Change {
        let just_before = at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at);
        Change {
            at: at.as_second(),
            before: seconds(self.inner.to_offset(just_before)),
            after: seconds(after),
        }
    }
}

/// Whole seconds of an instant, rounded down.
pub(super) fn floor_second(instant: Timestamp) -> i64 {
    instant.as_second() - i64::from(instant.subsec_nanosecond() < 0)
}

/// The instant of whole seconds; the ends of time stand for what lies beyond them.
pub(super) fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// The floating seconds of a date and time; fractions are dropped.
pub(super) fn floating_of(local: DateTime) -> i64 {
    let day = Civil {
        year: i64::from(local.year()),
        month: local.month().unsigned_abs(),
        day: local.day().unsigned_abs(),
    };
    day.number() * DAY
        + i64::from(local.hour()) * 3_600
        + i64::from(local.minute()) * 60
        + i64::from(local.second())
}

/// The date and time of floating seconds; years beyond jiff's range become its ends.
pub(super) fn civil(floating: i64) -> DateTime {
    let day = Civil::of(floating.div_euclid(DAY));
    let second = floating.rem_euclid(DAY);
    let narrow = |value: i64| i8::try_from(value).unwrap_or_default();
    let year = i16::try_from(day.year).unwrap_or(if floating < 0 { -9_999 } else { 9_999 });
    let date = Date::new(year, day.month.cast_signed(), day.day.cast_signed());
    let time = Time::new(
        narrow(second / 3_600),
        narrow(second / 60 % 60),
        narrow(second % 60),
        0,
    );
    match (date, time) {
        (Ok(date), Ok(time)) => date.to_datetime(time),
        (Err(_), _) | (_, Err(_)) if floating < 0 => DateTime::MIN,
        (Err(_), _) | (_, Err(_)) => DateTime::MAX,
    }
}

fn seconds(offset: Offset) -> i64 {
    i64::from(offset.seconds())
}

/// zoneinfo folders hold more than zone names.
fn is_iana_shaped(name: &str) -> bool {
    const NOT_ZONES: [&str; 6] = [
        "posix/",
        "right/",
        "posixrules",
        "localtime",
        "factory",
        "etc/unknown",
    ];
    let lower = name.to_ascii_lowercase();
    !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte))
        && !NOT_ZONES.iter().any(|other| lower.starts_with(other))
}
