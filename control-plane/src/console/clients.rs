//! Settings > MCP clients: those that are connected, and how each client is connected, ready to paste.
//!
//! By the address alone first, where the client signs in through the browser; with an API key below,
//! for machines without one. No key is filled in: there is none that could be shown again.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use hostler_proto::error::Failure;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::layout::{self, Nav, Page};
use super::parts::{confirm, copy_box, day, settings_tabs, table, when};
use super::{Checked, SignedIn};
use crate::auth::oauth::grants::{grants, revoke_grant};
use crate::auth::session::Visitor;
use crate::auth::{Role, Scopes};
use crate::connect::{self, Client, Paste};
use crate::console::Path;
use crate::keys::scope_names;
use crate::store::grants::GrantRow;
use crate::{App, clock, names};

const HERE: &str = "/settings/clients";

/// What stands where the key goes.
const KEY: &str = "YOUR_API_KEY";

/// A form that is its button.
#[derive(Deserialize)]
struct Nothing {}

/// The routes of this page.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/settings/clients", get(show))
        .route("/settings/clients/{id}/revoke", post(revoke))
}

async fn show(State(app): State<App>, SignedIn(visitor): SignedIn) -> Response {
    let connected = match grants(&app, &visitor.caller, clock::wall()).await {
        Ok(found) => listed(&visitor, &found),
        Err(failure) => return layout::failed(&visitor, Nav::Settings, &failure),
    };
    let url = format!("{}/api/v2/agent/mcp", app.server.url);
    let clients = connect::clients(&url, KEY);
    Page::new(&visitor, Nav::Settings, "MCP clients")
        .tabs(settings_tabs(HERE))
        .body(html! {
            (connected)
            section {
                div.section-head { h2 { "Connect a client" } }
                (copy_box("mcp-url", "Address of the MCP server", &url))
                p.muted { "A client that signs in through the browser needs nothing but the address." }
                @for client in &clients { (card(client)) }
            }
        })
}

async fn revoke(
    State(app): State<App>,
    Path(id): Path<String>,
    form: Checked<Nothing>,
) -> Response {
    let Nothing {} = form.form;
    match disconnected(&app, &form.visitor, &id).await {
        Ok(grant) => {
            let said = format!("Disconnected {}.", grant.client_name);
            layout::redirect(HERE, &said)
        }
        Err(failure) => layout::failed(&form.visitor, Nav::Settings, &failure),
    }
}

async fn disconnected(app: &App, visitor: &Visitor, id: &str) -> Result<GrantRow, Failure> {
    let wanted: Option<Uuid> = id.parse().ok();
    let missing = || names::missing("connected client", "Settings > MCP clients", id);
    revoke_grant(
        app,
        &visitor.caller,
        wanted.ok_or_else(missing)?,
        clock::wall(),
    )
    .await
}

fn listed(visitor: &Visitor, found: &[GrantRow]) -> Markup {
    if found.is_empty() {
        return html! {
            section {
                h2 { "Connected" }
                p.muted { "No client is connected. One that signs in through the browser is listed here, and can be disconnected." }
            }
        };
    }
    let everybodys = visitor.caller.role >= Role::Admin;
    let rows = found.iter().map(|grant| row(visitor, grant, everybodys));
    let columns = if everybodys {
        &["Client", "Of", "Scopes", "Allowed", "Last used", ""][..]
    } else {
        &["Client", "Scopes", "Allowed", "Last used", ""]
    };
    table("Connected clients", columns, rows.collect())
}

fn row(visitor: &Visitor, grant: &GrantRow, everybodys: bool) -> Vec<Markup> {
    let what = html! { p { (grant.client_name) " is refused from its next request on. It can be allowed again." } };
    let action = format!("{HERE}/{}/revoke", grant.id);
    let scopes = Scopes::parse(&grant.scopes);
    let now = clock::wall();
    let mut cells = vec![
        html! { (grant.client_name) },
        html! {
            @if scopes == Scopes::all() { "all" }
            @else { @for name in scope_names(scopes) { span.tag { (name) } " " } }
        },
        day(grant.created_at),
        html! { @match grant.last_used_at { Some(at) => (when(at, now)), None => span.muted { "never" } } },
        html! { div.actions { (confirm(visitor, "Disconnect…", what, &action, "Disconnect")) } },
    ];
    if everybodys {
        cells.insert(1, html! { (grant.email) });
    }
    cells
}

fn card(client: &Client) -> Markup {
    let key = format!("{}-key", client.id);
    html! {
        details.card {
            summary { strong { (client.title) } }
            (paste(client.id, "Sign in through the browser", &client.oauth))
            (paste(&key, "Or with an API key", &client.api_key))
            p.muted { "Put a key from " a href="/settings/keys" { "API keys" } " in place of " code { (KEY) } "." }
        }
    }
}

fn paste(id: &str, how: &str, paste: &Paste) -> Markup {
    let label = match paste.file {
        Some(file) => format!("{how}: into {file}"),
        None => format!("{how}: in a shell"),
    };
    html! {
        (copy_box(id, &label, &paste.text))
        @if let Some(then) = paste.then { p.muted { (then) } }
    }
}
