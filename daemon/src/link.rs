//! The link to the control plane: one outbound websocket, opened again whenever it is lost.
//!
//! At every moment some timer leads back to a healthy socket: each network step has its own limit,
//! a session ends on silence, a stalled send or a clock jump, and the wait between attempts is
//! bounded. Only a refusal that trying again cannot cure stops it, until the host is enrolled anew.
//! What is to be delivered lies in the database and the spools; the link holds positions.

mod connect;
mod local;
mod session;

pub use local::{Local, LogPart, ProgressSink};

use std::sync::Arc;
use std::time::Duration;

use hostler_proto::ids::InstanceId;
use hostler_proto::link::Now;
use hostler_proto::link::backoff::Backoff;
use hostler_proto::link::host::{Ended, Next};
use tokio_util::sync::CancellationToken;

use crate::config::Layout;
use crate::enrol::{self, Identity};
use crate::{Signals, clock};
use session::Work;

/// How often a host without a usable identity looks for one.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Keeps the link up until `stop`. Reads the identity itself, so it may start before enrolment.
pub async fn run<L: Local>(
    layout: &Layout,
    local: Arc<L>,
    signals: Arc<Signals>,
    stop: CancellationToken,
) -> Result<(), String> {
    let instance = InstanceId::fresh(clock::wall(), &clock::id_entropy());
    let mut work = Work::new(local, signals, instance);
    let mut refused = None;
    loop {
        let Some(identity) = new_identity(layout, refused.as_ref(), &stop).await else {
            return Ok(());
        };
        match keep(layout, &identity, &mut work, &stop).await {
            Kept::Stopped => return Ok(()),
            Kept::Changed => refused = None,
            Kept::Refused(reason) => {
                tracing::error!(host = %identity.host_id, server = %identity.url, "the link is stopped: {reason}");
                refused = Some(identity);
            }
        }
    }
}

/// Waits for an identity other than the one refused. None when asked to stop.
async fn new_identity(
    layout: &Layout,
    refused: Option<&Identity>,
    stop: &CancellationToken,
) -> Option<Identity> {
    let mut told = None;
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
    /// Trying again is useless.
    Refused(String),
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
        // Its key may have been changed meanwhile, and it may have been enrolled anew.
        if let Ok(Some(now)) = enrol::identity(layout.home())
            && !now.same_as(identity)
        {
            return Kept::Changed;
        }
        let wait = match attempt.next {
            Next::Stop(reason) => return Kept::Refused(reason),
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
            };
        }
    };
    let (ended, stable_ms) = work.session(identity, socket, stop).await;
    Attempt {
        next: ended.next(),
        why: words(&ended),
        stable_ms,
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
