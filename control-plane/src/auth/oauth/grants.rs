//! The clients somebody allowed something, and taking that back.
//!
//! People see their own; admins and owners see all of the organization's and may take any back. The
//! next request with a token of it is refused.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::time::UtcMillis;
use serde_json::json;
use uuid::Uuid;

use crate::App;
use crate::audit::{self, Thing};
use crate::auth::{Caller, Role};
use crate::store::audit::NewEntry;
use crate::store::clients;
use crate::store::grants::{self as rows, GrantRow};
use crate::store::{StoreError, Tx};

/// A day, milliseconds.
const DAY_MS: i64 = 24 * 60 * 60_000;

/// Why a grant ended without its person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody used a code a second time.
    CodeReused,
    /// Somebody used a refresh token a second time.
    RefreshReused,
    /// The client gave its refresh token back.
    GivenBack,
}

/// The connected clients that the caller may see, newest first.
pub async fn grants(app: &App, caller: &Caller, now: UtcMillis) -> Result<Vec<GrantRow>, Failure> {
    let whose = (caller.role < Role::Admin).then_some(caller.user_id);
    Ok(rows::list(&app.store, caller.org_id, whose, now).await?)
}

/// Takes back what somebody allowed a client: one's own, or as an admin or owner anybody's.
pub async fn revoke_grant(
    app: &App,
    caller: &Caller,
    id: Uuid,
    now: UtcMillis,
) -> Result<GrantRow, Failure> {
    let mut tx = app.store.begin().await?;
    let grant = rows::by_id_in(&mut tx, id).await?;
    let grant = grant
        .filter(|grant| grant.org_id == caller.org_id)
        .filter(|grant| grant.user_id == caller.user_id || caller.role >= Role::Admin)
        .ok_or_else(|| {
            Failure::new(
                ErrorCode::NotFound,
                format!("there is no connected client {id}"),
            )
            .hint("it may have been disconnected before; look at the list again")
        })?;
    if rows::revoke(&mut tx, id, now).await? {
        let (id, name) = (id.to_string(), &grant.client_name);
        let thing = Thing {
            kind: "client",
            id: &id,
            name,
        };
        let detail = json!({"clientId": grant.client_id, "of": grant.email});
        audit::record(&mut tx, caller, "client.revoke", thing, Some(detail), now).await?;
    }
    app.store.commit(tx).await?;
    Ok(grant)
}

/// Forgets what ran out: clients that nobody uses, and a day later codes and tokens, so that a late
/// second use of one is still noticed, and an expired token still told so.
pub(crate) async fn forget_old(app: &App, now: UtcMillis) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    clients::forget(&mut tx, now).await?;
    rows::forget(&mut tx, now.plus_ms(-DAY_MS)).await?;
    app.store.commit(tx).await
}

/// Takes a grant back because of what its client, or a thief, did.
pub(super) async fn take_back(
    tx: &mut Tx,
    grant: &GrantRow,
    why: Why,
    now: UtcMillis,
) -> Result<(), StoreError> {
    if !rows::revoke(tx, grant.id, now).await? {
        return Ok(());
    }
    let reason = match why {
        Why::CodeReused => "its authorization code was used twice",
        Why::RefreshReused => "a refresh token was used twice",
        Why::GivenBack => "the client signed out",
    };
    tracing::info!(client = %grant.client_name, grant = %grant.id, reason, "client disconnected");
    let entry = NewEntry {
        at: now,
        actor_id: Some(grant.user_id),
        actor: &grant.email,
        client: &grant.client_name,
        address: None,
        action: "client.revoke",
        thing_kind: "client",
        thing_id: &grant.id.to_string(),
        thing_name: &grant.client_name,
        detail: Some(json!({"clientId": grant.client_id, "reason": reason})),
    };
    audit::append(tx, grant.org_id, &entry).await
}
