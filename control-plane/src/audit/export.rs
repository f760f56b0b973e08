//! The log as a file: JSON Lines or CSV, oldest first, read and written in parts.
//!
//! A spreadsheet takes a cell that begins with `=` for a formula; such cells are told apart by an
//! apostrophe (OWASP, CSV injection). JSON Lines hold everything as it is.

use hostler_proto::error::Failure;
use serde_json::{Value, json};

use super::{Entry, PART, may_read};
use crate::App;
use crate::auth::Caller;
use crate::store::audit;

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON object a line.
    JsonLines,
    /// RFC 4180, with a line of names.
    Csv,
}

/// Names of the columns, and of the fields of a line.
const COLUMNS: [&str; 12] = [
    "seq",
    "at",
    "actor",
    "actorId",
    "client",
    "address",
    "action",
    "thingKind",
    "thingId",
    "thingName",
    "detail",
    "digest",
];

impl Form {
    /// The form a word means.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        match word {
            "jsonl" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// Media type and file name.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::JsonLines => ("application/jsonl; charset=utf-8", "audit.jsonl"),
            Self::Csv => ("text/csv; charset=utf-8", "audit.csv"),
        }
    }

    /// What stands before the first entry.
    pub(crate) fn head(self) -> String {
        match self {
            Self::JsonLines => String::new(),
            Self::Csv => COLUMNS.join(",") + "\r\n",
        }
    }

    /// One entry's line.
    fn line(self, entry: &Entry) -> String {
        match self {
            Self::JsonLines => format!("{}\n", object(entry)),
            Self::Csv => {
                let object = object(entry);
                let cells = COLUMNS.map(|column| cell(&object[column]));
                cells.join(",") + "\r\n"
            }
        }
    }
}

/// The lines after entry `after`, and the last one's number; none at the end.
pub(crate) async fn export(
    app: &App,
    caller: &Caller,
    form: Form,
    after: u64,
) -> Result<Option<(String, u64)>, Failure> {
    may_read(caller)?;
    let part = audit::after(&app.store, caller.org_id, after, PART).await?;
    let lines = part.iter().map(|entry| form.line(entry)).collect();
    Ok(part.last().map(|last| (lines, last.seq)))
}

/// An entry as JSON, with its detail unpacked.
pub(crate) fn object(entry: &Entry) -> Value {
    let detail = entry.detail.as_deref();
    let detail = detail
        .map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())));
    json!({
        "seq": entry.seq,
        "at": entry.at.to_string(),
        "actor": entry.actor,
        "actorId": entry.actor_id,
        "client": entry.client,
        "address": entry.address,
        "action": entry.action,
        "thingKind": entry.thing_kind,
        "thingId": entry.thing_id,
        "thingName": entry.thing_name,
        "detail": detail,
        "digest": entry.digest,
    })
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let formula =
        text.trim_start().starts_with(['=', '+', '-', '@']) || text.starts_with(['\t', '\r', '\n']);
    let text = if formula { format!("'{text}") } else { text };
    if text.contains([',', '"', '\r', '\n', '\'', ';', '\t']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula_and_never_two() {
        let written = |text: &str| cell(&Value::String(text.to_owned()));
        assert_eq!(written("plain"), "plain");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1"] {
            let cell = written(formula);
            assert!(cell.starts_with("\"'"), "{formula:?} {cell:?}");
        }
        assert_eq!(written("a,b"), "\"a,b\"");
        assert_eq!(written("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(written("two\nlines"), "\"two\nlines\"");
        assert_eq!(cell(&json!({"a": "=1"})), "\"{\"\"a\"\":\"\"=1\"\"}\"");
        assert_eq!(cell(&json!(7)), "7");
    }
}
