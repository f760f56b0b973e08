//! How a tree of processes is brought to its end: INT, TERM, KILL, each with its grace.
//!
//! Pure: it is told the time and whether anything is left, and says which signal to send. It never
//! goes back to a gentler signal, and KILL is repeated until nothing is left.

use super::record::Grace;

/// Milliseconds between the first two rounds of KILL, and between late ones: what does not die of
/// the first rounds waits for a disk or a network.
const KILL_AGAIN_MS: (u64, u64) = (20, 1_000);

/// A signal of the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// Please stop.
    Int,
    /// Stop.
    Term,
    /// Be gone.
    Kill,
}

/// Where an ending stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    grace: Grace,
    gentlest: Blow,
    last: Option<(Blow, u64)>,
    kill_again_ms: u64,
}

impl Ending {
    /// An ending that has not begun.
    pub(super) fn new(grace: Grace) -> Self {
        Self {
            grace,
            gentlest: Blow::Int,
            last: None,
            kill_again_ms: KILL_AGAIN_MS.0,
        }
    }

    /// An ending of what was left over by an agent that ended by itself: nobody is there to take
    /// INT as "please finish", and shells start background commands with INT ignored, so its
    /// grace would be waited for in vain. It begins with TERM.
    pub(super) fn of_leftovers(grace: Grace) -> Self {
        Self {
            gentlest: Blow::Term,
            ..Self::new(grace)
        }
    }

    /// The signal that is due at `awake_ms`, if any. Call again at [`Self::next_ms`].
    pub(super) fn due(&mut self, awake_ms: u64) -> Option<Blow> {
        let blow = match self.last {
            None => self.gentlest,
            Some(_) if self.next_ms().is_some_and(|next| awake_ms < next) => return None,
            Some((Blow::Int, _)) => Blow::Term,
            Some((Blow::Term, _)) => Blow::Kill,
            Some((Blow::Kill, _)) => {
                self.kill_again_ms = (self.kill_again_ms * 2).min(KILL_AGAIN_MS.1);
                Blow::Kill
            }
        };
        self.last = Some((blow, awake_ms));
        Some(blow)
    }

    /// When the next signal is due, in awake milliseconds; none before the first.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let (blow, at) = self.last?;
        Some(at.saturating_add(match blow {
            Blow::Int => self.grace.int_ms,
            Blow::Term => self.grace.term_ms,
            Blow::Kill => self.kill_again_ms,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_come_in_order_each_after_its_grace() {
        let mut ending = Ending::new(Grace {
            int_ms: 10,
            term_ms: 5,
        });
        let blows: Vec<_> = (100..=140)
            .filter_map(|now| ending.due(now).map(|blow| (now, blow)))
            .collect();
        let expected = [
            (100, Blow::Int),
            (110, Blow::Term),
            (115, Blow::Kill),
            (135, Blow::Kill),
        ];
        assert_eq!(blows, expected);
    }

    #[test]
    fn leftovers_are_not_asked_with_int() {
        let mut ending = Ending::of_leftovers(Grace {
            int_ms: 10,
            term_ms: 5,
        });
        let blows: Vec<_> = (100..=110)
            .filter_map(|now| ending.due(now).map(|blow| (now, blow)))
            .collect();
        assert_eq!(blows, [(100, Blow::Term), (105, Blow::Kill)]);
    }

    #[test]
    fn a_late_wake_up_does_not_skip_a_signal() {
        let mut ending = Ending::new(Grace::default());
        assert_eq!(ending.due(0), Some(Blow::Int));
        assert_eq!(ending.due(1_000_000), Some(Blow::Term));
        assert_eq!(ending.due(1_000_001), None);
    }
}
