//! `agents.toml`: one table for each agent, whose keys override those of a preset or make a new one.
//!
//! Invariant: nothing is guessed. An unknown key, a value of the wrong kind or a missing command is
//! a mistake with its file, its key and what to do, and the agent is not used.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Agent, Level, Output, PromptBy, Switches};

/// Every key of an agent, in the order in which they are told.
const KEYS: &[&str] = &[
    "label",
    "command",
    "args",
    "prompt",
    "long_prompt",
    "prompt_option",
    "env",
    "resume_args",
    "output",
    "autonomy",
    "install",
    "login",
    "logged_out",
    "denied",
    "version_args",
];

const PROMPTS: &[(&str, PromptBy)] = &[
    ("argv", PromptBy::Argv),
    ("stdin", PromptBy::Stdin),
    ("file", PromptBy::File),
];

const OUTPUTS: &[(&str, Output)] = &[
    ("text", Output::Text),
    ("json-lines", Output::JsonLines),
    ("claude-lines", Output::ClaudeLines),
    ("codex-lines", Output::CodexLines),
    ("copilot-lines", Output::CopilotLines),
    ("gemini-lines", Output::GeminiLines),
    ("opencode-lines", Output::OpencodeLines),
    ("vibe-lines", Output::VibeLines),
];

const LEVELS: &[(&str, Level)] = &[
    ("read_only", Level::ReadOnly),
    ("edits", Level::Edits),
    ("full", Level::Full),
];

/// What is wrong in the file, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    path: PathBuf,
    /// The key in question (`claude.args`); none for the whole file.
    key: Option<String>,
    problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: `{key}` {}", self.path.display(), self.problem),
            None => write!(f, "{}: {}", self.path.display(), self.problem),
        }
    }
}

impl Mistake {
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self {
            path: path.to_owned(),
            key: None,
            problem: format!(
                "the agents file cannot be read ({error}), so no agent runs: make it readable or remove it"
            ),
        }
    }
}

/// The file's tables by agent id.
pub(super) fn entries(text: &str, path: &Path) -> Result<BTreeMap<String, Value>, Mistake> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let words = error.to_string();
        let words: Vec<&str> = words.lines().map(str::trim).collect();
        Mistake {
            path: path.to_owned(),
            key: None,
            problem: format!(
                "this is not TOML, so no agent runs: {}. Correct that line or remove it",
                words.join(" ")
            ),
        }
    })?;
    Ok(table.into_iter().collect())
}

/// The agent of one entry, over the preset with its id if there is one.
pub(super) fn agent(
    id: &str,
    entry: &Value,
    preset: Option<&Agent>,
    path: &Path,
) -> Result<Agent, Mistake> {
    let at = At {
        path,
        key: id.to_owned(),
    };
    if id.is_empty() || id.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(at.wrong("is no id for an agent: use letters, digits and -"));
    }
    let Some(table) = entry.as_table() else {
        return Err(at.wrong(&format!(
            "must be a table: write [{id}] and its keys below, for example command = \"{id}\""
        )));
    };
    let mut agent = preset.cloned().unwrap_or_else(|| blank(id));
    for (key, value) in table {
        set(&mut agent, key, value, &at)?;
    }
    if let Some(preset) = preset {
        // A level that is not told stays what it was.
        for (level, switches) in &preset.autonomy {
            agent
                .autonomy
                .entry(*level)
                .or_insert_with(|| switches.clone());
        }
    }
    if agent.command.is_empty() {
        let words = "is missing: say which program to run, for example command = \"my-agent\"";
        return Err(at.below("command").wrong(words));
    }
    Ok(agent)
}

/// An agent of which nothing is known. It is not asked for its version: nobody knows what else it
/// would do.
fn blank(id: &str) -> Agent {
    Agent {
        id: id.to_owned(),
        label: id.to_owned(),
        command: String::new(),
        args: Vec::new(),
        prompt: PromptBy::Argv,
        long_prompt: PromptBy::File,
        prompt_option: None,
        env: BTreeMap::new(),
        resume_args: Vec::new(),
        output: Output::Text,
        autonomy: LEVELS
            .iter()
            .map(|(_, level)| (*level, Switches::default()))
            .collect(),
        install: "see its own documentation".to_owned(),
        login: String::new(),
        logged_out: Vec::new(),
        denied: Vec::new(),
        version_args: Vec::new(),
    }
}

fn set(agent: &mut Agent, key: &str, value: &Value, at: &At<'_>) -> Result<(), Mistake> {
    let at = at.below(key);
    match key {
        "label" => agent.label = at.text(value)?,
        "command" => agent.command = at.text(value)?,
        "args" => agent.args = at.texts(value)?,
        "prompt" => agent.prompt = at.word(value, PROMPTS)?,
        "long_prompt" => agent.long_prompt = at.word(value, PROMPTS)?,
        "prompt_option" => {
            // An empty text takes a preset's option away.
            agent.prompt_option = Some(at.text(value)?).filter(|option| !option.is_empty());
        }
        "env" => agent.env = at.env(value)?,
        "resume_args" => agent.resume_args = at.texts(value)?,
        "output" => agent.output = at.word(value, OUTPUTS)?,
        "autonomy" => agent.autonomy = at.autonomy(value)?,
        "install" => agent.install = at.text(value)?,
        "login" => agent.login = at.text(value)?,
        "logged_out" => agent.logged_out = at.texts(value)?,
        "denied" => agent.denied = at.texts(value)?,
        "version_args" => agent.version_args = at.texts(value)?,
        _ => return Err(at.unknown(KEYS)),
    }
    Ok(())
}

/// A place in the file.
struct At<'a> {
    path: &'a Path,
    key: String,
}

impl<'a> At<'a> {
    fn below(&self, key: &str) -> At<'a> {
        At {
            path: self.path,
            key: format!("{}.{key}", self.key),
        }
    }

    fn wrong(&self, problem: &str) -> Mistake {
        Mistake {
            path: self.path.to_owned(),
            key: Some(self.key.clone()),
            problem: problem.to_owned(),
        }
    }

    fn unknown(&self, known: &[&str]) -> Mistake {
        self.wrong(&format!(
            "is not a known key: remove it, or use one of {}",
            known.join(", ")
        ))
    }

    fn text(&self, value: &Value) -> Result<String, Mistake> {
        match value.as_str() {
            None => Err(self.wrong(&format!(
                "must be a text in quotes, not {}",
                value.type_str()
            ))),
            Some(text) if text.contains('\0') => {
                Err(self
                    .wrong("contains a NUL character, which no program can be given: remove it"))
            }
            Some(text) => Ok(text.to_owned()),
        }
    }

    fn texts(&self, value: &Value) -> Result<Vec<String>, Mistake> {
        let words = format!(
            "must be a list of texts, for example [\"--flag\"], not {}",
            value.type_str()
        );
        let list = value.as_array().ok_or_else(|| self.wrong(&words))?;
        list.iter().map(|item| self.text(item)).collect()
    }

    fn table<'v>(&self, value: &'v Value) -> Result<&'v Table, Mistake> {
        let words = format!("must be a table, not {}", value.type_str());
        value.as_table().ok_or_else(|| self.wrong(&words))
    }

    fn word<T: Copy>(&self, value: &Value, words: &[(&str, T)]) -> Result<T, Mistake> {
        let text = self.text(value)?;
        let found = words.iter().find(|(word, _)| *word == text);
        let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        found.map(|(_, value)| *value).ok_or_else(|| {
            self.wrong(&format!(
                "is \"{text}\"; it must be one of {}",
                names.join(", ")
            ))
        })
    }

    fn env(&self, value: &Value) -> Result<BTreeMap<String, String>, Mistake> {
        let mut env = BTreeMap::new();
        for (name, value) in self.table(value)? {
            let at = self.below(name);
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(at.wrong("is not a name of an environment variable: correct it"));
            }
            env.insert(name.clone(), at.text(value)?);
        }
        Ok(env)
    }

    fn autonomy(&self, value: &Value) -> Result<BTreeMap<Level, Switches>, Mistake> {
        let mut levels = BTreeMap::new();
        for (name, value) in self.table(value)? {
            let at = self.below(name);
            let names: Vec<_> = LEVELS.iter().map(|(word, _)| *word).collect();
            let level = LEVELS.iter().find(|(word, _)| word == name);
            let (_, level) = level.ok_or_else(|| at.unknown(&names))?;
            let mut switches = Switches::default();
            for (key, value) in at.table(value)? {
                let at = at.below(key);
                match key.as_str() {
                    "args" => switches.args = at.texts(value)?,
                    "env" => switches.env = at.env(value)?,
                    _ => return Err(at.unknown(&["args", "env"])),
                }
            }
            levels.insert(*level, switches);
        }
        Ok(levels)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Agents;
    use super::*;

    fn path() -> &'static Path {
        Path::new("/h/agents.toml")
    }

    #[test]
    fn a_key_overrides_its_own_field_of_a_preset_and_no_other() {
        let agents = Agents::parse(
            "[claude]\ncommand = '/opt/claude'\n[claude.env]\nA = '1'\n[claude.autonomy.full]\n\
             [gemini]\nprompt_option = ''\n",
            path(),
        );
        let preset = Agents::default().get("claude").unwrap().clone();
        let mut expected = Agent {
            command: "/opt/claude".into(),
            env: [("A".to_owned(), "1".to_owned())].into(),
            ..preset
        };
        expected.autonomy.insert(Level::Full, Switches::default());
        assert_eq!(agents.get("claude").unwrap(), &expected);
        assert_eq!(agents.get("gemini").unwrap().prompt_option, None);
    }

    #[test]
    fn an_agent_is_added_with_every_key() {
        let text = "[mine]\nlabel = 'Mine'\ncommand = 'mine'\nargs = ['-q']\nprompt = 'stdin'\n\
             long_prompt = 'stdin'\nprompt_option = '-p'\nresume_args = ['-r', '{session}']\n\
             output = 'json-lines'\ninstall = 'get it'\nlogin = 'mine login'\nlogged_out = ['who?']\n\
             denied = ['no!']\nversion_args = ['-V']\nenv = { A = 'b' }\n\
             [mine.autonomy.full]\nargs = ['--yes']\nenv = { ALL = '1' }\n";
        let mine = Agents::parse(text, path()).get("mine").unwrap().clone();
        assert_eq!(
            (mine.prompt, mine.output),
            (PromptBy::Stdin, Output::JsonLines)
        );
        assert_eq!(mine.autonomy[&Level::Full].args, ["--yes"]);
        assert!(!mine.autonomy.contains_key(&Level::Edits));
        for key in KEYS {
            assert!(text.contains(key), "{key} is not tried");
        }
        let small = Agents::parse("[small]\ncommand = 'small'\n", path());
        let small = small.get("small").unwrap();
        assert_eq!((small.autonomy.len(), small.version_args.len()), (3, 0));
    }

    /// What is written, the key it names, a word of the way out.
    const MISTAKES: &[(&str, &str, &str)] = &[
        (
            "[mine]\ncommand = 'x'\nprompts = 'stdin'\n",
            "`mine.prompts`",
            "prompt_option",
        ),
        ("[mine]\nargs = []\n", "`mine.command`", "say which program"),
        (
            "[mine]\ncommand = ''\n",
            "`mine.command`",
            "say which program",
        ),
        ("[claude]\nargs = '-p'\n", "`claude.args`", "list of texts"),
        ("[claude]\nargs = [1]\n", "`claude.args`", "text in quotes"),
        (
            "[claude]\ncommand = 7\n",
            "`claude.command`",
            "text in quotes",
        ),
        (
            "[claude]\nprompt = 'tty'\n",
            "`claude.prompt`",
            "argv, stdin, file",
        ),
        (
            "[claude]\noutput = 'xml'\n",
            "`claude.output`",
            "json-lines",
        ),
        (
            "[claude.autonomy.yolo]\n",
            "`claude.autonomy.yolo`",
            "read_only, edits, full",
        ),
        (
            "[claude.autonomy.full]\nflags = []\n",
            "`claude.autonomy.full.flags`",
            "args, env",
        ),
        (
            "[claude.autonomy]\nfull = '--yes'\n",
            "`claude.autonomy.full`",
            "a table",
        ),
        (
            "[claude.env]\n'A=B' = 'x'\n",
            "`claude.env.A=B`",
            "environment variable",
        ),
        ("[claude.env]\nA = 1\n", "`claude.env.A`", "text in quotes"),
        (
            "[claude]\ncommand = \"a\\u0000b\"\n",
            "`claude.command`",
            "NUL",
        ),
        ("claude = 'x'\n", "`claude`", "[claude]"),
        ("[claude]\n[claude]\n", "line 2", "Correct that line"),
        ("[claude\n", "line 1", "Correct that line"),
        (
            "['my agent']\ncommand = 'x'\n",
            "`my agent`",
            "letters, digits",
        ),
    ];

    #[test]
    fn every_mistake_names_its_file_its_key_and_a_way_out() {
        for (text, key, way_out) in MISTAKES {
            let agents = Agents::parse(text, path());
            let (_, mistake) = agents.mistakes().next().expect(text);
            let said = mistake.to_string();
            assert!(said.starts_with("/h/agents.toml: "), "{said}");
            assert!(
                said.contains(key) && said.contains(way_out),
                "{text}: {said}"
            );
            assert!(!said.contains('\n'), "one sentence: {said}");
        }
    }
}
