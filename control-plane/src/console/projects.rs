//! Pages of projects: the list, registering one on a host, and one project with its workspaces.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::project::ProjectState;
use maud::{Markup, html};
use serde::Deserialize;

use super::assets::LIVE;
use super::clones::{self, Underway};
use super::field::Field;
use super::input::{PAGE, given, offset, patiently, query};
use super::layout::{self, Nav, Page};
use super::parts::{Paging, Tone, badge, day, empty, facts, pager, table, when};
use super::workspaces::{host_options, list_of_workspaces};
use super::{Checked, SignedIn};
use crate::auth::Caller;
use crate::auth::session::Visitor;
use crate::console::{Path, Query};
use crate::projects::{self, CreateProject, ProjectMade, ProjectPlace, ProjectView};
use crate::workspaces::ListWorkspaces;
use crate::{App, clock, hosts_catalog, names, workspaces};

/// The routes of these pages.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/projects", get(list).post(create))
        .route("/projects/new", get(new))
        .route("/projects/{id}", get(detail))
        .route("/projects/dismiss", post(dismiss))
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    host: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    offset: String,
}

#[derive(Deserialize)]
struct Dismissed {
    clone: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Filled {
    host: String,
    url: String,
    path: String,
    name: String,
    parent_dir: String,
}

async fn list(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Query(asked): Query<Listed>,
) -> Response {
    let found = found(&app, &visitor, &asked).await;
    let goes_on = app.clones.of(&visitor.caller).iter().any(Underway::goes_on);
    match found {
        Ok(body) => {
            let page = Page::new(&visitor, Nav::Projects, "Projects")
                .actions(html! { a.button.main href="/projects/new" { "Register project" } });
            let page = if goes_on { page.script(LIVE) } else { page };
            page.body(body)
        }
        Err(failure) => layout::failed(&visitor, Nav::Projects, &failure),
    }
}

async fn found(app: &App, visitor: &Visitor, asked: &Listed) -> Result<Markup, Failure> {
    let host = given(&asked.host);
    let mut all = projects::list(app, &visitor.caller, host.as_deref()).await?;
    let hosts = hosts_catalog::list(app, &visitor.caller, None).await?;
    let none_at_all = all.is_empty() && host.is_none();
    let underway = clones::told(visitor, &app.clones.of(&visitor.caller), &hosts);
    if let Some(text) = given(&asked.q).map(|text| text.to_lowercase()) {
        let holds = |field: &str| field.to_lowercase().contains(&text);
        all.retain(|view| holds(&view.name) || view.url.as_deref().is_some_and(holds));
    }
    if none_at_all {
        return Ok(
            html! { (underway) div #projects data-live { (nothing_yet(hosts.is_empty())) } },
        );
    }
    let total = all.len();
    let offset = offset(&asked.offset);
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
    let shown = all.into_iter().skip(skipped).take(PAGE as usize);
    let rows: Vec<_> = shown.map(|view| row(&view)).collect();
    let options = host_options(&hosts, "All hosts");
    Ok(html! {
        (underway)
        form.filters method="get" action="/projects" role="search" {
            (Field::search("q", "Search").value(&asked.q).quiet())
            (Field::select("host", "Host", &options).value(&asked.host))
            button type="submit" { "Filter" }
        }
        @if rows.is_empty() {
            (empty("No project fits", html! { p { a href="/projects" { "Show all projects" } } }))
        } @else {
            div #projects data-live { (table("Projects", &["Name", "Remote", "Hosts", ""], rows)) }
        }
        (pager(&Paging {
            path: "/projects",
            query: &query(&[("q", &asked.q), ("host", &asked.host)]),
            offset,
            limit: PAGE.into(),
            total: total as u64,
        }))
    })
}

fn nothing_yet(no_host: bool) -> Markup {
    if no_host {
        return empty(
            "No projects yet",
            html! {
                p { "A project is a git repository on a host. Add a host first." }
                a.button.main href="/hosts" { "Go to hosts" }
            },
        );
    }
    empty(
        "No projects yet",
        html! {
            p { "A project is a git repository on a host. Clone one by its address, or register a checkout that is there already." }
            a.button.main href="/projects/new" { "Register project" }
        },
    )
}

fn row(view: &ProjectView) -> Vec<Markup> {
    let href = format!("/projects/{}", view.id);
    let make = format!("/workspaces/new?project={}", view.id);
    vec![
        html! { a href=(href) { (view.name) } },
        html! { @match &view.url { Some(url) => span.mono { (url) }, None => span.muted.nowrap { "no remote" } } },
        html! {
            @for place in &view.hosts {
                div { (place.host_name) " " (place_badge(place)) }
            }
        },
        html! { div.actions {
            a.button.small href=(make) aria-label=(format!("New workspace of {}", view.name)) { "New workspace" }
        } },
    ]
}

fn place_badge(place: &ProjectPlace) -> Markup {
    match (place.state, place.host_online) {
        (ProjectState::Missing, _) => badge(Tone::Bad, "missing"),
        (ProjectState::Cloning, _) => badge(Tone::Busy, "cloning"),
        (ProjectState::Ready, true) => badge(Tone::Good, "ready"),
        (ProjectState::Ready, false) => badge(Tone::Off, "host offline"),
    }
}

async fn new(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Query(filled): Query<Filled>,
) -> Response {
    form(&app, &visitor, &filled, None).await
}

async fn create(
    State(app): State<App>,
    Checked {
        visitor,
        form: filled,
    }: Checked<Filled>,
) -> Response {
    let input = CreateProject {
        host: filled.host.clone(),
        url: given(&filled.url),
        path: given(&filled.path),
        name: given(&filled.name),
        parent_dir: given(&filled.parent_dir),
    };
    let caller = &visitor.caller;
    let source = input.url.as_ref().or(input.path.as_ref());
    let source = source.map_or("", String::as_str);
    let number = app.clones.begin(caller, &filled.host, source);
    let made = patiently(app.to_the_end(registered(&app, caller, number, input))).await;
    match made {
        Ok(Some(made)) => {
            let how = if made.existed {
                "was registered already"
            } else {
                "is registered"
            };
            let said = format!("{} {how} at {}.", made.project.name, made.path);
            layout::redirect(&format!("/projects/{}", made.project.id), &said)
        }
        Ok(None) => Redirect::to("/projects").into_response(),
        Err(failure) => {
            app.clones.forget(caller, number);
            form(&app, &visitor, &filled, Some(&failure)).await
        }
    }
}

/// Registers a repository, and notes how that ends for a visitor who may not wait for it.
fn registered(
    app: &App,
    caller: &Caller,
    number: u64,
    input: CreateProject,
) -> impl Future<Output = Result<ProjectMade, Failure>> + Send + use<> {
    let (app, caller) = (app.clone(), caller.clone());
    async move {
        let made = projects::create(&app, &caller, input, None).await;
        match &made {
            Ok(_) => app.clones.forget(&caller, number),
            Err(failure) => app.clones.failed(number, failure),
        }
        made
    }
}

async fn dismiss(
    State(app): State<App>,
    Checked { visitor, form }: Checked<Dismissed>,
) -> Redirect {
    app.clones.forget(&visitor.caller, form.clone);
    Redirect::to("/projects")
}

async fn form(
    app: &App,
    visitor: &Visitor,
    filled: &Filled,
    failure: Option<&Failure>,
) -> Response {
    let hosts = match hosts_catalog::list(app, &visitor.caller, None).await {
        Ok(hosts) => hosts,
        Err(failure) => return layout::failed(visitor, Nav::Projects, &failure),
    };
    let options = host_options(&hosts, "");
    let body = html! {
        @if let Some(failure) = failure { (layout::problem(failure)) }
        form.stack method="post" action="/projects" {
            (layout::csrf(visitor))
            (Field::select("host", "Host", &options).value(&filled.host).required())
            (Field::text("url", "Remote").value(&filled.url).most(2000).autocomplete("off")
                .hint("Cloned to the host: https, ssh or file address, without a password in it. Leave it empty to register a checkout."))
            (Field::text("path", "Path of a checkout on the host").value(&filled.path).most(4000).autocomplete("off")
                .hint("A repository that is there already. Its files stay yours. Fill in this or the remote."))
            (Field::text("name", "Name").value(&filled.name).most(200).autocomplete("off").hint("Left empty, the repository's own."))
            (Field::text("parent_dir", "Clone into").value(&filled.parent_dir).most(4000).autocomplete("off")
                .hint("Absolute folder on the host. Left empty, the host's default."))
            div.actions { button.main type="submit" { "Register" } a.button href="/projects" { "Cancel" } }
        }
    };
    let status = failure.map(|failure| layout::status_of(failure.code));
    Page::new(visitor, Nav::Projects, "Register project")
        .under("Projects", "/projects")
        .status(status.unwrap_or_default())
        .body(body)
}

async fn detail(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Path(id): Path<String>,
) -> Response {
    match one(&app, &visitor, &id).await {
        Ok((view, body)) => {
            let make = format!("/workspaces/new?project={}", view.id);
            Page::new(&visitor, Nav::Projects, &view.name)
                .under("Projects", "/projects")
                .actions(html! { a.button.main href=(make) { "New workspace" } })
                .body(body)
        }
        Err(failure) => layout::failed(&visitor, Nav::Projects, &failure),
    }
}

async fn one(app: &App, visitor: &Visitor, id: &str) -> Result<(ProjectView, Markup), Failure> {
    let all = projects::list(app, &visitor.caller, None).await?;
    let view = all.into_iter().find(|view| view.id.to_string() == id);
    let view = view.ok_or_else(|| {
        Failure::new(
            ErrorCode::NotFound,
            format!("there is no project \"{}\"", names::shortened(id)),
        )
    })?;
    let of_it = ListWorkspaces {
        project: Some(view.id.to_string()),
        ..ListWorkspaces::default()
    };
    let found = workspaces::page(app, &visitor.caller, of_it, None, PAGE, 0).await?;
    let all = format!("/workspaces?project={}", view.id);
    let body = html! {
        (facts(&[
            ("Remote", html! { @match &view.url { Some(url) => code { (url) }, None => span.muted { "none" } } }),
            ("Short name", html! { code { (view.slug) } }),
            ("Registered", day(view.created_at)),
        ]))
        section {
            h2 { "Hosts" }
            (table("Hosts", &["Host", "State", "Path", "Default branch", "As of"], view.hosts.iter().map(place).collect()))
        }
        section {
            div.section-head {
                h2 { "Workspaces " span.count { (found.total) } }
                @if found.total > found.workspaces.len() as u64 { a href=(all) { "Show all" } }
            }
            @if found.workspaces.is_empty() {
                (empty("No workspaces yet", html! { p { "A workspace is a checkout of its own on a branch of its own." } }))
            } @else { (list_of_workspaces(&found.workspaces)) }
        }
    };
    Ok((view, body))
}

fn place(place: &ProjectPlace) -> Vec<Markup> {
    vec![
        html! { a href=(format!("/hosts/{}", place.host_id)) { (place.host_name) } },
        place_badge(place),
        html! { code { (place.path) } },
        html! { @match &place.default_branch { Some(branch) => code { (branch) }, None => span.muted { "none yet" } } },
        when(place.as_of, clock::wall()),
    ]
}
