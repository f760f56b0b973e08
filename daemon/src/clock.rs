//! The daemon's only source of time and chance. Everything else takes `now` as a parameter.
//!
//! It does not schedule anything and holds no state.

use hostler_proto::ids::IdEntropy;
use hostler_proto::time::UtcMillis;

/// Both clocks read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, UTC milliseconds: may step forward and back.
    pub wall: UtcMillis,
    /// Milliseconds since an arbitrary point, counting time asleep (Linux `CLOCK_BOOTTIME`).
    pub boot_ms: u64,
    /// Milliseconds since an arbitrary point, not counting time asleep (`CLOCK_MONOTONIC`).
    pub awake_ms: u64,
}

/// The wall clock, UTC milliseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that asks the clock"
)]
pub fn wall() -> UtcMillis {
    UtcMillis(jiff::Timestamp::now().as_millisecond())
}

/// Both clocks, read together.
pub fn now() -> Now {
    let (boot_ms, awake_ms) = crate::platform::suspend_aware_clocks_ms();
    Now {
        wall: wall(),
        boot_ms,
        awake_ms,
    }
}

/// Random bytes from the operating system.
///
/// # Panics
/// When the system has no source of randomness: nothing sound can go on without one.
#[expect(
    clippy::panic,
    reason = "a system without randomness cannot make a safe identity"
)]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the system gave no random bytes: {error}");
    }
    bytes
}

/// Ten random bytes for one fresh id.
pub fn id_entropy() -> IdEntropy {
    random()
}
