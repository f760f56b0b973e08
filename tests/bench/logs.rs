//! How fast one run's log goes from the agent to the catalog, beside what the machine can do at all.
//! Run by hand:
//!
//! ```text
//! cargo bench --bench logs             # 256 MB
//! HOSTLER_LOG_MB=1000 cargo bench --bench logs
//! ```
//!
//! The agent is `cat` of a file of log-like text. `spooled` is until the run has ended (redaction
//! and spool), `in the catalog` until the control plane has committed the last byte (link, checksum,
//! packing), counted from the same start. Beside them: `cat file | zstd -1` into a file, and writing
//! the file to the disk with one sync.

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
use std::io::{BufWriter, Write};
use std::path::Path;

use harness::{Home, Program, Stopwatch, eventually, secs};
use serde_json::json;

fn main() {
    let megabytes = std::env::var("HOSTLER_LOG_MB").map_or(256, |text| text.parse().unwrap());
    let home = Home::new();
    fs::create_dir_all(home.hostler_home()).unwrap();
    let settings = "[limits]\nlog_mb = 32000\n[env]\nDEPLOY_TOKEN = 'a-secret-of-some-length'\nDB_PASSWORD = 'another one/with+signs'\n";
    fs::write(home.hostler_home().join("host.toml"), settings).unwrap();
    let file = home.path("log.txt");
    write_log(&file, megabytes * 1_000_000);
    println!("log of {megabytes} MB\n\n| what | s | MB/s |\n|---|---:|---:|");
    let packed = home.path("packed");
    shell(
        &home,
        "cat | zstd -1",
        &format!(
            "cat {} | zstd -q -1 -o {}",
            file.display(),
            packed.display()
        ),
        megabytes,
    );
    let copy = home.path("copy");
    shell(
        &home,
        "disk (dd, one fsync)",
        &format!(
            "dd if={} of={} bs=1M conv=fsync status=none",
            file.display(),
            copy.display()
        ),
        megabytes,
    );
    fs::remove_file(packed).unwrap();
    fs::remove_file(copy).unwrap();
    delivered(&home, &file, megabytes);
}

fn delivered(home: &Home, file: &Path, megabytes: u64) {
    let service = home.up();
    let mcp = service.mcp();
    let automation = mcp.automation(&json!({"prompt": format!("cat {}", file.display())}));
    let watch = Stopwatch::start();
    let run = mcp.start(&automation);
    let (mut spooled, size) = (None, megabytes * 1_000_000);
    eventually("the log is in the catalog", secs(3600), || {
        let listed = mcp.ok(
            "automations_logs",
            json!({"automationId": automation, "limit": 1}),
        );
        let found = &listed["runs"][0];
        if found["finishedAt"].is_string() && spooled.is_none() {
            spooled = Some(watch.elapsed().as_secs_f64());
        }
        (found["logBytes"].as_u64() >= Some(size) && spooled.is_some()).then_some(())
    });
    row("spooled (redacted)", spooled.unwrap(), megabytes);
    row("in the catalog", watch.elapsed().as_secs_f64(), megabytes);
    let catalog = home.hostler_home().join("control-plane/catalog.db");
    let pid = service.program.pid().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    println!(
        "\ncatalog {} MB, both ends in one process: {peak}, run {run}",
        fs::metadata(catalog).unwrap().len() / 1_000_000
    );
}

fn shell(home: &Home, what: &str, script: &str, megabytes: u64) {
    let mut command = home.command("sh");
    command.args(["-c", script]);
    let watch = Stopwatch::start();
    let mut program = Program::spawn(command);
    let status = program.wait(secs(3600));
    assert!(status.success(), "{}", program.output());
    row(what, watch.elapsed().as_secs_f64(), megabytes);
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn row(what: &str, seconds: f64, megabytes: u64) {
    println!(
        "| {what} | {seconds:.2} | {:.0} |",
        megabytes as f64 / seconds
    );
}

/// Text as build tools and agents print it: times, paths, words, numbers.
fn write_log(path: &Path, bytes: u64) {
    let mut out = BufWriter::new(fs::File::create(path).unwrap());
    let (mut left, mut x) = (bytes, 1_u64);
    while left > 0 {
        x = x * 16807 % 2_147_483_647;
        let line = format!(
            "2026-03-01T12:{:02}:{:02}.{:06}Z INFO compile src/module_{}/file_{x}.rs: {} warnings, key=task-{:x} took {} ms\n",
            x / 7 % 60,
            x % 60,
            x % 1_000_000,
            x % 97,
            x % 13,
            x * 31,
            x % 9973
        );
        let line = &line.as_bytes()[..line.len().min(usize::try_from(left).unwrap())];
        out.write_all(line).unwrap();
        left -= line.len() as u64;
    }
    out.flush().unwrap();
}
