//! What was done to automations, in words: never changed, only added to.

use hostler_proto::ids::AutomationId;
use hostler_proto::time::UtcMillis;
use serde::{Deserialize, Serialize};

use super::row::{Columns, signed, word};
use super::{Store, StoreError, Tx};

/// Something that was done to an automation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// When.
    pub at: UtcMillis,
    /// What kind of change.
    pub kind: ChangeKind,
    /// The automation's revision since then.
    pub revision: u64,
    /// One sentence without its full stop.
    pub what: String,
}

/// What kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was made.
    Created,
    /// Its owner changed it.
    Edited,
    /// It was sent to another host.
    Moved,
    /// Its new host may begin.
    TakenOver,
    /// It stopped firing, by its owner or after failures.
    Paused,
    /// It fires again.
    Resumed,
    /// Its host stopped planning it: finished, or not able to.
    Stopped,
    /// Its host plans it again after it was not able to.
    Planned,
    /// It was deleted.
    Deleted,
}

/// Adds a change, unless it only repeats the newest one.
pub async fn add(tx: &mut Tx, id: AutomationId, change: &ChangeRow) -> Result<(), StoreError> {
    let kind = word("kind of change", &change.kind)?;
    sqlx::query(
        "INSERT INTO automation_changes (automation_id, at, kind, revision, what) \
         SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM automation_changes c \
         WHERE c.automation_id = $1 AND c.kind = $3 AND c.revision = $4 AND c.what = $5 \
         AND c.at = (SELECT MAX(m.at) FROM automation_changes m WHERE m.automation_id = $1))",
    )
    .bind(id.to_string())
    .bind(change.at.0)
    .bind(kind)
    .bind(signed(change.revision))
    .bind(&change.what)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records a change of an automation"))?;
    Ok(())
}

/// The newest changes of an automation.
pub async fn newest(
    store: &Store,
    id: AutomationId,
    limit: u32,
) -> Result<Vec<ChangeRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT at, kind, revision, what FROM automation_changes WHERE automation_id = $1 \
         ORDER BY at DESC, revision DESC, kind DESC, what LIMIT $2",
    )
    .bind(id.to_string())
    .bind(i64::from(limit))
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists changes of an automation"))?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("change of an automation", row);
            Ok(ChangeRow {
                at: columns.time("at")?,
                kind: columns.word("kind")?,
                revision: columns.count("revision")?,
                what: columns.text("what")?,
            })
        })
        .collect()
}

/// The kind of the newest change that says whether its host plans it.
pub async fn newest_plan(tx: &mut Tx, id: AutomationId) -> Result<Option<ChangeKind>, StoreError> {
    let row = sqlx::query(
        "SELECT kind FROM automation_changes WHERE automation_id = $1 \
         ORDER BY at DESC, revision DESC LIMIT 1",
    )
    .bind(id.to_string())
    .fetch_optional(&mut **tx)
    .await
    .map_err(StoreError::at("reads the newest change of an automation"))?;
    row.map(|row| Columns::of("change of an automation", &row).word("kind"))
        .transpose()
}
