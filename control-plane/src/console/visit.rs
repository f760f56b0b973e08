//! Who visits a page, and whether a form is ours.
//!
//! A page asks for [`SignedIn`], a form's target for [`Checked`]: a handler without one of them is
//! open to everybody. A form is ours when the browser does not say that it came from elsewhere
//! (`Sec-Fetch-Site`, `Origin`) and it repeats the session's token for the organization worked in. One
//! of another organization, left open in another tab, does nothing here and says so; [`Personal`]
//! takes those that mean the same whichever organization that is. What was written into a form that is
//! not taken is kept for its visitor (`unsent`).

use axum::body::Body;
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, RequestPartsExt as _};
use bytes::Bytes;
use maud::html;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;

use super::{layout, parts, unsent};
use crate::App;
use crate::auth::session::{self, Membership, Visitor};
use crate::edge::{self, Peer};

/// A form may hold so much, bytes: a prompt of 100,000 characters, each escaped to nine.
const MOST_FORM_BYTES: usize = 1 << 20;

/// A form of somebody who is no longer signed in is kept up to so many bytes: anybody can send one.
const MOST_KEPT_BYTES: usize = 128 << 10;

/// The visitor of a page; whoever is not signed in is sent to sign in first.
#[derive(Debug)]
pub(crate) struct SignedIn(pub(crate) Visitor);

/// A form that its visitor sent from one of our pages.
#[derive(Debug)]
pub(crate) struct Checked<T> {
    /// Who sent it.
    pub(crate) visitor: Visitor,
    /// What it holds.
    pub(crate) form: T,
}

/// A form about its visitor alone, from one of our pages of whichever of their organizations.
#[derive(Debug)]
pub(crate) struct Personal<T> {
    /// Who sent it.
    pub(crate) visitor: Visitor,
    /// What it holds.
    pub(crate) form: T,
}

/// A form that was sent, before it is known whether it is ours.
pub(super) struct Sent {
    pub(super) parts: Parts,
    pub(super) bytes: Bytes,
    pub(super) token: String,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    csrf: String,
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let peer = parts.extensions.get::<Peer>().copied().unwrap_or_default();
        match session::visitor(app, &parts.headers, peer).await {
            Ok(Some(visitor)) => Ok(Self(visitor)),
            Ok(None) => Err(Redirect::to(&sign_in_path(parts)).into_response()),
            Err(failure) => Err(layout::plain(
                layout::status_of(failure.code),
                "That did not work",
                layout::problem(&failure),
            )),
        }
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Checked<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (visitor, sent) = sent(request, app).await?;
        match visitor.org_of_form(&sent.token) {
            None => Err(unsent::before_sign_in(&visitor, &sent).unwrap_or_else(not_ours)),
            Some(org) if org.org_id != visitor.caller.org_id => {
                let kept = unsent::of_another(&visitor, org, &sent);
                Err(kept.unwrap_or_else(|| of_another(&visitor, org)))
            }
            Some(_) => {
                let form = sent.read().await?;
                Ok(Self { visitor, form })
            }
        }
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Personal<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (visitor, sent) = sent(request, app).await?;
        if visitor.org_of_form(&sent.token).is_none() {
            return Err(not_ours());
        }
        let form = sent.read().await?;
        Ok(Self { visitor, form })
    }
}

impl Sent {
    /// Takes a form of at most so many bytes that must not come from elsewhere.
    pub(super) async fn take(
        app: &App,
        parts: Parts,
        body: Body,
        most: usize,
    ) -> Result<Self, Response> {
        if edge::came_from_elsewhere(app, &parts.headers) {
            return Err(not_ours());
        }
        let bytes = axum::body::to_bytes(body, most)
            .await
            .map_err(|_longer| too_large(most))?;
        let Token { csrf } = form(&parts, bytes.clone()).await?;
        Ok(Self {
            parts,
            bytes,
            token: csrf,
        })
    }

    /// Reads one that repeats this token.
    pub(super) async fn read_with<T: DeserializeOwned>(self, csrf: &str) -> Result<T, Response> {
        if !bool::from(self.token.as_bytes().ct_eq(csrf.as_bytes())) {
            return Err(not_ours());
        }
        self.read().await
    }

    async fn read<T: DeserializeOwned>(self) -> Result<T, Response> {
        form(&self.parts, self.bytes).await
    }
}

/// A form, and the visitor whose it may be.
async fn sent(request: Request, app: &App) -> Result<(Visitor, Sent), Response> {
    let (mut parts, body) = request.into_parts();
    let visitor: Result<SignedIn, Response> = parts.extract_with_state(app).await;
    match visitor {
        Ok(SignedIn(visitor)) => {
            let sent = Sent::take(app, parts, body, MOST_FORM_BYTES).await?;
            Ok((visitor, sent))
        }
        Err(to_sign_in) if to_sign_in.status().is_redirection() => {
            let sent = Sent::take(app, parts, body, MOST_KEPT_BYTES).await.ok();
            let kept = sent.and_then(|sent| unsent::signed_out(&sent));
            Err(kept.unwrap_or(to_sign_in))
        }
        Err(failed) => Err(failed),
    }
}

async fn form<T: DeserializeOwned>(parts: &Parts, bytes: Bytes) -> Result<T, Response> {
    let mut request = Request::new(Body::from(bytes));
    *request.method_mut() = Method::POST;
    if let Some(media) = parts.headers.get(header::CONTENT_TYPE) {
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, media.clone());
    }
    let read = Form::<T>::from_request(request, &()).await;
    read.map(|Form(form)| form).map_err(|why| unread(&why))
}

/// Where to sign in and come back from: the page that was asked for, or that the form was on.
fn sign_in_path(parts: &Parts) -> String {
    let here = if parts.method == Method::GET {
        parts.uri.path_and_query().map(ToString::to_string)
    } else {
        unsent::page_of(parts)
    };
    match here {
        Some(here) if here != "/" => {
            let next: String = form_urlencoded::byte_serialize(here.as_bytes()).collect();
            format!("/sign-in?next={next}")
        }
        Some(_) | None => "/sign-in".to_owned(),
    }
}

fn not_ours() -> Response {
    let body = html! {
        p { "The form did not come from this console, or it is from before you signed in." }
        p { a href="/" { "Open the console" } " and fill it in again. Nothing was changed." }
    };
    layout::plain(StatusCode::FORBIDDEN, "Form refused", body)
}

/// The form of a page that another tab shows still, of an organization that is not worked in now.
fn of_another(visitor: &Visitor, org: &Membership) -> Response {
    let now = visitor.membership().map_or("", |org| org.name.as_str());
    let path = format!("/organizations/{}/choose", org.org_id);
    let body = html! {
        p {
            "The form is of a page of " strong { (org.name) } ", and you work in " strong { (now) }
            " now: another tab changed that. Nothing was changed."
        }
        (parts::post_button(visitor, &path, &format!("Work in {}", org.name), "main"))
        p { a href="/" { "Stay in " (now) } }
    };
    layout::plain(StatusCode::CONFLICT, "A form of another organization", body)
}

fn too_large(most: usize) -> Response {
    let body =
        html! { p { "The form holds more than " (most >> 10) " KiB. Nothing was changed." } };
    layout::plain(StatusCode::PAYLOAD_TOO_LARGE, "Form too large", body)
}

fn unread(why: &FormRejection) -> Response {
    let body = html! {
        p { "The form cannot be read: " (why) "." }
        p { "Go back and look at its fields. Nothing was changed." }
    };
    layout::plain(StatusCode::BAD_REQUEST, "Form not understood", body)
}
