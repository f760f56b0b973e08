//! Real clients, installed by `tests/run`: where they are, and the environment in which they talk
//! to nobody but this machine.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use super::{
    Home,
    model::Model,
    program::{Ended, Service},
    wait::secs,
};

/// A command for an installed client by its name, in this home's environment.
#[track_caller]
pub(crate) fn client(home: &Home, name: &str) -> Command {
    let path = client_folder().join(name);
    assert!(
        path.exists(),
        "{name} is not installed: run `tests/run --install`"
    );
    home.command(path)
}

/// Where `tests/run` puts the clients' programs.
pub(crate) fn client_folder() -> PathBuf {
    let cache = std::env::var_os("HOSTLER_TEST_CACHE").map(PathBuf::from);
    let default = || {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
        std::env::var_os("XDG_CACHE_HOME")
            .map_or_else(home, PathBuf::from)
            .join("hostler-tests")
    };
    cache.unwrap_or_else(default).join("bin")
}

/// What `hostler connect` prints for a client: its form for the browser, or the one with an API key,
/// without the words around it.
#[track_caller]
pub(crate) fn printed(home: &Home, name: &str, form: &str) -> String {
    let shown = home.run(&["connect", name]).ok();
    let lines = shown
        .lines()
        .skip_while(|line| !line.contains(form))
        .skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    let text: Vec<_> = lines
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert!(!text.is_empty(), "no form {form:?} in:\n{shown}");
    text.join("\n")
}

/// What keeps Claude Code on this machine and quick. Asked by `-p`, it waits for servers that were
/// added to its configuration 2 s before its model's first turn, and then goes on without their
/// tools; one of its processes that finds another refreshing a token looks again only after 1 to 2 s.
/// So it is told to wait for them.
pub(crate) fn claude_environment(model: &Model) -> Vec<(&'static str, String)> {
    let fixed = [
        ("DISABLE_TELEMETRY", "1"),
        ("DISABLE_ERROR_REPORTING", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("CLAUDE_CODE_MAX_RETRIES", "0"),
        ("CLAUDE_CODE_MCP_STARTUP_WAIT_MS", "100000"),
        ("ENABLE_TOOL_SEARCH", "false"),
        ("ANTHROPIC_API_KEY", "dummy"),
    ];
    let mut all: Vec<_> = fixed
        .into_iter()
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
    all.push(("ANTHROPIC_BASE_URL", model.url.clone()));
    all
}

/// Settings of Codex that keep it on this machine: everything but its MCP servers.
pub(crate) fn codex_settings(model: &Model) -> String {
    format!(
        "model = 'scripted'\nmodel_provider = 'scripted'\napproval_policy = 'never'\n\
         sandbox_mode = 'danger-full-access'\ncheck_for_update_on_startup = false\n\
         [analytics]\nenabled = false\n\
         [model_providers.scripted]\nname = 'scripted'\nbase_url = '{}/v1'\nenv_key = 'SCRIPTED_KEY'\n\
         wire_api = 'responses'\nrequires_openai_auth = false\nsupports_websockets = false\n\
         request_max_retries = 0\nstream_max_retries = 0\n",
        model.url
    )
}

/// A model that asks which hosts there are, and says so.
#[track_caller]
pub(crate) fn host_model(home: &Home) -> Model {
    let steps =
        json!([{"tool": "hosts_list", "input": {}}, {"text": "{{0.hosts.0.name}} is there"}]);
    Model::start(home, "model", &steps)
}

/// The client called the tool and said what that model made of the result.
#[track_caller]
pub(crate) fn says_the_host(up: &Service, model: &Model, command: Command) {
    let ended = Ended::of(command, secs(120));
    let expected = format!("{} is there", up.mcp().host()["name"].as_str().unwrap());
    let shown = || format!("{ended:?}\n{:#?}", model.requests());
    assert_eq!(ended.code, Some(0), "{}", shown());
    assert!(ended.stdout.contains(&expected), "{}", shown());
}

/// Asks Claude Code one thing, with the tools of `service` allowed; gives its JSON answer.
#[track_caller]
pub(crate) fn ask_claude(
    home: &Home,
    service: &Service,
    model: &Model,
    more: &[(&str, &str)],
) -> Value {
    let mut command = client(home, "claude");
    command
        .envs(claude_environment(model))
        .envs(more.iter().copied());
    command.args([
        "-p",
        "Do what the script says.",
        "--output-format",
        "json",
        "--strict-mcp-config",
    ]);
    command.arg("--mcp-config").arg(mcp_config(home, service));
    command.args(["--allowedTools", "mcp__hostler"]);
    let answer = Ended::of(command, secs(120)).json();
    assert_eq!(answer["permission_denials"], json!([]), "{answer}");
    answer
}

/// Writes an MCP configuration file for Claude Code; gives its path.
fn mcp_config(home: &Home, service: &Service) -> PathBuf {
    let path = home.path("mcp.json");
    let headers = json!({"Authorization": format!("Bearer {}", service.key)});
    let server = json!({"type": "http", "url": service.mcp_url, "headers": headers});
    fs::write(
        &path,
        json!({"mcpServers": {"hostler": server}}).to_string(),
    )
    .unwrap();
    path
}
