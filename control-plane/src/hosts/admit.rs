//! Whether a host that introduced itself is taken: known, not revoked, its proof good, and not a
//! copy of one that is alive elsewhere.
//!
//! Last one wins: a host that connects again replaces its own old socket. A copied credential shows
//! by another start of the daemon while the old one still answers, by another machine, or by a
//! database that two go on from. A thief who has the key can say anything: this is to notice copies
//! that were made without thinking, and a copy that was made on purpose as far as it shows.

use std::time::Duration;

use hostler_proto::frame::payload::{Challenge, Hello, Reject, RejectCode};
use hostler_proto::ids::HostId;
use hostler_proto::link::proof;
use hostler_proto::time::UtcMillis;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::registry::{Ask, Handle};
use crate::store::audit::NewEntry;
use crate::store::hosts::{Doubt, DoubtKind, HostRow};
use crate::{App, audit, clock, store};

/// How long an old link has to show a sign of life; its own session gives up after two seconds.
const PROBE: Duration = Duration::from_millis(2_500);

/// A host whose proof is good.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) row: HostRow,
    /// It proved itself with the key before its last one, which is good until then.
    pub(super) by_old_key_until: Option<UtcMillis>,
}

/// Checks who it is, without looking at other links.
pub(super) async fn identify(
    app: &App,
    challenge: &Challenge,
    hello: &Hello,
) -> Result<Known, Reject> {
    let row = match store::hosts::by_id(&app.store, hello.host_id).await {
        Ok(Some(row)) => row,
        Ok(None) => {
            return Err(fatal(
                RejectCode::UnknownHost,
                "this host is not enrolled here; run `hostler leave`, then `hostler join` with a fresh key",
            ));
        }
        Err(error) => {
            tracing::error!(%error, "a host could not be looked up");
            return Err(overloaded());
        }
    };
    if proof::verify_hello(&row.public_key, challenge, hello) {
        return taken(row, None);
    }
    let old = row.old_public_key.as_ref().filter(|(key, until)| {
        *until > clock::wall() && proof::verify_hello(key, challenge, hello)
    });
    let until = old.map(|(_, until)| *until);
    if until.is_some() {
        return taken(row, until);
    }
    Err(fatal(
        RejectCode::BadSignature,
        "this host's proof does not fit the key it has here; if another machine has changed the key, or this one was restored from an old backup, run `hostler leave`, then `hostler join` with a fresh key; its owner frees its name and its automations with `hostler hosts revoke`",
    ))
}

/// Only whoever has its key learns that a host was removed.
fn taken(row: HostRow, by_old_key_until: Option<UtcMillis>) -> Result<Known, Reject> {
    if row.revoked_at.is_some() {
        return Err(revoked());
    }
    Ok(Known {
        row,
        by_old_key_until,
    })
}

/// Whether it is on the machine it was on, and goes on from where it was. If not, which of the two
/// is the host cannot be known from here: it is refused until its owner says so.
pub(super) async fn the_same(app: &App, row: &HostRow, hello: &Hello) -> Result<(), Reject> {
    let other = row.machine.as_ref().zip(hello.machine.as_ref());
    let moved = other.is_some_and(|(known, told)| known != told);
    let told: Vec<&String> = hello.lives.iter().map(|life| &life.mark).collect();
    let parted = row.past_marks.iter().any(|mark| told.contains(&mark));
    let how = match (moved, parted) {
        (true, _) => DoubtKind::Moved,
        (false, true) => DoubtKind::Parted,
        (false, false) => return Ok(()),
    };
    doubt(app, row, hello, how).await;
    let (name, url) = (&row.name, &app.server.url);
    let what = match how {
        DoubtKind::Moved | DoubtKind::Both => "was last on another machine",
        DoubtKind::Parted => "has gone on elsewhere from a copy of this machine's data",
    };
    Err(Reject {
        code: RejectCode::Moved,
        message: format!(
            "host {name} {what}, and only its owner knows which one is the host. If this one is: `hostler hosts confirm {name}`, or the page of the host at {url}/hosts. If it is a copy: `hostler leave` here, then `hostler join` with a fresh key. Until then no schedule fires here"
        ),
        retry_after_ms: Some(15_000),
        fatal: false,
        versions: None,
    })
}

/// Looks at the host's present link, if any. An error is the refusal of the new one.
pub(super) async fn no_other_alive(app: &App, row: &HostRow, hello: &Hello) -> Result<(), Reject> {
    let host = hello.host_id;
    let Some(old) = app.hosts.handle(host) else {
        return Ok(());
    };
    // The same daemon has one link at a time: its old one is dead whatever the socket says.
    if old.instance == hello.instance_id || !answers(&old).await {
        return Ok(());
    }
    app.hosts.flag_cloned(host);
    doubt(app, row, hello, DoubtKind::Both).await;
    Err(copied(host, &old, hello))
}

/// Notes that another machine was seen with this identity, until somebody settles it.
async fn doubt(app: &App, row: &HostRow, hello: &Hello, how: DoubtKind) {
    let now = clock::wall();
    let since = row.doubt.as_ref().map_or(now, |doubt| doubt.since);
    let news = row.doubt.as_ref().is_none_or(|known| known.how != how);
    let doubt = Doubt {
        how,
        since,
        last: now,
        machine: hello.machine.clone(),
        system: format!("{}/{}", hello.os, hello.arch),
    };
    let noted = async {
        let mut tx = app.store.begin().await?;
        store::hosts::set_doubt(&mut tx, row.id, Some(&doubt)).await?;
        if news {
            let id = row.id.to_string();
            let entry = NewEntry {
                at: now,
                actor_id: None,
                actor: &row.name,
                client: "hostler daemon",
                address: None,
                action: "host.doubt",
                thing_kind: "host",
                thing_id: &id,
                thing_name: &row.name,
                detail: serde_json::to_value(&doubt).ok(),
            };
            audit::append(&mut tx, row.org_id, &entry).await?;
        }
        app.store.commit(tx).await
    };
    if let Err(error) = noted.await {
        tracing::error!(%error, host = %row.id, "a doubt about a host was not noted");
    }
}

/// Its access was taken away.
pub(super) fn revoked() -> Reject {
    fatal(
        RejectCode::Revoked,
        "this host was removed; run `hostler leave`, then `hostler join` with a fresh key",
    )
}

/// Too much at once, or the catalog is not well: come back soon.
pub(super) fn overloaded() -> Reject {
    Reject {
        code: RejectCode::Overloaded,
        message: "the control plane has too much to do at the moment".to_owned(),
        retry_after_ms: Some(5_000),
        fatal: false,
        versions: None,
    }
}

async fn answers(old: &Handle) -> bool {
    let (answer, answered) = oneshot::channel();
    let probe = async {
        old.asks.send(Ask::Probe(answer)).await.ok()?;
        answered.await.ok()
    };
    timeout(PROBE, probe).await.ok().flatten().unwrap_or(false)
}

fn copied(host: HostId, old: &Handle, hello: &Hello) -> Reject {
    tracing::warn!(
        %host, old_boot = %old.boot_id, new_boot = %hello.boot_id,
        "two daemons use the identity of one host: the second is refused"
    );
    Reject {
        code: RejectCode::Duplicate,
        message: format!(
            "another daemon is connected with this identity (host {host}): its identity.json was copied. Run `hostler leave` on the copy, then `hostler join` with a fresh key; `hostler hosts rotate-key` on the host makes what was copied worthless"
        ),
        retry_after_ms: Some(60_000),
        // On the same boot it may be a restart whose predecessor is still on its way out.
        fatal: old.boot_id != hello.boot_id,
        versions: None,
    }
}

fn fatal(code: RejectCode, message: &str) -> Reject {
    Reject {
        code,
        message: message.to_owned(),
        retry_after_ms: None,
        fatal: true,
        versions: None,
    }
}
