//! Ends what a killed supervisor left behind: it can no longer do so itself.
//!
//! They are known by the marker in their environment, by their session and ancestry, and, for a
//! folder that belongs to the run alone, by working in it. A process that shed all of these is
//! not found.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::MARKER;
use super::ending::{Blow, Ending};
use super::record::{Grace, RunDir};
use crate::clock;
use crate::platform::{self, ProcessFacts};

/// Time between two looks, milliseconds.
const LOOK: Duration = Duration::from_millis(20);

/// Give up after this time, milliseconds: what KILL does not end waits for a disk or a network.
const GIVE_UP_MS: u64 = 60_000;

/// Ends everything that a run's supervisor left behind; returns how many processes there were.
/// `own_folder`: the run's workspace, if nobody else works in it. Blocks until they are gone.
pub fn end(dir: &RunDir, own_folder: Option<&Path>, grace: Grace) -> usize {
    let marker = format!("{MARKER}={}", dir.path().display());
    let mut ending = Ending::new(grace);
    let begun_ms = clock::now().awake_ms;
    let mut most = 0;
    loop {
        let strays = find(&marker, own_folder);
        most = most.max(strays.len());
        let now_ms = clock::now().awake_ms;
        if strays.is_empty() || now_ms.saturating_sub(begun_ms) > GIVE_UP_MS {
            return most;
        }
        if let Some(blow) = ending.due(now_ms) {
            let signal = match blow {
                Blow::Int => Signal::INT,
                Blow::Term => Signal::TERM,
                Blow::Kill => Signal::KILL,
            };
            for one in strays {
                platform::signal_process(one.pid, one.started, signal);
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn find(marker: &str, own_folder: Option<&Path>) -> Vec<ProcessFacts> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut all = platform::processes();
    all.retain(|one| one.pid != own && !one.ended);
    let works_there = |one: &ProcessFacts| {
        own_folder.is_some_and(|folder| {
            platform::working_folder(one.pid).is_some_and(|cwd| cwd.starts_with(folder))
        })
    };
    let known: Vec<ProcessFacts> = all
        .iter()
        .filter(|one| platform::started_with(one.pid, marker) || works_there(one))
        .copied()
        .collect();
    let sessions: Vec<i32> = known.iter().map(|one| one.session).collect();
    let roots: Vec<i32> = known.iter().map(|one| one.pid).collect();
    let mut found = platform::descendants(&all, &roots);
    found.extend(known);
    // A session with a marked leader was made by the run, so everyone in it is the run's.
    let led: Vec<i32> = sessions
        .into_iter()
        .filter(|session| roots.contains(session))
        .collect();
    for one in all {
        if led.contains(&one.session) && !found.iter().any(|other| other.pid == one.pid) {
            found.push(one);
        }
    }
    found
}
