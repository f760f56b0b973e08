//! One operation at a time on one thing: twins wait for the first and then see what it did.
//!
//! Invariant: two holders of the same key never run together in this process. Keys cost memory only
//! while somebody holds or waits for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Who is at work on what.
#[derive(Debug, Default)]
pub struct Busy {
    turns: Mutex<BTreeMap<String, Weak<Turn<()>>>>,
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
}
