//! Agents: which command line runs a prompt, how much it may do by itself, what its output means.
//!
//! An agent is data. Presets are built in; `agents.toml` of the home folder overrides and adds.
//! Headless, non-interactive forms only: nobody is there to press a key. Nothing here starts a
//! process except the bounded questions in [`find`].

mod command;
pub mod find;
mod output;
mod presets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hostler_proto::automation::Autonomy;
use serde::Deserialize;

pub use command::{CommandError, CommandLine, LONGEST_ARGUMENT, command_line, resume};
pub use output::{Reader, Report};

/// One agent CLI.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its id in automations (`claude`).
    #[serde(skip)]
    pub id: String,
    /// Display name.
    #[serde(default)]
    pub label: String,
    /// The program, looked up on the login shell's PATH unless it is a path.
    pub command: String,
    /// Arguments of every run.
    #[serde(default)]
    pub args: Vec<String>,
    /// How the prompt is given.
    #[serde(default)]
    pub prompt: PromptBy,
    /// How a prompt is given that is too long for an argument.
    #[serde(default = "by_file")]
    pub long_prompt: PromptBy,
    /// The option right before the prompt (`-p`), when it is given as an argument.
    #[serde(default)]
    pub prompt_option: Option<String>,
    /// Environment of every run.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Arguments that continue a session; `{session}` stands for its id.
    #[serde(default)]
    pub resume_args: Vec<String>,
    /// What it prints.
    #[serde(default)]
    pub output: Output,
    /// Switches per autonomy. A level without an entry cannot be asked of this agent.
    #[serde(default = "any_level")]
    pub autonomy: BTreeMap<Level, Switches>,
    /// How to install it, for the message when it is missing.
    #[serde(default)]
    pub install: String,
}

/// How an agent takes its prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Text for people.
    #[default]
    Text,
    /// One JSON value a line, as claude (and cursor-agent) prints them.
    ClaudeLines,
    /// One JSON value a line, as codex prints them.
    CodexLines,
    /// One JSON value a line, as gemini prints them.
    GeminiLines,
    /// One JSON value a line, as opencode prints them.
    OpencodeLines,
}

/// An [`Autonomy`] as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Arguments, after the agent's own.
    pub args: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
}

/// Every agent this host knows, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agents(BTreeMap<String, Agent>);

/// Why `agents.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AgentsError {
    /// It is there but cannot be read.
    #[error("the agents file {path} cannot be read: {source}. Make it readable or remove it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("the agents file {path} cannot be used:\n{source}Correct that line or remove it")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The parser's words, with the line.
        source: Box<toml::de::Error>,
    },
}

impl Agents {
    /// The presets, overridden and added to by the file; a missing file is only the presets.
    pub fn load(path: &Path) -> Result<Self, AgentsError> {
        let path = || path.to_owned();
        match std::fs::read_to_string(path()) {
            Ok(text) => Self::parse(&text).map_err(|source| AgentsError::Invalid {
                path: path(),
                source: Box::new(source),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(AgentsError::Unreadable {
                path: path(),
                source,
            }),
        }
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let own: BTreeMap<String, Agent> = toml::from_str(text)?;
        let mut agents = Self::default();
        for (id, mut agent) in own {
            agent.id.clone_from(&id);
            if agent.label.is_empty() {
                agent.label.clone_from(&id);
            }
            agents.0.insert(id, agent);
        }
        Ok(agents)
    }

    /// One agent.
    pub fn get(&self, id: &str) -> Option<&Agent> {
        self.0.get(id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.0.values()
    }
}

impl Default for Agents {
    fn default() -> Self {
        let presets = presets::all();
        Self(
            presets
                .into_iter()
                .map(|agent| (agent.id.clone(), agent))
                .collect(),
        )
    }
}

fn by_file() -> PromptBy {
    PromptBy::File
}

fn any_level() -> BTreeMap<Level, Switches> {
    [Level::ReadOnly, Level::Edits, Level::Full]
        .map(|level| (level, Switches::default()))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_overrides_and_adds() {
        let agents = Agents::parse(
            "[claude]\ncommand = '/opt/claude'\nargs = ['-p']\n\
             [mine]\nlabel = 'Mine'\ncommand = 'mine'\nprompt = 'stdin'\noutput = 'claude-lines'\n\
             [mine.autonomy.full]\nargs = ['--yes']\n",
        )
        .unwrap();
        assert_eq!(agents.get("claude").unwrap().command, "/opt/claude");
        assert_eq!(agents.get("claude").unwrap().label, "claude");
        let mine = agents.get("mine").unwrap();
        assert_eq!(
            (mine.prompt, mine.output),
            (PromptBy::Stdin, Output::ClaudeLines)
        );
        assert_eq!(mine.autonomy[&Level::Full].args, ["--yes"]);
        assert!(!mine.autonomy.contains_key(&Level::Edits));
        assert!(agents.get("codex").is_some());
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = Agents::parse("[mine]\ncommand = 'x'\nprompts = 'stdin'\n").unwrap_err();
        assert!(error.to_string().contains("prompts"), "{error}");
    }

    #[test]
    fn every_preset_is_complete() {
        let agents = Agents::default();
        assert!(agents.iter().count() >= 14);
        for agent in agents.iter() {
            assert!(agent.autonomy.contains_key(&Level::Full), "{}", agent.id);
            assert!(
                !agent.label.is_empty() && !agent.install.is_empty(),
                "{}",
                agent.id
            );
        }
    }
}
