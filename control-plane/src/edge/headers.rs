//! What every answer tells a browser not to do. A page that needs another policy sets its own.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Scripts, styles and calls from here alone, no frames, forms to here alone.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const USUAL: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// Those without a constant of their own.
const NAMED: [(&str, &str); 3] = [
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// A year (RFC 6797 section 6.1.1).
const ONLY_TLS: &str = "max-age=31536000";

/// Adds what is not there. `only_tls`: this name is reached by TLS and shall not be by anything else.
pub(super) fn dress(headers: &mut HeaderMap, only_tls: bool) {
    let named = NAMED.map(|(name, value)| (HeaderName::from_static(name), value));
    let tls = only_tls.then_some((STRICT_TRANSPORT_SECURITY, ONLY_TLS));
    for (name, value) in USUAL.into_iter().chain(named).chain(tls) {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}
