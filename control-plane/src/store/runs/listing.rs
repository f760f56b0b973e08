//! Runs over all automations of an owner: pages by key, never by counting, and the newest of each
//! automation for a glance.

use std::fmt::Write as _;

use hostler_proto::ids::{AutomationId, HostId, OrgId, RunId, UserId};
use hostler_proto::run::Run;
use hostler_proto::time::UtcMillis;
use sqlx::AssertSqlSafe;

use super::{Columns, RunRow, Store, StoreError, run};
use crate::store::row::like_pattern;

/// Which runs of an owner to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Part of its automation's name, in any case.
    pub name: Option<String>,
    /// Only in this state.
    pub state: Option<String>,
    /// Only of this automation.
    pub automation: Option<AutomationId>,
    /// Only on this host.
    pub host: Option<HostId>,
    /// From where on.
    pub after: Option<After>,
}

/// The place of a run in the list, where the next page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// When it was claimed.
    pub queued_at: UtcMillis,
    /// Which.
    pub id: RunId,
}

/// A run with the names that go with it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedRow {
    /// The run.
    pub run: RunRow,
    /// Its automation's name.
    pub automation_name: String,
    /// The zone the automation's schedule is read in.
    pub timezone: String,
    /// Its host's name.
    pub host_name: String,
}

/// A run at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Of which automation.
    pub automation_id: AutomationId,
    /// The run.
    pub run: Run,
}

/// At most `limit` runs of an owner, on hosts the owner may see, newest first.
pub async fn of_all(
    store: &Store,
    org: OrgId,
    owner: UserId,
    wanted: &Wanted,
    limit: u32,
) -> Result<Vec<ListedRow>, StoreError> {
    let mut sql = String::from(
        "SELECT r.record, r.host_id, r.as_of, COALESCE(l.end_at, 0) AS log_end, l.size AS log_size, \
         l.removed_at, a.name AS automation_name, a.schedule, h.name AS host_name FROM runs r \
         JOIN automations a ON a.id = r.automation_id JOIN hosts h ON h.id = r.host_id \
         LEFT JOIN run_logs l ON l.run_id = r.id AND l.host_id = r.host_id WHERE ",
    );
    // Of one automation, its own index is the short way: nothing that fits the owner's may stand here.
    sql += match wanted.automation {
        Some(_) => "a.org_id = $1 AND a.owner_id = $2",
        None => "r.org_id = $1 AND r.owner_id = $2",
    };
    sql += " AND (h.owner_id = $2 OR EXISTS (SELECT 1 FROM host_grants g \
        WHERE g.host_id = h.id AND g.user_id = $2))";
    let mut values = Vec::new();
    let mut narrow = |column: &str, value: Option<String>| {
        let Some(value) = value else { return };
        values.push(value);
        let place = values.len() + 4;
        write!(sql, " AND r.{column} = ${place}").unwrap_or_default();
    };
    narrow("state", wanted.state.clone());
    narrow("automation_id", wanted.automation.map(|id| id.to_string()));
    narrow("host_id", wanted.host.map(|id| id.to_string()));
    if let Some(name) = &wanted.name {
        values.push(like_pattern(name));
        let place = values.len() + 4;
        write!(
            sql,
            " AND r.automation_id IN (SELECT n.id FROM automations n \
             WHERE n.org_id = $1 AND n.owner_id = $2 AND n.name_key LIKE ${place} ESCAPE '!')"
        )
        .unwrap_or_default();
    }
    sql += " AND (r.queued_at, r.id) < ($3, $4) ORDER BY r.queued_at DESC, r.id DESC";
    write!(sql, " LIMIT {limit}").unwrap_or_default();
    let (at, id) = match wanted.after {
        Some(after) => (after.queued_at.0, after.id.to_string()),
        None => (i64::MAX, String::new()),
    };
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(org.to_string())
        .bind(owner.to_string())
        .bind(at)
        .bind(id);
    for value in values {
        query = query.bind(value);
    }
    let rows = query
        .fetch_all(store.reader())
        .await
        .map_err(StoreError::at("lists runs of all automations"))?;
    rows.iter()
        .map(|row| listed(Columns::of("run", row)))
        .collect()
}

fn listed(columns: Columns<'_>) -> Result<ListedRow, StoreError> {
    let schedule: hostler_proto::automation::ScheduleSpec = columns.json("schedule")?;
    Ok(ListedRow {
        run: run(columns)?,
        automation_name: columns.text("automation_name")?,
        timezone: schedule.timezone,
        host_name: columns.text("host_name")?,
    })
}

/// The newest runs of some automations, at most `each` of one; of each, newest first.
pub async fn marks(
    store: &Store,
    automations: &[AutomationId],
    each: u32,
) -> Result<Vec<Mark>, StoreError> {
    if automations.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (1..=automations.len())
        .map(|place| format!("${place}"))
        .collect();
    let sql = format!(
        "SELECT r.automation_id, r.record FROM automations a JOIN runs r ON r.id IN (\
         SELECT n.id FROM runs n WHERE n.automation_id = a.id \
         ORDER BY n.queued_at DESC, n.scheduled_for DESC, n.id DESC LIMIT {each}) \
         JOIN hosts h ON h.id = r.host_id AND (h.owner_id = a.owner_id OR EXISTS (SELECT 1 FROM \
         host_grants g WHERE g.host_id = h.id AND g.user_id = a.owner_id)) \
         WHERE a.id IN ({}) ORDER BY r.automation_id, r.queued_at DESC, r.scheduled_for DESC, r.id DESC",
        places.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for id in automations {
        query = query.bind(id.to_string());
    }
    let rows = query
        .fetch_all(store.reader())
        .await
        .map_err(StoreError::at("reads the newest runs of automations"))?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("run", row);
            Ok(Mark {
                automation_id: columns.parsed("automation_id")?,
                run: columns.json("record")?,
            })
        })
        .collect()
}
