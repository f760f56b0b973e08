//! Hosts: enrolment, facts, presence, and the counters of their link.
//!
//! `online` here is what was last written; whether a link is up now is asked of `Hosts`.

use hostler_proto::frame::payload::Life;
use hostler_proto::host::{HostFacts, HostLoad};
use hostler_proto::ids::{HostId, OrgId, UserId};
use hostler_proto::time::UtcMillis;
use serde::{Deserialize, Serialize};

use super::row::{Columns, json, signed};
use super::{Store, StoreError, Tx};

/// A host to enrol.
#[derive(Clone, Debug)]
pub struct NewHost {
    /// Identity.
    pub id: HostId,
    /// The organization it belongs to.
    pub org_id: OrgId,
    /// Who enrols it.
    pub owner_id: UserId,
    /// Name, unique in the organization in any case.
    pub name: String,
    /// Ed25519 public key, hex.
    pub public_key: String,
    /// When.
    pub enrolled_at: UtcMillis,
}

/// An enrolled host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostRow {
    /// Identity.
    pub id: HostId,
    /// The organization it belongs to.
    pub org_id: OrgId,
    /// Who enrolled it.
    pub owner_id: UserId,
    /// Name.
    pub name: String,
    /// Ed25519 public key, hex.
    pub public_key: String,
    /// The key before the last rotation, and until when it is still good.
    pub old_public_key: Option<(String, UtcMillis)>,
    /// When it was enrolled.
    pub enrolled_at: UtcMillis,
    /// When it was removed.
    pub revoked_at: Option<UtcMillis>,
    /// What it says of itself.
    pub facts: Option<HostFacts>,
    /// Latest stored readings.
    pub load: Option<HostLoad>,
    /// When they were taken.
    pub load_at: Option<UtcMillis>,
    /// When it was last heard of.
    pub last_seen_at: Option<UtcMillis>,
    /// Revision its automations should be at.
    pub desired_revision: u64,
    /// Revision it said it applied.
    pub applied_revision: u64,
    /// The last event committed.
    pub event_seq: u64,
    /// Which start of its daemon numbered which events, as it last said.
    pub lives: Vec<Life>,
    /// The mark of the machine it was last seen on.
    pub machine: Option<String>,
    /// Another machine was seen with its identity, and it is not settled which one is the host.
    pub doubt: Option<Doubt>,
    /// Starts of its daemon that a restored database has left behind.
    pub past_marks: Vec<String>,
    /// When its key was last changed; none while it is the one it enrolled with.
    pub key_since: Option<UtcMillis>,
}

/// Another machine was seen with a host's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// How it showed.
    pub how: DoubtKind,
    /// When it was first seen.
    pub since: UtcMillis,
    /// When it was last seen.
    pub last: UtcMillis,
    /// The mark of that machine, where it has one.
    pub machine: Option<String>,
    /// Its operating system and architecture.
    pub system: String,
}

/// How a second machine showed itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoubtKind {
    /// Two daemons were connected at the same time.
    Both,
    /// The machine is another one than before.
    Moved,
    /// The database went on from a state that a restored one had left behind.
    Parted,
}

/// A member whom a host's owner lets use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// The person.
    pub user_id: UserId,
    /// Their email.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Since when.
    pub since: UtcMillis,
}

/// Enrols a host. A second one of the same name is refused as a duplicate.
pub async fn insert(tx: &mut Tx, host: &NewHost) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO hosts (id, org_id, owner_id, name, name_key, public_key, enrolled_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(host.id.to_string())
    .bind(host.org_id.to_string())
    .bind(host.owner_id.to_string())
    .bind(&host.name)
    .bind(host.name.to_lowercase())
    .bind(&host.public_key)
    .bind(host.enrolled_at.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("enrols a host"))?;
    Ok(())
}

/// The host with this id, of any organization, also a removed one: for links, not for callers.
pub async fn by_id(store: &Store, id: HostId) -> Result<Option<HostRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM hosts WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(store.reader())
        .await
        .map_err(StoreError::at("looks up a host"))?;
    row.map(|row| host(Columns::of("host", &row))).transpose()
}

/// The same, inside a write transaction.
pub async fn by_id_in(tx: &mut Tx, id: HostId) -> Result<Option<HostRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM hosts WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks up a host"))?;
    row.map(|row| host(Columns::of("host", &row))).transpose()
}

/// The hosts that a member owns or was let into, by name.
pub async fn usable(store: &Store, org: OrgId, user: UserId) -> Result<Vec<HostRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM hosts h WHERE h.org_id = $1 AND h.revoked_at IS NULL AND (h.owner_id = $2 \
         OR EXISTS (SELECT 1 FROM host_grants g WHERE g.host_id = h.id AND g.user_id = $2)) \
         ORDER BY h.name_key",
    )
    .bind(org.to_string())
    .bind(user.to_string())
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists hosts"))?;
    rows.iter()
        .map(|row| host(Columns::of("host", row)))
        .collect()
}

/// Every host of an organization that is not removed, by name: for those who manage it.
pub async fn of_org(store: &Store, org: OrgId) -> Result<Vec<HostRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM hosts WHERE org_id = $1 AND revoked_at IS NULL ORDER BY name_key",
    )
    .bind(org.to_string())
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists hosts"))?;
    rows.iter()
        .map(|row| host(Columns::of("host", row)))
        .collect()
}

/// Lets a member use a host. False when they were let before.
pub async fn grant(
    tx: &mut Tx,
    id: HostId,
    user: UserId,
    by: UserId,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO host_grants (host_id, user_id, created_at, granted_by) \
         VALUES ($1, $2, $3, $4) ON CONFLICT (host_id, user_id) DO NOTHING",
    )
    .bind(id.to_string())
    .bind(user.to_string())
    .bind(now.0)
    .bind(by.to_string())
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("grants a host"))?;
    Ok(done.rows_affected() == 1)
}

/// Takes a member's access to a host away. False when they had none.
pub async fn ungrant(tx: &mut Tx, id: HostId, user: UserId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM host_grants WHERE host_id = $1 AND user_id = $2")
        .bind(id.to_string())
        .bind(user.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("takes access to a host away"))?;
    Ok(done.rows_affected() == 1)
}

/// The members let into a host who still belong to the organization, by email.
pub async fn grants(store: &Store, id: HostId) -> Result<Vec<GrantRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT u.id, u.email, u.name, g.created_at FROM host_grants g \
         JOIN hosts h ON h.id = g.host_id JOIN users u ON u.id = g.user_id \
         JOIN members m ON m.org_id = h.org_id AND m.user_id = g.user_id \
         WHERE g.host_id = $1 ORDER BY u.email_key",
    )
    .bind(id.to_string())
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists who may use a host"))?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("grant", row);
            Ok(GrantRow {
                user_id: columns.parsed("id")?,
                email: columns.text("email")?,
                name: columns.text("name")?,
                since: columns.time("created_at")?,
            })
        })
        .collect()
}

/// Gives a host another name. One that is taken is refused as a duplicate.
pub async fn rename(tx: &mut Tx, id: HostId, name: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE hosts SET name = $2, name_key = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(name)
        .bind(name.to_lowercase())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("renames a host"))?;
    Ok(())
}

/// Gives a host another owner, who needs no grant any more.
pub async fn set_owner(tx: &mut Tx, id: HostId, owner: UserId) -> Result<(), StoreError> {
    sqlx::query("UPDATE hosts SET owner_id = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(owner.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("transfers a host"))?;
    ungrant(tx, id, owner).await?;
    Ok(())
}

/// Gives a host another key; the one before is good until `old_until`, or no longer.
pub async fn set_key(
    tx: &mut Tx,
    id: HostId,
    public_key: &str,
    old: Option<(&str, UtcMillis)>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE hosts SET public_key = $2, old_public_key = $3, old_key_until = $4, \
         key_since = $5 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(public_key)
    .bind(old.map(|(key, _)| key))
    .bind(old.map(|(_, until)| until.0))
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("changes a host's key"))?;
    Ok(())
}

/// Notes the machine a host is on.
pub async fn set_machine(tx: &mut Tx, id: HostId, machine: Option<&str>) -> Result<(), StoreError> {
    sqlx::query("UPDATE hosts SET machine = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(machine)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("notes a host's machine"))?;
    Ok(())
}

/// Notes a doubt about a host, or that there is none any more.
pub async fn set_doubt(tx: &mut Tx, id: HostId, doubt: Option<&Doubt>) -> Result<(), StoreError> {
    let doubt = doubt.map(|doubt| json("doubt", doubt)).transpose()?;
    sqlx::query("UPDATE hosts SET doubt = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(doubt)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("notes a doubt about a host"))?;
    Ok(())
}

/// Notes which starts of its daemon a host's restored database has left behind.
pub async fn set_past_marks(tx: &mut Tx, id: HostId, marks: &[String]) -> Result<(), StoreError> {
    sqlx::query("UPDATE hosts SET past_marks = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(json("past marks", &marks)?)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("notes a host's past"))?;
    Ok(())
}

/// The hosts that a person owns in an organization, as of this transaction.
pub async fn owned_in(tx: &mut Tx, org: OrgId, user: UserId) -> Result<Vec<HostRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM hosts WHERE org_id = $1 AND owner_id = $2 AND revoked_at IS NULL \
         ORDER BY name_key",
    )
    .bind(org.to_string())
    .bind(user.to_string())
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("lists a member's hosts"))?;
    rows.iter()
        .map(|row| host(Columns::of("host", row)))
        .collect()
}

/// Removes a host: its key is no longer good and its name is free. False when it was before.
pub async fn revoke(tx: &mut Tx, id: HostId, now: UtcMillis) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE hosts SET revoked_at = $2, online = 0 WHERE id = $1 AND revoked_at IS NULL",
    )
    .bind(id.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("removes a host"))?;
    Ok(done.rows_affected() == 1)
}

/// Notes that nobody is connected: what a server does before it takes links.
pub async fn reset_presence(tx: &mut Tx) -> Result<(), StoreError> {
    sqlx::query("UPDATE hosts SET online = 0, online_since = NULL WHERE online = 1")
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("resets presence"))?;
    Ok(())
}

/// Notes a connection, and the revision of automations the host has.
pub async fn connected(
    tx: &mut Tx,
    id: HostId,
    epoch: u64,
    applied_revision: u64,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE hosts SET online = 1, epoch = $2, online_since = $3, last_seen_at = $3, \
         applied_revision = $4 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(signed(epoch))
    .bind(now.0)
    .bind(signed(applied_revision))
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("notes a connection"))?;
    Ok(())
}

/// Notes that a host's link is gone.
pub async fn disconnected(tx: &mut Tx, id: HostId, now: UtcMillis) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE hosts SET online = 0, online_since = NULL, last_seen_at = $2 \
         WHERE id = $1 AND online = 1",
    )
    .bind(id.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("notes a lost connection"))?;
    Ok(())
}

/// Notes a heartbeat's readings.
pub async fn set_load(
    tx: &mut Tx,
    id: HostId,
    load: &HostLoad,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE hosts SET load_now = $2, load_at = $3, last_seen_at = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(json("host load", load)?)
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("notes a heartbeat"))?;
    Ok(())
}

/// Notes what a host says of itself.
pub async fn set_facts(tx: &mut Tx, id: HostId, facts: &HostFacts) -> Result<(), StoreError> {
    sqlx::query("UPDATE hosts SET facts = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(json("host facts", facts)?)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("notes a host's facts"))?;
    Ok(())
}

/// Moves the cursor of committed events.
pub async fn set_event_seq(tx: &mut Tx, id: HostId, seq: u64) -> Result<(), StoreError> {
    sqlx::query("UPDATE hosts SET event_seq = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(signed(seq))
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("moves the event cursor"))?;
    Ok(())
}

/// Notes which start of its daemon numbered which events.
pub async fn set_lives(tx: &mut Tx, id: HostId, lives: &[Life]) -> Result<(), StoreError> {
    sqlx::query("UPDATE hosts SET lives = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(json("past of a host", &lives)?)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("notes a host's past"))?;
    Ok(())
}

/// Notes the revision a host applied.
pub async fn set_applied(tx: &mut Tx, id: HostId, revision: u64) -> Result<(), StoreError> {
    sqlx::query("UPDATE hosts SET applied_revision = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(signed(revision))
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("notes an applied revision"))?;
    Ok(())
}

/// Moves a host's desired state on by one and returns the new revision.
pub async fn next_revision(tx: &mut Tx, id: HostId) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "UPDATE hosts SET desired_revision = desired_revision + 1 WHERE id = $1 \
         RETURNING desired_revision",
    )
    .bind(id.to_string())
    .fetch_one(&mut **tx)
    .await
    .map_err(StoreError::at("moves a host's desired state"))?;
    Columns::of("host", &row).count("desired_revision")
}

/// Sets aside an event that can never be applied.
pub async fn refuse_event(
    tx: &mut Tx,
    id: HostId,
    seq: u64,
    event: &str,
    reason: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO refused_events (host_id, seq, event, reason, at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (host_id, seq) DO NOTHING",
    )
    .bind(id.to_string())
    .bind(signed(seq))
    .bind(event)
    .bind(reason)
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("sets an event aside"))?;
    Ok(())
}

/// Forgets all but the newest so many events of a host that were set aside.
pub async fn prune_refused(tx: &mut Tx, id: HostId, keep: u32) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM refused_events WHERE host_id = $1 AND seq <= (SELECT seq FROM refused_events \
         WHERE host_id = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2)",
    )
    .bind(id.to_string())
    .bind(i64::from(keep))
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("forgets old events that were set aside"))?;
    Ok(())
}

/// The events of a host that were set aside, with their reasons, oldest first.
pub async fn refused_events(store: &Store, id: HostId) -> Result<Vec<(u64, String)>, StoreError> {
    let rows =
        sqlx::query("SELECT seq, reason FROM refused_events WHERE host_id = $1 ORDER BY seq")
            .bind(id.to_string())
            .fetch_all(store.reader())
            .await
            .map_err(StoreError::at("lists refused events"))?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("refused event", row);
            Ok((columns.count("seq")?, columns.text("reason")?))
        })
        .collect()
}

fn host(columns: Columns<'_>) -> Result<HostRow, StoreError> {
    let old_key = columns.maybe_text("old_public_key")?;
    Ok(HostRow {
        id: columns.parsed("id")?,
        org_id: columns.parsed("org_id")?,
        owner_id: columns.parsed("owner_id")?,
        name: columns.text("name")?,
        public_key: columns.text("public_key")?,
        old_public_key: old_key.zip(columns.maybe_time("old_key_until")?),
        enrolled_at: columns.time("enrolled_at")?,
        revoked_at: columns.maybe_time("revoked_at")?,
        facts: columns.maybe_json("facts")?,
        load: columns.maybe_json("load_now")?,
        load_at: columns.maybe_time("load_at")?,
        last_seen_at: columns.maybe_time("last_seen_at")?,
        desired_revision: columns.count("desired_revision")?,
        applied_revision: columns.count("applied_revision")?,
        event_seq: columns.count("event_seq")?,
        lives: columns.maybe_json("lives")?.unwrap_or_default(),
        machine: columns.maybe_text("machine")?,
        doubt: columns.maybe_json("doubt")?,
        past_marks: columns.maybe_json("past_marks")?.unwrap_or_default(),
        key_since: columns.maybe_time("key_since")?,
    })
}

/// What tests look at that nothing else asks for.
#[cfg(test)]
pub(crate) mod testing {
    use super::{Columns, OrgId, Store, StoreError, Tx, UserId};

    /// What was done to hosts, as the audit log tells it, in order.
    pub(crate) async fn audited(store: &Store) -> Result<Vec<String>, StoreError> {
        let rows =
            sqlx::query("SELECT action FROM audit_log WHERE thing_kind = 'host' ORDER BY seq")
                .fetch_all(store.reader())
                .await
                .map_err(StoreError::at("reads the audit log"))?;
        rows.iter()
            .map(|row| Columns::of("audit entry", row).text("action"))
            .collect()
    }

    /// Somebody leaves an organization.
    pub(crate) async fn remove_member(
        tx: &mut Tx,
        org: OrgId,
        user: UserId,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM members WHERE org_id = $1 AND user_id = $2")
            .bind(org.to_string())
            .bind(user.to_string())
            .execute(&mut **tx)
            .await
            .map_err(StoreError::at("removes a member"))?;
        Ok(())
    }
}
