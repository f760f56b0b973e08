//! Settings > API keys: the list, making one, revoking one.
//!
//! The secret stands in the answer to the form and nowhere else; loading that page again would make
//! another key, and the browser asks before it does.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use hostler_proto::time::UtcMillis;
use maud::{Markup, html};

use super::field::Field;
use super::input::given;
use super::layout::{self, Nav, Page};
use super::parts::{Tone, badge, confirm, copy_box, day, empty, settings_tabs, table, when};
use super::{Checked, SignedIn};
use crate::auth::session::Visitor;
use crate::auth::{Role, Scope, Scopes};
use crate::console::Path;
use crate::keys::{self, CreateKey, Key, LONGEST_NAME, NewKey, scope_names};
use crate::{App, clock};

const HERE: &str = "/settings/keys";

/// The lives to choose from, in days.
const LIVES: [(&str, &str); 5] = [
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "1 year"),
    ("", "No end"),
];

/// The life of a key when nothing else is chosen.
const USUAL_LIFE: &str = "90";

/// A form as it was filled in: the scopes are fields of their own.
type Filled = BTreeMap<String, String>;

/// The routes of these pages.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/settings/keys", get(list).post(create))
        .route("/settings/keys/{id}/revoke", post(revoke))
}

async fn list(State(app): State<App>, SignedIn(visitor): SignedIn) -> Response {
    shown(&app, &visitor, &Filled::new(), html! {}).await
}

async fn create(State(app): State<App>, form: Checked<Filled>) -> Response {
    let Checked { visitor, form } = form;
    let days = form.get("days").and_then(|days| given(days));
    let input = CreateKey {
        name: form.get("name").cloned().unwrap_or_default(),
        scopes: Some(ticked(&form)),
        expires_in_days: days.map(|days| days.parse().unwrap_or(0)),
    };
    match keys::create(&app, &visitor.caller, input).await {
        Ok(made) => shown(&app, &visitor, &Filled::new(), once(&made)).await,
        Err(failure) => shown(&app, &visitor, &form, layout::problem(&failure)).await,
    }
}

async fn revoke(State(app): State<App>, Path(id): Path<String>, form: Checked<Filled>) -> Response {
    match keys::revoke(&app, &form.visitor.caller, &id).await {
        Ok(key) => layout::redirect(HERE, &format!("Revoked the key “{}”.", key.name)),
        Err(failure) => layout::failed(&form.visitor, Nav::Settings, &failure),
    }
}

/// The page, with what is to be said above it and the form as it was filled in.
async fn shown(app: &App, visitor: &Visitor, filled: &Filled, above: Markup) -> Response {
    match keys::list(app, &visitor.caller).await {
        Ok(keys) => Page::new(visitor, Nav::Settings, "API keys")
            .tabs(settings_tabs(HERE))
            .body(html! {
                (above)
                (listed(visitor, &keys))
                section {
                    div.section-head { h2 { "New key" } }
                    (form(visitor, filled))
                }
            }),
        Err(failure) => layout::failed(visitor, Nav::Settings, &failure),
    }
}

fn once(made: &NewKey) -> Markup {
    html! {
        div.note role="status" {
            p { "Made the key “" (made.key.name) "”. This is the only time it is shown: copy it now." }
            (copy_box("secret", "The key", &made.secret))
        }
    }
}

fn listed(visitor: &Visitor, keys: &[Key]) -> Markup {
    if keys.is_empty() {
        let what = html! { p { "A key lets a program without a browser act for you, as far as its scopes go." } };
        return empty("No API keys yet", what);
    }
    let now = clock::wall();
    let everybodys = visitor.caller.role >= Role::Admin;
    let rows = keys.iter().map(|key| row(visitor, key, everybodys, now));
    let columns = if everybodys {
        &[
            "Name",
            "Key",
            "Owner",
            "Scopes",
            "Made",
            "Last used",
            "Expires",
            "",
        ][..]
    } else {
        &["Name", "Key", "Scopes", "Made", "Last used", "Expires", ""]
    };
    table("API keys", columns, rows.collect())
}

fn row(visitor: &Visitor, key: &Key, everybodys: bool, now: UtcMillis) -> Vec<Markup> {
    let what = html! { p { "Whatever uses the key “" (key.name) "” is refused from its next request on. This cannot be taken back." } };
    let action = format!("{HERE}/{}/revoke", key.id);
    let mut cells = vec![
        html! { (key.name) },
        html! { span.mono { (key.prefix) "…" } },
        scopes(key.scopes),
        day(key.created_at),
        html! { @match key.last_used_at { Some(at) => (when(at, now)), None => span.muted { "never" } } },
        expiry(key.expires_at, now),
        html! { div.actions { (confirm(visitor, "Revoke…", what, &action, "Revoke the key")) } },
    ];
    if everybodys {
        cells.insert(2, html! { (key.owner) });
    }
    cells
}

fn scopes(scopes: Scopes) -> Markup {
    if scopes == Scopes::all() {
        return html! { "all" };
    }
    html! { @for name in scope_names(scopes) { span.tag { (name) } " " } }
}

fn expiry(at: Option<UtcMillis>, now: UtcMillis) -> Markup {
    match at {
        Some(at) if at <= now => badge(Tone::Off, "expired"),
        Some(at) => when(at, now),
        None => html! { span.muted { "no end" } },
    }
}

fn form(visitor: &Visitor, filled: &Filled) -> Markup {
    let value = |name: &str| filled.get(name).map_or("", String::as_str);
    let lives = LIVES.map(|(days, words)| (days.to_owned(), words.to_owned()));
    let days = if filled.is_empty() {
        USUAL_LIFE
    } else {
        value("days")
    };
    let wanted = ticked(filled);
    let scope = |scope: Scope| {
        let name = field_of(scope);
        let on = filled.is_empty() || wanted.iter().any(|wanted| wanted == scope.name());
        let field = Field::check(&name, scope.name(), on);
        html! { (field) }
    };
    let most = u32::try_from(LONGEST_NAME).unwrap_or(u32::MAX);
    html! {
            form.stack.card method="post" action=(HERE) {
                (layout::csrf(visitor))
                div.row {
                    (Field::text("name", "Name").value(value("name")).hint("Where it is used: “CI”, “laptop”.").most(most).required())
                    (Field::select("days", "Good for", &lives).value(days))
                }
                fieldset {
                    legend { "Scopes" }
    @for noun in Scope::ALL.chunks(2) {
                        div.row { @for one in noun { @if visitor.caller.scopes.contains(*one) { (scope(*one)) } } }
                    }
                }
                div.actions { button.main type="submit" { "Make the key" } }
            }
        }
}

fn field_of(scope: Scope) -> String {
    format!("scope {}", scope.name())
}

fn ticked(filled: &Filled) -> Vec<String> {
    let on = |scope: &Scope| filled.contains_key(&field_of(*scope));
    let ticked = Scope::ALL.into_iter().filter(on);
    ticked.map(|scope| scope.name().to_owned()).collect()
}
