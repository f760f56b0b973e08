//! Signing in on a machine without a browser (RFC 8628): the device shows a short code, its person
//! types it elsewhere, and the device asks meanwhile until it gets tokens.
//!
//! Only the command line may do so: such a code can be forwarded to somebody who does not know what
//! they allow (section 5.4), so there are few clients for it, and the page says who asks from where.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::OrgId;
use hostler_proto::time::UtcMillis;
use serde_json::json;

use super::address;
use super::authorize::{self, Consent};
use super::client::{self, Client};
use super::error::{Code, Refusal, private};
use super::grants::{Why, take_back};
use super::issue::{Issued, issue};
use super::params::{self, Params};
use crate::auth::session::Visitor;
use crate::auth::{Scopes, Secret, SecretKind};
use crate::edge::Peer;
use crate::limits::{Bucket, address_key};
use crate::store::devices::{self, DeviceRow};
use crate::store::grants;
use crate::{App, audit, clock};

/// The grant type (section 3.4).
pub(crate) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Life of both codes, milliseconds.
const CODE_MS: i64 = 10 * 60_000;

/// Time between two looks of a device, milliseconds; and what is added when it looks too soon
/// (section 3.5).
const INTERVAL_MS: i64 = 5_000;

/// A look may be so much early, milliseconds: clocks and networks are not exact.
const EARLY_MS: i64 = 500;

/// Letters of a user code: no vowels, so no words, and none that look alike (section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// Letters in a user code: 20^8 codes, for ten minutes, with ten tries.
const CODE_LETTERS: usize = 8;

/// `POST /oauth/device_authorization` (section 3.1).
pub(super) async fn authorization(State(app): State<App>, request: Request) -> Response {
    match asked(&app, request, clock::wall()).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn asked(app: &App, request: Request, now: UtcMillis) -> Result<Response, Refusal> {
    let peer = request
        .extensions()
        .get::<Peer>()
        .copied()
        .unwrap_or_default();
    let key = address_key(peer.address);
    app.limits.take(Bucket::DeviceCodes, &key, now)?;
    let headers = request.headers().clone();
    let params = params::form(request).await?;
    let id = params::client_id(&headers, &params)?;
    let client = allowed(app, &id, peer, now).await?;
    authorize::resource(app, &params)?;
    let secret = Secret::mint(SecretKind::DeviceCode, &clock::random());
    let device = DeviceRow {
        hash: secret.hash().to_string(),
        user_code: user_code(clock::random),
        client_id: client.id,
        client_name: client.name,
        scopes: authorize::scopes(&params)?.to_string(),
        audience: app.server.url.clone(),
        address: Some(peer.address.to_string()),
        created_at: now,
        expires_at: now.plus_ms(CODE_MS),
        interval_ms: INTERVAL_MS,
        polled_at: None,
        state: "pending".to_owned(),
        grant_id: None,
    };
    let mut tx = app.store.begin().await?;
    devices::insert(&mut tx, &device).await?;
    app.store.commit(tx).await?;
    let base = address::base(&app.server.url, &headers);
    let code = shown(&device.user_code);
    let body = json!({
        "device_code": secret.expose(),
        "user_code": code,
        "verification_uri": format!("{base}/device"),
        "verification_uri_complete": format!("{base}/device?user_code={code}"),
        "expires_in": CODE_MS / 1_000,
        "interval": INTERVAL_MS / 1_000,
    });
    Ok((private(), Json(body)).into_response())
}

/// Tokens for a device that was allowed (section 3.4), or why it has to wait.
pub(super) async fn exchanged(
    app: &App,
    params: &Params,
    client_id: &str,
    now: UtcMillis,
) -> Result<Issued, Refusal> {
    let secret = Secret::read(params.need("device_code")?)
        .filter(|secret| secret.kind() == SecretKind::DeviceCode)
        .ok_or_else(not_good)?;
    let mut tx = app.store.begin().await?;
    let device = devices::by_hash_in(&mut tx, &secret.hash().to_string()).await?;
    let device = device
        .filter(|device| device.client_id == client_id)
        .ok_or_else(not_good)?;
    let grant = match device.grant_id {
        Some(id) => grants::by_id_in(&mut tx, id).await?,
        None => None,
    };
    let grant = match (device.state.as_str(), grant) {
        ("denied", _) => {
            let words = "the person did not allow it";
            return Err(Refusal::new(Code::AccessDenied, words));
        }
        ("spent", Some(grant)) => {
            take_back(&mut tx, &grant, Why::CodeReused, now).await?;
            app.store.commit(tx).await?;
            return Err(not_good());
        }
        _ if device.expires_at <= now => {
            let words = "nobody typed the code in time. Start again";
            return Err(Refusal::new(Code::ExpiredToken, words));
        }
        ("pending", _) => {
            let refusal = waits(&mut tx, &device, now).await?;
            app.store.commit(tx).await?;
            return Err(refusal);
        }
        ("allowed", Some(grant)) if grant.revoked_at.is_none() => grant,
        _ => return Err(not_good()),
    };
    devices::spend(&mut tx, &device.hash).await?;
    grants::connected(&mut tx, grant.id, now).await?;
    let issued = issue(app, &mut tx, &grant, Scopes::parse(&grant.scopes), now).await?;
    app.store.commit(tx).await?;
    Ok(issued)
}

/// The device that waits for this code, as a person typed it. Tries are limited by person.
pub(crate) async fn waiting(
    app: &App,
    visitor: &Visitor,
    typed: &str,
    now: UtcMillis,
) -> Result<DeviceRow, Failure> {
    let key = visitor.user_id.to_string();
    app.limits.take(Bucket::UserCodes, &key, now)?;
    let found = devices::waiting(&app.store, &plain(typed), now).await?;
    found.ok_or_else(|| {
        Failure::new(ErrorCode::NotFound, "no device waits with this code")
            .hint("compare it with what the device shows; a code is good for ten minutes, once")
    })
}

/// The person allows the device these scopes in one of their organizations.
pub(crate) async fn allow(
    app: &App,
    visitor: &Visitor,
    org: OrgId,
    device: &DeviceRow,
    scopes: Scopes,
    now: UtcMillis,
) -> Result<(), Failure> {
    let mut tx = app.store.begin().await?;
    let consent = Consent {
        visitor,
        org,
        client_id: &device.client_id,
        client_name: &device.client_name,
        scopes,
    };
    let grant = consent.record(app, &mut tx, now).await?;
    if !devices::decide(&mut tx, &device.hash, "allowed", Some(grant), now).await? {
        return Err(decided_before());
    }
    Ok(app.store.commit(tx).await?)
}

/// The person refuses the device.
pub(crate) async fn deny(
    app: &App,
    visitor: &Visitor,
    device: &DeviceRow,
    now: UtcMillis,
) -> Result<(), Failure> {
    let mut tx = app.store.begin().await?;
    if !devices::decide(&mut tx, &device.hash, "denied", None, now).await? {
        return Err(decided_before());
    }
    let thing = audit::Thing {
        kind: "client",
        id: &device.client_id,
        name: &device.client_name,
    };
    let detail = json!({"device": device.address});
    audit::record(
        &mut tx,
        &visitor.caller,
        "client.deny",
        thing,
        Some(detail),
        now,
    )
    .await?;
    Ok(app.store.commit(tx).await?)
}

/// A user code as people read it.
pub(crate) fn shown(code: &str) -> String {
    match code.split_at_checked(CODE_LETTERS / 2) {
        Some((left, right)) => format!("{left}-{right}"),
        None => code.to_owned(),
    }
}

/// What somebody typed, without what they added.
fn plain(typed: &str) -> String {
    let letters = typed.chars().filter(char::is_ascii_alphanumeric);
    letters
        .take(CODE_LETTERS + 1)
        .map(|letter| letter.to_ascii_uppercase())
        .collect()
}

async fn allowed(app: &App, id: &str, peer: Peer, now: UtcMillis) -> Result<Client, Refusal> {
    if id != client::CLI {
        let words = "only the command line signs in with a device code";
        return Err(Refusal::new(Code::UnauthorizedClient, words));
    }
    client::find(app, id, peer, now)
        .await
        .map_err(|error| Refusal::new(Code::InvalidClient, error.to_string()))
}

/// Too soon is said once more to wait longer.
async fn waits(
    tx: &mut crate::store::Tx,
    device: &DeviceRow,
    now: UtcMillis,
) -> Result<Refusal, Refusal> {
    let soon = device
        .polled_at
        .is_some_and(|at| now.since(at) < device.interval_ms - EARLY_MS);
    let interval = if soon {
        device.interval_ms + INTERVAL_MS
    } else {
        device.interval_ms
    };
    devices::polled(tx, &device.hash, interval, now).await?;
    Ok(if soon {
        let words = format!("ask every {} s", interval / 1_000);
        Refusal::new(Code::SlowDown, words)
    } else {
        Refusal::new(Code::AuthorizationPending, "nobody typed the code yet")
    })
}

/// Eight letters, each as likely as the other.
fn user_code(random: impl Fn() -> [u8; 32]) -> String {
    // Beyond the last whole round of the alphabet a byte would favour its first letters.
    let fair = 256 / LETTERS.len() * LETTERS.len();
    let mut code = String::new();
    while code.len() < CODE_LETTERS {
        let bytes = random();
        let letters = bytes
            .into_iter()
            .map(usize::from)
            .filter(|byte| *byte < fair);
        let missing = CODE_LETTERS - code.len();
        code.extend(
            letters
                .take(missing)
                .map(|byte| char::from(LETTERS[byte % LETTERS.len()])),
        );
    }
    code
}

fn not_good() -> Refusal {
    let words = "the device code is not good: it was used, or is of another client. Start again";
    Refusal::new(Code::InvalidGrant, words)
}

fn decided_before() -> Failure {
    Failure::new(ErrorCode::Conflict, "this device is not waiting any more")
        .hint("it was decided before, or its ten minutes are over: start again on the device")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_code_is_read_however_it_is_typed() {
        let code = user_code(|| [255; 32].map(|byte: u8| byte - 16));
        assert_eq!(code, "ZZZZZZZZ");
        assert_eq!(user_code(clock::random).len(), 8);
        assert_eq!(shown("BCDFGHJK"), "BCDF-GHJK");
        for typed in ["bcdf-ghjk", " BCDF GHJK ", "bcdfghjk", "B-C-D-F-G-H-J-K"] {
            assert_eq!(plain(typed), "BCDFGHJK");
        }
        assert_ne!(plain("BCDFGHJKL"), "BCDFGHJK");
    }
}
