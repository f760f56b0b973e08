//! Setting the server up: the page behind the link that the first start prints.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::html;
use serde::Deserialize;

use super::field::Field;
use super::oidc::{self, Errand};
use super::stranger::{self, Stranger, StrangersForm, private};
use crate::App;
use crate::console::Path;
use crate::people::links::{self, LinkKind};
use crate::people::setup::{self, Setup};
use crate::people::{Browser, Refused};

/// What a new password must be, in words.
const PASSWORD_HINT: &str = "At least 12 characters. A few words are fine.";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    organization: String,
    name: String,
    email: String,
    password: String,
    with: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/setup/{code}", get(page).post(complete))
}

async fn page(State(app): State<App>, Path(code): Path<String>, stranger: Stranger) -> Response {
    match links::look(&app, LinkKind::Setup, &code, stranger.browser()).await {
        Ok(_) => shown(&app, &stranger, &Sent::default(), None),
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
    match done(&app, &code, &sent, stranger.browser()).await {
        Ok(response) => private(response),
        Err(refused) => shown(&app, &stranger, &sent, Some(&refused)),
    }
}

async fn done(
    app: &App,
    code: &str,
    sent: &Sent,
    browser: Browser<'_>,
) -> Result<Response, Refused> {
    let link = links::look(app, LinkKind::Setup, code, browser).await?;
    if sent.with == oidc::WITH_PROVIDER {
        let errand = Errand::Setup {
            code: code.to_owned(),
            organization: setup::organization(&sent.organization)?,
        };
        return oidc::depart(app, &errand, browser).await;
    }
    let said = Setup {
        organization: &sent.organization,
        name: &sent.name,
        email: &sent.email,
        password: &sent.password,
    };
    let cookie = setup::complete(app, &link, said, browser).await?;
    Ok(stranger::go("/", cookie))
}

/// The form posts to its own address, which holds the link's secret.
fn shown(app: &App, stranger: &Stranger, sent: &Sent, wrong: Option<&Refused>) -> Response {
    let body = html! {
        p { "You are the first here. This makes you the owner of this server's organization." }
        (stranger.notice(app))
        form.stack method="post" {
            (stranger.token())
            (Field::text("organization", "Organization").value(&sent.organization).autocomplete("organization").most(100).required().autofocus())
            (Field::text("name", "Your name").value(&sent.name).autocomplete("name").most(100).required())
            (Field::email("email", "Email").value(&sent.email).autocomplete("username").required())
            (new_password("Password"))
            div.actions {
                button.main type="submit" { "Set up" }
                (oidc::button(app, "Set up"))
            }
            @if let Some(settings) = &app.single_sign_on {
                p.hint { "With " (settings.label) " the organization's name is enough; it says who you are." }
            }
        }
    };
    stranger.link_page("Set up Hostler", &body, wrong)
}

/// The field for a password that is chosen.
pub(super) fn new_password(label: &str) -> Field<'_> {
    Field::password("password", label)
        .autocomplete("new-password")
        .hint(PASSWORD_HINT)
        .required()
}
