//! Signing in and out.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use maud::{Markup, html};
use serde::Deserialize;

use super::field::Field;
use super::stranger::{self, Stranger, StrangersForm};
use super::visit::Personal;
use super::{layout, oidc};
use crate::App;
use crate::auth::session;
use crate::console::Query;
use crate::edge::Peer;
use crate::people::sign_in;

/// Where somebody wants to be once they are signed in.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
struct Credentials {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/sign-in", get(page).post(sign_in))
        .route("/sign-out", post(sign_out))
}

/// A path of this console, from a text that anybody may have put into a link; else the first page.
///
/// Browsers take `//host`, `/\host` and what follows a tab or a line break for other places, so only
/// what is plainly one path stays.
pub(super) fn local(next: &str) -> &str {
    let plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let path = next.starts_with('/') && !next.starts_with("//");
    let read = next.parse::<Uri>();
    let bare = read.is_ok_and(|uri| uri.authority().is_none() && uri.scheme().is_none());
    if plain && path && bare { next } else { "/" }
}

async fn page(State(app): State<App>, Query(wish): Query<Wish>, stranger: Stranger) -> Response {
    let next = local(&wish.next);
    if stranger.visitor.is_some() {
        return Redirect::to(next).into_response();
    }
    let body = form(&app, &stranger, "", next, &html! {});
    stranger.page(StatusCode::OK, "Sign in", body)
}

async fn sign_in(
    State(app): State<App>,
    StrangersForm {
        stranger,
        form: sent,
    }: StrangersForm<Credentials>,
) -> Response {
    let next = local(&sent.next);
    let browser = stranger.browser();
    match sign_in::sign_in(&app, &sent.email, &sent.password, browser).await {
        Ok(cookie) => stranger::go(next, cookie),
        Err(refused) => {
            let (status, problem) = stranger::said(&refused);
            let problem =
                html! { (problem) @if status == StatusCode::TOO_MANY_REQUESTS { (held_up()) } };
            let body = form(&app, &stranger, &sent.email, next, &problem);
            stranger::retry_after(stranger.page(status, "Sign in", body), &refused)
        }
    }
}

async fn sign_out(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Personal {
        visitor,
        form: Nothing {},
    }: Personal<Nothing>,
) -> Response {
    match session::end(&app, &visitor, &headers, peer).await {
        Ok(cookie) => stranger::go("/sign-in", cookie),
        Err(failure) => layout::failed(&visitor, layout::Nav::Elsewhere, &failure),
    }
}

fn held_up() -> Markup {
    html! {
        p.hint {
            "If it was not you who tried so often: a browser that signed in to the account before is not held up, "
            "nor is another way to sign in, or a recovery link."
        }
    }
}

fn form(app: &App, stranger: &Stranger, email: &str, next: &str, problem: &Markup) -> Markup {
    html! {
        (stranger.notice(app))
        (problem)
        form.stack method="post" action="/sign-in" {
            (stranger.token())
            input type="hidden" name="next" value=(next);
            (Field::email("email", "Email").value(email).autocomplete("username").required().autofocus())
            (Field::password("password", "Password").autocomplete("current-password").required())
            div.actions { button.main type="submit" { "Sign in" } }
        }
        (oidc::way(app, next))
    }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_a_path_of_ours_is_gone_to() {
        for good in [
            "/",
            "/hosts",
            "/runs/1/log?tail=1&x=%2F%2Fevil",
            "/oauth/authorize?redirect_uri=https%3A%2F%2Fa.example%2F",
        ] {
            assert_eq!(local(good), good);
        }
        for bad in [
            "",
            "hosts",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "///evil.example",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/\n/evil.example",
            "/a\r\nSet-Cookie: x=y",
            "/hosts\\..\\x",
            "/ö",
            "/a b",
            "@evil.example",
            ".evil.example",
            "/\u{0}",
        ] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
    }
}
