//! Ready-to-paste configuration of each MCP client.

use std::process::ExitCode;

use crate::client::Session;
use crate::failure::Failure;
use crate::output;

/// One client's line or file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Paste {
    /// Word by which `hostler connect` knows it.
    pub(crate) id: &'static str,
    /// The client's name, and the file when it is not a command.
    pub(crate) title: &'static str,
    /// What to paste.
    pub(crate) text: String,
}

/// `hostler connect [CLIENT]`: prints the configuration with this machine's key in it.
pub(crate) fn run(session: &Session, client: Option<&str>) -> Result<ExitCode, Failure> {
    let (url, key) = session.target()?;
    let clients = clients(&format!("{url}/api/v2/agent/mcp"), &key);
    let known: Vec<_> = clients.iter().map(|paste| paste.id).collect();
    if let Some(client) = client
        && !known.contains(&client)
    {
        return Err(Failure::usage(format!("There is no client {client:?} here."))
            .hint(format!("Known are: {}. Any other MCP client takes the URL {url}/api/v2/agent/mcp and the header 'Authorization: Bearer KEY'.", known.join(", "))));
    }
    for paste in clients
        .iter()
        .filter(|paste| client.is_none_or(|client| client == paste.id))
    {
        output::line(&render(paste))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A client's title and text, indented for the terminal.
pub(crate) fn render(paste: &Paste) -> String {
    let mut text = format!("{}\n", paste.title);
    for line in paste.text.lines() {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Every client, with an MCP URL and a key filled in.
pub(crate) fn clients(mcp_url: &str, key: &str) -> Vec<Paste> {
    let paste = |id, title, text: String| Paste { id, title, text };
    vec![
        paste(
            "claude",
            "Claude Code",
            format!(
                "claude mcp add --transport http hostler {mcp_url} --header \"Authorization: Bearer {key}\""
            ),
        ),
        paste(
            "codex",
            "Codex",
            format!(
                "export HOSTLER_API_KEY={key}\ncodex mcp add hostler --url {mcp_url} --bearer-token-env-var HOSTLER_API_KEY"
            ),
        ),
        paste(
            "gemini",
            "Gemini CLI",
            format!(
                "gemini mcp add --scope user --transport http hostler {mcp_url} -H \"Authorization: Bearer {key}\""
            ),
        ),
        paste(
            "opencode",
            "opencode (opencode.json)",
            format!(
                r#"{{"mcp": {{"hostler": {{"type": "remote", "url": "{mcp_url}", "oauth": false, "headers": {{"Authorization": "Bearer {key}"}}}}}}}}"#
            ),
        ),
        paste(
            "cursor",
            "Cursor (~/.cursor/mcp.json)",
            format!(
                r#"{{"mcpServers": {{"hostler": {{"url": "{mcp_url}", "headers": {{"Authorization": "Bearer {key}"}}}}}}}}"#
            ),
        ),
        paste(
            "amp",
            "Amp (~/.config/amp/settings.json)",
            format!(
                r#"{{"amp.mcpServers": {{"hostler": {{"url": "{mcp_url}", "headers": {{"Authorization": "Bearer {key}"}}}}}}}}"#
            ),
        ),
        paste(
            "claude-desktop",
            "Claude Desktop (claude_desktop_config.json; needs Node.js)",
            format!(
                r#"{{"mcpServers": {{"hostler": {{"command": "npx", "args": ["-y", "mcp-remote", "{mcp_url}", "--header", "Authorization:${{AUTH}}"], "env": {{"AUTH": "Bearer {key}"}}}}}}}}"#
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_json_and_every_text_holds_url_and_key() {
        for paste in clients("http://127.0.0.1:4880/mcp", "sk_live_abc") {
            assert!(
                paste.text.contains("http://127.0.0.1:4880/mcp"),
                "{paste:?}"
            );
            assert!(paste.text.contains("sk_live_abc"), "{paste:?}");
            if paste.text.starts_with('{') {
                serde_json::from_str::<serde_json::Value>(&paste.text).unwrap();
            }
        }
    }
}
