//! Runs as tools answer with them: one flat record whatever the state.

use hostler_proto::run::{Finished, Outcome, RunState, SkipReason};
use hostler_proto::time::UtcMillis;
use schemars::JsonSchema;
use serde::Serialize;

use crate::history::History;
use crate::mcp::schema::Instant;
use crate::mcp::tools::word;
use crate::runs::{self, LogPage, RunView};

/// A run, `?` fields left out where there is nothing.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunRecord {
    /// Run id.
    run_id: String,
    /// Whose run it is.
    automation_id: String,
    /// 1 for the first try of an instant.
    attempt: u32,
    /// `schedule`, `manual` or `retry`.
    trigger: String,
    /// The instant it was planned or asked for.
    scheduled_for: Instant,
    /// `queued`, `preparing`, `running`, `succeeded`, `failed`, `timed_out`, `stalled`, `cancelled`,
    /// `lost` or `skipped`.
    state: String,
    /// Why it ended as it did, or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Exit code of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// Signal that ended the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// Agent it was claimed with.
    agent: String,
    /// Version of the prompt it was claimed with.
    prompt_version: u32,
    /// When it was claimed.
    queued_at: Instant,
    /// When its workspace began to be prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    preparing_at: Option<Instant>,
    /// When the agent's process started.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Instant>,
    /// When it ended or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Instant>,
    /// From the agent's start to the end, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    /// Host it runs on.
    host_id: String,
    /// That host's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_name: Option<String>,
    /// In words: why it ran when it did, or why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<String>,
    /// How many instants a skipped record stands for, when more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    /// The last of them; `scheduledFor` is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Instant>,
    /// Workspace it runs in, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_id: Option<String>,
    /// Branch of that workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    /// Revision of the automation it was claimed with.
    rule_revision: u64,
    /// What it did, once it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<RunOutcome>,
    /// Bytes of log delivered so far.
    log_bytes: u64,
    /// The end of the log.
    log_tail: String,
    /// When the log was deleted here by age or for want of room; the run itself stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_removed_at: Option<Instant>,
}

/// What a finished run did.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RunOutcome {
    /// Commits made.
    commits: u32,
    /// Files changed, committed or not.
    files_changed: u32,
    /// Lines added.
    insertions: u32,
    /// Lines removed.
    deletions: u32,
    /// Whether uncommitted work is left.
    dirty: bool,
    /// The agent's own final words.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_text: Option<String>,
    /// The agent's session id.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// Shell command that goes on with that session, to type on the run's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<String>,
    /// Tokens used.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
    /// Cost in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    /// Peak memory of its processes, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory_bytes: Option<u64>,
    /// CPU time of its processes, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_seconds: Option<f64>,
    /// Tools that the agent asked for and was denied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    denied: Vec<String>,
}

/// The runs of an automation, or one run's log: the fields of the one or of the other.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Logs {
    /// Without `runId`: the runs, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<Vec<RunRecord>>,
    /// Without `runId`: how many runs there are in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// Without `runId`: whether more follow after these.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_more: Option<bool>,
    /// Without `runId` and `offset`: what was done to the automation, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<ChangeRecord>>,
    /// Without `runId`: what is still open, such as instants that a host has not told of yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<Vec<String>>,
    /// With `runId`: the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunRecord>,
    /// With `runId`: its log from `cursor` on, in the `encoding` asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// With `runId`: the `cursor` of the next call.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<u64>,
    /// With `runId`: true when the run is over and its log has been read to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<bool>,
}

/// A run with everything it belongs to.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InFull {
    /// The run.
    run: RunRecord,
    /// The automation it is of.
    automation: AutomationOfRun,
    /// The host it is on.
    host: HostOfRun,
    /// The workspace it works in, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<WorkspaceOfRun>,
    /// The wish to end it, while its host has not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_requested: Option<WishOfRun>,
    /// When the host last told of it.
    as_of: Instant,
}

/// The automation of a run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AutomationOfRun {
    /// Automation id.
    id: String,
    /// Name.
    name: String,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Instant>,
}

/// The host of a run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HostOfRun {
    /// Host id.
    id: String,
    /// Name.
    name: String,
    /// Whether it is connected now.
    online: bool,
}

/// The workspace of a run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WorkspaceOfRun {
    /// Workspace id.
    id: String,
    /// Name.
    name: String,
    /// Folder on the host.
    path: String,
    /// Whether it has been removed since.
    removed: bool,
}

/// A wish to end a run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WishOfRun {
    /// Who wants it.
    by: String,
    /// Since when.
    at: Instant,
}

/// What became of the wish to end a run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ended {
    /// The run as it is now.
    run: RunRecord,
    /// True when it had ended before this call.
    already_over: bool,
    /// True when its host has still to be told, which happens when it is back.
    pending: bool,
    /// The host it is on.
    host_name: String,
}

impl From<runs::RunInFull> for InFull {
    fn from(full: runs::RunInFull) -> Self {
        Self {
            automation: AutomationOfRun {
                id: full.view.run.automation_id.to_string(),
                name: full.automation_name,
                deleted_at: full.automation_deleted_at.map(Into::into),
            },
            host: HostOfRun {
                id: full.view.host_id.to_string(),
                name: full.host_name,
                online: full.host_online,
            },
            workspace: full.place.map(|place| WorkspaceOfRun {
                id: place.id.to_string(),
                name: place.name,
                path: place.path,
                removed: place.removed,
            }),
            cancel_requested: full.cancel.map(|wish| WishOfRun {
                by: wish.by,
                at: wish.at.into(),
            }),
            as_of: full.view.as_of.into(),
            run: full.view.into(),
        }
    }
}

impl From<runs::Cancelled> for Ended {
    fn from(cancelled: runs::Cancelled) -> Self {
        Self {
            run: cancelled.run.into(),
            already_over: cancelled.already_over,
            pending: cancelled.pending,
            host_name: cancelled.host_name,
        }
    }
}

/// Something that was done to an automation.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ChangeRecord {
    /// When.
    at: Instant,
    /// `created`, `edited`, `moved`, `taken_over`, `paused`, `resumed`, `stopped`, `planned` or `deleted`.
    kind: String,
    /// In words.
    what: String,
    /// The automation's revision since then; a run's `ruleRevision` is one of these.
    revision: u64,
}

impl From<History> for Logs {
    fn from(history: History) -> Self {
        let runs = history.runs.into_iter().map(|told| RunRecord {
            host_name: Some(told.host_name),
            explanation: Some(told.explanation),
            ..told.run.into()
        });
        let changes = history.changes.map(|changes| {
            let changes = changes.into_iter().map(|change| ChangeRecord {
                at: change.at.into(),
                kind: word(&change.kind),
                what: change.what,
                revision: change.revision,
            });
            changes.collect()
        });
        Self {
            runs: Some(runs.collect()),
            total: Some(history.total),
            has_more: Some(history.has_more),
            changes,
            notes: Some(history.notes),
            ..Self::default()
        }
    }
}

impl From<LogPage> for Logs {
    fn from(page: LogPage) -> Self {
        Self {
            run: Some(page.run.into()),
            log: Some(page.log),
            next_cursor: Some(page.next_cursor),
            done: Some(page.done),
            ..Self::default()
        }
    }
}

impl From<RunView> for RunRecord {
    fn from(view: RunView) -> Self {
        let run = view.run;
        let told = Told::of(&run.state);
        let duration_ms = told.duration_ms();
        Self {
            run_id: run.id.to_string(),
            automation_id: run.automation_id.to_string(),
            attempt: run.attempt,
            trigger: word(&run.trigger),
            scheduled_for: run.scheduled_for.into(),
            state: run.state.word().to_owned(),
            reason: told.reason,
            exit_code: told.finished.and_then(|finished| finished.exit_code),
            signal: told.finished.and_then(|finished| finished.signal),
            agent: run.agent,
            prompt_version: run.prompt_version,
            queued_at: run.queued_at.into(),
            preparing_at: run.preparing_at.map(Into::into),
            started_at: told.started_at.map(Into::into),
            finished_at: told.finished_at.map(Into::into),
            duration_ms,
            host_id: view.host_id.to_string(),
            host_name: None,
            explanation: None,
            count: told.count,
            until: told.until.map(Into::into),
            workspace_id: run.workspace_id.map(|id| id.to_string()),
            branch: run.branch,
            rule_revision: run.rule_revision,
            outcome: told.finished.map(|finished| (&finished.outcome).into()),
            log_bytes: view.log_bytes,
            log_tail: view.log_tail,
            log_removed_at: view.log_removed_at.map(Into::into),
        }
    }
}

/// What a state tells beside its word.
#[derive(Default)]
struct Told<'s> {
    reason: Option<String>,
    started_at: Option<UtcMillis>,
    finished_at: Option<UtcMillis>,
    finished: Option<&'s Finished>,
    count: Option<u32>,
    until: Option<UtcMillis>,
}

impl<'s> Told<'s> {
    fn of(state: &'s RunState) -> Self {
        match state {
            RunState::Queued | RunState::Preparing { .. } => Self::default(),
            RunState::Running { started_at } => Self {
                started_at: Some(*started_at),
                ..Self::default()
            },
            RunState::Finished(finished) => Self {
                reason: finished.reason.clone(),
                started_at: finished.started_at,
                finished_at: Some(finished.finished_at),
                finished: Some(finished),
                ..Self::default()
            },
            RunState::Skipped {
                reason,
                at,
                count,
                until,
                why,
            } => Self {
                reason: Some(skipped(*reason, *count, *until, why.as_deref())),
                finished_at: Some(*at),
                count: (*count > 1).then_some(*count),
                until: *until,
                ..Self::default()
            },
        }
    }

    fn duration_ms(&self) -> Option<i64> {
        let started = self.started_at?;
        self.finished_at.map(|end| end.since(started))
    }
}

/// `missed: 12 instants, the last at 2026-03-08T09:30:00Z`.
fn skipped(reason: SkipReason, count: u32, until: Option<UtcMillis>, why: Option<&str>) -> String {
    if let Some(why) = why {
        return format!("{}: {why}", reason.word());
    }
    if reason == SkipReason::DiskFull {
        let more = "the host's disk is too full to start runs; hosts_list has the figures";
        return format!("{}: {more}", reason.word());
    }
    match until {
        Some(until) if count > 1 => {
            format!("{}: {count} instants, the last at {until}", reason.word())
        }
        Some(_) | None => reason.word().to_owned(),
    }
}

impl From<&Outcome> for RunOutcome {
    fn from(outcome: &Outcome) -> Self {
        let outcome = outcome.clone();
        Self {
            commits: outcome.commits,
            files_changed: outcome.files_changed,
            insertions: outcome.insertions,
            deletions: outcome.deletions,
            dirty: outcome.dirty,
            result_text: outcome.result_text,
            session_id: outcome.session_id,
            resume: outcome.resume,
            tokens: outcome.tokens,
            cost_usd: outcome.cost_usd,
            peak_memory_bytes: outcome.peak_memory_bytes,
            cpu_seconds: outcome.cpu_seconds,
            denied: outcome.denied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_range_says_how_many_and_until_when() {
        assert_eq!(skipped(SkipReason::Overlap, 1, None, None), "overlap");
        assert_eq!(
            skipped(SkipReason::Missed, 12, Some(UtcMillis(1000)), None),
            "missed: 12 instants, the last at 1970-01-01T00:00:01Z"
        );
    }
}
