//! Agent processes under their supervisors, with their run directories: they go on without the
//! daemon, stand still while the machine sleeps, and die with it.

use std::collections::BTreeMap;

use hostler_proto::ids::RunId;
use hostler_proto::run::RunResult;
use hostler_proto::time::UtcMillis;

/// A log grows in this many steps.
const STEPS: u64 = 3;

#[derive(Debug)]
pub(crate) struct Process {
    /// Awake time of its start.
    started: u64,
    ends: u64,
    result: RunResult,
    size: u64,
    pub(crate) started_at: UtcMillis,
    pub(crate) alive: bool,
    /// The exit record, once written.
    pub(crate) exit: Option<(RunResult, UtcMillis)>,
    /// Bytes in the spool.
    pub(crate) written: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Processes(pub(crate) BTreeMap<RunId, Process>);

/// How an agent will behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) lasts_ms: u64,
    pub(crate) result: RunResult,
    pub(crate) log_bytes: u64,
}

impl Processes {
    pub(crate) fn spawn(&mut self, run: RunId, fate: Fate, awake: u64, wall: UtcMillis) {
        let process = Process {
            started: awake,
            ends: awake + fate.lasts_ms,
            result: fate.result,
            size: fate.log_bytes,
            started_at: wall,
            alive: true,
            exit: None,
            written: 0,
        };
        self.0.insert(run, process);
    }

    /// Lets awake time work; true when a log grew or a process ended.
    pub(crate) fn advance(&mut self, awake: u64, wall: UtcMillis) -> bool {
        let mut changed = false;
        for process in self.0.values_mut().filter(|process| process.alive) {
            let written = process.size * process.steps_at(awake) / STEPS;
            changed |= written > process.written;
            process.written = written;
            if awake >= process.ends {
                process.alive = false;
                process.exit = Some((process.result, wall));
                changed = true;
            }
        }
        changed
    }

    /// Awake time of the next change.
    pub(crate) fn next(&self) -> Option<u64> {
        let alive = self.0.values().filter(|process| process.alive);
        alive.map(Process::next).min()
    }

    /// Asks a process to end.
    pub(crate) fn interrupt(&mut self, run: RunId, within_ms: u64, awake: u64) {
        if let Some(process) = self.0.get_mut(&run).filter(|process| process.alive) {
            process.size = process.written;
            process.ends = process.ends.min(awake + within_ms);
            process.result = RunResult::Cancelled;
        }
    }

    /// The machine lost its power.
    pub(crate) fn die(&mut self) {
        for process in self.0.values_mut() {
            process.alive = false;
        }
    }

    pub(crate) fn written(&self, run: RunId) -> u64 {
        self.0.get(&run).map_or(0, |process| process.written)
    }
}

impl Process {
    fn steps_at(&self, awake: u64) -> u64 {
        let whole = (self.ends - self.started).max(1);
        (STEPS * awake.saturating_sub(self.started) / whole).min(STEPS)
    }

    fn next(&self) -> u64 {
        let whole = (self.ends - self.started).max(1);
        let steps = (0..=STEPS).filter(|step| self.size * step / STEPS > self.written);
        let growth = steps.map(|step| self.started + (whole * step).div_ceil(STEPS));
        growth.min().unwrap_or(self.ends).min(self.ends)
    }
}

/// The bytes of a run's log from an offset.
pub(crate) fn log_bytes(run: RunId, offset: u64, until: u64) -> Vec<u8> {
    let salt = run.0.as_bytes()[3] & 15;
    let byte = |at: u64| b'a' + (salt + u8::try_from(at % 241 % 10).unwrap_or(0));
    (offset..until).map(byte).collect()
}
