//! Automations on this host: taking over what the catalog wants, and runs asked for by people.
//!
//! Invariant: a step of the desired state is applied in one transaction, onto exactly the revision
//! it starts from. What the schedule makes of it is the scheduler's.

use hostler_proto::command::{Reply, RunCancel, RunStart};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::frame::payload::{Sync as DesiredStep, SyncAck, SyncWanted};
use hostler_proto::ids::RunId;
use hostler_proto::link::desired_hash;
use hostler_proto::link::host::SyncOutcome;
use hostler_proto::run::{Run, RunResult, RunState, Trigger};
use hostler_proto::time::UtcMillis;

use crate::Context;
use crate::runs::outcome;
use crate::store::{StoreError, Tx, automations, meta, outbox, runs};

pub(crate) const REVISION_KEY: &str = "desired_revision";
pub(crate) const HASH_KEY: &str = "desired_hash";

/// Revision and hash of the desired state this host has applied.
pub async fn applied(context: &Context) -> Result<(u64, String), StoreError> {
    let revision = context.store.meta(REVISION_KEY).await?;
    let hash = context.store.meta(HASH_KEY).await?;
    let revision = revision.and_then(|text| text.parse().ok());
    Ok((revision.unwrap_or(0), hash.unwrap_or_default()))
}

/// Applies a step of the desired state, or asks for the whole when it does not fit.
pub async fn apply(context: &Context, step: DesiredStep) -> Result<SyncOutcome, Failure> {
    let mut tx = context.store.begin().await?;
    let (have, hash) = applied_in(&mut tx).await?;
    if !step.full && step.to == have && step.hash == hash {
        // The same step again: it was applied, its acknowledgement got lost.
        let next_seq = outbox::next(&mut tx).await?;
        return Ok(acked(have, hash, next_seq));
    }
    if !step.full && step.from != have {
        let reason = format!(
            "the step starts from revision {}, this host is at {have}",
            step.from
        );
        return Ok(SyncOutcome::Wanted(SyncWanted { have, reason }));
    }
    write(&mut tx, &step).await?;
    let hash = desired_hash(automations::revisions(&mut tx).await?);
    if hash != step.hash && !step.full {
        let reason = format!(
            "the state at revision {} does not have the hash expected",
            step.to
        );
        return Ok(SyncOutcome::Wanted(SyncWanted { have, reason }));
    }
    meta::set(&mut tx, REVISION_KEY, &step.to.to_string()).await?;
    meta::set(&mut tx, HASH_KEY, &hash).await?;
    let next_seq = outbox::next(&mut tx).await?;
    context.store.commit(tx).await?;
    context.signals.scheduler.notify_one();
    Ok(acked(step.to, hash, next_seq))
}

/// Forgets what the control plane wanted: this host is none of its hosts any more. What it had told
/// is kept; runs that go on are ended where `ended_by` says by whom.
pub async fn let_go(context: &Context, ended_by: Option<&str>) -> Result<(), Failure> {
    let going_on = context.store.unfinished_runs().await?;
    let mut tx = context.store.begin().await?;
    automations::mark_all_deleted(&mut tx).await?;
    meta::set(&mut tx, REVISION_KEY, "0").await?;
    meta::set(&mut tx, HASH_KEY, "").await?;
    if let Some(by) = ended_by {
        for row in going_on {
            runs::request_cancel(&mut tx, row.run.id, by).await?;
        }
    }
    context.store.commit(tx).await?;
    context.signals.scheduler.notify_one();
    context.signals.runs.notify_one();
    Ok(())
}

/// Queues a run that somebody asked for, within the command's transaction.
pub async fn start_run(
    tx: &mut Tx,
    start: &RunStart,
    now: UtcMillis,
) -> Result<Result<Reply, Failure>, StoreError> {
    let Some(spec) = automations::spec(tx, start.automation_id).await? else {
        return Ok(Err(unknown(start)));
    };
    let mut run = Run {
        id: start.run_id,
        automation_id: spec.id,
        attempt: 1,
        trigger: Trigger::Manual,
        scheduled_for: start.requested_at,
        rule_revision: spec.revision,
        prompt_version: spec.prompt_version,
        agent: spec.agent.clone(),
        queued_at: now,
        workspace_id: None,
        branch: None,
        preparing_at: None,
        state: RunState::Queued,
    };
    let cancelled = meta::get(tx, &cancelled_key(run.id)).await?;
    if let Some(by) = &cancelled {
        let reason = format!("cancelled by {by} before it started");
        let end = outcome::unrecorded(RunResult::Cancelled, reason, None, 0, now);
        run.state = RunState::Finished(Box::new(end));
    }
    runs::insert(tx, &run, &spec).await?;
    if cancelled.is_some() {
        runs::complete_log(tx, run.id, 0, 0).await?;
    }
    Ok(Ok(Reply::RunStarted { run_id: run.id }))
}

/// Asks for a run's end, within the command's transaction. One that is not known here may be on its
/// way: its end is remembered, so that it does not start when it comes.
pub async fn cancel_run(
    tx: &mut Tx,
    cancel: &RunCancel,
) -> Result<Result<Reply, Failure>, StoreError> {
    let run_id = cancel.run_id;
    let Some(is_final) = runs::is_final(tx, run_id).await? else {
        return Ok(Err(not_a_run(tx, cancel).await?));
    };
    runs::request_cancel(tx, run_id, &cancel.requested_by).await?;
    Ok(Ok(Reply::RunCancelled {
        run_id,
        already_over: is_final,
    }))
}

/// Where the end of a run is remembered that was asked for before its start came.
fn cancelled_key(run: RunId) -> String {
    format!("cancelled/{run}")
}

async fn write(tx: &mut Tx, step: &DesiredStep) -> Result<(), StoreError> {
    if step.full {
        automations::mark_all_deleted(tx).await?;
    }
    for id in &step.tombstones {
        automations::mark_deleted(tx, *id).await?;
    }
    for spec in &step.upserts {
        automations::upsert(tx, spec).await?;
    }
    Ok(())
}

async fn applied_in(tx: &mut Tx) -> Result<(u64, String), StoreError> {
    let revision = meta::get(tx, REVISION_KEY).await?;
    let hash = meta::get(tx, HASH_KEY).await?;
    let revision = revision.and_then(|text| text.parse().ok());
    Ok((revision.unwrap_or(0), hash.unwrap_or_default()))
}

fn acked(revision: u64, hash: String, next_seq: u64) -> SyncOutcome {
    SyncOutcome::Applied(SyncAck {
        revision,
        hash,
        next_seq: Some(next_seq),
    })
}

async fn not_a_run(tx: &mut Tx, cancel: &RunCancel) -> Result<Failure, StoreError> {
    let run_id = cancel.run_id;
    meta::set(tx, &cancelled_key(run_id), &cancel.requested_by).await?;
    let message = format!("this host knows no run {run_id}");
    Ok(Failure::new(ErrorCode::NotFound, message))
}

fn unknown(start: &RunStart) -> Failure {
    let message = format!("this host has no automation {}", start.automation_id);
    Failure::new(ErrorCode::NotFound, message)
        .hint("It was deleted or moved to another host. List the automations, then try again.")
}

#[cfg(test)]
#[path = "automations_tests.rs"]
mod tests;
