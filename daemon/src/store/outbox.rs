//! Events committed but not yet acknowledged by the control plane.

use hostler_proto::automation::AutomationStatus;
use hostler_proto::event::Event;
use hostler_proto::frame::payload::Life;
use hostler_proto::time::UtcMillis;
use sqlx::Row;

use super::{Store, StoreError, Tx, meta};

/// Starts of the daemon remembered.
const MOST_LIVES: i64 = 200;
/// The last event that the control plane said it has.
const ACKED_KEY: &str = "events_acked";
const LAST_NUMBER: &str = "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'";

/// Appends an event inside the transaction that records the change it tells of.
/// Returns its sequence number.
pub async fn append(tx: &mut Tx, event: &Event, now: UtcMillis) -> Result<u64, StoreError> {
    let row = sqlx::query("INSERT INTO outbox (event, created_at) VALUES ($1, $2) RETURNING seq")
        .bind(text(event)?)
        .bind(now.0)
        .fetch_one(&mut **tx)
        .await
        .map_err(StoreError::at("appends an event"))?;
    let seq: i64 = row.get(0);
    Ok(seq.unsigned_abs())
}

/// Appends where automations' plans stand now, in place of what still waits to be told of them: a
/// plan changes with each run, only the newest is worth delivering, and a host that is away for a
/// week keeps one event for each automation.
pub(crate) async fn append_plans(
    tx: &mut Tx,
    statuses: &[&AutomationStatus],
    now: UtcMillis,
) -> Result<(), StoreError> {
    if statuses.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = statuses.iter().map(|status| status.id).collect();
    let ids = serde_json::to_string(&ids).map_err(StoreError::corrupt("list of automations"))?;
    sqlx::query(
        "DELETE FROM outbox WHERE event ->> '$.type' = 'automation_changed'
         AND event ->> '$.payload.id' IN (SELECT value FROM json_each($1)) AND quarantined IS NULL",
    )
    .bind(ids)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("drops superseded events"))?;
    let events = statuses
        .iter()
        .map(|status| text(&Event::AutomationChanged((*status).clone())));
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let events = serde_json::to_string(&events).map_err(StoreError::corrupt("events"))?;
    sqlx::query(
        "INSERT INTO outbox (event, created_at) SELECT value, $2 FROM json_each($1) ORDER BY key",
    )
    .bind(events)
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("appends events"))?;
    Ok(())
}

fn text(event: &Event) -> Result<String, StoreError> {
    serde_json::to_string(event).map_err(StoreError::corrupt("event"))
}

/// Drops every event: there is nobody any more to deliver them to. Numbers go on.
pub async fn clear(tx: &mut Tx) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM outbox")
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("drops events"))?;
    Ok(())
}

/// A start of the daemon: events get their numbers from it from here on. One that numbered nothing
/// gives way.
pub async fn begin_life(tx: &mut Tx, mark: &str) -> Result<(), StoreError> {
    let first = next(tx).await?;
    sqlx::query(
        "INSERT INTO lives (first_seq, mark) VALUES ($1, $2) ON CONFLICT DO UPDATE SET mark = $2",
    )
    .bind(i64::try_from(first).unwrap_or(i64::MAX))
    .bind(mark)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("notes a start"))?;
    sqlx::query("DELETE FROM lives WHERE first_seq NOT IN (SELECT first_seq FROM lives ORDER BY first_seq DESC LIMIT $1)")
        .bind(MOST_LIVES)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("forgets old starts"))?;
    Ok(())
}

/// The sequence number the next event will get.
pub async fn next(tx: &mut Tx) -> Result<u64, StoreError> {
    let row = sqlx::query(LAST_NUMBER).fetch_optional(&mut **tx).await;
    let row = row.map_err(StoreError::at("reads the last event's number"))?;
    Ok(row.map_or(0, |row| row.get::<i64, _>(0).unsigned_abs()) + 1)
}

/// The last event that the control plane said it has.
pub async fn acked(tx: &mut Tx) -> Result<u64, StoreError> {
    let known = meta::get(tx, ACKED_KEY).await?;
    Ok(known.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// The control plane has events only up to this one: what it said before no longer counts.
pub async fn set_acked(tx: &mut Tx, seq: u64) -> Result<(), StoreError> {
    meta::set(tx, ACKED_KEY, &seq.to_string()).await
}

impl Store {
    /// The newest starts of the daemon that numbered events, oldest first.
    pub async fn lives(&self) -> Result<Vec<Life>, StoreError> {
        let rows = sqlx::query("SELECT first_seq, mark FROM lives ORDER BY first_seq")
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::at("reads past starts"))?;
        let life = |row: &sqlx::sqlite::SqliteRow| Life {
            first_seq: row.get::<i64, _>(0).unsigned_abs(),
            mark: row.get(1),
        };
        Ok(rows.iter().map(life).collect())
    }

    /// The sequence number the next event will get.
    pub async fn outbox_next(&self) -> Result<u64, StoreError> {
        let row = sqlx::query(LAST_NUMBER)
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::at("reads the last event's number"))?;
        Ok(row.map_or(0, |row| row.get::<i64, _>(0).unsigned_abs()) + 1)
    }

    /// Sets an event aside that the control plane will never take; it stays for a look.
    pub async fn outbox_refused(&self, seq: u64, reason: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE outbox SET quarantined = $2 WHERE seq = $1")
            .bind(i64::try_from(seq).unwrap_or(i64::MAX))
            .bind(reason)
            .execute(self.writer())
            .await
            .map_err(StoreError::at("sets an event aside"))?;
        Ok(())
    }

    /// At most `limit` events after `seq`, oldest first, as (sequence, JSON text).
    pub async fn outbox_after(
        &self,
        seq: u64,
        limit: u32,
    ) -> Result<Vec<(u64, String)>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, event FROM outbox WHERE seq > $1 AND quarantined IS NULL ORDER BY seq LIMIT $2",
        )
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::at("reads events"))?;
        Ok(rows
            .iter()
            .map(|row| (row.get::<i64, _>(0).unsigned_abs(), row.get(1)))
            .collect())
    }

    /// Deletes everything the control plane has acknowledged, up to and including `seq`, and
    /// remembers how far that was.
    pub async fn outbox_acked(&self, seq: u64) -> Result<(), StoreError> {
        let at = StoreError::at("drops acknowledged events");
        let mut connection = self.relaxed().await.map_err(at)?;
        let number = i64::try_from(seq).unwrap_or(i64::MAX);
        sqlx::query("DELETE FROM outbox WHERE seq <= $1 AND quarantined IS NULL")
            .bind(number)
            .execute(&mut *connection)
            .await
            .map_err(at)?;
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE \
             SET value = $2 WHERE CAST(value AS INTEGER) < CAST($2 AS INTEGER)",
        )
        .bind(ACKED_KEY)
        .bind(number.to_string())
        .execute(&mut *connection)
        .await
        .map_err(at)?;
        Ok(())
    }
}
