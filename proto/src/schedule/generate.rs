//! The floating times of one rule, found from any point without walking from its start.
//!
//! The period (year, month, week, day, hour, minute, second) that holds the wanted time is
//! computed, aligned to INTERVAL, expanded by the BY parts and cut at the start; periods that
//! cannot match are stepped over whole. So the cost depends on the distance to the next match,
//! never on the age of the start, and every search ends at year 9999 at the latest.
//! COUNT, UNTIL and zones are `series`' business.

use super::calendar::{
    Civil, DAY, DayFilter, LAST_DAY, NthScope, month_start, week_begin, weekday, year_start,
};
use super::parts::{Freq, Parts};
use super::times::Times;

/// A rule ready to be asked for times.
#[derive(Debug, Clone)]
pub(super) struct Generator {
    freq: Freq,
    interval: i64,
    start: i64,
    days: DayFilter,
    /// Times within one period's day, hour or minute.
    times: Times,
    /// For hourly and finer rules: what BYHOUR, BYMINUTE and BYSECOND let through.
    limits: Times,
    set_pos: Vec<i16>,
    week_start: u8,
    /// No period can ever match.
    never: bool,
}

impl Generator {
    /// Makes what the start implies explicit.
    pub(super) fn new(parts: &Parts, start: i64) -> Self {
        let mut made = Self {
            freq: parts.freq,
            interval: i64::from(parts.interval),
            start,
            days: day_filter(parts, start),
            times: Times::within_period(parts, start),
            limits: Times::limits(parts),
            set_pos: parts.set_pos.clone(),
            week_start: parts.week_start,
            never: false,
        };
        made.never = made.cannot_match();
        made
    }

    /// The first time from `from` to `to`, both floating seconds and inclusive.
    pub(super) fn first(&self, from: i64, to: i64) -> Option<i64> {
        let from = from.max(self.start);
        if self.never || from > to {
            return None;
        }
        if self.unit() == DAY {
            self.first_by_days(from, to)
        } else {
            self.first_by_steps(from, to)
        }
    }

    /// No more times than this lie between the start and `floating`.
    pub(super) fn most_until(&self, floating: i64) -> i128 {
        let (days, period) = self.period_size();
        let periods = i128::from((floating - self.start).max(0) / (period * self.interval) + 2);
        periods * i128::from(days) * i128::from(self.times.len())
    }

    pub(super) const fn days(&self) -> &DayFilter {
        &self.days
    }

    /// Seconds from one period to the next, for hourly and finer rules.
    pub(super) const fn step(&self) -> i64 {
        self.interval * self.unit()
    }

    pub(super) const fn start(&self) -> i64 {
        self.start
    }

    const fn unit(&self) -> i64 {
        match self.freq {
            Freq::Yearly | Freq::Monthly | Freq::Weekly | Freq::Daily => DAY,
            Freq::Hourly => 3_600,
            Freq::Minutely => 60,
            Freq::Secondly => 1,
        }
    }

    /// The most days and the fewest seconds of a period.
    const fn period_size(&self) -> (i64, i64) {
        match self.freq {
            Freq::Yearly => (366, 365 * DAY),
            Freq::Monthly => (31, 28 * DAY),
            Freq::Weekly => (7, 7 * DAY),
            Freq::Daily => (1, DAY),
            Freq::Hourly | Freq::Minutely | Freq::Secondly => (1, self.unit()),
        }
    }

    fn first_by_days(&self, from: i64, to: i64) -> Option<i64> {
        let last = to.div_euclid(DAY).min(LAST_DAY);
        let mut day = from.div_euclid(DAY);
        if !self.set_pos.is_empty() {
            day = self.days_of(self.period_of(day)).0;
        }
        loop {
            day = self.days.next(day, last)?;
            let period = self.period_of(day);
            let aligned = self.aligned(period);
            if aligned != period {
                day = self.days_of(aligned).0;
                continue;
            }
            let end = self.days_of(period).1;
            let found = if self.set_pos.is_empty() {
                self.first_on_days(day, end, from)
            } else {
                self.first_of_set(day, end, from)
            };
            if let Some(found) = found {
                return (found <= to).then_some(found);
            }
            day = end;
        }
    }

    /// The first time at or after `from` on the matching days from `day` (itself matching) to `end`.
    fn first_on_days(&self, day: i64, end: i64, from: i64) -> Option<i64> {
        let mut next = Some(day);
        while let Some(day) = next {
            if let Some(time) = self.times.first_from((from - day * DAY).max(0)) {
                return Some(day * DAY + time);
            }
            next = self.days.next(day + 1, end - 1);
        }
        None
    }

    /// The same where BYSETPOS chooses from the whole period's set.
    fn first_of_set(&self, day: i64, end: i64, from: i64) -> Option<i64> {
        let mut days = Vec::new();
        let mut next = Some(day);
        while let Some(day) = next {
            days.push(day);
            next = self.days.next(day + 1, end - 1);
        }
        let per_day = self.times.len();
        let total = i64::try_from(days.len()).unwrap_or_default() * per_day;
        self.picks(total).into_iter().find_map(|pick| {
            let day = days.get(usize::try_from(pick / per_day).ok()?)?;
            let found = day * DAY + self.times.nth(pick % per_day);
            (found >= from).then_some(found)
        })
    }

    /// The places BYSETPOS chooses from a set of `total`, ascending from 0.
    fn picks(&self, total: i64) -> Vec<i64> {
        let mut picks: Vec<i64> = self
            .set_pos
            .iter()
            .map(|&pos| {
                if pos > 0 {
                    i64::from(pos) - 1
                } else {
                    total + i64::from(pos)
                }
            })
            .filter(|pick| (0..total).contains(pick))
            .collect();
        picks.sort_unstable();
        picks.dedup();
        picks
    }

    fn first_by_steps(&self, from: i64, to: i64) -> Option<i64> {
        let mut period = self.step_from(from - from.rem_euclid(self.unit()));
        while period <= to {
            let day = period.div_euclid(DAY);
            if !self.days.matches(day) {
                let next = self.days.next(day + 1, to.div_euclid(DAY))?;
                period = self.step_from(next * DAY);
                continue;
            }
            if let Some(later) = self.blocked_until(period.rem_euclid(DAY)) {
                period = self.step_from(day * DAY + later);
                continue;
            }
            if let Some(time) = self.first_in_step((from - period).max(0)) {
                return Some(period + time).filter(|found| *found <= to);
            }
            period += self.step();
        }
        None
    }

    fn first_in_step(&self, from: i64) -> Option<i64> {
        if self.set_pos.is_empty() {
            return self.times.first_from(from);
        }
        let picks = self.picks(self.times.len());
        picks
            .into_iter()
            .map(|pick| self.times.nth(pick))
            .find(|time| *time >= from)
    }

    /// The first period at or after a floating time.
    fn step_from(&self, floating: i64) -> i64 {
        let origin = self.start - self.start.rem_euclid(self.unit());
        let step = self.step();
        let behind = (floating - origin).max(0);
        origin + (behind + step - 1) / step * step
    }

    /// If the limits bar this time of day, the next time of day worth trying (24 h: the next day).
    fn blocked_until(&self, time: i64) -> Option<i64> {
        match self.limits.first_from(time) {
            None => Some(DAY),
            Some(next) if next - next % self.unit() <= time => None,
            Some(next) => Some(next - next % self.unit()),
        }
    }

    fn aligned(&self, period: i64) -> i64 {
        let first = self.period_of(self.start.div_euclid(DAY));
        let past = (period - first).rem_euclid(self.interval);
        if past == 0 {
            period
        } else {
            period + self.interval - past
        }
    }

    /// The number of the period a day lies in.
    fn period_of(&self, day: i64) -> i64 {
        match self.freq {
            Freq::Yearly => Civil::of(day).year,
            Freq::Monthly => {
                let civil = Civil::of(day);
                civil.year * 12 + i64::from(civil.month) - 1
            }
            Freq::Weekly => (week_begin(day, self.week_start) + 3).div_euclid(7),
            Freq::Daily | Freq::Hourly | Freq::Minutely | Freq::Secondly => day,
        }
    }

    /// The first day of a period, and the first after it.
    fn days_of(&self, period: i64) -> (i64, i64) {
        match self.freq {
            Freq::Yearly => (year_start(period), year_start(period + 1)),
            Freq::Monthly => {
                let month = |number: i64| month_start(number.div_euclid(12), number.rem_euclid(12));
                (month(period), month(period + 1))
            }
            Freq::Weekly => {
                let begin = period * 7 - 3 + i64::from(self.week_start);
                (begin, begin + 7)
            }
            Freq::Daily | Freq::Hourly | Freq::Minutely | Freq::Secondly => (period, period + 1),
        }
    }

    /// BYSETPOS beyond any set, or steps that never meet the limits: found out once.
    fn cannot_match(&self) -> bool {
        let most = self.period_size().0 * self.times.len();
        let set_pos_misses =
            !self.set_pos.is_empty() && self.set_pos.iter().all(|&pos| i64::from(pos).abs() > most);
        set_pos_misses || (self.unit() < DAY && !self.steps_meet_limits())
    }

    /// Times of day come round with the common divisor of the step and the day.
    fn steps_meet_limits(&self) -> bool {
        let round = common_divisor(self.step(), DAY);
        let first = (self.start - self.start.rem_euclid(self.unit())).rem_euclid(round);
        let mut time = first;
        while time < DAY {
            match self.blocked_until(time) {
                None => return true,
                Some(later) => time = first + (later - first + round - 1) / round * round,
            }
        }
        false
    }
}

fn day_filter(parts: &Parts, start: i64) -> DayFilter {
    let day = start.div_euclid(DAY);
    let civil = Civil::of(day);
    let mut filter = DayFilter {
        months: parts.months,
        month_days: 0,
        month_days_back: 0,
        year_days: parts.year_days.clone(),
        week_numbers: parts.week_numbers.clone(),
        weekdays: parts.weekdays,
        nth: parts.nth.clone(),
        nth_scope: if parts.freq == Freq::Yearly && parts.months == 0 {
            NthScope::Year
        } else {
            NthScope::Month
        },
        week_start: parts.week_start,
    };
    for &wanted in &parts.month_days {
        let bit = 1 << wanted.unsigned_abs();
        if wanted > 0 {
            filter.month_days |= bit;
        } else {
            filter.month_days_back |= bit;
        }
    }
    let no_weekday = parts.weekdays == 0 && parts.nth.is_empty();
    let no_day = no_weekday && parts.month_days.is_empty() && parts.year_days.is_empty();
    match parts.freq {
        Freq::Yearly if no_day && !parts.week_numbers.is_empty() => {
            filter.weekdays = 1 << weekday(day);
        }
        Freq::Yearly if no_day => {
            filter.month_days = 1 << civil.day;
            if filter.months == 0 {
                filter.months = 1 << civil.month;
            }
        }
        Freq::Monthly if no_day => filter.month_days = 1 << civil.day,
        Freq::Weekly if no_weekday => filter.weekdays = 1 << weekday(day),
        Freq::Yearly
        | Freq::Monthly
        | Freq::Weekly
        | Freq::Daily
        | Freq::Hourly
        | Freq::Minutely
        | Freq::Secondly => {}
    }
    filter
}

fn common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}
