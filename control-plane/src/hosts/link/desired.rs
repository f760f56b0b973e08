//! What a host should have against what it said it has: one step on its way at a time, a whole state
//! after a gap or a hash that does not fit, and no endless repetition of a state it cannot take.

use hostler_proto::frame::payload::{Sync, SyncAck, SyncWanted};

/// The bookkeeping of one link.
#[derive(Debug, Default)]
pub struct Desired {
    /// What the host has; none before hello.
    has: Option<(u64, String)>,
    /// There may be something new.
    dirty: bool,
    /// Only the whole state will do.
    full: bool,
    /// The step on its way: revision, hash, whether whole.
    sent: Option<(u64, String, bool)>,
}

impl Desired {
    /// Where the host stands as it connects.
    pub fn start(&mut self, revision: u64, hash: &str) {
        *self = Self {
            has: Some((revision, hash.to_owned())),
            dirty: true,
            full: false,
            sent: None,
        };
    }

    /// The catalog has something new for the host.
    pub fn changed(&mut self) {
        self.dirty = true;
    }

    /// The step to ask the catalog for: from a revision, or (none) the whole state.
    pub fn due(&self) -> Option<Option<u64>> {
        let (revision, _) = self.has.as_ref()?;
        (self.dirty && self.sent.is_none()).then_some(if self.full {
            None
        } else {
            Some(*revision)
        })
    }

    /// The catalog's answer to [`Self::due`]; the step to send, if there is anything in it.
    pub fn push(&mut self, step: Sync) -> Option<Sync> {
        let (revision, hash) = self.has.clone()?;
        self.dirty = false;
        if !step.full && step.to == revision {
            // Same revision: only a different content is worth a word.
            if hash != step.hash && !(hash.is_empty() && revision == 0) {
                self.dirty = true;
                self.full = true;
            }
            return None;
        }
        if !step.full && (step.to < revision || step.from != revision) {
            // The host is ahead of this catalog (restored from a backup), or not where it said.
            self.dirty = true;
            self.full = true;
            return None;
        }
        self.sent = Some((step.to, step.hash.clone(), step.full));
        Some(step)
    }

    /// The host has applied something. True when it is what was sent.
    pub fn acked(&mut self, ack: &SyncAck) -> bool {
        let Some((to, hash, whole)) = self.sent.take() else {
            return false;
        };
        self.has = Some((ack.revision, ack.hash.clone()));
        if ack.revision == to && ack.hash == hash {
            self.full = false;
            return true;
        }
        self.refused(whole);
        false
    }

    /// The host could not apply the step.
    pub fn wanted(&mut self, wanted: &SyncWanted) {
        tracing::info!(
            have = wanted.have,
            "a host asks for the whole state: {}",
            wanted.reason
        );
        let whole = self.sent.take().is_some_and(|(_, _, whole)| whole);
        self.refused(whole);
    }

    /// A refused step is followed by the whole state; a refused whole state by nothing, until the
    /// catalog changes or the host comes back.
    fn refused(&mut self, whole: bool) {
        self.full = true;
        if whole {
            tracing::error!("a host cannot take its whole desired state; waiting for a change");
        } else {
            self.dirty = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(from: u64, to: u64, full: bool, hash: &str) -> Sync {
        Sync {
            from,
            to,
            full,
            hash: hash.to_owned(),
            ..Sync::default()
        }
    }

    fn ack(revision: u64, hash: &str) -> SyncAck {
        SyncAck {
            revision,
            hash: hash.to_owned(),
            next_seq: None,
        }
    }

    #[test]
    fn steps_go_one_at_a_time_and_nothing_new_is_not_sent() {
        let mut desired = Desired::default();
        assert_eq!(desired.due(), None);
        desired.start(3, "h3");
        assert_eq!(desired.due(), Some(Some(3)));
        assert_eq!(desired.push(step(3, 3, false, "h3")), None);
        assert_eq!(desired.due(), None);
        desired.changed();
        assert!(desired.push(step(3, 4, false, "h4")).is_some());
        desired.changed();
        assert_eq!(desired.due(), None, "one is on its way");
        assert!(desired.acked(&ack(4, "h4")));
        assert_eq!(desired.due(), Some(Some(4)));
    }

    #[test]
    fn a_wrong_hash_a_gap_and_a_host_that_is_ahead_get_the_whole_state() {
        let mut desired = Desired::default();
        desired.start(3, "other");
        assert_eq!(desired.push(step(3, 3, false, "h3")), None);
        assert_eq!(desired.due(), Some(None));

        desired.start(9, "h9");
        assert_eq!(desired.push(step(3, 3, false, "h3")), None);
        assert_eq!(desired.due(), Some(None));
        assert!(desired.push(step(0, 3, true, "h3")).is_some());
        assert!(desired.acked(&ack(3, "h3")));
        assert_eq!(desired.due(), None);

        desired.changed();
        assert!(desired.push(step(3, 4, false, "h4")).is_some());
        desired.wanted(&SyncWanted {
            have: 2,
            reason: "gap".to_owned(),
        });
        assert_eq!(desired.due(), Some(None));
    }

    #[test]
    fn a_whole_state_that_is_refused_is_not_repeated_for_ever() {
        let mut desired = Desired::default();
        desired.start(0, "");
        assert!(desired.push(step(0, 2, false, "h2")).is_some());
        assert!(!desired.acked(&ack(2, "wrong")));
        assert_eq!(desired.due(), Some(None));
        assert!(desired.push(step(0, 2, true, "h2")).is_some());
        assert!(!desired.acked(&ack(2, "wrong")));
        assert_eq!(desired.due(), None);
        desired.changed();
        assert_eq!(desired.due(), Some(None));
    }
}
