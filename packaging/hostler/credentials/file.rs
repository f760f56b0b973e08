//! Writing `credentials.json`: under a lock, in room taken beforehand, whole or not at all.
//!
//! A refresh spends the only refresh token there is, so the disk's room for its successor is taken
//! before the control plane is asked. It knows nothing of what is written.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Saved, path};
use crate::failure::Failure;

/// How long another process may hold the lock: longer than one refresh can take.
const LOCK_WAIT: Duration = Duration::from_secs(20);

/// Time between looks at a lock that is taken.
const LOCK_LOOK: Duration = Duration::from_millis(20);

/// Room beyond the present size, bytes: tokens and names of one more control plane.
const MARGIN: u64 = 8 << 10;

/// The right to change the file, given up when dropped (or when the process ends, however it ends).
#[derive(Debug)]
pub(crate) struct Lock {
    home: PathBuf,
    _file: File,
}

/// Disk blocks for the next content of the file, taken in a file beside it.
#[derive(Debug)]
pub(crate) struct Room {
    file: File,
    partial: PathBuf,
    target: PathBuf,
}

impl Lock {
    /// Waits for the lock.
    pub(crate) fn take(home: &Path) -> Result<Self, Failure> {
        Self::take_within(home, LOCK_WAIT)
    }

    /// Waits for the lock so long at most.
    pub(super) fn take_within(home: &Path, limit: Duration) -> Result<Self, Failure> {
        let path = home.join("credentials.lock");
        let unusable = |error: &std::io::Error| {
            Failure::new(format!("{} cannot be used: {error}.", path.display()))
                .hint("Make the folder writable for this user, or set HOSTLER_HOME to another.")
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| unusable(&error))?;
        let mut left = limit;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    return Ok(Self {
                        home: home.to_owned(),
                        _file: file,
                    });
                }
                Err(TryLockError::WouldBlock) if !left.is_zero() => {
                    std::thread::sleep(LOCK_LOOK);
                    left = left.saturating_sub(LOCK_LOOK);
                }
                Err(TryLockError::WouldBlock) => return Err(busy(&path, limit)),
                Err(TryLockError::Error(error)) => return Err(unusable(&error)),
            }
        }
    }

    /// Takes room for the file's next content.
    pub(crate) fn room(&self) -> Result<Room, Failure> {
        let target = path(&self.home);
        let now = fs::metadata(&target).map_or(0, |found| found.len());
        Room::take(&target, now + MARGIN).map_err(|error| unwritten(&target, &error))
    }

    /// Replaces the file; removes it when nothing is left to keep.
    pub(crate) fn save(&self, saved: &Saved) -> Result<(), Failure> {
        if saved.text()?.is_none() {
            let target = path(&self.home);
            return match fs::remove_file(&target) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(unwritten(&target, &error))
                }
                _ => Ok(()),
            };
        }
        self.room()?.fill(saved)
    }
}

impl Room {
    fn take(target: &Path, bytes: u64) -> std::io::Result<Self> {
        let partial = target.with_extension("json.new");
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)?;
        let taken = std::io::copy(
            &mut std::io::Read::take(std::io::repeat(b' '), bytes),
            &mut file,
        )
        .and_then(|_| file.sync_all());
        let room = Self {
            file,
            partial,
            target: target.to_owned(),
        };
        taken.map(|()| room)
    }

    /// Writes the content into the room and puts it in the file's place. When that fails all the
    /// same, the file is written over where it stands: better than losing what only this process
    /// knows.
    pub(crate) fn fill(mut self, saved: &Saved) -> Result<(), Failure> {
        let Some(text) = saved.text()? else {
            return Ok(());
        };
        let placed = write_over(&mut self.file, &text)
            .and_then(|()| fs::rename(&self.partial, &self.target));
        let kept = placed.or_else(|_| {
            let mut file = OpenOptions::new().write(true).open(&self.target)?;
            write_over(&mut file, &text)
        });
        kept.map_err(|error| unwritten(&self.target, &error))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // After a rename there is nothing by that name.
        drop(fs::remove_file(&self.partial));
    }
}

fn write_over(file: &mut File, text: &str) -> std::io::Result<()> {
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be written: {error}.", path.display()))
        .hint("Make room on that disk, or make the folder writable for this user.")
}

fn busy(path: &Path, limit: Duration) -> Failure {
    Failure::new(format!(
        "Another hostler command has been at work on the credentials for {} s ({} is locked).",
        limit.as_secs(),
        path.display()
    ))
    .hint("Try again in a moment; if it lasts, end that command.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::tests::{entry, tokens};

    #[test]
    fn one_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let held = Lock::take(home.path()).unwrap();
        let limit = Duration::from_millis(60);
        assert!(Lock::take_within(home.path(), limit).is_err());
        drop(held);
        Lock::take_within(home.path(), limit).unwrap();
    }

    #[test]
    fn room_that_is_not_used_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let lock = Lock::take(home.path()).unwrap();
        let room = lock.room().unwrap();
        assert!(fs::metadata(&room.partial).unwrap().len() >= MARGIN);
        drop(room);
        let left: Vec<_> = fs::read_dir(home.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "only the lock: {left:?}");
    }

    #[test]
    fn when_the_new_file_cannot_be_put_in_place_the_old_one_is_written_over() {
        let home = tempfile::tempdir().unwrap();
        let lock = Lock::take(home.path()).unwrap();
        let mut saved = Saved {
            entries: vec![entry("https://a.example")],
        };
        lock.save(&saved).unwrap();
        saved.entries[0].oauth = Some(tokens("next", 3600));
        let room = lock.room().unwrap();
        fs::remove_file(&room.partial).unwrap();
        room.fill(&saved).unwrap();
        assert_eq!(Saved::load(home.path()).unwrap(), saved);
    }
}
