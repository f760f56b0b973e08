//! `GET /v1/whoami`: tells the bearer of a credential whose it is and what it may do.
//!
//! It shows nothing that the credential does not already stand for, and never the secret.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hostler_proto::error::{ErrorCode, Failure};
use serde_json::{Value, json};

use crate::auth::{self, Caller, Scope};
use crate::{App, clock, store};

/// The route.
pub(crate) fn router(app: &App) -> Router {
    Router::new()
        .route("/v1/whoami", get(whoami))
        .with_state(app.clone())
}

async fn whoami(State(app): State<App>, headers: HeaderMap) -> Response {
    let caller = match auth::authenticate(&app, &headers, clock::wall()).await {
        Ok(caller) => caller,
        Err(denied) => return refusal(denied),
    };
    match told(&app, &caller).await {
        Ok(answer) => ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response(),
        Err(failure) => (StatusCode::SERVICE_UNAVAILABLE, Json(failure)).into_response(),
    }
}

/// RFC 6750 section 3.
fn refusal(denied: auth::Denied) -> Response {
    let failure = Failure::new(ErrorCode::Unauthorized, denied.to_string())
        .hint("sign in with `hostler login`, or send a good API key");
    let (status, challenge) = match denied {
        auth::Denied::Catalog => (StatusCode::SERVICE_UNAVAILABLE, None),
        auth::Denied::NothingPresented => (StatusCode::UNAUTHORIZED, Some("Bearer")),
        auth::Denied::NotGood | auth::Denied::Expired | auth::Denied::Revoked => (
            StatusCode::UNAUTHORIZED,
            Some(r#"Bearer error="invalid_token""#),
        ),
    };
    let mut response = (status, Json(failure)).into_response();
    if let Some(challenge) = challenge {
        let value = header::HeaderValue::from_static(challenge);
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

async fn told(app: &App, caller: &Caller) -> Result<Value, Failure> {
    let gone = || Failure::new(ErrorCode::Unauthorized, "the token is gone");
    let token = store::whoami::by_token(&app.store, caller.token_id)
        .await?
        .ok_or_else(gone)?;
    let scopes = Scope::ALL.into_iter();
    let scopes: Vec<_> = scopes
        .filter(|scope| caller.scopes.contains(*scope))
        .map(Scope::name)
        .collect();
    Ok(json!({
        "person": {"id": caller.user_id, "name": token.person, "email": caller.label},
        "organization": {"id": caller.org_id, "name": token.organization},
        "role": caller.role.word(),
        "scopes": scopes,
        "credential": {
            "id": caller.token_id,
            "kind": token.kind,
            "name": token.name,
            "prefix": token.prefix,
            "clientId": token.client_id,
            "createdAt": token.created_at.to_string(),
            "expiresAt": token.expires_at.map(|at| at.to_string()),
        },
        "server": {
            "id": app.server.id,
            "url": app.server.url,
            "version": env!("CARGO_PKG_VERSION"),
        },
    }))
}
