//! The processes a supervisor answers for: who is left, what they use, how they are signalled.
//!
//! Invariant: no signal goes to a number that could be another's by now. A process is looked at
//! again right before, by number and start time; the number of a child that was not waited for, and
//! that of its group, cannot be used again. It decides nothing about when to signal.

use std::collections::BTreeSet;
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use super::record::RunDir;
use crate::clock;
use crate::platform::{self, Cage, ProcessFacts};

/// How long one round of KILL goes after processes that fork while they die, milliseconds.
const CHASE_MS: u64 = 200;

/// Looks at the children without a new one after which there are none to chase.
const QUIET_LOOKS: u32 = 20;

/// Rounds of moving processes into the cage: those they forked while they were moved.
const CAGE_ROUNDS: u32 = 20;

/// Stack of the thread that does so, bytes.
const CAGE_STACK: usize = 128 * 1024;

/// The descendants of this process.
#[derive(Debug)]
pub(super) struct Tree {
    own: ProcessFacts,
    /// `NAME=value` every step is started with: finds those who left the family where they can.
    marker: String,
    cage: Option<Cage>,
    caging: Option<JoinHandle<()>>,
    /// Ended children nobody was told of yet.
    reaped: Vec<Ended>,
    /// CPU time of those that have ended, where the system does not add it up, milliseconds.
    ended_cpu_ms: u64,
    /// What the last look saw, ended and living together.
    sampled_cpu_ms: u64,
    memory_bytes: u64,
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
            cage: None,
            caging: None,
            reaped: Vec::new(),
            ended_cpu_ms: 0,
            sampled_cpu_ms: 0,
            memory_bytes: 0,
            peak_memory_bytes: 0,
        })
    }

    /// Puts the first step's processes into a cage, where there can be one. Moving a process can
    /// take the system 10 ms, so it is done beside the run, which does not wait for it; whoever is
    /// started meanwhile is moved after.
    pub(super) fn begin_caging(&mut self, dir: &RunDir) {
        if self.caging.is_some() {
            return;
        }
        let name = super::name_of(&self.marker);
        let Some(cage) = Cage::make(&name) else {
            return;
        };
        // Noted down before anybody is in it, for the daemon to find should this process be killed.
        if std::fs::write(dir.cage(), cage.folder().as_os_str().as_encoded_bytes()).is_err() {
            cage.remove();
            return;
        }
        self.cage = Some(cage.clone());
        let own = self.own.pid;
        let thread = std::thread::Builder::new().stack_size(CAGE_STACK);
        self.caging = thread.spawn(move || move_in(&cage, own)).ok();
    }

    /// Everyone is gone: so may the cage.
    pub(super) fn end_caging(&mut self, dir: &RunDir) {
        if let Some(thread) = self.caging.take() {
            // A thread that broke has moved fewer, which the walk makes up for.
            thread.join().ok();
        }
        if let Some(cage) = self.cage.take() {
            self.sampled_cpu_ms = self.sampled_cpu_ms.max(cage.cpu_ms().unwrap_or(0));
            cage.remove();
            std::fs::remove_file(dir.cage()).ok();
        }
    }

    /// Everyone who is left and has not ended.
    pub(super) fn living(&self) -> Vec<ProcessFacts> {
        self.family(&platform::processes())
            .into_iter()
            .filter(|one| !one.ended)
            .collect()
    }

    /// Signals everyone who is left: the groups of children first, which also reaches what is being
    /// forked.
    pub(super) fn signal(&self, signal: Signal) {
        let family = self.family(&platform::processes());
        let pinned: BTreeSet<i32> = family
            .iter()
            .filter(|one| one.parent == self.own.pid && one.group != self.own.group)
            .map(|one| one.group)
            .collect();
        for group in &pinned {
            signal_group(*group, signal);
        }
        for one in family {
            if !one.ended && !pinned.contains(&one.group) {
                platform::signal_process(one.pid, one.started, signal);
            }
        }
    }

    /// Kills everyone who is left, again and again for a while as long as new ones appear.
    pub(super) fn kill(&mut self) {
        if let Some(cage) = &self.cage {
            // What the cage does not end, the walk does.
            cage.kill().ok();
        }
        let until_ms = clock::now().awake_ms + CHASE_MS;
        let mut seen = BTreeSet::new();
        while clock::now().awake_ms < until_ms {
            self.kill_children(until_ms);
            let living = self.living();
            // Whoever got KILL before and is still there dies in its own time.
            let fresh = living.iter().filter(|one| seen.insert(one.pid)).count();
            if fresh == 0 {
                return;
            }
            self.signal(Signal::KILL);
            for one in living {
                platform::signal_process(one.pid, one.started, Signal::KILL);
            }
        }
    }

    /// Kills children as fast as they are adopted: a program that forks, ends, and goes on in its
    /// orphan is never there long enough for a walk through all processes.
    fn kill_children(&mut self, until_ms: u64) {
        let mut seen = BTreeSet::new();
        let mut quiet = 0;
        while quiet < QUIET_LOOKS && clock::now().awake_ms < until_ms {
            let Some(children) = platform::children() else {
                return;
            };
            // Not waited for, so the numbers are still theirs.
            for pid in children.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                rustix::process::kill_process(pid, Signal::KILL).ok();
            }
            self.wait_for_ended();
            let fresh = children.iter().filter(|pid| seen.insert(**pid)).count();
            quiet = if fresh == 0 { quiet + 1 } else { 0 };
        }
    }

    /// Takes note of every child that has ended.
    pub(super) fn reap(&mut self) -> Vec<Ended> {
        self.wait_for_ended();
        std::mem::take(&mut self.reaped)
    }

    fn wait_for_ended(&mut self) {
        if platform::ended_children_cpu_ms().is_none() {
            let all = platform::processes();
            let ended = all
                .iter()
                .filter(|one| one.ended && one.parent == self.own.pid);
            self.ended_cpu_ms += ended.map(|one| one.cpu_ms).sum::<u64>();
        }
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            self.reaped.push(Ended { pid, status });
        }
    }

    /// Looks at what the tree uses now; returns its CPU time so far, milliseconds.
    pub(super) fn sample(&mut self) -> u64 {
        let living = self.living();
        let living_cpu_ms: u64 = living.iter().map(|one| one.cpu_ms).sum();
        self.memory_bytes = living.iter().map(|one| one.memory_bytes).sum();
        self.peak_memory_bytes = self.peak_memory_bytes.max(self.memory_bytes);
        let walked = self.ended_cpu_ms() + living_cpu_ms;
        let caged = self.cage.as_ref().and_then(Cage::cpu_ms).unwrap_or(0);
        self.sampled_cpu_ms = self.sampled_cpu_ms.max(walked).max(caged);
        self.sampled_cpu_ms
    }

    /// Memory of the whole tree at the last look, bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// CPU time of everyone who ended, milliseconds, as far as it was seen.
    pub(super) fn cpu_ms(&self) -> u64 {
        self.ended_cpu_ms().max(self.sampled_cpu_ms)
    }

    fn ended_cpu_ms(&self) -> u64 {
        platform::ended_children_cpu_ms().unwrap_or(self.ended_cpu_ms)
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

/// Moves everyone below `own` into the cage, until all who are there were born in it.
fn move_in(cage: &Cage, own: i32) {
    for _ in 0..CAGE_ROUNDS {
        let inside = cage.members();
        let all = platform::processes();
        let outside: Vec<i32> = platform::descendants(&all, &[own])
            .iter()
            .filter(|one| !one.ended && !inside.contains(&one.pid))
            .map(|one| one.pid)
            .collect();
        if outside.is_empty() {
            return;
        }
        for pid in outside {
            // Gone in the meantime is no harm.
            cage.take(pid).ok();
        }
    }
}

/// Signals a process group with a member that is our child and was not waited for.
fn signal_group(group: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(group) {
        // All its processes having ended is as good as signalled.
        rustix::process::kill_process_group(group, signal).ok();
    }
}
