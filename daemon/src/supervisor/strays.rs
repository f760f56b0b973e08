//! Ends what a killed supervisor left behind: it can no longer do so itself.
//!
//! They are known by the number they were marked with and by their cage, which nobody sheds by
//! changing session, folder, environment or parent; then by the marker in their environment, by
//! their ancestry, and by a session that one of these leads. Only where no number could be given
//! (macOS, a run inside a run) is working in the run's own folder enough, and not for a process that
//! belongs to somebody's terminal. A process of root's that takes the number off itself and leaves
//! the cage is not found.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::ending::{Blow, Ending};
use super::record::{Grace, RunDir};
use super::{MARKER, brand_of};
use crate::clock;
use crate::platform::{self, Cage, ProcessFacts};

/// Time between two looks, milliseconds.
const LOOK: Duration = Duration::from_millis(20);

/// Give up after this time, milliseconds: what KILL does not end waits for a disk or a network.
const GIVE_UP_MS: u64 = 60_000;

/// Ends everything that a run's supervisor left behind; returns how many processes there were.
/// `own_folder`: the run's workspace, if nobody else works in it. Blocks until they are gone.
pub fn end(dir: &RunDir, own_folder: Option<&Path>, grace: Grace) -> usize {
    let signs = Signs::of(dir, own_folder);
    let mut ending = Ending::new(grace);
    let begun_ms = clock::now().awake_ms;
    let mut most = 0;
    loop {
        let strays = signs.find();
        most = most.max(strays.len());
        let now_ms = clock::now().awake_ms;
        if strays.is_empty() || now_ms.saturating_sub(begun_ms) > GIVE_UP_MS {
            break;
        }
        if let Some(blow) = ending.due(now_ms) {
            let signal = match blow {
                Blow::Int => Signal::INT,
                Blow::Term => Signal::TERM,
                Blow::Kill => Signal::KILL,
            };
            if let (Blow::Kill, Some(cage)) = (blow, &signs.cage) {
                // What the cage does not end, the signals do.
                cage.kill().ok();
            }
            for one in strays {
                platform::signal_process(one.pid, one.started, signal);
            }
        }
        std::thread::sleep(LOOK);
    }
    if let Some(cage) = signs.cage {
        cage.remove();
    }
    most
}

/// What a run's processes are known by.
struct Signs<'a> {
    marker: String,
    brand: Option<u64>,
    cage: Option<Cage>,
    /// Everyone who works in here.
    folder: Option<&'a Path>,
}

impl<'a> Signs<'a> {
    fn of(dir: &RunDir, own_folder: Option<&'a Path>) -> Self {
        let marker = format!("{MARKER}={}", dir.path().display());
        let brand = dir.branded().exists().then(|| brand_of(&marker));
        let noted = std::fs::read_to_string(dir.cage()).ok();
        Self {
            folder: own_folder.filter(|_| brand.is_none()),
            cage: noted.and_then(|path| Cage::at(Path::new(&path))),
            brand,
            marker,
        }
    }

    fn find(&self) -> Vec<ProcessFacts> {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let caged = self.cage.as_ref().map(Cage::members).unwrap_or_default();
        let mut all = platform::processes();
        all.retain(|one| one.pid != own && !one.ended);
        let known: Vec<ProcessFacts> = all
            .iter()
            .filter(|one| caged.contains(&one.pid) || self.carries(one) || self.works_there(one))
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

    fn carries(&self, one: &ProcessFacts) -> bool {
        self.brand
            .is_some_and(|brand| platform::is_branded(one.pid, brand))
            || platform::started_with(one.pid, &self.marker)
    }

    fn works_there(&self, one: &ProcessFacts) -> bool {
        self.folder.is_some_and(|folder| {
            platform::is_detached(one)
                && platform::working_folder(one.pid).is_some_and(|cwd| cwd.starts_with(folder))
        })
    }
}
