//! Requests over HTTP: keys, paths, eras, malformed bodies.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use hostler_proto::ids::{OrgId, UserId};
use hostler_proto::time::UtcMillis;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::{Served, rpc, served, tool_call};
use crate::auth::SecretKind;
use crate::clock;

/// An answer: status, headers and body.
struct Answer {
    status: StatusCode,
    challenge: Option<String>,
    content_type: String,
    body: Vec<u8>,
}

impl Served {
    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let text = |name| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        Answer {
            status: response.status(),
            challenge: text(header::WWW_AUTHENTICATE),
            content_type: text(header::CONTENT_TYPE).unwrap_or_default(),
            body: to_bytes(response.into_body(), usize::MAX)
                .await
                .unwrap()
                .into(),
        }
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(self.request(Method::POST, path).body(body.into()).unwrap())
            .await
    }

    /// A request with what every client sends, and the key.
    fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        plain(method, path).header("authorization", format!("Bearer {}", self.key))
    }

    /// Stores a secret of this kind; its id and its text.
    async fn key_of(
        &self,
        org_id: OrgId,
        user_id: UserId,
        kind: SecretKind,
        scopes: &str,
        expires_at: Option<UtcMillis>,
    ) -> (Uuid, String) {
        let now = clock::wall();
        let secret = crate::auth::Secret::mint(kind, &clock::random());
        let token = crate::store::tokens::NewToken {
            id: hostler_proto::ids::uuid_v7(now, &clock::id_entropy()),
            kind: kind.word().to_owned(),
            hash: secret.hash().to_string(),
            prefix: String::new(),
            org_id,
            user_id,
            name: "test".to_owned(),
            scopes: scopes.to_owned(),
            audience: None,
            client_id: None,
            family_id: None,
            created_at: now,
            expires_at,
        };
        let mut tx = self.app.store.begin().await.unwrap();
        crate::store::tokens::insert(&mut tx, &token).await.unwrap();
        self.app.store.commit(tx).await.unwrap();
        (token.id, secret.expose().to_owned())
    }

    async fn ask(&self, message: &Value) -> Value {
        self.post("/mcp", message.to_string()).await.json()
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn plain(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:4880")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
}

#[tokio::test]
async fn both_paths_answer_and_the_old_era_starts_with_initialize() {
    let served = served().await;
    for path in super::super::PATHS {
        for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
            let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
            let answer = served
                .post(path, rpc("initialize", &params).to_string())
                .await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {version}");
            let result = &answer.json()["result"];
            assert_eq!(result["protocolVersion"], version);
            assert_eq!(result["capabilities"], json!({"tools": {}}));
        }
        let listed = served
            .post(path, rpc("tools/list", &json!({})).to_string())
            .await;
        let result = listed.json()["result"].clone();
        assert_eq!(result["tools"].as_array().unwrap().len(), 24);
        assert_eq!(result["cacheScope"], "private");
        assert!(result["ttlMs"].as_u64().unwrap() > 0);
    }
}

#[tokio::test]
async fn the_new_era_discovers_and_calls_without_initialize() {
    let served = served().await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let ask = async |method: &str, name: Option<&str>, params: Value| {
        let mut request = served
            .request(Method::POST, "/mcp")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        let body = rpc(method, &params).to_string();
        served.send(request.body(body.into()).unwrap()).await
    };
    let found = ask("server/discover", None, json!({"_meta": meta})).await;
    assert_eq!(found.status, StatusCode::OK, "{:?}", found.json());
    let versions = found.json()["result"]["supportedVersions"].clone();
    assert!(versions.as_array().unwrap().contains(&json!("2026-07-28")));
    let params = json!({"name": "tasks_list", "arguments": {}, "_meta": meta});
    let called = ask("tools/call", Some("tasks_list"), params.clone())
        .await
        .json();
    assert_eq!(
        called["result"]["structuredContent"]["total"], 0,
        "{called}"
    );
    assert_eq!(called["result"]["resultType"], "complete");
    let mismatch = ask("tools/call", Some("tasks_get"), params).await;
    assert_eq!(mismatch.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_a_good_key_every_method_is_401_with_a_challenge() {
    let served = served().await;
    let wrong = crate::auth::Secret::mint(SecretKind::ApiKey, &[1; 32]);
    let bad = [
        ("x-none", "1".to_owned()),
        ("authorization", "Bearer nonsense".to_owned()),
        ("authorization", format!("Bearer {}", wrong.expose())),
        ("authorization", format!("Basic {}", served.key)),
        ("x-api-key", wrong.expose().to_owned()),
    ];
    for method in [Method::POST, Method::GET, Method::DELETE, Method::OPTIONS] {
        for path in super::super::PATHS {
            for (name, value) in &bad {
                let request = plain(method.clone(), path).header(*name, value);
                let answer = served.send(request.body(Body::empty()).unwrap()).await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {name}");
                let challenge = answer.challenge.unwrap();
                assert!(challenge.starts_with("Bearer realm="), "{challenge}");
                assert_eq!(challenge.contains("invalid_token"), *name != "x-none");
                let found = format!("/.well-known/oauth-protected-resource{path}\"");
                assert!(challenge.contains(&found), "{challenge}");
                assert!(challenge.contains("scope=\"tasks:read "), "{challenge}");
            }
        }
    }
}

#[tokio::test]
async fn a_good_key_works_in_both_headers_and_get_is_405() {
    let served = served().await;
    let ping = rpc("ping", &json!({})).to_string();
    for (name, value) in [
        ("x-api-key", served.key.clone()),
        ("authorization", format!("bearer {}", served.key)),
    ] {
        let request = plain(Method::POST, "/mcp").header(name, &value);
        let answer = served
            .send(request.body(ping.clone().into()).unwrap())
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
    }
    let get = served
        .request(Method::GET, "/mcp")
        .body(Body::empty())
        .unwrap();
    assert_eq!(
        served.send(get).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn revoked_expired_and_other_kinds_of_secrets_are_refused() {
    let served = served().await;
    let owner = crate::store::members::first_owner(&served.app.store).await;
    let (org, member) = owner.unwrap().unwrap();
    let now = clock::wall();
    for (kind, expires, revoked, told) in [
        (SecretKind::ApiKey, Some(now), false, "expired"),
        (SecretKind::ApiKey, None, true, "revoked"),
        (SecretKind::EnrolmentKey, None, false, "not valid"),
        (SecretKind::RefreshToken, None, false, "not valid"),
    ] {
        let scopes = crate::auth::Scopes::all().to_string();
        let (id, secret) = served
            .key_of(org, member.user_id, kind, &scopes, expires)
            .await;
        if revoked {
            let mut tx = served.app.store.begin().await.unwrap();
            crate::store::tokens::revoke(&mut tx, org, id, now)
                .await
                .unwrap();
            served.app.store.commit(tx).await.unwrap();
        }
        let request =
            plain(Method::GET, "/mcp").header("authorization", format!("Bearer {secret}"));
        let answer = served.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let challenge = answer.challenge.unwrap();
        assert!(challenge.contains(told), "{challenge}");
    }
}

#[tokio::test]
async fn names_and_origins_that_are_not_ours_are_refused() {
    let served = served().await;
    let ping = rpc("ping", &json!({})).to_string();
    for (name, value, status) in [
        ("host", "evil.example.com", StatusCode::FORBIDDEN),
        ("origin", "http://evil.example.com", StatusCode::FORBIDDEN),
        ("origin", "null", StatusCode::FORBIDDEN),
        ("origin", "http://localhost:3000", StatusCode::OK),
    ] {
        let mut request = served.request(Method::POST, "/mcp");
        request
            .headers_mut()
            .unwrap()
            .insert(name, value.parse().unwrap());
        let answer = served
            .send(request.body(ping.clone().into()).unwrap())
            .await;
        assert_eq!(answer.status, status, "{name}: {value}");
    }
}

#[tokio::test]
async fn malformed_bodies_are_refused_and_the_server_goes_on() {
    let served = served().await;
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("[]", -32600),
        ("7", -32600),
        (r#"{"jsonrpc": "1.0", "id": 1, "method": "ping"}"#, -32600),
    ] {
        let answer = served.post("/mcp", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.json()["error"]["code"], code, "{body}");
    }
    let large = tool_call("tasks_create", &json!({"title": "x".repeat(5_000_000)}));
    let answer = served.post("/mcp", large.to_string()).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let request = plain(Method::POST, "/mcp").header("x-api-key", &served.key);
    let mut request = request
        .body(Body::from(rpc("ping", &json!({})).to_string()))
        .unwrap();
    request
        .headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(
        served.send(request).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(
        served.ask(&rpc("ping", &json!({}))).await["result"],
        json!({})
    );
}

#[tokio::test]
async fn what_is_not_offered_is_method_not_found() {
    let served = served().await;
    for method in [
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "completion/complete",
        "logging/setLevel",
        "tasks/list",
        "no/such/method",
    ] {
        let params = json!({"name": "x", "uri": "file:///x", "level": "info", "ref": {"type": "ref/prompt", "name": "x"}, "argument": {"name": "a", "value": ""}});
        let answer = served.ask(&rpc(method, &params)).await;
        assert_eq!(answer["error"]["code"], -32601, "{method}: {answer}");
    }
}

#[tokio::test]
async fn an_unknown_tool_is_the_protocols_error_and_wrong_arguments_the_tools() {
    let served = served().await;
    let unknown = served.ask(&tool_call("tasks_frobnicate", &json!({}))).await;
    assert_eq!(unknown["error"]["code"], -32602);
    let paged = served
        .ask(&rpc("tools/list", &json!({"cursor": "x"})))
        .await;
    assert_eq!(paged["error"]["code"], -32602);
    for (arguments, told) in [
        (json!({"limit": 0}), "`limit` must be from 1 to 500"),
        (json!({"bogus": 1}), "`bogus` is not a field"),
        (json!([1]), "`arguments` must be an object"),
        (json!("x"), "`arguments` must be an object"),
    ] {
        let answer = served.ask(&tool_call("tasks_list", &arguments)).await;
        let result = &answer["result"];
        assert_eq!(result["isError"], true, "{answer}");
        let error = &result["structuredContent"]["error"];
        assert_eq!(error["code"], "invalid_argument");
        assert_eq!(error["retryable"], false);
        assert!(error["message"].as_str().unwrap().contains(told), "{error}");
        assert!(!error["hint"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn structured_content_and_text_are_the_same_json() {
    let served = served().await;
    let answer = served
        .post(
            "/mcp",
            tool_call("tasks_create", &json!({"title": "A"})).to_string(),
        )
        .await;
    assert!(answer.content_type.starts_with("application/json"));
    let result = answer.json()["result"].clone();
    let text = result["content"][0]["text"].as_str().unwrap();
    let text: Value = serde_json::from_str(text).unwrap();
    assert_eq!(text, result["structuredContent"]);
    assert_eq!(result["isError"], false);
}

#[tokio::test]
async fn a_token_without_the_scope_is_forbidden_by_name() {
    let served = served().await;
    let owner = crate::store::members::first_owner(&served.app.store).await;
    let (org, member) = owner.unwrap().unwrap();
    let reader = served
        .key_of(org, member.user_id, SecretKind::ApiKey, "tasks:read", None)
        .await;
    let ask = async |tool: &str, arguments: Value| {
        let request = plain(Method::POST, "/mcp").header("x-api-key", &reader.1);
        let body = tool_call(tool, &arguments).to_string();
        served.send(request.body(body.into()).unwrap()).await.json()
    };
    assert_eq!(
        ask("tasks_list", json!({})).await["result"]["isError"],
        false
    );
    let refused = ask("tasks_create", json!({"title": "x"})).await;
    let error = &refused["result"]["structuredContent"]["error"];
    assert_eq!(error["code"], "forbidden");
    assert!(error["message"].as_str().unwrap().contains("tasks:write"));
}

#[tokio::test]
async fn progress_streams_only_to_those_who_asked_for_it() {
    let mut served = served().await;
    served.routes = crate::mcp::serving(&served.app, crate::mcp::tools::Tools::new(true));
    let mut call = tool_call("test_tool_with_progress", &json!({}));
    let plain = served.post("/mcp", call.to_string()).await;
    assert!(plain.content_type.starts_with("application/json"));
    call["params"]["_meta"] = json!({"progressToken": "t"});
    let streamed = served.post("/mcp", call.to_string()).await;
    assert!(streamed.content_type.starts_with("text/event-stream"));
    let text = String::from_utf8(streamed.body).unwrap();
    let messages: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect();
    let told: Vec<f64> = messages
        .iter()
        .filter(|message| message["method"] == "notifications/progress")
        .map(|message| message["params"]["progress"].as_f64().unwrap())
        .collect();
    assert_eq!(told.len(), 3, "{text}");
    let step = &messages[0]["params"]["_meta"]["hostler/step"];
    assert_eq!(step, &json!({"phase": "testing", "done": 0, "total": 100}));
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
    assert_eq!(
        messages.last().unwrap()["result"]["isError"],
        false,
        "the answer comes last"
    );
}

/// A client that goes away stops waiting; the work goes on.
#[tokio::test]
async fn work_outlives_the_client_that_asked_for_it() {
    let served = served().await;
    let (entry, gate) = crate::mcp::fixtures::gated();
    let tools = crate::mcp::tools::Tools::of(vec![entry]);
    let routes = crate::mcp::serving(&served.app, tools);
    let request = served.request(Method::POST, "/mcp");
    let body = tool_call("test_gated", &json!({})).to_string();
    let asked = routes.oneshot(request.body(Body::from(body)).unwrap());
    tokio::select! {
        _ = asked => panic!("the work is not done yet"),
        () = gate.begun.notified() => {}
    }
    gate.go_on.notify_one();
    let limit = std::time::Duration::from_secs(10);
    tokio::time::timeout(limit, gate.done.notified())
        .await
        .unwrap();
}
