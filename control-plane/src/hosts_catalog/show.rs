//! One host in full, and what is wrong with it, in words.

use hostler_proto::error::Failure;
use hostler_proto::time::UtcMillis;

use super::{HostView, view};
use crate::App;
use crate::auth::{Caller, Role};
use crate::hosts::CLOCK_OFF_MS;
use crate::store;
use crate::store::hosts::{Doubt, DoubtKind, GrantRow};

/// A host in full, as far as the caller may know it.
#[derive(Clone, Debug, PartialEq)]
pub struct HostDetail {
    /// The host. Without facts and readings for somebody who may only manage it.
    pub host: HostView,
    /// Its owner's email; their id when they have left the organization.
    pub owner: String,
    /// Whether its owner is still a member.
    pub owner_is_member: bool,
    /// Whether the caller owns it.
    pub is_owner: bool,
    /// Whether the caller may work on it.
    pub usable: bool,
    /// The members its owner let in; told to the owner and to administrators.
    pub members: Option<Vec<GrantRow>>,
    /// When its key was made or last changed.
    pub key_since: UtcMillis,
    /// Until when the key before is good.
    pub old_key_until: Option<UtcMillis>,
    /// What is wrong with it.
    pub warnings: Vec<String>,
}

/// One host, by id or name.
pub async fn show(app: &App, caller: &Caller, reference: &str) -> Result<HostDetail, Failure> {
    let usable = store::hosts::usable(&app.store, caller.org_id, caller.user_id).await?;
    let row = super::reachable(app, caller, reference).await?;
    let usable = usable.iter().any(|one| one.id == row.id);
    let is_owner = row.owner_id == caller.user_id;
    let tells_members = is_owner || caller.role >= Role::Admin;
    let members = if tells_members {
        Some(store::hosts::grants(&app.store, row.id).await?)
    } else {
        None
    };
    let people = store::members::list(&app.store, caller.org_id).await?;
    let owner = people.iter().find(|one| one.user_id == row.owner_id);
    let key_since = row.key_since.unwrap_or(row.enrolled_at);
    let old = row.old_public_key.as_ref().map(|(_, until)| *until);
    let mut host = view(app, row);
    if !usable {
        host.facts = None;
        host.load = None;
    }
    Ok(HostDetail {
        owner: owner.map_or_else(|| host.owner_id.to_string(), |owner| owner.email.clone()),
        owner_is_member: owner.is_some(),
        is_owner,
        usable,
        members,
        key_since,
        old_key_until: old.filter(|until| *until > crate::clock::wall()),
        warnings: warnings(&host),
        host,
    })
}

/// Every host the caller may use, and for whoever administers the organization also the others:
/// those without facts, readings and members.
pub async fn all(app: &App, caller: &Caller) -> Result<Vec<(HostView, bool)>, Failure> {
    let usable = store::hosts::usable(&app.store, caller.org_id, caller.user_id).await?;
    let all = if caller.role >= Role::Admin {
        store::hosts::of_org(&app.store, caller.org_id).await?
    } else {
        usable.clone()
    };
    let views = all.into_iter().map(|row| {
        let may = usable.iter().any(|one| one.id == row.id);
        let mut host = view(app, row);
        if !may {
            host.facts = None;
            host.load = None;
        }
        (host, may)
    });
    Ok(views.collect())
}

/// What is wrong with a host, a sentence each.
pub fn warnings(host: &HostView) -> Vec<String> {
    let low = host.load.as_ref().and_then(|(load, _)| {
        let words = load.low_space.as_ref()?;
        Some(format!("low on disk space: {words}"))
    });
    let policy = host.facts.as_ref().and_then(|facts| {
        let problem = facts.policy.as_ref()?.problem.as_ref()?;
        Some(format!(
            "its host.toml cannot be read, and what it said before holds: {problem}"
        ))
    });
    let off = host.clock_ahead_ms.and_then(clock_off);
    let full = host.server_full.then(|| {
        "the control plane's own disk is full: what hosts tell is not stored, and they may show as offline, until there is room where its data folder lies".to_owned()
    });
    let doubt = host.doubt.as_ref().map(|doubt| doubted(&host.name, doubt));
    full.into_iter()
        .chain(doubt)
        .chain(off)
        .chain(low)
        .chain(policy)
        .collect()
}

/// What was seen, and what its owner can do. Which machine is right is not known here.
fn doubted(name: &str, doubt: &Doubt) -> String {
    let Doubt { last, system, .. } = doubt;
    match doubt.how {
        DoubtKind::Both => format!(
            "a second machine ({system}) used this host's identity while it was connected, last at {last}, and was refused: identity.json was copied. \
             On the copy run `hostler leave`, then `hostler join` with a fresh key; on the host run `hostler hosts rotate-key`, which makes what was copied worthless"
        ),
        DoubtKind::Moved => format!(
            "another machine ({system}) wants to be this host, last at {last}, and is refused; which one is right cannot be known from here. \
             If the host has moved there: `hostler hosts confirm {name}`. If it is a copy: `hostler leave` there, then `hostler hosts rotate-key` on the host; `hostler hosts confirm {name} --keep` takes this warning away"
        ),
        DoubtKind::Parted => format!(
            "two copies of this host's data ({system}) go on from the same point, last seen at {last}; the one that came back is refused, and which one is right cannot be known from here. \
             If the refused one is the host: `hostler hosts confirm {name}`. If it is the copy: `hostler leave` there, then `hostler hosts rotate-key` on the host; `hostler hosts confirm {name} --keep` takes this warning away"
        ),
    }
}

/// A clock that is off by more than half a minute, which its schedules go by.
fn clock_off(ahead_ms: i64) -> Option<String> {
    if ahead_ms.abs() <= CLOCK_OFF_MS {
        return None;
    }
    let seconds = ahead_ms.abs() / 1000;
    let off = match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    };
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    Some(format!(
        "its clock is {off} {side} the server's, and its schedules fire by its own clock: set the clock there \
         (turn on NTP)"
    ))
}
