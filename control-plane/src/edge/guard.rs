//! What no request may do, whatever it asks for: name another server, come from a page of others,
//! carry a secret in its address, or come too fast. And what every answer carries.
//!
//! It stands around all routes. Nothing of an address is logged here: it may hold what it should
//! not.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, COOKIE, HOST, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;

use super::names::{Names, is_loopback};
use super::{Network, Peer, Socket, headers, proxy};
use crate::auth::Secret;
use crate::limits::{Bucket, Limits, Wait, address_key};
use crate::{App, clock};

/// Longest address of a request, bytes: a sign-in's parameters take some hundred.
const LONGEST_URI: usize = 8 << 10;

/// Where MCP clients call; its own layer judges origins, because a client may be a page.
const MCP: [&str; 2] = ["/mcp", "/api/v2/agent/mcp"];

/// Where OAuth clients call, which may be pages of others: nothing there goes by a cookie.
const OAUTH: [&str; 4] = [
    "/oauth/device_authorization",
    "/oauth/register",
    "/oauth/revoke",
    "/oauth/token",
];

/// Parameters by which clients pass a secret in an address.
const SECRET_NAMES: [&str; 8] = [
    "access_token",
    "api_key",
    "api-key",
    "apikey",
    "authorization",
    "bearer",
    "token",
    "x-api-key",
];

/// What the guard knows of the server.
#[derive(Debug)]
struct Guard {
    names: Names,
    trusted: Vec<Network>,
    limits: Arc<Limits>,
}

/// A refusal, as a status, a word and what to do.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: String,
    /// Seconds to come back after; without it the connection is closed, as the rest of what was sent
    /// is not read.
    wait: Option<u64>,
}

/// These routes behind the guard.
pub(crate) fn guarded(routes: Router, app: &App, trusted: &[Network]) -> Router {
    let guard = Guard {
        names: Names::of(&app.server.url),
        trusted: trusted.to_vec(),
        limits: app.limits.clone(),
    };
    routes.layer(from_fn_with_state(Arc::new(guard), stand_guard))
}

async fn stand_guard(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    let socket = request.extensions().get::<Socket>().copied();
    let peer = socket.map_or_else(Peer::default, |socket| {
        proxy::peer(socket, request.headers(), &guard.trusted)
    });
    request.extensions_mut().insert(peer);
    let only_tls = peer.https && !named_loopback(request.headers());
    let presented = credential(request.headers()).is_some();
    let mut response = match guard.judge(&mut request, socket, peer) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    if presented && response.status() == StatusCode::UNAUTHORIZED {
        let key = address_key(peer.address);
        let taken = guard.limits.take(Bucket::Refused, &key, clock::wall());
        response = taken.map_or_else(
            |wait| too_many(wait, "of a credential that is not good"),
            |()| response,
        );
    }
    headers::dress(response.headers_mut(), only_tls);
    response
}

impl Guard {
    fn judge(
        &self,
        request: &mut Request,
        socket: Option<Socket>,
        peer: Peer,
    ) -> Result<(), Refusal> {
        let now = clock::wall();
        let by_address = self
            .limits
            .take(Bucket::Requests, &address_key(peer.address), now);
        by_address.map_err(|wait| Refusal::too_many(wait, "from this address"))?;
        let (uri, headers) = (request.uri(), request.headers());
        let local = socket.map(|socket| socket.local);
        let is_mcp = MCP.contains(&uri.path());
        // Only what did not come by a socket of ours has none: a test, or a call in the program.
        if socket.is_some() {
            self.names.host(uri, headers, local).map_err(|status| {
                // What MCP clients expect for a request that was led here by another name.
                let led_here = is_mcp && status == StatusCode::MISDIRECTED_REQUEST;
                Refusal::another_name(if led_here {
                    StatusCode::FORBIDDEN
                } else {
                    status
                })
            })?;
        }
        let acts = !matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS
        ) || headers.contains_key(header::UPGRADE);
        let for_pages_too = is_mcp || OAUTH.contains(&uri.path());
        if acts && !for_pages_too && !self.names.origin(headers) {
            return Err(Refusal::another_page());
        }
        if uri
            .path_and_query()
            .is_some_and(|whole| whole.as_str().len() > LONGEST_URI)
        {
            return Err(Refusal::too_long());
        }
        if uri.query().is_some_and(holds_secret) {
            return Err(Refusal::secret_in_address());
        }
        let by_credential = match credential(headers) {
            Some(credential) => self.limits.take(Bucket::Calls, credential, now),
            None => Ok(()),
        };
        match by_credential {
            // A call of a tool is told as that tool's error, so that the model can wait.
            Err(wait) if is_mcp && request.method() == Method::POST => {
                request.extensions_mut().insert(wait);
                Ok(())
            }
            other => other.map_err(|wait| Refusal::too_many(wait, "with this credential")),
        }
    }
}

/// 429 with `Retry-After` (RFC 6585 section 4).
pub(crate) fn too_many(wait: Wait, what: &str) -> Response {
    Refusal::too_many(wait, what).into_response()
}

/// What a request says who it is by; counted as it stands, good or not.
fn credential(headers: &HeaderMap) -> Option<&str> {
    let said = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    if let Some(token) = said(AUTHORIZATION.as_str()).or_else(|| said("x-api-key")) {
        return Some(token);
    }
    let cookies = said(COOKIE.as_str())?;
    let mut pairs = cookies.split(';').map(str::trim);
    let is_session = |pair: &&str| {
        let name = pair.split('=').next();
        name == Some(crate::auth::session::COOKIE)
    };
    pairs.find(is_session)
}

fn named_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.is_none_or(is_loopback)
}

/// Whether a query passes a secret, by a known name or by its looks.
fn holds_secret(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        SECRET_NAMES.contains(&name.as_str()) || Secret::read(value.trim()).is_some()
    })
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: &str, hint: &str) -> Self {
        Self {
            status,
            code,
            message: message.to_owned(),
            hint: hint.to_owned(),
            wait: None,
        }
    }

    fn too_many(wait: Wait, what: &str) -> Self {
        let seconds = wait.seconds();
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            code: "rate_limited",
            message: format!("too many requests {what}"),
            hint: format!("wait {seconds} s, then try again"),
            wait: Some(seconds),
        }
    }

    fn secret_in_address() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "a secret must not stand in a URL, where proxies, histories and logs keep it",
            "send it in the header `Authorization: Bearer ...` (an API key also in `x-api-key`), and make a new one in place of this one",
        )
    }

    fn another_name(status: StatusCode) -> Self {
        Self::new(
            status,
            "wrong_host",
            "this server is not known by the name in the Host header",
            "use the server's own URL; whoever runs it sets its name with --public-url",
        )
    }

    fn another_page() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "wrong_origin",
            "the request was made by a page of another site",
            "open the console and do it there; nothing was changed",
        )
    }

    fn too_long() -> Self {
        let hint = format!("at most {LONGEST_URI} bytes");
        let status = StatusCode::URI_TOO_LONG;
        Self::new(status, "invalid_request", "the URL is too long", &hint)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": {
            "code": self.code, "message": self.message, "hint": self.hint,
        }});
        let header = match self.wait {
            Some(seconds) => (RETRY_AFTER, seconds.to_string()),
            None => (CONNECTION, "close".to_owned()),
        };
        (self.status, [header], Json(body)).into_response()
    }
}
