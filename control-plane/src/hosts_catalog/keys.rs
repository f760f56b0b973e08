//! Keys: those that enrol a host once, and the one a host has.

use hostler_proto::enrol::{RotateReply, RotateRequest, rotate_statement};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::link::{close, proof};
use hostler_proto::time::UtcMillis;
use serde_json::json;

use crate::audit::{self, Thing};
use crate::auth::{Caller, ENROLMENT_KEY_MS, Role, SecretKind, mint};
use crate::names;
use crate::store::audit::NewEntry;
use crate::store::hosts::HostRow;
use crate::store::tokens::TokenRow;
use crate::{App, clock, store};

/// How long a host's old key stays good after it has changed it, milliseconds: a day.
const OLD_KEY_MS: i64 = 24 * 60 * 60 * 1000;

/// A key that enrols one host, shown this once.
#[derive(Clone, Debug)]
pub struct EnrolmentKey {
    /// The secret.
    pub secret: String,
    /// Until when it is good.
    pub expires_at: UtcMillis,
}

/// Makes a single-use key, good for 15 minutes. Whoever asks for it will own the host.
pub async fn issue(app: &App, caller: &Caller) -> Result<EnrolmentKey, Failure> {
    let (kind, life) = (SecretKind::EnrolmentKey, Some(ENROLMENT_KEY_MS));
    let (secret, token) = mint(kind, "host enrolment", caller.org_id, caller.user_id, life);
    let now = token.created_at;
    let mut tx = app.store.begin().await?;
    store::tokens::insert(&mut tx, &token).await?;
    let id = token.id.to_string();
    let thing = Thing {
        kind: "enrolment_key",
        id: &id,
        name: &token.prefix,
    };
    audit::record(&mut tx, caller, "host.enrolment_key", thing, None, now).await?;
    app.store.commit(tx).await?;
    Ok(EnrolmentKey {
        secret: secret.expose().to_owned(),
        expires_at: token.expires_at.unwrap_or(now),
    })
}

/// The enrolment keys that are still good, newest first: the caller's own; for whoever administers
/// the organization everybody's.
pub async fn open(app: &App, caller: &Caller) -> Result<Vec<TokenRow>, Failure> {
    let whose = (caller.role < Role::Admin).then_some(caller.user_id);
    let kind = SecretKind::EnrolmentKey.word();
    let now = clock::wall();
    Ok(store::tokens::open(&app.store, caller.org_id, whose, kind, now).await?)
}

/// Withdraws an enrolment key that was not used yet, by its id or the part of it that is shown.
pub async fn withdraw(app: &App, caller: &Caller, reference: &str) -> Result<TokenRow, Failure> {
    let missing = || {
        names::missing("open enrolment key", "the open enrolment keys", reference)
            .hint("`hostler hosts keys` lists those that are still good")
    };
    let wanted = reference.trim();
    let all = open(app, caller).await?;
    let mut fitting = all
        .into_iter()
        .filter(|key| key.id.to_string() == wanted || key.prefix == wanted);
    let key = fitting.next().ok_or_else(missing)?;
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    if !store::tokens::revoke(&mut tx, caller.org_id, key.id, now).await? {
        return Err(missing());
    }
    let id = key.id.to_string();
    let thing = Thing {
        kind: "enrolment_key",
        id: &id,
        name: &key.prefix,
    };
    audit::record(
        &mut tx,
        caller,
        "host.enrolment_key.revoke",
        thing,
        None,
        now,
    )
    .await?;
    app.store.commit(tx).await?;
    Ok(key)
}

/// Takes a host's new key, signed by the one it has and by the new one. The one it had stays good
/// for a day, so that whatever still uses it goes on; at once not any more when another machine was
/// seen with it. A repeat of the same change gets the same answer, signed by the new key alone.
pub async fn rotate(app: &App, request: &RotateRequest) -> Result<RotateReply, Failure> {
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let row = store::hosts::by_id_in(&mut tx, request.host_id).await?;
    let row = row
        .filter(|row| row.revoked_at.is_none())
        .ok_or_else(refused)?;
    let statement = rotate_statement(row.id, app.server.id, &request.public_key);
    if !proof::verify(&request.public_key, &statement, &request.new_signature) {
        return Err(refused());
    }
    if request.public_key == row.public_key {
        let until = row.old_public_key.map(|(_, until)| until);
        return Ok(reply(until.filter(|until| *until > now)));
    }
    if !proof::verify(&row.public_key, &statement, &request.old_signature) {
        return Err(refused());
    }
    let until = row.doubt.is_none().then(|| now.plus_ms(OLD_KEY_MS));
    let old = until.map(|until| (row.public_key.as_str(), until));
    store::hosts::set_key(&mut tx, row.id, &request.public_key, old, now).await?;
    store::hosts::set_doubt(&mut tx, row.id, None).await?;
    append(&mut tx, &row, until, now).await?;
    app.store.commit(tx).await?;
    if until.is_none() {
        let why = "this host's key was changed: show who you are again";
        app.hosts.close(row.id, close::AUTHENTICATE, why);
    }
    tracing::info!(host = %row.id, name = %row.name, "host has a new key");
    Ok(reply(until))
}

async fn append(
    tx: &mut store::Tx,
    row: &HostRow,
    until: Option<UtcMillis>,
    now: UtcMillis,
) -> Result<(), Failure> {
    let id = row.id.to_string();
    let entry = NewEntry {
        at: now,
        actor_id: None,
        actor: &row.name,
        client: "hostler daemon",
        address: None,
        action: "host.rotate_key",
        thing_kind: "host",
        thing_id: &id,
        thing_name: &row.name,
        detail: Some(json!({ "oldKeyUntil": until.map(|until| until.to_string()) })),
    };
    Ok(audit::append(tx, row.org_id, &entry).await?)
}

fn reply(until: Option<UtcMillis>) -> RotateReply {
    RotateReply {
        old_key_until: until.map(|until| until.0),
    }
}

/// One answer for every way in which it does not fit: what there is, is not told to whoever asks.
fn refused() -> Failure {
    Failure::new(
        ErrorCode::Unauthorized,
        "the change is not signed by the key this host has",
    )
    .hint("if another machine has changed it, or this one was removed: `hostler leave`, then `hostler join` with a fresh key")
}
