//! Two small pure clocks of the loop: when a run counts as stalled, and when there is news to push.

/// CPU use below one part in this many of the time counts as none: a program that waits for a
/// dead connection still ticks.
const BUSY_PART: u64 = 50;

/// Shortest and longest time between two looks at what the tree uses, milliseconds.
const SAMPLE_MS: (u64, u64) = (10, 5_000);

/// Time between two pieces of news about output, milliseconds.
const NEWS_MS: u64 = 100;

/// Whether anything still happens in a run.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to each name")]
pub(super) struct Activity {
    /// Longest time between two looks.
    longest_ms: u64,
    begun_ms: u64,
    last_ms: u64,
    sampled_ms: u64,
    cpu_ms: u64,
}

impl Activity {
    /// A run that begins now and is looked at at least every `longest_ms`.
    pub(super) fn new(longest_ms: u64, now_ms: u64) -> Self {
        Self {
            longest_ms: longest_ms.clamp(SAMPLE_MS.0, SAMPLE_MS.1),
            begun_ms: now_ms,
            last_ms: now_ms,
            sampled_ms: now_ms,
            cpu_ms: 0,
        }
    }

    /// Output came.
    pub(super) fn output(&mut self, now_ms: u64) {
        self.last_ms = now_ms;
    }

    /// When to look at the tree next: often at first, then less and less.
    pub(super) fn next_sample_ms(&self) -> u64 {
        let age = self.sampled_ms.saturating_sub(self.begun_ms);
        self.sampled_ms + (age / 4).clamp(SAMPLE_MS.0, self.longest_ms)
    }

    /// Whether it is time to look at the tree.
    pub(super) fn sample_due(&self, now_ms: u64) -> bool {
        now_ms >= self.next_sample_ms()
    }

    /// The tree has used so much CPU so far. Returns for how long the run has been idle.
    pub(super) fn sampled(&mut self, cpu_ms: u64, now_ms: u64) -> u64 {
        let elapsed = now_ms.saturating_sub(self.sampled_ms);
        let used = cpu_ms.saturating_sub(self.cpu_ms);
        if used.saturating_mul(BUSY_PART) > elapsed {
            self.last_ms = now_ms;
        }
        self.sampled_ms = now_ms;
        self.cpu_ms = cpu_ms;
        now_ms.saturating_sub(self.last_ms)
    }
}

/// When clients hear of a change: the first byte and every change of state at once, further output
/// at most every 100 ms.
#[derive(Debug, Default)]
pub(super) struct News {
    wanted: bool,
    urgent: bool,
    told_ms: Option<u64>,
}

impl News {
    /// The log grew.
    pub(super) fn output(&mut self) {
        self.wanted = true;
    }

    /// The state changed.
    pub(super) fn state(&mut self) {
        self.urgent = true;
    }

    /// When there is something to tell that waits only for its time.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.wanted
            .then(|| self.told_ms.map_or(0, |told| told + NEWS_MS))
    }

    /// Whether to tell everyone now.
    pub(super) fn due(&mut self, now_ms: u64) -> bool {
        let output = self.next_ms().is_some_and(|next| now_ms >= next);
        if !output && !self.urgent {
            return false;
        }
        if self.wanted {
            self.told_ms = Some(now_ms);
        }
        self.wanted = false;
        self.urgent = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_is_told_at_once_and_the_next_after_a_while() {
        let mut news = News::default();
        news.state();
        assert!(news.due(5));
        assert!(!news.due(6));
        news.output();
        assert!(news.due(7));
        news.output();
        assert!(!news.due(50));
        assert_eq!(news.next_ms(), Some(107));
        news.state();
        assert!(news.due(60));
        news.output();
        assert!(!news.due(100));
        assert!(news.due(160));
    }

    #[test]
    fn output_or_cpu_keep_a_run_from_stalling() {
        let mut activity = Activity::new(1_000, 0);
        assert_eq!(activity.sampled(0, 900), 900);
        activity.output(950);
        assert_eq!(activity.sampled(0, 1_900), 950);
        assert_eq!(activity.sampled(500, 2_900), 0);
        assert_eq!(activity.sampled(505, 3_800), 900);
        assert_eq!(activity.sampled(506, 3_900), 1_000);
    }

    #[test]
    fn looks_become_rarer() {
        let mut activity = Activity::new(900_000, 0);
        assert_eq!(activity.next_sample_ms(), 10);
        activity.sampled(0, 1_000);
        assert_eq!(activity.next_sample_ms(), 1_250);
        activity.sampled(0, 100_000);
        assert_eq!(activity.next_sample_ms(), 105_000);
        let mut close = Activity::new(250, 0);
        close.sampled(0, 100_000);
        assert_eq!(close.next_sample_ms(), 100_250);
    }
}
