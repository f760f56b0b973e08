//! The supervisor: one small process per run, which owns everything about it and outlives the
//! daemon that started it.
//!
//! It leads its own session, adopts every orphan below it, runs the steps of a spec one after
//! another, writes their output (redacted, bounded) to the run folder, and leaves `exit.json` once
//! nothing it started is left. It holds `lock` for its life: lock free and no `exit.json` means it
//! was killed. It never waits for the daemon, the network, or a reader of its socket.
//!
//! Not here: which run starts when, and what becomes of its outcome.

pub mod awake;
pub mod client;
mod clients;
pub mod commands;
mod disk;
mod ending;
mod process;
pub mod record;
pub mod redact;
mod screen;
pub mod spool;
mod steps;
pub mod strays;
mod tree;
mod wakeup;
mod watch;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use record::{Ended, Exit, ExitDraft, RunDir, Spec};
use sha2::{Digest, Sha256};

/// The run could be supervised to its end.
const EXIT_DONE: i32 = 0;
/// The run folder cannot be used; standard error says why.
const EXIT_UNUSABLE: i32 = 1;
/// Another supervisor holds the run.
const EXIT_HELD: i32 = 3;

/// Name of the environment variable every step carries; its value is the run folder.
pub const MARKER: &str = "HOSTLER_SUPERVISED";

/// What a run's cage is called: as good as unique, and short.
fn name_of(marker: &str) -> String {
    hex::encode(&Sha256::digest(marker)[..8])
}

/// The number a run's processes are marked with: between 2^61 and 2^62, where no limit anybody sets
/// lies.
fn brand_of(marker: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(marker).into();
    let number = digest[8..16]
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    (1 << 61) | (number >> 3)
}

/// Supervises the run of a run folder to its end: the body of `hostler supervise <run-dir>`.
/// Returns the process' exit code.
///
/// Standard input may be the run's `lock`, already locked; standard output may be a socket whose
/// other end is the daemon. So a daemon that dies right after the start leaves no gap.
pub fn supervise(run_dir: &Path) -> i32 {
    match prepare(run_dir) {
        Ok(Some(prepared)) => prepared.run(),
        Ok(None) => EXIT_HELD,
        Err(error) => {
            complain(run_dir, &error);
            EXIT_UNUSABLE
        }
    }
}

struct Prepared {
    dir: RunDir,
    spec: Spec,
    draft: ExitDraft,
    marker: String,
    first: Option<UnixStream>,
    /// Held until the process ends.
    _lock: File,
}

impl Prepared {
    fn run(self) -> i32 {
        let dir = self.dir.clone();
        let mut draft = self.draft;
        match process::Supervision::new(self.dir, self.spec, self.marker, self.first) {
            Ok(supervision) => supervision.run(draft),
            Err(error) => {
                let exit = unstarted(&error);
                if draft.publish(&exit).is_err() {
                    complain(dir.path(), &error);
                }
                EXIT_UNUSABLE
            }
        }
    }
}

fn prepare(run_dir: &Path) -> io::Result<Option<Prepared>> {
    let marker = format!("{MARKER}={}", run_dir.display());
    // Everything is named relative to the folder: a socket's path must be short.
    std::env::set_current_dir(run_dir)?;
    let dir = RunDir::new(Path::new("."));
    let Some(lock) = take_lock(&dir)? else {
        return Ok(None);
    };
    // No terminal is anybody's in here: `/dev/tty` cannot be opened. Refused when this process leads
    // a session already, which is as good, or was started by hand as a job of a shell.
    rustix::process::setsid().ok();
    crate::platform::adopt_orphans()?;
    if crate::platform::brand(brand_of(&marker)) {
        // Without this note the daemon looks for leftovers in other ways as well.
        std::fs::write(dir.branded(), "").ok();
    }
    Ok(Some(Prepared {
        spec: Spec::load(&dir)?,
        draft: ExitDraft::reserve(&dir)?,
        dir,
        marker,
        first: inherited_socket(),
        _lock: lock,
    }))
}

/// The lock as handed over on standard input, or taken now; none when another process holds it.
fn take_lock(dir: &RunDir) -> io::Result<Option<File>> {
    let inherited = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let same =
        |a: &std::fs::Metadata, b: &std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    if let (Ok(given), Ok(named)) = (inherited.metadata(), std::fs::metadata(dir.lock()))
        && same(&given, &named)
    {
        return Ok(Some(inherited));
    }
    let own = record::private_file(&dir.lock())?;
    match own.try_lock() {
        Ok(()) => Ok(Some(own)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

fn inherited_socket() -> Option<UnixStream> {
    if io::stdout().is_terminal() {
        return None;
    }
    let fd: OwnedFd = io::stdout().as_fd().try_clone_to_owned().ok()?;
    let stream = UnixStream::from(fd);
    // A pipe or a file has no peer.
    stream.peer_addr().ok()?;
    Some(stream)
}

fn unstarted(error: &io::Error) -> Exit {
    Exit {
        ended: Ended::SpoolFailed {
            error: error.to_string(),
        },
        steps: Vec::new(),
        finished_at: crate::clock::wall(),
        log_bytes: 0,
        log_crc32: 0,
        peak_memory_bytes: 0,
        cpu_ms: 0,
        leftovers: 0,
    }
}

/// The last resort: the daemon keeps the supervisor's standard error beside the run.
fn complain(run_dir: &Path, error: &io::Error) {
    use std::io::Write;
    let text = format!(
        "hostler cannot supervise the run in {}: {error}\n",
        run_dir.display()
    );
    io::stderr().write_all(text.as_bytes()).ok();
}
