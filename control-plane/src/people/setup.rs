//! Setting a fresh server up: the first start makes an organization and its owner, without a way in;
//! a link that the server prints lets somebody become that owner.

use axum::http::HeaderValue;
use hostler_proto::error::{ErrorCode, Failure};
use serde_json::json;

use super::links::{self, LinkKind};
use super::newcomer::Newcomer;
use super::{Browser, Refused, acting};
use crate::audit::{self, Thing};
use crate::auth::{Role, session};
use crate::store::links::LinkRow;
use crate::store::{self, Store, StoreError};
use crate::{App, clock};

/// What the first owner says of themselves and their organization.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The organization's name.
    pub organization: &'a str,
    /// Their name.
    pub name: &'a str,
    /// Their email.
    pub email: &'a str,
    /// The password they choose.
    pub password: &'a str,
}

/// A fresh set-up link in the place of earlier ones; none when an owner can sign in.
pub(crate) async fn link(store: &Store, base: &str) -> Result<Option<String>, StoreError> {
    if store::passwords::an_owner_can_sign_in(store).await? {
        return Ok(None);
    }
    let Some((org, owner)) = store::members::first_owner(store).await? else {
        return Ok(None);
    };
    let now = clock::wall();
    let (secret, mut link) = links::mint(LinkKind::Setup, org, now);
    link.user_id = Some(owner.user_id);
    let mut tx = store.begin().await?;
    store::links::take_back_of_user(&mut tx, owner.user_id, LinkKind::Setup.word(), now).await?;
    store::links::insert(&mut tx, &link).await?;
    store.commit(tx).await?;
    Ok(Some(LinkKind::Setup.url(base, &secret)))
}

/// Makes whoever holds the link the owner, with a password; the cookie of their first session.
pub async fn complete(
    app: &App,
    link: &LinkRow,
    setup: Setup<'_>,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let organization = organization(setup.organization)?;
    let owner = Newcomer::with_password(app, setup.name, setup.email, setup.password).await?;
    install(app, link, &organization, &owner, browser).await
}

/// The name of the organization that is set up.
pub(crate) fn organization(name: &str) -> Result<String, Failure> {
    super::name(name, "an organization's")
}

/// Makes this person the owner.
pub(super) async fn install(
    app: &App,
    link: &LinkRow,
    organization: &str,
    owner: &Newcomer,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let user = link.user_id.ok_or_else(ownerless)?;
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    links::spend(&mut tx, LinkKind::Setup, link, now).await?;
    owner.take_over(&mut tx, user, now).await?;
    store::members::rename_org(&mut tx, link.org_id, organization).await?;
    let (headers, peer) = (browser.headers, browser.peer);
    let (id, cookie) = session::begin_in(&mut tx, user, Some(link.org_id), headers, peer).await?;
    let caller = acting(link.org_id, user, Role::Owner, id, &owner.email, peer);
    let org_id = link.org_id.to_string();
    let thing = Thing {
        kind: "organization",
        id: &org_id,
        name: organization,
    };
    let detail = Some(json!({"owner": owner.email}));
    audit::record(&mut tx, &caller, "organization.set_up", thing, detail, now).await?;
    app.store.commit(tx).await?;
    Ok(cookie)
}

fn ownerless() -> Failure {
    Failure::new(ErrorCode::HostError, "this link is for nobody").hint("start the server again")
}
