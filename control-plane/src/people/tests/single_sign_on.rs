//! Signing in with a real OpenID Connect provider (panva's oidc-provider, run under the tests' Node),
//! and answers that are not for this browser or not for this person.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use super::*;
use crate::config::SingleSignOn;

/// The provider's process; it ends with this.
struct Provider {
    process: Child,
    issuer: String,
    /// Held open: whoever cannot write any more ends.
    _output: BufReader<ChildStdout>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Provider {
    fn start() -> Self {
        let cache = std::env::var_os("HOSTLER_TEST_CACHE").map(PathBuf::from);
        let cache =
            cache.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cache/hostler-tests"));
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/harness/oidc/provider.mjs"
        );
        let mut process = Command::new(cache.join("bin/node"))
            .arg(script)
            .arg(cache.join("npm/node_modules/oidc-provider/lib/index.js"))
            .arg("http://127.0.0.1:1/oidc/callback")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the tests' Node is installed by tests/run");
        let mut issuer = String::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        lines.read_line(&mut issuer).unwrap();
        let issuer = issuer.trim().to_owned();
        assert!(issuer.starts_with("http://"), "the provider did not start");
        Self {
            process,
            issuer,
            _output: lines,
        }
    }

    fn settings(&self) -> SingleSignOn {
        SingleSignOn {
            issuer: self.issuer.clone(),
            client_id: "hostler".into(),
            client_secret: Some("provider-secret-of-32-characters".into()),
            client_secret_file: None,
            scopes: ["email", "profile"].map(str::to_owned).to_vec(),
            label: "Acme".into(),
            auto_join_domains: Vec::new(),
        }
    }

    /// Goes to the provider as somebody does; where it sends them back to, as a path.
    async fn visit(&self, url: &str, account: &str) -> String {
        let chosen = format!("{}/as/{account}", self.issuer);
        let (url, issuer) = (url.to_owned(), self.issuer.clone());
        tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .max_redirects(0)
                .http_status_as_error(false)
                .build()
                .into();
            agent.get(&chosen).call().unwrap();
            let mut cookies = std::collections::BTreeMap::new();
            let mut at = url;
            for _ in 0..10 {
                let pairs: Vec<String> = cookies
                    .iter()
                    .map(|(k, v): (&String, &String)| format!("{k}={v}"))
                    .collect();
                let answer = agent
                    .get(&at)
                    .header("cookie", pairs.join("; "))
                    .call()
                    .unwrap();
                for set in answer.headers().get_all("set-cookie") {
                    let (pair, _) = set.to_str().unwrap().split_once(';').unwrap();
                    let (name, value) = pair.split_once('=').unwrap();
                    cookies.insert(name.to_owned(), value.to_owned());
                }
                let to = answer.headers()["location"].to_str().unwrap().to_owned();
                if let Some(path) = to.strip_prefix("http://127.0.0.1:1/") {
                    return format!("/{path}");
                }
                at = if to.starts_with('/') {
                    format!("{issuer}{to}")
                } else {
                    to
                };
            }
            panic!("the provider goes round in circles");
        })
        .await
        .unwrap()
    }
}

/// Begins in a browser and comes back from the provider as `account`; the path of its answer.
async fn away(provider: &Provider, browser: &mut Browser, next: &str, account: &str) -> String {
    let page = browser.get(&format!("/oidc/start?next={next}")).await;
    assert_eq!(page.status, 303, "{}", page.text);
    provider.visit(page.location(), account).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_somebody_is_at_the_provider_decides() {
    let mut catalog = Catalog::new().await;
    let provider = Provider::start();
    catalog.app.single_sign_on = Some(Arc::new(provider.settings()));
    let org = catalog.caller.org_id;

    // Nobody knows her: no invitation, no way in.
    let mut ada = Browser::new(&catalog.app);
    assert!(ada.get("/sign-in").await.text.contains("Sign in with Acme"));
    let back = away(&provider, &mut ada, "/tasks", "ada").await;
    let page = ada.get(&back).await;
    assert_eq!(page.status, 403, "{}", page.text);
    assert!(problem(&page).contains("not invited"), "{}", page.text);

    // Invited, she is let in and known from then on.
    let invite = |email: &'static str| {
        crate::people::invitations::invite(
            &catalog.app,
            &catalog.caller,
            email,
            crate::auth::Role::Member,
        )
    };
    let link = invite("ada@example.com").await.unwrap();
    let path = link.strip_prefix("http://127.0.0.1:1").unwrap();
    let back = away(&provider, &mut ada, path, "ada").await;
    assert_eq!(ada.get(&back).await.status, 303);
    assert_eq!(ada.get("/").await.location(), "/hosts");
    let mut again = Browser::new(&catalog.app);
    let back = away(&provider, &mut again, "/tasks", "ada").await;
    let page = again.get(&back).await;
    assert_eq!((page.status.as_u16(), page.location()), (303, "/tasks"));

    // An address that the provider does not vouch for is nobody's.
    let link = invite("unsure@example.com").await.unwrap();
    let path = link.strip_prefix("http://127.0.0.1:1").unwrap();
    let mut unsure = Browser::new(&catalog.app);
    let back = away(&provider, &mut unsure, path, "unsure").await;
    let page = unsure.get(&back).await;
    assert!(problem(&page).contains("verified"), "{}", page.text);

    // An account with a password is not opened by an email, only linked by its owner.
    let bob = add_person(&catalog.app, org, "bob@example.com", "member").await;
    let mut thief = Browser::new(&catalog.app);
    let back = away(&provider, &mut thief, "/", "bob").await;
    let page = thief.get(&back).await;
    assert_eq!(page.status, 409, "{}", page.text);
    assert_eq!(thief.get("/").await.location(), "/sign-in");
    let mut owner = Browser::signed_in(&catalog.app, bob, org).await;
    let page = owner.post("/oidc/link", &[]).await;
    let (_, url) = page
        .text
        .split_once("<a class=\"button main\" href=\"")
        .unwrap();
    let url = url.split('"').next().unwrap().replace("&amp;", "&");
    let back = provider.visit(&url, "bob").await;
    assert_eq!(owner.get(&back).await.location(), "/settings/profile");
    let back = away(&provider, &mut thief, "/runs", "bob").await;
    assert_eq!(
        thief.get(&back).await.location(),
        "/runs",
        "it is his after all"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_sign_in_or_provider_is_refused() {
    let mut catalog = Catalog::new().await;
    let provider = Provider::start();
    let mut settings = provider.settings();
    settings.auto_join_domains = vec!["Example.com".into()];
    catalog.app.single_sign_on = Some(Arc::new(settings.clone()));
    let (mut ada, mut victim) = (Browser::new(&catalog.app), Browser::new(&catalog.app));
    let adas = away(&provider, &mut ada, "/", "ada").await;
    // Another browser's state; one that began nothing; one that began its own.
    assert_eq!(victim.get(&adas).await.status, 403);
    let _own = away(&provider, &mut victim, "/", "bob").await;
    assert_eq!(victim.get(&adas).await.status, 403);
    // A code that was issued for another browser's nonce and challenge, with this browser's state.
    let own = away(&provider, &mut victim, "/", "bob").await;
    let value = |path: &str, name: &str| {
        let query = path.split_once('?').unwrap().1.to_owned();
        let mut pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        pairs.find(|(found, _)| found == name).unwrap().1
    };
    let mixed = format!(
        "/oidc/callback?code={}&state={}",
        value(&adas, "code"),
        value(&own, "state")
    );
    let page = victim.get(&mixed).await;
    assert_eq!(page.status, 503, "{}", page.text);
    assert!(!victim.cookies.contains_key("__Host-hostler"));
    // An answer that says it is another provider's (RFC 9207).
    let own = away(&provider, &mut victim, "/", "bob").await;
    let (front, _) = own.split_once("&iss=").unwrap();
    let page = victim
        .get(&format!("{front}&iss=https%3A%2F%2Fevil.example"))
        .await;
    assert_eq!(page.status, 403);
    let own = away(&provider, &mut victim, "/", "bob").await;
    assert_eq!(victim.get(&own).await.status, 303, "the domain lets him in");
    assert_eq!(victim.get("/").await.location(), "/hosts");
    assert_eq!(
        victim.get(&own).await.status,
        403,
        "an answer is for one time"
    );
    // A provider that calls itself something else than what was configured.
    let wrong = SingleSignOn {
        issuer: settings.issuer.replace("127.0.0.1", "localhost"),
        ..settings
    };
    catalog.app.single_sign_on = Some(Arc::new(wrong));
    let page = Browser::new(&catalog.app).get("/oidc/start").await;
    assert_eq!(page.status, 503, "{}", page.text);
}
