//! A run's log as it grows: server-sent events for the run page.
//!
//! Each event carries the byte offset it leads to, so a browser that lost the connection goes on where
//! it was (`Last-Event-ID`). What is not read in time ends the stream, so a slow reader holds one event
//! and no more. The stream ends with the session, with the right to see the run, and with the log.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use hostler_proto::error::Failure;
use hostler_proto::ids::RunId;
use hostler_proto::transcript::Renderer;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::{SignedIn, layout, text};
use super::streams::Slot;
use super::{log, states};
use crate::auth::session::{self, Visitor};
use crate::console::{Path, Query};
use crate::edge::{self, Peer};
use crate::runs::LogBytes;
use crate::{App, clock, runs};

/// Bytes of log in one event.
const PIECE: u32 = 64 << 10;

/// The session and the right to see the run are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A reader who has not taken an event after so long has gone, or is too slow.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// So far back is looked for the beginning of the line that a reader is in, bytes.
const LONGEST_LINE: u32 = 1 << 20;

/// Where to go on, and how to show it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    raw: Option<u8>,
    from: u64,
}

/// A stream while it lasts.
struct Feed {
    app: App,
    visitor: Visitor,
    headers: HeaderMap,
    peer: Peer,
    run: RunId,
    at: u64,
    view: View,
    state: &'static str,
    looked: Instant,
    _slot: Slot,
}

/// How bytes become text.
enum View {
    Readable(Renderer),
    Raw,
}

/// Why a stream ends.
enum Over {
    /// Nobody reads it any more.
    Unread,
    /// The log is whole.
    Done,
    /// The reader may not see it any more.
    Gone,
}

pub(super) async fn live(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    if edge::came_from_elsewhere(&app, &headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let last = headers.get("last-event-id");
    let last = last.and_then(|id| id.to_str().ok()?.parse().ok());
    let run = match runs::get(&app, &visitor.caller, &id).await {
        Ok(run) => run.view.run,
        Err(failure) => return refused(&failure),
    };
    let Some(slot) = app.streams.take(visitor.user_id) else {
        return too_many();
    };
    let mut feed = Feed {
        app: app.clone(),
        visitor,
        headers,
        peer: peer.map(|Extension(peer)| peer).unwrap_or_default(),
        run: run.id,
        at: last.unwrap_or(wanted.from),
        view: match wanted.raw {
            Some(1) => View::Raw,
            Some(_) | None => View::Readable(Renderer::new()),
        },
        state: "",
        looked: clock::monotonic(),
        _slot: slot,
    };
    let (sender, receiver) = mpsc::channel(1);
    app.in_background(async move {
        if let Err(failure) = feed.begin().await {
            tracing::debug!(failure = %failure.message, "a live log ended");
            return;
        }
        feed.run(&sender).await;
    });
    let events = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let event: Event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(event), receiver))
    });
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response();
    // Proxies such as nginx pass events on as they come.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl Feed {
    /// Reads the line that the reader is in the middle of, so that the rest of it is understood.
    async fn begin(&mut self) -> Result<(), Failure> {
        let View::Readable(renderer) = &mut self.view else {
            return Ok(());
        };
        let from = self.at.saturating_sub(LONGEST_LINE.into());
        let (caller, id) = (&self.visitor.caller, self.run.to_string());
        let most = u32::try_from(self.at - from).unwrap_or(LONGEST_LINE);
        let before = runs::bytes(&self.app, caller, &id, from, most).await?.bytes;
        // A place beyond the log is no place: its end is.
        self.at = from + before.len() as u64;
        let line = before.iter().rposition(|byte| *byte == b'\n');
        let line = line.map_or(0, |newline| newline + 1);
        let seen = renderer.push(&before[line..]);
        drop(seen);
        Ok(())
    }

    async fn run(&mut self, sender: &mpsc::Sender<Event>) {
        let over = loop {
            match self.step(sender).await {
                Ok(()) => {}
                Err(over) => break over,
            }
        };
        let event = match over {
            Over::Unread => return,
            Over::Done => Event::default().event("end").data("{}"),
            Over::Gone => Event::default().event("gone").data("{}"),
        };
        let told = self.send(sender, event).await;
        drop(told);
    }

    /// Tells what is new, or waits for it.
    async fn step(&mut self, sender: &mpsc::Sender<Event>) -> Result<(), Over> {
        let mut news = self.app.hosts.listen(self.run, LOOK_EVERY);
        if self.looked.elapsed() >= LOOK_EVERY {
            self.look_again().await?;
        }
        let (caller, id) = (&self.visitor.caller, self.run.to_string());
        let read = runs::bytes(&self.app, caller, &id, self.at, PIECE).await;
        let read = read.map_err(|_failure| Over::Gone)?;
        self.tell_state(sender, &read).await?;
        let before = self.at;
        if !read.bytes.is_empty() {
            self.tell_log(sender, &read).await?;
        }
        if read.done {
            return Err(self.finish(sender).await);
        }
        if self.at == before {
            tokio::select! {
                () = sender.closed() => return Err(Over::Unread),
                _heard = news.hear(&self.app.shutdown) => {}
            }
        }
        Ok(())
    }

    async fn look_again(&mut self) -> Result<(), Over> {
        self.looked = clock::monotonic();
        let visitor = session::visitor(&self.app, &self.headers, self.peer).await;
        let Ok(Some(visitor)) = visitor else {
            return Err(Over::Gone);
        };
        let same = visitor.user_id == self.visitor.user_id
            && visitor.caller.org_id == self.visitor.caller.org_id;
        self.visitor = visitor;
        if same { Ok(()) } else { Err(Over::Gone) }
    }

    async fn tell_state(
        &mut self,
        sender: &mpsc::Sender<Event>,
        read: &LogBytes,
    ) -> Result<(), Over> {
        let state = read.run.run.state.word();
        if state == self.state {
            return Ok(());
        }
        self.state = state;
        let data = json!({"state": state, "words": states::words(state)});
        let event = Event::default().event("state").data(data.to_string());
        self.send(sender, event).await
    }

    async fn tell_log(
        &mut self,
        sender: &mpsc::Sender<Event>,
        read: &LogBytes,
    ) -> Result<(), Over> {
        let (text, used) = match &mut self.view {
            View::Readable(renderer) => {
                let text = text::shown(&renderer.push(&read.bytes));
                (text, read.bytes.len())
            }
            View::Raw => log::raw(&read.bytes, !read.done),
        };
        if used == 0 {
            return Ok(());
        }
        self.at += used as u64;
        self.send(sender, self.piece(&text)).await
    }

    /// The log is whole: what the last line still held.
    async fn finish(&mut self, sender: &mpsc::Sender<Event>) -> Over {
        if let View::Readable(renderer) = &mut self.view {
            let text = text::shown(&std::mem::take(renderer).finish());
            if !text.is_empty()
                && let Err(over) = self.send(sender, self.piece(&text)).await
            {
                return over;
            }
        }
        Over::Done
    }

    fn piece(&self, text: &str) -> Event {
        let data = json!({"text": text, "bytes": self.at});
        Event::default()
            .event("log")
            .id(self.at.to_string())
            .data(data.to_string())
    }

    async fn send(&self, sender: &mpsc::Sender<Event>, event: Event) -> Result<(), Over> {
        match timeout(READ_WITHIN, sender.send(event)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over::Unread),
        }
    }
}

fn refused(failure: &Failure) -> Response {
    let status = layout::status_of(failure.code);
    (status, Json(json!({"error": failure.code}))).into_response()
}

fn too_many() -> Response {
    let retry = [(header::RETRY_AFTER, "10")];
    (StatusCode::TOO_MANY_REQUESTS, retry, "too many live pages").into_response()
}
