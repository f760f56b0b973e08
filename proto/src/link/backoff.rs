//! How long a host waits before it connects again: a window of min(1 s * 2^n, 60 s) (2 s to a control
//! plane on the same machine, where there is no crowd to spread), a uniform place inside it, reset after 60 s of a stable session, and never less than the server asked for.
//!
//! It never gives up; fatal refusals are the caller's to act on.

use super::Chance;

const FIRST_MS: u64 = 1_000;
const MOST_MS: u64 = 60_000;
const MOST_NEAR_MS: u64 = 2_000;
const STABLE_MS: u64 = 60_000;

/// The reconnect schedule of one host.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    failures: u32,
    most_ms: u64,
    chance: Chance,
}

impl Backoff {
    /// A fresh schedule; `seed` is the caller's chance.
    pub fn new(seed: u64) -> Self {
        Self {
            failures: 0,
            most_ms: MOST_MS,
            chance: Chance(seed),
        }
    }

    /// The schedule towards a control plane on the same machine.
    #[must_use]
    pub fn near(self) -> Self {
        Self {
            most_ms: MOST_NEAR_MS,
            ..self
        }
    }

    /// Milliseconds until the next attempt after a session that was welcome for `stable_ms` (0
    /// when it never was), and with the least wait the server asked for.
    pub fn next_ms(&mut self, stable_ms: u64, retry_after_ms: Option<u64>) -> u64 {
        if stable_ms >= STABLE_MS {
            self.failures = 0;
        }
        let window = FIRST_MS
            .saturating_mul(1 << self.failures.min(16))
            .min(self.most_ms);
        self.failures = self.failures.saturating_add(1);
        let wait = 1 + self.chance.below(window);
        let asked = retry_after_ms.unwrap_or(0);
        // Hosts sent away together must not come back together.
        wait.max(asked.saturating_add(if asked == 0 {
            0
        } else {
            self.chance.below(FIRST_MS)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_doubles_to_a_minute_and_resets_after_a_stable_minute() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(seed);
            for window in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
                assert!((1..=window).contains(&backoff.next_ms(59_999, None)));
            }
            assert!(backoff.next_ms(60_000, None) <= 1_000);
        }
    }

    #[test]
    fn a_control_plane_on_this_machine_is_never_waited_for_long() {
        let mut backoff = Backoff::new(1).near();
        assert!((0..50).all(|_| backoff.next_ms(0, None) <= 2_000));
    }

    #[test]
    fn jitter_fills_the_window() {
        let waits: Vec<u64> = (0..500)
            .map(|seed| Backoff::new(seed).next_ms(0, None))
            .collect();
        assert!(waits.iter().any(|wait| *wait < 100));
        assert!(waits.iter().any(|wait| *wait > 900));
    }

    #[test]
    fn the_server_may_ask_for_more() {
        let wait = Backoff::new(3).next_ms(0, Some(90_000));
        assert!((90_000..91_000).contains(&wait));
    }
}
