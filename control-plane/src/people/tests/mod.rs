//! Getting in and out as a browser does it, and what an attacker would try.

mod belonging;
mod setting_up;
mod signing_in;
mod single_sign_on;

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
