//! A run goes on while its daemon is killed, killed again and upgraded: every line once, one outcome.

use std::{fs, path::Path};

use serde_json::json;

use crate::harness::{Home, Program, eventually, secs};

/// How long the run prints a numbered line every 10 ms; `HOSTLER_TEST_SECONDS=60` for a minute.
fn seconds() -> u64 {
    let given = std::env::var("HOSTLER_TEST_SECONDS");
    given.ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

#[test]
fn a_run_survives_two_kills_of_its_daemon_and_an_upgrade() {
    let (home, far) = (Home::new(), Home::new());
    let server = home.server();
    far.join_only(&home, "far");
    let program = far.path("hostler-program");
    install(&program);
    let start = || {
        let mut command = far.command(&program);
        command.arg("daemon");
        Program::spawn(command)
    };
    let mut daemon = start();
    server.wait_host_online(1);
    let mcp = server.mcp();
    let count = seconds() * 100;
    let script =
        format!("i=0; while [ $i -lt {count} ]; do echo line $i; i=$((i+1)); sleep 0.01; done");
    let automation = |prompt: &str| {
        mcp.automation(&json!({"prompt": prompt, "targetHostId": "far", "overlap": "allow"}))
    };
    let counting = automation(&script);
    let run = mcp.start(&counting);
    mcp.wait_log(&counting, &run, "line 50\n");
    daemon.kill();
    let mut daemon = start();
    server.wait_host_online(1);
    mcp.wait_log(&counting, &run, "line 200\n");

    // Another program stands in the place of the one that runs: what it starts is still itself.
    install(&program);
    let meanwhile = mcp.run_to_end(&automation("echo started after the upgrade"));
    assert_eq!(meanwhile["state"], "succeeded", "{meanwhile}");
    daemon.kill();
    let _daemon = start();
    let ended = eventually("the run ends", secs(seconds() * 5 + 60), || {
        let found = mcp.log(&counting, &run)?;
        (found["done"] == true).then_some(found)
    });
    assert_eq!(ended["run"]["state"], "succeeded", "{}", ended["run"]);
    let lines: Vec<String> = (0..count)
        .map(|number| format!("line {number}\n"))
        .collect();
    assert!(ended["log"] == lines.concat(), "{}", ended["log"]);
}

/// Puts the program there, in place of what is there.
fn install(path: &Path) {
    let built = env!("CARGO_BIN_EXE_hostler");
    let fresh = path.with_extension("new");
    if fs::hard_link(built, &fresh).is_err() {
        fs::copy(built, &fresh).unwrap();
    }
    fs::rename(&fresh, path).unwrap();
    // A rename onto the same file does nothing at all: then it is put there anew.
    if fresh.exists() {
        fs::remove_file(path).unwrap();
        fs::rename(&fresh, path).unwrap();
    }
}
