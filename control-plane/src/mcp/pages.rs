//! Web pages as MCP clients (MCP Inspector, for one): CORS for pages of this machine and of this
//! server's own address.
//!
//! Such a page sends a token by itself and no cookie is looked at, so it gains nothing that a program
//! would not. Pages of any other site get no permission, and the transport refuses what they send.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use url::Url;

use super::access::LOOPBACK;

/// What a page may read of an answer beside its body.
const TOLD: &str = "mcp-session-id, retry-after, www-authenticate";

/// Answers preflights of the pages that may call, and lets them read what they are answered.
pub(super) async fn may_call(
    State(public): State<String>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.filter(|origin| is_ours(origin, &public));
    let asks = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let preflight = request.method() == Method::OPTIONS && asks.is_some();
    let wanted = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let wanted = wanted.cloned();
    let mut response = if preflight && origin.is_some() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        permit(headers, origin, preflight, wanted);
    }
    response
}

fn permit(
    headers: &mut HeaderMap,
    origin: HeaderValue,
    preflight: bool,
    wanted: Option<HeaderValue>,
) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let told = HeaderValue::from_static(TOLD);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, told);
    if !preflight {
        return;
    }
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (header::ACCESS_CONTROL_MAX_AGE, "3600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(wanted) = wanted {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    }
}

/// Whether a page is of this machine, on whatever port, or of the address this server is known by.
fn is_ours(origin: &HeaderValue, public: &str) -> bool {
    let url = origin.to_str().ok().and_then(|text| Url::parse(text).ok());
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return false;
    };
    let here = url.host_str().is_some_and(|host| LOOPBACK.contains(&host));
    here || Url::parse(public).is_ok_and(|public| public.origin() == url.origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_and_our_own_may_call() {
        let may = |origin: &str| {
            let origin = HeaderValue::from_str(origin).unwrap();
            is_ours(&origin, "https://hostler.example.com")
        };
        for ours in [
            "http://localhost:6274",
            "http://127.0.0.1:6274",
            "https://localhost",
            "http://[::1]:1",
            "https://hostler.example.com",
        ] {
            assert!(may(ours), "{ours}");
        }
        for other in [
            "null",
            "https://evil.example",
            "http://hostler.example.com",
            "https://hostler.example.com:8443",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "file://localhost",
            "chrome-extension://localhost",
        ] {
            assert!(!may(other), "{other}");
        }
    }
}
