//! The limits automations have on top of RFC 5545. Expansion alone never applies them.

use jiff::{SignedDuration, Timestamp};

use super::error::ScheduleError;
use super::parts::{Freq, Parts};
use super::{Schedule, zone};

/// The most characters of an automation's rule.
pub const LONGEST_RULE: usize = 500;
/// The largest COUNT of an automation's rule.
pub const MOST_COUNT: u32 = 10_000_000;
/// An automation fires within so many days (8 years) or is refused.
const HORIZON_DAYS: i64 = 8 * 366;
/// The least seconds between two instants.
const SHORTEST_PERIOD: i64 = 60;
/// So many coming instants are looked at for two that are too close.
const LOOKED_AT: usize = 100;

pub(super) fn check(schedule: &Schedule, now: Timestamp) -> Result<(), ScheduleError> {
    if schedule.written > LONGEST_RULE {
        return Err(ScheduleError::TooLong {
            length: schedule.written,
            limit: LONGEST_RULE,
        });
    }
    for series in &schedule.rules {
        check_rule(series.parts())?;
    }
    check_next(schedule, now)?;
    check_period(schedule, now)
}

fn check_rule(parts: &Parts) -> Result<(), ScheduleError> {
    if parts.freq == Freq::Secondly {
        return Err(ScheduleError::Secondly);
    }
    if parts.seconds.count_ones() > 1 && parts.set_pos.is_empty() {
        return Err(ScheduleError::TooOften);
    }
    match parts.count {
        Some(count) if count > MOST_COUNT => Err(ScheduleError::CountTooLarge {
            count,
            limit: MOST_COUNT,
        }),
        Some(_) | None => Ok(()),
    }
}

fn check_next(schedule: &Schedule, now: Timestamp) -> Result<(), ScheduleError> {
    let Some(next) = schedule.next_after(now) else {
        return Err(match schedule.latest_at_or_before(now) {
            Some(last) => ScheduleError::AllPast {
                last: schedule
                    .local(last)
                    .strftime("%Y-%m-%d %H:%M %Z")
                    .to_string(),
            },
            None => ScheduleError::NeverFires,
        });
    };
    let horizon = now.saturating_add(SignedDuration::from_hours(HORIZON_DAYS * 24));
    match horizon {
        Ok(horizon) if next > horizon => Err(ScheduleError::TooFar),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn check_period(schedule: &Schedule, now: Timestamp) -> Result<(), ScheduleError> {
    let coming: Vec<i64> = schedule
        .instants_from(now)
        .take(LOOKED_AT)
        .map(zone::floor_second)
        .collect();
    let too_close = coming
        .windows(2)
        .any(|pair| matches!(pair, [one, next] if next - one < SHORTEST_PERIOD));
    if too_close {
        Err(ScheduleError::TooOften)
    } else {
        Ok(())
    }
}
