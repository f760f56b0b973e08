//! kill -9 in the middle: a workspace's create cut off between each two of its steps, and the
//! control plane cut off while a run streams. Everything converges, nothing is left or doubled.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{Ended, Home, Mcp, Repo, eventually, git, secs};

#[test]
fn a_create_cut_off_after_its_branch_converges() {
    create_cut_off_at("ref_created");
}

#[test]
fn a_create_cut_off_after_its_entry_converges() {
    create_cut_off_at("entry_published");
}

#[test]
fn a_create_cut_off_after_its_folder_converges() {
    create_cut_off_at("folder_made");
}

#[test]
fn a_create_cut_off_after_its_files_converges() {
    create_cut_off_at("files_written");
}

#[test]
fn a_create_cut_off_after_its_index_converges() {
    create_cut_off_at("index_written");
}

#[test]
fn a_create_cut_off_after_its_unlock_converges() {
    create_cut_off_at("unlocked");
}

/// The daemon dies at a step; the next one leaves either a whole workspace or no trace of it.
#[track_caller]
fn create_cut_off_at(step: &str) {
    let home = Home::new();
    let far = Home::new();
    let repo = Repo::new(&far, "shop", 50);
    let server = home.server();
    far.join_only(&home, "far");
    let failpoint = format!("workspace_create:{step}");
    let mut daemon = far.daemon_with(&[("HOSTLER_FAILPOINT", &failpoint)]);
    server.wait_host_online(1);
    let mcp = server.mcp();
    let project = mcp.import(&repo);
    let arguments = json!({"hostId": "far", "projectId": project, "name": "cut"});
    let url = server.mcp_url.clone();
    let call = {
        let (mcp, arguments) = (Mcp::new(&url, &server.key), arguments.clone());
        std::thread::spawn(move || mcp.call("workspaces_create", arguments).is_ok())
    };
    let status = daemon.wait(secs(60));
    assert!(!status.success(), "the daemon went on past {step}");

    let _daemon = far.daemon();
    server.wait_host_online(1);
    call.join().unwrap();
    let made = eventually("the create is done or can be repeated", secs(60), || {
        mcp.call("workspaces_create", arguments.clone()).ok()
    });
    let path = Path::new(made["workspace"]["path"].as_str().unwrap());
    assert_eq!(made["workspace"]["state"], "ready");
    assert_eq!(git(&far, path, &["status", "--porcelain"]), "");
    assert_eq!(repo.worktrees(), [path], "an orphan entry");
    assert_eq!(repo.branches(), ["cut", "main"], "an orphan branch");
    let folders = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .filter(|entry| {
            !entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with('.')
        });
    assert_eq!(folders.count(), 1, "an orphan folder");
    mcp.ok(
        "workspaces_delete",
        json!({"id": made["workspace"]["id"], "deleteBranch": true}),
    );
    assert_eq!((repo.worktrees().len(), repo.branches().len()), (0, 1));
    assert_no_rest(&repo);
}

#[test]
fn a_cut_off_create_that_nobody_repeats_is_finished_or_undone() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 50);
    let up = home.up_with(&[("HOSTLER_FAILPOINT", "workspace_create:files_written")]);
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    let arguments = json!({"hostId": mcp.host()["id"], "projectId": project, "name": "cut"});
    let (url, key) = (up.mcp_url.clone(), up.key.clone());
    let call = std::thread::spawn(move || {
        Mcp::new(&url, &key).send(
            "tools/call",
            json!({"name": "workspaces_create", "arguments": arguments}),
        )
    });
    let mut up = up;
    up.program.wait(secs(60));
    drop(call.join());

    let up = home.up();
    let mcp = up.mcp();
    eventually("no create is left half done", secs(60), || {
        let listed = mcp.ok("workspaces_list", json!({"projectId": project}));
        let states: Vec<_> = listed["workspaces"]
            .as_array()?
            .iter()
            .filter(|one| one["type"] == "worktree")
            .map(|one| one["state"].clone())
            .collect();
        let whole =
            states == [json!("ready")] && repo.worktrees().len() == 1 && repo.branches().len() == 2;
        let undone = states.iter().all(|state| state == "failed")
            && repo.worktrees().is_empty()
            && repo.branches() == ["main"];
        (whole || undone).then_some(())
    });
    assert_no_rest(&repo);
}

#[test]
fn a_log_that_streams_while_the_control_plane_dies_arrives_once() {
    let home = Home::new();
    let far = Home::new();
    let mut server = home.server();
    let _daemon = far.join(&home, "far");
    server.wait_host_online(1);
    let go = far.path("go");
    let script = format!(
        "i=0; while [ $i -lt 2000 ]; do echo \"line $i\"; i=$((i+1)); done\nuntil [ -e {0} ]; do sleep 0.05; done\nwhile [ $i -lt 4000 ]; do echo \"line $i\"; i=$((i+1)); done",
        go.display()
    );
    let mcp = server.mcp();
    let automation = mcp.ok("automations_create", json!({
        "name": "stream", "agent": "shell", "prompt": script, "rrule": "FREQ=YEARLY", "timezone": "UTC", "targetHostId": "far",
    }))["automation"]["id"].clone();
    let run = mcp.ok("automations_run", json!({"id": automation}))["runId"].clone();
    eventually("the log begins to arrive", secs(30), || {
        read_log(&mcp, &automation, &run)
            .0
            .contains("line 10\n")
            .then_some(())
    });
    server.program.kill();
    fs::write(&go, "").unwrap();
    let server = home.server();
    let mcp = server.mcp();
    let log = eventually("the run's whole log is there", secs(90), || {
        let (log, done) = read_log(&mcp, &automation, &run);
        done.then_some(log)
    });
    let expected: Vec<String> = (0..4000)
        .map(|number| {
            format!(
                "line {number}
"
            )
        })
        .collect();
    let expected = expected.concat();
    assert!(
        log == expected,
        "{} bytes instead of {}: {:?}",
        log.len(),
        expected.len(),
        first_difference(&log, &expected)
    );
}

/// What it forgot is told again, and it takes the host by the key that it knows.
#[test]
fn a_control_plane_restored_from_an_older_copy_is_told_what_it_forgot() {
    let (home, far) = (Home::new(), Home::new());
    let mut server = home.server();
    let _daemon = far.join(&home, "far");
    server.wait_host_online(1);
    let mcp = server.mcp();
    let go = far.path("go");
    let wait = "do sleep 0.05; done; echo came through";
    let automation = mcp.automation(&json!({
        "name": "long", "prompt": format!("until [ -e {} ]; {wait}", go.display()),
    }));
    let run = mcp.start(&automation);
    let state = |mcp: &Mcp| {
        mcp.log(&automation, &run)
            .map(|log| log["run"]["state"].clone())
    };
    eventually("the run goes on", secs(60), || {
        (state(&mcp)? == "running").then_some(())
    });
    server.program.kill();
    let (now, backup) = (home.hostler_home(), home.path("backup"));
    copied(&home, &now, &backup);

    let mut server = home.server();
    server.wait_host_online(1);
    far.run(&["hosts", "rotate-key"]).ok();
    fs::write(&go, "").unwrap();
    let repo = Repo::new(&far, "shop", 1);
    let mcp = server.mcp();
    mcp.ok(
        "projects_create",
        json!({"hostId": "far", "path": repo.path}),
    );
    eventually("the run is over", secs(60), || {
        (state(&mcp)? == "succeeded").then_some(())
    });
    server.program.kill();
    fs::remove_dir_all(&now).unwrap();
    fs::rename(&backup, &now).unwrap();

    let server = home.server();
    server.wait_host_online(1);
    let mcp = server.mcp();
    eventually("it knows again", secs(60), || {
        let projects = mcp.ok("projects_list", json!({}))["projects"].clone();
        let log = mcp.log(&automation, &run)?;
        let whole = log["done"] == true && log["log"].as_str()?.contains("came through");
        (whole && projects[0]["name"] == "shop" && state(&mcp)? == "succeeded").then_some(())
    });
    let status = far.run(&["status"]);
    assert!(status.stdout.contains("connected since"), "{status:?}");
}

#[test]
fn a_host_restored_from_an_older_copy_goes_on_and_takes_nothing_back() {
    let (home, far) = (Home::new(), Home::new());
    let server = home.server();
    let mut daemon = far.join(&home, "far");
    server.wait_host_online(1);
    let (mcp, ran) = (server.mcp(), far.path("ran"));
    let script = format!("echo x >> {}", ran.display());
    let automation = mcp.automation(&json!({"name": "count", "prompt": script}));
    let first = mcp.run_to_end(&automation)["runId"].clone();
    daemon.kill();
    let (now, backup) = (far.hostler_home(), far.path("backup"));
    copied(&far, &now, &backup);

    let mut daemon = far.daemon();
    server.wait_host_online(1);
    let second = mcp.run_to_end(&automation)["runId"].clone();
    daemon.kill();
    fs::remove_dir_all(&now).unwrap();
    fs::rename(&backup, &now).unwrap();

    let _daemon = far.daemon();
    server.wait_host_online(1);
    let third = mcp.run_to_end(&automation)["runId"].clone();
    let listed = mcp.ok("automations_logs", json!({"automationId": automation}))["runs"].clone();
    let listed = listed.as_array().unwrap();
    let ids: Vec<_> = listed.iter().map(|run| &run["runId"]).collect();
    assert_eq!(ids, [&third, &second, &first]);
    assert!(
        listed.iter().all(|run| run["state"] == "succeeded"),
        "{listed:?}"
    );
    assert_eq!(fs::read_to_string(ran).unwrap(), "x\nx\nx\n");
    let show = home.run(&["hosts", "show", "far", "--json"]).json();
    assert_eq!(show["host"]["warnings"], json!([]), "it is no doubt");
}

fn copied(home: &Home, from: &Path, to: &Path) {
    let mut copy = home.command("cp");
    copy.arg("-a").arg(from).arg(to);
    Ended::of(copy, secs(30)).ok();
}

/// A run's log read from its start by cursor, and whether that is all of it.
fn read_log(mcp: &Mcp, automation: &Value, run: &Value) -> (String, bool) {
    let mut log = String::new();
    let mut cursor = Value::Null;
    loop {
        let mut arguments = json!({"automationId": automation, "runId": run, "maxBytes": 10_000});
        if !cursor.is_null() {
            arguments["cursor"] = cursor;
        }
        let Ok(part) = mcp.call("automations_logs", arguments) else {
            return (log, false);
        };
        let text = part["log"].as_str().unwrap_or_default();
        log.push_str(text);
        if part["done"] == true || text.is_empty() {
            return (log, part["done"] == true);
        }
        cursor = part["nextCursor"].clone();
    }
}

fn first_difference<'a>(log: &'a str, expected: &'a str) -> Option<(&'a str, &'a str)> {
    log.lines()
        .zip(expected.lines())
        .find(|(one, other)| one != other)
}

/// No file or entry of an unfinished create stands in the repository.
#[track_caller]
fn assert_no_rest(repo: &Repo<'_>) {
    let git_folder = repo.path.join(".git");
    let entries = fs::read_dir(git_folder.join("worktrees")).map_or(0, Iterator::count);
    assert_eq!(
        entries,
        repo.worktrees().len(),
        "git's entries and its list differ"
    );
    for name in ["HEAD.lock", "index.lock", "config.lock", "packed-refs.lock"] {
        assert!(!git_folder.join(name).exists(), "{name} is left");
    }
    repo.git(&["fsck", "--strict"]);
}
