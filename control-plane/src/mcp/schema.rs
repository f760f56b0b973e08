//! JSON Schemas of tools, made from the Rust types that hold their inputs and outputs.
//!
//! The type is the only declaration: serde reads it, this module turns it into the schema that is
//! advertised, and [`super::validate`] enforces that schema. What comes out is plain: no `$ref`,
//! one `type` per schema, no Rust number formats, and a `null` branch only where null means
//! something.

use std::borrow::Cow;

use hostler_proto::time::UtcMillis;
use rmcp::model::JsonObject;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::patch::Patch;

/// Formats that are advertised and enforced; every other one is dropped.
const FORMATS: [&str; 1] = ["date-time"];

/// Marks the schema of a [`Patch`] until it is tidied.
const CLEARABLE: &str = "x-clearable";

/// The schema of a tool's input.
pub(crate) fn of_input<T: JsonSchema>() -> JsonObject {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let mut schema = generate::<T>(settings, Nulls::Dropped);
    schema.entry("properties").or_insert_with(|| json!({}));
    schema.insert("additionalProperties".into(), Value::Bool(false));
    schema
}

/// The schema of a tool's output: the result, or an error (clients check both against it).
pub(crate) fn of_output<T: JsonSchema>() -> JsonObject {
    let settings = || SchemaSettings::draft2020_12().for_serialize();
    let mut schema = generate::<T>(settings(), Nulls::Branches);
    let error = generate::<super::error::ToolError>(settings(), Nulls::Branches);
    let required = schema.remove("required").unwrap_or_else(|| json!([]));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert("error".into(), Value::Object(error));
    }
    let outcomes = json!([
        {"title": "result", "required": required},
        {"title": "failure", "required": ["error"]},
    ]);
    schema.insert("anyOf".into(), outcomes);
    schema
}

fn generate<T: JsonSchema>(settings: SchemaSettings, nulls: Nulls) -> JsonObject {
    let generator = settings
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    tidy(&mut schema, nulls);
    match schema {
        Value::Object(mut schema) => {
            schema.remove("description");
            schema
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// What becomes of the `null` that schemars allows for an `Option`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nulls {
    /// An optional input is left out, never null.
    Dropped,
    /// A value of an output may be null.
    Branches,
}

fn tidy(schema: &mut Value, nulls: Nulls) {
    let Value::Object(map) = schema else { return };
    map.remove("title");
    map.remove("$schema");
    if let Some(Value::String(text)) = map.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    let ours = |format: &str| FORMATS.contains(&format);
    if !map.get("format").and_then(Value::as_str).is_some_and(ours) {
        map.remove("format");
    }
    integral_bounds(map);
    collapse_constants(map);
    tidy_children(map, nulls);
    let nullable = take_null(map);
    let clearable = map.remove(CLEARABLE).is_some();
    if clearable || (nullable && nulls == Nulls::Branches) {
        branch_on_null(map);
    }
}

fn tidy_children(map: &mut JsonObject, nulls: Nulls) {
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(|child| tidy(child, nulls));
    }
    if let Some(items) = map.get_mut("items") {
        tidy(items, nulls);
    }
    if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
        for child in branches {
            tidy(child, nulls);
        }
    }
}

/// Whole bounds are written as integers (`1`, not `1.0`).
fn integral_bounds(map: &mut JsonObject) {
    for bound in ["minimum", "maximum", "exclusiveMinimum", "default"] {
        let Some(number) = map.get(bound).and_then(Value::as_f64) else {
            continue;
        };
        if let Some(whole) = super::validate::whole(number) {
            map.insert(bound.into(), json!(whole));
        }
    }
}

/// An enum whose variants have doc comments comes as `oneOf` constants: it is one list of words.
fn collapse_constants(map: &mut JsonObject) {
    let Some(Value::Array(branches)) = map.get("oneOf") else {
        return;
    };
    let words: Option<Vec<Value>> = branches.iter().map(|b| b.get("const").cloned()).collect();
    if let Some(words) = words {
        map.remove("oneOf");
        map.insert("type".into(), json!("string"));
        map.insert("enum".into(), Value::Array(words));
    }
}

/// Takes the null out of a schema; whether there was one.
fn take_null(map: &mut JsonObject) -> bool {
    let mut found = false;
    if let Some(Value::Array(types)) = map.get_mut("type") {
        let before = types.len();
        types.retain(|name| name != "null");
        found |= types.len() < before;
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(words)) = map.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
        let before = branches.len();
        branches.retain(|branch| branch.get("type") != Some(&json!("null")));
        found |= branches.len() < before;
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            map.remove("anyOf");
            for (key, value) in only {
                map.entry(key).or_insert(value);
            }
        }
    }
    found
}

/// `{description, ..}` becomes `{description, anyOf: [{..}, {type: null}]}`.
fn branch_on_null(map: &mut JsonObject) {
    let description = map.remove("description");
    let default = map.remove("default");
    let inner = std::mem::take(map);
    map.insert("anyOf".into(), json!([inner, {"type": "null"}]));
    map.extend(description.map(|text| ("description".to_owned(), text)));
    map.extend(default.map(|value| ("default".to_owned(), value)));
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(|given| given.map_or(Self::Clear, Self::Set))
    }
}

impl<T: JsonSchema> JsonSchema for Patch<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Patch_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        schema.insert(CLEARABLE.into(), Value::Bool(true));
        schema
    }

    fn _schemars_private_is_option() -> bool {
        true
    }
}

/// An instant, RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) UtcMillis);

impl From<UtcMillis> for Instant {
    fn from(at: UtcMillis) -> Self {
        Self(at)
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        super::validate::rfc3339(&text)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("not an RFC 3339 date-time"))
    }
}

impl JsonSchema for Instant {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Input {
        /// How many.
        #[serde(default = "ten")]
        #[schemars(range(min = 1, max = 100))]
        how_many: u32,
        /// A word.
        word: Option<Word>,
        /// When.
        due_date: Option<Instant>,
        /// Cleared by null.
        #[serde(default)]
        #[schemars(length(min = 1))]
        note: Patch<String>,
        /// Labels.
        labels: Option<Vec<String>>,
    }

    #[derive(Deserialize, Serialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        /// One.
        OneWord,
        /// Two.
        Two,
    }

    #[derive(Serialize, JsonSchema)]
    struct Output {
        /// Maybe.
        maybe: Option<Word>,
        /// Inner.
        inner: Option<Inner>,
    }

    #[derive(Serialize, JsonSchema)]
    struct Inner {
        /// At.
        at: Option<Instant>,
    }

    fn ten() -> u32 {
        10
    }

    #[test]
    fn an_input_is_plain() {
        let schema = Value::Object(of_input::<Input>());
        assert_eq!(
            schema,
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "howMany": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10, "description": "How many."},
                    "word": {"type": "string", "enum": ["one_word", "two"], "description": "A word."},
                    "dueDate": {"type": "string", "format": "date-time", "description": "When."},
                    "note": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}], "description": "Cleared by null."},
                    "labels": {"type": "array", "items": {"type": "string"}, "description": "Labels."},
                },
            })
        );
    }

    #[test]
    fn an_output_says_where_null_may_be_and_takes_an_error() {
        let schema = Value::Object(of_output::<Output>());
        assert_eq!(
            schema["properties"]["maybe"],
            json!({"anyOf": [{"type": "string", "enum": ["one_word", "two"]}, {"type": "null"}], "description": "Maybe."})
        );
        let inner = &schema["properties"]["inner"]["anyOf"][0]["properties"]["at"];
        assert_eq!(inner["anyOf"][0]["format"], "date-time");
        assert_eq!(schema["anyOf"][0]["required"], json!(["maybe", "inner"]));
        assert_eq!(schema["anyOf"][1]["required"], json!(["error"]));
        assert!(!schema.to_string().contains("$ref"), "{schema}");
    }
}
