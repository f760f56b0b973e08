//! The page on which a person allows a client something: `/oauth/authorize`.
//!
//! It shows who asks, where the answer goes and what it would allow, in words. What the form sends
//! back is the client's own request and the person's choices: the request is read and checked anew, so
//! nothing in the page is trusted. Problems with the client or its address end on a page here; nobody
//! is sent anywhere because of them, nor, before signing in, to another site because of any problem.
//! The policy of the page names the one address that the form's answer may lead to, because browsers
//! check it on the redirect too.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::OrgId;
use maud::{Markup, html};

use super::field::Field;
use super::layout::{self, Nav};
use super::visit::Checked;
use crate::auth::oauth::authorize::{self, Asked, Back, Refused};
use crate::auth::oauth::client::Kind;
use crate::auth::oauth::params::Params;
use crate::auth::oauth::{address, redirect};
use crate::auth::session::{self, Visitor};
use crate::auth::{Scope, Scopes};
use crate::edge::Peer;
use crate::{App, clock};

/// The routes of the page.
pub(super) fn routes() -> Router<App> {
    Router::new().route("/oauth/authorize", get(ask).post(decide))
}

/// What a form of ours held: names and values as they came.
pub(super) type Form = Vec<(String, String)>;

async fn ask(State(app): State<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or_default();
    let visitor = match session::visitor(&app, &parts.headers, peer).await {
        Ok(visitor) => visitor,
        Err(failure) => return broken(&failure),
    };
    let query = parts.uri.query().unwrap_or_default();
    let params = Params::read(query.as_bytes());
    let issuer = address::base(&app.server.url, &parts.headers);
    let read = authorize::read(&app, params, issuer, peer, visitor.as_ref(), clock::wall()).await;
    match (read, visitor) {
        (Ok(asked), Some(visitor)) => page(&visitor, &asked, query),
        (Ok(_), None) | (Err(Refused::SignIn), _) => {
            let next = format!("/oauth/authorize?{query}");
            let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
            Redirect::to(&format!("/sign-in?next={next}")).into_response()
        }
        (Err(refused), _) => refusal(&refused),
    }
}

async fn decide(
    State(app): State<App>,
    headers: HeaderMap,
    peer: Option<axum::Extension<Peer>>,
    Checked { visitor, form }: Checked<Form>,
) -> Response {
    let peer = peer.map(|axum::Extension(peer)| peer).unwrap_or_default();
    let params = Params::read(value(&form, "request").as_bytes());
    let issuer = address::base(&app.server.url, &headers);
    let now = clock::wall();
    let read = authorize::read(&app, params, issuer, peer, Some(&visitor), now).await;
    let asked = match read {
        Ok(asked) => asked,
        Err(refused) => return refusal(&refused),
    };
    if value(&form, "decision") != "allow" {
        return sent_back(&authorize::deny(&asked));
    }
    let org = match organization(&form) {
        Ok(org) => org,
        Err(failure) => return layout::failed(&visitor, Nav::Elsewhere, &failure),
    };
    let scopes = chosen(&form, asked.scopes);
    match authorize::allow(&app, &visitor, org, &asked, scopes, now).await {
        Ok(location) => sent_back(&location),
        Err(failure) => layout::failed(&visitor, Nav::Elsewhere, &failure),
    }
}

fn page(visitor: &Visitor, asked: &Asked, query: &str) -> Response {
    let client = &asked.client;
    let body = html! {
        p { strong { (client.name) } " wants to work with Hostler in your name, " (visitor.email) "." }
        (about(asked))
        form.stack method="post" action="/oauth/authorize" {
            (layout::csrf(visitor))
            input type="hidden" name="request" value=(query);
            (organizations(visitor))
            (permissions(asked.scopes))
            p.hint { "It stays connected until it is unused for 30 days, or you disconnect it in Settings, MCP clients." }
            div.actions {
                button.main type="submit" name="decision" value="allow" { "Allow" }
                button type="submit" name="decision" value="deny" { "Refuse" }
            }
        }
    };
    let title = format!("Connect {}", client.name);
    let response = layout::plain(StatusCode::OK, &title, body);
    guarded(
        response,
        Some(&redirect::policy_source(&asked.redirect_uri)),
    )
}

/// Who asks, and where the answer goes.
fn about(asked: &Asked) -> Markup {
    let host = redirect::shown(&asked.redirect_uri);
    let client = &asked.client;
    html! {
        dl.facts {
            dt { "Client" }
            dd {
                @match client.kind {
                    Kind::BuiltIn => { "Part of Hostler" }
                    Kind::Document => { "Vouched for by " strong { (redirect::shown(&client.id)) } }
                    Kind::Registered => { "Unknown: the name is what it calls itself" }
                    Kind::OutOfReach => {
                        "Says it is from " strong { (client.name) }
                        ", which this server cannot reach to ask"
                    }
                }
            }
            dt { "Answer goes to" }
            dd { code { (host) } @if redirect::is_local(&asked.redirect_uri) { " (this computer)" } }
        }
        @if redirect::is_local(&asked.redirect_uri) {
            div.note {
                p { "The answer goes to a program on the computer you sit at, and Hostler cannot tell which one it is." }
                p.hint { "Go on only if you have just started to connect it yourself." }
            }
        }
    }
}

/// The organization to work in: a choice where there is one.
pub(super) fn organizations(visitor: &Visitor) -> Markup {
    let chosen = visitor.caller.org_id.to_string();
    if let [only] = visitor.orgs.as_slice() {
        return html! {
            input type="hidden" name="org" value=(only.org_id);
            p { "In the organization " strong { (only.name) } "." }
        };
    }
    let options: Vec<(String, String)> = visitor
        .orgs
        .iter()
        .map(|org| (org.org_id.to_string(), org.name.clone()))
        .collect();
    let field = Field::select("org", "Organization", &options)
        .value(&chosen)
        .hint("It sees this one alone.");
    html! { (field) }
}

/// The permissions asked for, each to be taken out.
pub(super) fn permissions(scopes: Scopes) -> Markup {
    let asked = Scope::ALL
        .into_iter()
        .filter(|scope| scopes.contains(*scope));
    html! {
        fieldset {
            legend { "It would be allowed to" }
            @for scope in asked { (Field::check(scope.name(), words(scope), true)) }
        }
    }
}

/// The permissions that were left on, of those asked for.
pub(super) fn chosen(form: &Form, asked: Scopes) -> Scopes {
    let left_on = |scope: &Scope| form.iter().any(|(name, _)| name == scope.name());
    let asked = Scope::ALL
        .into_iter()
        .filter(|scope| asked.contains(*scope));
    asked.filter(left_on).collect()
}

/// The organization that was chosen.
pub(super) fn organization(form: &Form) -> Result<OrgId, Failure> {
    value(form, "org").parse().map_err(|error| {
        Failure::new(ErrorCode::InvalidArgument, "no organization was chosen")
            .hint("go back and choose one")
            .detail(format!("{error}"))
    })
}

/// The value of a field; nothing when it is not there.
pub(super) fn value<'a>(form: &'a Form, name: &str) -> &'a str {
    let found = form.iter().find(|(key, _)| key == name);
    found.map_or("", |(_, value)| value.as_str())
}

fn words(scope: Scope) -> &'static str {
    match scope {
        Scope::TasksRead => "See tasks",
        Scope::TasksWrite => "Create, change and delete tasks",
        Scope::ProjectsRead => "See projects",
        Scope::ProjectsWrite => "Add projects to your hosts, cloning repositories there",
        Scope::WorkspacesRead => "See workspaces",
        Scope::WorkspacesWrite => "Create and delete workspaces on your hosts",
        Scope::AutomationsRead => "See your automations, their runs and logs",
        Scope::AutomationsWrite => {
            "Create, change and run automations: coding agents on your hosts"
        }
        Scope::HostsRead => "See your hosts",
        Scope::HostsWrite => "Add hosts and change them",
    }
}

fn refusal(refused: &Refused) -> Response {
    match refused {
        Refused::Back(back) => match &back.site {
            None => sent_back(&back.location),
            Some(site) => cannot_be_asked(back, site),
        },
        Refused::SignIn => Redirect::to("/sign-in").into_response(),
        Refused::Page(words) => {
            let body = html! {
                div.problem role="alert" { p { (words) "." } }
                p { "Nothing was allowed, and nothing was sent to the program. Start the connection again from there; if it goes on, it asks in a wrong way." }
            };
            let title = "This program cannot be connected";
            guarded(layout::plain(StatusCode::BAD_REQUEST, title, body), None)
        }
    }
}

/// The person decides whether to go on to another site.
fn cannot_be_asked(back: &Back, site: &str) -> Response {
    let body = html! {
        div.problem role="alert" { p { "The program asked for something that cannot be allowed: " (back.words) "." } }
        p { "Nothing was allowed. " a href=(back.location) rel="noreferrer" { "Tell the program at " (site) } "." }
    };
    let title = "This program cannot be connected";
    guarded(layout::plain(StatusCode::BAD_REQUEST, title, body), None)
}

fn broken(failure: &Failure) -> Response {
    let status = layout::status_of(failure.code);
    layout::plain(status, "That did not work", layout::problem(failure))
}

/// Back to the client, with nothing kept on the way.
fn sent_back(location: &str) -> Response {
    let mut response = guarded(Redirect::to(location).into_response(), None);
    let unnamed = HeaderValue::from_static("no-referrer");
    response
        .headers_mut()
        .insert(header::REFERRER_POLICY, unnamed);
    response
}

/// Never stored, never framed; the form leads here or to `onwards`.
fn guarded(mut response: Response, onwards: Option<&str>) -> Response {
    let onwards = onwards.unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
         form-action 'self' {onwards}; frame-ancestors 'none'; base-uri 'none'"
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
