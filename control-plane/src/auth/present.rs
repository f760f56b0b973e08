//! From what a request presents to who is calling.
//!
//! There is one way: the secret's hash is looked up, and the row it finds must be of a fitting
//! kind, not expired, not revoked, not spent, and its owner still a member. Why a secret is not
//! good is told only as far as its owner needs to know.

use hostler_proto::time::UtcMillis;

use super::oauth::address;
use super::{Caller, Role, Scopes, Secret, SecretKind, Via};
use crate::App;
use crate::store;
use crate::store::tokens::TokenRow;

/// A token's last use is noted at most this often, milliseconds.
const NOTE_EVERY_MS: i64 = 60_000;

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The request carries no secret.
    #[error("no API key or access token was sent")]
    NothingPresented,
    /// There is no such secret, or it is not for this.
    #[error("the API key or access token is not valid")]
    NotGood,
    /// It was good until its time ran out.
    #[error("the API key or access token has expired")]
    Expired,
    /// It was taken back.
    #[error("the API key or access token was revoked")]
    Revoked,
    /// The catalog could not be asked; the secret may be good.
    #[error("the control plane cannot check keys at the moment")]
    Catalog,
}

/// Where a secret stood in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`, for API keys alone.
    ApiKeyHeader,
}

/// Who sent a request with these headers.
pub async fn authenticate(
    app: &App,
    headers: &axum::http::HeaderMap,
    now: UtcMillis,
) -> Result<Caller, Denied> {
    Ok(identify(app, headers, now).await?.0)
}

/// Who sent a request with these headers, and with what kind of secret.
pub async fn identify(
    app: &App,
    headers: &axum::http::HeaderMap,
    now: UtcMillis,
) -> Result<(Caller, SecretKind), Denied> {
    let (place, text) = presented(headers)?;
    let secret = Secret::read(text).ok_or(Denied::NotGood)?;
    let fits = match secret.kind() {
        SecretKind::ApiKey => true,
        SecretKind::AccessToken => place == Place::Bearer,
        SecretKind::RefreshToken
        | SecretKind::EnrolmentKey
        | SecretKind::Session
        | SecretKind::Link
        | SecretKind::AuthorizationCode
        | SecretKind::DeviceCode => false,
    };
    if !fits {
        return Err(Denied::NotGood);
    }
    let row = look_up(app, &secret, now).await?;
    if secret.kind() == SecretKind::AccessToken && !is_for_us(app, &row) {
        return Err(Denied::NotGood);
    }
    note_use(app, &row, now);
    Ok((caller(row)?, secret.kind()))
}

/// An access token is for one resource (RFC 8707): this server's.
fn is_for_us(app: &App, row: &TokenRow) -> bool {
    let audience = row.audience.as_deref();
    audience.is_some_and(|audience| address::is_ours(&app.server.url, audience))
}

/// The secret in a request: a bearer token (RFC 6750 section 2.1), else an API key's own header.
fn presented(headers: &axum::http::HeaderMap) -> Result<(Place, &str), Denied> {
    let mut lines = headers
        .get_all(axum::http::header::AUTHORIZATION)
        .into_iter();
    if let Some(value) = lines.next() {
        // Two of them are read as one thing here and as another in front of us.
        if lines.next().is_some() {
            return Err(Denied::NotGood);
        }
        let text = value.to_str().ok().ok_or(Denied::NotGood)?;
        let (scheme, secret) = text.split_once(' ').ok_or(Denied::NotGood)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::NotGood);
        }
        return Ok((Place::Bearer, secret.trim()));
    }
    let value = headers.get("x-api-key").ok_or(Denied::NothingPresented)?;
    let text = value.to_str().ok().ok_or(Denied::NotGood)?;
    Ok((Place::ApiKeyHeader, text.trim()))
}

async fn look_up(app: &App, secret: &Secret, now: UtcMillis) -> Result<TokenRow, Denied> {
    let found = store::tokens::by_hash(&app.store, &secret.hash().to_string()).await;
    let row = found
        .map_err(|error| {
            tracing::error!(%error, "keys cannot be looked up");
            Denied::Catalog
        })?
        .ok_or(Denied::NotGood)?;
    if row.kind != secret.kind().word() || row.spent_at.is_some() {
        return Err(Denied::NotGood);
    }
    if row.revoked_at.is_some() {
        return Err(Denied::Revoked);
    }
    if row.expires_at.is_some_and(|at| at <= now) {
        return Err(Denied::Expired);
    }
    Ok(row)
}

fn caller(row: TokenRow) -> Result<Caller, Denied> {
    Ok(Caller {
        org_id: row.org_id,
        user_id: row.user_id,
        role: Role::from_word(&row.role).ok_or(Denied::NotGood)?,
        token_id: row.id,
        scopes: Scopes::parse(&row.scopes),
        label: row.email,
        via: Via {
            client: match row.client_id {
                Some(_) => row.name,
                None => format!("API key {}", row.name),
            },
            address: None,
        },
    })
}

/// Notes the use of a token beside the request, which does not wait for it.
fn note_use(app: &App, row: &TokenRow, now: UtcMillis) {
    let fresh = row
        .last_used_at
        .is_some_and(|at| now.since(at) < NOTE_EVERY_MS);
    if fresh {
        return;
    }
    let (store, id) = (app.store.clone(), row.id);
    app.in_background(async move {
        let noted = async {
            let mut tx = store.begin().await?;
            store::tokens::touch(&mut tx, id, now).await?;
            store.commit(tx).await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a token's use was not noted");
        }
    });
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| {
                let name = axum::http::HeaderName::from_static(name);
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn a_secret_is_found_in_either_header_and_bearer_wins() {
        let both = headers(&[("authorization", "bearer a"), ("x-api-key", "b")]);
        assert_eq!(presented(&both), Ok((Place::Bearer, "a")));
        let key = headers(&[("x-api-key", " b ")]);
        assert_eq!(presented(&key), Ok((Place::ApiKeyHeader, "b")));
        assert_eq!(presented(&headers(&[])), Err(Denied::NothingPresented));
        for bad in ["Basic abc", "Bearer", "sk_live_x"] {
            let bad = headers(&[("authorization", bad), ("x-api-key", "b")]);
            assert_eq!(presented(&bad), Err(Denied::NotGood));
        }
        let mut twice = headers(&[("authorization", "Bearer a")]);
        twice.append("authorization", HeaderValue::from_static("Bearer b"));
        assert_eq!(presented(&twice), Err(Denied::NotGood));
    }
}
