//! Finds agents on this machine: their commands on the login shell's PATH, their versions.
//!
//! What was found is remembered by whoever asks; each question here is bounded in time.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hostler_proto::host::AgentFacts;

use super::{Agent, Agents};
use crate::platform;

/// How long `--version` may take, milliseconds.
const VERSION_LIMIT_MS: u64 = 5_000;

/// Longest version text that is passed on, characters.
const LONGEST_VERSION: usize = 100;

/// Where a command is on a PATH; a command with a slash is itself the place.
pub fn program(command: &str, path: &str) -> Option<PathBuf> {
    if command.contains('/') {
        return Some(PathBuf::from(command)).filter(|place| is_program(place));
    }
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(command))
        .find(|place| is_program(place))
}

/// The message for an agent that is not there.
pub fn missing(agent: &Agent) -> String {
    format!(
        "{} is not installed on this host: `{}` is not on the login shell's PATH. Install it with: {}",
        agent.label, agent.command, agent.install
    )
}

/// What this host can run, with versions. Asks every agent that is there, one after another.
pub fn facts(agents: &Agents, path: &str) -> Vec<AgentFacts> {
    let facts = |agent: &Agent| {
        let found = program(&agent.command, path);
        AgentFacts {
            id: agent.id.clone(),
            label: agent.label.clone(),
            available: found.is_some(),
            version: found.as_deref().and_then(version),
            path: found.map(|place| place.to_string_lossy().into_owned()),
        }
    };
    agents.iter().map(facts).collect()
}

/// The first line of what a program says to `--version`.
fn version(program: &Path) -> Option<String> {
    // A plain shell takes it for a script's name or does something else.
    if program.file_name()?.to_str()? == "sh" {
        return None;
    }
    let text = platform::run_bounded(program, &["--version"], VERSION_LIMIT_MS)?;
    let line = text.lines().find(|line| !line.trim().is_empty())?.trim();
    Some(line.chars().take(LONGEST_VERSION).collect())
}

fn is_program(place: &Path) -> bool {
    place
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(folder: &Path, name: &str, text: &str, mode: u32) {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_command_is_found_where_the_path_says() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        script(first.path(), "agent", "", 0o644);
        script(second.path(), "agent", "", 0o755);
        let path = format!(
            "relative:{}:{}",
            first.path().display(),
            second.path().display()
        );
        let found = program("agent", &path).unwrap();
        assert_eq!(found, second.path().join("agent"));
        assert_eq!(program(found.to_str().unwrap(), ""), Some(found));
        assert_eq!(program("absent", &path), None);
    }

    #[test]
    fn facts_tell_what_is_there_and_its_version() {
        let folder = tempfile::tempdir().unwrap();
        script(
            folder.path(),
            "codex",
            "#!/bin/sh\necho\necho codex-cli 1.2.3\n",
            0o755,
        );
        let facts = facts(&Agents::default(), folder.path().to_str().unwrap());
        let codex = facts.iter().find(|agent| agent.id == "codex").unwrap();
        assert!(codex.available);
        assert_eq!(codex.version.as_deref(), Some("codex-cli 1.2.3"));
        let claude = facts.iter().find(|agent| agent.id == "claude").unwrap();
        assert!(!claude.available && claude.path.is_none());
    }

    #[test]
    fn a_missing_agent_comes_with_its_install_command() {
        let agents = Agents::default();
        let text = missing(agents.get("claude").unwrap());
        assert!(
            text.contains("npm install -g @anthropic-ai/claude-code"),
            "{text}"
        );
    }
}
