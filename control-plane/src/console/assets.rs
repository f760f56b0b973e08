//! The console's static files, held in the program.
//!
//! Their address carries a hash of their content, so a browser may keep them for ever; without the
//! right hash it has to ask again.

use axum::Router;
use axum::extract::RawQuery;
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

/// What every page does with JavaScript.
pub(super) const JS: Asset = Asset {
    path: "/assets/app.js",
    media: "text/javascript; charset=utf-8",
    text: include_str!("assets/app.js"),
};

/// Looks again every few seconds: whatever is marked `data-live` is replaced by what it is then.
pub(super) const LIVE: Asset = Asset {
    path: "/assets/live.js",
    media: "text/javascript; charset=utf-8",
    text: include_str!("assets/live.js"),
};

/// The sign of the product.
pub(super) const ICON: Asset = Asset {
    path: "/assets/icon.svg",
    media: "image/svg+xml",
    text: include_str!("assets/icon.svg"),
};

/// What follows the log of a run.
pub(super) const RUN_JS: Asset = Asset {
    path: "/assets/run.js",
    media: "text/javascript; charset=utf-8",
    text: include_str!("assets/run.js"),
};

/// What shows the next instants while an automation is edited.
pub(super) const EDITOR_JS: Asset = Asset {
    path: "/assets/editor.js",
    media: "text/javascript; charset=utf-8",
    text: include_str!("assets/editor.js"),
};

const ALL: [Asset; 6] = [CSS, JS, LIVE, ICON, RUN_JS, EDITOR_JS];

/// A file of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asset {
    pub(super) path: &'static str,
    pub(super) media: &'static str,
    pub(super) text: &'static str,
}

impl Asset {
    /// The address to link to.
    pub(super) fn url(&self) -> String {
        format!("{}?{}", self.path, self.version())
    }

    fn version(&self) -> String {
        format!("v={:08x}", crc32fast::hash(self.text.as_bytes()))
    }
}

/// The routes of the files.
pub(super) fn routes() -> Router<App> {
    let mut routes = Router::new();
    for asset in ALL {
        let handler = async move |RawQuery(query): RawQuery| serve(asset, query.as_deref());
        routes = routes.route(asset.path, get(handler));
    }
    routes
}

fn serve(asset: Asset, query: Option<&str>) -> Response {
    let caching = if query == Some(asset.version().as_str()) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = [(CONTENT_TYPE, asset.media), (CACHE_CONTROL, caching)];
    (headers, asset.text).into_response()
}
