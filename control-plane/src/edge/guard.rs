//! What no request may do, whatever it asks for: name another server, come from a page of others,
//! carry a secret in its address, or come too fast. And what every answer carries.
//!
//! It stands around all routes. Nothing of an address is logged here: it may hold what it should
//! not.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, HOST, RETRY_AFTER};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;

use super::names::{Names, is_loopback};
use super::{Network, Peer, Socket, headers, proxy};
use crate::auth::{Secret, cookie};
use crate::limits::{Bucket, Limits, Wait, address_key};
use crate::{App, clock, console};

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
    let presented = said(request.headers()).next().is_some();
    let for_person = console::wants_page(request.headers());
    let mut response = match guard.judge(&mut request, socket, peer) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.told(for_person),
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
        let session = cookie::SESSION.read(headers, peer);
        let by_credential = said(headers)
            .chain(session)
            .try_for_each(|secret| self.limits.take(Bucket::Calls, secret, now));
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
    Refusal::too_many(wait, what).told(false)
}

/// What a program says who it is by; counted good or not, and under however many names.
fn said(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let bearers = words(headers, AUTHORIZATION.as_str())
        .map(|value| value.split_once(' ').map_or(value, |(_, secret)| secret));
    bearers.chain(words(headers, "x-api-key")).map(str::trim)
}

fn words<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter();
    values.map(|value| value.to_str().unwrap_or_default())
}

fn named_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.is_none_or(is_loopback)
}

/// Whether a query passes a secret, by a known name or by its looks.
fn holds_secret(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        // Also inside another address, like `next=/invitations/ln_...`.
        let within = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let mut words = value.split(within);
        SECRET_NAMES.contains(&name.as_str()) || words.any(|word| Secret::read(word).is_some())
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

impl Refusal {
    /// A page for a person, JSON for a program.
    fn told(self, for_person: bool) -> Response {
        let header = match self.wait {
            Some(seconds) => (RETRY_AFTER, seconds.to_string()),
            None => (CONNECTION, "close".to_owned()),
        };
        let said = if for_person {
            console::problem_page(self.status, &self.message, &self.hint)
        } else {
            let body = json!({"error": {
                "code": self.code, "message": self.message, "hint": self.hint,
                "retryable": self.wait.is_some(),
            }});
            (self.status, Json(body)).into_response()
        };
        ([header], said).into_response()
    }
}
