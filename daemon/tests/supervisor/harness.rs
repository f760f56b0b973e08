//! One supervised run as a test sees it, and a disk that can be filled.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hostler_daemon::clock;
use hostler_daemon::platform;
use hostler_daemon::supervisor::client::{self, Launched};
use hostler_daemon::supervisor::record::{
    Exit, Grace, Limits, RunDir, Spec, Status, Step, StepKind,
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hostler-supervise"))
}

pub(crate) fn agent(script: &str, folder: &Path) -> Step {
    Step {
        kind: StepKind::Agent,
        label: "sh".into(),
        argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
        cwd: folder.into(),
        stdin: None,
    }
}

pub(crate) fn spec(steps: Vec<Step>) -> Spec {
    Spec {
        steps,
        env: BTreeMap::from([("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())]),
        limits: Limits::default(),
        grace: Grace {
            int_ms: 150,
            term_ms: 150,
        },
        tied: false,
        notes: Vec::new(),
    }
}

/// One supervised run in its own folder; its supervisor does not outlive the test.
pub(crate) struct Run {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) pid: u32,
    pub(crate) socket: BufReader<UnixStream>,
}

impl Run {
    pub(crate) fn start(spec: impl FnOnce(&Path) -> Spec) -> Self {
        Self::start_in(|_| (), spec)
    }

    /// Starts it in a run folder that was changed before.
    pub(crate) fn start_in(change: impl FnOnce(&Path), spec: impl FnOnce(&Path) -> Spec) -> Self {
        let mut run = Self::start_unlaunched(|work| spec(work));
        change(run.dir().path());
        let spec = Spec::load(&run.dir()).unwrap();
        let Launched { pid, socket } = client::launch(program(), &run.dir(), &spec).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        run.pid = pid;
        run.socket = BufReader::new(socket);
        run
    }

    /// Only its folders and its spec.
    pub(crate) fn start_unlaunched(spec: impl FnOnce(&Path) -> Spec) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let work = temp.path().join("work");
        std::fs::create_dir(&work).unwrap();
        let dir = RunDir::new(&temp.path().join("run"));
        std::fs::create_dir(dir.path()).unwrap();
        spec(&work).save(&dir).unwrap();
        Self {
            temp,
            pid: 0,
            socket: BufReader::new(UnixStream::pair().unwrap().0),
        }
    }

    pub(crate) fn script(script: &str) -> Self {
        Self::start(|work| spec(vec![agent(script, work)]))
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.temp.path().join("work")
    }

    pub(crate) fn dir(&self) -> RunDir {
        RunDir::new(&self.temp.path().join("run"))
    }

    pub(crate) fn status(&mut self) -> Status {
        let mut line = String::new();
        self.socket.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    pub(crate) fn until(&mut self, done: impl Fn(&Status) -> bool) -> Status {
        loop {
            let status = self.status();
            if done(&status) {
                return status;
            }
            assert!(
                status.exit.is_none(),
                "ended early: {status:?}\n{}",
                self.log()
            );
        }
    }

    pub(crate) fn until_output(&mut self, word: &str) {
        let dir = self.dir();
        self.until(|_| {
            std::fs::read(dir.log()).is_ok_and(|log| String::from_utf8_lossy(&log).contains(word))
        });
    }

    pub(crate) fn end(&mut self) -> Exit {
        let status = self.until(|status| status.exit.is_some());
        let told = *status.exit.unwrap();
        eventually("the supervisor's end", || {
            !client::is_supervised(&self.dir())
        });
        assert_eq!(Exit::load(&self.dir()).as_ref(), Some(&told));
        let log = std::fs::read(self.dir().log()).unwrap();
        assert_eq!(told.log_bytes, log.len() as u64);
        assert_eq!(told.log_crc32, crc32fast::hash(&log));
        told
    }

    pub(crate) fn cancel(&mut self) {
        client::cancel(self.socket.get_mut(), "ada").unwrap();
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir().log()).unwrap()).into_owned()
    }

    /// The process numbers that children wrote into files called `pid.*`.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        for entry in std::fs::read_dir(self.work()).unwrap() {
            let path = entry.unwrap().path();
            if path
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("pid.")
            {
                let text = std::fs::read_to_string(path).unwrap();
                pids.extend(
                    text.split_whitespace()
                        .map(|pid| pid.parse::<i32>().unwrap()),
                );
            }
        }
        pids
    }

    pub(crate) fn assert_all_gone(&self, at_least: usize) {
        let pids = self.pids();
        assert!(
            pids.len() >= at_least,
            "only {} children: {}",
            pids.len(),
            self.log()
        );
        let left: Vec<_> = pids
            .iter()
            .filter_map(|pid| platform::process(*pid))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Run {
    /// The same where nobody waits for the ended: their supervisor is dead.
    pub(crate) fn assert_all_gone_or_ended(&self, at_least: usize) {
        assert!(self.pids().len() >= at_least);
        for pid in self.pids() {
            assert!(platform::process(pid).is_none_or(|one| one.ended), "{pid}");
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Harmless when it has ended; a test that failed leaves nothing behind.
        let own = i32::try_from(self.pid).unwrap();
        let mut pids = self.pids();
        if client::is_supervised(&self.dir()) {
            pids.push(own);
        }
        for pid in pids {
            if let Some(one) = platform::process(pid) {
                platform::signal_process(pid, one.started, rustix::process::Signal::KILL);
            }
        }
    }
}

pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = clock::now().awake_ms + u64::try_from(DEADLINE.as_millis()).unwrap();
    while !check() {
        assert!(clock::now().awake_ms < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// A filesystem that can be filled without harm. Mounting it takes root, or `sudo` without a password.
pub(crate) struct SmallDisk(pub(crate) tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mounted = as_root("mount")
            .args(["-t", "tmpfs", "-o", "size=512k,mode=777", "tmpfs"])
            .arg(temp.path())
            .status()
            .is_ok_and(|status| status.success());
        assert!(mounted, "a small disk cannot be mounted: run this as root");
        Self(temp)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        as_root("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

fn as_root(program: &str) -> std::process::Command {
    if rustix::process::geteuid().is_root() {
        return std::process::Command::new(program);
    }
    let mut sudo = std::process::Command::new("sudo");
    sudo.args(["-n", program]);
    sudo
}
