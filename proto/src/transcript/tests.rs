//! The samples in `fixtures/agents` were recorded from the real programs; `HOSTLER_NEW_FIXTURES=1`
//! writes their renderings anew.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

fn samples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/agents");
    let mut all: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    all.sort();
    assert!(all.len() >= 8, "{all:?}");
    all
}

fn whole(bytes: &[u8]) -> String {
    let mut renderer = Renderer::new();
    let mut text = renderer.push(bytes);
    text.push_str(&renderer.finish());
    text
}

fn in_chunks(bytes: &[u8], size: usize) -> String {
    let mut renderer = Renderer::new();
    let mut text: String = bytes
        .chunks(size)
        .map(|chunk| renderer.push(chunk))
        .collect();
    text.push_str(&renderer.finish());
    text
}

#[test]
fn recorded_samples_read_like_this() {
    for sample in samples() {
        let bytes = fs::read(&sample).unwrap();
        let rendered = whole(&bytes);
        for size in [1, 7, 4096] {
            assert_eq!(in_chunks(&bytes, size), rendered, "{}", sample.display());
        }
        let golden = sample.with_extension("txt");
        if std::env::var_os("HOSTLER_NEW_FIXTURES").is_some() {
            fs::write(&golden, &rendered).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap();
        assert!(rendered == expected, "{}:\n{rendered}", sample.display());
    }
}

#[test]
fn what_is_not_understood_is_shown_as_it_is() {
    for line in [
        "{\"type\":\"brand_new\",\"x\":1}\n",
        "{\"type\":\"assistant\"}\n",
        "{\"type\":\"item.completed\",\"item\":{\"type\":\"hologram\"}}\n",
        "{\"level\":\"info\",\"msg\":\"up\"}\n",
        "{\n",
        "{} trailing\n",
        "[1,2]\n",
        "plain text \u{e9}\n",
        "\n",
        "no newline",
        "{\"half\":",
    ] {
        assert_eq!(whole(line.as_bytes()), line);
    }
}

#[test]
fn text_is_shown_before_its_line_ends_and_json_is_not() {
    let mut renderer = Renderer::new();
    assert_eq!(renderer.push(b"progress 10%"), "progress 10%");
    assert_eq!(renderer.push(b" 20%\n{\"type\":\"error\","), " 20%\n");
    assert_eq!(renderer.push(b"\"message\":\"broke\"}\n"), "\n! broke\n");
    assert_eq!(renderer.finish(), "");
}

#[test]
fn an_agent_cannot_drive_the_terminal() {
    let said = serde_json::json!({"type": "assistant", "message": {"content": [
        {"type": "text", "text": "safe\u{1b}]0;owned\u{7} \u{1b}[2Jwords"},
        {"type": "tool_use", "name": "Ba\u{1b}[31msh", "input": {"command": "ls\u{1b}[1A\nrm"}},
    ]}});
    let text = whole(format!("{said}\nplain \u{1b}[31mred\u{1b}[0m\u{8}\n").as_bytes());
    assert_eq!(text, "safe words\n\n> Bash: ls (+1 lines)\nplain red\n");
}

#[test]
fn a_huge_line_is_bounded() {
    let mut renderer = Renderer::new();
    let begin = "{\"type\":\"assistant\",\"message\":\"";
    let mut shown = renderer.push(begin.as_bytes());
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..40 {
        shown.push_str(&renderer.push(&piece));
    }
    shown.push_str(&renderer.push(b"\"}\nafter\n"));
    shown.push_str(&renderer.finish());
    assert!(
        shown.len() < 1_000 && shown.starts_with(begin),
        "{} bytes",
        shown.len()
    );
    assert!(
        shown.ends_with("(a line of 41943073 bytes)\nafter\n"),
        "{shown}"
    );
}

/// Bytes of all kinds: garbage, pieces of real samples, shapes that nearly fit.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let bits = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        any::<String>().prop_map(String::into_bytes),
        proptest::sample::select(vec![
            "\n", "{", "}", "\"", "\u{1b}[", "\u{1b}]0;", "\r", "{\"type\":",
            "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"content\":[7]}]}}\n",
            "{\"type\":\"item.started\",\"item\":{\"type\":\"file_change\",\"changes\":[1]}}\n",
            "{\"type\":\"tool_call\",\"tool_call\":{}}\n",
            "{\"type\":\"tool_use\",\"sessionID\":\"s\",\"part\":{\"tool\":\"x\"}}\n",
            "{\"type\":\"result\",\"subtype\":\"x\",\"duration_ms\":18446744073709551615}\n",
            "{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"a\",\"delta\":true}\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec(bits, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_bytes_give_the_same_clean_text_however_they_are_cut(bytes in anything(), size in 1_usize..50) {
        let text = whole(&bytes);
        prop_assert_eq!(&in_chunks(&bytes, size), &text);
        prop_assert!(text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()), "{:?}", text);
    }
}
