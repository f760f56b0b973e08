//! Versions of the link protocol: an append-only list of names.
//!
//! Each end supports the newest version it knows and the one before. A released version is never
//! edited: its fixtures under `fixtures/` keep parsing for as long as it is supported.

use serde::{Deserialize, Serialize};

/// Every version ever released, oldest first. Number 1 is the first entry. Append only.
pub const NAMES: &[&str] = &["base"];

/// The newest version this program speaks.
pub const NEWEST: u16 = 1;

/// The versions this program accepts: the newest and the one before.
pub const SUPPORTED: VersionRange = VersionRange {
    min: if NEWEST > 1 { NEWEST - 1 } else { 1 },
    max: NEWEST,
};

/// A closed range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// Oldest.
    pub min: u16,
    /// Newest.
    pub max: u16,
}

impl VersionRange {
    /// Whether a version lies in the range.
    pub fn contains(self, version: u16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// The newest version both ranges hold.
    pub fn newest_common(self, other: Self) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

/// The name of a version.
pub fn name(version: u16) -> Option<&'static str> {
    NAMES.get(usize::from(version).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_and_the_newest_number_agree() {
        assert_eq!(NAMES.len(), usize::from(NEWEST));
        assert_eq!(name(NEWEST), NAMES.last().copied());
        assert_eq!(name(0), None);
        assert_eq!(name(NEWEST + 1), None);
    }

    #[test]
    fn ends_agree_on_the_newest_common_version() {
        let old = VersionRange { min: 1, max: 2 };
        let new = VersionRange { min: 2, max: 3 };
        assert_eq!(old.newest_common(new), Some(2));
        assert_eq!(new.newest_common(old), Some(2));
        assert_eq!(old.newest_common(VersionRange { min: 3, max: 4 }), None);
    }
}
