//! Agents of automations: each real program works in its worktree and tells what it did, fails with
//! what to do about it, and is known to the catalog with its version as soon as it is installed.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};

use crate::harness::{
    Home, Mcp, Model, Repo, eventually, secs, set_run_environment, settle_agent, wait_for_agent,
};

/// A prompt that would be an option, or several words, for a program that read it carelessly.
const PROMPT: &str = "--help \"write\" 'NOTES.md' $HOME\nand say so";

/// One tool call that writes NOTES.md, then the words `Written.`
fn steps(agent: &str) -> Value {
    let text = "one\ntwo\n";
    let (tool, input) = match agent {
        "codex" => {
            let patch = "apply_patch <<'P'\n*** Begin Patch\n*** Add File: NOTES.md\n+one\n+two\n*** End Patch\nP";
            ("exec_command", json!({"cmd": patch}))
        }
        "gemini" => (
            "write_file",
            json!({"file_path": "NOTES.md", "content": text}),
        ),
        "opencode" => (
            "write",
            json!({"filePath": "{{cwd}}/NOTES.md", "content": text}),
        ),
        _ => (
            "Write",
            json!({"file_path": "{{cwd}}/NOTES.md", "content": text}),
        ),
    };
    json!([{"text": "I write it down.", "tool": tool, "input": input}, {"text": "Written."}])
}

fn works_in_its_worktree(agent: &str) {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 3);
    let model = Model::start(&home, "work", &steps(agent));
    set_run_environment(&home, &settle_agent(&home, &model, agent));
    let up = home.up();
    let mcp = up.mcp();
    wait_for_agent(&mcp, agent);
    let id = mcp.automation(&json!({
        "agent": agent, "prompt": PROMPT, "projectId": mcp.import(&repo), "keepWorkspace": "always",
    }));
    let run = mcp.run_to_end(&id);
    let log = mcp.log(&id, &run["runId"]).unwrap()["log"].to_string();
    let shown = || format!("{run:#}\n{log}\n{:#?}", model.requests());
    assert_eq!(run["state"], "succeeded", "{}", shown());
    let workspace = mcp.find_workspace(&run["workspaceId"]).unwrap();
    let notes = Path::new(workspace["path"].as_str().unwrap()).join("NOTES.md");
    assert_eq!(
        fs::read_to_string(notes).unwrap(),
        "one\ntwo\n",
        "{}",
        shown()
    );
    let outcome = &run["outcome"];
    assert_eq!(outcome["resultText"], "Written.", "{}", shown());
    assert_eq!(outcome["filesChanged"], 1, "{}", shown());
    assert!(outcome["tokens"].as_u64() > Some(0), "{}", shown());
    assert!(outcome["sessionId"].is_string(), "{}", shown());
    assert!(log.contains("I write it down."), "{}", shown());
    // What the model was asked is what the automation says, to the byte but for the space around.
    let asked = model.requests();
    let mut texts = asked
        .iter()
        .flat_map(|request| request["asked"].as_array().into_iter().flatten());
    let told = texts.any(|text| text.as_str().is_some_and(|text| text.trim() == PROMPT));
    assert!(told, "{}", shown());
}

#[test]
fn codex_works_in_its_worktree() {
    works_in_its_worktree("codex");
}

#[test]
fn gemini_works_in_its_worktree() {
    works_in_its_worktree("gemini");
}

#[test]
fn opencode_works_in_its_worktree() {
    works_in_its_worktree("opencode");
}

#[test]
fn claude_works_in_its_worktree() {
    works_in_its_worktree("claude");
}

/// The model server knows none of their keys.
#[test]
fn agents_whose_key_is_refused_say_what_to_do() {
    let home = Home::new();
    let refused =
        json!([{"status": 401, "error": "authentication_error", "message": "invalid x-api-key"}]);
    let model = Model::start(&home, "refused", &refused);
    let agents = ["claude", "codex", "gemini", "opencode"];
    let environment = agents
        .iter()
        .flat_map(|agent| settle_agent(&home, &model, agent));
    set_run_environment(&home, &environment.collect::<Vec<_>>());
    let up = home.up();
    let mcp = up.mcp();
    for (agent, way_out) in agents.iter().zip([
        "/login",
        "codex login",
        "GEMINI_API_KEY",
        "opencode auth login",
    ]) {
        wait_for_agent(&mcp, agent);
        let run =
            mcp.run_to_end(&mcp.automation(&json!({"agent": agent, "prompt": "hello there"})));
        assert_eq!(run["state"], "failed", "{run:#}");
        let reason = run["reason"].as_str().unwrap();
        assert!(
            reason.contains("signed out") && reason.contains(way_out),
            "{agent}: {reason}"
        );
    }
}

/// Nobody ever signed in, and no key is set.
#[test]
fn agents_that_nobody_signed_in_to_fail_at_once() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    for (agent, way_out) in [("claude", "/login"), ("gemini", "GEMINI_API_KEY")] {
        wait_for_agent(&mcp, agent);
        let run =
            mcp.run_to_end(&mcp.automation(&json!({"agent": agent, "prompt": "hello there"})));
        assert_eq!(run["state"], "failed", "{run:#}");
        let reason = run["reason"].as_str().unwrap();
        assert!(
            reason.contains("signed out") && reason.contains(way_out),
            "{agent}: {reason}"
        );
    }
}

#[test]
fn agents_come_change_and_go_without_a_restart() {
    let home = Home::new();
    let bin = home.user().join(".local/bin");
    let up = home.up();
    let mcp = up.mcp();
    let starts = home.user().join("starts");
    wait_for_agent(&mcp, "shell");
    assert_eq!(agent(&mcp, "droid")["available"], false);
    fs::create_dir_all(&bin).unwrap();
    for version in ["0.225.1", "0.225.2"] {
        install(
            &bin.join("droid"),
            &format!("echo x >> {}; echo {version}", starts.display()),
        );
        eventually("the new version is known", secs(30), || {
            let droid = agent(&mcp, "droid");
            (droid["available"] == true && droid["version"] == version).then_some(())
        });
    }
    // A later look at something else does not start it again.
    install(&bin.join("amp"), "echo 1.0.0");
    eventually("amp is known", secs(30), || {
        (agent(&mcp, "amp")["version"] == "1.0.0").then_some(())
    });
    assert_eq!(fs::read_to_string(&starts).unwrap(), "x\nx\n");
    let shown = home.run(&["hosts", "list"]).ok();
    assert!(
        shown.contains("droid 0.225.2") && shown.contains("amp 1.0.0"),
        "{shown}"
    );
    fs::remove_file(bin.join("droid")).unwrap();
    eventually("droid is gone", secs(30), || {
        (agent(&mcp, "droid")["available"] == false).then_some(())
    });
}

#[test]
fn a_wrong_agents_file_is_told_and_mended_without_a_restart() {
    let home = Home::new();
    let folder = home.hostler_home();
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let file = folder.join("agents.toml");
    let mine = "[mine]\ncommand = '/bin/sh'\nargs = ['-eu']\nprompt = 'stdin'\n";
    fs::write(&file, format!("{mine}[shell]\nargz = ['-x']\n")).unwrap();
    let up = home.up();
    let mcp = up.mcp();
    wait_for_agent(&mcp, "mine");
    let problem = agent(&mcp, "shell")["problem"].to_string();
    for word in ["agents.toml", "shell.argz", "remove it"] {
        assert!(problem.contains(word), "{problem}");
    }
    let changes = json!({"agent": "shell", "prompt": "true"});
    let refused = mcp.refused(
        "automations_create",
        crate::harness::yearly(&changes),
        "precondition_failed",
    );
    assert!(
        refused.whole.to_string().contains("shell.argz"),
        "{refused:?}"
    );
    let run = mcp.run_to_end(&mcp.automation(&json!({"agent": "mine", "prompt": "echo mine"})));
    assert_eq!(run["state"], "succeeded", "{run}");
    assert!(
        up.program.stderr().contains("shell.argz"),
        "{}",
        up.program.stderr()
    );
    fs::write(&file, mine).unwrap();
    eventually("the mended file is read", secs(30), || {
        (agent(&mcp, "shell")["available"] == true).then_some(())
    });
    // A file that is no TOML stops every agent: nobody knows what it says of them.
    let id = mcp.automation(&json!({"agent": "shell", "prompt": "true"}));
    fs::write(&file, "[mine\n").unwrap();
    eventually("the broken file is told", secs(30), || {
        agent(&mcp, "shell")["problem"].is_string().then_some(())
    });
    let run = mcp.run_to_end(&id);
    assert_eq!(run["state"], "failed", "{run}");
    assert!(run["reason"].as_str().unwrap().contains("line 1"), "{run}");
}

fn agent(mcp: &Mcp, id: &str) -> Value {
    let host = mcp.host();
    let mut agents = host["agents"].as_array().into_iter().flatten();
    agents
        .find(|agent| agent["id"] == id)
        .cloned()
        .unwrap_or_default()
}

/// As installers do: a new file takes the name.
fn install(program: &Path, line: &str) {
    let new = program.with_extension("new");
    fs::write(&new, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, program).unwrap();
}
