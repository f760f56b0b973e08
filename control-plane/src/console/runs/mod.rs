//! The pages of runs: the list over all automations, one run, its log as a file and as it grows.
//!
//! A run is seen by its automation's owner alone; to others it does not exist.

mod list;
mod live;
mod log;
mod show;
pub(super) mod states;
mod streams;

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
use crate::{App, runs};

pub(crate) use streams::Streams;

/// The routes of runs.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/runs", get(list))
        .route("/runs/{id}", get(show))
        .route("/runs/{id}/log.txt", get(log::download))
        .route("/runs/{id}/live", get(live::live))
        .route("/runs/{id}/cancel", post(cancel))
        .route("/runs/{id}/retry", post(retry))
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
    Query(wanted): Query<log::Wanted>,
) -> Response {
    let page = show::page(&app, &visitor, &id, &wanted).await;
    page.unwrap_or_else(|failure| failed(&visitor, failure))
}

async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    Checked { visitor, .. }: Checked<Empty>,
) -> Response {
    let cancelled = match runs::cancel(&app, &visitor.caller, &id).await {
        Ok(cancelled) => cancelled,
        Err(failure) => return failed(&visitor, failure),
    };
    let state = states::words(cancelled.run.run.state.word());
    let said = if cancelled.already_over {
        format!("The run had ended before: {state}.")
    } else if cancelled.pending {
        let host = text::line(&cancelled.host_name);
        format!("Host {host} is told to end the run as soon as it can be reached.")
    } else if cancelled.run.run.state.is_final() {
        format!("The run has ended: {state}.")
    } else {
        "The run is being ended.".to_owned()
    };
    layout::redirect(&format!("/runs/{}", cancelled.run.run.id), &said)
}

async fn retry(
    State(app): State<App>,
    Path(id): Path<String>,
    Checked { visitor, .. }: Checked<Empty>,
) -> Response {
    match runs::retry(&app, &visitor.caller, &id).await {
        Ok(asked) => Redirect::to(&format!("/runs/{}", asked.run_id)).into_response(),
        Err(failure) => failed(&visitor, failure),
    }
}

fn failed(visitor: &Visitor, failure: Failure) -> Response {
    layout::failed(visitor, Nav::Runs, &text::for_people(failure))
}
