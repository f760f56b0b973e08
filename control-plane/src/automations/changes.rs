//! What was done to an automation, told in words. Pure but for the one function that records them.

use hostler_proto::automation::{Policies, RunTarget, StopReason};
use hostler_proto::ids::AutomationId;
use hostler_proto::time::UtcMillis;
use serde::Serialize;

use super::view::reason;
use crate::store::automations::AutomationRow;
use crate::store::changes::{self, ChangeKind, ChangeRow};
use crate::store::{StoreError, Tx};

/// Records what differs between two states of an automation.
pub(super) async fn record(
    tx: &mut Tx,
    before: &AutomationRow,
    after: &AutomationRow,
    now: UtcMillis,
) -> Result<(), StoreError> {
    for (kind, what) in told(before, after) {
        add(tx, after, now, kind, what).await?;
    }
    Ok(())
}

/// What differs, in words.
pub(super) fn in_words(before: &AutomationRow, after: &AutomationRow) -> Vec<String> {
    told(before, after)
        .into_iter()
        .map(|(_, what)| what)
        .collect()
}

/// Records that an automation was made.
pub(super) async fn record_new(tx: &mut Tx, row: &AutomationRow) -> Result<(), StoreError> {
    let what = format!("created on host {}: {}", row.host_name, row.schedule_text);
    add(tx, row, row.created_at, ChangeKind::Created, what).await
}

/// Records that the new host of a moved automation may begin.
pub(crate) async fn record_taken_over(
    tx: &mut Tx,
    row: &AutomationRow,
    why: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let what = format!("host {} takes it over: {why}", row.host_name);
    add(tx, row, now, ChangeKind::TakenOver, what).await
}

/// Records what a host told of its plan, when that is news to a reader.
pub(crate) async fn record_status(
    tx: &mut Tx,
    id: AutomationId,
    revision: u64,
    stopped: Option<&StopReason>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let (kind, what) = match stopped {
        Some(why @ StopReason::Failures { .. }) => (ChangeKind::Paused, reason(why)),
        Some(why @ (StopReason::Finished | StopReason::Unplannable { .. })) => {
            (ChangeKind::Stopped, reason(why))
        }
        None if changes::newest_plan(tx, id).await? == Some(ChangeKind::Stopped) => {
            let what = "its host plans it again".to_owned();
            (ChangeKind::Planned, what)
        }
        None => return Ok(()),
    };
    let change = ChangeRow {
        at: now,
        kind,
        revision,
        what,
    };
    changes::add(tx, id, &change).await
}

async fn add(
    tx: &mut Tx,
    row: &AutomationRow,
    at: UtcMillis,
    kind: ChangeKind,
    what: String,
) -> Result<(), StoreError> {
    let change = ChangeRow {
        at,
        kind,
        revision: row.revision,
        what,
    };
    changes::add(tx, row.id, &change).await
}

/// What differs, a sentence each.
fn told(before: &AutomationRow, after: &AutomationRow) -> Vec<(ChangeKind, String)> {
    let mut told = Vec::new();
    if after.deleted_at.is_some() && before.deleted_at.is_none() {
        return vec![(ChangeKind::Deleted, "deleted".to_owned())];
    }
    let mut edited = edits(before, after);
    edited.extend(policies(&before.policies, &after.policies));
    told.extend(edited.into_iter().map(|what| (ChangeKind::Edited, what)));
    if before.host_id != after.host_id {
        let what = format!(
            "moved from host {} to host {}",
            before.host_name, after.host_name
        );
        told.push((ChangeKind::Moved, what));
    }
    match (before.enabled, after.enabled) {
        (true, false) => {
            let why = after.paused_reason.clone();
            told.push((
                ChangeKind::Paused,
                why.unwrap_or_else(|| "paused".to_owned()),
            ));
        }
        (false, true) => {
            let what = "resumed: planned from here on".to_owned();
            told.push((ChangeKind::Resumed, what));
        }
        (true, true) | (false, false) => {}
    }
    told
}

fn edits(before: &AutomationRow, after: &AutomationRow) -> Vec<String> {
    let mut told = Vec::new();
    if before.name != after.name {
        told.push(format!(
            "renamed from {:?} to {:?}",
            before.name, after.name
        ));
    }
    if before.schedule != after.schedule {
        let (old, new) = (&before.schedule_text, &after.schedule_text);
        told.push(if old == new {
            let start = after.schedule.dtstart;
            format!("schedule changed: {new}, starting {start} local time")
        } else {
            format!("schedule changed from \"{old}\" to \"{new}\"")
        });
    }
    if before.prompt_version != after.prompt_version {
        told.push(format!(
            "prompt replaced by version {}",
            after.prompt_version
        ));
    }
    if before.agent != after.agent {
        told.push(format!(
            "agent changed from {} to {}",
            before.agent, after.agent
        ));
    }
    if before.target != after.target {
        told.push(place(&after.target));
    }
    told
}

fn place(target: &RunTarget) -> String {
    match target {
        RunTarget::Project {
            base_branch: Some(branch),
            ..
        } => format!("works in a worktree of its project from branch {branch} from now on"),
        RunTarget::Project {
            base_branch: None, ..
        } => "works in a worktree of its project from now on".to_owned(),
        RunTarget::Workspace { workspace_id } => {
            format!("works in workspace {workspace_id} from now on")
        }
        RunTarget::Scratch => "works in a scratch folder from now on".to_owned(),
    }
}

fn policies(before: &Policies, after: &Policies) -> Vec<String> {
    let most = |policies: &Policies| {
        policies
            .max_runs
            .map_or("no limit".to_owned(), |most| most.to_string())
    };
    let number = |pick: fn(&Policies) -> u32| [pick(before).to_string(), pick(after).to_string()];
    let values = [
        ("catchUp", [word(&before.catch_up), word(&after.catch_up)]),
        ("overlap", [word(&before.overlap), word(&after.overlap)]),
        ("jitterSeconds", number(|policies| policies.jitter_seconds)),
        (
            "maxRuntimeSeconds",
            number(|policies| policies.max_runtime_seconds),
        ),
        ("retries", number(|policies| policies.retries)),
        (
            "pauseAfterFailures",
            number(|policies| policies.pause_after_failures),
        ),
        ("maxRuns", [most(before), most(after)]),
        ("autonomy", [word(&before.autonomy), word(&after.autonomy)]),
        (
            "keepWorkspace",
            [word(&before.keep_workspace), word(&after.keep_workspace)],
        ),
    ];
    let differing = values.into_iter().filter(|(_, [old, new])| old != new);
    differing
        .map(|(name, [old, new])| format!("{name} changed from {old} to {new}"))
        .collect()
}

/// The word that an enum without data is in JSON.
fn word<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_that_differs_is_named_with_both_values() {
        let before = Policies::default();
        let after = Policies {
            max_runs: Some(3),
            overlap: hostler_proto::automation::Overlap::QueueOne,
            ..Policies::default()
        };
        let told = policies(&before, &after);
        let expected = [
            "overlap changed from skip to queue_one",
            "maxRuns changed from no limit to 3",
        ];
        assert_eq!(told, expected);
        assert!(policies(&before, &before).is_empty());
    }
}
