//! Who may speak to the MCP server: a good key on every request, and only under names that are ours.
//!
//! This stands outside method routing: a probe with GET or DELETE gets the same 401 as a POST. The
//! challenge says where to get a token and for which scopes. A call that an OAuth token lacks the
//! scope for is refused here with 403, so that its client can ask for more; for an API key it is the
//! tool's own error. Which hosts and origins are ours keeps web pages of others from reaching a
//! server on this machine (DNS rebinding).

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rmcp::transport::streamable_http_server::StreamableHttpServerConfig;
use serde_json::json;

use super::tools::Tools;
use crate::auth::{self, Denied, Scopes, SecretKind, oauth};
use crate::edge::Peer;
use crate::{App, clock};

/// Loopback under any port: how clients on this machine name it.
pub(super) const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Most bytes of a body that is looked into: what the transport takes.
const MOST_BODY_BYTES: usize = 4 << 20;

/// At most so much of the transport's words is repeated.
const TOLD_BYTES: usize = 4096;

/// Lets a request through with its caller attached, or answers 401 or 403.
pub(super) async fn only_with_a_key(
    State((app, tools)): State<(App, Tools)>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let identified = auth::identify(&app, &parts.headers, clock::wall()).await;
    let (mut caller, kind) = match identified {
        Ok(identified) => identified,
        Err(denied) => {
            let header = oauth::challenge::unauthorized(&app, &parts.headers, path, denied);
            return challenge(denied, &header);
        }
    };
    caller.via.address = parts.extensions.get::<Peer>().map(|peer| peer.address);
    let mut body = body;
    if kind == SecretKind::AccessToken && caller.scopes != Scopes::all() {
        let Ok(bytes) = axum::body::to_bytes(body, MOST_BODY_BYTES).await else {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        };
        if let Some(needed) = tools.missing(&bytes, caller.scopes) {
            let (headers, held) = (&parts.headers, caller.scopes);
            let header = oauth::challenge::insufficient(&app, headers, path, needed, held);
            return lacking(needed, &header);
        }
        body = Body::from(bytes);
    }
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// RFC 6750 section 3.1: the token is good and not for this.
fn lacking(needed: Scopes, header: &str) -> Response {
    let body = json!({"error": {
        "code": "forbidden",
        "message": format!("this token lacks the scope {needed}"),
        "hint": "sign in again and allow it: the challenge names the scopes to ask for",
    }});
    let headers = [(WWW_AUTHENTICATE, header)];
    (StatusCode::FORBIDDEN, headers, Json(body)).into_response()
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

/// RFC 6750 section 3.
fn challenge(denied: Denied, header: &str) -> Response {
    let body = |code: &str| {
        Json(json!({"error": {
            "code": code,
            "message": denied.to_string(),
            "hint": "sign in (most clients do it by themselves), or send an API key as `Authorization: Bearer sk_live_...`",
        }}))
    };
    match denied {
        Denied::NothingPresented | Denied::NotGood | Denied::Expired | Denied::Revoked => {
            let headers = [(WWW_AUTHENTICATE, header)];
            (StatusCode::UNAUTHORIZED, headers, body("unauthorized")).into_response()
        }
        Denied::Catalog => (StatusCode::SERVICE_UNAVAILABLE, body("unavailable")).into_response(),
    }
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
