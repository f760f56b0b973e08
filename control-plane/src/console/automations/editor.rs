//! The editor of an automation: shown, previewed and saved. Whatever is wrong stands beside its field,
//! and what was typed stays.

mod body;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use hostler_proto::error::{ErrorCode, Failure};
use serde::Deserialize;

use super::super::layout::{self, Nav, Page};
use super::super::{assets, text};
use super::choices::Choices;
use super::fields::sentence;
use super::form::{Errors, Form};
use crate::App;
use crate::auth::session::Visitor;
use crate::automations::{
    self, AutomationView, CreateAutomation, Field, Preview, UpdateAutomation,
};
use body::Shown;
pub(super) use body::instants;

/// The fields that decide when it fires.
const SCHEDULE: [&str; 5] = ["simple", "cron", "rrule", "timezone", "schedule"];

/// What a new automation begins with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    host: String,
    project: String,
    workspace: String,
}

/// What a page of the editor shows beside the form.
#[derive(Debug, Default)]
struct Outcome {
    status: StatusCode,
    errors: Errors,
    failure: Option<Failure>,
    /// The prompt as somebody else has made it meanwhile.
    theirs: Option<String>,
    /// What else was done to it meanwhile, in words.
    meanwhile: Vec<String>,
}

pub(super) async fn new(app: &App, visitor: &Visitor, wanted: Wanted) -> Result<Response, Failure> {
    let mut form = Form::fresh();
    form.host = wanted.host;
    if !wanted.project.is_empty() {
        form.place = format!("project:{}", wanted.project);
    } else if !wanted.workspace.is_empty() {
        form.place = format!("workspace:{}", wanted.workspace);
    }
    let choices = Choices::of(app, visitor, &form).await?;
    if let Some(agent) = choices.first_agent() {
        form.agent = agent;
    }
    show(app, visitor, form, Outcome::default()).await
}

pub(super) async fn edit(app: &App, visitor: &Visitor, id: &str) -> Result<Response, Failure> {
    let view = automations::get(app, &visitor.caller, id).await?.automation;
    let prompt = automations::get_prompt(app, &visitor.caller, id).await?;
    let form = Form::of(&view, &prompt.prompt);
    show(app, visitor, form, Outcome::default()).await
}

/// The form as it was sent, with when it would fire; only the schedule's errors are told, since the
/// rest may not have been filled in yet.
pub(super) async fn preview(app: &App, visitor: &Visitor, form: Form) -> Result<Response, Failure> {
    let (input, mut errors) = form.read();
    if errors.is_empty() {
        note_schedule(&input, &mut errors);
    }
    let outcome = Outcome {
        errors: errors.only(&SCHEDULE),
        ..Outcome::default()
    };
    show(app, visitor, form, outcome).await
}

pub(super) async fn create(app: &App, visitor: &Visitor, form: Form) -> Result<Response, Failure> {
    let (input, mut errors) = form.read();
    let faults = automations::faults(app, &visitor.caller, &input).await;
    note(&mut errors, faults, |_| true);
    if !errors.is_empty() {
        return refused(app, visitor, form, errors).await;
    }
    match automations::create(app, &visitor.caller, input).await {
        Ok(made) => {
            let said = format!("Created. It runs {}.", lower(&made.schedule_text));
            Ok(layout::redirect(
                &format!("/automations/{}", made.automation.id),
                &text::line(&said),
            ))
        }
        Err(failure) => failed(app, visitor, form, failure).await,
    }
}

pub(super) async fn update(
    app: &App,
    visitor: &Visitor,
    id: &str,
    mut form: Form,
) -> Result<Response, Failure> {
    id.clone_into(&mut form.id);
    let view = automations::get(app, &visitor.caller, id).await?.automation;
    let prompt = automations::get_prompt(app, &visitor.caller, id).await?;
    let (input, mut errors) = form.read();
    let changes = form.changes(input.clone(), &view, &prompt.prompt);
    let faults = automations::faults(app, &visitor.caller, &input).await;
    note(&mut errors, faults, |field| is_changed(field, &changes));
    if !errors.is_empty() {
        return refused(app, visitor, form, errors).await;
    }
    if is_same(&changes, &view) {
        return Ok(Redirect::to(&format!("/automations/{}", view.id)).into_response());
    }
    match automations::update(app, &visitor.caller, id, changes).await {
        Ok(saved) => {
            let said = "Saved. A run that is queued or going on keeps what it began with.";
            Ok(layout::redirect(
                &format!("/automations/{}", saved.automation.id),
                said,
            ))
        }
        Err(failure) if failure.code == ErrorCode::Conflict => {
            conflict(app, visitor, form, &view, prompt.prompt).await
        }
        Err(failure) => failed(app, visitor, form, failure).await,
    }
}

/// Somebody was quicker: what was typed stays, and is saved over theirs when it is sent once more.
async fn conflict(
    app: &App,
    visitor: &Visitor,
    mut form: Form,
    view: &AutomationView,
    theirs: String,
) -> Result<Response, Failure> {
    let mut message = "Somebody changed this automation while you were editing it".to_owned();
    let prompt_too = form.version != view.prompt_version.to_string();
    if prompt_too {
        message += ", also its prompt";
    }
    let seen = form.revision.parse().unwrap_or(u64::MAX);
    let meanwhile = automations::changes_since(app, &visitor.caller, &form.id, seen).await?;
    form.revision = view.revision.to_string();
    form.version = view.prompt_version.to_string();
    let failure = Failure::new(ErrorCode::Conflict, message).hint(
        "Nothing was saved yet. What you wrote stands in the form; saving again makes it so, and what they changed is undone where the form says otherwise.",
    );
    let outcome = Outcome {
        status: StatusCode::CONFLICT,
        failure: Some(failure),
        theirs: prompt_too.then_some(theirs),
        meanwhile,
        ..Outcome::default()
    };
    show(app, visitor, form, outcome).await
}

async fn refused(
    app: &App,
    visitor: &Visitor,
    form: Form,
    errors: Errors,
) -> Result<Response, Failure> {
    let count = errors.len();
    let message = if count == 1 {
        "Nothing was saved: one field needs another look".to_owned()
    } else {
        format!("Nothing was saved: {count} fields need another look")
    };
    let outcome = Outcome {
        status: StatusCode::BAD_REQUEST,
        errors,
        failure: Some(Failure::new(ErrorCode::InvalidArgument, message)),
        ..Outcome::default()
    };
    show(app, visitor, form, outcome).await
}

async fn failed(
    app: &App,
    visitor: &Visitor,
    form: Form,
    failure: Failure,
) -> Result<Response, Failure> {
    let outcome = Outcome {
        status: layout::status_of(failure.code),
        failure: Some(text::for_people(failure)),
        ..Outcome::default()
    };
    show(app, visitor, form, outcome).await
}

async fn show(
    app: &App,
    visitor: &Visitor,
    mut form: Form,
    outcome: Outcome,
) -> Result<Response, Failure> {
    let choices = Choices::of(app, visitor, &form).await?;
    if let Some(host) = &choices.host {
        form.host = host.id.to_string();
    }
    let preview = preview_of(&form, &outcome.errors);
    let shown = Shown {
        visitor,
        form: &form,
        choices: &choices,
        errors: &outcome.errors,
        preview: preview.as_ref(),
        theirs: outcome.theirs.as_deref(),
    };
    let body = maud::html! {
        @if let Some(failure) = &outcome.failure { (layout::problem(failure)) }
        @if !outcome.meanwhile.is_empty() {
            div.note {
                p { "What was done meanwhile:" }
                ul { @for what in &outcome.meanwhile { li { (text::line(what)) } } }
            }
        }
        (shown.body())
    };
    let title = if form.id.is_empty() {
        "New automation".to_owned()
    } else {
        format!("Edit {}", text::short(&form.name, 80))
    };
    let mut page = Page::new(visitor, Nav::Automations, &title)
        .status(outcome.status)
        .under("Automations", "/automations")
        .script(assets::EDITOR_JS);
    if !form.id.is_empty() {
        page = page.under("Automation", format!("/automations/{}", form.id));
    }
    Ok(page.body(body))
}

/// When the form's schedule fires; none when it cannot be read.
fn preview_of(form: &Form, errors: &Errors) -> Option<Preview> {
    let (input, unread) = form.read();
    if unread.any(&SCHEDULE) || errors.any(&SCHEDULE) {
        return None;
    }
    automations::preview(&input).ok()
}

fn note_schedule(input: &CreateAutomation, errors: &mut Errors) {
    if let Err(failure) = automations::preview(input) {
        errors.add("schedule", said(&failure));
    }
}

fn note(errors: &mut Errors, faults: Vec<(Field, Failure)>, wanted: impl Fn(Field) -> bool) {
    for (field, failure) in faults.into_iter().filter(|(field, _)| wanted(*field)) {
        let name = match field {
            Field::Name => "name",
            Field::Prompt => "prompt",
            Field::Agent => "agent",
            Field::Host => "host",
            Field::Place => "place",
            Field::Schedule => "schedule",
            Field::Policies => "policies",
        };
        let read = match field {
            Field::Schedule => errors.any(&SCHEDULE),
            Field::Name
            | Field::Prompt
            | Field::Agent
            | Field::Host
            | Field::Place
            | Field::Policies => errors.of(name).is_some(),
        };
        if !read {
            errors.add(name, said(&failure));
        }
    }
}

/// What is as it was need not be valid any more.
fn is_changed(field: Field, changes: &UpdateAutomation) -> bool {
    match field {
        Field::Name => changes.name.is_some(),
        Field::Prompt => changes.prompt.is_some(),
        Field::Agent => changes.agent.is_some() || changes.host.is_some(),
        Field::Host => changes.host.is_some(),
        Field::Place => changes.project.is_some() || changes.host.is_some(),
        Field::Schedule => {
            changes.rrule.is_some()
                || changes.dtstart.is_some()
                || changes.timezone.is_some()
                || changes.exdates.is_some()
                || changes.rdates.is_some()
        }
        Field::Policies => true,
    }
}

fn is_same(changes: &UpdateAutomation, view: &AutomationView) -> bool {
    let fields = [
        Field::Name,
        Field::Prompt,
        Field::Agent,
        Field::Host,
        Field::Place,
        Field::Schedule,
    ];
    let policies = &changes.policies;
    let now = &view.policies;
    let kept = policies.catch_up == Some(now.catch_up)
        && policies.overlap == Some(now.overlap)
        && policies.jitter_seconds == Some(now.jitter_seconds)
        && policies.max_runtime_seconds == Some(now.max_runtime_seconds)
        && policies.retries == Some(now.retries)
        && policies.pause_after_failures == Some(now.pause_after_failures)
        && policies.max_runs == Some(now.max_runs)
        && policies.autonomy == Some(now.autonomy)
        && policies.keep_workspace == Some(now.keep_workspace);
    kept && !fields.into_iter().any(|field| is_changed(field, changes))
}

/// A failure as one or two sentences beside a field.
fn said(failure: &Failure) -> String {
    let failure = text::for_people(failure.clone());
    let mut said = sentence(&failure.message);
    if let Some(hint) = &failure.hint {
        said.push(' ');
        said += &sentence(hint);
    }
    said
}

fn lower(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().into_iter().flat_map(char::to_lowercase);
    first.chain(rest).collect()
}
