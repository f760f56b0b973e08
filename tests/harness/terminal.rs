//! A program on a terminal of its own, for those that ask nothing and say little without one.
//!
//! The terminal is as wide as the longest address, so nothing is wrapped; what the program says is
//! given as plain text. Python's `pty` holds the other end.

use std::{process::Command, time::Duration};

use super::{
    program::Program,
    wait::{eventually, secs},
};

const HOLDER: &str = "import fcntl, os, pty, struct, sys, termios
pid, master = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 50, 4000, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    try:
        said = os.read(master, 65536)
    except OSError:
        break
    if not said:
        break
    os.write(1, said)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
";

pub(crate) struct Terminal {
    program: Program,
}

impl Terminal {
    /// Starts a program with its environment on a new terminal.
    #[track_caller]
    pub(crate) fn start(command: &Command) -> Self {
        let mut holder = Command::new("python3");
        holder.env_clear().args(["-c", HOLDER]);
        holder.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                holder.env(name, value);
            }
        }
        if let Some(folder) = command.get_current_dir() {
            holder.current_dir(folder);
        }
        holder.env("TERM", "xterm");
        Self {
            program: Program::spawn(holder),
        }
    }

    /// What it has said so far, without colours and cursor movements.
    pub(crate) fn words(&self) -> String {
        plain(&self.program.stdout())
    }

    /// The first address with this in it that it shows.
    #[track_caller]
    pub(crate) fn address(&mut self, part: &str) -> String {
        eventually(&format!("an address with {part}"), secs(60), || {
            let words = self.words();
            let ended = self.program.ended();
            let found = words
                .split(|c: char| c.is_whitespace() || c.is_control())
                .filter_map(|word| word.find("http").map(|at| &word[at..]))
                .find(|address| address.contains(part));
            assert!(
                found.is_some() || ended.is_none(),
                "it ended with {ended:?}: {words}{}",
                self.program.stderr()
            );
            found.map(str::to_owned)
        })
    }

    /// Waits for its end; everything it said, and its exit code.
    #[track_caller]
    pub(crate) fn end(mut self, limit: Duration) -> (Option<i32>, String) {
        let status = self.program.wait(limit);
        let words = eventually("its last words", secs(5), || {
            let words = self.words();
            (!words.is_empty()).then_some(words)
        });
        (status.code(), words)
    }
}

/// Text without escape sequences (ECMA-48: CSI up to its final byte, OSC up to BEL or ST).
fn plain(said: &str) -> String {
    let mut text = String::new();
    let mut left = said.chars().peekable();
    while let Some(c) = left.next() {
        if c != '\u{1b}' {
            text.push(c);
            continue;
        }
        match left.next() {
            Some('[') => {
                // A cursor that moves on leaves a gap, as a blank would.
                let last = left.find(|c| ('\u{40}'..='\u{7e}').contains(c));
                if !matches!(last, Some('m')) {
                    text.push(' ');
                }
            }
            Some(']') => while left.next().is_some_and(|c| c != '\u{7}' && c != '\u{9c}') {},
            _ => {}
        }
    }
    text
}

#[test]
fn escape_sequences_are_no_words() {
    assert_eq!(
        plain("\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7} \u{1b}[5Cgo"),
        "red  go"
    );
}
