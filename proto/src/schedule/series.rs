//! The instants of one rule in its zone: localised, in order, cut by COUNT and UNTIL.
//!
//! Floating order is not instant order around a gap (02:30 becomes 03:30, yet 03:10 stays), so
//! the next instant is the least over the times in the gap and the times beside it. Rules that
//! step by hours or less and set no time of day step in elapsed time instead.

use std::sync::OnceLock;

use super::calendar::{DAY, LAST_DAY};
use super::generate::Generator;
use super::parts::{Freq, Parts, Until};
use super::zone::{Place, WIDEST_OFFSET, Zone};

/// Nothing is looked for after this instant, a day and a bit before the end of year 9999.
pub(super) const LAST_INSTANT: i64 = (LAST_DAY - 1) * DAY;

#[derive(Debug, Clone)]
pub(super) struct Series {
    parts: Parts,
    generator: Generator,
    /// Steps in elapsed time from this instant.
    elapsed_from: Option<i64>,
    until: Option<i64>,
    /// The last time COUNT allows (an instant for elapsed rules); computed when first needed.
    counted: OnceLock<Option<i64>>,
}

impl Series {
    pub(super) fn new(parts: Parts, start: i64, zone: &Zone) -> Self {
        let sub_daily = parts.freq >= Freq::Hourly;
        let elapsed = sub_daily && !parts.has_time_parts() && parts.set_pos.is_empty();
        Self {
            generator: Generator::new(&parts, start),
            elapsed_from: elapsed.then(|| zone.instant(start)),
            until: parts.until.map(|until| match until {
                Until::Utc(instant) => instant,
                Until::Local(floating) => zone.instant(floating),
            }),
            counted: OnceLock::new(),
            parts,
        }
    }

    pub(super) const fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(super) const fn until(&self) -> Option<i64> {
        self.until
    }

    /// Whether it steps in elapsed time, whatever clocks show.
    pub(super) const fn steps_in_elapsed_time(&self) -> bool {
        self.elapsed_from.is_some()
    }

    /// The first instant after `after` and not after `to`.
    pub(super) fn next_after(&self, after: i64, to: i64, zone: &Zone) -> Option<i64> {
        let to = to.min(LAST_INSTANT).min(self.until.unwrap_or(LAST_INSTANT));
        if after >= to {
            return None;
        }
        let found = match self.elapsed_from {
            Some(origin) => {
                let found = self.next_elapsed(origin, after, to, zone)?;
                self.within_count(found, found + WIDEST_OFFSET, zone)
                    .then_some(found)
            }
            None => self.next_localised(after, to, zone),
        };
        found.filter(|instant| *instant <= to)
    }

    /// The first floating time in a range; none for rules that step in elapsed time.
    pub(super) fn first_wall_time(&self, from: i64, to: i64, zone: &Zone) -> Option<i64> {
        if self.elapsed_from.is_some() {
            return None;
        }
        let found = self.first(from, to, zone)?;
        let instant = zone.instant(found);
        self.until
            .is_none_or(|until| instant <= until)
            .then_some(found)
    }

    fn next_elapsed(&self, origin: i64, after: i64, to: i64, zone: &Zone) -> Option<i64> {
        let step = self.generator.step();
        let at_or_after =
            |instant: i64| origin + ((instant - origin).max(0) + step - 1) / step * step;
        let days = self.generator.days();
        let mut instant = at_or_after(after + 1);
        while instant <= to {
            if days.is_open() {
                return Some(instant);
            }
            let day = zone.floating(instant).div_euclid(DAY);
            if days.matches(day) {
                return Some(instant);
            }
            let next = days.next(day + 1, LAST_DAY)?;
            instant = at_or_after(zone.instant(next * DAY).max(instant + 1));
        }
        None
    }

    fn next_localised(&self, after: i64, to: i64, zone: &Zone) -> Option<i64> {
        let last = to + WIDEST_OFFSET;
        let mut from = zone.floating(after) + 1;
        let mut in_gap = None;
        if let Some(change) = zone.change_until(after + 1) {
            let (before, behind) = (change.at + change.before, change.at + change.after);
            if change.after < change.before {
                // Set back: up to here the clock shows times that have been before.
                from = from.max(before);
            } else {
                // Set forward: skipped times fire this long after the change.
                let skipped = before.max(after + 1 + change.before);
                in_gap = self
                    .first(skipped, behind - 1, zone)
                    .map(|time| time - change.before);
            }
        }
        let beside = self
            .first(from, last, zone)
            .and_then(|time| self.least_from(time, last, zone));
        in_gap.into_iter().chain(beside).min()
    }

    /// The least instant of the times from `time`, itself a time of the rule.
    fn least_from(&self, time: i64, last: i64, zone: &Zone) -> Option<i64> {
        match zone.place(time) {
            Place::Once { offset } => Some(time - offset),
            Place::Fold { before } => Some(time - before),
            Place::Gap { before, after } => {
                let skipped = time - before;
                let gap_end = zone.change_after(time - after)?.at + after;
                let behind = self
                    .first(gap_end, last, zone)
                    .map(|time| zone.instant(time));
                Some(behind.map_or(skipped, |instant| instant.min(skipped)))
            }
        }
    }

    /// The first floating time in a range that COUNT allows.
    fn first(&self, from: i64, to: i64, zone: &Zone) -> Option<i64> {
        let found = self.generator.first(from, to)?;
        self.within_count(found, found, zone).then_some(found)
    }

    /// Whether COUNT reaches to a time (an instant for elapsed rules). The last time is looked
    /// for only where it could matter: not while fewer could have come since the start.
    fn within_count(&self, time: i64, floating: i64, zone: &Zone) -> bool {
        let Some(count) = self.parts.count else {
            return true;
        };
        if self.generator.most_until(floating) <= i128::from(count) {
            return true;
        }
        self.counted
            .get_or_init(|| self.counted_to(count, zone))
            .is_none_or(|last| time <= last)
    }

    /// The time at which COUNT is used up; none if the rule ends before.
    fn counted_to(&self, count: u32, zone: &Zone) -> Option<i64> {
        let steps = i64::from(count) - 1;
        if let Some(origin) = self.elapsed_from {
            if self.generator.days().is_open() {
                return Some(origin + steps * self.generator.step());
            }
            return walk(steps, |last| {
                self.next_elapsed(origin, last.unwrap_or(origin - 1), LAST_INSTANT, zone)
            });
        }
        let end = (LAST_DAY + 1) * DAY - 1;
        walk(steps, |last| {
            self.generator
                .first(last.map_or(self.generator.start(), |last| last + 1), end)
        })
    }
}

/// Calls `next` once and then `steps` times more, each with what it last gave.
fn walk(steps: i64, mut next: impl FnMut(Option<i64>) -> Option<i64>) -> Option<i64> {
    let mut last = next(None)?;
    for _ in 0..steps {
        last = next(Some(last))?;
    }
    Some(last)
}
