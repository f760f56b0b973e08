//! Automations through the tools: what and when, run by hand and by themselves, their logs, and
//! runs that do not want to end.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{Home, Repo, eventually, git, secs, yearly};

#[test]
fn an_automation_says_what_was_understood() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let rule = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0";
    let start = json!({"rrule": rule, "timezone": "America/New_York", "dtstart": "2027-01-04T09:00:00-05:00"});
    let made = mcp.ok("automations_create", yearly(&start));
    let created = &made["automation"];
    assert_eq!(
        (&created["enabled"], &created["promptVersion"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(created["rrule"], rule);
    assert!(
        created["prompt"].is_null(),
        "prompts are read with automations_get_prompt"
    );
    let words = made["scheduleText"].as_str().unwrap();
    assert!(words.contains("9:00"), "{words}");
    let next = made["nextRuns"].as_array().unwrap();
    assert_eq!(next.len(), 5);
    assert!(
        next[0].to_string().contains("2027-01-04T14:00:00Z"),
        "{}",
        next[0]
    );
    let read = mcp.ok("automations_get", json!({"id": created["id"]}))["automation"].clone();
    assert_eq!(
        (&read["name"], &read["hostName"]),
        (&json!("test"), &mcp.host()["name"])
    );

    let change = json!({"id": created["id"], "rrule": "FREQ=DAILY;BYHOUR=7;BYMINUTE=30", "timezone": "Europe/Berlin"});
    let changed = mcp.ok("automations_update", change);
    assert_eq!(changed["automation"]["timezone"], "Europe/Berlin");
    assert_eq!(
        changed["automation"]["name"], "test",
        "what is left out is kept"
    );
    let next = &changed["nextRuns"][0];
    assert!(next.to_string().contains("T06:30:00Z"), "{next}");
}

#[test]
fn prompts_are_replaced_by_version() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let id = mcp.automation(&json!({"prompt": "echo hi"}));
    let prompt = || mcp.ok("automations_get_prompt", json!({"id": id}))["prompt"].clone();
    assert_eq!(prompt(), "echo hi");
    let change = |prompt: &str| json!({"id": id, "prompt": prompt, "ifVersion": 1});
    assert_eq!(
        mcp.ok("automations_set_prompt", change("echo ho"))["version"],
        2
    );
    mcp.refused("automations_set_prompt", change("late"), "conflict");
    assert_eq!(prompt(), "echo ho");
    let long = "# Zürich 🦀\r\n".repeat(5000);
    mcp.ok("automations_set_prompt", json!({"id": id, "prompt": long}));
    assert_eq!(prompt(), long);
}

#[test]
fn pausing_resuming_and_deleting_can_be_repeated() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let id = mcp.automation(&json!({"name": "Nightly"}));
    let enabled = |tool: &str| mcp.ok(tool, json!({"id": id}))["automation"]["enabled"].clone();
    let total = |narrow: Value| mcp.ok("automations_list", narrow)["total"].clone();
    assert_eq!(
        (enabled("automations_pause"), enabled("automations_pause")),
        (json!(false), json!(false))
    );
    assert_eq!(total(json!({"enabled": false, "name": "GHT"})), 1);
    assert_eq!(total(json!({"enabled": true})), 0);
    assert_eq!(
        (enabled("automations_resume"), enabled("automations_resume")),
        (json!(true), json!(true))
    );
    assert_eq!(
        mcp.ok("automations_delete", json!({"id": id}))["deleted"],
        true
    );
    mcp.refused("automations_get", json!({"id": id}), "not_found");
    assert_eq!(total(json!({})), 0);
}

#[test]
fn rules_that_cannot_work_are_refused_with_a_way_out() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let long = format!("FREQ=DAILY;BYHOUR={}", "1,".repeat(300));
    for rrule in [
        "garbage",
        "",
        "FREQ=SECONDLY",
        "FREQ=FORTNIGHTLY",
        "FREQ=DAILY;COUNT=3;UNTIL=20300101T000000Z",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;COUNT=1",
        "FREQ=DAILY;UNTIL=20200101T000000Z",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYHOUR=25",
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "FREQ=MINUTELY;BYSECOND=0,30",
        "DAILY",
        "FREQ=DAILY\nhello",
        long.as_str(),
    ] {
        let arguments = yearly(&json!({"rrule": rrule, "dtstart": "2025-01-01T00:00:00Z"}));
        let error = mcp.refused("automations_create", arguments, "invalid_argument");
        assert!(!error.hint.is_empty(), "{rrule}: no way out: {error:?}");
    }
    for wrong in [
        json!({"timezone": "Mars/Olympus"}),
        json!({"timezone": ""}),
        json!({"dtstart": "yesterday"}),
        json!({"exdates": ["soon"]}),
        json!({"catchUp": "sometimes"}),
        json!({"overlap": "maybe"}),
        json!({"autonomy": "godlike"}),
        json!({"retries": 4}),
        json!({"jitterSeconds": -1}),
        json!({"maxRuntimeSeconds": 0}),
        json!({"keepWorkspace": "perhaps"}),
        json!({"name": ""}),
        json!({"name": "x".repeat(201)}),
        json!({"prompt": ""}),
        json!({"prompt": "x".repeat(100_001)}),
    ] {
        mcp.refused("automations_create", yearly(&wrong), "invalid_argument");
    }
    let mut without_zone = yearly(&json!({}));
    without_zone.as_object_mut().unwrap().remove("timezone");
    mcp.refused("automations_create", without_zone, "invalid_argument");
    let error = mcp.refused(
        "automations_create",
        yearly(&json!({"agent": "no-such-agent"})),
        "invalid_argument",
    );
    assert!(
        error.whole.to_string().contains("shell"),
        "names the agents there are: {error:?}"
    );
    assert_eq!(mcp.ok("automations_list", json!({}))["total"], 0);
}

#[test]
fn a_run_by_hand_gives_its_log_and_outcome() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let id =
        mcp.automation(&json!({"prompt": "echo one; echo two >&2; printf '\\377'; echo three"}));
    let started = mcp.ok("automations_run", json!({"id": id}));
    assert_eq!(started["automationId"], id);
    let run = mcp.finished(&id, &started["runId"]);
    assert_eq!(
        (&run["state"], &run["exitCode"], &run["trigger"]),
        (&json!("succeeded"), &json!(0), &json!("manual"))
    );
    assert!(
        run["durationMs"].is_number()
            && run["startedAt"].is_string()
            && run["finishedAt"].is_string(),
        "{run}"
    );
    assert!(run["logTail"].as_str().unwrap().contains("three"), "{run}");
    let log = mcp.ok(
        "automations_logs",
        json!({"automationId": id, "runId": started["runId"]}),
    );
    for line in ["one\n", "two\n", "\u{fffd}three\n"] {
        assert!(log["log"].as_str().unwrap().contains(line), "{log}");
    }
    assert_eq!(log["done"], true);
    let last = mcp.ok("automations_get", json!({"id": id}))["automation"]["lastRun"].clone();
    assert_eq!(
        (&last["runId"], &last["state"]),
        (&started["runId"], &json!("succeeded"))
    );
}

#[test]
fn a_log_is_read_by_cursor_without_missing_or_repeating_a_byte() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let id = mcp.automation(
        &json!({"prompt": "i=0; while [ $i -lt 200 ]; do echo \"$i é🦀\"; i=$((i+1)); done"}),
    );
    let run = mcp.start(&id);
    mcp.finished(&id, &run);
    let expected: String = numbered(200);
    for most in [7, 100, 100_000] {
        let mut log = String::new();
        let mut arguments = json!({"automationId": id, "runId": run, "maxBytes": most});
        loop {
            let part = mcp.ok("automations_logs", arguments.clone());
            log.push_str(part["log"].as_str().unwrap());
            if part["done"] == true {
                break;
            }
            arguments["cursor"] = part["nextCursor"].clone();
        }
        assert!(
            log == expected,
            "{most} bytes at a time: {} instead of {}",
            log.len(),
            expected.len()
        );
    }
    mcp.refused(
        "automations_logs",
        json!({"automationId": id, "runId": run, "cursor": "garbage"}),
        "invalid_argument",
    );
}

#[test]
fn a_failure_says_what_failed() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let id = mcp.automation(&json!({"prompt": "echo before; exit 7"}));
    let run = mcp.run_to_end(&id);
    assert_eq!(
        (&run["state"], &run["exitCode"]),
        (&json!("failed"), &json!(7))
    );
    let id = mcp.automation(&json!({"prompt": "kill -SEGV $$"}));
    let run = mcp.run_to_end(&id);
    assert_eq!(
        (&run["state"], &run["signal"]),
        (&json!("failed"), &json!(11)),
        "{run}"
    );
    let id = mcp.automation(&json!({"prompt": "no-such-command"}));
    assert_eq!(mcp.run_to_end(&id)["exitCode"], 127);
}

#[test]
fn a_run_works_in_a_worktree_of_its_project() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 3);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    let script = "env | grep ^HOSTLER_; echo change >> README.md; echo new > new.txt; git add new.txt; git commit -qm work";
    let id =
        mcp.automation(&json!({"projectId": project, "keepWorkspace": "always", "prompt": script}));
    let run = mcp.run_to_end(&id);
    assert_eq!(run["state"], "succeeded", "{run}");
    let outcome = &run["outcome"];
    assert_eq!(
        (&outcome["commits"], &outcome["dirty"]),
        (&json!(1), &json!(true)),
        "{run}"
    );
    let workspace = mcp.find_workspace(&run["workspaceId"]).unwrap();
    let path = Path::new(workspace["path"].as_str().unwrap());
    let readme = fs::read_to_string(path.join("README.md")).unwrap();
    assert!(readme.ends_with("change\n"), "{readme}");
    assert_eq!(git(&home, path, &["log", "-1", "--format=%s"]), "work");
    let log = run["logTail"].as_str().unwrap();
    for name in [
        "RUN_ID",
        "AUTOMATION_ID",
        "WORKSPACE_ID",
        "WORKSPACE_NAME",
        "WORKSPACE_PATH",
        "ROOT_PATH",
        "BRANCH",
    ] {
        assert!(
            log.contains(&format!("HOSTLER_{name}=")),
            "no HOSTLER_{name} in {log}"
        );
    }
    assert!(
        !log.contains(&up.key),
        "the key is in the run's environment"
    );
    assert!(
        repo.git(&["status", "--porcelain"]).is_empty(),
        "the main checkout was touched"
    );
}

#[test]
fn secrets_in_the_environment_are_not_in_the_log() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let key = "sk_live_abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
    let id = mcp.automation(&json!({"prompt": format!("echo key {key}; echo done")}));
    let run = mcp.run_to_end(&id);
    let log = run["logTail"].as_str().unwrap();
    assert!(log.contains("done") && !log.contains(key), "{log}");
}

#[test]
fn a_run_that_will_not_end_is_gone_at_its_limit() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let script = "trap '' TERM INT HUP\nsetsid sh -c 'trap \"\" TERM INT HUP; echo $$ > \"$HOME/child\"; while :; do sleep 1; done' &\nuntil [ -s \"$HOME/child\" ]; do :; done\n(setsid sh -c 'echo $$ > \"$HOME/orphan\"; while :; do sleep 1; done' &)\necho $$ > \"$HOME/agent\"\necho stubborn\nwhile :; do sleep 1; done";
    let id = mcp.automation(&json!({"prompt": script, "maxRuntimeSeconds": 3}));
    let run = mcp.run_to_end(&id);
    assert_eq!(run["state"], "timed_out", "{run}");
    assert!(run["logTail"].as_str().unwrap().contains("stubborn"));
    for name in ["agent", "child", "orphan"] {
        let pid = fs::read_to_string(home.user().join(name)).unwrap();
        assert!(!alive(pid.trim()), "{name} {pid} is still there");
    }
}

#[test]
fn what_an_agent_leaves_running_is_ended() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let id = mcp.automation(&json!({"prompt": "setsid sh -c 'echo $$ > \"$HOME/left\"; while :; do sleep 1; done' >/dev/null 2>&1 &\nuntil [ -s \"$HOME/left\" ]; do :; done\necho bye"}),
    );
    let run = mcp.run_to_end(&id);
    assert_eq!(run["state"], "succeeded", "{run}");
    let pid = fs::read_to_string(home.user().join("left")).unwrap();
    assert!(!alive(pid.trim()), "{pid} is still there");
}

#[test]
fn a_manual_run_on_an_offline_host_is_queued_and_starts_once() {
    let home = Home::new();
    let far = Home::new();
    let server = home.server();
    let mut daemon = far.join(&home, "far");
    server.wait_host_online(1);
    let mcp = server.mcp();
    let id = mcp.automation(&json!({"prompt": "echo ran >> \"$HOME/ran\""}));
    daemon.stop();
    eventually("the host is offline", secs(60), || {
        (mcp.host()["online"] == false).then_some(())
    });
    let started = mcp.ok("automations_run", json!({"id": id}));
    assert_eq!(started["state"], "queued");
    let _daemon = far.daemon();
    assert_eq!(mcp.finished(&id, &started["runId"])["state"], "succeeded");
    assert_eq!(fs::read_to_string(far.user().join("ran")).unwrap(), "ran\n");
}

#[test]
fn runs_go_on_while_the_program_restarts() {
    let home = Home::new();
    let go = home.user().join("go");
    let mut up = home.up();
    let script = "echo began; until [ -e \"$HOME/go\" ]; do sleep 0.05; done; echo ended";
    let id = up.mcp().automation(&json!({"prompt": script}));
    for how in ["TERM", "kill -9"] {
        let run = up.mcp().start(&id);
        up.mcp().wait_log(&id, &run, "began");
        if how == "TERM" {
            let (status, took) = up.program.stop();
            assert!(
                status.success() && took < secs(5),
                "{status} after {took:?}"
            );
        } else {
            up.program.kill();
        }
        assert!(
            !home.running().is_empty(),
            "{how}: the run was ended with the program"
        );
        fs::write(&go, "").unwrap();
        up = home.up();
        assert_eq!(up.mcp().finished(&id, &run)["state"], "succeeded", "{how}");
        assert_eq!(
            up.mcp().log(&id, &run).unwrap()["log"],
            "began\nended\n",
            "{how}"
        );
        fs::remove_file(&go).unwrap();
    }
}

#[test]
fn deleting_stops_the_schedule_and_keeps_the_runs() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let id = mcp.automation(&json!({"prompt": "echo kept"}));
    let run = mcp.run_to_end(&id);
    mcp.ok("automations_delete", json!({"id": id}));
    mcp.refused("automations_run", json!({"id": id}), "not_found");
    let kept = mcp.ok("automations_logs", json!({"automationId": id}));
    assert_eq!(kept["runs"][0]["runId"], run["runId"]);
}

#[test]
fn only_real_targets_are_taken() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let nothing = "01900000-0000-7000-8000-000000000000";
    for wrong in [
        json!({"targetHostId": nothing}),
        json!({"projectId": nothing}),
        json!({"workspaceId": nothing}),
        json!({"targetHostId": "no such host"}),
    ] {
        mcp.refused("automations_create", yearly(&wrong), "not_found");
    }
}

fn alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// What a script prints that counts.
fn numbered(count: usize) -> String {
    let lines: Vec<String> = (0..count).map(|number| format!("{number} é🦀\n")).collect();
    lines.concat()
}
