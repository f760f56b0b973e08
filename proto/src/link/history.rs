//! Whether a host is the one it was: a database restored from a backup goes on from an older state,
//! and gives event numbers that were given before. Pure.

use crate::frame::payload::Life;

/// The first event number that is not the same in two accounts of a host's past, when they differ
/// about who gave `seq`. None when they agree, or when either does not reach back that far.
///
/// Each start of a daemon makes its own mark and begins a new life at the next number. Whatever a
/// restored database numbers anew, it numbers in a life that the other account does not have.
pub fn parted_at(known: &[Life], told: &[Life], seq: u64) -> Option<u64> {
    if giver(known, seq)? == giver(told, seq)? {
        return None;
    }
    let fresh = told.iter().find(|life| !known.contains(life))?;
    Some(fresh.first_seq)
}

fn giver(lives: &[Life], seq: u64) -> Option<&str> {
    let given = lives.iter().rev().find(|life| life.first_seq <= seq);
    given.map(|life| life.mark.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(of: &[(u64, &str)]) -> Vec<Life> {
        let life = |(first_seq, mark): &(u64, &str)| Life {
            first_seq: *first_seq,
            mark: (*mark).to_owned(),
        };
        of.iter().map(life).collect()
    }

    #[test]
    fn a_past_that_goes_on_is_the_same() {
        let known = lives(&[(1, "a"), (50, "b")]);
        for told in [
            lives(&[(1, "a"), (50, "b")]),
            lives(&[(1, "a"), (50, "b"), (61, "c"), (70, "d")]),
            lives(&[(50, "b"), (61, "c")]),
        ] {
            assert_eq!(parted_at(&known, &told, 60), None);
        }
        // A start that numbered nothing gives way to the next one.
        let told = lives(&[(1, "a"), (50, "c")]);
        assert_eq!(parted_at(&known, &told, 49), None);
    }

    #[test]
    fn a_restored_database_is_known_however_far_it_has_gone_on() {
        let known = lives(&[(1, "a"), (50, "b")]);
        for (told, from) in [
            (lives(&[(1, "a"), (30, "x")]), 30),
            (lives(&[(1, "a"), (50, "x")]), 50),
            (lives(&[(1, "a"), (50, "b"), (55, "x")]), 55),
            (lives(&[(1, "a"), (30, "x"), (58, "y"), (900, "z")]), 30),
            (lives(&[(1, "n")]), 1),
        ] {
            assert_eq!(parted_at(&known, &told, 60), Some(from), "{told:?}");
        }
    }

    #[test]
    fn what_is_not_said_is_not_held_against_it() {
        let known = lives(&[(1, "a")]);
        assert_eq!(parted_at(&known, &[], 60), None);
        assert_eq!(parted_at(&[], &known, 60), None);
        assert_eq!(parted_at(&known, &lives(&[(90, "c")]), 60), None);
    }
}
