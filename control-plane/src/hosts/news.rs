//! Who waits for news of a run: its log grew, or its state changed.
//!
//! News carries nothing: whoever hears it reads the catalog again, so one that is heard twice, or
//! comes a moment before somebody listens, does no harm. It is told after the commit.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hostler_proto::ids::RunId;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Hosts;
use crate::clock;

/// The runs somebody listens to.
#[derive(Debug, Default)]
pub(super) struct News {
    runs: Mutex<BTreeMap<RunId, watch::Sender<()>>>,
}

/// Somebody who listens to one run, from its making on.
#[derive(Debug)]
pub struct Listener {
    news: watch::Receiver<()>,
    until: Instant,
}

impl Hosts {
    /// Listens to a run for at most `patience`. Listen first and then read: what is committed after
    /// the reading is heard.
    pub fn listen(&self, run: RunId, patience: Duration) -> Listener {
        let mut runs = self.news.runs();
        let sender = runs.entry(run).or_default();
        Listener {
            news: sender.subscribe(),
            until: Instant::from_std(clock::monotonic()) + patience,
        }
    }

    /// Something about this run was committed.
    pub fn tell(&self, run: RunId) {
        let mut runs = self.news.runs();
        let Some(sender) = runs.get(&run) else { return };
        if sender.send(()).is_err() {
            runs.remove(&run);
        }
    }
}

impl Listener {
    /// Waits for news. False when there was none in time, or on `stop`.
    pub async fn hear(&mut self, stop: &CancellationToken) -> bool {
        tokio::select! {
            () = stop.cancelled() => false,
            heard = timeout_at(self.until, self.news.changed()) => matches!(heard, Ok(Ok(()))),
        }
    }
}

impl News {
    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunId, watch::Sender<()>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const RUN: RunId = RunId(Uuid::from_u128(1));

    #[tokio::test]
    async fn news_is_heard_once_and_nobody_waits_for_ever() {
        let hosts = Hosts::default();
        hosts.tell(RUN);
        let mut one = hosts.listen(RUN, Duration::from_secs(30));
        let mut two = hosts.listen(RUN, Duration::from_secs(30));
        hosts.tell(RunId(Uuid::from_u128(2)));
        hosts.tell(RUN);
        let stop = CancellationToken::new();
        assert!(one.hear(&stop).await && two.hear(&stop).await);
        let mut hasty = hosts.listen(RUN, Duration::from_millis(1));
        assert!(!hasty.hear(&stop).await);
        stop.cancel();
        assert!(!two.hear(&stop).await);
        drop(hasty);
        drop((one, two));
        hosts.tell(RUN);
        assert!(hosts.news.runs().is_empty());
    }
}
