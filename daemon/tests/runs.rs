//! Runs from a queued row to their outcome: real supervisors, a real database, and a daemon that
//! goes away in between.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hostler_daemon::config::{Config, Layout};
use hostler_daemon::host::machine::Machine;
use hostler_daemon::runs::task::Runs;
use hostler_daemon::store::runs::{self, RunRow};
use hostler_daemon::store::{Store, projects};
use hostler_daemon::supervisor::client;
use hostler_daemon::supervisor::record::RunDir;
use hostler_daemon::{Context, clock, git, platform};
use hostler_proto::automation::{
    AutomationSpec, Autonomy, KeepWorkspace, Policies, RunTarget, ScheduleSpec,
};
use hostler_proto::ids::{AutomationId, ProjectId, RunId};
use hostler_proto::project::{Project, ProjectState};
use hostler_proto::run::{Finished, Run, RunResult, RunState, Trigger};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::WorkspaceState;
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(30);

/// A host: a home folder with its database, and a daemon's runs that can be stopped and started.
struct Host {
    home: tempfile::TempDir,
    context: Context,
    daemon: Option<(JoinHandle<Result<(), String>>, CancellationToken)>,
}

impl Host {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(&home.path().canonicalize().unwrap());
        std::fs::create_dir_all(layout.runs()).unwrap();
        let mut config = Config::load(&layout).unwrap();
        config.supervisor = Some(PathBuf::from(env!("CARGO_BIN_EXE_hostler-supervise")));
        let store = Store::open(&layout.database(), || ()).await.unwrap();
        let context = Context {
            machine: Arc::new(Machine::new(&layout)),
            policy: Arc::new(hostler_daemon::policy::Policy::new(&layout, &config)),
            layout: Arc::new(layout),
            config: Arc::new(config),
            store,
            git: Arc::new(git::Tools::of_the_daemon()),
            busy: Arc::default(),
            signals: Arc::default(),
        };
        let mut host = Self {
            home,
            context,
            daemon: None,
        };
        host.start();
        host
    }

    fn start(&mut self) {
        let stop = CancellationToken::new();
        let runs = Runs::new(self.context.clone());
        #[expect(clippy::disallowed_methods, reason = "the test is the task's owner")]
        let task = tokio::spawn(runs.serve(stop.clone()));
        self.daemon = Some((task, stop));
    }

    async fn stop(&mut self) {
        if let Some((task, stop)) = self.daemon.take() {
            stop.cancel();
            task.await.unwrap().unwrap();
        }
    }

    /// As a kill would: nothing gets the chance to settle anything.
    async fn crash(&mut self) {
        if let Some((task, _)) = self.daemon.take() {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
    }

    async fn queue(&self, automation: &AutomationSpec) -> RunId {
        let now = clock::wall();
        let run = Run {
            id: RunId::fresh(now, &clock::id_entropy()),
            automation_id: automation.id,
            attempt: 1,
            trigger: Trigger::Manual,
            scheduled_for: now,
            rule_revision: 1,
            prompt_version: 1,
            agent: automation.agent.clone(),
            queued_at: now,
            workspace_id: None,
            branch: None,
            preparing_at: None,
            state: RunState::Queued,
        };
        let mut tx = self.context.store.begin().await.unwrap();
        assert!(runs::insert(&mut tx, &run, automation).await.unwrap());
        self.context.store.commit(tx).await.unwrap();
        self.context.signals.runs.notify_one();
        run.id
    }

    async fn cancel(&self, id: RunId) {
        let mut tx = self.context.store.begin().await.unwrap();
        runs::request_cancel(&mut tx, id, "ada").await.unwrap();
        self.context.store.commit(tx).await.unwrap();
        self.context.signals.runs.notify_one();
    }

    async fn row(&self, id: RunId) -> RunRow {
        self.context.store.run(id).await.unwrap().unwrap()
    }

    async fn until(&self, id: RunId, done: impl Fn(&RunRow) -> bool) -> RunRow {
        let row = async {
            loop {
                let row = self.row(id).await;
                if done(&row) {
                    return row;
                }
                tokio::task::yield_now().await;
            }
        };
        let limit = tokio::time::timeout(DEADLINE, row).await;
        let Ok(row) = limit else {
            panic!("not in time: {:?}\n{}", self.row(id).await, self.log(id));
        };
        row
    }

    async fn end(&self, id: RunId) -> Finished {
        let row = self.until(id, |row| row.run.state.is_final()).await;
        let RunState::Finished(finished) = row.run.state else {
            panic!("{row:?}");
        };
        let log = self.context.store.log_state(id).await.unwrap().unwrap();
        let bytes = self.log(id).into_bytes();
        assert_eq!(finished.log_bytes, bytes.len() as u64);
        assert_eq!(
            log.complete,
            Some((bytes.len() as u64, crc32fast::hash(&bytes)))
        );
        *finished
    }

    async fn until_output(&self, id: RunId, word: &str) {
        self.until(id, |_| self.log(id).contains(word)).await;
    }

    fn dir(&self, id: RunId) -> RunDir {
        RunDir::new(&self.context.layout.runs().join(id.to_string()))
    }

    fn log(&self, id: RunId) -> String {
        let bytes = std::fs::read(self.dir(id).log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A project with one commit and, if given, a setup command.
    async fn project(&self, setup: Option<&str>) -> ProjectId {
        let root = self.home.path().canonicalize().unwrap().join("repo");
        std::fs::create_dir_all(root.join(".hostler")).unwrap();
        if let Some(setup) = setup {
            let config = serde_json::json!({ "setup": [setup] }).to_string();
            std::fs::write(root.join(".hostler/config.json"), config).unwrap();
        }
        std::fs::write(root.join("a.txt"), "one\n").unwrap();
        for args in [
            &["init", "-q", "-b", "main"][..],
            &["add", "-A"],
            &[
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@t",
                "commit",
                "-qm",
                "one",
            ],
        ] {
            let mut git = std::process::Command::new("git");
            assert!(
                git.args(args)
                    .current_dir(&root)
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let id = ProjectId(Uuid::from_u128(5));
        let row = projects::ProjectRow {
            project: Project {
                id,
                name: "repo".into(),
                slug: "repo".into(),
                path: root.to_str().unwrap().into(),
                url: None,
                default_branch: Some("main".into()),
                state: ProjectState::Ready,
                imported: true,
                created_at: UtcMillis(0),
            },
            canonical: None,
            fetched_at: None,
            fetch_failed_at: None,
        };
        let mut tx = self.context.store.begin().await.unwrap();
        projects::put(&mut tx, &row, UtcMillis(0)).await.unwrap();
        self.context.store.commit(tx).await.unwrap();
        id
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A test that failed leaves no supervisor behind: it ends its run when asked to.
        let entries = std::fs::read_dir(self.context.layout.runs())
            .into_iter()
            .flatten();
        for entry in entries.flatten() {
            if let Ok(mut socket) = client::attach(&RunDir::new(&entry.path())) {
                client::cancel(&mut socket, "the test").ok();
            }
        }
    }
}

fn shell(script: &str) -> AutomationSpec {
    AutomationSpec {
        id: AutomationId(Uuid::from_u128(1)),
        revision: 1,
        name: "Nightly check".into(),
        agent: "shell".into(),
        prompt: script.into(),
        prompt_version: 1,
        enabled: true,
        target: RunTarget::Scratch,
        schedule: ScheduleSpec {
            rrule: "FREQ=DAILY".into(),
            dtstart: jiff::civil::date(2026, 1, 1).at(9, 0, 0, 0),
            timezone: "UTC".into(),
            exdates: vec![],
            rdates: vec![],
        },
        plan_after: UtcMillis(0),
        starts: 0,
        policies: Policies::default(),
        env: [("GREETING".to_owned(), "hello there".to_owned())].into(),
        owner: None,
    }
}

/// The supervisor of a run: the leader of the session its agent works in.
fn supervisor_of(agent: i32) -> platform::ProcessFacts {
    let session = platform::process(agent).unwrap().session;
    platform::process(session).unwrap()
}

async fn pid_in(host: &Host, id: RunId, file: &str) -> i32 {
    let place = host
        .until(id, |row| row.place.is_some())
        .await
        .place
        .unwrap();
    let path = Path::new(&place.path).join(file);
    host.until(id, |_| {
        std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    std::fs::read_to_string(&path)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_runs_in_a_scratch_folder_and_tells_what_it_did() {
    let host = Host::new().await;
    let id = host
        .queue(&shell(
            "echo $GREETING from $HOSTLER_RUN_ID; echo new > file.txt; git add file.txt\n\
             git -c user.name=t -c user.email=t@t commit -qm work; echo more > other.txt",
        ))
        .await;
    let end = host.end(id).await;
    assert_eq!(
        (end.result, end.exit_code, end.reason.clone()),
        (RunResult::Succeeded, Some(0), None)
    );
    assert_eq!(host.log(id), format!("hello there from {id}\n"));
    let outcome = &end.outcome;
    assert_eq!(
        (outcome.commits, outcome.files_changed, outcome.dirty),
        (1, 2, true)
    );
    assert_eq!((outcome.insertions, outcome.deletions), (2, 0));
    assert!(end.started_at.unwrap() <= end.finished_at);
    let row = host.row(id).await;
    assert_eq!(row.run.workspace_id, Some(row.place.unwrap().workspace_id));
    let events = host.context.store.outbox_after(0, 100).await.unwrap();
    let states: Vec<_> = ["queued", "preparing", "running", "finished"]
        .into_iter()
        .filter(|word| {
            events
                .iter()
                .any(|(_, json)| json.contains(&format!(r#""state":"{word}""#)))
        })
        .collect();
    assert_eq!(states, ["queued", "preparing", "running", "finished"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_or_a_missing_agent_fails_the_run_with_its_reason() {
    let host = Host::new().await;
    let id = host.queue(&shell("echo before; exit 3")).await;
    let end = host.end(id).await;
    assert_eq!((end.result, end.exit_code), (RunResult::Failed, Some(3)));
    let mut absent = shell("x");
    absent.agent = "mastracode".into();
    let end = host.end(host.queue(&absent).await).await;
    assert_eq!((end.result, end.started_at), (RunResult::Failed, None));
    assert!(end.reason.unwrap().contains("npm install -g mastracode"));
    let mut bold = shell("true");
    bold.policies.autonomy = Autonomy::Full;
    let end = host.end(host.queue(&bold).await).await;
    assert!(end.reason.unwrap().contains("max_autonomy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_was_denied_is_not_a_success() {
    let host = Host::new().await;
    let agent = host.home.path().join("fake-agent");
    let result = r#"{"type":"result","subtype":"success","is_error":false,"result":"Could not.","session_id":"s","total_cost_usd":0.5,"usage":{"input_tokens":3,"output_tokens":4},"permission_denials":[{"tool_name":"Bash"}]}"#;
    std::fs::write(
        &agent,
        format!("#!/bin/sh\necho noise >&2\necho '{result}'\n"),
    )
    .unwrap();
    std::fs::set_permissions(&agent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let toml = format!(
        "[fake]\ncommand = '{}'\noutput = 'claude-lines'\n",
        agent.display()
    );
    std::fs::write(host.context.layout.agents_file(), toml).unwrap();
    let mut host = host;
    host.stop().await;
    host.context.machine.read_agents();
    host.start();
    let mut automation = shell("do it");
    automation.agent = "fake".into();
    let end = host.end(host.queue(&automation).await).await;
    assert_eq!((end.result, end.exit_code), (RunResult::Failed, Some(0)));
    assert_eq!(end.outcome.denied, ["Bash"]);
    assert_eq!(
        (end.outcome.tokens, end.outcome.cost_usd),
        (Some(7), Some(0.5))
    );
    assert_eq!(end.outcome.result_text.as_deref(), Some("Could not."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_without_its_daemon_and_is_taken_up_again() {
    let mut host = Host::new().await;
    let id = host
        .queue(&shell(
            "echo first; until [ -e go ]; do :; done; for n in $(seq 1 500); do echo line $n; done",
        ))
        .await;
    host.until_output(id, "first").await;
    host.until(id, |row| matches!(row.run.state, RunState::Running { .. }))
        .await;
    host.crash().await;
    let place = host.row(id).await.place.unwrap();
    std::fs::write(Path::new(&place.path).join("go"), "").unwrap();
    host.until_output(id, "line 500\n").await;
    host.start();
    let end = host.end(id).await;
    assert_eq!(end.result, RunResult::Succeeded);
    let lines: Vec<String> = (1..=500).map(|n| format!("line {n}\n")).collect();
    assert_eq!(host.log(id), format!("first\n{}", lines.concat()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ended_meanwhile_is_finished_from_its_record() {
    let mut host = Host::new().await;
    let id = host
        .queue(&shell("echo $$ > pid; until [ -e go ]; do :; done; exit 6"))
        .await;
    let agent = pid_in(&host, id, "pid").await;
    let supervisor = supervisor_of(agent);
    host.crash().await;
    let place = host.row(id).await.place.unwrap();
    std::fs::write(Path::new(&place.path).join("go"), "").unwrap();
    host.until(id, |_| {
        !platform::is_alive(supervisor.pid, supervisor.started)
    })
    .await;
    host.start();
    let end = host.end(id).await;
    assert_eq!((end.result, end.exit_code), (RunResult::Failed, Some(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_is_a_lost_run_and_nothing_of_it_is_left() {
    for daemon_dies_first in [false, true] {
        let mut host = Host::new().await;
        let id = host
            .queue(&shell(
                "w=$PWD; setsid sh -c 'echo $$ > left; exec tail -f /dev/null' &\n\
                 (cd /; setsid env -i sh -c \"exec < /dev/null > /dev/null 2>&1; echo \\$\\$ > $w/bare; while :; do tail -f /dev/null & wait; done\") &\n\
                 echo $$ > pid; while :; do tail -f /dev/null & wait; done",
            ))
            .await;
        let mut pids = Vec::new();
        for file in ["pid", "left", "bare"] {
            pids.push(pid_in(&host, id, file).await);
        }
        if daemon_dies_first {
            host.crash().await;
        }
        let supervisor = supervisor_of(pids[0]);
        assert!(platform::signal_process(
            supervisor.pid,
            supervisor.started,
            Signal::KILL
        ));
        if daemon_dies_first {
            host.start();
        }
        let end = host.end(id).await;
        assert_eq!(end.result, RunResult::Lost);
        assert!(end.reason.unwrap().contains("were ended"));
        assert!(
            pids.iter()
                .all(|pid| platform::process(*pid).is_none_or(|one| one.ended))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_a_running_and_a_queued_run() {
    let host = Host::new().await;
    let wait = shell("echo ready; trap 'exit 1' INT; while :; do :; done");
    let running = [host.queue(&wait).await, host.queue(&wait).await];
    for id in running {
        host.until_output(id, "ready").await;
    }
    let queued = host.queue(&wait).await;
    host.cancel(queued).await;
    let end = host.end(queued).await;
    assert_eq!((end.result, end.started_at), (RunResult::Cancelled, None));
    for id in running {
        host.cancel(id).await;
        let end = host.end(id).await;
        assert_eq!(end.result, RunResult::Cancelled);
        assert_eq!(end.reason.as_deref(), Some("cancelled by ada"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_so_many_runs_go_at_once_and_in_the_order_of_their_plan() {
    let host = Host::new().await;
    let flag = host.home.path().join("go");
    let script = format!("echo ready; until [ -e {} ]; do :; done", flag.display());
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(host.queue(&shell(&script)).await);
    }
    for id in &ids[..2] {
        host.until_output(*id, "ready").await;
    }
    for id in &ids[2..] {
        assert_eq!(host.row(*id).await.run.state, RunState::Queued);
    }
    std::fs::write(&flag, "").unwrap();
    for id in ids {
        assert_eq!(host.end(id).await.result, RunResult::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_run_sets_up_its_own_worktree_in_the_runs_log() {
    let host = Host::new().await;
    let project_id = host.project(Some("echo setting up; echo x > made")).await;
    let mut automation = shell("cat made a.txt; echo two >> a.txt");
    automation.target = RunTarget::Project {
        project_id,
        base_branch: None,
    };
    let id = host.queue(&automation).await;
    let end = host.end(id).await;
    assert_eq!(
        end.result,
        RunResult::Succeeded,
        "{end:?}\n{}",
        host.log(id)
    );
    let log = host.log(id);
    assert!(
        log.contains("setting up\n") && log.ends_with("x\none\n"),
        "{log}"
    );
    let place = host.row(id).await.place.unwrap();
    assert!(place.branch.unwrap().starts_with("hostler/nightly-check-"));
    assert!(Path::new(&place.path).is_dir(), "changed work is kept");
    assert!(end.outcome.dirty && end.outcome.insertions >= 1, "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_setup_fails_run_and_workspace() {
    let host = Host::new().await;
    let project_id = host.project(Some("echo no way >&2; exit 5")).await;
    let mut automation = shell("echo never");
    automation.target = RunTarget::Project {
        project_id,
        base_branch: None,
    };
    let id = host.queue(&automation).await;
    let end = host.end(id).await;
    assert_eq!(
        (end.result, end.exit_code, end.started_at),
        (RunResult::Failed, Some(5), None)
    );
    assert!(!host.log(id).contains("never\n"), "{}", host.log(id));
    let workspace = host.row(id).await.run.workspace_id.unwrap();
    let find = async || {
        host.context
            .store
            .workspace(workspace)
            .await
            .unwrap()
            .unwrap()
    };
    let failed = tokio::time::timeout(DEADLINE, async {
        while !matches!(find().await.workspace.state, WorkspaceState::Failed { .. }) {
            tokio::task::yield_now().await;
        }
    });
    failed.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untouched_worktree_of_a_run_goes_unless_it_is_to_be_kept() {
    let host = Host::new().await;
    let project_id = host.project(None).await;
    for (keep, stays) in [
        (KeepWorkspace::IfChanged, false),
        (KeepWorkspace::Always, true),
    ] {
        let mut automation = shell("cat a.txt");
        automation.policies.keep_workspace = keep;
        automation.target = RunTarget::Project {
            project_id,
            base_branch: Some("main".into()),
        };
        let id = host.queue(&automation).await;
        assert_eq!(host.end(id).await.result, RunResult::Succeeded);
        let path = host.row(id).await.place.unwrap().path;
        if stays {
            assert!(Path::new(&path).is_dir());
        } else {
            host.until(id, |_| !Path::new(&path).exists()).await;
        }
    }
}
