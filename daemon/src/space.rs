//! The watermark: whether the volumes this host works on have room for more work, in words with
//! figures. A volume is low when more of it is used than the owner allows *and* not enough is left.
//!
//! It reads and judges; who refuses work and what is freed first is decided elsewhere.

use std::path::{Path, PathBuf};

use hostler_proto::error::{ErrorCode, Failure};

use crate::Context;
use crate::config::Disk;

/// Free inodes that are enough however full a volume is.
const ENOUGH_INODES: u64 = 1_000_000;

const MIB: u64 = 1 << 20;

/// What is left of one volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Volume {
    /// Size in bytes, without what only the system's administrator may use.
    total: u64,
    /// Free bytes.
    free: u64,
    /// Inodes there are; 0 where they are made as needed.
    inodes: u64,
    /// Free inodes.
    free_inodes: u64,
}

/// Why this host takes no new work, in a sentence; none when it does.
pub fn low(context: &Context) -> Option<String> {
    let config = &context.config;
    let places = [
        context.layout.host(),
        config.worktrees_root.clone(),
        context.layout.scratch(),
    ];
    places.iter().find_map(|place| {
        let volume = Volume::of(place)?;
        let words = volume.shortage(&config.disk)?;
        Some(format!(
            "the volume of {} is {words}; this host starts no runs and makes no workspaces there until there is more room. Delete what is not needed, or change [disk] in {}",
            place.display(),
            context.layout.config_file().display()
        ))
    })
}

/// Refuses new work on a host that is low on space.
pub fn check(context: &Context) -> Result<(), Failure> {
    match low(context) {
        None => Ok(()),
        Some(words) => {
            let failure = Failure::new(
                ErrorCode::PreconditionFailed,
                format!("this host is low on disk space: {words}"),
            );
            Err(failure.hint(
                "Free space on the host (delete workspaces that are done with), then try again.",
            ))
        }
    }
}

impl Volume {
    /// Of the nearest folder that exists; none when the system does not tell.
    fn of(place: &Path) -> Option<Self> {
        let there: PathBuf = place.ancestors().find(|path| path.exists())?.to_owned();
        let facts = rustix::fs::statvfs(&there).ok()?;
        let used = facts.f_blocks.saturating_sub(facts.f_bfree);
        Some(Self {
            total: used
                .saturating_add(facts.f_bavail)
                .saturating_mul(facts.f_frsize),
            free: facts.f_bavail.saturating_mul(facts.f_frsize),
            inodes: facts.f_files,
            free_inodes: facts.f_favail,
        })
    }

    /// What is short, with figures.
    fn shortage(self, limits: &Disk) -> Option<String> {
        let bytes = percent(self.total, self.free);
        if bytes >= u64::from(limits.used_percent)
            && limits.used_percent < 100
            && self.free < limits.enough_free_mb.saturating_mul(MIB)
        {
            return Some(format!(
                "{bytes} % full ({} of {} free, the limit is {} %)",
                size(self.free),
                size(self.total),
                limits.used_percent
            ));
        }
        let inodes = percent(self.inodes, self.free_inodes);
        (inodes >= u64::from(limits.inodes_percent)
            && limits.inodes_percent < 100
            && self.free_inodes < ENOUGH_INODES
            && self.inodes > 0)
            .then(|| {
                format!(
                    "out of room for files ({} of {} inodes free, {inodes} % are used, the limit is {} %)",
                    self.free_inodes, self.inodes, limits.inodes_percent
                )
            })
    }
}

/// Per cent in use, rounded down.
fn percent(total: u64, free: u64) -> u64 {
    let used = u128::from(total.saturating_sub(free));
    let percent = (used * 100).checked_div(u128::from(total)).unwrap_or(0);
    u64::try_from(percent).unwrap_or(100)
}

/// A size in MiB or GiB.
fn size(bytes: u64) -> String {
    let mib = bytes / MIB;
    if mib < 1024 {
        format!("{mib} MiB")
    } else {
        format!("{}.{} GiB", mib / 1024, mib % 1024 * 10 / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(total_mib: u64, free_mib: u64) -> Volume {
        Volume {
            total: total_mib * MIB,
            free: free_mib * MIB,
            inodes: 1000,
            free_inodes: 500,
        }
    }

    #[test]
    fn a_volume_is_low_when_it_is_full_and_little_is_left() {
        let limits = Disk::default();
        let words = volume(16 << 10, 1229).shortage(&limits).unwrap();
        assert_eq!(
            words,
            "92 % full (1.2 GiB of 16.0 GiB free, the limit is 80 %)"
        );
        assert_eq!(volume(100, 21).shortage(&limits), None);
        assert!(volume(100, 20).shortage(&limits).is_some());
        // A large disk has room at the same share.
        assert_eq!(volume(100 << 10, 3 << 10).shortage(&limits), None);
        let never = Disk {
            used_percent: 100,
            ..limits
        };
        assert_eq!(volume(100, 0).shortage(&never), None);
    }

    #[test]
    fn inodes_count_where_there_is_a_number_of_them() {
        let limits = Disk::default();
        let full = |inodes, free_inodes| Volume {
            inodes,
            free_inodes,
            ..volume(100, 90)
        };
        let words = full(1000, 250).shortage(&limits).unwrap();
        assert!(words.contains("250 of 1000 inodes free, 75 %"), "{words}");
        assert_eq!(full(1000, 301).shortage(&limits), None);
        assert_eq!(full(0, 0).shortage(&limits), None);
        assert_eq!(full(100_000_000, 20_000_000).shortage(&limits), None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_counts_as_the_one_above() {
        let temp = tempfile::tempdir().unwrap();
        let there = Volume::of(temp.path()).unwrap();
        let below = Volume::of(&temp.path().join("a/b")).unwrap();
        assert_eq!(there.total, below.total);
        assert!(there.total >= there.free && there.total > 0);
    }
}
