//! The control plane's only source of time and chance. Everything else takes `now` as a parameter.
//!
//! It does not schedule anything and holds no state.

use hostler_proto::ids::IdEntropy;
use hostler_proto::time::UtcMillis;

/// The wall clock, UTC milliseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks the clock"
)]
pub(crate) fn wall() -> UtcMillis {
    UtcMillis(jiff::Timestamp::now().as_millisecond())
}

/// A clock that never goes back, for measuring lengths of time.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks the clock"
)]
pub(crate) fn monotonic() -> std::time::Instant {
    std::time::Instant::now()
}

/// Random bytes from the operating system.
///
/// # Panics
/// When the system has no source of randomness: nothing sound can go on without one.
#[expect(
    clippy::panic,
    reason = "a system without randomness cannot make a safe identity"
)]
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the system gave no random bytes: {error}");
    }
    bytes
}

/// Ten random bytes for one fresh id.
pub(crate) fn id_entropy() -> IdEntropy {
    random()
}
