//! `hostler tasks …`

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::args::{TaskFields, TaskFilter, TasksCommand};
use crate::client::Session;
use crate::failure::Failure;
use crate::output;
use crate::projects::put;
use crate::when;

pub(crate) fn run(session: &Session, command: TasksCommand) -> Result<ExitCode, Failure> {
    match command {
        TasksCommand::List(filter) => list(session, &filter)?,
        TasksCommand::Get { task } => show(
            session,
            &session.call("tasks_get", &json!({"idOrSlug": task}))?,
        )?,
        TasksCommand::Create { title, fields } => {
            let mut arguments = arguments_of(&fields, false)?;
            arguments.insert("title".into(), json!(title));
            show(
                session,
                &session.call("tasks_create", &Value::Object(arguments))?,
            )?;
        }
        TasksCommand::Update {
            task,
            title,
            fields,
            branch,
            pr_url,
        } => {
            let mut arguments = arguments_of(&fields, true)?;
            arguments.insert("id".into(), json!(task));
            put(&mut arguments, "title", title);
            put(&mut arguments, "branch", branch.map(empty_is_null));
            put(&mut arguments, "prUrl", pr_url.map(empty_is_null));
            show(
                session,
                &session.call("tasks_update", &Value::Object(arguments))?,
            )?;
        }
        TasksCommand::Delete { task } => {
            let answer = session.call("tasks_delete", &json!({"id": task}))?;
            if session.json() {
                output::json(&answer)?;
            } else {
                output::line(&format!(
                    "Task {} is deleted.",
                    output::cell(&answer["slug"])
                ))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(session: &Session, filter: &TaskFilter) -> Result<(), Failure> {
    let mut arguments = Map::new();
    put(&mut arguments, "status", filter.status.clone());
    put(&mut arguments, "priority", filter.priority.clone());
    put(
        &mut arguments,
        "labels",
        (!filter.label.is_empty()).then(|| json!(filter.label)),
    );
    put(&mut arguments, "search", filter.search.clone());
    put(&mut arguments, "assigneeMe", filter.mine.then_some(true));
    put(&mut arguments, "limit", filter.limit);
    put(&mut arguments, "offset", filter.offset);
    let answer = session.call("tasks_list", &Value::Object(arguments))?;
    if session.json() {
        return output::json(&answer);
    }
    let tasks = answer["tasks"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows = tasks.iter().map(|task| {
        vec![
            output::cell(&task["slug"]),
            output::cell(&task["title"]),
            output::state(&output::cell(&task["status"]["name"])),
            output::cell(&task["priority"]),
            person(&task["assignee"]),
            when::local(&task["dueDate"]),
            output::cell(&task["labels"]),
        ]
    });
    output::table(
        &[
            "slug", "title", "status", "priority", "assignee", "due", "labels",
        ],
        rows.collect(),
        "No tasks.",
    )?;
    if answer["hasMore"] == json!(true) {
        output::line(&format!(
            "{} of {}; --offset shows more.",
            tasks.len(),
            output::cell(&answer["total"])
        ))?;
    }
    Ok(())
}

fn show(session: &Session, answer: &Value) -> Result<(), Failure> {
    if session.json() {
        return output::json(answer);
    }
    let task = &answer["task"];
    let text = |key: &str| output::text(&task[key]);
    output::fields(&[
        ("slug", text("slug")),
        ("title", text("title")),
        ("status", output::text(&task["status"]["name"])),
        ("priority", text("priority")),
        (
            "assignee",
            Some(person(&task["assignee"])).filter(|name| name != "-"),
        ),
        (
            "estimate",
            task["estimate"].as_number().map(ToString::to_string),
        ),
        (
            "due",
            text("dueDate").map(|_| when::local(&task["dueDate"])),
        ),
        (
            "labels",
            Some(output::cell(&task["labels"]))
                .filter(|labels| !labels.is_empty() && labels != "-"),
        ),
        ("branch", text("branch")),
        ("pull request", text("prUrl")),
        ("created", Some(when::local(&task["createdAt"]))),
        ("id", text("id")),
    ])?;
    text("description").map_or(Ok(()), |description| {
        output::line(&format!("\n{description}"))
    })
}

fn person(person: &Value) -> String {
    if person.is_object() {
        let name = if person["email"].is_null() {
            &person["name"]
        } else {
            &person["email"]
        };
        return output::cell(name);
    }
    output::cell(person)
}

fn arguments_of(fields: &TaskFields, clears: bool) -> Result<Map<String, Value>, Failure> {
    let value = |text: String| {
        if clears {
            empty_is_null(text)
        } else {
            json!(text)
        }
    };
    let mut arguments = Map::new();
    put(
        &mut arguments,
        "description",
        fields.description.clone().map(value),
    );
    put(&mut arguments, "status", fields.status.clone());
    put(&mut arguments, "priority", fields.priority.clone());
    put(
        &mut arguments,
        "assigneeId",
        fields.assignee.clone().map(value),
    );
    put(&mut arguments, "dueDate", fields.due.clone().map(value));
    let labels: Vec<_> = fields
        .label
        .iter()
        .filter(|label| !label.is_empty())
        .collect();
    put(
        &mut arguments,
        "labels",
        (!fields.label.is_empty()).then(|| json!(labels)),
    );
    match fields.estimate.as_deref() {
        None => {}
        Some("") if clears => drop(arguments.insert("estimate".into(), Value::Null)),
        Some(text) => {
            let number: serde_json::Number = text.parse().map_err(|error| {
                Failure::usage(format!("--estimate {text:?} is not a number: {error}."))
            })?;
            arguments.insert("estimate".into(), Value::Number(number));
        }
    }
    Ok(arguments)
}

fn empty_is_null(text: String) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        Value::String(text)
    }
}
