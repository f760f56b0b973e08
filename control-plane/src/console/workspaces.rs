//! Pages of workspaces: the list, one of them, and making one. Removing is in `removing`.

mod removing;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use hostler_proto::error::Failure;
use hostler_proto::workspace::{Changes, Workspace, WorkspaceKind, WorkspaceState};
use maud::{Markup, html};
use serde::Deserialize;

use super::field::Field;
use super::input::{PAGE, given, offset, patiently, query, sentences};
use super::layout::{self, Nav, Page};
use super::parts::{Paging, Tone, badge, empty, facts, pager, table, when};
use super::{Checked, SignedIn};
use crate::auth::session::Visitor;
use crate::console::{Path, Query};
use crate::hosts_catalog::{self, HostView};
use crate::projects::{self, ProjectView};
use crate::workspaces::{self, CreateWorkspace, ListWorkspaces, WorkspacePage, WorkspaceView};
use crate::{App, clock, tasks};

/// The routes of these pages.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/workspaces", get(list).post(create))
        .route("/workspaces/new", get(new))
        .route("/workspaces/{id}", get(detail))
        .route(
            "/workspaces/{id}/delete",
            get(removing::ask).post(removing::delete),
        )
}

/// Hosts to choose from; `all` is the words for none of them, when that is a choice.
pub(super) fn host_options(hosts: &[HostView], all: &str) -> Vec<(String, String)> {
    let named = hosts.iter().map(|host| {
        let away = if host.online { "" } else { " (offline)" };
        (host.id.to_string(), format!("{}{away}", host.name))
    });
    choices(all, named)
}

/// A table of workspaces.
pub(super) fn list_of_workspaces(views: &[WorkspaceView]) -> Markup {
    const COLUMNS: [&str; 6] = ["Name", "State", "Branch", "Changes", "Host", "Created"];
    table("Workspaces", &COLUMNS, views.iter().map(row).collect())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Listed {
    host: String,
    project: String,
    state: String,
    q: String,
    offset: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Filled {
    host: String,
    project: String,
    name: String,
    branch: String,
    base_branch: String,
    task: String,
    setup: String,
}

async fn list(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Query(asked): Query<Listed>,
) -> Response {
    match found(&app, &visitor, &asked).await {
        Ok(body) => Page::new(&visitor, Nav::Workspaces, "Workspaces")
            .actions(html! { a.button.main href="/workspaces/new" { "New workspace" } })
            .body(body),
        Err(failure) => layout::failed(&visitor, Nav::Workspaces, &failure),
    }
}

async fn found(app: &App, visitor: &Visitor, asked: &Listed) -> Result<Markup, Failure> {
    let caller = &visitor.caller;
    let input = ListWorkspaces {
        host: given(&asked.host),
        project: given(&asked.project),
        state: given(&asked.state),
    };
    let offset = offset(&asked.offset);
    let page = workspaces::page(app, caller, input, given(&asked.q), PAGE, offset).await?;
    let asked_query = query(&[
        ("host", &asked.host),
        ("project", &asked.project),
        ("state", &asked.state),
        ("q", &asked.q),
    ]);
    if page.total == 0 && asked_query.is_empty() {
        return Ok(empty(
            "No workspaces yet",
            html! {
                p { "A workspace is a checkout of its own on a branch of its own, so that several agents and people work on one repository without getting in each other's way." }
                a.button.main href="/workspaces/new" { "New workspace" }
            },
        ));
    }
    let hosts = host_options(&hosts_catalog::list(app, caller, None).await?, "All hosts");
    let projects = project_options(&projects::list(app, caller, None).await?, "All projects");
    Ok(html! {
        (filters(asked, &hosts, &projects))
        (rows_or_none(&page))
        (pager(&Paging {
            path: "/workspaces",
            query: &asked_query,
            offset,
            limit: PAGE.into(),
            total: page.total,
        }))
    })
}

fn filters(asked: &Listed, hosts: &[(String, String)], projects: &[(String, String)]) -> Markup {
    let word = |state: &str| (state.to_owned(), state.to_owned());
    let states = choices(
        "All states",
        ["ready", "creating", "failed", "deleting"].map(word),
    );
    html! {
        form.filters method="get" action="/workspaces" role="search" {
            (Field::search("q", "Search").value(&asked.q).quiet())
            (Field::select("project", "Project", projects).value(&asked.project))
            (Field::select("host", "Host", hosts).value(&asked.host))
            (Field::select("state", "State", &states).value(&asked.state))
            button type="submit" { "Filter" }
        }
    }
}

fn rows_or_none(page: &WorkspacePage) -> Markup {
    if page.workspaces.is_empty() {
        return empty(
            "No workspace fits",
            html! { p { a href="/workspaces" { "Show all workspaces" } } },
        );
    }
    list_of_workspaces(&page.workspaces)
}

fn row(view: &WorkspaceView) -> Vec<Markup> {
    let workspace = &view.workspace;
    vec![
        html! {
            a href=(format!("/workspaces/{}", workspace.id)) { (workspace.name) }
            div.hint {
                (view.project_name.as_deref().unwrap_or("no project"))
                @if workspace.kind == WorkspaceKind::Main { ", main checkout" }
            }
        },
        state_badge(workspace),
        html! { @match &workspace.branch { Some(branch) => code { (branch) }, None => span.muted { "none" } } },
        changes(workspace.changes),
        html! {
            (view.host_name)
            @if !view.host_online { " " (badge(Tone::Off, "offline")) }
        },
        when(workspace.created_at, clock::wall()),
    ]
}

fn state_badge(workspace: &Workspace) -> Markup {
    let tone = match &workspace.state {
        WorkspaceState::Creating | WorkspaceState::Deleting => Tone::Busy,
        WorkspaceState::Ready => Tone::Good,
        WorkspaceState::Failed { .. } => Tone::Bad,
    };
    badge(tone, workspaces::state_word(&workspace.state))
}

fn changes(changes: Option<Changes>) -> Markup {
    let Some(changes) = changes else {
        return html! { span.muted { "not known" } };
    };
    let words = change_words(&changes);
    html! {
        @if words.is_empty() { span.muted { "none" } }
        @for (at, part) in words.split(", ").filter(|part| !part.is_empty()).enumerate() {
            @if at > 0 { ", " } span.nowrap { (part) }
        }
    }
}

fn change_words(changes: &Changes) -> String {
    let all = [
        (changes.ahead, "ahead"),
        (changes.behind, "behind"),
        (changes.staged, "staged"),
        (changes.unstaged, "unstaged"),
        (changes.untracked, "untracked"),
    ];
    let some = all.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, word)| format!("{count} {word}"))
        .collect::<Vec<_>>()
        .join(", ")
}

async fn detail(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Path(id): Path<String>,
) -> Response {
    let view = match workspaces::look(&app, &visitor.caller, &id).await {
        Ok(view) => view,
        Err(failure) => return layout::failed(&visitor, Nav::Workspaces, &failure),
    };
    let workspace = &view.workspace;
    let task = match workspace.task_id {
        Some(task) => tasks::get(&app, &visitor.caller, &task.to_string())
            .await
            .ok(),
        None => None,
    };
    let remove = format!("/workspaces/{}/delete", workspace.id);
    let automate = format!(
        "/automations/new?host={}&workspace={}",
        view.host_id, workspace.id
    );
    Page::new(&visitor, Nav::Workspaces, &workspace.name)
        .under("Workspaces", "/workspaces")
        .beside(state_badge(workspace))
        .actions(html! {
            @if workspace.state == WorkspaceState::Ready { a.button href=(automate) { "New automation" } }
            @if workspace.kind != WorkspaceKind::Main { a.button.danger href=(remove) { "Delete…" } }
        })
        .body(html! {
            @if let Some(error) = &view.error { div.problem { p { (error) } } }
            @if !view.host_online {
                div.note { p { (view.host_name) " is offline: this is as of " (when(view.as_of, clock::wall())) "." } }
            }
            div.cards {
                section.card { h2 { "Where" } (where_it_is(&view)) }
                section.card { h2 { "Changes" } (what_differs(workspace)) }
                section.card { h2 { "About" } (about(workspace, task.as_ref())) }
            }
        })
}

fn where_it_is(view: &WorkspaceView) -> Markup {
    let workspace = &view.workspace;
    facts(&[
        (
            "Host",
            html! { a href=(format!("/hosts/{}", view.host_id)) { (view.host_name) } },
        ),
        (
            "Project",
            html! {
                @match workspace.project_id {
                    Some(id) => a href=(format!("/projects/{id}")) { (view.project_name.as_deref().unwrap_or("project")) },
                    None => span.muted { "none" },
                }
            },
        ),
        ("Folder", html! { code { (workspace.path) } }),
        ("Branch", name_or_none(workspace.branch.as_deref())),
        ("Made from", name_or_none(workspace.base_branch.as_deref())),
        (
            "At commit",
            name_or_none(
                workspace
                    .base_commit
                    .as_deref()
                    .map(|id| &id[..id.len().min(12)]),
            ),
        ),
    ])
}

fn what_differs(workspace: &Workspace) -> Markup {
    let Some(changes) = workspace.changes else {
        return html! { p.muted { "Not looked at yet." } };
    };
    let count = |count: u32| html! { (count) };
    facts(&[
        ("Commits ahead", count(changes.ahead)),
        ("Commits behind", count(changes.behind)),
        ("Staged files", count(changes.staged)),
        ("Unstaged files", count(changes.unstaged)),
        ("Untracked files", count(changes.untracked)),
    ])
}

fn about(workspace: &Workspace, task: Option<&tasks::TaskView>) -> Markup {
    let kind = match workspace.kind {
        WorkspaceKind::Main => "main checkout",
        WorkspaceKind::Worktree => "worktree",
        WorkspaceKind::Scratch => "scratch folder",
    };
    facts(&[
        ("Kind", html! { (kind) }),
        (
            "Task",
            html! {
                @match task {
                    Some(view) => a href=(format!("/tasks/{}", view.task.slug)) { (view.task.title) },
                    None => span.muted { "none" },
                }
            },
        ),
        ("Made by", html! { (workspace.created_by) }),
        ("Made", when(workspace.created_at, clock::wall())),
        ("Id", html! { code { (workspace.id) } }),
    ])
}

fn name_or_none(name: Option<&str>) -> Markup {
    html! { @match name { Some(name) => code { (name) }, None => span.muted { "none" } } }
}

async fn new(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Query(mut filled): Query<Filled>,
) -> Response {
    "on".clone_into(&mut filled.setup);
    form(&app, &visitor, &filled, None).await
}

async fn create(
    State(app): State<App>,
    Checked {
        visitor,
        form: filled,
    }: Checked<Filled>,
) -> Response {
    match make(&app, &visitor, &filled).await {
        Ok(Some(made)) => {
            let view = &made.workspace.workspace;
            let how = if made.existed {
                "was there already"
            } else {
                "is ready"
            };
            let warnings = sentences(&made.warnings);
            let said = format!("{} {how}.{warnings}", view.name);
            layout::redirect(&format!("/workspaces/{}", view.id), &said)
        }
        Ok(None) => {
            let said = format!(
                "{} is still being made: look again in a moment.",
                filled.name
            );
            layout::redirect("/workspaces", &said)
        }
        Err(failure) => form(&app, &visitor, &filled, Some(&failure)).await,
    }
}

async fn make(
    app: &App,
    visitor: &Visitor,
    filled: &Filled,
) -> Result<Option<workspaces::WorkspaceMade>, Failure> {
    let task_id = match given(&filled.task) {
        Some(task) => Some(tasks::resolve(app, &visitor.caller, &task).await?),
        None => None,
    };
    let input = CreateWorkspace {
        host: filled.host.clone(),
        project: filled.project.clone(),
        name: filled.name.clone(),
        branch: given(&filled.branch),
        base_branch: given(&filled.base_branch),
        task_id,
        setup: filled.setup == "on",
    };
    patiently(workspaces::create(app, &visitor.caller, input, None)).await
}

async fn form(
    app: &App,
    visitor: &Visitor,
    filled: &Filled,
    failure: Option<&Failure>,
) -> Response {
    let choices = async {
        let hosts = hosts_catalog::list(app, &visitor.caller, None).await?;
        let projects = projects::list(app, &visitor.caller, None).await?;
        Ok((hosts, projects))
    };
    let (hosts, projects) = match choices.await {
        Ok(both) => both,
        Err(failure) => return layout::failed(visitor, Nav::Workspaces, &failure),
    };
    let status = failure.map(|failure| layout::status_of(failure.code));
    Page::new(visitor, Nav::Workspaces, "New workspace")
        .under("Workspaces", "/workspaces")
        .status(status.unwrap_or_default())
        .body(html! {
            @if let Some(failure) = failure { (layout::problem(failure)) }
            @if projects.is_empty() {
                (empty("No projects yet", html! {
                    p { "A workspace is made of a project. Register one first." }
                    a.button.main href="/projects/new" { "Register project" }
                }))
            } @else { (fields(visitor, filled, &hosts, &projects)) }
        })
}

fn fields(
    visitor: &Visitor,
    filled: &Filled,
    hosts: &[HostView],
    projects: &[ProjectView],
) -> Markup {
    let host = host_of(filled, projects);
    let (hosts, projects) = (host_options(hosts, ""), project_options(projects, ""));
    html! {
        form.stack method="post" action="/workspaces" {
            (layout::csrf(visitor))
            div.row {
                (Field::select("project", "Project", &projects).value(&filled.project).required())
                (Field::select("host", "Host", &hosts).value(&host).required()
                    .hint("One that has the project."))
            }
            (Field::text("name", "Name").value(&filled.name).required().most(200).autocomplete("off")
                .hint("What is to be done in it, such as “Fix the login”."))
            div.row {
                (Field::text("branch", "Branch").value(&filled.branch).most(250).autocomplete("off")
                    .hint("Left empty, made from the name."))
                (Field::text("base_branch", "From").value(&filled.base_branch).most(250).autocomplete("off")
                    .hint("Left empty, the project's default branch."))
            }
            (Field::text("task", "Task").value(&filled.task).most(200).autocomplete("off")
                .hint("Its short name, such as “fix-the-login”."))
            (Field::check("setup", "Run the project's setup", filled.setup == "on"))
            div.actions { button.main type="submit" { "Create" } a.button href="/workspaces" { "Cancel" } }
        }
    }
}

/// The host that was chosen, else the first that has the project.
fn host_of(filled: &Filled, projects: &[ProjectView]) -> String {
    if !filled.host.is_empty() {
        return filled.host.clone();
    }
    let project = projects
        .iter()
        .find(|view| view.id.to_string() == filled.project)
        .or(projects.first());
    let places = project.map_or(&[][..], |view| &view.hosts);
    let here = places.iter().find(|place| place.host_online);
    here.or(places.first())
        .map(|place| place.host_id.to_string())
        .unwrap_or_default()
}

fn project_options(projects: &[ProjectView], all: &str) -> Vec<(String, String)> {
    let named = projects.iter().map(|view| {
        let on: Vec<&str> = view.hosts.iter().map(|at| at.host_name.as_str()).collect();
        (
            view.id.to_string(),
            format!("{} ({})", view.name, on.join(", ")),
        )
    });
    choices(all, named)
}

fn choices(all: &str, named: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    let first = (!all.is_empty()).then(|| (String::new(), all.to_owned()));
    first.into_iter().chain(named).collect()
}
