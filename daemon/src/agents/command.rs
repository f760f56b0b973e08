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
    /// Environment the agent is given where nobody says otherwise.
    pub defaults: BTreeMap<String, String>,
    /// Environment that holds the agent to its autonomy; nothing stands above it.
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
    /// Programs cannot be given this character.
    #[error(
        "the prompt contains a NUL character (at byte {at}), which no program can be given: remove it with automations_set_prompt"
    )]
    Nul {
        /// Where.
        at: usize,
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
    if let Some(at) = prompt.find('\0') {
        return Err(CommandError::Nul { at });
    }
    let mut line = CommandLine {
        argv: vec![program.to_string_lossy().into_owned()],
        stdin: None,
        file: None,
        defaults: agent.env.clone(),
        env: switches.env.clone(),
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

/// A prompt that begins with `-` would be read as an option, one with `@` as a file (pi), and a
/// single word as a subcommand (`codex exec review`). A newline before it changes nothing else.
fn as_argument(prompt: &str) -> String {
    let first = prompt.chars().next();
    let is_word = first.is_some_and(char::is_alphanumeric) && !prompt.contains(char::is_whitespace);
    if is_word || matches!(first, Some('-' | '@')) {
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
                "/bin/claude -p --output-format stream-json --verbose --permission-mode acceptEdits fix it",
            ),
            (
                "claude",
                Autonomy::ReadOnly,
                "/bin/claude -p --output-format stream-json --verbose --permission-mode plan fix it",
            ),
            (
                "codex",
                Autonomy::Full,
                "/bin/codex exec --json --skip-git-repo-check --sandbox danger-full-access fix it",
            ),
            (
                "gemini",
                Autonomy::Edits,
                "/bin/gemini --output-format stream-json --approval-mode=auto_edit -p fix it",
            ),
            (
                "amp",
                Autonomy::Full,
                "/bin/amp --no-color --no-notifications --no-ide --stream-json --dangerously-allow-all -x fix it",
            ),
            (
                "droid",
                Autonomy::Edits,
                "/bin/droid exec --auto low fix it",
            ),
            ("kimi", Autonomy::Full, "/bin/kimi -p fix it"),
            (
                "vibe",
                Autonomy::ReadOnly,
                "/bin/vibe --trust --output streaming --agent ask -p fix it",
            ),
        ] {
            assert_eq!(line(id, "fix it", asked).unwrap().argv.join(" "), expected);
        }
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
        let kimi = line("kimi", &long, Autonomy::Full).unwrap();
        assert_eq!(kimi.file.as_deref(), Some(long.as_str()));
        assert!(kimi.argv.last().unwrap().contains("/run/prompt.md"));
        assert!(
            claude
                .argv
                .iter()
                .chain(&kimi.argv)
                .all(|word| word.len() < 1000)
        );
    }

    /// Every preset, every kind of first character, both sides of the limit: the prompt arrives
    /// whole and is never an option, a file or a subcommand.
    #[test]
    fn a_prompt_arrives_whole_and_is_nothing_else() {
        let most = "x y\n".repeat(LONGEST_ARGUMENT / 4);
        let over = format!("{most}z");
        for agent in Agents::default().iter() {
            for prompt in [
                "--dangerously-skip-permissions",
                "-",
                "-- now",
                "@file do it",
                "review",
                "two\nlines \"quoted\" 'so' $HOME `x` \\ \u{1f980}",
                &most,
                &over,
            ] {
                let line = line(&agent.id, prompt, Autonomy::Full).unwrap();
                let given = line.stdin.as_ref().or(line.file.as_ref());
                if let Some(text) = given {
                    assert_eq!(text, prompt, "{}", agent.id);
                    assert!(
                        line.argv.iter().all(|word| word.len() < 200),
                        "{}",
                        agent.id
                    );
                    continue;
                }
                assert!(prompt.len() <= LONGEST_ARGUMENT, "{}", agent.id);
                let last = line.argv.last().unwrap();
                assert_eq!(last.trim_start_matches('\n'), prompt, "{}", agent.id);
                let risky = prompt.starts_with(['-', '@']) || prompt == "review";
                assert_eq!(last.starts_with('\n'), risky, "{}: {prompt}", agent.id);
            }
        }
    }

    #[test]
    fn a_nul_is_refused_with_its_place() {
        let error = line("shell", "a\0b", Autonomy::Edits).unwrap_err();
        assert!(error.to_string().contains("at byte 1"), "{error}");
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
