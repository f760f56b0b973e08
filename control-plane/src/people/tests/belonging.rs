//! Members, invitations, organizations, profile and recovery, as browsers use and misuse them.

use uuid::Uuid;

use super::*;
use crate::auth::{Role, SecretKind, mint};
use crate::tests::{add_host, add_org, daily};

#[tokio::test]
async fn an_invited_person_makes_an_account_and_belongs() {
    let catalog = Catalog::new().await;
    let mut boss = owner(&catalog).await;
    let link = invitation(&mut boss, "bea@example.com", "admin").await;
    assert!(
        boss.get("/settings/members")
            .await
            .text
            .contains("bea@example.com")
    );
    assert!(
        !boss
            .get("/settings/members")
            .await
            .text
            .contains(&link[13..]),
        "shown once"
    );
    let mut bea = Browser::new(&catalog.app);
    let page = bea.get(&link).await;
    assert_eq!(
        (page.status.as_u16(), page.header("referrer-policy")),
        (200, "no-referrer")
    );
    let fields = [("name", "Bea"), ("password", PASSWORD)];
    let mut second = Browser::new(&catalog.app);
    second.get(&link).await;
    let (one, two) = tokio::join!(bea.post(&link, &fields), second.post(&link, &fields));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 404], "of two at once one gets in");
    let members = store::members::list(&catalog.app.store, catalog.caller.org_id)
        .await
        .unwrap();
    let bea = members
        .iter()
        .find(|member| member.email == "bea@example.com")
        .unwrap();
    assert_eq!((bea.name.as_str(), bea.role.as_str()), ("Bea", "admin"));
    let audit = audited(&catalog.app, catalog.caller.org_id).await;
    assert_eq!(audit, ["member.invite", "member.join"]);
}

#[tokio::test]
async fn somebody_with_an_account_joins_with_it_and_nobody_else_does() {
    let catalog = Catalog::new().await;
    let other = add_org(&catalog.app, 2).await;
    let bea = add_person(&catalog.app, other.org_id, "bea@example.com", "member").await;
    let mut boss = owner(&catalog).await;
    let link = invitation(&mut boss, "BEA@example.com", "member").await;
    let mut eve = Browser::signed_in(&catalog.app, other.user_id, other.org_id).await;
    let page = eve.get(&link).await;
    assert!(page.text.contains("for BEA@example.com"), "{}", page.text);
    eve.get("/invitations/x").await;
    let mut stranger = Browser::new(&catalog.app);
    stranger.get(&link).await;
    let page = stranger
        .post(&link, &[("name", "Eve"), ("password", "not her password")])
        .await;
    assert_eq!(
        page.status, 403,
        "an account is not taken over by its invitation"
    );
    let mut eve_at_the_form = eve.clone();
    eve_at_the_form.cookies.extend(stranger.cookies.clone());
    eve_at_the_form.csrf.clone_from(&stranger.csrf);
    assert_eq!(
        eve_at_the_form.post(&link, &[]).await.status,
        403,
        "another's invitation"
    );
    assert_eq!(
        role_of(&catalog.app, catalog.caller.org_id, other.user_id).await,
        None
    );
    let mut signed_in = Browser::signed_in(&catalog.app, bea, other.org_id).await;
    signed_in.get(&link).await;
    assert_eq!(signed_in.post(&link, &[]).await.status, 303);
    let role = role_of(&catalog.app, catalog.caller.org_id, bea).await;
    assert_eq!(role.as_deref(), Some("member"));
    let page = signed_in.get("/organizations").await;
    assert!(page.text.contains("Acme"), "{}", page.text);
}

#[tokio::test]
async fn an_invitation_taken_back_or_of_somebody_demoted_lets_nobody_in() {
    let catalog = Catalog::new().await;
    let mut boss = owner(&catalog).await;
    let (ada, mut ada_browser) = person(&catalog, "ada@example.com", "admin").await;
    let first = invitation(&mut boss, "bea@example.com", "member").await;
    let again = invitation(&mut boss, "bea@example.com", "member").await;
    let mut bea = Browser::new(&catalog.app);
    assert_eq!(
        bea.get(&first).await.status,
        404,
        "a second one ends the first"
    );
    let hers = invitation(&mut ada_browser, "cy@example.com", "member").await;
    let path = format!("/settings/members/{ada}/role");
    assert_eq!(boss.post(&path, &[("role", "member")]).await.status, 303);
    assert_eq!(bea.get(&hers).await.status, 404);
    let open = crate::people::invitations::open(&catalog.app, &catalog.caller)
        .await
        .unwrap();
    let path = format!("/settings/members/invitations/{}/revoke", open[0].id);
    assert_eq!(
        ada_browser.post(&path, &[]).await.status,
        403,
        "a member takes nothing back"
    );
    assert_eq!(boss.post(&path, &[]).await.status, 303);
    assert_eq!(bea.get(&again).await.status, 404);
}

#[tokio::test]
async fn no_form_gives_a_role_above_ones_own() {
    let catalog = Catalog::new().await;
    let (boss, org) = (catalog.caller.user_id, catalog.caller.org_id);
    let (member, mut member_browser) = person(&catalog, "mem@example.com", "member").await;
    let (admin, mut admin_browser) = person(&catalog, "adm@example.com", "admin").await;
    let role = |user: UserId| format!("/settings/members/{user}/role");
    let act = |user: UserId, act: &str| format!("/settings/members/{user}/{act}");
    for (path, fields) in [
        (role(member), vec![("role", "admin")]),
        (role(boss), vec![("role", "member")]),
        (act(admin, "remove"), vec![]),
        (act(admin, "recover"), vec![]),
        (
            "/settings/members/invite".into(),
            vec![("email", "x@example.com"), ("role", "member")],
        ),
        ("/settings/organization".into(), vec![("name", "Mine")]),
    ] {
        let page = member_browser.post(&path, &fields).await;
        assert_eq!(page.status, 403, "member: {path}");
    }
    for (path, fields) in [
        (role(admin), vec![("role", "owner")]),
        (role(member), vec![("role", "owner")]),
        (role(boss), vec![("role", "admin")]),
        (act(boss, "remove"), vec![]),
        (act(boss, "recover"), vec![]),
        (
            "/settings/members/invite".into(),
            vec![("email", "x@example.com"), ("role", "owner")],
        ),
    ] {
        let page = admin_browser.post(&path, &fields).await;
        assert_eq!(page.status, 403, "admin: {path}");
    }
    assert_eq!(
        admin_browser
            .post(&role(member), &[("role", "god")])
            .await
            .status,
        400
    );
    for (user, expected) in [(member, "member"), (admin, "admin"), (boss, "owner")] {
        assert_eq!(
            role_of(&catalog.app, org, user).await.as_deref(),
            Some(expected)
        );
    }
}

#[tokio::test]
async fn an_organization_keeps_an_owner() {
    let catalog = Catalog::new().await;
    let boss = catalog.caller.user_id;
    let (admin, _) = person(&catalog, "adm@example.com", "admin").await;
    let role = |user: UserId| format!("/settings/members/{user}/role");
    let act = |user: UserId, act: &str| format!("/settings/members/{user}/{act}");
    let mut boss_browser = owner(&catalog).await;
    for (path, fields) in [
        (role(boss), vec![("role", "admin")]),
        (act(boss, "remove"), vec![]),
    ] {
        let page = boss_browser.post(&path, &fields).await;
        assert_eq!(page.status, 409, "the last owner: {path}");
    }
    assert_eq!(
        boss_browser
            .post(&role(admin), &[("role", "owner")])
            .await
            .status,
        303
    );
    assert_eq!(
        boss_browser.post(&act(boss, "remove"), &[]).await.status,
        303,
        "not the last any more"
    );
}

#[tokio::test]
async fn another_organizations_people_and_links_are_not_there() {
    let catalog = Catalog::new().await;
    let other = add_org(&catalog.app, 2).await;
    let victim = add_person(&catalog.app, other.org_id, "victim@example.com", "member").await;
    let victims_boss = Browser::signed_in(&catalog.app, other.user_id, other.org_id).await;
    let mut boss_of_other = victims_boss.clone();
    let _link = invitation(&mut boss_of_other, "new@example.com", "member").await;
    let open = crate::people::invitations::open(&catalog.app, &other)
        .await
        .unwrap();
    let mut boss = owner(&catalog).await;
    for path in [
        format!("/settings/members/{victim}/remove"),
        format!("/settings/members/{victim}/recover"),
        format!("/settings/members/{victim}/role"),
        format!("/settings/members/invitations/{}/revoke", open[0].id),
        format!("/organizations/{}/choose", other.org_id),
        format!("/settings/profile/sessions/{}/end", Uuid::from_u128(5)),
    ] {
        let page = boss.post(&path, &[("role", "member")]).await;
        assert_eq!(page.status, 404, "{path}");
    }
    assert_eq!(
        boss.get(&format!("/settings/members/{victim}"))
            .await
            .status,
        404
    );
    assert!(role_of(&catalog.app, other.org_id, victim).await.is_some());
}

#[tokio::test]
async fn whoever_is_removed_loses_everything_at_once() {
    let catalog = Catalog::new().await;
    let (app, org) = (&catalog.app, catalog.caller.org_id);
    let (ada, mut browser) = person(&catalog, "ada@example.com", "admin").await;
    let her = crate::auth::Caller {
        user_id: ada,
        role: Role::Admin,
        ..catalog.caller.clone()
    };
    let host = add_host(app, &her, "Ada's box").await;
    let mut automation = daily("Hers");
    automation.host = Some(host.to_string());
    let made = crate::automations::create(app, &her, automation).await;
    let made = made.unwrap().automation.id;
    let key = api_key(app, org, ada).await;
    let link = invitation(&mut browser, "friend@example.com", "admin").await;
    let mut boss = owner(&catalog).await;
    let path = format!("/settings/members/{ada}/remove");
    assert_eq!(boss.post(&path, &[]).await.status, 303);
    assert_eq!(
        browser.get("/").await.location(),
        "/sign-in",
        "her session has ended"
    );
    let row = store::tokens::by_hash(&app.store, &key).await.unwrap();
    assert!(row.is_none(), "her key finds nothing");
    let rejoined = add_back(app, org, ada).await;
    let row = store::tokens::by_hash(&app.store, &key).await.unwrap();
    assert!(
        row.unwrap().revoked_at.is_some(),
        "nor does it come back with her: {rejoined}"
    );
    assert_eq!(
        Browser::new(app).get(&link).await.status,
        404,
        "her invitation"
    );
    let host = store::hosts::by_id(&app.store, host)
        .await
        .unwrap()
        .unwrap();
    assert!(host.revoked_at.is_some());
    let mut tx = app.store.begin().await.unwrap();
    let passed = store::automations::of_owner(&mut tx, org, catalog.caller.user_id)
        .await
        .unwrap();
    drop(tx);
    let passed = passed.iter().find(|row| row.id == made).unwrap();
    assert!(!passed.enabled);
    let audit = audited(app, org).await;
    for action in ["automation.pass_on", "host.revoke", "member.remove"] {
        assert!(
            audit.iter().any(|found| found == action),
            "{action} in {audit:?}"
        );
    }
}

/// The hash of a fresh API key.
async fn api_key(app: &App, org: OrgId, user: UserId) -> String {
    let (key, token) = mint(SecretKind::ApiKey, "k", org, user, None);
    let mut tx = app.store.begin().await.unwrap();
    store::tokens::insert(&mut tx, &token).await.unwrap();
    app.store.commit(tx).await.unwrap();
    key.hash().to_string()
}

async fn add_back(app: &App, org: OrgId, user: UserId) -> String {
    let mut tx = app.store.begin().await.unwrap();
    store::members::insert_member(&mut tx, org, user, "member", clock::wall())
        .await
        .unwrap();
    app.store.commit(tx).await.unwrap();
    user.to_string()
}

#[tokio::test]
async fn a_recovery_link_lets_its_person_in_and_ends_their_sessions() {
    let catalog = Catalog::new().await;
    let (ada, mut old) = person(&catalog, "ada@example.com", "member").await;
    let mut boss = owner(&catalog).await;
    let path = format!("/settings/members/{ada}/recover");
    let link = shown_link(&boss.post(&path, &[]).await);
    let mut ada_anew = Browser::new(&catalog.app);
    ada_anew.get(&link).await;
    let fields = [("password", "another good secret")];
    assert_eq!(ada_anew.post(&link, &fields).await.status, 303);
    assert_eq!(ada_anew.get("/").await.location(), "/hosts");
    assert_eq!(old.get("/").await.location(), "/sign-in");
    let mut again = Browser::new(&catalog.app);
    assert_eq!(again.get(&link).await.status, 404, "it works once");
    again.get("/sign-in").await;
    let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
    assert_eq!(
        again.post("/sign-in", &fields).await.status,
        403,
        "the old password is gone"
    );
}

#[tokio::test]
async fn nobody_takes_over_an_account_by_inviting_it_and_recovering_it() {
    let catalog = Catalog::new().await;
    let victims = add_org(&catalog.app, 2).await;
    let victim = add_person(&catalog.app, victims.org_id, "victim@example.com", "owner").await;
    let mut tx = catalog.app.store.begin().await.unwrap();
    store::members::insert_member(
        &mut tx,
        catalog.caller.org_id,
        victim,
        "member",
        clock::wall(),
    )
    .await
    .unwrap();
    catalog.app.store.commit(tx).await.unwrap();
    let mut boss = owner(&catalog).await;
    let page = boss
        .post(&format!("/settings/members/{victim}/recover"), &[])
        .await;
    assert_eq!(page.status, 403);
    assert!(page.text.contains("hostler recover"), "{}", page.text);
}

#[tokio::test]
async fn whoever_runs_the_server_lets_a_sole_owner_in_again() {
    let catalog = Catalog::new().await;
    let home = tempfile::tempdir().unwrap();
    let nothing = crate::recovery_link(home.path(), "owner1@example.com").await;
    assert!(nothing.unwrap_err().message.contains("no control plane"));
    let dir = home.path().join("control-plane");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("catalog.db");
    catalog.app.store.close().await;
    let catalog = catalog.crash().await;
    std::os::unix::fs::symlink(catalog.path(), &path).unwrap();
    let unknown = crate::recovery_link(home.path(), "eve@example.com").await;
    assert!(unknown.unwrap_err().message.contains("eve@example.com"));
    let link = crate::recovery_link(home.path(), "Owner1@example.com")
        .await
        .unwrap();
    let mut browser = Browser::new(&catalog.app);
    browser.get(&link).await;
    assert_eq!(
        browser.post(&link, &[("password", PASSWORD)]).await.status,
        303
    );
    assert_eq!(
        audited(&catalog.app, catalog.caller.org_id).await,
        ["member.recovery_link", "member.recover"]
    );
}

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_ends_other_sessions() {
    let catalog = Catalog::new().await;
    let (ada, mut here) = person(&catalog, "ada@example.com", "member").await;
    let mut there = Browser::signed_in(&catalog.app, ada, catalog.caller.org_id).await;
    let path = "/settings/profile/password";
    let wrong = [
        ("current", "not the old one"),
        ("password", "another good secret"),
    ];
    assert_eq!(here.post(path, &wrong).await.status, 403);
    let weak = [("current", PASSWORD), ("password", "short")];
    assert_eq!(here.post(path, &weak).await.status, 400);
    let before = here.cookies["__Host-hostler"].clone();
    let right = [("current", PASSWORD), ("password", "another good secret")];
    assert_eq!(here.post(path, &right).await.status, 303);
    assert_ne!(here.cookies["__Host-hostler"], before, "a fresh session");
    assert_eq!(here.get("/").await.location(), "/hosts");
    assert_eq!(there.get("/").await.location(), "/sign-in");
}

#[tokio::test]
async fn an_email_is_changed_by_those_who_manage_members() {
    let catalog = Catalog::new().await;
    let (app, org) = (&catalog.app, catalog.caller.org_id);
    let (ada, mut ada_browser) = person(&catalog, "ada@example.com", "member").await;
    let (_, mut admin) = person(&catalog, "adm@example.com", "admin").await;
    // Hosts let people in by their email: a member cannot take one that is nobody's now.
    let own = "/settings/profile/email";
    let of = |email: &'static str| [("email", email), ("current", PASSWORD)];
    let page = ada_browser.post(own, &of("cy@example.com")).await;
    assert_eq!(page.status, 403, "{}", page.text);
    let page = ada_browser.get("/settings/profile").await;
    assert!(!page.text.contains(own) && page.text.contains("an admin of your"));
    for (email, expected) in [
        ("owner1@example.com", 409),
        ("no", 400),
        ("new@example.com", 303),
    ] {
        let page = admin.post(own, &of(email)).await;
        assert_eq!(page.status.as_u16(), expected, "{email}");
    }
    let without = [("email", "x@example.com"), ("current", "")];
    assert_eq!(admin.post(own, &without).await.status, 403);
    let path = |user: UserId| format!("/settings/members/{user}/email");
    let boss = catalog.caller.user_id;
    for (user, email, expected) in [
        (ada, "Owner1@example.com", 409),
        (ada, "nonsense", 400),
        (boss, "mine@example.com", 403),
        (ada, "lovelace@example.com", 303),
    ] {
        let page = admin.post(&path(user), &[("email", email)]).await;
        assert_eq!(page.status.as_u16(), expected, "{email}: {}", page.text);
    }
    let fields = [("email", "cy@example.com")];
    assert_eq!(ada_browser.post(&path(ada), &fields).await.status, 403);
    let members = store::members::list(&app.store, org).await.unwrap();
    let she = members.iter().find(|member| member.user_id == ada).unwrap();
    assert_eq!(she.email, "lovelace@example.com");
    let changes = audited(app, org).await;
    let changes = changes.iter().filter(|action| *action == "member.email");
    assert_eq!(changes.count(), 2);
    // Somebody who also belongs elsewhere is not renamed from here.
    let other = crate::tests::add_org(app, 2).await;
    let mut tx = app.store.begin().await.unwrap();
    store::members::insert_member(&mut tx, other.org_id, ada, "member", clock::wall())
        .await
        .unwrap();
    app.store.commit(tx).await.unwrap();
    assert_eq!(admin.post(&path(ada), &fields).await.status, 403);
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let catalog = Catalog::new().await;
    let (ada, mut here) = person(&catalog, "ada@example.com", "member").await;
    let mut there = Browser::signed_in(&catalog.app, ada, catalog.caller.org_id).await;
    let page = here.get("/settings/profile").await;
    assert_eq!(
        page.text.matches("/sessions/").count(),
        2,
        "one to end, and all others"
    );
    assert_eq!(
        here.post("/settings/profile/sessions/end", &[])
            .await
            .status,
        303
    );
    assert_eq!(there.get("/").await.location(), "/sign-in");
    assert_eq!(here.get("/").await.location(), "/hosts");
}

#[tokio::test]
async fn a_person_works_in_one_of_several_organizations() {
    let catalog = Catalog::new().await;
    let mut boss = owner(&catalog).await;
    assert_eq!(
        boss.post("/organizations", &[("name", "Second")])
            .await
            .status,
        303
    );
    let page = boss.get("/settings/organization").await;
    assert!(page.text.contains("value=\"Second\""), "{}", page.text);
    let choose = format!("/organizations/{}/choose", catalog.caller.org_id);
    assert_eq!(boss.post(&choose, &[]).await.status, 303);
    boss.get("/settings/organization").await;
    assert_eq!(
        boss.post("/settings/organization", &[("name", "Renamed")])
            .await
            .status,
        303
    );
    let page = boss.get("/organizations").await;
    assert!(page.text.contains("Renamed") && page.text.contains("Second"));
    for path in ["/organizations", "/settings/organization"] {
        let page = boss.post(path, &[("name", "")]).await;
        assert_eq!(page.status, 400, "{path}");
    }
    let mut without = boss.clone();
    without.csrf = "x".into();
    assert_eq!(
        without
            .post("/organizations", &[("name", "Forged")])
            .await
            .status,
        403
    );
}
