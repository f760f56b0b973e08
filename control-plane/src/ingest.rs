//! What hosts tell, made part of the catalog: events by sequence, log bytes by offset.
//!
//! Everything here commits before it returns what to acknowledge, and a repeat changes nothing. A
//! host writes only what is its own. It never waits for a host.

mod logs;

pub use logs::{Stored, log_final, log_frames};

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::event::Event;
use hostler_proto::frame::payload::{Life, Sync};
use hostler_proto::host::HostLoad;
use hostler_proto::ids::{HostId, RunId};
use hostler_proto::link::history;
use hostler_proto::run::{Run, RunResult, RunState};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{Workspace, WorkspaceState};
use serde::Deserialize as _;

use crate::store::hosts::HostRow;
use crate::store::{self, StoreError, Tx};
use crate::{App, automations, clock, projects, reconcile};

/// A host states at most this many runs when it connects; with that many, some may be missing.
const MOST_STATED: usize = 1000;

/// So many refused events of a host are kept, the newest, each up to so many characters.
const MOST_REFUSED: u32 = 1000;
const REFUSED_CHARS: usize = 4 << 10;
const REASON_CHARS: usize = 300;

/// So many starts are remembered that a restored database left behind.
const MOST_PAST_MARKS: usize = 100;

/// What to answer to a batch of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsAck {
    /// Every event up to this one is committed, or refused for good.
    pub acked: u64,
    /// The batch starts beyond the last committed event: send again after `acked`.
    pub gap: bool,
    /// Events that will never be taken, each with the reason.
    pub refused: Vec<(u64, String)>,
}

/// What to answer to log bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogAck {
    /// Every byte before this offset is committed. A sender that is elsewhere goes on from here.
    pub offset: u64,
    /// That is all of it, checked against its size and checksum.
    pub complete: bool,
}

/// A run as its host states it when it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedRun {
    /// Which.
    pub run_id: RunId,
    /// The word of its state.
    pub state: String,
    /// The end of its log on the host.
    pub log_end: u64,
}

/// Where a host stands when it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// Revision of its automations.
    pub applied_revision: u64,
    /// The sequence its next event will get.
    pub next_seq: u64,
    /// Runs going on, and runs whose log is not wholly acknowledged.
    pub runs: Vec<StatedRun>,
    /// Which start of its daemon numbered which events.
    pub lives: Vec<Life>,
    /// The mark of its machine, where it has one.
    pub machine: Option<String>,
}

/// What a host needs to know after it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The last event committed of this host.
    pub acked_seq: u64,
    /// The revision its automations should be at.
    pub desired_revision: u64,
    /// For each run stated: where its log stands here.
    pub logs: Vec<(RunId, LogAck)>,
}

/// A host connected and its link takes commands: records presence, compares what it states with the
/// catalog, says where to go on, and has what is still open for the host sent in the background.
pub async fn hello(app: &App, host: HostId, stated: &Stated) -> Result<Greeting, Failure> {
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let mut row = known(&mut tx, host).await?;
    let restored = restored_to(&row, stated);
    if let Some(seq) = restored {
        let past = past_marks(&row, stated);
        store::hosts::set_past_marks(&mut tx, host, &past).await?;
        row.event_seq = seq;
        store::hosts::set_event_seq(&mut tx, host, seq).await?;
        row.desired_revision = reconcile::plan_anew(&mut tx, &row, now).await?;
    }
    store::hosts::set_lives(&mut tx, host, &stated.lives).await?;
    if let Some(machine) = stated.machine.as_deref().filter(|_| row.machine.is_none()) {
        store::hosts::set_machine(&mut tx, host, Some(machine)).await?;
    }
    let epoch = app.server.epoch;
    // What a host applied counts once it has told what it did before.
    let told = stated.next_seq <= row.event_seq + 1;
    let applied = if told {
        stated.applied_revision
    } else {
        stated.applied_revision.min(row.applied_revision)
    };
    store::hosts::connected(&mut tx, host, epoch, applied, now).await?;
    let mut logs = Vec::with_capacity(stated.runs.len());
    for run in &stated.runs {
        let log = store::logs::state(&mut tx, run.run_id).await?;
        let ack = log.filter(|log| log.host_id == host).map(logs::ack_of);
        logs.push((run.run_id, ack.unwrap_or_default()));
    }
    if restored.is_some() || told {
        mark_lost(&mut tx, &row, stated, now).await?;
    }
    app.store.commit(tx).await?;
    reconcile::release_moved(app, host, now).await?;
    send_open(app, host);
    Ok(Greeting {
        acked_seq: row.event_seq,
        desired_revision: row.desired_revision,
        logs,
    })
}

/// The host's link is gone.
pub async fn gone(app: &App, host: HostId) -> Result<(), Failure> {
    let mut tx = app.store.begin().await?;
    store::hosts::disconnected(&mut tx, host, clock::wall()).await?;
    app.store.commit(tx).await?;
    Ok(())
}

/// Readings of a heartbeat. Also sends what was recorded for the host and not answered yet.
pub async fn heartbeat(app: &App, host: HostId, load: HostLoad) -> Result<(), Failure> {
    let mut tx = app.store.begin().await?;
    known(&mut tx, host).await?;
    store::hosts::set_load(&mut tx, host, &load, clock::wall()).await?;
    app.store.commit(tx).await?;
    send_open(app, host);
    Ok(())
}

/// Events in the order of the host's outbox, each with its sequence, still as JSON. `prev` is the
/// sequence sent before the first of them.
pub async fn events(
    app: &App,
    host: HostId,
    prev: u64,
    batch: &[(u64, serde_json::Value)],
) -> Result<EventsAck, Failure> {
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let row = known(&mut tx, host).await?;
    let mut ack = EventsAck {
        acked: row.event_seq,
        ..EventsAck::default()
    };
    if prev > row.event_seq {
        ack.gap = true;
        return Ok(ack);
    }
    for (seq, event) in batch {
        if *seq <= ack.acked {
            continue;
        }
        if let Some(reason) = apply_json(&mut tx, &row, event, now).await? {
            let text: String = event.to_string().chars().take(REFUSED_CHARS).collect();
            store::hosts::refuse_event(&mut tx, host, *seq, &text, &reason, now).await?;
            ack.refused.push((*seq, reason));
        }
        ack.acked = *seq;
    }
    if !ack.refused.is_empty() {
        store::hosts::prune_refused(&mut tx, host, MOST_REFUSED).await?;
    }
    if ack.acked > row.event_seq {
        store::hosts::set_event_seq(&mut tx, host, ack.acked).await?;
        app.store.commit(tx).await?;
        for (_, event) in batch {
            tell(app, event);
        }
    }
    Ok(ack)
}

/// The host applied its automations up to this revision.
pub async fn sync_applied(app: &App, host: HostId, revision: u64) -> Result<(), Failure> {
    let mut tx = app.store.begin().await?;
    known(&mut tx, host).await?;
    store::hosts::set_applied(&mut tx, host, revision).await?;
    app.store.commit(tx).await?;
    reconcile::release_moved(app, host, clock::wall()).await?;
    send_open(app, host);
    Ok(())
}

/// What a host should have: the step from revision `from` to the newest, or the whole state when
/// `from` is none (or is a revision this catalog never gave).
pub async fn desired_state(app: &App, host: HostId, from: Option<u64>) -> Result<Sync, Failure> {
    let row = store::hosts::by_id(&app.store, host).await?;
    enrolled(row, host)?;
    let mut full = from.is_none();
    let mut desired = store::automations::desired(&app.store, host, from.unwrap_or(0)).await?;
    if from.is_some_and(|from| from > desired.revision) {
        full = true;
        desired = store::automations::desired(&app.store, host, 0).await?;
    }
    Ok(Sync {
        from: from.unwrap_or(0),
        to: desired.revision,
        upserts: desired.changed,
        tombstones: if full { Vec::new() } else { desired.buried },
        full,
        hash: hostler_proto::link::desired_hash(desired.all),
        more: false,
    })
}

/// Whoever waits for news of a run hears of an event about it.
fn tell(app: &App, event: &serde_json::Value) {
    let about_a_run = event["type"] == "run_changed";
    let id = event["payload"]["id"].as_str().filter(|_| about_a_run);
    if let Some(run) = id.and_then(|id| id.parse().ok()) {
        app.hosts.tell(run);
    }
}

fn send_open(app: &App, host: HostId) {
    let sender = app.clone();
    app.in_background(async move { reconcile::host_is_back(&sender, host).await });
}

/// The host, as long as it is one: nothing that a removed one says is taken.
async fn known(tx: &mut Tx, host: HostId) -> Result<HostRow, Failure> {
    enrolled(store::hosts::by_id_in(tx, host).await?, host)
}

fn enrolled(row: Option<HostRow>, host: HostId) -> Result<HostRow, Failure> {
    row.filter(|row| row.revoked_at.is_none()).ok_or_else(|| {
        Failure::new(ErrorCode::NotFound, format!("host {host} is not enrolled"))
            .hint("enrol it again with `hostler join`")
    })
}

/// The last event that still counts, when the host's database was restored from an older copy: from
/// there its numbers go on anew. Events told since are not taken back.
fn restored_to(row: &HostRow, stated: &Stated) -> Option<u64> {
    let parted = history::parted_at(&row.lives, &stated.lives, row.event_seq);
    let reused =
        (stated.next_seq > 0 && stated.next_seq <= row.event_seq).then_some(stated.next_seq);
    let first = parted.into_iter().chain(reused).min()?;
    Some(first.saturating_sub(1).min(row.event_seq))
}

/// The starts of its daemon that the host's restored database knows nothing of: those after the
/// newest that both know. Should one of them come back, there are two who go on from one database.
fn past_marks(row: &HostRow, stated: &Stated) -> Vec<String> {
    let told = |life: &&Life| !stated.lives.contains(life);
    let left = row.lives.iter().rev().take_while(told);
    let mut marks: Vec<String> = left.map(|life| life.mark.clone()).collect();
    marks.extend(row.past_marks.iter().cloned());
    marks.truncate(MOST_PAST_MARKS);
    marks
}

/// Runs that the catalog believes going on and that the host, which has nothing more to tell of
/// them, does not know: they will never end by themselves.
async fn mark_lost(
    tx: &mut Tx,
    host: &HostRow,
    stated: &Stated,
    now: UtcMillis,
) -> Result<(), StoreError> {
    if stated.runs.len() >= MOST_STATED {
        return Ok(());
    }
    for (mut run, asked) in store::runs::going_on(tx, host.id).await? {
        if asked || stated.runs.iter().any(|one| one.run_id == run.id) {
            continue;
        }
        let reason = format!("host {} came back without this run", host.name);
        reconcile::end(&mut run, RunResult::Lost, reason, now);
        store::runs::put(tx, host.org_id, host.id, &run, now).await?;
    }
    Ok(())
}

/// Applies an event; a reason when it can never be applied.
async fn apply_json(
    tx: &mut Tx,
    host: &HostRow,
    event: &serde_json::Value,
    now: UtcMillis,
) -> Result<Option<String>, StoreError> {
    match Event::deserialize(event) {
        Ok(event) => apply(tx, host, event, now).await,
        Err(error) => {
            // It may quote all of what it could not read.
            let words: String = error.to_string().chars().take(REASON_CHARS).collect();
            Ok(Some(format!("not an event this server knows: {words}")))
        }
    }
}

async fn apply(
    tx: &mut Tx,
    host: &HostRow,
    event: Event,
    now: UtcMillis,
) -> Result<Option<String>, StoreError> {
    let (org, id) = (host.org_id, host.id);
    let taken = match event {
        Event::HostChanged(facts) => {
            store::hosts::set_facts(tx, id, &facts).await?;
            true
        }
        Event::ProjectChanged(project) => {
            let key = project.url.as_deref().map(projects::url_key);
            store::projects::put(tx, org, id, &project, key.as_deref(), now).await?
        }
        Event::ProjectRemoved { id: project } => {
            store::projects::remove(tx, id, project).await?;
            true
        }
        Event::WorkspaceChanged(workspace) => workspace_changed(tx, host, &workspace, now).await?,
        Event::WorkspaceRemoved { id: workspace } => {
            store::workspaces::mark_removed(tx, id, workspace, now).await?;
            store::commands::remove_of_subject(tx, id, workspace.0).await?;
            true
        }
        Event::RunChanged(run) => run_changed(tx, host, &run, now).await?,
        Event::AutomationChanged(status) => {
            let paused = status.stopped.as_ref().and_then(automations::pause_reason);
            if store::automations::set_status(tx, id, &status, paused.as_deref()).await? {
                let (revision, stopped) = (status.revision, status.stopped.as_ref());
                automations::record_status(tx, status.id, revision, stopped, now).await?;
            }
            true
        }
    };
    Ok((!taken).then(|| "it is about something that is not this host's".to_owned()))
}

async fn workspace_changed(
    tx: &mut Tx,
    host: &HostRow,
    workspace: &Workspace,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let taken = store::workspaces::put(tx, host.org_id, host.id, workspace, now).await?;
    let over = match workspace.state {
        WorkspaceState::Ready | WorkspaceState::Failed { .. } => true,
        WorkspaceState::Creating | WorkspaceState::Deleting => false,
    };
    if taken && over {
        store::commands::remove_creation(tx, host.id, workspace.id).await?;
    }
    Ok(taken)
}

async fn run_changed(
    tx: &mut Tx,
    host: &HostRow,
    run: &Run,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    if !store::automations::was_on(tx, host.id, run.automation_id).await? {
        return Ok(false);
    }
    if forgotten(run) && ended_before(tx, run.id).await? {
        return Ok(true);
    }
    let taken = store::runs::put(tx, host.org_id, host.id, run, now).await?;
    if taken && run.state.is_final() {
        store::commands::remove_of_subject(tx, host.id, run.id.0).await?;
    } else if taken {
        store::commands::remove_start(tx, host.id, run.id).await?;
    }
    Ok(taken)
}

/// Whether this is what a host says of a run it knows nothing of any more: one whose database was
/// restored from a backup.
fn forgotten(run: &Run) -> bool {
    match &run.state {
        RunState::Finished(finished) => finished.result == RunResult::Lost,
        RunState::Skipped { .. } => true,
        RunState::Queued | RunState::Preparing { .. } | RunState::Running { .. } => false,
    }
}

async fn ended_before(tx: &mut Tx, run: RunId) -> Result<bool, StoreError> {
    let known = store::runs::record_in(tx, run).await?;
    Ok(known.is_some_and(|known| known.state.is_final() && !forgotten(&known)))
}
