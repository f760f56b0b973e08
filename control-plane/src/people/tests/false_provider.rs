//! A provider that answers wrongly, in every way that matters: each wrong answer opens nothing, and
//! the same answer without its fault does.
//!
//! It checks nothing itself, not even PKCE, so what is refused is refused here.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::*;
use crate::config::SingleSignOn;

/// A change that makes a sound answer a bad one.
type Fault = (&'static str, fn(&mut Says));

const FAULTS: [Fault; 16] = [
    ("another's nonce", |says| says.claims["nonce"] = json!("x")),
    ("no nonce", |says| without(says, "nonce")),
    ("another issuer", |says| {
        says.claims["iss"] = json!("https://id.example");
    }),
    ("another audience", |says| {
        says.claims["aud"] = json!("other");
    }),
    ("two audiences", |says| {
        says.claims["aud"] = json!(["hostler", "other"]);
    }),
    ("no audience", |says| without(says, "aud")),
    ("expired", |says| {
        let exp = says.claims["exp"].as_i64().unwrap();
        says.claims["exp"] = json!(exp - 360);
    }),
    ("without an end", |says| without(says, "exp")),
    ("no subject", |says| without(says, "sub")),
    ("alg none", |says| {
        says.header = json!({"alg": "none"});
        says.signed_by = None;
    }),
    ("a public key used as a secret", |says| {
        says.header["alg"] = json!("HS256");
    }),
    ("signed in a way unknown", |says| {
        says.header["alg"] = json!("XX256");
    }),
    ("signed as by another kind of key", |says| {
        says.header["alg"] = json!("RS256");
    }),
    ("unsigned", |says| says.signed_by = None),
    ("signed by another", |says| says.signed_by = Some([2; 32])),
    ("signed by a key that was taken back", |says| {
        says.publishes = [2; 32];
    }),
];

fn without(says: &mut Says, name: &str) {
    says.claims.as_object_mut().unwrap().remove(name);
}

/// What the provider says next.
#[derive(Clone)]
struct Says {
    header: Value,
    claims: Value,
    /// Whose signature; none leaves it out.
    signed_by: Option<[u8; 32]>,
    /// Whose key it publishes.
    publishes: [u8; 32],
    /// The token endpoint's status and whole body, when it is no token.
    instead: Option<(u16, String)>,
    userinfo: Value,
}

struct FalseProvider {
    issuer: String,
    says: Arc<Mutex<Says>>,
}

impl FalseProvider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let says = Arc::new(Mutex::new(Says {
            header: json!({}),
            claims: json!({}),
            signed_by: None,
            publishes: [1; 32],
            instead: None,
            userinfo: json!({}),
        }));
        let (own, kept) = (issuer.clone(), says.clone());
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let says = kept.lock().unwrap().clone();
                drop(answer(stream.unwrap(), &own, &says));
            }
        });
        Self { issuer, says }
    }

    fn settings(&self) -> SingleSignOn {
        SingleSignOn {
            issuer: self.issuer.clone(),
            client_id: "hostler".into(),
            client_secret: Some("provider-secret-of-32-characters".into()),
            client_secret_file: None,
            scopes: vec!["email".into()],
            label: "Acme".into(),
            emails_are_verified: false,
            auto_join_domains: vec!["example.com".into(), "Example.org".into()],
        }
    }

    /// A sound answer to a sign-in with this nonce.
    fn sound(&self, nonce: &str, subject: &str) -> Says {
        let now = clock::wall().0 / 1_000;
        Says {
            header: json!({"alg": "EdDSA", "kid": "k"}),
            claims: json!({
                "iss": self.issuer, "sub": subject, "aud": "hostler", "nonce": nonce,
                "iat": now, "exp": now + 300,
                "email": format!("{subject}@example.com"), "email_verified": true,
            }),
            signed_by: Some([1; 32]),
            publishes: [1; 32],
            instead: None,
            userinfo: json!({}),
        }
    }

    /// Signs somebody in with what is made of a sound answer.
    async fn sign_in(&self, app: &App, subject: &str, change: impl FnOnce(&mut Says)) -> Page {
        let mut browser = Browser::new(app);
        let page = browser.get("/oidc/start?next=/tasks").await;
        assert_eq!(page.status, 303, "{}", page.text);
        let url = url::Url::parse(page.location()).unwrap();
        let value = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs
                .find(|(found, _)| found == name)
                .unwrap()
                .1
                .into_owned()
        };
        let mut says = self.sound(&value("nonce"), subject);
        change(&mut says);
        *self.says.lock().unwrap() = says;
        let path = format!("/oidc/callback?code=c&state={}", value("state"));
        let page = browser.get(&path).await;
        let signed_in = browser.cookies.contains_key("__Host-hostler");
        assert_eq!(signed_in, page.status == 303, "{}", page.text);
        page
    }
}

/// Answers one request.
fn answer(mut stream: TcpStream, issuer: &str, says: &Says) -> std::io::Result<()> {
    let path = read(&mut stream)?;
    let mut status = 200;
    let body = match path.as_str() {
        "/.well-known/openid-configuration" => json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/jwks"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none"],
        })
        .to_string(),
        "/jwks" => {
            let key = SigningKey::from_bytes(&says.publishes).verifying_key();
            let x = URL_SAFE_NO_PAD.encode(key.as_bytes());
            let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k", "x": x});
            json!({"keys": [key]}).to_string()
        }
        "/userinfo" => says.userinfo.to_string(),
        _ => match &says.instead {
            Some((other, body)) => {
                status = *other;
                body.clone()
            }
            None => json!({"access_token": "a", "token_type": "Bearer", "id_token": token(says)})
                .to_string(),
        },
    };
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The path of a request, read to its end.
fn read(stream: &mut TcpStream) -> std::io::Result<String> {
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&got).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok(text.split(' ').nth(1).unwrap_or_default().to_owned());
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(String::new()),
            count => got.extend_from_slice(&buffer[..count]),
        }
    }
}

fn token(says: &Says) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&says.header), part(&says.claims));
    let signature = says.signed_by.map(|key| {
        let signature = SigningKey::from_bytes(&key).sign(signed.as_bytes());
        URL_SAFE_NO_PAD.encode(signature.to_bytes())
    });
    format!("{signed}.{}", signature.unwrap_or_default())
}

async fn with(provider: &FalseProvider) -> Catalog {
    let mut catalog = Catalog::new().await;
    let rates = crate::limits::Rates::default();
    let free = crate::limits::Rate::per_minute(0, 1);
    let rates = rates.with(crate::limits::Bucket::SingleSignOn, free);
    catalog.app.limits = Arc::new(crate::limits::Limits::new(rates));
    catalog.app.single_sign_on = Some(Arc::new(provider.settings()));
    catalog
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_token_with_any_fault_opens_nothing() {
    let provider = FalseProvider::start();
    let catalog = with(&provider).await;
    for (fault, change) in FAULTS {
        let page = provider.sign_in(&catalog.app, "ada", change).await;
        assert_eq!(page.status, 503, "{fault}: {}", page.text);
        assert!(
            page.text.contains("Signing in with Acme did not work"),
            "{fault}"
        );
    }
    let page = provider.sign_in(&catalog.app, "ada", |_| ()).await;
    assert_eq!(page.location(), "/tasks", "without a fault it opens");
    let rotated = |says: &mut Says| (says.signed_by, says.publishes) = (Some([3; 32]), [3; 32]);
    let page = provider.sign_in(&catalog.app, "ada", rotated).await;
    assert_eq!(page.location(), "/tasks", "with fresh keys too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_out_of_order_is_said_to_be_and_nothing_else_breaks() {
    let provider = FalseProvider::start();
    let mut catalog = with(&provider).await;
    for (status, body) in [
        (500, "<html>no</html>".to_owned()),
        (400, json!({"error": "invalid_grant"}).to_string()),
        (200, String::new()),
        (200, "[]".to_owned()),
        (
            200,
            json!({"access_token": "a", "token_type": "Bearer"}).to_string(),
        ),
        (
            200,
            format!("{{\"access_token\": \"{}\"", "a".repeat(1 << 20)),
        ),
        (302, String::new()),
    ] {
        let instead = Some((status, body));
        let page = provider.sign_in(&catalog.app, "ada", |says| says.instead = instead);
        assert_eq!(page.await.status, 503);
    }
    // What the provider itself says: the person said no, or it broke.
    let mut browser = Browser::new(&catalog.app);
    let page = browser.get("/oidc/start").await;
    let (_, rest) = page.location().split_once("state=").unwrap();
    let state = rest.split('&').next().unwrap();
    let page = browser
        .get(&format!("/oidc/callback?error=access_denied&state={state}"))
        .await;
    assert_eq!(page.status, 403);
    assert!(
        problem(&page).contains("did not sign you in"),
        "{}",
        page.text
    );
    // Nobody there.
    let mut gone = provider.settings();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    gone.issuer = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    catalog.app.single_sign_on = Some(Arc::new(gone));
    let page = Browser::new(&catalog.app).get("/oidc/start").await;
    assert_eq!(page.status, 503);
    let page = Browser::new(&catalog.app).get("/sign-in").await;
    assert_eq!(page.status, 200, "a password goes on to work");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_counts_when_it_is_vouched_for_and_of_the_domain() {
    let provider = FalseProvider::start();
    let mut catalog = with(&provider).await;
    let told = |email: &'static str, verified: Value| {
        move |says: &mut Says| {
            says.claims["email"] = json!(email);
            says.claims["email_verified"] = verified;
        }
    };
    for (subject, email, verified, expected) in [
        ("a", "a@example.com", json!(false), 403),
        ("a", "a@example.com", json!("false"), 403),
        ("a", "a@example.com", Value::Null, 403),
        ("a", "a@example.com", json!("true"), 303),
        ("b", "b@example.com.evil.example", json!(true), 403),
        ("b", "b@evil.example@example.com", json!(true), 400),
        ("b", "b@sub.example.com", json!(true), 403),
        ("b", " B+work@EXAMPLE.ORG ", json!(true), 303),
        ("c", "b+WORK@example.org", json!(true), 409),
        ("d", "\u{c4}d\u{e4}@example.com", json!(true), 303),
        ("e", "\u{e4}D\u{c4}@example.com", json!(true), 409),
        ("f", "f f@example.com", json!(true), 400),
        ("f", "", json!(true), 400),
        ("g", "owner1@example.com", json!(true), 409),
    ] {
        let change = told(email, verified.clone());
        let page = provider.sign_in(&catalog.app, subject, change).await;
        let status = page.status.as_u16();
        assert_eq!(status, expected, "{email:?} {verified}: {}", page.text);
    }
    // Another address at the provider is still the same person, and opens nobody else's account.
    let change = told("owner1@example.com", json!(true));
    let page = provider.sign_in(&catalog.app, "a", change).await;
    assert_eq!(page.status, 303);
    let members = store::members::list(&catalog.app.store, catalog.caller.org_id).await;
    let emails: Vec<String> = members.unwrap().into_iter().map(|row| row.email).collect();
    assert_eq!(emails.len(), 4, "{emails:?}");
    assert!(emails.contains(&"a@example.com".to_owned()), "{emails:?}");
    // A provider that says nothing about it, whose addresses the operator trusts.
    let mut settings = provider.settings();
    settings.emails_are_verified = true;
    catalog.app.single_sign_on = Some(Arc::new(settings));
    for (verified, expected) in [(json!(false), 403), (Value::Null, 303)] {
        let change = told("h@example.com", verified);
        let page = provider.sign_in(&catalog.app, "h", change).await;
        assert_eq!(page.status.as_u16(), expected, "{}", page.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_told_apart_from_the_token_is_asked_for() {
    let provider = FalseProvider::start();
    let catalog = with(&provider).await;
    for (subject, expected) in [("another", 503), ("ada", 303)] {
        let change = move |says: &mut Says| {
            let claims = says.claims.as_object_mut().unwrap();
            claims.remove("email");
            claims.remove("email_verified");
            says.userinfo =
                json!({"sub": subject, "email": "ada@example.com", "email_verified": true});
        };
        let page = provider.sign_in(&catalog.app, "ada", change).await;
        assert_eq!(page.status.as_u16(), expected, "{}", page.text);
    }
}
