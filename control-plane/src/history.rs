//! What an automation did and what was done to it, in words that need no manual: each occurrence with
//! why it ran or did not, each change, and what is still open.
//!
//! It reads the catalog alone and decides nothing.

mod explain;

use hostler_proto::error::Failure;
use hostler_proto::run::Run;
use hostler_proto::schedule::Schedule;
use hostler_proto::time::UtcMillis;

use crate::auth::Caller;
use crate::runs::{self, RunView};
use crate::store::automations::AutomationRow;
use crate::store::changes::{ChangeKind, ChangeRow};
use crate::{App, automations, clock, hosts_catalog, reconcile, store};
use explain::Known;

/// So many changes are told at most.
const MOST_CHANGES: u32 = 500;

/// Instants of a pause are counted this far.
const MOST_COUNTED: u32 = 100_000;

/// A page of an automation's past.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Runs and instants that did not run, newest first.
    pub runs: Vec<Told>,
    /// How many there are in all.
    pub total: u64,
    /// Whether more follow.
    pub has_more: bool,
    /// What was done to the automation, newest first; none beyond the first page.
    pub changes: Option<Vec<ChangeRow>>,
    /// What is still open, a sentence each.
    pub notes: Vec<String>,
}

/// A run with its explanation.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The run.
    pub run: RunView,
    /// Name of its host.
    pub host_name: String,
    /// Why it ran when it did, or why it did not.
    pub explanation: String,
}

/// The past of an automation (also of a deleted one), newest first.
pub async fn of(
    app: &App,
    caller: &Caller,
    automation_id: &str,
    limit: u32,
    offset: u32,
) -> Result<History, Failure> {
    let row = automations::find_with_deleted(app, caller, automation_id).await?;
    let runs = runs::listed_from(app, caller, row.id, limit, offset).await?;
    let mut history = told(app, &row, runs, offset).await?;
    history.changes = history.changes.filter(|_| offset == 0);
    Ok(history)
}

/// The same without the ends of logs, and with the changes on every page.
pub(crate) async fn bare(
    app: &App,
    caller: &Caller,
    automation_id: &str,
    limit: u32,
    offset: u32,
) -> Result<History, Failure> {
    let row = automations::find_with_deleted(app, caller, automation_id).await?;
    let runs = runs::listed_bare(app, caller, row.id, limit, offset).await?;
    told(app, &row, runs, offset).await
}

async fn told(
    app: &App,
    row: &AutomationRow,
    (views, total): (Vec<RunView>, u64),
    offset: u32,
) -> Result<History, Failure> {
    let shown = u64::from(offset) + views.len() as u64;
    let mut told = Vec::with_capacity(views.len());
    for run in views {
        let host_name = host_name(app, row, &told, &run).await;
        let explanation = explanation(&run.run, &host_name, row);
        told.push(Told {
            run,
            host_name,
            explanation,
        });
    }
    // They name hosts, which somebody without access is not told of.
    let changes = if row.host_seen {
        store::changes::newest(&app.store, row.id, MOST_CHANGES).await?
    } else {
        Vec::new()
    };
    let notes = notes(app, row, &changes, clock::wall()).await;
    Ok(History {
        runs: told,
        total,
        has_more: shown < total,
        changes: Some(changes),
        notes,
    })
}

/// Why a run of this automation ran when it did, or why it did not, without a full stop.
pub(crate) fn explanation(run: &Run, host: &str, row: &AutomationRow) -> String {
    let known = Known {
        host,
        jitter_seconds: row.policies.jitter_seconds,
        deleted: row.deleted_at.is_some(),
    };
    explain::run(run, known)
}

/// The name of a run's host; its id when it is a host no more.
async fn host_name(app: &App, row: &AutomationRow, told: &[Told], run: &RunView) -> String {
    if run.host_id == row.host_id {
        return row.host_name.clone();
    }
    if let Some(known) = told.iter().find(|told| told.run.host_id == run.host_id) {
        return known.host_name.clone();
    }
    let host = hosts_catalog::by_id(app, run.host_id).await;
    host.map_or_else(|_missing| run.host_id.to_string(), |host| host.name)
}

/// What the list cannot show yet.
async fn notes(
    app: &App,
    row: &AutomationRow,
    changes: &[ChangeRow],
    now: UtcMillis,
) -> Vec<String> {
    if row.deleted_at.is_some() {
        return Vec::new();
    }
    let mut notes = Vec::new();
    if let Some((old, _)) = row.moving {
        notes.extend(moving(app, row, old).await);
    }
    if app.hosts.online(row.host_id).is_none() {
        let host = &row.host_name;
        notes.push(format!(
            "host {host} is offline: it fires by itself, and tells what it ran when it is back"
        ));
    }
    if !row.enabled {
        notes.extend(paused(row, changes, now));
    }
    notes
}

async fn moving(app: &App, row: &AutomationRow, old: hostler_proto::ids::HostId) -> Option<String> {
    let old = hosts_catalog::by_id(app, old).await.ok()?;
    let new = &row.host_name;
    let online = app.hosts.online(old.id).is_some();
    Some(match old.last_seen_at.filter(|_| !online) {
        Some(seen) => format!(
            "moving: host {new} begins when host {} is back and lets go, or at {}, {} minutes after it was \
             last heard of; what is due until then is {new}'s to catch up",
            old.name,
            seen.plus_ms(reconcile::LEASE_MS),
            reconcile::LEASE_MS / 60_000,
        ),
        None => format!(
            "moving: host {new} begins when host {} has let go of it",
            old.name
        ),
    })
}

/// How many instants have passed during a pause that lasts.
fn paused(row: &AutomationRow, changes: &[ChangeRow], now: UtcMillis) -> Option<String> {
    let since = changes
        .iter()
        .find(|change| change.kind == ChangeKind::Paused)?
        .at;
    let since = since.max(row.plan_after);
    let schedule = Schedule::parse(&automations::text_of(&row.schedule)).ok()?;
    let count = schedule.count_between(since.to_timestamp(), now.to_timestamp(), MOST_COUNTED);
    let passed = match count {
        0 => "no instant has passed".to_owned(),
        1 => "1 instant has passed".to_owned(),
        MOST_COUNTED.. => format!("{MOST_COUNTED} instants or more have passed"),
        count => format!("{count} instants have passed"),
    };
    Some(format!(
        "paused: {passed} since {since} without a run; resuming records them and plans from then on"
    ))
}
