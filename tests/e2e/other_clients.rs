//! Codex, opencode and Gemini CLI, each with its own dialect of the protocol: each is configured as
//! its users do it, lists the tools, calls one and hands the result to its (scripted) model.

use std::fs;

use serde_json::json;

use crate::harness::{Ended, Home, client, codex_settings, host_model, says_the_host, secs};

#[test]
fn codex_calls_a_tool() {
    let home = Home::new();
    let up = home.up();
    let model = host_model(&home);
    let folder = home.user().join(".codex");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), codex_settings(&model)).unwrap();
    let codex = |arguments: &[&str]| {
        let mut command = client(&home, "codex");
        command
            .args(arguments)
            .envs([("SCRIPTED_KEY", "x"), ("HOSTLER_KEY", &up.key)]);
        command
    };
    let add = [
        "mcp",
        "add",
        "hostler",
        "--url",
        &up.mcp_url,
        "--bearer-token-env-var",
        "HOSTLER_KEY",
    ];
    Ended::of(codex(&add), secs(60)).ok();
    let ask = [
        "exec",
        "--skip-git-repo-check",
        "--json",
        "Which hosts are there?",
    ];
    says_the_host(&up, &model, codex(&ask));
}

#[test]
fn opencode_calls_a_tool() {
    let home = Home::new();
    let up = home.up();
    let model = host_model(&home);
    let folder = home.user().join(".config/opencode");
    fs::create_dir_all(&folder).unwrap();
    let headers = json!({"Authorization": format!("Bearer {}", up.key)});
    let settings = json!({
        "model": "scripted/scripted",
        "small_model": "scripted/scripted",
        "permission": "allow",
        "provider": {"scripted": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": format!("{}/v1", model.url), "apiKey": "x"},
            "models": {"scripted": {"name": "scripted", "tool_call": true}},
        }},
        "mcp": {"hostler": {"type": "remote", "url": up.mcp_url, "oauth": false, "headers": headers}},
    });
    fs::write(folder.join("opencode.json"), settings.to_string()).unwrap();
    let mut command = client(&home, "opencode");
    command.args(["run", "--format", "json", "Which hosts are there?"]);
    for name in ["AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD"] {
        command.env(format!("OPENCODE_DISABLE_{name}"), "1");
    }
    says_the_host(&up, &model, command);
}

#[test]
fn gemini_calls_a_tool() {
    let home = Home::new();
    let up = home.up();
    let model = host_model(&home);
    let folder = home.user().join(".gemini");
    fs::create_dir_all(&folder).unwrap();
    let settings = json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": false},
        "general": {"enableAutoUpdate": false},
    });
    fs::write(folder.join("settings.json"), settings.to_string()).unwrap();
    let gemini = |arguments: &[&str]| {
        let mut command = client(&home, "gemini");
        command
            .args(arguments)
            .env("GEMINI_API_KEY", "dummy")
            .env("GEMINI_CLI_TRUST_WORKSPACE", "true");
        command.env("GOOGLE_GEMINI_BASE_URL", &model.url);
        command
    };
    let header = format!("Authorization: Bearer {}", up.key);
    let add = [
        "mcp",
        "add",
        "--scope",
        "user",
        "--transport",
        "http",
        "hostler",
        &up.mcp_url,
        "-H",
        &header,
    ];
    Ended::of(gemini(&add), secs(60)).ok();
    let ask = [
        "-m",
        "gemini-2.5-flash",
        "--approval-mode",
        "yolo",
        "--output-format",
        "json",
        "-p",
        "Which hosts are there?",
    ];
    says_the_host(&up, &model, gemini(&ask));
}
