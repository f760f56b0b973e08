//! Real processes: their output is captured as it comes, and dropping one ends it by its id.

use std::{
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{
    Home,
    http::Http,
    mcp::Mcp,
    wait::{Stopwatch, eventually, secs},
};

/// A process with captured output.
pub(crate) struct Program {
    child: Child,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    #[track_caller]
    pub(crate) fn spawn(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&stdout)),
            collect(child.stderr.take().unwrap(), Arc::clone(&stderr)),
        ];
        Self {
            child,
            stdout,
            stderr,
            readers,
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    pub(crate) fn output(&self) -> String {
        self.stdout() + &self.stderr()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Whether it has ended, without waiting.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Its exit status, waited for.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        eventually("the process ends", limit, || self.ended())
    }

    /// kill -9, and gone.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        self.wait(secs(5));
    }

    /// TERM, and how long it took to end; 5 s is what a user is promised.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> (ExitStatus, Duration) {
        let watch = Stopwatch::start();
        self.signal(Signal::TERM);
        let status = self.wait(secs(15));
        (status, watch.elapsed())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if thread::panicking() {
            let output = self.output();
            let last: Vec<&str> = output.lines().rev().take(30).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            eprintln!(
                "--- last words of process {}\n{}",
                self.child.id(),
                last.join("\n")
            );
        }
    }
}

fn collect(mut from: impl Read + Send + 'static, to: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut chunk = [0; 8192];
        while let Ok(read) = from.read(&mut chunk) {
            if read == 0 {
                return;
            }
            to.lock().unwrap().extend_from_slice(&chunk[..read]);
        }
    })
}

/// A command that ran to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn of(command: Command, limit: Duration) -> Self {
        let shown = format!("{command:?}");
        let mut program = Program::spawn(command);
        let status = eventually(&shown, limit, || program.ended());
        for reader in program.readers.drain(..) {
            reader.join().unwrap();
        }
        Self {
            code: status.code(),
            stdout: program.stdout(),
            stderr: program.stderr(),
        }
    }

    /// Its standard output; panics unless it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(
            self.code,
            Some(0),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// Its standard output as JSON; panics unless it succeeded.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// Its exit code and everything it said; panics when it succeeded.
    #[track_caller]
    pub(crate) fn failed(self) -> (i32, String) {
        let code = self.code.unwrap_or(-1);
        assert_ne!(code, 0, "succeeded with {}", self.stdout);
        (code, self.stdout + &self.stderr)
    }
}

/// A control plane that answers, with or without a host beside it.
pub(crate) struct Service {
    pub(crate) program: Program,
    pub(crate) url: String,
    pub(crate) mcp_url: String,
    pub(crate) key: String,
}

impl Service {
    /// Waits until the program of `home` serves.
    #[track_caller]
    pub(crate) fn ready(home: &Home, mut program: Program) -> Self {
        let port = home.port();
        let credentials = eventually("the control plane serves", secs(20), || {
            let ended = program.ended();
            assert!(
                ended.is_none(),
                "ended with {ended:?}: {}",
                program.output()
            );
            let credentials = home.credentials()?;
            let url = credentials["url"].as_str()?;
            let mine = url.ends_with(&format!(":{port}"));
            (mine && Http::new(url).answers()).then_some(credentials)
        });
        let field = |name: &str| {
            credentials[name]
                .as_str()
                .unwrap_or_else(|| panic!("no {name} in {credentials}"))
                .to_owned()
        };
        Self {
            program,
            url: field("url"),
            mcp_url: field("mcpUrl"),
            key: field("apiKey"),
        }
    }

    pub(crate) fn mcp(&self) -> Mcp {
        Mcp::new(&self.mcp_url, &self.key)
    }

    /// Waits until this many hosts are online.
    #[track_caller]
    pub(crate) fn wait_host_online(&self, count: usize) {
        let mcp = self.mcp();
        // A host that found nobody for long tries again only once a minute.
        eventually("the host is online", secs(90), || {
            let hosts = mcp.ok("hosts_list", json!({"online": true}));
            (hosts["hosts"].as_array()?.len() == count).then_some(())
        });
    }
}
