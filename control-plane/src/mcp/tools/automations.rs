//! Tools for automations.

use super::Entry;

pub(super) fn tools() -> Vec<Entry> {
    Vec::new()
}
