//! Enrolment and leaving over HTTP.
//!
//! A single-use key is spent in the transaction that makes the host. The host's id is the key's, so
//! repeating a request whose answer was lost gives the same host, and nobody else's public key can
//! use a spent key.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hostler_proto::enrol::{
    EnrolReply, EnrolRequest, LeaveRequest, enrol_statement, leave_statement,
};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{HostId, UserId};
use hostler_proto::link::{close, proof};
use hostler_proto::time::UtcMillis;

use crate::auth::{Secret, SecretKind};
use crate::hosts_catalog::manage;
use crate::store::audit::NewEntry;
use crate::store::hosts::{HostRow, NewHost};
use crate::store::tokens::TokenRow;
use crate::{App, audit, clock, reconcile, store};

/// `POST /v1/hosts/enrol`.
pub(super) async fn enrol(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Json<EnrolRequest>, JsonRejection>,
) -> Response {
    let outcome = match body {
        Ok(Json(request)) => enrolled(&app, &headers, &request).await,
        Err(rejection) => Err(Failure::new(
            ErrorCode::InvalidArgument,
            rejection.body_text(),
        )),
    };
    answer(outcome)
}

/// `POST /v1/hosts/leave`.
pub(super) async fn leave(
    State(app): State<App>,
    body: Result<Json<LeaveRequest>, JsonRejection>,
) -> Response {
    let outcome = match body {
        Ok(Json(request)) => left(&app, &request).await,
        Err(rejection) => Err(Failure::new(
            ErrorCode::InvalidArgument,
            rejection.body_text(),
        )),
    };
    answer(outcome)
}

async fn enrolled(
    app: &App,
    headers: &HeaderMap,
    request: &EnrolRequest,
) -> Result<EnrolReply, Failure> {
    let name = manage::checked_name(&request.name)
        .map_err(|failure| failure.hint("give another with --name"))?;
    let secret = bearer(headers).ok_or_else(bad_key)?;
    let token = store::tokens::by_hash(&app.store, &secret.hash().to_string())
        .await?
        .filter(|token| token.kind == SecretKind::EnrolmentKey.word())
        .ok_or_else(bad_key)?;
    let statement = enrol_statement(secret.expose(), &request.name);
    if !proof::verify(&request.public_key, &statement, &request.signature) {
        return Err(Failure::new(
            ErrorCode::InvalidArgument,
            "the request is not signed by the public key it gives",
        ));
    }
    let host = make(app, &token, name, &request.public_key).await?;
    tracing::info!(host = %host.id, name = %host.name, "host enrolled");
    Ok(EnrolReply {
        host_id: host.id,
        name: host.name,
        server_id: app.server.id,
    })
}

/// Spends the key and makes the host, in one transaction; or finds the one it made before.
async fn make(
    app: &App,
    token: &TokenRow,
    name: &str,
    public_key: &str,
) -> Result<HostRow, Failure> {
    let (id, now) = (HostId(token.id), clock::wall());
    let mut tx = app.store.begin().await?;
    if let Some(made) = store::hosts::by_id_in(&mut tx, id).await? {
        let same = made.public_key == public_key && made.revoked_at.is_none();
        return if same { Ok(made) } else { Err(bad_key()) };
    }
    if !store::tokens::spend(&mut tx, token.id, now).await? {
        return Err(bad_key());
    }
    let host = NewHost {
        id,
        org_id: token.org_id,
        owner_id: token.user_id,
        name: name.to_owned(),
        public_key: public_key.to_owned(),
        enrolled_at: now,
    };
    match store::hosts::insert(&mut tx, &host).await {
        Err(error) if error.is_duplicate() => {
            let hint = "give another name (`join --name`, `up --host-name`); the key is still good";
            return Err(manage::name_taken(name).hint(hint));
        }
        other => other?,
    }
    let made = store::hosts::by_id_in(&mut tx, id).await?;
    let (named, by) = (id.to_string(), (token.email.as_str(), Some(token.user_id)));
    let entry = entry(&named, name, "host.enrol", by, now);
    audit::append(&mut tx, token.org_id, &entry).await?;
    app.store.commit(tx).await?;
    made.ok_or_else(|| Failure::new(ErrorCode::HostError, "the host was not stored"))
}

async fn left(app: &App, request: &LeaveRequest) -> Result<serde_json::Value, Failure> {
    let unknown = || Failure::new(ErrorCode::NotFound, "there is no such host here");
    let row = store::hosts::by_id(&app.store, request.host_id)
        .await?
        .ok_or_else(unknown)?;
    let statement = leave_statement(request.host_id, app.server.id);
    if !proof::verify(&row.public_key, &statement, &request.signature) {
        return Err(unknown());
    }
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    if row.revoked_at.is_none() {
        manage::retire(&mut tx, &row, "left", now).await?;
        let named = row.id.to_string();
        let by = (row.name.as_str(), None);
        let entry = entry(&named, &row.name, "host.leave", by, now);
        audit::append(&mut tx, row.org_id, &entry).await?;
    }
    app.store.commit(tx).await?;
    app.hosts.close(row.id, close::GONE, "the host left");
    reconcile::release_moved(app, row.id, now).await?;
    Ok(serde_json::json!({ "host_id": row.id }))
}

/// What a host did by itself, for the audit log.
fn entry<'a>(
    id: &'a str,
    name: &'a str,
    action: &'a str,
    (actor, actor_id): (&'a str, Option<UserId>),
    now: UtcMillis,
) -> NewEntry<'a> {
    NewEntry {
        at: now,
        actor_id,
        actor,
        client: "hostler daemon",
        address: None,
        action,
        thing_kind: "host",
        thing_id: id,
        thing_name: name,
        detail: None,
    }
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = text.split_once(' ')?;
    let secret = Secret::read(secret.trim())?;
    (scheme.eq_ignore_ascii_case("bearer") && secret.kind() == SecretKind::EnrolmentKey)
        .then_some(secret)
}

fn bad_key() -> Failure {
    Failure::new(
        ErrorCode::Unauthorized,
        "the enrolment key is not good: it was used, has expired (after 15 minutes) or never was one",
    )
    .hint("get a fresh key from the control plane")
}

pub(super) fn answer<T: serde::Serialize>(outcome: Result<T, Failure>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(failure) => {
            let status = status(failure.code);
            (status, Json(failure)).into_response()
        }
    }
}

fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::InvalidArgument | ErrorCode::Unsupported => StatusCode::BAD_REQUEST,
        ErrorCode::Conflict | ErrorCode::PreconditionFailed => StatusCode::CONFLICT,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::HostOffline | ErrorCode::Timeout | ErrorCode::HostError => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
