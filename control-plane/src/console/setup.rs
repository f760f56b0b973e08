//! Setting the server up: the page behind the link that the first start prints.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::field::Field;
use super::stranger::{self, Stranger, StrangersForm};
use crate::App;
use crate::console::Path;
use crate::people::links::{self, LinkKind};
use crate::people::setup::{self, Setup};

/// What a new password must be, in words.
const PASSWORD_HINT: &str = "At least 12 characters. A few words are fine.";

#[derive(Debug, Default, Deserialize)]
struct Sent {
    #[serde(default)]
    organization: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/setup/{code}", get(page).post(complete))
}

async fn page(State(app): State<App>, Path(code): Path<String>, stranger: Stranger) -> Response {
    let looked = links::look(&app, LinkKind::Setup, &code, stranger.browser()).await;
    match looked {
        Ok(_) => {
            let body = form(&app, &stranger, &Sent::default(), &html! {});
            stranger.link_page(StatusCode::OK, "Set up Hostler", body)
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
    let link = match links::look(&app, LinkKind::Setup, &code, browser).await {
        Ok(link) => link,
        Err(refused) => return stranger::refused(&refused),
    };
    let said = Setup {
        organization: &sent.organization,
        name: &sent.name,
        email: &sent.email,
        password: &sent.password,
    };
    match setup::complete(&app, &link, said, browser).await {
        Ok(cookie) => stranger::go("/", cookie),
        Err(refused) => {
            let (status, problem) = stranger::said(&refused);
            if status == StatusCode::NOT_FOUND {
                return stranger::refused(&refused);
            }
            let body = form(&app, &stranger, &sent, &problem);
            stranger::retry_after(stranger.link_page(status, "Set up Hostler", body), &refused)
        }
    }
}

/// The form posts to its own address, which holds the link's secret.
fn form(app: &App, stranger: &Stranger, sent: &Sent, problem: &Markup) -> Markup {
    html! {
        p { "You are the first here. This makes you the owner of this server's organization." }
        (stranger.notice(app))
        (problem)
        form.stack method="post" {
            (stranger.token())
            (Field::text("organization", "Organization").value(&sent.organization).autocomplete("organization").most(100).required().autofocus())
            (Field::text("name", "Your name").value(&sent.name).autocomplete("name").most(100).required())
            (Field::email("email", "Email").value(&sent.email).autocomplete("username").required())
            (new_password("Password"))
            div.actions { button.main type="submit" { "Set up" } }
        }
    }
}

/// The field for a password that is chosen.
pub(super) fn new_password(label: &str) -> Field<'_> {
    Field::password("password", label)
        .autocomplete("new-password")
        .hint(PASSWORD_HINT)
        .required()
}
