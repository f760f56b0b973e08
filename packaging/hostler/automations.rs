//! `hostler automations …`

use std::io::Read as _;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::args::{AutomationFields, AutomationsCommand, PromptCommand, PromptText};
use crate::client::Session;
use crate::failure::Failure;
use crate::history;
use crate::output;
use crate::projects::put;
use crate::runs::{self, How};
use crate::when;
use crate::workspaces;

pub(crate) fn run(session: &Session, command: AutomationsCommand) -> Result<ExitCode, Failure> {
    match command {
        AutomationsCommand::List { name } => list(session, name)?,
        AutomationsCommand::Get { automation } => on_one(session, "automations_get", &automation)?,
        AutomationsCommand::Pause { automation } => {
            on_one(session, "automations_pause", &automation)?;
        }
        AutomationsCommand::Resume { automation } => {
            on_one(session, "automations_resume", &automation)?;
        }
        AutomationsCommand::Delete { automation } => delete(session, &automation)?,
        AutomationsCommand::Prompt(command) => prompt(session, command)?,
        AutomationsCommand::Create {
            name,
            prompt,
            fields,
        } => create(session, &name, &prompt, &fields)?,
        AutomationsCommand::Update {
            automation,
            name,
            fields,
        } => {
            let mut arguments = arguments_of(session, &fields)?;
            arguments.insert("id".into(), json!(resolve(session, &automation)?));
            put(&mut arguments, "name", name);
            show(
                session,
                &session.call("automations_update", &Value::Object(arguments))?,
            )?;
        }
        AutomationsCommand::Run { automation, follow } => {
            return start(session, &resolve(session, &automation)?, follow);
        }
        AutomationsCommand::History {
            automation,
            limit,
            all,
        } => {
            let id = resolve(session, &automation)?;
            let limit = if all { 0 } else { limit.max(1) };
            return history::show(session, &id, usize::try_from(limit).unwrap_or(0));
        }
        AutomationsCommand::Logs {
            automation,
            run,
            raw,
            limit,
        } => {
            let id = resolve(session, &automation)?;
            return match run {
                Some(run) => runs::tail(session, &id, &run, How { follow: false, raw }),
                None => logs(session, &id, limit),
            };
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn create(
    session: &Session,
    name: &str,
    prompt: &PromptText,
    fields: &AutomationFields,
) -> Result<(), Failure> {
    let mut arguments = arguments_of(session, fields)?;
    arguments.insert("name".into(), json!(name));
    arguments.insert("prompt".into(), json!(text_of(prompt)?));
    let answer = session.call("automations_create", &Value::Object(arguments))?;
    show(session, &answer)
}

/// Calls a tool that takes an automation's id and gives the automation.
fn on_one(session: &Session, tool: &str, automation: &str) -> Result<(), Failure> {
    let id = resolve(session, automation)?;
    show(session, &session.call(tool, &json!({"id": id}))?)
}

/// All of the caller's automations.
pub(crate) fn all(session: &Session) -> Result<Vec<Value>, Failure> {
    pages(session, false)
}

/// Those of the caller's automations that were deleted: their runs are still readable.
pub(crate) fn deleted(session: &Session) -> Result<Vec<Value>, Failure> {
    pages(session, true)
}

fn pages(session: &Session, deleted: bool) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    loop {
        let answer = session.call(
            "automations_list",
            &json!({"deleted": deleted, "limit": 200, "offset": found.len()}),
        )?;
        let page = answer["automations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let empty = page.is_empty();
        found.extend(page);
        if empty || answer["hasMore"] != json!(true) {
            return Ok(found);
        }
    }
}

/// An automation's id from its id or its name (case-insensitive, when only one has it).
fn resolve(session: &Session, text: &str) -> Result<String, Failure> {
    if uuid::Uuid::parse_str(text).is_ok() {
        return Ok(text.to_owned());
    }
    let answer = session.call("automations_list", &json!({"name": text, "limit": 200}))?;
    let listed = answer["automations"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let same = |one: &&Value| {
        one["name"]
            .as_str()
            .is_some_and(|name| name.to_lowercase() == text.to_lowercase())
    };
    match listed.iter().filter(same).collect::<Vec<_>>().as_slice() {
        [one] => Ok(output::cell(&one["id"])),
        [] => Err(Failure::of_tool(&json!({
            "code": "not_found", "message": format!("There is no automation called {text:?}."),
            "hint": "`hostler automations list` shows them."
        }))),
        several => {
            let ids: Vec<_> = several.iter().map(|one| output::cell(&one["id"])).collect();
            Err(
                Failure::usage(format!("More than one automation is called {text:?}."))
                    .hint(format!("Give its id: {}.", ids.join(", "))),
            )
        }
    }
}

fn list(session: &Session, name: Option<String>) -> Result<(), Failure> {
    let automations = match name {
        Some(name) => {
            let answer = session.call("automations_list", &json!({"name": name, "limit": 200}))?;
            answer["automations"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        }
        None => all(session)?,
    };
    if session.json() {
        return output::json(&json!({"automations": automations}));
    }
    let rows = automations.iter().map(|one| {
        vec![
            output::cell(&one["name"]),
            output::cell(&one["agent"]),
            output::cell(&one["scheduleText"]),
            next_run(one),
            output::text(&one["lastRun"]["state"])
                .map_or("-".into(), |state| output::state(&state)),
            when::local(&one["lastRun"]["at"]),
            output::cell(&one["hostName"]),
            output::cell(&one["id"]),
        ]
    });
    output::table(
        &[
            "name", "agent", "schedule", "next run", "last", "at", "host", "id",
        ],
        rows.collect(),
        "No automations. Create one: `hostler automations create --help`.",
    )
}

/// When it fires next, or in a few words why it does not.
fn next_run(one: &Value) -> String {
    if one["enabled"] != json!(true) {
        return output::state("paused");
    }
    let reason = output::text(&one["pausedReason"]);
    match reason.filter(|_| one["nextRunAt"].is_null()) {
        Some(reason) => reason.split(':').next().unwrap_or_default().to_owned(),
        None => when::local(&one["nextRunAt"]),
    }
}

fn show(session: &Session, answer: &Value) -> Result<(), Failure> {
    if session.json() {
        return output::json(answer);
    }
    let one = &answer["automation"];
    let text = |key: &str| output::text(&one[key]);
    let stopped = text("pausedReason").filter(|_| one["nextRunAt"].is_null());
    let state = if one["enabled"] == json!(true) {
        stopped.unwrap_or_else(|| "enabled".to_owned())
    } else {
        text("pausedReason").map_or("paused".to_owned(), |reason| format!("paused: {reason}"))
    };
    output::fields(&[
        ("name", text("name")),
        ("id", text("id")),
        ("state", Some(state)),
        ("agent", text("agent")),
        ("host", text("hostName")),
        (
            "schedule",
            text("scheduleText").or_else(|| output::text(&answer["scheduleText"])),
        ),
        (
            "rule",
            text("rrule").map(|rule| rule.replace('\n', "  and  ")),
        ),
        ("zone", text("timezone")),
        (
            "last run",
            output::text(&one["lastRun"]["state"])
                .map(|state| format!("{state}, {}", when::local(&one["lastRun"]["at"]))),
        ),
    ])?;
    let next = answer["nextRuns"]
        .as_array()
        .or_else(|| one["nextRuns"].as_array());
    for (index, run) in next.into_iter().flatten().enumerate() {
        let label = if index == 0 { "next runs" } else { "" };
        output::line(&format!("{label:<9} {}", instant(run)))?;
    }
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        output::line(&format!("warning: {}", output::cell(warning)))?;
    }
    Ok(())
}

/// One of the next instants, told in its zone and in UTC.
fn instant(run: &Value) -> String {
    match (run["local"].as_str(), run["utc"].as_str()) {
        (Some(local), Some(utc)) => format!("{local}  ({utc})"),
        _ => when::local(run),
    }
}

fn prompt(session: &Session, command: PromptCommand) -> Result<(), Failure> {
    match command {
        PromptCommand::Get { automation } => {
            let answer = session.call(
                "automations_get_prompt",
                &json!({"id": resolve(session, &automation)?}),
            )?;
            if session.json() {
                return output::json(&answer);
            }
            output::line(
                answer["prompt"]
                    .as_str()
                    .unwrap_or_default()
                    .trim_end_matches('\n'),
            )
        }
        PromptCommand::Set {
            automation,
            prompt,
            if_version,
        } => {
            let mut arguments = Map::new();
            arguments.insert("id".into(), json!(resolve(session, &automation)?));
            arguments.insert("prompt".into(), json!(text_of(&prompt)?));
            put(&mut arguments, "ifVersion", if_version);
            let answer = session.call("automations_set_prompt", &Value::Object(arguments))?;
            if session.json() {
                return output::json(&answer);
            }
            output::line(&format!(
                "The prompt is replaced; it is version {} now.",
                output::cell(&answer["version"])
            ))
        }
    }
}

fn start(session: &Session, id: &str, follow: bool) -> Result<ExitCode, Failure> {
    let answer = session.call("automations_run", &json!({"id": id}))?;
    let run = output::cell(&answer["runId"]);
    if session.json() && !follow {
        output::json(&answer)?;
    } else if !follow {
        output::line(&format!("Run {run} is {}.", output::cell(&answer["state"])))?;
        output::line(&format!("Follow it: hostler runs tail {run} -f"))?;
    }
    if follow {
        let how = How { follow, raw: false };
        runs::tail(session, id, &run, how)
    } else {
        Ok(ExitCode::SUCCESS)
    }
}

fn logs(session: &Session, id: &str, limit: Option<u32>) -> Result<ExitCode, Failure> {
    let mut arguments = json!({"automationId": id});
    if let Some(limit) = limit {
        arguments["limit"] = json!(limit);
    }
    let answer = session.call("automations_logs", &arguments)?;
    if session.json() {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = answer["runs"].as_array().into_iter().flatten().map(|run| {
        vec![
            when::local(&run["scheduledFor"]),
            output::cell(&run["trigger"]),
            output::state(&output::cell(&run["state"])),
            output::cell(&run["exitCode"]),
            when::duration(&run["durationMs"]),
            output::size(&run["logBytes"]),
            summary(run),
            output::cell(&run["runId"]),
        ]
    });
    output::table(
        &[
            "scheduled for",
            "trigger",
            "state",
            "exit",
            "took",
            "log",
            "outcome",
            "run",
        ],
        rows.collect(),
        "No runs yet.",
    )?;
    Ok(ExitCode::SUCCESS)
}

/// A run's reason, or the last line of its log, or what it changed.
pub(crate) fn summary(run: &Value) -> String {
    let last_line = || {
        let tail = run["logTail"].as_str().unwrap_or_default();
        tail.lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .map(str::to_owned)
    };
    let text = output::text(&run["reason"])
        .or_else(|| output::text(&run["outcome"]["resultText"]))
        .or_else(last_line);
    let text = text.unwrap_or_else(|| "-".to_owned());
    if text.chars().count() > 60 {
        text.chars().take(59).chain(['…']).collect()
    } else {
        text
    }
}

fn delete(session: &Session, name: &str) -> Result<(), Failure> {
    let id = resolve(session, name)?;
    let answer = session.call("automations_delete", &json!({"id": id}))?;
    if session.json() {
        return output::json(&answer);
    }
    output::line(&format!(
        "Automation {name} is deleted. Its past stays readable: hostler automations history {id}"
    ))
}

/// The prompt's text from the command line, a file or standard input.
fn text_of(prompt: &PromptText) -> Result<String, Failure> {
    match (&prompt.prompt, &prompt.prompt_file) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(file)) if file.as_os_str() == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Ok(text)
        }
        (None, Some(file)) => std::fs::read_to_string(file).map_err(|error| {
            Failure::usage(format!(
                "The prompt file {} cannot be read: {error}.",
                file.display()
            ))
        }),
        (None, None) => Err(Failure::usage("Give --prompt or --prompt-file.")),
    }
}

fn arguments_of(
    session: &Session,
    fields: &AutomationFields,
) -> Result<Map<String, Value>, Failure> {
    let mut arguments = Map::new();
    put(&mut arguments, "agent", fields.agent.clone());
    put(&mut arguments, "targetHostId", fields.host.clone());
    put(&mut arguments, "projectId", fields.project.clone());
    let workspace = fields
        .workspace
        .as_deref()
        .map(|text| workspaces::resolve(session, text))
        .transpose()?;
    put(&mut arguments, "workspaceId", workspace);
    put(
        &mut arguments,
        "rrule",
        crate::schedule::rule_of(session, fields.rrule.as_deref(), fields.cron.as_deref())?,
    );
    put(&mut arguments, "dtstart", fields.dtstart.clone());
    put(&mut arguments, "timezone", fields.tz.clone());
    put(
        &mut arguments,
        "exdates",
        (!fields.exdate.is_empty()).then(|| json!(fields.exdate)),
    );
    put(
        &mut arguments,
        "rdates",
        (!fields.rdate.is_empty()).then(|| json!(fields.rdate)),
    );
    put(&mut arguments, "catchUp", fields.catch_up.clone());
    put(&mut arguments, "overlap", fields.overlap.clone());
    put(&mut arguments, "jitterSeconds", fields.jitter_seconds);
    put(
        &mut arguments,
        "maxRuntimeSeconds",
        fields.max_runtime_seconds,
    );
    put(&mut arguments, "retries", fields.retries);
    put(
        &mut arguments,
        "pauseAfterFailures",
        fields.pause_after_failures,
    );
    put(&mut arguments, "maxRuns", fields.max_runs);
    put(&mut arguments, "autonomy", fields.autonomy.clone());
    put(&mut arguments, "baseBranch", fields.base_branch.clone());
    put(
        &mut arguments,
        "keepWorkspace",
        fields.keep_workspace.clone(),
    );
    Ok(arguments)
}
