//! Waiting for a state with a deadline: the only place of the tests that looks at a clock or pauses.

use std::{
    thread,
    time::{Duration, Instant},
};

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Time since `start`.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a test's deadline is real time")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The time in so many seconds, RFC 3339 in whole seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's schedules are in real time"
)]
pub(crate) fn soon(seconds: i64) -> String {
    let second = jiff::Timestamp::now().as_second() + seconds;
    jiff::Timestamp::from_second(second).unwrap().to_string()
}

/// Waits until this time of [`soon`] has passed by a second.
#[track_caller]
pub(crate) fn passed(time: &str) {
    eventually("the time passes", secs(300), || {
        (soon(-1).as_str() > time).then_some(())
    });
}

/// Asks until there is an answer; panics with `what` when there is none within `limit`.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, limit: Duration, ask: impl FnMut() -> Option<T>) -> T {
    let answer = within(limit, ask);
    answer.unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// Asks until there is an answer or the time is over.
pub(crate) fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let watch = Stopwatch::start();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if watch.elapsed() >= limit {
            return None;
        }
        thread::park_timeout(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
