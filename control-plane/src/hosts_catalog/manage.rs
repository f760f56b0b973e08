//! Changing hosts: name, owner, removal, and settling which of two machines is the host.
//!
//! A host is its owner's to change. Whoever administers the organization may see that it exists,
//! remove it, and hand it over once its owner has left; using it takes a grant like anybody's.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::link::close;
use hostler_proto::run::RunResult;
use hostler_proto::time::UtcMillis;
use serde_json::json;

use super::{members, reachable};
use crate::audit::{self, Thing};
use crate::auth::{Caller, Role};
use crate::names;
use crate::store::hosts::HostRow;
use crate::store::{StoreError, Tx};
use crate::{App, automations, clock, reconcile, store};

/// What went with a host that was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Automations that were paused.
    pub automations: usize,
    /// Runs whose end nobody will tell of.
    pub runs: usize,
}

/// Which of two machines is the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// The one that was refused: the host has moved.
    New,
    /// The one it was on: the other is a copy.
    Old,
}

/// A name for a host: what is left of `name`, if it can be one.
pub(crate) fn checked_name(name: &str) -> Result<&str, Failure> {
    names::readable(name, 100).ok_or_else(|| {
        Failure::new(
            ErrorCode::InvalidArgument,
            "a host's name has 1 to 100 visible characters",
        )
        .hint("give another name")
    })
}

/// A host of that name is there.
pub(crate) fn name_taken(name: &str) -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        format!("there is already a host named {name}"),
    )
}

/// Gives a host another name.
pub async fn rename(
    app: &App,
    caller: &Caller,
    reference: &str,
    name: &str,
) -> Result<HostRow, Failure> {
    let name = checked_name(name)?;
    let row = owned(app, caller, reference, "rename it").await?;
    if row.name == name {
        return Ok(row);
    }
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    still(&mut tx, &row).await?;
    match store::hosts::rename(&mut tx, row.id, name).await {
        Err(error) if error.is_duplicate() => {
            return Err(name_taken(name).hint("give another name"));
        }
        renamed => renamed?,
    }
    let detail = json!({ "from": row.name, "to": name });
    record(&mut tx, caller, "host.rename", &row, Some(detail), now).await?;
    app.store.commit(tx).await?;
    Ok(HostRow {
        name: name.to_owned(),
        ..row
    })
}

/// Removes a host: its link closes at once, it can never connect again, its name is free. Its
/// automations stay with their owners, paused, to be moved; runs going on are recorded as lost; the
/// host itself ends them and fires nothing more once it hears of it.
pub async fn revoke(app: &App, caller: &Caller, reference: &str) -> Result<Removed, Failure> {
    let row = reachable(app, caller, reference).await?;
    if row.owner_id != caller.user_id && caller.role < Role::Admin {
        return Err(not_yours(
            &row,
            "remove it, or somebody who administers the organization",
        ));
    }
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    still(&mut tx, &row).await?;
    let why = format!("was removed by {}", caller.label);
    let removed = retire(&mut tx, &row, &why, now).await?;
    let detail = json!({ "automationsPaused": removed.automations, "runsLost": removed.runs });
    record(&mut tx, caller, "host.revoke", &row, Some(detail), now).await?;
    app.store.commit(tx).await?;
    app.hosts.disconnect(row.id, "this host was removed");
    reconcile::release_moved(app, row.id, now).await?;
    Ok(removed)
}

/// Gives a host to another member: its owner may, and once the owner has left the organization,
/// whoever administers it.
pub async fn transfer(
    app: &App,
    caller: &Caller,
    reference: &str,
    member: &str,
) -> Result<HostRow, Failure> {
    let row = reachable(app, caller, reference).await?;
    let people = store::members::list(&app.store, caller.org_id).await?;
    let owner_left = people.iter().all(|one| one.user_id != row.owner_id);
    let may = row.owner_id == caller.user_id || (owner_left && caller.role >= Role::Admin);
    if !may {
        return Err(not_yours(
            &row,
            "hand it over; once they have left, an administrator can",
        ));
    }
    let to = members::pick(people, member)?;
    if to.user_id == row.owner_id {
        return Ok(row);
    }
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    still(&mut tx, &row).await?;
    let before = row.owner_id;
    store::hosts::set_owner(&mut tx, row.id, to.user_id).await?;
    let detail = json!({ "from": before.to_string(), "to": to.email });
    record(&mut tx, caller, "host.transfer", &row, Some(detail), now).await?;
    // Whoever had it has no access any more unless they are let in again.
    members::shut_out(&mut tx, app, &row, before, caller, now).await?;
    app.store.commit(tx).await?;
    app.hosts.sync_soon(row.id);
    Ok(HostRow {
        owner_id: to.user_id,
        ..row
    })
}

/// Settles which machine is the host, after another one was seen with its identity.
pub async fn confirm(
    app: &App,
    caller: &Caller,
    reference: &str,
    right: Right,
) -> Result<HostRow, Failure> {
    let row = owned(app, caller, reference, "say which machine it is").await?;
    let Some(doubt) = row.doubt.clone() else {
        return Err(Failure::new(
            ErrorCode::PreconditionFailed,
            format!(
                "no other machine was seen with the identity of host {}",
                row.name
            ),
        )
        .hint("there is nothing to confirm"));
    };
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    still(&mut tx, &row).await?;
    store::hosts::set_doubt(&mut tx, row.id, None).await?;
    if right == Right::New {
        // Without a mark of its own the next one to connect is taken.
        store::hosts::set_machine(&mut tx, row.id, doubt.machine.as_deref()).await?;
        store::hosts::set_past_marks(&mut tx, row.id, &[]).await?;
    }
    let which = match right {
        Right::New => "the new machine",
        Right::Old => "the machine it was on",
    };
    let detail = json!({ "right": which });
    record(&mut tx, caller, "host.confirm", &row, Some(detail), now).await?;
    app.store.commit(tx).await?;
    if right == Right::New {
        let why = "another machine is this host now: show who you are again";
        app.hosts.close(row.id, close::AUTHENTICATE, why);
    }
    Ok(HostRow { doubt: None, ..row })
}

/// Ends everything that stands on a host that is one no more. Its row stays.
pub(crate) async fn retire(
    tx: &mut Tx,
    host: &HostRow,
    why: &str,
    now: UtcMillis,
) -> Result<Removed, StoreError> {
    let mut removed = Removed::default();
    if !store::hosts::revoke(tx, host.id, now).await? {
        return Ok(removed);
    }
    let paused = format!(
        "host {} {why}: move it to another host (hostId), then resume it",
        host.name
    );
    for row in store::automations::on_host(tx, host.id).await? {
        if automations::pause_for(tx, &row, &paused, now).await? {
            removed.automations += 1;
        }
    }
    store::commands::remove_of_host(tx, host.id).await?;
    for (mut run, _) in store::runs::going_on(tx, host.id).await? {
        let reason = format!("host {} {why} while it went on", host.name);
        reconcile::end(&mut run, RunResult::Lost, reason, now);
        store::runs::put(tx, host.org_id, host.id, &run, now).await?;
        removed.runs += 1;
    }
    Ok(removed)
}

/// The host a reference means, if it is the caller's own.
pub(super) async fn owned(
    app: &App,
    caller: &Caller,
    reference: &str,
    what: &str,
) -> Result<HostRow, Failure> {
    let row = reachable(app, caller, reference).await?;
    if row.owner_id == caller.user_id {
        return Ok(row);
    }
    Err(not_yours(&row, what))
}

/// Refuses what was decided on a row that has changed hands or is gone meanwhile.
pub(super) async fn still(tx: &mut Tx, row: &HostRow) -> Result<(), Failure> {
    let now = store::hosts::by_id_in(tx, row.id).await?;
    let same = now.is_some_and(|now| now.owner_id == row.owner_id && now.revoked_at.is_none());
    if same {
        return Ok(());
    }
    Err(names::missing("host", "hosts_list", &row.name))
}

pub(super) async fn record(
    tx: &mut Tx,
    caller: &Caller,
    action: &str,
    row: &HostRow,
    detail: Option<serde_json::Value>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let id = row.id.to_string();
    let thing = Thing {
        kind: "host",
        id: &id,
        name: &row.name,
    };
    audit::record(tx, caller, action, thing, detail, now).await
}

fn not_yours(row: &HostRow, what: &str) -> Failure {
    Failure::new(
        ErrorCode::Forbidden,
        format!("host {} ({}) is somebody else's", row.name, row.id),
    )
    .hint(format!("only its owner can {what}"))
}
