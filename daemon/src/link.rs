//! The link to the control plane: one outbound websocket, opened again whenever it is lost.
//!
//! At every moment some timer leads back to a healthy socket: each network step has its own limit,
//! a session ends on silence, a stalled send or a clock jump, and the wait between attempts is
//! bounded. A refusal that trying again at once cannot cure is believed for ten minutes, for what was
//! wrong over there may be put right; that this host was removed, until it is enrolled anew.
//! What is to be delivered lies in the database and the spools; the link holds positions.

mod connect;
mod local;
mod session;
mod standing;

pub use local::{Local, LogPart, ProgressSink};
pub use standing::{Standing, standing};

use std::sync::Arc;
use std::time::Duration;

use hostler_proto::frame::payload::RejectCode;
use hostler_proto::ids::InstanceId;
use hostler_proto::link::Now;
use hostler_proto::link::backoff::Backoff;
use hostler_proto::link::host::{Dismissal, Ended, Next};
use tokio_util::sync::CancellationToken;

use crate::config::Layout;
use crate::enrol::{self, Identity};
use crate::{Signals, clock};
use session::Work;
use standing::Teller;

/// How often a host without a usable identity looks for one.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How long a refusal is believed that trying again cannot cure. The catalog may have been restored
/// from the wrong copy, another server may answer at the address, or an older version.
const BELIEVED: Duration = Duration::from_secs(10 * 60);

/// Keeps the link up until `stop`. Reads the identity itself, so it may start before enrolment.
pub async fn run<L: Local>(
    layout: &Layout,
    local: Arc<L>,
    signals: Arc<Signals>,
    stop: CancellationToken,
) -> Result<(), String> {
    run_believing(BELIEVED, layout, local, signals, stop).await
}

async fn run_believing<L: Local>(
    believed: Duration,
    layout: &Layout,
    local: Arc<L>,
    signals: Arc<Signals>,
    stop: CancellationToken,
) -> Result<(), String> {
    let instance = InstanceId::fresh(clock::wall(), &clock::id_entropy());
    let mut work = Work::new(local, signals, instance, Teller::new(layout));
    let mut refused = None;
    loop {
        let Some(identity) = new_identity(layout, refused.as_ref(), &stop).await else {
            return Ok(());
        };
        match keep(layout, &identity, &mut work, &stop).await {
            Kept::Stopped => return Ok(()),
            Kept::Changed => refused = None,
            Kept::Refused { reason, removed } => {
                tracing::error!(host = %identity.host_id, server = %identity.url, "the link is stopped: {reason}");
                refused = Some((identity, (!removed).then_some(believed)));
            }
        }
    }
}

/// Waits for an identity other than the one refused, or until that is no longer believed. None when
/// asked to stop.
async fn new_identity(
    layout: &Layout,
    refused: Option<&(Identity, Option<Duration>)>,
    stop: &CancellationToken,
) -> Option<Identity> {
    let mut told = None;
    let believed = refused.and_then(|(_, believed)| *believed);
    let doubted = tokio::time::sleep(believed.unwrap_or_default());
    tokio::pin!(doubted);
    let mut refused = refused.map(|(identity, _)| identity);
    loop {
        match enrol::identity(layout.home()) {
            Ok(Some(identity)) if !refused.is_some_and(|old| old.same_as(&identity)) => {
                return Some(identity);
            }
            Ok(_) => {}
            Err(error) => {
                let words = error.to_string();
                if told.as_ref() != Some(&words) {
                    tracing::error!("{words}");
                    told = Some(words);
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = &mut doubted, if believed.is_some() && refused.is_some() => refused = None,
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// Why connecting with one identity came to an end.
enum Kept {
    /// Asked to.
    Stopped,
    /// The identity is another one by now.
    Changed,
    /// Trying again at once is useless.
    Refused {
        /// What a person must do.
        reason: String,
        /// It is no host any more.
        removed: bool,
    },
}

/// Connects again and again with one identity.
async fn keep<L: Local>(
    layout: &Layout,
    identity: &Identity,
    work: &mut Work<L>,
    stop: &CancellationToken,
) -> Kept {
    let mut backoff = Backoff::new(u64::from_le_bytes(clock::random()));
    if enrol::is_near(&identity.url) {
        backoff = backoff.near();
    }
    loop {
        let attempt = attempt(identity, work, stop).await;
        if stop.is_cancelled() {
            return Kept::Stopped;
        }
        work.stands(identity.host_id, Some(&attempt.why));
        // Its key may have been changed meanwhile, and it may have been enrolled anew.
        if let Ok(Some(now)) = enrol::identity(layout.home())
            && !now.same_as(identity)
        {
            return Kept::Changed;
        }
        let wait = match attempt.next {
            // A catalog restored from an older copy knows the key before this one.
            Next::Stop(_) if attempt.unknown_key && back_to_old_key(layout) => {
                return Kept::Changed;
            }
            Next::Stop(reason) => {
                // What a person must do, rather than how it came.
                work.stands(identity.host_id, Some(&reason));
                let removed = attempt.removed;
                return Kept::Refused { reason, removed };
            }
            Next::Now if attempt.stable_ms >= 1_000 => backoff.next_ms(u64::MAX, None) / 4,
            Next::Now => backoff.next_ms(0, None),
            Next::Later(least) => backoff.next_ms(attempt.stable_ms, least),
        };
        tracing::info!(server = %identity.url, wait_ms = wait, "link down: {}", attempt.why);
        tokio::select! {
            () = asleep(Duration::from_millis(wait)) => {}
            () = stop.cancelled() => return Kept::Stopped,
        }
    }
}

/// One attempt, from name look-up to the end of the session.
struct Attempt {
    next: Next,
    why: String,
    stable_ms: u64,
    /// Refused because the key is not the one known there.
    unknown_key: bool,
    /// Refused because it is no host any more.
    removed: bool,
}

async fn attempt<L: Local>(
    identity: &Identity,
    work: &mut Work<L>,
    stop: &CancellationToken,
) -> Attempt {
    let opened = tokio::select! {
        opened = connect::open(&identity.url) => opened,
        () = stop.cancelled() => Err(connect::ConnectError::Stopped),
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(error) => {
            return Attempt {
                next: Next::Later(error.retry_after_ms()),
                why: error.to_string(),
                stable_ms: 0,
                unknown_key: false,
                removed: false,
            };
        }
    };
    let (ended, stable_ms) = work.session(identity, socket, stop).await;
    Attempt {
        next: ended.next(),
        why: words(&ended),
        stable_ms,
        unknown_key: matches!(&ended, Ended::Rejected(no) if no.code == RejectCode::BadSignature),
        removed: matches!(
            ended.dismissal(),
            Some(Dismissal::Revoked | Dismissal::Left)
        ),
    }
}

/// Goes back to the key before the last change, once; whether there was one.
fn back_to_old_key(layout: &Layout) -> bool {
    match enrol::back_to_old_key(layout.home()) {
        Ok(true) => {
            tracing::warn!("this host's key is not known there: the one before it is tried");
            true
        }
        Ok(false) => false,
        Err(error) => {
            tracing::error!("{error}");
            false
        }
    }
}

fn words(ended: &Ended) -> String {
    match ended {
        Ended::Rejected(reject) => format!("refused ({:?}): {}", reject.code, reject.message),
        Ended::WrongServer(id) => format!("another control plane answered ({id})"),
        Ended::NoHandshake => "the control plane did not complete the handshake".to_owned(),
        Ended::Dead => "the control plane has been silent too long".to_owned(),
        Ended::Woke(ms) => format!("the clocks jumped by {ms} ms (the machine slept)"),
        Ended::Bye(ms) => format!("the control plane is restarting, back in {ms} ms"),
        Ended::Closed(code, reason) => format!("closed ({code}) {reason}"),
        Ended::Protocol(what) => format!("protocol error: {what}"),
    }
}

/// Waits, but not through the sleep of the machine: waking up ends the wait.
async fn asleep(wait: Duration) {
    const STEP: Duration = Duration::from_secs(2);
    const JUMP_MS: i64 = 5_000;
    let gap = || {
        let now = now();
        now.wall
            .0
            .saturating_sub(i64::try_from(now.ms).unwrap_or(i64::MAX))
    };
    let (before, mut left) = (gap(), wait);
    while !left.is_zero() && (gap() - before).abs() <= JUMP_MS {
        let step = left.min(STEP);
        tokio::time::sleep(step).await;
        left = left.saturating_sub(step);
    }
}

/// Both clocks as the session wants them.
fn now() -> Now {
    let now = clock::now();
    Now {
        ms: now.awake_ms,
        wall: now.wall,
    }
}

#[cfg(test)]
mod tests;
