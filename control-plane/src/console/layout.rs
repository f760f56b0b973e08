//! The frame around every page: head, navigation, and the small parts that pages share.
//!
//! It knows no noun's data. Text is escaped by maud wherever it stands.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hostler_proto::error::{ErrorCode, Failure};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use crate::auth::session::Visitor;

/// The part of the console a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nav {
    /// Hosts.
    Hosts,
    /// Projects.
    Projects,
    /// Workspaces.
    Workspaces,
    /// Automations.
    Automations,
    /// Runs.
    Runs,
    /// Tasks.
    Tasks,
    /// Settings.
    Settings,
    /// None of them.
    Elsewhere,
}

impl Nav {
    const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Hosts, "Hosts", "/hosts"),
        (Self::Projects, "Projects", "/projects"),
        (Self::Workspaces, "Workspaces", "/workspaces"),
        (Self::Automations, "Automations", "/automations"),
        (Self::Runs, "Runs", "/runs"),
        (Self::Tasks, "Tasks", "/tasks"),
        (Self::Settings, "Settings", "/settings/profile"),
    ];
}

/// A page for somebody who is signed in.
pub(crate) fn page(visitor: &Visitor, at: Nav, title: &str, body: Markup) -> Response {
    with_status(StatusCode::OK, visitor, at, title, body)
}

/// A page for somebody who is signed in, answered with another status than 200.
pub(crate) fn with_status(
    status: StatusCode,
    visitor: &Visitor,
    at: Nav,
    title: &str,
    body: Markup,
) -> Response {
    let whole = html! {
        (head(title))
        body {
            a.skip href="#main" { "Skip to content" }
            header.top {
                a.brand href="/" { "Hostler" }
                nav aria-label="Main" {
                    @for (nav, name, path) in Nav::ALL {
                        a href=(path) aria-current=[(nav == at).then_some("page")] { (name) }
                    }
                }
                div.who {
                    @if let Some(org) = visitor.membership() {
                        a.org href="/organizations" { (org.name) }
                    }
                    a href="/settings/profile" { (visitor.name) }
                    form method="post" action="/sign-out" {
                        (csrf(visitor))
                        button.link type="submit" { "Sign out" }
                    }
                }
            }
            main #main { h1 { (title) } (body) }
        }
    };
    (status, document(&whole)).into_response()
}

/// A page for somebody who is not signed in, and for what went wrong.
pub(crate) fn plain(status: StatusCode, title: &str, body: Markup) -> Response {
    let whole = html! {
        (head(title))
        body.plain {
            main #main { p.brand { "Hostler" } h1 { (title) } (body) }
        }
    };
    (status, document(&whole)).into_response()
}

/// The page of an operation that failed.
pub(crate) fn failed(visitor: &Visitor, at: Nav, failure: &Failure) -> Response {
    let title = match failure.code {
        ErrorCode::NotFound => "Not found",
        ErrorCode::Forbidden | ErrorCode::Unauthorized => "Not allowed",
        ErrorCode::InvalidArgument
        | ErrorCode::Conflict
        | ErrorCode::HostOffline
        | ErrorCode::Timeout
        | ErrorCode::PreconditionFailed
        | ErrorCode::HostError
        | ErrorCode::RateLimited
        | ErrorCode::Unsupported => "That did not work",
    };
    with_status(
        status_of(failure.code),
        visitor,
        at,
        title,
        problem(failure),
    )
}

/// What went wrong, in words, to stand in a page.
pub(crate) fn problem(failure: &Failure) -> Markup {
    html! {
        div.problem role="alert" {
            p { (failure.message) }
            @if let Some(hint) = &failure.hint { p.hint { (hint) } }
            @if let Some(detail) = &failure.detail { pre { (detail) } }
        }
    }
}

/// The hidden field that proves that a form is ours.
pub(crate) fn csrf(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="csrf" value=(visitor.csrf); }
}

/// The HTTP status that goes with a failure.
pub(crate) fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::InvalidArgument | ErrorCode::Unsupported => StatusCode::BAD_REQUEST,
        ErrorCode::Conflict | ErrorCode::PreconditionFailed => StatusCode::CONFLICT,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::HostOffline | ErrorCode::Timeout | ErrorCode::HostError => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · Hostler" }
            link rel="stylesheet" href=(assets::CSS.url());
        }
    }
}

fn document(whole: &Markup) -> Markup {
    html! { (DOCTYPE) html lang="en" { (whole) } }
}
