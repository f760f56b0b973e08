//! Forms that were sent and not taken: the session had ended, or the visitor works in another
//! organization now. What was written is kept in the answer, to be sent again by a press of a button.
//!
//! Only what people write at length is kept (tasks, automations, projects, workspaces), and only when
//! the browser says that the form came from a page of ours: nobody else can put words into such a
//! page. Nothing is stored; nothing is sent again by itself.

use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use maud::{Markup, html};

use super::visit::Sent;
use super::{layout, text};
use crate::auth::session::{Membership, Visitor};

/// Where what is written is worth keeping.
const KEPT: [&str; 4] = ["/tasks", "/automations", "/projects", "/workspaces"];

/// Whoever sent it is not signed in any more. None when there is nothing to keep, as for the rest.
pub(super) fn signed_out(sent: &Sent) -> Option<Response> {
    let words = html! {
        p { "Your sign-in has ended, so nothing was saved. What you wrote is kept on this page." }
        ol {
            li { a href="/sign-in" target="_blank" { "Sign in" } " (in a new tab)." }
            li { "Come back to this page and send it again." }
        }
    };
    page(StatusCode::UNAUTHORIZED, sent, "", &words)
}

/// The form is from before its visitor signed in, perhaps as somebody else.
pub(super) fn before_sign_in(visitor: &Visitor, sent: &Sent) -> Option<Response> {
    let here = visitor.membership().map_or("", |org| org.name.as_str());
    let words = html! {
        p { "You have signed in since this form was opened, so it was not taken. Nothing was saved yet." }
        p { "Sent again, it is from " strong { (visitor.name) } " in " strong { (here) } "." }
    };
    page(StatusCode::FORBIDDEN, sent, &visitor.csrf, &words)
}

/// The form was opened in another organization than the one its visitor works in now.
pub(super) fn of_another(visitor: &Visitor, org: &Membership, sent: &Sent) -> Option<Response> {
    let now = visitor.membership().map_or("", |org| org.name.as_str());
    let words = html! {
        p { "This form was opened in " strong { (org.name) } ", and you work in " strong { (now) } " now. Nothing was saved." }
        ol {
            li { a href="/organizations" target="_blank" { "Change back to " (org.name) } " (in a new tab)." }
            li { "Come back to this page and send it again." }
        }
    };
    page(StatusCode::CONFLICT, sent, &sent.token, &words)
}

/// The page of ours that a form was on, as far as the browser says it.
pub(super) fn page_of(parts: &Parts) -> Option<String> {
    if !is_same_origin(parts) {
        return None;
    }
    let page = parts.headers.get(header::REFERER)?.to_str().ok()?;
    let page = url::Url::parse(page).ok()?;
    Some(page[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
}

fn page(status: StatusCode, sent: &Sent, token: &str, words: &Markup) -> Option<Response> {
    let written = written(sent).filter(|_| is_kept(&sent.parts))?;
    let action = sent.parts.uri.path_and_query()?.as_str();
    let body = html! {
        (words)
        form.stack method="post" action=(action) {
            input type="hidden" name="csrf" value=(token);
            @for (name, value) in &written { input type="hidden" name=(name) value=(value); }
            div.actions { button.main type="submit" { "Send again" } }
        }
        details {
            summary { "What you wrote" }
            @for (name, value) in written.iter().filter(|(_, value)| !value.trim().is_empty()) {
                p.muted { (text::line(name)) }
                pre.code { (text::shown(value)) }
            }
        }
    };
    let mut response = layout::plain(status, "Not saved yet", body);
    let never = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, never);
    Some(response)
}

fn is_kept(parts: &Parts) -> bool {
    let path = parts.uri.path();
    let kept = KEPT.iter().any(|start| path.starts_with(start));
    kept && !path.ends_with("/delete") && is_same_origin(parts)
}

fn is_same_origin(parts: &Parts) -> bool {
    let site = parts.headers.get("sec-fetch-site");
    site.is_some_and(|site| site.as_bytes() == b"same-origin")
}

/// The fields of a form but its token; none when nothing was filled in.
fn written(sent: &Sent) -> Option<Vec<(String, String)>> {
    let fields = form_urlencoded::parse(&sent.bytes).into_owned();
    let fields: Vec<_> = fields.filter(|(name, _)| name != "csrf").collect();
    let some = fields.iter().any(|(_, value)| !value.trim().is_empty());
    some.then_some(fields)
}
