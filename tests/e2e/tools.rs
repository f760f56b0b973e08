//! The MCP server as a client meets it: who may come in, what both protocol eras see, what the tool
//! list promises. What each tool does is with its noun.

use serde_json::{Value, json};

use crate::harness::{Era, Home, Http, Mcp, Repo};

const TOOLS: [&str; 24] = [
    "automations_create",
    "automations_delete",
    "automations_get",
    "automations_get_prompt",
    "automations_list",
    "automations_logs",
    "automations_pause",
    "automations_resume",
    "automations_run",
    "automations_set_prompt",
    "automations_update",
    "hosts_list",
    "projects_create",
    "projects_list",
    "runs_cancel",
    "runs_get",
    "tasks_create",
    "tasks_delete",
    "tasks_get",
    "tasks_list",
    "tasks_update",
    "workspaces_create",
    "workspaces_delete",
    "workspaces_list",
];

const INITIALIZE_VERSIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

#[test]
fn every_tool_is_listed_with_all_a_model_needs() {
    let home = Home::new();
    let tools = home.up().mcp().tools();
    let mut names: Vec<_> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, TOOLS);
    for tool in &tools {
        let name = &tool["name"];
        assert!(tool["title"].is_string(), "{name} has no title");
        let words = tool["description"]
            .as_str()
            .unwrap()
            .split_whitespace()
            .count();
        assert!(
            (30..=160).contains(&words),
            "{name}: a description of {words} words"
        );
        for hint in [
            "readOnlyHint",
            "destructiveHint",
            "idempotentHint",
            "openWorldHint",
        ] {
            assert!(
                tool["annotations"][hint].is_boolean(),
                "{name} has no {hint}"
            );
        }
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{name}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{name}");
        for (field, schema) in tool["inputSchema"]["properties"].as_object().unwrap() {
            assert!(
                schema["description"].is_string(),
                "{name}.{field} has no description"
            );
        }
    }
}

#[test]
fn reading_tools_say_so_and_deleting_tools_too() {
    let home = Home::new();
    for tool in home.up().mcp().tools() {
        let name = tool["name"].as_str().unwrap();
        let reads = ["_list", "_get", "_get_prompt", "_logs"]
            .iter()
            .any(|end| name.ends_with(end));
        assert_eq!(tool["annotations"]["readOnlyHint"], reads, "{name}");
        if name.ends_with("_delete") {
            assert_eq!(tool["annotations"]["destructiveHint"], true, "{name}");
        }
    }
}

#[test]
fn both_paths_and_both_eras_give_the_same_tools() {
    let home = Home::new();
    let up = home.up();
    let expected = up.mcp().tools();
    assert_eq!(
        up.mcp().tools(),
        expected,
        "the order changes from call to call"
    );
    for path in ["/mcp", "/api/v2/agent/mcp"] {
        let url = format!("{}{path}", up.url);
        let old = INITIALIZE_VERSIONS.map(Era::Initialize);
        for era in old.into_iter().chain([Era::PerRequest]) {
            let mcp = Mcp::new(&url, &up.key).speaking(era);
            assert_eq!(mcp.tools(), expected, "{path} {era:?}");
            let hosts = mcp.ok("hosts_list", json!({}));
            assert_eq!(
                hosts["hosts"].as_array().unwrap().len(),
                1,
                "{path} {era:?}"
            );
        }
    }
}

#[test]
fn clients_of_either_era_can_begin() {
    let home = Home::new();
    let up = home.up();
    for version in INITIALIZE_VERSIONS {
        let client = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client});
        let (result, _) = up
            .mcp()
            .speaking(Era::Initialize(version))
            .request("initialize", params);
        let result = result.unwrap();
        assert_eq!(result["protocolVersion"], version);
        assert!(result["capabilities"]["tools"].is_object(), "{result}");
        assert!(result["serverInfo"]["name"].is_string(), "{result}");
    }
    let (result, _) = up.mcp().request("server/discover", json!({}));
    let result = result.unwrap();
    assert!(
        result["supportedVersions"]
            .as_array()
            .unwrap()
            .contains(&json!("2026-07-28")),
        "{result}"
    );
}

#[test]
fn a_client_without_a_version_header_is_served() {
    let home = Home::new();
    let up = home.up();
    let key = format!("Bearer {}", up.key);
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("authorization", &key),
    ];
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "hosts_list", "arguments": {}}});
    let answer = Http::new(&up.mcp_url).post("", &headers, body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.messages()[0]["result"]["structuredContent"]["hosts"].is_array(),
        "{answer:?}"
    );
}

#[test]
fn only_a_live_key_comes_in() {
    let home = Home::new();
    let up = home.up();
    let accept = ("accept", "application/json, text/event-stream");
    let bearer = format!("Bearer {}", up.key);
    let wrong = format!("Bearer {}x", up.key);
    let unknown = format!("Bearer sk_live_{}", "0".repeat(43));
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for path in ["/mcp", "/api/v2/agent/mcp"] {
        let http = Http::new(&up.url);
        for refused in [
            vec![],
            vec![("authorization", wrong.as_str())],
            vec![("authorization", &unknown)],
            vec![("x-api-key", "sk_live_")],
            vec![("authorization", "Basic eDp5")],
        ] {
            let headers = [
                vec![accept, ("content-type", "application/json")],
                refused.clone(),
            ]
            .concat();
            // Codex asks with GET first and only goes on when that says 401.
            for answer in [http.get(path, &headers), http.post(path, &headers, body)] {
                assert_eq!(answer.status, 401, "{path} {refused:?}: {answer:?}");
                let challenge = answer.header("www-authenticate").unwrap_or_default();
                assert!(
                    challenge.starts_with("Bearer"),
                    "{path} {refused:?}: {answer:?}"
                );
                assert!(!answer.body.contains(&up.key), "{answer:?}");
            }
        }
        for allowed in [("authorization", bearer.as_str()), ("x-api-key", &up.key)] {
            let headers = [accept, ("content-type", "application/json"), allowed];
            assert_eq!(
                http.post(path, &headers, body).status,
                200,
                "{path} {}",
                allowed.0
            );
        }
        let in_query = http.post(
            &format!("{path}?key={}&api_key={}", up.key, up.key),
            &[accept, ("content-type", "application/json")],
            body,
        );
        assert_eq!(in_query.status, 400, "a key in a URL is refused as such");
    }
}

#[test]
fn what_is_not_offered_is_said_to_be_unknown() {
    let home = Home::new();
    let up = home.up();
    for era in [Era::PerRequest, Era::Initialize("2025-06-18")] {
        for method in [
            "prompts/list",
            "resources/list",
            "resources/templates/list",
            "completion/complete",
            "no/such",
        ] {
            let (result, _) = up.mcp().speaking(era).request(method, json!({}));
            assert_eq!(result.unwrap_err()["code"], -32601, "{era:?} {method}");
        }
    }
}

#[test]
fn broken_requests_get_an_answer_and_harm_nobody() {
    let home = Home::new();
    let up = home.up();
    let key = format!("Bearer {}", up.key);
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("authorization", key.as_str()),
    ];
    let http = Http::new(&up.mcp_url);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#,
        "x".repeat(1 << 20)
    );
    let broken: [&[u8]; 8] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        br#"{"id":1}"#,
        deep.as_bytes(),
        long.as_bytes(),
    ];
    for body in broken {
        let answer = http.post("", &headers, body);
        let start = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert!(
            (200..500).contains(&answer.status),
            "{start}: {}",
            answer.status
        );
    }
    up.mcp().ok("hosts_list", json!({}));
}

#[test]
fn a_strange_host_or_origin_is_refused() {
    let home = Home::new();
    let up = home.up();
    let key = format!("Bearer {}", up.key);
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for strange in [("host", "evil.example"), ("origin", "http://evil.example")] {
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("authorization", &key),
            strange,
        ];
        let answer = Http::new(&up.mcp_url).post("", &headers, body);
        assert_eq!(answer.status, 403, "{strange:?}: {answer:?}");
    }
}

#[test]
fn progress_comes_only_when_asked_for() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 50);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    for asked in [false, true] {
        let name = format!("asked-{asked}");
        let arguments = json!({"hostId": mcp.host()["id"], "projectId": project, "name": name});
        let notifications = if asked {
            mcp.call_with_progress("workspaces_create", arguments).1
        } else {
            let params = json!({"name": "workspaces_create", "arguments": arguments});
            mcp.request("tools/call", params).1
        };
        assert_eq!(!notifications.is_empty(), asked, "{notifications:?}");
    }
}

#[test]
fn tool_lists_may_be_kept_for_a_while() {
    let home = Home::new();
    let (result, _) = home.up().mcp().request("tools/list", json!({}));
    let result: Value = result.unwrap();
    assert!(
        result["ttlMs"].as_u64().is_some_and(|ttl| ttl > 0),
        "{}",
        result["ttlMs"]
    );
    assert_eq!(result["cacheScope"], "private");
}
