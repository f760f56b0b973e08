//! The bytes of run logs, in order and without holes, and where each log stands.
//!
//! Bytes are stored as they come, so that they can be read at once, and packed together as soon as
//! there are enough of them. A log's row and its bytes change in one transaction.

mod chunk;

use hostler_proto::ids::{AutomationId, HostId, OrgId, RunId};
use hostler_proto::time::UtcMillis;
use sqlx::any::AnyRow;

pub use chunk::Chunk;
use chunk::PACKED_BYTES;

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
    /// Every byte before this offset is packed.
    packed_to: u64,
    /// Bytes it takes here.
    pub stored: u64,
}

impl LogRow {
    /// A host's log before its first byte.
    pub fn empty(host_id: HostId) -> Self {
        Self {
            host_id,
            end: 0,
            crc: 0,
            size: None,
            packed_to: 0,
            stored: 0,
        }
    }
}

/// Where a run's log stands; none before its first byte.
pub async fn state(tx: &mut Tx, run: RunId) -> Result<Option<LogRow>, StoreError> {
    let row = sqlx::query(
        "SELECT host_id, end_at, crc, size, packed_to, stored FROM run_logs WHERE run_id = $1",
    )
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
            packed_to: columns.count("packed_to")?,
            stored: columns.count("stored")?,
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
        "INSERT INTO run_logs (run_id, host_id, end_at, crc, size, packed_to, stored, as_of) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (run_id) DO UPDATE SET \
         host_id = excluded.host_id, end_at = excluded.end_at, crc = excluded.crc, size = excluded.size, \
         packed_to = excluded.packed_to, stored = excluded.stored, as_of = excluded.as_of",
    )
    .bind(run.to_string())
    .bind(log.host_id.to_string())
    .bind(signed(log.end))
    .bind(i64::from(log.crc))
    .bind(log.size.map(signed))
    .bind(signed(log.packed_to))
    .bind(signed(log.stored))
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records where a log stands"))?;
    Ok(())
}

/// Appends bytes to a log and records where it stands then.
pub async fn append(
    tx: &mut Tx,
    run: RunId,
    log: &mut LogRow,
    fresh: Chunk,
    now: UtcMillis,
) -> Result<(), StoreError> {
    if log.end == 0 {
        // What the rows of bytes refer to.
        set_state(tx, run, log, now).await?;
    }
    let start = log.end;
    let mut crc = crc32fast::Hasher::new_with_initial(log.crc);
    crc.update(&fresh.bytes);
    log.crc = crc.finalize();
    log.end += fresh.bytes.len() as u64;
    if log.end - log.packed_to < PACKED_BYTES as u64 {
        put(tx, run, log, start, &fresh).await?;
    } else {
        pack(tx, run, log, fresh, PACKED_BYTES).await?;
    }
    set_state(tx, run, log, now).await
}

/// The log is whole: packs what is left and records its size.
pub async fn complete(
    tx: &mut Tx,
    run: RunId,
    log: &mut LogRow,
    now: UtcMillis,
) -> Result<(), StoreError> {
    log.size = Some(log.end);
    pack(tx, run, log, Chunk::default(), 1).await?;
    set_state(tx, run, log, now).await
}

/// Packs what is not packed yet together with what is fresh, as far as it fills rows or is at
/// least so many bytes.
async fn pack(
    tx: &mut Tx,
    run: RunId,
    log: &mut LogRow,
    fresh: Chunk,
    least: usize,
) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "SELECT start_at, bytes, packed, records FROM run_log_chunks \
         WHERE run_id = $1 AND start_at >= $2 ORDER BY start_at",
    )
    .bind(run.to_string())
    .bind(signed(log.packed_to))
    .fetch_all(&mut **tx)
    .await
    .map_err(StoreError::at("reads what is to be packed"))?;
    let mut open = Chunk::default();
    for row in &rows {
        open.join(&chunk(row)?.1);
    }
    log.stored = log.stored.saturating_sub(open.bytes.len() as u64);
    open.join(&fresh);
    sqlx::query("DELETE FROM run_log_chunks WHERE run_id = $1 AND start_at >= $2")
        .bind(run.to_string())
        .bind(signed(log.packed_to))
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("packs log bytes"))?;
    while open.bytes.len() >= least.max(1) {
        let piece = open.take(PACKED_BYTES);
        let start = log.packed_to;
        log.packed_to += piece.bytes.len() as u64;
        put(tx, run, log, start, &piece).await?;
    }
    if !open.bytes.is_empty() {
        let start = log.packed_to;
        put(tx, run, log, start, &open).await?;
    }
    Ok(())
}

/// Stores a row of bytes; packed when the log is packed beyond it and that makes it smaller.
async fn put(
    tx: &mut Tx,
    run: RunId,
    log: &mut LogRow,
    start: u64,
    chunk: &Chunk,
) -> Result<(), StoreError> {
    let packed = if start < log.packed_to {
        let packed = chunk.packed().map_err(StoreError::unreadable("log"))?;
        Some(packed).filter(|packed| packed.len() < chunk.bytes.len())
    } else {
        None
    };
    let bytes = packed.as_deref().unwrap_or(&chunk.bytes);
    log.stored += bytes.len() as u64;
    sqlx::query(
        "INSERT INTO run_log_chunks (run_id, start_at, bytes, packed, records) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(run.to_string())
    .bind(signed(start))
    .bind(bytes)
    .bind(i64::from(packed.is_some()))
    .bind(chunk.written_records())
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("stores log bytes"))?;
    Ok(())
}

/// Throws a log's bytes away, because they do not fit its checksum.
pub async fn clear(
    tx: &mut Tx,
    run: RunId,
    log: &mut LogRow,
    now: UtcMillis,
) -> Result<(), StoreError> {
    delete_bytes(tx, run).await?;
    *log = LogRow::empty(log.host_id);
    set_state(tx, run, log, now).await
}

async fn delete_bytes(tx: &mut Tx, run: RunId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM run_log_chunks WHERE run_id = $1")
        .bind(run.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("throws a log away"))?;
    Ok(())
}

/// Throws the bytes of a whole log away to make room; the run and its outcome stay.
pub async fn remove(tx: &mut Tx, run: RunId, now: UtcMillis) -> Result<(), StoreError> {
    delete_bytes(tx, run).await?;
    sqlx::query("UPDATE run_logs SET removed_at = $2, stored = 0 WHERE run_id = $1")
        .bind(run.to_string())
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("records that a log is gone"))?;
    Ok(())
}

/// Whole logs that are still here, oldest first, at most `limit`: when each became whole, and the
/// bytes it takes.
pub async fn oldest(store: &Store, limit: u32) -> Result<Vec<(RunId, UtcMillis, u64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT run_id, as_of, stored FROM run_logs \
         WHERE removed_at IS NULL AND size IS NOT NULL ORDER BY as_of LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists old logs"))?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("log", row);
            Ok((
                columns.parsed("run_id")?,
                columns.time("as_of")?,
                columns.count("stored")?,
            ))
        })
        .collect()
}

/// Bytes all logs take.
pub async fn stored_bytes(store: &Store) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(stored), 0) AS BIGINT) AS stored FROM run_logs \
         WHERE removed_at IS NULL",
    )
    .fetch_one(store.reader())
    .await
    .map_err(StoreError::at("adds up logs"))?;
    Columns::of("log", &row).count("stored")
}

/// What of a log lies in `from..to`, as far as it is here.
pub async fn read(store: &Store, run: RunId, from: u64, to: u64) -> Result<Chunk, StoreError> {
    let rows = sqlx::query(
        "SELECT start_at, bytes, packed, records FROM run_log_chunks WHERE run_id = $1 \
         AND start_at < $3 AND start_at >= (SELECT COALESCE(MAX(start_at), 0) FROM run_log_chunks \
         WHERE run_id = $1 AND start_at <= $2) ORDER BY start_at",
    )
    .bind(run.to_string())
    .bind(signed(from))
    .bind(signed(to))
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("reads a log"))?;
    let mut read = Chunk::default();
    for row in &rows {
        let (start, chunk) = chunk(row)?;
        read.join(&chunk.within(start, from, to));
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
        "SELECT c.run_id, c.start_at, c.bytes, c.packed, c.records, t.end_at \
         FROM (SELECT r.id, l.end_at FROM (\
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
        let (start, chunk) = chunk(row)?;
        let part = chunk.within(start, end.saturating_sub(most), end).bytes;
        match tails.last_mut() {
            Some((last, tail)) if *last == run => tail.extend_from_slice(&part),
            Some(_) | None => tails.push((run, part)),
        }
    }
    Ok(tails)
}

/// Where a row of bytes lies, and what is in it.
fn chunk(row: &AnyRow) -> Result<(u64, Chunk), StoreError> {
    let columns = Columns::of("log", row);
    let records = columns.maybe_bytes("records")?;
    let chunk = Chunk::read(
        columns.bytes("bytes")?,
        columns.flag("packed")?,
        records.as_deref(),
    );
    Ok((
        columns.count("start_at")?,
        chunk.map_err(StoreError::unreadable("log"))?,
    ))
}
