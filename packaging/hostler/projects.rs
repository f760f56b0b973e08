//! `hostler projects …`

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::args::ProjectsCommand;
use crate::client::Session;
use crate::failure::Failure;
use crate::hosts;
use crate::output;

pub(crate) fn run(session: &Session, command: ProjectsCommand) -> Result<ExitCode, Failure> {
    match command {
        ProjectsCommand::List { host } => list(session, host)?,
        ProjectsCommand::Create {
            host,
            url,
            path,
            name,
            parent_dir,
        } => {
            let path = path.map(std::path::absolute).transpose()?;
            let mut arguments = Map::new();
            arguments.insert("hostId".into(), json!(hosts::only(session, host)?));
            put(&mut arguments, "url", url);
            put(
                &mut arguments,
                "path",
                path.map(|path| path.display().to_string()),
            );
            put(&mut arguments, "name", name);
            put(&mut arguments, "parentDir", parent_dir);
            create(session, &Value::Object(arguments))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts an argument that was given.
pub(crate) fn put(arguments: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        arguments.insert(key.into(), value.into());
    }
}

fn list(session: &Session, host: Option<String>) -> Result<(), Failure> {
    let mut arguments = Map::new();
    put(&mut arguments, "hostId", host);
    let answer = session.call("projects_list", &Value::Object(arguments))?;
    if session.json() {
        return output::json(&answer);
    }
    let projects = answer["projects"].as_array().into_iter().flatten();
    let rows = projects.flat_map(|project| {
        project["hosts"]
            .as_array()
            .into_iter()
            .flatten()
            .map(move |place| {
                vec![
                    output::cell(&project["name"]),
                    output::cell(if place["hostName"].is_null() {
                        &place["hostId"]
                    } else {
                        &place["hostName"]
                    }),
                    output::cell(&place["defaultBranch"]),
                    output::state(&output::cell(&place["state"])),
                    output::cell(&place["path"]),
                    output::cell(&project["id"]),
                ]
            })
    });
    output::table(
        &["name", "host", "branch", "state", "path", "id"],
        rows.collect(),
        "No projects. Register one: `hostler projects create --path CHECKOUT` or `--url REMOTE`.",
    )
}

fn create(session: &Session, arguments: &Value) -> Result<(), Failure> {
    let answer = session.call_with_progress("projects_create", arguments)?;
    if session.json() {
        return output::json(&answer);
    }
    let verb = if answer["existed"] == json!(true) {
        "is already registered"
    } else {
        "is registered"
    };
    output::line(&format!(
        "Project {} {verb}.",
        output::cell(&answer["project"]["name"])
    ))?;
    output::fields(&[
        ("id", output::text(&answer["project"]["id"])),
        ("path", output::text(&answer["path"])),
        ("branch", output::text(&answer["defaultBranch"])),
    ])
}
