//! The way to the sign-in provider and back.
//!
//! The cookie of a sign-in that was begun holds its secret, what it is for, and where to go on to:
//! nothing of it is trusted but the secret, which the provider's answer has to fit.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hostler_proto::error::{ErrorCode, Failure};
use maud::html;
use serde::Deserialize;

use super::Checked;
use super::layout::{self, Nav};
use super::sign_in::local;
use super::stranger::{self, Stranger, private};
use crate::App;
use crate::auth::cookie;
use crate::config::SingleSignOn;
use crate::console::Query;
use crate::edge::Peer;
use crate::people::links::{self, LinkKind};
use crate::people::oidc::{self, Begun};
use crate::people::{Browser, Refused};

/// How long a sign-in at the provider may take, seconds.
const PATIENCE_S: i64 = 600;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wish {
    next: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    code: String,
    state: String,
    iss: Option<String>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

/// What the cookie holds.
struct Errand {
    begun: Begun,
    links: bool,
    next: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/oidc/start", get(start))
        .route("/oidc/link", post(start_linking))
        .route("/oidc/callback", get(callback))
}

impl Errand {
    fn text(&self) -> String {
        let kind = if self.links { "link" } else { "sign-in" };
        let next = URL_SAFE_NO_PAD.encode(&self.next);
        format!("{}.{kind}.{next}", self.begun.expose())
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let begun = Begun::read(parts.next()?)?;
        let links = parts.next()? == "link";
        let next = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        let next = String::from_utf8(next).ok()?;
        Some(Self {
            begun,
            links,
            next: local(&next).to_owned(),
        })
    }
}

async fn start(State(app): State<App>, Query(wish): Query<Wish>, stranger: Stranger) -> Response {
    let next = local(&wish.next);
    if stranger.visitor.is_some() && !next.starts_with("/invitations/") {
        return Redirect::to(next).into_response();
    }
    let errand = Errand {
        begun: Begun::fresh(),
        links: false,
        next: next.to_owned(),
    };
    match leave(&app, &errand, stranger.browser()).await {
        Ok((url, cookie)) => private(stranger::go(&url, cookie)),
        Err(refused) => stranger::refused(&refused),
    }
}

/// A form's answer may not lead elsewhere (`form-action`), so its page holds the way.
async fn start_linking(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Checked {
        visitor,
        form: Nothing {},
    }: Checked<Nothing>,
) -> Response {
    let errand = Errand {
        begun: Begun::fresh(),
        links: true,
        next: "/settings/profile".to_owned(),
    };
    let browser = Browser {
        headers: &headers,
        peer,
    };
    match leave(&app, &errand, browser).await {
        Ok((url, cookie)) => {
            let body = html! { p { a.button.main href=(url) { "Go on to the provider" } } };
            let mut response = layout::page(&visitor, Nav::Settings, "Link another sign-in", body);
            response.headers_mut().append(SET_COOKIE, cookie);
            response
        }
        Err(refused) => stranger::refused(&refused),
    }
}

async fn leave(
    app: &App,
    errand: &Errand,
    browser: Browser<'_>,
) -> Result<(String, axum::http::HeaderValue), Refused> {
    let settings = settings(app)?;
    let url = oidc::begin(app, settings, &errand.begun, browser).await?;
    let (headers, peer) = (browser.headers, browser.peer);
    let cookie = cookie::AWAY.set(&errand.text(), Some(PATIENCE_S), headers, peer)?;
    Ok((url, cookie))
}

async fn callback(
    State(app): State<App>,
    Query(answer): Query<Answer>,
    stranger: Stranger,
) -> Response {
    let mut response = match answered(&app, &answer, &stranger).await {
        Ok(response) => response,
        Err(refused) => stranger::refused(&refused),
    };
    // Whatever came of it, it was for one time.
    if let Ok(gone) = cookie::AWAY.clear(&stranger.headers, stranger.peer) {
        response.headers_mut().append(SET_COOKIE, gone);
    }
    private(response)
}

async fn answered(app: &App, answer: &Answer, stranger: &Stranger) -> Result<Response, Refused> {
    let settings = settings(app)?;
    let kept = cookie::AWAY.read(&stranger.headers, stranger.peer);
    let errand = kept.and_then(Errand::read).ok_or_else(other_browser)?;
    if !errand.begun.owns(&answer.state) {
        return Err(other_browser().into());
    }
    // RFC 9207: an answer of another provider than the one that was asked.
    if answer
        .iss
        .as_ref()
        .is_some_and(|iss| *iss != settings.issuer)
    {
        return Err(other_browser().into());
    }
    if answer.error.is_some() || answer.code.is_empty() {
        let words = format!("{} did not sign you in", settings.label);
        return Err(Failure::new(ErrorCode::Forbidden, words)
            .hint("Try again.")
            .into());
    }
    if errand.links {
        let visitor = stranger.visitor.as_ref().ok_or_else(other_browser)?;
        oidc::link(app, settings, &errand.begun, &answer.code, visitor).await?;
        let words = format!("You can sign in with {} from now on.", settings.label);
        return Ok(layout::redirect("/settings/profile", &words));
    }
    let browser = stranger.browser();
    let invitation = match errand.next.strip_prefix("/invitations/") {
        Some(code) => Some(links::look(app, LinkKind::Invitation, code, browser).await?),
        None => None,
    };
    let (begun, code) = (&errand.begun, &answer.code);
    let invited = invitation.as_ref();
    let cookie = oidc::sign_in(app, settings, begun, code, invited, browser).await?;
    let next = if invited.is_some() { "/" } else { &errand.next };
    Ok(stranger::go(next, cookie))
}

fn settings(app: &App) -> Result<&SingleSignOn, Failure> {
    app.single_sign_on
        .as_deref()
        .ok_or_else(|| Failure::new(ErrorCode::NotFound, "this server has no single sign-on"))
}

fn other_browser() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "this answer does not belong to a sign-in that this browser began",
    )
    .hint("Sign in again from here. It may also have taken more than ten minutes.")
}

/// The way to the provider, to stand in a page.
pub(super) fn way(app: &App, next: &str) -> maud::Markup {
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    html! {
        @if let Some(settings) = &app.single_sign_on {
            p { a.button href=(format!("/oidc/start?next={next}")) { "Sign in with " (settings.label) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_leads_to_paths_of_ours_alone() {
        let begun = Begun::fresh();
        for (next, read) in [("/tasks?a=b", "/tasks?a=b"), ("//evil.example", "/")] {
            let errand = Errand {
                begun: begun.clone(),
                links: false,
                next: next.to_owned(),
            };
            let errand = Errand::read(&errand.text()).unwrap();
            assert_eq!(errand.next, read);
            assert_eq!(errand.begun.expose(), begun.expose());
        }
        for bad in ["", "x.sign-in.", "..", "zz.link.Lw"] {
            assert!(Errand::read(bad).is_none(), "{bad}");
        }
        assert!(!begun.owns(""), "no state is not the state");
        assert!(!begun.owns(Begun::fresh().expose()));
    }
}
