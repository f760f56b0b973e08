//! The authorization server over HTTP, through the whole router, as clients and browsers use it.

mod authorizing;
mod discovering;
mod documents;
mod guarding;
mod registering;
mod renewing;
mod typing;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hostler_proto::ids::{OrgId, UserId};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

use crate::auth::session;
use crate::config::{Config, KeepLogs, OAuth};
use crate::edge::Peer;
use crate::{App, store};

/// Where the clients of these tests are answered.
const REDIRECT: &str = "http://localhost:7777/callback";

/// A code verifier.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A server with one organization, whose owner has a signed-in browser.
struct Site {
    home: tempfile::TempDir,
    _plane: crate::ControlPlane,
    app: App,
    routes: Router,
    org: OrgId,
    user: UserId,
    browser: Browser,
}

/// A signed-in browser.
#[derive(Clone)]
struct Browser {
    cookie: String,
    csrf: String,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A parameter of the address the browser is sent to.
    fn sent(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(self.header(header::LOCATION)).ok()?;
        let pair = url.query_pairs().find(|(key, _)| key == name)?;
        Some(pair.1.into_owned())
    }

    #[track_caller]
    fn refused(&self, error: &str) {
        assert_eq!(self.json()["error"], error, "{self:?}");
        let status = if error == "invalid_client" { 401 } else { 400 };
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header(header::CACHE_CONTROL), "no-store");
    }
}

impl Site {
    async fn new() -> Self {
        Self::with(OAuth::default()).await
    }

    async fn with(oauth: OAuth) -> Self {
        let home = tempfile::tempdir().unwrap();
        let plane = crate::open(Config {
            home: home.path().to_owned(),
            listen: ([127, 0, 0, 1], 0).into(),
            public_url: None,
            keep_logs: KeepLogs::default(),
            edge: crate::edge::Settings::default(),
            oauth,
        })
        .await
        .unwrap();
        let app = plane.app().clone();
        let owner = store::members::first_owner(&app.store).await.unwrap();
        let (org, owner) = owner.unwrap();
        let browser = signed_in(&app, owner.user_id, org).await;
        Self {
            home,
            _plane: plane,
            routes: routes_of(&app),
            app,
            org,
            user: owner.user_id,
            browser,
        }
    }

    fn url(&self) -> &str {
        &self.app.server.url
    }

    /// A request with the `Host` that a client of this address sends.
    fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let host = self.url().trim_start_matches("http://").to_owned();
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.into()).unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).body(Body::empty()).unwrap())
            .await
    }

    async fn browse_as(&self, browser: &Browser, path: &str) -> Answer {
        let request = self
            .request(Method::GET, path)
            .header(header::COOKIE, &browser.cookie);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn browse(&self, path: &str) -> Answer {
        self.browse_as(&self.browser, path).await
    }

    /// A form that a program sends.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(encoded(fields).into()).unwrap())
            .await
    }

    /// A form that a signed-in browser sends.
    async fn submit_as(&self, browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields = [fields, &[("csrf", browser.csrf.as_str())]].concat();
        let request = self
            .request(Method::POST, path)
            .header(header::COOKIE, &browser.cookie)
            .header("sec-fetch-site", "same-origin")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(encoded(&fields).into()).unwrap())
            .await
    }

    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.submit_as(&self.browser, path, fields).await
    }

    async fn send_json(&self, path: &str, body: &Value) -> Answer {
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.to_string().into()).unwrap())
            .await
    }

    /// A client that registered itself to be answered at [`REDIRECT`].
    async fn client(&self) -> String {
        let wish =
            json!({"client_name": "Test client", "redirect_uris": ["http://localhost/callback"]});
        let answer = self.send_json("/oauth/register", &wish).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    /// The usual query of an authorization request, with changes: an empty value leaves one out.
    fn query(&self, client: &str, changes: &[(&str, &str)]) -> String {
        let resource = format!("{}/mcp", self.url());
        let challenge = challenge_of(VERIFIER);
        let usual = [
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", REDIRECT),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("state", "a state&é"),
            ("resource", resource.as_str()),
        ];
        let replaced = |name: &str| changes.iter().any(|(other, _)| *other == name);
        let kept = usual.into_iter().filter(|(name, _)| !replaced(name));
        let new = changes
            .iter()
            .copied()
            .filter(|(_, value)| !value.is_empty());
        encoded(&kept.chain(new).collect::<Vec<_>>())
    }

    async fn authorize(&self, client: &str, changes: &[(&str, &str)]) -> Answer {
        let query = self.query(client, changes);
        self.browse(&format!("/oauth/authorize?{query}")).await
    }

    /// The person allows what a request asks for, in this organization.
    async fn allow(&self, query: &str, scopes: &str) -> Answer {
        let org = self.org.to_string();
        let mut fields = vec![("request", query), ("org", &org), ("decision", "allow")];
        fields.extend(scopes.split(' ').map(|scope| (scope, "on")));
        self.submit("/oauth/authorize", &fields).await
    }

    async fn code_for(&self, client: &str, scopes: &str) -> String {
        let query = self.query(client, &[]);
        let answer = self.allow(&query, scopes).await;
        answer
            .sent("code")
            .unwrap_or_else(|| panic!("no code: {answer:?}"))
    }

    async fn code(&self, client: &str) -> String {
        self.code_for(client, &crate::auth::Scopes::all().to_string())
            .await
    }

    /// Asks for tokens; changes as in [`Site::query`].
    async fn exchange(&self, client: &str, code: &str, changes: &[(&str, &str)]) -> Answer {
        let usual = [
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        let replaced = |name: &str| changes.iter().any(|(other, _)| *other == name);
        let kept = usual.into_iter().filter(|(name, _)| !replaced(name));
        let new = changes
            .iter()
            .copied()
            .filter(|(_, value)| !value.is_empty());
        self.post("/oauth/token", &kept.chain(new).collect::<Vec<_>>())
            .await
    }

    async fn refresh(&self, client: &str, token: &str) -> Answer {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", client),
            ("refresh_token", token),
        ];
        self.post("/oauth/token", &fields).await
    }

    /// Tokens with these scopes, from the registration to the exchange.
    async fn connect(&self, scopes: &str) -> Pair {
        let client = self.client().await;
        let code = self.code_for(&client, scopes).await;
        Pair::of(client.clone(), &self.exchange(&client, &code, &[]).await)
    }

    async fn connect_all(&self) -> Pair {
        self.connect(&crate::auth::Scopes::all().to_string()).await
    }

    /// A JSON-RPC request with this token.
    async fn mcp(&self, token: &str, message: &Value) -> Answer {
        let request = self
            .request(Method::POST, "/mcp")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        self.send(request.body(message.to_string().into()).unwrap())
            .await
    }

    async fn ping(&self, token: &str) -> StatusCode {
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        self.mcp(token, &ping).await.status
    }

    async fn age(&self, ms: i64) {
        store::grants::age(&self.app.store, ms).await;
    }
}

/// Tokens, and whose they are.
#[derive(Clone, Debug)]
struct Pair {
    client: String,
    access: String,
    refresh: String,
}

impl Pair {
    #[track_caller]
    fn of(client: String, answer: &Answer) -> Self {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        assert_eq!(body["token_type"], "Bearer");
        Self {
            client,
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }
}

/// A browser in which somebody has just signed in.
async fn signed_in(app: &App, user: UserId, org: OrgId) -> Browser {
    let set = session::begin(app, user, Some(org), &HeaderMap::new(), Peer::default()).await;
    let set = set.unwrap();
    let cookie = set.to_str().unwrap().split(';').next().unwrap().to_owned();
    let headers = [(header::COOKIE, cookie.parse().unwrap())]
        .into_iter()
        .collect();
    let visitor = session::visitor(app, &headers, Peer::default())
        .await
        .unwrap();
    Browser {
        cookie,
        csrf: visitor.unwrap().csrf,
    }
}

/// All routes, behind the guard that every request passes.
fn routes_of(app: &App) -> Router {
    crate::edge::guarded(crate::lifecycle::router(app), app, &[])
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(fields).finish()
}

fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// A call of a tool.
fn call(name: &str, arguments: &Value) -> Value {
    let params = json!({"name": name, "arguments": arguments});
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
}

/// From nothing but the address to a call of a tool.
#[tokio::test]
async fn a_client_finds_its_way_from_a_refusal_to_a_tool() {
    let site = Site::new().await;
    let refused = site
        .send_json("/mcp", &call("tasks_list", &json!({})))
        .await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let challenge = refused.header(header::WWW_AUTHENTICATE).to_owned();
    let (_, rest) = challenge.split_once("resource_metadata=\"").unwrap();
    let metadata = rest
        .split('"')
        .next()
        .unwrap()
        .strip_prefix(site.url())
        .unwrap();
    let resource = site.get(metadata).await.json();
    assert_eq!(resource["resource"], format!("{}/mcp", site.url()));
    let issuer = resource["authorization_servers"][0].as_str().unwrap();
    assert_eq!(issuer, site.url());
    let server = site
        .get("/.well-known/oauth-authorization-server")
        .await
        .json();
    assert_eq!(server["issuer"], issuer);
    let pair = site.connect_all().await;
    assert!(pair.access.starts_with("at_") && pair.refresh.starts_with("rt_"));
    let called = site
        .mcp(&pair.access, &call("tasks_list", &json!({})))
        .await;
    assert_eq!(called.json()["result"]["isError"], false, "{called:?}");
}
