//! A full catalog, written through its store.

use hostler_control_plane::App;
use hostler_control_plane::audit;
use hostler_control_plane::auth::{Caller, Role, Scopes, Via, session};
use hostler_control_plane::edge::Peer;
use hostler_control_plane::store::automations::{self, AutomationRow, PromptRow};
use hostler_control_plane::store::hosts::NewHost;
use hostler_control_plane::store::logs::{self, Chunk, LogRow};
use hostler_control_plane::store::{self, Tx};
use hostler_control_plane::tasks::{self, CreateTask};
use hostler_proto::automation::{Autonomy, Policies, RunTarget, ScheduleSpec};
use hostler_proto::host::{AgentFacts, HostFacts};
use hostler_proto::ids::{AutomationId, HostId, ProjectId, RunId, WorkspaceId};
use hostler_proto::project::{Project, ProjectState};
use hostler_proto::run::{Finished, Outcome, Run, RunResult, RunState, SkipReason, Trigger};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{Workspace, WorkspaceKind, WorkspaceState};
use ureq::http::HeaderMap;
use uuid::Uuid;

const NOW: i64 = 1_772_000_000_000;

/// What the pages are asked for.
pub(crate) struct Seeded {
    pub(crate) cookie: String,
    pub(crate) automation: String,
    pub(crate) host: String,
    pub(crate) run: String,
    pub(crate) far_back: String,
}

pub(crate) async fn fill(app: &App) -> Seeded {
    let (org_id, owner) = store::members::first_owner(&app.store)
        .await
        .unwrap()
        .unwrap();
    let caller = Caller {
        org_id,
        user_id: owner.user_id,
        role: Role::Owner,
        token_id: Uuid::nil(),
        scopes: Scopes::all(),
        label: "owner@example.com".to_owned(),
        via: Via::default(),
    };
    let mut tx = app.store.begin().await.unwrap();
    for number in 0..3 {
        host(&mut tx, &caller, number).await;
    }
    for number in 0..1_000 {
        automation(&mut tx, &caller, number).await;
    }
    for number in 0..10_000 {
        let run = run(number);
        let at = UtcMillis(NOW);
        store::runs::put(&mut tx, org_id, host_id(number % 3), &run, at)
            .await
            .unwrap();
    }
    log(&mut tx).await;
    for number in 0..300 {
        place(&mut tx, &caller, number).await;
    }
    for number in 0..10_000_u32 {
        let (id, name) = (number.to_string(), format!("thing {number}"));
        let thing = audit::Thing {
            kind: "task",
            id: &id,
            name: &name,
        };
        audit::record(&mut tx, &caller, "task.update", thing, None, UtcMillis(NOW))
            .await
            .unwrap();
    }
    app.store.commit(tx).await.unwrap();
    for number in 0..1_000 {
        let task = CreateTask {
            title: format!("Mend the thing with number {number}"),
            description: Some("It does not do what it should. ".repeat(10)),
            labels: vec!["bug".to_owned(), format!("area-{}", number % 7)],
            ..CreateTask::default()
        };
        tasks::create(app, &caller, task).await.unwrap();
    }
    let peer = Peer::default();
    let set = session::begin(app, caller.user_id, Some(org_id), &HeaderMap::new(), peer).await;
    let set = set.unwrap().to_str().unwrap().to_owned();
    let back = run(1_000);
    Seeded {
        cookie: set.split(';').next().unwrap().to_owned(),
        automation: automation_id(0).to_string(),
        host: host_id(1).to_string(),
        run: run(9_999).id.to_string(),
        far_back: format!("{}.{}", back.queued_at.0, back.id),
    }
}

fn host_id(number: u128) -> HostId {
    HostId(Uuid::from_u128(1_000 + number))
}

fn automation_id(number: u128) -> AutomationId {
    AutomationId(Uuid::from_u128(10_000 + number))
}

async fn host(tx: &mut Tx, caller: &Caller, number: u128) {
    let agent = |id: &str, available| AgentFacts {
        id: id.to_owned(),
        label: id.to_owned(),
        available,
        path: None,
        version: None,
        problem: None,
    };
    let facts = HostFacts {
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        daemon_version: "0.1.0".to_owned(),
        cpus: 8,
        memory_bytes: 16 << 30,
        agents: vec![
            agent("claude", true),
            agent("shell", true),
            agent("codex", false),
        ],
        max_autonomy: Autonomy::Edits,
        tzdb_version: None,
        policy: None,
    };
    let new = NewHost {
        id: host_id(number),
        org_id: caller.org_id,
        owner_id: caller.user_id,
        name: format!("host {number}"),
        public_key: "00".to_owned(),
        enrolled_at: UtcMillis(NOW),
    };
    store::hosts::insert(tx, &new).await.unwrap();
    store::hosts::set_facts(tx, new.id, &facts).await.unwrap();
    let project = Project {
        id: ProjectId(Uuid::from_u128(5_000 + number)),
        name: format!("project {number}"),
        slug: format!("project-{number}"),
        url: Some(format!("https://example.com/{number}.git")),
        path: format!("/home/me/{number}"),
        default_branch: Some("main".to_owned()),
        state: ProjectState::Ready,
        imported: false,
        created_at: UtcMillis(NOW),
    };
    store::projects::put(tx, caller.org_id, new.id, &project, None, UtcMillis(NOW))
        .await
        .unwrap();
}

async fn automation(tx: &mut Tx, caller: &Caller, number: u128) {
    let at = UtcMillis(NOW - 90 * 86_400_000 + i64::try_from(number).unwrap());
    let row = AutomationRow {
        id: automation_id(number),
        org_id: caller.org_id,
        owner_id: caller.user_id,
        host_id: host_id(number % 3),
        host_name: String::new(),
        host_seen: true,
        name: format!("nightly {number}"),
        agent: "claude".to_owned(),
        enabled: number % 10 != 9,
        paused_reason: (number % 10 == 9).then(|| "paused by its owner".to_owned()),
        target: RunTarget::Project {
            project_id: ProjectId(Uuid::from_u128(5_000 + number % 3)),
            base_branch: None,
        },
        schedule: ScheduleSpec {
            rrule: "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0".to_owned(),
            dtstart: "2020-01-01T00:00:00".parse().unwrap(),
            timezone: "Europe/Berlin".to_owned(),
            exdates: Vec::new(),
            rdates: Vec::new(),
        },
        schedule_text: "Weekdays at 9:00 AM, Berlin".to_owned(),
        policies: Policies::default(),
        plan_after: at,
        revision: 1,
        host_revision: 1,
        prompt_version: 1,
        moving: None,
        status: None,
        created_at: at,
        updated_at: at,
        deleted_at: None,
    };
    automations::put(tx, &row).await.unwrap();
    let prompt = PromptRow {
        version: 1,
        prompt: "Look at the newest issues and mend one of them.\n".repeat(20),
        created_at: at,
    };
    automations::insert_prompt(tx, row.id, &prompt)
        .await
        .unwrap();
}

/// Number 9,999 is the newest. Every fifth is of the first automation.
fn run(number: u128) -> Run {
    let at = UtcMillis(NOW - 600_000 * (10_000 - i64::try_from(number).unwrap()));
    let of = if number % 5 == 4 { 0 } else { number % 1_000 };
    let outcome = Outcome {
        commits: 2,
        files_changed: 5,
        insertions: 120,
        deletions: 33,
        result_text: Some("All tests pass now. ".repeat(20)),
        session_id: Some(Uuid::nil().to_string()),
        tokens: Some(120_345),
        cost_usd: Some(0.42),
        ..Outcome::default()
    };
    let finished = |result| {
        RunState::Finished(Box::new(Finished {
            result,
            started_at: Some(at.plus_ms(900)),
            finished_at: at.plus_ms(240_000),
            reason: (result != RunResult::Succeeded).then(|| "exit code 1".to_owned()),
            exit_code: Some(i32::from(result != RunResult::Succeeded)),
            signal: None,
            outcome: outcome.clone(),
            log_bytes: if number == 9_999 { LOG } else { 0 },
        }))
    };
    Run {
        id: RunId(Uuid::from_u128(100_000 + number)),
        automation_id: automation_id(of),
        attempt: 1,
        trigger: Trigger::Schedule,
        scheduled_for: at,
        rule_revision: 1,
        prompt_version: 1,
        agent: "claude".to_owned(),
        queued_at: at,
        workspace_id: None,
        branch: Some(format!("hostler/nightly-{number}")),
        preparing_at: Some(at.plus_ms(100)),
        state: match number % 20 {
            3 => finished(RunResult::Failed),
            7 => RunState::Skipped {
                reason: SkipReason::Overlap,
                at,
                count: 1,
                until: None,
                why: None,
            },
            _ => finished(RunResult::Succeeded),
        },
    }
}

const LOG: u64 = 4 << 20;

async fn log(tx: &mut Tx) {
    let line = "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"I look at the next file and change what has to be changed.\"}]}}\n";
    let bytes: Vec<u8> = line
        .bytes()
        .cycle()
        .take(usize::try_from(LOG).unwrap())
        .collect();
    let id = run(9_999).id;
    let mut row = LogRow::empty(host_id(9_999 % 3));
    for part in bytes.chunks(64 << 10) {
        let mut chunk = Chunk::default();
        chunk.push(part, &[], UtcMillis(NOW));
        logs::append(tx, id, &mut row, chunk, UtcMillis(NOW))
            .await
            .unwrap();
    }
    logs::complete(tx, id, &mut row, UtcMillis(NOW))
        .await
        .unwrap();
}

async fn place(tx: &mut Tx, caller: &Caller, number: u128) {
    let workspace = Workspace {
        id: WorkspaceId(Uuid::from_u128(50_000 + number)),
        project_id: Some(ProjectId(Uuid::from_u128(5_000 + number % 3))),
        name: format!("work {number}"),
        branch: Some(format!("work-{number}")),
        base_branch: Some("main".to_owned()),
        base_commit: None,
        kind: WorkspaceKind::Worktree,
        state: WorkspaceState::Ready,
        path: format!("/home/me/worktrees/{number}"),
        changes: None,
        task_id: None,
        created_by: caller.label.clone(),
        created_at: UtcMillis(NOW),
    };
    let (org, host) = (caller.org_id, host_id(number % 3));
    store::workspaces::put(tx, org, host, &workspace, UtcMillis(NOW))
        .await
        .unwrap();
}
