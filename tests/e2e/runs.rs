//! Runs by themselves: read in full, ended at any moment and by whoever was quicker, run again, and
//! their logs followed, readable or byte for byte.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, Mcp, Program, Repo, Stopwatch, eventually, secs};

const NOTHING: &str = "01900000-0000-7000-8000-000000000000";

/// Tells that it began, then goes on until `go` is in the home folder.
const UNTIL_GO: &str = "echo began; until [ -e \"$HOME/go\" ]; do sleep 0.02; done; echo ended";

impl Mcp {
    #[track_caller]
    fn in_full(&self, run: &Value) -> Value {
        self.ok("runs_get", json!({"runId": run}))
    }

    #[track_caller]
    fn cancel(&self, run: &Value) -> Value {
        self.ok("runs_cancel", json!({"runId": run}))
    }

    #[track_caller]
    fn wait_state(&self, run: &Value, state: &str) {
        eventually(&format!("the run is {state}"), secs(60), || {
            (self.in_full(run)["run"]["state"] == state).then_some(())
        });
    }
}

#[test]
fn a_run_is_read_in_full_and_outlives_its_automation() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 2);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    let script = "echo more >> README.md; git commit -qam more; echo new > new.txt; exit 4";
    let id = mcp.automation(&json!({"name": "Nightly", "projectId": project, "prompt": script}));
    let run = mcp.run_to_end(&id)["runId"].clone();
    mcp.ok("automations_delete", json!({"id": id}));
    let full = mcp.in_full(&run);
    let (record, place) = (&full["run"], &full["workspace"]);
    assert_eq!(
        (&record["state"], &record["exitCode"]),
        (&json!("failed"), &json!(4))
    );
    assert_eq!(
        (&full["automation"]["id"], &full["automation"]["name"]),
        (&id, &json!("Nightly"))
    );
    assert!(full["automation"]["deletedAt"].is_string(), "{full}");
    assert_eq!(
        (&full["host"]["name"], &full["host"]["online"]),
        (&mcp.host()["name"], &json!(true))
    );
    assert_eq!(place["id"], record["workspaceId"]);
    assert!(
        fs::exists(place["path"].as_str().unwrap()).unwrap(),
        "{place}"
    );
    let outcome = &record["outcome"];
    assert_eq!(
        (&outcome["commits"], &outcome["dirty"]),
        (&json!(1), &json!(true)),
        "{outcome}"
    );
    let times: Vec<&str> = ["queuedAt", "preparingAt", "startedAt", "finishedAt"]
        .map(|name| {
            record[name]
                .as_str()
                .unwrap_or_else(|| panic!("no {name}: {record}"))
        })
        .into();
    assert!(times.is_sorted(), "{times:?}");
    for wrong in ["nonsense", NOTHING] {
        let wrong = json!({"runId": wrong});
        mcp.refused("runs_get", wrong.clone(), "not_found");
        mcp.refused("runs_cancel", wrong, "not_found");
    }
    mcp.refused("runs_get", json!({}), "invalid_argument");
}

#[test]
fn cancelling_ends_everything_and_can_be_repeated() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let script = "(setsid sh -c 'echo $$ > \"$HOME/child\"; sleep 300' &)\nuntil [ -s \"$HOME/child\" ]; do :; done\necho before; sleep 300";
    let id = mcp.automation(&json!({"prompt": script}));
    let run = mcp.start(&id);
    mcp.wait_log(&id, &run, "before");
    let ended = mcp.cancel(&run);
    assert_eq!(
        (&ended["alreadyOver"], &ended["pending"]),
        (&json!(false), &json!(false))
    );
    mcp.wait_state(&run, "cancelled");
    let run = mcp.finished(&id, &run);
    assert!(run["reason"].as_str().unwrap().contains("owner@"), "{run}");
    assert!(run["logTail"].as_str().unwrap().contains("before"), "{run}");
    let child = fs::read_to_string(home.user().join("child")).unwrap();
    assert!(
        !fs::exists(format!("/proc/{}", child.trim())).unwrap(),
        "{child} is still there"
    );
    let again = mcp.cancel(&run["runId"]);
    assert_eq!((&again["alreadyOver"], &again["run"]), (&json!(true), &run));
}

#[test]
fn a_run_that_waits_for_its_place_is_cancelled_without_starting() {
    let home = Home::new();
    fs::create_dir_all(home.hostler_home()).unwrap();
    fs::write(home.hostler_home().join("host.toml"), "max_runs = 1\n").unwrap();
    let up = home.up();
    let mcp = up.mcp();
    let first = mcp.automation(&json!({"prompt": UNTIL_GO}));
    let going = mcp.start(&first);
    mcp.wait_log(&first, &going, "began");
    let second = mcp.automation(&json!({"prompt": "echo ran > \"$HOME/ran\""}));
    let waiting = mcp.start(&second);
    assert_eq!(mcp.cancel(&waiting)["run"]["state"], "cancelled");
    fs::write(home.user().join("go"), "").unwrap();
    assert_eq!(mcp.finished(&first, &going)["state"], "succeeded");
    assert_eq!(mcp.run_to_end(&first)["state"], "succeeded");
    assert!(!fs::exists(home.user().join("ran")).unwrap());
}

#[test]
fn a_cancel_during_setup_takes_effect_at_once() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 2);
    fs::create_dir_all(repo.path.join(".hostler")).unwrap();
    let setup = json!({"setup": ["echo setting up; touch \"$HOME/began\"; sleep 300"]});
    fs::write(repo.path.join(".hostler/config.json"), setup.to_string()).unwrap();
    repo.git(&["add", "."]);
    repo.git(&["commit", "-qm", "setup"]);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    let began = home.user().join("began");
    let id = mcp.automation(&json!({"projectId": project, "prompt": "echo ran"}));
    let run = mcp.start(&id);
    eventually("setup begins", secs(30), || began.exists().then_some(()));
    let watch = Stopwatch::start();
    mcp.cancel(&run);
    mcp.wait_state(&run, "cancelled");
    assert!(watch.elapsed() < secs(9), "{:?}", watch.elapsed());

    fs::remove_file(&began).unwrap();
    let host = mcp.host()["id"].clone();
    let (url, key) = (up.mcp_url.clone(), up.key.clone());
    let making = std::thread::spawn(move || {
        let wish = json!({"hostId": host, "projectId": project, "name": "slow"});
        Mcp::new(&url, &key).call("workspaces_create", wish)
    });
    eventually("setup begins", secs(30), || began.exists().then_some(()));
    let listed = mcp.ok("workspaces_list", json!({"state": "creating"}));
    let watch = Stopwatch::start();
    let slow = &listed["workspaces"][0]["id"];
    let gone = mcp.ok("workspaces_delete", json!({"id": slow, "force": true}));
    assert_eq!(gone["deleted"], true);
    assert!(watch.elapsed() < secs(20), "{:?}", watch.elapsed());
    drop(making.join().unwrap());
    assert_eq!(mcp.find_workspace(slow), None);
}

#[test]
fn a_cancel_and_an_end_meet_in_either_order() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let over = mcp.automation(&json!({"prompt": "echo quick"}));
    let run = mcp.run_to_end(&over);
    let late = mcp.cancel(&run["runId"]);
    assert_eq!(
        (&late["alreadyOver"], &late["run"]["state"]),
        (&json!(true), &json!("succeeded"))
    );

    let polite = "trap 'exit 0' INT; echo began; while :; do sleep 0.05; done";
    let id = mcp.automation(&json!({"prompt": polite}));
    let run = mcp.start(&id);
    mcp.wait_log(&id, &run, "began");
    mcp.cancel(&run);
    assert_eq!(mcp.finished(&id, &run)["state"], "cancelled");

    let id = mcp.automation(&json!({"prompt": UNTIL_GO, "overlap": "allow"}));
    for _ in 0..4 {
        let run = mcp.start(&id);
        mcp.wait_log(&id, &run, "began");
        fs::write(home.user().join("go"), "").unwrap();
        let answer = mcp.cancel(&run);
        let ended = mcp.finished(&id, &run);
        let state = ended["state"].as_str().unwrap();
        assert!(["succeeded", "cancelled"].contains(&state), "{ended}");
        if answer["alreadyOver"] == true {
            assert_eq!(state, "succeeded");
        }
        assert_eq!(
            mcp.cancel(&run)["run"]["state"],
            ended["state"],
            "an end is for good"
        );
        fs::remove_file(home.user().join("go")).unwrap();
    }
}

#[test]
fn a_cancel_waits_for_a_host_that_is_away() {
    let (home, far) = (Home::new(), Home::new());
    let mut server = home.server();
    let mut daemon = far.join(&home, "far");
    server.wait_host_online(1);
    let mcp = server.mcp();
    let id = mcp.automation(&json!({"prompt": "echo began; sleep 300"}));
    let run = mcp.start(&id);
    mcp.wait_log(&id, &run, "began");
    daemon.stop();
    eventually("the host is offline", secs(60), || {
        (mcp.host()["online"] == false).then_some(())
    });
    for _ in 0..2 {
        let wish = mcp.cancel(&run);
        assert_eq!(
            (&wish["pending"], &wish["run"]["state"]),
            (&json!(true), &json!("running"))
        );
        assert_eq!(wish["hostName"], "far");
    }
    let said = home.run(&["runs", "cancel", run.as_str().unwrap()]).ok();
    assert!(said.contains("far is away"), "{said}");
    // One that the host never heard of is over at once, and stays so.
    let touch = mcp.automation(&json!({"prompt": "echo ran > \"$HOME/ran\""}));
    let unheard = mcp.start(&touch);
    assert_eq!(mcp.cancel(&unheard)["run"]["state"], "cancelled");
    server.program.kill();
    let server = home.server();
    assert_eq!(
        mcp.in_full(&run)["cancelRequested"]["by"],
        "owner@localhost"
    );
    let _daemon = far.daemon();
    server.wait_host_online(1);
    mcp.wait_state(&run, "cancelled");
    assert!(mcp.in_full(&run)["cancelRequested"].is_null());
    let next = mcp.automation(&json!({"prompt": "echo next"}));
    assert_eq!(mcp.run_to_end(&next)["state"], "succeeded");
    assert_eq!(mcp.in_full(&unheard)["run"]["state"], "cancelled");
    assert!(!fs::exists(far.user().join("ran")).unwrap());
}

#[test]
fn runs_by_hand() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let one = mcp.automation(&json!({"name": "One", "prompt": "echo one; exit 3"}));
    let two = mcp.automation(&json!({"name": "Two", "prompt": UNTIL_GO}));
    let failed = mcp.run_to_end(&one)["runId"].as_str().unwrap().to_owned();
    let going = mcp.start(&two);
    mcp.wait_log(&two, &going, "began");
    let going = going.as_str().unwrap().to_owned();

    let (code, said) = home.run(&["runs", "retry", &going]).failed();
    assert!(
        code == 5 && said.contains("still running"),
        "{code}: {said}"
    );
    home.run(&["runs", "cancel", &going]).ok();
    let said = home.run(&["runs", "cancel", &going]).ok();
    assert!(said.contains("had ended already"), "{said}");
    let shown = home.run(&["runs", "show", &failed]).ok();
    assert!(
        shown.contains("exit code") && shown.contains("One") && shown.contains("one\n"),
        "{shown}"
    );
    let retried = home.run(&["runs", "retry", &failed, "--json"]).json();
    assert_eq!(retried["automationId"], one);
    mcp.finished(&one, &retried["runId"]);
    let (code, said) = home.run(&["runs", "retry", &failed, "-f"]).failed();
    assert!(
        code == 1 && said.contains("one\n") && said.contains("ended as failed"),
        "{code}: {said}"
    );

    mcp.ok("automations_delete", json!({"id": two}));
    let (code, said) = home.run(&["runs", "retry", &going]).failed();
    assert!(code == 5 && said.contains("was deleted"), "{code}: {said}");
    for wrong in [
        ["runs", "show", "nonsense"],
        ["runs", "tail", NOTHING],
        ["runs", "cancel", NOTHING],
    ] {
        assert_eq!(home.run(&wrong).failed().0, 4, "{wrong:?}");
    }
}

#[test]
fn runs_of_all_automations_are_listed() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let one = mcp.automation(&json!({"name": "One", "prompt": "exit 3"}));
    let two = mcp.automation(&json!({"name": "Two", "prompt": "true"}));
    let made: Vec<String> = [&one, &two, &one, &one]
        .map(|id| mcp.run_to_end(id)["runId"].as_str().unwrap().to_owned())
        .into_iter()
        .rev()
        .collect();
    mcp.ok("automations_delete", json!({"id": two}));
    let ids = |narrow: &[&str]| -> Vec<String> {
        let listed = home
            .run(&[&["runs", "list", "--json"], narrow].concat())
            .json();
        let runs = listed["runs"].as_array().unwrap().clone();
        runs.iter()
            .map(|run| run["runId"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&[]), made);
    assert_eq!(ids(&["--limit", "1"]), made[..1]);
    assert_eq!(ids(&["--state", "succeeded"]), made[2..3]);
    assert_eq!(ids(&["--automation", "two"]), made[2..3]);
    let host = mcp.host()["name"].as_str().unwrap().to_owned();
    assert_eq!(ids(&["--host", &host, "--state", "failed"]).len(), 3);
    let table = home.run(&["runs", "list"]).ok();
    assert!(table.contains("Two") && table.contains(&made[0]), "{table}");
    assert_eq!(
        home.run(&["runs", "list", "--host", "nowhere"]).failed().0,
        4
    );
    assert_eq!(home.run(&["runs", "list", "--state", "odd"]).failed().0, 2);
}

#[test]
fn a_log_is_printed_readable_or_byte_for_byte() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let spoken = json!({"type": "assistant", "message": {"content": [{"type": "text", "text": "Fixed it"}]}});
    fs::write(home.user().join("said"), format!("{spoken}\n")).unwrap();
    let script = "cat \"$HOME/said\"; printf 'a\\377b\\033[31mred\\n'; yes 0123456789abcdef | head -c 1500000";
    let id = mcp.automation(&json!({"name": "Talk", "prompt": script}));
    let run = mcp.start(&id).as_str().unwrap().to_owned();
    let out = home.path("out");
    let raw = |command: &str| {
        let script = format!(
            "{} {command} > {}",
            env!("CARGO_BIN_EXE_hostler"),
            out.display()
        );
        let mut shell = home.command("/bin/sh");
        shell.args(["-c", &script]);
        crate::harness::Ended::of(shell, secs(60)).ok();
        fs::read(&out).unwrap()
    };
    let mut expected = format!("{spoken}\n").into_bytes();
    expected.extend(b"a\xffb\x1b[31mred\n");
    let whole: Vec<u8> = b"0123456789abcdef\n"
        .iter()
        .copied()
        .cycle()
        .take(1_500_000)
        .collect();
    expected.extend(whole);
    for command in [
        format!("runs tail {run} --raw -f"),
        format!("automations logs Talk --run {run} --raw"),
    ] {
        assert!(raw(&command) == expected, "{command}");
    }
    for command in [
        format!("runs tail {run}"),
        format!("automations logs Talk --run {run}"),
    ] {
        let text = String::from_utf8(raw(&command)).unwrap();
        assert!(text.starts_with("Fixed it\n"), "{command}: {}", &text[..60]);
        assert!(
            !text.contains('\u{1b}') && text.contains("red\n"),
            "{command}"
        );
    }
    // Whoever reads no further ends it, quietly.
    let script = format!(
        "{} runs tail {run} 2>&1 >&3 | cat >&2",
        env!("CARGO_BIN_EXE_hostler")
    );
    let mut shell = home.command("/bin/sh");
    shell.args(["-c", &format!("{{ {script}; }} 3>&1 | head -c 10")]);
    let ended = crate::harness::Ended::of(shell, secs(60));
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("Fixed it\na", "")
    );
}

#[test]
fn following_goes_on_through_a_restart_of_the_server() {
    let home = Home::new();
    let mut up = home.up();
    let script = "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.02; done";
    let id = up.mcp().automation(&json!({"prompt": script}));
    let run = up.mcp().start(&id);
    let mut follower =
        Program::spawn(home.hostler(&["runs", "tail", run.as_str().unwrap(), "-f", "--raw"]));
    eventually("the log comes", secs(30), || {
        follower.stdout().contains("\n50\n").then_some(())
    });
    // Ended in order: it still answers the follower, with no page of the log.
    up.program.stop();
    let _up = home.up();
    let status = follower.wait(secs(60));
    let expected: Vec<String> = (0..400).map(|number| format!("{number}\n")).collect();
    assert!(
        follower.stdout() == expected.concat(),
        "{}",
        follower.output()
    );
    assert!(
        status.success() && follower.stderr().contains("waiting"),
        "{}",
        follower.stderr()
    );
}

#[test]
fn a_skipped_run_has_no_log_and_did_not_succeed() {
    let (home, far) = (Home::new(), Home::new());
    let server = home.server();
    let mut daemon = far.join(&home, "far");
    server.wait_host_online(1);
    let mcp = server.mcp();
    let id = mcp.automation(&json!({}));
    daemon.stop();
    eventually("the host is offline", secs(60), || {
        (mcp.host()["online"] == false).then_some(())
    });
    let run = mcp.start(&id);
    mcp.ok("automations_delete", json!({"id": id}));
    let run = run.as_str().unwrap();
    let (code, said) = home.run(&["runs", "tail", run, "-f"]).failed();
    assert!(
        code == 1 && said.contains("ended as skipped"),
        "{code}: {said}"
    );
    let told = home.run(&["runs", "tail", run]);
    assert!(
        told.code == Some(0) && told.stderr.contains("skipped"),
        "{told:?}"
    );
    assert_eq!(mcp.cancel(&json!(run))["alreadyOver"], true);
}

#[test]
fn a_follower_sees_output_soon() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let script = "i=0; while [ $i -lt 20 ]; do until [ -e \"$HOME/$i\" ]; do sleep 0.005; done; echo $i; i=$((i+1)); done";
    let id = mcp.automation(&json!({"prompt": script}));
    let run = mcp.start(&id);
    mcp.wait_state(&run, "running");
    let mut cursor = json!(0);
    let mut delays: Vec<Duration> = Vec::new();
    for number in 0..20 {
        let watch = Stopwatch::start();
        fs::write(home.user().join(number.to_string()), "").unwrap();
        let read = json!({"automationId": id, "runId": run, "cursor": cursor, "waitMs": 20_000});
        let page = mcp.ok("automations_logs", read);
        delays.push(watch.elapsed());
        assert_eq!(page["log"], format!("{number}\n"));
        cursor = page["nextCursor"].clone();
    }
    delays.sort();
    assert!(delays[10] < Duration::from_millis(250), "{delays:?}");
}
