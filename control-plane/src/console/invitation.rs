//! The page behind an invitation's link.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use hostler_proto::error::Failure;
use maud::{Markup, html};
use serde::Deserialize;

use super::field::Field;
use super::layout;
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
    let browser = stranger.browser();
    let link = match links::look(&app, LinkKind::Invitation, &code, browser).await {
        Ok(link) => link,
        Err(refused) => return stranger::refused(&refused),
    };
    let who = match invitations::invited(&app, &link).await {
        Ok(who) => who,
        Err(failure) => return stranger::refused(&failure.into()),
    };
    let joined = match (&stranger.visitor, who) {
        (Some(visitor), _) => {
            let joined = invitations::accept_signed_in(&app, &link, visitor, browser).await;
            joined.map(|()| None)
        }
        (None, Invited::New) => {
            invitations::accept_new(&app, &link, &form.name, &form.password, browser)
                .await
                .map(Some)
        }
        (None, Invited::WithPassword | Invited::Elsewhere) => {
            invitations::accept_with_password(&app, &link, &form.password, browser)
                .await
                .map(Some)
        }
    };
    match joined {
        Ok(Some(cookie)) => private(stranger::go("/", cookie)),
        Ok(None) => layout::redirect("/", &format!("You joined {}.", link.org_name)),
        Err(refused) => shown(&app, &stranger, &link, &form, Some(&refused)).await,
    }
}

async fn shown(
    app: &App,
    stranger: &Stranger,
    link: &LinkRow,
    sent: &Sent,
    refused: Option<&Refused>,
) -> Response {
    let (status, problem) = refused.map_or((StatusCode::OK, html! {}), stranger::said);
    if status == StatusCode::NOT_FOUND
        && let Some(refused) = refused
    {
        return stranger::refused(refused);
    }
    let body = match body(app, stranger, link, sent).await {
        Ok(body) => html! { (problem) (body) },
        Err(failure) => return stranger::refused(&failure.into()),
    };
    let page = stranger.link_page(status, &format!("Join {}", link.org_name), body);
    match refused {
        Some(refused) => stranger::retry_after(page, refused),
        None => page,
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
    let form = match (&stranger.visitor, who) {
        (Some(visitor), _) if !invitations::is_for(link, &visitor.email) => {
            return Ok(layout::problem(&invitations::for_another(
                link,
                &visitor.email,
            )));
        }
        (Some(visitor), _) => {
            html! { p { "You are signed in as " strong { (visitor.email) } "." } }
        }
        (None, Invited::New) => html! {
            (Field::text("name", "Your name").value(&sent.name).autocomplete("name").most(100).required())
            (new_password("Choose a password"))
        },
        (None, Invited::WithPassword) => html! {
            p { "There is an account with this email: its password lets you join with it." }
            (Field::password("password", "Password").autocomplete("current-password").required())
        },
        (None, Invited::Elsewhere) => {
            return Ok(html! {
                p { "There is an account with the email " strong { (email) } ", which signs in with another provider." }
                p { a.button href="/sign-in" { "Sign in" } " and open this link again." }
            });
        }
    };
    Ok(html! {
        p { strong { (email) } " is invited to " strong { (link.org_name) } " as " (role) "." }
        (stranger.notice(app))
        form.stack method="post" {
            (stranger.token())
            input type="hidden" autocomplete="username" value=(email);
            (form)
            div.actions { button.main type="submit" { "Join" } }
        }
    })
}
