//! A connection that gives up on the other side when it waits too long.
//!
//! The phase says what is waited for: a request's head as a whole (bytes that trickle do not help),
//! the next request, or nothing at all while an answer is made (it may take minutes) and once the
//! connection belongs to a websocket. A reader that takes nothing is given up in every phase but the
//! last. At most one timer for each direction, and only while it is waited.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

use super::Patience;

/// What the reading side waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The head of a request that has begun.
    Head = 0,
    /// The next request.
    Idle = 1,
    /// Nothing: an answer is being made.
    Busy = 2,
    /// Nothing: the connection is a websocket's.
    Upgraded = 3,
}

/// The phase, shared by the connection and whoever answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Phases(Arc<AtomicU8>);

/// A stream under a watch.
#[derive(Debug)]
pub(super) struct Watched<S> {
    inner: S,
    patience: Patience,
    phases: Phases,
    reading: Option<(Phase, Pin<Box<Sleep>>)>,
    writing: Option<Pin<Box<Sleep>>>,
    /// Its place among all connections, held as long as the socket.
    _place: OwnedSemaphorePermit,
}

impl Phases {
    pub(super) fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }

    pub(super) fn get(&self) -> Phase {
        let known = [Phase::Head, Phase::Idle, Phase::Busy, Phase::Upgraded];
        let now = self.0.load(Ordering::Acquire);
        known
            .into_iter()
            .find(|phase| *phase as u8 == now)
            .unwrap_or(Phase::Head)
    }

    /// Leaves `from` for `to`, unless it is in another phase.
    pub(super) fn step(&self, from: Phase, to: Phase) {
        let (from, to) = (from as u8, to as u8);
        let (set, read) = (Ordering::AcqRel, Ordering::Acquire);
        self.0.compare_exchange(from, to, set, read).ok();
    }
}

impl<S> Watched<S> {
    pub(super) fn new(
        inner: S,
        patience: Patience,
        phases: Phases,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            inner,
            patience,
            phases,
            reading: None,
            writing: None,
            _place: place,
        }
    }

    /// Nothing came yet: is it too long?
    fn wait_to_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.phases.get();
        let limit = match phase {
            Phase::Head => self.patience.head,
            Phase::Idle => self.patience.idle,
            Phase::Busy | Phase::Upgraded => {
                self.reading = None;
                return Poll::Pending;
            }
        };
        if self.reading.as_ref().is_none_or(|(of, _)| *of != phase) {
            self.reading = Some((phase, Box::pin(sleep(limit))));
        }
        match &mut self.reading {
            Some((_, timer)) => expired(timer, cx, limit),
            None => Poll::Pending,
        }
    }

    /// Nothing was taken: is it too long?
    fn wait_to_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() || self.phases.get() == Phase::Upgraded {
            self.writing = None;
            return polled;
        }
        let limit = self.patience.write;
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep(limit)));
        match ready!(expired(timer, cx, limit)) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

fn expired(
    timer: &mut Pin<Box<Sleep>>,
    cx: &mut Context<'_>,
    limit: Duration,
) -> Poll<io::Result<()>> {
    ready!(timer.as_mut().poll(cx));
    let words = format!("the other side was waited for {} ms", limit.as_millis());
    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, words)))
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if polled.is_pending() {
            return self.wait_to_read(cx);
        }
        if buffer.filled().len() > before {
            self.phases.step(Phase::Idle, Phase::Head);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wait_to_write(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        self.wait_to_write(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.wait_to_write(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.wait_to_write(cx, polled)
    }
}
