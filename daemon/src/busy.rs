//! One operation at a time on one thing: twins wait for the first and then see what it did.
//!
//! Invariant: two holders of the same key never run together in this process. Keys cost memory only
//! while somebody holds or waits for them. Whoever works long may let others cut that short.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

/// Who is at work on what.
#[derive(Debug, Default)]
pub struct Busy {
    turns: Mutex<BTreeMap<String, Weak<Turn<()>>>>,
    brief: Mutex<BTreeMap<String, CancellationToken>>,
}

impl Busy {
    /// Waits until nobody else works on `key`; the turn lasts as long as the guard.
    pub async fn turn(&self, key: String) -> OwnedMutexGuard<()> {
        let turn = self.entry(key);
        turn.lock_owned().await
    }

    /// The turn if nobody else works on `key`, else nothing.
    pub fn free(&self, key: String) -> Option<OwnedMutexGuard<()>> {
        self.entry(key).try_lock_owned().ok()
    }

    /// Does something that [`Self::cut`] ends early. None when that was done.
    pub async fn until_cut<T>(&self, key: String, work: impl Future<Output = T>) -> Option<T> {
        let cut = CancellationToken::new();
        self.brief().insert(key.clone(), cut.clone());
        let done = cut.run_until_cancelled(work).await;
        self.brief().remove(&key);
        done
    }

    /// Whether something is done under `key` that may be ended early.
    pub fn may_be_cut(&self, key: &str) -> bool {
        self.brief().contains_key(key)
    }

    /// Ends early what is done under `key`, if it is.
    pub fn cut(&self, key: &str) {
        if let Some(work) = self.brief().get(key) {
            work.cancel();
        }
    }

    fn brief(&self) -> MutexGuard<'_, BTreeMap<String, CancellationToken>> {
        self.brief.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, key: String) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::new(()));
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_twin_waits_and_others_do_not() {
        let busy = Busy::default();
        let first = busy.turn("a".to_owned()).await;
        let other = busy.turn("b".to_owned()).await;
        let mut twin = std::pin::pin!(busy.turn("a".to_owned()));
        let waiting =
            std::future::poll_fn(|cx| std::task::Poll::Ready(twin.as_mut().poll(cx).is_pending()));
        assert!(waiting.await);
        assert!(busy.free("a".to_owned()).is_none());
        drop(first);
        drop(twin.await);
        drop(other);
        drop(busy.turn("c".to_owned()).await);
        assert_eq!(busy.turns.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn long_work_is_cut_short_and_other_work_is_not() {
        let busy = Busy::default();
        busy.cut("a");
        assert_eq!(busy.until_cut("a".to_owned(), async { 1 }).await, Some(1));
        let endless = busy.until_cut("a".to_owned(), std::future::pending::<()>());
        let mut endless = std::pin::pin!(endless);
        let waiting = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(endless.as_mut().poll(cx).is_pending())
        });
        assert!(waiting.await);
        busy.cut("b");
        busy.cut("a");
        assert_eq!(endless.await, None);
        assert!(busy.brief().is_empty());
    }
}
