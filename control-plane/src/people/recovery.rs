//! Recovery: a link by which somebody who forgot their password sets a new one.
//!
//! An admin makes one for a member, but only for somebody all of whose organizations they manage: a
//! link lets its holder into all of them. Whoever may read the server's files can make one for
//! anybody; that is how a sole owner comes back.

use std::path::Path;

use axum::http::HeaderValue;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::UserId;
use serde_json::{Value, json};

use super::links::{self, LinkKind};
use super::{Browser, Refused, acting, members};
use crate::audit::{self, Thing};
use crate::auth::session;
use crate::auth::{Caller, Role, password};
use crate::limits::Bucket;
use crate::store::audit::NewEntry;
use crate::store::links::LinkRow;
use crate::store::{self, Store, StoreError};
use crate::{App, clock};

/// Makes a recovery link for a member, which is shown this once. An earlier one ends.
pub async fn make(app: &App, caller: &Caller, user: UserId) -> Result<String, Failure> {
    if user == caller.user_id {
        let words = "a recovery link is for somebody else";
        return Err(Failure::new(ErrorCode::InvalidArgument, words)
            .hint("change your own password under Settings > Profile"));
    }
    let member = members::get(app, caller, user).await?;
    if !manages_all_of(app, caller.user_id, user).await? {
        return Err(not_all_managed());
    }
    let now = clock::wall();
    let (secret, mut link) = links::mint(LinkKind::Recovery, caller.org_id, now);
    link.user_id = Some(user);
    link.created_by = Some(caller.user_id);
    let mut tx = app.store.begin().await?;
    let own = members::own_role(&mut tx, caller).await?;
    if !members::may_manage(own, members::role_of(&member)) {
        return Err(members::not_yours(own));
    }
    store::links::take_back_of_user(&mut tx, user, LinkKind::Recovery.word(), now).await?;
    store::links::insert(&mut tx, &link).await?;
    members::noted(
        &mut tx,
        caller,
        "member.recovery_link",
        &member,
        Value::Null,
        now,
    )
    .await?;
    app.store.commit(tx).await?;
    Ok(LinkKind::Recovery.url(&app.server.url, &secret))
}

/// Makes a recovery link for anybody, from the files of the server in `home`, whether it runs or not.
pub async fn on_this_machine(home: &Path, email: &str) -> Result<String, Failure> {
    let path = home.join("control-plane").join("catalog.db");
    if !path.exists() {
        let words = format!("there is no control plane in {}", home.display());
        return Err(Failure::new(ErrorCode::NotFound, words)
            .hint("run this on the server's machine, with its HOSTLER_HOME"));
    }
    let store = Store::open_beside(&path).await?;
    let base = store::meta::get(&store, "url").await?.unwrap_or_default();
    let link = by_operator(&store, &base, email).await;
    store.close().await;
    link
}

async fn by_operator(store: &Store, base: &str, email: &str) -> Result<String, Failure> {
    let account = store::passwords::by_email(store, &super::typed(email)).await?;
    let unknown = || {
        let words = format!("there is no account with the email {email}");
        Failure::new(ErrorCode::NotFound, words).hint("give the email they sign in with")
    };
    let account = account.ok_or_else(unknown)?;
    let orgs = store::sessions::memberships(store, account.user_id).await?;
    let first = orgs.first().ok_or_else(|| {
        let words = format!("the account {email} belongs to no organization any more");
        Failure::new(ErrorCode::NotFound, words).hint("let an admin invite it again")
    })?;
    let now = clock::wall();
    let (secret, mut link) = links::mint(LinkKind::Recovery, first.org_id, now);
    link.user_id = Some(account.user_id);
    let mut tx = store.begin().await?;
    let recovery = LinkKind::Recovery.word();
    store::links::take_back_of_user(&mut tx, account.user_id, recovery, now).await?;
    store::links::insert(&mut tx, &link).await?;
    let id = account.user_id.to_string();
    for org in &orgs {
        let entry = NewEntry {
            at: now,
            actor_id: None,
            actor: "whoever runs the server",
            client: "hostler recover",
            address: None,
            action: "member.recovery_link",
            thing_kind: "member",
            thing_id: &id,
            thing_name: &account.email,
            detail: None,
        };
        audit::append(&mut tx, org.org_id, &entry).await?;
    }
    store.commit(tx).await?;
    Ok(LinkKind::Recovery.url(base, &secret))
}

/// Sets the password of whom the link is for; the cookie of their only session.
pub async fn complete(
    app: &App,
    link: &LinkRow,
    new: &str,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let user = link.user_id.ok_or_else(gone)?;
    let account = store::passwords::by_user(&app.store, user).await?;
    let account = account.ok_or_else(gone)?;
    password::check(new, &account.email)?;
    let orgs = store::sessions::memberships(&app.store, user).await?;
    if orgs.is_empty() {
        return Err(gone().into());
    }
    if let Some(maker) = link.created_by {
        // They may have risen, or joined another organization, since it was made.
        if !manages_all_of(app, maker, user).await? {
            return Err(over().into());
        }
    }
    let phc = app.passwords.hash(new).await?;
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    links::spend(&mut tx, LinkKind::Recovery, link, now).await?;
    store::passwords::set(&mut tx, user, &phc, now).await?;
    for kind in [LinkKind::Recovery, LinkKind::Setup] {
        store::links::take_back_of_user(&mut tx, user, kind.word(), now).await?;
    }
    store::browsers::forget(&mut tx, user).await?;
    let (headers, peer) = (browser.headers, browser.peer);
    let (id, cookie) = session::begin_in(&mut tx, user, None, headers, peer).await?;
    let ended = store::sessions::delete_of_user(&mut tx, user, Some(id)).await?;
    let user_id = user.to_string();
    for org in orgs {
        let role = Role::from_word(&org.role).unwrap_or(Role::Member);
        let caller = acting(org.org_id, user, role, id, &account.email, peer);
        let thing = Thing {
            kind: "member",
            id: &user_id,
            name: &account.email,
        };
        let detail = Some(json!({"sessions_ended": ended}));
        audit::record(&mut tx, &caller, "member.recover", thing, detail, now).await?;
    }
    app.store.commit(tx).await?;
    let account_key = account.email.to_lowercase();
    app.limits.forgive(Bucket::SignInAccount, &account_key);
    Ok(cookie)
}

/// Whether the one, the maker of a link for example, manages the other in each of their organizations.
pub(super) async fn manages_all_of(
    app: &App,
    maker: UserId,
    user: UserId,
) -> Result<bool, StoreError> {
    let mine = store::sessions::memberships(&app.store, maker).await?;
    let theirs = store::sessions::memberships(&app.store, user).await?;
    let role = |word: &str| Role::from_word(word).unwrap_or(Role::Member);
    Ok(theirs.iter().all(|their| {
        let my = mine.iter().find(|my| my.org_id == their.org_id);
        my.is_some_and(|my| members::may_manage(role(&my.role), role(&their.role)))
    }))
}

pub(super) fn not_all_managed() -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        "this member also belongs to an organization that you do not manage, or has a role above yours",
    )
    .hint("an owner can do it, or whoever runs the server, with `hostler recover EMAIL`")
}

fn over() -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        "whoever made this link may not let you in any more",
    )
    .hint("ask an owner of your organization, or whoever runs the server, for another")
}

fn gone() -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        "the account of this link is gone, or belongs to no organization any more",
    )
}
