//! The console: pages rendered here, for people.
//!
//! Pages are a way in like the MCP tools: they call the same operations with the same caller and
//! decide nothing. Everything works without JavaScript but what is live. A page of something that
//! the visitor may not see is the same page as of something that does not exist.

mod address;
mod assets;
mod audit;
mod automations;
mod clients;
mod clones;
mod consent;
mod device;
mod field;
pub(crate) mod flash;
mod hosts;
mod input;
mod invitation;
mod keys;
mod layout;
mod moment;
mod oidc;
mod organizations;
mod parts;
mod projects;
mod recovery;
mod runs;
mod settings;
mod setup;
mod sign_in;
mod stranger;
mod tasks;
mod text;
mod unsent;
mod visit;
mod workspaces;

use axum::Router;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};

use crate::App;
use crate::auth::session;
use crate::edge::Peer;
use layout::Nav;

pub(crate) use address::{Path, Query};
pub(crate) use clones::Clones;
pub(crate) use layout::{problem_page, status_of};
pub(crate) use runs::Streams;
pub(crate) use visit::{Checked, SignedIn};

/// The routes of the console, and the pages for what is no route.
pub(crate) fn router(app: &App) -> Router {
    Router::new()
        .route("/", get(home))
        .merge(assets::routes())
        .merge(audit::routes())
        .merge(clients::routes())
        .merge(keys::routes())
        .merge(projects::routes())
        .merge(tasks::routes())
        .merge(workspaces::routes())
        .merge(invitation::routes())
        .merge(oidc::routes())
        .merge(organizations::routes())
        .merge(recovery::routes())
        .merge(settings::routes())
        .merge(setup::routes())
        .merge(sign_in::routes())
        .merge(consent::routes())
        .merge(device::routes())
        .merge(automations::routes())
        .merge(runs::routes())
        .merge(hosts::routes())
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn(flash::say_once))
        .with_state(app.clone())
}

async fn home(_: SignedIn) -> Redirect {
    Redirect::to("/hosts")
}

async fn nothing_here(State(app): State<App>, request: Parts) -> Response {
    let body = html! {
        p { "There is no page at " code { (request.uri.path()) } "." }
        p { a href="/" { "Open the console" } }
    };
    instead(&app, &request, StatusCode::NOT_FOUND, "Not found", body).await
}

async fn wrong_method(State(app): State<App>, request: Parts) -> Response {
    let body = html! {
        p { code { (request.uri.path()) } " is not for " code { (request.method) } " requests. Nothing was changed." }
        p { a href="/" { "Open the console" } }
    };
    let status = StatusCode::METHOD_NOT_ALLOWED;
    instead(&app, &request, status, "Not possible here", body).await
}

/// A page for people; one line for programs.
async fn instead(
    app: &App,
    request: &Parts,
    status: StatusCode,
    title: &str,
    body: Markup,
) -> Response {
    if !wants_page(&request.headers) {
        return (status, format!("{title}\n")).into_response();
    }
    let peer = request.extensions.get::<Peer>().copied();
    match session::visitor(app, &request.headers, peer.unwrap_or_default()).await {
        Ok(Some(visitor)) => layout::with_status(status, &visitor, Nav::Elsewhere, title, body),
        Ok(None) | Err(_) => layout::plain(status, title, body),
    }
}

/// Whether a person asks, by a browser.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept.is_some_and(|accept| String::from_utf8_lossy(accept.as_bytes()).contains("text/html"))
}
