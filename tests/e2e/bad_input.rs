//! Wrong arguments, for every field of every tool: the cases are made from the tool list itself, so
//! a new field is covered on the day it appears. Every answer is the right code, and nothing of it
//! changes anything.

use serde_json::{Value, json};

use crate::harness::{Home, Mcp, Repo, yearly};

const UNKNOWN: &str = "01900000-0000-7000-8000-000000000000";

/// One of each thing, to name in otherwise valid arguments.
pub(crate) struct Things {
    pub(crate) host: Value,
    pub(crate) project: Value,
    pub(crate) workspace: Value,
    pub(crate) task: Value,
    pub(crate) automation: Value,
}

impl Things {
    pub(crate) fn make(mcp: &Mcp, repo: &Repo<'_>) -> Self {
        let project = mcp.import(repo);
        let (workspace, _) = mcp.workspace(&project, "w");
        Self {
            host: mcp.host()["id"].clone(),
            workspace,
            task: mcp.ok("tasks_create", json!({"title": "t"}))["task"]["id"].clone(),
            automation: mcp.automation(&json!({})),
            project,
        }
    }

    /// Arguments that would work, for every tool.
    pub(crate) fn valid(&self, tool: &str) -> Value {
        match tool {
            "tasks_get" => json!({"idOrSlug": self.task}),
            "tasks_create" => json!({"title": "valid"}),
            "tasks_update" | "tasks_delete" => json!({"id": self.task}),
            "workspaces_create" => {
                json!({"hostId": self.host, "projectId": self.project, "name": "valid"})
            }
            "workspaces_delete" => json!({"id": self.workspace}),
            "automations_create" => yearly(&json!({"name": "valid"})),
            "automations_set_prompt" => json!({"id": self.automation, "prompt": "valid"}),
            "automations_logs" => json!({"automationId": self.automation}),
            "automations_get"
            | "automations_get_prompt"
            | "automations_update"
            | "automations_pause"
            | "automations_resume"
            | "automations_run"
            | "automations_delete" => json!({"id": self.automation}),
            "runs_get" | "runs_cancel" => {
                json!({"runId": "01900000-0000-7000-8000-000000000000"})
            }
            "projects_create" => json!({"hostId": self.host, "path": "/nowhere"}),
            "tasks_list" | "workspaces_list" | "automations_list" | "projects_list"
            | "hosts_list" => json!({}),
            new => panic!("{new} has no valid arguments here yet"),
        }
    }
}

#[test]
fn every_wrong_field_is_refused_and_changes_nothing() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 1);
    let up = home.up();
    let mcp = up.mcp();
    let things = Things::make(&mcp, &repo);
    let before = everything(&mcp);
    let mut wrong = Vec::new();
    for tool in mcp.tools() {
        let name = tool["name"].as_str().unwrap();
        let valid = things.valid(name);
        for case in cases(&tool["inputSchema"], &valid) {
            match mcp.call(name, case.clone()) {
                Err(error) if error.code == "invalid_argument" && error.message.len() > 10 => {}
                other => wrong.push(format!(
                    "{name} {} -> {}",
                    shortened(&case),
                    shortened(&json!(format!("{other:?}")))
                )),
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong answers\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(everything(&mcp), before, "a refused call changed something");
}

#[test]
fn ids_of_nothing_are_not_found_by_every_tool() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 1);
    let up = home.up();
    let mcp = up.mcp();
    let things = Things::make(&mcp, &repo);
    let mut wrong = Vec::new();
    for tool in mcp.tools() {
        let name = tool["name"].as_str().unwrap();
        for field in tool["inputSchema"]["properties"]
            .as_object()
            .unwrap()
            .keys()
            .filter(|field| is_reference(field))
        {
            for nothing in [
                UNKNOWN,
                "no-such-thing",
                "'; DROP TABLE tasks; --",
                "%",
                "../../etc/passwd",
            ] {
                let mut arguments = things.valid(name);
                arguments[field] = json!(nothing);
                if field.starts_with("v2") {
                    arguments
                        .as_object_mut()
                        .unwrap()
                        .remove(if field == "v2ProjectId" {
                            "projectId"
                        } else {
                            "workspaceId"
                        });
                }
                match mcp.call(name, arguments.clone()) {
                    Err(error) if error.code == "not_found" => {}
                    // A field that takes only an id says so, and a status or agent is one of a few words.
                    Err(error)
                        if error.code == "invalid_argument"
                            && (nothing != UNKNOWN
                                || ["status", "statusId", "agent"].contains(&field.as_str())) => {}
                    other => wrong.push(format!(
                        "{name} {arguments} -> {}",
                        shortened(&json!(format!("{other:?}")))
                    )),
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong answers\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn unknown_tools_and_shapeless_arguments_are_refused() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    for name in ["no_such_tool", "", "HOSTS_LIST", "hosts_list "] {
        assert!(mcp.call(name, json!({})).is_err(), "{name:?}");
    }
    for arguments in [json!([]), json!("text"), json!(7)] {
        assert!(
            mcp.call("tasks_create", arguments.clone()).is_err(),
            "{arguments}"
        );
    }
    // Leaving arguments out altogether is as good as an empty object.
    assert!(
        mcp.call("hosts_list", Value::Null).is_ok()
            || mcp
                .request("tools/call", json!({"name": "hosts_list"}))
                .0
                .is_ok()
    );
}

#[test]
fn the_other_names_of_ids_are_taken() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 1);
    let up = home.up();
    let mcp = up.mcp();
    let things = Things::make(&mcp, &repo);
    let listed = mcp.ok("workspaces_list", json!({"v2ProjectId": things.project}));
    assert!(!listed["workspaces"].as_array().unwrap().is_empty());
    let arguments = json!({"hostId": things.host, "v2ProjectId": things.project, "name": "alias"});
    let workspace = mcp.ok("workspaces_create", arguments)["workspace"]["id"].clone();
    let made = mcp.ok(
        "automations_create",
        yearly(&json!({"v2WorkspaceId": workspace})),
    );
    assert_eq!(made["automation"]["workspaceId"], workspace);
}

/// Every way to get one field of a tool wrong.
fn cases(schema: &Value, valid: &Value) -> Vec<Value> {
    let with = |field: &str, value: Value| {
        let mut case = valid.clone();
        case[field] = value;
        case
    };
    let mut cases = vec![with("noSuchField", json!(1))];
    for field in schema["required"].as_array().into_iter().flatten() {
        let mut case = valid.clone();
        case.as_object_mut()
            .unwrap()
            .remove(field.as_str().unwrap());
        cases.push(case);
    }
    for (field, property) in schema["properties"].as_object().unwrap() {
        cases.extend(
            wrong_values(field, property)
                .into_iter()
                .map(|value| with(field, value)),
        );
    }
    cases
}

/// Values that the field's own schema rules out.
fn wrong_values(field: &str, property: &Value) -> Vec<Value> {
    let types = types_of(property);
    let mut wrong: Vec<Value> = [
        json!(7.5),
        json!("\u{1}nonsense"),
        json!(true),
        json!([{}]),
        json!({"a": 1}),
    ]
    .into_iter()
    .filter(|value| !types.iter().any(|kind| fits(kind, value)))
    .collect();
    if property["enum"].is_array() {
        wrong.push(json!("nonsense"));
    }
    if let Some(longest) = property["maxLength"].as_u64() {
        wrong.push(json!("x".repeat(usize::try_from(longest).unwrap() + 1)));
    }
    if types == ["string"] && !is_reference(field) {
        wrong.push(json!("x".repeat(300_000)));
    }
    if let Some(least) = property["minimum"].as_i64() {
        wrong.push(json!(least - 1));
    }
    if let Some(most) = property["maximum"].as_i64() {
        wrong.push(json!(most + 1));
    }
    if property["format"] == "date-time" {
        wrong.push(json!("next tuesday"));
    }
    wrong
}

fn types_of(property: &Value) -> Vec<String> {
    let one = |kind: &Value| kind.as_str().map(str::to_owned);
    match &property["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(one).collect(),
        Value::String(kind) => vec![kind.clone()],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => property["anyOf"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(types_of)
            .collect(),
    }
}

fn fits(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

/// Fields that name another thing: a wrong one is looked for and not found.
fn is_reference(field: &str) -> bool {
    field == "id"
        || field == "idOrSlug"
        || field == "status"
        || field == "agent"
        || field.ends_with("Id")
}

/// What the lists show now.
fn everything(mcp: &Mcp) -> Value {
    let count =
        |tool: &str, list: &str| json!(mcp.ok(tool, json!({}))[list].as_array().unwrap().len());
    let tasks = mcp.ok("tasks_list", json!({}));
    let automations = mcp.ok("automations_list", json!({}));
    json!([
        tasks,
        automations["total"],
        count("projects_list", "projects"),
        count("workspaces_list", "workspaces")
    ])
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    text.chars().take(220).collect()
}
