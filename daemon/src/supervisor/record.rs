//! What a run folder holds and what a supervisor says: the spec it is given, the status it pushes,
//! the exit record it leaves.
//!
//! Invariant: `exit.json` appears complete or not at all. Both ends are this program, but a run
//! outlives an upgrade, so every field added later has a default.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hostler_proto::time::UtcMillis;
use serde::{Deserialize, Serialize};

use super::redact::MARK;

/// Bytes of `exit.json`'s place on disk, taken at the start so that a full disk cannot lose it.
const RESERVED_BYTES: usize = 16 * 1024;

/// Names inside a run folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The run folder at a path.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What to run.
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.json")
    }

    /// The log after redaction.
    pub fn log(&self) -> PathBuf {
        self.0.join("output.log")
    }

    /// Which bytes of the log came when, from where.
    pub fn index(&self) -> PathBuf {
        self.0.join("output.idx")
    }

    /// The end of a log over its size limit, while the run goes on.
    pub fn tail(&self) -> PathBuf {
        self.0.join("output.tail")
    }

    /// How it ended.
    pub fn exit(&self) -> PathBuf {
        self.0.join("exit.json")
    }

    /// Where `exit.json` is prepared.
    pub fn exit_draft(&self) -> PathBuf {
        self.0.join("exit.json.tmp")
    }

    /// Held (flock) for the supervisor's life.
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Where a daemon attaches.
    pub fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// The path of the run's cage, while it has one.
    pub fn cage(&self) -> PathBuf {
        self.0.join("cgroup")
    }

    /// There when every process of the run carries its mark.
    pub fn branded(&self) -> PathBuf {
        self.0.join("branded")
    }

    /// The supervisor's own words when it breaks.
    pub fn own_errors(&self) -> PathBuf {
        self.0.join("supervisor.err")
    }
}

/// What a supervisor runs and when it ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Commands run one after another; the first that fails ends the run.
    pub steps: Vec<Step>,
    /// The whole environment of every step.
    pub env: BTreeMap<String, String>,
    /// When to end it.
    pub limits: Limits,
    /// How long each gentle signal is given.
    pub grace: Grace,
    /// Ends with the daemon: when whoever attached goes away, or nobody attached in time.
    #[serde(default)]
    pub tied: bool,
    /// Written at the beginning of the log.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it is for.
    pub kind: StepKind,
    /// The command in words, for records and messages.
    pub label: String,
    /// Program (absolute, or looked up on the environment's PATH) and arguments.
    pub argv: Vec<String>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Text for its standard input; none is `/dev/null`.
    #[serde(default)]
    pub stdin: Option<String>,
}

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Makes the workspace usable.
    Setup,
    /// The run's own purpose.
    Agent,
    /// Takes down what setup made.
    Teardown,
}

impl StepKind {
    /// The kind's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Agent => "agent",
            Self::Teardown => "teardown",
        }
    }
}

/// When a run is ended. Times are milliseconds of awake time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// All setup and teardown steps together.
    pub commands_ms: u64,
    /// The agent.
    pub agent_ms: u64,
    /// Time without a byte of output and without CPU use.
    pub idle_ms: u64,
    /// First bytes of the log that are always kept.
    pub log_head: u64,
    /// Last bytes of the log that are kept when it is longer than head and tail together.
    pub log_tail: u64,
    /// The same as `idle_ms` when the last words look like a question.
    #[serde(default = "default_asks_ms")]
    pub asks_ms: u64,
    /// Resident memory of the whole tree; none is no limit.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Space that stays free on the disks of the log and of the workspace, but no more than a
    /// fiftieth of a disk.
    #[serde(default)]
    pub free_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            commands_ms: 10 * 60 * 1000,
            agent_ms: 60 * 60 * 1000,
            idle_ms: 15 * 60 * 1000,
            log_head: 16 << 20,
            log_tail: 48 << 20,
            asks_ms: default_asks_ms(),
            memory_bytes: None,
            free_bytes: 64 << 20,
        }
    }
}

fn default_asks_ms() -> u64 {
    2 * 60 * 1000
}

/// How long each gentle signal is given before the next, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grace {
    /// After INT.
    pub int_ms: u64,
    /// After TERM.
    pub term_ms: u64,
}

impl Default for Grace {
    fn default() -> Self {
        Self {
            int_ms: 10_000,
            term_ms: 5_000,
        }
    }
}

/// What a supervisor pushes to everyone attached: always the whole truth, one JSON line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Bytes of `output.log` that can be read.
    pub log: u64,
    /// When the agent's process started; none while setup goes on or when it never did.
    #[serde(default)]
    pub agent_started_at: Option<UtcMillis>,
    /// The step under way.
    #[serde(default)]
    pub step: usize,
    /// Whether the run is being ended.
    #[serde(default)]
    pub ending: bool,
    /// The end. Nothing follows it.
    #[serde(default)]
    pub exit: Option<Box<Exit>>,
}

/// What a daemon may ask of a supervisor, one JSON line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// End the run.
    Cancel {
        /// Who asked, for the record.
        by: String,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// Why it is over.
    pub ended: Ended,
    /// Every step that was started, in order.
    pub steps: Vec<StepExit>,
    /// When everything was gone.
    pub finished_at: UtcMillis,
    /// Size of the complete log in bytes.
    pub log_bytes: u64,
    /// CRC-32 (IEEE) of the complete log.
    pub log_crc32: u32,
    /// Highest memory seen over the whole tree, bytes.
    pub peak_memory_bytes: u64,
    /// CPU time of everything that ran, milliseconds.
    pub cpu_ms: u64,
    /// Processes that were still there after the last step and were ended.
    pub leftovers: u32,
}

/// Why a run is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Every step was run, or one of them failed: see the last step's exit.
    ByItself,
    /// A step could not be started.
    NotStarted {
        /// The system's words.
        error: String,
    },
    /// The step that was under way reached its time limit.
    TimedOut {
        /// The limit, milliseconds.
        limit_ms: u64,
    },
    /// No output and no CPU use for the idle limit.
    Stalled {
        /// The limit, milliseconds.
        limit_ms: u64,
        /// Whether the last words look like a question to somebody.
        #[serde(default)]
        asks: bool,
        /// The last screenful of output.
        #[serde(default)]
        last: String,
    },
    /// The tree used more memory than it may.
    TooMuchMemory {
        /// What it used, bytes.
        used_bytes: u64,
        /// The limit, bytes.
        limit_bytes: u64,
    },
    /// A disk was about to be full.
    DiskFull {
        /// A folder on it.
        folder: PathBuf,
        /// What was left, bytes.
        free_bytes: u64,
    },
    /// Somebody asked for it.
    Cancelled {
        /// Who.
        by: String,
    },
    /// The log could not be written.
    SpoolFailed {
        /// The system's words.
        error: String,
    },
}

/// How one step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepExit {
    /// What it was for.
    pub kind: StepKind,
    /// The command in words.
    pub label: String,
    /// When its process started.
    pub started_at: UtcMillis,
    /// When it ended.
    pub finished_at: UtcMillis,
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl Exit {
    /// The agent's own step, if it was started.
    pub fn agent(&self) -> Option<&StepExit> {
        self.steps.iter().find(|step| step.kind == StepKind::Agent)
    }

    /// The exit record a supervisor left; none when there is no complete one.
    pub fn load(dir: &RunDir) -> Option<Self> {
        let text = std::fs::read(dir.exit()).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

impl Ended {
    /// The reason in words, the beginning of a sentence, with the last output where that tells why.
    pub fn in_words(&self) -> String {
        match self {
            Self::Stalled { last, .. } if last.is_empty() => {
                format!("{}; it had printed nothing", self.in_short())
            }
            Self::Stalled { last, .. } => {
                format!("{}; its last output was:\n{last}", self.in_short())
            }
            Self::ByItself
            | Self::NotStarted { .. }
            | Self::TimedOut { .. }
            | Self::TooMuchMemory { .. }
            | Self::DiskFull { .. }
            | Self::Cancelled { .. }
            | Self::SpoolFailed { .. } => self.in_short(),
        }
    }

    /// The reason in one line.
    pub fn in_short(&self) -> String {
        match self {
            Self::ByItself => "the run ended by itself".to_owned(),
            Self::NotStarted { error } => error.clone(),
            Self::TimedOut { limit_ms } => {
                format!("the time limit of {} was reached", in_words(*limit_ms))
            }
            Self::Stalled { limit_ms, asks, .. } => {
                let time = in_words(*limit_ms);
                let why = if *asks {
                    "it waits for an answer that nobody is there to give: "
                } else {
                    ""
                };
                format!("{why}nothing came and nothing was computed for {time}")
            }
            Self::TooMuchMemory {
                used_bytes,
                limit_bytes,
            } => format!(
                "its processes used {} MiB of memory, more than the limit of {} MiB",
                used_bytes >> 20,
                limit_bytes >> 20
            ),
            Self::DiskFull { folder, free_bytes } => format!(
                "the disk of {} is full ({} KiB left): make room there",
                folder.display(),
                free_bytes >> 10
            ),
            Self::Cancelled { by } => format!("cancelled by {by}"),
            Self::SpoolFailed { error } => format!("the log cannot be written ({error})"),
        }
    }
}

impl StepExit {
    /// How the step ended, in words.
    pub fn in_words(&self) -> String {
        let what = format!("{} `{}`", self.kind.word(), self.label);
        match (self.code, self.signal) {
            (Some(code), _) => format!("{what} ended with exit code {code}"),
            (None, Some(signal)) => format!("{what} was ended by signal {signal}"),
            (None, None) => format!("{what} ended"),
        }
    }
}

/// A duration in the unit that suits it.
fn in_words(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{} s", millis / 1_000),
        _ => format!("{} min", millis / 60_000),
    }
}

impl Spec {
    /// Writes the spec into its run folder, readable by the owner alone.
    pub fn save(&self, dir: &RunDir) -> io::Result<()> {
        let mut file = private_file(&dir.spec())?;
        file.write_all(&serde_json::to_vec(self)?)
    }

    /// Takes the values of the environment out of a run folder's spec, in one step.
    pub fn forget_env(dir: &RunDir) -> io::Result<()> {
        let mut spec = Self::load(dir)?;
        for value in spec.env.values_mut() {
            *value = String::from_utf8_lossy(MARK).into_owned();
        }
        let draft = dir.path().join("spec.json.tmp");
        private_file(&draft)?.write_all(&serde_json::to_vec(&spec)?)?;
        std::fs::rename(draft, dir.spec())
    }

    /// Reads the spec of a run folder.
    pub fn load(dir: &RunDir) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(dir.spec())?)?)
    }
}

/// A new or emptied file that only the owner may read.
pub fn private_file(path: &Path) -> io::Result<File> {
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// The place of `exit.json` on disk, taken before anything runs.
#[derive(Debug)]
pub struct ExitDraft {
    dir: RunDir,
    file: File,
}

impl ExitDraft {
    /// Takes the place.
    pub fn reserve(dir: &RunDir) -> io::Result<Self> {
        let mut file = private_file(&dir.exit_draft())?;
        file.write_all(&[b' '; RESERVED_BYTES])?;
        Ok(Self {
            dir: dir.clone(),
            file,
        })
    }

    /// Writes the record over the reserved bytes and makes it visible in one step. May be tried
    /// again after a failure.
    pub fn publish(&mut self, exit: &Exit) -> io::Result<()> {
        use std::io::Seek;
        let text = serde_json::to_vec(exit)?;
        self.file.seek(io::SeekFrom::Start(0))?;
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)?;
        self.file.sync_data()?;
        std::fs::rename(self.dir.exit_draft(), self.dir.exit())?;
        File::open(self.dir.path())?.sync_all()
    }
}
