//! The board: a lane for each status, with the newest tasks in it. A task is moved by buttons that
//! work from the keyboard and without a script.

use hostler_proto::error::Failure;
use maud::{Markup, html};

use super::{Choices, Listed, labels, none, path_of, priority};
use crate::App;
use crate::auth::session::Visitor;
use crate::clock;
use crate::console::layout;
use crate::console::parts::{day, when};
use crate::tasks::{self, Status, Task, TaskPage};

/// How many tasks a lane shows.
const LANE: u32 = 25;

/// The board of what the filters leave.
pub(super) async fn board(
    app: &App,
    visitor: &Visitor,
    asked: &Listed,
    choices: &Choices,
) -> Result<Markup, Failure> {
    let mut lanes = Vec::new();
    for status in &choices.statuses {
        let mut input = asked.input(Some(status.id.to_string()), LANE);
        input.offset = 0;
        lanes.push((status, tasks::list(app, &visitor.caller, input).await?));
    }
    if lanes.iter().all(|(_, page)| page.total == 0) {
        return Ok(none(asked));
    }
    Ok(html! {
        div.board tabindex="0" role="group" aria-label="Board" {
            @for (status, page) in &lanes { (lane(visitor, asked, choices, status, page)) }
        }
    })
}

fn lane(
    visitor: &Visitor,
    asked: &Listed,
    choices: &Choices,
    status: &Status,
    page: &TaskPage,
) -> Markup {
    let in_table = Listed {
        status: status.id.to_string(),
        ..asked.clone()
    };
    html! {
        section.lane {
            h2 { (status.name) " " span.count { (page.total) } }
            @if page.tasks.is_empty() { p.muted { "None" } }
            @else {
                ul { @for view in &page.tasks { li.card { (card(visitor, asked, choices, &view.task)) } } }
            }
            @if page.has_more {
                a href=(format!("/tasks?{}", in_table.query(""))) { "All " (page.total) }
            }
        }
    }
}

fn card(visitor: &Visitor, asked: &Listed, choices: &Choices, task: &Task) -> Markup {
    let overdue = task.due_at.filter(|due| *due < clock::wall());
    html! {
        a href=(path_of(task)) { (task.title) }
        div.meta {
            @if task.priority != "none" { span { (priority(task)) } }
            @if let Some(person) = &task.assignee { span { (person.name) } }
            @if let Some(due) = task.due_at {
                span { "due " (day(due)) @if overdue.is_some() { strong { " (late)" } } }
            }
            (labels(task))
            @if task.due_at.is_none() { span { (when(task.updated_at, clock::wall())) } }
        }
        (mover(visitor, asked, choices, task))
    }
}

fn mover(visitor: &Visitor, asked: &Listed, choices: &Choices, task: &Task) -> Markup {
    let others = choices.statuses.iter().filter(|one| **one != task.status);
    html! {
        details.move {
            summary { "Move" span.hidden { " " (task.title) } }
            form method="post" action=(format!("{}/status", path_of(task))) {
                (layout::csrf(visitor))
                input type="hidden" name="back" value=(asked.query("board"));
                @for status in others {
                    button.small type="submit" name="status" value=(status.id) { (status.name) }
                }
            }
        }
    }
}
