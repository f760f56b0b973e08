//! Hosts as their owners manage them: removed, copied, renamed, with a key changed; and machines
//! whose owners allow less than the control plane asks for.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Browser, Home, Mcp, Program, Repo, Service, eventually, secs, yearly};

/// What the machine of these tests is called by its system.
const MACHINE: &[(&str, &str)] = &[("HOSTLER_MACHINE_ID", "the-first-machine")];

/// A control plane and a machine that is its host.
struct Scene {
    server: Home,
    service: Service,
    box_: Home,
    daemon: Program,
}

impl Scene {
    fn new() -> Self {
        let (server, box_) = (Home::new(), Home::new());
        let service = server.server();
        box_.join_only(&server, "box");
        let daemon = box_.daemon_with(MACHINE);
        service.wait_host_online(1);
        Self {
            server,
            service,
            box_,
            daemon,
        }
    }

    fn mcp(&self) -> Mcp {
        self.service.mcp()
    }

    /// Settings that hold at once: the file is put in place whole.
    fn settings(&self, text: &str) {
        let file = self.box_.hostler_home().join("host.toml");
        let new = file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// What `hostler hosts show` tells.
    fn show(&self) -> Value {
        self.server.run(&["hosts", "show", "box", "--json"]).json()["host"].clone()
    }

    /// Waits until the host has told what its owner allows now.
    fn told(&self, field: &str, value: &Value) {
        eventually("the host told its policy", secs(30), || {
            (self.show()["policy"][field] == *value).then_some(())
        });
    }
}

/// The newest run of an automation, once it is over.
fn over(mcp: &Mcp, automation: &Value) -> Value {
    eventually("the run is over", secs(60), || {
        let answer = mcp.ok("automations_logs", json!({"automationId": automation}));
        let run = answer["runs"][0].clone();
        let words = ["succeeded", "failed", "skipped", "cancelled", "lost"];
        words.contains(&run["state"].as_str()?).then_some(run)
    })
}

#[test]
fn a_removed_host_is_cut_off_ends_its_runs_and_fires_nothing_more() {
    let mut scene = Scene::new();
    let mcp = scene.mcp();
    let started = scene.box_.path("started");
    let ended = scene.box_.path("ended");
    let script = format!(
        "trap 'echo > {}; exit 1' INT TERM\necho > {}\nwhile :; do sleep 0.1; done",
        ended.display(),
        started.display()
    );
    let automation = mcp.automation(&json!({"prompt": script, "name": "long"}));
    mcp.ok("automations_run", json!({"id": automation}));
    eventually("the run goes on", secs(60), || {
        started.exists().then_some(())
    });

    let said = scene.server.run(&["hosts", "revoke", "box"]).ok();
    assert!(
        said.contains("1 automations are paused") && said.contains("1 runs were cut off"),
        "{said}"
    );
    eventually("the run is ended on the host", secs(30), || {
        ended.exists().then_some(())
    });
    eventually("the daemon says so", secs(20), || {
        scene
            .daemon
            .stderr()
            .contains("access was revoked")
            .then_some(())
    });
    assert_eq!(mcp.ok("hosts_list", json!({}))["hosts"], json!([]));
    let run = over(&mcp, &automation);
    assert_eq!(run["state"], "lost", "{run}");
    let paused = mcp.ok("automations_get", json!({"id": automation}))["automation"].clone();
    assert_eq!(paused["enabled"], false);
    assert!(
        paused["pausedReason"]
            .as_str()
            .unwrap()
            .contains("box was removed"),
        "{paused}"
    );
    // It stays out after a restart, and comes back only as another host.
    scene.daemon.kill();
    scene.daemon = scene.box_.daemon_with(MACHINE);
    eventually("it is refused", secs(20), || {
        scene
            .daemon
            .stderr()
            .contains("this host was removed")
            .then_some(())
    });
    assert_eq!(mcp.ok("hosts_list", json!({}))["hosts"], json!([]));
    scene.box_.run(&["leave"]).ok();
    scene.box_.join_only(&scene.server, "box");
    scene.service.wait_host_online(1);
    mcp.ok(
        "automations_update",
        json!({"id": automation, "targetHostId": "box"}),
    );
    mcp.ok("automations_resume", json!({"id": automation}));
}

#[test]
fn a_copy_of_a_hosts_files_is_refused_until_its_owner_says_which_one_it_is() {
    let scene = Scene::new();
    let copy = Home::new();
    fs::create_dir_all(copy.hostler_home().join("host")).unwrap();
    let identity = "host/identity.json";
    fs::copy(
        scene.box_.hostler_home().join(identity),
        copy.hostler_home().join(identity),
    )
    .unwrap();
    // The copy comes while the host is off: its own machine is another one.
    let Scene {
        server,
        service,
        box_,
        mut daemon,
    } = scene;
    daemon.stop();
    let mut second = copy.daemon_with(&[("HOSTLER_MACHINE_ID", "another-machine")]);
    eventually("the copy is refused", secs(30), || {
        second
            .stderr()
            .contains("was last on another machine")
            .then_some(())
    });
    let mcp = service.mcp();
    assert_eq!(
        mcp.ok("hosts_list", json!({"online": true}))["hosts"],
        json!([])
    );
    let daemon = box_.daemon_with(MACHINE);
    service.wait_host_online(1);
    let shown = server.run(&["hosts", "show", "box"]).ok();
    assert!(
        shown.contains("which one is right cannot be known"),
        "{shown}"
    );
    let warnings = mcp.ok("hosts_list", json!({}))["hosts"][0]["warnings"].clone();
    assert!(
        warnings[0].as_str().unwrap().contains("another machine"),
        "{warnings}"
    );

    // The right machine changes its key: what was copied is worth nothing, and the doubt is gone.
    let rotated = box_.run(&["hosts", "rotate-key"]).ok();
    assert!(
        rotated.contains("the old one is no longer good"),
        "{rotated}"
    );
    eventually("the copy is out for good", secs(60), || {
        second.stderr().contains("proof does not fit").then_some(())
    });
    assert_eq!(
        server.run(&["hosts", "show", "box", "--json"]).json()["host"]["warnings"],
        json!([])
    );
    service.wait_host_online(1);
    let key = fs::metadata(box_.hostler_home().join(identity)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&key.permissions());
    assert_eq!(mode & 0o777, 0o600);
    second.stop();
    drop(daemon);
}

#[test]
fn the_owner_of_the_machine_has_the_last_word() {
    let scene = Scene::new();
    let mcp = scene.mcp();
    let outside = Repo::new(&scene.box_, "outside", 1);
    let inside = Repo::new(&scene.box_, "code", 1);
    let first = mcp.import(&outside);
    let in_project =
        mcp.automation(&json!({"name": "in project", "prompt": "echo ran", "projectId": first}));

    // Folders: a project that lies elsewhere is refused, for workspaces and for runs.
    let root = &inside.path;
    scene.settings(&format!("allowed_roots = ['{}']", root.display()));
    let refused = mcp.refused(
        "workspaces_create",
        json!({"hostId": "box", "projectId": first, "name": "w"}),
        "forbidden",
    );
    assert!(
        refused.message.contains("outside the folders"),
        "{refused:?}"
    );
    let link = root.join("link");
    std::os::unix::fs::symlink(&outside.path, &link).unwrap();
    for path in [outside.path.clone(), link, root.join("../outside")] {
        mcp.refused(
            "projects_create",
            json!({"hostId": "box", "path": path}),
            "forbidden",
        );
    }
    let url = format!("file://{}", outside.path.display());
    mcp.refused(
        "projects_create",
        json!({"hostId": "box", "url": url, "parentDir": root}),
        "forbidden",
    );
    mcp.import(&inside);
    mcp.ok("automations_run", json!({"id": in_project}));
    let run = over(&mcp, &in_project);
    assert_eq!(run["state"], "skipped", "{run}");
    assert!(
        run["reason"]
            .as_str()
            .unwrap()
            .contains("outside the folders"),
        "{run}"
    );
}

#[test]
fn what_is_not_allowed_on_a_machine_is_refused_early_and_changes_hold_at_once() {
    let scene = Scene::new();
    let mcp = scene.mcp();
    let old = mcp.automation(&json!({"name": "old", "prompt": "echo ran"}));
    // Agents, also for what was made before.
    scene.settings("allowed_agents = ['claude']");
    scene.told("allowedAgents", &json!(["claude"]));
    mcp.refused(
        "automations_create",
        yearly(&json!({"name": "new"})),
        "forbidden",
    );
    mcp.refused("automations_run", json!({"id": old}), "forbidden");
    // Members: nobody but somebody else.
    scene.settings("allowed_members = ['somebody@example.com']");
    scene.told("allowedMembers", &json!(["somebody@example.com"]));
    mcp.refused(
        "projects_create",
        json!({"hostId": "box", "path": scene.box_.user()}),
        "forbidden",
    );
    mcp.refused("automations_run", json!({"id": old}), "forbidden");
    let me = scene.show()["owner"].as_str().unwrap().to_owned();
    scene.settings(&format!(
        "allowed_members = ['{me}']\nmax_runs = 1\nmax_autonomy = 'read_only'"
    ));
    scene.told("allowedMembers", &json!([me]));
    mcp.refused(
        "automations_create",
        yearly(&json!({"name": "bold", "autonomy": "full"})),
        "invalid_argument",
    );
    scene.settings(&format!("allowed_members = ['{me}']\nmax_runs = 1"));
    scene.told("maxRuns", &json!(1));
    mcp.ok("automations_run", json!({"id": old}));
    assert_eq!(over(&mcp, &old)["state"], "succeeded");
}

/// How many runs go on at once is what the file says at each start of one.
#[test]
fn fewer_places_hold_a_run_back_and_more_let_it_go() {
    let scene = Scene::new();
    let mcp = scene.mcp();
    let project = mcp.import(&Repo::new(&scene.box_, "shop", 1));
    let gate = scene.box_.path("go");
    let prompt = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());
    let held = mcp.automation(&json!({"name": "held", "prompt": prompt}));
    let state = |run: &Value| mcp.ok("runs_get", json!({"runId": run}))["run"]["state"].clone();
    let wait = |run: &Value, wanted: &str| {
        eventually(wanted, secs(60), || (state(run) == wanted).then_some(()));
    };
    let going = mcp.start(&held);
    wait(&going, "running");
    scene.settings("max_runs = 1");
    scene.told("maxRuns", &json!(1));
    let next = mcp.automation(&json!({"name": "next", "prompt": "echo ran"}));
    let waiting = mcp.start(&next);
    // Much is done on the host meanwhile, and the run has not begun.
    for name in ["one", "two", "three"] {
        mcp.workspace(&project, name);
    }
    assert_eq!(state(&waiting), "queued");
    scene.settings("max_runs = 2");
    wait(&waiting, "succeeded");
    assert_eq!(state(&going), "running");
    fs::write(gate, "").unwrap();
    wait(&going, "succeeded");
}

/// A control plane that asks although it was told: what the host said of itself is taken out of the
/// catalog, so that nothing is refused early.
#[test]
fn a_control_plane_that_tries_anyway_is_refused_by_the_machine() {
    let scene = Scene::new();
    let mcp = scene.mcp();
    let automation = mcp.automation(&json!({"name": "a", "prompt": "echo ran"}));
    let forget = "UPDATE hosts SET facts = json_remove(facts, '$.policy')".to_owned();
    let catalog = scene.server.hostler_home().join("control-plane/catalog.db");
    for (settings, field, value, why) in [
        (
            "allowed_agents = []",
            "allowedAgents",
            json!([]),
            "does not allow the agent shell",
        ),
        (
            "allowed_members = []",
            "allowedMembers",
            json!([]),
            "does not let",
        ),
    ] {
        scene.settings(settings);
        scene.told(field, &value);
        scene.server.sql(&catalog, std::slice::from_ref(&forget));
        mcp.ok("automations_run", json!({"id": automation}));
        let run = over(&mcp, &automation);
        assert!(run["reason"].as_str().unwrap().contains(why), "{run}");
        assert_ne!(run["state"], "succeeded");
    }
    let path = json!({"hostId": "box", "path": scene.box_.user()});
    mcp.refused("projects_create", path, "forbidden");
}

#[test]
fn a_host_is_renamed_shared_and_listed_from_the_command_line() {
    let scene = Scene::new();
    let run = |arguments: &[&str]| scene.server.run(arguments);
    run(&["hosts", "rename", "box", "Build Box"]).ok();
    assert!(
        run(&["hosts", "show", "build box"])
            .ok()
            .contains("nobody but its owner")
    );
    let (code, said) = run(&["hosts", "grant", "Build Box", "nobody@example.com"]).failed();
    assert_ne!(code, 0);
    assert!(said.contains("nobody@example.com"), "{said}");
    assert!(
        run(&["hosts", "members", "Build Box"])
            .ok()
            .contains("owner")
    );
    assert!(run(&["hosts", "list", "--all"]).ok().contains("Build Box"));
    let key = run(&["hosts", "enrol-key", "--json"]).json()["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let keys = run(&["hosts", "keys", "--json"]).json();
    let id = keys["keys"][0]["id"].as_str().unwrap().to_owned();
    run(&["hosts", "keys", "--revoke", &id]).ok();
    let late = Home::new();
    let (_, said) = late
        .run(&["join", &scene.service.url, "--key", &key])
        .failed();
    assert!(said.contains("key is not good"), "{said}");
}

#[test]
fn a_host_is_added_renamed_and_removed_in_a_browser_without_scripts() {
    let (home, other) = (Home::new(), Home::new());
    let service = home.server();
    let browser = Browser::without_scripts(&home);
    browser.sign_in_as_owner(&home, &service);
    browser.open(&format!("{}/hosts/add", service.url));
    browser.press("Make an enrolment key");
    browser.wait_words("shown this once");
    let command = browser.property("#command", "textContent");
    let words: Vec<&str> = command.as_str().unwrap().split_whitespace().collect();
    let ["hostler", "join", url, "--key", key, ..] = words[..] else {
        panic!("{words:?}");
    };
    other
        .run(&["join", url, "--key", key, "--name", "<b>box</b>"])
        .ok();
    let daemon = other.daemon();
    service.wait_host_online(1);
    browser.open(&format!("{}/hosts", service.url));
    browser.wait_words("online");
    browser.press("<b>box</b>");
    browser.fill("Name", "Desk");
    browser.press("Rename");
    browser.wait_words("The host is called Desk now.");
    browser.press("Remove this host…");
    browser.press("Remove");
    browser.wait_words("The host was removed");
    browser.wait_words("No hosts yet");
    eventually("the daemon is told", secs(20), || {
        let said = daemon.stderr();
        said.contains("access was revoked").then_some(())
    });
}
