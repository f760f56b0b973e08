//! Tokens for an authorization code (RFC 6749 section 4.1.3, RFC 7636 section 4.6).
//!
//! A code works once, for the client, the address and the verifier it was made for. A second use
//! takes back what the first gave: one of the two was a thief.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hostler_proto::time::UtcMillis;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::authorize;
use super::error::{Code, Refusal};
use super::grants::{Why, take_back};
use super::issue::{Issued, issue};
use super::params::Params;
use crate::App;
use crate::auth::{Scopes, Secret, SecretKind};
use crate::store::grants::{self, CodeRow};

/// Lengths a verifier may have (RFC 7636 section 4.1).
const VERIFIER_BYTES: std::ops::RangeInclusive<usize> = 43..=128;

pub(super) async fn exchanged(
    app: &App,
    params: &Params,
    client_id: &str,
    now: UtcMillis,
) -> Result<Issued, Refusal> {
    authorize::resource(app, params)?;
    let verifier = params.need("code_verifier")?;
    let secret = Secret::read(params.need("code")?)
        .filter(|secret| secret.kind() == SecretKind::AuthorizationCode)
        .ok_or_else(not_good)?;
    let mut tx = app.store.begin().await?;
    let code = grants::code_in(&mut tx, &secret.hash().to_string()).await?;
    let code = code.ok_or_else(not_good)?;
    let grant = grants::by_id_in(&mut tx, code.grant_id).await?;
    let grant = grant
        .filter(|grant| grant.client_id == client_id)
        .ok_or_else(not_good)?;
    if code.spent_at.is_some() {
        take_back(&mut tx, &grant, Why::CodeReused, now).await?;
        app.store.commit(tx).await?;
        return Err(not_good());
    }
    if grant.revoked_at.is_some() || code.expires_at <= now {
        return Err(not_good());
    }
    fits(&code, params, verifier)?;
    grants::spend_code(&mut tx, &code.hash, now).await?;
    grants::connected(&mut tx, grant.id, now).await?;
    let issued = issue(app, &mut tx, &grant, Scopes::parse(&grant.scopes), now).await?;
    app.store.commit(tx).await?;
    Ok(issued)
}

/// The same address where one is given (OAuth 2.1 drops it: PKCE binds the code already), and the
/// verifier whose hash was sent before.
fn fits(code: &CodeRow, params: &Params, verifier: &str) -> Result<(), Refusal> {
    let elsewhere = params
        .get("redirect_uri")
        .is_some_and(|uri| uri != code.redirect_uri);
    if elsewhere {
        let words = "redirect_uri is not the one of the authorization request";
        return Err(Refusal::new(Code::InvalidGrant, words));
    }
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let same = hash.as_bytes().ct_eq(code.challenge.as_bytes());
    if !VERIFIER_BYTES.contains(&verifier.len()) || !bool::from(same) {
        let words = "code_verifier does not belong to the code";
        return Err(Refusal::new(Code::InvalidGrant, words));
    }
    Ok(())
}

fn not_good() -> Refusal {
    let words = "the code is not good: it was used, has expired (after a minute), or is of another client. Start again";
    Refusal::new(Code::InvalidGrant, words)
}
