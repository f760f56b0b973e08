//! Short look-ups by running a program: the login shell's PATH, a tool's version.
//!
//! Each is bounded in time and in bytes. It is over when the program itself has ended: what it left
//! running, as a login shell's start files do, is not waited for, whatever it holds open.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// The most a look-up reads, bytes.
const MOST_BYTES: usize = 64 * 1024;

/// How long the login shell may take to tell its PATH, milliseconds.
const LOGIN_LIMIT_MS: u64 = 5_000;

/// How long a program that is told to end has to put its things away, milliseconds. A shell's start
/// files take locks that a kill would leave behind for every later shell.
const END_LIMIT_MS: u64 = 2_000;

/// How often it is looked whether the program has ended, milliseconds: while it may print, and once
/// it no longer can.
const LOOK_MS: u64 = 20;
const LAST_LOOK_MS: u64 = 1;

/// Where tools are commonly put that a login shell may not name, below the user's home.
const HOME_FOLDERS: &[&str] = &[
    ".local/bin",
    ".claude/local",
    ".opencode/bin",
    ".bun/bin",
    ".npm-global/bin",
    ".cargo/bin",
];

/// The same for the whole machine.
const MACHINE_FOLDERS: &[&str] = &[
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
];

/// The PATH that the user's login shell makes; empty when it does not tell.
pub fn login_path() -> String {
    let asked = ask(&Question {
        program: &super::login_shell(),
        args: &["-lc", r#"printf '\nHOSTLER_PATH=%s\n' "$PATH""#].map(str::to_owned),
        env: None,
        folder: None,
        limit_ms: LOGIN_LIMIT_MS,
    });
    let path = asked.as_ref().and_then(|answer| {
        let mut lines = answer.out.lines();
        lines.find_map(|line| line.strip_prefix("HOSTLER_PATH="))
    });
    path.unwrap_or_default().to_owned()
}

/// Where programs are looked for: the login shell's PATH, then this process' own (a terminal may
/// know more than a login shell does), then the common places that exist. A service manager starts
/// daemons with a bare PATH.
pub fn search_path(login: &str, home: &Path) -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    joined(&[login, &own], home)
}

/// Where tools are commonly put, whether the folders exist or not.
pub fn common_folders(home: &Path) -> impl Iterator<Item = PathBuf> {
    let own = HOME_FOLDERS.iter().map(|folder| home.join(folder));
    own.chain(MACHINE_FOLDERS.iter().map(PathBuf::from))
}

/// The folders of some PATHs and the common places that exist, each once, in this order.
fn joined(paths: &[&str], home: &Path) -> String {
    let given = paths.iter().flat_map(|path| std::env::split_paths(*path));
    let common = common_folders(home).filter(|folder| folder.is_dir());
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in given.filter(|folder| folder.is_absolute()).chain(common) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    let words: Vec<_> = folders
        .iter()
        .map(|folder| folder.to_string_lossy())
        .collect();
    words.join(":")
}

/// A program to run for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub args: &'a [String],
    /// Its whole environment; none is this process' own.
    pub env: Option<&'a BTreeMap<String, String>>,
    /// Where it runs; none is where this process does.
    pub folder: Option<&'a Path>,
    /// How long it may take, milliseconds of awake time.
    pub limit_ms: u64,
}

/// What a program printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// On standard output, the first 64 KiB.
    pub out: String,
    /// On standard error, the first 64 KiB.
    pub err: String,
}

/// What a program prints within its limit; none when it cannot be started, fails, prints too much or
/// takes longer.
pub fn ask(question: &Question<'_>) -> Option<Answer> {
    let mut command = Command::new(question.program);
    command
        .args(question.args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(env) = question.env {
        command.env_clear().envs(env);
    }
    if let Some(folder) = question.folder {
        command.current_dir(folder);
    }
    let mut child = command.spawn().ok()?;
    let mut outputs = Outputs::of(&mut child)?;
    // Its number is its group's, and cannot be another's before it is waited for.
    let group = Pid::from_child(&child);
    let answer = outputs.read_until(group, crate::clock::now().awake_ms + question.limit_ms);
    if answer.is_none() {
        rustix::process::kill_process_group(group, Signal::TERM).ok();
        outputs.read_until(group, crate::clock::now().awake_ms + END_LIMIT_MS);
        rustix::process::kill_process_group(group, Signal::KILL).ok();
    }
    let status = child.wait().ok()?;
    answer.filter(|_| status.success())
}

/// What a program prints, while it does.
struct Outputs {
    out: Pipe<ChildStdout>,
    err: Pipe<ChildStderr>,
}

impl Outputs {
    fn of(child: &mut Child) -> Option<Self> {
        Some(Self {
            out: Pipe::new(child.stdout.take()?),
            err: Pipe::new(child.stderr.take()?),
        })
    }

    /// Everything the program printed until it ended; none when the deadline came first.
    fn read_until(&mut self, program: Pid, deadline_ms: u64) -> Option<Answer> {
        let Self { out, err } = self;
        loop {
            // Looked at before reading: what it printed is there by then.
            let gone = has_ended(program);
            let left_ms = deadline_ms.checked_sub(crate::clock::now().awake_ms)?;
            let look_ms = match (gone, out.ended && err.ended) {
                (true, _) => 0,
                (false, true) => LAST_LOOK_MS,
                (false, false) => LOOK_MS,
            };
            let mut open: Vec<_> = [out.poll(), err.poll()].into_iter().flatten().collect();
            let ready = wait(&mut open, left_ms.min(look_ms));
            out.read()?;
            err.read()?;
            if gone && !ready {
                return Some(Answer {
                    out: out.text(),
                    err: err.text(),
                });
            }
        }
    }
}

/// Whether a child has ended; it stays to be waited for.
fn has_ended(child: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(
        rustix::process::waitid(WaitId::Pid(child), look),
        Ok(Some(_))
    )
}

/// Waits until one of these can be read; false when the time is up.
fn wait(open: &mut [PollFd<'_>], limit_ms: u64) -> bool {
    let timeout = Timespec {
        tv_sec: i64::try_from(limit_ms / 1000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(limit_ms % 1000 * 1_000_000).unwrap_or(0),
    };
    rustix::event::poll(open, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

/// One output, read without waiting.
struct Pipe<R> {
    from: R,
    bytes: Vec<u8>,
    ended: bool,
}

impl<R: Read + AsFd> Pipe<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            bytes: Vec::new(),
            ended: false,
        }
    }

    /// What to wait for; none once it has ended.
    fn poll(&self) -> Option<PollFd<'_>> {
        let open = !self.ended;
        open.then(|| PollFd::from_borrowed_fd(self.from.as_fd(), PollFlags::IN))
    }

    /// Reads once if there is something; none when it cannot be read or is too much.
    fn read(&mut self) -> Option<()> {
        let Some(poll) = self.poll() else {
            return Some(());
        };
        if !wait(&mut [poll], 0) {
            return Some(());
        }
        let mut chunk = [0; 4096];
        let count = self.from.read(&mut chunk).ok()?;
        self.bytes.extend_from_slice(&chunk[..count]);
        self.ended = count == 0;
        (self.bytes.len() <= MOST_BYTES).then_some(())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit_ms: u64) -> Option<Answer> {
        ask(&Question {
            program: Path::new("/bin/sh"),
            args: &["-c".to_owned(), script.to_owned()],
            env: None,
            folder: None,
            limit_ms,
        })
    }

    #[test]
    fn a_look_up_is_bounded() {
        let both = sh("printf hi; printf ho >&2", 5_000).unwrap();
        assert_eq!((both.out.as_str(), both.err.as_str()), ("hi", "ho"));
        assert_eq!(sh("printf hi; exit 3", 5_000), None);
        assert_eq!(sh("exec tail -f /dev/null", 50), None);
        assert_eq!(sh("exec cat /dev/zero", 5_000), None);
        assert_eq!(sh("exec cat /dev/zero >&2", 5_000), None);
    }

    #[test]
    fn what_a_program_leaves_running_is_not_waited_for_and_one_that_goes_on_is() {
        let left = sh("tail -f /dev/null & printf $!", 60_000).unwrap();
        let left = Pid::from_raw(left.out.parse().unwrap()).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
        // It prints no more, and does not end.
        assert_eq!(sh("exec >&- 2>&-; exec tail -f /dev/null", 50), None);
    }

    #[test]
    fn a_slow_program_puts_its_things_away_before_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        let script = format!(
            "trap 'rm {0}' EXIT; trap 'exit 1' TERM; echo > {0}; while :; do tail -f /dev/null & wait; done",
            lock.display()
        );
        assert_eq!(sh(&script, 500), None);
        assert!(!lock.exists(), "what it took is given back");
    }

    #[test]
    fn paths_are_joined_in_order_and_once() {
        let path = joined(&["/a:/b:rel", "/b:/c"], Path::new("/nonexistent"));
        assert!(path.starts_with("/a:/b:/c:"), "{path}");
        assert!(path.contains("/usr/bin") && !path.contains("rel"), "{path}");
    }

    #[test]
    fn the_login_path_has_the_usual_places() {
        let path = search_path(&login_path(), Path::new("/nonexistent"));
        let folders: Vec<_> = std::env::split_paths(&path).collect();
        assert!(folders.contains(&PathBuf::from("/usr/bin")), "{path}");
        assert!(folders.iter().all(|folder| folder.is_absolute()));
    }
}
