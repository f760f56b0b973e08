//! The console's static files, held in the program.
//!
//! Their address carries a hash of their content, so a browser may keep them for ever.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::App;

/// The look of every page.
pub(super) const CSS: Asset = Asset {
    path: "/assets/app.css",
    media: "text/css; charset=utf-8",
    text: include_str!("assets/app.css"),
};

const ALL: [Asset; 1] = [CSS];

/// A file of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asset {
    path: &'static str,
    media: &'static str,
    text: &'static str,
}

impl Asset {
    /// The address to link to.
    pub(super) fn url(&self) -> String {
        format!(
            "{}?v={:08x}",
            self.path,
            crc32fast::hash(self.text.as_bytes())
        )
    }
}

/// The routes of the files.
pub(super) fn routes() -> Router<App> {
    let mut routes = Router::new();
    for asset in ALL {
        routes = routes.route(asset.path, get(async move || serve(asset)));
    }
    routes
}

fn serve(asset: Asset) -> Response {
    let headers = [
        (CONTENT_TYPE, asset.media),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, asset.text).into_response()
}
