//! `hostler hosts show`, and everything that changes a host or who may use it.

use serde_json::{Value, json};

use crate::args::HostName;
use crate::client::{self, Session};
use crate::failure::Failure;
use crate::home;
use crate::output;
use crate::serve::block_on;
use crate::when;

/// `hosts list --all`: also those that are only the caller's to manage.
pub(super) fn all(session: &Session) -> Result<(), Failure> {
    let answer = client::get(&session.access(None)?, "/v1/hosts?all=true")?;
    if session.json() {
        return output::json(&answer);
    }
    let hosts = answer["hosts"].as_array().into_iter().flatten();
    let rows = hosts.map(|host| {
        let online = host["online"] == json!(true);
        let yours = host["usable"] == json!(true);
        vec![
            output::cell(&host["name"]),
            output::state(if online { "online" } else { "offline" }),
            when::local(&host["lastSeenAt"]),
            (if yours { "yes" } else { "no" }).to_owned(),
            output::cell(&host["id"]),
        ]
    });
    let header = ["name", "state", "last seen", "usable", "id"];
    output::table(&header, rows.collect(), "No hosts.")
}

pub(super) fn show(session: &Session, host: &HostName) -> Result<(), Failure> {
    let answer = client::get(&session.access(None)?, &path(&[&host.host]))?;
    if session.json() {
        return output::json(&answer);
    }
    let host = &answer["host"];
    let online = host["online"] == json!(true);
    let agents = host["agents"].as_array().into_iter().flatten();
    let agents: Vec<_> = agents
        .filter(|agent| agent["available"] == json!(true))
        .map(|agent| output::cell(&agent["id"]))
        .collect();
    let system = output::text(&host["os"]).map(|os| {
        format!(
            "{os}/{}, hostler {}",
            output::cell(&host["arch"]),
            output::cell(&host["version"])
        )
    });
    output::fields(&[
        ("name", output::text(&host["name"])),
        ("id", output::text(&host["id"])),
        (
            "state",
            Some(output::state(if online { "online" } else { "offline" })),
        ),
        ("last seen", Some(when::local(&host["lastSeenAt"]))),
        ("owner", Some(owner(host))),
        ("members", members(host)),
        ("system", system),
        ("agents", (!agents.is_empty()).then(|| agents.join(", "))),
        ("runs", output::text(&host["runningRuns"])),
        (
            "disk free",
            host["diskFreeBytes"]
                .as_u64()
                .map(|_| output::size(&host["diskFreeBytes"])),
        ),
        ("enrolled", Some(when::local(&host["enrolledAt"]))),
        ("key since", Some(when::local(&host["keySince"]))),
        (
            "old key until",
            output::text(&host["oldKeyUntil"]).map(|_| when::local(&host["oldKeyUntil"])),
        ),
        ("allowed folders", list(&host["policy"]["allowedRoots"])),
        ("allowed agents", list(&host["policy"]["allowedAgents"])),
        ("allowed members", list(&host["policy"]["allowedMembers"])),
        ("most autonomy", output::text(&host["maxAutonomy"])),
        ("most runs", output::text(&host["policy"]["maxRuns"])),
    ])?;
    for warning in host["warnings"].as_array().into_iter().flatten() {
        output::line(&format!("warning: {}", output::cell(warning)))?;
    }
    Ok(())
}

pub(super) fn members_of(session: &Session, host: &HostName) -> Result<(), Failure> {
    let answer = client::get(&session.access(None)?, &path(&[&host.host]))?;
    let host = &answer["host"];
    if session.json() {
        return output::json(&json!({ "owner": host["owner"], "members": host["members"] }));
    }
    let Some(members) = host["members"].as_array() else {
        return Err(Failure::unmet(
            "Only its owner and administrators see who may use a host.",
        ));
    };
    let mut rows = vec![vec![owner(host), String::new(), "owner".to_owned()]];
    rows.extend(members.iter().map(|one| {
        vec![
            output::cell(&one["email"]),
            when::local(&one["since"]),
            "granted".to_owned(),
        ]
    }));
    output::table(&["member", "since", "access"], rows, "")
}

pub(super) fn rename(session: &Session, host: &HostName, name: &str) -> Result<(), Failure> {
    let answer = post(session, &[&host.host, "rename"], &json!({ "name": name }))?;
    done(
        session,
        &answer,
        &format!("Host {} is called {name} now.", host.host),
    )
}

pub(super) fn revoke(session: &Session, host: &HostName) -> Result<(), Failure> {
    let answer = post(session, &[&host.host, "revoke"], &json!({}))?;
    let said = format!(
        "Host {} is removed. {} automations are paused until they are moved to another host; {} runs were cut off.",
        host.host,
        output::cell(&answer["automationsPaused"]),
        output::cell(&answer["runsLost"]),
    );
    done(session, &answer, &said)
}

pub(super) fn grant(session: &Session, host: &HostName, member: &str) -> Result<(), Failure> {
    let answer = post(
        session,
        &[&host.host, "grant"],
        &json!({ "member": member }),
    )?;
    let who = output::cell(&answer["member"]["email"]);
    done(
        session,
        &answer,
        &format!("{who} may use host {}.", host.host),
    )
}

pub(super) fn ungrant(session: &Session, host: &HostName, member: &str) -> Result<(), Failure> {
    let answer = post(
        session,
        &[&host.host, "ungrant"],
        &json!({ "member": member }),
    )?;
    let who = output::cell(&answer["member"]["email"]);
    done(
        session,
        &answer,
        &format!("{who} may not use host {} any more.", host.host),
    )
}

pub(super) fn transfer(session: &Session, host: &HostName, member: &str) -> Result<(), Failure> {
    let answer = post(
        session,
        &[&host.host, "transfer"],
        &json!({ "member": member }),
    )?;
    done(
        session,
        &answer,
        &format!("Host {} belongs to {member} now.", host.host),
    )
}

pub(super) fn confirm(session: &Session, host: &HostName, keep: bool) -> Result<(), Failure> {
    let answer = post(session, &[&host.host, "confirm"], &json!({ "keep": keep }))?;
    let said = if keep {
        format!("Host {} stays on the machine it was on.", host.host)
    } else {
        format!(
            "Host {} is the machine that was refused; it connects within a minute.",
            host.host
        )
    };
    done(session, &answer, &said)
}

pub(super) fn keys(session: &Session, revoke: Option<&str>) -> Result<(), Failure> {
    if let Some(key) = revoke {
        let answer = post(session, &["enrolment-keys", key, "revoke"], &json!({}))?;
        return done(session, &answer, "That key enrols nothing any more.");
    }
    let answer = client::get(&session.access(None)?, "/v1/hosts/enrolment-keys")?;
    if session.json() {
        return output::json(&answer);
    }
    let keys = answer["keys"].as_array().into_iter().flatten();
    let rows = keys.map(|key| {
        vec![
            output::cell(&key["prefix"]),
            output::cell(&key["owner"]),
            when::local(&key["expiresAt"]),
            output::cell(&key["id"]),
        ]
    });
    output::table(
        &["key", "made by", "good until", "id"],
        rows.collect(),
        "No open enrolment keys.",
    )
}

/// On the machine itself: it signs with the key it has and with the new one.
pub(super) fn rotate_key(session: &Session) -> Result<(), Failure> {
    let home = home::path()?;
    let rotated = block_on(hostler_daemon::rotate(&home))?
        .map_err(|error| Failure::new(error.to_string()))?;
    let until = rotated.old_key_until.map(|until| until.to_string());
    if session.json() {
        return output::json(
            &json!({ "name": rotated.name, "url": rotated.url, "oldKeyUntil": until }),
        );
    }
    let old = match until {
        Some(until) => format!("the old one is good until {until}"),
        None => "the old one is no longer good".to_owned(),
    };
    output::line(&format!(
        "Host {} has a new key at {}; {old}.",
        rotated.name, rotated.url
    ))
}

fn post(session: &Session, parts: &[&str], body: &Value) -> Result<Value, Failure> {
    client::post_json(&session.access(None)?, &path(parts), body)
}

fn done(session: &Session, answer: &Value, said: &str) -> Result<(), Failure> {
    if session.json() {
        return output::json(answer);
    }
    output::line(said)
}

/// The path below `/v1/hosts`, each part escaped.
fn path(parts: &[&str]) -> String {
    let mut path = "/v1/hosts".to_owned();
    for part in parts {
        path.push('/');
        path.push_str(&client::path_part(part).replace('.', "%2E"));
    }
    path
}

fn owner(host: &Value) -> String {
    let owner = output::cell(&host["owner"]);
    if host["ownerIsMember"] == json!(false) {
        return format!("{owner} (left the organization)");
    }
    owner
}

fn members(host: &Value) -> Option<String> {
    let members = host["members"].as_array()?;
    let emails: Vec<_> = members
        .iter()
        .map(|one| output::cell(&one["email"]))
        .collect();
    Some(if emails.is_empty() {
        "nobody but its owner".to_owned()
    } else {
        emails.join(", ")
    })
}

fn list(value: &Value) -> Option<String> {
    let values = value.as_array()?;
    let values: Vec<_> = values.iter().map(output::cell).collect();
    Some(if values.is_empty() {
        "-".to_owned()
    } else {
        values.join(", ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path_whatever_it_holds() {
        assert_eq!(
            path(&["Build Box/2", "rename"]),
            "/v1/hosts/Build%20Box%2F2/rename"
        );
        assert_eq!(path(&[".."]), "/v1/hosts/%2E%2E");
    }
}
