//! Invitations: a link that lets one person, known by their email, join an organization.
//!
//! Whoever has no account makes one behind the link, with a password or from what the sign-in provider
//! vouches for. Whoever has one joins with it: signed in, with its password, or through the provider
//! it is linked with. An account or an identity with another email cannot use the link, so a link that went astray
//! lets nobody's account into an organization unseen. Invitations end with their maker's authority.

use axum::http::HeaderValue;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::UserId;
use hostler_proto::time::UtcMillis;
use serde_json::{Value, json};
use uuid::Uuid;

use super::links::{self, LinkKind};
use super::newcomer::Newcomer;
use super::{Browser, Refused, acting, members, sign_in};
use crate::audit::{self, Thing};
use crate::auth::session::{self, Visitor};
use crate::auth::{Caller, Role};
use crate::store::links::LinkRow;
use crate::store::passwords::AccountRow;
use crate::store::{self, StoreError, Tx};
use crate::{App, clock};

/// Most open invitations of an organization.
const MOST_OPEN: usize = 200;

/// Who stands behind an invitation's email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invited {
    /// Nobody yet.
    New,
    /// Somebody with an account, and the ways into it.
    Known {
        /// By a password.
        password: bool,
        /// Through a provider.
        elsewhere: bool,
    },
}

/// Invites somebody; the link, which is shown this once. An earlier one for them ends.
pub async fn invite(
    app: &App,
    caller: &Caller,
    email: &str,
    role: Role,
) -> Result<String, Failure> {
    let email = super::email(email)?;
    let now = clock::wall();
    let all = store::members::list(&app.store, caller.org_id).await?;
    if all
        .iter()
        .any(|member| member.email.to_lowercase() == email.to_lowercase())
    {
        return Err(already(&email));
    }
    if open(app, caller).await?.len() >= MOST_OPEN {
        let words = format!("there are {MOST_OPEN} open invitations");
        return Err(Failure::new(ErrorCode::Conflict, words).hint("take some back first"));
    }
    let (secret, mut link) = links::mint(LinkKind::Invitation, caller.org_id, now);
    link.email = Some(&email);
    link.role = Some(role.word());
    link.created_by = Some(caller.user_id);
    let mut tx = app.store.begin().await?;
    let own = members::own_role(&mut tx, caller).await?;
    if !members::may_manage(own, role) {
        return Err(members::not_yours(own));
    }
    store::links::take_back_of_email(&mut tx, caller.org_id, &email, now).await?;
    store::links::insert(&mut tx, &link).await?;
    let id = link.id.to_string();
    let detail = Some(json!({"role": role.word()}));
    audit::record(
        &mut tx,
        caller,
        "member.invite",
        thing(&id, &email),
        detail,
        now,
    )
    .await?;
    app.store.commit(tx).await?;
    Ok(LinkKind::Invitation.url(&app.server.url, &secret))
}

/// Invitations that are still good, newest first; for those who manage members.
pub async fn open(app: &App, caller: &Caller) -> Result<Vec<LinkRow>, Failure> {
    if caller.role < Role::Admin {
        return Err(members::not_yours(caller.role));
    }
    let word = LinkKind::Invitation.word();
    Ok(store::links::open(&app.store, caller.org_id, word, clock::wall()).await?)
}

/// Takes an invitation back.
pub async fn revoke(app: &App, caller: &Caller, id: Uuid) -> Result<(), Failure> {
    let now = clock::wall();
    let all = open(app, caller).await?;
    let gone = || Failure::new(ErrorCode::NotFound, "this invitation is not open any more");
    let link = all
        .into_iter()
        .find(|link| link.id == id)
        .ok_or_else(gone)?;
    let email = link.email.unwrap_or_default();
    let mut tx = app.store.begin().await?;
    let own = members::own_role(&mut tx, caller).await?;
    if own < Role::Admin {
        return Err(members::not_yours(own));
    }
    if !store::links::take_back(&mut tx, caller.org_id, id, now).await? {
        return Err(gone());
    }
    let id = id.to_string();
    audit::record(
        &mut tx,
        caller,
        "member.uninvite",
        thing(&id, &email),
        None,
        now,
    )
    .await?;
    Ok(app.store.commit(tx).await?)
}

/// Who an invitation is for.
pub async fn invited(app: &App, link: &LinkRow) -> Result<Invited, Failure> {
    let email = link.email.as_deref().unwrap_or_default();
    let account = store::passwords::by_email(&app.store, email).await?;
    Ok(match account {
        None => Invited::New,
        Some(account) => Invited::Known {
            password: account.phc.is_some(),
            elsewhere: account.identities > 0,
        },
    })
}

/// Makes an account with a password for the invited person and lets them in.
pub async fn accept_new(
    app: &App,
    link: &LinkRow,
    name: &str,
    new_password: &str,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let email = link.email.as_deref().unwrap_or_default();
    let new = Newcomer::with_password(app, name, email, new_password).await?;
    accept_as(app, link, &new, browser).await
}

/// Makes this account for the invited person and lets them in.
pub(super) async fn accept_as(
    app: &App,
    link: &LinkRow,
    new: &Newcomer,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let now = clock::wall();
    let user = UserId::fresh(now, &clock::id_entropy());
    let mut tx = app.store.begin().await?;
    links::spend(&mut tx, LinkKind::Invitation, link, now).await?;
    new.insert(&mut tx, user, now).await?;
    let (id, cookie) = begin(&mut tx, user, link, browser).await?;
    join(&mut tx, link, user, &new.email, id, browser, now).await?;
    app.store.commit(tx).await?;
    Ok(cookie)
}

/// Lets the invited person in by the password of the account they have.
pub async fn accept_with_password(
    app: &App,
    link: &LinkRow,
    password: &str,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let email = link.email.as_deref().unwrap_or_default();
    let account = sign_in::check(app, email, password, browser).await?;
    let_in(app, link, &account, browser).await
}

/// Lets somebody in who proved whose account it is.
pub(super) async fn let_in(
    app: &App,
    link: &LinkRow,
    account: &AccountRow,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    let now = clock::wall();
    let user = account.user_id;
    let mut tx = app.store.begin().await?;
    links::spend(&mut tx, LinkKind::Invitation, link, now).await?;
    let (id, cookie) = begin(&mut tx, user, link, browser).await?;
    join(&mut tx, link, user, &account.email, id, browser, now).await?;
    app.store.commit(tx).await?;
    Ok(cookie)
}

/// Lets somebody in who is signed in with the invited email.
pub async fn accept_signed_in(
    app: &App,
    link: &LinkRow,
    visitor: &Visitor,
    browser: Browser<'_>,
) -> Result<(), Refused> {
    if !is_for(link, &visitor.email) {
        return Err(for_another(link, &visitor.email).into());
    }
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    links::spend(&mut tx, LinkKind::Invitation, link, now).await?;
    let (user, session) = (visitor.user_id, visitor.session_id);
    join(&mut tx, link, user, &visitor.email, session, browser, now).await?;
    store::sessions::choose_org(&mut tx, session, link.org_id).await?;
    Ok(app.store.commit(tx).await?)
}

/// Whether an invitation is for this email.
pub fn is_for(link: &LinkRow, email: &str) -> bool {
    let invited = link.email.as_deref().unwrap_or_default();
    invited.to_lowercase() == email.to_lowercase()
}

/// What somebody is told whose invitation is another's.
pub(crate) fn for_another(link: &LinkRow, email: &str) -> Failure {
    let invited = link.email.as_deref().unwrap_or_default();
    Failure::new(
        ErrorCode::Forbidden,
        format!("this invitation is for {invited}, and you are signed in as {email}"),
    )
    .hint("Sign out and open the link again, or ask for an invitation of your own email.")
}

async fn begin(
    tx: &mut Tx,
    user: UserId,
    link: &LinkRow,
    browser: Browser<'_>,
) -> Result<(Uuid, HeaderValue), Failure> {
    let (headers, peer) = (browser.headers, browser.peer);
    session::begin_in(tx, user, Some(link.org_id), headers, peer).await
}

/// Makes somebody a member as the invitation says.
async fn join(
    tx: &mut Tx,
    link: &LinkRow,
    user: UserId,
    email: &str,
    session: Uuid,
    browser: Browser<'_>,
    now: UtcMillis,
) -> Result<(), Failure> {
    let role = link.role.as_deref().and_then(Role::from_word);
    let role = role.unwrap_or(Role::Member);
    if store::members::get_in(tx, link.org_id, user)
        .await?
        .is_some()
    {
        return Err(already(email));
    }
    store::members::insert_member(tx, link.org_id, user, role.word(), now).await?;
    let caller = acting(link.org_id, user, role, session, email, browser.peer);
    let detail = json!({"role": role.word(), "invited_by": link.created_by});
    Ok(joined(tx, &caller, detail, now).await?)
}

/// Notes that somebody became a member.
pub(super) async fn joined(
    tx: &mut Tx,
    caller: &Caller,
    detail: Value,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let id = caller.user_id.to_string();
    let thing = thing(&id, &caller.label);
    audit::record(tx, caller, "member.join", thing, Some(detail), now).await
}

fn thing<'a>(id: &'a str, email: &'a str) -> Thing<'a> {
    Thing {
        kind: "member",
        id,
        name: email,
    }
}

fn already(email: &str) -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        format!("{email} is a member of this organization already"),
    )
}
