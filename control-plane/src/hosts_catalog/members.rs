//! Who may use a host: its owner, and the members its owner let in.
//!
//! Whoever loses access loses it whole: their automations for the host are paused, and their runs
//! there are ended. The definitions stay theirs, to be moved to another host.

use hostler_proto::command::{Command, RunCancel};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{CommandId, UserId};
use hostler_proto::time::UtcMillis;
use serde_json::json;

use super::manage::{owned, record, still};
use crate::auth::Caller;
use crate::names::{self, Named};
use crate::store::commands::OpenCommand;
use crate::store::hosts::HostRow;
use crate::store::members::MemberRow;
use crate::store::{StoreError, Tx};
use crate::{App, automations, clock, reconcile, store};

/// Lets a member (by email or id) use a host. Letting in twice changes nothing.
pub async fn grant(
    app: &App,
    caller: &Caller,
    reference: &str,
    member: &str,
) -> Result<MemberRow, Failure> {
    let row = owned(app, caller, reference, "let others use it").await?;
    let people = store::members::list(&app.store, caller.org_id).await?;
    let member = pick(people, member)?;
    if member.user_id == row.owner_id {
        return Ok(member);
    }
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    still(&mut tx, &row).await?;
    if store::hosts::grant(&mut tx, row.id, member.user_id, caller.user_id, now).await? {
        let detail = json!({ "member": member.email });
        record(&mut tx, caller, "host.grant", &row, Some(detail), now).await?;
    }
    app.store.commit(tx).await?;
    Ok(member)
}

/// Takes a member's access away. The member may be one no more.
pub async fn ungrant(
    app: &App,
    caller: &Caller,
    reference: &str,
    member: &str,
) -> Result<MemberRow, Failure> {
    let row = owned(app, caller, reference, "take access to it away").await?;
    let people = store::members::list(&app.store, caller.org_id).await?;
    let member = pick(people, member)?;
    if member.user_id == row.owner_id {
        return Err(Failure::new(
            ErrorCode::InvalidArgument,
            format!("{} owns host {}", member.email, row.name),
        )
        .hint("hand the host over to another member instead"));
    }
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    still(&mut tx, &row).await?;
    if store::hosts::ungrant(&mut tx, row.id, member.user_id).await? {
        let detail = json!({ "member": member.email });
        record(&mut tx, caller, "host.ungrant", &row, Some(detail), now).await?;
        shut_out(&mut tx, app, &row, member.user_id, caller, now).await?;
    }
    app.store.commit(tx).await?;
    app.hosts.sync_soon(row.id);
    let (sender, host) = (app.clone(), row.id);
    app.in_background(async move { reconcile::host_is_back(&sender, host).await });
    Ok(member)
}

/// Stops what a person who has no access any more had going on a host.
pub(super) async fn shut_out(
    tx: &mut Tx,
    app: &App,
    host: &HostRow,
    user: UserId,
    caller: &Caller,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let why = format!(
        "{} took away the access to its host: move it to another host (hostId), then resume it",
        caller.label
    );
    let theirs = store::automations::on_host(tx, host.id).await?;
    let theirs: Vec<_> = theirs
        .into_iter()
        .filter(|row| row.owner_id == user)
        .collect();
    for row in &theirs {
        automations::pause_for(tx, row, &why, now).await?;
    }
    for (run, _) in store::runs::going_on(tx, host.id).await? {
        let is_theirs = theirs.iter().any(|row| row.id == run.automation_id);
        if !is_theirs || store::commands::cancel_of(tx, run.id).await?.is_some() {
            continue;
        }
        let open = OpenCommand {
            id: CommandId::fresh(now, &clock::id_entropy()),
            org_id: host.org_id,
            host_id: host.id,
            subject: run.id.0,
            command: Command::RunCancel(RunCancel {
                run_id: run.id,
                requested_by: caller.label.clone(),
                by: Some(caller.actor()),
            }),
            created_at: now,
        };
        store::commands::insert(tx, &open).await?;
        app.hosts.tell(run.id);
    }
    Ok(())
}

/// The member that an email, a name or an id means.
pub(super) fn pick(people: Vec<MemberRow>, reference: &str) -> Result<MemberRow, Failure> {
    let candidates = people.into_iter().map(|person| Named {
        id: person.user_id.to_string(),
        name: person.email.clone(),
        slug: Some(person.name.clone()),
        thing: person,
    });
    names::pick(
        "member",
        "the organization's members",
        reference,
        candidates.collect(),
    )
    .map_err(|failure| failure.hint("give the email of a member of this organization"))
}
