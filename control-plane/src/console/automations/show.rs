//! One automation: what it does, when, what comes next, and its past.

use axum::response::Response;
use hostler_proto::automation::{Autonomy, CatchUp, KeepWorkspace, Overlap, Policies};
use hostler_proto::error::Failure;
use hostler_proto::run::Run;
use hostler_proto::time::UtcMillis;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::layout::{Nav, Page};
use super::super::runs::states;
use super::super::{moment, parts, text};
use super::editor::instants;
use super::{history, list};
use crate::auth::session::Visitor;
use crate::automations::{self, AutomationView, Preview};
use crate::{App, clock, projects, workspaces};

/// Outcomes shown in the strip.
const MARKS: u32 = 20;

/// Which part of the past.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    offset: u32,
}

pub(super) async fn page(
    app: &App,
    visitor: &Visitor,
    id: &str,
    wanted: Wanted,
) -> Result<Response, Failure> {
    let caller = &visitor.caller;
    let one = automations::get_with_deleted(app, caller, id)
        .await?
        .automation;
    let zone = moment::zone(&one.schedule.timezone);
    let coming = match one.deleted_at {
        Some(_) => None,
        None => automations::coming(app, caller, id).await?,
    };
    let runs = automations::last_runs(app, std::slice::from_ref(&one), MARKS).await?;
    let runs: Vec<&Run> = runs.iter().flatten().collect();
    let place = place(app, visitor, &one).await;
    let now = clock::wall();
    let past = history::section(app, visitor, &one, wanted.offset).await?;
    let name = text::short(&one.name, 120);
    let body = html! {
        (stopped(&one, &zone))
        div.split.even {
            section.card {
                h2 { "What and where" }
                (facts(&one, place, &runs, &zone, now))
                (policies(&one.policies))
            }
            section.card { h2 { "The next times" } (next(&one, coming.as_ref())) }
        }
        (past)
    };
    Ok(Page::new(visitor, Nav::Automations, &name)
        .under("Automations", "/automations")
        .beside(list::state(&one))
        .actions(actions(visitor, &one))
        .body(body))
}

fn actions(visitor: &Visitor, one: &AutomationView) -> Markup {
    let path = |what: &str| format!("/automations/{}/{what}", one.id);
    let what = html! {
        p { "Its schedule stops at once, and queued runs are cancelled. A run that is going on finishes; past runs and their logs stay. This cannot be undone." }
    };
    html! {
        @if one.deleted_at.is_none() {
            (parts::post_button(visitor, &path("run"), "Run now", "main"))
            @if one.enabled { (parts::post_button(visitor, &path("pause"), "Pause", "")) }
            @else { (parts::post_button(visitor, &path("resume"), "Resume", "main")) }
            a.button href=(path("edit")) { "Edit" }
            (parts::confirm(visitor, "Delete…", what, &path("delete"), "Delete automation"))
        }
    }
}

/// Why it does not fire.
fn stopped(one: &AutomationView, zone: &TimeZone) -> Markup {
    html! {
        @if let Some(at) = one.deleted_at {
            div.note { p { "Deleted " (moment::at(at, zone)) ". Its runs stay readable." } }
        } @else if let Some(reason) = &one.paused_reason {
            div.note { p { "It does not fire: " (text::shown(&moment::localised(reason, zone))) "." } }
        }
    }
}

fn facts(
    one: &AutomationView,
    place: Markup,
    runs: &[&Run],
    zone: &TimeZone,
    now: UtcMillis,
) -> Markup {
    let prompt = format!("/automations/{}/prompt", one.id);
    let deleted = one.deleted_at.is_some();
    let mut facts = vec![
        (
            "Schedule",
            html! { (text::line(&one.schedule_text)) br; code.muted { (text::shown(&one.schedule.rrule)) } },
        ),
        ("Time zone", html! { (text::line(&one.schedule.timezone)) }),
        ("Agent", html! { (text::line(&one.agent)) }),
        (
            "Host",
            html! { a href=(format!("/hosts/{}", one.host_id)) { (text::line(&one.host_name)) } @if !one.host_online { " " span.tag { "offline" } } },
        ),
        ("Folder", place),
    ];
    if !deleted {
        facts.push((
            "Prompt",
            html! { a href=(prompt) { "Version " (one.prompt_version) } },
        ));
    }
    if let Some(next) = one.next_run_at {
        facts.push(("Next run", moment::told(next, zone, now)));
    }
    if let Some(last) = &one.last_run {
        facts.push(("Last run", html! { a href=(format!("/runs/{}", last.run_id)) { (moment::at(last.at, zone)) } " " (states::badge(last.state)) }));
    }
    if !runs.is_empty() {
        facts.push((
            "Outcomes",
            states::strip(&text::short(&one.name, 80), runs, zone),
        ));
    }
    facts.push(("Changed", moment::told(one.updated_at, zone, now)));
    facts.push(("Id", html! { span.mono { (one.id) } }));
    parts::facts(&facts)
}

async fn place(app: &App, visitor: &Visitor, one: &AutomationView) -> Markup {
    let caller = &visitor.caller;
    if let Some(id) = one.project_id {
        let found = projects::list(app, caller, None).await.unwrap_or_default();
        let found = found.into_iter().find(|project| project.id == id);
        let name = found.map_or_else(|| id.to_string(), |project| project.name);
        return html! {
            "A fresh worktree of " a href=(format!("/projects/{id}")) { (text::short(&name, 80)) }
            @if let Some(branch) = &one.base_branch { ", from " span.mono { (text::line(branch)) } }
        };
    }
    if let Some(id) = one.workspace_id {
        let found = workspaces::get(app, caller, &id.to_string()).await;
        let name = found.map_or_else(|_gone| id.to_string(), |found| found.workspace.name);
        return html! { "Workspace " a href=(format!("/workspaces/{id}")) { (text::short(&name, 80)) } };
    }
    html! { "A scratch folder for each run" }
}

fn next(one: &AutomationView, coming: Option<&Preview>) -> Markup {
    html! {
        @match coming {
            Some(preview) => (instants(preview)),
            None => {
                p { strong { (text::line(&one.schedule_text)) } }
                p.muted { @if one.deleted_at.is_some() { "None: it was deleted." } @else { "None while it does not fire." } }
            }
        }
    }
}

fn policies(policies: &Policies) -> Markup {
    let autonomy = match policies.autonomy {
        Autonomy::ReadOnly => "Read only",
        Autonomy::Edits => "Edit files of its workspace",
        Autonomy::Full => "Anything the host's user could do",
    };
    let overlap = match policies.overlap {
        Overlap::Skip => "The new one is skipped",
        Overlap::QueueOne => "The new one starts after it",
        Overlap::CancelPrevious => "The old one is cancelled",
        Overlap::Allow => "Both run",
    };
    let catch_up = match policies.catch_up {
        CatchUp::Latest => "The newest missed one runs",
        CatchUp::Skip => "Missed ones do not run",
        CatchUp::All => "All missed ones run, at most 10",
    };
    let keep = match policies.keep_workspace {
        KeepWorkspace::IfChanged => "When it holds changes",
        KeepWorkspace::Always => "Always",
        KeepWorkspace::Never => "Never, unless it holds unsaved work",
    };
    let seconds = i64::from(policies.max_runtime_seconds);
    html! {
        details {
            summary { "Limits and exceptions" }
            div.fold {
                (parts::facts(&[
                    ("The agent may", html! { (autonomy) }),
                    ("While a run goes on", html! { (overlap) }),
                    ("While the host was off", html! { (catch_up) }),
                    ("Time limit", html! { (moment::length(seconds * 1000)) }),
                    ("Further attempts", html! { (policies.retries) }),
                    ("Pause after failures", html! { @if policies.pause_after_failures == 0 { "Never" } @else { (policies.pause_after_failures) " in a row" } }),
                    ("Finished after", html! { @if let Some(most) = policies.max_runs { (most) " runs" } @else { "Never" } }),
                    ("Spread", html! { (policies.jitter_seconds) " s" }),
                    ("Folder stays", html! { (keep) }),
                ]))
            }
        }
    }
}
