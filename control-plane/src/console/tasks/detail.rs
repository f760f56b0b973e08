//! One task: what it says, where its work is, and the steps from here.

use axum::extract::State;
use axum::response::Response;
use hostler_proto::error::Failure;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Choices, labels, path_of, priority, status_badge};
use crate::App;
use crate::auth::session::Visitor;
use crate::clock;
use crate::console::Path;
use crate::console::field::Field;
use crate::console::layout::{self, Nav, Page};
use crate::console::parts::{confirm, day, facts, when};
use crate::console::workspaces::list_of_workspaces;
use crate::console::{Checked, SignedIn};
use crate::tasks::{self, Task, TaskView, UpdateTask};
use crate::workspaces::{self, WorkspaceView};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Moved {
    status: String,
    back: String,
}

#[derive(Deserialize)]
pub(super) struct Deleted {}

pub(super) async fn show(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Path(slug): Path<String>,
) -> Response {
    let found = async {
        let view = tasks::get(&app, &visitor.caller, &slug).await?;
        let choices = Choices::of(&app, &visitor).await?;
        let workspaces = workspaces_of(&app, &visitor, &view).await?;
        Ok((view, choices, workspaces))
    };
    let (view, choices, workspaces) = match found.await {
        Ok(found) => found,
        Err(failure) => return layout::failed(&visitor, Nav::Tasks, &failure),
    };
    let task = &view.task;
    let path = path_of(task);
    Page::new(&visitor, Nav::Tasks, &task.title)
        .under("Tasks", "/tasks")
        .beside(status_badge(&task.status))
        .actions(html! {
            a.button href=(format!("{path}/edit")) { "Edit" }
            a.button href=(format!("/workspaces/new?task={}&name={}", task.slug, name_of(task))) { "New workspace" }
        })
        .body(html! {
            div.split {
                div {
                    section {
                        h2 { "Description" }
                        @match &task.description {
                            Some(text) => div.card { p.text { (text) } },
                            None => p.muted { "None yet." },
                        }
                    }
                    section {
                        h2 { "Workspaces" }
                        @if workspaces.is_empty() { p.muted { "None was made for it." } }
                        @else { (list_of_workspaces(&workspaces)) }
                    }
                }
                div {
                    section.card { h2 { "Details" } (details(task)) (mover(&visitor, task, &choices)) }
                    (confirm(
                        &visitor,
                        "Delete…",
                        html! { p { "The task goes for good, and its short name is free again. Its workspaces stay." } },
                        &format!("{path}/delete"),
                        "Delete task",
                    ))
                }
            }
        })
}

async fn workspaces_of(
    app: &App,
    visitor: &Visitor,
    view: &TaskView,
) -> Result<Vec<WorkspaceView>, Failure> {
    let mut found = Vec::new();
    for id in &view.workspace_ids {
        found.push(workspaces::get(app, &visitor.caller, &id.to_string()).await?);
    }
    Ok(found)
}

fn details(task: &Task) -> Markup {
    let now = clock::wall();
    let none = || html! { span.muted { "none" } };
    let mut all = vec![
        ("Priority", priority(task)),
        (
            "Assignee",
            html! { @match &task.assignee { Some(person) => (person.name), None => (none()) } },
        ),
        ("Due", task.due_at.map_or_else(none, day)),
        (
            "Estimate",
            html! { @match task.estimate { Some(estimate) => (estimate), None => (none()) } },
        ),
        (
            "Labels",
            html! { @if task.labels.is_empty() { (none()) } @else { (labels(task)) } },
        ),
        (
            "Branch",
            html! { @match &task.branch { Some(branch) => code { (branch) }, None => (none()) } },
        ),
        (
            "Pull request",
            // Only http and https addresses are ever stored.
            html! { @match &task.pr_url { Some(url) => a href=(url) rel="noreferrer noopener" { (url) }, None => (none()) } },
        ),
        ("Short name", html! { code { (task.slug) } }),
        (
            "Made",
            html! { (when(task.created_at, now)) " by " (task.creator.name) },
        ),
        ("Changed", when(task.updated_at, now)),
    ];
    let times = [
        ("Started", task.started_at),
        ("Completed", task.completed_at),
    ];
    let passed = times
        .into_iter()
        .filter_map(|(name, at)| Some((name, when(at?, now))));
    all.extend(passed);
    facts(&all)
}

fn mover(visitor: &Visitor, task: &Task, choices: &Choices) -> Markup {
    let statuses = choices.statuses();
    html! {
        form.filters method="post" action=(format!("{}/status", path_of(task))) {
            (layout::csrf(visitor))
            (Field::select("status", "Status", &statuses).value(&task.status.id.to_string()).class("grow"))
            button type="submit" { "Move" }
        }
    }
}

pub(super) async fn set_status(
    State(app): State<App>,
    Path(slug): Path<String>,
    Checked { visitor, form }: Checked<Moved>,
) -> Response {
    let input = UpdateTask {
        status_id: Some(form.status),
        ..UpdateTask::default()
    };
    match tasks::update(&app, &visitor.caller, &slug, input).await {
        Ok(view) => {
            let said = format!("{} is now {}.", view.task.title, view.task.status.name);
            let back = if form.back.is_empty() {
                path_of(&view.task)
            } else {
                format!("/tasks?{}", encoded(&form.back))
            };
            layout::redirect(&back, &said)
        }
        Err(failure) => layout::failed(&visitor, Nav::Tasks, &failure),
    }
}

pub(super) async fn delete(
    State(app): State<App>,
    Path(slug): Path<String>,
    Checked { visitor, .. }: Checked<Deleted>,
) -> Response {
    match tasks::delete(&app, &visitor.caller, &slug).await {
        Ok((_, slug)) => layout::redirect("/tasks", &format!("{slug} is deleted.")),
        Err(failure) => layout::failed(&visitor, Nav::Tasks, &failure),
    }
}

/// A query as one that can stand in an address, whatever came in the form.
fn encoded(back: &str) -> String {
    let pairs = form_urlencoded::parse(back.as_bytes());
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

fn name_of(task: &Task) -> String {
    let short: String = task.title.chars().take(200).collect();
    form_urlencoded::byte_serialize(short.as_bytes()).collect()
}
