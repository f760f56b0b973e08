//! Running the system's git so that it can neither ask, hang nor outlive us.
//!
//! Invariant: a git started here has no terminal, no standard input, no inherited `GIT_*` that
//! points at a repository, its own process group, a deadline and, for network work, a stall timer;
//! when [`Git::run`] returns, the group is gone.
//! Deliberately not here: what to run. Callers pass arguments; user text always goes after `--`
//! or is checked first.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::Error;

const TICK: Duration = Duration::from_millis(20);
const DRAIN: Duration = Duration::from_millis(500);
const KEPT: usize = 64 << 20;

/// How long a git may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From start to end.
    pub total: Duration,
    /// Without a byte of output.
    pub stall: Duration,
}

impl Limits {
    /// For work on this machine's disk alone.
    pub const LOCAL: Self = Self {
        total: Duration::from_secs(300),
        stall: Duration::from_secs(300),
    };
    /// For a clone: an hour in all, a minute without progress.
    pub const CLONE: Self = Self {
        total: Duration::from_secs(3600),
        stall: Duration::from_secs(60),
    };
    /// For fetching a base somebody waits for.
    pub const FETCH: Self = Self {
        total: Duration::from_secs(120),
        stall: Duration::from_secs(30),
    };
}

/// How far an operation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, in git's words ("Receiving objects") or ours ("Writing files").
    pub phase: String,
    /// Things done so far.
    pub done: u64,
    /// Things in all, where known.
    pub total: Option<u64>,
    /// Bytes moved so far, where known.
    pub bytes: Option<u64>,
}

/// Somebody who watches an operation and may take it back.
pub struct Watch<'a> {
    /// Told about progress, from any thread.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Set by the caller to stop the operation.
    pub cancel: &'a AtomicBool,
}

/// What a git that ended had to say.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, without progress lines' noise removed.
    pub stderr: String,
}

impl Output {
    /// The standard output as text without the final newline.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout)
            .trim_end_matches('\n')
            .to_owned()
    }
}

/// The system's git and the clock that limits it.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
    env: Vec<(OsString, OsString)>,
    now: fn() -> Duration,
}

impl Git {
    /// The `git` on the PATH; `now` is a clock that only goes forward.
    pub fn new(now: fn() -> Duration) -> Self {
        Self {
            program: "git".into(),
            env: Vec::new(),
            now,
        }
    }

    /// The same git with one more variable in its environment.
    #[must_use]
    pub fn with_env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Runs git in `dir` and gives its output if it succeeded.
    pub fn local<S: AsRef<OsStr>>(
        &self,
        dir: &Path,
        what: &str,
        args: &[S],
    ) -> Result<Output, Error> {
        let output = self.attempt(dir, what, args)?;
        if output.status.success() {
            return Ok(output);
        }
        Err(Error::Command {
            what: what.to_owned(),
            detail: output.stderr,
        })
    }

    /// Runs git in `dir` and gives its output however it ended.
    pub fn attempt<S: AsRef<OsStr>>(
        &self,
        dir: &Path,
        what: &str,
        args: &[S],
    ) -> Result<Output, Error> {
        let quiet = Watch {
            progress: &|_| (),
            cancel: &AtomicBool::new(false),
        };
        self.run(dir, what, args, Limits::LOCAL, &quiet)
    }

    /// Runs git in `dir` within `limits`, reporting progress.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        dir: &Path,
        what: &str,
        args: &[S],
        limits: Limits,
        watch: &Watch<'_>,
    ) -> Result<Output, Error> {
        let mut child = self
            .command(dir, args)
            .spawn()
            .map_err(|source| Error::NoGit { source })?;
        let (send, pieces) = sync_channel(64);
        pump(child.stdout.take(), send.clone(), Piece::Out);
        pump(child.stderr.take(), send, Piece::Err);
        let mut run = Run {
            what,
            limits,
            watch,
            now: self.now,
            pieces,
            stdout: Vec::new(),
            stderr: Transcript::default(),
        };
        let status = run.until_end(&mut child);
        if status.is_err() {
            end_group(&mut child);
        }
        Ok(Output {
            status: status?,
            stdout: run.stdout,
            stderr: run.stderr.text(),
        })
    }

    fn command<S: AsRef<OsStr>>(&self, dir: &Path, args: &[S]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args([
                "-c",
                "core.quotePath=false",
                "-c",
                "protocol.ext.allow=never",
            ])
            .args(args)
            .current_dir(dir);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        for (key, _) in std::env::vars_os().filter(|(key, _)| leads_astray(key)) {
            command.env_remove(key);
        }
        if std::env::var_os("GIT_SSH_COMMAND").is_none() && std::env::var_os("GIT_SSH").is_none() {
            command.env(
                "GIT_SSH_COMMAND",
                "ssh -o BatchMode=yes -o ConnectTimeout=15",
            );
        }
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh")
            .env("GIT_EDITOR", ":")
            .env("GIT_PAGER", "cat")
            .env("LC_ALL", "C")
            .envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }
}

fn leads_astray(key: &OsStr) -> bool {
    const KEPT: [&str; 8] = [
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_EXEC_PATH",
        "GIT_TEMPLATE_DIR",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_PROXY_COMMAND",
    ];
    key.to_str().is_some_and(|key| {
        key.starts_with("GIT_") && !key.starts_with("GIT_SSL") && !KEPT.contains(&key)
    })
}

enum Piece {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

fn pump<R: Read + Send + 'static>(
    from: Option<R>,
    to: SyncSender<Piece>,
    wrap: fn(Vec<u8>) -> Piece,
) {
    let Some(mut from) = from else { return };
    thread::spawn(move || {
        let mut buffer = vec![0; 32 << 10];
        while let Ok(read) = from.read(&mut buffer) {
            if read == 0 || to.send(wrap(buffer[..read].to_vec())).is_err() {
                break;
            }
        }
    });
}

struct Run<'a> {
    what: &'a str,
    limits: Limits,
    watch: &'a Watch<'a>,
    now: fn() -> Duration,
    pieces: Receiver<Piece>,
    stdout: Vec<u8>,
    stderr: Transcript,
}

impl Run<'_> {
    fn until_end(&mut self, child: &mut Child) -> Result<ExitStatus, Error> {
        let started = (self.now)();
        let mut heard = started;
        let mut closed = false;
        loop {
            if closed {
                thread::sleep(Duration::from_millis(1));
            } else {
                match self.pieces.recv_timeout(TICK) {
                    Ok(piece) => {
                        heard = (self.now)();
                        self.take(piece)?;
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => closed = true,
                }
            }
            if let Ok(Some(status)) = child.try_wait() {
                if !closed {
                    self.drain()?;
                }
                return Ok(status);
            }
            self.check(started, heard)?;
        }
    }

    /// Takes what an ended child has written. Something it left behind may hold its pipes open:
    /// half a second of silence is the end too.
    fn drain(&mut self) -> Result<(), Error> {
        while let Ok(piece) = self.pieces.recv_timeout(DRAIN) {
            self.take(piece)?;
        }
        Ok(())
    }

    fn check(&self, started: Duration, heard: Duration) -> Result<(), Error> {
        let now = (self.now)();
        let what = self.what.to_owned();
        if self.watch.cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled { what });
        }
        if now.saturating_sub(started) >= self.limits.total {
            return Err(Error::TooLong {
                what,
                after: self.limits.total,
            });
        }
        if now.saturating_sub(heard) >= self.limits.stall {
            return Err(Error::Stalled {
                what,
                after: self.limits.stall,
            });
        }
        Ok(())
    }

    fn take(&mut self, piece: Piece) -> Result<(), Error> {
        match piece {
            Piece::Out(bytes) => {
                self.stdout.extend_from_slice(&bytes);
                if self.stdout.len() > KEPT {
                    let detail = "it printed more than 64 MiB".to_owned();
                    return Err(Error::Command {
                        what: self.what.to_owned(),
                        detail,
                    });
                }
            }
            Piece::Err(bytes) => self.stderr.push(&bytes, self.watch.progress),
        }
        if self.watch.cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled {
                what: self.what.to_owned(),
            });
        }
        Ok(())
    }
}

fn end_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    for signal in [Signal::TERM, Signal::KILL] {
        if let Some(group) = group {
            // The group may be gone already, which is what is wanted.
            kill_process_group(group, signal).ok();
        }
        for _ in 0..50 {
            if signal == Signal::TERM && matches!(child.try_wait(), Ok(Some(_))) {
                break;
            }
            if signal == Signal::TERM {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
    drop(child.wait());
}

/// Standard error, split into progress (reported) and words (kept, the last 16 KiB).
#[derive(Default)]
struct Transcript {
    line: Vec<u8>,
    words: String,
}

impl Transcript {
    fn push(&mut self, bytes: &[u8], report: &(dyn Fn(Progress) + Sync)) {
        for &byte in bytes {
            if byte == b'\r' || byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.end_line(&String::from_utf8_lossy(&line), report);
            } else if self.line.len() < 4096 {
                self.line.push(byte);
            }
        }
    }

    fn end_line(&mut self, line: &str, report: &(dyn Fn(Progress) + Sync)) {
        if let Some(progress) = parse_progress(line) {
            report(progress);
        } else if !line.trim().is_empty() && self.words.len() < 16 << 10 {
            self.words.push_str(line.trim_end());
            self.words.push('\n');
        }
    }

    fn text(mut self) -> String {
        let line = std::mem::take(&mut self.line);
        self.end_line(&String::from_utf8_lossy(&line), &|_| ());
        self.words.truncate(self.words.trim_end().len());
        self.words
    }
}

/// Reads `Receiving objects:  45% (450/1000), 1.20 MiB | 3.00 MiB/s` and its relatives.
fn parse_progress(line: &str) -> Option<Progress> {
    let line = line.strip_prefix("remote: ").unwrap_or(line).trim();
    let (phase, rest) = line.split_once(": ")?;
    let words = phase.chars().all(|c| c.is_ascii_alphabetic() || c == ' ');
    if !words || !phase.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    let rest = rest.trim_start();
    if !rest.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let counted = rest
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(pair, _)| pair.split_once('/'));
    let (done, total) = match counted {
        Some((done, total)) => (done.parse().ok()?, total.parse().ok()),
        None => (rest.split([',', ' ']).next()?.parse().ok()?, None),
    };
    let bytes = rest.split(", ").find_map(parse_bytes);
    Some(Progress {
        phase: phase.to_owned(),
        done,
        total,
        bytes,
    })
}

fn parse_bytes(text: &str) -> Option<u64> {
    let mut words = text.split(' ');
    let number: f64 = words.next()?.parse().ok()?;
    let unit = match words.next()? {
        "bytes" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a progress figure, never negative"
    )]
    Some((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::git::fixture;

    #[test]
    fn progress_lines_are_understood() {
        let got =
            parse_progress("Receiving objects:  45% (450/1000), 1.50 MiB | 3.00 MiB/s").unwrap();
        assert_eq!(
            got,
            Progress {
                phase: "Receiving objects".into(),
                done: 450,
                total: Some(1000),
                bytes: Some(1_572_864)
            }
        );
        assert_eq!(
            parse_progress("remote: Enumerating objects: 12, done.")
                .unwrap()
                .done,
            12
        );
        assert_eq!(parse_progress("fatal: repository 'x' not found"), None);
        assert_eq!(parse_progress("warning: 3 things"), None);
    }

    #[test]
    fn a_git_that_says_nothing_is_stopped_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let git = fixture::git();
        let limits = Limits {
            total: Duration::from_secs(20),
            stall: Duration::from_millis(200),
        };
        let watch = Watch {
            progress: &|_| (),
            cancel: &AtomicBool::new(false),
        };
        let script = format!(
            "!sh -c 'echo $$ > {}; sleep 300'",
            dir.path().join("pid").display()
        );
        let args = ["-c", &format!("alias.hang={script}"), "hang"];
        let error = git
            .run(dir.path(), "the test", &args, limits, &watch)
            .unwrap_err();
        assert!(matches!(error, Error::Stalled { .. }), "{error}");
        let pid: i32 = std::fs::read_to_string(dir.path().join("pid"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        fixture::eventually("the child to be gone", || {
            rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_err()
        });
    }

    #[test]
    fn a_cancelled_git_stops_and_progress_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let git = fixture::git();
        let cancel = AtomicBool::new(false);
        let seen = Mutex::new(Vec::new());
        let progress = |p: Progress| {
            seen.lock().unwrap().push(p);
            cancel.store(true, Ordering::Relaxed);
        };
        let watch = Watch {
            progress: &progress,
            cancel: &cancel,
        };
        let args = [
            "-c",
            "alias.slow=!printf 'Counting objects: 5%% (1/20)\\r' >&2; sleep 300",
            "slow",
        ];
        let error = git
            .run(dir.path(), "the test", &args, Limits::LOCAL, &watch)
            .unwrap_err();
        assert!(matches!(error, Error::Cancelled { .. }), "{error}");
        assert_eq!(seen.lock().unwrap()[0].total, Some(20));
    }
}
