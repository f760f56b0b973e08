//! The commands for people: tables and JSON, exit codes, and what they say when something is wrong.

use serde_json::{Value, json};

use crate::harness::{Ended, Home, Repo, eventually, free_port, secs};

#[test]
fn the_whole_day_by_hand() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 3);
    let bare = Repo::new(&home, "origin", 2).bare_copy("library.git");
    let _up = home.up();
    let host = json_of(&home, &["hosts", "list"])["hosts"][0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(home.run(&["hosts", "list"]).ok().contains(&host));

    let project = json_of(
        &home,
        &["projects", "create", "--host", &host, "--path", repo.text()],
    );
    assert_eq!(project["existed"], false);
    let url = format!("file://{}", bare.display());
    home.run(&["projects", "create", "--host", &host, "--url", &url])
        .ok();
    let table = home.run(&["projects", "list"]).ok();
    assert!(
        table.contains("shop") && table.contains("library"),
        "{table}"
    );

    let made = json_of(
        &home,
        &[
            "workspaces",
            "create",
            "Auth feature",
            "--host",
            &host,
            "--project",
            "shop",
        ],
    );
    let path = made["workspace"]["path"].as_str().unwrap().to_owned();
    assert!(
        home.run(&["workspaces", "list"])
            .ok()
            .contains("auth-feature")
    );
    std::fs::write(format!("{path}/new.txt"), "new").unwrap();
    let (code, said) = home.run(&["workspaces", "delete", "auth-feature"]).failed();
    assert!(code == 5 && said.contains("new.txt"), "{code}: {said}");
    home.run(&["workspaces", "delete", "auth-feature", "--force"])
        .ok();
}

#[test]
fn tasks_by_hand() {
    let home = Home::new();
    let _up = home.up();
    let create = [
        "tasks",
        "create",
        "Fix it",
        "--priority",
        "high",
        "--label",
        "web",
    ];
    home.run(&create).ok();
    assert!(
        home.run(&["tasks", "list", "--label", "web"])
            .ok()
            .contains("fix-it")
    );
    home.run(&["tasks", "update", "fix-it", "--status", "Done"])
        .ok();
    let task = json_of(&home, &["tasks", "get", "fix-it"])["task"].clone();
    assert_eq!(
        (&task["status"]["type"], &task["priority"]),
        (&json!("completed"), &json!("high"))
    );
    home.run(&["tasks", "delete", "fix-it"]).ok();
    assert_eq!(home.run(&["tasks", "get", "fix-it"]).failed().0, 4);
}

#[test]
fn automations_by_hand() {
    let home = Home::new();
    let _up = home.up();
    let rule = [
        "--rrule",
        "FREQ=DAILY;BYHOUR=2;BYMINUTE=30",
        "--tz",
        "Europe/Berlin",
        "--agent",
        "shell",
    ];
    let prompt = home.path("prompt.md");
    std::fs::write(&prompt, "echo from a file\n").unwrap();
    let create = [
        &[
            "automations",
            "create",
            "Nightly",
            "--prompt-file",
            prompt.to_str().unwrap(),
        ],
        &rule[..],
    ]
    .concat();
    let made = home.run(&create).ok();
    assert!(made.contains("2:30"), "the schedule in words: {made}");
    assert_eq!(
        home.run(&["automations", "prompt", "get", "Nightly"]).ok(),
        "echo from a file\n"
    );
    home.run(&[
        "automations",
        "prompt",
        "set",
        "Nightly",
        "--prompt",
        "echo by hand; exit 3",
    ])
    .ok();
    let followed = home.run(&["automations", "run", "Nightly", "--follow"]);
    assert_eq!(followed.code, Some(1), "{followed:?}");
    assert!(followed.stdout.contains("by hand"), "{followed:?}");
    let logs = eventually("the run is listed", secs(20), || {
        let logs = json_of(&home, &["automations", "logs", "Nightly"]);
        (logs["runs"][0]["state"] == "failed").then_some(logs)
    });
    let run = logs["runs"][0]["runId"].as_str().unwrap();
    assert!(home.run(&["runs", "tail", run]).ok().contains("by hand"));
    assert_eq!(home.run(&["runs", "tail", run, "-f"]).code, Some(1));
    home.run(&["automations", "pause", "Nightly"]).ok();
    assert_eq!(
        json_of(&home, &["automations", "get", "Nightly"])["automation"]["enabled"],
        false
    );
    home.run(&["automations", "resume", "Nightly"]).ok();
    home.run(&["automations", "update", "Nightly", "--tz", "UTC"])
        .ok();
    assert!(home.run(&["automations", "list"]).ok().contains("Nightly"));
    assert!(home.run(&["status"]).ok().contains("Nightly"));
    home.run(&["automations", "delete", "Nightly"]).ok();
    assert_eq!(home.run(&["automations", "get", "Nightly"]).failed().0, 4);
}

#[test]
fn every_command_gives_json_when_asked() {
    let home = Home::new();
    let _up = home.up();
    for command in [
        &["hosts", "list"][..],
        &["projects", "list"],
        &["workspaces", "list"],
        &["tasks", "list"],
        &["automations", "list"],
        &["status"],
    ] {
        json_of(&home, command);
        let plain = home.run(command).ok();
        assert!(
            serde_json::from_str::<Value>(&plain).is_err(),
            "{command:?} prints JSON unasked"
        );
        assert!(
            !plain.contains('\u{1b}'),
            "colours without a terminal: {plain:?}"
        );
    }
}

#[test]
fn schedules_are_previewed_without_a_server() {
    let home = Home::new();
    let preview = [
        "schedule",
        "preview",
        "--rrule",
        "FREQ=WEEKLY;BYDAY=MO,WE",
        "--dtstart",
        "2026-03-02T09:00:00",
        "--tz",
        "Europe/London",
        "-n",
        "3",
    ];
    let shown = home.run(&preview).ok();
    for part in ["2026-03-02", "2026-03-04", "2026-03-09", "09:00"] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    let found = home.run(&[&preview[..], &["--json"]].concat()).json();
    assert!(
        found.to_string().contains("2026-03-02T09:00:00Z"),
        "{found}"
    );
    let (code, said) = home
        .run(&[
            "schedule",
            "preview",
            "--rrule",
            "FREQ=SECONDLY",
            "--tz",
            "UTC",
        ])
        .failed();
    assert!(code == 2 && said.contains("SECONDLY"), "{code}: {said}");
}

#[test]
fn a_batch_of_schedules_goes_line_by_line() {
    let home = Home::new();
    let cases = home.path("cases.jsonl");
    let lines = [
        json!({"id": "one", "rrule": "RRULE:FREQ=DAILY;COUNT=2", "dtstart": "20300301T090000", "timezone": "America/New_York", "limit": 5}),
        json!({"id": "two", "rrule": "RRULE:FREQ=NEVER", "dtstart": "20300301T090000", "timezone": "UTC", "limit": 5}),
    ];
    std::fs::write(&cases, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let mut shell = home.command("sh");
    shell
        .args([
            "-c",
            "exec \"$0\" schedule preview --batch < \"$1\"",
            env!("CARGO_BIN_EXE_hostler"),
        ])
        .arg(&cases);
    let out = Ended::of(shell, secs(20)).ok();
    let answers: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        answers[0]["instants"],
        json!(["2030-03-01T14:00:00Z", "2030-03-02T14:00:00Z"])
    );
    assert_eq!(answers[0]["exhausted"], true);
    assert!(answers[1]["error"]["code"].is_string(), "{out}");
}

#[test]
fn what_is_wrong_has_its_own_exit_code() {
    let home = Home::new();
    assert_eq!(home.run(&["no-such-command"]).failed().0, 2);
    let (code, said) = home.run(&["hosts", "list"]).failed();
    assert!(code == 3 && said.contains("hostler up"), "{code}: {said}");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let (code, said) = home
        .run(&[
            "hosts",
            "list",
            "--server",
            &nobody,
            "--api-key",
            "sk_live_x",
        ])
        .failed();
    assert!(code == 7 && said.contains(&nobody), "{code}: {said}");
    let up = home.up();
    let (code, _) = home
        .run(&[
            "hosts",
            "list",
            "--server",
            &up.url,
            "--api-key",
            "sk_live_wrong",
        ])
        .failed();
    assert_eq!(code, 3);
    assert_eq!(home.run(&["tasks", "get", "nothing"]).failed().0, 4);
    let twice = ["projects", "create", "--host", "nobody", "--path", "/"];
    assert_eq!(home.run(&twice).failed().0, 4);
}

#[test]
fn help_has_examples_and_exit_codes() {
    let home = Home::new();
    let help = home.run(&["--help"]).ok();
    assert!(
        help.contains("Examples") && help.contains("Exit codes"),
        "{help}"
    );
    assert!(home.run(&["--version"]).ok().starts_with("hostler "));
    for command in [
        "up",
        "server",
        "daemon",
        "join",
        "leave",
        "hosts",
        "projects",
        "workspaces",
        "tasks",
        "automations",
        "runs",
        "schedule",
        "status",
    ] {
        assert!(help.contains(command), "{command} is not in the help");
        home.run(&[command, "--help"]).ok();
    }
}

#[test]
fn another_machine_joins_and_leaves() {
    let home = Home::new();
    let far = Home::new();
    let server = home.server();
    let made = home.run(&["hosts", "enrol-key", "--json"]).ok();
    let key = made
        .split('"')
        .find(|part| part.starts_with("hk_"))
        .unwrap()
        .to_owned();
    far.run(&["join", &server.url, "--key", &key, "--name", "buildbox"])
        .ok();
    let (_, said) = Home::new()
        .run(&["join", &server.url, "--key", &key, "--name", "second"])
        .failed();
    assert!(said.contains("key"), "a key works once: {said}");
    let mut daemon = far.daemon();
    server.wait_host_online(1);
    assert!(home.run(&["hosts", "list"]).ok().contains("buildbox"));
    let (status, took) = daemon.stop();
    assert!(
        status.success() && took < secs(5),
        "{status} after {took:?}"
    );
    far.run(&["leave"]).ok();
    let left = far.daemon();
    eventually("a daemon without a control plane says so", secs(20), || {
        left.stderr().contains("hostler join").then_some(())
    });
    drop(left);
    let (_, said) = far
        .run(&["join", "http://127.0.0.1:9", "--key", "hk_x", "--name", "x"])
        .failed();
    assert!(said.contains("127.0.0.1:9"), "{said}");
}

fn json_of(home: &Home, arguments: &[&str]) -> Value {
    home.run(&[arguments, &["--json"]].concat()).json()
}
