//! How an automation is shown: what comes next, what came last, and why it does not fire.

use hostler_proto::automation::{RunTarget, StopReason};
use hostler_proto::run::{Run, RunState};
use hostler_proto::schedule::{Schedule, clock_change_notes};
use hostler_proto::time::UtcMillis;

use super::check::stored;
use super::preview::{self, Preview};
use super::record::{AutomationView, LastRun, NextRun};
use crate::App;
use crate::store::automations::AutomationRow;

/// How many instants are shown.
const SHOWN_INSTANTS: usize = 5;

/// The automation as its owner sees it.
pub(super) fn automation(
    app: &App,
    row: AutomationRow,
    last: Option<&Run>,
    now: UtcMillis,
) -> AutomationView {
    let stopped = current_stop(&row).cloned();
    let (project_id, workspace_id, base_branch) = match &row.target {
        RunTarget::Project {
            project_id,
            base_branch,
        } => (Some(*project_id), None, base_branch.clone()),
        RunTarget::Workspace { workspace_id } => (None, Some(*workspace_id), None),
        RunTarget::Scratch => (None, None, None),
    };
    AutomationView {
        next_run_at: next_run(&row, now),
        paused_reason: row
            .paused_reason
            .clone()
            .or_else(|| stopped.as_ref().map(reason))
            .or_else(|| unreadable(&row)),
        stopped,
        host_online: app.hosts.online(row.host_id).is_some(),
        project_id,
        workspace_id,
        base_branch,
        last_run: last.map(last_run),
        id: row.id,
        name: row.name,
        agent: row.agent,
        enabled: row.enabled,
        revision: row.revision,
        host_id: row.host_id,
        host_name: row.host_name,
        schedule: row.schedule,
        schedule_text: row.schedule_text,
        policies: row.policies,
        prompt_version: row.prompt_version,
        owner_id: row.owner_id,
        created_at: row.created_at,
        updated_at: row.updated_at,
        deleted_at: row.deleted_at,
    }
}

/// The next instants, none while it does not fire.
pub(super) fn next_runs(row: &AutomationRow, now: UtcMillis) -> Vec<NextRun> {
    let Some(schedule) = live_schedule(row) else {
        return Vec::new();
    };
    let after = row.plan_after.max(now).to_timestamp();
    let instants = std::iter::successors(schedule.next_after(after), |at| schedule.next_after(*at));
    instants
        .take(SHOWN_INSTANTS)
        .map(|at| NextRun {
            at: at.into(),
            local: schedule
                .local(at)
                .strftime("%Y-%m-%dT%H:%M:%S%:z")
                .to_string(),
        })
        .collect()
}

/// The next instants with what clock changes have to do with them, none while it does not fire.
pub(super) fn coming(row: &AutomationRow, now: UtcMillis) -> Option<Preview> {
    let schedule = live_schedule(row)?;
    let after = row.plan_after.max(now);
    Some(preview::shown(&schedule, row.schedule_text.clone(), after))
}

/// What clock changes within a year do to its times, none while it does not fire.
pub(super) fn warnings(row: &AutomationRow, now: UtcMillis) -> Vec<String> {
    live_schedule(row).map_or_else(Vec::new, |schedule| {
        clock_change_notes(&schedule, row.plan_after.max(now).to_timestamp())
    })
}

/// Since when nobody has seen to its instants, as far as its host has told: the next host takes them
/// up from there, by its policy for missed ones.
pub(super) fn open_since(row: &AutomationRow, now: UtcMillis) -> UtcMillis {
    let told = row
        .status
        .as_ref()
        .filter(|told| told.revision == row.revision);
    match told {
        Some(told) => told
            .next_run_at
            .map_or(now, |next| next.plus_ms(-1).min(now)),
        None => row.plan_after,
    }
}

/// Why the catalog shows an automation as paused when its host stopped planning it: a finished one
/// is not paused.
pub(crate) fn pause_reason(stopped: &StopReason) -> Option<String> {
    match stopped {
        StopReason::Failures { .. } => Some(reason(stopped)),
        StopReason::Finished | StopReason::Unplannable { .. } => None,
    }
}

/// Why its host stopped planning it, in words.
pub(super) fn reason(stopped: &StopReason) -> String {
    match stopped {
        StopReason::Finished => "finished: nothing is left to run".to_owned(),
        StopReason::Failures { count } => format!("paused after {count} failures in a row"),
        StopReason::Unplannable { message } => format!(
            "its host cannot plan it: {message} Update the time zones (tzdata) of that host, or pass \
             another timezone to automations_update; it goes on by itself once it can be planned"
        ),
    }
}

/// What the host said of the revision that is current.
fn current_stop(row: &AutomationRow) -> Option<&StopReason> {
    let status = row.status.as_ref()?;
    status
        .stopped
        .as_ref()
        .filter(|_| status.revision == row.revision)
}

/// What the host plans, where it speaks of the current revision and of the future; else what the
/// schedule says.
fn next_run(row: &AutomationRow, now: UtcMillis) -> Option<UtcMillis> {
    let schedule = live_schedule(row)?;
    let status = row.status.as_ref();
    let told = status.filter(|status| status.revision == row.revision);
    let told = told.and_then(|status| status.next_run_at);
    told.filter(|at| *at > now).or_else(|| {
        let after = row.plan_after.max(now).to_timestamp();
        schedule.next_after(after).map(UtcMillis::from)
    })
}

fn live_schedule(row: &AutomationRow) -> Option<Schedule> {
    let fires = row.enabled && row.deleted_at.is_none() && current_stop(row).is_none();
    if !fires {
        return None;
    }
    Schedule::parse(&stored(&row.schedule)).ok()
}

/// Why this server cannot say when it fires; its host may still know.
fn unreadable(row: &AutomationRow) -> Option<String> {
    let fires = row.enabled && row.deleted_at.is_none();
    let error = Schedule::parse(&stored(&row.schedule))
        .err()
        .filter(|_| fires)?;
    Some(format!(
        "the server cannot say when it fires: {error} Update the time zones (tzdata) of the server, or pass \
         another timezone to automations_update; its host goes on by its own"
    ))
}

fn last_run(run: &Run) -> LastRun {
    let at = match &run.state {
        RunState::Queued => run.queued_at,
        RunState::Preparing { since } => *since,
        RunState::Running { started_at } => *started_at,
        RunState::Finished(finished) => finished.started_at.unwrap_or(finished.finished_at),
        RunState::Skipped { at, .. } => *at,
    };
    LastRun {
        run_id: run.id,
        state: run.state.word(),
        at,
    }
}
