//! Who may change a repository, and how many checkouts may write at once.
//!
//! Invariant: [`Locks::exclusive`] lets one holder per repository through, in this process by a
//! mutex and across processes by a flock on `<common dir>/hostler.lock`, which vanishes with its
//! holder. Locks are held for milliseconds, never across a network operation or a checkout.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Error;

const ATTEMPTS: u32 = 3000;
const PAUSE: Duration = Duration::from_millis(10);

/// All repositories' locks of one daemon.
#[derive(Debug, Default)]
pub struct Locks {
    changes: Table,
}

type Table = Mutex<BTreeMap<PathBuf, Arc<Mutex<()>>>>;

impl Locks {
    /// Runs `work` as the only one who changes the repository whose common directory this is.
    pub fn exclusive<T>(
        &self,
        common: &Path,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let entry = entry(&self.changes, common);
        let _inside = held(&entry);
        let _across = flock(common)?;
        work()
    }
}

fn entry(table: &Table, common: &Path) -> Arc<Mutex<()>> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(table.entry(common.to_owned()).or_default())
}

fn held(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn flock(common: &Path) -> Result<File, Error> {
    let path = common.join("hostler.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("could not open the lock file", &path))?;
    for _ in 0..ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(TryLockError::Error(source)) => {
                return Err(Error::io("could not lock", &path)(source));
            }
        }
    }
    Err(Error::Busy {
        path: common.to_owned(),
    })
}

/// Lets so many checkouts write files at once.
#[derive(Debug)]
pub struct Gate {
    limit: usize,
    inside: Mutex<usize>,
    left: Condvar,
}

/// One checkout's place inside the [`Gate`].
#[derive(Debug)]
pub struct Pass<'a> {
    gate: &'a Gate,
    /// How many threads this checkout should use.
    pub threads: usize,
}

impl Gate {
    /// A gate for `limit` checkouts, at least one.
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            inside: Mutex::new(0),
            left: Condvar::new(),
        }
    }

    /// A gate as wide as the machine has cores.
    pub fn per_core() -> Self {
        Self::new(thread::available_parallelism().map_or(2, usize::from))
    }

    /// Waits for a place. The threads are shared: the fuller the gate, the fewer each one gets.
    pub fn enter(&self) -> Pass<'_> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let mut inside = self
            .left
            .wait_while(inside, |inside| *inside >= self.limit)
            .unwrap_or_else(PoisonError::into_inner);
        *inside += 1;
        Pass {
            gate: self,
            threads: (self.limit / *inside).max(1),
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self
            .gate
            .inside
            .lock()
            .unwrap_or_else(PoisonError::into_inner) -= 1;
        self.gate.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_change_at_a_time_even_after_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::default();
        let inside = AtomicUsize::new(0);
        let crash = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _never: Result<(), Error> = locks.exclusive(dir.path(), || panic!("crash"));
        }));
        assert!(crash.is_err());
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    locks
                        .exclusive(dir.path(), || {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            Ok(())
                        })
                        .unwrap();
                });
            }
        });
    }

    #[test]
    fn the_gate_counts() {
        let gate = Gate::new(4);
        let first = gate.enter();
        assert_eq!(first.threads, 4);
        let second = gate.enter();
        assert_eq!(second.threads, 2);
        drop((first, second));
        assert_eq!(gate.enter().threads, 4);
    }
}
