//! Automations as the catalog wants them on this host, and where their plans stand.
//!
//! A sync step is applied whole or not at all, and only onto the revision it starts from. Rows
//! whose revision is not the planned one, and deleted rows, are what the scheduler has yet to take
//! notice of; it is the only one to write plans and to remove rows.

use hostler_proto::automation::{AutomationSpec, StopReason};
use hostler_proto::ids::AutomationId;
use hostler_proto::time::UtcMillis;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, Tx, occurrences, outbox};
use crate::scheduler::{Change, PlanState, Record, Rule};

const COLUMNS: &str = "id, spec, deleted, planned_revision, planned_after, cursor, next_at, due_at, starts, failures, stopped, planned_spec";

impl Store {
    /// Every automation with its plan and what of it is pending.
    pub async fn plans(&self) -> Result<Vec<Record>, StoreError> {
        let mut tx = self.begin().await?;
        let mut records = select(&mut tx, "ORDER BY id").await?;
        occurrences::add_pending(&mut tx, &mut records).await?;
        Ok(records)
    }

    /// The ids of all automations of this host.
    pub async fn automation_ids(&self) -> Result<Vec<AutomationId>, StoreError> {
        sqlx::query("SELECT id FROM automations WHERE deleted = 0 ORDER BY id")
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::at("reads automation ids"))?
            .iter()
            .map(id)
            .collect()
    }
}

/// An automation with its prompt, as last synced; none when it is unknown or deleted.
pub async fn spec(tx: &mut Tx, id: AutomationId) -> Result<Option<AutomationSpec>, StoreError> {
    let row = sqlx::query("SELECT id, spec, prompt FROM automations WHERE id = $1 AND deleted = 0")
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("reads an automation"))?;
    row.map(|row| {
        let mut spec = parse_spec(row.get(1))?;
        spec.prompt = row.get(2);
        Ok(spec)
    })
    .transpose()
}

/// Automations whose plan does not answer to their spec yet.
pub(crate) async fn changed(tx: &mut Tx) -> Result<Vec<Record>, StoreError> {
    select(tx, "WHERE deleted = 1 OR revision <> planned_revision").await
}

/// Stores a spec as the catalog wants it. Its plan follows.
pub async fn upsert(tx: &mut Tx, spec: &AutomationSpec) -> Result<(), StoreError> {
    let lean = AutomationSpec {
        prompt: String::new(),
        ..spec.clone()
    };
    let json = serde_json::to_string(&lean).map_err(StoreError::corrupt("automation"))?;
    sqlx::query(
        "INSERT INTO automations (id, revision, spec, prompt) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET revision = $2, spec = $3, prompt = $4, deleted = 0,
             planned_spec = CASE WHEN revision = planned_revision THEN spec ELSE planned_spec END",
    )
    .bind(spec.id.to_string())
    .bind(i64::try_from(spec.revision).unwrap_or(i64::MAX))
    .bind(json)
    .bind(&spec.prompt)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("stores an automation"))?;
    Ok(())
}

/// Marks an automation as no longer wanted; an unknown one is no error.
pub async fn mark_deleted(tx: &mut Tx, id: AutomationId) -> Result<(), StoreError> {
    sqlx::query("UPDATE automations SET deleted = 1 WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("deletes an automation"))?;
    Ok(())
}

/// Marks all automations as no longer wanted: the first half of taking the whole state anew.
pub async fn mark_all_deleted(tx: &mut Tx) -> Result<(), StoreError> {
    sqlx::query("UPDATE automations SET deleted = 1 WHERE deleted = 0")
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("deletes automations"))?;
    Ok(())
}

/// (id, revision) of all wanted automations, by id.
pub async fn revisions(tx: &mut Tx) -> Result<Vec<(AutomationId, u64)>, StoreError> {
    sqlx::query("SELECT id, revision FROM automations WHERE deleted = 0 ORDER BY id")
        .fetch_all(&mut **tx)
        .await
        .map_err(StoreError::at("reads revisions"))?
        .iter()
        .map(|row| Ok((id(row)?, row.get::<i64, _>(1).unsigned_abs())))
        .collect()
}

/// How many plans one statement writes: each statement has its price, and so has its text.
const PLANS_A_STATEMENT: usize = 1_000;

/// Writes the automations' plans, or removes the automations, and tells the control plane.
pub(crate) async fn write_plans(
    tx: &mut Tx,
    changes: &[Change],
    now: UtcMillis,
) -> Result<(), StoreError> {
    for changes in changes.chunks(PLANS_A_STATEMENT) {
        for change in changes.iter().filter(|change| change.plan.is_none()) {
            remove(tx, change.id).await?;
        }
        let plans = changes.iter().filter_map(|change| {
            let plan = change.plan.as_ref()?;
            Some(stored(change.id, plan))
        });
        let plans = plans.collect::<Result<Vec<_>, _>>()?;
        if !plans.is_empty() {
            update_plans(tx, Value::Array(plans)).await?;
        }
        let statuses = changes.iter().filter_map(|change| change.status.as_ref());
        outbox::append_plans(tx, &statuses.collect::<Vec<_>>(), now).await?;
    }
    Ok(())
}

/// A plan as the columns it is stored in.
fn stored(id: AutomationId, plan: &PlanState) -> Result<Value, StoreError> {
    let stopped = plan.stopped.as_ref().map(serde_json::to_string).transpose();
    Ok(json!({
        "id": id,
        "revision": i64::try_from(plan.planned_revision).unwrap_or(i64::MAX),
        "after": plan.planned_after.0,
        "cursor": plan.cursor.0,
        "next_at": plan.next_at.map(|at| at.0),
        "due_at": plan.due_at.map(|at| at.0),
        "starts": plan.starts,
        "failures": plan.failures,
        "stopped": stopped.map_err(StoreError::corrupt("stop reason"))?,
    }))
}

async fn update_plans(tx: &mut Tx, plans: Value) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE automations SET planned_revision = plan.revision, planned_after = plan.after, cursor = plan.cursor,
             next_at = plan.next_at, due_at = plan.due_at, starts = plan.starts, failures = plan.failures,
             stopped = plan.stopped,
             planned_spec = CASE WHEN automations.revision = plan.revision THEN NULL ELSE planned_spec END
         FROM (SELECT value ->> '$.id' AS id, value ->> '$.revision' AS revision, value ->> '$.after' AS after,
                 value ->> '$.cursor' AS cursor, value ->> '$.next_at' AS next_at, value ->> '$.due_at' AS due_at,
                 value ->> '$.starts' AS starts, value ->> '$.failures' AS failures, value ->> '$.stopped' AS stopped
             FROM json_each($1)) AS plan
         WHERE automations.id = plan.id",
    )
    .bind(plans.to_string())
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("writes plans"))?;
    Ok(())
}

async fn remove(tx: &mut Tx, id: AutomationId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM automations WHERE id = $1 AND deleted = 1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("removes an automation"))?;
    Ok(())
}

async fn select(tx: &mut Tx, rest: &'static str) -> Result<Vec<Record>, StoreError> {
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM automations {rest}"
    )))
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("reads plans"))?
    .iter()
    .map(record)
    .collect()
}

fn record(row: &SqliteRow) -> Result<Record, StoreError> {
    let stopped: Option<&str> = row.get(10);
    let stopped = stopped.map(serde_json::from_str::<StopReason>).transpose();
    let planned: Option<&str> = row.get(11);
    let small = |at: usize| u32::try_from(row.get::<i64, _>(at)).unwrap_or(u32::MAX);
    Ok(Record {
        rule: Rule::from(parse_spec(row.get(1))?),
        planned: planned.map(parse_spec).transpose()?.map(Rule::from),
        deleted: row.get(2),
        state: PlanState {
            planned_revision: row.get::<i64, _>(3).unsigned_abs(),
            planned_after: UtcMillis(row.get(4)),
            cursor: UtcMillis(row.get(5)),
            next_at: row.get::<Option<i64>, _>(6).map(UtcMillis),
            due_at: row.get::<Option<i64>, _>(7).map(UtcMillis),
            starts: small(8),
            failures: small(9),
            stopped: stopped.map_err(StoreError::corrupt("stop reason"))?,
        },
        waiting: Vec::new(),
        retries: Vec::new(),
    })
}

fn parse_spec(json: &str) -> Result<AutomationSpec, StoreError> {
    serde_json::from_str(json).map_err(StoreError::corrupt("automation"))
}

fn id(row: &SqliteRow) -> Result<AutomationId, StoreError> {
    let text: &str = row.get(0);
    text.parse().map_err(StoreError::corrupt("automation id"))
}
