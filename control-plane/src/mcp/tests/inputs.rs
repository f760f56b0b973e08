//! Every field of every tool, given wrong in every way its schema rules out.
//!
//! The cases come from the advertised schemas, and the same arguments without the fault must pass,
//! so a bound that is advertised and not enforced (or the reverse) fails here.

use hostler_proto::error::ErrorCode;
use rmcp::model::{JsonObject, Tool};
use serde_json::{Map, Value, json};

use crate::mcp::tools::Tools;
use crate::mcp::validate::arguments;

/// Arguments that a schema accepts: its required fields, and `field` besides.
fn good(schema: &JsonObject, field: &str) -> JsonObject {
    let mut wanted: Vec<&str> = names(schema, "required");
    wanted.push(field);
    let dependent = schema.get("dependentRequired").and_then(Value::as_object);
    for (on, needed) in dependent.into_iter().flatten() {
        if wanted.contains(&on.as_str()) {
            wanted.extend(needed.as_array().unwrap().iter().filter_map(Value::as_str));
        }
    }
    let fields = &schema["properties"];
    let given = wanted
        .iter()
        .map(|name| ((*name).to_owned(), sample(&fields[*name])));
    given.collect()
}

fn names<'s>(schema: &'s JsonObject, key: &str) -> Vec<&'s str> {
    let list = schema.get(key).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// A value that a field's schema accepts.
fn sample(field: &Value) -> Value {
    let field = kind(field);
    if let Some(words) = field["enum"].as_array() {
        return words[0].clone();
    }
    match field["type"].as_str().unwrap() {
        "string" if field["format"] == "date-time" => json!("2026-03-08T09:30:00Z"),
        "string" => json!("x"),
        "boolean" => json!(true),
        "integer" | "number" => field.get("maximum").cloned().unwrap_or(json!(1)),
        "array" => json!([sample(&field["items"])]),
        other => unreachable!("{other}"),
    }
}

/// A field's schema without its null branch.
fn kind(field: &Value) -> &Value {
    field["anyOf"]
        .as_array()
        .map_or(field, |branches| &branches[0])
}

/// Values that a field's schema rules out.
fn wrong(field: &Value) -> Vec<Value> {
    let nullable = field["anyOf"].is_array();
    let field = kind(field);
    let mut wrong = vec![json!({"an": "object"})];
    if !nullable {
        wrong.push(Value::Null);
    }
    match field["type"].as_str().unwrap() {
        "string" => wrong.extend([json!(7), json!(["x"])]),
        "boolean" => wrong.extend([json!("true"), json!(1)]),
        "integer" => wrong.extend([json!("1"), json!(1.5)]),
        "number" => wrong.push(json!("1")),
        "array" => {
            let items = wrong_items(&field["items"]);
            wrong.extend([json!("x")].into_iter().chain(items));
        }
        other => unreachable!("{other}"),
    }
    wrong.extend(beyond(field));
    wrong
}

fn wrong_items(items: &Value) -> Vec<Value> {
    self::wrong(items)
        .into_iter()
        .map(|item| json!([item]))
        .collect()
}

/// One step outside each bound.
fn beyond(field: &Value) -> Vec<Value> {
    let number = |key: &str| field[key].as_i64();
    let text = |length: i64| json!("x".repeat(usize::try_from(length).unwrap()));
    let list = |length: i64| {
        Value::Array(vec![
            sample(&field["items"]);
            usize::try_from(length).unwrap()
        ])
    };
    let steps = [
        number("minLength").filter(|n| *n > 0).map(|n| text(n - 1)),
        number("maxLength").map(|n| text(n + 1)),
        number("minimum").map(|n| json!(n - 1)),
        number("maximum").map(|n| json!(n + 1)),
        number("exclusiveMinimum").map(|n| json!(n)),
        number("maxItems").map(|n| list(n + 1)),
        field["enum"].is_array().then(|| json!("no such word")),
        (field["format"] == "date-time").then(|| json!("2026-03-08")),
    ];
    steps.into_iter().flatten().collect()
}

fn check(tool: &Tool, given: JsonObject) -> Result<Value, hostler_proto::error::Failure> {
    arguments(&tool.name, &tool.input_schema, given)
}

#[test]
fn each_field_of_each_tool_is_held_to_its_schema() {
    let mut cases = 0;
    for tool in Tools::new(false).list() {
        let fields = tool.input_schema["properties"].as_object().unwrap().clone();
        for (name, field) in &fields {
            let good = good(&tool.input_schema, name);
            check(&tool, good.clone()).unwrap_or_else(|error| panic!("{}: {error}", tool.name));
            for value in wrong(field) {
                let mut given = good.clone();
                given.insert(name.clone(), value.clone());
                let shown: String = value.to_string().chars().take(60).collect();
                let failure = check(&tool, given)
                    .err()
                    .unwrap_or_else(|| panic!("{}: {name} = {shown} passed", tool.name));
                assert_eq!(failure.code, ErrorCode::InvalidArgument);
                let told = failure.message.contains(&format!("`{name}"));
                assert!(told, "{}: {name} = {shown}: {failure}", tool.name);
                cases += 1;
            }
        }
    }
    assert!(cases > 500, "{cases}");
}

#[test]
fn a_missing_required_field_is_named() {
    for tool in Tools::new(false).list() {
        let schema = &tool.input_schema;
        let dependent = schema.get("dependentRequired").and_then(Value::as_object);
        let always: Vec<&str> = names(schema, "required");
        let with_them = dependent.into_iter().flatten();
        let with_them = with_them
            .filter(|(on, _)| always.contains(&on.as_str()))
            .flat_map(|(_, needed)| needed.as_array().unwrap())
            .filter_map(Value::as_str);
        for name in always.iter().copied().chain(with_them) {
            let mut given = good(schema, name);
            given.remove(name);
            let failure = check(&tool, given).unwrap_err();
            let told = failure.message.contains(&format!("`{name}` is required"));
            assert!(told, "{}: {failure}", tool.name);
        }
    }
}

#[test]
fn unknown_fields_are_refused_by_every_tool() {
    for tool in Tools::new(false).list() {
        let mut given = good_or_empty(&tool);
        given.insert("bogus".to_owned(), json!(1));
        let failure = check(&tool, given).unwrap_err();
        assert!(
            failure.message.contains("`bogus` is not a field"),
            "{failure}"
        );
    }
}

#[test]
fn the_old_names_of_projects_and_workspaces_are_taken() {
    let tools = Tools::new(false);
    for (tool, old, name) in [
        ("workspaces_create", "v2ProjectId", "projectId"),
        ("workspaces_list", "v2ProjectId", "projectId"),
        ("automations_create", "v2ProjectId", "projectId"),
        ("automations_create", "v2WorkspaceId", "workspaceId"),
        ("automations_update", "v2WorkspaceId", "workspaceId"),
    ] {
        let tool = &tools.get(tool).unwrap().tool;
        let mut given = good_or_empty(tool);
        given.remove(name);
        given.insert(old.to_owned(), json!("api"));
        let taken = check(tool, given).unwrap();
        assert_eq!(taken[name], "api", "{}", tool.name);
        assert_eq!(taken.get(old), None);
    }
}

fn good_or_empty(tool: &Tool) -> JsonObject {
    match names(&tool.input_schema, "required").first() {
        Some(first) => good(&tool.input_schema, first),
        None => Map::new(),
    }
}
