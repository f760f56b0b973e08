//! The frame around every page: head, navigation, title, and what stands above the content.
//!
//! It knows no noun's data. Text is escaped by maud wherever it stands, and what would turn or hide text
//! is taken out of every page. Parts of pages are in `parts`.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hostler_proto::error::{ErrorCode, Failure};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::assets::{self, Asset};
pub(crate) use super::flash::redirect;
use super::text;
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

/// A page for somebody who is signed in, put together piece by piece.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    visitor: &'a Visitor,
    at: Nav,
    title: &'a str,
    status: StatusCode,
    crumbs: Vec<(&'a str, String)>,
    beside: Markup,
    actions: Markup,
    tabs: Markup,
    scripts: Vec<Asset>,
}

impl<'a> Page<'a> {
    /// A page called `title` in a part of the console.
    pub(crate) fn new(visitor: &'a Visitor, at: Nav, title: &'a str) -> Self {
        Self {
            visitor,
            at,
            title,
            status: StatusCode::OK,
            crumbs: Vec::new(),
            beside: html! {},
            actions: html! {},
            tabs: html! {},
            scripts: vec![assets::JS],
        }
    }

    /// Answered with another status than 200.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// A page it stands under, shown above the title; outermost first.
    pub(crate) fn under(mut self, name: &'a str, path: impl Into<String>) -> Self {
        self.crumbs.push((name, path.into()));
        self
    }

    /// What stands beside the title: a badge.
    pub(crate) fn beside(mut self, beside: Markup) -> Self {
        self.beside = beside;
        self
    }

    /// Links and buttons at the end of the title's line.
    pub(crate) fn actions(mut self, actions: Markup) -> Self {
        self.actions = actions;
        self
    }

    /// Tabs under the title, from `parts::tabs`.
    pub(crate) fn tabs(mut self, tabs: Markup) -> Self {
        self.tabs = tabs;
        self
    }

    /// A script of a live part.
    pub(crate) fn script(mut self, script: Asset) -> Self {
        self.scripts.push(script);
        self
    }

    /// The page with its content.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "markup is made where it is passed"
    )]
    pub(crate) fn body(self, body: Markup) -> Response {
        let whole = html! {
            (head(self.title, &self.scripts))
            body data-org=(self.visitor.caller.org_id) {
                a.skip href="#main" { "Skip to content" }
                (top(self.visitor, self.at))
                main #main tabindex="-1" {
                    (crumbs(&self.crumbs))
                    div.title { h1 { (self.title) } (self.beside) div.actions { (self.actions) } }
                    (self.tabs)
                    @if let Some(said) = &self.visitor.said { div.said role="status" { p { (said) } } }
                    (body)
                }
            }
        };
        (self.status, document(&whole)).into_response()
    }
}

/// A page for somebody who is signed in.
pub(crate) fn page(visitor: &Visitor, at: Nav, title: &str, body: Markup) -> Response {
    Page::new(visitor, at, title).body(body)
}

/// A page for somebody who is signed in, answered with another status than 200.
pub(crate) fn with_status(
    status: StatusCode,
    visitor: &Visitor,
    at: Nav,
    title: &str,
    body: Markup,
) -> Response {
    Page::new(visitor, at, title).status(status).body(body)
}

/// A page for somebody who is not signed in, and for what went wrong.
#[expect(
    clippy::needless_pass_by_value,
    reason = "markup is made where it is passed"
)]
pub(crate) fn plain(status: StatusCode, title: &str, body: Markup) -> Response {
    let whole = html! {
        (head(title, &[assets::JS]))
        body.plain {
            main #main {
                p { a.brand href="/" { img src=(assets::ICON.url()) alt=""; "Hostler" } }
                h1 { (title) }
                (body)
            }
        }
    };
    (status, document(&whole)).into_response()
}

/// The page of a request that was not let in.
pub(crate) fn problem_page(status: StatusCode, message: &str, hint: &str) -> Response {
    let failure = Failure::new(ErrorCode::InvalidArgument, message).hint(hint);
    plain(status, "That did not work", problem(&failure))
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
    let body = html! {
        (problem(failure))
        @if failure.code == ErrorCode::NotFound && visitor.orgs.len() > 1
            && let Some(org) = visitor.membership() {
            p.hint {
                "You work in " (org.name) " now. What is of " a href="/organizations" { "another of your organizations" }
                " is not seen from here."
            }
        }
        @if let Some((_, name, path)) = Nav::ALL.into_iter().find(|(nav, _, _)| *nav == at) {
            p { a href=(path) { "Back to " (name) } }
        }
    };
    with_status(status_of(failure.code), visitor, at, title, body)
}

/// What went wrong, in words, to stand in a page. It takes the focus, so that it is read first.
pub(crate) fn problem(failure: &Failure) -> Markup {
    html! {
        div.problem role="alert" tabindex="-1" autofocus {
            p { (sentence(&failure.message)) }
            @if let Some(hint) = failure.hint.as_deref().filter(|hint| is_for_people(hint)) {
                p.hint { (sentence(hint)) }
            }
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

fn top(visitor: &Visitor, at: Nav) -> Markup {
    html! {
        header.top {
            div.top-row {
                a.brand href="/" { img src=(assets::ICON.url()) alt=""; "Hostler" }
                @if let Some(org) = visitor.membership() {
                    a.org href="/organizations" title="Change organization" { (org.name) }
                }
                div.who {
                    a.name href="/settings/profile" { (visitor.name) }
                    form method="post" action="/sign-out" {
                        (csrf(visitor))
                        button.link type="submit" { "Sign out" }
                    }
                }
            }
            nav aria-label="Main" {
                @for (nav, name, path) in Nav::ALL {
                    a href=(path) aria-current=[(nav == at).then_some("page")] { (name) }
                }
            }
        }
    }
}

fn crumbs(crumbs: &[(&str, String)]) -> Markup {
    html! {
        @if !crumbs.is_empty() {
            nav.crumbs aria-label="Breadcrumb" {
                ol { @for (name, path) in crumbs { li { a href=(path) { (name) } } } }
            }
        }
    }
}

/// Some hints name tools and their arguments; those are for programs.
fn is_for_people(hint: &str) -> bool {
    const TOOLS: [&str; 6] = [
        "_list",
        "_get",
        "_create",
        "_update",
        "_delete",
        "force: true",
    ];
    !TOOLS.iter().any(|word| hint.contains(word))
}

/// Failures begin in lower case, because tools put them into sentences; a page begins with them.
pub(super) fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).collect()
}

fn head(title: &str, scripts: &[Asset]) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · Hostler" }
            link rel="icon" type="image/svg+xml" href=(assets::ICON.url());
            link rel="stylesheet" href=(assets::CSS.url());
            @for script in scripts { script defer src=(script.url()) {} }
        }
    }
}

fn document(whole: &Markup) -> Markup {
    let page = html! { (DOCTYPE) html lang="en" { (whole) } };
    PreEscaped(text::harmless(page.into_string()))
}
