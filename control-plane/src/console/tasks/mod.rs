//! Pages of tasks: the table with its filters, the board (in `board`), one task (in `detail`), and
//! the form that makes and changes one (in `form`, `merge`).

mod board;
mod detail;
mod form;
mod merge;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use hostler_proto::error::Failure;
use maud::{Markup, html};
use serde::Deserialize;

use super::SignedIn;
use super::field::Field;
use super::input::{PAGE, given, offset, query};
use super::layout::{self, Nav, Page};
use super::parts::{Paging, Tone, badge, day, empty, pager, table, tabs, when};
use crate::auth::session::Visitor;
use crate::console::Query;
use crate::store::members;
use crate::tasks::{self, ListTasks, Priority, Status, Task, TaskPage, TaskView};
use crate::{App, clock, store};

/// The routes of these pages.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/tasks", get(list).post(form::create))
        .route("/tasks/new", get(form::new))
        .route("/tasks/{slug}", get(detail::show))
        .route("/tasks/{slug}/edit", get(form::edit).post(form::update))
        .route("/tasks/{slug}/status", post(detail::set_status))
        .route("/tasks/{slug}/delete", post(detail::delete))
}

/// What is asked for: the filters of both views.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Listed {
    view: String,
    status: String,
    priority: String,
    assignee: String,
    label: String,
    q: String,
    offset: String,
}

/// What the filters and forms offer.
struct Choices {
    statuses: Vec<Status>,
    members: Vec<members::MemberRow>,
}

impl Choices {
    async fn of(app: &App, visitor: &Visitor) -> Result<Self, Failure> {
        Ok(Self {
            statuses: tasks::statuses(app, &visitor.caller).await?,
            members: store::members::list(&app.store, visitor.caller.org_id).await?,
        })
    }

    fn statuses(&self) -> Vec<(String, String)> {
        let all = self.statuses.iter();
        all.map(|status| (status.id.to_string(), status.name.clone()))
            .collect()
    }

    fn priorities() -> Vec<(String, String)> {
        let all = Priority::ALL.into_iter();
        all.map(|one| (one.word().to_owned(), capital(one.word())))
            .collect()
    }

    fn members(&self) -> Vec<(String, String)> {
        let all = self.members.iter();
        all.map(|one| (one.user_id.to_string(), one.name.clone()))
            .collect()
    }
}

impl Listed {
    fn query(&self, view: &str) -> String {
        query(&[
            ("view", view),
            ("q", &self.q),
            ("status", &self.status),
            ("priority", &self.priority),
            ("assignee", &self.assignee),
            ("label", &self.label),
        ])
    }

    fn input(&self, status: Option<String>, limit: u32) -> ListTasks {
        ListTasks {
            status_id: status,
            priority: Priority::from_word(&self.priority),
            assignee: given(&self.assignee),
            labels: given(&self.label).into_iter().collect(),
            search: given(&self.q),
            limit,
            offset: offset(&self.offset),
            ..ListTasks::default()
        }
    }
}

async fn list(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Query(asked): Query<Listed>,
) -> Response {
    let as_board = asked.view == "board";
    let found = async {
        let choices = Choices::of(&app, &visitor).await?;
        let content = if as_board {
            board::board(&app, &visitor, &asked, &choices).await?
        } else {
            as_table(&app, &visitor, &asked).await?
        };
        Ok(html! { (filters(&asked, &choices, as_board)) (content) })
    };
    let (table, board) = (
        format!("/tasks?{}", asked.query("")),
        format!("/tasks?{}", asked.query("board")),
    );
    let views = [("Table", table.as_str()), ("Board", board.as_str())];
    match found.await {
        Ok(body) => Page::new(&visitor, Nav::Tasks, "Tasks")
            .actions(html! { a.button.main href="/tasks/new" { "New task" } })
            .tabs(tabs("View", &views, if as_board { &board } else { &table }))
            .body(body),
        Err(failure) => layout::failed(&visitor, Nav::Tasks, &failure),
    }
}

fn filters(asked: &Listed, choices: &Choices, as_board: bool) -> Markup {
    let any = |words: &str, rest: Vec<(String, String)>| {
        let mut all = vec![(String::new(), words.to_owned())];
        all.extend(rest);
        all
    };
    let statuses = any("Any status", choices.statuses());
    let priorities = any("Any priority", Choices::priorities());
    let members = any("Anybody", choices.members());
    html! {
        form.filters method="get" action="/tasks" role="search" {
            @if as_board { input type="hidden" name="view" value="board"; }
            (Field::search("q", "Search").value(&asked.q).quiet())
            @if !as_board { (Field::select("status", "Status", &statuses).value(&asked.status)) }
            (Field::select("priority", "Priority", &priorities).value(&asked.priority))
            (Field::select("assignee", "Assignee", &members).value(&asked.assignee))
            (Field::text("label", "Label").value(&asked.label).quiet())
            button type="submit" { "Filter" }
        }
    }
}

async fn as_table(app: &App, visitor: &Visitor, asked: &Listed) -> Result<Markup, Failure> {
    let input = asked.input(given(&asked.status), PAGE);
    let page = tasks::list(app, &visitor.caller, input).await?;
    Ok(html! {
        @if page.tasks.is_empty() { (none(asked)) } @else { (rows(&page)) }
        (pager(&Paging {
            path: "/tasks",
            query: &asked.query(""),
            offset: offset(&asked.offset),
            limit: PAGE.into(),
            total: page.total,
        }))
    })
}

fn rows(page: &TaskPage) -> Markup {
    const COLUMNS: [&str; 7] = [
        "Title", "Status", "Priority", "Assignee", "Labels", "Due", "Changed",
    ];
    table("Tasks", &COLUMNS, page.tasks.iter().map(row).collect())
}

fn row(view: &TaskView) -> Vec<Markup> {
    let task = &view.task;
    vec![
        html! { a href=(path_of(task)) { (task.title) } div.hint { (task.slug) } },
        status_badge(&task.status),
        priority(task),
        html! { @if let Some(person) = &task.assignee { (person.name) } },
        labels(task),
        html! { @if let Some(due) = task.due_at { (day(due)) } },
        when(task.updated_at, clock::wall()),
    ]
}

fn none(asked: &Listed) -> Markup {
    if asked.query("").is_empty() {
        return empty(
            "No tasks yet",
            html! {
                p { "A task is a piece of work that people and agents plan and work through. Agents make and change them with the tasks tools." }
                a.button.main href="/tasks/new" { "New task" }
            },
        );
    }
    empty(
        "No task fits",
        html! { p { a href="/tasks" { "Show all tasks" } } },
    )
}

fn path_of(task: &Task) -> String {
    format!("/tasks/{}", task.slug)
}

fn status_badge(status: &Status) -> Markup {
    let tone = match status.kind.as_str() {
        "unstarted" => Tone::Wait,
        "started" => Tone::Busy,
        "completed" => Tone::Good,
        _ => Tone::Off,
    };
    badge(tone, &status.name)
}

fn priority(task: &Task) -> Markup {
    let word = task.priority.as_str();
    html! {
        @if word == "none" { span.muted { "None" } }
        @else if word == "urgent" { strong { "Urgent" } }
        @else { (capital(word)) }
    }
}

fn labels(task: &Task) -> Markup {
    html! {
        @if !task.labels.is_empty() {
            span.tags { @for label in &task.labels { span.tag { (label) } } }
        }
    }
}

fn capital(word: &str) -> String {
    let mut rest = word.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).collect()
}
