//! What `tools/list` says of each tool.

use std::collections::BTreeSet;

use rmcp::model::{JsonObject, Tool};
use serde_json::Value;

use crate::mcp::tools::Tools;

fn all() -> Vec<Tool> {
    Tools::new(false).list()
}

#[test]
fn the_tools_are_the_documented_ones_in_their_order() {
    let names: Vec<String> = all().iter().map(|tool| tool.name.to_string()).collect();
    assert_eq!(
        names,
        [
            "tasks_list",
            "tasks_get",
            "tasks_create",
            "tasks_update",
            "tasks_delete",
            "workspaces_list",
            "workspaces_create",
            "workspaces_delete",
            "automations_list",
            "automations_get",
            "automations_get_prompt",
            "automations_create",
            "automations_update",
            "automations_set_prompt",
            "automations_pause",
            "automations_resume",
            "automations_run",
            "automations_logs",
            "automations_delete",
            "projects_list",
            "projects_create",
            "hosts_list",
            "runs_get",
            "runs_cancel",
        ]
    );
}

#[test]
fn descriptions_are_60_to_120_words_and_name_another_tool() {
    let names: Vec<String> = all().iter().map(|tool| tool.name.to_string()).collect();
    for tool in all() {
        let text = tool.description.clone().unwrap_or_default();
        let words = text.split_whitespace().count();
        assert!((60..=120).contains(&words), "{}: {words} words", tool.name);
        let others = names.iter().filter(|name| **name != tool.name);
        let siblings = others.filter(|name| text.contains(name.as_str())).count();
        assert!(siblings > 0, "{} names no sibling", tool.name);
        assert!(!text.contains("  "), "{}: double spaces", tool.name);
    }
}

#[test]
fn every_tool_has_a_title_longer_than_its_name_and_four_annotations() {
    for tool in all() {
        let title = tool.title.clone().unwrap_or_default();
        assert!(title.len() > tool.name.len(), "{}: {title}", tool.name);
        let hints = tool.annotations.unwrap();
        assert_eq!(hints.title.as_ref(), Some(&title));
        for hint in [
            hints.read_only_hint,
            hints.destructive_hint,
            hints.idempotent_hint,
            hints.open_world_hint,
        ] {
            assert!(hint.is_some(), "{}", tool.name);
        }
        let reads = ["_list", "_get", "_get_prompt", "_logs"];
        let reads = reads.iter().any(|end| tool.name.ends_with(end));
        assert_eq!(hints.read_only_hint, Some(reads), "{}", tool.name);
    }
}

#[test]
fn schemas_are_plain_and_every_field_is_described() {
    for tool in all() {
        let input = Value::Object(tool.input_schema.as_ref().clone());
        let output = Value::Object(tool.output_schema.as_ref().unwrap().as_ref().clone());
        for schema in [&input, &output] {
            let text = schema.to_string();
            for banned in [
                "$ref",
                "$defs",
                "uint",
                "int32",
                "int64",
                "x-clearable",
                "\"type\":[",
            ] {
                assert!(!text.contains(banned), "{}: {banned} in {text}", tool.name);
            }
            described(&tool.name, schema);
        }
        assert_eq!(input["additionalProperties"], false, "{}", tool.name);
        assert_eq!(output["type"], "object", "{}", tool.name);
        assert!(output["properties"]["error"].is_object(), "{}", tool.name);
    }
}

fn described(tool: &str, schema: &Value) {
    let properties = schema["properties"].as_object();
    for (name, field) in properties.into_iter().flatten() {
        if name != "error" {
            let text = field["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty() && !text.contains('\n'), "{tool}: {name}");
        }
        described(tool, field);
        described(tool, &field["items"]);
    }
}

/// Null means something only where an update clears a field.
#[test]
fn only_updates_take_null() {
    for tool in all() {
        let text = Value::Object(tool.input_schema.as_ref().clone()).to_string();
        let nullable = text.contains("\"null\"");
        assert_eq!(nullable, tool.name.ends_with("_update"), "{}", tool.name);
    }
}

/// A keyword that is advertised is enforced: [`crate::mcp::validate`] knows these and no others.
#[test]
fn input_schemas_use_only_enforced_keywords() {
    let enforced = [
        "type",
        "properties",
        "required",
        "dependentRequired",
        "additionalProperties",
        "items",
        "anyOf",
        "enum",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "minItems",
        "maxItems",
        "uniqueItems",
        "format",
        "description",
        "default",
    ];
    for tool in all() {
        let mut used = BTreeSet::new();
        keywords(&tool.input_schema, &mut used);
        for keyword in used {
            assert!(
                enforced.contains(&keyword.as_str()),
                "{}: {keyword}",
                tool.name
            );
        }
    }
}

fn keywords(schema: &JsonObject, used: &mut BTreeSet<String>) {
    used.extend(schema.keys().cloned());
    let fields = schema.get("properties").and_then(Value::as_object);
    let items = schema.get("items");
    let branches = schema.get("anyOf").and_then(Value::as_array);
    let below = fields
        .into_iter()
        .flat_map(JsonObject::values)
        .chain(items)
        .chain(branches.into_iter().flatten());
    for child in below.filter_map(Value::as_object) {
        keywords(child, used);
    }
}

/// A client weighs a tool by its required fields: more than three make it look shadowed by others.
#[test]
fn no_tool_requires_more_than_three_fields_outright() {
    for tool in all() {
        let required = tool.input_schema.get("required").and_then(Value::as_array);
        assert!(required.map_or(0, Vec::len) <= 3, "{}", tool.name);
    }
}

#[test]
fn the_list_is_the_same_bytes_every_time() {
    let list = || serde_json::to_string(&all()).unwrap();
    assert_eq!(list(), list());
}
