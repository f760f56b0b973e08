//! What was so when a page was shown or a link was made, and is not any more when it is used.

use super::*;
use crate::tests::add_org;

#[tokio::test]
async fn a_form_of_another_organization_does_nothing_in_this_one() {
    let catalog = Catalog::new().await;
    let first = catalog.caller.org_id;
    let mut tab = owner(&catalog).await;
    tab.get("/settings/members").await;
    // Another tab of the same browser goes to another organization meanwhile.
    let mut other = tab.clone();
    let made = other.post("/organizations", &[("name", "Second")]).await;
    assert_eq!(made.status, 303);
    let invite = [("email", "bea@example.com"), ("role", "admin")];
    for (path, fields) in [
        ("/settings/members/invite", invite.as_slice()),
        ("/settings/organization", &[("name", "Renamed")]),
        ("/settings/keys", &[("name", "Key")]),
        ("/oauth/authorize", &[("decision", "allow")]),
    ] {
        let page = tab.post(path, fields).await;
        assert_eq!(page.status, 409, "{path}: {}", page.text);
        assert!(page.text.contains("Second") && page.text.contains("Acme"));
    }
    let mine = store::sessions::memberships(&catalog.app.store, catalog.caller.user_id).await;
    let names: Vec<String> = mine.unwrap().into_iter().map(|org| org.name).collect();
    assert_eq!(names, ["Acme", "Second"]);
    // What is missing there may be in the other one; whether it is, is not told.
    let page = other.get(&format!("/settings/members/{first}")).await;
    assert!(
        page.text.contains("You work in Second now"),
        "{}",
        page.text
    );
    // A made-up token is no form of any of them.
    let mut forged = tab.clone();
    forged.csrf = "0".repeat(64);
    assert_eq!(
        forged
            .post("/settings/members/invite", &invite)
            .await
            .status,
        403
    );
    // Going back, and signing out, works from a page of either.
    let back = format!("/organizations/{first}/choose");
    assert_eq!(tab.post(&back, &[]).await.status, 303);
    let page = tab.post("/settings/members/invite", &invite).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert_eq!(other.post("/sign-out", &[]).await.status, 303);
}

#[tokio::test]
async fn an_owner_who_was_demoted_makes_no_owner_by_an_earlier_link() {
    let catalog = Catalog::new().await;
    let mut boss = owner(&catalog).await;
    let (ada, mut ada_browser) = person(&catalog, "ada@example.com", "owner").await;
    let link = invitation(&mut ada_browser, "accomplice@example.com", "owner").await;
    let path = format!("/settings/members/{ada}/role");
    assert_eq!(boss.post(&path, &[("role", "admin")]).await.status, 303);
    assert_eq!(Browser::new(&catalog.app).get(&link).await.status, 404);
}

#[tokio::test]
async fn a_recovery_link_ends_when_its_maker_could_not_make_it_any_more() {
    let catalog = Catalog::new().await;
    let (mem, _) = person(&catalog, "mem@example.com", "member").await;
    let (_, mut admin) = person(&catalog, "adm@example.com", "admin").await;
    let other = add_org(&catalog.app, 2).await;
    let link = shown_link(
        &admin
            .post(&format!("/settings/members/{mem}/recover"), &[])
            .await,
    );
    let mut thief = Browser::new(&catalog.app);
    thief.get(&link).await;
    // Meanwhile their victim joined an organization that is none of the admin's.
    let mut tx = catalog.app.store.begin().await.unwrap();
    store::members::insert_member(&mut tx, other.org_id, mem, "member", clock::wall())
        .await
        .unwrap();
    catalog.app.store.commit(tx).await.unwrap();
    let page = thief
        .post(&link, &[("password", "another good secret")])
        .await;
    assert_eq!(page.status, 404, "{}", page.text);
    assert!(
        page.text.contains("may not let you in any more"),
        "{}",
        page.text
    );
    assert_eq!(thief.get("/").await.location(), "/sign-in");
}

#[tokio::test]
async fn a_server_that_was_recovered_is_not_set_up_by_an_earlier_link() {
    let catalog = Catalog::new().await;
    let setup = crate::people::setup::link(&catalog.app.store, "").await;
    let setup = setup.unwrap().unwrap();
    let recovery = link_for_owner(&catalog, LinkKind::Recovery, 60_000).await;
    let mut browser = Browser::new(&catalog.app);
    browser.get(&recovery).await;
    let fields = [("password", PASSWORD)];
    assert_eq!(browser.post(&recovery, &fields).await.status, 303);
    assert_eq!(Browser::new(&catalog.app).get(&setup).await.status, 404);
}
