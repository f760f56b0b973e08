//! A browser for tests: it keeps cookies, follows no redirect by itself, and fills the hidden field of
//! each form from the page it read last.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use hostler_proto::ids::{OrgId, UserId};
use tower::ServiceExt as _;

use crate::edge::Peer;
use crate::{App, auth, clock, store};

/// A password that is taken, for people who need one.
pub(crate) const PASSWORD: &str = "four words by chance";

/// A browser on this machine.
#[derive(Clone)]
pub(crate) struct Browser {
    app: App,
    /// Cookies by name.
    pub(crate) cookies: BTreeMap<String, String>,
    /// Headers sent with every request.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The token of the last form it saw.
    pub(crate) csrf: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) text: String,
}

impl Page {
    /// Where it sends the browser.
    pub(crate) fn location(&self) -> &str {
        self.header("location")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Browser {
    /// A browser that is not signed in.
    pub(crate) fn new(app: &App) -> Self {
        let headers = vec![("host", "127.0.0.1:4880".to_owned())];
        Self {
            app: app.clone(),
            cookies: BTreeMap::new(),
            headers,
            csrf: String::new(),
        }
    }

    /// The same browser, at the same server with other settings.
    pub(crate) fn of(mut self, app: &App) -> Self {
        self.app = app.clone();
        self
    }

    /// A browser signed in as this person, working in this organization.
    pub(crate) async fn signed_in(app: &App, user: UserId, org: OrgId) -> Self {
        let mut browser = Self::new(app);
        let headers = axum::http::HeaderMap::new();
        let begun = auth::session::begin(app, user, Some(org), &headers, Peer::default()).await;
        browser.keep(begun.unwrap().to_str().unwrap());
        let mut parts = axum::http::HeaderMap::new();
        parts.insert(header::COOKIE, browser.cookie().parse().unwrap());
        let visitor = auth::session::visitor(app, &parts, Peer::default()).await;
        browser.csrf = visitor.unwrap().unwrap().csrf;
        browser
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        let page = self.send("GET", path, String::new()).await;
        let field = "name=\"csrf\" value=\"";
        if let Some((_, rest)) = page.text.split_once(field) {
            self.csrf = rest.split('"').next().unwrap().to_owned();
        }
        page
    }

    /// Posts a form with the token of the last page that had one.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let csrf = self.csrf.clone();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend_from_slice(fields);
        self.post_only(path, &all).await
    }

    /// Posts a form with these fields and no others.
    pub(crate) async fn post_only(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        self.send("POST", path, body.finish()).await
    }

    async fn send(&mut self, method: &str, path: &str, body: String) -> Page {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if !self.cookies.is_empty() {
            request = request.header(header::COOKIE, self.cookie());
        }
        let request = request.body(Body::from(body)).unwrap();
        let router = crate::lifecycle::router(&self.app);
        let router = crate::edge::guarded(router, &self.app, &[]);
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for set in parts.headers.get_all(header::SET_COOKIE) {
            self.keep(set.to_str().unwrap());
        }
        let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        Page {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    fn keep(&mut self, set: &str) {
        let (pair, attributes) = set.split_once(';').unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        if attributes.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    fn cookie(&self) -> String {
        let pairs = self.cookies.iter();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }
}

/// Makes a person who belongs to an organization and has [`PASSWORD`].
pub(crate) async fn add_person(app: &App, org: OrgId, email: &str, role: &str) -> UserId {
    let now = clock::wall();
    let user = UserId::fresh(now, &clock::id_entropy());
    let phc = app.passwords.hash(PASSWORD).await.unwrap();
    let name = email.split('@').next().unwrap();
    let mut tx = app.store.begin().await.unwrap();
    store::members::insert_user(&mut tx, user, email, name, now)
        .await
        .unwrap();
    store::members::insert_member(&mut tx, org, user, role, now)
        .await
        .unwrap();
    store::passwords::set(&mut tx, user, &phc, now)
        .await
        .unwrap();
    app.store.commit(tx).await.unwrap();
    user
}

/// The actions in an organization's audit log, oldest first.
pub(crate) async fn audited(app: &App, org: OrgId) -> Vec<String> {
    store::audit::actions(&app.store, org).await
}
