//! Making the tokens of a grant: an access token, and the refresh token that gets the next one.

use axum::Json;
use axum::response::{IntoResponse, Response};
use hostler_proto::time::UtcMillis;
use serde_json::json;

use super::error::{Refusal, private};
use crate::auth::{Scopes, Secret, SecretKind};
use crate::store::Tx;
use crate::store::grants::GrantRow;
use crate::store::tokens::{self, NewToken};
use crate::{App, clock};

/// How many characters of a secret the catalog keeps readable.
const SHOWN_CHARACTERS: usize = 9;

/// What the token endpoint answers (RFC 6749 section 5.1).
#[derive(Debug)]
pub(super) struct Issued {
    access: Secret,
    refresh: Secret,
    scopes: Scopes,
    seconds: i64,
}

/// Stores a fresh pair; the access token has `scopes`, the refresh token all that was allowed.
pub(super) async fn issue(
    app: &App,
    tx: &mut Tx,
    grant: &GrantRow,
    scopes: Scopes,
    now: UtcMillis,
) -> Result<Issued, Refusal> {
    let rules = app.server.oauth;
    let access = Secret::mint(SecretKind::AccessToken, &clock::random());
    let refresh = Secret::mint(SecretKind::RefreshToken, &clock::random());
    let scopes_text = scopes.to_string();
    for (secret, scopes, life) in [
        (&access, &scopes_text, rules.access_ms),
        (&refresh, &grant.scopes, rules.refresh_ms),
    ] {
        let token = NewToken {
            id: hostler_proto::ids::uuid_v7(now, &clock::id_entropy()),
            kind: secret.kind().word().to_owned(),
            hash: secret.hash().to_string(),
            prefix: secret.expose().chars().take(SHOWN_CHARACTERS).collect(),
            org_id: grant.org_id,
            user_id: grant.user_id,
            name: grant.client_name.clone(),
            scopes: scopes.clone(),
            audience: Some(grant.audience.clone()),
            client_id: Some(grant.client_id.clone()),
            family_id: Some(grant.id),
            created_at: now,
            expires_at: Some(now.plus_ms(life)),
        };
        tokens::insert(tx, &token).await?;
    }
    Ok(Issued {
        access,
        refresh,
        scopes,
        seconds: rules.access_ms / 1_000,
    })
}

impl IntoResponse for Issued {
    fn into_response(self) -> Response {
        let body = json!({
            "access_token": self.access.expose(),
            "token_type": "Bearer",
            "expires_in": self.seconds,
            "refresh_token": self.refresh.expose(),
            "scope": self.scopes.to_string(),
        });
        (private(), Json(body)).into_response()
    }
}
