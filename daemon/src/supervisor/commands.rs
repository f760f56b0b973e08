//! Setup and teardown commands in a folder, under the same rules as a run: bounded in time, nothing
//! left behind, ended with the daemon that asked. For workspaces made or removed outside a run.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use hostler_proto::command::SetupReport;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;

use super::client;
use super::record::{Ended, Exit, Grace, Limits, RunDir, Spec, Status, Step, StepKind};

/// Bytes of output that a report shows.
const REPORT_BYTES: u64 = 4 * 1024;

/// Lines of output that a report shows.
const REPORT_LINES: usize = 20;

/// Commands to run one after another; the first that fails ends the list.
#[derive(Clone, Debug)]
pub struct Commands {
    /// Setup or teardown.
    pub kind: StepKind,
    /// Shell texts, each run with `sh -eu`.
    pub texts: Vec<String>,
    /// Where they run.
    pub folder: PathBuf,
    /// Their whole environment.
    pub env: BTreeMap<String, String>,
    /// Time for all of them together, milliseconds.
    pub limit_ms: u64,
}

/// The steps of shell texts, for a spec.
pub fn steps(kind: StepKind, texts: &[String], folder: &Path) -> Vec<Step> {
    let step = |text: &String| Step {
        kind,
        label: text.clone(),
        argv: ["/bin/sh", "-eu", "-c", text].map(str::to_owned).into(),
        cwd: folder.to_owned(),
        stdin: None,
    };
    texts.iter().map(step).collect()
}

/// Runs the commands to their end. `program` is what is started as `<program> supervise <dir>`;
/// `dir` is a fresh folder for this call and is removed at the end. Dropping the future ends them.
pub async fn run(program: &Path, dir: &Path, commands: &Commands) -> io::Result<SetupReport> {
    let dir = RunDir::new(dir);
    let begun_ms = crate::clock::now().awake_ms;
    let launched = client::launch(program, &dir, &spec(commands))?;
    launched.socket.set_nonblocking(true)?;
    let mut lines = BufReader::new(UnixStream::from_std(launched.socket)?).lines();
    let mut told = None;
    while let Ok(Some(line)) = lines.next_line().await {
        told = serde_json::from_str::<Status>(&line)?.exit.or(told);
    }
    let duration_ms = crate::clock::now().awake_ms.saturating_sub(begun_ms);
    let report = match Exit::load(&dir).or(told.map(|exit| *exit)) {
        Some(exit) => report(&exit, &tail(&dir), duration_ms),
        None => return Err(broken(dir).await),
    };
    std::fs::remove_dir_all(dir.path())?;
    Ok(report)
}

/// Its supervisor was killed: ends what it left behind, and says so.
async fn broken(dir: RunDir) -> io::Error {
    let words = own_error(&dir);
    let end = tokio::task::spawn_blocking(move || super::strays::end(&dir, None, Grace::default()));
    match end.await {
        Ok(0) | Err(_) => io::Error::other(words),
        Ok(count) => io::Error::other(format!("{words}; {count} processes were left and ended")),
    }
}

fn spec(commands: &Commands) -> Spec {
    Spec {
        steps: steps(commands.kind, &commands.texts, &commands.folder),
        env: commands.env.clone(),
        limits: Limits {
            commands_ms: commands.limit_ms,
            ..Limits::default()
        },
        grace: Grace::default(),
        tied: true,
        notes: Vec::new(),
    }
}

fn report(exit: &Exit, tail: &str, duration_ms: u64) -> SetupReport {
    let failed = exit.steps.iter().find(|step| step.code != Some(0));
    let ok = exit.ended == Ended::ByItself && failed.is_none();
    SetupReport {
        ok,
        failed_command: failed.map(|step| step.label.clone()),
        exit_code: failed.and_then(|step| step.code),
        duration_ms,
        last_lines: tail.to_owned(),
    }
}

/// The last lines of a log.
fn tail(dir: &RunDir) -> String {
    let bytes = super::spool::read_tail(dir, REPORT_BYTES).unwrap_or_default();
    super::spool::last_lines(&bytes, REPORT_LINES)
}

/// What a supervisor said before it broke.
pub fn own_error(dir: &RunDir) -> String {
    let text = std::fs::read_to_string(dir.own_errors()).unwrap_or_default();
    match text.trim() {
        "" => "its supervisor ended without a record".to_owned(),
        text => text.to_owned(),
    }
}
