//! Checks a tool's arguments against the very schema that is advertised for it.
//!
//! There is no second list of rules: a keyword in a schema is enforced here, and a keyword this
//! module does not know must not appear in an input schema (a test keeps that so). One thing goes
//! without saying: no text holds a NUL character, which neither databases nor programs take. Every
//! problem names its field and says what is allowed.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::time::UtcMillis;
use rmcp::model::JsonObject;
use serde_json::{Map, Number, Value};

/// Other names under which old clients send a field.
const ALIASES: [(&str, &str); 2] = [
    ("v2ProjectId", "projectId"),
    ("v2WorkspaceId", "workspaceId"),
];

/// At most so many problems are told at once.
const TOLD: usize = 5;

/// Checks `arguments` of the tool `tool` against `schema`, and puts them in the form serde reads
/// (aliases resolved, `5.0` as `5`).
pub(crate) fn arguments(
    tool: &str,
    schema: &JsonObject,
    arguments: JsonObject,
) -> Result<Value, Failure> {
    let mut problems = Vec::new();
    let arguments = resolve_aliases(schema, arguments, &mut problems);
    let mut value = Value::Object(arguments);
    check(schema, &mut value, "", &mut problems);
    if problems.is_empty() {
        return Ok(value);
    }
    problems.truncate(TOLD);
    Err(Failure::new(ErrorCode::InvalidArgument, problems.join("; ")).hint(takes(tool, schema)))
}

/// The arguments were something else than an object.
pub(crate) fn no_object(tool: &str, schema: &JsonObject) -> Failure {
    let problem = "`arguments` must be an object of named fields";
    Failure::new(ErrorCode::InvalidArgument, problem).hint(takes(tool, schema))
}

/// What the tool takes, in one line.
fn takes(tool: &str, schema: &JsonObject) -> String {
    let required = names(schema.get("required"));
    let optional = properties(schema).filter(|name| !required.contains(&name.as_str()));
    let all: Vec<String> = required
        .iter()
        .map(|name| (*name).to_owned())
        .chain(optional.map(|name| format!("{name}?")))
        .collect();
    if all.is_empty() {
        return format!("{tool} takes no arguments; call it again with {{}}.");
    }
    format!(
        "Correct the arguments and call {tool} again. It takes: {} (? = optional).",
        all.join(", ")
    )
}

fn resolve_aliases(
    schema: &JsonObject,
    mut arguments: JsonObject,
    problems: &mut Vec<String>,
) -> JsonObject {
    for (alias, name) in ALIASES {
        let known = properties(schema).any(|known| known == name);
        if !known || !arguments.contains_key(alias) {
            continue;
        }
        let given = arguments.remove(alias).unwrap_or_default();
        match arguments.get(name) {
            Some(other) if *other != given => problems.push(format!(
                "`{alias}` is another name of `{name}` and both were given with different values"
            )),
            Some(_) | None => {
                arguments.insert(name.to_owned(), given);
            }
        }
    }
    arguments
}

/// What a schema finds wrong with a value.
#[cfg(test)]
pub(crate) fn problems(schema: &JsonObject, value: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    check(schema, &mut value.clone(), "", &mut problems);
    problems
}

fn check(schema: &JsonObject, value: &mut Value, path: &str, problems: &mut Vec<String>) {
    if let Some(Value::Array(branches)) = schema.get("anyOf") {
        return check_branches(branches, value, path, problems);
    }
    if let Some(expected) = schema.get("type").and_then(Value::as_str)
        && !has_type(expected, value)
    {
        problems.push(format!(
            "{} must be {}, got {}",
            named(path),
            article(expected),
            shown(value)
        ));
        return;
    }
    if let Some(Value::Array(words)) = schema.get("enum")
        && !words.contains(value)
    {
        let allowed: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        problems.push(format!(
            "{} must be one of {}, got {}",
            named(path),
            allowed.join(", "),
            shown(value)
        ));
        return;
    }
    match value {
        Value::Object(map) => check_object(schema, map, path, problems),
        Value::Array(items) => check_array(schema, items, path, problems),
        Value::String(text) => check_text(schema, text, path, problems),
        Value::Number(number) => check_number(schema, number, path, problems),
        Value::Null | Value::Bool(_) => {}
    }
}

/// A value must satisfy one branch; what is told is the problem with the branch of its kind.
fn check_branches(branches: &[Value], value: &mut Value, path: &str, problems: &mut Vec<String>) {
    let mut told: Option<Vec<String>> = None;
    for branch in branches.iter().filter_map(Value::as_object) {
        let mut found = Vec::new();
        let mut attempt = value.clone();
        check(branch, &mut attempt, path, &mut found);
        if found.is_empty() {
            *value = attempt;
            return;
        }
        told.get_or_insert(found);
    }
    let nullable = branches
        .iter()
        .any(|branch| branch.get("type") == Some(&"null".into()));
    let or_null = if nullable {
        " (or null to clear it)"
    } else {
        ""
    };
    problems.extend(
        told.unwrap_or_default()
            .into_iter()
            .map(|problem| format!("{problem}{or_null}")),
    );
}

fn check_object(
    schema: &JsonObject,
    map: &mut Map<String, Value>,
    path: &str,
    problems: &mut Vec<String>,
) {
    for name in names(schema.get("required")) {
        if !map.contains_key(name) {
            problems.push(format!("{} is required", named(&below(path, name))));
        }
    }
    if let Some(Value::Object(dependent)) = schema.get("dependentRequired") {
        for (given, needed) in dependent
            .iter()
            .filter(|(given, _)| map.contains_key(*given))
        {
            let missing = names(Some(needed))
                .into_iter()
                .filter(|name| !map.contains_key(*name));
            problems.extend(
                missing.map(|name| {
                    format!("{} is required with `{given}`", named(&below(path, name)))
                }),
            );
        }
    }
    let declared = schema.get("properties").and_then(Value::as_object);
    for (name, value) in map.iter_mut() {
        let below = below(path, name);
        match declared.and_then(|declared| declared.get(name)) {
            Some(Value::Object(child)) => check(child, value, &below, problems),
            None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                problems.push(unknown(schema, name, &below));
            }
            Some(_) | None => {}
        }
    }
}

fn check_array(schema: &JsonObject, items: &mut [Value], path: &str, problems: &mut Vec<String>) {
    let length = items.len() as u64;
    if let Some(most) = schema.get("maxItems").and_then(Value::as_u64)
        && length > most
    {
        problems.push(format!(
            "{} may have at most {most} entries, got {length}",
            named(path)
        ));
    }
    if let Some(least) = schema.get("minItems").and_then(Value::as_u64)
        && length < least
    {
        problems.push(format!(
            "{} must have at least {least} entries, got {length}",
            named(path)
        ));
    }
    if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
        let twin = (1..items.len()).find(|at| items[..*at].contains(&items[*at]));
        problems.extend(twin.map(|at| format!("{} has {} twice", named(path), shown(&items[at]))));
    }
    let Some(Value::Object(child)) = schema.get("items") else {
        return;
    };
    for (at, item) in items.iter_mut().enumerate() {
        check(child, item, &format!("{path}[{at}]"), problems);
    }
}

fn check_text(schema: &JsonObject, text: &str, path: &str, problems: &mut Vec<String>) {
    let length = text.chars().count() as u64;
    let least = schema.get("minLength").and_then(Value::as_u64);
    let most = schema.get("maxLength").and_then(Value::as_u64);
    if least.is_some_and(|least| length < least) {
        let least = least.unwrap_or_default();
        let problem = if length == 0 {
            "must not be empty".to_owned()
        } else {
            format!("must have at least {least} characters, got {length}")
        };
        problems.push(format!("{} {problem}", named(path)));
    }
    if let Some(most) = most.filter(|most| length > *most) {
        problems.push(format!(
            "{} may have at most {most} characters, got {length}",
            named(path)
        ));
    }
    if text.contains('\0') {
        problems.push(format!("{} must not hold a NUL character", named(path)));
    }
    if schema.get("format") == Some(&"date-time".into()) && rfc3339(text).is_none() {
        problems.push(format!(
            "{} must be an RFC 3339 date-time such as 2026-03-08T09:30:00Z, got {}",
            named(path),
            shown(&Value::String(text.to_owned()))
        ));
    }
}

fn check_number(schema: &JsonObject, number: &mut Number, path: &str, problems: &mut Vec<String>) {
    let given = number.as_f64().unwrap_or(f64::NAN);
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let problem = match (
        bound("minimum"),
        bound("maximum"),
        bound("exclusiveMinimum"),
    ) {
        (_, _, Some(least)) if given <= least => format!("must be greater than {least}"),
        (Some(least), Some(most), _) if given < least || given > most => {
            format!("must be from {least} to {most}")
        }
        (Some(least), None, _) if given < least => format!("must be at least {least}"),
        (None, Some(most), _) if given > most => format!("must be at most {most}"),
        _ => {
            if schema.get("type") == Some(&"integer".into())
                && let Some(whole) = whole(given).filter(|_| number.is_f64())
            {
                *number = whole.into();
            }
            return;
        }
    };
    problems.push(format!("{} {problem}, got {number}", named(path)));
}

fn has_type(expected: &str, value: &Value) -> bool {
    match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| whole(n).is_some())
        }
        _ => false,
    }
}

/// The integer a number stands for, when it is one that JSON carries exactly.
#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be whole and within the exact range of a double"
)]
pub(crate) fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.trunc().to_bits() == number.to_bits() && number.abs() < EXACT).then_some(number as i64)
}

/// An instant from an RFC 3339 date-time (section 5.6): seconds and an offset are not optional.
pub(crate) fn rfc3339(text: &str) -> Option<UtcMillis> {
    let bytes = text.as_bytes();
    let shape = bytes.len() >= 20
        && text.is_ascii()
        && matches!(bytes[10], b'T' | b't' | b' ')
        && [4, 7].into_iter().all(|at| bytes[at] == b'-')
        && [13, 16].into_iter().all(|at| bytes[at] == b':')
        && !text.contains('[')
        && (text.ends_with(['Z', 'z']) || bytes[bytes.len() - 3] == b':');
    let parsed = shape.then(|| text.parse::<jiff::Timestamp>().ok())?;
    parsed.map(UtcMillis::from)
}

fn unknown(schema: &JsonObject, name: &str, path: &str) -> String {
    let near = properties(schema).find(|known| {
        known.eq_ignore_ascii_case(name)
            || known.eq_ignore_ascii_case(&name.replace(['_', '-'], ""))
    });
    match near {
        Some(known) => format!("{} is not a field; did you mean `{known}`?", named(path)),
        None => format!("{} is not a field of this tool", named(path)),
    }
}

fn properties(schema: &JsonObject) -> impl Iterator<Item = &String> {
    let declared = schema.get("properties").and_then(Value::as_object);
    declared.into_iter().flat_map(Map::keys)
}

fn names(list: Option<&Value>) -> Vec<&str> {
    let list = list.and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn named(path: &str) -> String {
    let short: String = path.chars().take(80).collect();
    format!("`{short}`")
}

fn article(kind: &str) -> String {
    match kind {
        "integer" => "a whole number".to_owned(),
        "array" | "object" => format!("an {kind}"),
        other => format!("a {other}"),
    }
}

/// A value in a few words; long ones are cut.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let text = value.to_string();
            match text.char_indices().nth(60) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Arguments and what is told of them.
    const WRONG: &[(&str, &str)] = &[
        ("{}", "`title` is required"),
        (
            r#"{"title": "a\u0000"}"#,
            "`title` must not hold a NUL character",
        ),
        (r#"{"title": ""}"#, "`title` must not be empty"),
        (
            r#"{"title": "abcd"}"#,
            "`title` may have at most 3 characters, got 4",
        ),
        (r#"{"title": null}"#, "`title` must be a string, got null"),
        (r#"{"title": 7}"#, "`title` must be a string, got 7"),
        (
            r#"{"title": "a", "limit": 0}"#,
            "`limit` must be from 1 to 500, got 0",
        ),
        (
            r#"{"title": "a", "limit": 501}"#,
            "`limit` must be from 1 to 500, got 501",
        ),
        (
            r#"{"title": "a", "limit": 1.5}"#,
            "`limit` must be a whole number, got 1.5",
        ),
        (
            r#"{"title": "a", "limit": "5"}"#,
            "`limit` must be a whole number, got \"5\"",
        ),
        (
            r#"{"title": "a", "estimate": 0}"#,
            "`estimate` must be greater than 0, got 0",
        ),
        (
            r#"{"title": "a", "priority": "HIGH"}"#,
            "`priority` must be one of low, high, got \"HIGH\"",
        ),
        (
            r#"{"title": "a", "dueDate": "tomorrow"}"#,
            "`dueDate` must be an RFC 3339 date-time such as 2026-03-08T09:30:00Z, got \"tomorrow\" (or null to clear it)",
        ),
        (
            r#"{"title": "a", "labels": "x"}"#,
            "`labels` must be an array, got \"x\"",
        ),
        (
            r#"{"title": "a", "labels": ["x", 3]}"#,
            "`labels[1]` must be a string, got 3",
        ),
        (
            r#"{"title": "a", "labels": ["x", "y", "z"]}"#,
            "`labels` may have at most 2 entries, got 3",
        ),
        (
            r#"{"title": "a", "labels": ["x", "x"]}"#,
            "`labels` has \"x\" twice",
        ),
        (
            r#"{"title": "a", "force": "yes"}"#,
            "`force` must be a boolean, got \"yes\"",
        ),
        (
            r#"{"title": "a", "due_date": "x"}"#,
            "`due_date` is not a field; did you mean `dueDate`?",
        ),
        (
            r#"{"title": "a", "colour": 1}"#,
            "`colour` is not a field of this tool",
        ),
        (
            r#"{"title": "a", "rrule": "x"}"#,
            "`timezone` is required with `rrule`",
        ),
        (
            r#"{"title": "a", "projectId": "p", "v2ProjectId": "q"}"#,
            "`v2ProjectId` is another name of `projectId` and both were given with different values",
        ),
    ];

    fn schema() -> JsonObject {
        let Value::Object(schema) = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["title"],
            "dependentRequired": {"rrule": ["timezone"]},
            "properties": {
                "title": {"type": "string", "minLength": 1, "maxLength": 3},
                "limit": {"type": "integer", "minimum": 1, "maximum": 500},
                "estimate": {"type": "number", "exclusiveMinimum": 0},
                "priority": {"type": "string", "enum": ["low", "high"]},
                "dueDate": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
                "labels": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 2, "uniqueItems": true},
                "force": {"type": "boolean"},
                "projectId": {"type": "string", "minLength": 1},
                "rrule": {"type": "string"},
                "timezone": {"type": "string"},
            },
        }) else {
            unreachable!()
        };
        schema
    }

    fn run(given: &Value) -> Result<Value, Failure> {
        let Value::Object(given) = given.clone() else {
            unreachable!()
        };
        arguments("tasks_create", &schema(), given)
    }

    #[test]
    fn good_arguments_pass_and_are_put_in_form() {
        let given = json!({"title": "äöü", "limit": 5.0, "estimate": 0.5, "dueDate": null, "labels": ["a"], "v2ProjectId": "p"});
        assert_eq!(
            run(&given).unwrap(),
            json!({"title": "äöü", "limit": 5, "estimate": 0.5, "dueDate": null, "labels": ["a"], "projectId": "p"})
        );
    }

    #[test]
    fn each_problem_names_its_field_and_what_is_allowed() {
        for (given, told) in WRONG {
            let failure = run(&serde_json::from_str(given).unwrap()).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidArgument);
            assert_eq!(&failure.message, told, "{given}");
            assert!(failure.hint.unwrap().contains("title, dueDate?"));
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let failure = run(&json!({"limit": 0, "force": 1})).unwrap_err();
        assert_eq!(
            failure.message,
            "`title` is required; `force` must be a boolean, got 1; `limit` must be from 1 to 500, got 0"
        );
    }

    #[test]
    fn instants_need_seconds_and_an_offset() {
        assert_eq!(rfc3339("1970-01-01T00:00:01Z"), Some(UtcMillis(1000)));
        assert_eq!(rfc3339("1970-01-01T01:00:00.5+01:00"), Some(UtcMillis(500)));
        for bad in [
            "2026-03-08",
            "2026-03-08T09:30:00",
            "2026-03-08T09:30Z",
            "2026-13-08T09:30:00Z",
            "20260308T093000Z",
            "2026-03-08T09:30:00+01",
            "2026-03-08T09:30:00+00:00[UTC]",
            "",
        ] {
            assert_eq!(rfc3339(bad), None, "{bad}");
        }
    }
}
