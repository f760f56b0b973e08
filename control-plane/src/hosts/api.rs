//! Hosts over HTTP, for commands: the same operations as the console's, with a key or a token.
//!
//! Reading takes `hosts:read`, everything else `hosts:write`. A host is named by its id or its name.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Json, Router, routing};
use hostler_proto::enrol::{ENROLMENT_KEYS_PATH, ROTATE_PATH, RotateRequest};
use hostler_proto::error::{ErrorCode, Failure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::enrol::answer;
use crate::auth::{self, Caller, Scope};
use crate::console::{Path, Query};
use crate::hosts_catalog::manage::{self, Right};
use crate::hosts_catalog::show::{self, HostDetail};
use crate::hosts_catalog::{HostView, keys, members};
use crate::store::hosts::HostRow;
use crate::store::members::MemberRow;
use crate::store::tokens::TokenRow;
use crate::{App, clock};

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/hosts", routing::get(list))
        .route(ENROLMENT_KEYS_PATH, routing::post(issue_key).get(open_keys))
        .route(
            "/v1/hosts/enrolment-keys/{key}/revoke",
            routing::post(withdraw_key),
        )
        .route(ROTATE_PATH, routing::post(rotate))
        .route("/v1/hosts/{host}", routing::get(detail))
        .route("/v1/hosts/{host}/rename", routing::post(rename))
        .route("/v1/hosts/{host}/revoke", routing::post(revoke))
        .route("/v1/hosts/{host}/grant", routing::post(grant))
        .route("/v1/hosts/{host}/ungrant", routing::post(ungrant))
        .route("/v1/hosts/{host}/transfer", routing::post(transfer))
        .route("/v1/hosts/{host}/confirm", routing::post(confirm))
}

type Body<T> = Result<Json<T>, JsonRejection>;

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Member {
    member: String,
}

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    keep: bool,
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    all: bool,
}

async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    Query(listing): Query<Listing>,
) -> Response {
    let listed = async {
        let caller = caller(&app, &headers, Scope::HostsRead).await?;
        let hosts = show::all(&app, &caller).await?;
        let shown = hosts.iter().filter(|(_, usable)| *usable || listing.all);
        Ok::<_, Failure>(json!({
            "hosts": shown.map(|(host, usable)| brief(host, *usable)).collect::<Vec<_>>(),
        }))
    };
    answer(listed.await)
}

async fn detail(State(app): State<App>, headers: HeaderMap, Path(host): Path<String>) -> Response {
    let shown = async {
        let caller = caller(&app, &headers, Scope::HostsRead).await?;
        let host = show::show(&app, &caller, &host).await?;
        Ok::<_, Failure>(json!({ "host": whole(&host) }))
    };
    answer(shown.await)
}

async fn rename(
    State(app): State<App>,
    headers: HeaderMap,
    Path(host): Path<String>,
    body: Body<Named>,
) -> Response {
    let renamed = async {
        let caller = caller(&app, &headers, Scope::HostsWrite).await?;
        let named = read(body)?;
        let row = manage::rename(&app, &caller, &host, &named.name).await?;
        Ok::<_, Failure>(json!({ "host": of_row(&row) }))
    };
    answer(renamed.await)
}

async fn revoke(State(app): State<App>, headers: HeaderMap, Path(host): Path<String>) -> Response {
    let revoked = async {
        let caller = caller(&app, &headers, Scope::HostsWrite).await?;
        let removed = manage::revoke(&app, &caller, &host).await?;
        Ok::<_, Failure>(json!({
            "revoked": true,
            "automationsPaused": removed.automations,
            "runsLost": removed.runs,
        }))
    };
    answer(revoked.await)
}

async fn grant(
    State(app): State<App>,
    headers: HeaderMap,
    Path(host): Path<String>,
    body: Body<Member>,
) -> Response {
    let granted = async {
        let caller = caller(&app, &headers, Scope::HostsWrite).await?;
        let member = members::grant(&app, &caller, &host, &read(body)?.member).await?;
        Ok::<_, Failure>(json!({ "member": of_member(&member) }))
    };
    answer(granted.await)
}

async fn ungrant(
    State(app): State<App>,
    headers: HeaderMap,
    Path(host): Path<String>,
    body: Body<Member>,
) -> Response {
    let ungranted = async {
        let caller = caller(&app, &headers, Scope::HostsWrite).await?;
        let member = members::ungrant(&app, &caller, &host, &read(body)?.member).await?;
        Ok::<_, Failure>(json!({ "member": of_member(&member) }))
    };
    answer(ungranted.await)
}

async fn transfer(
    State(app): State<App>,
    headers: HeaderMap,
    Path(host): Path<String>,
    body: Body<Member>,
) -> Response {
    let transferred = async {
        let caller = caller(&app, &headers, Scope::HostsWrite).await?;
        let row = manage::transfer(&app, &caller, &host, &read(body)?.member).await?;
        Ok::<_, Failure>(json!({ "host": of_row(&row) }))
    };
    answer(transferred.await)
}

async fn confirm(
    State(app): State<App>,
    headers: HeaderMap,
    Path(host): Path<String>,
    body: Body<Which>,
) -> Response {
    let confirmed = async {
        let caller = caller(&app, &headers, Scope::HostsWrite).await?;
        let right = if read(body)?.keep {
            Right::Old
        } else {
            Right::New
        };
        let row = manage::confirm(&app, &caller, &host, right).await?;
        Ok::<_, Failure>(json!({ "host": of_row(&row) }))
    };
    answer(confirmed.await)
}

async fn issue_key(State(app): State<App>, headers: HeaderMap) -> Response {
    let issued = async {
        let caller = caller(&app, &headers, Scope::HostsWrite).await?;
        let key = keys::issue(&app, &caller).await?;
        Ok::<_, Failure>(json!({
            "key": key.secret,
            "expiresAt": key.expires_at.to_string(),
        }))
    };
    answer(issued.await)
}

async fn open_keys(State(app): State<App>, headers: HeaderMap) -> Response {
    let listed = async {
        let caller = caller(&app, &headers, Scope::HostsRead).await?;
        let open = keys::open(&app, &caller).await?;
        Ok::<_, Failure>(json!({ "keys": open.iter().map(of_key).collect::<Vec<_>>() }))
    };
    answer(listed.await)
}

async fn withdraw_key(
    State(app): State<App>,
    headers: HeaderMap,
    Path(key): Path<String>,
) -> Response {
    let withdrawn = async {
        let caller = caller(&app, &headers, Scope::HostsWrite).await?;
        let key = keys::withdraw(&app, &caller, &key).await?;
        Ok::<_, Failure>(json!({ "key": of_key(&key) }))
    };
    answer(withdrawn.await)
}

/// By a host itself: what it signs is its right.
async fn rotate(State(app): State<App>, body: Body<RotateRequest>) -> Response {
    let rotated = async { keys::rotate(&app, &read(body)?).await };
    answer(rotated.await)
}

async fn caller(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Caller, Failure> {
    let caller = auth::authenticate(app, headers, clock::wall())
        .await
        .map_err(|denied| {
            Failure::new(ErrorCode::Unauthorized, denied.to_string())
                .hint("send the API key as `Authorization: Bearer sk_live_...`")
        })?;
    caller.require(scope)?;
    Ok(caller)
}

fn read<T>(body: Body<T>) -> Result<T, Failure> {
    let refused = |why: JsonRejection| Failure::new(ErrorCode::InvalidArgument, why.body_text());
    body.map(|Json(body)| body).map_err(refused)
}

fn brief(host: &HostView, usable: bool) -> Value {
    json!({
        "id": host.id,
        "name": host.name,
        "online": host.online,
        "lastSeenAt": host.last_seen_at.map(|at| at.to_string()),
        "enrolledAt": host.enrolled_at.to_string(),
        "ownerId": host.owner_id,
        "usable": usable,
        "warnings": show::warnings(host),
    })
}

fn whole(detail: &HostDetail) -> Value {
    let mut shown = brief(&detail.host, detail.usable);
    let text = |at: hostler_proto::time::UtcMillis| at.to_string();
    let facts = detail.host.facts.as_ref();
    let load = detail.host.load.as_ref();
    let more = json!({
        "owner": detail.owner,
        "ownerIsMember": detail.owner_is_member,
        "yours": detail.is_owner,
        "members": detail.members.as_ref().map(|members| members.iter().map(|one| json!({
            "id": one.user_id, "email": one.email, "name": one.name, "since": text(one.since),
        })).collect::<Vec<_>>()),
        "keySince": text(detail.key_since),
        "oldKeyUntil": detail.old_key_until.map(text),
        "os": facts.map(|facts| &facts.os),
        "arch": facts.map(|facts| &facts.arch),
        "version": facts.map(|facts| &facts.daemon_version),
        "maxAutonomy": facts.map(|facts| facts.max_autonomy),
        "agents": facts.map(|facts| facts.agents.iter().map(|agent| json!({
            "id": agent.id, "available": agent.available, "version": agent.version,
            "problem": agent.problem,
        })).collect::<Vec<_>>()),
        "policy": facts.and_then(|facts| facts.policy.as_ref()).map(|policy| json!({
            "allowedRoots": policy.allowed_roots,
            "allowedAgents": policy.allowed_agents,
            "allowedMembers": policy.allowed_members,
            "maxRuns": policy.max_runs,
            "problem": policy.problem,
        })),
        "load": load.map(|(load, _)| load.load_1m),
        "diskFreeBytes": load.map(|(load, _)| load.disk_free_bytes),
        "runningRuns": load.map(|(load, _)| load.running_runs),
        "warnings": detail.warnings,
    });
    if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), more) {
        shown.extend(more);
    }
    shown
}

fn of_row(row: &HostRow) -> Value {
    json!({ "id": row.id, "name": row.name, "ownerId": row.owner_id })
}

fn of_member(member: &MemberRow) -> Value {
    json!({ "id": member.user_id, "email": member.email, "name": member.name })
}

fn of_key(key: &TokenRow) -> Value {
    json!({
        "id": key.id,
        "prefix": key.prefix,
        "owner": key.email,
        "createdAt": key.created_at.to_string(),
        "expiresAt": key.expires_at.map(|at| at.to_string()),
    })
}
