//! Instants that already have a row although the plan has yet to come to them: the clock was set
//! back, or the automation was here before. It decides nothing.

use hostler_proto::schedule::Schedule;
use hostler_proto::time::UtcMillis;

use super::due::Range;

/// Rows of one automation beyond its plan's cursor: the first and last instant each stands for, in
/// order of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken(Vec<(UtcMillis, UtcMillis)>);

impl Taken {
    /// One more row, not before those that are here.
    pub fn push(&mut self, first: UtcMillis, last: UtcMillis) {
        self.0.push((first, last));
    }

    /// Whether an instant has a row of its own: it cannot be claimed again.
    pub(super) fn is_key(&self, at: UtcMillis) -> bool {
        self.0.iter().any(|(first, _)| *first == at)
    }

    /// Whether a row stands for an instant.
    pub(super) fn covers(&self, at: UtcMillis) -> bool {
        let stands = |(first, last): &(UtcMillis, UtcMillis)| *first <= at && at <= *last;
        self.0.iter().any(stands)
    }

    /// Whether a row stands for anything within a range.
    pub(super) fn touches(&self, range: Range) -> bool {
        let within =
            |(first, last): &(UtcMillis, UtcMillis)| *first <= range.last && *last >= range.first;
        self.0.iter().any(within)
    }

    /// The parts of a range that no row stands for.
    pub(super) fn gaps(&self, range: Range, schedule: &Schedule) -> Vec<Range> {
        if !self.touches(range) {
            return vec![range];
        }
        let mut gaps = Vec::new();
        let mut after = range.first.plus_ms(-1);
        for (first, last) in &self.0 {
            let until = first.plus_ms(-1).min(range.last);
            gaps.extend(Range::between(schedule, after, until));
            after = after.max(*last);
        }
        gaps.extend(Range::between(schedule, after, range.last));
        gaps
    }
}
