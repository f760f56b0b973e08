//! The socket beside its session: hands frames over, flushes without blocking reads, notices a send
//! that stalls.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use hostler_proto::link::Outgoing;
use hostler_proto::link::control::ControlSession;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{Ask, Socket, now};

/// A send that does not get through in this time ends the session, milliseconds.
const STALL_MS: u64 = 10_000;
/// Time for the last frames of a session.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes handed to the socket before it is flushed.
const BATCH: usize = 128 << 10;

/// What woke the link.
pub(super) enum Woken {
    Frame(Option<Result<Message, WsError>>),
    Flushed(Result<(), WsError>),
    Ask(Ask),
    Sync,
    Time,
    Close,
    Shutdown,
}

pub(super) struct Wire {
    pub(super) session: ControlSession,
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    /// Since when what was handed to the socket is being flushed.
    flushing: Option<u64>,
    /// The session has ended.
    pub(super) over: bool,
}

impl Wire {
    pub(super) fn new(session: ControlSession, socket: Socket) -> Self {
        let (sink, stream) = socket.split();
        Self {
            session,
            sink,
            stream,
            flushing: None,
            over: false,
        }
    }

    /// A frame that arrived, or a flush that is through.
    pub(super) async fn next(&mut self) -> Woken {
        tokio::select! {
            biased;
            flushed = self.sink.flush(), if self.flushing.is_some() => Woken::Flushed(flushed),
            frame = self.stream.next() => Woken::Frame(frame),
        }
    }

    /// A frame that has arrived already, without waiting for one.
    pub(super) fn frame_at_hand(&mut self) -> Option<Woken> {
        self.stream.next().now_or_never().map(Woken::Frame)
    }

    pub(super) fn frame(&mut self, frame: Option<Result<Message, WsError>>) {
        match frame {
            Some(Ok(Message::Text(text))) => self.session.handle_text(&text, now()),
            Some(Ok(Message::Binary(bytes))) => self.session.handle_binary(&bytes, now()),
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = frame.map_or((1005, String::new()), |f| {
                    (f.code.into(), f.reason.to_string())
                });
                self.session.handle_close(code, &reason);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                self.session.handle_alive(now());
            }
            Some(Err(error)) => self.broken(&error),
            None => self.session.handle_close(1006, "the connection ended"),
        }
    }

    pub(super) fn flushed(&mut self, result: Result<(), WsError>) {
        match result {
            Ok(()) => self.flushing = None,
            Err(error) => self.broken(&error),
        }
    }

    pub(super) fn time(&mut self) {
        let stalled = self
            .flushing
            .is_some_and(|since| now().ms.saturating_sub(since) >= STALL_MS);
        if stalled {
            self.session.handle_close(1006, "a send stalled for 10 s");
        }
        self.session.handle_timeout(now());
    }

    /// Hands frames to the socket as long as the last batch is through.
    pub(super) async fn fill(&mut self) {
        let mut fed = 0;
        while self.flushing.is_none() && fed < BATCH && !self.over {
            let Some(out) = self.session.poll_transmit() else {
                break;
            };
            let (size, message) = message(out);
            fed += size;
            if let Err(error) = self.sink.feed(message).await {
                self.broken(&error);
                break;
            }
        }
        if fed > 0 {
            self.flushing = Some(now().ms);
        }
    }

    /// Until when nothing needs to be done.
    pub(super) fn until(&self) -> Duration {
        let stall = self.flushing.map(|since| since + STALL_MS);
        let due = self.session.poll_timeout().map(|due| due.at_ms);
        let at = stall.into_iter().chain(due).min().unwrap_or(0);
        Duration::from_millis(at.saturating_sub(now().ms))
    }

    /// The last frames (a refusal, a close with its code), as far as the socket takes them.
    pub(super) async fn farewell(&mut self) {
        let rest = async {
            while let Some(out) = self.session.poll_transmit() {
                self.sink.feed(message(out).1).await?;
            }
            self.sink.flush().await?;
            // The peer answers the close before the socket goes, so that it reads its code.
            while let Some(Ok(_)) = self.stream.next().await {}
            Ok::<(), WsError>(())
        };
        if let Ok(Err(error)) = timeout(FAREWELL, rest).await {
            tracing::debug!("the socket was gone before the farewell: {error}");
        }
    }

    fn broken(&mut self, error: &WsError) {
        // A message over tungstenite's limit ends here; the session names the code for the rest.
        if let WsError::Capacity(_) = error {
            self.session
                .close(hostler_proto::link::close::TOO_LARGE, &error.to_string());
        } else {
            self.session.handle_close(1006, &error.to_string());
        }
    }
}

fn message(out: Outgoing) -> (usize, Message) {
    match out {
        Outgoing::Text(text) => (text.len(), Message::text(text)),
        Outgoing::Binary(bytes) => (bytes.len(), Message::binary(bytes)),
        Outgoing::Close { code, reason } => (
            reason.len() + 4,
            Message::Close(Some(CloseFrame {
                code: code.into(),
                reason: reason.into(),
            })),
        ),
    }
}
