//! Every page of the console, and a control plane on which each has something to show.
//!
//! The list stands here alone. A route of the console that answers `GET` and is neither listed nor
//! left out with a reason fails [`no_page_is_forgotten`].

use std::{fs, path::Path};

use serde_json::json;

use crate::harness::{Browser, Home, Http, Mcp, Repo, Service, soon, yearly};

/// Pages for somebody who is signed in; what stands in braces is
/// a thing that [`Furnished`] made, and what stands in angle brackets a request to it.
pub(super) const PAGES: &[&str] = &[
    "/hosts",
    "/hosts/add",
    "/hosts/{host}",
    "/hosts/no-such-host",
    "/projects",
    "/projects/new",
    "/projects/{project}",
    "/workspaces",
    "/workspaces?state=failed",
    "/workspaces/new",
    "/workspaces/{workspace}",
    "/workspaces/{workspace}/delete",
    "/automations",
    "/automations?show=deleted",
    "/automations/new",
    "/automations/{automation}",
    "/automations/{automation}/edit",
    "/automations/{automation}/prompt",
    "/runs",
    "/runs?state=queued",
    "/runs/{run}",
    "/runs/{run}?raw=1",
    "/tasks",
    "/tasks?view=board",
    "/tasks/new",
    "/tasks/{task}",
    "/tasks/{task}/edit",
    "/organizations",
    "/settings/profile",
    "/settings/members",
    "/settings/members/{member}",
    "/settings/organization",
    "/settings/keys",
    "/settings/clients",
    "/settings/audit",
    "/oauth/authorize?<consent>",
    "/oauth/authorize?client_id=unknown",
    "/device",
    "/device?user_code=<code>",
    "/nowhere",
    "/tasks/no-such-task",
];

/// Pages for somebody who is not signed in.
pub(super) const STRANGERS_PAGES: &[&str] = &[
    "/sign-in",
    "/setup/no-such-link",
    "/invitations/no-such-link",
    "/recover/no-such-link",
];

/// Routes that are no pages of their own, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("/", "leads to the hosts"),
    ("/settings/audit/export", "a file"),
    ("/oidc/start", "leads to the provider"),
    ("/oidc/callback", "leads on from the provider"),
    ("/runs/{id}/log.txt", "a file"),
    ("/runs/{id}/live", "a stream of events"),
];

/// A control plane with something of everything.
pub(super) struct Furnished {
    pub(super) home: Home,
    pub(super) service: Service,
    pub(super) task: String,
    /// What stands for each name in braces.
    names: Vec<(&'static str, String)>,
}

impl Furnished {
    #[track_caller]
    pub(super) fn new() -> Self {
        let home = Home::new();
        let service = home.up();
        let mcp = service.mcp();
        let project = mcp.import(&Repo::new(&home, "shop", 5));
        let task = a_few_tasks(&mcp);
        let made = mcp.ok(
            "workspaces_create",
            json!({"hostId": mcp.host()["id"], "projectId": project, "name": "Fix the login", "taskId": task}),
        );
        let workspace = &made["workspace"];
        let path = workspace["path"].as_str().unwrap();
        fs::write(format!("{path}/notes.txt"), "not committed\n").unwrap();
        let automation = mcp.automation(&yearly(&json!({"name": "Nightly <b>check</b>"})));
        let run = mcp.run_to_end(&automation);
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let me = mcp.ok("tasks_get", json!({"idOrSlug": task}));
        let member = text(&me["task"]["creator"]["id"]);
        let names = vec![
            ("{project}", text(&project)),
            ("{workspace}", text(&workspace["id"])),
            ("{task}", task.clone()),
            ("{host}", text(&mcp.host()["id"])),
            ("{automation}", text(&automation)),
            ("{run}", text(&run["runId"])),
            ("{member}", member),
            ("<consent>", consent(&service)),
            ("<code>", device_code(&service)),
        ];
        Self {
            home,
            service,
            task,
            names,
        }
    }

    /// A browser of its owner.
    #[track_caller]
    pub(super) fn browser(&self) -> Browser {
        let browser = Browser::start(&self.home);
        browser.sign_in_as_owner(&self.home, &self.service);
        browser
    }

    /// The ids and names that stand in the addresses of things on the owner's host.
    pub(super) fn ids_on_host(&self) -> impl Iterator<Item = &str> {
        let named = self.names.iter();
        let named = named
            .filter(|(name, _)| name.starts_with('{') && !["{task}", "{member}"].contains(name));
        named.map(|(_, id)| id.as_str())
    }

    /// The address of a page of the list.
    pub(super) fn address(&self, page: &str) -> String {
        let page = self
            .names
            .iter()
            .fold(page.to_owned(), |page, (name, value)| {
                page.replace(name, value)
            });
        format!("{}{page}", self.service.url)
    }
}

/// The query with which a client registered just now asks for consent.
fn consent(service: &Service) -> String {
    let callback = "http://localhost:52317/callback";
    let wish = json!({"client_name": "Claude <b>Code</b>", "redirect_uris": [callback], "token_endpoint_auth_method": "none"});
    let json = [("content-type", "application/json")];
    let http = Http::new(&service.url);
    let made = http.post("/oauth/register", &json, wish.to_string().as_bytes());
    let made: serde_json::Value = serde_json::from_str(&made.body).unwrap();
    let client = made["client_id"].as_str().unwrap();
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    format!(
        "response_type=code&client_id={client}&redirect_uri={}&code_challenge={challenge}&code_challenge_method=S256&state=1",
        callback.replace(':', "%3A").replace('/', "%2F")
    )
}

/// The code of a machine that wants to sign in.
fn device_code(service: &Service) -> String {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let http = Http::new(&service.url);
    let made = http.post(
        "/oauth/device_authorization",
        &form,
        b"client_id=hostler-cli",
    );
    let made: serde_json::Value = serde_json::from_str(&made.body).unwrap();
    made["user_code"].as_str().unwrap().to_owned()
}

/// Tasks in every status, with long and hostile words; gives the slug of one.
fn a_few_tasks(mcp: &Mcp) -> String {
    let one = mcp.ok("tasks_create", json!({"title": "Fix the login"}))["task"].clone();
    let all = [
        (
            "Rotate the signing keys of the release machines before the old ones expire",
            "urgent",
            "In Progress",
        ),
        (
            "<script>document.title = 'taken'</script><img src=x onerror=alert(1)>",
            "high",
            "Todo",
        ),
        (
            "averyveryverylongwordwithoutanyspaceinitthatmustnotpushthepagewiderthanthephoneitisreadon",
            "none",
            "Done",
        ),
        ("Write the release notes", "low", "Backlog"),
        ("An idea that was given up", "medium", "Canceled"),
    ];
    for (title, priority, status) in all {
        mcp.ok(
            "tasks_create",
            json!({"title": title, "priority": priority, "status": status, "labels": ["release", "needs a second look"], "dueDate": soon(86_400), "assigneeId": one["creator"]["id"], "description": "Line one.\n\nLine two, with <b>marks</b> & signs."}),
        );
    }
    one["slug"].as_str().unwrap().to_owned()
}

#[test]
fn no_page_is_forgotten() {
    let mut routes = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane/src/console");
    collect(&folder, &mut routes);
    assert!(routes.len() > 8, "the routes are not found: {routes:?}");
    let listed = PAGES.iter().chain(STRANGERS_PAGES);
    let listed: Vec<String> = listed.map(|page| shape(page)).collect();
    let forgotten: Vec<&String> = routes
        .iter()
        .filter(|route| !listed.iter().any(|page| fits(page, &shape(route))))
        .filter(|route| LEFT_OUT.iter().all(|(path, _)| path != route))
        .collect();
    assert!(
        forgotten.is_empty(),
        "list these in PAGES, or say in LEFT_OUT why not: {forgotten:?}"
    );
    assert!(LEFT_OUT.iter().all(|(_, why)| !why.is_empty()));
}

/// The paths of `.route("..", get(..))` in the sources below a folder.
fn collect(folder: &Path, routes: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, routes);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for call in text.split(".route(").skip(1) {
            let call = call.split(';').next().unwrap_or_default();
            let Some(rest) = call.trim_start().strip_prefix('"') else {
                continue;
            };
            let (path, handlers) = rest.split_once('"').unwrap();
            let until = handlers.find(".merge(").unwrap_or(handlers.len());
            if handlers[..until].contains("get(") {
                routes.push(path.to_owned());
            }
        }
    }
}

/// Whether a page is of a route: what the route has in braces may be anything.
fn fits(page: &str, route: &str) -> bool {
    let (page, route) = (page.split('/'), route.split('/'));
    page.clone().count() == route.clone().count()
        && page
            .zip(route)
            .all(|(page, route)| route == "{}" || page == route)
}

/// A path with every part in braces alike, without a query.
fn shape(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let part = |part: &str| {
        if part.starts_with('{') {
            "{}".to_owned()
        } else {
            part.to_owned()
        }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}
