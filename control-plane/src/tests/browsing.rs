//! A signed-in browser on a test's catalog: it sends what a browser sends and keeps its cookie.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use tower::ServiceExt as _;

use crate::App;
use crate::auth::Caller;
use crate::auth::session::{self, Visitor};
use crate::edge::Peer;

/// Somebody's browser.
pub(crate) struct Browser {
    routes: Router,
    cookie: String,
    pub(crate) visitor: Visitor,
}

/// A page as it was answered.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Browser {
    /// Signed in as the caller.
    pub(crate) async fn of(app: &App, caller: &Caller) -> Self {
        let (user, org) = (caller.user_id, Some(caller.org_id));
        let set = session::begin(app, user, org, &HeaderMap::new(), Peer::default()).await;
        let set = set.unwrap().to_str().unwrap().to_owned();
        let cookie = set.split(';').next().unwrap().to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        let visitor = session::visitor(app, &headers, Peer::default()).await;
        Self {
            routes: crate::console::router(app),
            cookie,
            visitor: visitor.unwrap().unwrap(),
        }
    }

    /// The answer itself, for what is read as it comes.
    pub(crate) async fn open(&self, path: &str, extra: &[(&str, &str)]) -> Response {
        let mut request = Request::builder()
            .uri(path)
            .header(header::COOKIE, &self.cookie)
            .header(header::ACCEPT, "text/html");
        for (name, value) in extra {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.routes.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        read(self.open(path, &[]).await).await
    }

    /// Sends a form with the session's token.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Page {
        let token = self.visitor.csrf.clone();
        let mut all = vec![("csrf", token.as_str())];
        all.extend_from_slice(form);
        self.post_bare(path, &all).await
    }

    /// Sends a form as it is.
    pub(crate) async fn post_bare(&self, path: &str, form: &[(&str, &str)]) -> Page {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::COOKIE, &self.cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body.finish()))
            .unwrap();
        read(self.routes.clone().oneshot(request).await.unwrap()).await
    }
}

impl Page {
    /// Where a redirect leads.
    pub(crate) fn leads_to(&self) -> &str {
        self.headers
            .get(header::LOCATION)
            .map_or("", |to| to.to_str().unwrap())
    }
}

async fn read(response: Response) -> Page {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Page {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}
