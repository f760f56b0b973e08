//! An automation's prompt and its older versions.

use axum::response::Response;
use hostler_proto::error::{ErrorCode, Failure};
use maud::html;
use serde::Deserialize;

use super::super::layout::{Nav, Page};
use super::super::{moment, parts, text};
use crate::auth::session::Visitor;
use crate::{App, automations, clock};

/// Which version; the newest without it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    version: Option<u32>,
}

pub(super) async fn page(
    app: &App,
    visitor: &Visitor,
    id: &str,
    wanted: Wanted,
) -> Result<Response, Failure> {
    let caller = &visitor.caller;
    let one = automations::get(app, caller, id).await?.automation;
    let version = wanted.version.unwrap_or(one.prompt_version);
    let prompt = automations::get_prompt_version(app, caller, id, version).await?;
    let prompt = prompt.ok_or_else(|| {
        let message = format!("the prompt has no version {version}");
        Failure::new(ErrorCode::NotFound, message)
    })?;
    let versions = automations::prompt_versions(app, caller, id).await?;
    let (zone, now) = (moment::zone(&one.schedule.timezone), clock::wall());
    let path = format!("/automations/{}", one.id);
    let rows = versions.iter().map(|one| {
        let here = one.version == version;
        vec![
            html! { a href=(format!("{path}/prompt?version={}", one.version)) aria-current=[here.then_some("true")] { "Version " (one.version) } },
            html! { div { (moment::told(one.created_at, &zone, now)) } },
            html! { (one.length) " characters" },
        ]
    });
    let body = html! {
        section {
            div.section-head {
                h2 { "Version " (prompt.version) @if version == one.prompt_version { " " span.count { "the one in use" } } }
                span.muted { (moment::told(prompt.updated_at, &zone, now)) }
            }
            pre.log tabindex="0" aria-label="Prompt" { (text::shown(&prompt.prompt)) }
        }
        section {
            h2 { "Versions" }
            (parts::table("Versions", &["Version", "Written", "Length"], rows.collect()))
        }
    };
    let name = text::short(&one.name, 120);
    Ok(Page::new(visitor, Nav::Automations, "Prompt")
        .under("Automations", "/automations")
        .under(&name, path.clone())
        .actions(html! { a.button href=(format!("{path}/edit#f-prompt")) { "Edit" } })
        .body(body))
}
