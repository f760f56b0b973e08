//! Settings that are about people: profile, members, organization.

mod identities;
mod member;
mod members;
mod organization;
mod profile;

use axum::Router;

use super::layout::{Nav, Page};
use super::parts::settings_tabs;
use crate::App;
use crate::auth::session::Visitor;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .merge(profile::routes())
        .merge(identities::routes())
        .merge(members::routes())
        .merge(member::routes())
        .merge(organization::routes())
}

/// The frame of a page under one of the tabs.
fn page<'a>(visitor: &'a Visitor, title: &'a str, tab: &str) -> Page<'a> {
    Page::new(visitor, Nav::Settings, title).tabs(settings_tabs(tab))
}
