//! What a run costs its host: the time from its claim to the agent's first byte, memory while it
//! goes on, and how often the disk is waited for.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::harness::{Home, Mcp, Repo, Stopwatch, eventually, git, secs};
use crate::{memory_kib, mib, millis};

/// From the claim (the commit of the run's row, as the run tells it) to the first byte of the agent
/// (as the index of its log tells it), both to the millisecond, in an existing workspace and in a
/// fresh worktree of 1,000 files, beside `git worktree add` there. Goals: p50 <= 10 ms without, and
/// no more than git's time with one.
pub(crate) fn claimed() {
    let home = Home::new();
    let service = home.up();
    let mcp = service.mcp();
    let repo = Repo::new(&home, "shop", 1_000);
    let project = mcp.import(&repo);
    let (workspace, _) = mcp.workspace(&project, "bench");
    let prompt = json!("echo first");
    let there = mcp.automation(&json!({"workspaceId": workspace, "prompt": prompt}));
    let fresh = mcp.automation(&json!({"projectId": project, "prompt": prompt}));
    println!("claim to the first byte of the agent, 40 runs each, ms");
    println!(
        "{:<26} {:>6} {:>6} {:>6} {:>6}",
        "", "min", "p50", "p95", "max"
    );
    let runs = |automation: &Value| -> Vec<f64> {
        let one = || claim_to_first_byte(&home, &mcp, automation);
        (0..40).map(|_| one()).collect()
    };
    row("existing workspace", runs(&there));
    row("fresh worktree", runs(&fresh));
    row(
        "git worktree add",
        (0..40).map(|n| worktree_add(&home, &repo, n)).collect(),
    );
    println!();
}

fn claim_to_first_byte(home: &Home, mcp: &Mcp, automation: &Value) -> f64 {
    let run = mcp.run_to_end(automation);
    let queued: jiff::Timestamp = run["queuedAt"].as_str().unwrap().parse().unwrap();
    let id = run["runId"].as_str().unwrap();
    let index = home
        .hostler_home()
        .join("host/runs")
        .join(id)
        .join("output.idx");
    let first = first_output_ms(&fs::read(index).unwrap());
    f64::from(i32::try_from(first - queued.as_millisecond()).unwrap())
}

/// When the first byte of standard output came: records of 24 bytes, the time after the offset,
/// the stream (1) after the length.
fn first_output_ms(index: &[u8]) -> i64 {
    let mut records = index.chunks_exact(24);
    let first = records.find(|record| record[20] == 1).unwrap();
    i64::from_le_bytes(first[8..16].try_into().unwrap())
}

fn worktree_add(home: &Home, repo: &Repo<'_>, number: usize) -> f64 {
    let folder = home.path(&format!("plain-{number}"));
    let (branch, path) = (
        format!("plain-{number}"),
        folder.to_string_lossy().into_owned(),
    );
    let watch = Stopwatch::start();
    git(
        home,
        &repo.path,
        &["worktree", "add", "-q", "-b", &branch, &path],
    );
    millis(watch.elapsed())
}

fn row(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{name:<26} {:>6.1} {:>6.1} {:>6.1} {:>6.1}",
        at(0),
        at(50),
        at(95),
        at(100)
    );
}

/// Memory of 32 runs that go on in silence: what their supervisors and what the daemon's growth add
/// to the machine, for each run. Goal: 3 MiB together.
pub(crate) fn memory() {
    const RUNS: usize = 32;
    let (server_home, home) = (Home::new(), Home::new());
    let server = server_home.server();
    fs::create_dir_all(home.hostler_home()).unwrap();
    fs::write(home.hostler_home().join("host.toml"), "max_runs = 64\n").unwrap();
    let daemon = home.join(&server_home, "bench");
    server.wait_host_online(1);
    let mcp = server.mcp();
    let prompt = "echo $$; exec tail -f /dev/null";
    let automation = mcp.automation(&json!({"prompt": prompt, "overlap": "allow"}));
    // The first run's share is that of the code it is the first to touch.
    let first = mcp.start(&automation);
    mcp.wait_log(&automation, &first, "\n");
    thread::park_timeout(secs(2));
    let before = memory_kib(daemon.pid()).0;
    let runs: Vec<Value> = (0..RUNS).map(|_| mcp.start(&automation)).collect();
    for run in &runs {
        mcp.wait_log(&automation, run, "\n");
    }
    thread::park_timeout(secs(10));
    let grown = memory_kib(daemon.pid()).0.saturating_sub(before);
    let supervisors: Vec<u64> = runs.iter().map(|run| supervisor_kib(&home, run)).collect();
    let each = |kib: u64| mib(kib) / f64::from(u32::try_from(RUNS).unwrap());
    let own: u64 = supervisors.iter().sum();
    println!("memory of {RUNS} silent runs, MiB for each");
    println!(
        "{:>12} {:>14} {:>10}",
        "supervisor", "daemon's growth", "together"
    );
    println!(
        "{:>12.2} {:>14.2} {:>10.2}\n",
        each(own),
        each(grown),
        each(own + grown)
    );
}

/// Private memory of the supervisor of a run: the leader of the session its agent works in.
fn supervisor_kib(home: &Home, run: &Value) -> u64 {
    let log = home
        .hostler_home()
        .join("host/runs")
        .join(run.as_str().unwrap());
    let agent = fs::read_to_string(log.join("output.log")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.trim())).unwrap();
    let fields = stat.rsplit(')').next().unwrap();
    let session: i32 = fields.split_whitespace().nth(3).unwrap().parse().unwrap();
    memory_kib(Pid::from_raw(session).unwrap()).0
}

/// How often each end waits for the disk in one short run, counted by strace(1) over 20 of them.
pub(crate) fn syncs() {
    const RUNS: usize = 20;
    let (server_home, home) = (Home::new(), Home::new());
    let server = server_home.server();
    let daemon = home.join(&server_home, "bench");
    server.wait_host_online(1);
    let mcp = server.mcp();
    let automation = mcp.automation(&json!({"prompt": "echo hello"}));
    mcp.run_to_end(&automation);
    let counters = [server.program.pid(), daemon.pid()].map(|pid| {
        let output = home.path(&format!("strace-{}", pid.as_raw_nonzero()));
        (count_syncs(pid, &output), output)
    });
    for _ in 0..RUNS {
        mcp.run_to_end(&automation);
    }
    thread::park_timeout(secs(2));
    println!("waits for the disk for one run of one line (fsync and fdatasync)");
    println!("{:>14} {:>6}", "control plane", "host");
    let [plane, host] = counters.map(|(mut strace, output)| {
        rustix::process::kill_process(Pid::from_child(&strace), Signal::INT).unwrap();
        strace.wait().unwrap();
        let lines = fs::read_to_string(output).unwrap();
        let calls = lines.lines().filter(|line| line.contains("sync(")).count();
        f64::from(u32::try_from(calls).unwrap()) / f64::from(u32::try_from(RUNS).unwrap())
    });
    println!("{plane:>14.1} {host:>6.1}\n");
}

fn count_syncs(pid: Pid, output: &Path) -> std::process::Child {
    let strace = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(output)
        .args(["-p", &pid.as_raw_nonzero().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("strace is attached", secs(10), || {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
        let tracer = status.lines().find(|line| line.starts_with("TracerPid:"))?;
        (!tracer.ends_with("\t0")).then_some(())
    });
    strace
}
