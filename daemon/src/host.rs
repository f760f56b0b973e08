//! What this machine is and how loaded it is: facts for the catalog, readings for heartbeats.
//!
//! Cheap by design: facts are asked once per start, readings touch only memory, load and one disk.
//! It sends nothing.

pub mod changes;
pub mod machine;
pub mod task;

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use hostler_proto::host::HostLoad;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Operating system as the catalog names it (`linux`, `macos`).
pub fn os() -> &'static str {
    std::env::consts::OS
}

/// Processor architecture (`x86_64`, `aarch64`).
pub fn arch() -> &'static str {
    std::env::consts::ARCH
}

/// Logical processors this process may use.
pub fn cpus() -> u32 {
    std::thread::available_parallelism()
        .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX))
}

/// Physical memory, bytes.
pub fn memory_bytes() -> u64 {
    memory().0
}

/// One boot of the operating system, as text that no other boot has.
pub fn boot_id() -> String {
    // Linux has a file for it; elsewhere the time of the boot is as good.
    let file = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let boot = || System::boot_time().map_or_else(|_| "unknown".to_owned(), |at| at.to_string());
    file.map_or_else(|_| boot(), |id| id.trim().to_owned())
}

/// The machine's own name for itself, which no other has and which outlives the boot: what
/// `HOSTLER_MACHINE_ID` says (for containers, whose images bring the same one everywhere), else the
/// system's. None where there is none.
pub fn machine_id() -> Option<String> {
    let given = std::env::var("HOSTLER_MACHINE_ID").ok();
    given
        .or_else(crate::platform::machine_id)
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty())
}

/// Version of the system's time zone database (`2026a`); none when it does not tell.
pub fn tzdb_version() -> Option<String> {
    let folder = zoneinfo();
    let first_line = |name: &str| {
        let text = std::fs::read(folder.join(name)).ok()?;
        let line = text.split(|byte| *byte == b'\n').next()?;
        Some(String::from_utf8_lossy(line).trim().to_owned())
    };
    // macOS and the BSDs have +VERSION; Linux has the version in the first line of tzdata.zi.
    first_line("+VERSION").or_else(|| {
        Some(
            first_line("tzdata.zi")?
                .strip_prefix("# version ")?
                .to_owned(),
        )
    })
}

/// What tells one state of the system's time zone database from another: its version, and when its
/// folders were last changed. An update puts files in place of others, which a folder's time shows.
pub fn tzdb_state() -> String {
    let folder = zoneinfo();
    let changed = |path: &Path| {
        let modified = std::fs::metadata(path).and_then(|about| about.modified());
        let since = modified.ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(since.as_nanos())
    };
    let below = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut folders: Vec<_> = below
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.push(folder);
    let newest = folders.iter().filter_map(|path| changed(path)).max();
    let sum = folders
        .iter()
        .filter_map(|path| changed(path))
        .fold(0, u128::wrapping_add);
    let version = tzdb_version().unwrap_or_default();
    format!("{version} {:x} {sum:x}", newest.unwrap_or_default())
}

/// The system's time zones, or those that `TZDIR` names.
fn zoneinfo() -> PathBuf {
    std::env::var_os("TZDIR").map_or_else(|| "/usr/share/zoneinfo".into(), PathBuf::from)
}

/// Readings for one heartbeat. `data`: a folder on the volume whose free space matters.
pub fn load(data: &Path, running_runs: u32) -> HostLoad {
    let (_, memory_used_bytes) = memory();
    let (disk_free_bytes, disk_total_bytes) = disk_space(data);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a load average needs no more digits"
    )]
    let load_1m = System::load_average().map_or(0.0, |load| load.one as f32);
    HostLoad {
        load_1m,
        memory_used_bytes,
        disk_free_bytes,
        disk_total_bytes,
        running_runs,
        low_space: None,
    }
}

/// Free (to this user) and total bytes of the volume a folder lies on.
fn disk_space(folder: &Path) -> (u64, u64) {
    rustix::fs::statvfs(folder).map_or((0, 0), |volume| {
        let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
        (bytes(volume.f_bavail), bytes(volume.f_blocks))
    })
}

/// Physical memory and how much of it is in use, bytes; zeros when the system does not tell.
fn memory() -> (u64, u64) {
    let what = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    System::new_with_specifics(what).map_or((0, 0), |system| {
        (system.total_memory(), system.used_memory())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_make_sense() {
        let load = load(Path::new("/"), 3);
        assert!(load.memory_used_bytes > 0 && load.memory_used_bytes < memory_bytes());
        assert!(load.disk_total_bytes >= load.disk_free_bytes && load.disk_total_bytes > 0);
        assert_eq!(load.running_runs, 3);
        assert!(cpus() >= 1);
        assert!(!boot_id().is_empty());
    }
}
