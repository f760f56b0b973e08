//! Bodies: a request's is bounded in size and time, an answer's end is told.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep, timeout};

use super::Patience;
use super::stream::{Phase, Phases};

/// Largest body of a request, bytes; what a route takes may be less.
pub(super) const MOST_BYTES: u64 = 8 << 20;

/// Most bytes of a body that are read for nobody, so that the connection can go on.
const MOST_UNREAD: usize = 256 << 10;

/// How long they are waited for.
const UNREAD_WITHIN: Duration = Duration::from_secs(2);

/// How a body was cut off.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate(Arc<AtomicU8>);

/// A request's body as it comes.
#[derive(Debug)]
pub(super) struct Bounded {
    inner: Incoming,
    left: u64,
    patience: Patience,
    part: Option<Pin<Box<Sleep>>>,
    whole: Option<Pin<Box<Sleep>>>,
    fate: Fate,
    ended: bool,
}

/// A request's body in the hands of whoever answers, who may leave the rest of it.
#[derive(Clone, Debug)]
pub(super) struct Lent(Arc<Mutex<Bounded>>);

/// An answer's body; its end makes the connection wait for the next request.
#[derive(Debug)]
pub(super) struct Ending {
    inner: Body,
    phases: Phases,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cut {
    #[error("the body is larger than 8 MiB")]
    TooLarge,
    #[error("the body did not come in time")]
    TooSlow,
    #[error("the body is not framed as its headers say")]
    Broken,
    #[error("of all transfer codings, chunked alone is taken")]
    Coded,
}

impl Cut {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            // RFC 9112 section 6.1.
            Self::Coded => StatusCode::NOT_IMPLEMENTED,
        }
    }
}

impl Fate {
    /// How it was cut off, if it was.
    pub(super) fn get(&self) -> Option<Cut> {
        match self.0.load(Ordering::Acquire) {
            1 => Some(Cut::TooLarge),
            2 => Some(Cut::TooSlow),
            3 => Some(Cut::Broken),
            _ => None,
        }
    }

    fn set(&self, cut: Cut) -> BoxError {
        let number = match cut {
            Cut::TooLarge => 1,
            Cut::TooSlow => 2,
            Cut::Broken | Cut::Coded => 3,
        };
        self.0.store(number, Ordering::Release);
        cut.into()
    }
}

impl Bounded {
    pub(super) fn new(inner: Incoming, patience: Patience, fate: Fate) -> Self {
        Self {
            inner,
            left: MOST_BYTES,
            patience,
            part: None,
            whole: None,
            fate,
            ended: false,
        }
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let Patience {
            body_part, body, ..
        } = self.patience;
        let part = self.part.get_or_insert_with(|| Box::pin(sleep(body_part)));
        let late = part.as_mut().poll(cx).is_ready();
        let whole = self.whole.get_or_insert_with(|| Box::pin(sleep(body)));
        late || whole.as_mut().poll(cx).is_ready()
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.part = None;
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.left.checked_sub(size) {
                    Some(left) => {
                        self.left = left;
                        // Bytes that trickle without a pause do not put the end off.
                        if self.whole.is_some() && self.is_late(cx) {
                            return Poll::Ready(Some(Err(self.fate.set(Cut::TooSlow))));
                        }
                        Poll::Ready(Some(Ok(frame)))
                    }
                    None => Poll::Ready(Some(Err(self.fate.set(Cut::TooLarge)))),
                }
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "a body broke off");
                Poll::Ready(Some(Err(self.fate.set(Cut::Broken))))
            }
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending if self.is_late(cx) => {
                Poll::Ready(Some(Err(self.fate.set(Cut::TooSlow))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Lent {
    pub(super) fn new(body: Bounded) -> Self {
        Self(Arc::new(Mutex::new(body)))
    }

    /// Whether the connection can go on after the answer. What was left of the body is read away when
    /// it is little and comes soon: a connection that ends with something unread is closed without a
    /// word, often under the client's next request (RFC 9112 section 9.6).
    pub(super) async fn read_out(self, wanted: bool) -> bool {
        let Some(body) = Arc::into_inner(self.0) else {
            return true;
        };
        let mut body = body.into_inner().unwrap_or_else(PoisonError::into_inner);
        if body.is_end_stream() || !wanted {
            return body.is_end_stream();
        }
        let reading = async {
            let mut count = 0;
            while count <= MOST_UNREAD {
                match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    Some(Ok(frame)) => count += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) => return false,
                    None => return true,
                }
            }
            false
        };
        timeout(UNREAD_WITHIN, reading).await.unwrap_or(false)
    }

    fn body(&self) -> MutexGuard<'_, Bounded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut *self.body()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

impl Ending {
    pub(super) fn new(inner: Body, phases: Phases) -> Self {
        Self { inner, phases }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.phases.step(Phase::Busy, Phase::Idle);
    }
}

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
