//! Pages and JSON endpoints for people of another organization: what they do not own does not exist,
//! and nothing of it changes. The routes are read from the sources, so that a new one cannot be
//! forgotten: a route with a name in braces that is not known here fails the test.

use std::{fs, path::Path};

use hostler_control_plane::auth::{Secret, SecretKind};
use serde_json::{Value, json};

use crate::harness::{Home, Http, Mcp, Repo, Service, catalog};

/// Folders and files with routes.
const SOURCES: [&str; 5] = ["console", "api", "hosts", "auth", "whoami.rs"];

/// Routes whose part in braces is no thing of an organization.
const OTHERS: [(&str, &str); 3] = [
    ("/setup/{code}", "a link that works once"),
    ("/invitations/{code}", "a link that works once"),
    ("/recover/{code}", "a link that works once"),
];

const MARK: &str = "of-the-first-organization";

/// A route with something in braces, and its methods.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    path: String,
    methods: Vec<&'static str>,
}

/// Somebody of another organization: a session's cookie, what its forms repeat, and an API key.
struct Stranger {
    cookie: String,
    csrf: String,
    key: String,
    /// A status that a task of theirs may have.
    status: String,
}

impl Stranger {
    fn of(home: &Home, url: &str) -> Self {
        let http = Http::new(url);
        let id = |number: u8| format!("01900000-0000-7000-8000-{number:012}");
        let (org, user) = (id(1), id(2));
        let session = Secret::mint(SecretKind::Session, &[7; 32]);
        let key = Secret::mint(SecretKind::ApiKey, &[8; 32]);
        let now = "CAST(strftime('%s','now') AS INTEGER) * 1000";
        let scopes = "(SELECT scopes FROM tokens WHERE kind = 'api_key' LIMIT 1)";
        home.sql(
            &catalog(home),
            &[
                format!("INSERT INTO organizations (id, name, created_at) VALUES ('{org}', 'Other', 0)"),
                format!("INSERT INTO users (id, email, email_key, name, created_at) VALUES ('{user}', 'o@example.com', 'o@example.com', 'Other', 0)"),
                format!("INSERT INTO members (org_id, user_id, role, created_at) VALUES ('{org}', '{user}', 'owner', 0)"),
                format!("INSERT INTO sessions (id, hash, user_id, org_id, created_at, last_seen_at, expires_at) VALUES ('{}', '{}', '{user}', '{org}', {now}, {now}, {now} + 86400000)", id(3), session.hash()),
                format!("INSERT INTO tokens (id, kind, hash, prefix, org_id, user_id, name, scopes, created_at) VALUES ('{}', 'api_key', '{}', 'sk_live_', '{org}', '{user}', 'other', {scopes}, 0)", id(4), key.hash()),
            ],
        );
        let mcp = Mcp::new(&format!("{url}/mcp"), key.expose());
        let task = mcp.ok("tasks_create", json!({"title": "own"}));
        let cookie = format!("__Host-hostler={}", session.expose());
        let page = http.get("/settings/keys", &[("cookie", &cookie)]).body;
        let (_, field) = page.split_once("name=\"csrf\" value=\"").expect("a form");
        Self {
            cookie,
            csrf: field.split('"').next().unwrap().to_owned(),
            key: format!("Bearer {}", key.expose()),
            status: task["task"]["status"]["id"].as_str().unwrap().to_owned(),
        }
    }
}

/// The first organization's things, by the part of a path they stand behind.
struct Things(Vec<(&'static str, String)>);

impl Things {
    fn make(home: &Home, up: &Service, mcp: &Mcp) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let project = mcp.import(&Repo::new(home, MARK, 1));
        let automation = mcp.automation(&json!({"name": MARK}));
        let run = mcp.run_to_end(&automation);
        let task = mcp.ok("tasks_create", json!({"title": MARK}))["task"].clone();
        let key = home.run(&["keys", "create", MARK, "--json"]).json();
        home.run(&["hosts", "enrol-key"]).ok();
        let keys = home.run(&["hosts", "keys", "--json"]).json();
        let who = home.run(&["whoami", "--json"]).json();
        let grant = "01900000-0000-7000-8000-000000000077";
        let invitation = "01900000-0000-7000-8000-000000000078";
        let session = "01900000-0000-7000-8000-000000000079";
        // SHA-256 of issuer, NUL and subject, its first half.
        let identity = "7d9ff0b531d70f5e6d885cdf390f7499";
        let of = "FROM tokens WHERE kind = 'api_key' LIMIT 1";
        home.sql(
            &catalog(home),
            &[
                format!("INSERT INTO oauth_grants (id, org_id, user_id, client_id, client_name, scopes, audience, created_at, connected_at) SELECT '{grant}', org_id, user_id, 'c', '{MARK}', scopes, '{}', 0, 0 {of}", up.url),
                format!("INSERT INTO links (id, kind, hash, org_id, email, role, created_at, expires_at) SELECT '{invitation}', 'invitation', 'h', org_id, '{MARK}@example.com', 'member', 0, 9999999999999 {of}"),
                format!("INSERT INTO sessions (id, hash, user_id, org_id, created_at, last_seen_at, expires_at, agent) SELECT '{session}', 'h', user_id, org_id, 0, 0, 9999999999999, '{MARK}' {of}"),
                format!("INSERT INTO identities (issuer, subject, user_id, created_at) SELECT 'https://id.example', '{MARK}', user_id, 0 {of}"),
            ],
        );
        Self(vec![
            ("/hosts", text(&mcp.host()["id"])),
            ("/projects", text(&project)),
            ("/workspaces", text(&mcp.workspace(&project, MARK).0)),
            ("/automations", text(&automation)),
            ("/runs", text(&run["runId"])),
            ("/tasks", text(&task["id"])),
            ("/settings/keys", text(&key["key"]["id"])),
            ("/v1/keys", text(&key["key"]["id"])),
            ("/settings/clients", grant.to_owned()),
            ("/settings/members", text(&who["person"]["id"])),
            ("/settings/members/invitations", invitation.to_owned()),
            ("/settings/profile/sessions", session.to_owned()),
            ("/settings/profile/identities", identity.to_owned()),
            ("/organizations", text(&who["organization"]["id"])),
            ("/v1/hosts", text(&mcp.host()["id"])),
            ("/v1/hosts/enrolment-keys", text(&keys["keys"][0]["id"])),
        ])
    }

    /// A route's path with the id of the thing it is of.
    fn fill(&self, route: &str) -> Option<String> {
        let (before, rest) = route.split_once("/{")?;
        let (_, after) = rest.split_once('}')?;
        let (_, id) = self.0.iter().find(|(of, _)| *of == before)?;
        let after = after.replace(['{', '}'], "");
        Some(format!("{before}/{id}{after}"))
    }
}

#[test]
fn pages_and_endpoints_of_another_organization_do_not_exist() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let things = Things::make(&home, &up, &mcp);
    let http = Http::new(&up.url);
    let stranger = Stranger::of(&home, &up.url);
    let before = state(&mcp, &home);
    let routes = routes();
    assert!(routes.len() > 6, "the routes are not found: {routes:?}");
    let mut wrong = Vec::new();
    for route in routes
        .iter()
        .filter(|route| OTHERS.iter().all(|(path, _)| *path != route.path))
    {
        let path = things
            .fill(&route.path)
            .unwrap_or_else(|| panic!("prepare a thing for {}", route.path));
        for method in &route.methods {
            let answer = asked(&http, &stranger, method, &path);
            if answer.1 != 404 || answer.2.contains(MARK) {
                wrong.push(format!("{method} {path}: {} {}", answer.1, answer.2));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong answers\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    for list in [
        "/projects",
        "/workspaces",
        "/tasks",
        "/hosts",
        "/automations",
        "/runs",
        "/settings/keys",
        "/settings/clients",
        "/settings/audit",
        "/v1/keys",
        "/v1/audit",
    ] {
        let (_, status, body) = asked(&http, &stranger, "GET", list);
        assert!([200, 404].contains(&status), "{list}: {status} {body}");
        assert!(
            !body.contains(MARK),
            "{list} shows what is not theirs: {body}"
        );
    }
    assert_eq!(state(&mcp, &home), before, "nothing changed");
}

fn asked(http: &Http, stranger: &Stranger, method: &str, path: &str) -> (String, u16, String) {
    let answer = match method {
        "GET" | "DELETE" if path.starts_with("/v1/") => {
            let headers = [("authorization", stranger.key.as_str())];
            if method == "GET" {
                http.get(path, &headers)
            } else {
                http.delete_with(path, &headers)
            }
        }
        "GET" => http.get(path, &[("cookie", &stranger.cookie)]),
        "POST" if path.starts_with("/v1/") => {
            let headers = [
                ("authorization", stranger.key.as_str()),
                ("content-type", "application/json"),
            ];
            http.post(path, &headers, whatever().to_string().as_bytes())
        }
        "POST" => {
            let headers = [
                ("cookie", stranger.cookie.as_str()),
                ("content-type", "application/x-www-form-urlencoded"),
                ("sec-fetch-site", "same-origin"),
            ];
            let mut form = format!("csrf={}", stranger.csrf);
            form = format!("{form}&status={}", stranger.status);
            for (name, value) in whatever().as_object().unwrap() {
                let value = value.as_str().map_or(value.to_string(), str::to_owned);
                form = format!("{form}&{name}={value}");
            }
            http.post(path, &headers, form.as_bytes())
        }
        other => panic!("nobody knows how to send {other}"),
    };
    (path.to_owned(), answer.status, answer.body)
}

/// Good values of whatever a form or a call may want: what is left to refuse is whose thing it is.
fn whatever() -> Value {
    json!({
        "name": "x", "title": "x", "role": "owner", "email": "o@example.com",
        "member": "o@example.com", "prompt": "x", "agent": "shell", "rrule": "FREQ=DAILY",
        "timezone": "UTC", "branch": "x", "priority": "high", "keep": true,
    })
}

/// What a stranger could have changed.
fn state(mcp: &Mcp, home: &Home) -> Value {
    let automation = mcp.ok("automations_list", json!({}))["automations"][0].clone();
    json!({
        "tasks": mcp.ok("tasks_list", json!({})),
        "workspaces": mcp.ok("workspaces_list", json!({}))["workspaces"].as_array().unwrap().len(),
        "automation": [automation["name"], automation["enabled"], automation["lastRun"]["runId"]],
        "projects": mcp.ok("projects_list", json!({}))["projects"][0]["name"],
        "hosts": mcp.host()["name"],
        "keys": home.run(&["keys", "list", "--json"]).json()["keys"].as_array().unwrap().len(),
        "entries": home.run(&["audit", "list", "--json"]).json()["entries"][0]["seq"],
    })
}

/// Every route with something in braces.
fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for source in SOURCES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane/src");
        collect(&folder.join(source), &mut routes);
    }
    routes.sort();
    routes
}

fn collect(path: &Path, routes: &mut Vec<Route>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), routes);
        }
        return;
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    for call in text.split(".route(").skip(1) {
        let Some(rest) = call.trim_start().strip_prefix('"') else {
            continue;
        };
        let (path, handlers) = rest.split_once('"').unwrap();
        if !path.contains('{') {
            continue;
        }
        let end = handlers.find([';', '}']).unwrap_or(handlers.len());
        let handlers = handlers[..end].split(".merge(").next().unwrap_or_default();
        let known = [("get(", "GET"), ("post(", "POST"), ("delete(", "DELETE")];
        let methods = known
            .into_iter()
            .filter(|(word, _)| handlers.contains(word));
        routes.push(Route {
            path: path.to_owned(),
            methods: methods.map(|(_, method)| method).collect(),
        });
    }
}
