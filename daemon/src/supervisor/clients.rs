//! Whoever is attached to a supervisor: pushes them its status, hears their requests.
//!
//! Nothing here waits for anybody: a client that does not read gets the newest status once it does.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use super::record::{Request, RunDir, Status};

/// A request longer than this is not one of ours, bytes.
const LONGEST_REQUEST: usize = 64 * 1024;

/// How long the last words to a client may take.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Everyone attached, and the socket to attach to.
#[derive(Debug)]
pub(super) struct Clients {
    listener: Option<UnixListener>,
    attached: Vec<Client>,
    /// Whether anybody was ever attached.
    pub(super) met: bool,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    /// Bytes of a status that are still to be written.
    out: Vec<u8>,
    /// Whether a newer status than the one in `out` is wanted.
    behind: bool,
    heard: Vec<u8>,
    gone: bool,
}

impl Clients {
    /// Opens the socket of a run folder, beside the client it was started by. A socket that cannot
    /// be opened only means that no other daemon can attach later.
    pub(super) fn new(dir: &RunDir, first: Option<UnixStream>) -> Self {
        let mut clients = Self {
            listener: listen(dir).ok(),
            attached: Vec::new(),
            met: false,
        };
        if let Some(stream) = first {
            clients.add(stream);
        }
        clients
    }

    /// Whether nobody is attached.
    pub(super) fn is_empty(&self) -> bool {
        self.attached.is_empty()
    }

    /// The socket, and each client with whether it waits to be written to.
    pub(super) fn waiting(&self) -> (Option<BorrowedFd<'_>>, Vec<(BorrowedFd<'_>, bool)>) {
        let listener = self.listener.as_ref().map(AsFd::as_fd);
        let clients = self
            .attached
            .iter()
            .map(|client| (client.stream.as_fd(), !client.out.is_empty()));
        (listener, clients.collect())
    }

    /// Accepts whoever knocks.
    pub(super) fn accept(&mut self) {
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
            self.add(stream);
        }
    }

    /// Reads what the clients ask for.
    pub(super) fn hear(&mut self) -> Vec<Request> {
        let requests = self.attached.iter_mut().flat_map(Client::hear).collect();
        self.attached.retain(|client| !client.gone);
        requests
    }

    /// Everyone is to get the newest status.
    pub(super) fn news(&mut self) {
        for client in &mut self.attached {
            client.behind = true;
        }
    }

    /// Writes what can be written without waiting.
    pub(super) fn flush(&mut self, status: &Status) {
        for client in &mut self.attached {
            client.flush(status);
        }
        self.attached.retain(|client| !client.gone);
    }

    /// Opens the socket again if somebody took its file away: nobody could attach otherwise.
    pub(super) fn reopen_if_gone(&mut self, dir: &RunDir) {
        if !dir.socket().exists() {
            // Where it cannot be opened now it is tried again.
            self.listener = listen(dir).ok();
        }
    }

    /// Tells everyone attached the last status, waiting for each a little, and lets them go. True
    /// when somebody has it.
    pub(super) fn tell_last(&mut self, status: &Status) -> bool {
        self.accept();
        let mut told = false;
        for mut client in std::mem::take(&mut self.attached) {
            told |= client.part(status).is_ok();
        }
        told
    }

    fn add(&mut self, stream: UnixStream) {
        if stream.set_nonblocking(true).is_ok() {
            self.met = true;
            self.attached.push(Client {
                stream,
                out: Vec::new(),
                behind: true,
                heard: Vec::new(),
                gone: false,
            });
        }
    }
}

impl Client {
    fn hear(&mut self) -> Vec<Request> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.gone = true,
                Ok(count) => {
                    self.heard.extend_from_slice(&chunk[..count]);
                    self.gone |= self.heard.len() > LONGEST_REQUEST;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.gone = true,
            }
            if self.gone {
                break;
            }
        }
        let complete = self.heard.iter().rposition(|byte| *byte == b'\n');
        let lines: Vec<u8> = self
            .heard
            .drain(..complete.map_or(0, |at| at + 1))
            .collect();
        lines
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }

    fn flush(&mut self, status: &Status) {
        loop {
            if self.out.is_empty() {
                if !self.behind {
                    return;
                }
                self.behind = false;
                self.out = line(status);
            }
            match self.stream.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }

    fn part(&mut self, status: &Status) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_write_timeout(Some(LAST_WORDS))?;
        self.stream.write_all(&self.out)?;
        self.stream.write_all(&line(status))
    }
}

fn listen(dir: &RunDir) -> io::Result<UnixListener> {
    std::fs::remove_file(dir.socket()).ok();
    let listener = UnixListener::bind(dir.socket())?;
    std::fs::set_permissions(dir.socket(), std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn line(status: &Status) -> Vec<u8> {
    let mut text = serde_json::to_vec(status).unwrap_or_default();
    text.push(b'\n');
    text
}
