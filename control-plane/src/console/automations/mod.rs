//! The pages of automations: the list, one automation with its past, and the editor.
//!
//! An automation is its owner's alone; to others it does not exist.

mod choices;
mod editor;
mod fields;
mod form;
mod history;
mod list;
mod prompt;
mod show;
mod simple;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use hostler_proto::error::Failure;
use serde::Deserialize;

use super::layout::{self, Nav};
use super::{Checked, SignedIn, text};
use crate::auth::session::Visitor;
use crate::console::{Path, Query};
use crate::{App, automations};
use form::Form;

/// The routes of automations.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/automations", get(list).post(create))
        .route("/automations/new", get(new))
        .route("/automations/preview", post(preview))
        .route("/automations/{id}", get(show).post(update))
        .route("/automations/{id}/edit", get(edit))
        .route("/automations/{id}/prompt", get(prompt))
        .route("/automations/{id}/run", post(run))
        .route("/automations/{id}/pause", post(pause))
        .route("/automations/{id}/resume", post(resume))
        .route("/automations/{id}/delete", post(delete))
}

/// A form without fields of its own.
#[derive(Deserialize)]
struct Empty {}

async fn list(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Query(wanted): Query<list::Wanted>,
) -> Response {
    let page = list::page(&app, &visitor, &wanted).await;
    page.unwrap_or_else(|failure| failed(&visitor, failure))
}

async fn show(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Path(id): Path<String>,
    Query(wanted): Query<show::Wanted>,
) -> Response {
    let page = show::page(&app, &visitor, &id, wanted).await;
    page.unwrap_or_else(|failure| failed(&visitor, failure))
}

async fn prompt(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Path(id): Path<String>,
    Query(wanted): Query<prompt::Wanted>,
) -> Response {
    let page = prompt::page(&app, &visitor, &id, wanted).await;
    page.unwrap_or_else(|failure| failed(&visitor, failure))
}

async fn new(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Query(wanted): Query<editor::Wanted>,
) -> Response {
    let page = editor::new(&app, &visitor, wanted).await;
    page.unwrap_or_else(|failure| failed(&visitor, failure))
}

async fn edit(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Path(id): Path<String>,
) -> Response {
    let page = editor::edit(&app, &visitor, &id).await;
    page.unwrap_or_else(|failure| failed(&visitor, failure))
}

async fn preview(State(app): State<App>, Checked { visitor, form }: Checked<Form>) -> Response {
    let page = editor::preview(&app, &visitor, form).await;
    page.unwrap_or_else(|failure| failed(&visitor, failure))
}

async fn create(State(app): State<App>, Checked { visitor, form }: Checked<Form>) -> Response {
    let page = editor::create(&app, &visitor, form).await;
    page.unwrap_or_else(|failure| failed(&visitor, failure))
}

async fn update(
    State(app): State<App>,
    Path(id): Path<String>,
    Checked { visitor, form }: Checked<Form>,
) -> Response {
    let page = editor::update(&app, &visitor, &id, form).await;
    page.unwrap_or_else(|failure| failed(&visitor, failure))
}

async fn run(
    State(app): State<App>,
    Path(id): Path<String>,
    Checked { visitor, .. }: Checked<Empty>,
) -> Response {
    match automations::run(&app, &visitor.caller, &id).await {
        Ok(asked) => Redirect::to(&format!("/runs/{}", asked.run_id)).into_response(),
        Err(failure) => failed(&visitor, failure),
    }
}

async fn pause(
    State(app): State<App>,
    Path(id): Path<String>,
    Checked { visitor, .. }: Checked<Empty>,
) -> Response {
    match automations::pause(&app, &visitor.caller, &id).await {
        Ok(paused) => {
            let said = "Paused. A run that is going on goes on.";
            layout::redirect(&format!("/automations/{}", paused.id), said)
        }
        Err(failure) => failed(&visitor, failure),
    }
}

async fn resume(
    State(app): State<App>,
    Path(id): Path<String>,
    Checked { visitor, .. }: Checked<Empty>,
) -> Response {
    match automations::resume(&app, &visitor.caller, &id).await {
        Ok(resumed) => {
            let said = "Resumed. It fires again from its next instant on.";
            layout::redirect(&format!("/automations/{}", resumed.id), said)
        }
        Err(failure) => failed(&visitor, failure),
    }
}

async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    Checked { visitor, .. }: Checked<Empty>,
) -> Response {
    match automations::delete(&app, &visitor.caller, &id).await {
        Ok(_id) => layout::redirect("/automations", "Deleted. Its runs stay under Runs."),
        Err(failure) => failed(&visitor, failure),
    }
}

fn failed(visitor: &Visitor, failure: Failure) -> Response {
    layout::failed(visitor, Nav::Automations, &text::for_people(failure))
}
