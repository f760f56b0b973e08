//! The Linux side of the platform interface.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds counting time asleep (`CLOCK_BOOTTIME`) and not counting it (`CLOCK_MONOTONIC`),
/// see clock_gettime(2).
pub fn suspend_aware_clocks_ms() -> (u64, u64) {
    (clock_ms(ClockId::Boottime), clock_ms(ClockId::Monotonic))
}

fn clock_ms(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1000 + nanos / 1_000_000
}
