//! The agents known without any configuration, in their headless forms. Sources: each CLI's own
//! `--help` and its documentation of non-interactive use.

use std::collections::BTreeMap;

use super::{Agent, Level, Output, PromptBy, Switches};

/// All presets.
pub(super) fn all() -> Vec<Agent> {
    vec![
        claude(),
        codex(),
        gemini(),
        opencode(),
        amp(),
        copilot(),
        cursor(),
        droid(),
        pi(),
        vibe(),
        kimi(),
        grok(),
        mastracode(),
        shell(),
    ]
}

fn claude() -> Agent {
    Agent {
        long_prompt: PromptBy::Stdin,
        resume_args: words("--resume {session}"),
        output: Output::ClaudeLines,
        autonomy: levels([
            (Level::ReadOnly, "--permission-mode plan"),
            (Level::Edits, "--permission-mode acceptEdits"),
            (Level::Full, "--permission-mode bypassPermissions"),
        ]),
        ..preset(
            "claude",
            "Claude Code",
            "claude -p --output-format stream-json --verbose",
            "npm install -g @anthropic-ai/claude-code",
        )
    }
}

fn codex() -> Agent {
    Agent {
        long_prompt: PromptBy::Stdin,
        resume_args: words("resume {session}"),
        output: Output::CodexLines,
        autonomy: levels([
            (Level::ReadOnly, "--sandbox read-only"),
            (Level::Edits, "--sandbox workspace-write"),
            (Level::Full, "--sandbox danger-full-access"),
        ]),
        ..preset(
            "codex",
            "Codex",
            "codex exec --json --skip-git-repo-check",
            "npm install -g @openai/codex",
        )
    }
}

fn gemini() -> Agent {
    Agent {
        prompt_option: Some("-p".to_owned()),
        long_prompt: PromptBy::Stdin,
        resume_args: words("--resume {session}"),
        output: Output::GeminiLines,
        autonomy: levels([
            (Level::ReadOnly, "--approval-mode=plan"),
            (Level::Edits, "--approval-mode=auto_edit"),
            (Level::Full, "--approval-mode=yolo"),
        ]),
        ..preset(
            "gemini",
            "Gemini CLI",
            "gemini --output-format stream-json",
            "npm install -g @google/gemini-cli",
        )
    }
}

/// opencode takes its permissions from configuration, also as JSON in one variable.
fn opencode() -> Agent {
    let permission = |json: &str| Switches {
        args: Vec::new(),
        env: BTreeMap::from([("OPENCODE_PERMISSION".to_owned(), json.to_owned())]),
    };
    Agent {
        long_prompt: PromptBy::Stdin,
        resume_args: words("--session {session}"),
        output: Output::OpencodeLines,
        autonomy: BTreeMap::from([
            (
                Level::ReadOnly,
                permission(r#"{"edit":"deny","bash":"deny","external_directory":"deny"}"#),
            ),
            (
                Level::Edits,
                permission(r#"{"edit":"allow","bash":"deny","external_directory":"deny"}"#),
            ),
            (Level::Full, permission(r#"{"*":"allow"}"#)),
        ]),
        ..preset(
            "opencode",
            "opencode",
            "opencode run --format json",
            "npm install -g opencode-ai",
        )
    }
}

fn amp() -> Agent {
    Agent {
        prompt_option: Some("-x".to_owned()),
        autonomy: levels([(Level::Edits, ""), (Level::Full, "--dangerously-allow-all")]),
        ..preset("amp", "Amp", "amp", "npm install -g @sourcegraph/amp")
    }
}

fn copilot() -> Agent {
    Agent {
        prompt_option: Some("-p".to_owned()),
        autonomy: levels([
            (Level::ReadOnly, "--deny-tool=write --deny-tool=shell"),
            (Level::Edits, "--allow-tool=write"),
            (Level::Full, "--allow-all-tools"),
        ]),
        ..preset(
            "copilot",
            "GitHub Copilot CLI",
            "copilot",
            "npm install -g @github/copilot",
        )
    }
}

fn cursor() -> Agent {
    Agent {
        resume_args: words("--resume {session}"),
        output: Output::ClaudeLines,
        autonomy: levels([
            (Level::ReadOnly, "--mode=ask"),
            (Level::Edits, "--force"),
            (Level::Full, "--force"),
        ]),
        ..preset(
            "cursor-agent",
            "Cursor CLI",
            "cursor-agent -p --output-format stream-json",
            "curl https://cursor.com/install -fsS | bash",
        )
    }
}

/// Without `--auto`, `droid exec` only reads.
fn droid() -> Agent {
    Agent {
        long_prompt: PromptBy::Stdin,
        autonomy: levels([
            (Level::ReadOnly, ""),
            (Level::Edits, "--auto low"),
            (Level::Full, "--auto high"),
        ]),
        ..preset(
            "droid",
            "Factory Droid",
            "droid exec",
            "curl -fsSL https://app.factory.ai/cli | sh",
        )
    }
}

fn pi() -> Agent {
    Agent {
        autonomy: levels([
            (Level::ReadOnly, "--tools read,grep,find,ls"),
            (Level::Edits, "--tools read,grep,find,ls,edit,write"),
            (Level::Full, ""),
        ]),
        ..preset(
            "pi",
            "pi",
            "pi -p",
            "npm install -g @mariozechner/pi-coding-agent",
        )
    }
}

fn vibe() -> Agent {
    Agent {
        prompt_option: Some("-p".to_owned()),
        autonomy: levels([
            (Level::ReadOnly, "--agent plan"),
            (Level::Edits, "--agent accept-edits"),
            (Level::Full, "--agent auto-approve"),
        ]),
        ..preset(
            "vibe",
            "Mistral Vibe",
            "vibe",
            "uv tool install mistral-vibe",
        )
    }
}

/// Its print mode approves everything by itself, so it cannot be held to less than everything.
fn kimi() -> Agent {
    Agent {
        prompt_option: Some("-p".to_owned()),
        autonomy: levels([(Level::Full, "")]),
        ..preset(
            "kimi",
            "Kimi CLI",
            "kimi --print",
            "uv tool install kimi-cli",
        )
    }
}

/// No switch is known that would hold it to less.
fn grok() -> Agent {
    Agent {
        prompt_option: Some("-p".to_owned()),
        autonomy: levels([(Level::Full, "")]),
        ..preset(
            "grok",
            "Grok CLI",
            "grok",
            "npm install -g @vibe-kit/grok-cli",
        )
    }
}

/// No switch is known that would hold it to less.
fn mastracode() -> Agent {
    Agent {
        prompt_option: Some("--prompt".to_owned()),
        autonomy: levels([(Level::Full, "")]),
        ..preset(
            "mastracode",
            "Mastra Code",
            "mastracode",
            "npm install -g mastracode",
        )
    }
}

/// The prompt is a script: for checks that need no model.
fn shell() -> Agent {
    Agent {
        prompt: PromptBy::Stdin,
        long_prompt: PromptBy::Stdin,
        autonomy: levels([(Level::ReadOnly, ""), (Level::Edits, ""), (Level::Full, "")]),
        ..preset("shell", "Shell script", "sh -eu", "install a POSIX shell")
    }
}

fn preset(id: &str, label: &str, command_line: &str, install: &str) -> Agent {
    let mut words = words(command_line);
    let command = words.remove(0);
    Agent {
        id: id.to_owned(),
        label: label.to_owned(),
        command,
        args: words,
        prompt: PromptBy::Argv,
        long_prompt: PromptBy::File,
        prompt_option: None,
        env: BTreeMap::new(),
        resume_args: Vec::new(),
        output: Output::Text,
        autonomy: BTreeMap::new(),
        install: install.to_owned(),
    }
}

fn levels<const N: usize>(levels: [(Level, &str); N]) -> BTreeMap<Level, Switches> {
    let switches = |text: &str| Switches {
        args: words(text),
        env: BTreeMap::new(),
    };
    levels.map(|(level, text)| (level, switches(text))).into()
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}
