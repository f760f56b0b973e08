//! The run machine's shell: claims a place for queued runs, launches them, follows their
//! supervisors, and after a restart finds them again.
//!
//! Each change of a run is one transaction, and a process is spawned only after the one that
//! records it.

use std::collections::{BTreeMap, BTreeSet};

use hostler_daemon::runs::{Next, Seen, next};
use hostler_daemon::store::runs::RunRow;
use hostler_daemon::supervisor::record::{Ended, Exit};
use hostler_proto::ids::RunId;
use hostler_proto::run::{Finished, Outcome, Run, RunResult, RunState};
use hostler_proto::time::UtcMillis;

use crate::machine::{Around, Died, Host};
use crate::processes::{Fate, log_bytes};

/// Runs that may go on at once.
const PLACES: usize = 2;

/// What one life of the daemon remembers of runs.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Awake time at which a workspace is ready.
    ready_at: BTreeMap<RunId, u64>,
    /// Asked to end.
    interrupted: BTreeSet<RunId>,
}

#[derive(Clone, Copy)]
enum Action {
    Prepare,
    Launch,
    Follow(UtcMillis),
    End(RunResult, Option<UtcMillis>, UtcMillis),
    Interrupt,
}

impl Runs {
    /// Awake time of the next thing to do.
    pub(crate) fn next(&self) -> Option<u64> {
        self.ready_at.values().min().copied()
    }
}

impl Host {
    pub(crate) fn advance_runs(&mut self, around: &mut Around) -> Result<(), Died> {
        while let Some((run, action)) = self.next_action() {
            self.act(run, action, around)?;
        }
        Ok(())
    }

    fn next_action(&self) -> Option<(Run, Action)> {
        let rows = self.disk.unfinished();
        let taken = rows.iter().filter(|row| row.run.state != RunState::Queued);
        let free = taken.count() < PLACES;
        let action = |row: &&RunRow| Some((row.run.clone(), self.action(row, free)?));
        rows.iter().find_map(action)
    }

    /// The product's decision about a row, as far as it is time for it.
    fn action(&self, row: &RunRow, free: bool) -> Option<Action> {
        let (now, daemon) = (self.clock.wall, self.daemon.as_ref()?);
        let (id, process) = (row.run.id, self.processes.0.get(&row.run.id));
        let started_at = process.map(|process| process.started_at);
        let seen = Seen {
            launched: row.launched_at.is_some() || (self.disk.keys && process.is_some()),
            supervised: process.is_some_and(|process| process.alive),
            exit: process.and_then(|process| Some(exit(process.exit?.1))),
        };
        match next(row, seen) {
            Next::Nothing => None,
            Next::Start => free.then_some(Action::Prepare),
            Next::Prepare => {
                let ready_at = daemon.runs.ready_at.get(&id).copied();
                (ready_at.unwrap_or(0) <= self.clock.awake_ms).then_some(Action::Launch)
            }
            Next::Attach if matches!(row.run.state, RunState::Preparing { .. }) => {
                Some(Action::Follow(started_at?))
            }
            Next::Attach => {
                let told = daemon.runs.interrupted.contains(&id);
                (row.cancel_requested.is_some() && !told).then_some(Action::Interrupt)
            }
            Next::Finish(exit) => {
                let (result, _) = process?.exit?;
                Some(Action::End(result, started_at, exit.finished_at))
            }
            Next::CancelUnlaunched { .. } => Some(Action::End(RunResult::Cancelled, None, now)),
            Next::Lose => Some(Action::End(RunResult::Lost, started_at, now)),
        }
    }

    fn act(&mut self, mut run: Run, action: Action, around: &mut Around) -> Result<(), Died> {
        self.fuse.point()?;
        let (now, awake) = (self.clock.wall, self.clock.awake_ms);
        match action {
            Action::Prepare => {
                run.prepare(now).unwrap();
                self.disk.update_run(&run);
                let ready_at = awake + self.chance.within(0, 4_000);
                if let Some(daemon) = &mut self.daemon {
                    daemon.runs.ready_at.insert(run.id, ready_at);
                }
            }
            Action::Launch => self.launch(&run, around)?,
            Action::Follow(started_at) => {
                run.start(started_at).unwrap();
                self.disk.update_run(&run);
            }
            Action::End(result, started_at, at) => self.end(run, result, started_at, at),
            Action::Interrupt => {
                let within = self.chance.within(0, 15_000);
                self.processes.interrupt(run.id, within, awake);
                if let Some(daemon) = &mut self.daemon {
                    daemon.runs.interrupted.insert(run.id);
                }
            }
        }
        self.fuse.point()?;
        if let Some(daemon) = &mut self.daemon {
            daemon.wake_link();
        }
        Ok(())
    }

    fn launch(&mut self, run: &Run, around: &mut Around) -> Result<(), Died> {
        if self.chance.percent(4) {
            let now = self.clock.wall;
            self.end(run.clone(), RunResult::Failed, None, now);
            return Ok(());
        }
        let now = self.clock.wall;
        if let Some(entry) = self.disk.runs.get_mut(&run.id) {
            entry.row.launched_at = Some(now);
        }
        self.fuse.point()?;
        let fate = self.fate();
        around.witness.started(self.index, run);
        let (awake, wall) = (self.clock.awake_ms, self.clock.wall);
        self.processes.spawn(run.id, fate, awake, wall);
        if let Some(daemon) = &mut self.daemon {
            daemon.runs.ready_at.remove(&run.id);
        }
        Ok(())
    }

    fn fate(&mut self) -> Fate {
        let result = match self.chance.within(0, 99) {
            0..=69 => RunResult::Succeeded,
            70..=91 => RunResult::Failed,
            92..=95 => RunResult::TimedOut,
            _ => RunResult::Stalled,
        };
        let longest = self.chance.pick(&[2_000, 20_000, 60_000, 200_000]);
        let most = self.chance.pick(&[0, 40, 400, 400, 2_000]);
        Fate {
            lasts_ms: self.chance.within(1, longest),
            result,
            log_bytes: self.chance.within(0, most),
        }
    }

    fn end(
        &mut self,
        mut run: Run,
        result: RunResult,
        started_at: Option<UtcMillis>,
        at: UtcMillis,
    ) {
        let size = self.processes.written(run.id);
        let finished = Finished {
            result,
            started_at,
            finished_at: at,
            reason: None,
            exit_code: None,
            signal: None,
            outcome: Outcome::default(),
            log_bytes: size,
        };
        run.finish(finished).unwrap();
        self.disk.update_run(&run);
        if let Some(row) = self.disk.runs.get_mut(&run.id) {
            row.log_whole = Some((size, crc32fast::hash(&log_bytes(run.id, 0, size))));
        }
        if let Some(daemon) = &mut self.daemon {
            daemon.runs.ready_at.remove(&run.id);
            daemon.look_at = daemon.look_at.min(self.clock.awake_ms);
            daemon.logs_changed = true;
            daemon.wake_link();
        }
    }
}

/// The exit record as far as the decision looks at it; sizes and results are the processes'.
fn exit(finished_at: UtcMillis) -> Exit {
    Exit {
        ended: Ended::ByItself,
        steps: vec![],
        finished_at,
        log_bytes: 0,
        log_crc32: 0,
        peak_memory_bytes: 0,
        cpu_ms: 0,
        leftovers: 0,
    }
}
