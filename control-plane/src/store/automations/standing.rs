//! Which automations stand on a host, and which are a person's: for what becomes of hosts and people.

use hostler_proto::ids::{AutomationId, HostId, OrgId, UserId};

use super::{AutomationRow, automation, owned};
use crate::store::{StoreError, Tx};

/// The automations that a host fires.
pub async fn of_host(tx: &mut Tx, host: HostId) -> Result<Vec<AutomationRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT a.*, h.name AS host_name, 1 AS host_seen FROM automations a JOIN hosts h ON h.id = a.host_id \
         WHERE a.host_id = $1 AND a.moving_from IS NULL AND a.deleted_at IS NULL ORDER BY a.id",
    )
    .bind(host.to_string())
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("lists a host's automations"))?;
    rows.iter().map(automation).collect()
}

/// Every automation for a host that is not deleted, also those that another host has not let go of.
pub async fn on_host(tx: &mut Tx, host: HostId) -> Result<Vec<AutomationRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT a.*, h.name AS host_name, 1 AS host_seen FROM automations a \
         JOIN hosts h ON h.id = a.host_id \
         WHERE a.host_id = $1 AND a.deleted_at IS NULL ORDER BY a.id",
    )
    .bind(host.to_string())
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("lists a host's automations"))?;
    rows.iter().map(automation).collect()
}

/// Every automation of a person in an organization that is not deleted.
pub async fn of_owner(
    tx: &mut Tx,
    org: OrgId,
    owner: UserId,
) -> Result<Vec<AutomationRow>, StoreError> {
    let rows = sqlx::query(owned("AND a.deleted_at IS NULL ORDER BY a.id"))
        .bind(org.to_string())
        .bind(owner.to_string())
        .fetch_all(&mut **tx)
        .await
        .map_err(StoreError::at("lists a person's automations"))?;
    rows.iter().map(automation).collect()
}

/// Gives an automation to another member.
pub async fn set_owner(tx: &mut Tx, id: AutomationId, owner: UserId) -> Result<(), StoreError> {
    sqlx::query("UPDATE automations SET owner_id = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(owner.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("gives an automation away"))?;
    Ok(())
}
