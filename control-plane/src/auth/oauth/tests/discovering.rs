//! Metadata at every address where clients look for it.

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use serde_json::json;

use super::Site;
use crate::auth::Scope;

#[tokio::test]
async fn each_resource_is_described_at_its_own_address() {
    let site = Site::new().await;
    for path in ["", "/mcp", "/api/v2/agent/mcp"] {
        let answer = site
            .get(&format!("/.well-known/oauth-protected-resource{path}"))
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/json");
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        let body = answer.json();
        assert_eq!(body["resource"], format!("{}{path}", site.url()));
        assert_eq!(body["authorization_servers"], json!([site.url()]));
        let scopes: Vec<&str> = Scope::ALL.map(Scope::name).into();
        assert_eq!(body["scopes_supported"], json!(scopes));
    }
    let other = site
        .get("/.well-known/oauth-protected-resource/other")
        .await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_server_says_what_it_does_and_nothing_else() {
    let site = Site::new().await;
    let body = site
        .get("/.well-known/oauth-authorization-server")
        .await
        .json();
    assert_eq!(body["issuer"], site.url());
    for (field, path) in [
        ("authorization_endpoint", "authorize"),
        ("token_endpoint", "token"),
        ("registration_endpoint", "register"),
        ("revocation_endpoint", "revoke"),
        ("device_authorization_endpoint", "device_authorization"),
    ] {
        assert_eq!(body[field], format!("{}/oauth/{path}", site.url()));
    }
    assert_eq!(body["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(body["response_types_supported"], json!(["code"]));
    assert_eq!(
        body["token_endpoint_auth_methods_supported"],
        json!(["none"])
    );
    assert_eq!(body["authorization_response_iss_parameter_supported"], true);
    assert_eq!(body["client_id_metadata_document_supported"], true);
    let scopes = body["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("offline_access")), "{scopes:?}");
    for elsewhere in [
        "oauth-authorization-server/mcp",
        "openid-configuration",
        "openid-configuration/mcp",
    ] {
        let answer = site.get(&format!("/.well-known/{elsewhere}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{elsewhere}");
        assert_eq!(answer.json()["error"], "not_found");
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    }
}

/// A client that says `localhost` finds `localhost`, byte for byte, in all it reads.
#[tokio::test]
async fn another_name_of_this_machine_is_followed_all_the_way() {
    let site = Site::new().await;
    let port = site.url().rsplit(':').next().unwrap();
    let base = format!("http://localhost:{port}");
    let at = async |method: Method, path: &str| {
        let request = axum::http::Request::builder().method(method).uri(path);
        let request = request.header(header::HOST, format!("localhost:{port}"));
        site.send(request.body(Body::empty()).unwrap()).await
    };
    let refused = at(Method::GET, "/mcp").await;
    let challenge = refused.header(header::WWW_AUTHENTICATE);
    let metadata = format!("resource_metadata=\"{base}/.well-known/oauth-protected-resource/mcp\"");
    assert!(challenge.contains(&metadata), "{challenge}");
    let resource = at(Method::GET, "/.well-known/oauth-protected-resource/mcp")
        .await
        .json();
    assert_eq!(resource["resource"], format!("{base}/mcp"));
    assert_eq!(resource["authorization_servers"], json!([base]));
    let server = at(Method::GET, "/.well-known/oauth-authorization-server")
        .await
        .json();
    assert_eq!(server["issuer"], base);
    assert_eq!(server["token_endpoint"], format!("{base}/oauth/token"));
    let client = site.client().await;
    let resource = format!("{base}/api/v2/agent/mcp");
    let query = site.query(&client, &[("resource", &resource)]);
    let answer = site.allow(&query, "tasks:read").await;
    let code = answer.sent("code").unwrap();
    let token = site
        .exchange(&client, &code, &[("resource", &resource)])
        .await;
    assert_eq!(token.status, StatusCode::OK, "{token:?}");
}

#[tokio::test]
async fn browsers_may_ask_where_no_cookie_counts_and_nowhere_else() {
    let site = Site::new().await;
    let preflight = async |path: &str, origin: &str| {
        let request = site
            .request(Method::OPTIONS, path)
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
        site.send(request.body(Body::empty()).unwrap()).await
    };
    for path in ["/oauth/token", "/oauth/register", "/oauth/revoke"] {
        let answer = preflight(path, "https://inspector.example").await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        assert!(
            answer
                .header(header::ACCESS_CONTROL_ALLOW_HEADERS)
                .contains("content-type")
        );
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), "");
    }
    for path in ["/oauth/authorize", "/device", "/mcp"] {
        let answer = preflight(path, "https://inspector.example").await;
        assert_eq!(
            answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN),
            "",
            "{path}"
        );
    }
    // A page on this machine may be an MCP client; without a token it reads where to get one.
    let inspector = "http://localhost:6274";
    let answer = preflight("/mcp", inspector).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, inspector),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization"),
        (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, ""),
    ] {
        assert_eq!(answer.header(&name), value, "{name}");
    }
    let request = site.request(Method::POST, "/mcp");
    let request = request.header(header::ORIGIN, inspector);
    let answer = site.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN),
        inspector
    );
    let told = answer.header(header::ACCESS_CONTROL_EXPOSE_HEADERS);
    assert!(told.contains("www-authenticate"), "{told}");
    assert_eq!(
        preflight("/device", inspector)
            .await
            .header(header::ACCESS_CONTROL_ALLOW_ORIGIN),
        ""
    );
}
