//! One run: how it stands, what it did, its log, and what can be done about it.

use axum::response::Response;
use hostler_proto::error::Failure;
use hostler_proto::run::{Finished, RunState};
use hostler_proto::time::UtcMillis;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::layout::{Nav, Page};
use super::super::{assets, moment, parts, text};
use super::list::trigger;
use super::log::{self, PART, Part, Wanted};
use super::states;
use crate::auth::session::Visitor;
use crate::runs::{self, RunInFull};
use crate::{App, clock};

pub(super) async fn page(
    app: &App,
    visitor: &Visitor,
    id: &str,
    wanted: &Wanted,
) -> Result<Response, Failure> {
    let full = runs::get(app, &visitor.caller, id).await?;
    let total = full.view.log_bytes;
    let part = log::part(app, &visitor.caller, id, total, *wanted).await?;
    let zone = moment::zone(&full.timezone);
    let run = &full.view.run;
    let name = text::short(&full.automation_name, 120);
    let body = html! {
        div #run {
            (wish(&full, &zone))
            (reason(&full, &zone))
            div.split.even {
                section.card { h2 { "The run" } (facts(&full, &zone, clock::wall())) }
                (outcome(run))
            }
        }
        (log_section(&full, &part, *wanted))
    };
    let title = format!("{name}, {}", moment::local(run.scheduled_for, &zone));
    Ok(Page::new(visitor, Nav::Runs, &title)
        .under("Runs", "/runs")
        .under(&name, format!("/automations/{}", run.automation_id))
        .beside(html! { span #run-state { (states::badge(run.state.word())) } })
        .actions(html! { span.actions #run-actions { (actions(visitor, &full)) } })
        .script(assets::RUN_JS)
        .body(body))
}

fn actions(visitor: &Visitor, full: &RunInFull) -> Markup {
    let run = &full.view.run;
    html! {
        @if run.state.is_final() {
            @if full.automation_deleted_at.is_none() {
                (parts::post_button(visitor, &format!("/runs/{}/retry", run.id), "Run again", "main"))
            }
        } @else {
            (parts::post_button(visitor, &format!("/runs/{}/cancel", run.id), "Cancel run", "danger"))
        }
    }
}

/// Somebody wants it ended, and its host has not answered yet.
fn wish(full: &RunInFull, zone: &TimeZone) -> Markup {
    html! {
        @if let Some(wish) = &full.cancel {
            div.note role="status" {
                p { (text::line(&wish.by)) " asked to cancel it, " (moment::at(wish.at, zone)) "." }
                @if !full.host_online {
                    p.hint { "Host " (text::line(&full.host_name)) " is offline. It is told as soon as it is back; until then the run may go on or end by itself." }
                }
            }
        }
        @if !full.host_online && !full.view.run.state.is_final() && full.cancel.is_none() {
            div.note role="status" {
                p { "Host " (text::line(&full.host_name)) " is offline: this is what it last told, " (moment::at(full.view.as_of, zone)) "." }
                p.hint {
                    @if matches!(full.view.run.state, RunState::Queued) { "If the host does not know of the run yet, it begins when the host is back." }
                    @else { "The run goes on there by itself. Its state and its log come when the host is back." }
                }
            }
        }
    }
}

/// Why it ran, and why it ended as it did, in words.
fn reason(full: &RunInFull, zone: &TimeZone) -> Markup {
    let said = text::shown(&moment::localised(&full.explanation, zone));
    let mut rest = said.chars();
    let first: String = rest
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let tone = states::tone(full.view.run.state.word());
    html! {
        @if tone == parts::Tone::Bad {
            div.problem { p.text { (first) (rest.as_str()) "." } (advice(&full.view.run.state)) }
        } @else {
            p.text { (first) (rest.as_str()) "." }
        }
    }
}

/// What to do about it, where the reason alone does not say.
fn advice(state: &RunState) -> Markup {
    let said = match state.word() {
        "lost" => {
            "Its supervisor vanished without a record, as when the machine lost power. What it did until then may be in its workspace. It is never run again by itself: look, then run it again."
        }
        "timed_out" => "If it needs longer, raise the time limit of the automation.",
        "stalled" => {
            "It printed nothing and used no CPU. An agent that waits for an answer needs a prompt that leaves no question open."
        }
        _ => return html! {},
    };
    html! { p.hint { (said) } }
}

fn facts(full: &RunInFull, zone: &TimeZone, now: UtcMillis) -> Markup {
    let run = &full.view.run;
    let (started, ended) = states::times(run);
    let automation = format!("/automations/{}", run.automation_id);
    let prompt = format!("{automation}/prompt?version={}", run.prompt_version);
    let deleted = full.automation_deleted_at.is_some();
    let mut facts = vec![
        (
            "Automation",
            html! { a href=(automation) { (text::line(&full.automation_name)) } @if deleted { " " span.tag { "deleted" } } },
        ),
        ("Why", html! { (trigger(run)) }),
        (
            "Agent",
            html! { (text::line(&run.agent)) ", " @if deleted { "prompt version " (run.prompt_version) } @else { a href=(prompt) { "prompt version " (run.prompt_version) } } },
        ),
        (
            "Host",
            html! { a href=(format!("/hosts/{}", full.view.host_id)) { (text::line(&full.host_name)) } @if !full.host_online { " " span.tag { "offline" } } },
        ),
    ];
    if let Some(place) = &full.place {
        facts.push((
            "Workspace",
            html! {
                @if place.removed { (text::line(&place.name)) " " span.tag { "removed since" } }
                @else { a href=(format!("/workspaces/{}", place.id)) { (text::line(&place.name)) } }
                br; span.mono.muted { (text::line(&place.path)) }
            },
        ));
    }
    if let Some(branch) = &run.branch {
        facts.push(("Branch", html! { span.mono { (text::line(branch)) } }));
    }
    facts.push(("Planned for", moment::told(run.scheduled_for, zone, now)));
    facts.push(("Queued", moment::at(run.queued_at, zone)));
    if let Some(started) = started {
        facts.push(("Started", moment::at(started, zone)));
    }
    if let Some(ended) = ended {
        facts.push(("Ended", moment::told(ended, zone, now)));
    }
    if let Some(took) = states::took(run, now) {
        facts.push(("Took", html! { (took) }));
    }
    facts.push(("Run id", html! { span.mono { (run.id) } }));
    parts::facts(&facts)
}

fn outcome(run: &hostler_proto::run::Run) -> Markup {
    let RunState::Finished(finished) = &run.state else {
        return html! {};
    };
    let outcome = &finished.outcome;
    html! {
        section.card {
            h2 { "What it did" }
            (parts::facts(&figures(finished)))
            @if !outcome.denied.is_empty() {
                h3 { "Denied tools" }
                ul { @for tool in &outcome.denied { li.mono { (text::line(tool)) } } }
            }
            @if let Some(words) = &outcome.result_text {
                h3 { "The agent's own words" }
                div.text.result { (text::shown(words)) }
            }
            @if let Some(resume) = &outcome.resume {
                (parts::copy_box("resume", "Go on with its session, on the host", &text::line(resume)))
            }
        }
    }
}

fn figures(finished: &Finished) -> Vec<(&'static str, Markup)> {
    let outcome = &finished.outcome;
    let mut facts = Vec::new();
    if let Some(code) = finished.exit_code {
        facts.push(("Exit code", html! { (code) }));
    }
    if let Some(signal) = finished.signal {
        facts.push(("Signal", html! { (signal) }));
    }
    facts.push(("Commits", html! { (outcome.commits) }));
    facts.push((
        "Changed",
        html! {
            (outcome.files_changed) @if outcome.files_changed == 1 { " file" } @else { " files" } ", +" (outcome.insertions) " −" (outcome.deletions)
            @if outcome.dirty { ", uncommitted work left" }
        },
    ));
    if let Some(tokens) = outcome.tokens {
        facts.push(("Tokens", html! { (tokens) }));
    }
    if let Some(cost) = outcome.cost_usd {
        facts.push(("Cost", html! { "$" (format!("{cost:.4}")) }));
    }
    if let Some(memory) = outcome.peak_memory_bytes {
        facts.push(("Peak memory", html! { (moment::size(memory)) }));
    }
    if let Some(cpu) = outcome.cpu_seconds {
        facts.push(("CPU time", html! { (format!("{cpu:.2} s")) }));
    }
    facts
}

fn log_section(full: &RunInFull, part: &Part, wanted: Wanted) -> Markup {
    let (run, raw) = (&full.view.run, wanted.is_raw());
    let path = format!("/runs/{}", run.id);
    let live = format!(
        "{path}/live?from={}{}",
        part.to,
        if raw { "&raw=1" } else { "" }
    );
    let removed = full.view.log_removed_at;
    html! {
        section #log-section {
            div.section-head {
                h2 { "Log " span.count #log-size { (moment::size(part.total)) } }
                div.actions {
                    @if part.open { noscript { a.button.small href=(path) { "Reload" } } }
                    @if raw { a.button.small href=(path) { "Readable" } }
                    @else { a.button.small href=(format!("{path}?raw=1")) { "As it is" } }
                    @if part.total > 0 && removed.is_none() { a.button.small href=(format!("{path}/log.txt")) { "Download" } }
                }
            }
            (parts_of_log(&path, part, raw))
            p.hidden #log-news role="status" aria-live="polite" {}
            @if removed.is_some() {
                p.note { "This log was deleted by age or for want of room. The run and its outcome stay." }
            } @else if part.text.is_empty() && !part.open {
                p.muted { "It printed nothing." }
            } @else {
                pre.log #log tabindex="0" role="region" aria-label="Log" data-live=[part.open.then_some(&live)] { (part.text) }
                @if part.open { p.hint #log-state { "The run goes on." } }
            }
        }
    }
}

/// The way to the other parts of a long log.
fn parts_of_log(path: &str, part: &Part, raw: bool) -> Markup {
    let raw = if raw { "&raw=1" } else { "" };
    let link = |from: u64| format!("{path}?from={from}{raw}#log-section");
    let first = part.from > 0;
    let more = part.to < part.total;
    html! {
        @if first || more {
            nav.pager aria-label="Parts of the log" {
                span { (moment::size(part.from)) "–" (moment::size(part.to)) " of " (moment::size(part.total)) }
                div.actions {
                    @if first {
                        a.button.small href=(link(0)) { "First" }
                        a.button.small rel="prev" href=(link(part.from.saturating_sub(PART))) { "Earlier" }
                    }
                    @if more {
                        a.button.small rel="next" href=(link(part.from + PART)) { "Later" }
                        a.button.small href=(format!("{path}{}#log-section", if raw.is_empty() { "" } else { "?raw=1" })) { "Last" }
                    }
                }
            }
        }
    }
}
