//! The list of runs over all automations.

use axum::response::Response;
use form_urlencoded::Serializer;
use hostler_proto::error::Failure;
use hostler_proto::time::UtcMillis;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::field::Field;
use super::super::layout::{self, Nav};
use super::super::{moment, parts, text};
use super::states;
use crate::auth::session::Visitor;
use crate::runs::{self, ListRuns, ListedRun};
use crate::{App, automations, clock, hosts_catalog};

/// Runs of a page.
const PAGE: u32 = 50;

/// Which runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    q: String,
    state: String,
    host: String,
    automation: String,
    after: String,
}

pub(super) async fn page(
    app: &App,
    visitor: &Visitor,
    wanted: &Wanted,
) -> Result<Response, Failure> {
    let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let listed = runs::listed(
        app,
        &visitor.caller,
        ListRuns {
            name: some(&wanted.q),
            state: some(&wanted.state),
            automation: some(&wanted.automation),
            host: some(&wanted.host),
            after: some(&wanted.after),
            limit: PAGE,
        },
    )
    .await?;
    let only = match some(&wanted.automation) {
        Some(id) => Some(automations::get_with_deleted(app, &visitor.caller, &id).await?),
        None => None,
    };
    let now = clock::wall();
    let rows: Vec<_> = listed.runs.iter().map(|run| row(run, now)).collect();
    let columns = [
        "Planned for",
        "State",
        "Automation",
        "Why",
        "Took",
        "Host",
        "Did",
    ];
    let body = html! {
        (filters(app, visitor, wanted).await?)
        @if let Some(only) = &only {
            p {
                "Only runs of " a href=(format!("/automations/{}", only.automation.id)) { (text::line(&only.automation.name)) } ". "
                a href="/runs" { "Show all" }
            }
        }
        @if rows.is_empty() { (nothing(wanted)) } @else { (parts::table("Runs", &columns, rows)) }
        (pages(wanted, listed.next.as_deref()))
    };
    Ok(layout::page(visitor, Nav::Runs, "Runs", body))
}

fn row(listed: &ListedRun, now: UtcMillis) -> Vec<Markup> {
    let run = &listed.view.run;
    let zone = moment::zone(&listed.timezone);
    let path = format!("/runs/{}", run.id);
    let took = states::took(run, now);
    vec![
        html! { a href=(path) { (moment::at(run.scheduled_for, &zone)) } },
        states::badge(run.state.word()),
        html! { a href=(format!("/automations/{}", run.automation_id)) { (text::short(&listed.automation_name, 80)) } },
        html! { (trigger(run)) },
        html! { @if let Some(took) = took { span.nowrap { (took) } } },
        html! { (text::short(&listed.host_name, 60)) },
        html! { (states::summary(run)) },
    ]
}

/// Why a run exists, in two words.
pub(super) fn trigger(run: &hostler_proto::run::Run) -> String {
    use hostler_proto::run::Trigger;
    match run.trigger {
        Trigger::Schedule => "schedule".to_owned(),
        Trigger::Manual => "by hand".to_owned(),
        Trigger::Retry => format!("attempt {}", run.attempt),
    }
}

async fn filters(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Markup, Failure> {
    let any = |words: &str| vec![(String::new(), words.to_owned())];
    let mut all_states = any("Any state");
    let known = runs::STATES.iter();
    all_states.extend(known.map(|state| ((*state).to_owned(), states::words(state))));
    let mut all_hosts = any("Any host");
    let known = hosts_catalog::list(app, &visitor.caller, None).await?;
    all_hosts.extend(
        known
            .iter()
            .map(|host| (host.id.to_string(), text::short(&host.name, 60))),
    );
    Ok(html! {
        form.filters method="get" action="/runs" role="search" {
            (Field::search("q", "Automation").value(&wanted.q).quiet().most(200))
            (Field::select("state", "State", &all_states).value(&wanted.state))
            (Field::select("host", "Host", &all_hosts).value(&wanted.host))
            @if !wanted.automation.is_empty() {
                input type="hidden" name="automation" value=(wanted.automation);
            }
            button type="submit" { "Filter" }
        }
    })
}

fn nothing(wanted: &Wanted) -> Markup {
    let narrowed = [&wanted.q, &wanted.state, &wanted.host, &wanted.automation];
    if narrowed.iter().any(|text| !text.is_empty()) || !wanted.after.is_empty() {
        return parts::empty(
            "No such runs",
            html! { p { a href="/runs" { "Show all runs" } } },
        );
    }
    parts::empty(
        "No runs yet",
        html! {
            p { "A run is one execution of an automation. It appears here when its schedule fires, or when you run it by hand." }
            a.button href="/automations" { "Automations" }
        },
    )
}

fn pages(wanted: &Wanted, next: Option<&str>) -> Markup {
    let link = |after: Option<&str>| {
        let mut query = Serializer::new(String::new());
        let given = [
            ("q", &wanted.q),
            ("state", &wanted.state),
            ("host", &wanted.host),
            ("automation", &wanted.automation),
        ];
        for (name, value) in given.iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        if let Some(after) = after {
            query.append_pair("after", after);
        }
        format!("/runs?{}", query.finish())
    };
    html! {
        @if next.is_some() || !wanted.after.is_empty() {
            nav.pager aria-label="Pages" {
                span { "Newest first" }
                div.actions {
                    @if !wanted.after.is_empty() { a.button.small href=(link(None)) { "Newest" } }
                    @if let Some(next) = next { a.button.small rel="next" href=(link(Some(next))) { "Older" } }
                }
            }
        }
    }
}
