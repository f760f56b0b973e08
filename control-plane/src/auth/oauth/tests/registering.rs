//! Dynamic registration: what is taken, what is refused, and what becomes of what nobody uses.

use axum::http::{StatusCode, header};
use serde_json::{Value, json};

use super::{REDIRECT, Site};
use crate::config::OAuth;
use crate::limits::{Bucket, Limits, Rate, Rates};
use crate::store;

const DAY_MS: i64 = 24 * 3_600_000;

#[tokio::test]
async fn a_client_is_public_whatever_it_asks_for() {
    let site = Site::new().await;
    let wish = json!({
        "client_name": " Codex\u{202e}\n ",
        "redirect_uris": ["http://127.0.0.1/callback", "https://app.example/cb"],
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": "tasks:read",
        "software_id": "x",
    });
    let answer = site.send_json("/oauth/register", &wish).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    let body = answer.json();
    assert_eq!(body["client_name"], "Codex");
    assert_eq!(body["redirect_uris"], wish["redirect_uris"]);
    assert_eq!(body["token_endpoint_auth_method"], "none");
    assert_eq!(
        body["grant_types"],
        json!(["authorization_code", "refresh_token"])
    );
    assert_eq!(body["client_secret"], Value::Null);
    let again = site.send_json("/oauth/register", &wish).await.json();
    assert_ne!(again["client_id"], body["client_id"]);
}

#[tokio::test]
async fn dangerous_and_senseless_registrations_are_refused() {
    let site = Site::new().await;
    for uri in [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "http://app.example/callback",
        "http://10.0.0.1/callback",
        "http://127.0.0.1.evil.example/callback",
        "https://app.example/cb#fragment",
        "/callback",
    ] {
        for uris in [json!([uri]), json!(["https://app.example/cb", uri])] {
            let answer = site
                .send_json("/oauth/register", &json!({"redirect_uris": uris}))
                .await;
            answer.refused("invalid_redirect_uri");
        }
    }
    for (wish, error) in [
        (json!({}), "invalid_redirect_uri"),
        (json!({"redirect_uris": []}), "invalid_redirect_uri"),
        (
            json!({"redirect_uris": vec![REDIRECT; 21]}),
            "invalid_redirect_uri",
        ),
        (
            json!({"redirect_uris": [REDIRECT], "grant_types": ["client_credentials"]}),
            "invalid_client_metadata",
        ),
        (
            json!({"redirect_uris": [REDIRECT], "response_types": ["token"]}),
            "invalid_client_metadata",
        ),
        (
            json!({"redirect_uris": REDIRECT}),
            "invalid_client_metadata",
        ),
        (json!([]), "invalid_client_metadata"),
        (
            json!({"redirect_uris": [REDIRECT], "client_name": "x".repeat(20_000)}),
            "invalid_client_metadata",
        ),
    ] {
        site.limits_forgotten();
        site.send_json("/oauth/register", &wish)
            .await
            .refused(error);
    }
    let form = site
        .post("/oauth/register", &[("redirect_uris", REDIRECT)])
        .await;
    form.refused("invalid_client_metadata");
}

impl Site {
    /// Lets a test that is not about limits go on.
    fn limits_forgotten(&self) {
        self.app.limits.forgive(Bucket::Registration, "127.0.0.1");
    }
}

#[tokio::test]
async fn registering_is_limited_by_address_and_says_when_to_come_back() {
    let mut site = Site::new().await;
    let rates = Rates::default().with(Bucket::Registration, Rate::per_minute(1, 2));
    site.app.limits = std::sync::Arc::new(Limits::new(rates));
    site.routes = super::routes_of(&site.app);
    site.client().await;
    site.client().await;
    let answer = site
        .send_json("/oauth/register", &json!({"redirect_uris": [REDIRECT]}))
        .await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{answer:?}");
    let seconds: u64 = answer.header(header::RETRY_AFTER).parse().unwrap();
    assert!((1..=60).contains(&seconds));
}

#[tokio::test]
async fn a_client_that_nobody_uses_is_forgotten_and_a_used_one_is_not() {
    let site = Site::with(OAuth::default()).await;
    let unused = site.client().await;
    let pair = site.connect_all().await;
    site.age(2 * DAY_MS).await;
    let page = site.authorize(&unused, &[]).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert_eq!(page.header(header::LOCATION), "");
    let again = site.refresh(&pair.client, &pair.refresh).await;
    assert_eq!(again.status, StatusCode::OK, "{again:?}");
    assert_eq!(
        site.authorize(&pair.client, &[]).await.status,
        StatusCode::OK
    );
    let now = crate::clock::wall();
    let mut tx = site.app.store.begin().await.unwrap();
    store::clients::forget(&mut tx, now).await.unwrap();
    assert_eq!(store::clients::count_unused(&mut tx, now).await.unwrap(), 0);
    site.app.store.commit(tx).await.unwrap();
    let left = store::clients::by_id(&site.app.store, &pair.client, now).await;
    assert!(left.unwrap().is_some());
}
