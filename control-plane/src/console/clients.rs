//! Settings > MCP clients: how each client is connected, ready to paste.
//!
//! By the address alone first, where the client signs in through the browser; with an API key below,
//! for machines without one. No key is filled in: there is none that could be shown again.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::SignedIn;
use super::layout::{Nav, Page};
use super::parts::{copy_box, settings_tabs};
use crate::App;
use crate::connect::{self, Client, Paste};

const HERE: &str = "/settings/clients";

/// What stands where the key goes.
const KEY: &str = "YOUR_API_KEY";

/// The routes of this page.
pub(super) fn routes() -> Router<App> {
    Router::new().route("/settings/clients", get(show))
}

async fn show(State(app): State<App>, SignedIn(visitor): SignedIn) -> Response {
    let url = format!("{}/api/v2/agent/mcp", app.server.url);
    let clients = connect::clients(&url, KEY);
    Page::new(&visitor, Nav::Settings, "MCP clients")
        .tabs(settings_tabs(HERE))
        .body(html! {
            section {
                div.section-head { h2 { "Connect a client" } }
                (copy_box("mcp-url", "Address of the MCP server", &url))
                p.muted { "A client that signs in through the browser needs nothing but the address." }
                @for client in &clients { (card(client)) }
            }
        })
}

fn card(client: &Client) -> Markup {
    let key = format!("{}-key", client.id);
    html! {
        details.card {
            summary { h3 { (client.title) } }
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
