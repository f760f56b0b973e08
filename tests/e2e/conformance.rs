//! The field's own checkers against the running server: the MCP conformance suite, the inspector's
//! strict schema check and the tool-description linter.

use serde_json::{Value, json};

use crate::harness::{
    Ended, Home, Http, KeyProxy, OWNER, Terminal, allow, client, free_port, secs, set_up,
};

/// What the suite asks of a server that offers tools alone. Those that call a tool call the suite's
/// own fixtures, which a debug build offers when `HOSTLER_MCP_FIXTURES` is set.
const OF_2025_11_25: &[&str] = &[
    "server-initialize",
    "ping",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-error",
    "tools-call-with-progress",
    "dns-rebinding-protection",
];
const OF_2026_07_28: &[&str] = &[
    "server-stateless",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-error",
    "tools-call-with-progress",
    "caching",
    "http-header-validation",
    "dns-rebinding-protection",
];

#[test]
fn the_conformance_suite_of_2025_11_25_passes() {
    conforms("2025-11-25", OF_2025_11_25);
}

#[test]
fn the_conformance_suite_of_2026_07_28_passes() {
    conforms("2026-07-28", OF_2026_07_28);
}

#[test]
fn the_inspector_finds_no_fault_with_the_schemas() {
    let home = Home::new();
    let up = home.up();
    let header = format!("Authorization: Bearer {}", up.key);
    let mut command = client(&home, "mcp-inspector");
    command.args([
        "--cli",
        &up.mcp_url,
        "--transport",
        "http",
        "--header",
        &header,
        "--method",
        "tools/list",
        "--strict",
    ]);
    let listed = Ended::of(command, secs(60));
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    assert!(
        listed.stdout.contains("automations_logs"),
        "{}",
        listed.stdout
    );
    let mut command = client(&home, "mcp-inspector");
    command.args([
        "--cli",
        &up.mcp_url,
        "--transport",
        "http",
        "--header",
        &header,
        "--method",
        "tools/call",
        "--tool-name",
        "hosts_list",
    ]);
    let called = Ended::of(command, secs(60)).ok();
    assert!(called.contains("lastSeenAt"), "{called}");
}

#[test]
fn the_inspector_is_refused_without_a_key() {
    let home = Home::new();
    let up = home.up();
    let mut command = client(&home, "mcp-inspector");
    command.args([
        "--cli",
        &up.mcp_url,
        "--transport",
        "http",
        "--method",
        "tools/list",
    ]);
    let refused = Ended::of(command, secs(60));
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
}

#[test]
fn the_description_linter_has_nothing_to_say() {
    let home = Home::new();
    let up = home.up();
    let mut command = client(&home, "tdqs");
    let header = format!("Authorization: Bearer {}", up.key);
    command.args([
        "lint",
        "--url",
        &up.mcp_url,
        "--header",
        &header,
        "--fail-on",
        "warning",
        "--format",
        "text",
    ]);
    let linted = Ended::of(command, secs(60));
    assert_eq!(linted.code, Some(0), "{}\n{}", linted.stdout, linted.stderr);
}

#[test]
fn the_conformance_suite_of_authorization_servers_passes() {
    let home = Home::new();
    let up = home.up();
    set_up(&up);
    let port = free_port().to_string();
    let callback = format!("http://127.0.0.1:{port}/callback");
    let registration = json!({"client_name": "Conformance", "redirect_uris": [callback]});
    let json = [("content-type", "application/json")];
    let body = registration.to_string();
    let answer = Http::new(&up.url).post("/oauth/register", &json, body.as_bytes());
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    let id = answer["client_id"].as_str().unwrap();
    let mut command = client(&home, "conformance");
    command.args(["authorization", "--url", &up.url, "--resource", &up.mcp_url]);
    command.args(["--client-id", id, "--port", &port]);
    let mut login = Terminal::start(&command);
    let address = login.address("/oauth/authorize");
    allow(&up, &address, "Conformance", OWNER);
    let (code, said) = login.end(secs(60));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Total: 3 passed, 0 failed"), "{said}");
}

/// Findings that say no more than that a feature is not offered: the suite's own tools for asking
/// the client something back and for logging, and lists of prompts and resources.
const NOT_OFFERED: &[&str] = &[
    "Error: Not testable: server does not list the diagnostic tool 'test_missing_capability'",
    "Error: Not testable: server does not list the diagnostic tool 'test_streaming_elicitation'",
    "Error: Not testable: server does not list the diagnostic tool 'test_logging_tool'",
    "Error: prompts/list returned JSON-RPC error -32601",
    "Error: resources/list returned JSON-RPC error -32601",
    "Error: resources/templates/list returned JSON-RPC error -32601",
];

/// Runs these scenarios; the suite's own words come with a failure.
#[track_caller]
fn conforms(version: &str, scenarios: &[&str]) {
    let home = Home::new();
    let up = home.up_with(&[("HOSTLER_MCP_FIXTURES", "1")]);
    let proxy = KeyProxy::start(&format!("127.0.0.1:{}", home.port()), &up.key);
    let url = format!("http://127.0.0.1:{}/mcp", proxy.port);
    let mut failed = Vec::new();
    for scenario in scenarios {
        let mut command = client(&home, "conformance");
        let which = ["--scenario", scenario, "--spec-version", version];
        command.args(["server", "--url", &url]).args(which);
        let ended = Ended::of(command, secs(60));
        if ended.code != Some(0) && !only_what_is_not_offered(&ended) {
            failed.push(format!("--- {scenario}\n{}{}", ended.stdout, ended.stderr));
        }
    }
    let (some, all) = (failed.len(), scenarios.len());
    assert!(
        failed.is_empty(),
        "{version}: {some} of {all} failed\n{}",
        failed.join("\n")
    );
}

/// Whether each failed check names its reason, and all reasons are features that are not offered.
fn only_what_is_not_offered(ended: &Ended) -> bool {
    let said = format!("{}\n{}", ended.stdout, ended.stderr);
    let lines = || said.lines().map(str::trim);
    let failures = lines().filter(|line| line.contains("FAILURE")).count();
    let reasons: Vec<_> = lines().filter(|line| line.starts_with("Error: ")).collect();
    let expected = |line: &&&str| NOT_OFFERED.iter().any(|known| line.starts_with(known));
    failures > 0 && reasons.len() == failures && reasons.iter().filter(expected).count() == failures
}
