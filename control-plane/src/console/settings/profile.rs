//! Settings > Profile: name, email, password, sessions.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use hostler_proto::error::Failure;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::super::field::Field;
use super::super::layout::{self, Nav};
use super::super::parts::{Tone, badge, post_button, table, when};
use super::super::setup::new_password;
use super::super::stranger::{retry_after, said};
use super::super::text;
use super::super::{Checked, SignedIn};
use super::identities;
use crate::auth::session::Visitor;
use crate::console::Path;
use crate::edge::Peer;
use crate::people::{Browser, Refused, profile};
use crate::store::sessions::SessionRow;
use crate::{App, clock};

pub(super) const PATH: &str = "/settings/profile";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    name: String,
    email: String,
    current: String,
    password: String,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(PATH, get(page))
        .route("/settings/profile/name", post(rename))
        .route("/settings/profile/email", post(change_email))
        .route("/settings/profile/password", post(change_password))
        .route("/settings/profile/sessions/end", post(end_others))
        .route("/settings/profile/sessions/{id}/end", post(end_one))
}

async fn page(State(app): State<App>, SignedIn(visitor): SignedIn) -> Response {
    shown(&app, &visitor, StatusCode::OK, &html! {}).await
}

async fn rename(State(app): State<App>, Checked { visitor, form }: Checked<Sent>) -> Response {
    match profile::rename(&app, &visitor, &form.name).await {
        Ok(()) => layout::redirect(PATH, "Your name was changed."),
        Err(failure) => again(&app, &visitor, failure.into()).await,
    }
}

async fn change_email(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Checked { visitor, form }: Checked<Sent>,
) -> Response {
    let browser = Browser {
        headers: &headers,
        peer,
    };
    match profile::change_email(&app, &visitor, &form.email, &form.current, browser).await {
        Ok(()) => layout::redirect(PATH, "Your email was changed."),
        Err(refused) => again(&app, &visitor, refused).await,
    }
}

async fn change_password(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Checked { visitor, form }: Checked<Sent>,
) -> Response {
    let browser = Browser {
        headers: &headers,
        peer,
    };
    let (current, new) = (&form.current, &form.password);
    match profile::change_password(&app, &visitor, current, new, browser).await {
        Ok(cookie) => {
            let words = "Your password was changed, and every other session has ended.";
            let mut response = layout::redirect(PATH, words);
            response.headers_mut().append(header::SET_COOKIE, cookie);
            response
        }
        Err(refused) => again(&app, &visitor, refused).await,
    }
}

async fn end_others(
    State(app): State<App>,
    Checked {
        visitor,
        form: Nothing {},
    }: Checked<Nothing>,
) -> Response {
    match profile::end_others(&app, &visitor).await {
        Ok(0) => layout::redirect(PATH, "There was no other session."),
        Ok(1) => layout::redirect(PATH, "One other session has ended."),
        Ok(count) => layout::redirect(PATH, &format!("{count} other sessions have ended.")),
        Err(failure) => layout::failed(&visitor, Nav::Settings, &failure),
    }
}

async fn end_one(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Checked {
        visitor,
        form: Nothing {},
    }: Checked<Nothing>,
) -> Response {
    match profile::end_session(&app, &visitor, id).await {
        Ok(()) => layout::redirect(PATH, "The session has ended."),
        Err(failure) => layout::failed(&visitor, Nav::Settings, &failure),
    }
}

pub(super) async fn again(app: &App, visitor: &Visitor, refused: Refused) -> Response {
    let (status, problem) = said(&refused);
    retry_after(shown(app, visitor, status, &problem).await, &refused)
}

async fn shown(app: &App, visitor: &Visitor, status: StatusCode, problem: &Markup) -> Response {
    match body(app, visitor).await {
        Ok(body) => super::page(visitor, "Profile", PATH)
            .status(status)
            .body(html! { (problem) (body) }),
        Err(failure) => layout::failed(visitor, Nav::Settings, &failure),
    }
}

async fn body(app: &App, visitor: &Visitor) -> Result<Markup, Failure> {
    let has_password = profile::has_password(app, visitor).await?;
    let sessions = profile::sessions(app, visitor).await?;
    let identities = identities::section(app, visitor, has_password).await?;
    let token = layout::csrf(visitor);
    Ok(html! {
        div.cards {
        section.card {
            h2 { "Name" }
            form.stack method="post" action="/settings/profile/name" {
                (token)
                (Field::text("name", "Your name").value(&visitor.name).autocomplete("name").most(100).required())
                div.actions { button type="submit" { "Save" } }
            }
        }
        section.card {
            h2 { "Email" }
            @if profile::may_change_email(visitor) {
                form.stack method="post" action="/settings/profile/email" {
                    (token)
                    (Field::email("email", "Email").value(&visitor.email).autocomplete("email").required())
                    (current("email-current", has_password))
                    div.actions { button type="submit" { "Change email" } }
                }
            } @else {
                p { (visitor.email) }
                p.hint { "Others know you by it: an admin of your organization changes it." }
            }
        }
        section.card {
            h2 { "Password" }
            @if !has_password { p.hint { "You sign in with another provider and have no password here." } }
            form.stack method="post" action="/settings/profile/password" {
                (token)
                // For password managers: whose password it is.
                input type="text" autocomplete="username" value=(visitor.email) aria-label="Email" readonly hidden;
                (current("password-current", has_password))
                (new_password("New password"))
                p.hint { "This ends every session but this one. API keys and MCP clients stay signed in." }
                div.actions { button type="submit" { @if has_password { "Change password" } @else { "Set password" } } }
            }
        }
        }
        (identities)
        (own_sessions(visitor, &sessions))
    })
}

pub(super) fn current(id: &str, has_password: bool) -> Markup {
    html! {
        @if has_password {
            (Field::password("current", "Current password").id(id).autocomplete("current-password").required())
        }
    }
}

/// A browser and its system, in the words of those who use it.
fn browser(agent: Option<&str>) -> String {
    const BROWSERS: [(&str, &str); 6] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrom", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Mac OS X", "macOS"),
        ("Windows", "Windows"),
        ("Linux", "Linux"),
    ];
    let Some(agent) = agent else {
        return "unknown".to_owned();
    };
    let named = |all: [(&str, &'static str); 6]| {
        let found = all.iter().find(|(part, _)| agent.contains(part));
        found.map(|(_, name)| *name)
    };
    match (named(BROWSERS), named(SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) => text::short(agent, 60),
    }
}

fn own_sessions(visitor: &Visitor, sessions: &[SessionRow]) -> Markup {
    const COLUMNS: [&str; 5] = ["Browser", "Address", "Signed in", "Last used", ""];
    let now = clock::wall();
    let rows = sessions.iter().map(|session| {
        let this = session.id == visitor.session_id;
        let path = format!("/settings/profile/sessions/{}/end", session.id);
        vec![
            html! { span title=[session.agent.as_deref()] { (browser(session.agent.as_deref())) } @if this { " " (badge(Tone::Good, "this one")) } },
            html! { (session.address.as_deref().unwrap_or("unknown")) },
            when(session.created_at, now),
            when(session.last_seen_at, now),
            html! { @if !this { (post_button(visitor, &path, "End", "small")) } },
        ]
    });
    html! {
        section {
            div.section-head {
                h2 { "Sessions" }
                div.actions { (post_button(visitor, "/settings/profile/sessions/end", "Sign out everywhere else", "")) }
            }
            (table("Sessions", &COLUMNS, rows.collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::browser;

    #[test]
    fn a_browser_is_called_what_people_call_it() {
        let safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15";
        assert_eq!(browser(Some(safari)), "Safari on macOS");
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36 Edg/125.0.0.0";
        assert_eq!(browser(Some(edge)), "Edge on Windows");
        assert_eq!(browser(Some("thing/1.0")), "thing/1.0");
        assert_eq!(browser(None), "unknown");
    }
}
