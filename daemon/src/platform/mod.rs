//! Everything that differs between operating systems, behind one small interface. Nothing else in
//! the product says `target_os`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::*;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub use macos::*;

mod cage;
pub use cage::Cage;

mod shell;
pub use shell::{Answer, Question, ask, common_folders, login_path, search_path};

use std::collections::BTreeSet;

/// One process as seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its number, which the system uses again later.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// When it started, in units of the platform: tells apart processes with the same number.
    pub started: u64,
    /// It has ended and waits for its parent to take note.
    pub ended: bool,
    /// CPU time of itself and of the children it has taken note of, milliseconds.
    pub cpu_ms: u64,
    /// Resident memory, bytes.
    pub memory_bytes: u64,
}

/// Whether the process with this number is still the one that started then, and has not ended.
pub fn is_alive(pid: i32, started: u64) -> bool {
    process(pid).is_some_and(|now| now.started == started && !now.ended)
}

/// The processes among `all` that descend from `roots` (without the roots themselves).
pub fn descendants(all: &[ProcessFacts], roots: &[i32]) -> Vec<ProcessFacts> {
    let mut family: BTreeSet<i32> = roots.iter().copied().collect();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for one in all {
            if family.contains(&one.parent) && family.insert(one.pid) {
                found.push(*one);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pid: i32, parent: i32) -> ProcessFacts {
        ProcessFacts {
            pid,
            parent,
            group: pid,
            session: pid,
            started: 0,
            ended: false,
            cpu_ms: 0,
            memory_bytes: 0,
        }
    }

    #[test]
    fn a_family_is_found_in_any_order() {
        let all = [
            facts(9, 7),
            facts(7, 5),
            facts(5, 1),
            facts(6, 1),
            facts(8, 7),
        ];
        let mut pids: Vec<_> = descendants(&all, &[5]).iter().map(|one| one.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [7, 8, 9]);
    }

    #[test]
    fn this_process_is_alive_and_a_later_one_of_its_number_would_not_be() {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let me = process(pid).unwrap();
        assert!(is_alive(pid, me.started));
        assert!(!is_alive(pid, me.started + 1));
        assert!(processes().iter().any(|one| one.pid == pid));
    }
}
