//! The authorization request, the consent page and the code.

use axum::http::{StatusCode, header};
use serde_json::json;

use super::{Pair, REDIRECT, Site, VERIFIER, call, challenge_of};

#[tokio::test]
async fn without_proof_keys_of_the_right_kind_there_is_no_code() {
    let site = Site::new().await;
    let client = site.client().await;
    let challenge = challenge_of(VERIFIER);
    for changes in [
        vec![("code_challenge", "")],
        vec![("code_challenge", ""), ("code_challenge_method", "")],
        vec![("code_challenge_method", "")],
        vec![
            ("code_challenge_method", "plain"),
            ("code_challenge", VERIFIER),
        ],
        vec![("code_challenge_method", "s256")],
        vec![("code_challenge", "short")],
        vec![("code_challenge", &challenge[1..])],
        vec![(
            "code_challenge",
            "dBjftJeZ4CVP+mB92K27uhbUJU1p1r/wW1gFWFOEjXk",
        )],
    ] {
        let answer = site.authorize(&client, &changes).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{changes:?}");
        assert_eq!(
            answer.sent("error").as_deref(),
            Some("invalid_request"),
            "{changes:?}"
        );
        assert_eq!(answer.sent("code"), None);
    }
}

#[tokio::test]
async fn a_code_is_for_its_verifier_client_and_address() {
    let site = Site::new().await;
    let client = site.client().await;
    let other = site.client().await;
    let code = site.code(&client).await;
    let changed = VERIFIER.replace('d', "e");
    for (changes, error) in [
        (vec![("code_verifier", "")], "invalid_request"),
        (vec![("code_verifier", changed.as_str())], "invalid_grant"),
        (vec![("code_verifier", "short")], "invalid_grant"),
        (
            vec![("redirect_uri", "http://localhost:7778/callback")],
            "invalid_grant",
        ),
        (vec![("client_id", other.as_str())], "invalid_grant"),
        (vec![("client_id", "nobody")], "invalid_client"),
        (vec![("client_id", "")], "invalid_request"),
        (vec![("code", "")], "invalid_request"),
        (vec![("code", "ac_nonsense")], "invalid_grant"),
        (vec![("grant_type", "")], "invalid_request"),
        (vec![("grant_type", "password")], "unsupported_grant_type"),
        (
            vec![("resource", "https://other.example/mcp")],
            "invalid_target",
        ),
    ] {
        site.exchange(&client, &code, &changes).await.refused(error);
    }
    Pair::of(client.clone(), &site.exchange(&client, &code, &[]).await);
}

#[tokio::test]
async fn a_code_used_twice_takes_back_what_it_gave() {
    let site = Site::new().await;
    let client = site.client().await;
    let code = site.code(&client).await;
    let pair = Pair::of(client.clone(), &site.exchange(&client, &code, &[]).await);
    assert_eq!(site.ping(&pair.access).await, StatusCode::OK);
    site.exchange(&client, &code, &[])
        .await
        .refused("invalid_grant");
    assert_eq!(site.ping(&pair.access).await, StatusCode::UNAUTHORIZED);
    site.refresh(&client, &pair.refresh)
        .await
        .refused("invalid_grant");
}

#[tokio::test]
async fn a_code_is_good_for_a_minute() {
    let site = Site::new().await;
    let client = site.client().await;
    let code = site.code(&client).await;
    site.age(60_001).await;
    site.exchange(&client, &code, &[])
        .await
        .refused("invalid_grant");
}

/// Nobody is sent to an address that is not the client's, whatever else is wrong.
#[tokio::test]
async fn a_wrong_address_or_client_is_a_page_and_never_a_redirect() {
    let site = Site::new().await;
    let client = site.client().await;
    for changes in [
        vec![("redirect_uri", "https://evil.example/callback")],
        vec![("redirect_uri", "http://localhost:7777/callback/")],
        vec![("redirect_uri", "http://localhost:7777/callback?x=1")],
        vec![("redirect_uri", "http://localhost:7777/callback#x")],
        vec![("redirect_uri", "http://127.0.0.1:7777/callback")],
        vec![(
            "redirect_uri",
            "http://localhost:7777@evil.example/callback",
        )],
        vec![(
            "redirect_uri",
            "http://localhost:7777\\@evil.example/callback",
        )],
        vec![("redirect_uri", "//evil.example/callback")],
        vec![("redirect_uri", "javascript:alert(1)")],
        vec![("redirect_uri", "")],
        vec![
            ("redirect_uri", "https://evil.example/"),
            ("response_type", "token"),
        ],
        vec![
            ("redirect_uri", "https://evil.example/"),
            ("prompt", "none"),
        ],
        vec![("client_id", "mcp_nobody")],
        vec![("client_id", "<script>alert(1)</script>")],
        vec![("client_id", "")],
        vec![("state", "a\u{0}b")],
    ] {
        let answer = site.authorize(&client, &changes).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{changes:?}");
        assert_eq!(answer.header(header::LOCATION), "", "{changes:?}");
        assert!(answer.header(header::CONTENT_TYPE).starts_with("text/html"));
        assert!(!answer.body.contains("<script>alert"), "{}", answer.body);
        let refused = site
            .allow(&site.query(&client, &changes), "tasks:read")
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{changes:?}");
        assert_eq!(refused.header(header::LOCATION), "", "{changes:?}");
    }
}

#[tokio::test]
async fn repeated_and_huge_parameters_are_refused() {
    let site = Site::new().await;
    let client = site.client().await;
    let good = site.query(&client, &[]);
    let many = (0..60).fold(String::new(), |query, n| {
        query + "&p" + &n.to_string() + "=1"
    });
    for query in [
        format!("{good}&client_id={client}"),
        format!("{good}&redirect_uri=https%3A%2F%2Fevil.example%2F"),
        format!("{good}&state=b"),
        format!("{good}&x=1&x=2"),
        format!("{good}&x={}", "a".repeat(5_000)),
        format!("{good}{many}"),
    ] {
        let answer = site.browse(&format!("/oauth/authorize?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.header(header::LOCATION), "", "{query}");
    }
    let resource = format!("{}/mcp", site.url());
    let twice = encoded_resource(&good, &resource);
    let answer = site.browse(&format!("/oauth/authorize?{twice}")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let code = site.code(&client).await;
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("client_id", client.as_str()),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
    ];
    for (name, value) in [
        ("code", code.as_str()),
        ("client_id", "x"),
        ("code_verifier", "y"),
    ] {
        fields.push((name, value));
        site.post("/oauth/token", &fields)
            .await
            .refused("invalid_request");
        fields.pop();
    }
    let huge = "v".repeat(20_000);
    fields.push(("x", &huge));
    site.post("/oauth/token", &fields)
        .await
        .refused("invalid_request");
}

fn encoded_resource(query: &str, resource: &str) -> String {
    format!("{query}&{}", super::encoded(&[("resource", resource)]))
}

#[tokio::test]
async fn what_is_wrong_goes_back_to_the_client_with_state_and_issuer() {
    let site = Site::new().await;
    let client = site.client().await;
    for (change, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "invalid_request"),
        (("response_mode", "fragment"), "invalid_request"),
        (("resource", "https://other.example/mcp"), "invalid_target"),
        (("resource", "http://127.0.0.1:1/mcp"), "invalid_target"),
        (("scope", "root"), "invalid_scope"),
        (("prompt", "none"), "consent_required"),
        (("prompt", "none login"), "invalid_request"),
        (("request", "eyJ"), "request_not_supported"),
        (("request_uri", "urn:x"), "request_uri_not_supported"),
    ] {
        let answer = site.authorize(&client, &[change]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{change:?}");
        assert!(
            answer
                .header(header::LOCATION)
                .starts_with(&format!("{REDIRECT}?"))
        );
        assert_eq!(answer.sent("error").as_deref(), Some(error), "{change:?}");
        assert_eq!(answer.sent("state").as_deref(), Some("a state&é"));
        assert_eq!(answer.sent("iss").as_deref(), Some(site.url()));
    }
}

/// Whoever registers a site could otherwise make links to us that lead there.
#[tokio::test]
async fn nobody_is_sent_to_another_site_before_signing_in() {
    let site = Site::new().await;
    let away = "https://elsewhere.example/callback";
    let wish = json!({"client_name": "Away", "redirect_uris": [away]});
    let client = site.send_json("/oauth/register", &wish).await.json()["client_id"].clone();
    let client = client.as_str().unwrap();
    for change in [("scope", "root"), ("prompt", "none"), ("resource", "x:y")] {
        let query = site.query(client, &[("redirect_uri", away), change]);
        let path = format!("/oauth/authorize?{query}");
        let answer = site.get(&path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert_eq!(answer.header(header::LOCATION), "");
        let link = format!("href=\"{away}?error=");
        assert!(answer.body.contains(&link), "{}", answer.body);
        assert!(answer.body.contains("elsewhere.example</a>"));
        let told = site.browse(&path).await;
        let there = format!("{away}?error=");
        assert!(
            told.header(header::LOCATION).starts_with(&there),
            "{told:?}"
        );
    }
    // Their own decision is told there.
    let query = site.query(client, &[("redirect_uri", away)]);
    let denied = [("request", query.as_str()), ("decision", "deny")];
    let denied = site.submit("/oauth/authorize", &denied).await;
    assert!(denied.header(header::LOCATION).starts_with(away));
}

#[tokio::test]
async fn the_code_and_a_refusal_come_with_state_and_issuer() {
    let site = Site::new().await;
    let client = site.client().await;
    let query = site.query(&client, &[]);
    let allowed = site.allow(&query, "tasks:read").await;
    let denied = site
        .submit(
            "/oauth/authorize",
            &[("request", &query), ("decision", "deny")],
        )
        .await;
    assert!(allowed.sent("code").is_some());
    assert_eq!(denied.sent("error").as_deref(), Some("access_denied"));
    assert_eq!(denied.sent("code"), None);
    for answer in [allowed, denied] {
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert_eq!(answer.sent("state").as_deref(), Some("a state&é"));
        assert_eq!(answer.sent("iss").as_deref(), Some(site.url()));
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
        assert_eq!(answer.header(header::REFERRER_POLICY), "no-referrer");
    }
}

#[tokio::test]
async fn who_is_not_signed_in_signs_in_first_and_comes_back() {
    let site = Site::new().await;
    let client = site.client().await;
    let path = format!(
        "/oauth/authorize?{}",
        site.query(&client, &[("prompt", "consent")])
    );
    let answer = site.get(&path).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let location = format!("{}{}", site.url(), answer.header(header::LOCATION));
    let location = url::Url::parse(&location).unwrap();
    assert_eq!(location.path(), "/sign-in");
    let (_, next) = location
        .query_pairs()
        .find(|(name, _)| name == "next")
        .unwrap();
    assert_eq!(next, path);
    let silent = format!(
        "/oauth/authorize?{}",
        site.query(&client, &[("prompt", "none")])
    );
    let silent = site.get(&silent).await;
    assert_eq!(silent.sent("error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn the_page_says_who_asks_and_leads_nowhere_else() {
    let site = Site::new().await;
    let client = site.client().await;
    let page = site
        .authorize(
            &client,
            &[("scope", "tasks:read hosts:read offline_access")],
        )
        .await;
    assert_eq!(page.status, StatusCode::OK);
    for words in [
        "Test client",
        "localhost:7777",
        "See tasks",
        "See your hosts",
        "Unknown: the name is",
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert!(!page.body.contains("delete tasks"));
    let policy = page.header(header::CONTENT_SECURITY_POLICY);
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "form-action 'self' http://localhost:7777;",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(page.header(header::CACHE_CONTROL), "no-store");
}

#[tokio::test]
async fn nothing_is_allowed_by_a_form_that_is_not_the_persons() {
    let site = Site::new().await;
    let client = site.client().await;
    let query = site.query(&client, &[]);
    let org = site.org.to_string();
    let fields = [
        ("request", query.as_str()),
        ("org", &org),
        ("decision", "allow"),
        ("tasks:read", "on"),
    ];
    let stranger = super::Browser {
        csrf: "0".repeat(64),
        ..site.browser.clone()
    };
    let forged = site.submit_as(&stranger, "/oauth/authorize", &fields).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let nobody = site.post("/oauth/authorize", &fields).await;
    assert!(
        nobody.header(header::LOCATION).starts_with("/sign-in"),
        "{nobody:?}"
    );
    let elsewhere = "00000000-0000-7000-8000-000000000001";
    let other = [
        ("request", query.as_str()),
        ("org", elsewhere),
        ("decision", "allow"),
        ("tasks:read", "on"),
    ];
    assert_eq!(
        site.submit("/oauth/authorize", &other).await.status,
        StatusCode::NOT_FOUND
    );
    let nothing = [
        ("request", query.as_str()),
        ("org", &org),
        ("decision", "allow"),
    ];
    assert_eq!(
        site.submit("/oauth/authorize", &nothing).await.status,
        StatusCode::BAD_REQUEST
    );
}

/// What a person takes out is out, and what was not asked for cannot be put in.
#[tokio::test]
async fn the_person_decides_over_the_scopes() {
    let site = Site::new().await;
    let client = site.client().await;
    let query = site.query(&client, &[("scope", "tasks:read projects:read")]);
    let answer = site
        .allow(&query, "tasks:read tasks:write hosts:write")
        .await;
    let code = answer.sent("code").unwrap();
    let tokens = site.exchange(&client, &code, &[]).await;
    assert_eq!(tokens.json()["scope"], "tasks:read");
    let pair = Pair::of(client, &tokens);
    let made = site
        .mcp(&pair.access, &call("tasks_create", &json!({"title": "x"})))
        .await;
    assert_eq!(made.status, StatusCode::FORBIDDEN);
}
