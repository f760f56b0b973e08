//! Automations, the versions of their prompts, and which revision of a host's desired state last
//! touched each.
//!
//! Deleted automations keep their row: their runs stay readable.

mod standing;

use hostler_proto::actor::Actor;
use hostler_proto::automation::{
    AutomationSpec, AutomationStatus, Policies, RunTarget, ScheduleSpec,
};
use hostler_proto::ids::{AutomationId, HostId, OrgId, UserId};
use hostler_proto::time::UtcMillis;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::row::{Columns, json, like_pattern, signed};
use super::{Store, StoreError, Tx, runs};

pub use standing::{of_host, of_owner, on_host, set_owner};

/// An automation with everything the catalog knows of it but its prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct AutomationRow {
    /// Identity.
    pub id: AutomationId,
    /// The organization it belongs to.
    pub org_id: OrgId,
    /// Whose it is.
    pub owner_id: UserId,
    /// Where it runs.
    pub host_id: HostId,
    /// Name of that host (read with it; not written); its id when its owner may not see it.
    pub host_name: String,
    /// Whether its owner may see that host, or could until it was removed (read with it).
    pub host_seen: bool,
    /// Display name.
    pub name: String,
    /// Agent id.
    pub agent: String,
    /// Whether it fires.
    pub enabled: bool,
    /// Why it does not.
    pub paused_reason: Option<String>,
    /// Where a run takes place.
    pub target: RunTarget,
    /// When it runs.
    pub schedule: ScheduleSpec,
    /// The same in plain words.
    pub schedule_text: String,
    /// Policies.
    pub policies: Policies,
    /// Only instants strictly after this are planned.
    pub plan_after: UtcMillis,
    /// Its own revision.
    pub revision: u64,
    /// The host's revision that last touched it.
    pub host_revision: u64,
    /// Version of its prompt.
    pub prompt_version: u32,
    /// While it moves: the host that must let go of it first, and the revision that tells it so.
    pub moving: Option<(HostId, u64)>,
    /// What its host last told of its plan.
    pub status: Option<AutomationStatus>,
    /// When it was made.
    pub created_at: UtcMillis,
    /// When its owner last changed it.
    pub updated_at: UtcMillis,
    /// When it was deleted.
    pub deleted_at: Option<UtcMillis>,
}

/// A prompt's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptRow {
    /// From 1.
    pub version: u32,
    /// The text.
    pub prompt: String,
    /// When it was written.
    pub created_at: UtcMillis,
}

/// Which of an owner's automations to list.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Part of the name, in any case.
    pub name: Option<String>,
    /// Only those that fire, or only those that do not.
    pub enabled: Option<bool>,
    /// Only those of this host.
    pub host: Option<HostId>,
    /// Those that were deleted instead of those that are there.
    pub deleted: bool,
    /// How many.
    pub limit: u32,
    /// How many to leave out first.
    pub offset: u32,
}

/// Records an automation, new or changed.
pub async fn put(tx: &mut Tx, row: &AutomationRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO automations (id, org_id, owner_id, host_id, name, name_key, agent, enabled, \
         paused_reason, target, schedule, schedule_text, policies, plan_after, revision, \
         host_revision, prompt_version, moving_from, moving_revision, created_at, updated_at, \
         deleted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
         $16, $17, $18, $19, $20, $21, $22) ON CONFLICT (id) DO UPDATE SET \
         host_id = excluded.host_id, name = excluded.name, name_key = excluded.name_key, \
         agent = excluded.agent, enabled = excluded.enabled, \
         paused_reason = excluded.paused_reason, target = excluded.target, \
         schedule = excluded.schedule, schedule_text = excluded.schedule_text, \
         policies = excluded.policies, plan_after = excluded.plan_after, \
         revision = excluded.revision, host_revision = excluded.host_revision, \
         prompt_version = excluded.prompt_version, moving_from = excluded.moving_from, \
         moving_revision = excluded.moving_revision, updated_at = excluded.updated_at, \
         deleted_at = excluded.deleted_at",
    )
    .bind(row.id.to_string())
    .bind(row.org_id.to_string())
    .bind(row.owner_id.to_string())
    .bind(row.host_id.to_string())
    .bind(&row.name)
    .bind(row.name.to_lowercase())
    .bind(&row.agent)
    .bind(i64::from(row.enabled))
    .bind(row.paused_reason.as_deref())
    .bind(json("run target", &row.target)?)
    .bind(json("schedule", &row.schedule)?)
    .bind(&row.schedule_text)
    .bind(json("policies", &row.policies)?)
    .bind(row.plan_after.0)
    .bind(signed(row.revision))
    .bind(signed(row.host_revision))
    .bind(i64::from(row.prompt_version))
    .bind(row.moving.map(|(host, _)| host.to_string()))
    .bind(row.moving.map(|(_, revision)| signed(revision)))
    .bind(row.created_at.0)
    .bind(row.updated_at.0)
    .bind(row.deleted_at.map(|at| at.0))
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records an automation"))?;
    Ok(())
}

/// One automation of an owner, also a deleted one.
pub async fn by_id(
    store: &Store,
    org: OrgId,
    owner: UserId,
    id: AutomationId,
) -> Result<Option<AutomationRow>, StoreError> {
    let row = sqlx::query(owned("AND a.id = $3"))
        .bind(org.to_string())
        .bind(owner.to_string())
        .bind(id.to_string())
        .fetch_optional(store.reader())
        .await
        .map_err(StoreError::at("looks up an automation"))?;
    row.as_ref().map(automation).transpose()
}

/// The same inside a write transaction, to be changed.
pub async fn by_id_in(
    tx: &mut Tx,
    org: OrgId,
    owner: UserId,
    id: AutomationId,
) -> Result<Option<AutomationRow>, StoreError> {
    let row = sqlx::query(owned("AND a.id = $3"))
        .bind(org.to_string())
        .bind(owner.to_string())
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks up an automation"))?;
    row.as_ref().map(automation).transpose()
}

/// Whether this automation is, or once was, on this host.
pub async fn was_on(tx: &mut Tx, host: HostId, id: AutomationId) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT 1 FROM automations WHERE id = $2 AND host_id = $1 UNION ALL \
         SELECT 1 FROM automation_tombstones WHERE automation_id = $2 AND host_id = $1",
    )
    .bind(host.to_string())
    .bind(id.to_string())
    .fetch_optional(&mut **tx)
    .await
    .map_err(StoreError::at("looks up an automation"))?;
    Ok(row.is_some())
}

/// An owner's automations, newest first, and how many there are in all.
pub async fn list(
    store: &Store,
    org: OrgId,
    owner: UserId,
    filter: &Filter,
) -> Result<(Vec<AutomationRow>, u64), StoreError> {
    let name = filter.name.as_deref().map(like_pattern);
    let rows = sqlx::query(owned(
        "AND (a.deleted_at IS NOT NULL) = ($7 = 1) \
         AND ($3 IS NULL OR a.name_key LIKE $3 ESCAPE '!') \
         AND ($4 IS NULL OR a.enabled = $4) AND ($8 IS NULL OR a.host_id = $8) \
         ORDER BY a.created_at DESC, a.id DESC LIMIT $5 OFFSET $6",
    ))
    .bind(org.to_string())
    .bind(owner.to_string())
    .bind(name.as_deref())
    .bind(filter.enabled.map(i64::from))
    .bind(i64::from(filter.limit))
    .bind(i64::from(filter.offset))
    .bind(i64::from(filter.deleted))
    .bind(filter.host.map(|id| id.to_string()))
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists automations"))?;
    let automations: Result<_, _> = rows.iter().map(automation).collect();
    Ok((automations?, count(store, org, owner, filter).await?))
}

async fn count(
    store: &Store,
    org: OrgId,
    owner: UserId,
    filter: &Filter,
) -> Result<u64, StoreError> {
    let name = filter.name.as_deref().map(like_pattern);
    let row = sqlx::query(
        "SELECT COUNT(*) AS total FROM automations a WHERE a.org_id = $1 AND a.owner_id = $2 \
         AND (a.deleted_at IS NOT NULL) = ($5 = 1) \
         AND ($3 IS NULL OR a.name_key LIKE $3 ESCAPE '!') \
         AND ($4 IS NULL OR a.enabled = $4) AND ($6 IS NULL OR a.host_id = $6)",
    )
    .bind(org.to_string())
    .bind(owner.to_string())
    .bind(name.as_deref())
    .bind(filter.enabled.map(i64::from))
    .bind(i64::from(filter.deleted))
    .bind(filter.host.map(|id| id.to_string()))
    .fetch_one(store.reader())
    .await
    .map_err(StoreError::at("counts automations"))?;
    Columns::of("automation", &row).count("total")
}

/// Stores a version of a prompt.
pub async fn insert_prompt(
    tx: &mut Tx,
    id: AutomationId,
    prompt: &PromptRow,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO automation_prompts (automation_id, version, prompt, created_at) \
         VALUES ($1, $2, $3, $4)",
    )
    .bind(id.to_string())
    .bind(i64::from(prompt.version))
    .bind(&prompt.prompt)
    .bind(prompt.created_at.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("stores a prompt"))?;
    Ok(())
}

/// A version of a prompt without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptVersion {
    /// From 1.
    pub version: u32,
    /// Its length, characters.
    pub length: u64,
    /// When it was written.
    pub created_at: UtcMillis,
}

/// The newest versions of a prompt.
pub async fn prompt_versions(
    store: &Store,
    id: AutomationId,
    limit: u32,
) -> Result<Vec<PromptVersion>, StoreError> {
    let rows = sqlx::query(
        "SELECT version, LENGTH(prompt) AS length, created_at FROM automation_prompts \
         WHERE automation_id = $1 ORDER BY version DESC LIMIT $2",
    )
    .bind(id.to_string())
    .bind(i64::from(limit))
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists the versions of a prompt"))?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("prompt", row);
            Ok(PromptVersion {
                version: small(columns, "version")?,
                length: columns.count("length")?,
                created_at: columns.time("created_at")?,
            })
        })
        .collect()
}

/// A version of a prompt.
pub async fn prompt(
    store: &Store,
    id: AutomationId,
    version: u32,
) -> Result<Option<PromptRow>, StoreError> {
    let row = sqlx::query(
        "SELECT version, prompt, created_at FROM automation_prompts \
         WHERE automation_id = $1 AND version = $2",
    )
    .bind(id.to_string())
    .bind(i64::from(version))
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("reads a prompt"))?;
    row.map(|row| {
        let columns = Columns::of("prompt", &row);
        Ok(PromptRow {
            version: small(columns, "version")?,
            prompt: columns.text("prompt")?,
            created_at: columns.time("created_at")?,
        })
    })
    .transpose()
}

/// Records what a host tells of its plan, unless it speaks of an older revision. True when taken.
pub async fn set_status(
    tx: &mut Tx,
    host: HostId,
    status: &AutomationStatus,
    paused_reason: Option<&str>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE automations SET status = $3, \
         enabled = CASE WHEN $5 IS NULL THEN enabled ELSE 0 END, \
         paused_reason = CASE WHEN $5 IS NULL THEN paused_reason ELSE $5 END \
         WHERE id = $1 AND host_id = $2 AND revision = $4",
    )
    .bind(status.id.to_string())
    .bind(host.to_string())
    .bind(json("automation status", status)?)
    .bind(signed(status.revision))
    .bind(paused_reason)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records an automation's plan"))?;
    Ok(done.rows_affected() == 1)
}

/// Tells a host to forget an automation, from this revision of its desired state on.
pub async fn bury(
    tx: &mut Tx,
    host: HostId,
    id: AutomationId,
    revision: u64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO automation_tombstones (host_id, automation_id, host_revision) \
         VALUES ($1, $2, $3) ON CONFLICT (host_id, automation_id) \
         DO UPDATE SET host_revision = excluded.host_revision",
    )
    .bind(host.to_string())
    .bind(id.to_string())
    .bind(signed(revision))
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("buries an automation"))?;
    Ok(())
}

/// Takes a tombstone away, because the automation is wanted on that host again.
pub async fn unbury(tx: &mut Tx, host: HostId, id: AutomationId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM automation_tombstones WHERE host_id = $1 AND automation_id = $2")
        .bind(host.to_string())
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("unburies an automation"))?;
    Ok(())
}

/// Automations that moved away from a host and wait for it to let go.
pub async fn leaving(tx: &mut Tx, host: HostId) -> Result<Vec<AutomationRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT a.*, h.name AS host_name, 1 AS host_seen FROM automations a JOIN hosts h ON h.id = a.host_id \
         WHERE a.moving_from = $1 AND a.deleted_at IS NULL",
    )
    .bind(host.to_string())
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("lists moving automations"))?;
    rows.iter().map(automation).collect()
}

/// The hosts that automations are moving away from.
pub async fn left_hosts(store: &Store) -> Result<Vec<HostId>, StoreError> {
    let rows = sqlx::query(
        "SELECT DISTINCT moving_from FROM automations \
         WHERE moving_from IS NOT NULL AND deleted_at IS NULL",
    )
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists hosts being left"))?;
    rows.iter()
        .map(|row| Columns::of("automation", row).parsed("moving_from"))
        .collect()
}

/// A host's automations that changed after a revision: those it may not have yet.
pub async fn touched_after(
    store: &Store,
    host: HostId,
    revision: u64,
) -> Result<Vec<AutomationId>, StoreError> {
    let rows = sqlx::query(
        "SELECT id FROM automations WHERE host_id = $1 AND host_revision > $2 \
         AND deleted_at IS NULL ORDER BY id",
    )
    .bind(host.to_string())
    .bind(signed(revision))
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists automations to sync"))?;
    rows.iter()
        .map(|row| Columns::of("automation", row).parsed("id"))
        .collect()
}

/// A host's desired state at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Its revision.
    pub revision: u64,
    /// Every automation wanted there, with its own revision.
    pub all: Vec<(AutomationId, u64)>,
    /// Those touched after the revision asked about.
    pub changed: Vec<AutomationSpec>,
    /// Those to forget, since the revision asked about.
    pub buried: Vec<AutomationId>,
}

/// What a host should have, and what of it is newer than revision `from`.
pub async fn desired(store: &Store, host: HostId, from: u64) -> Result<Desired, StoreError> {
    let mut tx = store.snapshot().await?;
    let at = "reads a host's desired state";
    let row = sqlx::query("SELECT desired_revision FROM hosts WHERE id = $1")
        .bind(host.to_string())
        .fetch_one(&mut *tx)
        .await
        .map_err(StoreError::at(at))?;
    let revision = Columns::of("host", &row).count("desired_revision")?;
    let all = sqlx::query(
        "SELECT id, revision FROM automations WHERE host_id = $1 AND deleted_at IS NULL \
         AND moving_from IS NULL ORDER BY id",
    )
    .bind(host.to_string())
    .fetch_all(&mut *tx)
    .await
    .map_err(StoreError::at(at))?;
    let changed = sqlx::query(
        "SELECT a.*, p.prompt, u.email FROM automations a JOIN users u ON u.id = a.owner_id \
         JOIN automation_prompts p ON p.automation_id = a.id AND p.version = a.prompt_version WHERE a.host_id = $1 \
         AND a.deleted_at IS NULL AND a.moving_from IS NULL AND a.host_revision > $2 ORDER BY a.id",
    )
    .bind(host.to_string())
    .bind(signed(from))
    .fetch_all(&mut *tx)
    .await
    .map_err(StoreError::at(at))?;
    let buried = sqlx::query(
        "SELECT automation_id FROM automation_tombstones WHERE host_id = $1 \
         AND host_revision > $2 ORDER BY automation_id",
    )
    .bind(host.to_string())
    .bind(signed(from))
    .fetch_all(&mut *tx)
    .await
    .map_err(StoreError::at(at))?;
    let mut changed: Vec<AutomationSpec> = changed.iter().map(spec).collect::<Result<_, _>>()?;
    for spec in &mut changed {
        if spec.policies.max_runs.is_some() {
            spec.starts = runs::starts_of(&mut tx, spec.id).await?;
        }
    }
    Ok(Desired {
        revision,
        all: all.iter().map(mark).collect::<Result<_, _>>()?,
        changed,
        buried: buried
            .iter()
            .map(|row| Columns::of("tombstone", row).parsed("automation_id"))
            .collect::<Result<_, _>>()?,
    })
}

/// Automations of the person `$2` in the organization `$1`, with what they may know of the host.
fn owned(rest: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "SELECT a.*, h.name AS host_name, CASE WHEN h.owner_id = $2 OR EXISTS (SELECT 1 FROM \
         host_grants g WHERE g.host_id = h.id AND g.user_id = $2) THEN 1 ELSE 0 END AS host_seen \
         FROM automations a JOIN hosts h ON h.id = a.host_id \
         WHERE a.org_id = $1 AND a.owner_id = $2 {rest}"
    ))
}

fn mark(row: &AnyRow) -> Result<(AutomationId, u64), StoreError> {
    let columns = Columns::of("automation", row);
    Ok((columns.parsed("id")?, columns.count("revision")?))
}

fn spec(row: &AnyRow) -> Result<AutomationSpec, StoreError> {
    let columns = Columns::of("automation", row);
    Ok(AutomationSpec {
        id: columns.parsed("id")?,
        revision: columns.count("revision")?,
        name: columns.text("name")?,
        agent: columns.text("agent")?,
        prompt: columns.text("prompt")?,
        prompt_version: small(columns, "prompt_version")?,
        enabled: columns.flag("enabled")?,
        target: columns.json("target")?,
        schedule: columns.json("schedule")?,
        plan_after: columns.time("plan_after")?,
        starts: 0,
        policies: columns.json("policies")?,
        env: std::collections::BTreeMap::new(),
        owner: Some(Actor {
            user_id: columns.parsed("owner_id")?,
            email: columns.text("email")?,
        }),
    })
}

fn automation(row: &AnyRow) -> Result<AutomationRow, StoreError> {
    let columns = Columns::of("automation", row);
    let host_seen = columns.flag("host_seen")?;
    let moving_from = columns.maybe_parsed("moving_from")?;
    let moving_revision = columns.maybe_number("moving_revision")?;
    Ok(AutomationRow {
        id: columns.parsed("id")?,
        org_id: columns.parsed("org_id")?,
        owner_id: columns.parsed("owner_id")?,
        host_id: columns.parsed("host_id")?,
        host_name: if host_seen {
            columns.text("host_name")?
        } else {
            columns.text("host_id")?
        },
        host_seen,
        name: columns.text("name")?,
        agent: columns.text("agent")?,
        enabled: columns.flag("enabled")?,
        paused_reason: columns.maybe_text("paused_reason")?,
        target: columns.json("target")?,
        schedule: columns.json("schedule")?,
        schedule_text: columns.text("schedule_text")?,
        policies: columns.json("policies")?,
        plan_after: columns.time("plan_after")?,
        revision: columns.count("revision")?,
        host_revision: columns.count("host_revision")?,
        prompt_version: small(columns, "prompt_version")?,
        moving: moving_from.zip(moving_revision.and_then(|number| u64::try_from(number).ok())),
        status: columns.maybe_json("status")?,
        created_at: columns.time("created_at")?,
        updated_at: columns.time("updated_at")?,
        deleted_at: columns.maybe_time("deleted_at")?,
    })
}

fn small(columns: Columns<'_>, column: &str) -> Result<u32, StoreError> {
    u32::try_from(columns.number(column)?).map_err(StoreError::unreadable("automation"))
}
