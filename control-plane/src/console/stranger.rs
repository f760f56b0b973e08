//! Visitors who are not signed in, and their forms.
//!
//! Such a form is tied to its browser by a cookie of its own: the form repeats what is derived from
//! it. So nobody can make somebody else's browser sign in, or use a link, without their knowing
//! (login CSRF).

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hostler_proto::error::Failure;
use maud::{Markup, html};
use serde::de::DeserializeOwned;

use super::layout;
use super::visit::Sent;
use crate::App;
use crate::auth::browser::Mark;
use crate::auth::cookie;
use crate::auth::session::{self, Visitor};
use crate::edge::Peer;
use crate::people::{Browser, Refused};

/// A form may hold so much, bytes: an address to go on to, escaped twice, is the most of it. What
/// nobody has signed in for is not kept in memory by the megabyte.
const MOST_FORM_BYTES: usize = 32 << 10;

/// A browser that may or may not be signed in.
#[derive(Debug)]
pub(crate) struct Stranger {
    /// Its request's headers.
    pub(crate) headers: HeaderMap,
    /// Where it is.
    pub(crate) peer: Peer,
    /// Who it is, when it is signed in.
    pub(crate) visitor: Option<Visitor>,
    /// What each form repeats.
    token: String,
    /// The cookie to give it, when it has none yet.
    fresh: Option<HeaderValue>,
}

/// A form that a stranger sent from one of our pages.
#[derive(Debug)]
pub(crate) struct StrangersForm<T> {
    /// Who sent it.
    pub(crate) stranger: Stranger,
    /// What it holds.
    pub(crate) form: T,
}

impl Stranger {
    /// The browser, for the operations.
    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser {
            headers: &self.headers,
            peer: self.peer,
        }
    }

    /// The hidden field of each form.
    pub(crate) fn token(&self) -> Markup {
        html! { input type="hidden" name="csrf" value=(self.token); }
    }

    /// The page behind a link, again with what went wrong with its form; it gives nobody its address.
    /// A link that is not good any more has no page.
    pub(crate) fn link_page(
        &self,
        title: &str,
        body: &Markup,
        wrong: Option<&Refused>,
    ) -> Response {
        let Some(wrong) = wrong else {
            return private(self.page(StatusCode::OK, title, html! { (body) }));
        };
        let (status, problem) = said(wrong);
        if status == StatusCode::NOT_FOUND {
            return refused(wrong);
        }
        let page = self.page(status, title, html! { (problem) (body) });
        retry_after(private(page), wrong)
    }

    /// A page with a form: with the cookie it needs.
    pub(crate) fn page(&self, status: StatusCode, title: &str, body: Markup) -> Response {
        let mut response = layout::plain(status, title, body);
        if let Some(fresh) = &self.fresh {
            let headers = response.headers_mut();
            headers.append(header::SET_COOKIE, fresh.clone());
        }
        response
    }

    /// Says what is wrong when this browser cannot be signed in at all: it would not keep the cookie.
    pub(crate) fn notice(&self, app: &App) -> Markup {
        let kept = cookie::is_kept(&app.server.url, &self.headers, self.peer);
        html! {
            @if !kept {
                div.problem role="alert" {
                    p { "This address is plain http, and browsers keep sign-ins only over https or on the machine itself." }
                    p.hint {
                        "Open " a href=(app.server.url) { (app.server.url) }
                        " if that is https, start the server with a certificate, or reach it through a tunnel (ssh -L 4880:127.0.0.1:4880)."
                    }
                }
            }
        }
    }
}

impl FromRequestParts<App> for Stranger {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let peer = parts.extensions.get::<Peer>().copied().unwrap_or_default();
        let headers = parts.headers.clone();
        let visitor = session::visitor(app, &headers, peer).await;
        let visitor = visitor.map_err(|failure| failed(&failure))?;
        let (mark, fresh) = if let Some(mark) = Mark::of(&headers, peer) {
            (mark, None)
        } else {
            let made = Mark::fresh(&headers, peer).map_err(|failure| failed(&failure))?;
            (made.0, Some(made.1))
        };
        Ok(Self {
            headers,
            peer,
            visitor,
            token: mark.form_token(),
            fresh,
        })
    }
}

impl<T: DeserializeOwned> FromRequest<App> for StrangersForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let stranger = Stranger::from_request_parts(&mut parts, app).await?;
        if stranger.fresh.is_some() {
            return Err(without_cookie());
        }
        let sent = Sent::take(app, parts, body, MOST_FORM_BYTES).await?;
        let form = sent.read_with(&stranger.token).await?;
        Ok(Self { stranger, form })
    }
}

/// A page whose address is nobody else's: it is not kept, and no other page learns it.
pub(crate) fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The page of what a stranger did not get; with `Retry-After` when it was too often.
pub(crate) fn refused(refused: &Refused) -> Response {
    let (status, problem) = said(refused);
    let body = html! { (problem) p { a href="/sign-in" { "Sign in" } } };
    let title = if status == StatusCode::NOT_FOUND {
        "Link not good"
    } else {
        "That did not work"
    };
    retry_after(private(layout::plain(status, title, body)), refused)
}

/// The status and the words that go with a refusal, to stand in a page.
pub(crate) fn said(refused: &Refused) -> (StatusCode, Markup) {
    match refused {
        Refused::Failure(failure) => (layout::status_of(failure.code), layout::problem(failure)),
        Refused::Wait(wait) => (
            StatusCode::TOO_MANY_REQUESTS,
            layout::problem(&Failure::from(*wait)),
        ),
    }
}

/// Says in a header how long to wait, when that is known.
pub(crate) fn retry_after(mut response: Response, refused: &Refused) -> Response {
    let seconds = match refused {
        Refused::Wait(wait) => Some(wait.seconds()),
        Refused::Failure(_) => (response.status() == StatusCode::TOO_MANY_REQUESTS).then_some(2),
    };
    if let Some(seconds) = seconds {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// 303 to another page, with a cookie.
pub(crate) fn go(to: &str, cookie: HeaderValue) -> Response {
    let mut response = axum::response::Redirect::to(to).into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

fn failed(failure: &Failure) -> Response {
    let status = layout::status_of(failure.code);
    layout::plain(status, "That did not work", layout::problem(failure))
}

fn without_cookie() -> Response {
    let body = html! {
        p { "The form came without the cookie that its page gave your browser. Nothing was changed." }
        p.hint { "Allow cookies for this site, open the page again and send the form from there." }
        p { a href="/sign-in" { "Sign in" } }
    };
    layout::plain(StatusCode::FORBIDDEN, "Form refused", body)
}
