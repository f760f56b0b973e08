//! Tokens for a refresh token, which is used up by it (RFC 9700 section 4.14.2).
//!
//! Whoever uses one a second time may be a thief, or the client itself: two of its processes refresh
//! at the same moment, or the answer was lost. So it is taken once more for a few seconds, as long
//! as nobody has used what came after it; then both get tokens that work. Otherwise everything of
//! the family is taken back.

use hostler_proto::time::UtcMillis;

use super::authorize;
use super::error::{Code, Refusal};
use super::grants::{Why, take_back};
use super::issue::{Issued, issue};
use super::params::Params;
use crate::App;
use crate::auth::{Scopes, Secret, SecretKind};
use crate::store::grants::{self, GrantRow};
use crate::store::tokens::{self, TokenRow};
use crate::store::{self, Tx};

pub(super) async fn refreshed(
    app: &App,
    params: &Params,
    client_id: &str,
    now: UtcMillis,
) -> Result<Issued, Refusal> {
    authorize::resource(app, params)?;
    let secret = Secret::read(params.need("refresh_token")?)
        .filter(|secret| secret.kind() == SecretKind::RefreshToken)
        .ok_or_else(not_good)?;
    let mut tx = app.store.begin().await?;
    let (token, grant) = found(&mut tx, &secret, client_id, now).await?;
    let scopes = narrowed(&grant, params)?;
    if !used_up(app, &mut tx, &token, now).await? {
        take_back(&mut tx, &grant, Why::RefreshReused, now).await?;
        app.store.commit(tx).await?;
        return Err(not_good());
    }
    let until = now.plus_ms(authorize::USED_MS);
    store::clients::used(&mut tx, client_id, now, until).await?;
    let issued = issue(app, &mut tx, &grant, scopes, now).await?;
    app.store.commit(tx).await?;
    Ok(issued)
}

/// The token and its grant, both still good, and the token this client's.
async fn found(
    tx: &mut Tx,
    secret: &Secret,
    client_id: &str,
    now: UtcMillis,
) -> Result<(TokenRow, GrantRow), Refusal> {
    let token = grants::token_in(tx, &secret.hash().to_string()).await?;
    let token = token
        .filter(|token| token.client_id.as_deref() == Some(client_id))
        .filter(|token| token.revoked_at.is_none())
        .filter(|token| token.expires_at.is_some_and(|at| at > now))
        .ok_or_else(not_good)?;
    let family = token.family_id.ok_or_else(not_good)?;
    let grant = grants::by_id_in(tx, family).await?;
    let grant = grant
        .filter(|grant| grant.revoked_at.is_none())
        .ok_or_else(not_good)?;
    Ok((token, grant))
}

/// Uses the token up; false when it was used before and that cannot be forgiven.
async fn used_up(
    app: &App,
    tx: &mut Tx,
    token: &TokenRow,
    now: UtcMillis,
) -> Result<bool, Refusal> {
    let Some(spent_at) = token.spent_at else {
        return Ok(tokens::spend(tx, token.id, now).await?);
    };
    let soon = now.since(spent_at) <= app.server.oauth.grace_ms;
    Ok(soon && !grants::went_on(tx, token).await?)
}

/// The scopes asked for: at most what was allowed (RFC 6749 section 6). Names that are not ours are
/// left out.
fn narrowed(grant: &GrantRow, params: &Params) -> Result<Scopes, Refusal> {
    let allowed = Scopes::parse(&grant.scopes);
    let asked = params.get("scope").map(Scopes::parse).unwrap_or_default();
    if asked == Scopes::default() {
        return Ok(allowed);
    }
    if !asked.is_within(allowed) {
        let words = format!("only these scopes were allowed: {allowed}");
        return Err(Refusal::new(Code::InvalidScope, words));
    }
    Ok(asked)
}

fn not_good() -> Refusal {
    let words = "the refresh token is not good: it was used before, has expired, was revoked, or is of another client. Sign in again";
    Refusal::new(Code::InvalidGrant, words)
}
