//! The page behind a recovery link.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::setup::new_password;
use super::stranger::{self, Stranger, StrangersForm, private};
use crate::App;
use crate::console::Path;
use crate::people::links::{self, LinkKind};
use crate::people::recovery;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    password: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/recover/{code}", get(page).post(complete))
}

async fn page(State(app): State<App>, Path(code): Path<String>, stranger: Stranger) -> Response {
    match links::look(&app, LinkKind::Recovery, &code, stranger.browser()).await {
        Ok(_) => {
            let body = form(&app, &stranger, &html! {});
            stranger.link_page(StatusCode::OK, "Set a new password", body)
        }
        Err(refused) => stranger::refused(&refused),
    }
}

async fn complete(
    State(app): State<App>,
    Path(code): Path<String>,
    StrangersForm {
        stranger,
        form: sent,
    }: StrangersForm<Sent>,
) -> Response {
    let browser = stranger.browser();
    let link = match links::look(&app, LinkKind::Recovery, &code, browser).await {
        Ok(link) => link,
        Err(refused) => return stranger::refused(&refused),
    };
    match recovery::complete(&app, &link, &sent.password, browser).await {
        Ok(cookie) => private(stranger::go("/", cookie)),
        Err(refused) => {
            let (status, problem) = stranger::said(&refused);
            if status == StatusCode::NOT_FOUND {
                return stranger::refused(&refused);
            }
            let page = stranger.link_page(
                status,
                "Set a new password",
                form(&app, &stranger, &problem),
            );
            stranger::retry_after(page, &refused)
        }
    }
}

fn form(app: &App, stranger: &Stranger, problem: &Markup) -> Markup {
    html! {
        p { "This sets a new password, signs you in here, and ends every other session of yours." }
        (stranger.notice(app))
        (problem)
        form.stack method="post" {
            (stranger.token())
            (new_password("New password"))
            div.actions { button.main type="submit" { "Set password" } }
        }
    }
}
