//! Token revocation (RFC 7009): a client gives back what it holds.
//!
//! A refresh token takes its whole grant with it; an access token goes alone. What is unknown, or
//! gone already, is no error (section 2.2). API keys are taken back in the console.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hostler_proto::time::UtcMillis;

use super::error::{Code, Refusal, private};
use super::grants::{Why, take_back};
use super::{params, token};
use crate::auth::{Secret, SecretKind};
use crate::store::{grants, tokens};
use crate::{App, clock};

pub(super) async fn revoke(State(app): State<App>, request: Request) -> Response {
    match revoked(&app, request, clock::wall()).await {
        Ok(()) => (StatusCode::OK, private()).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn revoked(app: &App, request: Request, now: UtcMillis) -> Result<(), Refusal> {
    token::limited(app, &request, now)?;
    let headers = request.headers().clone();
    let params = params::form(request).await?;
    let client_id = params::client_id(&headers, &params)?;
    let Some(secret) = Secret::read(params.need("token")?) else {
        return Ok(());
    };
    if !matches!(
        secret.kind(),
        SecretKind::AccessToken | SecretKind::RefreshToken
    ) {
        let words = "only access and refresh tokens are revoked here";
        return Err(Refusal::new(Code::UnsupportedTokenType, words));
    }
    let mut tx = app.store.begin().await?;
    let Some(row) = grants::token_in(&mut tx, &secret.hash().to_string()).await? else {
        return Ok(());
    };
    if row.client_id.as_deref() != Some(client_id.as_str()) {
        let words = "the token is of another client";
        return Err(Refusal::new(Code::InvalidGrant, words));
    }
    let grant = match row.family_id {
        Some(family) if secret.kind() == SecretKind::RefreshToken => {
            grants::by_id_in(&mut tx, family).await?
        }
        Some(_) | None => None,
    };
    match grant {
        Some(grant) => take_back(&mut tx, &grant, Why::GivenBack, now).await?,
        None => {
            tokens::revoke(&mut tx, row.org_id, row.id, now).await?;
        }
    }
    Ok(app.store.commit(tx).await?)
}
