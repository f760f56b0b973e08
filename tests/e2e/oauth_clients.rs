//! Real clients sign in through the browser from nothing but the address, call tools, go on after
//! their tokens have expired, and stop when they are revoked.
//!
//! Claude Code and Codex name themselves by documents on their makers' servers. Here Claude Code
//! names one on a host that never exists (RFC 6761 section 6.4), so it is connected as where there is
//! no internet; for the others the server takes no documents, and they register with it.

use std::{fs, process::Command};

use serde_json::json;

use crate::harness::{
    Ended, Home, OWNER, Program, Service, Terminal, allow, claude_environment, client,
    client_folder, codex_settings, disconnect, eventually, free_port, host_model, passed, printed,
    says_the_host, secs, set_up, soon,
};

/// A server without internet access, whose access tokens live ten seconds.
const OFFLINE: [(&str, &str); 2] = [
    ("HOSTLER_ACCESS_TOKEN_SECONDS", "10"),
    ("HOSTLER_NO_CLIENT_DOCUMENTS", "true"),
];

/// Where Claude Code's document would be; what people are told it is.
const DOCUMENT_HOST: &str = "claude.invalid";

#[test]
fn claude_code_signs_in_from_the_address_alone() {
    let home = Home::new();
    // Claude Code renews in the last five minutes of a token; a shorter one before every request.
    let up = home.up_with(&[("HOSTLER_ACCESS_TOKEN_SECONDS", "305")]);
    let mut owner = set_up(&up);
    let model = host_model(&home);
    let claude = |arguments: &[&str]| {
        let mut command = client(&home, "claude");
        command.args(arguments).envs(claude_environment(&model));
        let document = format!("https://{DOCUMENT_HOST}/client.json");
        command.env("MCP_OAUTH_CLIENT_METADATA_URL", document);
        command
    };
    let form = printed(&home, "claude", "through the browser");
    let (add, then) = form.split_once('\n').unwrap();
    assert_eq!(then, "claude mcp login hostler");
    let mut shell = home.command("sh");
    shell.args(["-lec", add]).envs(claude_environment(&model));
    Ended::of(shell, secs(60)).ok();
    let listed = Ended::of(claude(&["mcp", "list"]), secs(60)).ok();
    assert!(listed.contains("Needs authentication"), "{listed}");

    let mut login = Terminal::start(&claude(&["mcp", "login", "hostler", "--no-browser"]));
    let address = login.address("/oauth/authorize");
    allow(&up, &address, DOCUMENT_HOST, OWNER);
    let (code, said) = login.end(secs(60));
    assert_eq!(code, Some(0), "{said}");

    let ask = [
        "-p",
        "Which hosts are there?",
        "--output-format",
        "json",
        "--allowedTools",
        "mcp__hostler",
    ];
    says_the_host(&up, &model, claude(&ask));
    let before = refreshes(&home);
    passed(&soon(6));
    says_the_host(&up, &model, claude(&ask));
    assert!(refreshes(&home) > before, "it went on with a renewed token");
    passed(&soon(6));
    together(&up, || claude(&ask));
    says_the_host(&up, &model, claude(&ask));

    disconnect(&mut owner, DOCUMENT_HOST);
    let answer = Ended::of(claude(&ask), secs(120)).stdout;
    assert!(!answer.contains("is there"), "{answer}");
    let listed = Ended::of(claude(&["mcp", "list"]), secs(60)).ok();
    assert!(listed.contains("Needs authentication"), "{listed}");
}

#[test]
fn codex_signs_in_from_the_address_alone() {
    let home = Home::new();
    let up = home.up_with(&OFFLINE);
    let mut owner = set_up(&up);
    let model = host_model(&home);
    let folder = home.user().join(".codex");
    fs::create_dir_all(&folder).unwrap();
    let settings = format!(
        "mcp_oauth_credentials_store = 'file'\n{}",
        codex_settings(&model)
    );
    fs::write(folder.join("config.toml"), settings).unwrap();
    let codex = |arguments: &[&str]| {
        let mut command = client(&home, "codex");
        command.args(arguments).env("SCRIPTED_KEY", "x");
        command
    };
    // Adding the server is enough: it finds out by itself that it has to sign in.
    let add = ["mcp", "add", "hostler", "--url", &up.mcp_url];
    let mut login = Terminal::start(&codex(&add));
    let address = login.address("/oauth/authorize");
    allow(&up, &address, "Codex", OWNER);
    let (code, said) = login.end(secs(60));
    assert_eq!(code, Some(0), "{said}");

    let ask = [
        "exec",
        "--skip-git-repo-check",
        "--json",
        "Which hosts are there?",
    ];
    says_the_host(&up, &model, codex(&ask));
    let before = refreshes(&home);
    passed(&soon(11));
    says_the_host(&up, &model, codex(&ask));
    assert!(refreshes(&home) > before, "it went on with a renewed token");
    passed(&soon(11));
    together(&up, || codex(&ask));
    says_the_host(&up, &model, codex(&ask));

    disconnect(&mut owner, "Codex");
    let answer = Ended::of(codex(&ask), secs(120));
    assert!(!answer.stdout.contains("is there"), "{answer:?}");
}

#[test]
fn opencode_signs_in_from_the_address_alone() {
    let home = Home::new();
    let up = home.up_with(&OFFLINE);
    set_up(&up);
    let model = host_model(&home);
    let folder = home.user().join(".config/opencode");
    fs::create_dir_all(&folder).unwrap();
    let settings = json!({
        "model": "scripted/scripted",
        "small_model": "scripted/scripted",
        "permission": "allow",
        "provider": {"scripted": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": format!("{}/v1", model.url), "apiKey": "x"},
            "models": {"scripted": {"name": "scripted", "tool_call": true}},
        }},
        "mcp": {"hostler": {"type": "remote", "url": up.mcp_url}},
    });
    fs::write(folder.join("opencode.json"), settings.to_string()).unwrap();
    let opencode = |arguments: &[&str]| {
        let mut command = client(&home, "opencode");
        command.args(arguments);
        for name in ["AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD"] {
            command.env(format!("OPENCODE_DISABLE_{name}"), "1");
        }
        command
    };
    let mut login = Terminal::start(&opencode(&["mcp", "auth", "hostler"]));
    let address = login.address("/oauth/authorize");
    allow(&up, &address, "OpenCode", OWNER);
    let (code, said) = login.end(secs(60));
    assert_eq!(code, Some(0), "{said}");
    let ask = ["run", "--format", "json", "Which hosts are there?"];
    says_the_host(&up, &model, opencode(&ask));
}

#[test]
fn the_inspector_signs_in_from_the_address_alone() {
    let home = Home::new();
    let up = home.up();
    set_up(&up);
    let inspector = |arguments: &[&str]| {
        let mut command = client(&home, "mcp-inspector");
        command.args(["--cli", &up.mcp_url, "--transport", "http"]);
        command.args(arguments);
        command.env("MCP_INSPECTOR_SECRET_STORE", "file");
        command.env("MCP_AUTO_OPEN_ENABLED", "false");
        command
    };
    let answered = format!("http://127.0.0.1:{}/oauth/callback", free_port());
    let list = ["--callback-url", &answered, "--method", "tools/list"];
    let mut login = Terminal::start(&inspector(&list));
    let address = login.address("/oauth/authorize");
    allow(&up, &address, "MCP Inspector", OWNER);
    let (code, said) = login.end(secs(60));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("automations_logs"), "{said}");
    let call = [
        "--stored-auth-only",
        "--method",
        "tools/call",
        "--tool-name",
        "hosts_list",
    ];
    let called = Ended::of(inspector(&call), secs(60)).ok();
    assert!(called.contains("lastSeenAt"), "{called}");
}

#[test]
fn the_python_sdk_signs_in_and_renews() {
    let home = Home::new();
    let up = home.up_with(&[
        ("HOSTLER_ACCESS_TOKEN_SECONDS", "5"),
        ("HOSTLER_NO_CLIENT_DOCUMENTS", "true"),
    ]);
    set_up(&up);
    let mut command = home.command(client_folder().join("../python/bin/python"));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/sign_in.py"));
    command.arg(&up.mcp_url);
    let mut program = Program::spawn(command);
    let address = eventually("it shows an address", secs(30), || {
        let ended = program.ended();
        assert!(ended.is_none(), "{}", program.output());
        let said = program.stdout();
        let line = said.lines().find_map(|line| line.strip_prefix("open "));
        line.map(str::to_owned)
    });
    allow(&up, &address, "Python SDK", OWNER);
    let ended = program.wait(secs(60));
    assert!(ended.success(), "{}", program.output());
    let said = program.stdout();
    let tokens = said.lines().find_map(|line| line.strip_prefix("done "));
    let tokens: u64 = tokens.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    assert!(tokens >= 2, "its first token had expired: {said}");
}

/// Several at once after an expiry: however they share their tokens, each goes on.
#[track_caller]
fn together(up: &Service, command: impl Fn() -> Command) {
    let expected = format!("{} is there", up.mcp().host()["name"].as_str().unwrap());
    let all: Vec<_> = (0..3).map(|_| Program::spawn(command())).collect();
    for mut one in all {
        one.wait(secs(120));
        assert!(one.stdout().contains(&expected), "{}", one.output());
    }
}

/// Refresh tokens that were used, of the whole server.
fn refreshes(home: &Home) -> u64 {
    home.count("SELECT COUNT(*) FROM tokens WHERE kind = 'refresh_token' AND spent_at IS NOT NULL")
}
