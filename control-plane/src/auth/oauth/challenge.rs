//! What a refused request is told, so that a client finds out by itself what to do: where the
//! authorization server is (RFC 9728 section 5.1), and which scopes to ask it for (RFC 6750 section
//! 3.1).

use axum::http::HeaderMap;

use super::{address, metadata};
use crate::App;
use crate::auth::{Denied, Scopes};

/// The `WWW-Authenticate` of a 401 at `path`. No error is named when nothing was presented.
pub(crate) fn unauthorized(app: &App, headers: &HeaderMap, path: &str, denied: Denied) -> String {
    let mut parts = vec![("realm", "hostler".to_owned())];
    if denied != Denied::NothingPresented {
        parts.push(("error", "invalid_token".to_owned()));
        parts.push(("error_description", denied.to_string()));
    }
    parts.push(("resource_metadata", whereabouts(app, headers, path)));
    parts.push(("scope", Scopes::all().to_string()));
    bearer(&parts)
}

/// The `WWW-Authenticate` of a 403 at `path`: what the token has and what it needs beside it, so that
/// a client that asks for exactly this loses nothing.
pub(crate) fn insufficient(
    app: &App,
    headers: &HeaderMap,
    path: &str,
    needed: Scopes,
    held: Scopes,
) -> String {
    bearer(&[
        ("realm", "hostler".to_owned()),
        ("error", "insufficient_scope".to_owned()),
        ("scope", needed.with(held).to_string()),
        ("resource_metadata", whereabouts(app, headers, path)),
        (
            "error_description",
            format!("this call needs the scope {needed}"),
        ),
    ])
}

fn whereabouts(app: &App, headers: &HeaderMap, path: &str) -> String {
    let base = address::base(&app.server.url, headers);
    let known = address::RESOURCE_PATHS.contains(&path);
    metadata::resource_metadata(&base, if known { path } else { "" })
}

/// Quoted strings (RFC 9110 section 11.2) of text that needs no escapes.
fn bearer(parts: &[(&str, String)]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|(name, text)| format!(r#"{name}="{}""#, super::error::printable(text)))
        .collect();
    format!("Bearer {}", parts.join(", "))
}
