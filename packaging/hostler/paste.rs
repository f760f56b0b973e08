//! `hostler connect`: ready-to-paste configuration of each MCP client.
//!
//! First by the address alone, where the client signs in through the browser; then with an API key.

use std::process::ExitCode;

use hostler_control_plane::connect::{Client, Paste, clients};

use crate::access::Source;
use crate::client::Session;
use crate::credentials::Saved;
use crate::failure::Failure;
use crate::home;
use crate::output;

/// What stands in the place of a key that is not there.
const STAND_IN: &str = "sk_live_YOUR_KEY";

/// `hostler connect [CLIENT]`: prints the configuration, with this machine's key in it.
pub(crate) fn run(session: &Session, client: Option<&str>) -> Result<ExitCode, Failure> {
    let (url, key) = where_with_what(session)?;
    let key = key.unwrap_or_else(|| {
        output::note(&format!(
            "there is no API key on this machine: {STAND_IN} stands for one that `hostler keys create NAME` makes"
        ));
        STAND_IN.to_owned()
    });
    let clients = clients(&format!("{url}/api/v2/agent/mcp"), &key);
    let known: Vec<_> = clients.iter().map(|one| one.id).collect();
    if let Some(client) = client
        && !known.contains(&client)
    {
        return Err(Failure::usage(format!("There is no client {client:?} here."))
            .hint(format!("Known are: {}. Any other MCP client takes the URL {url}/api/v2/agent/mcp and signs in by OAuth, or takes the header 'Authorization: Bearer KEY'.", known.join(", "))));
    }
    for one in clients
        .iter()
        .filter(|one| client.is_none_or(|client| client == one.id))
    {
        output::line(&render(one))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The control plane, and the API key this machine has for it. A control plane that is named needs no
/// credential: the address is enough for clients that sign in through the browser.
fn where_with_what(session: &Session) -> Result<(String, Option<String>), Failure> {
    let access = match (session.access(None), session.named()?) {
        (Err(failure), Some(url)) if failure.wants_sign_in() => return Ok((url, None)),
        (access, _) => access?,
    };
    let key = match access.source {
        Source::Given(_) | Source::SavedKey => Some(access.bearer),
        Source::SignIn => {
            let saved = Saved::load(&home::path()?)?;
            saved
                .of(&access.url)
                .and_then(|entry| entry.api_key.clone())
        }
    };
    Ok((access.url, key))
}

/// What `up` says of it at the first start: the two clients most people have.
pub(crate) fn commonest(mcp_url: &str, key: &str) -> String {
    let mut lines = vec!["Connect a client, which then signs in through the browser:".to_owned()];
    for client in clients(mcp_url, key).iter().take(2) {
        lines.push(format!("  {}", client.title));
        lines.extend(client.oauth.text.lines().map(|line| format!("    {line}")));
    }
    lines.push("Others, and any of them without a browser: hostler connect\n".to_owned());
    lines.join("\n")
}

/// A client's two forms, indented for the terminal.
fn render(client: &Client) -> String {
    let mut lines = vec![client.title.to_owned()];
    lines.extend(form("sign in through the browser", &client.oauth));
    lines.extend(form("or with an API key", &client.api_key));
    lines.push(String::new());
    lines.join("\n")
}

fn form(how: &str, paste: &Paste) -> Vec<String> {
    let place = paste.file.map(|file| format!(", in {file}"));
    let head = format!(" {how}{}", place.unwrap_or_default());
    let then = paste.then.map(|then| format!("  # {then}"));
    let text = paste.text.lines().map(|line| format!("  {line}"));
    [head].into_iter().chain(text).chain(then).collect()
}
