//! Getting in and out as a browser does it, and what an attacker would try.

mod belonging;
mod changing;
mod false_provider;
mod setting_up;
mod signing_in;
mod single_sign_on;

use hostler_proto::ids::{OrgId, UserId};

use crate::App;
use crate::auth::Secret;
use crate::people::links::{self, LinkKind};
use crate::tests::Catalog;
use crate::tests::browser::{Browser, PASSWORD, Page, add_person, audited};
use crate::{clock, store};

/// A link of this kind for the catalog's owner, with the life it is given (milliseconds).
async fn link_for_owner(catalog: &Catalog, kind: LinkKind, life_ms: i64) -> String {
    let now = clock::wall();
    let (secret, mut link) = links::mint(kind, catalog.caller.org_id, now);
    link.user_id = Some(catalog.caller.user_id);
    link.expires_at = now.plus_ms(life_ms);
    let mut tx = catalog.app.store.begin().await.unwrap();
    store::links::insert(&mut tx, &link).await.unwrap();
    catalog.app.store.commit(tx).await.unwrap();
    kind.url("", &secret)
}

/// What a page says is wrong.
#[track_caller]
fn problem(page: &Page) -> &str {
    let alert = page.text.split_once("role=\"alert\"");
    let (_, rest) = alert.unwrap_or_else(|| panic!("no problem in {}", page.text));
    rest.split("</div>").next().unwrap()
}

async fn owner(catalog: &Catalog) -> Browser {
    let caller = &catalog.caller;
    Browser::signed_in(&catalog.app, caller.user_id, caller.org_id).await
}

async fn person(catalog: &Catalog, email: &str, role: &str) -> (UserId, Browser) {
    let org = catalog.caller.org_id;
    let user = add_person(&catalog.app, org, email, role).await;
    (user, Browser::signed_in(&catalog.app, user, org).await)
}

async fn role_of(app: &App, org: OrgId, user: UserId) -> Option<String> {
    let members = store::members::list(&app.store, org).await.unwrap();
    let found = members.into_iter().find(|member| member.user_id == user);
    found.map(|member| member.role)
}

/// The link in a page's copy box, as a path.
#[track_caller]
fn shown_link(page: &Page) -> String {
    let (_, rest) = page
        .text
        .split_once("http://127.0.0.1:1/")
        .unwrap_or_else(|| panic!("no link in {}", page.text));
    format!("/{}", rest.split(['<', '"']).next().unwrap())
}

async fn invitation(browser: &mut Browser, email: &str, role: &str) -> String {
    let fields = [("email", email), ("role", role)];
    let page = browser.post("/settings/members/invite", &fields).await;
    assert_eq!(page.status, 200, "{}", page.text);
    shown_link(&page)
}
