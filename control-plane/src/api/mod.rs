//! JSON endpoints under `/v1`, for our own commands and whoever writes programs: what is no tool,
//! because no agent needs it.
//!
//! They call the same operations as the console's pages and decide nothing.

mod audit;
mod keys;

pub(crate) use audit::exported;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use hostler_proto::error::{ErrorCode, Failure};
use serde::Serialize;

use crate::auth::{self, Caller, Denied};
use crate::console::status_of;
use crate::edge::Peer;
use crate::{App, clock};

/// The routes.
pub(crate) fn router(app: &App) -> Router {
    Router::new()
        .merge(keys::routes())
        .merge(audit::routes())
        .with_state(app.clone())
}

/// Who presented a good credential; anybody else is answered 401.
pub(crate) struct Signed(pub(crate) Caller);

impl FromRequestParts<App> for Signed {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let known = auth::authenticate(app, &parts.headers, clock::wall()).await;
        let mut caller = known.map_err(refused)?;
        let peer = parts.extensions.get::<Peer>();
        caller.via.address = peer.map(|peer| peer.address);
        Ok(Self(caller))
    }
}

/// What came of an operation, as JSON.
pub(crate) fn answer<T: Serialize>(outcome: Result<T, Failure>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(failure) => (status_of(failure.code), Json(failure)).into_response(),
    }
}

/// RFC 6750 section 3.
fn refused(denied: Denied) -> Response {
    let failure = Failure::new(ErrorCode::Unauthorized, denied.to_string()).hint(
        "sign in with `hostler login`, or send a good API key as `Authorization: Bearer ...`",
    );
    let mut response = answer::<()>(Err(failure));
    let challenge = HeaderValue::from_static("Bearer realm=\"hostler\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}
