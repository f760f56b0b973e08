//! Real agent clients. Claude Code, its model scripted, finds the server, calls its tools, and is
//! itself the agent of an automation that edits a file in its worktree.

use std::{fs, path::Path};

use serde_json::json;

use crate::harness::{
    Home, Model, Repo, ask_claude, claude_environment, client_folder, git, set_run_environment,
    wait_for_agent, yearly,
};

#[test]
fn claude_code_does_the_main_job() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 3);
    let up = home.up();
    let steps = json!([
        {"tool": "hosts_list", "input": {}},
        {"tool": "projects_create", "input": {"hostId": "{{0.hosts.0.name}}", "path": repo.text()}},
        {"tool": "workspaces_create", "input": {
            "hostId": "{{0.hosts.0.id}}", "projectId": "{{1.project.id}}", "name": "Auth feature"}},
        {"tool": "automations_create", "input": {
            "name": "Nightly", "agent": "shell", "prompt": "echo hello from $HOSTLER_BRANCH",
            "workspaceId": "{{2.workspace.id}}", "rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "timezone": "Europe/Berlin"}},
        {"tool": "automations_run", "input": {"id": "{{3.automation.id}}"}},
        {"tool": "automations_logs", "delay": 3, "input": {"automationId": "{{3.automation.id}}"}},
        {"text": "The run said: {{5.runs.0.logTail}}"},
    ]);
    let model = Model::start(&home, "main-job", &steps);
    let answer = ask_claude(&home, &up, &model, &[]);
    assert_eq!(model.results().len(), 6, "{:#?}", model.results());
    let said = answer["result"].as_str().unwrap();
    assert!(
        said.contains("hello from auth-feature"),
        "{answer}\n{:#?}",
        model.results()
    );
    assert_eq!(repo.branches(), ["auth-feature", "main"]);
}

#[test]
fn claude_code_finds_tools_by_searching() {
    let home = Home::new();
    let up = home.up();
    let steps = json!([
        {"tool": "ToolSearch", "input": {"query": "list hosts machines", "max_results": 5}},
        {"tool": "mcp__hostler__hosts_list", "input": {}},
        {"text": "{{1.hosts.0.name}} is there"},
    ]);
    let model = Model::start(&home, "search", &steps);
    let answer = ask_claude(&home, &up, &model, &[("ENABLE_TOOL_SEARCH", "true")]);
    let expected = format!("{} is there", up.mcp().host()["name"].as_str().unwrap());
    assert_eq!(answer["result"], expected, "{:#?}", model.requests());
}

#[test]
fn claude_code_is_told_what_went_wrong() {
    let home = Home::new();
    let up = home.up();
    let wrong = json!({"hostId": "no-such-host", "projectId": "nothing", "name": "x"});
    let steps = json!([{"tool": "workspaces_create", "input": wrong}, {"text": "over"}]);
    let model = Model::start(&home, "wrong", &steps);
    ask_claude(&home, &up, &model, &[]);
    let results = model.results();
    assert!(results[0].contains("no-such-host"), "{results:?}");
}

#[test]
fn an_automation_runs_the_real_claude_code_in_its_worktree() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 3);
    let steps = json!([
        {"text": "I will write it down.", "tool": "Write", "input": {
            "file_path": "{{cwd}}/NOTES.md", "content": "written by the agent\n"}},
        {"tool": "Read", "input": {"file_path": "{{cwd}}/README.md"}},
        {"tool": "Edit", "input": {
            "file_path": "{{cwd}}/README.md", "old_string": "# shop", "new_string": "# Web shop"}},
        {"text": "Both files are done."},
    ]);
    let model = Model::start(&home, "edit", &steps);
    set_run_environment(&home, &claude_environment(&model));
    let up = home.up();
    let mcp = up.mcp();
    wait_for_agent(&mcp, "claude");
    let project = mcp.import(&repo);
    let prompt = "Write the notes and fix the title.";
    let id = mcp.automation(&json!({
        "agent": "claude", "prompt": prompt, "projectId": project, "keepWorkspace": "always",
    }));
    let ended = mcp.run_to_end(&id);
    let log = mcp.log(&id, &ended["runId"]).unwrap()["log"].to_string();
    assert_eq!(ended["state"], "succeeded", "{ended}\n{log}");
    let workspace = mcp.find_workspace(&ended["workspaceId"]).unwrap();
    let path = Path::new(workspace["path"].as_str().unwrap());
    assert_eq!(
        fs::read_to_string(path.join("NOTES.md")).unwrap(),
        "written by the agent\n"
    );
    assert_eq!(
        fs::read_to_string(path.join("README.md")).unwrap(),
        "# Web shop\n"
    );
    assert!(!git(&home, path, &["status", "--porcelain"]).is_empty());
    let outcome = &ended["outcome"];
    assert_eq!(outcome["resultText"], "Both files are done.", "{ended}");
    assert_eq!(outcome["dirty"], true, "{ended}");
    assert!(
        outcome["sessionId"].is_string() && !outcome["tokens"].is_null(),
        "{ended}"
    );
    assert!(log.contains("I will write it down."), "{log}");
    assert!(
        repo.git(&["status", "--porcelain"]).is_empty(),
        "the main checkout was touched"
    );
}

#[test]
fn an_agent_that_was_refused_its_tools_is_no_success() {
    let home = Home::new();
    let fetch = json!({"command": "curl http://127.0.0.1:9/", "description": "fetch"});
    let steps = json!([{"tool": "Bash", "input": fetch}, {"text": "I was not allowed."}]);
    let model = Model::start(&home, "denied", &steps);
    set_run_environment(&home, &claude_environment(&model));
    let up = home.up();
    let mcp = up.mcp();
    wait_for_agent(&mcp, "claude");
    let ended = mcp.run_to_end(&mcp.automation(&json!({"agent": "claude", "prompt": "fetch"})));
    assert!(
        ended["outcome"]["denied"].to_string().contains("Bash"),
        "{ended}"
    );
    assert_ne!(ended["state"], "succeeded", "{ended}");
}

#[test]
fn an_agent_that_is_not_installed_says_how_to_install_it() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    assert!(!client_folder().join("droid").exists());
    let said = match mcp.call("automations_create", yearly(&json!({"agent": "droid"}))) {
        Err(error) => error.whole.to_string(),
        Ok(made) => {
            let ended = mcp.run_to_end(&made["automation"]["id"]);
            assert_eq!(ended["state"], "failed", "{ended}");
            ended.to_string()
        }
    };
    assert!(said.contains("droid") && said.contains("install"), "{said}");
}
