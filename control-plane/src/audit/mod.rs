//! Who did what to which thing, from which client: one entry for each change.
//!
//! An entry is written in the transaction of the change it tells of, so there is neither a change
//! without one nor one without a change. Entries are never changed. They hold no secrets and no
//! prompts. Each carries a digest of the one before and of itself: one that was changed, taken out or
//! put in between later does not fit any more ([`verify`]). The newest ones could be cut off
//! together; whoever keeps an export, or only its last digest, notices that too.

mod export;

#[cfg(test)]
mod tests;

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::OrgId;
use hostler_proto::time::UtcMillis;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::App;
use crate::auth::{Caller, Role, Scopes};
pub use crate::store::audit::{EntryRow as Entry, Filter, NewEntry};
use crate::store::{StoreError, Tx, audit};
pub(crate) use export::{Form, export, object};

/// Entries read at a time when all are read.
const PART: u32 = 1_000;

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

/// Whether the entries still fit each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// How many there are.
    pub entries: u64,
    /// The newest one's digest.
    pub digest: String,
    /// The first one that does not fit what is before it.
    pub broken_at: Option<u64>,
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
    let (seq, before) = audit::newest(tx, org).await?;
    let seq = seq + 1;
    let digest = digest(&before, org, &kept(seq, entry));
    audit::insert(tx, org, seq, &digest, entry).await
}

/// Entries before a number (none: the newest), newest first. Admins and owners alone may see them.
pub async fn list(
    app: &App,
    caller: &Caller,
    filter: &Filter,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Entry>, Failure> {
    may_read(caller)?;
    let found = audit::before(&app.store, caller.org_id, filter, before, limit).await?;
    Ok(found)
}

/// Reads the whole log and says whether it fits together.
pub async fn verify(app: &App, caller: &Caller) -> Result<Chain, Failure> {
    may_read(caller)?;
    let mut chain = Chain {
        entries: 0,
        digest: String::new(),
        broken_at: None,
    };
    let mut last = 0;
    loop {
        let part = audit::after(&app.store, caller.org_id, last, PART).await?;
        let Some(end) = part.last() else {
            return Ok(chain);
        };
        last = end.seq;
        for entry in part {
            let fits = entry.seq == chain.entries + 1
                && entry.digest == digest(&chain.digest, caller.org_id, &entry);
            if !fits && chain.broken_at.is_none() {
                chain.broken_at = Some(entry.seq);
            }
            chain.entries += 1;
            chain.digest = entry.digest;
        }
    }
}

/// Refuses whoever is no admin, and a credential that was given for less than everything.
pub(crate) fn may_read(caller: &Caller) -> Result<(), Failure> {
    if caller.role < Role::Admin {
        return Err(Failure::new(
            ErrorCode::Forbidden,
            "the audit log is for admins and owners",
        )
        .hint("ask one of them: Settings > Members shows who they are"));
    }
    if caller.scopes != Scopes::all() {
        return Err(Failure::new(
            ErrorCode::Forbidden,
            "the audit log needs a credential with every scope",
        )
        .hint("use the console, or an API key without restrictions"));
    }
    Ok(())
}

/// An entry as it will be read back.
fn kept(seq: u64, entry: &NewEntry<'_>) -> Entry {
    Entry {
        seq,
        at: entry.at,
        actor_id: entry.actor_id,
        actor: entry.actor.to_owned(),
        client: entry.client.to_owned(),
        address: entry.address.clone(),
        action: entry.action.to_owned(),
        thing_kind: entry.thing_kind.to_owned(),
        thing_id: entry.thing_id.to_owned(),
        thing_name: entry.thing_name.to_owned(),
        detail: entry.detail.as_ref().map(ToString::to_string),
        digest: String::new(),
    }
}

/// SHA-256 of the digest before, a line feed, and the entry as a JSON array.
fn digest(before: &str, org: OrgId, entry: &Entry) -> String {
    let fields = json!([
        org,
        entry.seq,
        entry.at.0,
        entry.actor_id,
        entry.actor,
        entry.client,
        entry.address,
        entry.action,
        entry.thing_kind,
        entry.thing_id,
        entry.thing_name,
        entry.detail,
    ]);
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(b"\n");
    hash.update(fields.to_string().as_bytes());
    hex::encode(hash.finalize())
}
