//! Refusals of the OAuth endpoints, as RFC 6749 section 5.2 (and its kin) words them.
//!
//! A description says what to do next, in characters the RFC allows, and never repeats a secret.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::limits::Wait;
use crate::store::StoreError;

/// Why an endpoint refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {words}", .code.name())]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) words: String,
    /// Seconds until it may be tried again.
    retry_after: Option<u64>,
}

/// The registered error codes we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    // RFC 6749 sections 4.1.2.1 and 5.2.
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    AccessDenied,
    TemporarilyUnavailable,
    // RFC 8707 section 2.
    InvalidTarget,
    // RFC 7591 section 3.2.2.
    InvalidRedirectUri,
    InvalidClientMetadata,
    // RFC 7009 section 2.2.1.
    UnsupportedTokenType,
    // RFC 8628 section 3.5.
    AuthorizationPending,
    SlowDown,
    ExpiredToken,
    // OpenID Connect Core section 3.1.2.6.
    LoginRequired,
    ConsentRequired,
    RequestNotSupported,
    RequestUriNotSupported,
}

impl Refusal {
    pub(super) fn new(code: Code, words: impl Into<String>) -> Self {
        Self {
            code,
            words: words.into(),
            retry_after: None,
        }
    }

    fn status(&self) -> StatusCode {
        match (self.code, self.retry_after) {
            (_, Some(_)) => StatusCode::TOO_MANY_REQUESTS,
            (Code::InvalidClient, None) => StatusCode::UNAUTHORIZED,
            (Code::TemporarilyUnavailable, None) => StatusCode::SERVICE_UNAVAILABLE,
            (_, None) => StatusCode::BAD_REQUEST,
        }
    }
}

impl Code {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::AccessDenied => "access_denied",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "oauth");
        Self::new(Code::TemporarilyUnavailable, "try again in a moment")
    }
}

impl From<Wait> for Refusal {
    fn from(wait: Wait) -> Self {
        Self {
            retry_after: Some(wait.seconds()),
            ..Self::new(Code::TemporarilyUnavailable, wait.to_string())
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({
            "error": self.code.name(),
            "error_description": printable(&self.words),
        });
        let mut response = (self.status(), private(), Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.code == Code::InvalidClient {
            // RFC 6749 section 5.2: what a 401 must carry (RFC 9110 section 15.5.2).
            let scheme = axum::http::HeaderValue::from_static(r#"Basic realm="hostler""#);
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// What every answer with a token or about one carries (RFC 6749 section 5.1).
pub(super) fn private() -> [(header::HeaderName, &'static str); 2] {
    [
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
    ]
}

/// The characters an `error_description` may have.
pub(super) fn printable(words: &str) -> String {
    let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    words
        .chars()
        .map(|c| if allowed(c) { c } else { '\'' })
        .collect()
}
