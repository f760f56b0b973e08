//! The audit log: rows that are only ever added.

use hostler_proto::ids::{OrgId, UserId};
use hostler_proto::time::UtcMillis;
use serde_json::Value;

use super::{StoreError, Tx};

/// An entry to add.
#[derive(Clone, Debug)]
pub struct NewEntry<'a> {
    /// When it happened.
    pub at: UtcMillis,
    /// The person, when it was one.
    pub actor_id: Option<UserId>,
    /// How the actor is named to others.
    pub actor: &'a str,
    /// The program it was done with.
    pub client: &'a str,
    /// Where that program is.
    pub address: Option<String>,
    /// What was done (`task.create`).
    pub action: &'a str,
    /// The noun of the thing.
    pub thing_kind: &'a str,
    /// The thing's id.
    pub thing_id: &'a str,
    /// What people call the thing.
    pub thing_name: &'a str,
    /// More, as JSON.
    pub detail: Option<Value>,
}

/// Adds an entry with the organization's next number.
pub async fn insert(tx: &mut Tx, org: OrgId, entry: &NewEntry<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit_log (org_id, seq, at, actor_id, actor, client, address, action, \
         thing_kind, thing_id, thing_name, detail) \
         SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 \
         FROM audit_log WHERE org_id = $1",
    )
    .bind(org.to_string())
    .bind(entry.at.0)
    .bind(entry.actor_id.map(|id| id.to_string()))
    .bind(entry.actor)
    .bind(entry.client)
    .bind(entry.address.as_deref())
    .bind(entry.action)
    .bind(entry.thing_kind)
    .bind(entry.thing_id)
    .bind(entry.thing_name)
    .bind(entry.detail.as_ref().map(ToString::to_string))
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("adds to the audit log"))?;
    Ok(())
}
