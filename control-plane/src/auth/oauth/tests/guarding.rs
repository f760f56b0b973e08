//! What a token opens and for how long: audience, expiry, scopes, and people who take it back.

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use hostler_proto::ids::UserId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Site, call, signed_in};
use crate::auth::oauth::grants;
use crate::auth::{Caller, Role, Scope, Scopes, Via};
use crate::config::OAuth;
use crate::store::tokens::NewToken;
use crate::{auth, clock, store};

impl Site {
    async fn store_token(&self, audience: Option<&str>) -> String {
        let now = clock::wall();
        let secret = auth::Secret::mint(auth::SecretKind::AccessToken, &clock::random());
        let token = NewToken {
            id: hostler_proto::ids::uuid_v7(now, &clock::id_entropy()),
            kind: secret.kind().word().to_owned(),
            hash: secret.hash().to_string(),
            prefix: String::new(),
            org_id: self.org,
            user_id: self.user,
            name: "test".to_owned(),
            scopes: Scopes::all().to_string(),
            audience: audience.map(str::to_owned),
            client_id: Some("test".to_owned()),
            family_id: None,
            created_at: now,
            expires_at: Some(now.plus_ms(60_000)),
        };
        let mut tx = self.app.store.begin().await.unwrap();
        store::tokens::insert(&mut tx, &token).await.unwrap();
        self.app.store.commit(tx).await.unwrap();
        secret.expose().to_owned()
    }

    /// The owner, as an operation sees them.
    fn owner(&self) -> Caller {
        Caller {
            org_id: self.org,
            user_id: self.user,
            role: Role::Owner,
            token_id: Uuid::nil(),
            scopes: Scopes::all(),
            label: "owner".to_owned(),
            via: Via::default(),
        }
    }

    /// Somebody else in the organization.
    async fn member(&self, number: u128) -> Caller {
        let user_id = UserId(Uuid::from_u128(number));
        let (email, now) = (format!("{number}@example.com"), clock::wall());
        let mut tx = self.app.store.begin().await.unwrap();
        store::members::insert_user(&mut tx, user_id, &email, "M", now)
            .await
            .unwrap();
        store::members::insert_member(&mut tx, self.org, user_id, "member", now)
            .await
            .unwrap();
        self.app.store.commit(tx).await.unwrap();
        Caller {
            user_id,
            role: Role::Member,
            label: email,
            ..self.owner()
        }
    }
}

#[tokio::test]
async fn a_token_for_another_audience_is_no_token_here() {
    let site = Site::new().await;
    let own = site.url().to_owned();
    for (audience, status) in [
        (Some("https://other.example/mcp"), StatusCode::UNAUTHORIZED),
        (Some("http://127.0.0.1:1"), StatusCode::UNAUTHORIZED),
        (None, StatusCode::UNAUTHORIZED),
        (Some(own.as_str()), StatusCode::OK),
    ] {
        let token = site.store_token(audience).await;
        assert_eq!(site.ping(&token).await, status, "{audience:?}");
    }
}

#[tokio::test]
async fn an_expired_token_is_invalid_and_a_refresh_goes_on() {
    let site = Site::new().await;
    let pair = site.connect_all().await;
    site.age(OAuth::default().access_ms + 1_000).await;
    let refused = site
        .mcp(&pair.access, &call("tasks_list", &json!({})))
        .await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let challenge = refused.header(header::WWW_AUTHENTICATE);
    assert!(
        challenge.contains(r#"error="invalid_token""#),
        "{challenge}"
    );
    assert!(challenge.contains("resource_metadata="), "{challenge}");
    let answer = site.refresh(&pair.client, &pair.refresh).await.json();
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(site.ping(token).await, StatusCode::OK);
}

#[tokio::test]
async fn a_call_without_its_scope_is_403_and_names_what_is_needed() {
    let site = Site::new().await;
    let pair = site.connect("tasks:read").await;
    let allowed = site
        .mcp(&pair.access, &call("tasks_list", &json!({})))
        .await;
    assert_eq!(allowed.json()["result"]["isError"], false, "{allowed:?}");
    for (tool, scope) in [
        ("tasks_create", "tasks:write"),
        ("hosts_list", "hosts:read"),
    ] {
        let refused = site.mcp(&pair.access, &call(tool, &json!({}))).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{tool}");
        let challenge = refused.header(header::WWW_AUTHENTICATE);
        assert!(
            challenge.contains(r#"error="insufficient_scope""#),
            "{challenge}"
        );
        assert!(challenge.contains("resource_metadata="), "{challenge}");
        let (_, rest) = challenge.split_once("scope=\"").unwrap();
        let named = Scopes::parse(rest.split('"').next().unwrap());
        assert!(named.contains(Scope::TasksRead), "{challenge}");
        assert_eq!(named.to_string().split(' ').count(), 2, "{challenge}");
        assert!(named.to_string().contains(scope), "{challenge}");
    }
}

/// Every tool asks for a scope, and a token without any scope for it is stopped at the door.
#[tokio::test]
async fn a_connected_client_has_nothing_to_do_with_keys() {
    let site = Site::new().await;
    let pair = site.connect_all().await;
    let keys = crate::store::tokens::keys(&site.app.store, site.org, None).await;
    let known = format!("/v1/keys/{}", keys.unwrap()[0].id);
    for (method, path, body) in [
        (Method::GET, "/v1/keys", ""),
        (Method::POST, "/v1/keys", r#"{"name":"mine"}"#),
        (Method::DELETE, known.as_str(), ""),
    ] {
        let request = site
            .request(method.clone(), path)
            .header(header::AUTHORIZATION, format!("Bearer {}", pair.access))
            .header(header::CONTENT_TYPE, "application/json");
        let answer = site.send(request.body(body.into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {answer:?}");
    }
}

#[tokio::test]
async fn no_tool_is_open_to_a_token_without_its_scope() {
    let site = Site::new().await;
    let everything = site.connect_all().await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let listed = site.mcp(&everything.access, &list).await.json();
    let tools = listed["result"]["tools"].as_array().unwrap().clone();
    assert!(tools.len() >= 22);
    for noun in ["tasks", "projects", "workspaces", "automations", "hosts"] {
        let pair = site.connect(&format!("{noun}:read")).await;
        for tool in &tools {
            let name = tool["name"].as_str().unwrap();
            let reads = tool["annotations"]["readOnlyHint"] == true;
            let answer = site.mcp(&pair.access, &call(name, &json!({}))).await;
            let open = answer.status == StatusCode::OK;
            let expected = reads && noun_of(name) == noun;
            assert_eq!(open, expected, "{name} with {noun}:read: {answer:?}");
        }
    }
}

/// The noun of a tool's scope: runs are read with automations.
fn noun_of(tool: &str) -> &str {
    let noun = tool.split('_').next().unwrap();
    if noun == "runs" { "automations" } else { noun }
}

#[tokio::test]
async fn a_token_in_the_address_is_refused_even_when_it_is_good() {
    let site = Site::new().await;
    let pair = site.connect_all().await;
    for path in ["/mcp", "/api/v2/agent/mcp", "/oauth/token"] {
        for query in [
            format!("access_token={}", pair.access),
            format!("x={}", pair.access),
        ] {
            let request = site
                .request(Method::POST, &format!("{path}?{query}"))
                .header(header::AUTHORIZATION, format!("Bearer {}", pair.access));
            let answer = site.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        }
    }
}

#[tokio::test]
async fn a_disconnected_clients_next_request_is_refused() {
    let site = Site::new().await;
    let (pair, other) = (site.connect_all().await, site.connect_all().await);
    let (owner, now) = (site.owner(), clock::wall());
    let listed = grants::grants(&site.app, &owner, now).await.unwrap();
    assert_eq!(listed.len(), 2);
    let mine = listed
        .iter()
        .find(|grant| grant.client_id == pair.client)
        .unwrap();
    assert_eq!(mine.client_name, "Test client");
    grants::revoke_grant(&site.app, &owner, mine.id, now)
        .await
        .unwrap();
    let refused = site
        .mcp(&pair.access, &call("tasks_list", &json!({})))
        .await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(
        refused
            .header(header::WWW_AUTHENTICATE)
            .contains("invalid_token")
    );
    site.refresh(&pair.client, &pair.refresh)
        .await
        .refused("invalid_grant");
    assert_eq!(site.ping(&other.access).await, StatusCode::OK);
    let left = grants::grants(&site.app, &owner, now).await.unwrap();
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn a_client_is_disconnected_in_settings() {
    let site = Site::new().await;
    let pair = site.connect("tasks:read").await;
    let page = site.browse("/settings/clients").await;
    for words in ["Test client", "tasks:read", "owner@localhost"] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    let (_, rest) = page.body.split_once("action=\"/settings/clients/").unwrap();
    let path = format!("/settings/clients/{}", rest.split('"').next().unwrap());
    let forged = super::Browser {
        csrf: "0".repeat(64),
        ..site.browser.clone()
    };
    let refused = site.submit_as(&forged, &path, &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(site.ping(&pair.access).await, StatusCode::OK);
    let done = site.submit(&path, &[]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{done:?}");
    assert_eq!(site.ping(&pair.access).await, StatusCode::UNAUTHORIZED);
    let page = site.browse("/settings/clients").await;
    assert!(
        page.body.contains("No client is connected"),
        "{}",
        page.body
    );
    let unknown = site.submit("/settings/clients/x/revoke", &[]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

/// What ran out is forgotten, what is in use is not, and a thief is still noticed meanwhile.
#[tokio::test]
async fn what_ran_out_is_forgotten_in_time() {
    let site = Site::new().await;
    let first = site.connect_all().await;
    let again = site.refresh(&first.client, &first.refresh).await;
    let second = super::Pair::of(first.client.clone(), &again);
    for _ in 0..25 {
        site.age(24 * 3_600_000).await;
        grants::forget_old(&site.app, clock::wall()).await.unwrap();
    }
    let third = site.refresh(&second.client, &second.refresh).await;
    let third = super::Pair::of(first.client.clone(), &third);
    assert_eq!(site.ping(&third.access).await, StatusCode::OK);
    site.refresh(&first.client, &first.refresh)
        .await
        .refused("invalid_grant");
    assert_eq!(site.ping(&third.access).await, StatusCode::UNAUTHORIZED);
    site.age(60 * 24 * 3_600_000).await;
    grants::forget_old(&site.app, clock::wall()).await.unwrap();
    let listed = grants::grants(&site.app, &site.owner(), clock::wall())
        .await
        .unwrap();
    assert!(listed.is_empty());
}

#[tokio::test]
async fn members_see_and_end_their_own_connections_alone() {
    let site = Site::new().await;
    site.connect_all().await;
    let now = clock::wall();
    let (one, two) = (site.member(1).await, site.member(2).await);
    let browser = signed_in(&site.app, one.user_id, site.org).await;
    let client = site.client().await;
    let query = site.query(&client, &[]);
    let org = site.org.to_string();
    let fields = [
        ("request", query.as_str()),
        ("org", &org),
        ("decision", "allow"),
        ("tasks:read", "on"),
    ];
    let allowed = site.submit_as(&browser, "/oauth/authorize", &fields).await;
    let code = allowed.sent("code").unwrap();
    let tokens = site.exchange(&client, &code, &[]).await.json();
    let token = tokens["access_token"].as_str().unwrap();
    let seen = async |caller: &Caller| grants::grants(&site.app, caller, now).await.unwrap();
    let own = seen(&one).await;
    assert_eq!(own.len(), 1);
    assert_eq!(seen(&two).await.len(), 0);
    assert_eq!(seen(&site.owner()).await.len(), 2);
    let stranger = Caller {
        org_id: hostler_proto::ids::OrgId(Uuid::from_u128(9)),
        ..site.owner()
    };
    for other in [two, stranger] {
        assert!(
            grants::revoke_grant(&site.app, &other, own[0].id, now)
                .await
                .is_err()
        );
    }
    assert_eq!(site.ping(token).await, StatusCode::OK);
    grants::revoke_grant(&site.app, &site.owner(), own[0].id, now)
        .await
        .unwrap();
    assert_eq!(site.ping(token).await, StatusCode::UNAUTHORIZED);
}

/// Nothing of a code, a token or a verifier is stored as it is.
#[tokio::test]
async fn no_secret_stands_in_the_catalog() {
    let site = Site::new().await;
    let client = site.client().await;
    let code = site.code(&client).await;
    let tokens: Value = site.exchange(&client, &code, &[]).await.json();
    let file = site.home.path().join("control-plane");
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(file).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let text = String::from_utf8_lossy(&bytes);
    for secret in [
        &code,
        tokens["access_token"].as_str().unwrap(),
        tokens["refresh_token"].as_str().unwrap(),
    ] {
        assert!(!text.contains(&secret[12..]), "a secret is stored as it is");
    }
    assert!(text.contains(&client), "the catalog was read");
}
