//! Who may speak to the MCP server: a good key on every request, and only under names that are ours.
//!
//! This stands outside method routing: a probe with GET or DELETE gets the same 401 as a POST. The
//! challenge names no authorization server, because there is none yet: a client told of one would
//! start a sign-in that cannot end. Which hosts and origins are ours keeps web pages of others from
//! reaching a server on this machine (DNS rebinding).

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rmcp::transport::streamable_http_server::StreamableHttpServerConfig;
use serde_json::json;

use crate::auth::{self, Denied};
use crate::{App, clock};

/// Loopback under any port: how clients on this machine name it.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// At most so much of the transport's words is repeated.
const TOLD_BYTES: usize = 4096;

/// Lets a request through with its caller attached, or answers 401.
pub(super) async fn only_with_a_key(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    match auth::authenticate(&app, request.headers(), clock::wall()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(denied) => challenge(denied),
    }
}

/// A JSON body that is no JSON-RPC message is a bad request with the protocol's own error (the
/// transport calls it an unsupported media type).
pub(super) async fn bodies_are_judged_as_json(request: Request, next: Next) -> Response {
    let declared = request.headers().get(CONTENT_TYPE).cloned();
    let said_json = declared.is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let response = next.run(request).await;
    if !said_json || response.status() != StatusCode::UNSUPPORTED_MEDIA_TYPE {
        return response;
    }
    let words = axum::body::to_bytes(response.into_body(), TOLD_BYTES).await;
    let words = words.unwrap_or_default();
    malformed(&String::from_utf8_lossy(&words))
}

/// JSON-RPC 2.0 section 5.1: -32700 for what is no JSON, -32600 for what is no request.
fn malformed(words: &str) -> Response {
    let code = if words.contains("JSON-RPC") {
        -32600
    } else {
        -32700
    };
    let body = json!({
        "jsonrpc": "2.0",
        "id": null,
        "error": {"code": code, "message": words},
    });
    let response = Response::builder()
        .status(StatusCode::BAD_REQUEST)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()));
    response.unwrap_or_else(|_| StatusCode::BAD_REQUEST.into_response())
}

/// RFC 6750 section 3: no error code when nothing was presented.
fn challenge(denied: Denied) -> Response {
    let (status, header) = match denied {
        Denied::NothingPresented => (
            StatusCode::UNAUTHORIZED,
            r#"Bearer realm="hostler""#.to_owned(),
        ),
        Denied::NotGood | Denied::Expired | Denied::Revoked => (
            StatusCode::UNAUTHORIZED,
            format!(
                r#"Bearer realm="hostler", error="invalid_token", error_description="{denied}""#
            ),
        ),
        Denied::Catalog => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
    };
    let code = if status == StatusCode::UNAUTHORIZED {
        "unauthorized"
    } else {
        "unavailable"
    };
    let body = json!({"error": {
        "code": code,
        "message": denied.to_string(),
        "hint": "send the API key as `Authorization: Bearer sk_live_...` (printed by the first `hostler up`)",
    }});
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json");
    if !header.is_empty() {
        response = response.header(WWW_AUTHENTICATE, header);
    }
    response
        .body(Body::from(body.to_string()))
        .unwrap_or_else(|_| status.into_response())
}

/// Hosts and origins that are ours: loopback, and the public address where one is configured.
pub(super) fn rebinding_rules(public_url: &str) -> StreamableHttpServerConfig {
    let mut hosts: Vec<String> = LOOPBACK.map(str::to_owned).into();
    let mut origins: Vec<String> = LOOPBACK
        .iter()
        .flat_map(|host| [format!("http://{host}:*"), format!("https://{host}:*")])
        .collect();
    if let Some((host, origin)) = public_name(public_url) {
        hosts.push(host);
        origins.push(origin);
    }
    StreamableHttpServerConfig::default()
        .with_allowed_hosts(hosts)
        .with_allowed_origins(origins)
        .enforce_origin_validation()
}

/// The host (with its port when it is not the scheme's own) and the origin of a base address.
fn public_name(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?;
    let scheme = uri.scheme_str().unwrap_or("https");
    let usual = if scheme == "http" { 80 } else { 443 };
    let port = uri.port_u16().unwrap_or(usual);
    let named = uri
        .port_u16()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Some((named, format!("{scheme}://{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_address_is_ours_beside_loopback() {
        let rules = rebinding_rules("https://hostler.example.com");
        assert!(
            rules
                .allowed_hosts
                .contains(&"hostler.example.com".to_owned())
        );
        assert!(
            rules
                .allowed_origins
                .contains(&"https://hostler.example.com:443".to_owned())
        );
        assert!(rules.allowed_hosts.contains(&"localhost".to_owned()));
        let rules = rebinding_rules("http://box.lan:4880");
        assert!(rules.allowed_hosts.contains(&"box.lan:4880".to_owned()));
        assert!(
            rules
                .allowed_origins
                .contains(&"http://box.lan:4880".to_owned())
        );
    }
}
