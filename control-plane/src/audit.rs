//! Who did what to which thing, from which client: one entry for each change.
//!
//! An entry is written in the transaction of the change it tells of, so there is neither a change
//! without one nor one without a change. Entries are never changed. They hold no secrets and no
//! prompts.

use hostler_proto::ids::OrgId;
use hostler_proto::time::UtcMillis;
use serde_json::Value;

use crate::auth::Caller;
use crate::store::audit::{self, NewEntry};
use crate::store::{StoreError, Tx};

/// The thing that was changed.
#[derive(Clone, Copy, Debug)]
pub struct Thing<'a> {
    /// Its noun: `task`, `host`, `member`.
    pub kind: &'a str,
    /// Its id.
    pub id: &'a str,
    /// What people call it.
    pub name: &'a str,
}

/// Records that `caller` did `action` (`task.create`) to a thing.
pub async fn record(
    tx: &mut Tx,
    caller: &Caller,
    action: &str,
    thing: Thing<'_>,
    detail: Option<Value>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let entry = NewEntry {
        at: now,
        actor_id: Some(caller.user_id),
        actor: &caller.label,
        client: &caller.via.client,
        address: caller.via.address.map(|address| address.to_string()),
        action,
        thing_kind: thing.kind,
        thing_id: thing.id,
        thing_name: thing.name,
        detail,
    };
    append(tx, caller.org_id, &entry).await
}

/// Records what nobody signed in did: a host that left, a sign-in that failed.
pub async fn append(tx: &mut Tx, org: OrgId, entry: &NewEntry<'_>) -> Result<(), StoreError> {
    audit::insert(tx, org, entry).await
}
