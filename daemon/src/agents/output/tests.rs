//! What the reader makes of samples that were recorded from the real programs.

use std::fs;
use std::path::Path;

use super::super::Agents;
use super::*;

/// What the real program printed in a case.
fn sample(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/fixtures/agents");
    fs::read_to_string(folder.join(name).with_extension("jsonl")).unwrap()
}

fn agent(id: &str) -> Agent {
    Agents::default().get(id).unwrap().clone()
}

fn read(output: Output, text: &str) -> Report {
    let agent = Agent {
        output,
        logged_out: Vec::new(),
        ..agent("claude")
    };
    let whole = {
        let mut reader = Reader::new(&agent);
        reader.push(text.as_bytes());
        reader.finish()
    };
    let mut cut = Reader::new(&agent);
    for chunk in text.as_bytes().chunks(7) {
        cut.push(chunk);
    }
    assert_eq!(cut.finish(), whole);
    whole
}

/// The report of a sample; the dialect is also found by the lines' own shape.
fn report(output: Output, name: &str) -> Report {
    let report = read(output, &sample(name));
    assert_eq!(read(Output::JsonLines, &sample(name)), report, "{name}");
    report
}

const BOTH: &str = "**Done.** Two files:\n\n- README.md\n- NOTES.md";

#[test]
fn a_success_tells_words_session_tokens_and_cost() {
    for (output, name, session, tokens, cost) in [
        (
            Output::ClaudeLines,
            "claude",
            "1a4ee8c2-65b6-43f5-9c09-a60580d1ff4a",
            100,
            Some(0.0012),
        ),
        (
            Output::CodexLines,
            "codex",
            "01a20126-876c-7681-a38d-eb024f929ad8",
            80,
            None,
        ),
        (
            Output::GeminiLines,
            "gemini",
            "5b6928cf-a023-4bab-8628-3ba599f669d9",
            100,
            None,
        ),
        (
            Output::OpencodeLines,
            "opencode",
            "ses_dfed954ddffekAMRK320QFSFPq",
            100,
            Some(0.0),
        ),
    ] {
        let report = report(output, name);
        assert_eq!(report.result_text.as_deref(), Some(BOTH), "{name}");
        assert_eq!(report.session_id.as_deref(), Some(session), "{name}");
        assert_eq!(report.tokens, Some(tokens), "{name}");
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert_eq!(report.cost_usd.is_some(), cost.is_some(), "{name}");
        assert!(
            near(report.cost_usd.unwrap_or(0.0), cost.unwrap_or(0.0)),
            "{name}"
        );
        assert_eq!((report.denied, report.failure), (vec![], None), "{name}");
    }
}

#[test]
fn a_failure_tells_why() {
    let claude = Output::ClaudeLines;
    for (output, name, words) in [
        (claude, "claude-401", "Invalid API key"),
        (claude, "claude-529", "529 Overloaded"),
        (claude, "claude-loggedout", "Not logged in"),
        (
            Output::CodexLines,
            "codex-401",
            "unexpected status 401 Unauthorized",
        ),
        (Output::CodexLines, "codex-500", "high demand"),
        (Output::CodexLines, "codex-529", "529"),
        (Output::GeminiLines, "gemini-401", "invalid x-api-key"),
        (Output::OpencodeLines, "opencode-401", "invalid x-api-key"),
    ] {
        let failure = report(output, name).failure.unwrap_or_default();
        assert!(failure.contains(words), "{name}: {failure}");
    }
}

#[test]
fn a_denial_names_the_tool() {
    for (output, name, tools) in [
        (Output::ClaudeLines, "claude-denied", &["Bash"][..]),
        (Output::GeminiLines, "gemini-denied", &["run_shell_command"]),
        (Output::GeminiLines, "gemini-asked", &["run_shell_command"]),
        (Output::OpencodeLines, "opencode-denied", &["bash"]),
        (Output::CopilotLines, "copilot-denied", &["bash", "view"]),
        (
            Output::VibeLines,
            "vibe-denied",
            &["file_system.write_file", "file_system.bash"],
        ),
    ] {
        let report = report(output, name);
        assert_eq!(report.denied, tools, "{name}");
        assert_eq!(report.failure, None, "{name}");
        assert!(report.session_id.is_some(), "{name}");
    }
}

#[test]
fn a_denial_is_known_of_a_claude_that_was_ended_before_its_result() {
    let text = sample("claude-denied");
    let (without_result, _) = text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(read(Output::ClaudeLines, without_result).denied, ["Bash"]);
}

#[test]
fn what_codex_got_over_is_no_failure() {
    let connecting = r#"{"type":"thread.started","thread_id":"t"}
{"type":"error","message":"Reconnecting... 2/5"}
"#;
    let failure = read(Output::CodexLines, connecting).failure;
    assert_eq!(failure.as_deref(), Some("Reconnecting... 2/5"));
    let over = format!(
        "{connecting}{}\n{}\n",
        r#"{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":2}}"#,
        r#"{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":2}}"#
    );
    let report = read(Output::CodexLines, &over);
    assert_eq!((report.failure, report.tokens), (None, Some(6)));
}

#[test]
fn text_and_garbage_say_nothing() {
    assert_eq!(
        read(Output::Text, "{\"type\":\"result\"}\n"),
        Report::default()
    );
    for output in [
        Output::ClaudeLines,
        Output::CodexLines,
        Output::CopilotLines,
        Output::GeminiLines,
        Output::OpencodeLines,
        Output::VibeLines,
        Output::JsonLines,
    ] {
        let garbage = "{}\n{\"type\":7}\n[1]\n\u{0}{\n{\nnot json\n{\"type\":\"new\",\"x\":[{}]}\n";
        assert_eq!(read(output, garbage), Report::default());
    }
    let unknown = format!("{{\"type\":\"brand_new\"}}\n{}", sample("claude"));
    assert_eq!(
        read(Output::ClaudeLines, &unknown),
        report(Output::ClaudeLines, "claude")
    );
}

/// Recorded from the real programs with an empty home and no key: what they say, what to do.
const SIGNED_OUT: &[(&str, &str, &str)] = &[
    (
        "amp",
        "No API key found. Starting login flow...\nWhen prompted, paste your code here: ",
        "amp login",
    ),
    (
        "copilot",
        "Error: No authentication information found.\n",
        "/login",
    ),
    (
        "droid",
        "Error during droid execution: Authentication failed. Please log in using /login or set a valid FACTORY_API_KEY environment variable.\n",
        "FACTORY_API_KEY",
    ),
    (
        "gemini",
        "Please set an Auth method in your /home/ada/.gemini/settings.json or specify one of the following environment variables before running: GEMINI_API_KEY\n",
        "GEMINI_API_KEY",
    ),
    (
        "grok",
        "Not signed in. To authenticate without a browser, run:\n  grok login --device-code\n",
        "grok login",
    ),
    (
        "kimi",
        "error: failed to run prompt: No model configured. Run `kimi` and use /login to sign in, then retry\n",
        "kimi login",
    ),
    (
        "mastracode",
        "[error] Could not find API key process.env.OPENAI_API_KEY for model id openai/gpt-5.5\n",
        "API key",
    ),
    ("pi", "No API key found for the selected model.\n", "/login"),
    (
        "vibe",
        "Error: Missing MISTRAL_API_KEY environment variable for mistral provider\n",
        "MISTRAL_API_KEY",
    ),
];

#[test]
fn an_agent_that_nobody_is_signed_in_to_says_what_to_type() {
    for (id, words, way_out) in SIGNED_OUT {
        let agent = agent(id);
        let mut reader = Reader::new(&agent);
        for byte in words.as_bytes() {
            reader.push_error(&[*byte]);
        }
        let said = reader.finish().sign_in.unwrap_or_default();
        assert!(
            said.contains(&agent.label) && said.contains(way_out),
            "{id}: {said}"
        );
    }
    for (id, name) in [
        ("claude", "claude-loggedout"),
        ("claude", "claude-401"),
        ("codex", "codex-401"),
        ("opencode", "opencode-401"),
    ] {
        let agent = agent(id);
        let mut reader = Reader::new(&agent);
        reader.push(sample(name).as_bytes());
        assert!(reader.finish().sign_in.is_some(), "{name}");
    }
}

/// Codex tells of a refused patch on standard error alone.
#[test]
fn a_denial_on_standard_error_is_found_across_pieces() {
    let agent = agent("codex");
    let mut reader = Reader::new(&agent);
    let line = "2026-11-22T03:04:12Z ERROR codex_core::tools::router: error=patch rejected: writing is blocked by read-only sandbox; rejected by user approval settings\n";
    for chunk in line.repeat(2).as_bytes().chunks(5) {
        reader.push_error(chunk);
    }
    let denied = reader.finish().denied;
    assert_eq!(
        denied,
        [
            "patch rejected: writing is blocked by read-only sandbox; rejected by user approval settings"
        ]
    );
}
