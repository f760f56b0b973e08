//! Days as numbers, and which days a rule's parts let through.
//!
//! A day is its number since 1970-01-01 in the proleptic Gregorian calendar; a floating time is
//! its number of seconds since 1970-01-01T00:00:00 without any zone. Nothing here knows zones.

/// Seconds in a day of floating time.
pub(super) const DAY: i64 = 86_400;
/// 9999-12-31, the last day anything is looked for.
pub(super) const LAST_DAY: i64 = 2_932_896;
/// After so many days the calendar repeats, weekdays included: what did not match by then never will.
const CALENDAR_CYCLE: i64 = 146_097;

/// A day with its place in month and year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    /// 1..=12
    pub(super) month: u8,
    /// 1..=31
    pub(super) day: u8,
}

impl Civil {
    /// The date of a day number (Howard Hinnant's `civil_from_days`).
    pub(super) fn of(number: i64) -> Self {
        let shifted = number + 719_468;
        let era = shifted.div_euclid(CALENDAR_CYCLE);
        let of_era = shifted.rem_euclid(CALENDAR_CYCLE);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: small(month),
            day: small(day),
        }
    }

    /// The day number of this date (Howard Hinnant's `days_from_civil`).
    pub(super) fn number(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let from_march = (i64::from(self.month) + 9) % 12;
        let of_year = (153 * from_march + 2) / 5 + i64::from(self.day) - 1;
        era * CALENDAR_CYCLE + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year
            - 719_468
    }
}

/// The number of the first day of a year.
pub(super) fn year_start(year: i64) -> i64 {
    Civil {
        year,
        month: 1,
        day: 1,
    }
    .number()
}

/// The number of the first day of the month `month0` (0..=11) of a year.
pub(super) fn month_start(year: i64, month0: i64) -> i64 {
    Civil {
        year,
        month: small(month0 + 1),
        day: 1,
    }
    .number()
}

/// Monday is 0.
pub(super) fn weekday(day: i64) -> u8 {
    small((day + 3).rem_euclid(7))
}

/// The first day of the week a day lies in, weeks beginning on `week_start` (Monday is 0).
pub(super) fn week_begin(day: i64, week_start: u8) -> i64 {
    day - i64::from((weekday(day) + 7 - week_start) % 7)
}

fn small(value: i64) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_length(year: i64, month: u8) -> u8 {
    match month {
        2 => 28 + u8::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Whether a numbered weekday (`2MO`, `-1FR`) counts within the month or within the year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NthScope {
    Month,
    Year,
}

/// The parts of a rule that choose days, those implied by the start made explicit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DayFilter {
    /// Bit n is month n; 0 lets every month through.
    pub(super) months: u16,
    /// Bit n is day n of the month; with `month_days_back` 0 lets every day through.
    pub(super) month_days: u32,
    /// Bit n is the n-th last day of the month.
    pub(super) month_days_back: u32,
    pub(super) year_days: Vec<i16>,
    pub(super) week_numbers: Vec<i8>,
    /// Bit n is weekday n (Monday 0); with `nth` empty 0 lets every weekday through.
    pub(super) weekdays: u8,
    /// Numbered weekdays: the number (never 0) and the weekday.
    pub(super) nth: Vec<(i8, u8)>,
    pub(super) nth_scope: NthScope,
    pub(super) week_start: u8,
}

impl DayFilter {
    /// Whether every day passes.
    pub(super) fn is_open(&self) -> bool {
        self.months == 0
            && self.month_days == 0
            && self.month_days_back == 0
            && self.year_days.is_empty()
            && self.week_numbers.is_empty()
            && self.weekdays == 0
            && self.nth.is_empty()
    }

    pub(super) fn matches(&self, day: i64) -> bool {
        let civil = Civil::of(day);
        self.month_matches(civil.month) && self.day_matches(day, civil)
    }

    /// The first day from `from` to `last` that passes. Months that cannot match are stepped over
    /// whole, and the search ends after one full cycle of the calendar.
    pub(super) fn next(&self, from: i64, last: i64) -> Option<i64> {
        let last = last
            .min(LAST_DAY)
            .min(from.saturating_add(CALENDAR_CYCLE + 366));
        if self.is_open() {
            return (from <= last).then_some(from);
        }
        let mut day = from;
        while day <= last {
            let mut civil = Civil::of(day);
            let length = month_length(civil.year, civil.month);
            let month_end = day + i64::from(length - civil.day);
            if self.month_matches(civil.month) {
                while day <= month_end.min(last) {
                    if self.day_matches(day, civil) {
                        return Some(day);
                    }
                    day += 1;
                    civil.day += 1;
                }
            }
            day = month_end + 1;
        }
        None
    }

    fn month_matches(&self, month: u8) -> bool {
        self.months == 0 || self.months & (1 << month) != 0
    }

    fn day_matches(&self, day: i64, civil: Civil) -> bool {
        self.weekday_matches(day, civil)
            && self.month_day_matches(civil)
            && (self.year_days.is_empty() || self.year_day_matches(day, civil.year))
            && (self.week_numbers.is_empty() || self.week_number_matches(day))
    }

    fn weekday_matches(&self, day: i64, civil: Civil) -> bool {
        if self.weekdays == 0 && self.nth.is_empty() {
            return true;
        }
        let weekday = weekday(day);
        self.weekdays & (1 << weekday) != 0
            || self
                .nth
                .iter()
                .any(|&(n, of)| of == weekday && self.is_nth(n, day, civil))
    }

    fn is_nth(&self, n: i8, day: i64, civil: Civil) -> bool {
        let (before, after) = match self.nth_scope {
            NthScope::Month => (
                i64::from(civil.day) - 1,
                i64::from(month_length(civil.year, civil.month) - civil.day),
            ),
            NthScope::Year => (
                day - year_start(civil.year),
                year_start(civil.year + 1) - 1 - day,
            ),
        };
        if n > 0 {
            before / 7 + 1 == i64::from(n)
        } else {
            -(after / 7 + 1) == i64::from(n)
        }
    }

    fn month_day_matches(&self, civil: Civil) -> bool {
        if self.month_days == 0 && self.month_days_back == 0 {
            return true;
        }
        let back = month_length(civil.year, civil.month) - civil.day + 1;
        self.month_days & (1 << civil.day) != 0 || self.month_days_back & (1 << back) != 0
    }

    fn year_day_matches(&self, day: i64, year: i64) -> bool {
        let forward = day - year_start(year) + 1;
        let backward = day - year_start(year + 1);
        self.year_days
            .iter()
            .any(|&wanted| i64::from(wanted) == forward || i64::from(wanted) == backward)
    }

    /// Weeks count from the first that has at least four days in the year (ISO 8601), so a week
    /// belongs to the year its fourth day lies in.
    fn week_number_matches(&self, day: i64) -> bool {
        let fourth = week_begin(day, self.week_start) + 3;
        let year = Civil::of(fourth).year;
        let forward = (fourth - year_start(year)) / 7 + 1;
        let backward = -((year_start(year + 1) - 1 - fourth) / 7 + 1);
        self.week_numbers
            .iter()
            .any(|&wanted| i64::from(wanted) == forward || i64::from(wanted) == backward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0001-01-01.
    const FIRST_DAY: i64 = -719_162;

    #[test]
    fn day_numbers_and_dates_agree_with_jiff() {
        let epoch = jiff::civil::date(1970, 1, 1);
        for number in (FIRST_DAY..=LAST_DAY)
            .step_by(97)
            .chain([FIRST_DAY, 0, LAST_DAY])
        {
            let date = epoch.checked_add(jiff::Span::new().days(number)).unwrap();
            let civil = Civil::of(number);
            assert_eq!(
                (civil.year, i64::from(civil.month), i64::from(civil.day)),
                (
                    i64::from(date.year()),
                    i64::from(date.month()),
                    i64::from(date.day())
                ),
            );
            assert_eq!(civil.number(), number);
            assert_eq!(
                i64::from(weekday(number)),
                i64::from(date.weekday().to_monday_zero_offset())
            );
        }
    }
}
