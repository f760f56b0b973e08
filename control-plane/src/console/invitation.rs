//! The page behind an invitation's link.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use hostler_proto::error::Failure;
use maud::{Markup, html};
use serde::Deserialize;

use super::field::Field;
use super::layout;
use super::oidc::{self, Errand};
use super::setup::new_password;
use super::stranger::{self, Stranger, StrangersForm, private};
use crate::App;
use crate::console::Path;
use crate::people::Refused;
use crate::people::invitations::{self, Invited};
use crate::people::links::{self, LinkKind};
use crate::store::links::LinkRow;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    name: String,
    password: String,
    with: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/invitations/{code}", get(page).post(accept))
}

async fn page(State(app): State<App>, Path(code): Path<String>, stranger: Stranger) -> Response {
    match links::look(&app, LinkKind::Invitation, &code, stranger.browser()).await {
        Ok(link) => shown(&app, &stranger, &link, &Sent::default(), None).await,
        Err(refused) => stranger::refused(&refused),
    }
}

async fn accept(
    State(app): State<App>,
    Path(code): Path<String>,
    StrangersForm { stranger, form }: StrangersForm<Sent>,
) -> Response {
    let looked = links::look(&app, LinkKind::Invitation, &code, stranger.browser()).await;
    let link = match looked {
        Ok(link) => link,
        Err(refused) => return stranger::refused(&refused),
    };
    match joined(&app, &code, &link, &stranger, &form).await {
        Ok(response) => private(response),
        Err(refused) => shown(&app, &stranger, &link, &form, Some(&refused)).await,
    }
}

async fn joined(
    app: &App,
    code: &str,
    link: &LinkRow,
    stranger: &Stranger,
    form: &Sent,
) -> Result<Response, Refused> {
    let browser = stranger.browser();
    if let Some(visitor) = &stranger.visitor {
        invitations::accept_signed_in(app, link, visitor, browser).await?;
        let words = format!("You joined {}.", link.org_name);
        return Ok(layout::redirect("/", &words));
    }
    if form.with == oidc::WITH_PROVIDER {
        let errand = Errand::Invitation(code.to_owned());
        return oidc::depart(app, &errand, browser).await;
    }
    let cookie = match invitations::invited(app, link).await? {
        Invited::New => {
            invitations::accept_new(app, link, &form.name, &form.password, browser).await?
        }
        Invited::Known { .. } => {
            invitations::accept_with_password(app, link, &form.password, browser).await?
        }
    };
    Ok(stranger::go("/", cookie))
}

async fn shown(
    app: &App,
    stranger: &Stranger,
    link: &LinkRow,
    sent: &Sent,
    wrong: Option<&Refused>,
) -> Response {
    match body(app, stranger, link, sent).await {
        Ok(body) => stranger.link_page(&format!("Join {}", link.org_name), &body, wrong),
        Err(failure) => stranger::refused(&failure.into()),
    }
}

async fn body(
    app: &App,
    stranger: &Stranger,
    link: &LinkRow,
    sent: &Sent,
) -> Result<Markup, Failure> {
    let email = link.email.as_deref().unwrap_or_default();
    let role = link.role.as_deref().unwrap_or_default();
    let who = invitations::invited(app, link).await?;
    if let Some(visitor) = &stranger.visitor
        && !invitations::is_for(link, &visitor.email)
    {
        let another = invitations::for_another(link, &visitor.email);
        return Ok(layout::problem(&another));
    }
    Ok(html! {
        p { strong { (email) } " is invited to " strong { (link.org_name) } " as " (role) "." }
        (stranger.notice(app))
        form.stack method="post" {
            (stranger.token())
            input type="hidden" autocomplete="username" value=(email);
            @if let Some(visitor) = &stranger.visitor {
                p { "You are signed in as " strong { (visitor.email) } "." }
                div.actions { button.main type="submit" { "Join" } }
            } @else {
                (way_in(app, who, sent))
            }
        }
    })
}

/// How somebody who is not signed in shows who they are.
fn way_in(app: &App, who: Invited, sent: &Sent) -> Markup {
    match who {
        Invited::New => html! {
            (Field::text("name", "Your name").value(&sent.name).autocomplete("name").most(100).required())
            (new_password("Choose a password"))
            div.actions {
                button.main type="submit" { "Join" }
                (oidc::button(app, "Join"))
            }
        },
        Invited::Known {
            password: true,
            elsewhere,
        } => html! {
            p { "There is an account with this email: its password lets you join with it." }
            (Field::password("password", "Password").autocomplete("current-password").required())
            div.actions {
                button.main type="submit" { "Join" }
                @if elsewhere { (oidc::button(app, "Join")) }
            }
        },
        Invited::Known {
            password: false, ..
        } => html! {
            p { "There is an account with this email, which signs in with another provider." }
            div.actions { (oidc::button(app, "Join")) }
            @if app.single_sign_on.is_none() {
                p.hint { "This server has none now. Whoever runs it can make a recovery link, to set a password." }
            }
        },
    }
}
