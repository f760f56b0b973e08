//! Requests as a stranger sends them to the whole server: names, origins, addresses, pace, headers.

use serde_json::{Value, json};

use super::*;
use crate::limits::{Bucket, Rate, Rates};
use crate::{Config, ControlPlane};

/// A whole control plane that serves.
struct Whole {
    address: SocketAddr,
    key: String,
    stop: CancellationToken,
    _home: tempfile::TempDir,
}

impl Whole {
    async fn with(edge: Settings, public_url: Option<&str>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let plane: ControlPlane = crate::open(Config {
            home: home.path().to_owned(),
            listen: ([127, 0, 0, 1], 0).into(),
            public_url: public_url.map(str::to_owned),
            keep_logs: crate::KeepLogs::default(),
            edge,
            oauth: crate::config::OAuth::default(),
        })
        .await
        .unwrap();
        let address = plane.listening_on();
        let key = plane.first_api_key().unwrap().to_owned();
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "a test's server")]
        drop(tokio::spawn(plane.serve(stop.clone())));
        Self {
            address,
            key,
            stop,
            _home: home,
        }
    }

    async fn ask(&self, first: &str, lines: &[&str], body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut text = format!(
            "{first} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        for line in lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text.push_str(body);
        stream.write_all(text.as_bytes()).await.unwrap();
        Answer(to_the_end(&mut stream).await)
    }

    /// A call of a tool with the key.
    async fn call(&self, tool: &str) -> Answer {
        let key = format!("authorization: Bearer {}", self.key);
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
        let lines = [
            HOST,
            &key,
            "content-type: application/json",
            "accept: application/json, text/event-stream",
        ];
        self.ask("POST /mcp", &lines, &body.to_string()).await
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Answer(String);

impl Answer {
    fn status(&self) -> u16 {
        let word = self.0.split(' ').nth(1);
        word.and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let head = self.0.split("\r\n\r\n").next()?;
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    }

    fn body(&self) -> Value {
        let body = self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or(Value::Null)
    }
}

const HOST: &str = "host: localhost";

#[tokio::test]
async fn every_answer_tells_browsers_what_not_to_do() {
    let whole = Whole::with(Settings::default(), None).await;
    for first in [
        "GET /healthz",
        "GET /nothing/here",
        "GET /sign-in",
        "POST /mcp",
        "GET /assets/app.css",
        "TRACE /",
    ] {
        let answer = whole.ask(first, &[HOST], "").await;
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.contains("default-src 'none'"),
            "{first}: {}",
            answer.0
        );
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{first}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{first}: {policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{first}");
        }
        assert!(answer.header("permissions-policy").is_some(), "{first}");
        assert_eq!(answer.header("strict-transport-security"), None, "{first}");
        let kept = answer.header("cache-control").unwrap();
        assert_eq!(
            kept.contains("no-store"),
            !first.contains("/assets/"),
            "{first}: {kept}"
        );
    }
}

#[tokio::test]
async fn names_and_origins_of_others_are_refused_on_every_route() {
    let whole = Whole::with(Settings::default(), Some("http://box.lan:4880")).await;
    for path in [
        "/",
        "/healthz",
        "/mcp",
        "/sign-in",
        "/v1/host/link",
        "/.well-known/oauth-authorization-server",
    ] {
        let get = format!("GET {path}");
        assert_eq!(
            whole.ask(&get, &["host: evil.example"], "").await.status(),
            if path == "/mcp" { 403 } else { 421 },
            "{path}"
        );
        assert_eq!(whole.ask(&get, &[], "").await.status(), 400, "{path}");
        assert_eq!(
            whole
                .ask(&get, &[HOST, "host: evil.example"], "")
                .await
                .status(),
            400,
            "{path}"
        );
        for ours in [HOST, "host: box.lan:4880", "host: 127.0.0.1:1"] {
            let status = whole.ask(&get, &[ours], "").await.status();
            assert!(
                ![400, 403, 421].contains(&status),
                "{path} {ours}: {status}"
            );
        }
        let post = format!("POST {path}");
        for other in [
            &["origin: https://evil.example"][..],
            &["origin: null", "sec-fetch-site: cross-site"],
            &["sec-fetch-site: cross-site"],
        ] {
            let lines = [&[HOST], other].concat();
            let status = whole.ask(&post, &lines, "").await.status();
            // Who calls MCP with another page's origin and without a key hears of the key first.
            let wanted = if path == "/mcp" { 401 } else { 403 };
            assert_eq!(status, wanted, "{path} {other:?}");
        }
    }
    let key = format!("authorization: Bearer {}", whole.key);
    let lines = [
        HOST,
        &key,
        "origin: https://evil.example",
        "content-type: application/json",
        "accept: application/json, text/event-stream",
    ];
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(whole.ask("POST /mcp", &lines, ping).await.status(), 403);
}

#[tokio::test]
async fn a_secret_in_an_address_is_refused_with_the_header_to_use() {
    let whole = Whole::with(Settings::default(), None).await;
    let key = format!("authorization: Bearer {}", whole.key);
    for query in [
        "access_token=abc".to_owned(),
        "a=1&API_KEY=abc".to_owned(),
        "token=abc".to_owned(),
        "%61ccess_token=abc".to_owned(),
        format!("whatever={}", whole.key),
    ] {
        for path in ["/mcp", "/hosts", "/v1/hosts/enrol", "/nothing"] {
            // Also when the header is right.
            let answer = whole
                .ask(&format!("GET {path}?{query}"), &[HOST, &key], "")
                .await;
            assert_eq!(answer.status(), 400, "{path}?{query}");
            let hint = answer.body()["error"]["hint"].to_string();
            assert!(hint.contains("Authorization: Bearer"), "{hint}");
            assert!(!answer.0.contains(&whole.key));
        }
    }
    let long = format!("GET /healthz?a={}", "a".repeat(10 << 10));
    assert_eq!(whole.ask(&long, &[HOST], "").await.status(), 414);
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let rates = Rates::default()
        .with(Bucket::Calls, Rate::per_minute(1, 3))
        .with(Bucket::Refused, Rate::per_minute(1, 2));
    let whole = Whole::with(
        Settings {
            rates,
            ..Settings::default()
        },
        None,
    )
    .await;
    for _ in 0..3 {
        let answer = whole.call("hosts_list").await;
        assert_eq!(
            answer.body()["result"]["isError"],
            json!(false),
            "{}",
            answer.0
        );
    }
    // The model hears of it as the tool's error, anything else as 429.
    let error = &whole.call("hosts_list").await.body()["result"]["structuredContent"]["error"];
    assert_eq!(
        (&error["code"], &error["retryable"]),
        (&json!("rate_limited"), &json!(true))
    );
    let key = format!("authorization: Bearer {}", whole.key);
    let answer = whole
        .ask("POST /v1/hosts/enrolment-keys", &[HOST, &key], "")
        .await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.body()["error"]["retryable"], json!(true));
    let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    // Another credential from the same address is not held up, and bad ones are counted by address.
    let bad = |number: u32| format!("authorization: Bearer sk_live_{number}");
    for number in 0..2 {
        assert_eq!(
            whole
                .ask("GET /mcp", &[HOST, &bad(number)], "")
                .await
                .status(),
            401
        );
    }
    assert_eq!(
        whole.ask("GET /mcp", &[HOST, &bad(9)], "").await.status(),
        429
    );
    assert_eq!(whole.ask("GET /mcp", &[HOST], "").await.status(), 401);
}

#[tokio::test]
async fn one_token_is_one_however_it_is_written_and_a_session_is_one_too() {
    let rates = Rates::default().with(Bucket::Calls, Rate::per_minute(1, 3));
    let settings = Settings {
        rates,
        ..Settings::default()
    };
    let whole = Whole::with(settings, None).await;
    let ask = async |line: String| whole.ask("GET /sign-in", &[HOST, &line], "").await;
    for written in ["Bearer", "BEARER", "Bearer  "] {
        let line = format!("authorization: {written} {}", whole.key);
        assert_eq!(ask(line).await.status(), 200);
    }
    let line = format!("x-api-key: {} ", whole.key);
    assert_eq!(ask(line).await.status(), 429);
    // Another credential beside it does not help.
    let line = format!("authorization: Bearer x\r\nx-api-key: {}", whole.key);
    assert_eq!(ask(line).await.status(), 429);
    let secret = crate::auth::Secret::mint(crate::auth::SecretKind::Session, &[7; 32]);
    let cookie = format!("cookie: a=b; __Host-hostler={}", secret.expose());
    for number in 0..3 {
        // Each time beside another bearer that nobody knows.
        let line = format!("authorization: Bearer {number}\r\n{cookie}");
        assert_eq!(ask(line).await.status(), 200);
    }
    let held_up = ask(format!("accept: text/html\r\n{cookie}")).await;
    assert_eq!(held_up.status(), 429);
    assert!(held_up.header("retry-after").is_some());
    assert!(held_up.0.contains("Too many requests"), "{}", held_up.0);
}

#[tokio::test]
async fn what_is_wrong_is_a_page_for_people_and_json_for_programs() {
    let whole = Whole::with(Settings::default(), None).await;
    let key = format!("authorization: Bearer {}", whole.key);
    for (address, status) in [
        ("/v1/audit?limit=x", 400),
        ("/v1/hosts/%ff", 404),
        ("/healthz?token=x", 400),
    ] {
        let first = format!("GET {address}");
        let person = [HOST, key.as_str(), "accept: text/html"];
        let page = whole.ask(&first, &person, "").await;
        assert_eq!(page.status(), status, "{address}");
        assert!(page.0.contains("<h1>"), "{address}: {}", page.0);
        let told = whole.ask(&first, &[HOST, &key], "").await;
        assert_eq!(told.status(), status, "{address}");
        let body = told.body();
        let error = body.get("error").unwrap_or(&body);
        assert!(error["code"].is_string(), "{address}: {}", told.0);
        assert!(error["hint"].is_string(), "{address}: {}", told.0);
    }
}

#[tokio::test]
async fn one_address_is_held_up_and_another_behind_the_proxy_is_not() {
    let rates = Rates::default().with(Bucket::Requests, Rate::per_minute(1, 2));
    let settings = |trusted: &[&str]| Settings {
        rates,
        trusted_proxies: trusted.iter().map(|text| text.parse().unwrap()).collect(),
        ..Settings::default()
    };
    let from = |address: &str| format!("x-forwarded-for: {address}");
    let behind = Whole::with(settings(&["127.0.0.1"]), None).await;
    let open = Whole::with(settings(&[]), None).await;
    for (whole, believed) in [(&behind, true), (&open, false)] {
        for _ in 0..2 {
            let answer = whole
                .ask("GET /healthz", &[HOST, &from("1.1.1.1")], "")
                .await;
            assert_eq!(answer.status(), 200);
        }
        assert_eq!(
            whole
                .ask("GET /healthz", &[HOST, &from("1.1.1.1")], "")
                .await
                .status(),
            429
        );
        let other = whole
            .ask("GET /healthz", &[HOST, &from("2.2.2.2")], "")
            .await
            .status();
        assert_eq!(other, if believed { 200 } else { 429 });
    }
}

#[tokio::test]
async fn only_a_trusted_proxys_word_makes_it_https() {
    let trusting = Settings {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..Settings::default()
    };
    let lines = ["host: hostler.example.com", "x-forwarded-proto: https"];
    for (settings, kept) in [(trusting, true), (Settings::default(), false)] {
        let whole = Whole::with(settings, Some("https://hostler.example.com")).await;
        let answer = whole.ask("GET /healthz", &lines, "").await;
        assert_eq!(answer.header("strict-transport-security").is_some(), kept);
        // Never for this machine's own names: it would close every other port of it.
        let answer = whole.ask("GET /healthz", &[HOST, lines[1]], "").await;
        assert_eq!(answer.header("strict-transport-security"), None);
    }
}
