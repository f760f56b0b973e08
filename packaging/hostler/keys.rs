//! `hostler keys …`

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::args::KeysCommand;
use crate::client::{self, Session};
use crate::failure::Failure;
use crate::output;
use crate::when;

const PATH: &str = "/v1/keys";

pub(crate) fn run(session: &Session, command: KeysCommand) -> Result<ExitCode, Failure> {
    match command {
        KeysCommand::List => list(session)?,
        KeysCommand::Create {
            name,
            scopes,
            expires_in_days,
        } => {
            let mut wanted = json!({"name": name, "expiresInDays": expires_in_days});
            if !scopes.is_empty() {
                wanted["scopes"] = json!(scopes);
            }
            create(session, &wanted)?;
        }
        KeysCommand::Revoke { id } => revoke(session, &id)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(session: &Session) -> Result<(), Failure> {
    let answer = client::get(&session.access(None)?, PATH)?;
    if session.json() {
        return output::json(&answer);
    }
    let keys = answer["keys"].as_array().into_iter().flatten();
    output::table(
        &[
            "name",
            "key",
            "owner",
            "scopes",
            "last used",
            "expires",
            "id",
        ],
        keys.map(row).collect(),
        "No API keys. Make one: `hostler keys create NAME`.",
    )
}

fn row(key: &Value) -> Vec<String> {
    vec![
        output::cell(&key["name"]),
        format!("{}…", output::cell(&key["prefix"])),
        output::cell(&key["owner"]),
        scopes(&key["scopes"]),
        when::local(&key["lastUsedAt"]),
        when::local(&key["expiresAt"]),
        output::cell(&key["id"]),
    ]
}

/// All ten of them are a word.
fn scopes(scopes: &Value) -> String {
    let names: Vec<_> = scopes
        .as_array()
        .into_iter()
        .flatten()
        .map(output::cell)
        .collect();
    if names.len() == 10 {
        return "all".to_owned();
    }
    names.join(" ")
}

fn create(session: &Session, wanted: &Value) -> Result<(), Failure> {
    let answer = client::post_json(&session.access(None)?, PATH, wanted)?;
    if session.json() {
        return output::json(&answer);
    }
    output::line(&output::cell(&answer["secret"]))?;
    output::note("this is the only time the key is shown");
    Ok(())
}

fn revoke(session: &Session, id: &str) -> Result<(), Failure> {
    let path = format!("{PATH}/{}", client::path_part(id));
    let answer = client::delete(&session.access(None)?, &path)?;
    if session.json() {
        return output::json(&answer);
    }
    let name = output::cell(&answer["key"]["name"]);
    output::line(&format!(
        "Revoked the key {name}: its next request is refused."
    ))
}
