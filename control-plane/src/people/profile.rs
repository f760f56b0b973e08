//! What people change of themselves: name, email, password, sessions.
//!
//! Email and password are changed, and other ways to sign in linked, only by somebody who proves again
//! that they are the one (a browser left open is not enough): by the password, or, without one, by having signed in a moment ago. A
//! new password ends every other session and takes back recovery links.

use axum::http::HeaderValue;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::time::UtcMillis;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Browser, Refused, links::LinkKind, members, newcomer, sign_in};
use crate::auth::session::{self, Visitor};
use crate::auth::{Caller, Role, password};
use crate::store::members::MemberRow;
use crate::store::sessions::SessionRow;
use crate::store::{self, StoreError, Tx};
use crate::{App, clock};

/// How fresh a sign-in has to be to stand for the password nobody has, milliseconds.
const FRESH_MS: i64 = 10 * 60_000;

/// The visitor's sessions that are still good, last used first.
pub async fn sessions(app: &App, visitor: &Visitor) -> Result<Vec<SessionRow>, Failure> {
    let all = store::sessions::of_user(&app.store, visitor.user_id).await?;
    let now = clock::wall();
    let good = all.into_iter().filter(|row| session::is_good(row, now));
    Ok(good.collect())
}

/// Whether the visitor has a password.
pub async fn has_password(app: &App, visitor: &Visitor) -> Result<bool, Failure> {
    let account = store::passwords::by_user(&app.store, visitor.user_id).await?;
    Ok(account.is_some_and(|account| account.phc.is_some()))
}

/// Changes the visitor's name.
pub async fn rename(app: &App, visitor: &Visitor, name: &str) -> Result<(), Failure> {
    let name = super::name(name, "a person's")?;
    let mut tx = app.store.begin().await?;
    store::members::update_user(&mut tx, visitor.user_id, &visitor.email, &name).await?;
    let detail = json!({"name": name});
    noted(&mut tx, visitor, "member.rename", detail, clock::wall()).await?;
    Ok(app.store.commit(tx).await?)
}

/// Whether the visitor changes their own email. Owners of hosts let people in by it, so whoever does
/// not manage members anyway, in each of their organizations, gets another from somebody who does.
pub fn may_change_email(visitor: &Visitor) -> bool {
    visitor.orgs.iter().all(|org| org.role >= Role::Admin)
}

/// Changes the visitor's email.
pub async fn change_email(
    app: &App,
    visitor: &Visitor,
    email: &str,
    current: &str,
    browser: Browser<'_>,
) -> Result<(), Refused> {
    let email = super::email(email)?;
    if !may_change_email(visitor) {
        let words = "your email is what others know you by, so you cannot change it yourself";
        return Err(Failure::new(ErrorCode::Forbidden, words)
            .hint("ask an admin of your organization: they change it under Settings > Members")
            .into());
    }
    prove(app, visitor, current, browser).await?;
    let mut tx = app.store.begin().await?;
    match store::members::update_user(&mut tx, visitor.user_id, &email, &visitor.name).await {
        Err(error) if error.is_duplicate() => return Err(newcomer::taken(&email).into()),
        other => other?,
    }
    let detail = json!({"from": visitor.email, "to": email});
    noted(&mut tx, visitor, "member.email", detail, clock::wall()).await?;
    Ok(app.store.commit(tx).await?)
}

/// Changes (or first sets) the visitor's password; the cookie of the only session left.
pub async fn change_password(
    app: &App,
    visitor: &Visitor,
    current: &str,
    new: &str,
    browser: Browser<'_>,
) -> Result<HeaderValue, Refused> {
    password::check(new, &visitor.email)?;
    prove(app, visitor, current, browser).await?;
    let phc = app.passwords.hash(new).await?;
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let (user, org) = (visitor.user_id, Some(visitor.caller.org_id));
    store::passwords::set(&mut tx, user, &phc, now).await?;
    store::links::take_back_of_user(&mut tx, user, LinkKind::Recovery.word(), now).await?;
    store::browsers::forget(&mut tx, user).await?;
    let (id, cookie) = session::begin_in(&mut tx, user, org, browser.headers, browser.peer).await?;
    let ended = store::sessions::delete_of_user(&mut tx, user, Some(id)).await?;
    let detail = json!({"sessions_ended": ended});
    noted(&mut tx, visitor, "member.password", detail, now).await?;
    app.store.commit(tx).await?;
    Ok(cookie)
}

/// Ends one of the visitor's sessions.
pub async fn end_session(app: &App, visitor: &Visitor, id: Uuid) -> Result<(), Failure> {
    let mine = store::sessions::of_user(&app.store, visitor.user_id).await?;
    if !mine.iter().any(|session| session.id == id) {
        let words = "this session has ended already";
        return Err(Failure::new(ErrorCode::NotFound, words));
    }
    let mut tx = app.store.begin().await?;
    store::sessions::delete(&mut tx, id).await?;
    noted(
        &mut tx,
        visitor,
        "member.sign_out",
        json!({"sessions": 1}),
        clock::wall(),
    )
    .await?;
    Ok(app.store.commit(tx).await?)
}

/// Ends all of the visitor's sessions but this one; how many.
pub async fn end_others(app: &App, visitor: &Visitor) -> Result<u64, Failure> {
    let mut tx = app.store.begin().await?;
    let (user, this) = (visitor.user_id, visitor.session_id);
    let ended = store::sessions::delete_of_user(&mut tx, user, Some(this)).await?;
    let detail = json!({"sessions": ended});
    noted(&mut tx, visitor, "member.sign_out", detail, clock::wall()).await?;
    app.store.commit(tx).await?;
    Ok(ended)
}

/// Lets the visitor link another way to sign in, within ten minutes.
pub async fn prove_for_linking(
    app: &App,
    visitor: &Visitor,
    current: &str,
    browser: Browser<'_>,
) -> Result<(), Refused> {
    prove(app, visitor, current, browser).await?;
    let mut tx = app.store.begin().await?;
    store::sessions::prove(&mut tx, visitor.session_id, clock::wall()).await?;
    app.store.commit(tx).await?;
    Ok(())
}

/// Whether the visitor proved it in this session, a moment ago.
pub(super) async fn proved(app: &App, visitor: &Visitor) -> Result<bool, Failure> {
    let mine = sessions(app, visitor).await?;
    let this = mine.iter().find(|session| session.id == visitor.session_id);
    let proved = this.and_then(|session| session.proved_at);
    let now = clock::wall();
    Ok(proved.is_some_and(|proved| now.since(proved) < FRESH_MS))
}

/// Whether the one in front of the browser is the visitor.
async fn prove(
    app: &App,
    visitor: &Visitor,
    current: &str,
    browser: Browser<'_>,
) -> Result<(), Refused> {
    if has_password(app, visitor).await? {
        return match sign_in::check(app, &visitor.email, current, browser).await {
            Ok(_) => Ok(()),
            Err(Refused::Failure(failure)) if failure.code == ErrorCode::Forbidden => {
                let words = "that is not your current password";
                Err(Failure::new(ErrorCode::Forbidden, words).into())
            }
            Err(other) => Err(other),
        };
    }
    let mine = sessions(app, visitor).await?;
    let this = mine.iter().find(|session| session.id == visitor.session_id);
    let now = clock::wall();
    if this.is_some_and(|session| now.since(session.created_at) < FRESH_MS) {
        return Ok(());
    }
    Err(too_long_ago().into())
}

/// It has to be shown again who sits there.
pub(super) fn too_long_ago() -> Failure {
    let words = "it is too long ago that you showed who you are";
    Failure::new(ErrorCode::Forbidden, words)
        .hint("sign out and in again, then do it within ten minutes")
}

/// Notes what somebody did to their account in the log of each of their organizations.
pub(super) async fn noted(
    tx: &mut Tx,
    visitor: &Visitor,
    action: &str,
    detail: Value,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let member = MemberRow {
        user_id: visitor.user_id,
        email: visitor.email.clone(),
        name: visitor.name.clone(),
        role: visitor.caller.role.word().to_owned(),
    };
    for org in &visitor.orgs {
        let caller = Caller {
            org_id: org.org_id,
            role: org.role,
            ..visitor.caller.clone()
        };
        members::noted(tx, &caller, action, &member, detail.clone(), now).await?;
    }
    Ok(())
}
