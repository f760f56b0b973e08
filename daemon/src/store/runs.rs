//! Runs: one row each, changed only together with the event that tells the control plane.
//!
//! Invariant: a row that is final never changes its state again, and a launched run is never queued
//! again. Which run starts, is skipped or retried is decided elsewhere.

use hostler_proto::automation::AutomationSpec;
use hostler_proto::event::Event;
use hostler_proto::ids::{AutomationId, RunId, WorkspaceId};
use hostler_proto::run::{Run, RunState};
use hostler_proto::time::UtcMillis;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, Tx, outbox};

/// A run with everything this host remembers of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// The run as others know it.
    pub run: Run,
    /// The automation as it was when the run was claimed.
    pub automation: AutomationSpec,
    /// Where it runs, once chosen.
    pub place: Option<Place>,
    /// When its supervisor was about to be spawned; from then on it is never started again.
    pub launched_at: Option<UtcMillis>,
    /// Who asked for its end.
    pub cancel_requested: Option<String>,
    /// It waits for its automation's run before it: not to be started yet.
    pub waiting: bool,
}

/// The folder a run works in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// Absolute path.
    pub path: String,
    /// Root of the project's main checkout; the folder itself for a scratch run.
    pub root: String,
    /// Its branch, if on one.
    pub branch: Option<String>,
    /// Commit checked out before the run (hex); none in a repository without commits.
    pub head: Option<String>,
    /// Where the journal of its HEAD was before the run, see [`crate::git::journal`].
    #[serde(default)]
    pub journal: Option<u64>,
    /// Whether the workspace was made for this run and follows `keep_workspace`.
    pub owned: bool,
}

/// How far a run's log has been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Which run.
    pub run_id: RunId,
    /// Bytes the control plane has acknowledged.
    pub acked: u64,
    /// Size and CRC-32 (IEEE) of the complete log; none while the run goes on.
    pub complete: Option<(u64, u32)>,
}

/// Inserts a run with the automation it was claimed with, and appends its event. An id that exists
/// already is left as it is: the answer is false and no event is appended.
pub async fn insert(
    tx: &mut Tx,
    run: &Run,
    automation: &AutomationSpec,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO runs (id, automation_id, state, final, scheduled_for, queued_at, started_at,
             finished_at, run, automation, log_delivered)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING",
    )
    .bind(run.id.to_string())
    .bind(run.automation_id.to_string())
    .bind(run.state.word())
    .bind(run.state.is_final())
    .bind(run.scheduled_for.0)
    .bind(run.queued_at.0)
    .bind(started_at(&run.state).map(|at| at.0))
    .bind(finished_at(&run.state).map(|at| at.0))
    .bind(to_json("run", run)?)
    .bind(to_json("automation", automation)?)
    .bind(matches!(run.state, RunState::Skipped { .. }))
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("inserts a run"))?;
    let new = done.rows_affected() == 1;
    if new {
        tell(tx, run, run.queued_at).await?;
    }
    Ok(new)
}

/// Inserts a run that may not start before its automation's run before it has ended.
pub async fn insert_waiting(
    tx: &mut Tx,
    run: &Run,
    automation: &AutomationSpec,
) -> Result<(), StoreError> {
    insert(tx, run, automation).await?;
    sqlx::query("UPDATE runs SET waiting = 1 WHERE id = $1 AND final = 0")
        .bind(run.id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("puts a run off"))?;
    Ok(())
}

/// A run that waited may start, as it was claimed. False when there is none that waits.
pub async fn stop_waiting(tx: &mut Tx, id: RunId) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE runs SET waiting = 0 WHERE id = $1 AND waiting = 1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("lets a run start"))?;
    Ok(done.rows_affected() == 1)
}

/// Ends a run that waited, in the state given and otherwise as it was claimed, and appends its
/// event. False when there is none that waits.
pub async fn end_waiting(tx: &mut Tx, ended: &Run, now: UtcMillis) -> Result<bool, StoreError> {
    let found = sqlx::query("SELECT run FROM runs WHERE id = $1 AND waiting = 1 AND final = 0")
        .bind(ended.id.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("reads a waiting run"))?;
    let Some(found) = found else {
        return Ok(false);
    };
    let mut run: Run = from_json("run", found.get(0))?;
    run.state.clone_from(&ended.state);
    update(tx, &run, now).await
}

/// Records a run's new state (and workspace) and appends its event. The answer is false, and
/// nothing changes, when the stored run is final already or unknown.
pub async fn update(tx: &mut Tx, run: &Run, now: UtcMillis) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE runs SET state = $2, final = $3, started_at = coalesce($4, started_at),
             finished_at = $5, run = $6, log_delivered = max(log_delivered, $7)
         WHERE id = $1 AND final = 0",
    )
    .bind(run.id.to_string())
    .bind(run.state.word())
    .bind(run.state.is_final())
    .bind(started_at(&run.state).map(|at| at.0))
    .bind(finished_at(&run.state).map(|at| at.0))
    .bind(to_json("run", run)?)
    .bind(matches!(run.state, RunState::Skipped { .. }))
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("changes a run"))?;
    let changed = done.rows_affected() == 1;
    if changed {
        tell(tx, run, now).await?;
    }
    Ok(changed)
}

/// Records where a run works.
pub async fn set_place(tx: &mut Tx, id: RunId, place: &Place) -> Result<(), StoreError> {
    sqlx::query("UPDATE runs SET place = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(to_json("place of a run", place)?)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("places a run"))?;
    Ok(())
}

/// Records that a run's supervisor is about to be spawned.
pub async fn set_launched(tx: &mut Tx, id: RunId, now: UtcMillis) -> Result<(), StoreError> {
    sqlx::query("UPDATE runs SET launched_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("launches a run"))?;
    Ok(())
}

/// Records who asked for a run's end; the first one stays.
pub async fn request_cancel(tx: &mut Tx, id: RunId, by: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE runs SET cancel_requested = coalesce(cancel_requested, $2)
         WHERE id = $1 AND final = 0",
    )
    .bind(id.to_string())
    .bind(by)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("cancels a run"))?;
    Ok(())
}

/// Records that a run's log is complete: its size in bytes and CRC-32 (IEEE).
pub async fn complete_log(
    tx: &mut Tx,
    id: RunId,
    bytes: u64,
    crc32: u32,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE runs SET log_bytes = $2, log_crc32 = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
        .bind(i64::from(crc32))
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("completes a log"))?;
    Ok(())
}

/// The automations' unfinished runs, oldest plan first: what an overlap decision looks at.
pub async fn unfinished_of(
    tx: &mut Tx,
    automation: AutomationId,
) -> Result<Vec<RunRow>, StoreError> {
    sqlx::query(select(
        "WHERE automation_id = $1 AND final = 0 ORDER BY scheduled_for, id",
    ))
    .bind(automation.to_string())
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("reads unfinished runs"))?
    .iter()
    .map(row)
    .collect()
}

/// No log is to be delivered any more: there is nobody to deliver them to.
pub async fn forget_logs(tx: &mut Tx) -> Result<(), StoreError> {
    sqlx::query("UPDATE runs SET log_delivered = 1 WHERE log_delivered = 0")
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("forgets logs"))?;
    Ok(())
}

/// Tells of every run once more, and offers again the logs that are still here.
pub async fn tell_again(tx: &mut Tx, now: UtcMillis) -> Result<(), StoreError> {
    let at = StoreError::at("tells of runs again");
    sqlx::query(
        "INSERT INTO outbox (event, created_at) SELECT json_object('type', 'run_changed', \
         'payload', json(run)), $1 FROM runs ORDER BY queued_at, id",
    )
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(at)?;
    sqlx::query(
        "UPDATE runs SET log_delivered = 0, log_acked = 0 \
         WHERE log_bytes IS NOT NULL AND spool_deleted_at IS NULL",
    )
    .execute(&mut **tx)
    .await
    .map_err(at)?;
    Ok(())
}

/// Whether a run has ended; none when it is unknown.
pub async fn is_final(tx: &mut Tx, id: RunId) -> Result<Option<bool>, StoreError> {
    let row = sqlx::query("SELECT final FROM runs WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("reads a run"))?;
    Ok(row.map(|row| row.get(0)))
}

impl Store {
    /// Unfinished runs and those with a log not wholly delivered, newest first, with the word of
    /// their state.
    pub async fn run_marks(&self, limit: usize) -> Result<Vec<(RunId, String)>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, state FROM runs WHERE final = 0 OR log_delivered = 0
             ORDER BY queued_at DESC LIMIT $1",
        )
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::at("reads where runs stand"))?;
        rows.iter().map(|row| Ok((id(row)?, row.get(1)))).collect()
    }

    /// How many runs have a process or are about to.
    pub async fn running_runs(&self) -> Result<u32, StoreError> {
        let row = sqlx::query("SELECT count(*) FROM runs WHERE final = 0 AND state <> 'queued'")
            .fetch_one(self.pool())
            .await
            .map_err(StoreError::at("counts runs"))?;
        Ok(u32::try_from(row.get::<i64, _>(0)).unwrap_or(u32::MAX))
    }

    /// One run.
    pub async fn run(&self, id: RunId) -> Result<Option<RunRow>, StoreError> {
        sqlx::query(select("WHERE id = $1"))
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::at("reads a run"))?
            .as_ref()
            .map(row)
            .transpose()
    }

    /// Every run that is not final, in the order of its plan.
    pub async fn unfinished_runs(&self) -> Result<Vec<RunRow>, StoreError> {
        sqlx::query(select("WHERE final = 0 ORDER BY scheduled_for, id"))
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::at("reads unfinished runs"))?
            .iter()
            .map(row)
            .collect()
    }

    /// The oldest queued runs that may start, at most `limit`.
    pub async fn queued_runs(&self, limit: u32) -> Result<Vec<RunRow>, StoreError> {
        sqlx::query(select(
            "WHERE final = 0 AND state = 'queued' AND waiting = 0 ORDER BY scheduled_for, id LIMIT $1",
        ))
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::at("reads queued runs"))?
        .iter()
        .map(row)
        .collect()
    }

    /// An automation's newest runs (any state), at most `limit`: what retries and failure counts
    /// look at.
    pub async fn newest_runs_of(
        &self,
        automation: AutomationId,
        limit: u32,
    ) -> Result<Vec<RunRow>, StoreError> {
        sqlx::query(select(
            "WHERE automation_id = $1 ORDER BY queued_at DESC, id DESC LIMIT $2",
        ))
        .bind(automation.to_string())
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::at("reads an automation's runs"))?
        .iter()
        .map(row)
        .collect()
    }

    /// Logs the control plane does not have completely: of every run that was launched or has ended.
    pub async fn undelivered_logs(&self) -> Result<Vec<LogState>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, log_acked, log_bytes, log_crc32 FROM runs
             WHERE log_delivered = 0 AND (launched_at IS NOT NULL OR log_bytes IS NOT NULL)
             ORDER BY queued_at",
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::at("reads undelivered logs"))?;
        rows.iter().map(log_state).collect()
    }

    /// How far one run's log has been delivered.
    pub async fn log_state(&self, id: RunId) -> Result<Option<LogState>, StoreError> {
        sqlx::query("SELECT id, log_acked, log_bytes, log_crc32 FROM runs WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::at("reads a log's state"))?
            .as_ref()
            .map(log_state)
            .transpose()
    }

    /// The control plane has the first bytes of these runs' logs, up to these offsets.
    pub async fn logs_acked(&self, acks: &[(RunId, u64)]) -> Result<(), StoreError> {
        let at = StoreError::at("acknowledges a log");
        let mut connection = self.relaxed().await.map_err(at)?;
        for (id, offset) in acks {
            sqlx::query("UPDATE runs SET log_acked = max(log_acked, $2) WHERE id = $1")
                .bind(id.to_string())
                .bind(i64::try_from(*offset).unwrap_or(i64::MAX))
                .execute(&mut *connection)
                .await
                .map_err(StoreError::at("acknowledges a log"))?;
        }
        Ok(())
    }

    /// The control plane has a run's whole log and checked its checksum.
    pub async fn log_delivered(&self, id: RunId) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE runs SET log_delivered = 1, log_acked = coalesce(log_bytes, log_acked)
             WHERE id = $1 AND log_bytes IS NOT NULL",
        )
        .bind(id.to_string())
        .execute(self.writer())
        .await
        .map_err(StoreError::at("acknowledges a whole log"))?;
        Ok(())
    }

    /// Ended runs whose delivered spool is still on disk, oldest first, with their log's size.
    pub async fn delivered_spools(&self) -> Result<Vec<(RunId, UtcMillis, u64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, coalesce(finished_at, queued_at), coalesce(log_bytes, 0) FROM runs
             WHERE final = 1 AND spool_deleted_at IS NULL AND log_delivered = 1
             ORDER BY coalesce(finished_at, queued_at)",
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::at("reads spools"))?;
        rows.iter()
            .map(|row| {
                let bytes: i64 = row.get(2);
                Ok((id(row)?, UtcMillis(row.get(1)), bytes.unsigned_abs()))
            })
            .collect()
    }

    /// A run's spool is gone from the disk.
    pub async fn spool_deleted(&self, id: RunId, now: UtcMillis) -> Result<(), StoreError> {
        let at = StoreError::at("forgets a spool");
        let mut connection = self.relaxed().await.map_err(at)?;
        sqlx::query("UPDATE runs SET spool_deleted_at = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(now.0)
            .execute(&mut *connection)
            .await
            .map_err(at)?;
        Ok(())
    }
}

async fn tell(tx: &mut Tx, run: &Run, now: UtcMillis) -> Result<(), StoreError> {
    outbox::append(tx, &Event::RunChanged(Box::new(run.clone())), now).await?;
    Ok(())
}

fn select(rest: &str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!(
        "SELECT id, run, automation, place, launched_at, cancel_requested, waiting FROM runs {rest}"
    ))
}

fn row(row: &SqliteRow) -> Result<RunRow, StoreError> {
    let place: Option<String> = row.get(3);
    let launched_at: Option<i64> = row.get(4);
    Ok(RunRow {
        run: from_json("run", row.get(1))?,
        automation: from_json("automation", row.get(2))?,
        place: place
            .map(|text| from_json("place of a run", &text))
            .transpose()?,
        launched_at: launched_at.map(UtcMillis),
        cancel_requested: row.get(5),
        waiting: row.get(6),
    })
}

fn log_state(row: &SqliteRow) -> Result<LogState, StoreError> {
    let (acked, bytes, crc): (i64, Option<i64>, Option<i64>) = (row.get(1), row.get(2), row.get(3));
    let crc = crc.map(|crc| u32::try_from(crc).unwrap_or(0));
    Ok(LogState {
        run_id: id(row)?,
        acked: acked.unsigned_abs(),
        complete: bytes.map(i64::unsigned_abs).zip(crc),
    })
}

fn id(row: &SqliteRow) -> Result<RunId, StoreError> {
    let text: &str = row.get(0);
    text.parse().map_err(StoreError::corrupt("run id"))
}

fn started_at(state: &RunState) -> Option<UtcMillis> {
    match state {
        RunState::Running { started_at } => Some(*started_at),
        RunState::Finished(finished) => finished.started_at,
        RunState::Queued | RunState::Preparing { .. } | RunState::Skipped { .. } => None,
    }
}

fn finished_at(state: &RunState) -> Option<UtcMillis> {
    match state {
        RunState::Finished(finished) => Some(finished.finished_at),
        RunState::Skipped { at, .. } => Some(*at),
        RunState::Queued | RunState::Preparing { .. } | RunState::Running { .. } => None,
    }
}

fn to_json<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::corrupt(what))
}

fn from_json<T: serde::de::DeserializeOwned>(
    what: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(StoreError::corrupt(what))
}

#[cfg(test)]
mod tests;
