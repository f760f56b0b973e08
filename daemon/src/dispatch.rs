//! What the control plane asks of this machine, one arm per command.
//!
//! Invariant: a command id is carried out once; its reply is stored before it is given, and a
//! repeat gets the stored one. A twin that comes while the first is at work waits for it. Failures
//! that may pass by themselves are not stored, so that the same request may succeed later.

use hostler_proto::command::{Command, Reply, WorkspacesCount};
use hostler_proto::error::Failure;
use hostler_proto::frame::payload::{RunMark, Sync as DesiredStep};
use hostler_proto::host::HostLoad;
use hostler_proto::ids::{CommandId, RunId};
use hostler_proto::link::host::{Dismissal, HelloFacts, LogState, SyncOutcome};
use hostler_proto::link::proof;

use crate::link::{Local, LogPart, ProgressSink};
use crate::runs::task::Runs;
use crate::store::Tx;
use crate::store::commands::{self, Outcome};
use crate::store::runs::LogState as LogRow;
use crate::{
    Context, announce, automations, clock, enrol, host, logs, policy, projects, space, workspaces,
};

/// Replies that need not be kept for ever are kept this long.
const KEEP_REPLIES_MS: i64 = 10 * 60_000;

/// Where the number of the daemon's starts is stored.
pub(crate) const START_COUNTER_KEY: &str = "start_counter";
/// Who ends the runs of a host whose access was taken away.
const REVOKED: &str = "the control plane, which took this host's access away";
/// The most runs named in `hello`.
const MOST_MARKS: usize = 1000;

/// This machine, as the link sees it.
#[derive(Debug)]
pub struct Dispatch {
    context: Context,
    runs: Runs,
    boot_id: String,
}

impl Dispatch {
    /// Over the daemon's context.
    pub fn new(context: Context, runs: Runs) -> Self {
        Self {
            runs,
            context,
            boot_id: host::boot_id(),
        }
    }

    async fn carry_out(&self, id: CommandId, command: Command, progress: ProgressSink) -> Outcome {
        let (context, supervise, now) = (&self.context, &self.runs, clock::wall());
        let kind = commands::kind(&command);
        match command {
            Command::ProjectCreate(create) => {
                let created = projects::create(context, create, progress, now).await;
                let reply = created.map(Reply::ProjectCreated);
                self.remember(id, kind, reply).await
            }
            Command::WorkspaceCreate(create) => {
                let created = workspaces::create(context, create, supervise, progress, now).await;
                let reply = created.map(|created| Reply::WorkspaceCreated(Box::new(created)));
                self.remember(id, kind, reply).await
            }
            Command::WorkspaceDelete(delete) => {
                let deleted = workspaces::delete(context, delete, supervise, now).await;
                let reply = deleted.map(Reply::WorkspaceDeleted);
                self.remember(id, kind, reply).await
            }
            Command::WorkspacesCount(WorkspacesCount { workspace_ids, .. }) => {
                let workspaces = workspaces::counted(context, workspace_ids, now).await?;
                Ok(Reply::WorkspacesCounted { workspaces })
            }
            Command::RunStart(start) => {
                let mut tx = context.store.begin().await?;
                let outcome = automations::start_run(&mut tx, &start, now).await?;
                self.commit(tx, id, kind, outcome).await
            }
            Command::RunCancel(cancel) => {
                let mut tx = context.store.begin().await?;
                let outcome = automations::cancel_run(&mut tx, &cancel).await?;
                self.commit(tx, id, kind, outcome).await
            }
        }
    }

    /// Stores the reply of something that is done already.
    async fn remember(&self, id: CommandId, kind: &'static str, outcome: Outcome) -> Outcome {
        if outcome
            .as_ref()
            .is_err_and(|failure| failure.code.retryable())
        {
            return outcome;
        }
        let now = clock::wall();
        let store = &self.context.store;
        let mut tx = store.begin().await?;
        commands::put(&mut tx, id, kind, &outcome, now).await?;
        store.commit(tx).await?;
        store.forget_outcomes(now.plus_ms(-KEEP_REPLIES_MS)).await?;
        outcome
    }

    /// Stores the reply in the transaction that does what was asked.
    async fn commit(
        &self,
        mut tx: Tx,
        id: CommandId,
        kind: &'static str,
        outcome: Outcome,
    ) -> Outcome {
        commands::put(&mut tx, id, kind, &outcome, clock::wall()).await?;
        self.context.store.commit(tx).await?;
        self.context.signals.runs.notify_one();
        // A run that was cancelled before it came is over at once, and so is its log.
        self.context.signals.logs.notify_one();
        outcome
    }

    /// Notes which control plane this session is with.
    async fn note_server(&self) -> Result<(), Failure> {
        match enrol::identity(self.context.layout.home()) {
            Ok(Some(identity)) => {
                let server = format!("{}/{}", identity.server_id, identity.host_id);
                Ok(announce::server(&self.context, &server, clock::wall()).await?)
            }
            // The link says by itself what is wrong with an identity.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// What tells this machine from others, for the control plane it is enrolled with.
    fn machine_mark(&self) -> Option<String> {
        let machine = host::machine_id()?;
        let identity = enrol::identity(self.context.layout.home()).ok()??;
        Some(proof::machine_mark(identity.host_id, &machine))
    }

    /// Runs going on, and runs whose log is not wholly delivered, newest first.
    async fn marks(&self) -> Result<Vec<RunMark>, Failure> {
        let marks = self.context.store.run_marks(MOST_MARKS).await?;
        let mark = |(run_id, state): (RunId, String)| RunMark {
            run_id,
            state,
            log_end: logs::end(&self.context.layout, run_id),
        };
        Ok(marks.into_iter().map(mark).collect())
    }

    /// A run's log as it lies on disk, for the session's bookkeeping.
    fn stream(&self, log: &LogRow) -> LogState {
        let (end, finished) = match log.complete {
            Some((size, crc)) => (size, Some((size, crc))),
            None => (logs::end(&self.context.layout, log.run_id), None),
        };
        LogState {
            run_id: log.run_id,
            end,
            acked: log.acked,
            finished,
        }
    }
}

impl Local for Dispatch {
    async fn hello(&self) -> Result<HelloFacts, Failure> {
        self.note_server().await?;
        let store = &self.context.store;
        let (applied_revision, applied_hash) = automations::applied(&self.context).await?;
        let starts = store.meta(START_COUNTER_KEY).await?;
        let start_counter = starts.and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(HelloFacts {
            boot_id: self.boot_id.clone(),
            start_counter,
            daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
            os: host::os().to_owned(),
            arch: host::arch().to_owned(),
            capabilities: Vec::new(),
            applied_revision,
            applied_hash,
            next_seq: store.outbox_next().await?,
            runs: self.marks().await?,
            lives: store.lives().await?,
            machine: self.machine_mark(),
        })
    }

    async fn command(&self, id: CommandId, command: Command, progress: ProgressSink) -> Outcome {
        let _turn = self.context.busy.turn(format!("command {id}")).await;
        if let Some(outcome) = self.context.store.outcome(id).await? {
            return outcome;
        }
        // The owner may change their mind: a refusal is not kept.
        if let Some(refusal) = policy::refuses_command(&self.context, &command).await? {
            tracing::warn!(%id, "a command was refused: {}", refusal.message);
            return Err(refusal);
        }
        self.carry_out(id, command, progress).await
    }

    async fn apply_sync(&self, step: DesiredStep) -> Result<SyncOutcome, Failure> {
        automations::apply(&self.context, step).await
    }

    async fn events_after(&self, seq: u64, limit: u32) -> Result<Vec<(u64, String)>, Failure> {
        Ok(self.context.store.outbox_after(seq, limit).await?)
    }

    async fn events_acked(&self, seq: u64) -> Result<(), Failure> {
        Ok(self.context.store.outbox_acked(seq).await?)
    }

    async fn event_refused(&self, seq: u64, reason: String) -> Result<(), Failure> {
        tracing::warn!(seq, %reason, "the control plane refused an event; it is set aside");
        Ok(self.context.store.outbox_refused(seq, &reason).await?)
    }

    async fn log_streams(&self) -> Result<Vec<LogState>, Failure> {
        let logs = self.context.store.undelivered_logs().await?;
        Ok(logs.iter().rev().map(|log| self.stream(log)).collect())
    }

    fn log_end(&self, run: RunId) -> u64 {
        logs::end(&self.context.layout, run)
    }

    async fn log_read(&self, run: RunId, offset: u64, max: usize) -> Result<LogPart, Failure> {
        logs::part(&self.context.layout, run, offset, max)
    }

    async fn log_delivered(&self, run: RunId) -> Result<(), Failure> {
        Ok(self.context.store.log_delivered(run).await?)
    }

    async fn logs_acked(&self, acks: &[(RunId, u64)]) -> Result<(), Failure> {
        Ok(self.context.store.logs_acked(acks).await?)
    }

    async fn welcomed(&self, events_there: u64) -> Result<(), Failure> {
        announce::known_there(&self.context, events_there, clock::wall()).await?;
        policy::stand_up(&self.context).await
    }

    async fn dismissed(&self, how: Dismissal) -> Result<(), Failure> {
        match how {
            Dismissal::Revoked => automations::let_go(&self.context, Some(REVOKED)).await,
            Dismissal::Left => automations::let_go(&self.context, None).await,
            Dismissal::Doubted(why) => policy::stand_down(&self.context, &why).await,
        }
    }

    async fn load(&self) -> HostLoad {
        let running = self.context.store.running_runs().await.unwrap_or(0);
        HostLoad {
            low_space: space::low(&self.context),
            ..host::load(self.context.layout.home(), running)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hostler_proto::actor::Actor;
    use hostler_proto::automation::{AutomationSpec, Policies, RunTarget, ScheduleSpec};
    use hostler_proto::command::{
        ProjectCreate, ProjectSource, RunCancel, RunStart, WorkspaceCreate, WorkspaceDelete,
    };
    use hostler_proto::error::ErrorCode;
    use hostler_proto::ids::{AutomationId, ProjectId, WorkspaceId};
    use hostler_proto::time::UtcMillis;
    use uuid::Uuid;

    use super::*;
    use crate::store::automations as rows;

    const AUTOMATION: AutomationId = AutomationId(Uuid::from_u128(1));

    async fn dispatch() -> (tempfile::TempDir, Dispatch) {
        let home = tempfile::tempdir().unwrap();
        let context = crate::open_home(home.path()).await.unwrap();
        let spec = AutomationSpec {
            id: AUTOMATION,
            revision: 7,
            name: "nightly".into(),
            agent: "shell".into(),
            prompt: "make".into(),
            prompt_version: 3,
            enabled: false,
            target: RunTarget::Scratch,
            schedule: ScheduleSpec {
                rrule: "FREQ=DAILY".into(),
                dtstart: "2026-03-02T12:00:00".parse().unwrap(),
                timezone: "UTC".into(),
                exdates: vec![],
                rdates: vec![],
            },
            plan_after: UtcMillis(0),
            starts: 0,
            policies: Policies::default(),
            env: std::collections::BTreeMap::new(),
            owner: None,
        };
        let mut tx = context.store.begin().await.unwrap();
        rows::upsert(&mut tx, &spec).await.unwrap();
        context.store.commit(tx).await.unwrap();
        let runs = Runs::new(context.clone());
        (home, Dispatch::new(context, runs))
    }

    async fn send(dispatch: &Dispatch, id: u128, command: Command) -> Outcome {
        let id = CommandId(Uuid::from_u128(id));
        dispatch.command(id, command, Arc::new(drop)).await
    }

    fn start(run: u128) -> Command {
        Command::RunStart(RunStart {
            run_id: RunId(Uuid::from_u128(run)),
            automation_id: AUTOMATION,
            requested_at: UtcMillis(1000),
            by: None,
        })
    }

    #[tokio::test]
    async fn a_repeated_id_starts_one_run_and_gets_the_first_reply() {
        let (_home, dispatch) = dispatch().await;
        let twins = tokio::join!(send(&dispatch, 1, start(10)), send(&dispatch, 1, start(11)));
        let first = Ok(Reply::RunStarted {
            run_id: RunId(Uuid::from_u128(10)),
        });
        assert_eq!((&twins.0, &twins.1), (&first, &first));
        assert_eq!(send(&dispatch, 1, start(12)).await, first);
        // Another command for the same run is answered alike, and starts nothing more.
        assert_eq!(send(&dispatch, 2, start(10)).await, first);
        let runs = dispatch.context.store.unfinished_runs().await.unwrap();
        assert_eq!(runs.len(), 1);
        assert_eq!(runs[0].run.rule_revision, 7);
        assert_eq!(runs[0].automation.prompt, "make");
    }

    #[tokio::test]
    async fn cancelling_says_whether_there_was_something_to_cancel() {
        let (_home, dispatch) = dispatch().await;
        let cancel = |run: u128| {
            Command::RunCancel(RunCancel {
                run_id: RunId(Uuid::from_u128(run)),
                requested_by: "ada@example.com".into(),
                by: None,
            })
        };
        let unknown = send(&dispatch, 1, cancel(11)).await.unwrap_err();
        assert_eq!(unknown.code, ErrorCode::NotFound);
        assert!(unknown.message.contains(&Uuid::from_u128(11).to_string()));
        send(&dispatch, 2, start(10)).await.unwrap();
        let cancelled = send(&dispatch, 3, cancel(10)).await.unwrap();
        assert!(matches!(
            cancelled,
            Reply::RunCancelled {
                already_over: false,
                ..
            }
        ));
        let row = dispatch
            .context
            .store
            .run(RunId(Uuid::from_u128(10)))
            .await
            .unwrap();
        assert_eq!(
            row.unwrap().cancel_requested.as_deref(),
            Some("ada@example.com")
        );
    }

    #[tokio::test]
    async fn a_run_cancelled_before_it_came_does_not_start() {
        let (_home, dispatch) = dispatch().await;
        let run_id = RunId(Uuid::from_u128(10));
        let cancel = RunCancel {
            run_id,
            requested_by: "ada@example.com".into(),
            by: None,
        };
        send(&dispatch, 1, Command::RunCancel(cancel))
            .await
            .unwrap_err();
        send(&dispatch, 2, start(10)).await.unwrap();
        let store = &dispatch.context.store;
        assert_eq!(store.unfinished_runs().await.unwrap(), []);
        let run = store.run(run_id).await.unwrap().unwrap().run;
        assert_eq!(run.state.word(), "cancelled");
        assert_eq!(store.undelivered_logs().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_unknown_automation_is_not_found() {
        let (_home, dispatch) = dispatch().await;
        let elsewhere = Command::RunStart(RunStart {
            run_id: RunId(Uuid::from_u128(1)),
            automation_id: AutomationId(Uuid::from_u128(99)),
            requested_at: UtcMillis(0),
            by: None,
        });
        let refused = send(&dispatch, 1, elsewhere).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotFound);
    }

    #[tokio::test]
    async fn hello_tells_where_this_machine_stands() {
        let (_home, dispatch) = dispatch().await;
        send(&dispatch, 1, start(10)).await.unwrap();
        let hello = dispatch.hello().await.unwrap();
        assert_eq!(
            (hello.start_counter, hello.applied_revision, hello.next_seq),
            (1, 0, 2)
        );
        assert_eq!(hello.runs[0].state, "queued");
        dispatch.events_acked(1).await.unwrap();
        assert_eq!(dispatch.hello().await.unwrap().next_seq, 2);
    }

    /// One command of every type.
    fn every_command(by: Option<&Actor>) -> [Command; 6] {
        let (id, by) = (Uuid::from_u128(5), by.cloned());
        [
            Command::ProjectCreate(ProjectCreate {
                project_id: ProjectId(id),
                source: ProjectSource::Path("/".into()),
                name: None,
                parent_dir: None,
                by: by.clone(),
            }),
            Command::WorkspaceCreate(WorkspaceCreate {
                workspace_id: WorkspaceId(id),
                project_id: ProjectId(id),
                name: "w".into(),
                branch: None,
                base_branch: None,
                task_id: None,
                setup: false,
                created_by: "ada@example.com".into(),
                by: by.clone(),
            }),
            Command::WorkspaceDelete(WorkspaceDelete {
                workspace_id: WorkspaceId(id),
                force: true,
                delete_branch: true,
                by: by.clone(),
            }),
            Command::WorkspacesCount(WorkspacesCount {
                workspace_ids: vec![],
                by: by.clone(),
            }),
            Command::RunStart(RunStart {
                run_id: RunId(id),
                automation_id: AUTOMATION,
                requested_at: UtcMillis(0),
                by: by.clone(),
            }),
            Command::RunCancel(RunCancel {
                run_id: RunId(id),
                requested_by: "ada@example.com".into(),
                by,
            }),
        ]
    }

    #[tokio::test]
    async fn every_command_of_somebody_the_owner_does_not_allow_is_refused() {
        let (home, dispatch) = dispatch().await;
        let ada = Actor {
            user_id: hostler_proto::ids::UserId(Uuid::from_u128(7)),
            email: "ada@example.com".into(),
        };
        let named: Vec<&str> = every_command(None).iter().map(commands::kind).collect();
        assert_eq!(named, hostler_proto::frame::COMMAND_TYPES);
        let allow = |members: &str| {
            let text = format!("allowed_members = [{members}]");
            std::fs::write(home.path().join("host.toml"), text).unwrap();
        };
        allow("'bob@example.com'");
        let refused = every_command(Some(&ada))
            .into_iter()
            .chain(every_command(None));
        for (n, command) in (100..).zip(refused) {
            let refused = send(&dispatch, n, command).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::Forbidden, "{refused}");
            assert!(refused.hint.unwrap().contains("allowed_members"));
        }
        let store = &dispatch.context.store;
        assert_eq!(store.unfinished_runs().await.unwrap(), []);
        // The refusal is not kept: what was refused is done once she is allowed.
        allow("' Ada@example.com'");
        for (n, command) in (100..).zip(every_command(Some(&ada))) {
            if let Err(failure) = send(&dispatch, n, command).await {
                assert_ne!(failure.code, ErrorCode::Forbidden, "{failure}");
            }
        }
        assert_eq!(store.unfinished_runs().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_a_control_plane_that_let_go_wanted_does_not_go_on() {
        let (_home, dispatch) = dispatch().await;
        let store = dispatch.context.store.clone();
        send(&dispatch, 1, start(10)).await.unwrap();
        dispatch
            .dismissed(Dismissal::Doubted("two".into()))
            .await
            .unwrap();
        let row = store.unfinished_runs().await.unwrap().remove(0);
        let refused = policy::refuses_run(&dispatch.context, &row).await.unwrap();
        assert!(refused.unwrap().contains("two"));
        dispatch.welcomed(0).await.unwrap();
        assert_eq!(
            policy::refuses_run(&dispatch.context, &row).await.unwrap(),
            None
        );
        dispatch.dismissed(Dismissal::Left).await.unwrap();
        assert_eq!(
            store
                .run(row.run.id)
                .await
                .unwrap()
                .unwrap()
                .cancel_requested,
            None
        );
        let unknown = send(&dispatch, 2, start(11)).await.unwrap_err();
        assert_eq!(
            unknown.code,
            ErrorCode::NotFound,
            "its automations are gone"
        );
        dispatch.dismissed(Dismissal::Revoked).await.unwrap();
        let row = store.run(row.run.id).await.unwrap().unwrap();
        assert!(
            row.cancel_requested
                .unwrap()
                .contains("took this host's access away")
        );
    }
}
