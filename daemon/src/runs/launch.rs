//! A claimed run, its place and this machine become what a supervisor is given. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hostler_proto::automation::Autonomy;

use super::environment;
use crate::agents::{Agents, CommandLine, command_line, find};
use crate::config::RunLimits;
use crate::store::runs::{Place, RunRow};
use crate::supervisor::commands;
use crate::supervisor::record::{Grace, Limits, Spec, Step, StepKind};

/// Name of the prompt's file in the run folder, for agents that need one.
const PROMPT_FILE: &str = "prompt.md";

/// What a launch needs to know beyond the run itself.
#[derive(Clone, Debug)]
pub struct Means<'a> {
    /// Agents of this host.
    pub agents: &'a Agents,
    /// The environment every run gets; its PATH is where agents are looked for.
    pub env: BTreeMap<String, String>,
    /// The most an automation may let an agent do here.
    pub max_autonomy: Autonomy,
    /// The run folder.
    pub run_dir: &'a Path,
    /// Setup commands, and the folder they run in.
    pub setup: (Vec<String>, PathBuf),
    /// When a run is ended, besides its own time limit.
    pub limits: RunLimits,
    /// What was left undone on the way, for the log.
    pub notes: Vec<String>,
}

/// What is started, and the prompt's file if one has to be written first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// For the supervisor.
    pub spec: Spec,
    /// Path and text.
    pub prompt_file: Option<(PathBuf, String)>,
}

/// The launch of a run in its place, or the sentence why it cannot be.
pub fn launch(row: &RunRow, place: &Place, means: &Means<'_>) -> Result<Launch, String> {
    let automation = &row.automation;
    let agent = means.agents.get(&automation.agent)?;
    let mut env = environment::of_run(means.env.clone(), row, place);
    let path = env.get("PATH").map_or("", String::as_str);
    let program = find::program(&agent.command, path).ok_or_else(|| find::missing(agent))?;
    let file = means.run_dir.join(PROMPT_FILE);
    let line = command_line(
        agent,
        &program,
        &automation.prompt,
        automation.policies.autonomy,
        means.max_autonomy,
        &file,
    )
    .map_err(|error| error.to_string())?;
    for (name, value) in &line.defaults {
        env.entry(name.clone()).or_insert_with(|| value.clone());
    }
    env.extend(line.env.clone());
    let (texts, folder) = &means.setup;
    if !texts.is_empty() {
        // What a project's `.superset/config.json` was written for.
        env.insert("SUPERSET_WORKSPACE_NAME".to_owned(), place.name.clone());
        env.insert("SUPERSET_ROOT_PATH".to_owned(), place.root.clone());
    }
    let mut steps = commands::steps(StepKind::Setup, texts, folder);
    steps.push(agent_step(&agent.label, &line, place));
    Ok(Launch {
        spec: Spec {
            steps,
            env,
            limits: limits(&means.limits, automation.policies.max_runtime_seconds),
            grace: Grace::default(),
            tied: false,
            notes: means.notes.clone(),
        },
        prompt_file: line.file.map(|text| (file, text)),
    })
}

fn limits(host: &RunLimits, max_runtime_seconds: u32) -> Limits {
    let mib = |count: u32| u64::from(count) << 20;
    let minutes = |count: u32| u64::from(count) * 60 * 1000;
    Limits {
        agent_ms: u64::from(max_runtime_seconds) * 1000,
        idle_ms: minutes(host.idle_minutes),
        asks_ms: minutes(host.asks_minutes),
        log_head: mib(host.log_mb) / 4,
        log_tail: mib(host.log_mb) / 4 * 3,
        memory_bytes: host.memory_mb.map(mib),
        free_bytes: mib(host.free_mb),
        ..Limits::default()
    }
}

fn agent_step(label: &str, line: &CommandLine, place: &Place) -> Step {
    Step {
        kind: StepKind::Agent,
        label: label.to_owned(),
        argv: line.argv.clone(),
        cwd: PathBuf::from(&place.path),
        stdin: line.stdin.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use hostler_proto::automation::{AutomationSpec, Policies, RunTarget, ScheduleSpec};
    use hostler_proto::ids::{AutomationId, RunId, WorkspaceId};
    use hostler_proto::run::{Run, RunState, Trigger};
    use hostler_proto::time::UtcMillis;
    use uuid::Uuid;

    use super::*;

    pub(crate) fn row(agent: &str, prompt: &str) -> RunRow {
        let id = AutomationId(Uuid::from_u128(1));
        RunRow {
            run: Run {
                id: RunId(Uuid::from_u128(2)),
                automation_id: id,
                attempt: 1,
                trigger: Trigger::Manual,
                scheduled_for: UtcMillis(0),
                rule_revision: 1,
                prompt_version: 1,
                agent: agent.into(),
                queued_at: UtcMillis(0),
                workspace_id: None,
                branch: None,
                preparing_at: None,
                state: RunState::Queued,
            },
            automation: AutomationSpec {
                id,
                revision: 1,
                name: "nightly".into(),
                agent: agent.into(),
                prompt: prompt.into(),
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
                env: BTreeMap::new(),
                owner: None,
            },
            place: None,
            launched_at: None,
            cancel_requested: None,
            waiting: false,
        }
    }

    pub(crate) fn place() -> Place {
        Place {
            workspace_id: WorkspaceId(Uuid::from_u128(3)),
            name: "nightly".into(),
            path: "/w".into(),
            root: "/r".into(),
            branch: Some("main".into()),
            head: None,
            journal: None,
            owned: false,
        }
    }

    pub(crate) fn user() -> crate::host::machine::User {
        crate::host::machine::User {
            home: "/home/ada".into(),
            name: "ada".into(),
            shell: "/bin/sh".into(),
            path: "/usr/bin:/bin".into(),
            language: "C.UTF-8".into(),
        }
    }

    fn try_launch(row: &RunRow, setup: &[&str]) -> Result<Launch, String> {
        let agents = Agents::default();
        let means = Means {
            agents: &agents,
            env: environment::base(&user(), &BTreeMap::new()),
            max_autonomy: Autonomy::Edits,
            run_dir: Path::new("/runs/1"),
            setup: (
                setup.iter().map(|text| (*text).to_owned()).collect(),
                "/w/sub".into(),
            ),
            limits: RunLimits {
                memory_mb: Some(3),
                ..RunLimits::default()
            },
            notes: vec!["x was not copied".to_owned()],
        };
        launch(row, &place(), &means)
    }

    #[test]
    fn setup_comes_before_the_agent() {
        let mut row = row("shell", "make");
        row.automation.policies.max_runtime_seconds = 7;
        let launch = try_launch(&row, &["npm ci"]).unwrap();
        let [setup, agent] = &launch.spec.steps[..] else {
            panic!("{launch:?}");
        };
        assert_eq!(
            (setup.kind, setup.cwd.as_path()),
            (StepKind::Setup, Path::new("/w/sub"))
        );
        assert_eq!(
            (agent.kind, agent.cwd.as_path()),
            (StepKind::Agent, Path::new("/w"))
        );
        assert_eq!(agent.stdin.as_deref(), Some("make"));
        let expected = Limits {
            agent_ms: 7_000,
            memory_bytes: Some(3 << 20),
            ..Limits::default()
        };
        assert_eq!(launch.spec.limits, expected);
        assert_eq!(launch.spec.notes, ["x was not copied"]);
        assert_eq!(launch.prompt_file, None);
    }

    #[test]
    fn what_cannot_be_launched_is_said_in_a_sentence() {
        let unknown = try_launch(&row("clod", "x"), &[]).unwrap_err();
        assert!(
            unknown.contains("`clod`") && unknown.contains("claude"),
            "{unknown}"
        );
        let mut missing = row("mastracode", "x");
        missing
            .automation
            .env
            .insert("PATH".into(), "/nowhere".into());
        let missing = try_launch(&missing, &[]).unwrap_err();
        assert!(missing.contains("npm install -g mastracode"), "{missing}");
        let mut bold = row("shell", "x");
        bold.automation.policies.autonomy = Autonomy::Full;
        let bold = try_launch(&bold, &[]).unwrap_err();
        assert!(bold.contains("at most `edits`"), "{bold}");
    }
}
