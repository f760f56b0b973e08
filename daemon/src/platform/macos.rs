//! The macOS side of the platform interface.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, getpgid, getsid};
use rustix::time::{ClockId, clock_gettime};
use sysinfo::{Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use super::{ProcessFacts, is_alive};

/// Milliseconds counting time asleep and not counting it. On macOS `CLOCK_MONOTONIC` goes on
/// during sleep and `CLOCK_UPTIME_RAW` does not, see clock_gettime(3).
#[expect(unsafe_code, reason = "rustix does not know this clock of macOS")]
pub fn suspend_aware_clocks_ms() -> (u64, u64) {
    const CLOCK_UPTIME_RAW: u32 = 8;
    unsafe extern "C" {
        fn clock_gettime_nsec_np(clock: u32) -> u64;
    }
    // SAFETY: it takes and returns numbers; 0 says that it does not know the clock.
    let awake = unsafe { clock_gettime_nsec_np(CLOCK_UPTIME_RAW) };
    (clock_ms(ClockId::Monotonic), awake / 1_000_000)
}

/// Programs that open an address in the person's browser, each tried in turn (`open(1)`).
pub const BROWSER_OPENERS: &[&str] = &["/usr/bin/open"];

/// Keeps the machine from idling to sleep while the program named after it runs (`caffeinate(8)`).
pub const STAY_AWAKE: &[&str] = &["/usr/bin/caffeinate", "-i", "-s"];

/// macOS has no descriptor for this: whoever waits looks at the clock every few seconds.
pub fn clock_set_notice() -> Option<OwnedFd> {
    None
}

/// There is nothing to make ready, see [`clock_set_notice`].
pub fn arm_clock_set_notice(_timer: &OwnedFd) -> bool {
    false
}

/// macOS has no subreaper: an orphan becomes a child of launchd. It is found again by its session,
/// its process group and the run's marker in its environment.
#[expect(
    clippy::unnecessary_wraps,
    reason = "on Linux the same function can fail"
)]
pub fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// Whether a process left its family and is known by the marker (`NAME=value`) it was started with.
pub fn is_stray(one: &ProcessFacts, marker: &str) -> bool {
    one.parent == 1 && started_with(one.pid, marker)
}

/// macOS has nothing to mark processes with: they are found by what [`started_with`] sees.
pub fn brand(_mark: u64) -> bool {
    false
}

/// No process is marked, see [`brand`].
pub fn is_branded(_pid: i32, _mark: u64) -> bool {
    false
}

/// Whether nobody is there to whom a process belongs: it is launchd's by now.
pub fn is_detached(one: &ProcessFacts) -> bool {
    one.parent == 1
}

/// macOS does not list children by themselves.
pub fn children() -> Option<Vec<i32>> {
    None
}

/// Nor does it add up, without asking for it, what ended children used.
pub fn ended_children_cpu_ms() -> Option<u64> {
    None
}

/// The machine's own id, see gethostuuid(2).
#[expect(unsafe_code, reason = "the system's own call; no crate here wraps it")]
pub fn machine_id() -> Option<String> {
    #[repr(C)]
    struct Patience {
        seconds: i64,
        nanoseconds: i64,
    }
    unsafe extern "C" {
        fn gethostuuid(id: *mut u8, wait: *const Patience) -> i32;
    }
    let (mut id, wait) = (
        [0_u8; 16],
        Patience {
            seconds: 1,
            nanoseconds: 0,
        },
    );
    // SAFETY: both point to values of the sizes the call writes and reads, and outlive it.
    let failed = unsafe { gethostuuid(id.as_mut_ptr(), &raw const wait) };
    (failed == 0).then(|| hex::encode(id))
}

/// The program at the path this process was started from.
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Every process of this machine that can be seen.
pub fn processes() -> Vec<ProcessFacts> {
    let Some(system) = look(ProcessesToUpdate::All) else {
        return Vec::new();
    };
    system.processes().values().filter_map(facts).collect()
}

/// One process.
pub fn process(pid: i32) -> Option<ProcessFacts> {
    let pid = sysinfo::Pid::from_u32(u32::try_from(pid).ok()?);
    facts(look(ProcessesToUpdate::Some(&[pid]))?.process(pid)?)
}

/// Sends a signal to the process that had this pid and start time; false when it is gone.
pub fn signal_process(pid: i32, started: u64, signal: Signal) -> bool {
    let Some(number) = Pid::from_raw(pid) else {
        return false;
    };
    is_alive(pid, started) && rustix::process::kill_process(number, signal).is_ok()
}

/// Whether the environment a process was started with holds `NAME=value`.
pub fn started_with(pid: i32, entry: &str) -> bool {
    with_process(
        pid,
        ProcessRefreshKind::nothing().with_environ(UpdateKind::Always),
        |process| {
            process
                .environ()
                .iter()
                .any(|one| one.to_str() == Some(entry))
        },
    )
    .unwrap_or(false)
}

/// The folder a process works in.
pub fn working_folder(pid: i32) -> Option<PathBuf> {
    with_process(
        pid,
        ProcessRefreshKind::nothing().with_cwd(UpdateKind::Always),
        |process| process.cwd().map(PathBuf::from),
    )?
}

/// The user's login name where the environment does not tell it: launchd always sets `USER`, so
/// this is only the number.
pub fn user_name() -> String {
    rustix::process::getuid().as_raw().to_string()
}

/// The user's login shell: `SHELL`, else the system's default.
pub fn login_shell() -> PathBuf {
    std::env::var_os("SHELL")
        .map(PathBuf::from)
        .filter(|shell| shell.is_absolute())
        .unwrap_or_else(|| PathBuf::from("/bin/zsh"))
}

fn look(which: ProcessesToUpdate<'_>) -> Option<System> {
    let mut system = System::new().ok()?;
    let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
    system.refresh_processes_specifics(which, true, kind);
    Some(system)
}

fn with_process<T>(
    pid: i32,
    kind: ProcessRefreshKind,
    read: impl FnOnce(&Process) -> T,
) -> Option<T> {
    let pid = sysinfo::Pid::from_u32(u32::try_from(pid).ok()?);
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    system.process(pid).map(read)
}

/// sysinfo gives start times in seconds, which is as fine as macOS needs: its process numbers are
/// not used again within one.
fn facts(process: &Process) -> Option<ProcessFacts> {
    let pid = i32::try_from(process.pid().as_u32()).ok()?;
    let number = Pid::from_raw(pid);
    let raw = |found: Result<Pid, _>| found.map_or(0, |pid: Pid| pid.as_raw_nonzero().get());
    let parent = process.parent().map_or(0, sysinfo::Pid::as_u32);
    Some(ProcessFacts {
        pid,
        parent: i32::try_from(parent).ok()?,
        group: raw(getpgid(number)),
        session: raw(getsid(number)),
        started: process.start_time(),
        ended: process.status() == ProcessStatus::Zombie,
        cpu_ms: process.accumulated_cpu_time(),
        memory_bytes: process.memory(),
    })
}

fn clock_ms(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1000 + nanos / 1_000_000
}
