//! Tests of the catalog and the domain on a real database in a temporary folder, without links:
//! what hosts say comes in through `ingest`, and their answers through `reconcile::settle`.

mod automating;
mod automation_pages;
pub(crate) mod browser;
mod browsing;
mod editing;
mod hosting;
mod ingesting;
mod keeping;
mod live_pages;
mod lying;
mod moving;
mod reading;
mod records;
mod removing;
mod running;
mod starting;
mod tables;

use hostler_proto::automation::Autonomy;
use hostler_proto::event::Event;
use hostler_proto::frame::log::LogFrame;
use hostler_proto::host::{AgentFacts, HostFacts};
use hostler_proto::ids::{AutomationId, HostId, OrgId, ProjectId, RunId, UserId, WorkspaceId};
use hostler_proto::project::{Project, ProjectState};
use hostler_proto::run::{Finished, Outcome, Run, RunResult, RunState, Trigger};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{Workspace, WorkspaceKind, WorkspaceState};
use uuid::Uuid;

use crate::auth::{Caller, Role, Scopes};
use crate::automations::CreateAutomation;
use crate::store::hosts::NewHost;
use crate::store::{self, Store};
use crate::{App, Server, clock};

pub(crate) const START: UtcMillis = UtcMillis(1_767_225_600_000);

/// A catalog with one organization, its owner and one host.
pub(crate) struct Catalog {
    pub(crate) app: App,
    pub(crate) caller: Caller,
    host: HostId,
    dir: tempfile::TempDir,
}

impl Catalog {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = open_app(dir.path()).await;
        let caller = add_org(&app, 1).await;
        let host = add_host(&app, &caller, "MacBook").await;
        Self {
            app,
            caller,
            host,
            dir,
        }
    }

    /// The owner of its organization.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Where the catalog is.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("catalog.db")
    }

    /// The same catalog after its process died.
    pub(crate) async fn crash(self) -> Self {
        self.app.store.close().await;
        let app = open_app(self.dir.path()).await;
        Self { app, ..self }
    }

    /// Sends the next events of the host.
    async fn tell(&self, events: &[Event]) {
        tell(&self.app, self.host, events).await;
    }

    async fn host_row(&self) -> store::hosts::HostRow {
        let row = store::hosts::by_id(&self.app.store, self.host).await;
        row.unwrap().unwrap()
    }

    async fn open_commands(&self) -> Vec<store::commands::OpenCommand> {
        let open = store::commands::of_host(&self.app.store, self.host).await;
        open.unwrap()
    }

    /// An automation that runs a shell script every day.
    async fn automation(&self, name: &str) -> AutomationId {
        let made = crate::automations::create(&self.app, &self.caller, daily(name)).await;
        made.unwrap().automation.id
    }
}

/// Sends bytes of a run's log in one frame.
async fn log_bytes(
    app: &App,
    host: HostId,
    run_id: RunId,
    offset: u64,
    bytes: &[u8],
) -> Result<crate::ingest::LogAck, hostler_proto::error::Failure> {
    let frame = LogFrame {
        run_id,
        offset,
        bytes: bytes.to_vec(),
        records: Vec::new(),
    };
    let stored = crate::ingest::log_frames(app, host, &[frame]).await?;
    Ok(stored[0].ack)
}

/// An automation was on this host once.
async fn once_on(catalog: &Catalog, host: HostId, automation: AutomationId) {
    let mut tx = catalog.app.store.begin().await.unwrap();
    store::automations::bury(&mut tx, host, automation, 1)
        .await
        .unwrap();
    catalog.app.store.commit(tx).await.unwrap();
}

async fn open_app(dir: &std::path::Path) -> App {
    let store = Store::open(&dir.join("catalog.db")).await.unwrap();
    let server = Server {
        id: Uuid::from_u128(1),
        epoch: 1,
        url: "http://127.0.0.1:1".into(),
        oauth: crate::config::OAuth::default(),
    };
    App::new(store, server)
}

/// An organization with an owner.
pub(crate) async fn add_org(app: &App, number: u128) -> Caller {
    let org_id = OrgId(Uuid::from_u128(100 + number));
    let user_id = UserId(Uuid::from_u128(200 + number));
    let label = format!("owner{number}@example.com");
    let mut tx = app.store.begin().await.unwrap();
    store::members::insert_org(&mut tx, org_id, "Acme", START)
        .await
        .unwrap();
    store::members::insert_user(&mut tx, user_id, &label, "Owner", START)
        .await
        .unwrap();
    store::members::insert_member(&mut tx, org_id, user_id, "owner", START)
        .await
        .unwrap();
    app.store.commit(tx).await.unwrap();
    Caller {
        org_id,
        user_id,
        role: Role::Owner,
        token_id: Uuid::nil(),
        scopes: Scopes::all(),
        label,
        via: crate::auth::Via::default(),
    }
}

pub(crate) async fn add_host(app: &App, caller: &Caller, name: &str) -> HostId {
    let id = HostId::fresh(clock::wall(), &clock::id_entropy());
    let host = NewHost {
        id,
        org_id: caller.org_id,
        owner_id: caller.user_id,
        name: name.into(),
        public_key: "00".into(),
        enrolled_at: START,
    };
    let mut tx = app.store.begin().await.unwrap();
    store::hosts::insert(&mut tx, &host).await.unwrap();
    app.store.commit(tx).await.unwrap();
    id
}

async fn tell(app: &App, host: HostId, events: &[Event]) {
    let row = store::hosts::by_id(&app.store, host).await.unwrap();
    let prev = row.unwrap().event_seq;
    let batch = numbered(prev, events);
    let ack = crate::ingest::events(app, host, prev, &batch)
        .await
        .unwrap();
    assert_eq!(ack.acked, prev + events.len() as u64);
    assert_eq!(ack.refused, []);
}

fn numbered(prev: u64, events: &[Event]) -> Vec<(u64, serde_json::Value)> {
    let json = events
        .iter()
        .map(|event| serde_json::to_value(event).unwrap());
    (prev + 1..).zip(json).collect()
}

fn facts(max_autonomy: Autonomy) -> HostFacts {
    let agent = |id: &str, available| AgentFacts {
        id: id.into(),
        label: id.into(),
        available,
        path: None,
        version: None,
        problem: None,
    };
    HostFacts {
        os: "linux".into(),
        arch: "x86_64".into(),
        daemon_version: "0.1.0".into(),
        cpus: 2,
        memory_bytes: 1 << 30,
        agents: vec![agent("shell", true), agent("codex", false)],
        max_autonomy,
        tzdb_version: None,
        policy: None,
    }
}

fn project(number: u128, name: &str) -> Project {
    Project {
        id: ProjectId(Uuid::from_u128(300 + number)),
        name: name.into(),
        slug: name.to_lowercase(),
        url: Some(format!("https://example.com/{name}.git")),
        path: format!("/home/me/{name}"),
        default_branch: Some("main".into()),
        state: ProjectState::Ready,
        imported: false,
        created_at: START,
    }
}

fn workspace(number: u128, project: Option<ProjectId>, state: WorkspaceState) -> Workspace {
    Workspace {
        id: WorkspaceId(Uuid::from_u128(400 + number)),
        project_id: project,
        name: format!("work {number}"),
        branch: Some(format!("work-{number}")),
        base_branch: Some("main".into()),
        base_commit: None,
        kind: WorkspaceKind::Worktree,
        state,
        path: format!("/home/me/worktrees/{number}"),
        changes: None,
        task_id: None,
        created_by: "owner1@example.com".into(),
        created_at: START,
    }
}

fn run(number: u128, automation: AutomationId, state: RunState) -> Run {
    let at = START.plus_ms(i64::try_from(number).unwrap() * 60_000);
    Run {
        id: RunId(Uuid::from_u128(10_000 + number)),
        automation_id: automation,
        attempt: 1,
        trigger: Trigger::Schedule,
        scheduled_for: at,
        rule_revision: 1,
        prompt_version: 1,
        agent: "shell".into(),
        queued_at: at,
        workspace_id: None,
        branch: None,
        preparing_at: None,
        state,
    }
}

fn finished(log_bytes: u64) -> RunState {
    RunState::Finished(Box::new(Finished {
        result: RunResult::Succeeded,
        started_at: Some(START),
        finished_at: START.plus_ms(5_000),
        reason: None,
        exit_code: Some(0),
        signal: None,
        outcome: Outcome::default(),
        log_bytes,
    }))
}

pub(crate) fn daily(name: &str) -> CreateAutomation {
    CreateAutomation {
        name: name.into(),
        prompt: "echo hi".into(),
        agent: "shell".into(),
        rrule: "FREQ=DAILY;BYHOUR=9;BYMINUTE=0".into(),
        timezone: "Europe/Berlin".into(),
        ..CreateAutomation::default()
    }
}
