//! Schedules in real minutes, begun first because they wait: the host fires by itself, with the
//! control plane there and with it gone.

use serde_json::{Value, json};

use crate::harness::{Home, Mcp, Stopwatch, eventually, secs};

#[test]
fn three_instants_fire_while_the_control_plane_is_away_minutes() {
    let home = Home::new();
    let far = Home::new();
    let mut server = home.server();
    let _daemon = far.join(&home, "far");
    server.wait_host_online(1);
    let ids = [
        create(
            &server.mcp(),
            "plain",
            "echo \"fired $HOSTLER_RUN_ID\" | tee -a \"$HOME/fired\"",
        ),
        create(&server.mcp(), "slow", "echo begun; sleep 5; echo ended"),
    ];
    // A run by hand has come back, so the host has both automations.
    for id in &ids {
        server.mcp().run_to_end(id);
    }
    server.program.kill();

    // The machine itself keeps the count while nobody can ask.
    let fired = || {
        let lines = std::fs::read_to_string(far.user().join("fired")).unwrap_or_default();
        lines.lines().count()
    };
    let before = fired();
    eventually(
        "three instants fired with nobody listening",
        secs(230),
        || (fired() >= before + 3).then_some(()),
    );
    let server = home.server();
    server.wait_host_online(1);
    let mcp = server.mcp();
    for id in &ids {
        let mut seen = Vec::new();
        let watch = Stopwatch::start();
        let arrived = |runs: &[Value]| {
            runs.iter()
                .filter(|run| run["state"] == "succeeded")
                .count()
        };
        while arrived(&seen) < 3 {
            assert!(
                watch.elapsed() < secs(60),
                "not all runs arrived: {seen:#?}"
            );
            seen = newest_runs(&mcp, id);
        }
        assert_each_minute_once(&seen);
    }
    eventually("the logs arrive too", secs(60), || {
        let runs = newest_runs(&mcp, &ids[0]);
        let logged = |run: &&Value| {
            run["logTail"]
                .as_str()
                .unwrap()
                .contains(run["runId"].as_str().unwrap())
        };
        (runs.iter().filter(logged).count() >= 3).then_some(())
    });
}

#[test]
fn a_pause_holds_and_one_host_fires_by_itself_minutes() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let paused = create(&mcp, "paused", "echo must not run");
    mcp.ok("automations_pause", json!({"id": paused}));
    let fires = create(&mcp, "fires", "echo fired");
    let run = eventually("it fires by itself", secs(90), || {
        newest_runs(&mcp, &fires).first().cloned()
    });
    assert_eq!(run["trigger"], "schedule");
    assert!(
        run["scheduledFor"].as_str().unwrap().ends_with(":00Z"),
        "{run}"
    );
    assert_eq!(newest_runs(&mcp, &paused).len(), 0);
    let next = mcp.ok("automations_get", json!({"id": fires}))["automation"]["nextRunAt"].clone();
    assert!(
        next.as_str().unwrap() > run["scheduledFor"].as_str().unwrap(),
        "{next}"
    );
}

fn create(mcp: &Mcp, name: &str, script: &str) -> Value {
    let every_minute = json!({
        "name": name, "prompt": script, "rrule": "FREQ=MINUTELY", "dtstart": "2026-01-01T00:00:00Z",
    });
    mcp.automation(&every_minute)
}

/// The runs that the schedule made, newest first.
fn newest_runs(mcp: &Mcp, id: &Value) -> Vec<Value> {
    let listed = mcp.ok(
        "automations_logs",
        json!({"automationId": id, "limit": 100}),
    );
    let mut runs = listed["runs"].as_array().unwrap().clone();
    runs.retain(|run| run["trigger"] == "schedule");
    runs
}

/// No instant twice, and none left out between the first and the last.
#[track_caller]
fn assert_each_minute_once(runs: &[Value]) {
    let mut minutes: Vec<&str> = runs
        .iter()
        .map(|run| run["scheduledFor"].as_str().unwrap())
        .collect();
    minutes.sort_unstable();
    let count = minutes.len();
    minutes.dedup();
    assert_eq!(minutes.len(), count, "an instant fired twice: {runs:#?}");
    let of_day: Vec<u32> = minutes.iter().map(|at| minute_of_day(at)).collect();
    for pair in of_day.windows(2) {
        assert_eq!(
            (pair[0] + 1) % 1440,
            pair[1],
            "an instant is missing: {minutes:?}"
        );
    }
}

/// `2026-01-01T10:20:00Z` -> 620.
fn minute_of_day(at: &str) -> u32 {
    let number = |from: usize| at[from..from + 2].parse::<u32>().unwrap();
    number(11) * 60 + number(14)
}
