//! Ready-to-paste configuration of each MCP client, for the console's page and `hostler connect`.
//!
//! Two forms each: by the address alone, where the client signs in through the browser (OAuth), and
//! with an API key, for machines without one. Texts only: nothing is asked of anybody.

use url::Url;

use crate::auth::oauth::address::is_loopback;

/// One client and how it is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Word by which `hostler connect` knows it.
    pub id: &'static str,
    /// Its name.
    pub title: &'static str,
    /// By the address alone.
    pub oauth: Paste,
    /// With an API key.
    pub api_key: Paste,
}

/// What to paste, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paste {
    /// The file it belongs into; none when it is a command for a shell.
    pub file: Option<&'static str>,
    /// The text.
    pub text: String,
    /// What to do afterwards, in words.
    pub then: Option<&'static str>,
}

/// Every client that is known, with the address of the MCP server and a key (or what stands for it)
/// filled in.
pub fn clients(mcp_url: &str, key: &str) -> Vec<Client> {
    vec![
        claude(mcp_url, key),
        codex(mcp_url, key),
        gemini(mcp_url, key),
        opencode(mcp_url, key),
        cursor(mcp_url, key),
        amp(mcp_url, key),
        claude_desktop(mcp_url, key),
    ]
}

fn claude(url: &str, key: &str) -> Client {
    let add = format!("claude mcp add --scope user --transport http hostler {url}");
    Client {
        id: "claude",
        title: "Claude Code",
        oauth: shell(
            format!("{add}\nclaude mcp login hostler"),
            "Without a browser: claude mcp login hostler --no-browser. In a session: /mcp.",
        ),
        api_key: command(format!("{add} --header \"Authorization: Bearer {key}\"")),
    }
}

fn codex(url: &str, key: &str) -> Client {
    let add = format!("codex mcp add hostler --url {url}");
    Client {
        id: "codex",
        title: "Codex",
        oauth: shell(
            add.clone(),
            "It opens the browser by itself; later: codex mcp login hostler.",
        ),
        api_key: shell(
            format!("export HOSTLER_API_KEY={key}\n{add} --bearer-token-env-var HOSTLER_API_KEY"),
            "Codex reads the variable whenever it starts: put the first line into your shell's profile.",
        ),
    }
}

fn gemini(url: &str, key: &str) -> Client {
    let add = format!("gemini mcp add --scope user --transport http hostler {url}");
    Client {
        id: "gemini",
        title: "Gemini CLI",
        oauth: shell(add.clone(), "Then, in a session: /mcp auth hostler."),
        api_key: command(format!("{add} -H \"Authorization: Bearer {key}\"")),
    }
}

fn opencode(url: &str, key: &str) -> Client {
    let at = "~/.config/opencode/opencode.json";
    Client {
        id: "opencode",
        title: "opencode",
        oauth: file(
            at,
            format!(r#"{{"mcp": {{"hostler": {{"type": "remote", "url": "{url}"}}}}}}"#),
            Some("Then: opencode mcp auth hostler."),
        ),
        api_key: file(
            at,
            format!(
                r#"{{"mcp": {{"hostler": {{"type": "remote", "url": "{url}", "oauth": false, "headers": {{"Authorization": "Bearer {key}"}}}}}}}}"#
            ),
            None,
        ),
    }
}

fn cursor(url: &str, key: &str) -> Client {
    let at = "~/.cursor/mcp.json";
    Client {
        id: "cursor",
        title: "Cursor",
        oauth: file(
            at,
            format!(r#"{{"mcpServers": {{"hostler": {{"url": "{url}"}}}}}}"#),
            Some("Then, in Cursor's settings under MCP: Needs login."),
        ),
        api_key: file(
            at,
            format!(
                r#"{{"mcpServers": {{"hostler": {{"url": "{url}", "headers": {{"Authorization": "Bearer {key}"}}}}}}}}"#
            ),
            None,
        ),
    }
}

fn amp(url: &str, key: &str) -> Client {
    let at = "~/.config/amp/settings.json";
    Client {
        id: "amp",
        title: "Amp",
        oauth: file(
            at,
            format!(r#"{{"amp.mcpServers": {{"hostler": {{"url": "{url}"}}}}}}"#),
            Some("It opens the browser when it next starts."),
        ),
        api_key: file(
            at,
            format!(
                r#"{{"amp.mcpServers": {{"hostler": {{"url": "{url}", "headers": {{"Authorization": "Bearer {key}"}}}}}}}}"#
            ),
            None,
        ),
    }
}

fn claude_desktop(url: &str, key: &str) -> Client {
    let at = "claude_desktop_config.json";
    // mcp-remote takes plain HTTP for this machine alone, unless it is told.
    let open = url.starts_with("http://") && !Url::parse(url).is_ok_and(|url| is_loopback(&url));
    let args = format!(
        r#""-y", "mcp-remote", "{url}"{}"#,
        if open { r#", "--allow-http""# } else { "" }
    );
    Client {
        id: "claude-desktop",
        title: "Claude Desktop (needs Node.js)",
        oauth: file(
            at,
            format!(r#"{{"mcpServers": {{"hostler": {{"command": "npx", "args": [{args}]}}}}}}"#),
            Some("It opens the browser when it next starts."),
        ),
        api_key: file(
            at,
            format!(
                r#"{{"mcpServers": {{"hostler": {{"command": "npx", "args": [{args}, "--header", "Authorization:${{AUTH}}"], "env": {{"AUTH": "Bearer {key}"}}}}}}}}"#
            ),
            None,
        ),
    }
}

fn command(text: String) -> Paste {
    Paste {
        file: None,
        text,
        then: None,
    }
}

fn shell(text: String, then: &'static str) -> Paste {
    Paste {
        then: Some(then),
        ..command(text)
    }
}

fn file(name: &'static str, text: String, then: Option<&'static str>) -> Paste {
    Paste {
        file: Some(name),
        text,
        then,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_is_told_about_plain_http_elsewhere() {
        for (url, told) in [
            ("http://127.0.0.1:4880/mcp", false),
            ("https://a.example/mcp", false),
            ("http://box.lan:4880/mcp", true),
        ] {
            let client = claude_desktop(url, "k");
            assert_eq!(client.oauth.text.contains("--allow-http"), told, "{url}");
        }
    }

    #[test]
    fn files_are_json_and_only_the_second_form_holds_a_key() {
        for client in clients("http://127.0.0.1:4880/mcp", "sk_live_abc") {
            for paste in [&client.oauth, &client.api_key] {
                assert!(
                    paste.text.contains("http://127.0.0.1:4880/mcp"),
                    "{paste:?}"
                );
                if paste.file.is_some() {
                    serde_json::from_str::<serde_json::Value>(&paste.text).unwrap();
                }
            }
            assert!(!client.oauth.text.contains("sk_live_abc"), "{client:?}");
            assert!(client.api_key.text.contains("sk_live_abc"), "{client:?}");
        }
    }
}
