//! Text of others on our pages: every field that takes text is filled with markup, ANSI and control
//! bytes, and every page that can be reached shows it as text.

use std::collections::{BTreeSet, VecDeque};

use serde_json::json;

use crate::harness::{Home, Http, Repo, catalog, owner_cookie, yearly};

/// Runs where it stands unescaped, breaks out of attributes, and titles.
const HOSTILE: &str = "\"'><img src=x onerror=alert(1)></title><script>alert(2)</script>";

/// What of it may stand on no page.
const RAW: [&str; 4] = [
    "<img src=x",
    "<script>alert",
    "onerror=alert(1)>",
    "</title><script",
];

/// A branch's name takes fewer characters.
const BRANCH: &str = "\"'><img/onerror=alert(1)>";

/// Pages where a crawl begins.
const STARTS: [&str; 14] = [
    "/hosts",
    "/projects",
    "/workspaces",
    "/automations",
    "/runs",
    "/tasks",
    "/tasks?view=board",
    "/settings/profile",
    "/settings/keys",
    "/settings/clients",
    "/settings/members",
    "/settings/organization",
    "/settings/audit",
    "/organizations",
];

#[test]
fn markup_in_every_field_is_shown_as_text_on_every_page() {
    let home = Home::new();
    let mut command = home.hostler(&[
        "up",
        "--port",
        &home.port().to_string(),
        "--host-name",
        HOSTILE,
    ]);
    command.env("HOSTLER_LOG", "warn");
    let up = crate::harness::Service::ready(&home, crate::harness::Program::spawn(command));
    up.wait_host_online(1);
    let mcp = up.mcp();
    let project = mcp.ok("projects_create", json!({"hostId": mcp.host()["id"], "path": Repo::new(&home, "shop", 1).path, "name": HOSTILE}))["project"]["id"].clone();
    let task = mcp.ok(
        "tasks_create",
        json!({"title": HOSTILE, "description": HOSTILE, "labels": [HOSTILE]}),
    )["task"]
        .clone();
    mcp.ok("tasks_update", json!({"id": task["id"], "branch": HOSTILE, "prUrl": format!("https://example.com/?q={HOSTILE}")}));
    mcp.ok("workspaces_create", json!({"hostId": mcp.host()["id"], "projectId": project, "name": HOSTILE, "branch": BRANCH, "taskId": task["id"]}));
    let script = format!(
        "printf '%s\\n' {}; printf '\\033[31m%s\\033[0m\\a\\b\\000\\n' {}; printf '\\033]0;%s\\007' {}",
        quoted(HOSTILE),
        quoted(HOSTILE),
        quoted(HOSTILE)
    );
    let automation = mcp.automation(&yearly(
        &json!({"name": HOSTILE, "prompt": script, "projectId": project}),
    ));
    mcp.run_to_end(&automation);
    home.run(&["keys", "create", HOSTILE]).ok();
    let names = quoted_sql(HOSTILE);
    home.sql(
        &catalog(&home),
        &[
            format!("UPDATE users SET name = {names}"),
            format!("UPDATE organizations SET name = {names}"),
        ],
    );
    let pages = crawled(&up.url, &owner_cookie(&home));
    let shown = pages
        .iter()
        .filter(|(_, body)| body.contains("onerror"))
        .count();
    assert!(
        shown >= 5,
        "the markup is shown on {shown} of {} pages only",
        pages.len()
    );
    let wrong: Vec<_> = pages
        .iter()
        .flat_map(|(path, body)| faults(path, body))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What of the hostile text stands on a page as it should not.
fn faults(path: &str, body: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for raw in RAW {
        if let Some(at) = body.find(raw) {
            let from = body[..at]
                .char_indices()
                .rev()
                .nth(80)
                .map_or(0, |(at, _)| at);
            faults.push(format!("{path}: {raw} after {:?}", &body[from..at]));
        }
    }
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
    if let Some(at) = body.find(control) {
        let from = body[..at]
            .char_indices()
            .rev()
            .nth(80)
            .map_or(0, |(at, _)| at);
        faults.push(format!(
            "{path}: a control character after {:?}",
            &body[from..at]
        ));
    }
    faults
}

/// Every page that links lead to from the starts, by path.
fn crawled(url: &str, cookie: &str) -> Vec<(String, String)> {
    const MOST: usize = 300;
    let http = Http::new(url);
    let mut seen: BTreeSet<String> = STARTS.map(str::to_owned).into();
    let mut waiting: VecDeque<String> = seen.iter().cloned().collect();
    let mut pages = Vec::new();
    while let Some(path) = waiting.pop_front() {
        let answer = http.get(&path, &[("cookie", cookie)]);
        let media = answer.header("content-type").unwrap_or_default();
        if !media.starts_with("text/html") {
            continue;
        }
        assert!(answer.status < 500, "{path}: {}", answer.body);
        for link in links(&answer.body) {
            if seen.len() < MOST && seen.insert(link.clone()) {
                waiting.push_back(link);
            }
        }
        pages.push((path, answer.body));
    }
    pages
}

/// Paths of ours that a page links to.
fn links(body: &str) -> Vec<String> {
    let parts = body.split("href=\"").skip(1);
    let paths = parts.filter_map(|part| part.split('"').next());
    let ours = paths.filter(|path| path.starts_with('/') && !path.starts_with("//"));
    ours.filter(|path| !path.starts_with("/assets/"))
        .map(|path| path.replace("&amp;", "&"))
        .collect()
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn quoted_sql(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
