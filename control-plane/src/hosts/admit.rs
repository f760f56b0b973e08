//! Whether a host that introduced itself is taken: known, not revoked, its proof good, and not a
//! copy of one that is alive elsewhere.
//!
//! Last one wins: a host that connects again replaces its own old socket. Only another start of the
//! daemon while the old one still answers means a copied credential.

use std::time::Duration;

use hostler_proto::frame::payload::{Challenge, Hello, Reject, RejectCode};
use hostler_proto::ids::HostId;
use hostler_proto::link::proof;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::registry::{Ask, Handle};
use crate::store::hosts::HostRow;
use crate::{App, clock, store};

/// How long an old link has to show a sign of life; its own session gives up after two seconds.
const PROBE: Duration = Duration::from_millis(2_500);

/// Checks who it is, without looking at other links.
pub(super) async fn identify(
    app: &App,
    challenge: &Challenge,
    hello: &Hello,
) -> Result<HostRow, Reject> {
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
    if row.revoked_at.is_some() {
        return Err(fatal(
            RejectCode::Revoked,
            "this host was removed; run `hostler leave`, then `hostler join` with a fresh key",
        ));
    }
    let current = proof::verify_hello(&row.public_key, challenge, hello);
    let old = row.old_public_key.as_ref().is_some_and(|(key, until)| {
        *until > clock::wall() && proof::verify_hello(key, challenge, hello)
    });
    if current || old {
        Ok(row)
    } else {
        Err(fatal(
            RejectCode::BadSignature,
            "this host's proof does not fit the key it enrolled with; run `hostler leave`, then `hostler join` with a fresh key",
        ))
    }
}

/// Looks at the host's present link, if any. An error is the refusal of the new one.
pub(super) async fn no_other_alive(app: &App, hello: &Hello) -> Result<(), Reject> {
    let host = hello.host_id;
    let Some(old) = app.hosts.handle(host) else {
        return Ok(());
    };
    // The same daemon has one link at a time: its old one is dead whatever the socket says.
    if old.instance == hello.instance_id || !answers(&old).await {
        return Ok(());
    }
    app.hosts.flag_cloned(host);
    Err(copied(host, &old, hello))
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
            "another daemon is connected with this identity (host {host}): its identity.json was copied. Run `hostler leave` on the copy, then `hostler join` with a fresh key"
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
