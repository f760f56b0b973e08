//! How old a line is when somebody who follows its run reads it: from the moment before the agent
//! writes it to the answer of `automations_logs`, on one machine. Run by hand:
//!
//! ```text
//! cargo bench --bench tail                     # all of them
//! cargo bench --bench tail -- alone crowd      # some of them
//! ```
//!
//! * `alone`: one run that prints a line every 50 ms.
//! * `crowd`: the same while 50 other runs print a line every 50 ms each.
//! * `backlog`: the same while a host that was cut off delivers 200 MB of other runs' logs.
//! * `readers`: the same while 30 readers read a log of 6 MB over and over; and how long a
//!   `hosts_list` takes meanwhile.
//!
//! It compares with nothing but its goal, p95 <= 100 ms on loopback. The follower asks with
//! `waitMs`, so its own pace is not part of the figure; every line is checked to come once, in order.

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

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{Home, Mcp, Service, Stopwatch, eventually, secs};
use serde_json::{Value, json};

/// Lines of the run that is followed.
const LINES: usize = 200;

/// Prints when it was written, once every 50 ms.
const STAMPS: &str = "exec perl -MTime::HiRes=time,sleep -e '$|=1; for (1..200) { printf \"%.6f\\n\", time; sleep 0.05 }'";

/// The same, for as long as it is let.
const ENDLESS: &str = "exec perl -MTime::HiRes=sleep -e '$|=1; while (1) { print \"a line of another run\\n\"; sleep 0.05 }'";

/// Other runs of `crowd`.
const OTHERS: usize = 50;

/// Runs of `backlog`, and the bytes each prints: below the limit of one log.
const BACKLOG: (usize, usize) = (4, 50_000_000);

fn main() {
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    println!("age of a line when a follower reads it, {LINES} lines, ms");
    println!("{:<10} {:>8} {:>8} {:>8}  ", "", "p50", "p95", "max");
    let scenarios: [(&str, fn()); 4] = [
        ("alone", alone),
        ("crowd", crowd),
        ("backlog", backlog),
        ("readers", readers),
    ];
    for (name, scenario) in scenarios {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            scenario();
        }
    }
}

fn alone() {
    let home = Home::new();
    let up = home.up();
    print("alone", &follow(&up.mcp()), "");
}

fn crowd() {
    let home = Home::new();
    fs::create_dir_all(home.hostler_home()).unwrap();
    fs::write(home.hostler_home().join("host.toml"), "max_runs = 60\n").unwrap();
    let up = home.up();
    let mcp = up.mcp();
    let others = mcp.automation(&json!({"prompt": ENDLESS, "overlap": "allow"}));
    let runs: Vec<Value> = (0..OTHERS).map(|_| mcp.start(&others)).collect();
    for run in &runs {
        mcp.wait_log(&others, run, "another");
    }
    let ages = follow(&mcp);
    let note = format!("{OTHERS} other runs");
    print("crowd", &ages, &note);
    for run in &runs {
        mcp.ok("runs_cancel", json!({"runId": run}));
    }
}

fn backlog() {
    let (home, far) = (Home::new(), Home::new());
    let mut server = home.server();
    let _daemon = far.join(&home, "far");
    server.wait_host_online(1);
    let (count, bytes) = BACKLOG;
    let script = format!(
        "until [ -e \"$HOME/go\" ]; do sleep 0.05; done; yes 'a line of a backlog' | head -c {bytes}"
    );
    let others = server
        .mcp()
        .automation(&json!({"prompt": script, "overlap": "allow"}));
    let runs: Vec<Value> = (0..count).map(|_| server.mcp().start(&others)).collect();
    eventually("they run", secs(60), || {
        let listed = server
            .mcp()
            .ok("automations_logs", json!({"automationId": others}));
        let runs = listed["runs"].as_array()?.clone();
        runs.iter()
            .all(|run| run["state"] == "running")
            .then_some(())
    });
    server.program.kill();
    fs::write(far.user().join("go"), "").unwrap();
    let folder = far.hostler_home().join("host/runs");
    eventually("they have printed", secs(600), || {
        let ended = |run: &Value| {
            folder
                .join(run.as_str().unwrap())
                .join("exit.json")
                .exists()
        };
        runs.iter().all(ended).then_some(())
    });
    let server = home.server();
    server.wait_host_online(1);
    let mcp = server.mcp();
    let delivered = || -> u64 {
        let listed = mcp.ok("automations_logs", json!({"automationId": others}));
        let runs = listed["runs"].as_array().unwrap().clone();
        runs.iter()
            .map(|run| run["logBytes"].as_u64().unwrap())
            .sum()
    };
    let (watch, before) = (Stopwatch::start(), delivered());
    let ages = follow(&mcp);
    let (took, after) = (watch.elapsed(), delivered());
    let speed = mega(after - before) / took.as_secs_f64();
    let note = format!(
        "{:.0} of 200 MB delivered meanwhile, {speed:.1} MB/s",
        mega(after - before)
    );
    print("backlog", &ages, &note);
}

fn readers() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let big = mcp.automation(&json!({"prompt": "yes 'a line that many read' | head -c 6000000"}));
    let run = mcp.start(&big);
    eventually("the log is there", secs(120), || {
        let listed = mcp.ok("automations_logs", json!({"automationId": big}));
        (listed["runs"][0]["logBytes"] == 6_000_000).then_some(())
    });
    let over = AtomicBool::new(false);
    let (ages, mut lists) = std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| read_all(&up, &big, &run, &over));
        }
        let lister = scope.spawn(|| {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let watch = Stopwatch::start();
                up.mcp().ok("hosts_list", json!({}));
                times.push(watch.elapsed());
            }
            times
        });
        let ages = follow(&mcp);
        over.store(true, Ordering::Relaxed);
        (ages, lister.join().unwrap())
    });
    lists.sort();
    let at = |share: usize| millis(lists[(lists.len() - 1) * share / 100]);
    let note = format!(
        "hosts_list p50 {:.0}, p95 {:.0}, max {:.0}",
        at(50),
        at(95),
        at(100)
    );
    print("readers", &ages, &note);
}

/// Reads a whole log in the largest pages, over and over.
fn read_all(up: &Service, automation: &Value, run: &Value, over: &AtomicBool) {
    let mcp = up.mcp();
    while !over.load(Ordering::Relaxed) {
        let mut cursor = json!(0);
        loop {
            let read = json!({"automationId": automation, "runId": run, "cursor": cursor, "maxBytes": 1 << 20});
            let page = mcp.ok("automations_logs", read);
            cursor = page["nextCursor"].clone();
            if page["done"] == true || over.load(Ordering::Relaxed) {
                break;
            }
        }
    }
}

/// Follows a run that prints its stamps; how old each was when it was read.
fn follow(mcp: &Mcp) -> Vec<Duration> {
    let automation = mcp.automation(&json!({"prompt": STAMPS}));
    let run = mcp.start(&automation);
    let (mut ages, mut text, mut cursor) = (Vec::new(), String::new(), json!(0));
    loop {
        let read =
            json!({"automationId": automation, "runId": run, "cursor": cursor, "waitMs": 20_000});
        let page = mcp.ok("automations_logs", read);
        let now = now();
        text.push_str(page["log"].as_str().unwrap());
        while let Some(end) = text.find('\n') {
            let stamp: f64 = text[..end].parse().unwrap_or_else(|_| panic!("{text}"));
            ages.push(now.saturating_sub(Duration::from_secs_f64(stamp)));
            text.drain(..=end);
        }
        cursor = page["nextCursor"].clone();
        if page["done"] == true {
            break;
        }
    }
    assert_eq!(ages.len(), LINES, "lines were lost or doubled");
    ages.sort();
    ages
}

#[expect(clippy::disallowed_methods, reason = "stamps are of the wall clock")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn print(name: &str, ages: &[Duration], note: &str) {
    let at = |share: usize| millis(ages[(ages.len() - 1) * share / 100]);
    println!(
        "{name:<10} {:>8.1} {:>8.1} {:>8.1}  {note}",
        at(50),
        at(95),
        at(100)
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a table's figure")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
