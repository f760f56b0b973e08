//! Making a worktree and asking for its first `git status`: Hostler against `git worktree add`,
//! interleaved, on repositories of 2,000 and 10,000 files in memory (`/dev/shm`, else the temporary
//! folder). Prints a table. Run with `cargo bench -p hostler-daemon --bench worktree [ROUNDS]`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program run by hand that prints a table"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hostler_daemon::git::worktree::{self, Plan, Start};
use hostler_daemon::git::{Repo, Tools, Watch, refs};

const SIZES: [usize; 2] = [2_000, 10_000];

fn main() {
    let given = std::env::args().find_map(|arg| arg.parse().ok());
    let rounds = given.unwrap_or(9);
    println!("medians of {rounds} interleaved rounds, milliseconds");
    println!(
        "{:>7}  {:<18} {:>8} {:>8} {:>8}  {:>6}",
        "files", "with", "create", "status", "sum", "faster"
    );
    for files in SIZES {
        measure(files, rounds);
    }
}

fn measure(files: usize, rounds: usize) {
    let memory = Some(Path::new("/dev/shm")).filter(|path| path.is_dir());
    let base = memory.map_or_else(std::env::temp_dir, Path::to_owned);
    let dir = tempfile::tempdir_in(base).unwrap();
    let root = repository(dir.path(), files);
    let repo = Repo::discover(&root).unwrap();
    let tools = Tools::of_the_daemon();
    let head = refs::resolve(&tools.git, &repo, "HEAD").unwrap().unwrap();
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let path = dir.path().join(format!("theirs-{round}"));
        let branch = format!("theirs-{round}");
        let args = [
            "worktree",
            "add",
            "-q",
            "-b",
            &branch,
            path.to_str().unwrap(),
        ];
        let their = timed(|| git(&root, &args), &path);
        let plan = Plan {
            token: format!("round-{round}"),
            branch: format!("ours-{round}"),
            path: dir.path().join(format!("trees/ours-{round}")),
            start: Start::New(head.clone()),
        };
        let our = timed(|| create(&tools, &repo, &plan), &plan.path);
        // The first round warms the caches of both.
        if round > 0 {
            theirs.push(their);
            ours.push(our);
        }
    }
    let (theirs, ours) = (median(theirs), median(ours));
    let sum = |(create, status): (f64, f64)| create + status;
    row(files, "git worktree add", theirs, "");
    let faster = format!("{:.2}x", sum(theirs) / sum(ours));
    row(files, "hostler", ours, &faster);
}

fn create(tools: &Tools, repo: &Repo, plan: &Plan) {
    let watch = Watch {
        progress: &|_| (),
        cancel: &AtomicBool::new(false),
    };
    worktree::create(tools, repo, plan, &watch, &|_| ()).unwrap();
}

/// How long the creation and the first status took.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed(create: impl FnOnce(), path: &Path) -> (Duration, Duration) {
    let begun = Instant::now();
    create();
    let created = Instant::now();
    git(path, &["status", "--porcelain"]);
    (created - begun, created.elapsed())
}

fn median(mut all: Vec<(Duration, Duration)>) -> (f64, f64) {
    all.sort_by_key(|(create, status)| *create + *status);
    let (create, status) = all[all.len() / 2];
    (create.as_secs_f64() * 1000.0, status.as_secs_f64() * 1000.0)
}

fn row(files: usize, with: &str, (create, status): (f64, f64), faster: &str) {
    let sum = create + status;
    println!("{files:>7}  {with:<18} {create:>8.1} {status:>8.1} {sum:>8.1}  {faster:>6}");
}

/// A packed repository of text files, 1 to 8 KiB each, twenty to a folder.
fn repository(dir: &Path, files: usize) -> PathBuf {
    let root = dir.join("repo");
    std::fs::create_dir(&root).unwrap();
    for number in 0..files {
        let folder = root.join(format!("pkg{}/mod{}", number / 400, number / 20));
        std::fs::create_dir_all(&folder).unwrap();
        let salt = number * 7919;
        let line = format!("line {number} of source text that packs as code does {salt}\n");
        let text = line.repeat(16 + number % 110);
        std::fs::write(folder.join(format!("file{number}.rs")), text).unwrap();
    }
    let who = ["-c", "user.name=b", "-c", "user.email=b@b"];
    git(&root, &["init", "-q", "-b", "main"]);
    git(&root, &["config", "gc.auto", "0"]);
    git(&root, &["add", "-A"]);
    git(&root, &[&who[..], &["commit", "-q", "-m", "all"]].concat());
    git(&root, &["gc", "-q"]);
    root
}

fn git(dir: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    let quiet = command.args(args).current_dir(dir).stdout(Stdio::null());
    assert!(quiet.status().unwrap().success(), "git {args:?}");
}
