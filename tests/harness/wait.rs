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

/// Asks until there is an answer; panics with `what` when there is none within `limit`.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(watch.elapsed() < limit, "not within {limit:?}: {what}");
        thread::park_timeout(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
