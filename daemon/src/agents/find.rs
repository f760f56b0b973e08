//! Finds agents on this machine: their commands on a PATH, and what a host says of them. Starts
//! nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hostler_proto::host::AgentFacts;
use hostler_proto::time::UtcMillis;

use super::{Agent, Agents, Versions};

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

/// What this host can run, with the versions known now.
pub fn facts(agents: &Agents, path: &str, versions: &Versions, now: UtcMillis) -> Vec<AgentFacts> {
    let usable = agents.iter().map(|agent| {
        let found = program(&agent.command, path);
        let known = found.as_deref().and_then(|place| versions.get(place, now));
        AgentFacts {
            id: agent.id.clone(),
            label: agent.label.clone(),
            available: found.is_some(),
            version: known.and_then(|known| known.version.clone()),
            path: found.map(|place| place.to_string_lossy().into_owned()),
            problem: None,
        }
    });
    let wrong = |id: &str, label: &str, problem: String| AgentFacts {
        id: id.to_owned(),
        label: label.to_owned(),
        available: false,
        version: None,
        path: None,
        problem: Some(problem),
    };
    let mut facts: Vec<AgentFacts> = usable.collect();
    for (id, mistake) in agents.mistakes() {
        match id {
            Some(id) => facts.push(wrong(id, id, mistake.to_string())),
            None => facts.extend(
                Agents::default()
                    .iter()
                    .map(|agent| wrong(&agent.id, &agent.label, mistake.to_string())),
            ),
        }
    }
    facts.sort_by(|a, b| a.id.cmp(&b.id));
    facts
}

fn is_program(place: &Path) -> bool {
    place
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(folder: &Path, name: &str, mode: u32) {
        let path = folder.join(name);
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_command_is_found_where_the_path_says() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        script(first.path(), "agent", 0o644);
        script(second.path(), "agent", 0o755);
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
    fn facts_tell_what_is_there_and_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        script(folder.path(), "codex", 0o755);
        script(folder.path(), "claude", 0o755);
        let agents = Agents::parse("[claude]\nargz = 1\n", Path::new("/h/agents.toml"));
        let path = folder.path().to_str().unwrap();
        let facts = facts(&agents, path, &Versions::default(), UtcMillis(0));
        let of = |id: &str| facts.iter().find(|agent| agent.id == id).unwrap();
        assert!(of("codex").available && of("codex").path.is_some());
        assert!(!of("gemini").available && of("gemini").problem.is_none());
        assert!(!of("claude").available);
        assert!(
            of("claude")
                .problem
                .as_ref()
                .unwrap()
                .contains("claude.argz")
        );
        assert_eq!(facts.len(), Agents::default().iter().count());
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
