//! Real agent programs as the agents of automations: their own settings in the user's home folder,
//! pointed at a scripted model, and what their runs need in the environment.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::json;

use super::{
    Home, Mcp, Model,
    clients::claude_environment,
    wait::{eventually, secs},
};

/// Writes an agent's own settings; gives the environment its runs need.
pub(crate) fn settle_agent(home: &Home, model: &Model, agent: &str) -> Vec<(&'static str, String)> {
    let user = home.user();
    match agent {
        "claude" => claude_environment(model),
        "codex" => {
            let settings = format!(
                "model = 'scripted'\nmodel_provider = 'scripted'\ncheck_for_update_on_startup = false\n\
                 [analytics]\nenabled = false\n\
                 [model_providers.scripted]\nname = 'scripted'\nbase_url = '{}/v1'\nenv_key = 'SCRIPTED_KEY'\n\
                 wire_api = 'responses'\nrequires_openai_auth = false\nsupports_websockets = false\n\
                 request_max_retries = 0\nstream_max_retries = 0\n",
                model.url
            );
            write(&user.join(".codex/config.toml"), &settings);
            vec![("SCRIPTED_KEY", "scripted-1".to_owned())]
        }
        "gemini" => {
            let settings = json!({
                "security": {"auth": {"selectedType": "gemini-api-key"}},
                "privacy": {"usageStatisticsEnabled": false},
                "general": {"enableAutoUpdate": false},
            });
            write(&user.join(".gemini/settings.json"), &settings.to_string());
            vec![
                ("GEMINI_API_KEY", "scripted-1".to_owned()),
                ("GEMINI_MODEL", "gemini-2.5-flash".to_owned()),
                ("GOOGLE_GEMINI_BASE_URL", model.url.clone()),
            ]
        }
        "opencode" => {
            let settings = json!({
                "model": "scripted/scripted",
                "small_model": "scripted/scripted",
                "provider": {"scripted": {
                    "npm": "@ai-sdk/openai-compatible",
                    "options": {"baseURL": format!("{}/v1", model.url), "apiKey": "scripted-1"},
                    "models": {"scripted": {"name": "scripted", "tool_call": true}},
                }},
            });
            write(
                &user.join(".config/opencode/opencode.json"),
                &settings.to_string(),
            );
            let off = |name| (name, "1".to_owned());
            vec![
                off("OPENCODE_DISABLE_MODELS_FETCH"),
                off("OPENCODE_DISABLE_LSP_DOWNLOAD"),
            ]
        }
        other => panic!("nobody knows how to settle {other}"),
    }
}

/// Puts variables into the host's own settings, where runs get them from.
pub(crate) fn set_run_environment(home: &Home, variables: &[(&str, String)]) {
    let lines: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("{name} = {}\n", json!(value)))
        .collect();
    let folder = home.hostler_home();
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    write(
        &folder.join("host.toml"),
        &format!("[env]\n{}", lines.concat()),
    );
}

/// The login shell's PATH has the agent; the host looks there in its own time.
#[track_caller]
pub(crate) fn wait_for_agent(mcp: &Mcp, id: &str) {
    eventually("the host finds the agents it has", secs(60), || {
        let host = mcp.host();
        let mut agents = host["agents"].as_array().into_iter().flatten();
        let there = agents.any(|agent| agent["id"] == id && agent["available"] == true);
        there.then_some(())
    });
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
