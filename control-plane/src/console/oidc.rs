//! The way to the sign-in provider and back.
//!
//! The cookie of a sign-in that was begun holds its secret and what it is for: nothing of it is trusted
//! but the secret, which the provider's answer has to fit. A link's code goes that way too, and never
//! through an address. What uses a link, or links an identity, is begun by a form of ours alone, so
//! that no page of others can make somebody join anything.

use axum::Router;
use axum::extract::State;
use axum::http::header::{REFRESH, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hostler_proto::error::{ErrorCode, Failure};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout;
use super::sign_in::local;
use super::stranger::{self, Stranger, private};
use crate::App;
use crate::auth::cookie;
use crate::config::SingleSignOn;
use crate::console::Query;
use crate::people::links::{self, LinkKind};
use crate::people::oidc::{self, Begun};
use crate::people::single_sign_on::{self, Answered};
use crate::people::{Browser, Refused};

/// How long a sign-in at the provider may take, seconds.
const PATIENCE_S: i64 = 600;

/// Longest path to go on to, bytes: browsers drop a cookie of more than 4,096.
const LONGEST_NEXT: usize = 2_800;

/// The value of the button that means the provider.
pub(super) const WITH_PROVIDER: &str = "provider";

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

/// What somebody is sent to the provider for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// To sign in, and go on to a path of ours.
    SignIn(String),
    /// To link who they are there.
    Link,
    /// To join by the invitation with this code.
    Invitation(String),
    /// To become the owner by the set-up link with this code.
    Setup {
        /// The link's.
        code: String,
        /// What the organization is to be called.
        organization: String,
    },
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/oidc/start", get(start))
        .route("/oidc/callback", get(callback))
}

impl Errand {
    /// What the cookie holds.
    fn kept(&self, begun: &Begun) -> String {
        let (kind, first, second) = match self {
            Self::SignIn(next) => ("sign-in", next.as_str(), ""),
            Self::Link => ("link", "", ""),
            Self::Invitation(code) => ("invitation", code.as_str(), ""),
            Self::Setup { code, organization } => ("setup", code.as_str(), organization.as_str()),
        };
        let [first, second] = [first, second].map(|text| URL_SAFE_NO_PAD.encode(text));
        format!("{}.{kind}.{first}.{second}", begun.expose())
    }

    fn read(kept: &str) -> Option<(Begun, Self)> {
        let mut parts = kept.split('.');
        let (begun, kind) = (Begun::read(parts.next()?)?, parts.next()?);
        let mut text = || String::from_utf8(URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok();
        let (first, second) = (text()?, text()?);
        let errand = match kind {
            "sign-in" => Self::SignIn(local(&first).to_owned()),
            "link" => Self::Link,
            "invitation" => Self::Invitation(first),
            "setup" => Self::Setup {
                code: first,
                organization: second,
            },
            _ => return None,
        };
        Some((begun, errand))
    }
}

async fn start(State(app): State<App>, Query(wish): Query<Wish>, stranger: Stranger) -> Response {
    let next = local(&wish.next);
    if stranger.visitor.is_some() {
        return Redirect::to(next).into_response();
    }
    let next = if next.len() > LONGEST_NEXT { "/" } else { next };
    match leave(&app, &Errand::SignIn(next.to_owned()), stranger.browser()).await {
        Ok((url, cookie)) => private(stranger::go(&url, cookie)),
        Err(refused) => stranger::refused(&refused),
    }
}

/// Answers a form with the way to the provider. Such an answer may not redirect elsewhere
/// (`form-action`, which holds for redirects too), so it is a page that goes on by itself.
pub(super) async fn depart(
    app: &App,
    errand: &Errand,
    browser: Browser<'_>,
) -> Result<Response, Refused> {
    let (url, cookie) = leave(app, errand, browser).await?;
    let label = settings(app)?.label.as_str();
    let body = html! { p { a.button.main href=(url) { "Go on to " (label) } } };
    let mut response = layout::plain(StatusCode::OK, &format!("Going to {label}"), body);
    let headers = response.headers_mut();
    headers.append(SET_COOKIE, cookie);
    if let Ok(onwards) = HeaderValue::try_from(format!("0; url={url}")) {
        headers.insert(REFRESH, onwards);
    }
    Ok(private(response))
}

async fn leave(
    app: &App,
    errand: &Errand,
    browser: Browser<'_>,
) -> Result<(String, HeaderValue), Refused> {
    let begun = Begun::fresh();
    let url = oidc::begin(app, settings(app)?, &begun, browser).await?;
    let (headers, peer) = (browser.headers, browser.peer);
    let cookie = cookie::AWAY.set(&errand.kept(&begun), Some(PATIENCE_S), headers, peer)?;
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
    let (begun, errand) = kept.and_then(Errand::read).ok_or_else(other_browser)?;
    if !begun.owns(&answer.state) {
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
    let answered = Answered {
        begun: &begun,
        code: &answer.code,
    };
    run(app, settings, errand, answered, stranger).await
}

/// Does what somebody was sent to the provider for.
async fn run(
    app: &App,
    settings: &SingleSignOn,
    errand: Errand,
    answered: Answered<'_>,
    stranger: &Stranger,
) -> Result<Response, Refused> {
    let browser = stranger.browser();
    let (next, cookie) = match errand {
        Errand::Link => {
            let visitor = stranger.visitor.as_ref().ok_or_else(other_browser)?;
            single_sign_on::link(app, settings, answered, visitor).await?;
            let words = format!("You can sign in with {} from now on.", settings.label);
            return Ok(layout::redirect("/settings/profile", &words));
        }
        Errand::SignIn(next) => {
            let cookie = single_sign_on::sign_in(app, settings, answered, browser).await?;
            (next, cookie)
        }
        Errand::Invitation(code) => {
            let link = links::look(app, LinkKind::Invitation, &code, browser).await?;
            let cookie = single_sign_on::accept(app, settings, answered, &link, browser).await?;
            ("/".to_owned(), cookie)
        }
        Errand::Setup { code, organization } => {
            let link = links::look(app, LinkKind::Setup, &code, browser).await?;
            let named = (&link, organization.as_str());
            let cookie = single_sign_on::set_up(app, settings, answered, named, browser).await?;
            ("/".to_owned(), cookie)
        }
    };
    Ok(stranger::go(&next, cookie))
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
pub(super) fn way(app: &App, next: &str) -> Markup {
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    html! {
        @if let Some(settings) = &app.single_sign_on {
            p { a.button href=(format!("/oidc/start?next={next}")) { "Sign in with " (settings.label) } }
        }
    }
}

/// The second button of a form, which does the same with the provider instead of a password.
pub(super) fn button(app: &App, verb: &str) -> Markup {
    html! {
        @if let Some(settings) = &app.single_sign_on {
            button type="submit" name="with" value=(WITH_PROVIDER) formnovalidate { (verb) " with " (settings.label) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_leads_to_paths_of_ours_alone() {
        let begun = Begun::fresh();
        let back = |errand: Errand| {
            let (read, errand) = Errand::read(&errand.kept(&begun)).unwrap();
            assert_eq!(read.expose(), begun.expose());
            errand
        };
        for (next, read) in [("/tasks?a=b", "/tasks?a=b"), ("//evil.example", "/")] {
            assert_eq!(
                back(Errand::SignIn(next.into())),
                Errand::SignIn(read.into())
            );
        }
        let setup = Errand::Setup {
            code: "ln_x".into(),
            organization: "A.c; më=".into(),
        };
        for errand in [Errand::Link, Errand::Invitation("ln_x".into()), setup] {
            assert_eq!(back(errand.clone()), errand);
        }
        let good = Errand::Link.kept(&begun);
        for bad in [
            "",
            "x.sign-in..",
            "..",
            &good[1..],
            &good.replace("link", "lynk"),
        ] {
            assert!(Errand::read(bad).is_none(), "{bad}");
        }
        assert!(!begun.owns(""), "no state is not the state");
        assert!(!begun.owns(Begun::fresh().expose()));
    }
}
