//! Short look-ups by running a program: the login shell's PATH, a tool's version.
//!
//! Each is bounded in time and in bytes, and nothing it started is left behind in its group.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal};

/// The most a look-up reads, bytes.
const MOST_BYTES: usize = 64 * 1024;

/// How long the login shell may take to tell its PATH, milliseconds.
const LOGIN_LIMIT_MS: u64 = 5_000;

/// Where tools are commonly put that a login shell may not name, below the user's home.
const HOME_FOLDERS: &[&str] = &[
    ".local/bin",
    ".claude/local",
    ".opencode/bin",
    ".bun/bin",
    ".npm-global/bin",
    ".cargo/bin",
];

/// The same for the whole machine.
const MACHINE_FOLDERS: &[&str] = &[
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
];

/// The PATH of the user's login shell, then this process' own (a terminal may know more than a
/// login shell does), then the common places. A service manager starts daemons with a bare PATH.
pub fn login_path(home: &Path) -> String {
    let asked = run_bounded(
        &super::login_shell(),
        &["-lc", r#"printf '\nHOSTLER_PATH=%s\n' "$PATH""#],
        LOGIN_LIMIT_MS,
    );
    let login = asked.as_deref().and_then(|text| {
        text.lines()
            .find_map(|line| line.strip_prefix("HOSTLER_PATH="))
    });
    let own = std::env::var("PATH").unwrap_or_default();
    joined(&[login.unwrap_or_default(), &own], home)
}

/// The folders of some PATHs and the common places that exist, each once, in this order.
fn joined(paths: &[&str], home: &Path) -> String {
    let given = paths.iter().flat_map(|path| std::env::split_paths(*path));
    let common = HOME_FOLDERS
        .iter()
        .map(|folder| home.join(folder))
        .chain(MACHINE_FOLDERS.iter().map(PathBuf::from))
        .filter(|folder| folder.is_dir());
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in given.filter(|folder| folder.is_absolute()).chain(common) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    let words: Vec<_> = folders
        .iter()
        .map(|folder| folder.to_string_lossy())
        .collect();
    words.join(":")
}

/// What a program prints on its standard output within a limit (milliseconds of awake time), its
/// first 64 KiB; none when it cannot be started, fails or takes longer.
pub fn run_bounded(program: &Path, args: &[impl AsRef<OsStr>], limit_ms: u64) -> Option<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .ok()?;
    let text = read_until(&mut child, crate::clock::now().awake_ms + limit_ms);
    // Its number is its group's, and cannot be another's before it is waited for.
    if text.is_none()
        && let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
    {
        rustix::process::kill_process_group(group, Signal::KILL).ok();
    }
    let status = child.wait().ok()?;
    text.filter(|_| status.success())
}

/// Everything up to the end of the output; none when the deadline came first.
fn read_until(child: &mut Child, deadline_ms: u64) -> Option<String> {
    let mut out = child.stdout.take()?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let left_ms = deadline_ms.checked_sub(crate::clock::now().awake_ms)?;
        let timeout = Timespec {
            tv_sec: i64::try_from(left_ms / 1000).ok()?,
            tv_nsec: i64::try_from(left_ms % 1000 * 1_000_000).ok()?,
        };
        let mut ready = [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::IN)];
        if rustix::event::poll(&mut ready, Some(&timeout)).ok()? == 0 {
            return None;
        }
        let count = out.read(&mut chunk).ok()?;
        bytes.extend_from_slice(&chunk[..count]);
        if count == 0 {
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        if bytes.len() > MOST_BYTES {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_up_is_bounded() {
        let sh = Path::new("/bin/sh");
        assert_eq!(
            run_bounded(sh, &["-c", "printf hi"], 5_000).as_deref(),
            Some("hi")
        );
        assert_eq!(run_bounded(sh, &["-c", "printf hi; exit 3"], 5_000), None);
        assert_eq!(run_bounded(sh, &["-c", "exec tail -f /dev/null"], 50), None);
        assert_eq!(run_bounded(Path::new("/no/such"), &["x"], 50), None);
    }

    #[test]
    fn paths_are_joined_in_order_and_once() {
        let path = joined(&["/a:/b:rel", "/b:/c"], Path::new("/nonexistent"));
        assert!(path.starts_with("/a:/b:/c:"), "{path}");
        assert!(path.contains("/usr/bin") && !path.contains("rel"), "{path}");
    }

    #[test]
    fn the_login_path_has_the_usual_places() {
        let path = login_path(Path::new("/nonexistent"));
        let folders: Vec<_> = std::env::split_paths(&path).collect();
        assert!(folders.contains(&PathBuf::from("/usr/bin")), "{path}");
        assert!(folders.iter().all(|folder| folder.is_absolute()));
    }
}
