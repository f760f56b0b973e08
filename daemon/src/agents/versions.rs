//! The versions of the installed agents, each asked once: again only when its file is another one.
//!
//! A program is asked in a throw-away home with nothing of this process' environment, so that asking
//! leaves nothing behind and reads no one's settings; its time and its answer are bounded.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hostler_proto::time::UtcMillis;
use serde::{Deserialize, Serialize};

use super::Agent;
use crate::platform::{self, Question};

/// How long telling a version may take, milliseconds. Some take seconds on a cold disk.
const LIMIT_MS: u64 = 15_000;

/// Longest version text that is passed on, characters.
const LONGEST: usize = 100;

/// After this time a program is asked again although its file is the same: what it starts may not
/// be (a script that starts another). Not often: some unpack themselves to tell. A week,
/// milliseconds.
const FRESH_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// The same for one that did not tell: an hour.
const SILENT_FRESH_MS: i64 = 60 * 60 * 1000;

/// What is known, by program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions(BTreeMap<PathBuf, Known>);

/// One answer, and the file it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// What the program said; none when it did not tell.
    pub version: Option<String>,
    asked_at: UtcMillis,
    file: Identity,
}

/// A file as it was: another size, time or inode is another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl Versions {
    /// What is known of a program's file as it is now.
    pub fn get(&self, program: &Path, now: UtcMillis) -> Option<&Known> {
        let known = self.0.get(program)?;
        let fresh = match known.version {
            Some(_) => FRESH_MS,
            None => SILENT_FRESH_MS,
        };
        let age = now.0.saturating_sub(known.asked_at.0);
        let same = Identity::of(program).is_some_and(|file| file == known.file);
        (same && (0..fresh).contains(&age)).then_some(known)
    }

    /// Asks a program and remembers the answer. `path`: the PATH it may use; `scratch`: a folder
    /// that is made for it and removed. Takes as long as the program does, within the limit.
    pub fn ask(
        &mut self,
        agent: &Agent,
        program: &Path,
        path: &str,
        scratch: &Path,
        now: UtcMillis,
    ) {
        // Before asking: a file that changes meanwhile is asked again.
        let Some(file) = Identity::of(program) else {
            self.0.remove(program);
            return;
        };
        let version = ask(agent, program, path, scratch);
        let known = Known {
            version,
            asked_at: now,
            file,
        };
        self.0.insert(program.to_owned(), known);
    }

    /// Forgets programs that are not among these.
    pub fn keep_only(&mut self, programs: &[PathBuf]) {
        self.0.retain(|program, _| programs.contains(program));
    }
}

impl Identity {
    fn of(program: &Path) -> Option<Self> {
        let meta = program.metadata().ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            changed_s: meta.mtime(),
            changed_ns: meta.mtime_nsec(),
        })
    }
}

fn ask(agent: &Agent, program: &Path, path: &str, scratch: &Path) -> Option<String> {
    if agent.version_args.is_empty() {
        return None;
    }
    std::fs::create_dir_all(scratch).ok()?;
    let mut env = agent.env.clone();
    let home = scratch.to_string_lossy().into_owned();
    for (name, value) in [
        ("HOME", home.as_str()),
        ("PATH", path),
        ("TMPDIR", home.as_str()),
        ("LANG", "C.UTF-8"),
        ("TERM", "dumb"),
        ("NO_COLOR", "1"),
        ("CI", "1"),
    ] {
        env.insert(name.to_owned(), value.to_owned());
    }
    let answer = platform::ask(&Question {
        program,
        args: &agent.version_args,
        env: Some(&env),
        folder: Some(scratch),
        limit_ms: LIMIT_MS,
    });
    std::fs::remove_dir_all(scratch).ok();
    let answer = answer?;
    [answer.out, answer.err].iter().find_map(|text| line(text))
}

/// The first line with something in it, without what a terminal would make of it.
fn line(text: &str) -> Option<String> {
    let mut lines = text.lines().map(|line| {
        let plain = line.chars().filter(|c| !c.is_control());
        plain.collect::<String>().trim().to_owned()
    });
    let line = lines.find(|line| !line.is_empty())?;
    Some(line.chars().take(LONGEST).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Agents;
    use super::*;

    const NOW: UtcMillis = UtcMillis(1_800_000_000_000);

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            Self { dir }
        }

        fn program(&self) -> PathBuf {
            self.dir.path().join("codex")
        }

        /// Installs the program; it counts how often it was started.
        fn install(&self, answer: &str) {
            let count = self.dir.path().join("count");
            let text = format!("#!/bin/sh\necho x >> {}\n{answer}\n", count.display());
            // As installers do: a new file takes the name.
            let new = self.dir.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::rename(&new, self.program()).unwrap();
        }

        fn starts(&self) -> usize {
            let count = std::fs::read_to_string(self.dir.path().join("count"));
            count.unwrap_or_default().lines().count()
        }

        /// A look: asks what is not known.
        fn look(&self, versions: &mut Versions, now: UtcMillis) -> Option<String> {
            let agents = Agents::default();
            let (agent, program) = (agents.get("codex").unwrap(), self.program());
            if versions.get(&program, now).is_none() {
                let scratch = self.dir.path().join("scratch");
                versions.ask(agent, &program, "/usr/bin:/bin", &scratch, now);
                assert!(!scratch.exists(), "the scratch home was left");
            }
            versions.get(&program, now)?.version.clone()
        }
    }

    #[test]
    fn a_program_is_asked_once_and_again_when_it_changed() {
        let place = Place::new();
        let mut versions = Versions::default();
        place.install("echo; echo codex-cli 1.2.3; echo more");
        for _ in 0..3 {
            let said = place.look(&mut versions, NOW);
            assert_eq!(said.as_deref(), Some("codex-cli 1.2.3"));
        }
        assert_eq!(place.starts(), 1);
        // Also by the next daemon.
        let text = serde_json::to_string(&versions).unwrap();
        let mut versions: Versions = serde_json::from_str(&text).unwrap();
        place.look(&mut versions, NOW);
        assert_eq!(place.starts(), 1);
        place.install("echo codex-cli 1.2.4");
        assert_eq!(
            place.look(&mut versions, NOW).as_deref(),
            Some("codex-cli 1.2.4")
        );
        assert_eq!(place.starts(), 2);
        place.look(&mut versions, UtcMillis(NOW.0 + FRESH_MS + 1));
        assert_eq!(place.starts(), 3);
        std::fs::remove_file(place.program()).unwrap();
        assert_eq!(versions.get(&place.program(), NOW), None);
        versions.keep_only(&[]);
        assert_eq!(versions, Versions::default());
    }

    #[test]
    fn it_is_asked_in_a_home_of_its_own() {
        let place = Place::new();
        let mut versions = Versions::default();
        place.install(
            "echo left > \"$HOME/settings\"; echo \"$(pwd) $HOME ${CARGO_MANIFEST_DIR:-clean}\"",
        );
        let said = place.look(&mut versions, NOW).unwrap();
        let scratch = place.dir.path().join("scratch").canonicalize();
        assert!(scratch.is_err());
        let home = place.dir.path().join("scratch").display().to_string();
        assert!(said.contains(&home) && said.ends_with("clean"), "{said}");
    }

    #[test]
    fn what_it_says_on_standard_error_counts_and_silence_is_not_asked_again() {
        let place = Place::new();
        let mut versions = Versions::default();
        place.install("printf '\\033[1m0.74.2\\033[0m\\n' >&2");
        assert_eq!(
            place.look(&mut versions, NOW).as_deref(),
            Some("[1m0.74.2[0m")
        );
        place.install("exit 3");
        for _ in 0..2 {
            assert_eq!(place.look(&mut versions, NOW), None);
        }
        assert_eq!(place.starts(), 2);
    }
}
