//! The console: pages rendered here, for people.
//!
//! Pages are a way in like the MCP tools: they call the same operations with the same caller and
//! decide nothing. Everything works without JavaScript but what is live. A page of something that
//! the visitor may not see is the same page as of something that does not exist.

mod assets;
mod layout;
mod visit;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;

use crate::App;

pub(crate) use visit::{Checked, SignedIn};

/// The routes of the console.
pub(crate) fn router(app: &App) -> Router {
    Router::new()
        .route("/", get(home))
        .merge(assets::routes())
        .with_state(app.clone())
}

async fn home(_: SignedIn) -> Redirect {
    Redirect::to("/hosts")
}
