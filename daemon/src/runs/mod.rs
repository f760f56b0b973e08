//! Runs: from a queued row to an outcome. What to do next is decided here and in [`launch`] and
//! [`outcome`], purely; [`task`] does it.
//!
//! Invariant: a row that was launched is never launched again; it is attached to, finished from its
//! record, or `lost`. Recovery is no case of its own: every row is looked at in the same way,
//! whether it was made a moment ago or by the daemon before.

mod commands;
pub mod environment;
pub mod launch;
pub mod outcome;
mod place;
pub mod retention;
mod room;
mod settle;
pub mod task;

use hostler_proto::run::{Run, RunState, Trigger};

use crate::store::runs::RunRow;
use crate::supervisor::record::Exit;

/// A run claimed later than this after its instant was caught up.
const LATE_MS: i64 = 60_000;
/// Runs that may go on when one begins that was caught up.
const CAUGHT_UP_AT_ONCE: usize = 2;

/// What the run folder shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// It was launched from here, whatever the row says: a database restored from a backup does not
    /// know of it.
    pub launched: bool,
    /// A supervisor holds the lock.
    pub supervised: bool,
    /// The record it left.
    pub exit: Option<Exit>,
}

/// What to do with a run that nobody in this daemon works on.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Nothing: it is over, or waits for the run before it.
    Nothing,
    /// It has not begun: start it when there is room.
    Start,
    /// It was being prepared and was not launched: prepare it, it has its room already.
    Prepare,
    /// Its supervisor lives: attach.
    Attach,
    /// Its supervisor has left a record: finish from it.
    Finish(Box<Exit>),
    /// It was asked to end before it was launched.
    CancelUnlaunched {
        /// Who asked.
        by: String,
    },
    /// Launched, no supervisor, no record.
    Lose,
}

/// Decides about one row from what its folder shows.
pub fn next(row: &RunRow, seen: Seen) -> Next {
    if row.run.state.is_final() {
        return Next::Nothing;
    }
    if row.launched_at.is_some() || seen.launched {
        return match (seen.exit, seen.supervised) {
            (Some(exit), _) => Next::Finish(Box::new(exit)),
            (None, true) => Next::Attach,
            (None, false) => Next::Lose,
        };
    }
    if let Some(by) = &row.cancel_requested {
        return Next::CancelUnlaunched { by: by.clone() };
    }
    match row.run.state {
        RunState::Queued if row.waiting => Next::Nothing,
        RunState::Queued => Next::Start,
        RunState::Preparing { .. } => Next::Prepare,
        // A process without a launch cannot be: such a row was not written by this program.
        RunState::Running { .. } => Next::Lose,
        RunState::Finished(_) | RunState::Skipped { .. } => Next::Nothing,
    }
}

/// How many runs may go on when this one begins. What is caught up after a sleep comes all at once,
/// and does not take the places of what is on time.
pub fn room(run: &Run, most: usize) -> usize {
    let late = run.queued_at.since(run.scheduled_for) > LATE_MS;
    if late && run.trigger == Trigger::Schedule {
        most.min(CAUGHT_UP_AT_ONCE)
    } else {
        most
    }
}

#[cfg(test)]
mod tests {
    use hostler_proto::time::UtcMillis;

    use super::*;
    use crate::supervisor::record::Ended;

    fn exit() -> Exit {
        Exit {
            ended: Ended::ByItself,
            steps: vec![],
            finished_at: UtcMillis(9),
            log_bytes: 0,
            log_crc32: 0,
            peak_memory_bytes: 0,
            cpu_ms: 0,
            leftovers: 0,
        }
    }

    fn seen(supervised: bool, exit: Option<Exit>) -> Seen {
        Seen {
            launched: false,
            supervised,
            exit,
        }
    }

    #[test]
    fn a_run_whose_launch_the_database_has_forgotten_is_not_started_again() {
        let mut row = launch::tests::row("shell", "true");
        for waiting in [false, true] {
            row.waiting = waiting;
            let after = |supervised, exit| {
                let launched = true;
                let seen = Seen {
                    launched,
                    ..seen(supervised, exit)
                };
                next(&row, seen)
            };
            assert_eq!(after(false, None), Next::Lose);
            assert_eq!(after(true, None), Next::Attach);
            let finish = Next::Finish(Box::new(exit()));
            assert_eq!(after(false, Some(exit())), finish);
        }
    }

    #[test]
    fn a_launched_run_is_never_started_again() {
        let mut row = launch::tests::row("shell", "true");
        row.launched_at = Some(UtcMillis(1));
        for state in [
            RunState::Queued,
            RunState::Preparing {
                since: UtcMillis(1),
            },
            RunState::Running {
                started_at: UtcMillis(1),
            },
        ] {
            row.run.state = state;
            assert_eq!(next(&row, seen(true, None)), Next::Attach);
            assert_eq!(next(&row, seen(false, None)), Next::Lose);
            let finish = Next::Finish(Box::new(exit()));
            assert_eq!(next(&row, seen(false, Some(exit()))), finish);
            assert_eq!(next(&row, seen(true, Some(exit()))), finish);
        }
    }

    #[test]
    fn after_a_wake_two_begin_at_once_and_what_is_on_time_has_all_the_room() {
        let mut run = launch::tests::row("shell", "true").run;
        run.trigger = Trigger::Schedule;
        for (late_ms, places) in [(0, 8), (60_000, 8), (60_001, 2)] {
            run.queued_at = run.scheduled_for.plus_ms(late_ms);
            assert_eq!(room(&run, 8), places, "{late_ms} ms late");
            assert_eq!(room(&run, 1), 1);
        }
        run.trigger = Trigger::Manual;
        assert_eq!(room(&run, 8), 8);
    }

    #[test]
    fn what_waits_does_not_start_and_can_be_cancelled() {
        let mut row = launch::tests::row("shell", "true");
        row.waiting = true;
        assert_eq!(next(&row, seen(false, None)), Next::Nothing);
        row.cancel_requested = Some("ada".into());
        let cancel = Next::CancelUnlaunched { by: "ada".into() };
        assert_eq!(next(&row, seen(false, None)), cancel);
    }

    #[test]
    fn what_was_not_launched_starts_unless_its_end_was_asked_for() {
        let mut row = launch::tests::row("shell", "true");
        assert_eq!(next(&row, seen(false, None)), Next::Start);
        row.run.prepare(UtcMillis(2)).unwrap();
        assert_eq!(next(&row, seen(false, None)), Next::Prepare);
        row.cancel_requested = Some("ada".into());
        let cancel = Next::CancelUnlaunched { by: "ada".into() };
        assert_eq!(next(&row, seen(false, None)), cancel);
        row.run.state = RunState::Running {
            started_at: UtcMillis(1),
        };
        row.cancel_requested = None;
        assert_eq!(next(&row, seen(false, None)), Next::Lose);
    }
}
