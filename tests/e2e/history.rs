//! One automation's whole life between two hosts, as its history tells it: edited, paused, moved
//! while its old host is off, missed while its new one is, run by hand, deleted. Every instant stands
//! in the list once, with its host and its reason.

use serde_json::{Value, json};

use crate::harness::{Home, Mcp, Program, eventually, passed, secs, soon, yearly};

/// An automation whose instants come when the test wants them: each edit starts the rule anew in a
/// few seconds.
struct Watched<'a> {
    mcp: &'a Mcp,
    id: Value,
}

impl Watched<'_> {
    fn history(&self) -> Value {
        let arguments = json!({"automationId": self.id, "limit": 100});
        self.mcp.ok("automations_logs", arguments)
    }

    fn runs(&self) -> Vec<Value> {
        self.history()["runs"].as_array().unwrap().clone()
    }

    fn update(&self, mut change: Value) {
        change["id"] = self.id.clone();
        self.mcp.ok("automations_update", change);
    }

    /// Edits it to start in some seconds; gives the instant.
    fn edit(&self, seconds: i64, mut change: Value) -> String {
        let at = soon(seconds);
        change["dtstart"] = json!(at);
        self.update(change);
        at
    }

    /// Waits for the record of an instant in this state.
    #[track_caller]
    fn wait(&self, instant: &str, state: &str) -> Value {
        let found = |runs: Vec<Value>| {
            runs.into_iter()
                .find(|run| run["scheduledFor"] == instant && run["state"] == state)
        };
        eventually(&format!("{instant} is {state}"), secs(100), || {
            found(self.runs())
        })
    }

    /// Waits until the host has been told of the rule that fires at this instant, and a little more.
    #[track_caller]
    fn wait_plan(&self, instant: &str) {
        eventually("the rule is planned", secs(7), || {
            let shown = self.mcp.ok("automations_get", json!({"id": self.id}));
            (shown["automation"]["nextRunAt"] == instant).then_some(())
        });
        passed(&soon(2));
    }

    /// Waits until what is still open says this.
    #[track_caller]
    fn wait_note(&self, part: &str) {
        eventually(part, secs(20), || {
            let notes = self.history()["notes"].to_string();
            notes.contains(part).then_some(())
        });
    }
}

/// What is to be told of an instant: it, state, host and how the explanation begins.
type Line = (String, &'static str, &'static str, &'static str);

#[test]
fn every_instant_of_an_automation_is_told_with_its_reason_minutes() {
    let (home, near, far) = (Home::new(), Home::new(), Home::new());
    let server = home.server();
    let mut near_daemon = near.join(&home, "near");
    let mut far_daemon = far.join(&home, "far");
    server.wait_host_online(2);
    let mcp = server.mcp();
    let first = soon(4);
    let hourly = json!({
        "name": "Watched", "targetHostId": "near", "rrule": "FREQ=HOURLY", "dtstart": first,
    });
    let id = mcp.ok("automations_create", yearly(&hourly))["automation"]["id"].clone();
    let watched = Watched { mcp: &mcp, id };
    watched.wait(&first, "succeeded");
    let mut lines: Vec<Line> = vec![(first, "succeeded", "near", "on schedule")];
    lines.extend(edited_while_it_runs(&watched, &near));
    lines.push(paused(&watched));
    near_daemon.kill();
    let (moved, _near_daemon) = moved_while_near_is_off(&watched, &near);
    lines.push(moved);
    let (missed, _far_daemon) = missed_while_far_is_off(&watched, &mut far_daemon, &far);
    lines.push(missed);
    watched.update(json!({"rrule": "FREQ=HOURLY"}));
    let by_hand = mcp.run_to_end(&watched.id)["runId"].clone();
    mcp.ok("automations_delete", json!({"id": watched.id}));

    let told = watched.history();
    assert_told(&told, &lines);
    assert_changes(&told);
    let id = watched.id.as_str().unwrap();
    let listed = home.run(&["automations", "history", id, "--all"]).ok();
    for (_, _, _, why) in &lines {
        assert!(listed.contains(why), "no {why:?} in\n{listed}");
    }
    let run = by_hand.as_str().unwrap();
    assert!(
        listed.contains(run) && listed.contains("asked for by hand"),
        "{listed}"
    );
    let rows: Vec<&str> = listed.lines().collect();
    assert!(
        rows[0].starts_with("WHEN") && rows[1].contains("deleted"),
        "{listed}"
    );
    let last = rows[rows.len() - 1];
    assert!(
        last.contains("created on host near: Every hour"),
        "{listed}"
    );
}

/// An edit while a run goes on: the run keeps its rule, the new rule's first instant meets it.
fn edited_while_it_runs(watched: &Watched<'_>, near: &Home) -> [Line; 2] {
    let prompt = |prompt: &str| {
        let arguments = json!({"id": watched.id, "prompt": prompt});
        watched.mcp.ok("automations_set_prompt", arguments);
    };
    prompt("until [ -e \"$HOME/go\" ]; do sleep 0.1; done; exit 3");
    let slow = watched.edit(3, json!({"rrule": "FREQ=HOURLY;INTERVAL=2"}));
    watched.wait(&slow, "running");
    let beside = watched.edit(2, json!({}));
    watched.wait(&beside, "skipped");
    std::fs::write(near.user().join("go"), "").unwrap();
    watched.wait(&slow, "failed");
    prompt("echo done");
    [
        (slow, "failed", "near", "on schedule; it failed:"),
        (
            beside,
            "skipped",
            "near",
            "not run: an earlier run still went on",
        ),
    ]
}

fn paused(watched: &Watched<'_>) -> Line {
    watched
        .mcp
        .ok("automations_pause", json!({"id": watched.id}));
    let asleep = watched.edit(2, json!({"name": "Renamed"}));
    passed(&asleep);
    watched.wait_note("1 instant has passed");
    watched
        .mcp
        .ok("automations_resume", json!({"id": watched.id}));
    watched.wait(&asleep, "skipped");
    (
        asleep,
        "skipped",
        "near",
        "not run: the automation was paused",
    )
}

/// The new host begins only when the old one, which is off, has come back and let go.
fn moved_while_near_is_off(watched: &Watched<'_>, near: &Home) -> (Line, Program) {
    let moved = watched.edit(2, json!({"targetHostId": "far"}));
    passed(&moved);
    watched.wait_note("host far begins when host near is back");
    let runs = watched.runs();
    assert!(runs.iter().all(|run| run["scheduledFor"] != moved.as_str()));
    let daemon = near.daemon();
    watched.wait(&moved, "succeeded");
    ((moved, "succeeded", "far", ""), daemon)
}

/// More than a minute off: by its policy, the instant is recorded and not run.
fn missed_while_far_is_off(
    watched: &Watched<'_>,
    daemon: &mut Program,
    far: &Home,
) -> (Line, Program) {
    let missed = watched.edit(8, json!({"rrule": "FREQ=MINUTELY", "catchUp": "skip"}));
    // Acknowledged by the host: the instant is its to miss.
    watched.wait_plan(&missed);
    daemon.kill();
    passed(&missed);
    passed(&soon(62));
    watched.wait_note("host far is offline");
    let daemon = far.daemon();
    watched.wait(&missed, "skipped");
    let why = "not run: host far was off, asleep or not in charge";
    ((missed, "skipped", "far", why), daemon)
}

#[track_caller]
fn assert_told(told: &Value, lines: &[Line]) {
    for (instant, state, host, why) in lines {
        let of_instant = told["runs"].as_array().unwrap().iter();
        let of_instant: Vec<_> = of_instant
            .filter(|run| run["scheduledFor"] == instant.as_str())
            .collect();
        let [run] = of_instant.as_slice() else {
            panic!("{instant} stands {} times in {told:#}", of_instant.len());
        };
        assert_eq!(
            (&run["state"], &run["hostName"]),
            (&json!(state), &json!(host)),
            "{run}"
        );
        let said = run["explanation"].as_str().unwrap();
        assert!(said.starts_with(why), "{said:?} instead of {why:?}");
    }
}

/// What was done to it, oldest first.
#[track_caller]
fn assert_changes(told: &Value) {
    let changes = told["changes"].as_array().unwrap();
    let whole: Vec<String> = changes
        .iter()
        .rev()
        .map(|change| {
            format!(
                "{}: {}",
                change["kind"].as_str().unwrap(),
                change["what"].as_str().unwrap()
            )
        })
        .collect();
    let mut rest = whole.iter();
    for part in [
        "created: created on host near: Every hour",
        "edited: prompt replaced by version 2",
        "edited: schedule changed from \"Every hour, UTC\" to \"Every 2 hours, UTC\"",
        "edited: prompt replaced by version 3",
        "paused: paused by its owner",
        "edited: renamed from \"Watched\" to \"Renamed\"",
        "resumed: resumed",
        "moved: moved from host near to host far",
        "taken_over: host far takes it over: host near has let go of it",
        "edited: catchUp changed from latest to skip",
        "deleted: deleted",
    ] {
        let found = rest.any(|change| change.starts_with(part));
        assert!(found, "no {part:?} at its place in {whole:#?}");
    }
}
