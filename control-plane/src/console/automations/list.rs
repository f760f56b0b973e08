//! The list of automations.

use axum::response::Response;
use form_urlencoded::Serializer;
use hostler_proto::automation::StopReason;
use hostler_proto::error::Failure;
use hostler_proto::run::Run;
use hostler_proto::time::UtcMillis;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::field::Field;
use super::super::layout::{Nav, Page};
use super::super::parts::{self, Paging, Tone};
use super::super::runs::states;
use super::super::{moment, text};
use crate::auth::session::Visitor;
use crate::automations::{self, AutomationView, ListAutomations};
use crate::{App, clock, hosts_catalog};

/// Automations of a page.
const PAGE: u32 = 50;

/// Outcomes shown of each.
const MARKS: u32 = 20;

/// Which automations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    q: String,
    show: String,
    host: String,
    offset: u32,
}

pub(super) async fn page(
    app: &App,
    visitor: &Visitor,
    wanted: &Wanted,
) -> Result<Response, Failure> {
    let name = Some(wanted.q.trim().to_owned()).filter(|name| !name.is_empty());
    let input = ListAutomations {
        name,
        enabled: match wanted.show.as_str() {
            "enabled" => Some(true),
            "paused" => Some(false),
            _ => None,
        },
        host: wanted.host.parse().ok(),
        deleted: wanted.show == "deleted",
        limit: PAGE,
        offset: wanted.offset,
    };
    let page = automations::list(app, &visitor.caller, input).await?;
    let runs = automations::last_runs(app, &page.automations, MARKS).await?;
    let now = clock::wall();
    let rows: Vec<_> = page
        .automations
        .iter()
        .zip(&runs)
        .map(|(one, runs)| row(one, runs, now))
        .collect();
    let columns = [
        "Name", "State", "Next run", "Last run", "Outcomes", "Schedule", "Host",
    ];
    let query = query(wanted);
    let body = html! {
        (filters(app, visitor, wanted).await?)
        @if rows.is_empty() { (nothing(wanted)) } @else { (parts::table("Automations", &columns, rows)) }
        (parts::pager(&Paging { path: "/automations", query: &query, offset: wanted.offset.into(), limit: PAGE.into(), total: page.total }))
    };
    Ok(Page::new(visitor, Nav::Automations, "Automations")
        .actions(html! { a.button.main href="/automations/new" { "New automation" } })
        .body(body))
}

fn row(one: &AutomationView, runs: &[Run], now: UtcMillis) -> Vec<Markup> {
    let zone = moment::zone(&one.schedule.timezone);
    let name = text::short(&one.name, 80);
    let runs: Vec<&Run> = runs.iter().collect();
    let reason = one
        .paused_reason
        .as_deref()
        .filter(|_| one.deleted_at.is_none());
    vec![
        html! { a href=(format!("/automations/{}", one.id)) { (name) } span.tag { (text::short(&one.agent, 40)) } },
        html! { div { (state(one)) @if let Some(reason) = reason { br; span.hint { (text::short(&moment::localised(reason, &zone), 120)) } } } },
        html! { @if let Some(next) = one.next_run_at { div { (moment::at(next, &zone)) br; span.muted { (parts::when(next, now)) } } } },
        html! { @if let Some(last) = &one.last_run { div { a href=(format!("/runs/{}", last.run_id)) { (moment::at(last.at, &zone)) } br; (states::badge(last.state)) } } },
        states::strip(&name, &runs, &zone),
        html! { (text::line(&one.schedule_text)) },
        html! { div { (text::short(&one.host_name, 60)) @if !one.host_online { br; span.tag { "offline" } } } },
    ]
}

/// Whether it fires.
pub(super) fn state(one: &AutomationView) -> Markup {
    if one.deleted_at.is_some() {
        return parts::badge(Tone::Off, "deleted");
    }
    match (&one.stopped, one.enabled) {
        (Some(StopReason::Finished), _) => parts::badge(Tone::Off, "finished"),
        (Some(StopReason::Failures { .. }), _) => parts::badge(Tone::Bad, "paused"),
        (Some(StopReason::Unplannable { .. }), _) => parts::badge(Tone::Bad, "not planned"),
        (None, true) => parts::badge(Tone::Good, "enabled"),
        (None, false) => parts::badge(Tone::Wait, "paused"),
    }
}

async fn filters(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Markup, Failure> {
    let show = [
        ("", "All"),
        ("enabled", "Enabled"),
        ("paused", "Paused"),
        ("deleted", "Deleted"),
    ];
    let show = show.map(|(value, words)| (value.to_owned(), words.to_owned()));
    let mut hosts = vec![(String::new(), "Any host".to_owned())];
    let known = hosts_catalog::list(app, &visitor.caller, None).await?;
    hosts.extend(
        known
            .iter()
            .map(|host| (host.id.to_string(), text::short(&host.name, 60))),
    );
    Ok(html! {
        form.filters method="get" action="/automations" role="search" {
            (Field::search("q", "Name").value(&wanted.q).quiet().most(200))
            (Field::select("show", "Show", &show).value(&wanted.show))
            (Field::select("host", "Host", &hosts).value(&wanted.host))
            button type="submit" { "Filter" }
        }
    })
}

fn nothing(wanted: &Wanted) -> Markup {
    if !wanted.q.is_empty() || !wanted.show.is_empty() || !wanted.host.is_empty() {
        return parts::empty(
            "No such automations",
            html! { p { a href="/automations" { "Show all automations" } } },
        );
    }
    parts::empty(
        "No automations yet",
        html! {
            p { "An automation gives a coding agent a prompt on a schedule, on one of your hosts, also while this server is away." }
            a.button.main href="/automations/new" { "New automation" }
        },
    )
}

fn query(wanted: &Wanted) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in [
        ("q", &wanted.q),
        ("show", &wanted.show),
        ("host", &wanted.host),
    ] {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    query.finish()
}
