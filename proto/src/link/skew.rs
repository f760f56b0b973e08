//! How far the host's wall clock is from the control plane's, from the times in `hello` and in
//! heartbeats. A sample is late by the time it travelled, never early, so the largest of the last
//! few is the best; a step of either clock shows within a minute.

use crate::time::UtcMillis;

const KEPT: usize = 4;

#[derive(Clone, Debug, Default)]
pub(super) struct Skew {
    samples: Vec<i64>,
}

impl Skew {
    /// A time the host sent, against the time it arrived.
    pub(super) fn sample(&mut self, host: UtcMillis, arrived: UtcMillis) {
        if self.samples.len() == KEPT {
            self.samples.remove(0);
        }
        self.samples.push(host.since(arrived));
    }

    /// Milliseconds the host's clock is ahead (negative: behind).
    pub(super) fn estimate_ms(&self) -> i64 {
        self.samples.iter().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_does_not_look_like_skew_and_steps_show() {
        let mut skew = Skew::default();
        for delay in [900, 40, 2_000] {
            skew.sample(UtcMillis(50_000), UtcMillis(10_000 + delay));
        }
        assert_eq!(skew.estimate_ms(), 39_960);
        for _ in 0..KEPT {
            skew.sample(UtcMillis(10_000), UtcMillis(10_005));
        }
        assert_eq!(skew.estimate_ms(), -5);
    }
}
