//! Tools for workspaces.

use super::Entry;

pub(super) fn tools() -> Vec<Entry> {
    Vec::new()
}
