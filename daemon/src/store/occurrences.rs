//! Occurrences: the row whose key makes a second start impossible, and the scheduler's reading and
//! writing of it.
//!
//! Invariant: a step that meets a row it did not expect writes nothing and starts nothing. It takes
//! no decisions.

use std::collections::{BTreeMap, BTreeSet};

use hostler_proto::event::Event;
use hostler_proto::ids::{AutomationId, RunId};
use hostler_proto::run::{Run, RunState, SkipReason};
use hostler_proto::time::UtcMillis;
use sqlx::Row;
use sqlx::sqlite::{SqliteQueryResult, SqliteRow};

use super::{StoreError, Tx, automations, outbox, runs};
use crate::scheduler::{Effects, Ended, Facts, Record, Retry, Step, Taken};

/// Who ends a run for the next one, as the run's reason shows it.
const CANCELLED_BY: &str = "the automation's next run (overlap is cancel_previous)";

/// Everything that happened since the last batch, read in the batch's own transaction.
pub async fn facts(tx: &mut Tx, interest: BTreeSet<AutomationId>) -> Result<Facts, StoreError> {
    let mut changed = automations::changed(tx).await?;
    if !changed.is_empty() {
        add_pending(tx, &mut changed).await?;
    }
    let ended = ended(tx).await?;
    let mut ids = interest;
    ids.extend(changed.iter().map(|record| record.rule.id));
    ids.extend(ended.iter().map(|ended| ended.automation_id));
    let going = going(tx, &ids).await?;
    let taken = taken(tx, &ids).await?;
    Ok(Facts {
        changed,
        ended,
        going,
        taken,
    })
}

/// Writes a batch. The answer says whether runs were queued or are to be ended.
pub async fn apply(tx: &mut Tx, effects: &Effects, now: UtcMillis) -> Result<bool, StoreError> {
    let mut runs_changed = false;
    for change in &effects.changes {
        for step in &change.steps {
            runs_changed |= write(tx, change.id, step, now).await?;
        }
    }
    automations::write_plans(tx, &effects.changes, now).await?;
    Ok(runs_changed)
}

/// Adds what waits and what is to be tried again to freshly read records.
pub(crate) async fn add_pending(tx: &mut Tx, records: &mut [Record]) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "SELECT automation_id, scheduled_at, state, attempt, retry_at FROM occurrences
         WHERE state IN ('waiting', 'retrying') ORDER BY scheduled_at",
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("reads pending occurrences"))?;
    let mut by_id: BTreeMap<AutomationId, Vec<&SqliteRow>> = BTreeMap::new();
    for row in &rows {
        by_id.entry(automation_id(row)?).or_default().push(row);
    }
    for record in records {
        for row in by_id.get(&record.rule.id).into_iter().flatten() {
            match row.get::<Option<i64>, _>(4) {
                None => record.waiting.push(scheduled_at(row)),
                Some(at) => record.retries.push(Retry {
                    scheduled_at: scheduled_at(row),
                    attempt: attempt(row, 3) + 1,
                    at: UtcMillis(at),
                }),
            }
        }
    }
    Ok(())
}

async fn ended(tx: &mut Tx) -> Result<Vec<Ended>, StoreError> {
    sqlx::query(
        "SELECT o.automation_id, o.scheduled_at, o.attempt, r.run FROM occurrences o
         JOIN runs r ON r.id = o.run_id WHERE o.state IN ('open', 'waiting') AND r.final = 1",
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("reads ended occurrences"))?
    .iter()
    .map(|row| {
        let run: Run = serde_json::from_str(row.get(3)).map_err(StoreError::corrupt("run"))?;
        let (result, finished_at) = match &run.state {
            RunState::Finished(finished) => (Some(finished.result), finished.finished_at),
            RunState::Skipped { at, .. } => (None, *at),
            RunState::Queued | RunState::Preparing { .. } | RunState::Running { .. } => {
                (None, run.queued_at)
            }
        };
        Ok(Ended {
            automation_id: automation_id(row)?,
            scheduled_at: scheduled_at(row),
            attempt: attempt(row, 2),
            result,
            finished_at,
        })
    })
    .collect()
}

async fn going(
    tx: &mut Tx,
    ids: &BTreeSet<AutomationId>,
) -> Result<BTreeMap<AutomationId, Vec<RunId>>, StoreError> {
    let mut going: BTreeMap<AutomationId, Vec<RunId>> = BTreeMap::new();
    if ids.is_empty() {
        return Ok(going);
    }
    let list = serde_json::to_string(ids).map_err(StoreError::corrupt("list of automations"))?;
    let rows = sqlx::query(
        "SELECT automation_id, id FROM runs INDEXED BY runs_unfinished
         WHERE final = 0 AND waiting = 0 AND automation_id IN (SELECT value FROM json_each($1))
         ORDER BY scheduled_for",
    )
    .bind(list)
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("reads runs going on"))?;
    for row in &rows {
        let run: &str = row.get(1);
        let run = run.parse().map_err(StoreError::corrupt("run id"))?;
        going.entry(automation_id(row)?).or_default().push(run);
    }
    Ok(going)
}

/// Rows beyond what each plan has come to, and the last row before, which may reach beyond it.
async fn taken(
    tx: &mut Tx,
    ids: &BTreeSet<AutomationId>,
) -> Result<BTreeMap<AutomationId, Taken>, StoreError> {
    let mut taken: BTreeMap<AutomationId, Taken> = BTreeMap::new();
    if ids.is_empty() {
        return Ok(taken);
    }
    let list = serde_json::to_string(ids).map_err(StoreError::corrupt("list of automations"))?;
    let rows = sqlx::query(
        "WITH plan AS (
             SELECT id, CASE WHEN planned_revision = 0 THEN spec ->> '$.plan_after' ELSE cursor END AS come_to
             FROM automations WHERE id IN (SELECT value FROM json_each($1)))
         SELECT o.automation_id, o.scheduled_at, coalesce(o.until, o.scheduled_at), plan.come_to
         FROM plan JOIN occurrences o ON o.automation_id = plan.id
         WHERE o.scheduled_at >= coalesce((SELECT max(b.scheduled_at) FROM occurrences b
             WHERE b.automation_id = plan.id AND b.scheduled_at <= plan.come_to / 1000), -9223372036854775808)
         ORDER BY o.automation_id, o.scheduled_at",
    )
    .bind(list)
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("reads occurrences ahead of their plan"))?;
    for row in &rows {
        let until = UtcMillis(row.get::<i64, _>(2).saturating_mul(1000));
        if until.0 > row.get::<i64, _>(3) {
            let of = taken.entry(automation_id(row)?).or_default();
            of.push(scheduled_at(row), until);
        }
    }
    Ok(taken)
}

/// Writes one step; true when a run was queued or is to be ended.
async fn write(
    tx: &mut Tx,
    id: AutomationId,
    step: &Step,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    match step {
        Step::Start(run) => start(tx, run, now).await,
        Step::Wait(run) => wait(tx, run, now).await,
        Step::Skip(run) => skip(tx, run, now).await,
        Step::Retry(retry) => put_off(tx, id, retry).await,
        Step::Settle { scheduled_at } => settle(tx, id, *scheduled_at).await,
        Step::Cancel { run_id } => {
            runs::request_cancel(tx, *run_id, CANCELLED_BY).await?;
            Ok(true)
        }
        Step::DropQueued { now } => drop_queued(tx, id, *now).await,
    }
}

/// Claims an occurrence (unseen, waiting, or due for its next attempt) and queues its run.
async fn start(tx: &mut Tx, run: &Run, now: UtcMillis) -> Result<bool, StoreError> {
    let sql = if run.attempt == 1 {
        "INSERT INTO occurrences (automation_id, scheduled_at, state, run_id, attempt, recorded_at)
         VALUES ($1, $2, 'open', $3, $4, $5)
         ON CONFLICT DO UPDATE SET state = 'open', recorded_at = $5 WHERE occurrences.state = 'waiting'"
    } else {
        "UPDATE occurrences SET state = 'open', run_id = $3, attempt = $4, retry_at = NULL, recorded_at = $5
         WHERE automation_id = $1 AND scheduled_at = $2 AND state = 'retrying' AND attempt = $4 - 1"
    };
    let query = sqlx::query(sql)
        .bind(run.automation_id.to_string())
        .bind(seconds(run.scheduled_for))
        .bind(run.id.to_string())
        .bind(i64::from(run.attempt))
        .bind(now.0);
    if !wrote(query.execute(&mut **tx).await)? {
        tracing::debug!(run = %run.id, "this occurrence was claimed before");
        return Ok(false);
    }
    if runs::stop_waiting(tx, run.id).await? {
        return Ok(true);
    }
    match automations::spec(tx, run.automation_id).await? {
        Some(spec) => runs::insert(tx, run, &spec).await,
        None => Ok(false),
    }
}

/// Claims an occurrence that cannot start yet.
async fn wait(tx: &mut Tx, run: &Run, now: UtcMillis) -> Result<bool, StoreError> {
    let query = sqlx::query(
        "INSERT INTO occurrences (automation_id, scheduled_at, state, run_id, attempt, recorded_at)
         VALUES ($1, $2, 'waiting', $3, 1, $4) ON CONFLICT DO NOTHING",
    )
    .bind(run.automation_id.to_string())
    .bind(seconds(run.scheduled_for))
    .bind(run.id.to_string())
    .bind(now.0);
    if wrote(query.execute(&mut **tx).await)?
        && let Some(spec) = automations::spec(tx, run.automation_id).await?
    {
        runs::insert_waiting(tx, run, &spec).await?;
    }
    Ok(false)
}

async fn skip(tx: &mut Tx, run: &Run, now: UtcMillis) -> Result<bool, StoreError> {
    let RunState::Skipped {
        reason,
        count,
        until,
        ..
    } = &run.state
    else {
        return Ok(false);
    };
    let query = sqlx::query(
        "INSERT INTO occurrences (automation_id, scheduled_at, state, run_id, attempt, reason, count, until, recorded_at)
         VALUES ($1, $2, 'skipped', $3, 1, $4, $5, $6, $7)
         ON CONFLICT DO UPDATE SET state = 'skipped', reason = $4, recorded_at = $7 WHERE occurrences.state = 'waiting'",
    )
    .bind(run.automation_id.to_string())
    .bind(seconds(run.scheduled_for))
    .bind(run.id.to_string())
    .bind(reason.word())
    .bind(i64::from(*count))
    .bind(until.map(seconds))
    .bind(now.0);
    if wrote(query.execute(&mut **tx).await)? && !runs::end_waiting(tx, run, now).await? {
        outbox::append(tx, &Event::RunChanged(Box::new(run.clone())), now).await?;
    }
    Ok(false)
}

async fn put_off(tx: &mut Tx, id: AutomationId, retry: &Retry) -> Result<bool, StoreError> {
    let query = sqlx::query(
        "UPDATE occurrences SET state = 'retrying', retry_at = $3
         WHERE automation_id = $1 AND scheduled_at = $2 AND state = 'open'",
    )
    .bind(id.to_string())
    .bind(seconds(retry.scheduled_at))
    .bind(retry.at.0);
    wrote(query.execute(&mut **tx).await)?;
    Ok(false)
}

async fn settle(tx: &mut Tx, id: AutomationId, at: UtcMillis) -> Result<bool, StoreError> {
    let query = sqlx::query(
        "UPDATE occurrences SET state = 'done', retry_at = NULL
         WHERE automation_id = $1 AND scheduled_at = $2 AND state IN ('waiting', 'open', 'retrying')",
    )
    .bind(id.to_string())
    .bind(seconds(at));
    wrote(query.execute(&mut **tx).await)?;
    Ok(false)
}

async fn drop_queued(tx: &mut Tx, id: AutomationId, now: UtcMillis) -> Result<bool, StoreError> {
    for row in runs::unfinished_of(tx, id).await? {
        let mut run = row.run;
        if run.state != RunState::Queued {
            continue;
        }
        run.state = RunState::Skipped {
            reason: SkipReason::Deleted,
            at: now,
            count: 1,
            until: None,
            why: None,
        };
        runs::update(tx, &run, now).await?;
    }
    Ok(true)
}

fn wrote(result: Result<SqliteQueryResult, sqlx::Error>) -> Result<bool, StoreError> {
    let result = result.map_err(StoreError::at("writes an occurrence"))?;
    Ok(result.rows_affected() > 0)
}

fn automation_id(row: &SqliteRow) -> Result<AutomationId, StoreError> {
    let text: &str = row.get(0);
    text.parse().map_err(StoreError::corrupt("automation id"))
}

fn scheduled_at(row: &SqliteRow) -> UtcMillis {
    UtcMillis(row.get::<i64, _>(1).saturating_mul(1000))
}

fn attempt(row: &SqliteRow, column: usize) -> u32 {
    u32::try_from(row.get::<i64, _>(column)).unwrap_or(1)
}

fn seconds(at: UtcMillis) -> i64 {
    at.0.div_euclid(1000)
}
