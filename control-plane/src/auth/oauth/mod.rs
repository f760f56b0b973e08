//! The OAuth 2.1 authorization server for MCP clients and for the command line: a narrow profile.
//!
//! One kind of client (public), one flow (a code with PKCE S256, or a device code), one resource
//! (this server's MCP endpoint, whichever of its names a client uses). What a person allowed is a
//! grant; its tokens are one family in the table of all secrets, so that taking the grant back takes
//! them back at once. Pages are in the console; this module decides and never shows anything.
//!
//! Any web page may ask the metadata, registration, token and revocation endpoints (CORS `*`): they
//! look at no cookie, so a page gains nothing but what it could do by itself. The authorization
//! endpoint and the MCP endpoint do not allow that.

pub(crate) mod address;
pub(crate) mod authorize;
pub(crate) mod challenge;
pub(crate) mod client;
mod code;
pub(crate) mod device;
mod document;
mod error;
pub mod grants;
mod issue;
mod metadata;
pub(crate) mod params;
pub(crate) mod redirect;
mod refresh;
mod register;
mod revoke;
mod token;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::App;

/// Most bytes of a request's body.
const MOST_BODY_BYTES: usize = 16 << 10;

/// The endpoints that programs use.
pub(crate) fn router(app: &App) -> Router {
    let mut routes = Router::new();
    for path in address::RESOURCE_PATHS {
        let known = format!("/.well-known/oauth-protected-resource{path}");
        routes = routes.route(&known, get(metadata::resource));
    }
    for (path, handler) in [
        ("oauth-authorization-server", get(metadata::server)),
        ("oauth-authorization-server/{*path}", get(metadata::nothing)),
        ("oauth-protected-resource/{*path}", get(metadata::nothing)),
        ("openid-configuration", get(metadata::nothing)),
        ("openid-configuration/{*path}", get(metadata::nothing)),
    ] {
        routes = routes.route(&format!("/.well-known/{path}"), handler);
    }
    routes
        .route("/oauth/register", post(register::register))
        .route("/oauth/token", post(token::token))
        .route("/oauth/revoke", post(revoke::revoke))
        .route("/oauth/device_authorization", post(device::authorization))
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(middleware::from_fn(for_any_page))
        .with_state(app.clone())
}

/// CORS for endpoints without cookies: any origin, and the preflight answered.
async fn for_any_page(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    if preflight {
        say(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST");
        say(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, mcp-protocol-version",
        );
        say(header::ACCESS_CONTROL_MAX_AGE, "3600");
    }
    response
}
