//! The Linux side of the platform interface.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
};

use super::{ProcessFacts, is_alive};

/// Milliseconds counting time asleep (`CLOCK_BOOTTIME`) and not counting it (`CLOCK_MONOTONIC`),
/// see clock_gettime(2).
pub fn suspend_aware_clocks_ms() -> (u64, u64) {
    (clock_ms(ClockId::Boottime), clock_ms(ClockId::Monotonic))
}

/// Programs that open an address in the person's browser, each tried in turn (xdg-utils; WSL).
pub const BROWSER_OPENERS: &[&str] = &["xdg-open", "wslview"];

/// Keeps the machine from sleeping while the program named after it runs (`systemd-inhibit(1)`).
pub const STAY_AWAKE: &[&str] = &[
    "systemd-inhibit",
    "--what=sleep:idle",
    "--who=Hostler",
    "--why=an agent is at work",
    "--mode=block",
];

/// A descriptor that becomes readable (its read fails) whenever the wall clock is set or the machine
/// wakes, see TFD_TIMER_CANCEL_ON_SET in timerfd_create(2).
pub fn clock_set_notice() -> Option<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = rustix::time::timerfd_create(TimerfdClockId::Realtime, flags).ok()?;
    arm_clock_set_notice(&timer).then_some(timer)
}

/// Makes the notice ready for the next time; false when the system refuses.
pub fn arm_clock_set_notice(timer: &OwnedFd) -> bool {
    let never = Timespec {
        tv_sec: i64::MAX / 1_000_000_000,
        tv_nsec: 0,
    };
    let once = Itimerspec {
        it_interval: Timespec::default(),
        it_value: never,
    };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    rustix::time::timerfd_settime(timer, flags, &once).is_ok()
}

/// Orphans among the descendants become children of this process, see
/// PR_SET_CHILD_SUBREAPER(2const). So no descendant can leave the tree.
pub fn adopt_orphans() -> io::Result<()> {
    let any = rustix::process::getpid();
    Ok(rustix::process::set_child_subreaper(Some(any))?)
}

/// Whether a process left its family: nobody can, see [`adopt_orphans`].
pub fn is_stray(_one: &ProcessFacts, _marker: &str) -> bool {
    false
}

/// Marks this process and everyone it will ever start with a number that survives a new session, an
/// empty environment and the death of every ancestor: the limit on file locks, which is handed down
/// on fork and exec and which the kernel has not looked at since 2.4.25, see getrlimit(2). False when
/// the limit is not free to use (inside another marked run) or the system refuses.
pub fn brand(mark: u64) -> bool {
    let free = Rlimit {
        current: None,
        maximum: None,
    };
    let marked = Rlimit {
        current: Some(mark),
        maximum: Some(mark),
    };
    rustix::process::getrlimit(Resource::Locks) == free
        && rustix::process::setrlimit(Resource::Locks, marked).is_ok()
}

/// Whether a process descends from the one that was marked with this number.
pub fn is_branded(pid: i32, mark: u64) -> bool {
    let Ok(limits) = std::fs::read_to_string(format!("/proc/{pid}/limits")) else {
        return false;
    };
    let own = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max file locks"));
    own.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()) == Some(mark)
}

/// Whether nobody's terminal controls a process, from its `tty_nr`.
pub fn is_detached(one: &ProcessFacts) -> bool {
    let stat = std::fs::read(format!("/proc/{}/stat", one.pid)).unwrap_or_default();
    stat_fields(&stat).is_some_and(|(_, fields)| fields.get(4) == Some(&"0"))
}

/// The numbers of this process' children, ended ones included, if its first thread started or
/// adopted them; none where the system does not tell, see proc_tid_children(5).
pub fn children() -> Option<Vec<i32>> {
    let own = rustix::process::getpid().as_raw_nonzero();
    let text = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).ok()?;
    let numbers = text.split_ascii_whitespace();
    Some(numbers.filter_map(|number| number.parse().ok()).collect())
}

/// CPU time of every child that was waited for, with its own children, milliseconds; none where the
/// system does not tell.
pub fn ended_children_cpu_ms() -> Option<u64> {
    let stat = std::fs::read("/proc/self/stat").ok()?;
    let fields = stat_fields(&stat)?.1;
    let ticks: u64 = fields
        .get(13..15)?
        .iter()
        .filter_map(|n| n.parse::<u64>().ok())
        .sum();
    Some(in_ms(ticks))
}

/// The machine's own id, see machine-id(5); none in images that come without one.
pub fn machine_id() -> Option<String> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok())
        // What an image has in place of one, until its first boot.
        .filter(|id| id.trim() != "uninitialized")
}

/// The program this process runs, also when another stands in its place by now (an upgrade).
pub fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.is_file() {
        path
    } else {
        PathBuf::from("/proc/self/exe")
    })
}

/// Every process of this machine that can be seen, from /proc/<pid>/stat, see proc_pid_stat(5).
pub fn processes() -> Vec<ProcessFacts> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(process)
        .collect()
}

/// One process.
pub fn process(pid: i32) -> Option<ProcessFacts> {
    parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Sends a signal to exactly the process that had this pid and start time; false when it is gone.
pub fn signal_process(pid: i32, started: u64, signal: Signal) -> bool {
    let Some(number) = Pid::from_raw(pid) else {
        return false;
    };
    match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Ok(fd) => is_alive(pid, started) && rustix::process::pidfd_send_signal(fd, signal).is_ok(),
        // Kernels before 5.3 have no pidfd; the start time alone leaves a gap of microseconds.
        Err(Errno::NOSYS) => {
            is_alive(pid, started) && rustix::process::kill_process(number, signal).is_ok()
        }
        Err(_) => false,
    }
}

/// Whether the environment a process was started with holds `NAME=value`.
pub fn started_with(pid: i32, entry: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|bytes| {
        bytes
            .split(|byte| *byte == 0)
            .any(|one| one == entry.as_bytes())
    })
}

/// The folder a process works in.
pub fn working_folder(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The user's login name, from /etc/passwd, see passwd(5).
pub fn user_name() -> String {
    account_field(0).unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
}

/// The user's login shell: `SHELL`, else the one in /etc/passwd.
pub fn login_shell() -> PathBuf {
    std::env::var_os("SHELL")
        .map(PathBuf::from)
        .or_else(|| account_field(6).map(PathBuf::from))
        .filter(|shell| shell.is_absolute())
        .unwrap_or_else(|| PathBuf::from("/bin/sh"))
}

fn clock_ms(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1000 + nanos / 1_000_000
}

fn account_field(at: usize) -> Option<String> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = accounts
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let account = lines.find(|fields| fields.get(2) == Some(&uid.as_str()))?;
    account.get(at).map(|field| (*field).to_owned())
}

fn in_ms(ticks: u64) -> u64 {
    ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)
}

/// A process' number and the fields from its state on. The command's name may hold anything, spaces
/// and parentheses too: fields begin after the last `)`.
fn stat_fields(stat: &[u8]) -> Option<(i32, Vec<&str>)> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(&stat[..open]).ok()?.trim();
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    Some((pid.parse().ok()?, rest.split_ascii_whitespace().collect()))
}

fn parse_stat(stat: &[u8]) -> Option<ProcessFacts> {
    let (pid, fields) = stat_fields(stat)?;
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let id = |at: usize| fields.get(at)?.parse::<i32>().ok();
    Some(ProcessFacts {
        pid,
        parent: id(1)?,
        group: id(2)?,
        session: id(3)?,
        ended: matches!(*fields.first()?, "Z" | "X" | "x"),
        started: number(19)?,
        cpu_ms: in_ms((11..=14).filter_map(number).sum()),
        memory_bytes: number(21)? * rustix::param::page_size() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_command_is_called() {
        let line = b"42 (a) Z (b 1) S 7 8 9 0 -1 4194304 103 0 0 0 100 50 25 25 20 0 1 0 777 3133440 3 18446744073709551615 1 2\n";
        let facts = parse_stat(line).unwrap();
        assert_eq!(
            (facts.pid, facts.parent, facts.group, facts.session),
            (42, 7, 8, 9)
        );
        assert_eq!((facts.started, facts.ended), (777, false));
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(facts.cpu_ms, 200 * 1000 / ticks);
        assert_eq!(facts.memory_bytes, 3 * rustix::param::page_size() as u64);
    }
}
