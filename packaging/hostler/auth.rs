//! `hostler auth status|refresh` and `hostler whoami`: what the commands sign in with, whose it is,
//! and how this machine stands as a host.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use hostler_daemon::config::{Config, Layout};

use crate::access::{self, Access, Source, Why};
use crate::client::{self, Session};
use crate::credentials::{self, Entry, Saved};
use crate::failure::Failure;
use crate::home;
use crate::oauth::Server;
use crate::output;
use crate::when;

/// Where a credential's owner, organization and scopes are told.
const WHOAMI: &str = "/v1/whoami";

/// `hostler whoami`.
pub(crate) fn whoami(session: &Session) -> Result<ExitCode, Failure> {
    let access = session.access(None)?;
    let who = client::get(&access, WHOAMI)?;
    if session.json() {
        output::json(&who)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::fields(&[
        ("person", Some(person(&who))),
        ("organization", Some(organization(&who))),
        ("credential", Some(credential(&who))),
        ("scopes", Some(scopes(&who))),
        ("control plane", Some(access.url)),
    ])?;
    Ok(ExitCode::SUCCESS)
}

/// `hostler auth status`: exit code 3 when nobody is signed in.
pub(crate) fn status(session: &Session) -> Result<ExitCode, Failure> {
    let home = home::path()?;
    let saved = Saved::load(&home)?;
    let access = session.access(None);
    let who = access
        .as_ref()
        .map_err(ToString::to_string)
        .and_then(|access| {
            let asked = client::get(access, WHOAMI);
            asked.map_err(|failure| failure.to_string())
        });
    // The question may have renewed the tokens: what is shown is what is saved now.
    let saved = Saved::load(&home).unwrap_or(saved);
    let access = access.ok();
    let host = host(session, &home, access.as_ref(), who.is_ok());
    let signed_in = who.is_ok();
    if session.json() {
        output::json(&as_json(&home, &saved, access.as_ref(), &who, &host))?;
    } else {
        as_text(&home, &saved, access.as_ref(), &who, &host)?;
    }
    Ok(if signed_in {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

/// `hostler auth refresh`.
pub(crate) fn refresh(session: &Session) -> Result<ExitCode, Failure> {
    let home = home::path()?;
    if let Some(name) = session.given_key() {
        return Err(Failure::usage(format!(
            "The API key of {name} is in use, and an API key is not refreshed."
        ))
        .hint("Leave it out to refresh the sign-in of this machine."));
    }
    let saved = Saved::load(&home)?;
    let named = session.named()?;
    let entry = match &named {
        Some(url) => saved.of(url),
        None => saved.entries.first(),
    };
    let Some(Entry {
        url,
        oauth: Some(_),
        ..
    }) = entry
    else {
        let key = entry.is_some_and(|entry| entry.api_key.is_some());
        let words = if key {
            "This machine uses an API key, which is not refreshed: it is good until it is revoked."
        } else {
            "This machine is not signed in."
        };
        let url = entry.map_or("URL", |entry| entry.url.as_str());
        return Err(
            Failure::unauthorized(words).hint(format!("Run `hostler login {url}` to sign in."))
        );
    };
    access::renew(&home, &Server::new(url), url, Why::Wanted)
        .map_err(access::NotRenewed::failure)?;
    let saved = Saved::load(&home)?;
    let tokens = saved.of(url).and_then(|entry| entry.oauth.as_ref());
    let until = tokens.map(|tokens| tokens.expires_at.to_string());
    if session.json() {
        output::json(&json!({"url": url, "expiresAt": until}))?;
    } else {
        let until = when::local(&json!(until));
        output::line(&format!(
            "The sign-in at {url} is good until {until}, and renews itself."
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// This machine as a host, by what it knows itself: who it is, whether its daemon runs, how the link
/// stands, and what is wrong with its settings. Null when it is none.
pub(crate) fn this_machine(home: &Path) -> Value {
    let identity = match hostler_daemon::identity(home) {
        Ok(Some(identity)) => identity,
        Ok(None) => return Value::Null,
        Err(error) => return json!({"problem": error.to_string()}),
    };
    let settings = Config::load(&Layout::new(home));
    let link = hostler_daemon::standing(home).filter(|link| link.host_id == identity.host_id);
    json!({
        "id": identity.host_id,
        "name": identity.name,
        "url": identity.url,
        "daemon": if hostler_daemon::runs_in(home) { "running" } else { "stopped" },
        "link": link.map(|link| json!({
            "up": link.up, "since": link.since.to_string(), "why": link.why,
        })),
        "settingsProblem": settings.err().map(|error| error.to_string()),
    })
}

/// The same, and what the control plane says about it.
fn host(session: &Session, home: &Path, access: Option<&Access>, can_ask: bool) -> Value {
    let mut host = this_machine(home);
    let Ok(Some(identity)) = hostler_daemon::identity(home) else {
        return host;
    };
    let same = access.is_some_and(|access| access.url == identity.url);
    let listed = (same && can_ask)
        .then(|| session.call("hosts_list", &json!({})).ok())
        .flatten();
    let id = json!(identity.host_id);
    let state = listed.map_or("unknown", |answer| {
        let mut hosts = answer["hosts"].as_array().into_iter().flatten();
        match hosts.find(|host| host["id"] == id) {
            Some(host) if host["online"] == json!(true) => "online",
            Some(_) => "offline",
            None => "not listed",
        }
    });
    host["state"] = json!(state);
    host
}

fn as_json(
    home: &Path,
    saved: &Saved,
    access: Option<&Access>,
    who: &Result<Value, String>,
    host: &Value,
) -> Value {
    let entry = access.and_then(|access| saved.of(&access.url));
    let others = saved.entries.iter().filter(|one| Some(*one) != entry);
    let others: Vec<_> = others
        .map(|one| json!({"url": one.url, "kind": kind(one)}))
        .collect();
    json!({
        "signedIn": who.is_ok(),
        "problem": who.as_ref().err(),
        "controlPlane": access.map(|access| &access.url),
        "source": access.map(|access| source(home, access)),
        "kind": access.map(|access| word(&access.source)),
        "expiresAt": expiry(access, entry),
        "whoami": who.as_ref().ok(),
        "others": others,
        "host": host,
    })
}

fn as_text(
    home: &Path,
    saved: &Saved,
    access: Option<&Access>,
    who: &Result<Value, String>,
    host: &Value,
) -> Result<(), Failure> {
    let entry = access.and_then(|access| saved.of(&access.url));
    let who_known = who.as_ref().ok();
    output::fields(&[
        ("control plane", access.map(|access| access.url.clone())),
        ("person", who_known.map(person)),
        ("organization", who_known.map(organization)),
        (
            "credential",
            access.map(|access| word(&access.source).to_owned()),
        ),
        (
            "good until",
            expiry(access, entry).map(|at| format!("{} (renews itself)", when::local(&json!(at)))),
        ),
        ("from", access.map(|access| source(home, access))),
        ("scopes", who_known.map(scopes)),
        ("problem", who.as_ref().err().cloned()),
        ("this machine", Some(host_words(host))),
        ("settings", output::text(&host["settingsProblem"])),
    ])?;
    for other in saved.entries.iter().filter(|one| Some(*one) != entry) {
        output::line(&format!("also known: {} ({})", other.url, kind(other)))?;
    }
    Ok(())
}

fn expiry(access: Option<&Access>, entry: Option<&Entry>) -> Option<String> {
    let signed_in = access.is_some_and(|access| access.source == Source::SignIn);
    let tokens = entry.and_then(|entry| entry.oauth.as_ref());
    tokens
        .filter(|_| signed_in)
        .map(|tokens| tokens.expires_at.to_string())
}

fn source(home: &Path, access: &Access) -> String {
    match access.source {
        Source::Given(name) => name.to_owned(),
        Source::SavedKey | Source::SignIn => credentials::path(home).display().to_string(),
    }
}

fn word(source: &Source) -> &'static str {
    match source {
        Source::Given(_) | Source::SavedKey => "API key",
        Source::SignIn => "sign-in",
    }
}

fn kind(entry: &Entry) -> &'static str {
    match (&entry.oauth, &entry.api_key) {
        (Some(_), _) => "sign-in",
        (None, Some(_)) => "API key",
        (None, None) => "signed out",
    }
}

/// How this machine stands as a host, in words.
pub(crate) fn host_words(host: &Value) -> String {
    if host.is_null() {
        return "not a host; `hostler join URL` makes it one".to_owned();
    }
    if let Some(problem) = host["problem"].as_str() {
        return problem.to_owned();
    }
    let words = match host["state"].as_str() {
        Some("online") => "online".to_owned(),
        Some("not listed") => {
            "removed there, or not yours to see: `hostler leave`, then `hostler join`".to_owned()
        }
        _ => link_words(host),
    };
    format!(
        "host {} ({}) of {}, {words}",
        output::cell(&host["name"]),
        output::cell(&host["id"]),
        output::cell(&host["url"])
    )
}

/// Whether it is connected, by what its daemon says, and why not.
fn link_words(host: &Value) -> String {
    let link = &host["link"];
    if host["daemon"] != json!("running") {
        return "offline: start `hostler daemon`".to_owned();
    }
    let since = when::local(&link["since"]);
    match output::text(&link["why"]) {
        _ if link.is_null() => "its daemon is starting".to_owned(),
        None => format!("connected since {since}"),
        Some(why) => format!("not connected since {since}: {why}"),
    }
}

fn person(who: &Value) -> String {
    let person = &who["person"];
    format!(
        "{} <{}>",
        output::cell(&person["name"]),
        output::cell(&person["email"])
    )
}

fn organization(who: &Value) -> String {
    let name = output::cell(&who["organization"]["name"]);
    format!("{name} (as {})", output::cell(&who["role"]))
}

fn credential(who: &Value) -> String {
    let credential = &who["credential"];
    let kind = output::cell(&credential["kind"]).replace('_', " ");
    let kind = kind.replace("api", "API");
    let until = match credential["expiresAt"].as_str() {
        Some(_) => format!(", good until {}", when::local(&credential["expiresAt"])),
        None => String::new(),
    };
    let name = output::cell(&credential["name"]);
    let prefix = output::cell(&credential["prefix"]);
    format!("{kind} {name} ({prefix}…){until}")
}

fn scopes(who: &Value) -> String {
    let scopes = who["scopes"].as_array().into_iter().flatten();
    scopes.map(output::cell).collect::<Vec<_>>().join(" ")
}
