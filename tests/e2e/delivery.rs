//! Logs arrive exactly, however large, however many at once and however often the link is cut, and
//! neither end grows with them.
//!
//! `HOSTLER_LOG_MB=1000 HOSTLER_LOG_RUNS=50` gives the full size.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::harness::{Cutter, Home, Mcp, Program, Service, eventually, secs};

/// Resident memory neither end may exceed, MiB, whatever the size of the logs.
const MOST_MEMORY_MIB: u64 = 160;

fn size(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Peak resident memory of a process, MiB.
fn peak_mib(program: &Program) -> u64 {
    let pid = program.pid().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

/// A control plane and a host whose link is cut every second.
struct Cut {
    /// Dropped first: it ends what runs in it.
    daemon: Program,
    service: Service,
    cutter: Cutter,
    host: Home,
    _server: Home,
}

impl Cut {
    fn start(settings: &str) -> Self {
        let (server, host) = (Home::new(), Home::new());
        let service = server.server();
        host.join_only(&server, "box");
        fs::write(host.hostler_home().join("host.toml"), settings).unwrap();
        let cutter = Cutter::start(server.port(), secs(1));
        let identity = host.hostler_home().join("host/identity.json");
        let text = fs::read_to_string(&identity).unwrap();
        let direct = format!("127.0.0.1:{}", server.port());
        assert!(text.contains(&direct), "{text}");
        let detour = format!("127.0.0.1:{}", cutter.port);
        fs::write(&identity, text.replace(&direct, &detour)).unwrap();
        let daemon = host.daemon();
        let mcp = service.mcp();
        eventually("the host was seen", secs(60), || {
            mcp.host()["agents"].as_array()?.first().map(drop)
        });
        Self {
            daemon,
            service,
            cutter,
            host,
            _server: server,
        }
    }

    fn start_run(&self, script: &str) -> (Value, Value) {
        let mcp = self.service.mcp();
        let automation = mcp.automation(&json!({"prompt": script, "maxRuntimeSeconds": 3600}));
        let run = mcp.start(&automation);
        (automation, run)
    }

    /// Waits until the catalog has all of a run's log.
    fn arrived(&self, mcp: &Mcp, (automation, run): &(Value, Value), limit: Duration) -> Value {
        eventually("the log arrives", limit, || {
            let arguments = json!({"automationId": automation, "limit": 1});
            let listed = mcp.call("automations_logs", arguments).ok()?;
            let found = listed["runs"]
                .as_array()?
                .iter()
                .find(|one| one["runId"] == *run)?;
            let over = found["finishedAt"].is_string();
            (over
                && self
                    .spool(run)
                    .is_some_and(|size| size == found["logBytes"]))
            .then(|| found.clone())
        })
    }

    fn spool(&self, run: &Value) -> Option<u64> {
        let path = format!("host/runs/{}/output.log", run.as_str()?);
        Some(
            fs::metadata(self.host.hostler_home().join(path))
                .ok()?
                .len(),
        )
    }

    /// Reads a whole log through the tool and gives its size and checksum.
    fn read(mcp: &Mcp, (automation, run): &(Value, Value)) -> (u64, u32) {
        let (mut sum, mut size, mut cursor) = (crc32fast::Hasher::new(), 0, json!(0));
        loop {
            let arguments = json!({"automationId": automation, "runId": run, "cursor": cursor, "maxBytes": 1 << 20});
            let page = mcp.ok("automations_logs", arguments);
            let log = page["log"].as_str().unwrap();
            sum.update(log.as_bytes());
            size += log.len() as u64;
            cursor = page["nextCursor"].clone();
            assert_eq!(cursor, json!(size));
            if page["done"] == true {
                return (size, sum.finalize());
            }
            assert!(
                !log.is_empty(),
                "nothing more at {cursor} of {}",
                page["run"]["logBytes"]
            );
        }
    }
}

/// Prints so many numbered lines of 100 bytes, quickly, with a secret-looking word now and then.
fn printer(lines: u64, seed: u64) -> String {
    format!(
        "awk 'BEGIN {{ x = {seed}; for (n = 0; n < {lines}; n++) {{ x = (x * 16807) % 2147483647; \
         printf \"%010d %010d sk-test the quick brown fox jumps over the lazy dog %010d %021d\\n\", n, x, x * 3 % 99991, n }} }}'"
    )
}

/// What the printer's log has to be.
fn expected(lines: u64, seed: u64) -> (u64, u32) {
    let (mut x, mut sum, mut size) = (seed, crc32fast::Hasher::new(), 0);
    for n in 0..lines {
        x = x * 16807 % 2_147_483_647;
        let line = format!(
            "{n:010} {x:010} sk-test the quick brown fox jumps over the lazy dog {:010} {n:021}\n",
            x * 3 % 99991
        );
        sum.update(line.as_bytes());
        size += line.len() as u64;
    }
    (size, sum.finalize())
}

#[test]
fn one_large_log_and_many_at_once_arrive_exactly_over_a_link_that_is_cut_every_second() {
    let (megabytes, many) = (size("HOSTLER_LOG_MB", 100), size("HOSTLER_LOG_RUNS", 20));
    let cut = Cut::start("max_runs = 64\n[limits]\nlog_mb = 8000\n");
    let mcp = cut.service.mcp();
    let (large, small) = (megabytes * 10_000, 20_000);
    let one = cut.start_run(&printer(large, 7));
    let others: Vec<_> = (0..many)
        .map(|number| cut.start_run(&printer(small, 100 + number)))
        .collect();
    let limit = secs(120 + megabytes);
    for (number, run) in (100..).zip(&others) {
        let found = cut.arrived(&mcp, run, limit);
        assert_eq!(found["state"], "succeeded", "{found}");
        assert_eq!(Cut::read(&mcp, run), expected(small, number));
    }
    let found = cut.arrived(&mcp, &one, limit);
    assert_eq!(found["state"], "succeeded", "{found}");
    assert_eq!(Cut::read(&mcp, &one), expected(large, 7));
    assert!(cut.cutter.cuts() >= 3, "{} cuts", cut.cutter.cuts());
    let (host, server) = (peak_mib(&cut.daemon), peak_mib(&cut.service.program));
    eprintln!(
        "{megabytes} MB and {many} runs: {} cuts, peak memory {host} MiB (daemon), {server} MiB (control plane)",
        cut.cutter.cuts()
    );
    assert!(
        host.max(server) < MOST_MEMORY_MIB,
        "{host} and {server} MiB"
    );
}

#[test]
fn a_secret_is_neither_on_disk_nor_in_the_catalog_in_any_encoding() {
    let secret = "hunter2/Correct+Horse=Battery";
    let home = Home::new();
    fs::create_dir_all(home.hostler_home()).unwrap();
    let settings = home.hostler_home().join("host.toml");
    fs::write(&settings, format!("[env]\nDEPLOY_TOKEN = '{secret}'\n")).unwrap();
    let service = home.up();
    let mcp = service.mcp();
    // In three encodings, in pieces that come apart in time, on both streams, and as the last words.
    let script = "import base64, os, select, sys, urllib.parse
s = os.environ['DEPLOY_TOKEN']
forms = [s, base64.b64encode(s.encode()).decode(), base64.b64encode(('user:' + s).encode()).decode(), urllib.parse.quote(s, safe='')]
for stream in (sys.stdout, sys.stderr):
    for form in forms:
        for at in range(0, len(form), 5):
            stream.write(form[at:at + 5]); stream.flush(); select.select([], [], [], 0.01)
        stream.write('\\n'); stream.flush()
print('{\"type\":\"result\",\"result\":\"' + s + '\"}')
sys.exit('failed with ' + s)
";
    let prompt = format!("python3 - <<'END'\n{script}END\n");
    let automation = mcp.automation(&json!({"prompt": prompt}));
    let run = mcp.run_to_end(&automation);
    assert_eq!(run["state"], "failed");
    let page = mcp.log(&automation, &run["runId"]).unwrap();
    let log = page["log"].as_str().unwrap();
    assert_eq!(log.matches("[redacted]").count(), 10, "{log}");
    fs::remove_file(&settings).unwrap();
    drop((mcp, service));
    let forms = [
        secret,
        "VyMi9Db3JyZWN0K0hvcnNl",
        "L0NvcnJlY3QrSG9yc2U9",
        "hunter2%2FCorrect%2BHorse%3DBattery",
    ];
    let mut looked = 0;
    let mut folders = vec![home.hostler_home()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(bytes) = fs::read(&path) else { continue };
            looked += 1;
            for form in forms {
                let found = bytes
                    .windows(form.len())
                    .any(|part| part == form.as_bytes());
                assert!(!found, "{form} is in {}", path.display());
            }
        }
    }
    assert!(looked > 8, "{looked} files");
}
