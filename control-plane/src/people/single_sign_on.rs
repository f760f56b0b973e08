//! What an identity at the sign-in provider opens.
//!
//! Who somebody is there (issuer and subject) decides; an email, even a verified one, never opens an
//! account that exists: the identity is linked by somebody who is signed in to it and has just proved
//! to be the one. Without an account, a link (set-up, invitation) makes one from what the provider
//! vouches for, or the verified email's domain does, where that is configured. An invitation is for
//! its email: an identity with another one does not use it, whoever holds the link. The last way in
//! is never taken away.

use axum::http::HeaderValue;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{OrgId, UserId};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::newcomer::{self, Newcomer};
use super::oidc::{self, Begun, Identity};
use super::{Browser, Refused, acting, invitations, profile, setup, sign_in};
use crate::auth::Role;
use crate::auth::session::{self, Visitor};
use crate::config::SingleSignOn;
use crate::store::identities::{self, IdentityRow};
use crate::store::links::LinkRow;
use crate::{App, clock, store};

/// What the provider answered, and with which sign-in it was asked.
#[derive(Clone, Copy)]
pub(crate) struct Answered<'a> {
    /// The sign-in.
    pub(crate) begun: &'a Begun,
    /// The provider's code.
    pub(crate) code: &'a str,
}

/// Signs somebody in.
pub(crate) async fn sign_in(
    app: &App,
    settings: &SingleSignOn,
    answered: Answered<'_>,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let identity = oidc::exchange(app, settings, answered.begun, answered.code).await?;
    match identities::user(&app.store, &identity.issuer, &identity.subject).await? {
        Some(user) => {
            let account = store::passwords::by_user(&app.store, user).await?;
            let account = account.ok_or_else(|| not_let_in("this account is gone"))?;
            let by = Some(json!({"by": "single sign-on"}));
            sign_in::begin(app, &account, by, browser).await
        }
        None => join_by_domain(app, settings, &identity, browser).await,
    }
}

/// Lets somebody in who came with an invitation.
pub(crate) async fn accept(
    app: &App,
    settings: &SingleSignOn,
    answered: Answered<'_>,
    link: &LinkRow,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let identity = oidc::exchange(app, settings, answered.begun, answered.code).await?;
    let told = identity.verified_email();
    let known = identities::user(&app.store, &identity.issuer, &identity.subject).await?;
    if let Some(user) = known {
        let account = store::passwords::by_user(&app.store, user).await?;
        let account = account.ok_or_else(|| not_let_in("this account is gone"))?;
        let theirs = [Some(account.email.as_str()), told];
        if !theirs
            .into_iter()
            .flatten()
            .any(|email| invitations::is_for(link, email))
        {
            return Err(invitations::for_another(link, &account.email).into());
        }
        return invitations::let_in(app, link, &account, browser).await;
    }
    let email = told.ok_or_else(unverified)?;
    if !invitations::is_for(link, email) {
        return Err(invitations::for_another(link, email).into());
    }
    invitations::accept_as(app, link, &newcomer(&identity)?, browser).await
}

/// Makes whoever holds the set-up link the owner of an organization of that name.
pub(crate) async fn set_up(
    app: &App,
    settings: &SingleSignOn,
    answered: Answered<'_>,
    (link, organization): (&LinkRow, &str),
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let identity = oidc::exchange(app, settings, answered.begun, answered.code).await?;
    let organization = setup::organization(organization)?;
    setup::install(app, link, &organization, &newcomer(&identity)?, browser).await
}

/// Lets a visitor sign in by the provider from now on.
pub(crate) async fn link(
    app: &App,
    settings: &SingleSignOn,
    answered: Answered<'_>,
    visitor: &Visitor,
) -> Result<(), Refused> {
    if !profile::proved(app, visitor).await? {
        return Err(profile::too_long_ago().into());
    }
    let identity = oidc::exchange(app, settings, answered.begun, answered.code).await?;
    let now = clock::wall();
    let row = identity.row(now);
    let mut tx = app.store.begin().await?;
    let linked = identities::insert(&mut tx, visitor.user_id, &row).await;
    linked.map_err(|error| newcomer::duplicate_or(error, newcomer::linked_already))?;
    let detail = described(&row);
    profile::noted(&mut tx, visitor, "member.link_identity", detail, now).await?;
    app.store.commit(tx).await?;
    Ok(())
}

/// Ends a visitor's signing in by one of their identities.
pub(crate) async fn unlink(app: &App, visitor: &Visitor, key: &str) -> Result<(), Failure> {
    let now = clock::wall();
    let account = store::passwords::by_user(&app.store, visitor.user_id).await?;
    let mut tx = app.store.begin().await?;
    let mine = identities::of_user_in(&mut tx, visitor.user_id).await?;
    let (taken, left): (Vec<_>, Vec<_>) = mine.into_iter().partition(|row| key_of(row) == key);
    let [taken] = taken.as_slice() else {
        let words = "this sign-in is not linked any more";
        return Err(Failure::new(ErrorCode::NotFound, words));
    };
    let issuer = app
        .single_sign_on
        .as_deref()
        .map(|settings| &settings.issuer);
    let opens = |row: &IdentityRow| issuer == Some(&row.issuer);
    let password = account.is_some_and(|account| account.phc.is_some());
    if opens(taken) && !password && !left.iter().any(opens) {
        let words = "this is your only way to sign in";
        return Err(Failure::new(ErrorCode::PreconditionFailed, words)
            .hint("set a password first, or link another"));
    }
    identities::delete(&mut tx, &taken.issuer, &taken.subject).await?;
    let detail = described(taken);
    profile::noted(&mut tx, visitor, "member.unlink_identity", detail, now).await?;
    Ok(app.store.commit(tx).await?)
}

/// A visitor's identities, oldest first.
pub(crate) async fn linked(app: &App, visitor: &Visitor) -> Result<Vec<IdentityRow>, Failure> {
    Ok(identities::of_user(&app.store, visitor.user_id).await?)
}

/// What an identity is called in addresses.
pub(crate) fn key_of(row: &IdentityRow) -> String {
    let mut digest = Sha256::new();
    digest.update(row.issuer.as_bytes());
    digest.update(b"\0");
    digest.update(row.subject.as_bytes());
    hex::encode(&digest.finalize()[..16])
}

/// Makes an account for somebody whose domain lets them into the server's first organization.
async fn join_by_domain(
    app: &App,
    settings: &SingleSignOn,
    identity: &Identity,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let new = newcomer(identity)?;
    if store::passwords::by_email(&app.store, &new.email)
        .await?
        .is_some()
    {
        return Err(new.taken().into());
    }
    let org = organization_of_domain(app, settings, &new.email).await?;
    let now = clock::wall();
    let user = UserId::fresh(now, &clock::id_entropy());
    let mut tx = app.store.begin().await?;
    new.insert(&mut tx, user, now).await?;
    let (headers, peer) = (browser.headers, browser.peer);
    let (id, cookie) = session::begin_in(&mut tx, user, Some(org), headers, peer).await?;
    let role = Role::Member;
    store::members::insert_member(&mut tx, org, user, role.word(), now).await?;
    let caller = acting(org, user, role, id, &new.email, peer);
    let by = json!({"by": "single sign-on"});
    invitations::joined(&mut tx, &caller, by, now).await?;
    app.store.commit(tx).await?;
    Ok(cookie)
}

/// The organization that a new person's domain lets them into.
async fn organization_of_domain(
    app: &App,
    settings: &SingleSignOn,
    email: &str,
) -> Result<OrgId, Failure> {
    let domain = email.rsplit('@').next().unwrap_or_default();
    let mut allowed = settings.auto_join_domains.iter();
    if !allowed.any(|allowed| allowed.eq_ignore_ascii_case(domain)) {
        return Err(not_let_in(&format!("{email} is not invited")));
    }
    let first = store::members::first_owner(&app.store).await?;
    let first = first.map(|(org, _)| org);
    first.ok_or_else(|| not_let_in("there is no organization to join"))
}

/// An account to be, from what the provider vouches for.
fn newcomer(identity: &Identity) -> Result<Newcomer, Failure> {
    let email = identity.verified_email().ok_or_else(unverified)?;
    let row = identity.row(clock::wall());
    Newcomer::with_identity(identity.name.as_deref(), email, row)
}

fn described(row: &IdentityRow) -> Value {
    json!({"issuer": row.issuer, "as": row.email})
}

fn unverified() -> Failure {
    not_let_in("the provider does not say that your email address is verified")
}

fn not_let_in(words: &str) -> Failure {
    Failure::new(ErrorCode::Forbidden, words)
        .hint("Ask an admin for an invitation, open its link, and sign in from there.")
}
