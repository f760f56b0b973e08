//! Which instants are due, and which of them came too late: the look at a schedule that a plan
//! decides upon. It decides nothing itself.

use hostler_proto::schedule::Schedule;
use hostler_proto::time::UtcMillis;
use sha2::{Digest, Sha256};

use super::state::Rule;

/// A start that comes later than this is a missed one.
pub(super) const GRACE_MS: i64 = 60_000;
/// A missed instant older than this is not caught up by `latest`.
const CATCH_UP_WITHIN_MS: i64 = 7 * 24 * 3_600_000;
/// The most instants that `all` catches up.
const CATCH_UP_MOST: usize = 10;
/// Missed instants are counted this far: two years of a rule that fires each minute.
const COUNT_MOST: u32 = 1_000_000;
/// The largest jitter, seconds.
const MOST_JITTER_SECONDS: u32 = 900;
/// On-time instants lie within a minute; a schedule gives at most a few.
const ON_TIME_MOST: usize = 64;

/// Consecutive instants of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: UtcMillis,
    pub(super) last: UtcMillis,
    pub(super) count: u32,
}

/// The due instants of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Those that came more than [`GRACE_MS`] late.
    pub(super) missed: Option<Range>,
    /// Those that are on time, in order.
    pub(super) on_time: Vec<UtcMillis>,
    /// The newest of all.
    pub(super) newest: UtcMillis,
}

impl Due {
    /// Looks from the first due instant up to now.
    pub(super) fn look(
        schedule: &Schedule,
        first: UtcMillis,
        jitter_ms: i64,
        now: UtcMillis,
    ) -> Self {
        let until = now.plus_ms(-jitter_ms);
        let edge = until.plus_ms(-GRACE_MS);
        let on_time: Vec<UtcMillis> = schedule
            .instants_from(first.max(edge).to_timestamp())
            .map(UtcMillis::from)
            .take_while(|at| *at <= until)
            .take(ON_TIME_MOST)
            .collect();
        let missed = Range::between(schedule, first.plus_ms(-1), edge.plus_ms(-1));
        let newest = on_time.last().copied().or(missed.map(|missed| missed.last));
        Self {
            missed,
            on_time,
            newest: newest.unwrap_or(first),
        }
    }
}

impl Range {
    pub(super) fn one(at: UtcMillis) -> Self {
        Self {
            first: at,
            last: at,
            count: 1,
        }
    }

    /// The instants after one time and up to another.
    pub(super) fn between(schedule: &Schedule, after: UtcMillis, until: UtcMillis) -> Option<Self> {
        // Instants are whole seconds, and the engine takes `after` down to its second.
        let first = UtcMillis::from(schedule.first_at_or_after(after.plus_ms(1).to_timestamp())?);
        if first > until {
            return None;
        }
        let last = UtcMillis::from(schedule.latest_at_or_before(until.to_timestamp())?).max(first);
        let before = first.plus_ms(-1000).to_timestamp();
        let count = schedule
            .count_between(before, last.to_timestamp(), COUNT_MOST)
            .max(1);
        Some(Self { first, last, count })
    }

    /// The last one, if it is recent enough to be worth catching up.
    pub(super) fn recent(self, now: UtcMillis) -> Vec<UtcMillis> {
        if now.since(self.last) <= CATCH_UP_WITHIN_MS {
            vec![self.last]
        } else {
            Vec::new()
        }
    }

    /// The newest ones, oldest first.
    pub(super) fn newest(self, schedule: &Schedule) -> Vec<UtcMillis> {
        let older = |at: &UtcMillis| self.just_before(*at, schedule);
        let mut newest: Vec<UtcMillis> = std::iter::successors(Some(self.last), older)
            .take(CATCH_UP_MOST)
            .collect();
        newest.reverse();
        newest
    }

    /// What is left of it before `at`, when `at` and all after it (`taken` instants) are taken away.
    pub(super) fn before(self, at: UtcMillis, taken: usize, schedule: &Schedule) -> Option<Self> {
        let last = self.just_before(at, schedule)?;
        let taken = u32::try_from(taken).unwrap_or(u32::MAX);
        Some(Self {
            last,
            count: self.count.saturating_sub(taken).max(1),
            ..self
        })
    }

    fn just_before(self, at: UtcMillis, schedule: &Schedule) -> Option<UtcMillis> {
        let before = schedule.latest_at_or_before(at.plus_ms(-1000).to_timestamp())?;
        Some(UtcMillis::from(before)).filter(|before| *before >= self.first)
    }
}

/// A fixed share of the jitter by the automation's id: at most a tenth of the period and 15 min.
pub(super) fn jitter_ms(rule: &Rule, next: UtcMillis, following: Option<UtcMillis>) -> i64 {
    let asked = i64::from(rule.policies.jitter_seconds.min(MOST_JITTER_SECONDS)) * 1000;
    let most = following.map_or(asked, |following| asked.min(following.since(next) / 10));
    if most <= 0 {
        return 0;
    }
    let digest = Sha256::digest(rule.id.0.as_bytes());
    let share = digest
        .iter()
        .take(7)
        .fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte));
    share % (most + 1)
}
