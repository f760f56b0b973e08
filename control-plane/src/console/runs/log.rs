//! Parts of a run's log: readable or as it is, and the whole of it as a file.
//!
//! A part holds the lines that begin in it, so parts follow one another without a gap and without a
//! line twice, and an agent's JSON line is never cut.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hostler_proto::error::Failure;
use hostler_proto::transcript::Renderer;
use maud::html;
use serde::Deserialize;

use super::super::layout::{self, Nav};
use super::super::{SignedIn, text};
use super::failed;
use crate::auth::Caller;
use crate::console::Path;
use crate::{App, runs};

/// Bytes of a part.
pub(super) const PART: u64 = 128 << 10;

/// So much further is looked for the end of a part's last line, bytes.
const OVERHANG: u64 = 256 << 10;

/// Bytes of the file that are read at once.
const COPIED: u32 = 256 << 10;

/// Which part to show, and how.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// `1`: as it is.
    pub(super) raw: Option<u8>,
    /// Where the part begins; the last part without it.
    pub(super) from: Option<u64>,
}

/// Part of a log, fit to be shown.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The text.
    pub(super) text: String,
    /// Where it was asked to begin.
    pub(super) from: u64,
    /// The first byte that is not in it.
    pub(super) to: u64,
    /// Bytes of the log so far.
    pub(super) total: u64,
    /// More may follow, now or later.
    pub(super) open: bool,
}

impl Wanted {
    pub(super) fn is_raw(self) -> bool {
        self.raw == Some(1)
    }
}

/// The part that is wanted.
pub(super) async fn part(
    app: &App,
    caller: &Caller,
    run_id: &str,
    total: u64,
    wanted: Wanted,
) -> Result<Part, Failure> {
    let from = match wanted.from {
        Some(from) => from.min(total),
        None => total.saturating_sub(PART),
    };
    // The byte before tells whether a line begins here.
    let begin = from.saturating_sub(1);
    let most = u32::try_from(PART + OVERHANG + 1).unwrap_or(u32::MAX);
    let read = runs::bytes(app, caller, run_id, begin, most).await?;
    let (start, end) = lines(&read.bytes, begin, from);
    let at_end = begin + end as u64 >= read.run.log_bytes;
    let open = at_end && !read.done;
    let bytes = &read.bytes[start..end];
    let (text, used) = if wanted.is_raw() {
        raw(bytes, open)
    } else {
        (readable(bytes, open), bytes.len())
    };
    Ok(Part {
        text,
        from,
        to: begin + (start + used) as u64,
        total: read.run.log_bytes,
        open,
    })
}

/// Which of the bytes (from offset `begin` on) are the lines that begin within the part at `from`. A
/// line that does not end within reach is cut where the part ends.
fn lines(bytes: &[u8], begin: u64, from: u64) -> (usize, usize) {
    let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    // The first beginning of a line at or after a place.
    let boundary = |at: usize| {
        let look = at.saturating_sub(1)..bytes.len().min(at.saturating_add(size(OVERHANG)));
        let found = bytes.get(look)?.iter().position(|byte| *byte == b'\n')?;
        Some(at.saturating_sub(1) + found + 1)
    };
    let first = size(from - begin).min(bytes.len());
    let last = first.saturating_add(size(PART));
    let start = if from == 0 {
        0
    } else {
        boundary(first).unwrap_or(first)
    };
    let end = if last >= bytes.len() {
        bytes.len()
    } else if bytes.len() - last < size(OVERHANG) {
        boundary(last).unwrap_or(bytes.len())
    } else {
        boundary(last).unwrap_or(last)
    };
    (start.min(end), end)
}

fn readable(bytes: &[u8], open: bool) -> String {
    let mut renderer = Renderer::new();
    let mut text = renderer.push(bytes);
    if !open {
        text += &renderer.finish();
    }
    text::shown(&text)
}

/// The bytes as text, and how many were taken: a character whose rest may still come is left.
pub(super) fn raw(bytes: &[u8], open: bool) -> (String, usize) {
    let left = if open { unfinished(bytes) } else { 0 };
    let used = bytes.len() - left;
    let text = String::from_utf8_lossy(&bytes[..used]);
    (text::shown(&text), used)
}

/// Length of a character's beginning at the end of the bytes.
fn unfinished(bytes: &[u8]) -> usize {
    let is_beginning = |length: &usize| {
        let end = &bytes[bytes.len() - length..];
        std::str::from_utf8(end)
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=bytes.len().min(3)).find(is_beginning).unwrap_or(0)
}

/// The whole log as a file, byte for byte.
pub(super) async fn download(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Path(id): Path<String>,
) -> Response {
    let first = match runs::bytes(&app, &visitor.caller, &id, 0, COPIED).await {
        Ok(first) => first,
        Err(failure) => return failed(&visitor, failure),
    };
    if first.run.log_removed_at.is_some() {
        let body = html! { p { "The log of this run was deleted by age or for want of room. The run and its outcome stay." } };
        let status = StatusCode::GONE;
        return layout::with_status(status, &visitor, Nav::Runs, "No log any more", body);
    }
    let (total, run) = (first.run.log_bytes, first.run.run.id);
    let caller = visitor.caller;
    let copy = futures_util::stream::try_unfold((0, Some(first.bytes)), move |(at, ready)| {
        let (app, caller, id) = (app.clone(), caller.clone(), run.to_string());
        async move {
            let bytes = match ready {
                Some(bytes) => bytes,
                None if at >= total => return Ok(None),
                None => next(&app, &caller, &id, at, total).await?,
            };
            let next = at + bytes.len() as u64;
            Ok::<_, std::io::Error>((!bytes.is_empty()).then_some((bytes, (next, None))))
        }
    });
    let mut response = Body::from_stream(copy).into_response();
    let headers = response.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, text);
    headers.insert(header::CONTENT_LENGTH, total.into());
    let sniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, sniff);
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"run-{run}.log\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

async fn next(
    app: &App,
    caller: &Caller,
    id: &str,
    at: u64,
    total: u64,
) -> Result<Vec<u8>, std::io::Error> {
    let most = u32::try_from(total - at).unwrap_or(COPIED).min(COPIED);
    let read = runs::bytes(app, caller, id, at, most).await;
    let bytes = read
        .map_err(|failure| std::io::Error::other(failure.message))?
        .bytes;
    if bytes.is_empty() {
        return Err(std::io::Error::other("the log is gone"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks a log from part to part as the page's links do.
    fn walk(log: &[u8]) -> Vec<u8> {
        let (mut joined, mut from) = (Vec::new(), 0_u64);
        loop {
            let begin = from.saturating_sub(1);
            let stop = (from + PART + OVERHANG).min(log.len() as u64);
            let at = usize::try_from(begin).unwrap();
            let bytes = &log[at..usize::try_from(stop).unwrap()];
            let (start, end) = lines(bytes, begin, from);
            joined.extend_from_slice(&bytes[start..end]);
            if at + end >= log.len() {
                return joined;
            }
            from += PART;
        }
    }

    #[test]
    fn parts_hold_whole_lines_and_join_to_the_log() {
        let filler = "x".repeat(100_000);
        let mut whole = String::new();
        for number in 0..400 {
            whole += &number.to_string();
            whole += &filler[..number * 7 % 9_000];
            whole.push('\n');
        }
        whole += &"y".repeat(900_000);
        whole += "\nand then\n";
        whole += &"z".repeat(200_000);
        whole += "\nthe end";
        assert!(walk(whole.as_bytes()) == whole.as_bytes());
        let even = "0123456789abcde\n".repeat(40_000);
        assert!(walk(even.as_bytes()) == even.as_bytes());
    }

    #[test]
    fn a_character_whose_rest_comes_later_waits() {
        assert_eq!(raw("a\u{20ac}".as_bytes(), true).1, 4);
        assert_eq!(raw(b"a\xe2\x82", true), ("a".to_owned(), 1));
        assert_eq!(raw(b"a\xe2\x82", false).1, 3);
        assert_eq!(raw(b"\x1b[31m", true).0, "\u{241b}[31m");
    }
}
