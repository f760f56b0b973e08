//! The scheduler's shell: sleeps until something is due or has changed, and makes each decision of
//! [`Scheduler`] one transaction.
//!
//! Invariant: it never sleeps longer than 15 s and asks the wall clock again each time, because
//! neither tokio's timers nor the monotonic clock count time asleep. After a failed transaction the
//! plans are loaded again: memory never runs ahead of the database.

use std::os::fd::OwnedFd;
use std::time::Duration;

use hostler_proto::time::UtcMillis;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

use super::Scheduler;
use crate::clock::{self, Now};
use crate::store::{StoreError, meta, occurrences};
use crate::{Context, host, platform};

/// The longest sleep: the clock may be set, or the machine may have slept, meanwhile.
const LONGEST_SLEEP_MS: i64 = 15_000;
/// How long to wait after the database failed.
const AFTER_FAILURE_MS: i64 = 1_000;
/// A longer time between two looks, far beyond [`LONGEST_SLEEP_MS`]: the machine slept.
const SLEPT_MS: u64 = 60_000;
/// How often the time zone database is looked at, ms.
const ZONES_EVERY_MS: u64 = 10_000;
/// Where the state of the time zone database that plans were made with is stored.
const ZONES_KEY: &str = "tzdb_version";

/// Fires schedules until `stop`.
pub(crate) async fn run(context: Context, stop: CancellationToken) -> Result<(), String> {
    let mut scheduler = None;
    let mut contact = Contact::default();
    let mut zones = Zones::default();
    let notice = ClockSet::watch();
    loop {
        let wait = match step(&context, &mut scheduler, &mut contact, &mut zones).await {
            Ok(next) => next_look_in_ms(next, clock::wall()),
            Err(error) => {
                tracing::error!(%error, "the scheduler could not write its decisions and will try again");
                scheduler = None;
                AFTER_FAILURE_MS
            }
        };
        let sleep = tokio::time::sleep(Duration::from_millis(wait.unsigned_abs()));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = context.signals.scheduler.notified() => {}
            () = context.signals.heard.notified() => contact.heard = true,
            () = notice.noticed() => {}
            () = sleep => {}
        }
    }
}

/// What is known of the control plane's word since the machine was last off or asleep.
#[derive(Default)]
struct Contact {
    last_look_boot_ms: Option<u64>,
    heard: bool,
}

impl Contact {
    fn note(&mut self, scheduler: &mut Scheduler, now: Now) {
        let before = self.last_look_boot_ms.replace(now.boot_ms);
        if std::mem::take(&mut self.heard) {
            scheduler.heard();
        } else if before.is_none_or(|before| now.boot_ms.saturating_sub(before) > SLEPT_MS) {
            scheduler.await_word(now);
        }
    }
}

/// The time zone database that plans are made with; the system may update it at any time.
#[derive(Default)]
struct Zones {
    state: String,
    looked_boot_ms: Option<u64>,
    /// The plans made with it are not in the database yet.
    unstored: bool,
}

impl Zones {
    /// Whether it is another one than at the last look. What this process keeps of it is thrown away.
    fn changed(&mut self, now: Now) -> bool {
        let fresh = |looked: u64| now.boot_ms.saturating_sub(looked) < ZONES_EVERY_MS;
        if self.looked_boot_ms.is_some_and(fresh) {
            return false;
        }
        let first = self.looked_boot_ms.replace(now.boot_ms).is_none();
        let state = host::tzdb_state();
        let before = std::mem::replace(&mut self.state, state);
        if first || before == self.state {
            return false;
        }
        tracing::info!(
            version = host::tzdb_version(),
            "the time zone database changed; the future is planned anew"
        );
        jiff::tz::db().reset();
        true
    }
}

/// The system's word that the wall clock was set or the machine woke, where it gives one.
struct ClockSet(Option<AsyncFd<OwnedFd>>);

impl ClockSet {
    #[expect(
        unsafe_code,
        reason = "tokio asks the caller to vouch for the descriptor"
    )]
    fn watch() -> Self {
        let register = |notice| {
            // SAFETY: an OwnedFd is its descriptor's only owner and lives as long as the AsyncFd.
            unsafe { AsyncFd::register_with_interest(notice, Interest::READABLE) }.ok()
        };
        Self(platform::clock_set_notice().and_then(register))
    }

    /// Waits for it; for ever where the system does not tell.
    async fn noticed(&self) {
        if let Some(notice) = &self.0
            && let Ok(mut ready) = notice.readable().await
            && platform::arm_clock_set_notice(notice.get_ref())
        {
            ready.clear_ready();
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// One batch, on plans that are loaded when there are none. The answer is when to look again.
async fn step(
    context: &Context,
    loaded: &mut Option<Scheduler>,
    contact: &mut Contact,
    zones: &mut Zones,
) -> Result<Option<UtcMillis>, StoreError> {
    if zones.changed(clock::now()) {
        *loaded = None;
    }
    let mut scheduler = match loaded.take() {
        Some(scheduler) => scheduler,
        None => load(context, zones, clock::now()).await?,
    };
    let mut tx = context.store.begin().await?;
    let now = clock::now();
    contact.note(&mut scheduler, now);
    let facts = occurrences::facts(&mut tx, scheduler.interest(now.wall)).await?;
    let effects = scheduler.handle(facts, now);
    if !effects.changes.is_empty() || zones.unstored {
        let runs_changed = occurrences::apply(&mut tx, &effects, now.wall).await?;
        if zones.unstored {
            meta::set(&mut tx, ZONES_KEY, &zones.state).await?;
        }
        context.store.commit(tx).await?;
        if runs_changed {
            context.signals.runs.notify_one();
        }
        zones.unstored = false;
    }
    let next = scheduler.next_due();
    *loaded = Some(scheduler);
    Ok(next)
}

async fn load(context: &Context, zones: &mut Zones, now: Now) -> Result<Scheduler, StoreError> {
    let before = context.store.meta(ZONES_KEY).await?;
    zones.unstored = before.as_ref() != Some(&zones.state);
    let changed = before.is_some() && zones.unstored;
    Ok(Scheduler::load(context.store.plans().await?, changed, now))
}

fn next_look_in_ms(next: Option<UtcMillis>, now: UtcMillis) -> i64 {
    next.map_or(LONGEST_SLEEP_MS, |next| next.since(now))
        .clamp(0, LONGEST_SLEEP_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sleeps_until_the_next_instant_and_never_longer_than_15_seconds() {
        let now = UtcMillis(1_000_000);
        let sleeps = |ms| next_look_in_ms(Some(now.plus_ms(ms)), now);
        assert_eq!((sleeps(1), sleeps(14_999)), (1, 14_999));
        assert_eq!((sleeps(15_001), sleeps(i64::MAX / 2)), (15_000, 15_000));
        assert_eq!(
            (sleeps(0), sleeps(-86_400_000)),
            (0, 0),
            "what is due waits for nothing"
        );
        assert_eq!(next_look_in_ms(None, now), 15_000);
    }

    #[test]
    fn a_start_and_a_sleep_wait_for_the_control_planes_word() {
        let at = |boot_ms| Now {
            wall: UtcMillis(0),
            boot_ms,
            awake_ms: 0,
        };
        let waits = |contact: &mut Contact, now| {
            let mut scheduler = Scheduler::default();
            contact.note(&mut scheduler, now);
            scheduler.is_unheard()
        };
        let mut contact = Contact::default();
        assert!(waits(&mut contact, at(0)), "a start");
        assert!(!waits(&mut contact, at(SLEPT_MS)), "a look");
        assert!(waits(&mut contact, at(2 * SLEPT_MS + 1)), "a sleep");
        contact.heard = true;
        assert!(!waits(&mut contact, at(9 * SLEPT_MS)), "heard meanwhile");
    }
}
