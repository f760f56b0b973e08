//! Sets of times of day as masks of hours, minutes and seconds.

use super::calendar::DAY;
use super::parts::{Freq, Parts};

const ALL_HOURS: u32 = (1 << 24) - 1;
const ALL_MINUTES: u64 = (1 << 60) - 1;

/// The times of day (or of the hour, or of the minute) of a rule, as masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) hours: u32,
    pub(super) minutes: u64,
    pub(super) seconds: u64,
}

impl Times {
    /// The times within a period, those left out taken from the start.
    pub(super) fn within_period(parts: &Parts, start: i64) -> Self {
        let time = start.rem_euclid(DAY);
        let hours = if parts.hours == 0 {
            1 << (time / 3_600)
        } else {
            parts.hours
        };
        let minutes = if parts.minutes == 0 {
            1 << (time / 60 % 60)
        } else {
            parts.minutes
        };
        let seconds = if parts.seconds == 0 {
            1 << (time % 60)
        } else {
            parts.seconds
        };
        match parts.freq {
            Freq::Yearly | Freq::Monthly | Freq::Weekly | Freq::Daily => Times {
                hours,
                minutes,
                seconds,
            },
            Freq::Hourly => Times {
                hours: 1,
                minutes,
                seconds,
            },
            Freq::Minutely => Times {
                hours: 1,
                minutes: 1,
                seconds,
            },
            Freq::Secondly => Times {
                hours: 1,
                minutes: 1,
                seconds: 1,
            },
        }
    }

    /// What the time parts let through where they limit: those coarser than or equal to the step.
    pub(super) fn limits(parts: &Parts) -> Self {
        let hours = if parts.hours == 0 {
            ALL_HOURS
        } else {
            parts.hours
        };
        let minutes = if parts.minutes == 0 || parts.freq < Freq::Minutely {
            ALL_MINUTES
        } else {
            parts.minutes
        };
        let seconds = if parts.seconds == 0 || parts.freq < Freq::Secondly {
            ALL_MINUTES
        } else {
            parts.seconds
        };
        Times {
            hours,
            minutes,
            seconds,
        }
    }

    pub(super) fn len(self) -> i64 {
        i64::from(self.hours.count_ones())
            * i64::from(self.minutes.count_ones())
            * i64::from(self.seconds.count_ones())
    }

    /// The n-th time (from 0), in seconds.
    pub(super) fn nth(self, n: i64) -> i64 {
        let seconds = i64::from(self.seconds.count_ones());
        let minutes = i64::from(self.minutes.count_ones());
        nth_bit(u64::from(self.hours), n / seconds / minutes) * 3_600
            + nth_bit(self.minutes, n / seconds % minutes) * 60
            + nth_bit(self.seconds, n % seconds)
    }

    /// The first time at or after `from` seconds.
    pub(super) fn first_from(self, from: i64) -> Option<i64> {
        let (hour, minute, second) = (from / 3_600, from / 60 % 60, from % 60);
        if has_bit(u64::from(self.hours), hour) {
            if has_bit(self.minutes, minute)
                && let Some(next) = bit_from(self.seconds, second)
            {
                return Some(hour * 3_600 + minute * 60 + next);
            }
            if let Some(next) = bit_from(self.minutes, minute + 1) {
                return Some(hour * 3_600 + next * 60 + bit_from(self.seconds, 0)?);
            }
        }
        let next = bit_from(u64::from(self.hours), hour + 1)?;
        Some(next * 3_600 + bit_from(self.minutes, 0)? * 60 + bit_from(self.seconds, 0)?)
    }
}

fn has_bit(mask: u64, bit: i64) -> bool {
    mask >> bit & 1 == 1
}

/// The first set bit at or after `from`.
fn bit_from(mask: u64, from: i64) -> Option<i64> {
    let rest = mask.checked_shr(u32::try_from(from).ok()?)?;
    (rest != 0).then(|| from + i64::from(rest.trailing_zeros()))
}

/// The n-th set bit, from 0.
fn nth_bit(mut mask: u64, n: i64) -> i64 {
    for _ in 0..n {
        mask &= mask.wrapping_sub(1);
    }
    i64::from(mask.trailing_zeros())
}
