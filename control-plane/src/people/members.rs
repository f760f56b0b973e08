//! Members of an organization: their roles, and removing them.
//!
//! Admins and owners manage members; nobody gives or takes a role above their own, and an
//! organization keeps an owner. Whoever is removed loses, in one transaction, their tokens and
//! enrolment keys for the organization, their sessions' access to it, the hosts others shared with
//! them, and the invitations they made. Hosts they own are theirs: they are taken out of the
//! organization and their links are closed. Their automations are paused and pass to whoever removed
//! them, or to the oldest owner when they left by themselves.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::UserId;
use hostler_proto::time::UtcMillis;
use serde_json::{Value, json};

use super::{newcomer, recovery};
use crate::audit::{self, Thing};
use crate::auth::{Caller, Role};
use crate::store::hosts::HostRow;
use crate::store::members::MemberRow;
use crate::store::{self, StoreError, Tx};
use crate::{App, automations, clock};

/// The members of the caller's organization, by email. Every member may see them.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<MemberRow>, Failure> {
    Ok(store::members::list(&app.store, caller.org_id).await?)
}

/// One of them.
pub async fn get(app: &App, caller: &Caller, user: UserId) -> Result<MemberRow, Failure> {
    let all = list(app, caller).await?;
    let found = all.into_iter().find(|member| member.user_id == user);
    found.ok_or_else(|| unknown(user))
}

/// Whether somebody of this role may manage somebody of that role.
pub fn may_manage(own: Role, other: Role) -> bool {
    own >= Role::Admin && other <= own
}

/// The role of a member.
pub fn role_of(member: &MemberRow) -> Role {
    Role::from_word(&member.role).unwrap_or(Role::Member)
}

/// Gives a member another role.
pub async fn set_role(app: &App, caller: &Caller, user: UserId, role: Role) -> Result<(), Failure> {
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let own = own_role(&mut tx, caller).await?;
    let member = member_in(&mut tx, caller, user).await?;
    let before = role_of(&member);
    if !may_manage(own, before) || !may_manage(own, role) {
        return Err(not_yours(own));
    }
    if before == role {
        return Ok(());
    }
    if before == Role::Owner {
        keep_an_owner(&mut tx, caller).await?;
    }
    store::members::set_role(&mut tx, caller.org_id, user, role.word()).await?;
    if role < before {
        store::links::take_back_by(&mut tx, caller.org_id, user, now).await?;
    }
    let detail = json!({"from": before.word(), "to": role.word()});
    noted(&mut tx, caller, "member.role", &member, detail, now).await?;
    Ok(app.store.commit(tx).await?)
}

/// Gives a member another email; for those who manage them in each of their organizations.
pub async fn set_email(
    app: &App,
    caller: &Caller,
    user: UserId,
    email: &str,
) -> Result<(), Failure> {
    let email = super::email(email)?;
    let now = clock::wall();
    get(app, caller, user).await?;
    if !recovery::manages_all_of(app, caller.user_id, user).await? {
        return Err(recovery::not_all_managed());
    }
    let orgs = store::sessions::memberships(&app.store, user).await?;
    let mut tx = app.store.begin().await?;
    let own = own_role(&mut tx, caller).await?;
    let member = member_in(&mut tx, caller, user).await?;
    if !may_manage(own, role_of(&member)) {
        return Err(not_yours(own));
    }
    let changed = store::members::update_user(&mut tx, user, &email, &member.name).await;
    changed.map_err(|error| newcomer::duplicate_or(error, || newcomer::taken(&email)))?;
    let detail = json!({"from": member.email, "to": email});
    for org in orgs {
        let there = Caller {
            org_id: org.org_id,
            ..caller.clone()
        };
        noted(
            &mut tx,
            &there,
            "member.email",
            &member,
            detail.clone(),
            now,
        )
        .await?;
    }
    Ok(app.store.commit(tx).await?)
}

/// Takes somebody out of the organization; oneself to leave it.
pub async fn remove(app: &App, caller: &Caller, user: UserId) -> Result<(), Failure> {
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let own = own_role(&mut tx, caller).await?;
    let member = member_in(&mut tx, caller, user).await?;
    let leaves = user == caller.user_id;
    if !leaves && !may_manage(own, role_of(&member)) {
        return Err(not_yours(own));
    }
    if role_of(&member) == Role::Owner {
        keep_an_owner(&mut tx, caller).await?;
    }
    let heir = if leaves {
        store::members::other_owner_in(&mut tx, caller.org_id, user).await?
    } else {
        Some(caller.user_id)
    };
    let heir = heir.ok_or_else(last_owner)?;
    let told = automations::leave_behind(&mut tx, caller, user, heir, now).await?;
    let hosts = take_out_hosts(&mut tx, caller, user, now).await?;
    store::tokens::revoke_of_user(&mut tx, caller.org_id, user, now).await?;
    store::links::take_back_by(&mut tx, caller.org_id, user, now).await?;
    store::members::remove(&mut tx, caller.org_id, user).await?;
    let action = if leaves {
        "member.leave"
    } else {
        "member.remove"
    };
    noted(&mut tx, caller, action, &member, Value::Null, now).await?;
    app.store.commit(tx).await?;
    for host in hosts {
        app.hosts
            .disconnect(host.id, "its owner left the organization");
    }
    for host in told {
        app.hosts.sync_soon(host);
    }
    Ok(())
}

async fn take_out_hosts(
    tx: &mut Tx,
    caller: &Caller,
    user: UserId,
    now: UtcMillis,
) -> Result<Vec<HostRow>, StoreError> {
    let hosts = store::hosts::owned_in(tx, caller.org_id, user).await?;
    for host in &hosts {
        store::hosts::revoke(tx, host.id, now).await?;
        let id = host.id.to_string();
        let thing = Thing {
            kind: "host",
            id: &id,
            name: &host.name,
        };
        let detail = Some(json!({"because": "its owner left the organization"}));
        audit::record(tx, caller, "host.revoke", thing, detail, now).await?;
    }
    Ok(hosts)
}

/// The caller's role as it is now.
pub(super) async fn own_role(tx: &mut Tx, caller: &Caller) -> Result<Role, Failure> {
    let own = store::members::get_in(tx, caller.org_id, caller.user_id).await?;
    let own = own.as_ref().map(role_of);
    own.ok_or_else(|| unknown(caller.user_id))
}

async fn member_in(tx: &mut Tx, caller: &Caller, user: UserId) -> Result<MemberRow, Failure> {
    let member = store::members::get_in(tx, caller.org_id, user).await?;
    member.ok_or_else(|| unknown(user))
}

async fn keep_an_owner(tx: &mut Tx, caller: &Caller) -> Result<(), Failure> {
    if store::members::owners_in(tx, caller.org_id).await? > 1 {
        return Ok(());
    }
    Err(last_owner())
}

/// Notes in the audit log what was done to a member.
pub(super) async fn noted(
    tx: &mut Tx,
    caller: &Caller,
    action: &str,
    member: &MemberRow,
    detail: Value,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let id = member.user_id.to_string();
    let thing = Thing {
        kind: "member",
        id: &id,
        name: &member.email,
    };
    let detail = Some(detail).filter(|detail| !detail.is_null());
    audit::record(tx, caller, action, thing, detail, now).await
}

fn last_owner() -> Failure {
    Failure::new(
        ErrorCode::PreconditionFailed,
        "an organization needs an owner, and this is its last one",
    )
    .hint("make somebody else an owner first")
}

/// What somebody is told who may not manage people like this.
pub(super) fn not_yours(own: Role) -> Failure {
    let words = match own {
        Role::Member => "members are managed by admins and owners",
        Role::Admin | Role::Owner => "owners are made and managed by owners alone",
    };
    Failure::new(ErrorCode::Forbidden, words).hint("ask an owner of the organization")
}

fn unknown(user: UserId) -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        format!("there is no member {user} in this organization"),
    )
    .hint("look at Settings > Members")
}
