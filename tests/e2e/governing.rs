//! Who may govern: the audit log over every tool, and API keys from the command line.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::bad_input::Things;
use crate::harness::{Home, Http, Mcp, Repo, Service, catalog};

const PROMPT: &str = "echo PROMPT-MARKER";
const DESCRIPTION: &str = "DESCRIPTION-MARKER";

/// What an admin reads of the log, newest first.
fn entries(up: &Service) -> Vec<Value> {
    let authorization = format!("Bearer {}", up.key);
    let answer =
        Http::new(&up.url).get("/v1/audit?limit=500", &[("authorization", &authorization)]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    answer["entries"].as_array().unwrap().clone()
}

/// Makes what a tool needs; its arguments, and the id of its thing where the arguments have it.
fn prepared(mcp: &Mcp, home: &Home, things: &Things, tool: &str) -> (Value, Option<Value>) {
    let fresh = || mcp.automation(&json!({"name": tool, "prompt": PROMPT}));
    let of = |id: Value| (json!({"id": id}), Some(id));
    match tool {
        "tasks_create" => (
            json!({"title": "audited", "description": DESCRIPTION}),
            None,
        ),
        "tasks_update" => (
            json!({"id": things.task, "title": "other"}),
            Some(things.task.clone()),
        ),
        "tasks_delete" => of(mcp.ok("tasks_create", json!({"title": "t"}))["task"]["id"].clone()),
        "workspaces_delete" => of(mcp.workspace(&things.project, "gone").0),
        "automations_create" => (things.valid(tool), None),
        "automations_update" => {
            let id = fresh();
            (json!({"id": id, "name": "renamed"}), Some(id))
        }
        "automations_set_prompt" => {
            let id = fresh();
            (json!({"id": id, "prompt": PROMPT}), Some(id))
        }
        "automations_resume" => {
            let id = fresh();
            mcp.ok("automations_pause", json!({"id": id}));
            of(id)
        }
        "automations_pause" | "automations_run" | "automations_delete" => of(fresh()),
        "projects_create" => {
            let repo = Repo::new(home, "another", 1);
            (json!({"hostId": things.host, "path": repo.path}), None)
        }
        "runs_get" | "runs_cancel" => {
            let automation = mcp.automation(&json!({"prompt": "sleep 300"}));
            let run = mcp.start(&automation);
            (json!({"runId": run}), Some(run))
        }
        other => (things.valid(other), None),
    }
}

/// The id of what a tool made.
fn made(answer: &Value) -> Value {
    let nouns = ["task", "workspace", "automation", "project"];
    let made = nouns.iter().map(|noun| &answer[noun]["id"]);
    made.into_iter()
        .find(|id| id.is_string())
        .cloned()
        .unwrap_or_default()
}

#[test]
fn every_changing_tool_leaves_one_entry_and_every_reading_tool_none() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 1);
    let up = home.up();
    let mcp = up.mcp();
    let things = Things::make(&mcp, &repo);
    let mut actions = BTreeSet::new();
    for tool in mcp.tools() {
        let name = tool["name"].as_str().unwrap();
        let (arguments, id) = prepared(&mcp, &home, &things, name);
        let before = entries(&up).len();
        let answer = mcp.ok(name, arguments);
        let after = entries(&up);
        let new = &after[..after.len() - before];
        if tool["annotations"]["readOnlyHint"] == true {
            assert!(new.is_empty(), "{name}: {new:?}");
            continue;
        }
        let [entry] = new else {
            panic!("{name}: {new:?}");
        };
        assert_eq!(
            entry["thingId"],
            id.unwrap_or_else(|| made(&answer)),
            "{name}: {entry}"
        );
        assert_eq!(entry["actor"], "owner@localhost", "{name}");
        assert_eq!(entry["address"], "127.0.0.1", "{name}");
        assert!(
            entry["client"].as_str().unwrap().starts_with("API key"),
            "{entry}"
        );
        actions.insert(entry["action"].as_str().unwrap().to_owned());
    }
    assert!(
        actions.len() >= 14,
        "each has a word of its own: {actions:?}"
    );
    whole_and_without_secrets(&home, &up);
}

/// The exported log holds every entry, no secret and nobody's words; a change of it is noticed.
fn whole_and_without_secrets(home: &Home, up: &Service) {
    let lines = home.run(&["audit", "export"]).ok();
    assert_eq!(lines.lines().count(), entries(up).len());
    let csv = home.run(&["audit", "export", "--format", "csv"]).ok();
    for text in [&lines, &csv] {
        for secret in [PROMPT, DESCRIPTION, &up.key, "sk_live_"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    home.run(&["audit", "verify"]).ok();
    let listed = home
        .run(&["audit", "list", "--action", "task.", "--json"])
        .json();
    assert!(listed["entries"].as_array().unwrap().len() >= 3);
    let change = "UPDATE audit_log SET actor = 'somebody else' WHERE seq = 2".to_owned();
    home.sql(&catalog(home), &[change]);
    let (_, words) = home.run(&["audit", "verify"]).failed();
    assert!(words.contains("entry 2 "), "{words}");
}

#[test]
fn keys_are_made_within_ones_own_scopes_shown_once_and_revoked_at_once() {
    let home = Home::new();
    let up = home.server();
    let made = home
        .run(&[
            "keys",
            "create",
            "board",
            "--scope",
            "tasks:read,hosts:read",
            "--expires-in-days",
            "30",
            "--json",
        ])
        .json();
    let key = made["secret"].as_str().unwrap();
    assert!(key.starts_with("sk_live_"), "{made}");
    let narrow = Mcp::new(&up.mcp_url, key);
    narrow.ok("tasks_list", json!({}));
    narrow.refused("tasks_create", json!({"title": "t"}), "forbidden");
    // A narrow key makes none that is wider, reads no audit log, and may make a narrower one.
    let with = |arguments: &[&str]| {
        let mut command = home.hostler(arguments);
        command
            .env("HOSTLER_API_KEY", key)
            .env("HOSTLER_URL", &up.url);
        crate::harness::Ended::of(command, crate::harness::secs(60))
    };
    let (_, words) = with(&["keys", "create", "wide", "--scope", "tasks:write"]).failed();
    assert!(words.contains("tasks:write"), "{words}");
    let inherited = with(&["keys", "create", "same", "--json"]).json();
    assert_eq!(
        inherited["key"]["scopes"],
        json!(["tasks:read", "hosts:read"])
    );
    with(&["audit", "list"]).failed();
    for wrong in [
        &["keys", "create", "x", "--scope", "all"][..],
        &["keys", "create", " "],
        &["keys", "create", "x", "--expires-in-days", "0"],
    ] {
        home.run(wrong).failed();
    }
    let listed = home.run(&["keys", "list", "--json"]).ok();
    assert!(!listed.contains(key), "{listed}");
    assert!(listed.contains(&key[..12]), "{listed}");
    home.run(&["keys", "revoke", made["key"]["id"].as_str().unwrap()])
        .ok();
    assert_eq!(narrow.send("tools/list", json!({})).status, 401);
    home.run(&["keys", "revoke", made["key"]["id"].as_str().unwrap()])
        .failed();
    let entries = entries(&up);
    let actions: Vec<_> = entries
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    let of_keys: Vec<_> = actions
        .into_iter()
        .filter(|action| action.starts_with("key."))
        .collect();
    assert_eq!(of_keys, ["key.revoke", "key.create", "key.create"]);
}
