//! The past of an automation: every instant with what became of it and why, and every change made to
//! it, in one list, newest first. It is what `hostler automations history` shows.

use std::cmp::Reverse;

use hostler_proto::error::Failure;
use hostler_proto::run::RunState;
use hostler_proto::time::UtcMillis;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::parts::{self, Paging, Tone};
use super::super::runs::states;
use super::super::{moment, text};
use super::fields::sentence;
use crate::App;
use crate::auth::session::Visitor;
use crate::automations::AutomationView;
use crate::history::{self, Told};
use crate::store::changes::ChangeRow;

/// Runs of a page.
const PAGE: u32 = 50;

pub(super) async fn section(
    app: &App,
    visitor: &Visitor,
    one: &AutomationView,
    offset: u32,
) -> Result<Markup, Failure> {
    // The run before the page tells which changes stood on the page before.
    let before = u32::from(offset > 0);
    let id = one.id.to_string();
    let (limit, from) = (PAGE + before, offset - before);
    let mut past = history::bare(app, &visitor.caller, &id, limit, from).await?;
    let newest = (before == 1 && !past.runs.is_empty()).then(|| instant(&past.runs.remove(0)));
    let oldest = past.runs.last().filter(|_| past.has_more).map(instant);
    let zone = moment::zone(&one.schedule.timezone);
    let here = |change: &&ChangeRow| {
        newest.is_none_or(|newest| change.at < newest)
            && oldest.is_none_or(|oldest| change.at >= oldest)
    };
    let changes = past.changes.iter().flatten().filter(here);
    let mut rows: Vec<(UtcMillis, Vec<Markup>)> = changes
        .map(|change| (change.at, change_row(change, &zone)))
        .chain(
            past.runs
                .iter()
                .map(|told| (instant(told), run_row(told, &zone))),
        )
        .collect();
    rows.sort_by_key(|(at, _)| Reverse(*at));
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    let path = format!("/automations/{}", one.id);
    Ok(html! {
        section #history {
            div.section-head {
                h2 { "History " span.count { (past.total) } }
                a.button.small href=(format!("/runs?automation={}", one.id)) { "Runs alone" }
            }
            @for note in &past.notes { p.note { (sentence(&text::shown(&moment::localised(note, &zone)))) } }
            @if rows.is_empty() { p.muted { "Nothing yet." } }
            @else { (parts::table("History", &["When", "What", "Why", "Host"], rows)) }
            (parts::pager(&Paging { path: &path, query: "", offset: offset.into(), limit: PAGE.into(), total: past.total }))
        }
    })
}

fn run_row(told: &Told, zone: &TimeZone) -> Vec<Markup> {
    let run = &told.run.run;
    let when = html! { a href=(format!("/runs/{}", run.id)) { (span(told, zone)) } };
    let did = states::summary(run);
    let skipped = matches!(run.state, RunState::Skipped { .. });
    vec![
        when,
        states::badge(run.state.word()),
        html! { div {
            (sentence(&text::shown(&moment::localised(&told.explanation, zone))))
            @if !did.is_empty() && !skipped { br; span.muted { (did) } }
        } },
        html! { (text::short(&told.host_name, 60)) },
    ]
}

fn change_row(change: &ChangeRow, zone: &TimeZone) -> Vec<Markup> {
    vec![
        moment::at(change.at, zone),
        parts::badge(Tone::Off, "change"),
        html! { (sentence(&text::shown(&moment::localised(&change.what, zone)))) },
        html! {},
    ]
}

/// An instant, or the first and last of several with their number.
fn span(told: &Told, zone: &TimeZone) -> Markup {
    let run = &told.run.run;
    let first = moment::at(run.scheduled_for, zone);
    match &run.state {
        RunState::Skipped {
            count,
            until: Some(until),
            ..
        } if *count > 1 => {
            html! { (first) " to " (moment::at(*until, zone)) " (" (count) " instants)" }
        }
        RunState::Skipped { .. }
        | RunState::Queued
        | RunState::Preparing { .. }
        | RunState::Running { .. }
        | RunState::Finished(_) => first,
    }
}

fn instant(told: &Told) -> UtcMillis {
    let run = &told.run.run;
    match &run.state {
        RunState::Skipped {
            until: Some(until), ..
        } => *until,
        RunState::Skipped { until: None, .. }
        | RunState::Queued
        | RunState::Preparing { .. }
        | RunState::Running { .. }
        | RunState::Finished(_) => run.scheduled_for,
    }
}
