//! Figures of the real program, printed as tables. Run by hand:
//!
//! ```text
//! cargo bench --bench program            # all of them; the idle figures take a minute
//! cargo bench --bench program -- first-byte
//! ```
//!
//! * `first-byte`: from sending `automations_run` to the first byte of the agent's output in
//!   `automations_logs`, in an existing workspace, with the agent `shell`. It compares with nothing
//!   but its goal, p50 <= 30 ms on loopback; a followed run is asked for without a pause.
//! * `idle-many`: the same as `idle` with 10,000 automations; making them takes about a minute.
//! * `idle`: memory and CPU of `hostler daemon` and `hostler server` over 60 s with one project, one
//!   workspace and one automation, and the git processes they started in that time. The memory
//!   column `own` is private memory (what the process adds to the machine), `resident` also counts
//!   pages of the program file.
//! * `claimed`: from a run's claim to the first byte of its agent, with and without a fresh worktree.
//! * `memory`: what a run that goes on adds to the machine: its supervisor, and the daemon's growth.
//! * `syncs`: how often each end waits for the disk in one run, by strace(1), which has to be there.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints its table"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench that cannot go on stops"
)]
#![expect(
    dead_code,
    unused_imports,
    reason = "the tests use more of the harness than the benches"
)]

#[path = "../harness/mod.rs"]
mod harness;
mod runs;

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

use harness::{Home, Mcp, Repo, Stopwatch, eventually, secs};
use rustix::process::Pid;
use serde_json::{Value, json};

fn main() {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|word| word == name);
    if wanted("first-byte") {
        first_byte();
    }
    if wanted("idle") {
        idle(1);
    }
    if wanted("idle-many") {
        idle(10_000);
    }
    if wanted("claimed") {
        runs::claimed();
    }
    if wanted("memory") {
        runs::memory();
    }
    if wanted("syncs") {
        runs::syncs();
    }
}

fn first_byte() {
    let home = Home::new();
    let service = home.up();
    let mcp = service.mcp();
    let repo = Repo::new(&home, "shop", 10);
    let (workspace, _) = mcp.workspace(&mcp.import(&repo), "bench");
    let automation = mcp.automation(&json!({
        "workspaceId": workspace, "prompt": "echo first; sleep 0.2", "overlap": "allow"
    }));
    let mut times: Vec<Duration> = (0..50).map(|_| one_run(&mcp, &automation)).collect();
    times.sort();
    println!("automations_run to the first byte in automations_logs, 50 runs, ms");
    println!("{:>8} {:>8} {:>8} {:>8}", "min", "p50", "p95", "max");
    let at = |share: usize| millis(times[(times.len() - 1) * share / 100]);
    println!(
        "{:>8.1} {:>8.1} {:>8.1} {:>8.1}\n",
        at(0),
        at(50),
        at(95),
        at(100)
    );
}

/// Starts a run, follows its log until something is there, then lets it end.
fn one_run(mcp: &Mcp, automation: &Value) -> Duration {
    let watch = Stopwatch::start();
    let run = mcp.start(automation);
    loop {
        let log = mcp.log(automation, &run);
        if log.is_some_and(|log| log["log"] != json!("")) {
            break;
        }
        assert!(watch.elapsed() < secs(30), "no output within 30 s");
    }
    let taken = watch.elapsed();
    mcp.finished(automation, &run);
    taken
}

/// Memory and CPU with so many automations of which none is due.
fn idle(automations: u32) {
    let (server_home, host_home) = (Home::new(), Home::new());
    let server = server_home.server();
    let daemon = host_home.join(&server_home, "bench");
    server.wait_host_online(1);
    let mcp = server.mcp();
    let repo = Repo::new(&host_home, "shop", 10);
    let (workspace, _) = mcp.workspace(&mcp.import(&repo), "bench");
    let watch = Stopwatch::start();
    let made = (0..automations).map(|_| mcp.automation(&json!({"workspaceId": workspace})));
    let last = made.last().unwrap();
    // A run by hand has come back, so the host has them all.
    mcp.run_to_end(&last);
    println!(
        "{automations} automations created and synced in {:.1} s",
        watch.elapsed().as_secs_f64()
    );
    thread::park_timeout(secs(5));
    let pids = [("daemon", daemon.pid()), ("server", server.program.pid())];
    let before = pids.map(|(_, pid)| cpu_ms(pid));
    let gits = watch_for_git(&pids.map(|(_, pid)| pid), secs(60));
    println!("idle over 60 s with one workspace and automations: {automations}");
    println!(
        "{:<8} {:>12} {:>15} {:>8} {:>14}",
        "process", "own MiB", "resident MiB", "cpu ms", "git processes"
    );
    for ((name, pid), before) in pids.into_iter().zip(before) {
        let (own, resident) = memory_kib(pid);
        let cpu = cpu_ms(pid) - before;
        println!(
            "{name:<8} {:>12.1} {:>15.1} {cpu:>8} {gits:>14}",
            mib(own),
            mib(resident)
        );
    }
    println!();
}

/// Counts processes called `git` below these two seen within `limit`, looking every few
/// milliseconds.
fn watch_for_git(roots: &[Pid], limit: Duration) -> usize {
    let roots: BTreeSet<String> = roots
        .iter()
        .map(|pid| pid.as_raw_nonzero().to_string())
        .collect();
    let watch = Stopwatch::start();
    let mut seen = BTreeSet::new();
    while watch.elapsed() < limit {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let pid = entry.file_name().to_string_lossy().into_owned();
            if comm.trim() == "git" && descends(&pid, &roots) {
                seen.insert(pid);
            }
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    seen.len()
}

/// Whether one of the roots is the process's parent, its parent's parent, and so on.
fn descends(pid: &str, roots: &BTreeSet<String>) -> bool {
    let mut pid = pid.to_owned();
    while pid != "0" && !roots.contains(&pid) {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = text.rsplit(')').next().unwrap_or_default();
        fields
            .split_whitespace()
            .nth(1)
            .unwrap_or("0")
            .clone_into(&mut pid);
    }
    pid != "0"
}

/// Private and resident memory in KiB, from `/proc/PID/smaps_rollup` (proc(5)).
fn memory_kib(pid: Pid) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero())).unwrap();
    let of = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (of("Private_Dirty:"), of("Rss:"))
}

/// CPU time used so far, milliseconds (`/proc/PID/stat`, fields 14 and 15, in clock ticks of 10 ms).
fn cpu_ms(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |index: usize| fields[index].parse::<u64>().unwrap();
    (ticks(11) + ticks(12)) * 10
}

#[expect(clippy::cast_precision_loss, reason = "a table's figure")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
