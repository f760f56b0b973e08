//! The macOS side of the platform interface.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds counting time asleep and not counting it. On macOS `CLOCK_MONOTONIC` goes on
/// during sleep and `CLOCK_UPTIME_RAW` does not, see clock_gettime(3).
pub fn suspend_aware_clocks_ms() -> (u64, u64) {
    (clock_ms(ClockId::Monotonic), clock_ms(ClockId::UptimeRaw))
}

fn clock_ms(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1000 + nanos / 1_000_000
}
