//! The processes a supervisor answers for: who is left, what they use, how they are signalled.
//!
//! Invariant: no signal goes to a stored number. Every process is looked at again right before,
//! by number and start time. It decides nothing about when to signal.

use std::collections::BTreeSet;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::platform::{self, ProcessFacts};

/// Rescans within one round of KILL: enough to catch up with a program that forks in a loop.
const KILL_SCANS: u32 = 50;

/// The descendants of this process.
#[derive(Debug)]
pub(super) struct Tree {
    own: ProcessFacts,
    /// `NAME=value` every step is started with: finds those who left the family where they can.
    marker: String,
    /// CPU time of those that have ended, milliseconds.
    ended_cpu_ms: u64,
    /// What the last look saw, ended and living together.
    sampled_cpu_ms: u64,
    peak_memory_bytes: u64,
}

/// A child that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// Its number.
    pub(super) pid: i32,
    /// How.
    pub(super) status: WaitStatus,
}

impl Tree {
    /// The tree below this process; none when the system does not tell about processes.
    pub(super) fn new(marker: String) -> Option<Self> {
        let own = platform::process(rustix::process::getpid().as_raw_nonzero().get())?;
        Some(Self {
            own,
            marker,
            ended_cpu_ms: 0,
            sampled_cpu_ms: 0,
            peak_memory_bytes: 0,
        })
    }

    /// Everyone who is left and has not ended.
    pub(super) fn living(&self) -> Vec<ProcessFacts> {
        self.family(&platform::processes())
            .into_iter()
            .filter(|one| !one.ended)
            .collect()
    }

    /// Signals everyone who is left: whole groups first, which also reaches what is being forked.
    pub(super) fn signal(&self, signal: Signal) {
        let living = self.living();
        let mut groups = BTreeSet::new();
        for one in &living {
            let own_group = one.group == self.own.group || one.group <= 1;
            if own_group {
                platform::signal_process(one.pid, one.started, signal);
            } else if groups.insert(one.group) && platform::is_alive(one.pid, one.started) {
                signal_group(one.group, signal);
            }
        }
    }

    /// Kills everyone who is left, again and again while new ones appear.
    pub(super) fn kill(&self) {
        for _ in 0..KILL_SCANS {
            let living = self.living();
            if living.is_empty() {
                return;
            }
            self.signal(Signal::KILL);
            for one in living {
                platform::signal_process(one.pid, one.started, Signal::KILL);
            }
        }
    }

    /// Takes note of every child that has ended.
    pub(super) fn reap(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        let zombies = self.family(&platform::processes());
        for one in zombies
            .iter()
            .filter(|one| one.ended && one.parent == self.own.pid)
        {
            let Some(Ok(Some((_, status)))) = Pid::from_raw(one.pid)
                .map(|pid| rustix::process::waitpid(Some(pid), WaitOptions::NOHANG))
            else {
                continue;
            };
            self.ended_cpu_ms += one.cpu_ms;
            ended.push(Ended {
                pid: one.pid,
                status,
            });
        }
        // Where ended children are not listed, and for what ended since the list was made.
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            ended.push(Ended { pid, status });
        }
        ended
    }

    /// Looks at what the tree uses now; returns its CPU time so far, milliseconds.
    pub(super) fn sample(&mut self) -> u64 {
        let living = self.living();
        let living_cpu_ms: u64 = living.iter().map(|one| one.cpu_ms).sum();
        let memory = living.iter().map(|one| one.memory_bytes).sum();
        self.peak_memory_bytes = self.peak_memory_bytes.max(memory);
        self.sampled_cpu_ms = self.ended_cpu_ms + living_cpu_ms;
        self.sampled_cpu_ms
    }

    /// CPU time of everyone who ended, milliseconds, as far as it was seen.
    pub(super) fn cpu_ms(&self) -> u64 {
        self.ended_cpu_ms.max(self.sampled_cpu_ms)
    }

    /// The highest memory seen over the whole tree, bytes.
    pub(super) fn peak_memory_bytes(&self) -> u64 {
        self.peak_memory_bytes
    }

    /// Descendants, everyone in the supervisor's session, and (where orphans leave the family)
    /// everyone who carries the marker, with their descendants.
    fn family(&self, all: &[ProcessFacts]) -> Vec<ProcessFacts> {
        let mut roots = vec![self.own.pid];
        let near = |one: &&ProcessFacts| {
            one.session == self.own.session || platform::is_stray(one, &self.marker)
        };
        let relatives: Vec<ProcessFacts> = all
            .iter()
            .filter(|one| one.pid != self.own.pid)
            .filter(near)
            .copied()
            .collect();
        roots.extend(relatives.iter().map(|one| one.pid));
        let mut family = platform::descendants(all, &roots);
        family.extend(relatives);
        family
    }
}

/// Signals a process group. Only called right after one of its members was seen alive.
fn signal_group(group: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(group) {
        // Gone in the meantime is as good as signalled.
        rustix::process::kill_process_group(group, signal).ok();
    }
}
