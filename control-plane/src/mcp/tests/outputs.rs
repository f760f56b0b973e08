//! What tools answer fits what they advertise, with every optional value there and with none.

use hostler_proto::automation::{Policies, ScheduleSpec, StopReason};
use hostler_proto::host::{AgentFacts, HostFacts, HostLoad};
use hostler_proto::ids::{AutomationId, HostId, ProjectId, RunId, TaskId, UserId, WorkspaceId};
use hostler_proto::run::{Finished, Outcome, Run, RunResult, RunState, SkipReason, Trigger};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{Changes, Workspace, WorkspaceKind, WorkspaceState};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::automations::{AutomationView, LastRun, NextRun, Planned};
use crate::hosts_catalog::HostView;
use crate::mcp::tools::{hosts::HostOutput, workspaces::WorkspaceOutput};
use crate::mcp::views;
use crate::mcp::{schema, validate};
use crate::runs::{CancelWish, Cancelled, LogPage, RunInFull, RunPlace, RunView};
use crate::store::changes::{ChangeKind, ChangeRow};
use crate::workspaces::WorkspaceView;

const AT: UtcMillis = UtcMillis(1_700_000_000_123);

/// The output's JSON; it fails unless that fits the schema, with no field beside those declared.
fn fits<O: Serialize + JsonSchema>(output: &O) -> Value {
    let value = serde_json::to_value(output).unwrap();
    let mut schema = Value::Object(schema::of_output::<O>());
    let outcomes = schema.as_object_mut().unwrap().remove("anyOf").unwrap();
    schema["required"] = outcomes[0]["required"].clone();
    close(&mut schema);
    let problems = validate::problems(schema.as_object().unwrap(), &value);
    assert_eq!(problems, [""; 0], "{value}");
    value
}

/// A record inside an answer, as tools carry it.
#[derive(Serialize, JsonSchema)]
struct Answer {
    workspace: WorkspaceOutput,
}

/// Rules out undeclared fields at every level.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.contains_key("properties") {
                map.insert("additionalProperties".to_owned(), json!(false));
            }
            map.values_mut().for_each(close);
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn some<T>(full: bool, value: T) -> Option<T> {
    full.then_some(value)
}

#[test]
fn hosts_fit() {
    for full in [true, false] {
        let facts = HostFacts {
            os: "macos".to_owned(),
            arch: "aarch64".to_owned(),
            daemon_version: "0.1.0".to_owned(),
            cpus: 8,
            memory_bytes: 1 << 34,
            agents: vec![AgentFacts {
                id: "claude".to_owned(),
                label: "Claude Code".to_owned(),
                available: true,
                path: Some("/bin/claude".to_owned()),
                version: None,
                problem: None,
            }],
            max_autonomy: hostler_proto::automation::Autonomy::Edits,
            tzdb_version: None,
            policy: None,
        };
        let shown = fits(&HostOutput::from(HostView {
            id: HostId(Uuid::nil()),
            name: "MacBook".to_owned(),
            online: full,
            online_since: some(full, AT),
            last_seen_at: some(full, AT),
            facts: some(full, facts),
            load: some(full, (HostLoad::default(), AT)),
            clock_ahead_ms: some(full, -125_000),
            owner_id: UserId(Uuid::nil()),
            enrolled_at: AT,
            doubt: None,
            server_full: full,
        }));
        assert_eq!(shown["cpus"].is_null(), !full);
        let told = "its clock is 2 min 5 s behind the server's";
        assert_eq!(
            shown["warnings"].to_string().contains(told),
            full,
            "{shown}"
        );
        assert_eq!(shown["agents"].as_array().unwrap().len(), usize::from(full));
    }
}

#[test]
fn workspaces_fit() {
    let states = [
        (WorkspaceState::Creating, "creating"),
        (WorkspaceState::Ready, "ready"),
        (WorkspaceState::Deleting, "deleting"),
        (
            WorkspaceState::Failed {
                error: "disk full".to_owned(),
            },
            "failed",
        ),
    ];
    for (state, word) in states {
        let full = word == "ready";
        let workspace = Workspace {
            id: WorkspaceId(Uuid::nil()),
            project_id: some(full, ProjectId(Uuid::nil())),
            name: "w".to_owned(),
            branch: some(full, "b".to_owned()),
            base_branch: some(full, "main".to_owned()),
            base_commit: None,
            kind: WorkspaceKind::Worktree,
            state,
            path: "/w".to_owned(),
            changes: some(full, Changes::default()),
            task_id: some(full, TaskId(Uuid::nil())),
            created_by: "a@b".to_owned(),
            created_at: AT,
        };
        let view = WorkspaceView {
            workspace,
            project_name: some(full, "p".to_owned()),
            host_id: HostId(Uuid::nil()),
            host_name: "h".to_owned(),
            host_online: true,
            as_of: AT,
            error: None,
        };
        let answer = Answer {
            workspace: view.into(),
        };
        let shown = &fits(&answer)["workspace"];
        assert_eq!(shown["state"], word);
        assert_eq!(shown["type"], "worktree");
        let error = shown.get("error").and_then(Value::as_str);
        assert_eq!(error, (word == "failed").then_some("disk full"));
    }
}

#[test]
fn automations_fit() {
    for full in [true, false] {
        let automation = AutomationView {
            revision: 1,
            id: AutomationId(Uuid::nil()),
            name: "a".to_owned(),
            agent: "shell".to_owned(),
            enabled: !full,
            paused_reason: None,
            stopped: some(full, StopReason::Failures { count: 5 }),
            host_id: HostId(Uuid::nil()),
            host_name: "h".to_owned(),
            host_online: false,
            project_id: some(full, ProjectId(Uuid::nil())),
            workspace_id: some(full, WorkspaceId(Uuid::nil())),
            base_branch: some(full, "main".to_owned()),
            schedule: ScheduleSpec {
                rrule: "FREQ=DAILY".to_owned(),
                dtstart: jiff::civil::date(2026, 7, 1).at(9, 0, 0, 0),
                timezone: "Europe/Berlin".to_owned(),
                exdates: vec![AT],
                rdates: vec![],
            },
            schedule_text: "Daily".to_owned(),
            policies: Policies::default(),
            next_run_at: some(full, AT),
            last_run: some(
                full,
                LastRun {
                    run_id: RunId(Uuid::nil()),
                    state: "failed",
                    at: AT,
                },
            ),
            prompt_version: 1,
            owner_id: UserId(Uuid::nil()),
            created_at: AT,
            updated_at: AT,
            deleted_at: some(full, AT),
        };
        let next = NextRun {
            at: AT,
            local: "2023-11-14T23:13:20+01:00".to_owned(),
        };
        let shown = fits(&views::automations::Planned::from(Planned {
            warnings: vec!["a clock change".into()],
            automation,
            next_runs: vec![next],
            schedule_text: "Daily".to_owned(),
        }));
        let automation = &shown["automation"];
        assert_eq!(automation["dtstart"], "2026-07-01T09:00:00+02:00");
        assert_eq!(automation["policies"]["overlap"], "skip");
        let reason = automation.get("pausedReason").and_then(Value::as_str);
        assert_eq!(reason, full.then_some("5 failures in a row"));
        assert!(automation.get("prompt").is_none());
    }
}

fn run(state: RunState) -> RunView {
    RunView {
        run: Run {
            id: RunId(Uuid::nil()),
            automation_id: AutomationId(Uuid::nil()),
            attempt: 1,
            trigger: Trigger::Schedule,
            scheduled_for: AT,
            rule_revision: 3,
            prompt_version: 1,
            agent: "shell".to_owned(),
            queued_at: AT,
            workspace_id: Some(WorkspaceId(Uuid::nil())),
            branch: None,
            preparing_at: None,
            state,
        },
        host_id: HostId(Uuid::nil()),
        log_bytes: 4,
        log_removed_at: None,
        log_tail: "end\n".to_owned(),
        as_of: AT,
    }
}

fn full_outcome() -> Outcome {
    Outcome {
        result_text: Some("done".to_owned()),
        session_id: Some("s".to_owned()),
        resume: Some("cd /w && claude --resume s".to_owned()),
        tokens: Some(1),
        cost_usd: Some(0.5),
        peak_memory_bytes: Some(1),
        cpu_seconds: Some(0.1),
        denied: vec!["Bash".to_owned()],
        ..Outcome::default()
    }
}

fn failed(outcome: Outcome) -> RunState {
    RunState::Finished(Box::new(Finished {
        result: RunResult::Failed,
        started_at: Some(AT),
        finished_at: AT.plus_ms(250),
        reason: Some("exit code 7".to_owned()),
        exit_code: Some(7),
        signal: None,
        outcome,
        log_bytes: 4,
    }))
}

fn in_full_fits(view: RunView, full: bool) {
    let place = RunPlace {
        id: WorkspaceId(Uuid::nil()),
        name: "w".to_owned(),
        path: "/w".to_owned(),
        removed: false,
    };
    let wish = CancelWish {
        by: "a@b".to_owned(),
        at: AT,
    };
    let shown = fits(&views::runs::InFull::from(RunInFull {
        explanation: String::new(),
        timezone: "UTC".into(),
        view: view.clone(),
        automation_name: "a".to_owned(),
        automation_deleted_at: some(full, AT),
        host_name: "h".to_owned(),
        host_online: full,
        place: some(full, place),
        cancel: some(full, wish),
    }));
    assert_eq!(shown["run"]["automationId"], shown["automation"]["id"]);
    let ended = fits(&views::runs::Ended::from(Cancelled {
        run: view,
        already_over: full,
        pending: !full,
        host_name: "h".to_owned(),
    }));
    assert_eq!(ended["run"], shown["run"]);
}

fn history(views: &[RunView]) -> crate::history::History {
    crate::history::History {
        runs: views.iter().cloned().map(told).collect(),
        total: 6,
        has_more: false,
        changes: Some(vec![ChangeRow {
            at: AT,
            kind: ChangeKind::TakenOver,
            revision: 2,
            what: "host far takes it over".to_owned(),
        }]),
        notes: vec!["host far is offline".to_owned()],
    }
}

fn told(run: RunView) -> crate::history::Told {
    crate::history::Told {
        run,
        host_name: "far".to_owned(),
        explanation: "on schedule".to_owned(),
    }
}

#[test]
fn runs_fit_in_every_state() {
    let states = [
        RunState::Queued,
        RunState::Preparing { since: AT },
        RunState::Running { started_at: AT },
        failed(full_outcome()),
        failed(Outcome::default()),
        RunState::Skipped {
            reason: SkipReason::Missed,
            at: AT,
            count: 3,
            until: Some(AT),
            why: None,
        },
    ];
    let views: Vec<RunView> = states.into_iter().map(run).collect();
    for (number, view) in views.iter().enumerate() {
        in_full_fits(view.clone(), number % 2 == 0);
    }
    let shown = fits(&views::runs::Logs::from(history(&views)));
    assert_eq!(shown["changes"][0]["kind"], "taken_over");
    assert_eq!(shown["runs"][0]["hostName"], "far");
    let runs = shown["runs"].as_array().unwrap();
    let states: Vec<&str> = runs
        .iter()
        .map(|run| run["state"].as_str().unwrap())
        .collect();
    let expected = [
        "queued",
        "preparing",
        "running",
        "failed",
        "failed",
        "skipped",
    ];
    assert_eq!(states, expected);
    assert_eq!(runs[3]["durationMs"], 250);
    assert_eq!(runs[3]["exitCode"], 7);
    assert_eq!(runs[3]["outcome"]["denied"], json!(["Bash"]));
    assert!(runs[0].get("outcome").is_none() && runs[0].get("startedAt").is_none());
    let page = LogPage {
        run: views[3].clone(),
        log: "all\n".to_owned(),
        records: Vec::new(),
        next_cursor: 4,
        done: true,
    };
    let shown = fits(&views::runs::Logs::from(page));
    assert_eq!(
        (&shown["log"], &shown["done"]),
        (&json!("all\n"), &json!(true))
    );
    assert!(shown.get("runs").is_none());
}
