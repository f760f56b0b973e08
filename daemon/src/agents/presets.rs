//! The agents known without any configuration, in their headless forms.
//!
//! How each was checked: run against a scripted model, its denials too (claude 2.1, codex 0.169,
//! gemini 0.61, opencode 1.18, copilot 1.0, vibe 3.0); run against a scripted model (pi 0.74); started without
//! credentials and by its `--help` (amp of 2026-09, droid 0.225, grok 1.0, kimi 2.1, mastracode
//! 0.32); by its documentation alone (cursor-agent).

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

/// `full` is refused by the program itself where it runs as root, unless `IS_SANDBOX=1` is set.
fn claude() -> Agent {
    Agent {
        long_prompt: PromptBy::Stdin,
        resume_args: words("--resume {session}"),
        output: Output::ClaudeLines,
        env: env(&[("DISABLE_AUTOUPDATER", "1"), ("DISABLE_TELEMETRY", "1")]),
        autonomy: levels([
            (Level::ReadOnly, "--permission-mode plan"),
            (Level::Edits, "--permission-mode acceptEdits"),
            (Level::Full, "--permission-mode bypassPermissions"),
        ]),
        login: "run `claude` there and type /login, or set ANTHROPIC_API_KEY".to_owned(),
        logged_out: texts(&[
            "Not logged in",
            "Please run /login",
            "Invalid API key",
            "OAuth token has expired",
        ]),
        ..preset(
            "claude",
            "Claude Code",
            "claude -p --output-format stream-json --verbose",
            "npm install -g @anthropic-ai/claude-code",
        )
    }
}

/// What its sandbox keeps a command from doing it only tells the model; a refused patch is on
/// standard error.
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
        login: "run `codex login` there, or set OPENAI_API_KEY".to_owned(),
        logged_out: texts(&["401 Unauthorized", "Not logged in", "codex login"]),
        denied: texts(&["patch rejected:", "rejected by user approval settings"]),
        ..preset(
            "codex",
            "Codex",
            "codex exec --json --skip-git-repo-check",
            "npm install -g @openai/codex",
        )
    }
}

/// In a folder that nobody has trusted it refuses to work without a person.
fn gemini() -> Agent {
    Agent {
        prompt_option: Some("-p".to_owned()),
        long_prompt: PromptBy::Stdin,
        resume_args: words("--resume {session}"),
        output: Output::GeminiLines,
        env: env(&[
            ("GEMINI_CLI_TRUST_WORKSPACE", "true"),
            ("GEMINI_TELEMETRY_ENABLED", "false"),
            ("NO_COLOR", "1"),
        ]),
        autonomy: levels([
            (Level::ReadOnly, "--approval-mode=plan"),
            (Level::Edits, "--approval-mode=auto_edit"),
            (Level::Full, "--approval-mode=yolo"),
        ]),
        login: "run `gemini` there and sign in, or set GEMINI_API_KEY".to_owned(),
        logged_out: texts(&[
            "Please set an Auth method",
            "API key not valid",
            "\"code\":401",
        ]),
        ..preset(
            "gemini",
            "Gemini CLI",
            "gemini --output-format stream-json",
            "npm install -g @google/gemini-cli",
        )
    }
}

/// It takes its permissions from configuration, also as JSON in one variable. A prompt among its
/// arguments it would put in quotes of its own.
fn opencode() -> Agent {
    let permission = |json: &str| Switches {
        args: Vec::new(),
        env: env(&[("OPENCODE_PERMISSION", json)]),
    };
    Agent {
        prompt: PromptBy::Stdin,
        long_prompt: PromptBy::Stdin,
        resume_args: words("--session {session}"),
        output: Output::OpencodeLines,
        env: env(&[("OPENCODE_DISABLE_AUTOUPDATE", "1")]),
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
        login: "run `opencode auth login` there".to_owned(),
        logged_out: texts(&[
            "API key is missing",
            "Incorrect API key",
            "\"statusCode\":401",
            "ProviderModelNotFoundError",
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
        resume_args: words("threads continue {session}"),
        output: Output::ClaudeLines,
        autonomy: levels([(Level::Edits, ""), (Level::Full, "--dangerously-allow-all")]),
        login: "run `amp login` there, or set AMP_API_KEY".to_owned(),
        logged_out: texts(&["No API key found", "Invalid or missing API key"]),
        ..preset(
            "amp",
            "Amp",
            "amp --no-color --no-notifications --no-ide --stream-json",
            "npm install -g @ampcode/cli",
        )
    }
}

fn copilot() -> Agent {
    Agent {
        prompt_option: Some("-p".to_owned()),
        long_prompt: PromptBy::Stdin,
        resume_args: words("--resume={session}"),
        output: Output::CopilotLines,
        autonomy: levels([
            (Level::ReadOnly, "--deny-tool=write --deny-tool=shell"),
            (Level::Edits, "--allow-tool=write"),
            (
                Level::Full,
                "--allow-all-tools --allow-all-paths --allow-all-urls",
            ),
        ]),
        login: "run `copilot` there and type /login, or set COPILOT_GITHUB_TOKEN".to_owned(),
        logged_out: texts(&["No authentication information found"]),
        ..preset(
            "copilot",
            "GitHub Copilot CLI",
            "copilot --output-format json --stream off --no-ask-user --no-auto-update --no-color",
            "npm install -g @github/copilot",
        )
    }
}

/// It changes nothing without `--force`; its sandbox keeps commands in the workspace.
fn cursor() -> Agent {
    Agent {
        resume_args: words("--resume {session}"),
        output: Output::ClaudeLines,
        autonomy: levels([
            (Level::ReadOnly, "--mode ask"),
            (Level::Edits, "--force --sandbox enabled"),
            (Level::Full, "--force --sandbox disabled"),
        ]),
        login: "run `cursor-agent login` there, or set CURSOR_API_KEY".to_owned(),
        logged_out: texts(&[
            "Authentication required",
            "Not logged in",
            "cursor-agent login",
        ]),
        ..preset(
            "cursor-agent",
            "Cursor CLI",
            "cursor-agent -p --trust --output-format stream-json",
            "curl https://cursor.com/install -fsS | bash",
        )
    }
}

/// Without `--auto`, `droid exec` only reads.
fn droid() -> Agent {
    Agent {
        long_prompt: PromptBy::Stdin,
        env: env(&[("FACTORY_DROID_AUTO_UPDATE_ENABLED", "false")]),
        autonomy: levels([
            (Level::ReadOnly, ""),
            (Level::Edits, "--auto low"),
            (Level::Full, "--auto high"),
        ]),
        login: "run `droid` there and type /login, or set FACTORY_API_KEY".to_owned(),
        logged_out: texts(&["Authentication failed", "Please log in using /login"]),
        ..preset(
            "droid",
            "Factory Droid",
            "droid exec",
            "npm install -g @factory/cli",
        )
    }
}

fn pi() -> Agent {
    Agent {
        long_prompt: PromptBy::Stdin,
        env: env(&[("PI_SKIP_VERSION_CHECK", "1"), ("PI_TELEMETRY", "0")]),
        autonomy: levels([
            (Level::ReadOnly, "--tools read,grep,find,ls"),
            (Level::Edits, "--tools read,grep,find,ls,edit,write"),
            (Level::Full, ""),
        ]),
        login: "run `pi` there and type /login, or set its provider's API key".to_owned(),
        logged_out: texts(&["No API key found", "No models available"]),
        ..preset(
            "pi",
            "pi",
            "pi -p",
            "npm install -g @earendil-works/pi-coding-agent",
        )
    }
}

/// Its `ask` approves what reads; what would ask is refused where nobody is.
fn vibe() -> Agent {
    Agent {
        prompt_option: Some("-p".to_owned()),
        long_prompt: PromptBy::Stdin,
        output: Output::VibeLines,
        autonomy: levels([
            (Level::ReadOnly, "--agent ask"),
            (Level::Edits, "--agent accept-edits"),
            (Level::Full, "--agent auto-approve"),
        ]),
        login: "run `vibe --setup` there, or set MISTRAL_API_KEY".to_owned(),
        logged_out: texts(&["Missing MISTRAL_API_KEY"]),
        ..preset(
            "vibe",
            "Mistral Vibe",
            "vibe --trust --output streaming",
            "uv tool install mistral-vibe",
        )
    }
}

/// Its prompt mode takes no switch for permissions (`--plan`, `--yolo` and `--auto` are refused), so
/// it cannot be held to less than everything.
fn kimi() -> Agent {
    Agent {
        prompt_option: Some("-p".to_owned()),
        autonomy: levels([(Level::Full, "")]),
        login: "run `kimi login` there".to_owned(),
        logged_out: texts(&["No model configured", "use /login to sign in"]),
        ..preset(
            "kimi",
            "Kimi Code",
            "kimi",
            "npm install -g @moonshot-ai/kimi-code",
        )
    }
}

/// xAI's own. Its output is Claude Code's.
fn grok() -> Agent {
    Agent {
        prompt_option: Some("-p".to_owned()),
        resume_args: words("--resume {session}"),
        output: Output::ClaudeLines,
        autonomy: levels([
            (Level::ReadOnly, "--permission-mode plan"),
            (Level::Edits, "--permission-mode acceptEdits"),
            (Level::Full, "--permission-mode bypassPermissions"),
        ]),
        login: "run `grok login` there, or set XAI_API_KEY".to_owned(),
        logged_out: texts(&["Not signed in", "grok login"]),
        ..preset(
            "grok",
            "Grok Build",
            "grok --output-format streaming-messages-json",
            "npm install -g @xai-official/grok",
        )
    }
}

/// Its plan mode refuses what needs approval; there is nothing between that and everything. Asked
/// for its version it would wait for a prompt.
fn mastracode() -> Agent {
    Agent {
        prompt_option: Some("--prompt".to_owned()),
        autonomy: levels([
            (Level::ReadOnly, "--mode plan --permission-mode deny"),
            (Level::Full, "--permission-mode auto"),
        ]),
        login: "run `mastracode` there and type /login, or set its provider's API key".to_owned(),
        logged_out: texts(&["Could not find API key"]),
        version_args: Vec::new(),
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
        version_args: Vec::new(),
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
        login: String::new(),
        logged_out: Vec::new(),
        denied: Vec::new(),
        version_args: vec!["--version".to_owned()],
    }
}

fn levels<const N: usize>(levels: [(Level, &str); N]) -> BTreeMap<Level, Switches> {
    let switches = |text: &str| Switches {
        args: words(text),
        env: BTreeMap::new(),
    };
    levels.map(|(level, text)| (level, switches(text))).into()
}

fn env(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.iter().map(owned).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn words(text: &str) -> Vec<String> {
    texts(&text.split_ascii_whitespace().collect::<Vec<_>>())
}
