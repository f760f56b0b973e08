//! The token endpoint (RFC 6749 section 3.2).

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use hostler_proto::time::UtcMillis;

use super::error::{Code, Refusal};
use super::issue::Issued;
use super::{client, code, device, params, refresh};
use crate::edge::Peer;
use crate::limits::{Bucket, address_key};
use crate::{App, clock};

pub(super) async fn token(State(app): State<App>, request: Request) -> Response {
    match answered(&app, request, clock::wall()).await {
        Ok(issued) => issued.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn answered(app: &App, request: Request, now: UtcMillis) -> Result<Issued, Refusal> {
    limited(app, &request, now)?;
    let headers = request.headers().clone();
    let params = params::form(request).await?;
    let grant_type = params.need("grant_type")?;
    let client_id = params::client_id(&headers, &params)?;
    let issued = match grant_type {
        "authorization_code" => code::exchanged(app, &params, &client_id, now).await,
        "refresh_token" => refresh::refreshed(app, &params, &client_id, now).await,
        device::DEVICE_GRANT => device::exchanged(app, &params, &client_id, now).await,
        _ => Err(Refusal::new(
            Code::UnsupportedGrantType,
            "grant_type must be authorization_code, refresh_token or the device code's",
        )),
    };
    match issued {
        // The one refusal upon which clients register anew by themselves (RFC 6749 section 5.2).
        Err(refusal)
            if refusal.code == Code::InvalidGrant
                && !client::may_be_known(app, &client_id, now).await? =>
        {
            let words = "this server knows no such client: register again";
            Err(Refusal::new(Code::InvalidClient, words))
        }
        other => other,
    }
}

/// Limits guessing, by address.
pub(super) fn limited(app: &App, request: &Request, now: UtcMillis) -> Result<(), Refusal> {
    let peer = request
        .extensions()
        .get::<Peer>()
        .copied()
        .unwrap_or_default();
    let key = address_key(peer.address);
    Ok(app.limits.take(Bucket::TokenEndpoint, &key, now)?)
}
