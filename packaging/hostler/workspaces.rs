//! `hostler workspaces …`

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::args::WorkspacesCommand;
use crate::client::Session;
use crate::failure::Failure;
use crate::hosts;
use crate::output;
use crate::projects::put;

pub(crate) fn run(session: &Session, command: WorkspacesCommand) -> Result<ExitCode, Failure> {
    match command {
        WorkspacesCommand::List {
            host,
            project,
            state,
        } => {
            let mut arguments = Map::new();
            put(&mut arguments, "hostId", host);
            put(&mut arguments, "projectId", project);
            put(&mut arguments, "state", state);
            list(session, &Value::Object(arguments))?;
        }
        WorkspacesCommand::Create {
            name,
            host,
            project,
            branch,
            base_branch,
            task,
            no_setup,
        } => {
            let mut arguments = Map::new();
            arguments.insert("hostId".into(), json!(hosts::only(session, host)?));
            arguments.insert("projectId".into(), json!(project));
            arguments.insert("name".into(), json!(name));
            put(&mut arguments, "branch", branch);
            put(&mut arguments, "baseBranch", base_branch);
            put(&mut arguments, "taskId", task);
            put(&mut arguments, "setup", no_setup.then_some(false));
            return create(session, &Value::Object(arguments));
        }
        WorkspacesCommand::Delete {
            workspace,
            force,
            delete_branch,
        } => {
            let id = resolve(session, &workspace)?;
            delete(
                session,
                &json!({"id": id, "force": force, "deleteBranch": delete_branch}),
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A workspace's id from its id, or from its name or branch when only one has it.
pub(crate) fn resolve(session: &Session, text: &str) -> Result<String, Failure> {
    if uuid::Uuid::parse_str(text).is_ok() {
        return Ok(text.to_owned());
    }
    let answer = session.call("workspaces_list", &json!({}))?;
    let all = answer["workspaces"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let same = |value: &Value| {
        value
            .as_str()
            .is_some_and(|value| value.eq_ignore_ascii_case(text))
    };
    let found: Vec<_> = all
        .iter()
        .filter(|one| same(&one["name"]) || same(&one["branch"]))
        .collect();
    match found.as_slice() {
        [one] => Ok(output::cell(&one["id"])),
        [] => Err(Failure::of_tool(&json!({
            "code": "not_found", "message": format!("There is no workspace {text:?}."),
            "hint": "`hostler workspaces list` shows them."
        }))),
        several => {
            let ids: Vec<_> = several
                .iter()
                .map(|one| {
                    format!(
                        "{} ({} on {})",
                        output::cell(&one["id"]),
                        output::cell(&one["projectName"]),
                        output::cell(&one["hostName"])
                    )
                })
                .collect();
            Err(
                Failure::usage(format!("More than one workspace is called {text:?}."))
                    .hint(format!("Give its id: {}.", ids.join(", "))),
            )
        }
    }
}

fn list(session: &Session, arguments: &Value) -> Result<(), Failure> {
    let answer = session.call("workspaces_list", arguments)?;
    if session.json() {
        return output::json(&answer);
    }
    let rows = answer["workspaces"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            vec![
                output::cell(&one["name"]),
                output::cell(&one["projectName"]),
                output::cell(&one["branch"]),
                output::state(&output::cell(&one["state"])),
                changes(&one["changes"]),
                output::cell(&one["hostName"]),
                output::cell(&one["path"]),
                output::cell(&one["id"]),
            ]
        });
    output::table(
        &[
            "name", "project", "branch", "state", "changes", "host", "path", "id",
        ],
        rows.collect(),
        "No workspaces. Create one: `hostler workspaces create NAME --project PROJECT`.",
    )
}

/// Counts in git's short form: `↑2 ↓1 +1 ~3 ?4`.
fn changes(changes: &Value) -> String {
    if changes.is_null() {
        return "-".to_owned();
    }
    let parts: Vec<_> = [
        ("↑", "ahead"),
        ("↓", "behind"),
        ("+", "staged"),
        ("~", "unstaged"),
        ("?", "untracked"),
    ]
    .iter()
    .filter_map(|(sign, key)| {
        changes[key]
            .as_u64()
            .filter(|n| *n > 0)
            .map(|n| format!("{sign}{n}"))
    })
    .collect();
    if parts.is_empty() {
        "clean".to_owned()
    } else {
        parts.join(" ")
    }
}

fn create(session: &Session, arguments: &Value) -> Result<ExitCode, Failure> {
    let answer = session.call_with_progress("workspaces_create", arguments)?;
    let setup_failed = answer["setup"]["ok"] == json!(false);
    let code = if setup_failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    };
    if session.json() {
        output::json(&answer)?;
        return Ok(code);
    }
    let workspace = &answer["workspace"];
    let verb = if answer["existed"] == json!(true) {
        "is there already"
    } else {
        "is ready"
    };
    let verb = if setup_failed {
        "is made, but its setup failed"
    } else {
        verb
    };
    output::line(&format!(
        "Workspace {} {verb}.",
        output::cell(&workspace["name"])
    ))?;
    let commit = answer["base"]["commit"]
        .as_str()
        .map(|commit| commit.chars().take(12).collect::<String>());
    output::fields(&[
        ("id", output::text(&workspace["id"])),
        ("path", output::text(&workspace["path"])),
        ("branch", output::text(&workspace["branch"])),
        (
            "base",
            commit.map(|commit| format!("{} at {commit}", output::cell(&answer["base"]["branch"]))),
        ),
        (
            "setup",
            output::text(&answer["setup"]["failedCommand"])
                .map(|command| format!("failed: {command}")),
        ),
    ])?;
    warnings(&answer)?;
    if let Some(lines) = answer["setup"]["lastLines"]
        .as_str()
        .filter(|_| setup_failed)
    {
        output::line(lines)?;
    }
    Ok(code)
}

fn delete(session: &Session, arguments: &Value) -> Result<(), Failure> {
    let answer = session.call_with_progress("workspaces_delete", arguments)?;
    if session.json() {
        return output::json(&answer);
    }
    let is = |key: &str| answer[key] == json!(true);
    let outcome = if is("pending") {
        "The host is offline: the workspace will be deleted when it is back."
    } else if is("alreadyGone") {
        "The workspace was gone already."
    } else if is("branchDeleted") {
        "The workspace and its branch are deleted."
    } else {
        "The workspace is deleted."
    };
    output::line(outcome)?;
    warnings(&answer)
}

fn warnings(answer: &Value) -> Result<(), Failure> {
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        output::line(&format!("warning: {}", output::cell(warning)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_like_git() {
        assert_eq!(
            changes(&json!({"ahead": 2, "behind": 0, "staged": 0, "unstaged": 3, "untracked": 1})),
            "↑2 ~3 ?1"
        );
        assert_eq!(changes(&json!({"ahead": 0})), "clean");
        assert_eq!(changes(&Value::Null), "-");
    }
}
