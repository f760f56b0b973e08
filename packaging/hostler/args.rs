//! The command line as people type it.

mod governing;
mod hosts;
mod serving;
mod signing_in;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::client::Connection;
use crate::failure::EXIT_CODES;
pub(crate) use governing::{AuditCommand, AuditFormat, KeysCommand};
pub(crate) use hosts::{HostName, HostsCommand};
pub(crate) use serving::{ServerArgs, UpArgs, raise_files};
pub(crate) use signing_in::{AuthCommand, JoinArgs, LoginArgs};

const EXAMPLES: &str = "Examples:
  hostler up                                             everything on this machine
  hostler projects create --host macbook --path ~/src/shop
  hostler workspaces create 'Auth feature' --host macbook --project shop
  hostler automations create 'Nightly tests' --project shop --agent claude \\
      --rrule 'FREQ=DAILY;BYHOUR=2;BYMINUTE=30' --tz Europe/Berlin --prompt 'Run the tests and fix what fails.'
  hostler automations logs 'Nightly tests'
  hostler schedule preview --rrule 'FREQ=WEEKLY;BYDAY=MO' --tz America/New_York";

/// Turns a MacBook or a build box into a host that coding agents and schedules can use.
#[derive(Debug, Parser)]
#[command(name = "hostler", version, propagate_version = true, after_help = concat_help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn concat_help() -> String {
    format!("{EXAMPLES}\n\n{EXIT_CODES}")
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: control plane, MCP server and this machine as a host
    Up(UpArgs),
    /// Run the control plane alone
    Server(ServerArgs),
    /// Run the host daemon of a machine that has joined
    Daemon,
    /// Enrol this machine as a host of a control plane, signing in first if need be
    Join(JoinArgs),
    /// Forget the control plane this machine has joined
    Leave,
    /// Sign this machine in: you agree in a browser on any machine
    Login(LoginArgs),
    /// Sign out: the tokens are revoked and forgotten
    Logout {
        /// URL of the control plane [default: the one in use]
        url: Option<String>,
    },
    /// What the commands sign in with
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Who you are to the control plane, and what this credential may do
    Whoami,
    /// Make a link that sets a new password, on the server's machine: for an owner who forgot theirs
    Recover {
        /// Email of the account
        email: String,
    },
    /// Print the console's address
    Console {
        /// Open it in the browser
        #[arg(long)]
        open: bool,
    },
    /// Print ready-to-paste configuration of MCP clients
    Connect {
        /// claude, codex, gemini, opencode, cursor, amp or claude-desktop [default: all]
        client: Option<String>,
    },
    /// Hosts: list, show, rename, remove, who may use them, keys
    #[command(subcommand)]
    Hosts(HostsCommand),
    /// Projects: repositories registered on hosts
    #[command(subcommand)]
    Projects(ProjectsCommand),
    /// Workspaces: branch-scoped git worktrees
    #[command(subcommand)]
    Workspaces(WorkspacesCommand),
    /// Tasks: work items
    #[command(subcommand)]
    Tasks(TasksCommand),
    /// Automations: agents on a schedule
    #[command(subcommand)]
    Automations(Box<AutomationsCommand>),
    /// Runs of automations
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Schedules: see when a rule fires
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// API keys: list, make, revoke
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Who did what: list, export, verify (admins and owners)
    #[command(subcommand)]
    Audit(AuditCommand),
    /// What is going on: hosts, next runs, recent runs
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectsCommand {
    /// List projects
    List {
        /// Only on this host (id or name)
        #[arg(long)]
        host: Option<String>,
    },
    /// Register a repository: clone a URL, or import a checkout by path
    #[command(after_help = "Examples:
  hostler projects create --host macbook --path ~/src/shop
  hostler projects create --host macbook --url git@example.com:team/shop.git")]
    Create {
        /// Host (id or name) [default: the only host there is]
        #[arg(long)]
        host: Option<String>,
        /// Remote to clone
        #[arg(long, required_unless_present = "path", conflicts_with = "path")]
        url: Option<String>,
        /// Checkout to import; a relative path counts from here
        #[arg(long)]
        path: Option<PathBuf>,
        /// Display name
        #[arg(long)]
        name: Option<String>,
        /// Folder on the host to clone into
        #[arg(long, requires = "url")]
        parent_dir: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkspacesCommand {
    /// List workspaces
    List {
        /// Only on this host (id or name)
        #[arg(long)]
        host: Option<String>,
        /// Only of this project (id, slug or name)
        #[arg(long)]
        project: Option<String>,
        /// Only in this state (creating, ready, failed, deleting)
        #[arg(long)]
        state: Option<String>,
    },
    /// Create a workspace: a worktree on a branch of its own
    Create {
        /// Name; the branch is made from it unless --branch is given
        name: String,
        /// Host (id or name) [default: the only host there is]
        #[arg(long)]
        host: Option<String>,
        /// Project (id, slug or name)
        #[arg(long)]
        project: String,
        /// Branch to check out or create
        #[arg(long)]
        branch: Option<String>,
        /// Branch to start from [default: the project's default branch]
        #[arg(long)]
        base_branch: Option<String>,
        /// Task it is made for
        #[arg(long)]
        task: Option<String>,
        /// Do not run the project's setup commands
        #[arg(long)]
        no_setup: bool,
    },
    /// Delete a workspace; refused while it holds work that is nowhere else
    Delete {
        /// Workspace id, or its name or branch when that is unique
        workspace: String,
        /// Delete it although it holds uncommitted or unpushed work
        #[arg(long)]
        force: bool,
        /// Delete its branch too
        #[arg(long)]
        delete_branch: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TasksCommand {
    /// List tasks, newest first
    List(TaskFilter),
    /// Show one task
    Get {
        /// Id or slug
        task: String,
    },
    /// Create a task
    Create {
        /// Title
        title: String,
        #[command(flatten)]
        fields: TaskFields,
    },
    /// Change a task; what is not named stays; an empty value clears
    Update {
        /// Id or slug
        task: String,
        /// New title
        #[arg(long)]
        title: Option<String>,
        #[command(flatten)]
        fields: TaskFields,
        /// Branch the work is on
        #[arg(long)]
        branch: Option<String>,
        /// Pull request
        #[arg(long, value_name = "URL")]
        pr_url: Option<String>,
    },
    /// Delete a task for good
    Delete {
        /// Id or slug
        task: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct TaskFilter {
    /// Status name or type
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// urgent, high, medium, low or none
    #[arg(long)]
    pub(crate) priority: Option<String>,
    /// Label; more than one must all be there
    #[arg(long)]
    pub(crate) label: Vec<String>,
    /// Words in title, description or slug
    #[arg(long)]
    pub(crate) search: Option<String>,
    /// Only those assigned to me
    #[arg(long)]
    pub(crate) mine: bool,
    /// At most this many
    #[arg(long)]
    pub(crate) limit: Option<u32>,
    /// Skip this many
    #[arg(long)]
    pub(crate) offset: Option<u32>,
}

#[derive(Args, Debug)]
pub(crate) struct TaskFields {
    /// Description (markdown)
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Status name or type
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// urgent, high, medium, low or none
    #[arg(long)]
    pub(crate) priority: Option<String>,
    /// Assignee (id or email)
    #[arg(long)]
    pub(crate) assignee: Option<String>,
    /// Estimate, points
    #[arg(long)]
    pub(crate) estimate: Option<String>,
    /// Due date (RFC 3339)
    #[arg(long)]
    pub(crate) due: Option<String>,
    /// Label; may be given more than once
    #[arg(long)]
    pub(crate) label: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AutomationsCommand {
    /// List automations with next and last run
    List {
        /// Only names that contain this
        #[arg(long)]
        name: Option<String>,
    },
    /// Show one automation
    Get {
        /// Id or name
        automation: String,
    },
    /// Read or replace the prompt
    #[command(subcommand)]
    Prompt(PromptCommand),
    /// Create an automation
    #[command(after_help = "Examples:
  hostler automations create 'Nightly tests' --project shop --agent claude --tz Europe/Berlin \\
      --rrule 'FREQ=DAILY;BYHOUR=2;BYMINUTE=30' --prompt-file nightly.md
  hostler automations create Heartbeat --agent shell --cron '*/15 9-17 * * 1-5' --tz America/New_York --prompt 'date'")]
    Create {
        /// Name
        name: String,
        #[command(flatten)]
        prompt: PromptText,
        #[command(flatten)]
        fields: AutomationFields,
    },
    /// Change an automation; what is not named stays
    Update {
        /// Id or name
        automation: String,
        /// New name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        fields: AutomationFields,
    },
    /// Stop its schedule until resumed
    Pause {
        /// Id or name
        automation: String,
    },
    /// Plan it again from now on
    Resume {
        /// Id or name
        automation: String,
    },
    /// Run it now
    Run {
        /// Id or name
        automation: String,
        /// Follow the run's log to its end; the exit code is 1 unless it succeeded
        #[arg(short, long)]
        follow: bool,
    },
    /// List its runs, newest first, or print one run's log
    Logs {
        /// Id or name
        automation: String,
        /// Print this run's whole log, agents' JSON lines made readable
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// With --run: print the log's bytes exactly as they are
        #[arg(long, requires = "run")]
        raw: bool,
        /// At most this many runs
        #[arg(long)]
        limit: Option<u32>,
    },
    /// List what became of each of its instants and why, and every change made to it
    #[command(after_help = "Examples:
  hostler automations history 'Nightly tests'
  hostler automations history 0198c1f2-… --all        (a deleted one by its id)")]
    History {
        /// Id or name
        automation: String,
        /// At most this many instants and runs
        #[arg(long, default_value_t = 100, conflicts_with = "all")]
        limit: u32,
        /// Every one there is
        #[arg(long)]
        all: bool,
    },
    /// Delete it; past runs stay readable
    Delete {
        /// Id or name
        automation: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PromptCommand {
    /// Print the prompt
    Get {
        /// Id or name
        automation: String,
    },
    /// Replace the prompt
    Set {
        /// Id or name
        automation: String,
        #[command(flatten)]
        prompt: PromptText,
        /// Only if the stored version is this one
        #[arg(long)]
        if_version: Option<u32>,
    },
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct PromptText {
    /// The prompt (markdown; a script for the agent `shell`)
    #[arg(long)]
    pub(crate) prompt: Option<String>,
    /// Read the prompt from a file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) prompt_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct AutomationFields {
    /// Agent: claude, codex, gemini, opencode, shell, …
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Host (id or name) [default: the only host there is]
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// Project (id, slug or name): a fresh worktree for each run
    #[arg(long, conflicts_with = "workspace")]
    pub(crate) project: Option<String>,
    /// Workspace (id, or its name or branch when that is unique) to run in
    #[arg(long)]
    pub(crate) workspace: Option<String>,
    /// RFC 5545 rule, for example FREQ=DAILY;BYHOUR=9;BYMINUTE=0, or cron text
    #[arg(long, conflicts_with = "cron")]
    pub(crate) rrule: Option<String>,
    /// Five-field cron text instead of a rule, for example '0 9 * * 1-5'
    #[arg(long)]
    pub(crate) cron: Option<String>,
    /// Start (RFC 3339) [default: now]
    #[arg(long)]
    pub(crate) dtstart: Option<String>,
    /// IANA time zone, for example Europe/Berlin
    #[arg(long, visible_alias = "timezone", value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// Instant to leave out (RFC 3339); may be given more than once
    #[arg(long)]
    pub(crate) exdate: Vec<String>,
    /// Instant to add (RFC 3339); may be given more than once
    #[arg(long)]
    pub(crate) rdate: Vec<String>,
    /// After the host was off or asleep: latest, skip or all
    #[arg(long)]
    pub(crate) catch_up: Option<String>,
    /// While the previous run goes on: skip, queue_one, cancel_previous or allow
    #[arg(long)]
    pub(crate) overlap: Option<String>,
    /// Spread of the start, seconds
    #[arg(long)]
    pub(crate) jitter_seconds: Option<u32>,
    /// Time limit of a run, seconds
    #[arg(long)]
    pub(crate) max_runtime_seconds: Option<u32>,
    /// Further attempts of a failed run (0 to 3)
    #[arg(long)]
    pub(crate) retries: Option<u32>,
    /// Failures in a row that pause it
    #[arg(long)]
    pub(crate) pause_after_failures: Option<u32>,
    /// Scheduled starts after which it is finished
    #[arg(long)]
    pub(crate) max_runs: Option<u32>,
    /// What the agent may do by itself: read_only, edits or full
    #[arg(long)]
    pub(crate) autonomy: Option<String>,
    /// Branch that runs in a project start from
    #[arg(long)]
    pub(crate) base_branch: Option<String>,
    /// Keep a run's own workspace: if_changed, always or never
    #[arg(long)]
    pub(crate) keep_workspace: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List the newest runs of all automations, deleted ones included
    List(RunsFilter),
    /// Show everything about one run
    Show {
        /// Run id
        run: String,
    },
    /// End a run that is queued or going on
    Cancel {
        /// Run id
        run: String,
    },
    /// Run the automation of an ended run again, as it is now
    Retry {
        /// Run id
        run: String,
        /// Follow the new run's log to its end; the exit code is 1 unless it succeeded
        #[arg(short, long)]
        follow: bool,
    },
    /// Print a run's log, agents' JSON lines made readable
    #[command(
        after_help = "Examples:\n  hostler runs tail 0198c1f2-… -f\n  hostler runs tail 0198c1f2-… --raw > run.log"
    )]
    Tail {
        /// Run id
        run: String,
        /// Follow until the run ends; the exit code is 1 unless it succeeded
        #[arg(short, long)]
        follow: bool,
        /// Print the log's bytes exactly as they are
        #[arg(long)]
        raw: bool,
    },
}

/// Which runs to list.
#[derive(Args, Debug)]
pub(crate) struct RunsFilter {
    /// Only of this automation: its id or name, also of a deleted one
    #[arg(long, value_name = "AUTOMATION")]
    pub(crate) automation: Option<String>,
    /// Only on this host: its id or name
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Only in this state, among the newest 100 of each automation
    #[arg(long, value_parser = RUN_STATES)]
    pub(crate) state: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub(crate) limit: usize,
}

/// The words for a run's state.
const RUN_STATES: [&str; 10] = [
    "queued",
    "preparing",
    "running",
    "succeeded",
    "failed",
    "timed_out",
    "stalled",
    "cancelled",
    "lost",
    "skipped",
];

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Show when a rule fires next, in its zone and in UTC
    #[command(after_help = "Examples:
  hostler schedule preview --rrule 'FREQ=WEEKLY;BYDAY=MO,WE' --dtstart 2026-03-02T09:00:00 --tz Europe/London -n 3
  hostler schedule preview --cron '30 2 * * *' --tz America/New_York --from 2027-03-11 --days 7
  hostler schedule preview --batch < cases.jsonl")]
    Preview(PreviewArgs),
}

#[derive(Args, Debug)]
pub(crate) struct PreviewArgs {
    /// RFC 5545 rule (content lines joined by newlines for a whole set), or cron text
    #[arg(long, required_unless_present_any = ["batch", "cron"], conflicts_with = "cron")]
    pub(crate) rrule: Option<String>,
    /// Five-field cron text instead of a rule
    #[arg(long)]
    pub(crate) cron: Option<String>,
    /// Start: RFC 3339, or local time in the zone [default: now]
    #[arg(long)]
    pub(crate) dtstart: Option<String>,
    /// IANA time zone
    #[arg(
        long,
        visible_alias = "timezone",
        value_name = "ZONE",
        required_unless_present = "batch"
    )]
    pub(crate) tz: Option<String>,
    /// List the instants from this one on: RFC 3339, or local time or date in the zone [default: the start]
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// List the instants before this one: RFC 3339, or local time or date in the zone
    #[arg(long, value_name = "TIME", conflicts_with = "days")]
    pub(crate) until: Option<String>,
    /// List the instants of so many days of the zone's calendar
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_600))]
    pub(crate) days: Option<u32>,
    /// How many instants at most [default: 5; with --until or --days all, up to 10,000]
    #[arg(short = 'n', long)]
    pub(crate) count: Option<u32>,
    /// Read JSON lines from standard input, write JSON lines
    #[arg(long, conflicts_with_all = ["rrule", "cron", "dtstart", "tz", "from", "until", "days", "count"])]
    pub(crate) batch: bool,
    /// Only expand: lift the product's own limits (periods under 60 s, the 8-year rule)
    #[arg(long)]
    pub(crate) unrestricted: bool,
}
