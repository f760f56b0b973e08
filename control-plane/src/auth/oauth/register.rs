//! Dynamic registration (RFC 7591), for clients without a document: Codex and others.
//!
//! Open to everybody, so it is limited by address, and in number: what nobody ever allowed anything
//! is forgotten after a day. A client gets no secret, whatever it asks for (section 3.2.1 lets the
//! server choose); what it says of itself is only ever shown as its own words.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hostler_proto::time::UtcMillis;
use serde::Deserialize;
use serde_json::json;

use super::client::shown_name;
use super::device::DEVICE_GRANT;
use super::document::MOST_REDIRECTS;
use super::error::{Code, Refusal, private};
use super::redirect;
use crate::edge::Peer;
use crate::limits::{Bucket, address_key};
use crate::store::clients::{self, ClientRow};
use crate::{App, clock};

/// A client that nobody allowed anything is forgotten after so long, milliseconds.
const UNUSED_MS: i64 = 24 * 60 * 60_000;

/// Most clients that nobody allowed anything, at a time.
const MOST_UNUSED: u64 = 5_000;

/// What we read of a registration.
#[derive(Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    redirect_uris: Vec<String>,
    client_name: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
}

pub(super) async fn register(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    body: Result<Json<Wish>, JsonRejection>,
) -> Response {
    let peer = peer.map(|Extension(peer)| peer).unwrap_or_default();
    match registered(&app, peer, body, clock::wall()).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn registered(
    app: &App,
    peer: Peer,
    body: Result<Json<Wish>, JsonRejection>,
    now: UtcMillis,
) -> Result<Response, Refusal> {
    let key = address_key(peer.address);
    app.limits.take(Bucket::Registration, &key, now)?;
    let Json(wish) =
        body.map_err(|error| Refusal::new(Code::InvalidClientMetadata, error.body_text()))?;
    let grant_types = wish.check()?;
    let name = wish.client_name.as_deref().and_then(shown_name);
    let client = ClientRow {
        id: format!("mcp_{}", URL_SAFE_NO_PAD.encode(clock::random::<16>())),
        kind: "registered".to_owned(),
        name: name
            .unwrap_or_else(|| format!("Client at {}", redirect::shown(&wish.redirect_uris[0]))),
        redirect_uris: wish.redirect_uris,
        created_at: now,
        expires_at: now.plus_ms(UNUSED_MS),
    };
    let mut tx = app.store.begin().await?;
    if clients::count_unused(&mut tx, now).await? >= MOST_UNUSED {
        let words = "too many clients registered lately: try again later";
        return Err(Refusal::new(Code::TemporarilyUnavailable, words));
    }
    clients::put(&mut tx, &client).await?;
    app.store.commit(tx).await?;
    let body = json!({
        "client_id": client.id,
        "client_id_issued_at": now.0 / 1_000,
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "grant_types": grant_types,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    Ok((StatusCode::CREATED, private(), Json(body)).into_response())
}

impl Wish {
    /// The grant types it gets, or why it is refused.
    fn check(&self) -> Result<Vec<&'static str>, Refusal> {
        let count = self.redirect_uris.len();
        if count == 0 || count > MOST_REDIRECTS {
            let words = format!("1 to {MOST_REDIRECTS} redirect_uris are needed");
            return Err(Refusal::new(Code::InvalidRedirectUri, words));
        }
        if let Some(why) = self
            .redirect_uris
            .iter()
            .find_map(|uri| redirect::refused(uri))
        {
            return Err(Refusal::new(Code::InvalidRedirectUri, why));
        }
        let asks = |list: &Option<Vec<String>>, word: &str| {
            list.as_ref()
                .is_none_or(|list| list.iter().any(|item| item == word))
        };
        if !asks(&self.response_types, "code") || !asks(&self.grant_types, "authorization_code") {
            let words = "only the authorization code flow is offered";
            return Err(Refusal::new(Code::InvalidClientMetadata, words));
        }
        let device = self.grant_types.is_some() && asks(&self.grant_types, DEVICE_GRANT);
        let mut given = vec!["authorization_code", "refresh_token"];
        given.extend(device.then_some(DEVICE_GRANT));
        Ok(given)
    }
}
