//! How many live logs each person has open: so many and no more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hostler_proto::ids::UserId;

/// Streams that one person may have open at once.
const MOST: u32 = 16;

/// The open streams of everybody.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: Mutex<BTreeMap<UserId, u32>>,
}

/// One open stream; it is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    streams: Arc<Streams>,
    user: UserId,
}

impl Streams {
    /// A place for one more stream; none when the person has as many as they may.
    pub(super) fn take(self: &Arc<Self>, user: UserId) -> Option<Slot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(user).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        Some(Slot {
            streams: Arc::clone(self),
            user,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self
            .streams
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(count) = open.get_mut(&self.user) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            open.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_person_has_so_many_streams_and_a_closed_one_makes_room() {
        let streams = Arc::new(Streams::default());
        let (one, two) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let mut held: Vec<Slot> = (0..MOST).filter_map(|_| streams.take(one)).collect();
        assert_eq!(held.len(), 16);
        assert!(streams.take(one).is_none());
        assert!(streams.take(two).is_some());
        held.pop();
        assert!(streams.take(one).is_some());
        held.clear();
        assert!(streams.open.lock().unwrap().is_empty());
    }
}
