//! Adding a host: a single-use key, shown once with the command it is for.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use crate::auth::session::Visitor;
use crate::console::layout::{self, Nav, Page, redirect};
use crate::console::parts::{copy_box, table, when};
use crate::console::{Checked, SignedIn};
use crate::hosts_catalog::keys::{self, EnrolmentKey};
use crate::store::tokens::TokenRow;
use crate::{App, clock};

#[derive(Deserialize)]
pub(super) struct Nothing {}

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    key: String,
}

pub(super) async fn page(State(app): State<App>, SignedIn(visitor): SignedIn) -> Response {
    render(&app, &visitor, None).await
}

/// Makes a key and shows it: this is the only time it can be seen.
pub(super) async fn issue(
    State(app): State<App>,
    Checked { visitor, .. }: Checked<Nothing>,
) -> Response {
    match keys::issue(&app, &visitor.caller).await {
        Ok(key) => render(&app, &visitor, Some(key)).await,
        Err(failure) => layout::failed(&visitor, Nav::Hosts, &failure),
    }
}

pub(super) async fn withdraw(
    State(app): State<App>,
    Checked { visitor, form }: Checked<Which>,
) -> Response {
    match keys::withdraw(&app, &visitor.caller, &form.key).await {
        Ok(_) => redirect("/hosts/add", "That key enrols nothing any more."),
        Err(failure) => layout::failed(&visitor, Nav::Hosts, &failure),
    }
}

async fn render(app: &App, visitor: &Visitor, fresh: Option<EnrolmentKey>) -> Response {
    let open = match keys::open(app, &visitor.caller).await {
        Ok(open) => open,
        Err(failure) => return layout::failed(visitor, Nav::Hosts, &failure),
    };
    let url = &app.server.url;
    let body = html! {
        @match &fresh {
            Some(key) => (shown(url, key)),
            None => (explained(visitor, url)),
        }
        @if !open.is_empty() { (open_keys(visitor, &open)) }
    };
    Page::new(visitor, Nav::Hosts, "Add host")
        .under("Hosts", "/hosts")
        .body(body)
}

fn explained(visitor: &Visitor, url: &str) -> Markup {
    html! {
        section {
            p { "A host is a machine on which agents work: a laptop, a build box. You will own it, and say who else may use it." }
            ol {
                li { "Install " code { "hostler" } " on that machine." }
                li { "Make a key here. It enrols one machine, within 15 minutes." }
                li { "Run the command shown with it there." }
            }
            form.inline method="post" action="/hosts/add" {
                (layout::csrf(visitor))
                button.main type="submit" { "Make an enrolment key" }
            }
        }
        section {
            h2 { "Without a key" }
            p { "Where a browser is at hand, or on a phone beside it, the machine can also ask by itself:" }
            (copy_box("by-device", "On the machine to enrol", &format!("hostler login {url} && hostler join {url} && hostler daemon")))
        }
    }
}

fn shown(url: &str, key: &EnrolmentKey) -> Markup {
    let command = format!("hostler join {url} --key {} && hostler daemon", key.secret);
    html! {
        section {
            p.note { "The key is shown this once. It enrols one machine, and is good until " (when(key.expires_at, clock::wall())) "." }
            (copy_box("command", "On the machine to enrol", &command))
            (copy_box("key", "The key alone", &key.secret))
            p { "The host appears in " a href="/hosts" { "Hosts" } " as soon as its daemon connects." }
        }
    }
}

fn open_keys(visitor: &Visitor, open: &[TokenRow]) -> Markup {
    let now = clock::wall();
    let rows = open.iter().map(|key| {
        vec![
            html! { code { (key.prefix) "…" } },
            html! { (key.email) },
            html! { @if let Some(at) = key.expires_at { (when(at, now)) } },
            html! {
                form.inline method="post" action="/hosts/add/withdraw" {
                    (layout::csrf(visitor))
                    input type="hidden" name="key" value=(key.id);
                    button.small type="submit" { "Withdraw" }
                }
            },
        ]
    });
    html! {
        section {
            h2 { "Keys not used yet" }
            (table("Enrolment keys", &["Key", "Made by", "Good until", ""], rows.collect()))
        }
    }
}
