//! A tool call on one line, and the words for tokens, money and time.

use serde_json::Value;

/// Arguments that say what a call is about, the most telling first.
const COMMANDS: &[&str] = &["command", "cmd", "script"];
const PLACES: &[&str] = &[
    "file_path",
    "filePath",
    "path",
    "notebook_path",
    "absolute_path",
    "dir_path",
];
const SUBJECTS: &[&str] = &["pattern", "query", "url", "description", "prompt", "name"];

/// `Bash: cargo test`, `Edit src/lib.rs`, `Grep "panic!"`, `hosts_list {"a":1}`. `cwd`: paths below it
/// are shown without it.
pub(super) fn call(tool: &str, input: &Value, cwd: Option<&str>) -> String {
    let named = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| input[*name].as_str().filter(|text| !text.is_empty()))
    };
    if let Some(command) = named(COMMANDS) {
        return format!("{tool}: {command}");
    }
    if let Some(place) = named(PLACES) {
        let pattern = input["pattern"].as_str();
        let pattern = pattern.map_or(String::new(), |text| format!("{text:?} in "));
        return format!("{tool} {pattern}{}", below(place, cwd));
    }
    if let Some(subject) = named(SUBJECTS) {
        return format!("{tool}: {subject}");
    }
    let is_empty = input.is_null() || input.as_object().is_some_and(serde_json::Map::is_empty);
    if is_empty {
        tool.to_owned()
    } else {
        format!("{tool} {input}")
    }
}

/// A path as it is seen from the working directory.
pub(super) fn below<'a>(path: &'a str, cwd: Option<&str>) -> &'a str {
    cwd.and_then(|cwd| path.strip_prefix(cwd)?.strip_prefix('/'))
        .filter(|rest| !rest.is_empty())
        .unwrap_or(path)
}

/// The last line: `done: 1,200 tokens, $0.0034, 12.5 s`.
pub(super) fn ending(word: &str, facts: &[Option<String>]) -> String {
    let facts: Vec<&str> = facts.iter().flatten().map(String::as_str).collect();
    if facts.is_empty() {
        word.to_owned()
    } else {
        format!("{word}: {}", facts.join(", "))
    }
}

/// `1,200 tokens`; nothing for an unknown number.
pub(super) fn tokens(count: Option<u64>) -> Option<String> {
    let digits = count?.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    Some(format!("{grouped} tokens"))
}

/// `$0.0034`; nothing where nothing is known or nothing was paid.
pub(super) fn cost(dollars: Option<f64>) -> Option<String> {
    let dollars = dollars.filter(|dollars| *dollars > 0.0)?;
    Some(format!("${dollars:.4}"))
}

/// `12.5 s`, `3 min 4 s`.
pub(super) fn duration(millis: Option<u64>) -> Option<String> {
    let millis = millis?;
    let seconds = millis / 1000;
    Some(match seconds {
        0..60 => format!("{seconds}.{} s", millis % 1000 / 100),
        60.. => format!("{} min {} s", seconds / 60, seconds % 60),
    })
}

/// The sum of those of the named numbers that are there; none when none is.
pub(super) fn sum(value: &Value, names: &[&str]) -> Option<u64> {
    names
        .iter()
        .filter_map(|name| value[*name].as_u64())
        .reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_says_what_it_is_about() {
        let cwd = Some("/w");
        for (tool, input, expected) in [
            (
                "Bash",
                json!({"command": "cargo test", "description": "d"}),
                "Bash: cargo test",
            ),
            (
                "Edit",
                json!({"file_path": "/w/src/lib.rs", "old_string": "x"}),
                "Edit src/lib.rs",
            ),
            ("Read", json!({"file_path": "/wood/a"}), "Read /wood/a"),
            (
                "Grep",
                json!({"pattern": "panic!", "path": "/w/src"}),
                "Grep \"panic!\" in src",
            ),
            (
                "WebFetch",
                json!({"url": "http://x", "prompt": "p"}),
                "WebFetch: http://x",
            ),
            ("hosts_list", json!({}), "hosts_list"),
            ("todo", json!({"items": [1]}), "todo {\"items\":[1]}"),
        ] {
            assert_eq!(call(tool, &input, cwd), expected);
        }
    }

    #[test]
    fn figures_are_words() {
        let facts = [
            tokens(Some(1_234_567)),
            cost(Some(0.0)),
            duration(Some(61_900)),
        ];
        assert_eq!(ending("done", &facts), "done: 1,234,567 tokens, 1 min 1 s");
        assert_eq!(duration(Some(1_250)).as_deref(), Some("1.2 s"));
        assert_eq!(ending("done", &[None]), "done");
    }
}
