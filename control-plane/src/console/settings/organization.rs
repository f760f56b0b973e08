//! Settings > Organization: its name.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::field::Field;
use super::super::layout;
use super::super::parts::facts;
use super::super::{Checked, SignedIn};
use crate::App;
use crate::auth::Role;
use crate::auth::session::Visitor;
use crate::people::organizations;

const PATH: &str = "/settings/organization";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    name: String,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route(PATH, get(page).post(rename))
}

async fn page(SignedIn(visitor): SignedIn) -> Response {
    let name = visitor.membership().map_or("", |org| org.name.as_str());
    shown(&visitor, StatusCode::OK, name, &html! {})
}

async fn rename(State(app): State<App>, Checked { visitor, form }: Checked<Sent>) -> Response {
    match organizations::rename(&app, &visitor.caller, &form.name).await {
        Ok(()) => layout::redirect(PATH, "The organization was renamed."),
        Err(failure) => {
            let status = layout::status_of(failure.code);
            shown(&visitor, status, &form.name, &layout::problem(&failure))
        }
    }
}

fn shown(visitor: &Visitor, status: StatusCode, name: &str, problem: &Markup) -> Response {
    let manages = visitor.caller.role >= Role::Admin;
    let body = html! {
        (problem)
        @if manages {
            form.card.stack method="post" action=(PATH) {
                (layout::csrf(visitor))
                (Field::text("name", "Name").value(name).most(100).required())
                div.actions { button.main type="submit" { "Rename" } }
            }
        } @else {
            (facts(&[("Name", html! { (name) })]))
        }
        (facts(&[("Id", html! { code { (visitor.caller.org_id) } }), ("Your role", html! { (visitor.caller.role.word()) })]))
        p { a href="/organizations" { "All your organizations" } }
    };
    super::page(visitor, "Organization", PATH)
        .status(status)
        .body(body)
}
