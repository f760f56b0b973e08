//! The organizations of a visitor: choosing one to work in, making another.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use hostler_proto::ids::OrgId;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::field::Field;
use super::layout::{self, Nav, Page};
use super::parts::{Tone, badge, post_button, table};
use super::visit::Personal;
use super::{Checked, SignedIn};
use crate::App;
use crate::auth::session::Visitor;
use crate::console::Path;
use crate::people::organizations;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/organizations", get(page).post(create))
        .route("/organizations/{id}/choose", post(choose))
}

async fn page(SignedIn(visitor): SignedIn) -> Response {
    shown(&visitor, StatusCode::OK, "", &html! {})
}

async fn create(State(app): State<App>, Checked { visitor, form }: Checked<Sent>) -> Response {
    match organizations::create(&app, &visitor, &form.name).await {
        Ok(_) => layout::redirect("/", "The organization was made; you work in it now."),
        Err(failure) => {
            let status = layout::status_of(failure.code);
            shown(&visitor, status, &form.name, &layout::problem(&failure))
        }
    }
}

async fn choose(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Personal {
        visitor,
        form: Nothing {},
    }: Personal<Nothing>,
) -> Response {
    match organizations::choose(&app, &visitor, OrgId(id)).await {
        Ok(name) => layout::redirect("/", &format!("You work in {name} now.")),
        Err(failure) => layout::failed(&visitor, Nav::Elsewhere, &failure),
    }
}

fn shown(visitor: &Visitor, status: StatusCode, name: &str, problem: &Markup) -> Response {
    let rows = visitor.orgs.iter().map(|org| {
        let path = format!("/organizations/{}/choose", org.org_id);
        let here = org.org_id == visitor.caller.org_id;
        vec![
            html! { (org.name) @if here { " " (badge(Tone::Good, "current")) } },
            html! { (org.role.word()) },
            html! { @if !here { (post_button(visitor, &path, "Work in this one", "small")) } },
        ]
    });
    let body = html! {
        (problem)
        (table("Organizations", &["Name", "Your role", ""], rows.collect()))
        section.card {
            h2 { "New organization" }
            form.stack method="post" action="/organizations" {
                (layout::csrf(visitor))
                (Field::text("name", "Name").value(name).most(100).required())
                p.hint { "It has its own members, hosts and everything else; you will be its owner." }
                div.actions { button type="submit" { "Make organization" } }
            }
        }
    };
    Page::new(visitor, Nav::Elsewhere, "Organizations")
        .status(status)
        .body(body)
}
