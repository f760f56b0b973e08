//! The page behind a recovery link.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::html;
use serde::Deserialize;

use super::setup::new_password;
use super::stranger::{self, Stranger, StrangersForm, private};
use crate::App;
use crate::console::Path;
use crate::people::Refused;
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
        Ok(_) => shown(&app, &stranger, None),
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
    let done = async {
        let browser = stranger.browser();
        let link = links::look(&app, LinkKind::Recovery, &code, browser).await?;
        recovery::complete(&app, &link, &sent.password, browser).await
    };
    match done.await {
        Ok(cookie) => private(stranger::go("/", cookie)),
        Err(refused) => shown(&app, &stranger, Some(&refused)),
    }
}

fn shown(app: &App, stranger: &Stranger, wrong: Option<&Refused>) -> Response {
    let body = html! {
        p { "This sets a new password, signs you in here, and ends every other session of yours." }
        (stranger.notice(app))
        form.stack method="post" {
            (stranger.token())
            (new_password("New password"))
            div.actions { button.main type="submit" { "Set password" } }
        }
    };
    stranger.link_page("Set a new password", &body, wrong)
}
