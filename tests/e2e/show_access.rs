//! From nothing to a team's server in one story: an owner sets it up in the browser and invites a
//! second person; two machines join, one by key and one by code; Claude Code signs in from the
//! address alone, makes a workspace on the second machine by its name, and its run is followed; then
//! its access is taken back.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{
    Ended, Home, INVITED, Model, Program, Repo, Service, Terminal, Visitor, accept, allow,
    allow_device, claude_environment, client, disconnect, eventually, invite, secs, set_up,
};

#[test]
fn from_nothing_to_a_teams_server() {
    let (server, first, second) = (Home::new(), Home::new(), Home::new());
    let service = server.server_with(&[("HOSTLER_NO_CLIENT_DOCUMENTS", "true")]);
    let mut owner = set_up(&service);
    let link = invite(&mut owner, INVITED.0);
    let mut colleague = accept(&service, &link);

    // One machine by a key, one by a code: the second is the colleague's.
    let _one = first.join(&server, "first-box");
    let mut join = Program::spawn(second.hostler(&["join", &service.url, "--name", "build-box"]));
    allow_device(&mut colleague, &mut join);
    assert!(join.wait(secs(30)).success(), "{}", join.output());
    let _two = second.daemon();
    let repo = Repo::new(&second, "shop", 3);

    // Claude Code in the colleague's hands: nothing but the address.
    let model = Model::start(&second, "story", &steps(&repo));
    let claude = |arguments: &[&str]| {
        let mut command = client(&second, "claude");
        command.args(arguments).envs(claude_environment(&model));
        command
    };
    eventually("the second host is online", secs(30), || {
        let status = Ended::of(second.hostler(&["auth", "status", "--json"]), secs(20));
        status.stdout.contains("\"online\"").then_some(())
    });
    signs_in(&service, &claude);
    let ask = [
        "-p",
        "Do what the script says.",
        "--output-format",
        "json",
        "--allowedTools",
        "mcp__hostler",
    ];
    let answer = Ended::of(claude(&ask), secs(120)).json();
    let said = answer["result"].as_str().unwrap_or_default();
    assert!(
        said.contains("line 3 on auth-feature"),
        "{answer}\n{:#?}",
        model.results()
    );
    assert_eq!(repo.branches(), ["auth-feature", "main"]);

    watched_in_the_browser(&mut colleague);
    // The other's machine is not theirs to see, nor theirs the other's.
    let hosts = second.run(&["hosts", "list", "--json"]).json();
    assert!(!hosts.to_string().contains("first-box"), "{hosts}");

    disconnect(&mut colleague, "Claude Code");
    let answer = Ended::of(claude(&ask), secs(120)).stdout;
    assert!(!answer.contains("line 3"), "{answer}");
    let log = owner.open("/settings/audit");
    for action in ["client.allow", "client.revoke", "workspace.create"] {
        assert!(log.body.contains(action), "{action}: {}", log.shown());
    }
}

/// What the model has Claude Code do: a workspace on the second machine, and a run in it.
fn steps(repo: &Repo<'_>) -> Value {
    json!([
        {"tool": "hosts_list", "input": {}},
        {"tool": "projects_create", "input": {"hostId": "build-box", "path": repo.text()}},
        {"tool": "workspaces_create", "input": {
            "hostId": "build-box", "projectId": "{{1.project.id}}", "name": "Auth feature"}},
        {"tool": "automations_create", "input": {
            "name": "Greeter", "agent": "shell", "workspaceId": "{{2.workspace.id}}",
            "prompt": "for i in 1 2 3; do echo line $i on $HOSTLER_BRANCH; done",
            "rrule": "FREQ=YEARLY", "timezone": "UTC"}},
        {"tool": "automations_run", "input": {"id": "{{3.automation.id}}"}},
        {"tool": "automations_logs", "delay": 3, "input": {"automationId": "{{3.automation.id}}"}},
        {"text": "The run said: {{5.runs.0.logTail}}"},
    ])
}

/// Claude Code learns the address and signs in as the colleague.
#[track_caller]
fn signs_in(service: &Service, claude: &dyn Fn(&[&str]) -> Command) {
    let add = [
        "mcp",
        "add",
        "--transport",
        "http",
        "hostler",
        &service.mcp_url,
    ];
    Ended::of(claude(&add), secs(60)).ok();
    let mut login = Terminal::start(&claude(&["mcp", "login", "hostler", "--no-browser"]));
    allow(
        service,
        &login.address("/oauth/authorize"),
        "Claude Code",
        INVITED,
    );
    let (code, said) = login.end(secs(60));
    assert_eq!(code, Some(0), "{said}");
}

/// The run stands in the console with its log.
#[track_caller]
fn watched_in_the_browser(person: &mut Visitor) {
    let runs = person.open("/runs");
    assert!(runs.words().contains("Greeter"), "{}", runs.shown());
    let run = runs
        .body
        .split('"')
        .find(|part| part.starts_with("/runs/") && part.len() > 20)
        .unwrap_or_else(|| panic!("no run on {}", runs.shown()))
        .to_owned();
    let page = person.open(&run);
    assert!(
        page.words().contains("line 3 on auth-feature"),
        "{}",
        page.shown()
    );
}
