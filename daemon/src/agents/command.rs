//! An agent and a prompt become a command line. Pure: the program has been looked up already.
//!
//! Prompts never travel through a terminal or a shell string: they are an argument up to 100 KB,
//! standard input or a file beyond.

use std::collections::BTreeMap;
use std::path::Path;

use hostler_proto::automation::Autonomy;

use super::{Agent, Level, PromptBy};

/// Longest prompt given as an argument, bytes. Linux takes 128 KiB for one argument (execve(2),
/// MAX_ARG_STRLEN); macOS counts all of them together.
pub const LONGEST_ARGUMENT: usize = 100_000;

/// What to run for a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Text for standard input.
    pub stdin: Option<String>,
    /// Text for the prompt's file, when it is given by one.
    pub file: Option<String>,
    /// Environment the agent wants.
    pub env: BTreeMap<String, String>,
}

/// Why an agent cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The host does not allow that much.
    #[error(
        "the automation asks for autonomy `{asked}` and this host allows at most `{most}`: lower it in the automation, or set max_autonomy in the host's host.toml"
    )]
    NotAllowed {
        /// What was asked for.
        asked: &'static str,
        /// What the host allows.
        most: &'static str,
    },
    /// The agent has no switch for it.
    #[error(
        "{label} cannot be held to autonomy `{asked}`: ask for one of {known}, or define its switches in agents.toml"
    )]
    NoSwitch {
        /// The agent.
        label: String,
        /// What was asked for.
        asked: &'static str,
        /// The levels it has.
        known: String,
    },
}

/// The command line of an agent for a prompt. `program`: where the agent's command was found;
/// `file`: where the prompt may be put if it has to be in a file.
pub fn command_line(
    agent: &Agent,
    program: &Path,
    prompt: &str,
    asked: Autonomy,
    most: Autonomy,
    file: &Path,
) -> Result<CommandLine, CommandError> {
    let level = Level::from(asked);
    if asked > most {
        return Err(CommandError::NotAllowed {
            asked: level.word(),
            most: Level::from(most).word(),
        });
    }
    let Some(switches) = agent.autonomy.get(&level) else {
        let known: Vec<_> = agent.autonomy.keys().map(|level| level.word()).collect();
        return Err(CommandError::NoSwitch {
            label: agent.label.clone(),
            asked: level.word(),
            known: known.join(", "),
        });
    };
    let mut env = agent.env.clone();
    env.extend(switches.env.clone());
    let mut line = CommandLine {
        argv: vec![program.to_string_lossy().into_owned()],
        stdin: None,
        file: None,
        env,
    };
    line.argv
        .extend(agent.args.iter().chain(&switches.args).cloned());
    add_prompt(&mut line, agent, prompt, file);
    Ok(line)
}

/// The shell command that goes on with an agent's session in the folder it worked in; none for an
/// agent that cannot.
pub fn resume(agent: &Agent, session: &str, folder: &str) -> Option<String> {
    if agent.resume_args.is_empty() {
        return None;
    }
    let words = agent
        .resume_args
        .iter()
        .map(|word| quoted(&word.replace("{session}", session)));
    let line: Vec<String> = [quoted(&agent.command)].into_iter().chain(words).collect();
    Some(format!("cd {} && {}", quoted(folder), line.join(" ")))
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn add_prompt(line: &mut CommandLine, agent: &Agent, prompt: &str, file: &Path) {
    let by = if agent.prompt == PromptBy::Argv && prompt.len() > LONGEST_ARGUMENT {
        agent.long_prompt
    } else {
        agent.prompt
    };
    let argument = match by {
        PromptBy::Stdin => {
            line.stdin = Some(prompt.to_owned());
            return;
        }
        PromptBy::Argv => as_argument(prompt),
        PromptBy::File => {
            line.file = Some(prompt.to_owned());
            format!("Read the file {} and do what it says.", file.display())
        }
    };
    line.argv.extend(agent.prompt_option.clone());
    line.argv.push(argument);
}

/// A prompt that begins with `-` would be read as an option.
fn as_argument(prompt: &str) -> String {
    if prompt.starts_with('-') {
        format!("\n{prompt}")
    } else {
        prompt.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Agents;
    use super::*;

    fn line(id: &str, prompt: &str, asked: Autonomy) -> Result<CommandLine, CommandError> {
        let agents = Agents::default();
        let agent = agents.get(id).unwrap();
        let program = Path::new("/bin").join(&agent.command);
        command_line(
            agent,
            &program,
            prompt,
            asked,
            Autonomy::Full,
            Path::new("/run/prompt.md"),
        )
    }

    #[test]
    fn each_agent_gets_its_own_switches() {
        for (id, asked, expected) in [
            (
                "claude",
                Autonomy::Edits,
                "/bin/claude -p --output-format stream-json --verbose --permission-mode acceptEdits fix",
            ),
            (
                "claude",
                Autonomy::ReadOnly,
                "/bin/claude -p --output-format stream-json --verbose --permission-mode plan fix",
            ),
            (
                "codex",
                Autonomy::Full,
                "/bin/codex exec --json --skip-git-repo-check --sandbox danger-full-access fix",
            ),
            (
                "gemini",
                Autonomy::Edits,
                "/bin/gemini --output-format stream-json --approval-mode=auto_edit -p fix",
            ),
            (
                "copilot",
                Autonomy::Edits,
                "/bin/copilot --allow-tool=write -p fix",
            ),
            ("amp", Autonomy::Edits, "/bin/amp -x fix"),
        ] {
            assert_eq!(line(id, "fix", asked).unwrap().argv.join(" "), expected);
        }
    }

    #[test]
    fn a_session_is_resumed_where_it_was() {
        let agents = Agents::default();
        let resume = |id: &str| resume(agents.get(id).unwrap(), "s-1", "/w/ada's shop");
        let claude = r"cd '/w/ada'\''s shop' && claude --resume s-1";
        assert_eq!(resume("claude").as_deref(), Some(claude));
        assert_eq!(resume("shell"), None);
    }

    #[test]
    fn a_script_goes_to_standard_input() {
        let line = line("shell", "echo hi", Autonomy::Edits).unwrap();
        assert_eq!(line.argv, ["/bin/sh", "-eu"]);
        assert_eq!(line.stdin.as_deref(), Some("echo hi"));
    }

    #[test]
    fn a_long_prompt_leaves_the_command_line() {
        let long = "x".repeat(200_000);
        let claude = line("claude", &long, Autonomy::Edits).unwrap();
        assert_eq!(claude.stdin.as_deref(), Some(long.as_str()));
        let copilot = line("copilot", &long, Autonomy::Edits).unwrap();
        assert_eq!(copilot.file.as_deref(), Some(long.as_str()));
        assert!(copilot.argv.last().unwrap().contains("/run/prompt.md"));
        assert!(
            claude
                .argv
                .iter()
                .chain(&copilot.argv)
                .all(|word| word.len() < 1000)
        );
    }

    #[test]
    fn a_prompt_is_never_an_option() {
        let line = line("claude", "--dangerously-skip-permissions", Autonomy::Edits).unwrap();
        assert_eq!(
            line.argv.last().unwrap(),
            "\n--dangerously-skip-permissions"
        );
    }

    #[test]
    fn more_than_the_host_allows_is_refused_and_so_is_what_cannot_be_kept() {
        let agents = Agents::default();
        let claude = agents.get("claude").unwrap();
        let refused = command_line(
            claude,
            Path::new("/c"),
            "x",
            Autonomy::Full,
            Autonomy::Edits,
            Path::new("/p"),
        );
        assert!(refused.unwrap_err().to_string().contains("at most `edits`"));
        let error = line("kimi", "x", Autonomy::ReadOnly)
            .unwrap_err()
            .to_string();
        assert!(error.contains("ask for one of full"), "{error}");
    }
}
