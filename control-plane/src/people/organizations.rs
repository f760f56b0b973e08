//! Organizations of a person: making one, choosing one, renaming one.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::OrgId;
use serde_json::json;

use super::members;
use crate::audit::{self, Thing};
use crate::auth::session::Visitor;
use crate::auth::{Caller, Role};
use crate::{App, clock, store};

/// Most organizations that one person belongs to.
const MOST: usize = 50;

/// Makes an organization that the visitor owns and works in from now on.
pub async fn create(app: &App, visitor: &Visitor, name: &str) -> Result<OrgId, Failure> {
    let name = super::name(name, "an organization's")?;
    if visitor.orgs.len() >= MOST {
        let words = format!("you belong to {MOST} organizations already");
        return Err(Failure::new(ErrorCode::Conflict, words).hint("leave one of them first"));
    }
    let now = clock::wall();
    let org = OrgId::fresh(now, &clock::id_entropy());
    let caller = Caller {
        org_id: org,
        role: Role::Owner,
        ..visitor.caller.clone()
    };
    let mut tx = app.store.begin().await?;
    store::members::insert_org(&mut tx, org, &name, now).await?;
    store::members::insert_member(&mut tx, org, visitor.user_id, "owner", now).await?;
    store::sessions::choose_org(&mut tx, visitor.session_id, org).await?;
    noted(&mut tx, &caller, "organization.create", &name, None, now).await?;
    app.store.commit(tx).await?;
    Ok(org)
}

/// Works in another of the visitor's organizations from now on; its name.
pub async fn choose(app: &App, visitor: &Visitor, org: OrgId) -> Result<String, Failure> {
    let chosen = visitor.orgs.iter().find(|mine| mine.org_id == org);
    let Some(chosen) = chosen else {
        return Err(Failure::new(
            ErrorCode::NotFound,
            format!("you belong to no organization {org}"),
        )
        .hint("choose one of the list"));
    };
    let mut tx = app.store.begin().await?;
    store::sessions::choose_org(&mut tx, visitor.session_id, org).await?;
    app.store.commit(tx).await?;
    Ok(chosen.name.clone())
}

/// Renames the caller's organization.
pub async fn rename(app: &App, caller: &Caller, name: &str) -> Result<(), Failure> {
    let name = super::name(name, "an organization's")?;
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let own = members::own_role(&mut tx, caller).await?;
    if own < Role::Admin {
        return Err(members::not_yours(own));
    }
    store::members::rename_org(&mut tx, caller.org_id, &name).await?;
    let detail = Some(json!({"name": name}));
    noted(&mut tx, caller, "organization.rename", &name, detail, now).await?;
    Ok(app.store.commit(tx).await?)
}

async fn noted(
    tx: &mut store::Tx,
    caller: &Caller,
    action: &str,
    name: &str,
    detail: Option<serde_json::Value>,
    now: hostler_proto::time::UtcMillis,
) -> Result<(), store::StoreError> {
    let id = caller.org_id.to_string();
    let thing = Thing {
        kind: "organization",
        id: &id,
        name,
    };
    audit::record(tx, caller, action, thing, detail, now).await
}
