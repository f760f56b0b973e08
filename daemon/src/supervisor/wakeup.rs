//! What the supervisor's loop waits for: descriptors and signals, in one poll.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec};
use signal_hook::consts::signal::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};

use super::clients::Clients;
use super::steps::{Feed, Source};

/// Signals that end the run. Being handled here, they are also reset for the steps, whatever the
/// daemon was started with (a shell's background job has INT ignored).
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Signals as bytes of a socket.
#[derive(Debug)]
pub(super) struct Signals {
    pipe: UnixStream,
    received: Arc<AtomicUsize>,
}

impl Signals {
    /// Begins to listen to signals.
    pub(super) fn register() -> io::Result<Self> {
        let (pipe, writer) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let received = Arc::new(AtomicUsize::new(0));
        for signal in ENDING {
            let number = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, Arc::clone(&received), number)?;
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        signal_hook::low_level::pipe::register(SIGCHLD, writer)?;
        // A limit on the size of files makes a write fail then, instead of ending the supervisor.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        Ok(Self { pipe, received })
    }

    /// Empties the pipe; returns a signal that asks for the end, if one came.
    pub(super) fn drain(&mut self) -> Option<usize> {
        let mut bytes = [0; 64];
        while self.pipe.read(&mut bytes).is_ok_and(|count| count > 0) {}
        Some(self.received.swap(0, Ordering::SeqCst)).filter(|signal| *signal != 0)
    }
}

/// What there is to do.
#[derive(Debug, Default)]
pub(super) struct Woken {
    /// A signal came.
    pub(super) signals: bool,
    /// Standard output, standard error.
    pub(super) sources: [bool; 2],
    /// The prompt can be given on.
    pub(super) feed: bool,
    /// A client came, went, asked or can be written to.
    pub(super) clients: bool,
}

/// Waits for anything to do, at most `timeout_ms`.
pub(super) fn wait(
    timeout_ms: u64,
    signals: &Signals,
    sources: &[Source; 2],
    feed: Option<&Feed>,
    clients: &Clients,
) -> Woken {
    let (listener, attached) = clients.waiting();
    let mut fds = vec![PollFd::from_borrowed_fd(
        signals.pipe.as_fd(),
        PollFlags::IN,
    )];
    let live: Vec<usize> = (0..sources.len())
        .filter(|at| !sources[*at].ended)
        .collect();
    fds.extend(
        live.iter()
            .map(|at| PollFd::from_borrowed_fd(sources[*at].as_fd(), PollFlags::IN)),
    );
    fds.extend(feed.map(|feed| PollFd::from_borrowed_fd(feed.as_fd(), PollFlags::OUT)));
    fds.extend(listener.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    fds.extend(attached.into_iter().map(|(fd, writes)| {
        let flags = if writes {
            PollFlags::IN | PollFlags::OUT
        } else {
            PollFlags::IN
        };
        PollFd::from_borrowed_fd(fd, flags)
    }));
    // An interrupted wait is a wake-up without news.
    rustix::event::poll(&mut fds, Some(&duration(timeout_ms))).ok();
    let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
    let mut woken = Woken {
        signals: ready.next().unwrap_or(false),
        ..Woken::default()
    };
    for at in live {
        woken.sources[at] = ready.next().unwrap_or(false);
    }
    woken.feed = feed.is_some() && ready.next().unwrap_or(false);
    woken.clients = ready.any(|is_ready| is_ready);
    woken
}

/// Waits for somebody to attach, at most `timeout_ms`.
pub(super) fn wait_for_clients(timeout_ms: u64, clients: &Clients) {
    let (listener, _) = clients.waiting();
    let mut fds: Vec<PollFd<'_>> = listener
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .into_iter()
        .collect();
    rustix::event::poll(&mut fds, Some(&duration(timeout_ms))).ok();
}

fn duration(millis: u64) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(millis / 1000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(millis % 1000 * 1_000_000).unwrap_or(0),
    }
}
