//! Hosts as the catalog knows them: which ones a caller may use, and which one a name means.
//!
//! A host is seen by its owner and by members the owner let in; to everybody else it does not
//! exist. Links and enrolment are elsewhere (`hosts/`); changing hosts is in `manage`, who may use
//! them in `members`, their keys in `keys`.

pub mod keys;
pub mod manage;
pub mod members;
pub mod show;

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::host::{HostFacts, HostLoad};
use hostler_proto::ids::{HostId, UserId};
use hostler_proto::time::UtcMillis;

use crate::App;
use crate::auth::{Caller, Role};
use crate::names::{self, Named};
use crate::store;
use crate::store::hosts::{Doubt, HostRow};

/// A host as its users see it.
#[derive(Clone, Debug, PartialEq)]
pub struct HostView {
    /// Identity.
    pub id: HostId,
    /// Name, unique in the organization in any case.
    pub name: String,
    /// Whether its link is up now.
    pub online: bool,
    /// Since when, while online.
    pub online_since: Option<UtcMillis>,
    /// When it was last heard of; none before its first connection.
    pub last_seen_at: Option<UtcMillis>,
    /// What it says of itself; none before its first connection.
    pub facts: Option<HostFacts>,
    /// Latest readings, and when they were taken.
    pub load: Option<(HostLoad, UtcMillis)>,
    /// How far its clock is ahead of the server's (negative: behind), ms; none while offline.
    pub clock_ahead_ms: Option<i64>,
    /// Who enrolled it.
    pub owner_id: UserId,
    /// When it was enrolled.
    pub enrolled_at: UtcMillis,
    /// Another machine was seen with its identity.
    pub doubt: Option<Doubt>,
    /// There is no room on the server's disk for what hosts tell.
    pub server_full: bool,
}

/// The hosts the caller may use, by name.
pub async fn list(
    app: &App,
    caller: &Caller,
    online: Option<bool>,
) -> Result<Vec<HostView>, Failure> {
    let rows = store::hosts::usable(&app.store, caller.org_id, caller.user_id).await?;
    let views = rows.into_iter().map(|row| view(app, row));
    Ok(views
        .filter(|host| online.is_none_or(|wanted| host.online == wanted))
        .collect())
}

/// The host that an id or a name means.
pub async fn resolve(app: &App, caller: &Caller, reference: &str) -> Result<HostRow, Failure> {
    let rows = store::hosts::usable(&app.store, caller.org_id, caller.user_id).await?;
    let candidates = rows.into_iter().map(named).collect();
    names::pick("host", "hosts_list", reference, candidates)
}

/// The same, to do something on it: refused where the host's own settings leave the caller out. The
/// host checks again; this is to say so early.
pub async fn resolve_to_work(
    app: &App,
    caller: &Caller,
    reference: &str,
) -> Result<HostRow, Failure> {
    let row = resolve(app, caller, reference).await?;
    let_in(&row, caller)?;
    Ok(row)
}

/// Refuses somebody whom the host's own settings leave out.
pub(crate) fn let_in(row: &HostRow, caller: &Caller) -> Result<(), Failure> {
    let policy = row.facts.as_ref().and_then(|facts| facts.policy.as_ref());
    if policy.is_none_or(|policy| policy.allows_member(Some(&caller.actor()))) {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::Forbidden,
        format!("host {} does not let {} use it", row.name, caller.label),
    )
    .hint("its owner can add the email to allowed_members in the host's host.toml"))
}

/// A host the caller may work on; `what` stands on it.
pub(crate) async fn to_work_on(
    app: &App,
    caller: &Caller,
    id: HostId,
    what: &str,
) -> Result<HostRow, Failure> {
    let rows = store::hosts::usable(&app.store, caller.org_id, caller.user_id).await?;
    let row = rows.into_iter().find(|row| row.id == id).ok_or_else(|| {
        Failure::new(
            ErrorCode::PreconditionFailed,
            format!("the host of {what} was removed, or is not yours to use any more"),
        )
        .hint("move it to another host first (hostId); hosts_list has those you may use")
    })?;
    let_in(&row, caller)?;
    Ok(row)
}

/// The host that an id or a name means, also one that the caller may not use but only manage:
/// whoever administers the organization.
pub(crate) async fn reachable(
    app: &App,
    caller: &Caller,
    reference: &str,
) -> Result<HostRow, Failure> {
    let rows = if caller.role >= Role::Admin {
        store::hosts::of_org(&app.store, caller.org_id).await?
    } else {
        store::hosts::usable(&app.store, caller.org_id, caller.user_id).await?
    };
    let candidates = rows.into_iter().map(named).collect();
    names::pick("host", "hosts_list", reference, candidates)
}

/// The named host, or the caller's only one when none is named.
pub async fn resolve_or_only(
    app: &App,
    caller: &Caller,
    reference: Option<&str>,
) -> Result<HostRow, Failure> {
    if let Some(reference) = reference {
        return resolve_to_work(app, caller, reference).await;
    }
    let mut rows = store::hosts::usable(&app.store, caller.org_id, caller.user_id).await?;
    match (rows.pop(), rows.len()) {
        (Some(only), 0) => {
            let_in(&only, caller)?;
            Ok(only)
        }
        (None, _) => Err(Failure::new(
            ErrorCode::PreconditionFailed,
            "there is no host to use yet",
        )
        .hint("enrol one with `hostler join`, or start `hostler up` on the machine to use")),
        (Some(last), _) => {
            rows.push(last);
            Err(several(&rows))
        }
    }
}

/// The host with this id, whoever may use it: for what already runs there.
pub(crate) async fn by_id(app: &App, id: HostId) -> Result<HostRow, Failure> {
    let row = store::hosts::by_id(&app.store, id).await?;
    row.ok_or_else(|| names::missing("host", "hosts_list", &id.to_string()))
}

fn several(rows: &[HostRow]) -> Failure {
    let list = rows
        .iter()
        .map(|row| format!("{} ({})", row.name, row.id))
        .collect::<Vec<_>>()
        .join(", ");
    Failure::new(
        ErrorCode::InvalidArgument,
        format!("no host was given and there are {}: {list}", rows.len()),
    )
    .hint("pass the id or name of the one to use")
}

fn named(row: HostRow) -> Named<HostRow> {
    Named {
        id: row.id.to_string(),
        name: row.name.clone(),
        slug: None,
        thing: row,
    }
}

fn view(app: &App, row: HostRow) -> HostView {
    let presence = app.hosts.online(row.id);
    let live_load = presence.as_ref().and_then(|presence| presence.load.clone());
    HostView {
        id: row.id,
        name: row.name,
        online: presence.is_some(),
        online_since: presence.as_ref().map(|presence| presence.since),
        last_seen_at: row.last_seen_at,
        clock_ahead_ms: presence.map(|presence| presence.skew_ms),
        facts: row.facts,
        load: live_load.zip(row.load_at).or(row.load.zip(row.load_at)),
        owner_id: row.owner_id,
        enrolled_at: row.enrolled_at,
        doubt: row.doubt,
        server_full: app.store.is_full(),
    }
}
