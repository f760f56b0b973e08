//! The bytes of run logs, in order and without holes, and where each log stands.

use hostler_proto::ids::{AutomationId, HostId, OrgId, RunId};
use hostler_proto::time::UtcMillis;

use super::row::{Columns, signed};
use super::{Store, StoreError, Tx};

/// Where a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Whose it is.
    pub host_id: HostId,
    /// Every byte before this offset is here.
    pub end: u64,
    /// CRC-32 of those bytes.
    pub crc: u32,
    /// Size of the whole log, once stated and checked.
    pub size: Option<u64>,
}

/// Where a run's log stands; none before its first byte.
pub async fn state(tx: &mut Tx, run: RunId) -> Result<Option<LogRow>, StoreError> {
    let row = sqlx::query("SELECT host_id, end_at, crc, size FROM run_logs WHERE run_id = $1")
        .bind(run.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks up a log"))?;
    row.map(|row| {
        let columns = Columns::of("log", &row);
        let size = columns.maybe_number("size")?;
        Ok(LogRow {
            host_id: columns.parsed("host_id")?,
            end: columns.count("end_at")?,
            crc: u32::try_from(columns.number("crc")?).map_err(StoreError::unreadable("log"))?,
            size: size.and_then(|size| u64::try_from(size).ok()),
        })
    })
    .transpose()
}

/// Records where a log stands.
pub async fn set_state(
    tx: &mut Tx,
    run: RunId,
    log: &LogRow,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO run_logs (run_id, host_id, end_at, crc, size, as_of) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (run_id) DO UPDATE SET \
         end_at = excluded.end_at, crc = excluded.crc, size = excluded.size, as_of = excluded.as_of",
    )
    .bind(run.to_string())
    .bind(log.host_id.to_string())
    .bind(signed(log.end))
    .bind(i64::from(log.crc))
    .bind(log.size.map(signed))
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records where a log stands"))?;
    Ok(())
}

/// Stores bytes at an offset. The log's state must be recorded first.
pub async fn append(tx: &mut Tx, run: RunId, start: u64, bytes: &[u8]) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO run_log_chunks (run_id, start_at, bytes) VALUES ($1, $2, $3)")
        .bind(run.to_string())
        .bind(signed(start))
        .bind(bytes)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("stores log bytes"))?;
    Ok(())
}

/// Throws a log's bytes away, because they do not fit its checksum.
pub async fn clear(tx: &mut Tx, run: RunId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM run_log_chunks WHERE run_id = $1")
        .bind(run.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("throws a log away"))?;
    Ok(())
}

/// The bytes of a log in `from..to`, as far as they are here. Only those leave the database: a page
/// of a few bytes does not cost the chunks it lies in.
pub async fn read(store: &Store, run: RunId, from: u64, to: u64) -> Result<Vec<u8>, StoreError> {
    let rows = sqlx::query(
        "SELECT substr(bytes, CAST(CASE WHEN start_at < $2 THEN $2 - start_at + 1 ELSE 1 END AS INTEGER), \
         CAST($3 - CASE WHEN start_at < $2 THEN $2 ELSE start_at END AS INTEGER)) AS part \
         FROM run_log_chunks WHERE run_id = $1 AND start_at < $3 \
         AND start_at >= (SELECT COALESCE(MAX(start_at), 0) FROM run_log_chunks \
         WHERE run_id = $1 AND start_at <= $2) ORDER BY start_at",
    )
    .bind(run.to_string())
    .bind(signed(from))
    .bind(signed(to))
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("reads a log"))?;
    let mut read = Vec::new();
    for row in &rows {
        read.extend_from_slice(&Columns::of("log", row).bytes("part")?);
    }
    Ok(read)
}

/// The last bytes (at most `most` each) of the logs of an automation's newest runs.
pub async fn tails(
    store: &Store,
    org: OrgId,
    automation: AutomationId,
    runs: u32,
    most: u64,
) -> Result<Vec<(RunId, Vec<u8>)>, StoreError> {
    let rows = sqlx::query(
        "SELECT c.run_id, c.start_at, c.bytes, t.end_at FROM (SELECT r.id, l.end_at FROM (\
         SELECT id, host_id FROM runs WHERE org_id = $1 AND automation_id = $2 \
         ORDER BY queued_at DESC, scheduled_for DESC, id DESC LIMIT $3) r \
         JOIN run_logs l ON l.run_id = r.id AND l.host_id = r.host_id) t \
         JOIN run_log_chunks c ON c.run_id = t.id AND c.start_at >= (\
         SELECT COALESCE(MAX(m.start_at), 0) FROM run_log_chunks m WHERE m.run_id = t.id \
         AND m.start_at <= CASE WHEN t.end_at > $4 THEN t.end_at - $4 ELSE 0 END) \
         ORDER BY c.run_id, c.start_at",
    )
    .bind(org.to_string())
    .bind(automation.to_string())
    .bind(i64::from(runs))
    .bind(signed(most))
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("reads the ends of logs"))?;
    let mut tails: Vec<(RunId, Vec<u8>)> = Vec::new();
    for row in &rows {
        let columns = Columns::of("log", row);
        let run = columns.parsed("run_id")?;
        let end = columns.count("end_at")?;
        let bytes = columns.bytes("bytes")?;
        let part = within(
            columns.count("start_at")?,
            &bytes,
            end.saturating_sub(most),
            end,
        );
        match tails.last_mut() {
            Some((last, tail)) if *last == run => tail.extend_from_slice(part),
            Some(_) | None => tails.push((run, part.to_vec())),
        }
    }
    Ok(tails)
}

/// The part of a chunk at `start` that lies in `from..to`.
fn within(start: u64, bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let place = |offset: u64| {
        usize::try_from(offset.saturating_sub(start)).map_or(bytes.len(), |at| at.min(bytes.len()))
    };
    let (low, high) = (place(from), place(to));
    &bytes[low..high.max(low)]
}
