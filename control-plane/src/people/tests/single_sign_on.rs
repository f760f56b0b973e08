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
            emails_are_verified: false,
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

/// The same from a form whose answer leads to the provider.
async fn sent(provider: &Provider, page: &Page, account: &str) -> String {
    assert_eq!(page.status, 200, "{}", page.text);
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let (_, url) = page.header("refresh").split_once("0; url=").unwrap();
    assert!(
        page.text.contains(&url.replace('&', "&amp;")),
        "for others too"
    );
    provider.visit(url, account).await
}

/// The same from the page behind an invitation.
async fn join(provider: &Provider, browser: &mut Browser, link: &str, account: &str) -> String {
    browser.get(link).await;
    let page = browser.post(link, &[("with", "provider")]).await;
    sent(provider, &page, account).await
}

/// A catalog with the provider, and its owner's browser.
async fn with(provider: &Provider) -> (Catalog, Browser) {
    let mut catalog = Catalog::new().await;
    catalog.app.single_sign_on = Some(Arc::new(provider.settings()));
    let boss = owner(&catalog).await;
    (catalog, boss)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invited_person_joins_through_the_provider() {
    let provider = Provider::start();
    let (catalog, mut boss) = with(&provider).await;

    // Nobody knows her: no invitation, no way in.
    let mut ada = Browser::new(&catalog.app);
    assert!(ada.get("/sign-in").await.text.contains("Sign in with Acme"));
    let back = away(&provider, &mut ada, "/tasks", "ada").await;
    let page = ada.get(&back).await;
    assert_eq!(page.status, 403, "{}", page.text);
    assert!(problem(&page).contains("not invited"), "{}", page.text);

    // Invited, she is let in and known from then on.
    let link = invitation(&mut boss, "ADA@example.com", "admin").await;
    assert!(ada.get(&link).await.text.contains("Join with Acme"));
    let wrong = join(&provider, &mut ada, &link, "bob").await;
    let page = ada.get(&wrong).await;
    assert_eq!(page.status, 403, "{}", page.text);
    assert!(problem(&page).contains("bob@example.com"), "{}", page.text);
    let back = join(&provider, &mut ada, &link, "ada").await;
    assert!(!back.contains("ln_"), "{back}");
    assert_eq!(ada.get(&back).await.location(), "/");
    assert_eq!(ada.get("/").await.location(), "/hosts");
    assert_eq!(Browser::new(&catalog.app).get(&link).await.status, 404);
    let members = store::members::list(&catalog.app.store, catalog.caller.org_id).await;
    let members = members.unwrap();
    let she = members
        .iter()
        .find(|member| member.email == "ada@example.com");
    let she = she.unwrap();
    assert_eq!(
        (she.name.as_str(), she.role.as_str()),
        ("Person ada", "admin")
    );
    let mut again = Browser::new(&catalog.app);
    let back = away(&provider, &mut again, "/tasks", "ada").await;
    let page = again.get(&back).await;
    assert_eq!((page.status.as_u16(), page.location()), (303, "/tasks"));
    let audit = audited(&catalog.app, catalog.caller.org_id).await;
    assert_eq!(audit, ["member.invite", "member.join", "member.sign_in"]);

    // An address that the provider does not vouch for is nobody's.
    let link = invitation(&mut boss, "unsure@example.com", "member").await;
    let mut unsure = Browser::new(&catalog.app);
    let back = join(&provider, &mut unsure, &link, "unsure").await;
    let page = unsure.get(&back).await;
    assert!(problem(&page).contains("verified"), "{}", page.text);

    // Removed, she does not come back by herself: not by her identity, nor by her domain.
    let path = format!("/settings/members/{}/remove", she.user_id);
    assert_eq!(boss.post(&path, &[]).await.status, 303);
    let mut catalog = catalog;
    let mut settings = provider.settings();
    settings.auto_join_domains = vec!["example.com".into()];
    catalog.app.single_sign_on = Some(Arc::new(settings));
    let mut ada = Browser::new(&catalog.app);
    let back = away(&provider, &mut ada, "/", "ada").await;
    let page = ada.get(&back).await;
    assert!(
        problem(&page).contains("no organization any more"),
        "{}",
        page.text
    );
    // Invited again, she comes with the account she had.
    let link = invitation(&mut boss, "ada@example.com", "member").await;
    let back = join(&provider, &mut ada, &link, "ada").await;
    assert_eq!(ada.get(&back).await.location(), "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_owner_may_come_through_the_provider() {
    let provider = Provider::start();
    let (catalog, _) = with(&provider).await;
    let link = crate::people::setup::link(&catalog.app.store, "").await;
    let link = link.unwrap().unwrap();
    let mut ada = Browser::new(&catalog.app);
    assert!(ada.get(&link).await.text.contains("Set up with Acme"));
    let nameless = [("with", "provider"), ("organization", " ")];
    let page = ada.post(&link, &nameless).await;
    assert_eq!(page.status, 400, "said before the way, not after");
    let fields = [("with", "provider"), ("organization", "Löwe & Co.")];
    let page = ada.post(&link, &fields).await;
    let back = sent(&provider, &page, "ada").await;
    assert_eq!(ada.get(&back).await.location(), "/");
    let (org, owner) = store::members::first_owner(&catalog.app.store)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(owner.email, "ada@example.com");
    let mine = store::sessions::memberships(&catalog.app.store, owner.user_id).await;
    assert_eq!(mine.unwrap()[0].name, "Löwe & Co.");
    assert_eq!(audited(&catalog.app, org).await, ["organization.set_up"]);
    assert_eq!(Browser::new(&catalog.app).get(&link).await.status, 404);
    let again = crate::people::setup::link(&catalog.app.store, "").await;
    assert_eq!(again.unwrap(), None, "nothing is left to be set up");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_linked_by_its_owner_and_never_the_last_way_in_unlinked() {
    let provider = Provider::start();
    let (catalog, _) = with(&provider).await;
    let (_, mut bob) = person(&catalog, "bob@example.com", "member").await;
    // An account with a password is not opened by an email.
    let mut thief = Browser::new(&catalog.app);
    let back = away(&provider, &mut thief, "/", "bob").await;
    let page = thief.get(&back).await;
    assert_eq!(page.status, 409, "{}", page.text);
    assert_eq!(thief.get("/").await.location(), "/sign-in");
    // A browser left open links nothing, not even with a cookie made by hand.
    let path = "/settings/profile/identities/link";
    for current in ["", "not his password"] {
        let page = bob.post(path, &[("current", current)]).await;
        assert_eq!(page.status, 403, "{}", page.text);
    }
    let mut forger = bob.clone();
    let page = forger.get("/settings/profile").await;
    assert!(page.text.contains("Link Acme"), "{}", page.text);
    let mut elsewhere = Browser::new(&catalog.app);
    let back = away(&provider, &mut elsewhere, "/", "eve").await;
    let kept = elsewhere.cookies["__Host-hostler-away"].replace("sign-in", "link");
    forger.cookies.insert("__Host-hostler-away".into(), kept);
    let page = forger.get(&back).await;
    assert_eq!(page.status, 403, "{}", page.text);

    let page = bob.post(path, &[("current", PASSWORD)]).await;
    let back = sent(&provider, &page, "bob").await;
    assert_eq!(bob.get(&back).await.location(), "/settings/profile");
    let back = away(&provider, &mut thief, "/runs", "bob").await;
    assert_eq!(
        thief.get(&back).await.location(),
        "/runs",
        "it is his after all"
    );
    let page = bob.get("/settings/profile").await;
    assert!(page.text.contains("bob@example.com</td>"), "{}", page.text);
    let (_, rest) = page
        .text
        .split_once("/settings/profile/identities/")
        .unwrap();
    let unlink = format!(
        "/settings/profile/identities/{}",
        rest.split('"').next().unwrap()
    );
    // It is nobody else's to unlink.
    let (_, mut eve) = person(&catalog, "eve@example.com", "owner").await;
    assert_eq!(eve.post(&unlink, &[]).await.status, 404);
    // Nor to be linked twice.
    let page = eve.post(path, &[("current", PASSWORD)]).await;
    let back = sent(&provider, &page, "bob").await;
    let page = eve.get(&back).await;
    assert_eq!(page.status, 409, "{}", page.text);
    assert_eq!(bob.post(&unlink, &[]).await.status, 303);
    let page = bob.get("/settings/profile").await;
    assert!(!page.text.contains("/unlink"), "{}", page.text);
    let audit = audited(&catalog.app, catalog.caller.org_id).await;
    for action in ["member.link_identity", "member.unlink_identity"] {
        assert_eq!(audit.iter().filter(|found| *found == action).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_without_a_password_keeps_the_provider_until_they_have_one() {
    let provider = Provider::start();
    let (catalog, mut boss) = with(&provider).await;
    let link = invitation(&mut boss, "ada@example.com", "member").await;
    let mut ada = Browser::new(&catalog.app);
    let back = join(&provider, &mut ada, &link, "ada").await;
    ada.get(&back).await;
    let page = ada.get("/settings/profile").await;
    let (_, rest) = page
        .text
        .split_once("/settings/profile/identities/")
        .unwrap();
    let unlink = format!(
        "/settings/profile/identities/{}",
        rest.split('"').next().unwrap()
    );
    let page = ada.post(&unlink, &[]).await;
    assert_eq!(page.status, 409, "{}", page.text);
    assert!(problem(&page).contains("only way"), "{}", page.text);
    let fields = [("password", "another good secret")];
    let page = ada.post("/settings/profile/password", &fields).await;
    assert_eq!(page.status, 303, "she has just signed in");
    ada.get("/settings/profile").await;
    assert_eq!(ada.post(&unlink, &[]).await.status, 303);
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
