//! The daemon's side of a supervisor: start one, find out whether one lives, attach, ask.
//!
//! A started supervisor holds its lock from before it exists: the daemon locks the file and hands
//! it over, so there is no moment at which a run under way looks dead.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::record::{Request, RunDir, Spec, private_file};

/// Longest path a socket's address holds on every platform, bytes.
const LONGEST_ADDRESS: usize = 100;

/// A supervisor that was just started.
#[derive(Debug)]
pub struct Launched {
    /// Its process' number, for people; nothing is ever sent to it.
    pub pid: u32,
    /// Statuses come out, requests go in.
    pub socket: UnixStream,
}

/// Starts `<program> supervise <dir>` for a spec. The folder is made if need be.
pub fn launch(program: &Path, dir: &RunDir, spec: &Spec) -> io::Result<Launched> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir.path())?;
    spec.save(dir)?;
    let lock = private_file(&dir.lock())?;
    lock.try_lock().map_err(io::Error::from)?;
    let (socket, theirs) = UnixStream::pair()?;
    let child = Command::new(program)
        .arg("supervise")
        .arg(dir.path())
        .env_clear()
        .stdin(Stdio::from(lock))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::from(private_file(&dir.own_errors())?))
        .spawn()?;
    let pid = child.id();
    take_note_of_end(child);
    Ok(Launched { pid, socket })
}

/// Waits for the process on a thread of its own, however long it takes and whoever forgets it: an
/// ended child nobody waits for stays in the process table.
fn take_note_of_end(mut child: Child) {
    let waiting = std::thread::Builder::new().name("supervisor-wait".to_owned());
    // Without a thread it stays in the table until the daemon ends, which harms nobody.
    drop(waiting.spawn(move || child.wait()));
}

/// Whether a supervisor lives for this run folder.
pub fn is_supervised(dir: &RunDir) -> bool {
    let Ok(lock) = File::open(dir.lock()) else {
        return false;
    };
    matches!(lock.try_lock(), Err(std::fs::TryLockError::WouldBlock))
}

/// Attaches to the supervisor of a run folder.
pub fn attach(dir: &RunDir) -> io::Result<UnixStream> {
    let address = dir.socket();
    if address.as_os_str().len() <= LONGEST_ADDRESS {
        return UnixStream::connect(address);
    }
    // Too long for an address: by way of a short link to the folder.
    let link = short_link()?;
    std::os::unix::fs::symlink(std::path::absolute(dir.path())?, &link)?;
    let stream = UnixStream::connect(RunDir::new(&link).socket());
    std::fs::remove_file(&link)?;
    stream
}

/// One request as the line that is sent.
pub fn line(request: &Request) -> Vec<u8> {
    let mut text = serde_json::to_vec(request).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Asks a supervisor to end its run.
pub fn cancel(socket: &mut impl Write, by: &str) -> io::Result<()> {
    socket.write_all(&line(&Request::Cancel { by: by.to_owned() }))
}

fn short_link() -> io::Result<PathBuf> {
    let name = format!("hostler-{}", hex::encode(crate::clock::random::<8>()));
    let link = std::env::temp_dir().join(name);
    if link.as_os_str().len() + "/control.sock".len() > LONGEST_ADDRESS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidFilename,
            format!(
                "the temporary folder's path is too long: {}",
                link.display()
            ),
        ));
    }
    Ok(link)
}
