//! Typed identifiers: UUIDs that cannot be mistaken for one another.
//!
//! Fresh ids are UUIDv7 (RFC 9562 section 5.7), made from a time and random bytes the caller
//! supplies; a scheduled run's id is a UUIDv5 of its occurrence, so that both ends agree on it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::UtcMillis;

/// Random bytes for one fresh id, supplied by the caller's source of chance.
pub type IdEntropy = [u8; 10];

/// A UUIDv7 from a wall-clock time (UTC milliseconds) and ten random bytes.
pub fn uuid_v7(now: UtcMillis, entropy: &IdEntropy) -> Uuid {
    let millis = u64::try_from(now.0).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, entropy).into_uuid()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh UUIDv7 id.
            pub fn fresh(now: UtcMillis, entropy: &IdEntropy) -> Self {
                Self(uuid_v7(now, entropy))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

ids! {
    /// An organization: the boundary of every query in the catalog.
    OrgId,
    /// A person who belongs to organizations.
    UserId,
    /// A user's work item.
    TaskId,
    /// A machine that runs the host daemon.
    HostId,
    /// A repository registered on hosts.
    ProjectId,
    /// A branch-scoped worktree, a main checkout or a scratch folder.
    WorkspaceId,
    /// What to run and when.
    AutomationId,
    /// One execution (or one recorded non-execution) of an automation.
    RunId,
    /// A request across the link; a repeated id returns the stored reply.
    CommandId,
    /// One start of one daemon process.
    InstanceId,
}

/// Name space of scheduled run ids (a UUIDv5 name space of our own).
const OCCURRENCE_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_3a52_0c1e_5b7a_9b0e_7d5f_4c2a_1e90);

impl RunId {
    /// The id of the run of one occurrence: UUIDv5 of `automation id / scheduled instant in UTC
    /// seconds / attempt` (attempt 1 is the first). Jitter and lateness never enter the key.
    pub fn of_occurrence(automation: AutomationId, scheduled_at: UtcMillis, attempt: u32) -> Self {
        let key = format!("{automation}/{}/{attempt}", scheduled_at.0.div_euclid(1000));
        Self(Uuid::new_v5(&OCCURRENCE_NAMESPACE, key.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrence_ids_depend_on_the_second_and_the_attempt_only() {
        let automation = AutomationId(Uuid::from_u128(7));
        let id = RunId::of_occurrence(automation, UtcMillis(60_000), 1);
        assert_eq!(id, RunId::of_occurrence(automation, UtcMillis(60_999), 1));
        assert_ne!(id, RunId::of_occurrence(automation, UtcMillis(61_000), 1));
        assert_ne!(id, RunId::of_occurrence(automation, UtcMillis(60_000), 2));
    }

    #[test]
    fn fresh_ids_sort_by_time() {
        let early = RunId::fresh(UtcMillis(1_000), &[0xff; 10]);
        let late = RunId::fresh(UtcMillis(1_001), &[0; 10]);
        assert!(early < late);
        assert_eq!(early.0.get_version_num(), 7);
    }
}
