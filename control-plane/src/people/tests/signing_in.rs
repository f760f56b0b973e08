//! Email and password.

use axum::http::StatusCode;

use super::*;
use crate::limits::{Bucket, Limits, Rate, Rates};

/// A catalog whose organization has Ada, who has a password.
async fn with_ada() -> Catalog {
    let catalog = Catalog::new().await;
    add_person(
        &catalog.app,
        catalog.caller.org_id,
        "Ada@example.com",
        "member",
    )
    .await;
    catalog
}

async fn sign_in(browser: &mut Browser, email: &str, password: &str, next: &str) -> Page {
    browser.get("/sign-in").await;
    let fields = [("email", email), ("password", password), ("next", next)];
    browser.post("/sign-in", &fields).await
}

#[tokio::test]
async fn who_is_not_signed_in_is_read_by_the_kilobyte() {
    let catalog = with_ada().await;
    let mut browser = Browser::new(&catalog.app);
    let page = sign_in(&mut browser, "ada@example.com", &"a".repeat(33 << 10), "/").await;
    assert_eq!(page.status, StatusCode::PAYLOAD_TOO_LARGE);
    // An address as long as one can be is still come back to, however it is escaped.
    let next = format!("/tasks?search={}", "%25".repeat((8 << 10) / 3 - 10));
    let page = sign_in(&mut browser, "ada@example.com", PASSWORD, &next).await;
    assert_eq!(
        (page.status.as_u16(), page.location()),
        (303, next.as_str())
    );
}

#[tokio::test]
async fn a_person_signs_in_and_out() {
    let catalog = with_ada().await;
    let mut browser = Browser::new(&catalog.app);
    let away = browser.get("/").await;
    assert_eq!((away.status.as_u16(), away.location()), (303, "/sign-in"));
    let page = sign_in(
        &mut browser,
        " ada@EXAMPLE.com",
        PASSWORD,
        "/tasks?view=board",
    )
    .await;
    assert_eq!(
        (page.status.as_u16(), page.location()),
        (303, "/tasks?view=board")
    );
    let set: Vec<_> = page.headers.get_all("set-cookie").iter().collect();
    let set = set
        .iter()
        .map(|set| set.to_str().unwrap())
        .find(|set| set.starts_with("__Host-hostler="));
    let set = set.unwrap();
    for attribute in [
        "; Path=/;",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Lax",
        "; Max-Age=",
    ] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.to_lowercase().contains("domain"), "{set}");
    assert_eq!(browser.get("/").await.location(), "/hosts");
    assert_eq!(browser.get("/sign-in?next=/runs").await.location(), "/runs");

    let mut kept = browser.clone();
    let visitor =
        Browser::signed_in(&catalog.app, catalog.caller.user_id, catalog.caller.org_id).await;
    browser.csrf = visitor.csrf;
    assert_eq!(
        browser.post("/sign-out", &[]).await.status,
        403,
        "another's token"
    );
    assert_eq!(browser.get("/").await.location(), "/hosts");
    let cookie = format!("__Host-hostler={}", browser.cookies["__Host-hostler"]);
    browser.csrf = csrf(&catalog, &cookie).await;
    assert_eq!(browser.post("/sign-out", &[]).await.location(), "/sign-in");
    assert!(!browser.cookies.contains_key("__Host-hostler"));
    assert_eq!(
        kept.get("/").await.location(),
        "/sign-in",
        "the session itself has ended"
    );
    assert_eq!(
        audited(&catalog.app, catalog.caller.org_id).await,
        ["member.sign_in"]
    );
}

async fn csrf(catalog: &Catalog, cookie: &str) -> String {
    let mut headers = axum::http::HeaderMap::new();
    headers.insert("cookie", cookie.parse().unwrap());
    let peer = crate::edge::Peer::default();
    let visitor = crate::auth::session::visitor(&catalog.app, &headers, peer).await;
    visitor.unwrap().unwrap().csrf
}

#[tokio::test]
async fn whether_an_account_exists_shows_neither_in_words_nor_in_work() {
    let catalog = with_ada().await;
    let mut answers = Vec::new();
    // An account with another password, none at all, and one without a password.
    for email in ["ada@example.com", "eve@example.com", "owner1@example.com"] {
        let mut browser = Browser::new(&catalog.app);
        let before = catalog.app.passwords.done();
        let page = sign_in(&mut browser, email, "not this one at all", "/").await;
        assert_eq!(catalog.app.passwords.done() - before, 1, "{email}");
        assert_eq!(page.status, 403);
        assert!(!browser.cookies.contains_key("__Host-hostler"));
        answers.push(problem(&page).to_owned());
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    assert!(!answers[0].is_empty());
}

#[tokio::test]
async fn tries_are_limited_for_each_account_and_each_address() {
    let mut catalog = with_ada().await;
    let slow = |burst| Rate {
        burst,
        every_us: 600_000_000,
    };
    let rates = Rates::default()
        .with(Bucket::SignInAccount, slow(3))
        .with(Bucket::SignInAddress, slow(6));
    catalog.app.limits = std::sync::Arc::new(Limits::new(rates));
    let mut browser = Browser::new(&catalog.app);
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(
            sign_in(&mut browser, "ada@example.com", "wrong wrong wrong", "/")
                .await
                .status,
        );
    }
    statuses.push(
        sign_in(&mut browser, "ada@example.com", PASSWORD, "/")
            .await
            .status,
    );
    assert_eq!(
        statuses,
        [
            StatusCode::FORBIDDEN,
            StatusCode::FORBIDDEN,
            StatusCode::SEE_OTHER
        ],
        "the third is right"
    );
    let mut browser = Browser::new(&catalog.app);
    for _ in 0..3 {
        let work = catalog.app.passwords.done();
        let page = sign_in(&mut browser, "ADA@example.com", "wrong wrong wrong", "/").await;
        assert_eq!(
            (page.status.as_u16(), catalog.app.passwords.done()),
            (403, work + 1)
        );
    }
    let work = catalog.app.passwords.done();
    let page = sign_in(&mut browser, "eve@example.com", PASSWORD, "/").await;
    assert_eq!(page.status, 429, "the address is out of tries");
    assert!(page.header("retry-after").parse::<u64>().unwrap() > 60);
    assert_eq!(
        catalog.app.passwords.done(),
        work,
        "nothing is hashed for it"
    );
}

#[tokio::test]
async fn an_account_is_closed_to_guessing_from_many_addresses() {
    let mut catalog = with_ada().await;
    let rates = Rates::default().with(
        Bucket::SignInAccount,
        Rate {
            burst: 2,
            every_us: 600_000_000,
        },
    );
    catalog.app.limits = std::sync::Arc::new(Limits::new(rates));
    for _ in 0..2 {
        let page = sign_in(
            &mut Browser::new(&catalog.app),
            "ada@example.com",
            "wrong wrong wrong",
            "/",
        )
        .await;
        assert_eq!(page.status, 403);
    }
    let page = sign_in(
        &mut Browser::new(&catalog.app),
        "ada@example.com",
        PASSWORD,
        "/",
    )
    .await;
    assert_eq!(page.status, 429);
    // What does not exist is limited in the same way, or the limit would tell.
    for expected in [403, 403, 429] {
        let page = sign_in(
            &mut Browser::new(&catalog.app),
            "eve@example.com",
            "wrong wrong wrong",
            "/",
        )
        .await;
        assert_eq!(page.status, expected);
    }
}

#[tokio::test]
async fn a_guesser_keeps_nobody_out_of_a_browser_they_signed_in_with_before() {
    let mut catalog = with_ada().await;
    let slow = |burst| Rate {
        burst,
        every_us: 600_000_000,
    };
    let mut hers = Browser::new(&catalog.app);
    let page = sign_in(&mut hers, "ada@example.com", PASSWORD, "/").await;
    assert_eq!(page.status, 303);
    hers.cookies.remove("__Host-hostler");
    let rates = Rates::default()
        .with(Bucket::SignInAccount, slow(2))
        .with(Bucket::SignInBrowser, slow(3))
        .with(Bucket::SignInAddress, slow(4));
    let limits = std::sync::Arc::new(Limits::new(rates));
    catalog.app.limits = limits.clone();
    let mut hers = hers.of(&catalog.app);
    // A guesser uses up what the account and the address have.
    let mut guesser = Browser::new(&catalog.app);
    for (email, expected) in [
        ("ada", 403),
        ("ADA", 403),
        ("ada", 429),
        ("eve", 403),
        ("eve", 429),
    ] {
        let email = format!("{email}@example.com");
        let page = sign_in(&mut guesser, &email, "wrong wrong wrong", "/").await;
        assert_eq!(page.status.as_u16(), expected, "{email}");
    }
    let page = sign_in(&mut guesser, "ada@example.com", PASSWORD, "/").await;
    assert_eq!(page.status, 429, "the right one is not tried either");
    assert!(
        page.text.contains("signed in to the account before"),
        "{}",
        page.text
    );
    // She is let in at once, also after a slip of the hand; and that helps the guesser nothing.
    for (password, expected) in [("a slip of the hand", 403), (PASSWORD, 303)] {
        let page = sign_in(&mut hers, "ada@example.com", password, "/").await;
        assert_eq!(page.status.as_u16(), expected, "{}", page.text);
        hers.cookies.remove("__Host-hostler");
    }
    let page = sign_in(&mut guesser, "ada@example.com", "wrong wrong wrong", "/").await;
    assert_eq!(page.status, 429);
    // Her browser guesses no faster, and is unknown to every other account.
    for expected in [403, 403, 403, 429] {
        let page = sign_in(&mut hers, "ada@example.com", "wrong wrong wrong", "/").await;
        assert_eq!(page.status.as_u16(), expected);
    }
    let page = sign_in(&mut hers, "eve@example.com", "wrong wrong wrong", "/").await;
    assert_eq!(page.status, 429, "the address is still out of tries");
}

#[tokio::test]
async fn a_new_password_makes_every_other_browser_a_stranger() {
    let mut catalog = with_ada().await;
    let mut here = Browser::new(&catalog.app);
    let mut there = Browser::new(&catalog.app);
    for browser in [&mut here, &mut there] {
        assert_eq!(
            sign_in(browser, "ada@example.com", PASSWORD, "/")
                .await
                .status,
            303
        );
    }
    here.get("/settings/profile").await;
    let new = [("current", PASSWORD), ("password", "another good secret")];
    assert_eq!(
        here.post("/settings/profile/password", &new).await.status,
        303
    );
    let shut = Rate {
        burst: 1,
        every_us: 600_000_000,
    };
    let rates = Rates::default().with(Bucket::SignInAccount, shut);
    catalog.app.limits = std::sync::Arc::new(Limits::new(rates));
    for (browser, last) in [(here, 403), (there, 429)] {
        let mut browser = browser.of(&catalog.app);
        browser.cookies.remove("__Host-hostler");
        sign_in(&mut browser, "ada@example.com", "wrong wrong wrong", "/").await;
        let page = sign_in(&mut browser, "ada@example.com", "wrong wrong wrong", "/").await;
        assert_eq!(page.status.as_u16(), last);
    }
}

#[tokio::test]
async fn nobody_signs_in_with_a_session_that_another_chose() {
    let catalog = with_ada().await;
    let mut attacker =
        Browser::signed_in(&catalog.app, catalog.caller.user_id, catalog.caller.org_id).await;
    let planted = attacker.cookies["__Host-hostler"].clone();
    let made_up = Secret::mint(crate::auth::SecretKind::Session, &[3; 32]);
    for planted in [planted.as_str(), made_up.expose()] {
        let mut victim = Browser::new(&catalog.app);
        victim.get("/sign-in").await;
        victim
            .cookies
            .insert("__Host-hostler".into(), planted.into());
        let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
        assert_eq!(victim.post("/sign-in", &fields).await.status, 303);
        assert_ne!(victim.cookies["__Host-hostler"], planted);
        attacker
            .cookies
            .insert("__Host-hostler".into(), planted.into());
        assert_eq!(
            attacker.get("/").await.location(),
            "/sign-in",
            "what was planted opens nothing"
        );
    }
}

#[tokio::test]
async fn a_sign_in_form_from_elsewhere_is_refused() {
    let catalog = with_ada().await;
    let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
    let mut ours = Browser::new(&catalog.app);
    ours.get("/sign-in").await;
    let mut without_cookie = ours.clone();
    without_cookie.cookies.clear();
    assert_eq!(without_cookie.post("/sign-in", &fields).await.status, 403);
    let mut without_field = ours.clone();
    assert_eq!(
        without_field.post_only("/sign-in", &fields).await.status,
        403
    );
    let mut anothers = Browser::new(&catalog.app);
    anothers.get("/sign-in").await;
    anothers.csrf.clone_from(&ours.csrf);
    assert_eq!(
        anothers.post("/sign-in", &fields).await.status,
        403,
        "another browser's token"
    );
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "http://127.0.0.1:4881"),
    ] {
        let mut browser = ours.clone();
        browser.headers.push((name, value.to_owned()));
        let page = browser.post("/sign-in", &fields).await;
        assert_eq!(page.status, 403, "{name}: {value}");
        assert!(!browser.cookies.contains_key("__Host-hostler"));
    }
    for (name, value) in [
        ("sec-fetch-site", "same-origin"),
        ("origin", "http://127.0.0.1:4880"),
        ("origin", "null"),
    ] {
        let mut browser = ours.clone();
        browser.headers.push((name, value.to_owned()));
        let page = browser.post("/sign-in", &fields).await;
        assert_eq!(page.status, 303, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_link_cannot_send_the_signed_in_elsewhere() {
    let catalog = with_ada().await;
    for next in [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/\t/evil.example",
    ] {
        let mut browser = Browser::new(&catalog.app);
        let page = sign_in(&mut browser, "ada@example.com", PASSWORD, next).await;
        assert_eq!(page.location(), "/", "{next:?}");
        let encoded: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let page = browser.get(&format!("/sign-in?next={encoded}")).await;
        assert_eq!(page.location(), "/", "{next:?}");
    }
}

#[tokio::test]
async fn a_password_hashed_in_an_older_way_is_hashed_anew() {
    use argon2::PasswordHasher as _;
    let catalog = with_ada().await;
    let store = &catalog.app.store;
    let old = argon2::Argon2::from(argon2::Params::new(8 * 1024, 1, 1, None).unwrap());
    let old = old
        .hash_password_with_salt(PASSWORD.as_bytes(), &[1; 16])
        .unwrap()
        .to_string();
    let account = store::passwords::by_email(store, "ada@example.com")
        .await
        .unwrap()
        .unwrap();
    let mut tx = store.begin().await.unwrap();
    store::passwords::set(&mut tx, account.user_id, &old, clock::wall())
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    for _ in 0..2 {
        let page = sign_in(
            &mut Browser::new(&catalog.app),
            "ada@example.com",
            PASSWORD,
            "/",
        )
        .await;
        assert_eq!(page.status, 303);
    }
    let account = store::passwords::by_email(store, "ada@example.com")
        .await
        .unwrap()
        .unwrap();
    assert!(account.phc.unwrap().contains("m=19456,t=2,p=1"));
}

#[tokio::test]
async fn safari_on_its_own_machine_keeps_a_session() {
    let catalog = with_ada().await;
    let mut safari = Browser::new(&catalog.app);
    let agent = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605.1.15";
    safari.headers.push(("user-agent", agent.to_owned()));
    let page = sign_in(&mut safari, "ada@example.com", PASSWORD, "/").await;
    assert_eq!(page.status, 303);
    let names: Vec<&str> = safari.cookies.keys().map(String::as_str).collect();
    assert_eq!(names, ["hostler", "hostler-form"]);
    assert_eq!(safari.get("/").await.location(), "/hosts");
    safari.headers[0].1 = "hostler.example.com".to_owned();
    assert_eq!(safari.get("/").await.location(), "/sign-in", "nowhere else");
}
