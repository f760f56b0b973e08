//! One member: role, recovery link, removing or leaving.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use hostler_proto::error::Failure;
use hostler_proto::ids::UserId;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::super::field::Field;
use super::super::layout::{self, Nav};
use super::super::parts::{confirm, copy_box, facts, post_button};
use super::super::stranger::private;
use super::super::{Checked, SignedIn};
use super::members::{role, roles};
use crate::App;
use crate::auth::session::Visitor;
use crate::console::Path;
use crate::people::{members, recovery};
use crate::store::members::MemberRow;

const LIST: &str = "/settings/members";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chosen {
    role: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Addressed {
    email: String,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/settings/members/{id}", get(page))
        .route("/settings/members/{id}/role", post(set_role))
        .route("/settings/members/{id}/email", post(set_email))
        .route("/settings/members/{id}/recover", post(recover))
        .route("/settings/members/{id}/remove", post(remove))
}

async fn page(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    SignedIn(visitor): SignedIn,
) -> Response {
    shown(&app, &visitor, UserId(id), &html! {}).await
}

async fn set_role(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Checked { visitor, form }: Checked<Chosen>,
) -> Response {
    let done = async {
        let role = role(&form.role)?;
        members::set_role(&app, &visitor.caller, UserId(id), role).await
    };
    match done.await {
        Ok(()) => layout::redirect(LIST, "The role was changed."),
        Err(failure) => layout::failed(&visitor, Nav::Settings, &failure),
    }
}

async fn set_email(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Checked { visitor, form }: Checked<Addressed>,
) -> Response {
    match members::set_email(&app, &visitor.caller, UserId(id), &form.email).await {
        Ok(()) => layout::redirect(LIST, "The email was changed."),
        Err(failure) => layout::failed(&visitor, Nav::Settings, &failure),
    }
}

async fn recover(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Checked {
        visitor,
        form: Nothing {},
    }: Checked<Nothing>,
) -> Response {
    match recovery::make(&app, &visitor.caller, UserId(id)).await {
        Ok(link) => {
            let link = html! {
                div.note {
                    p { "Give this link to them. It is shown this once, works once and is good for an hour. Their sessions end when they use it." }
                    (copy_box("recovery", "Recovery link", &link))
                }
            };
            private(shown(&app, &visitor, UserId(id), &link).await)
        }
        Err(failure) => layout::failed(&visitor, Nav::Settings, &failure),
    }
}

async fn remove(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Checked {
        visitor,
        form: Nothing {},
    }: Checked<Nothing>,
) -> Response {
    match members::remove(&app, &visitor.caller, UserId(id)).await {
        Ok(()) if visitor.user_id.0 == id => {
            layout::redirect("/organizations", "You left the organization.")
        }
        Ok(()) => layout::redirect(LIST, "They were removed."),
        Err(failure) => layout::failed(&visitor, Nav::Settings, &failure),
    }
}

async fn shown(app: &App, visitor: &Visitor, id: UserId, above: &Markup) -> Response {
    let found: Result<MemberRow, Failure> = members::get(app, &visitor.caller, id).await;
    match found {
        Ok(member) => super::page(visitor, &member.name, LIST)
            .under("Members", LIST)
            .status(StatusCode::OK)
            .body(html! { (above) (body(visitor, &member)) }),
        Err(failure) => layout::failed(visitor, Nav::Settings, &failure),
    }
}

fn body(visitor: &Visitor, member: &MemberRow) -> Markup {
    let own = visitor.caller.role;
    let me = member.user_id == visitor.user_id;
    let manages = members::may_manage(own, members::role_of(member));
    let path = |act: &str| format!("{LIST}/{}/{act}", member.user_id);
    let choices = roles(own);
    html! {
        (facts(&[("Email", html! { (member.email) }), ("Role", html! { (member.role) })]))
        div.cards {
        @if manages {
            section.card {
                h2 { "Role" }
                form.stack method="post" action=(path("role")) {
                    (layout::csrf(visitor))
                    (Field::select("role", "Role", &choices).value(&member.role).quiet())
                    div.actions { button type="submit" { "Change role" } }
                }
            }
        }
        @if manages && !me {
            section.card {
                h2 { "Email" }
                form.stack method="post" action=(path("email")) {
                    (layout::csrf(visitor))
                    (Field::email("email", "Email").value(&member.email).autocomplete("off").required())
                    div.actions { button type="submit" { "Change email" } }
                }
            }
            section.card {
                h2 { "Forgotten password" }
                p { "A recovery link lets them set a new one." }
                (post_button(visitor, &path("recover"), "Make recovery link", ""))
            }
        }
        @if me || manages {
            section.card {
                h2 { @if me { "Leave" } @else { "Remove" } }
                (confirm(visitor, if me { "Leave the organization…" } else { "Remove from the organization…" },
                    consequences(me), &path("remove"), if me { "Leave" } else { "Remove" }))
            }
        }
        }
    }
}

fn consequences(me: bool) -> Markup {
    html! {
        @if me { p { "You lose access at once:" } } @else { p { "They lose access at once:" } }
        ul {
            li { "API keys, MCP clients and enrolment keys for this organization stop working." }
            li { "Hosts they own are taken out of the organization, with everything that runs on them." }
            li { "Their automations are paused and pass to "
                @if me { "the organization's oldest owner" } @else { "you" } ", to be resumed or deleted." }
            li { "Tasks and projects stay." }
        }
    }
}
