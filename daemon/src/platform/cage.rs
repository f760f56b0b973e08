//! A cgroup of version 2 for the processes of one run, where this process may make one below its
//! own: everybody born in it stays in it, and one write ends them all, whatever they fork meanwhile.
//!
//! It is all files (see cgroups(7) and cgroup.kill in the kernel's cgroup-v2 text); a system without
//! them, or with a hierarchy that is not ours to change, has no cage. Nobody relies on one alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Every cage's name begins with this: nothing else is ever killed or removed.
const PREFIX: &str = "hostler-";

/// Deepest cgroups inside a cage that are removed with it.
const DEEPEST: u32 = 16;

/// One cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cage(PathBuf);

impl Cage {
    /// Makes a cage below this process' own cgroup; none where that is not allowed.
    pub fn make(name: &str) -> Option<Self> {
        let folder = own_cgroup()?.join(format!("{PREFIX}{name}"));
        fs::create_dir(&folder).ok()?;
        let cage = Self(folder);
        // Kernels before 5.14 cannot end a whole cgroup: then it is worth nothing here.
        if !cage.0.join("cgroup.kill").exists() {
            cage.remove();
            return None;
        }
        Some(cage)
    }

    /// The cage at a path that was noted down; none when it is not there (any more).
    pub fn at(folder: &Path) -> Option<Self> {
        let name = folder.file_name()?.to_str()?;
        (name.starts_with(PREFIX) && folder.join("cgroup.kill").exists())
            .then(|| Self(folder.to_owned()))
    }

    /// Its path, to be noted down.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Puts a process into it, with whoever it starts from now on.
    pub fn take(&self, pid: i32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }

    /// The numbers of everyone directly in it.
    pub fn members(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Ends everyone in it at once, also those being forked at this moment.
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.0.join("cgroup.kill"), "1")
    }

    /// CPU time of everyone who was ever in it, milliseconds.
    pub fn cpu_ms(&self) -> Option<u64> {
        let text = fs::read_to_string(self.0.join("cpu.stat")).ok()?;
        let used = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "))?;
        Some(used.parse::<u64>().ok()? / 1000)
    }

    /// Removes it. One with somebody in it stays.
    pub fn remove(&self) {
        remove(&self.0, DEEPEST);
    }
}

/// A cgroup goes when those inside it have gone.
fn remove(folder: &Path, depth: u32) {
    if fs::remove_dir(folder).is_ok() || depth == 0 {
        return;
    }
    for inner in fs::read_dir(folder).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&inner.path(), depth - 1);
        }
    }
    // What is still there is in use, and harmless.
    fs::remove_dir(folder).ok();
}

/// The folder of this process' own cgroup.
fn own_cgroup() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let (root, point) = mounts.lines().find_map(cgroup2_mount)?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    // In a container the mount shows a part of the hierarchy.
    let below = Path::new(own).strip_prefix(root).ok()?;
    Some(Path::new(point).join(below))
}

/// Root and place of a cgroup2 mount, from a line of mountinfo, see proc_pid_mountinfo(5).
fn cgroup2_mount(line: &str) -> Option<(&str, &str)> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let found = (fields.next()?, fields.next()?);
    kind.starts_with("cgroup2 ").then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_from_its_line() {
        let line = "31 24 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw";
        assert_eq!(cgroup2_mount(line), Some(("/", "/sys/fs/cgroup/unified")));
        let line = "31 24 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw";
        assert_eq!(cgroup2_mount(line), None);
    }

    #[test]
    fn what_is_not_a_cage_is_never_taken_for_one() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("cgroup.kill"), "").unwrap();
        assert_eq!(Cage::at(temp.path()), None);
        assert_eq!(Cage::at(Path::new("/sys/fs/cgroup")), None);
    }
}
