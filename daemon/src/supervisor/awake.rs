//! Keeps the machine awake while runs go on, where the system has a program for that
//! (systemd-inhibit, caffeinate).
//!
//! The program is held by a pipe: it goes when the daemon does, however that ends. A machine without
//! one, or one that refuses, runs all the same. It does not keep a closed lid from sleeping.

use std::process::{Child, Command, Stdio};

use crate::platform;

/// The wish to stay awake.
#[derive(Debug, Default)]
pub struct Awake {
    holder: Option<Child>,
    /// Those let go, until the system has taken note of their end.
    ending: Vec<Child>,
}

impl Awake {
    /// Holds on to it while `wanted`. To be asked again whenever that may have changed.
    pub fn set(&mut self, wanted: bool) {
        self.ending
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if wanted && self.holder.is_none() {
            self.holder = hold(platform::STAY_AWAKE);
        }
        if !wanted && let Some(mut child) = self.holder.take() {
            drop(child.stdin.take());
            self.ending.push(child);
        }
    }
}

/// Starts the program over a `cat` that ends with our end of the pipe.
fn hold(command: &[&str]) -> Option<Child> {
    let (program, args) = command.split_first()?;
    let started = Command::new(program)
        .args(args)
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started
        .inspect_err(|error| tracing::debug!(%error, "the machine may fall asleep during runs"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn what_holds_it_goes_when_no_longer_wanted() {
        let mut awake = Awake {
            holder: hold(&["env"]),
            ending: Vec::new(),
        };
        awake.set(true);
        assert!(awake.holder.as_mut().unwrap().try_wait().unwrap().is_none());
        awake.set(false);
        let deadline = clock::wall().plus_ms(20_000);
        while !awake.ending.is_empty() {
            assert!(clock::wall() < deadline, "it is still there");
            std::thread::yield_now();
            awake.set(false);
        }
    }

    #[test]
    fn a_machine_without_such_a_program_is_no_failure() {
        assert!(hold(&["/nonexistent/inhibit"]).is_none());
        assert!(hold(&[]).is_none());
    }
}
