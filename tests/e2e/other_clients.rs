//! Claude Code, Codex, opencode and Gemini CLI, each with its own dialect of the protocol: each is
//! configured by what `hostler connect` prints for an API key, lists the tools, calls one and hands the result to its (scripted) model.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{
    Home, claude_environment, client, codex_settings, host_model, printed, says_the_host,
};

#[test]
fn claude_code_calls_a_tool() {
    let home = Home::new();
    let up = home.up();
    let model = host_model(&home);
    let form = printed(&home, "claude", "with an API key");
    let ask = "claude -p 'Which hosts are there?' --output-format json --allowedTools mcp__hostler";
    let mut command = home.command("sh");
    command.args(["-lec", &format!("{form}\n{ask}")]);
    command.envs(claude_environment(&model));
    says_the_host(&up, &model, command);
}

#[test]
fn codex_calls_a_tool() {
    let home = Home::new();
    let up = home.up();
    let model = host_model(&home);
    let folder = home.user().join(".codex");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), codex_settings(&model)).unwrap();
    let form = printed(&home, "codex", "with an API key");
    let ask = "codex exec --skip-git-repo-check --json 'Which hosts are there?'";
    let mut command = home.command("sh");
    command.args(["-lec", &format!("{form}\n{ask}")]);
    command.env("SCRIPTED_KEY", "x");
    says_the_host(&up, &model, command);
}

#[test]
fn opencode_calls_a_tool() {
    let home = Home::new();
    let up = home.up();
    let model = host_model(&home);
    let folder = home.user().join(".config/opencode");
    fs::create_dir_all(&folder).unwrap();
    let form = printed(&home, "opencode", "with an API key");
    let form: Value = serde_json::from_str(&form).unwrap();
    let settings = json!({
        "model": "scripted/scripted",
        "small_model": "scripted/scripted",
        "permission": "allow",
        "provider": {"scripted": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": format!("{}/v1", model.url), "apiKey": "x"},
            "models": {"scripted": {"name": "scripted", "tool_call": true}},
        }},
        "mcp": form["mcp"],
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
    let form = printed(&home, "gemini", "with an API key");
    let ask = "gemini -m gemini-2.5-flash --approval-mode yolo --output-format json -p 'Which hosts are there?'";
    let mut command = home.command("sh");
    command.args(["-lec", &format!("{form}\n{ask}")]);
    command.env("GEMINI_API_KEY", "dummy");
    command.env("GEMINI_CLI_TRUST_WORKSPACE", "true");
    command.env("GOOGLE_GEMINI_BASE_URL", &model.url);
    says_the_host(&up, &model, command);
}
