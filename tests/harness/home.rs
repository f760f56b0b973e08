//! One user's machine in a temporary folder: its HOME, its HOSTLER_HOME, its git identity, and the
//! environment every process of a test gets. When it is dropped, whatever still runs with this
//! folder in its environment (supervised runs outlive the daemon by design) is killed by its id.

use std::{
    fs,
    net::TcpListener,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    clients::client_folder,
    program::{Ended, Program, Service},
    wait::secs,
};

pub(crate) struct Home {
    folder: TempDir,
    port: u16,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("hostler-")
            .tempdir()
            .unwrap();
        let home = Self {
            folder,
            port: free_port(),
        };
        fs::create_dir_all(home.user()).unwrap();
        fs::write(
            home.user().join(".gitconfig"),
            "[user]\n name = Tester\n email = tester@example.com\n[init]\n defaultBranch = main\n[protocol \"file\"]\n allow = always\n",
        )
        .unwrap();
        // A login shell starts with the system's PATH, so agents have to be on the profile's.
        let profile = format!(
            "PATH=\"{}:{}\"\nexport PATH\n",
            client_folder().display(),
            host_path()
        );
        fs::write(home.user().join(".profile"), profile).unwrap();
        home
    }

    /// The user's home folder.
    pub(crate) fn user(&self) -> PathBuf {
        self.path("user")
    }

    /// HOSTLER_HOME.
    pub(crate) fn hostler_home(&self) -> PathBuf {
        self.path("hostler")
    }

    /// A path inside this temporary machine.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The port this home's control plane listens on, in every start.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn credentials(&self) -> Option<Value> {
        let text = fs::read_to_string(self.hostler_home().join("credentials.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// A command in this machine's clean environment.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .current_dir(self.user())
            .env("HOME", self.user())
            .env("HOSTLER_HOME", self.hostler_home())
            .env("PATH", host_path())
            .env("USER", "tester")
            .env("SHELL", "/bin/sh")
            .env("LANG", "C.UTF-8")
            .env("TERM", "dumb")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("RUST_BACKTRACE", "0");
        command
    }

    /// The built program with these arguments.
    pub(crate) fn hostler(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_hostler"));
        command.args(arguments);
        command
    }

    /// Runs a `hostler` command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.hostler(arguments), secs(60))
    }

    /// `hostler up`, ready to serve and with its own host online.
    pub(crate) fn up(&self) -> Service {
        self.up_with(&[])
    }

    pub(crate) fn up_with(&self, environment: &[(&str, &str)]) -> Service {
        let port = self.port().to_string();
        let mut command = self.hostler(&["up", "--port", &port]);
        command.envs(environment.iter().copied());
        let service = Service::ready(self, Program::spawn(command));
        service.wait_host_online(1);
        service
    }

    /// `hostler server`: the control plane alone.
    pub(crate) fn server(&self) -> Service {
        self.server_with(&[])
    }

    pub(crate) fn server_with(&self, environment: &[(&str, &str)]) -> Service {
        let port = self.port().to_string();
        let mut command = self.hostler(&["server", "--port", &port]);
        command.envs(environment.iter().copied());
        Service::ready(self, Program::spawn(command))
    }

    /// `hostler daemon` of a home that has joined a control plane.
    pub(crate) fn daemon(&self) -> Program {
        self.daemon_with(&[])
    }

    pub(crate) fn daemon_with(&self, environment: &[(&str, &str)]) -> Program {
        let mut command = self.hostler(&["daemon"]);
        command.envs(environment.iter().copied());
        Program::spawn(command)
    }

    /// Enrols this machine at the control plane of `server` and starts its daemon.
    #[track_caller]
    pub(crate) fn join(&self, server: &Self, name: &str) -> Program {
        self.join_only(server, name);
        self.daemon()
    }

    /// Enrols this machine at the control plane of `server`.
    #[track_caller]
    pub(crate) fn join_only(&self, server: &Self, name: &str) {
        let made = server.run(&["hosts", "enrol-key", "--json"]).ok();
        let key = made
            .split('"')
            .find(|part| part.starts_with("hk_"))
            .unwrap_or_else(|| panic!("no key in {made}"));
        let url = server.credentials().unwrap()["url"]
            .as_str()
            .unwrap()
            .to_owned();
        self.run(&["join", &url, "--key", key, "--name", name]).ok();
    }

    /// Changes an SQLite database directly, for states that no tool leads to.
    #[track_caller]
    pub(crate) fn sql(&self, database: &Path, statements: &[String]) {
        const SCRIPT: &str = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], timeout=10)\nfor s in sys.argv[2:]: c.execute(s)\nc.commit()";
        let mut python = self.command("python3");
        python.args(["-c", SCRIPT]).arg(database).args(statements);
        Ended::of(python, secs(20)).ok();
    }

    /// Asks the control plane's catalog directly for one number.
    #[track_caller]
    pub(crate) fn count(&self, query: &str) -> u64 {
        const SCRIPT: &str = "import sqlite3, sys\nprint(sqlite3.connect(sys.argv[1], timeout=10).execute(sys.argv[2]).fetchone()[0])";
        let mut python = self.command("python3");
        let catalog = self.hostler_home().join("control-plane/catalog.db");
        python.args(["-c", SCRIPT]).arg(catalog).arg(query);
        Ended::of(python, secs(20)).ok().trim().parse().unwrap()
    }

    /// Processes of this machine that still run: those with its folder in their environment.
    pub(crate) fn running(&self) -> Vec<Pid> {
        let folder = self.folder.path().as_os_str().as_bytes();
        let Ok(processes) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let mine = |entry: fs::DirEntry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let named = environment.windows(folder.len()).any(|part| part == folder);
            (named && pid != rustix::process::getpid()).then_some(pid)
        };
        processes.filter_map(|entry| mine(entry.ok()?)).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for _ in 0..10 {
            let running = self.running();
            if running.is_empty() {
                break;
            }
            for pid in running {
                kill_process(pid, Signal::KILL).ok();
            }
        }
        if std::thread::panicking() {
            // The programs' own words are in their captured output; the folder is not kept.
            eprintln!("test home was {}", self.folder.path().display());
        }
    }
}

/// A port nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Where git and the system's tools are found on the machine that runs the tests.
fn host_path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned())
}
