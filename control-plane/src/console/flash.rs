//! What a form did, told on the page that follows it, once.
//!
//! After a change the browser is sent to a page (303), so reloading repeats nothing; the sentence
//! travels in a cookie that only this host can set and that the next page takes away. It is no place
//! for secrets: what is shown once is shown in the answer itself.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const COOKIE: &str = "__Host-hostler-said";

/// The longest sentence kept, characters.
const MOST: usize = 300;

/// Goes on to the page at `to` (a path of ours), which says `said`.
pub(crate) fn redirect(to: &str, said: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    let short: String = said.chars().take(MOST).collect();
    if let Some(cookie) = cookie(&URL_SAFE_NO_PAD.encode(short), 60) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// What the last form did, as the browser brings it.
pub(crate) fn said(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE);
    let mut pairs = cookies
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, coded) = pairs.find(|(name, _)| *name == COOKIE)?;
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(coded).ok()?).ok()?;
    (!text.is_empty()).then(|| text.chars().take(MOST).collect())
}

/// Takes the sentence away once a page has been answered with it.
pub(super) async fn say_once(request: Request, next: Next) -> Response {
    let brought = said(request.headers()).is_some();
    let mut response = next.run(request).await;
    let media = response.headers().get(header::CONTENT_TYPE);
    let page = media.is_some_and(|media| media.as_bytes().starts_with(b"text/html"));
    if brought
        && page
        && let Some(cookie) = cookie("", 0)
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn cookie(value: &str, seconds: u32) -> Option<HeaderValue> {
    let text =
        format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_comes_back_as_it_was_and_nothing_else_does() {
        let response = redirect("/tasks", "Deleted “a; b=c\r\n<b>”.");
        let set = response.headers()[header::SET_COOKIE].to_str().unwrap();
        let pair = set.split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("a=b; {pair}").parse().unwrap());
        assert_eq!(said(&headers).unwrap(), "Deleted “a; b=c\r\n<b>”.");
        headers.insert(
            header::COOKIE,
            format!("{COOKIE}=not base64").parse().unwrap(),
        );
        assert_eq!(said(&headers), None);
    }
}
