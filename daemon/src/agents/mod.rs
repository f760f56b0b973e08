//! Agents: which command line runs a prompt, how much it may do by itself, what its output means.
//!
//! An agent is data. Presets are built in; `agents.toml` of the home folder overrides and adds.
//! Headless, non-interactive forms only: nobody is there to press a key. Nothing here starts a
//! process except the bounded questions in [`find`].

mod command;
mod file;
pub mod find;
mod output;
mod presets;
mod versions;

use std::collections::BTreeMap;
use std::path::Path;

use hostler_proto::automation::Autonomy;

pub use command::{CommandError, CommandLine, LONGEST_ARGUMENT, command_line, resume};
pub use file::Mistake;
pub use output::{Reader, Report};
pub use versions::{Known, Versions};

/// One agent CLI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its id in automations (`claude`).
    pub id: String,
    /// Display name.
    pub label: String,
    /// The program, looked up on the login shell's PATH unless it is a path.
    pub command: String,
    /// Arguments of every run.
    pub args: Vec<String>,
    /// How the prompt is given.
    pub prompt: PromptBy,
    /// How a prompt is given that is too long for an argument.
    pub long_prompt: PromptBy,
    /// The option right before the prompt (`-p`), when it is given as an argument.
    pub prompt_option: Option<String>,
    /// Environment of every run, below what the host and the automation set.
    pub env: BTreeMap<String, String>,
    /// Arguments that continue a session; `{session}` stands for its id.
    pub resume_args: Vec<String>,
    /// What it prints.
    pub output: Output,
    /// Switches per autonomy. A level without an entry cannot be asked of this agent.
    pub autonomy: BTreeMap<Level, Switches>,
    /// How to install it, for the message when it is missing.
    pub install: String,
    /// How to sign in, for the message when nobody is signed in.
    pub login: String,
    /// Words it prints when nobody is signed in. They count only when it ended badly.
    pub logged_out: Vec<String>,
    /// Words it prints on any stream when a tool was denied, where its output has no other word.
    pub denied: Vec<String>,
    /// Arguments that make it tell its version; none: it is never asked.
    pub version_args: Vec<String>,
}

/// How an agent takes its prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromptBy {
    /// As the last argument.
    #[default]
    Argv,
    /// On standard input.
    Stdin,
    /// In a file that the argument names.
    File,
}

/// What an agent prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Text for people.
    #[default]
    Text,
    /// One JSON value a line, whoever's: told apart line by line.
    JsonLines,
    /// One JSON value a line, as claude (also cursor-agent, amp and grok) prints them.
    ClaudeLines,
    /// One JSON value a line, as codex prints them.
    CodexLines,
    /// One JSON value a line, as copilot prints them.
    CopilotLines,
    /// One JSON value a line, as gemini prints them.
    GeminiLines,
    /// One JSON value a line, as opencode prints them.
    OpencodeLines,
    /// One JSON value a line, as vibe prints them.
    VibeLines,
}

/// An [`Autonomy`] as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Look, change nothing.
    ReadOnly,
    /// Edit files of the workspace.
    Edits,
    /// Anything the user could do.
    Full,
}

impl From<Autonomy> for Level {
    fn from(autonomy: Autonomy) -> Self {
        match autonomy {
            Autonomy::ReadOnly => Self::ReadOnly,
            Autonomy::Edits => Self::Edits,
            Autonomy::Full => Self::Full,
        }
    }
}

impl Level {
    /// The level's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Edits => "edits",
            Self::Full => "full",
        }
    }
}

/// What one level of autonomy adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// Arguments, after the agent's own.
    pub args: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
}

/// Every agent this host knows, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agents {
    usable: BTreeMap<String, Agent>,
    /// Agents whose own entry in the file is wrong: what is wrong.
    wrong: BTreeMap<String, Mistake>,
    /// The file as a whole cannot be used: no agent can, because nobody knows what it says of them.
    unusable: Option<Mistake>,
}

impl Agents {
    /// The presets, overridden and added to by the file; a missing file is only the presets. A wrong
    /// entry makes its agent unusable, a file that cannot be read all of them.
    pub fn load(path: &Path) -> Self {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => Self::unusable(Mistake::unreadable(path, &error)),
        }
    }

    fn parse(text: &str, path: &Path) -> Self {
        let mut agents = Self::default();
        let entries = match file::entries(text, path) {
            Ok(entries) => entries,
            Err(mistake) => return Self::unusable(mistake),
        };
        for (id, entry) in entries {
            match file::agent(&id, &entry, agents.usable.get(&id), path) {
                Ok(agent) => {
                    agents.usable.insert(id, agent);
                }
                Err(mistake) => {
                    agents.usable.remove(&id);
                    agents.wrong.insert(id, mistake);
                }
            }
        }
        agents
    }

    fn unusable(mistake: Mistake) -> Self {
        Self {
            unusable: Some(mistake),
            ..Self::default()
        }
    }

    /// One agent, or the sentence why it cannot be used.
    pub fn get(&self, id: &str) -> Result<&Agent, String> {
        if let Some(mistake) = self.unusable.as_ref().or_else(|| self.wrong.get(id)) {
            return Err(mistake.to_string());
        }
        self.usable.get(id).ok_or_else(|| {
            let known: Vec<_> = self.usable.keys().map(String::as_str).collect();
            format!(
                "this host knows no agent `{id}`: use one of {}, or define it in agents.toml",
                known.join(", ")
            )
        })
    }

    /// All that can be used, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        let usable = self.unusable.is_none().then(|| self.usable.values());
        usable.into_iter().flatten()
    }

    /// Everything that is wrong with the file, with the agent it makes unusable.
    pub fn mistakes(&self) -> impl Iterator<Item = (Option<&str>, &Mistake)> {
        let all = self.unusable.iter().map(|mistake| (None, mistake));
        let each = self.wrong.iter();
        all.chain(each.map(|(id, mistake)| (Some(id.as_str()), mistake)))
    }
}

impl Default for Agents {
    fn default() -> Self {
        let presets = presets::all().into_iter();
        Self {
            usable: presets.map(|agent| (agent.id.clone(), agent)).collect(),
            wrong: BTreeMap::new(),
            unusable: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_complete() {
        let agents = Agents::default();
        assert!(agents.iter().count() >= 14);
        for agent in agents.iter() {
            assert!(agent.autonomy.contains_key(&Level::Full), "{}", agent.id);
            let texts = [&agent.label, &agent.command, &agent.install];
            assert!(texts.iter().all(|text| !text.is_empty()), "{}", agent.id);
            // Whoever needs a login says how, and knows the words of a missing one.
            assert_eq!(agent.login.is_empty(), agent.id == "shell");
            assert_eq!(agent.logged_out.is_empty(), agent.id == "shell");
        }
    }

    #[test]
    fn a_wrong_entry_stops_its_agent_and_a_wrong_file_all() {
        let path = Path::new("/h/agents.toml");
        let agents = Agents::parse("[claude]\nargz = []\n[codex]\nlabel = 'C'\n", path);
        assert!(agents.get("claude").unwrap_err().contains("argz"));
        assert_eq!(agents.get("codex").unwrap().label, "C");
        assert!(agents.iter().all(|agent| agent.id != "claude"));
        assert_eq!(agents.mistakes().count(), 1);
        let agents = Agents::parse("[claude\n", path);
        assert!(agents.get("codex").unwrap_err().contains("/h/agents.toml"));
        assert_eq!((agents.iter().count(), agents.mistakes().count()), (0, 1));
    }

    #[test]
    fn a_file_that_is_not_there_is_only_the_presets() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            Agents::load(&folder.path().join("agents.toml")),
            Agents::default()
        );
        let unreadable = Agents::load(folder.path());
        assert!(
            unreadable
                .get("shell")
                .unwrap_err()
                .contains("cannot be read")
        );
    }
}
