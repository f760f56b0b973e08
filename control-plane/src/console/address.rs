//! What stands in an address: its query, and the names in its path.
//!
//! What cannot be read is told like everything else that is wrong: by a page to a person, as JSON to
//! a program. Whether the thing named is there is not looked at.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use hostler_proto::error::{ErrorCode, Failure};
use serde::de::DeserializeOwned;

use crate::App;
use crate::api;

/// The query of an address.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// The names in an address's path.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Query<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(read)) => Ok(Self(read)),
            Err(why) => {
                let failure = Failure::new(
                    ErrorCode::InvalidArgument,
                    "the address asks for something that cannot be read",
                )
                .hint("leave out what stands after the question mark")
                .detail(why.body_text());
                Err(told(app, parts, &failure).await)
            }
        }
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        match axum::extract::Path::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(read)) => Ok(Self(read)),
            Err(_unread) => {
                let failure = Failure::new(ErrorCode::NotFound, "there is no such thing")
                    .hint("look whether the address is whole");
                Err(told(app, parts, &failure).await)
            }
        }
    }
}

async fn told(app: &App, parts: &Parts, failure: &Failure) -> Response {
    if !super::wants_page(&parts.headers) {
        return api::answer::<()>(Err(failure.clone()));
    }
    let title = if failure.code == ErrorCode::NotFound {
        "Not found"
    } else {
        "Not understood"
    };
    let body = super::layout::problem(failure);
    super::instead(app, parts, super::status_of(failure.code), title, body).await
}

#[cfg(test)]
mod tests {
    use crate::tests::Catalog;
    use crate::tests::browser::Browser;

    #[tokio::test]
    async fn who_is_signed_in_stays_in_the_console() {
        let catalog = Catalog::new().await;
        let caller = catalog.caller();
        let mut browser = Browser::signed_in(&catalog.app, caller.user_id, caller.org_id).await;
        browser.headers.push(("accept", "text/html".to_owned()));
        for (address, status, title) in [
            ("/settings/audit?before=x", 400, "<h1>Not understood</h1>"),
            ("/automations/%ff", 404, "<h1>Not found</h1>"),
        ] {
            let page = browser.get(address).await;
            assert_eq!(page.status, status, "{address}");
            assert!(page.text.contains(title), "{address}: {}", page.text);
            assert!(page.text.contains("Sign out"), "{address}: {}", page.text);
        }
    }
}
