//! What clients read to find their way: protected resource metadata (RFC 9728) and authorization
//! server metadata (RFC 8414).
//!
//! The issuer has no path, so there is nothing at the addresses with one: a client that asks there
//! is told so in JSON and goes on to the right one. This is no OpenID provider.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::address;
use super::device::DEVICE_GRANT;
use crate::App;
use crate::auth::Scope;

/// Standard for "lasts beyond the session": taken and needless, because every client gets a
/// refresh token.
pub(super) const OFFLINE: &str = "offline_access";

const WELL_KNOWN_RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// The address of the metadata of the resource at `path`.
pub(crate) fn resource_metadata(base: &str, path: &str) -> String {
    format!("{base}{WELL_KNOWN_RESOURCE}{path}")
}

pub(super) async fn resource(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Response {
    let base = address::base(&app.server.url, &headers);
    let path = uri.path().strip_prefix(WELL_KNOWN_RESOURCE);
    found(&json!({
        "resource": format!("{base}{}", path.unwrap_or_default()),
        "authorization_servers": [base],
        "scopes_supported": Scope::ALL.map(Scope::name),
        "bearer_methods_supported": ["header"],
        "resource_name": "Hostler",
    }))
}

pub(super) async fn server(State(app): State<App>, headers: HeaderMap) -> Response {
    let base = address::base(&app.server.url, &headers);
    let scopes = Scope::ALL.map(Scope::name);
    let scopes = [&scopes[..], &[OFFLINE]].concat();
    let at = |path: &str| format!("{base}/oauth/{path}");
    found(&json!({
        "issuer": base,
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "registration_endpoint": at("register"),
        "revocation_endpoint": at("revoke"),
        "device_authorization_endpoint": at("device_authorization"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_GRANT],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": app.server.oauth.documents,
    }))
}

pub(super) async fn nothing() -> Response {
    let body = json!({
        "error": "not_found",
        "error_description": "this server's metadata is at /.well-known/oauth-authorization-server",
    });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

/// Kept for minutes, and apart for each name of this machine.
fn found(body: &Value) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "max-age=300"),
        (header::VARY, "host"),
    ];
    (headers, Json(body)).into_response()
}
