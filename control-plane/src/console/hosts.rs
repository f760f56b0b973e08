//! Hosts: the list, adding one, and what a person does to one.
//!
//! What is live is looked at again by a small script; without it the page is as of when it was
//! opened.

mod add;
mod page;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use hostler_proto::error::Failure;
use maud::{Markup, html};
use serde::Deserialize;

use super::assets::LIVE;
use super::layout::{self, Nav, Page, redirect};
use super::parts::{Tone, badge, empty, table, when};
use super::{Checked, SignedIn};
use crate::console::Path;
use crate::hosts_catalog::manage::{self, Right};
use crate::hosts_catalog::{HostView, members, show};
use crate::{App, clock};
use page::Kept;

/// The routes of these pages.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/hosts", get(list))
        .route("/hosts/add", get(add::page).post(add::issue))
        .route("/hosts/add/withdraw", post(add::withdraw))
        .route("/hosts/{host}", get(detail))
        .route("/hosts/{host}/rename", post(rename))
        .route("/hosts/{host}/revoke", post(revoke))
        .route("/hosts/{host}/grant", post(grant))
        .route("/hosts/{host}/ungrant", post(ungrant))
        .route("/hosts/{host}/transfer", post(transfer))
        .route("/hosts/{host}/confirm", post(confirm))
}

#[derive(Deserialize)]
struct Nothing {}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Member {
    #[serde(default)]
    member: String,
}

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    right: String,
}

async fn list(State(app): State<App>, SignedIn(visitor): SignedIn) -> Response {
    let hosts = match show::all(&app, &visitor.caller).await {
        Ok(hosts) => hosts,
        Err(failure) => return layout::failed(&visitor, Nav::Hosts, &failure),
    };
    let add = html! { a.button.main href="/hosts/add" { "Add host" } };
    let now = clock::wall();
    let rows: Vec<_> = hosts
        .iter()
        .map(|(host, may)| row(host, *may, now))
        .collect();
    let body = if rows.is_empty() {
        empty(
            "No hosts yet",
            html! {
                p { "A host is a machine on which agents work. Enrol one with a single command." }
                p { a.button.main href="/hosts/add" { "Add host" } }
            },
        )
    } else {
        let columns = [
            "Name",
            "State",
            "System",
            "Load#",
            "Disk free#",
            "Runs#",
            "Agents",
        ];
        html! { div #hosts data-live { (table("Hosts", &columns, rows)) } }
    };
    Page::new(&visitor, Nav::Hosts, "Hosts")
        .actions(add)
        .script(LIVE)
        .body(body)
}

fn row(host: &HostView, may: bool, now: hostler_proto::time::UtcMillis) -> Vec<Markup> {
    let facts = host.facts.as_ref();
    let load = host.load.as_ref().map(|(load, _)| load);
    let agents = facts.map(|facts| {
        let there = facts.agents.iter().filter(|agent| agent.available);
        there
            .map(|agent| agent.id.clone())
            .collect::<Vec<_>>()
            .join(", ")
    });
    let warnings = show::warnings(host).len();
    vec![
        html! { a href=(format!("/hosts/{}", host.id)) { (host.name) } @if !may { " " span.tag { "no access" } } },
        html! { (state(host)) @if !host.online { " " (seen(host, now)) } @if warnings > 0 { " " (badge(Tone::Wait, "look")) } },
        html! { @if let Some(facts) = facts { (facts.os) "/" (facts.arch) } },
        html! { @if let Some(load) = load { (format!("{:.2}", load.load_1m)) } },
        html! { @if let Some(load) = load { (size(load.disk_free_bytes)) } },
        html! { @if let Some(load) = load { (load.running_runs) } },
        html! { @if let Some(agents) = agents { (agents) } },
    ]
}

async fn detail(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Path(host): Path<String>,
) -> Response {
    page::render(&app, &visitor, &host, Kept::default()).await
}

async fn rename(
    State(app): State<App>,
    Path(host): Path<String>,
    Checked { visitor, form }: Checked<Named>,
) -> Response {
    match manage::rename(&app, &visitor.caller, &host, &form.name).await {
        Ok(row) => redirect(
            &path(row.id),
            &format!("The host is called {} now.", row.name),
        ),
        Err(failure) => {
            let kept = Kept {
                name: Some(form.name),
                ..Kept::of(failure)
            };
            page::render(&app, &visitor, &host, kept).await
        }
    }
}

async fn revoke(
    State(app): State<App>,
    Path(host): Path<String>,
    Checked { visitor, .. }: Checked<Nothing>,
) -> Response {
    match manage::revoke(&app, &visitor.caller, &host).await {
        Ok(removed) => {
            let paused = removed.automations;
            let said = format!(
                "The host was removed; {paused} automations are paused until they are moved."
            );
            redirect("/hosts", &said)
        }
        Err(failure) => page::render(&app, &visitor, &host, Kept::of(failure)).await,
    }
}

async fn grant(
    State(app): State<App>,
    Path(host): Path<String>,
    Checked { visitor, form }: Checked<Member>,
) -> Response {
    let granted = members::grant(&app, &visitor.caller, &host, &form.member).await;
    let said = granted.map(|member| format!("{} may use this host.", member.email));
    changed(&app, &visitor, &host, said, form.member).await
}

async fn ungrant(
    State(app): State<App>,
    Path(host): Path<String>,
    Checked { visitor, form }: Checked<Member>,
) -> Response {
    let taken = members::ungrant(&app, &visitor.caller, &host, &form.member).await;
    let said = taken.map(|member| format!("{} may not use this host any more.", member.email));
    changed(&app, &visitor, &host, said, String::new()).await
}

async fn transfer(
    State(app): State<App>,
    Path(host): Path<String>,
    Checked { visitor, form }: Checked<Member>,
) -> Response {
    match manage::transfer(&app, &visitor.caller, &host, &form.member).await {
        Ok(row) => redirect(
            "/hosts",
            &format!("Host {} is {}'s now.", row.name, form.member),
        ),
        Err(failure) => page::render(&app, &visitor, &host, Kept::of(failure)).await,
    }
}

async fn confirm(
    State(app): State<App>,
    Path(host): Path<String>,
    Checked { visitor, form }: Checked<Which>,
) -> Response {
    let right = if form.right == "new" {
        Right::New
    } else {
        Right::Old
    };
    let said = manage::confirm(&app, &visitor.caller, &host, right).await;
    let said = said.map(|_| match right {
        Right::New => {
            "The machine that was refused is the host now; it connects within a minute.".to_owned()
        }
        Right::Old => "The host stays on the machine it was on.".to_owned(),
    });
    changed(&app, &visitor, &host, said, String::new()).await
}

/// Back to the host's page, with what was done; or the page as it was, with what went wrong.
async fn changed(
    app: &App,
    visitor: &crate::auth::session::Visitor,
    host: &str,
    said: Result<String, Failure>,
    member: String,
) -> Response {
    match said {
        Ok(said) => redirect(&format!("/hosts/{host}"), &said),
        Err(failure) => {
            let kept = Kept {
                member,
                ..Kept::of(failure)
            };
            page::render(app, visitor, host, kept).await
        }
    }
}

fn path(id: hostler_proto::ids::HostId) -> String {
    format!("/hosts/{id}")
}

fn state(host: &HostView) -> Markup {
    if host.online {
        badge(Tone::Good, "online")
    } else {
        badge(Tone::Off, "offline")
    }
}

fn seen(host: &HostView, now: hostler_proto::time::UtcMillis) -> Markup {
    html! {
        span.muted {
            @if let Some(at) = host.last_seen_at { "since " (when(at, now)) } @else { "never connected" }
        }
    }
}

/// Bytes as people say them.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut unit = "B";
    for next in UNITS {
        if value < 10 * 1024 {
            break;
        }
        value /= 1024;
        unit = next;
    }
    format!("{value} {unit}")
}
