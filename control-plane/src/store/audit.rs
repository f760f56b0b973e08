//! The audit log: rows that are only ever added. What their digests mean is the domain's.

use hostler_proto::ids::{OrgId, UserId};
use hostler_proto::time::UtcMillis;
use serde_json::Value;

use super::row::{Columns, signed};
use super::{Store, StoreError, Tx};

/// An entry to add.
#[derive(Clone, Debug)]
pub struct NewEntry<'a> {
    /// When it happened.
    pub at: UtcMillis,
    /// The person, when it was one.
    pub actor_id: Option<UserId>,
    /// How the actor is named to others.
    pub actor: &'a str,
    /// The program it was done with.
    pub client: &'a str,
    /// Where that program is.
    pub address: Option<String>,
    /// What was done (`task.create`).
    pub action: &'a str,
    /// The noun of the thing.
    pub thing_kind: &'a str,
    /// The thing's id.
    pub thing_id: &'a str,
    /// What people call the thing.
    pub thing_name: &'a str,
    /// More, as JSON.
    pub detail: Option<Value>,
}

/// An entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Its number within the organization, from 1.
    pub seq: u64,
    /// When it happened.
    pub at: UtcMillis,
    /// The person, when it was one.
    pub actor_id: Option<UserId>,
    /// How the actor was named.
    pub actor: String,
    /// The program it was done with.
    pub client: String,
    /// Where that program was.
    pub address: Option<String>,
    /// What was done.
    pub action: String,
    /// The noun of the thing.
    pub thing_kind: String,
    /// The thing's id.
    pub thing_id: String,
    /// What the thing was called then.
    pub thing_name: String,
    /// More, as JSON.
    pub detail: Option<String>,
    /// The chain up to here, hex.
    pub digest: String,
}

/// Which entries are wanted; what is none does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The actor's whole name, in any case.
    pub actor: Option<String>,
    /// The beginning of the action.
    pub action: Option<String>,
    /// The thing's id.
    pub thing_id: Option<String>,
    /// Part of the thing's name, in any case.
    pub thing: Option<String>,
    /// From this instant on.
    pub since: Option<UtcMillis>,
    /// Before this instant.
    pub until: Option<UtcMillis>,
}

impl Filter {
    /// Clauses with the text each binds, where one is wanted.
    fn clauses(&self) -> [(&'static str, Option<String>); 4] {
        let lower = |text: &String| text.to_lowercase();
        [
            (" AND LOWER(actor) = ?", self.actor.as_ref().map(lower)),
            (
                " AND action LIKE ? ESCAPE '!'",
                self.action.as_ref().map(|text| escaped(text) + "%"),
            ),
            (" AND thing_id = ?", self.thing_id.clone()),
            (
                " AND LOWER(thing_name) LIKE ? ESCAPE '!'",
                self.thing
                    .as_ref()
                    .map(|text| format!("%{}%", escaped(&lower(text)))),
            ),
        ]
    }
}

/// The number and the digest of an organization's newest entry; 0 and nothing before the first.
pub async fn newest(tx: &mut Tx, org: OrgId) -> Result<(u64, String), StoreError> {
    let row = sqlx::query(
        "SELECT seq, digest FROM audit_log WHERE org_id = $1 ORDER BY seq DESC LIMIT 1",
    )
    .bind(org.to_string())
    .fetch_optional(&mut **tx)
    .await
    .map_err(StoreError::at("reads the audit log's end"))?;
    row.map_or(Ok((0, String::new())), |row| {
        let columns = Columns::of("audit entry", &row);
        Ok((columns.count("seq")?, columns.text("digest")?))
    })
}

/// Adds an entry with its number and digest.
pub async fn insert(
    tx: &mut Tx,
    org: OrgId,
    seq: u64,
    digest: &str,
    entry: &NewEntry<'_>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit_log (org_id, seq, at, actor_id, actor, client, address, action, \
         thing_kind, thing_id, thing_name, detail, digest) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(org.to_string())
    .bind(signed(seq))
    .bind(entry.at.0)
    .bind(entry.actor_id.map(|id| id.to_string()))
    .bind(entry.actor)
    .bind(entry.client)
    .bind(entry.address.as_deref())
    .bind(entry.action)
    .bind(entry.thing_kind)
    .bind(entry.thing_id)
    .bind(entry.thing_name)
    .bind(entry.detail.as_ref().map(ToString::to_string))
    .bind(digest)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("adds to the audit log"))?;
    Ok(())
}

/// An organization's entries before a number, newest first.
pub async fn before(
    store: &Store,
    org: OrgId,
    filter: &Filter,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<EntryRow>, StoreError> {
    let mut sql = "SELECT * FROM audit_log WHERE org_id = $1 AND seq < $2".to_owned();
    let mut texts = Vec::new();
    for (clause, value) in filter.clauses() {
        if let Some(value) = value {
            texts.push(value);
            sql.push_str(&clause.replace('?', &format!("${}", texts.len() + 2)));
        }
    }
    for (clause, at) in [(" AND at >= ", filter.since), (" AND at < ", filter.until)] {
        if let Some(at) = at {
            sql = format!("{sql}{clause}{}", at.0);
        }
    }
    sql = format!("{sql} ORDER BY seq DESC LIMIT {limit}");
    // Only the clauses above and numbers are in it: every text is bound.
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(org.to_string())
        .bind(before.map_or(i64::MAX, signed));
    for text in texts {
        query = query.bind(text);
    }
    let rows = query
        .fetch_all(store.reader())
        .await
        .map_err(StoreError::at("reads the audit log"))?;
    entries(&rows)
}

/// An organization's entries after a number, oldest first.
pub async fn after(
    store: &Store,
    org: OrgId,
    after: u64,
    limit: u32,
) -> Result<Vec<EntryRow>, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM audit_log WHERE org_id = $1 AND seq > $2 ORDER BY seq LIMIT $3")
            .bind(org.to_string())
            .bind(signed(after))
            .bind(i64::from(limit))
            .fetch_all(store.reader())
            .await
            .map_err(StoreError::at("reads the audit log"))?;
    entries(&rows)
}

fn escaped(text: &str) -> String {
    text.replace('!', "!!")
        .replace('%', "!%")
        .replace('_', "!_")
}

fn entries(rows: &[sqlx::any::AnyRow]) -> Result<Vec<EntryRow>, StoreError> {
    let entry = |row| {
        let columns = Columns::of("audit entry", row);
        Ok(EntryRow {
            seq: columns.count("seq")?,
            at: columns.time("at")?,
            actor_id: columns.maybe_parsed("actor_id")?,
            actor: columns.text("actor")?,
            client: columns.text("client")?,
            address: columns.maybe_text("address")?,
            action: columns.text("action")?,
            thing_kind: columns.text("thing_kind")?,
            thing_id: columns.text("thing_id")?,
            thing_name: columns.text("thing_name")?,
            detail: columns.maybe_text("detail")?,
            digest: columns.text("digest")?,
        })
    };
    rows.iter().map(entry).collect()
}

/// The actions of an organization's entries, oldest first.
#[cfg(test)]
pub(crate) async fn actions(store: &Store, org: OrgId) -> Vec<String> {
    let entries = after(store, org, 0, 10_000)
        .await
        .expect("the audit log is read");
    entries.into_iter().map(|entry| entry.action).collect()
}

/// Does to the table what nothing of the program does.
#[cfg(test)]
pub(crate) async fn tamper(store: &Store, statement: &'static str) {
    let mut tx = store.begin().await.expect("a transaction");
    sqlx::query(statement)
        .execute(&mut *tx)
        .await
        .expect("the statement is good");
    store.commit(tx).await.expect("a commit");
}
