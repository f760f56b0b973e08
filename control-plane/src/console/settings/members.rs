//! Settings > Members: who belongs to the organization, and inviting others.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use hostler_proto::error::{ErrorCode, Failure};
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::super::field::Field;
use super::super::layout::{self, Nav};
use super::super::parts::{copy_box, post_button, table, when};
use super::super::stranger::private;
use super::super::{Checked, SignedIn};
use crate::auth::Role;
use crate::auth::session::Visitor;
use crate::console::Path;
use crate::people::{invitations, members};
use crate::store::links::LinkRow;
use crate::{App, clock};

const PATH: &str = "/settings/members";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Invitation {
    email: String,
    role: String,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(PATH, get(page))
        .route("/settings/members/invite", post(invite))
        .route("/settings/members/invitations/{id}/revoke", post(revoke))
}

/// The roles that somebody of this role may give, as choices.
pub(super) fn roles(own: Role) -> Vec<(String, String)> {
    let all = [
        (Role::Member, "Member: works with what they are given"),
        (
            Role::Admin,
            "Admin: also manages members and everything of the organization",
        ),
        (Role::Owner, "Owner: also makes and manages owners"),
    ];
    let given = all
        .into_iter()
        .filter(|(role, _)| members::may_manage(own, *role));
    given
        .map(|(role, words)| (role.word().to_owned(), words.to_owned()))
        .collect()
}

/// A role as a form names it.
pub(super) fn role(word: &str) -> Result<Role, Failure> {
    Role::from_word(word).ok_or_else(|| {
        Failure::new(
            ErrorCode::InvalidArgument,
            format!("there is no role {word:?}"),
        )
        .hint("choose member, admin or owner")
    })
}

async fn page(State(app): State<App>, SignedIn(visitor): SignedIn) -> Response {
    shown(
        &app,
        &visitor,
        StatusCode::OK,
        &Invitation::default(),
        &html! {},
    )
    .await
}

async fn invite(
    State(app): State<App>,
    Checked { visitor, form }: Checked<Invitation>,
) -> Response {
    let invited = async {
        let role = role(&form.role)?;
        invitations::invite(&app, &visitor.caller, &form.email, role).await
    };
    match invited.await {
        Ok(link) => {
            let link = html! {
                div.note {
                    p { "Give this link to " strong { (form.email.trim()) } ". It is shown this once, works once and is good for 7 days." }
                    (copy_box("invitation", "Invitation link", &link))
                }
            };
            let blank = Invitation::default();
            private(shown(&app, &visitor, StatusCode::OK, &blank, &link).await)
        }
        Err(failure) => {
            let status = layout::status_of(failure.code);
            shown(&app, &visitor, status, &form, &layout::problem(&failure)).await
        }
    }
}

async fn revoke(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Checked {
        visitor,
        form: Nothing {},
    }: Checked<Nothing>,
) -> Response {
    match invitations::revoke(&app, &visitor.caller, id).await {
        Ok(()) => layout::redirect(PATH, "The invitation was taken back."),
        Err(failure) => layout::failed(&visitor, Nav::Settings, &failure),
    }
}

async fn shown(
    app: &App,
    visitor: &Visitor,
    status: StatusCode,
    typed: &Invitation,
    above: &Markup,
) -> Response {
    match body(app, visitor, typed).await {
        Ok(body) => super::page(visitor, "Members", PATH)
            .status(status)
            .body(html! { (above) (body) }),
        Err(failure) => layout::failed(visitor, Nav::Settings, &failure),
    }
}

async fn body(app: &App, visitor: &Visitor, typed: &Invitation) -> Result<Markup, Failure> {
    let caller = &visitor.caller;
    let manages = caller.role >= Role::Admin;
    let all = members::list(app, caller).await?;
    let rows = all.iter().map(|member| {
        let path = format!("{PATH}/{}", member.user_id);
        let linked = manages || member.user_id == visitor.user_id;
        vec![
            html! { @if linked { a href=(path) { (member.name) } } @else { (member.name) } },
            html! { (member.email) },
            html! { (member.role) },
        ]
    });
    let list = table("Members", &["Name", "Email", "Role"], rows.collect());
    let open = if manages {
        Some(invitations::open(app, caller).await?)
    } else {
        None
    };
    Ok(html! {
        (list)
        @if let Some(open) = open { (form(visitor, typed)) (open_ones(visitor, &open)) }
    })
}

fn form(visitor: &Visitor, typed: &Invitation) -> Markup {
    let roles = roles(visitor.caller.role);
    html! {
        section.card {
            h2 { "Invite somebody" }
            p.muted { "This makes a link to give to them. Whoever opens it joins this organization." }
            form.filters method="post" action="/settings/members/invite" {
                (layout::csrf(visitor))
                (Field::email("email", "Email").value(&typed.email).autocomplete("off").required().class("grow"))
                (Field::select("role", "Role", &roles).value(&typed.role).quiet().class("grow"))
                button.main type="submit" { "Make invitation link" }
            }
        }
    }
}

fn open_ones(visitor: &Visitor, open: &[LinkRow]) -> Markup {
    let now = clock::wall();
    let rows = open.iter().map(|link| {
        let path = format!("{PATH}/invitations/{}/revoke", link.id);
        vec![
            html! { (link.email.as_deref().unwrap_or_default()) },
            html! { (link.role.as_deref().unwrap_or_default()) },
            when(link.created_at, now),
            when(link.expires_at, now),
            post_button(visitor, &path, "Take back", "small"),
        ]
    });
    let rows: Vec<_> = rows.collect();
    html! {
        section {
            div.section-head { h2 { "Open invitations" } }
            @if rows.is_empty() {
                p.muted { "None." }
            } @else {
                (table("Open invitations", &["Email", "Role", "Made", "Good until", ""], rows))
            }
        }
    }
}
