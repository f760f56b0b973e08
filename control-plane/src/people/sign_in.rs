//! Signing in with email and password.
//!
//! An email that nobody has and a password that is wrong get the same answer after the same work.
//! Tries are limited for each address and for each account; a good one fills the account's bucket
//! again. A browser that signed in to the account before has a bucket of its own (OWASP: device
//! cookies), so a guesser elsewhere, be it at the same address, does not keep the account's owner out.
//! What failed stands in the audit log of the organizations of the account it was tried on,
//! written beside the answer so that the answer tells nothing.

use axum::http::HeaderValue;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::time::UtcMillis;
use serde_json::Value;

use super::{Browser, Refused, acting};
use crate::audit::{self, Thing};
use crate::auth::Role;
use crate::auth::browser::Mark;
use crate::auth::password::{Compared, MOST_BYTES};
use crate::auth::session;
use crate::limits::{Bucket, address_key};
use crate::store::audit::NewEntry;
use crate::store::passwords::AccountRow;
use crate::store::{self, StoreError};
use crate::{App, clock};

/// Signs somebody in: the cookie of a fresh session.
pub async fn sign_in(
    app: &App,
    email: &str,
    password: &str,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let account = check(app, email, password, browser).await?;
    begin(app, &account, None, browser).await
}

/// Begins a session for somebody who proved whose account it is.
pub(super) async fn begin(
    app: &App,
    account: &AccountRow,
    detail: Option<Value>,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let orgs = store::sessions::memberships(&app.store, account.user_id).await?;
    if orgs.is_empty() {
        return Err(nowhere(&account.email).into());
    }
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let (headers, peer) = (browser.headers, browser.peer);
    let (id, cookie) = session::begin_in(&mut tx, account.user_id, None, headers, peer).await?;
    let user_id = account.user_id.to_string();
    for org in orgs {
        let role = Role::from_word(&org.role).unwrap_or(Role::Member);
        let caller = acting(org.org_id, account.user_id, role, id, &account.email, peer);
        let thing = Thing {
            kind: "member",
            id: &user_id,
            name: &account.email,
        };
        audit::record(
            &mut tx,
            &caller,
            "member.sign_in",
            thing,
            detail.clone(),
            now,
        )
        .await?;
    }
    app.store.commit(tx).await?;
    Ok(cookie)
}

/// The account that email and password are of, whether or not it belongs to an organization.
pub(super) async fn check(
    app: &App,
    email: &str,
    password: &str,
    browser: Browser<'_>,
) -> Result<AccountRow, Refused> {
    let now = clock::wall();
    let email = super::typed(email);
    let email = email.as_str();
    let (bucket, key) = bucket(app, email, browser).await?;
    if bucket == Bucket::SignInAccount {
        let address = address_key(browser.peer.address);
        app.limits.take(Bucket::SignInAddress, &address, now)?;
    }
    app.limits.take(bucket, &key, now)?;
    let account = store::passwords::by_email(&app.store, email).await?;
    let phc = account.as_ref().and_then(|account| account.phc.as_deref());
    let compared = app.passwords.compare(password, phc).await?;
    let renewed = match (compared, account) {
        (Compared::Wrong | Compared::Right | Compared::RightButOld, None) => None,
        (Compared::Wrong, Some(account)) => {
            note_failure(app, account, browser, now);
            None
        }
        (Compared::Right, Some(account)) => Some(account),
        (Compared::RightButOld, Some(account)) => {
            renew(app, &account, password).await?;
            Some(account)
        }
    };
    let account = renewed.ok_or_else(wrong)?;
    app.limits.forgive(bucket, &key);
    Ok(account)
}

/// What a try is counted in.
async fn bucket(
    app: &App,
    email: &str,
    browser: Browser<'_>,
) -> Result<(Bucket, String), StoreError> {
    let account = email.to_lowercase();
    if let Some(mark) = Mark::of(browser.headers, browser.peer) {
        let hash = mark.hash();
        if store::browsers::is_known(&app.store, &account, &hash).await? {
            return Ok((Bucket::SignInBrowser, format!("{account} {hash}")));
        }
    }
    Ok((Bucket::SignInAccount, account))
}

/// Hashes a password anew with the parameters of today.
async fn renew(app: &App, account: &AccountRow, password: &str) -> Result<(), Failure> {
    let Some(old) = account
        .phc
        .as_deref()
        .filter(|_| password.len() <= MOST_BYTES)
    else {
        return Ok(());
    };
    let fresh = app.passwords.hash(password).await?;
    let mut tx = app.store.begin().await?;
    store::passwords::renew(&mut tx, account.user_id, old, &fresh).await?;
    Ok(app.store.commit(tx).await?)
}

/// Writes a failed try into the audit logs of the account's organizations, beside the answer.
fn note_failure(app: &App, account: AccountRow, browser: Browser<'_>, now: UtcMillis) {
    let (work, address) = (app.clone(), browser.peer.address.to_string());
    app.in_background(async move {
        if let Err(error) = failed(&work, &account, address, now).await {
            tracing::warn!(%error, "a failed sign-in was not recorded");
        }
    });
}

async fn failed(
    app: &App,
    account: &AccountRow,
    address: String,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let orgs = store::sessions::memberships(&app.store, account.user_id).await?;
    let id = account.user_id.to_string();
    let entry = NewEntry {
        at: now,
        actor_id: None,
        actor: "somebody",
        client: "console",
        address: Some(address),
        action: "member.sign_in_failed",
        thing_kind: "member",
        thing_id: &id,
        thing_name: &account.email,
        detail: None,
    };
    let mut tx = app.store.begin().await?;
    for org in orgs {
        audit::append(&mut tx, org.org_id, &entry).await?;
    }
    app.store.commit(tx).await
}

fn wrong() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "email and password do not belong together",
    )
    .hint("Look at both. If you forgot the password, an admin of your organization can make you a recovery link.")
}

fn nowhere(email: &str) -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        format!("the account {email} belongs to no organization any more"),
    )
    .hint("Ask an admin for an invitation and open its link.")
}
