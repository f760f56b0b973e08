//! Whom things belong to: to another organization nothing here exists, and a colleague without
//! access to a host sees none of it and changes none of its owner's automations.

use serde_json::{Value, json};

use crate::bad_input::Things;
use crate::harness::{Home, Mcp, Repo, Service};

const OTHER_KEY: &str = "sk_live_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Its SHA-256, as the catalog keeps it.
const OTHER_HASH: &str = "5647bdab3eff6c5d42956a5199554c4a9b22c23748447c87729bd3f0adc62d22";

#[test]
fn nothing_exists_for_another_organization() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 1);
    let up = home.up();
    let mcp = up.mcp();
    let things = Things::make(&mcp, &repo);
    let run = mcp.run_to_end(&things.automation);
    let stranger = add_member(&home, &up, "another organization");
    let own = own_things(&home, &stranger);
    let mut wrong = Vec::new();
    for tool in mcp.tools() {
        let name = tool["name"].as_str().unwrap();
        let fields = tool["inputSchema"]["properties"].as_object().unwrap();
        for field in fields.keys().filter(|field| names_a_thing(field)) {
            let known = thing_of(name, field, &things, &run).is_some();
            assert!(known, "{name}: prepare a thing for its field {field}");
        }
        let mut cases = naming_things(name, &things, &run, fields.keys());
        // The same among things of the stranger's own: nothing foreign gets in by a second field.
        let within = cases.iter().flat_map(|case| mixed(case, &things, &own));
        cases.extend(within.collect::<Vec<_>>());
        let names_nothing = [
            "tasks_list",
            "tasks_create",
            "automations_list",
            "hosts_list",
        ];
        assert!(
            !cases.is_empty() || names_nothing.contains(&name),
            "{name} names no thing that is known here"
        );
        for case in cases {
            match stranger.call(name, case.clone()) {
                Err(error) if error.code == "not_found" => {}
                other => wrong.push(format!("{name} {case} -> {other:?}")),
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong answers\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    for (tool, list) in LISTS {
        let seen = stranger.ok(tool, json!({}))[list].clone();
        for (_, thing) in foreign(&things) {
            assert!(
                !seen.to_string().contains(thing.as_str().unwrap()),
                "{tool}: {seen}"
            );
        }
    }
    // Nothing a stranger asked for happened.
    assert!(mcp.find_workspace(&things.workspace).is_some());
    assert_eq!(mcp.ok("tasks_list", json!({}))["total"], 1);
    let automation =
        mcp.ok("automations_get", json!({"id": things.automation}))["automation"].clone();
    assert_eq!(automation["lastRun"]["runId"], run["runId"]);
    assert!(repo.branches().len() == 2, "{:?}", repo.branches());
}

#[test]
fn a_colleague_without_access_to_a_host_sees_none_of_it() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 1);
    let up = home.up();
    let mcp = up.mcp();
    let things = Things::make(&mcp, &repo);
    let colleague = add_member(&home, &up, "the same organization");
    for (tool, list) in LISTS {
        let expected = usize::from(tool == "tasks_list");
        let seen = colleague.ok(tool, json!({}))[list].clone();
        if tool != "projects_list" {
            assert_eq!(seen.as_array().unwrap().len(), expected, "{tool}: {seen}");
        }
    }
    let tools = [
        "get",
        "get_prompt",
        "update",
        "pause",
        "resume",
        "run",
        "delete",
    ];
    for tool in tools {
        let id = json!({"id": things.automation});
        let refusal = colleague
            .call(&format!("automations_{tool}"), id)
            .unwrap_err();
        assert!(
            ["not_found", "forbidden"].contains(&refusal.code.as_str()),
            "{tool}: {refusal:?}"
        );
    }
    for tool in ["workspaces_create", "projects_create"] {
        colleague.refused(tool, things.valid(tool), "not_found");
    }
    colleague.refused(
        "workspaces_delete",
        json!({"id": things.workspace, "force": true}),
        "not_found",
    );
    assert!(mcp.find_workspace(&things.workspace).is_some());
    // A task is the organization's.
    colleague.ok(
        "tasks_update",
        json!({"id": things.task, "title": "Changed by a colleague"}),
    );
}

#[test]
fn what_a_grant_gives_losing_it_takes_away_in_every_tool() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 1);
    let up = home.up();
    let mcp = up.mcp();
    let things = Things::make(&mcp, &repo);
    let colleague = add_member(&home, &up, "the same organization");
    let host = mcp.host();
    let name = host["name"].as_str().unwrap();
    home.run(&["hosts", "grant", name, "other@example.com"])
        .ok();
    assert_eq!(colleague.host()["id"], things.host);
    let theirs =
        colleague.automation(&json!({"name": "theirs", "prompt": "printf 'from-%s' the-host"}));
    let run = colleague.run_to_end(&theirs);
    assert!(colleague.find_workspace(&things.workspace).is_some());

    home.run(&["hosts", "ungrant", name, "other@example.com"])
        .ok();
    let own = Things {
        automation: theirs.clone(),
        ..things
    };
    let id = |value: &Value| value.as_str().unwrap().to_owned();
    // The host's id stays in their automation: it says what it was for.
    let secrets = [
        name.to_owned(),
        id(&own.workspace),
        repo.text().to_owned(),
        "from-the-host".to_owned(),
    ];
    let mut wrong = Vec::new();
    for tool in colleague.tools() {
        let called = tool["name"].as_str().unwrap();
        let fields = tool["inputSchema"]["properties"].as_object().unwrap();
        let mut cases = naming_things(called, &own, &run, fields.keys());
        cases.push(own.valid(called));
        for case in cases {
            // What is asked with is not what is told.
            let asked = case.to_string();
            let told = match colleague.call(called, case.clone()) {
                Ok(answer) => answer.to_string(),
                Err(error) => format!("{error:?}"),
            };
            let leaks = secrets
                .iter()
                .filter(|secret| !asked.contains(*secret) && told.contains(*secret));
            wrong.extend(leaks.map(|secret| format!("{called} {asked} tells {secret}: {told}")));
            if called == "workspaces_delete" || called == "workspaces_create" {
                assert!(told.contains("not_found"), "{called} {asked}: {told}");
            }
        }
        // The next tools are asked about one that is there.
        let gone = || colleague.call("automations_get", json!({"id": theirs}));
        assert!(called != "automations_delete" || gone().is_err());
    }
    assert!(
        wrong.is_empty(),
        "{} answers\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(mcp.find_workspace(&own.workspace).is_some());
}

#[test]
fn a_revoked_or_expired_key_is_refused_at_once() {
    let home = Home::new();
    let up = home.up();
    let other = add_member(&home, &up, "the same organization");
    other.ok("hosts_list", json!({}));
    for change in ["revoked_at = 1", "revoked_at = NULL, expires_at = 1"] {
        sql(
            &home,
            &[&format!("UPDATE tokens SET {change} WHERE id = '@TOKEN'")],
        );
        assert_eq!(other.send("tools/list", json!({})).status, 401, "{change}");
    }
}

const LISTS: [(&str, &str); 5] = [
    ("tasks_list", "tasks"),
    ("workspaces_list", "workspaces"),
    ("automations_list", "automations"),
    ("projects_list", "projects"),
    ("hosts_list", "hosts"),
];

/// Whether a field holds an id; of what is told by its name.
fn names_a_thing(field: &str) -> bool {
    // Tested with people and statuses: they are the organization's words, not things.
    let words = ["assigneeId", "creatorId", "statusId"];
    !words.contains(&field) && (field == "id" || field.ends_with("Id") || field.ends_with("Ids"))
}

/// The first organization's thing that a field of a tool names.
fn thing_of<'a>(tool: &str, field: &str, things: &'a Things, run: &'a Value) -> Option<&'a Value> {
    match field {
        "hostId" | "targetHostId" => Some(&things.host),
        "projectId" | "v2ProjectId" => Some(&things.project),
        "workspaceId" | "v2WorkspaceId" => Some(&things.workspace),
        "taskId" | "idOrSlug" => Some(&things.task),
        "runId" => Some(&run["runId"]),
        "id" if tool.starts_with("tasks_") => Some(&things.task),
        "id" if tool.starts_with("workspaces_") => Some(&things.workspace),
        "id" | "automationId" => Some(&things.automation),
        _ => None,
    }
}

fn foreign(things: &Things) -> [(&'static str, &Value); 5] {
    [
        ("host", &things.host),
        ("project", &things.project),
        ("workspace", &things.workspace),
        ("automation", &things.automation),
        ("task", &things.task),
    ]
}

/// A stranger's own host, which is away, an automation there, and a task.
fn own_things(home: &Home, stranger: &Mcp) -> [(&'static str, Value); 3] {
    let columns = "(id, org_id, owner_id, name, name_key, public_key, enrolled_at)";
    let host = format!(
        "INSERT INTO hosts {columns} VALUES ('@HOST', '@ORG', '@USER', 'own', 'own', '00', 0)"
    );
    sql(home, &[&host]);
    let host = stranger.ok("hosts_list", json!({}))["hosts"][0]["id"].clone();
    let automation = stranger.automation(&json!({"name": "own", "targetHostId": host}));
    let task = stranger.ok("tasks_create", json!({"title": "own"}))["task"]["id"].clone();
    [("host", host), ("automation", automation), ("task", task)]
}

/// Arguments in which all foreign things but one are the stranger's own instead, where there are such.
fn mixed(case: &Value, things: &Things, own: &[(&'static str, Value)]) -> Vec<Value> {
    let fields = case.as_object().unwrap();
    let foreign = foreign(things);
    let of = |value: &Value| {
        foreign
            .iter()
            .find(|(_, id)| *id == value)
            .map(|(of, _)| *of)
    };
    let named: Vec<String> = fields
        .iter()
        .filter(|(_, value)| of(value).is_some())
        .map(|(field, _)| field.clone())
        .collect();
    let kept = named.iter().map(|kept| {
        let mut mixed = case.clone();
        for field in named.iter().filter(|field| *field != kept) {
            let mine = own.iter().find(|(kind, _)| Some(*kind) == of(&case[field]));
            if let Some((_, id)) = mine {
                mixed[field] = id.clone();
            }
        }
        mixed
    });
    kept.collect()
}

/// Valid arguments that name a thing of the first organization, field by field.
fn naming_things<'a>(
    tool: &str,
    things: &Things,
    run: &Value,
    fields: impl Iterator<Item = &'a String>,
) -> Vec<Value> {
    let with = |(field, value): (&String, &Value)| {
        let mut arguments = things.valid(tool);
        arguments[field] = value.clone();
        if let Some(plain) = field.strip_prefix("v2").map(lower_first) {
            arguments.as_object_mut().unwrap().remove(&plain);
        }
        arguments
    };
    fields
        .filter_map(|field| Some((field, thing_of(tool, field, things, run)?)))
        .map(with)
        .collect()
}

fn lower_first(name: &str) -> String {
    name[..1].to_lowercase() + &name[1..]
}

/// Adds another member straight to the catalog: inviting people is not part of the tools.
fn add_member(home: &Home, up: &Service, which: &str) -> Mcp {
    let same = which == "the same organization";
    let organization = if same {
        "(SELECT org_id FROM tokens LIMIT 1)"
    } else {
        "'@ORG'"
    };
    let member = "INSERT INTO members (org_id, user_id, role, created_at) VALUES";
    sql(
        home,
        &[
            "INSERT INTO organizations (id, name, created_at) VALUES ('@ORG', 'Other', 0)",
            "INSERT INTO users (id, email, email_key, name, created_at)
         VALUES ('@USER', 'other@example.com', 'other@example.com', 'Other', 0)",
            &format!("{member} ({organization}, '@USER', 'member', 0)"),
            &format!(
            "INSERT INTO tokens (id, kind, hash, prefix, org_id, user_id, name, scopes, created_at)
             SELECT '@TOKEN', kind, '@HASH', prefix, {organization}, '@USER', 'other', scopes, 0
             FROM tokens WHERE kind = 'api_key' LIMIT 1"
        ),
        ],
    );
    Mcp::new(&up.mcp_url, OTHER_KEY)
}

/// Changes the catalog under the running program; names with `@` stand for ids and the key's hash.
fn sql(home: &Home, statements: &[&str]) {
    let named = |statement: &&str| {
        let id = |number: u8| format!("01900000-0000-7000-8000-{number:012}");
        let statement = statement.replace("@ORG", &id(1)).replace("@USER", &id(2));
        statement
            .replace("@TOKEN", &id(3))
            .replace("@HOST", &id(4))
            .replace("@HASH", OTHER_HASH)
    };
    let statements: Vec<String> = statements.iter().map(named).collect();
    home.sql(
        &home.hostler_home().join("control-plane/catalog.db"),
        &statements,
    );
}
