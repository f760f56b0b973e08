//! The first start's link.

use super::*;

const SAID: [(&str, &str); 4] = [
    ("organization", "Acme"),
    ("name", "Ada Lovelace"),
    ("email", "ada@example.com"),
    ("password", PASSWORD),
];

async fn fresh_link(app: &App) -> String {
    let link = crate::people::setup::link(&app.store, "").await;
    link.unwrap().unwrap()
}

#[tokio::test]
async fn whoever_has_the_link_becomes_the_owner_once() {
    let catalog = Catalog::new().await;
    let link = fresh_link(&catalog.app).await;
    assert!(link.starts_with("/setup/ln_"), "{link}");
    let mut browser = Browser::new(&catalog.app);
    for _ in 0..3 {
        let page = browser.get(&link).await;
        assert_eq!(page.status, 200, "looking does not use it up");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
    }
    let done = browser.post(&link, &SAID).await;
    assert_eq!(
        (done.status.as_u16(), done.location()),
        (303, "/"),
        "{}",
        done.text
    );
    assert!(browser.cookies.contains_key("__Host-hostler"));
    let (org, owner) = store::members::first_owner(&catalog.app.store)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(org, catalog.caller.org_id);
    assert_eq!(
        owner.user_id, catalog.caller.user_id,
        "the owner is the one there was"
    );
    assert_eq!(
        (owner.email.as_str(), owner.name.as_str()),
        ("ada@example.com", "Ada Lovelace")
    );
    assert_eq!(audited(&catalog.app, org).await, ["organization.set_up"]);
    let again = crate::people::setup::link(&catalog.app.store, "").await;
    assert_eq!(again.unwrap(), None, "nothing is left to be set up");

    let mut other = Browser::new(&catalog.app);
    let page = other.get(&link).await;
    assert_eq!(page.status, 404);
    assert!(problem(&page).contains("used already"), "{}", page.text);
    other.get("/sign-in").await;
    assert_eq!(other.post(&link, &SAID).await.status, 404);
}

#[tokio::test]
async fn a_fresh_link_ends_the_one_before() {
    let catalog = Catalog::new().await;
    let first = fresh_link(&catalog.app).await;
    let second = fresh_link(&catalog.app).await;
    let mut browser = Browser::new(&catalog.app);
    assert_eq!(browser.get(&first).await.status, 404);
    assert_eq!(browser.get(&second).await.status, 200);
}

#[tokio::test]
async fn of_two_at_once_one_gets_in() {
    let catalog = Catalog::new().await;
    let link = fresh_link(&catalog.app).await;
    let mut one = Browser::new(&catalog.app);
    one.get(&link).await;
    let mut two = Browser::new(&catalog.app);
    two.get(&link).await;
    let (one, two) = tokio::join!(one.post(&link, &SAID), two.post(&link, &SAID));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 404]);
}

#[tokio::test]
async fn expired_broken_and_other_links_open_nothing() {
    let catalog = Catalog::new().await;
    let mut browser = Browser::new(&catalog.app);
    browser.get("/sign-in").await;
    let expired = link_for_owner(&catalog, LinkKind::Setup, 0).await;
    let recovery = link_for_owner(&catalog, LinkKind::Recovery, 60_000).await;
    let as_setup = recovery.replace("/recover/", "/setup/");
    let session = Secret::mint(crate::auth::SecretKind::Session, &[7; 32]);
    let never = Secret::mint(crate::auth::SecretKind::Link, &[7; 32]);
    for bad in [
        expired,
        as_setup,
        format!("/setup/{}", session.expose()),
        format!("/setup/{}", never.expose()),
        "/setup/x".to_owned(),
        "/setup/ln_%00".to_owned(),
    ] {
        let page = browser.get(&bad).await;
        assert_eq!(page.status, 404, "{bad}");
        assert_eq!(page.header("referrer-policy"), "no-referrer", "{bad}");
        browser.get("/sign-in").await;
        assert_eq!(browser.post(&bad, &SAID).await.status, 404, "{bad}");
    }
    let owner = store::members::first_owner(&catalog.app.store).await;
    assert_eq!(owner.unwrap().unwrap().1.email, "owner1@example.com");
}

#[tokio::test]
async fn a_mistake_keeps_the_link_and_what_was_typed() {
    let catalog = Catalog::new().await;
    let link = fresh_link(&catalog.app).await;
    let mut browser = Browser::new(&catalog.app);
    browser.get(&link).await;
    for (field, value, words) in [
        ("password", "too short", "at least 12 characters"),
        (
            "password",
            "passwordpassword1",
            "first that somebody would try",
        ),
        ("email", "nonsense", "not an email address"),
        ("organization", " ", "s name has 1 to 100"),
    ] {
        let mut said = SAID;
        said.iter_mut()
            .filter(|(name, _)| *name == field)
            .for_each(|said| said.1 = value);
        let page = browser.post(&link, &said).await;
        assert_eq!(page.status, 400, "{field}");
        let problem = problem(&page);
        assert!(problem.contains(words), "{problem}");
        assert!(page.text.contains("Ada Lovelace"), "{}", page.text);
        assert!(
            !page.text.contains(value) || field != "password",
            "a password is not sent back"
        );
    }
    assert_eq!(browser.post(&link, &SAID).await.status, 303);
}

#[tokio::test]
async fn links_cannot_be_tried_without_end() {
    let catalog = Catalog::new().await;
    let mut browser = Browser::new(&catalog.app);
    let mut last = browser.get("/setup/ln_0").await;
    for number in 1..40 {
        last = browser.get(&format!("/setup/ln_{number}")).await;
    }
    assert_eq!(last.status, 429);
    assert!(last.header("retry-after").parse::<u64>().unwrap() >= 1);
}
