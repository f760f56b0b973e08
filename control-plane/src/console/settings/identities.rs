//! Settings > Profile: signing in through a provider.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use hostler_proto::error::Failure;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::Checked;
use super::super::layout;
use super::super::oidc::{self, Errand};
use super::super::parts::{post_button, table, when};
use super::profile::{PATH, again, current};
use crate::auth::session::Visitor;
use crate::console::Path;
use crate::edge::Peer;
use crate::people::{Browser, Refused, profile, single_sign_on};
use crate::{App, clock};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    current: String,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/settings/profile/identities/link", post(link))
        .route("/settings/profile/identities/{key}/unlink", post(unlink))
}

async fn link(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Checked { visitor, form }: Checked<Sent>,
) -> Response {
    let browser = Browser {
        headers: &headers,
        peer,
    };
    let departed: Result<Response, Refused> = async {
        profile::prove_for_linking(&app, &visitor, &form.current, browser).await?;
        oidc::depart(&app, &Errand::Link, browser).await
    }
    .await;
    match departed {
        Ok(response) => response,
        Err(refused) => again(&app, &visitor, refused).await,
    }
}

async fn unlink(
    State(app): State<App>,
    Path(key): Path<String>,
    Checked {
        visitor,
        form: Nothing {},
    }: Checked<Nothing>,
) -> Response {
    match single_sign_on::unlink(&app, &visitor, &key).await {
        Ok(()) => layout::redirect(PATH, "You cannot sign in with it any more."),
        Err(failure) => again(&app, &visitor, failure.into()).await,
    }
}

/// What of the provider stands in the profile; nothing where there is none and never was.
pub(super) async fn section(
    app: &App,
    visitor: &Visitor,
    has_password: bool,
) -> Result<Markup, Failure> {
    const COLUMNS: [&str; 4] = ["Provider", "As", "Linked", ""];
    let linked = single_sign_on::linked(app, visitor).await?;
    let settings = app.single_sign_on.as_deref();
    if settings.is_none() && linked.is_empty() {
        return Ok(html! {});
    }
    let now = clock::wall();
    let rows = linked.iter().map(|row| {
        let path = format!("{PATH}/identities/{}/unlink", single_sign_on::key_of(row));
        let ours = settings.filter(|settings| settings.issuer == row.issuer);
        vec![
            html! { (ours.map_or(row.issuer.as_str(), |settings| &settings.label)) },
            html! { (row.email.as_deref().unwrap_or(&row.subject)) },
            when(row.created_at, now),
            post_button(visitor, &path, "Unlink", "small"),
        ]
    });
    let rows: Vec<_> = rows.collect();
    Ok(html! {
        section {
            div.section-head { h2 { "Single sign-on" } }
            @if !rows.is_empty() { (table("Linked sign-ins", &COLUMNS, rows)) }
            @if let Some(settings) = settings {
                form.stack method="post" action="/settings/profile/identities/link" {
                    (layout::csrf(visitor))
                    (current("link-current", has_password))
                    div.actions { button type="submit" { "Link " (settings.label) } }
                }
            }
        }
    })
}
