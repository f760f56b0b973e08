//! Settings > Audit log: who did what, by filters, in pages, and as a file.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use hostler_proto::error::Failure;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::SignedIn;
use super::field::Field;
use super::input::{PAGE, given, query};
use super::layout::{self, Nav, Page};
use super::parts::{empty, settings_tabs, table, when};
use crate::audit::{self, Entry, Filter};
use crate::auth::session::Visitor;
use crate::console::Query;
use crate::names::shortened;
use crate::{App, api, clock};

const HERE: &str = "/settings/audit";

/// The routes of these pages.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/settings/audit", get(list))
        .route("/settings/audit/export", get(export))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    actor: String,
    action: String,
    thing: String,
    id: String,
    before: Option<u64>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    format: String,
}

async fn list(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Query(asked): Query<Asked>,
) -> Response {
    match found(&app, &visitor, &asked).await {
        Ok(body) => Page::new(&visitor, Nav::Settings, "Audit log")
            .tabs(settings_tabs(HERE))
            .actions(html! {
                a.button href="/settings/audit/export?format=csv" { "Export CSV" }
                a.button href="/settings/audit/export?format=jsonl" { "Export JSON Lines" }
            })
            .body(body),
        Err(failure) => layout::failed(&visitor, Nav::Settings, &failure),
    }
}

async fn export(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Query(asked): Query<File>,
) -> Response {
    let file = api::exported(app, visitor.caller.clone(), &asked.format);
    file.unwrap_or_else(|failure| layout::failed(&visitor, Nav::Settings, &failure))
}

async fn found(app: &App, visitor: &Visitor, asked: &Asked) -> Result<Markup, Failure> {
    let filter = Filter {
        actor: given(&asked.actor),
        action: given(&asked.action),
        thing: given(&asked.thing),
        thing_id: given(&asked.id),
        ..Filter::default()
    };
    let caller = &visitor.caller;
    let mut entries = audit::list(app, caller, &filter, asked.before, PAGE + 1).await?;
    let more = entries.len() > PAGE as usize;
    entries.truncate(PAGE as usize);
    let older = entries
        .last()
        .filter(|_| more)
        .map(|last| older(asked, last.seq));
    Ok(html! {
        form.filters method="get" action=(HERE) role="search" {
            (Field::search("thing", "Thing").value(&asked.thing).quiet())
            (Field::text("actor", "Who").value(&asked.actor).quiet())
            (Field::text("action", "Action").value(&asked.action).quiet())
            @if !asked.id.is_empty() { input type="hidden" name="id" value=(asked.id); }
            button type="submit" { "Filter" }
            @if filter != Filter::default() { a.button href=(HERE) { "Show all" } }
        }
        @if entries.is_empty() {
            (empty("No entries", html! { p { "Nothing that fits was done." } }))
        } @else {
            (listed(&entries))
        }
        nav.pager aria-label="Pages" {
            span {}
            div.actions {
                @if asked.before.is_some() { a.button.small href=(first(asked)) { "Newest" } }
                @if let Some(older) = older { a.button.small rel="next" href=(older) { "Older" } }
            }
        }
    })
}

fn first(asked: &Asked) -> String {
    let pairs = [
        ("thing", &*asked.thing),
        ("actor", &asked.actor),
        ("action", &asked.action),
        ("id", &asked.id),
    ];
    format!("{HERE}?{}", query(&pairs))
}

fn older(asked: &Asked, seq: u64) -> String {
    format!("{}&before={seq}", first(asked))
}

fn listed(entries: &[Entry]) -> Markup {
    let now = clock::wall();
    let rows = entries.iter().map(|entry| {
        vec![
            when(entry.at, now),
            html! {
                a href=(by("actor", &entry.actor)) { (entry.actor) }
                div.muted { (entry.client) @if let Some(address) = &entry.address { ", " (address) } }
            },
            html! { a.mono href=(by("action", &entry.action)) { (entry.action) } },
            html! {
                span.muted { (entry.thing_kind) } " "
                a href=(by("id", &entry.thing_id)) title=(entry.thing_id) { (called(entry)) }
                @if let Some(detail) = &entry.detail { div.muted { (shortened(&in_words(detail))) } }
            },
        ]
    });
    let columns = ["When", "Who", "Action", "Thing"];
    table("Audit log", &columns, rows.collect())
}

/// The detail's names and values; what is nested stays as it is written.
fn in_words(detail: &str) -> String {
    let said = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(all) if all.iter().all(Value::is_string) => {
            let all: Vec<_> = all.iter().filter_map(Value::as_str).collect();
            all.join(", ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    match serde_json::from_str(detail) {
        Ok(Value::Object(fields)) => {
            let all = fields
                .iter()
                .map(|(name, value)| format!("{name}: {}", said(value)));
            all.collect::<Vec<_>>().join("; ")
        }
        Ok(_) | Err(_) => detail.to_owned(),
    }
}

/// What its thing is called, else its id.
fn called(entry: &Entry) -> String {
    if entry.thing_name.is_empty() {
        return entry.thing_id.clone();
    }
    shortened(&entry.thing_name)
}

fn by(name: &str, value: &str) -> String {
    format!("{HERE}?{}", query(&[(name, value)]))
}
