//! Whether a disk is about to be full.

use std::path::Path;

/// No more than one part in this many of a disk is kept free.
const PART: u64 = 50;

/// What is left on the disk of a folder, bytes, when that is less than `least`; none when there is
/// enough or it cannot be told.
pub(super) fn too_little(folder: &Path, least: u64) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let size = disk.f_blocks.saturating_mul(disk.f_frsize);
    (free < least.min(size / PART)).then_some(free)
}
