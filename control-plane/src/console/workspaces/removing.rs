//! Removing a workspace: what it holds is shown first, and work that is nowhere else is refused
//! until the visitor says, in a step of its own, that it may be lost.

use axum::extract::State;
use axum::response::Response;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::workspace::WorkspaceKind;
use maud::{Markup, html};
use serde::Deserialize;

use super::{changes, state_badge};
use crate::App;
use crate::auth::session::Visitor;
use crate::console::Path;
use crate::console::field::Field;
use crate::console::input::sentences;
use crate::console::layout::{self, Nav, Page};
use crate::console::parts::facts;
use crate::console::{Checked, SignedIn};
use crate::workspaces::{self, DeleteWorkspace, WorkspaceGone, WorkspaceView};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Filled {
    delete_branch: String,
    force: String,
}

/// The page that asks.
pub(super) async fn ask(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Path(id): Path<String>,
) -> Response {
    match workspaces::look(&app, &visitor.caller, &id).await {
        Ok(view) => page(&visitor, &view, false, None),
        Err(failure) => layout::failed(&visitor, Nav::Workspaces, &failure),
    }
}

/// Removes it, or shows why not.
pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    Checked { visitor, form }: Checked<Filled>,
) -> Response {
    let view = match workspaces::get(&app, &visitor.caller, &id).await {
        Ok(view) => view,
        Err(failure) => return layout::failed(&visitor, Nav::Workspaces, &failure),
    };
    let delete_branch = form.delete_branch == "on";
    let input = DeleteWorkspace {
        id,
        force: form.force == "on",
        delete_branch,
    };
    match workspaces::delete(&app, &visitor.caller, input).await {
        Ok(gone) => layout::redirect("/workspaces", &said(&view, &gone)),
        Err(failure) => page(&visitor, &view, delete_branch, Some(&failure)),
    }
}

fn said(view: &WorkspaceView, gone: &WorkspaceGone) -> String {
    let name = &view.workspace.name;
    if gone.pending {
        return format!(
            "{name} is deleted as soon as {} is back, unless it then holds work that is nowhere else.",
            view.host_name
        );
    }
    let branch = if gone.branch_deleted {
        " with its branch"
    } else {
        ""
    };
    let warnings = sentences(&gone.warnings);
    format!("{name} is deleted{branch}.{warnings}")
}

fn page(
    visitor: &Visitor,
    view: &WorkspaceView,
    delete_branch: bool,
    failure: Option<&Failure>,
) -> Response {
    let workspace = &view.workspace;
    let back = format!("/workspaces/{}", workspace.id);
    let status = failure.map(|failure| layout::status_of(failure.code));
    // What was refused to save work may be done all the same; the main checkout never.
    let refused = failure.is_some_and(|failure| failure.code == ErrorCode::PreconditionFailed);
    Page::new(visitor, Nav::Workspaces, "Delete workspace")
        .under("Workspaces", "/workspaces")
        .under(&workspace.name, back.clone())
        .status(status.unwrap_or_default())
        .body(html! {
            @if let Some(failure) = failure { (layout::problem(failure)) }
            @if workspace.kind == WorkspaceKind::Main {
                p { "This is the project's main checkout. It is never deleted." }
            } @else {
                div.card {
                    (facts(&[
                        ("Name", html! { (workspace.name) " " (state_badge(workspace)) }),
                        ("Host", html! { (view.host_name) }),
                        ("Folder", html! { code { (workspace.path) } }),
                        ("Changes", changes(workspace.changes)),
                    ]))
                    (form(visitor, view, delete_branch, refused))
                }
            }
            p { a href=(back) { "Keep it" } }
        })
}

fn form(visitor: &Visitor, view: &WorkspaceView, delete_branch: bool, refused: bool) -> Markup {
    let action = format!("/workspaces/{}/delete", view.workspace.id);
    let branch = view.workspace.branch.as_deref();
    let label = branch.map(|branch| format!("Delete the branch {branch} too"));
    html! {
        form.stack method="post" action=(action) {
            (layout::csrf(visitor))
            @if refused {
                p { strong { "Work that is nowhere else is lost for good." } " Nothing brings it back." }
                input type="hidden" name="force" value="on";
            } @else {
                p { "The folder goes. Work that is not committed, or not pushed anywhere, is not deleted without asking again." }
            }
            @if !view.host_online {
                p { (view.host_name) " is offline: this is done when it is back." }
            }
            @if let Some(label) = &label {
                (Field::check("delete_branch", label, delete_branch))
            }
            div.actions {
                button.danger.main type="submit" { @if refused { "Delete anyway" } @else { "Delete" } }
            }
        }
    }
}
