//! Runs as their hosts reported them, and manual ones asked for but not yet reported. Lists over all of
//! an owner's automations are in `listing`.

mod listing;

use hostler_proto::ids::{AutomationId, HostId, OrgId, RunId, UserId};
use hostler_proto::run::{Run, RunState};
use hostler_proto::time::UtcMillis;

use super::row::{Columns, json};
use super::{Store, StoreError, Tx};

pub use listing::{After, ListedRow, Mark, Wanted, marks, of_all};

/// A run with where it is and how much of its log is here.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// The record.
    pub run: Run,
    /// Where it runs.
    pub host_id: HostId,
    /// Bytes of log here.
    pub log_end: u64,
    /// Size of the whole log, once its host has stated it and it was checked.
    pub log_size: Option<u64>,
    /// When its log's bytes were thrown away here to make room.
    pub log_removed_at: Option<UtcMillis>,
    /// When the host last told of it, or when it was asked for.
    pub as_of: UtcMillis,
}

/// Records a run. False, and nothing written, when the id is another host's; what another host
/// merely recorded as skipped gives way to what was run.
pub async fn put(
    tx: &mut Tx,
    org: OrgId,
    host: HostId,
    run: &Run,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO runs (id, org_id, host_id, automation_id, scheduled_for, queued_at, state, \
         over, record, as_of, owner_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
         (SELECT owner_id FROM automations WHERE id = $4)) \
         ON CONFLICT (id) DO UPDATE SET host_id = excluded.host_id, \
         scheduled_for = excluded.scheduled_for, queued_at = excluded.queued_at, state = excluded.state, over = excluded.over, \
         record = excluded.record, as_of = excluded.as_of \
         WHERE runs.automation_id = excluded.automation_id AND (runs.host_id = excluded.host_id \
         OR (runs.state = 'skipped' AND excluded.state <> 'skipped'))",
    )
    .bind(run.id.to_string())
    .bind(org.to_string())
    .bind(host.to_string())
    .bind(run.automation_id.to_string())
    .bind(run.scheduled_for.0)
    .bind(run.queued_at.0)
    .bind(run.state.word())
    .bind(i64::from(run.state.is_final()))
    .bind(json("run", run)?)
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records a run"))?;
    Ok(done.rows_affected() == 1)
}

/// The newest runs of an automation, on hosts its owner may see.
pub async fn newest(
    store: &Store,
    org: OrgId,
    automation: AutomationId,
    limit: u32,
) -> Result<Vec<RunRow>, StoreError> {
    newest_from(store, org, automation, limit, 0).await
}

/// The same, leaving out the first `offset`.
pub async fn newest_from(
    store: &Store,
    org: OrgId,
    automation: AutomationId,
    limit: u32,
    offset: u32,
) -> Result<Vec<RunRow>, StoreError> {
    // What is left out is walked over in the index alone.
    let rows = sqlx::query(
        "SELECT r.record, r.host_id, r.as_of, COALESCE(l.end_at, 0) AS log_end, l.size AS log_size, l.removed_at \
         FROM (SELECT id FROM runs WHERE automation_id = $2 \
         ORDER BY queued_at DESC, scheduled_for DESC, id DESC LIMIT $3 OFFSET $4) n \
         JOIN runs r ON r.id = n.id LEFT JOIN run_logs l ON l.run_id = r.id AND l.host_id = r.host_id \
         WHERE r.org_id = $1 AND r.host_id IN (SELECT h.id FROM hosts h \
         JOIN automations o ON o.id = $2 WHERE h.owner_id = o.owner_id OR h.id IN \
         (SELECT g.host_id FROM host_grants g WHERE g.user_id = o.owner_id)) \
         ORDER BY r.queued_at DESC, r.scheduled_for DESC, r.id DESC",
    )
    .bind(org.to_string())
    .bind(automation.to_string())
    .bind(i64::from(limit))
    .bind(i64::from(offset))
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists runs"))?;
    rows.iter()
        .map(|row| run(Columns::of("run", row)))
        .collect()
}

/// How many runs an automation has.
pub async fn count(store: &Store, org: OrgId, automation: AutomationId) -> Result<u64, StoreError> {
    let row =
        sqlx::query("SELECT COUNT(*) AS total FROM runs WHERE org_id = $1 AND automation_id = $2")
            .bind(org.to_string())
            .bind(automation.to_string())
            .fetch_one(store.reader())
            .await
            .map_err(StoreError::at("counts runs"))?;
    Columns::of("run", &row).count("total")
}

/// One run of an automation.
pub async fn by_id(
    store: &Store,
    org: OrgId,
    automation: AutomationId,
    id: RunId,
) -> Result<Option<RunRow>, StoreError> {
    let row = sqlx::query(
        "SELECT r.record, r.host_id, r.as_of, COALESCE(l.end_at, 0) AS log_end, l.size AS log_size, l.removed_at \
         FROM runs r LEFT JOIN run_logs l ON l.run_id = r.id AND l.host_id = r.host_id \
         WHERE r.org_id = $1 AND r.automation_id = $2 AND r.id = $3 AND r.host_id IN \
         (SELECT h.id FROM hosts h JOIN automations o ON o.id = $2 WHERE h.owner_id = o.owner_id \
         OR h.id IN (SELECT g.host_id FROM host_grants g WHERE g.user_id = o.owner_id))",
    )
    .bind(org.to_string())
    .bind(automation.to_string())
    .bind(id.to_string())
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("looks up a run"))?;
    row.map(|row| run(Columns::of("run", &row))).transpose()
}

/// One run of an owner's, also of a deleted automation.
pub async fn of_owner(
    store: &Store,
    org: OrgId,
    owner: UserId,
    id: RunId,
) -> Result<Option<RunRow>, StoreError> {
    let row = sqlx::query(
        "SELECT r.record, r.host_id, r.as_of, COALESCE(l.end_at, 0) AS log_end, l.size AS log_size, l.removed_at \
         FROM runs r JOIN automations a ON a.id = r.automation_id \
         LEFT JOIN run_logs l ON l.run_id = r.id AND l.host_id = r.host_id \
         WHERE r.org_id = $1 AND a.owner_id = $2 AND r.id = $3 AND r.host_id IN \
         (SELECT h.id FROM hosts h WHERE h.owner_id = $2 OR h.id IN \
         (SELECT g.host_id FROM host_grants g WHERE g.user_id = $2))",
    )
    .bind(org.to_string())
    .bind(owner.to_string())
    .bind(id.to_string())
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("looks up a run"))?;
    row.map(|row| run(Columns::of("run", &row))).transpose()
}

/// The record of a run, to be changed.
pub async fn record_in(tx: &mut Tx, id: RunId) -> Result<Option<Run>, StoreError> {
    let row = sqlx::query("SELECT record FROM runs WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks up a run"))?;
    row.map(|row| Columns::of("run", &row).json("record"))
        .transpose()
}

/// Until when the instants of an automation are known to have run or to have been recorded; what
/// lies after `now` is from a clock that was wrong, and does not count.
pub async fn accounted_until(
    tx: &mut Tx,
    automation: AutomationId,
    now: UtcMillis,
) -> Result<Option<UtcMillis>, StoreError> {
    let row = sqlx::query(
        "SELECT record FROM runs WHERE automation_id = $1 AND scheduled_for <= $2 \
         AND record NOT LIKE '%\"trigger\":\"manual\"%' ORDER BY scheduled_for DESC LIMIT 1",
    )
    .bind(automation.to_string())
    .bind(now.0)
    .fetch_optional(&mut **tx)
    .await
    .map_err(StoreError::at("looks up the newest scheduled run"))?;
    let Some(row) = row else { return Ok(None) };
    let run: Run = Columns::of("run", &row).json("record")?;
    Ok(Some(match run.state {
        RunState::Skipped {
            until: Some(until), ..
        } => until.min(now),
        RunState::Skipped { until: None, .. }
        | RunState::Queued
        | RunState::Preparing { .. }
        | RunState::Running { .. }
        | RunState::Finished(_) => run.scheduled_for,
    }))
}

/// How many occurrences of an automation's schedule were started, as far as is known: what still
/// waits for its place may yet be dropped.
pub async fn starts_of(tx: &mut Tx, automation: AutomationId) -> Result<u32, StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS starts FROM runs WHERE automation_id = $1 \
         AND state NOT IN ('queued', 'skipped') AND record LIKE '%\"trigger\":\"schedule\"%'",
    )
    .bind(automation.to_string())
    .fetch_one(&mut **tx)
    .await
    .map_err(StoreError::at("counts an automation's starts"))?;
    let starts = Columns::of("run", &row).count("starts")?;
    Ok(u32::try_from(starts).unwrap_or(u32::MAX))
}

/// The host of a run.
pub async fn host_in(tx: &mut Tx, id: RunId) -> Result<Option<HostId>, StoreError> {
    let row = sqlx::query("SELECT host_id FROM runs WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks up a run's host"))?;
    row.map(|row| Columns::of("run", &row).parsed("host_id"))
        .transpose()
}

/// The runs on a host that are not over, oldest first, each with whether its start or its end is
/// still to be asked of the host.
pub async fn going_on(tx: &mut Tx, host: HostId) -> Result<Vec<(Run, bool)>, StoreError> {
    let rows = sqlx::query(
        "SELECT r.record, (SELECT COUNT(*) FROM open_commands c WHERE c.subject_id = r.id) AS asked \
         FROM runs r WHERE r.host_id = $1 AND r.over = 0 ORDER BY r.queued_at, r.id",
    )
    .bind(host.to_string())
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("lists runs going on"))?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("run", row);
            Ok((columns.json("record")?, columns.flag("asked")?))
        })
        .collect()
}

fn run(columns: Columns<'_>) -> Result<RunRow, StoreError> {
    let size = columns.maybe_number("log_size")?;
    Ok(RunRow {
        run: columns.json("record")?,
        host_id: columns.parsed("host_id")?,
        log_end: columns.count("log_end")?,
        log_size: size.and_then(|size| u64::try_from(size).ok()),
        log_removed_at: columns.maybe_time("removed_at")?,
        as_of: columns.time("as_of")?,
    })
}
