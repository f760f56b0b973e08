//! Refresh tokens: rotation, two at once, thieves, and giving back.

use axum::http::{StatusCode, header};
use serde_json::json;

use super::{Pair, Site};
use crate::config::OAuth;

#[tokio::test]
async fn a_refresh_gives_a_new_pair_and_uses_the_old_one_up() {
    let site = Site::new().await;
    let first = site.connect("tasks:read projects:read").await;
    let answer = site.refresh(&first.client, &first.refresh).await;
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    assert_eq!(answer.json()["scope"], "tasks:read projects:read");
    let second = Pair::of(first.client.clone(), &answer);
    assert_ne!(second.refresh, first.refresh);
    assert_ne!(second.access, first.access);
    for token in [&first.access, &second.access] {
        assert_eq!(site.ping(token).await, StatusCode::OK);
    }
    let third = Pair::of(
        first.client.clone(),
        &site.refresh(&second.client, &second.refresh).await,
    );
    assert_eq!(site.ping(&third.access).await, StatusCode::OK);
}

/// Two processes of a client refresh with the same token: both go on working.
#[tokio::test]
async fn two_at_once_both_end_with_tokens_that_work() {
    let site = Site::new().await;
    let first = site.connect_all().await;
    let (one, two) = tokio::join!(
        site.refresh(&first.client, &first.refresh),
        site.refresh(&first.client, &first.refresh),
    );
    for answer in [one, two] {
        let pair = Pair::of(first.client.clone(), &answer);
        assert_eq!(site.ping(&pair.access).await, StatusCode::OK);
        let next = Pair::of(
            first.client.clone(),
            &site.refresh(&pair.client, &pair.refresh).await,
        );
        assert_eq!(site.ping(&next.access).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_token_used_again_later_takes_the_whole_family_back() {
    let site = Site::new().await;
    let first = site.connect_all().await;
    let second = Pair::of(
        first.client.clone(),
        &site.refresh(&first.client, &first.refresh).await,
    );
    site.age(OAuth::default().grace_ms + 1_000).await;
    site.refresh(&first.client, &first.refresh)
        .await
        .refused("invalid_grant");
    assert_eq!(site.ping(&second.access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(site.ping(&first.access).await, StatusCode::UNAUTHORIZED);
    site.refresh(&second.client, &second.refresh)
        .await
        .refused("invalid_grant");
}

/// A thief comes within the grace, but what followed was used already: no client does that.
#[tokio::test]
async fn a_token_whose_successor_was_used_is_a_thiefs() {
    let site = Site::new().await;
    let first = site.connect_all().await;
    let second = Pair::of(
        first.client.clone(),
        &site.refresh(&first.client, &first.refresh).await,
    );
    let third = Pair::of(
        first.client.clone(),
        &site.refresh(&second.client, &second.refresh).await,
    );
    site.refresh(&first.client, &first.refresh)
        .await
        .refused("invalid_grant");
    assert_eq!(site.ping(&third.access).await, StatusCode::UNAUTHORIZED);
    site.refresh(&third.client, &third.refresh)
        .await
        .refused("invalid_grant");
}

#[tokio::test]
async fn a_refresh_token_is_its_clients_and_gives_no_more_than_was_allowed() {
    let site = Site::new().await;
    let pair = site.connect("tasks:read projects:read").await;
    let other = site.client().await;
    site.refresh(&other, &pair.refresh)
        .await
        .refused("invalid_grant");
    site.refresh(&pair.client, &pair.access)
        .await
        .refused("invalid_grant");
    let with = async |name: &str, value: &str| {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", pair.client.as_str()),
            ("refresh_token", pair.refresh.as_str()),
            (name, value),
        ];
        site.post("/oauth/token", &fields).await
    };
    with("scope", "tasks:read hosts:write")
        .await
        .refused("invalid_scope");
    with("resource", "https://other.example/mcp")
        .await
        .refused("invalid_target");
    let less = with("scope", "tasks:read offline_access").await.json();
    assert_eq!(less["scope"], "tasks:read");
    let refresh = less["refresh_token"].as_str().unwrap();
    let all = site.refresh(&pair.client, refresh).await.json();
    assert_eq!(all["scope"], "tasks:read projects:read");
}

#[tokio::test]
async fn a_refresh_token_nobody_uses_runs_out() {
    let site = Site::new().await;
    let pair = site.connect_all().await;
    site.age(OAuth::default().refresh_ms + 1_000).await;
    site.refresh(&pair.client, &pair.refresh)
        .await
        .refused("invalid_grant");
}

#[tokio::test]
async fn giving_back_a_refresh_token_ends_the_connection() {
    let site = Site::new().await;
    let pair = site.connect_all().await;
    let kept = site.connect_all().await;
    let back = async |token: &str, client: &str| {
        site.post("/oauth/revoke", &[("token", token), ("client_id", client)])
            .await
    };
    back(&pair.refresh, &kept.client)
        .await
        .refused("invalid_grant");
    assert_eq!(
        back("rt_nonsense", &pair.client).await.status,
        StatusCode::OK
    );
    back(&format!("sk_live_{}", "A".repeat(43)), &pair.client)
        .await
        .refused("unsupported_token_type");
    assert_eq!(site.ping(&pair.access).await, StatusCode::OK);
    for _ in 0..2 {
        assert_eq!(
            back(&pair.refresh, &pair.client).await.status,
            StatusCode::OK
        );
        assert_eq!(site.ping(&pair.access).await, StatusCode::UNAUTHORIZED);
    }
    site.refresh(&pair.client, &pair.refresh)
        .await
        .refused("invalid_grant");
    assert_eq!(
        back(&kept.access, &kept.client).await.status,
        StatusCode::OK
    );
    assert_eq!(site.ping(&kept.access).await, StatusCode::UNAUTHORIZED);
    let again = site.refresh(&kept.client, &kept.refresh).await;
    assert_eq!(again.status, StatusCode::OK, "{again:?}");
}

/// The token endpoint reads a form from the body, and nothing else from nowhere else.
#[tokio::test]
async fn tokens_are_asked_for_by_form_alone() {
    let site = Site::new().await;
    let pair = site.connect_all().await;
    let fields = super::encoded(&[
        ("grant_type", "refresh_token"),
        ("client_id", &pair.client),
        ("refresh_token", &pair.refresh),
    ]);
    let in_url = site.post(&format!("/oauth/token?{fields}"), &[]).await;
    assert_eq!(in_url.status, StatusCode::BAD_REQUEST);
    let plain = site
        .post("/oauth/token?x=1", &[("grant_type", "refresh_token")])
        .await;
    plain.refused("invalid_request");
    let json = json!({"grant_type": "refresh_token", "client_id": pair.client, "refresh_token": pair.refresh});
    site.send_json("/oauth/token", &json)
        .await
        .refused("invalid_request");
    assert_eq!(
        site.get("/oauth/token").await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        site.refresh(&pair.client, &pair.refresh).await.status,
        StatusCode::OK
    );
}

/// Some clients send their id as the name of HTTP Basic, with no password.
#[tokio::test]
async fn a_client_names_itself_in_either_way_and_has_no_secret() {
    use base64::Engine as _;
    let site = Site::new().await;
    let pair = site.connect_all().await;
    let ask = async |basic: &str| {
        let basic = base64::engine::general_purpose::STANDARD.encode(basic);
        let body = [
            ("grant_type", "refresh_token"),
            ("refresh_token", pair.refresh.as_str()),
        ];
        let request = site
            .request(axum::http::Method::POST, "/oauth/token")
            .header(header::AUTHORIZATION, format!("Basic {basic}"))
            .header(
                header::CONTENT_TYPE,
                "application/x-www-form-urlencoded; charset=utf-8",
            );
        site.send(request.body(super::encoded(&body).into()).unwrap())
            .await
    };
    let guessed = ask(&format!("{}:secret", pair.client)).await;
    guessed.refused("invalid_client");
    assert!(
        guessed
            .header(header::WWW_AUTHENTICATE)
            .starts_with("Basic")
    );
    let named = ask(&format!("{}:", pair.client)).await;
    assert_eq!(named.status, StatusCode::OK, "{named:?}");
}

/// Upon `invalid_client` clients register again by themselves; upon `invalid_grant` they do not.
#[tokio::test]
async fn a_client_this_server_has_forgotten_is_told_so() {
    let site = Site::new().await;
    let pair = site.connect_all().await;
    let unknown = site.refresh("mcp_forgotten", &pair.refresh).await;
    unknown.refused("invalid_client");
    let code = site.code(&pair.client).await;
    let unknown = site.exchange("mcp_forgotten", &code, &[]).await;
    unknown.refused("invalid_client");
    for known in ["hostler-cli", "https://vouched.example/client.json"] {
        site.refresh(known, &pair.refresh)
            .await
            .refused("invalid_grant");
    }
    assert_eq!(site.ping(&pair.access).await, StatusCode::OK);
}
