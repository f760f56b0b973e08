//! One host: how it is, who may use it, and what its owner can do with it.

use axum::response::Response;
use hostler_proto::error::{ErrorCode, Failure};
use maud::{Markup, html};

use super::{seen, size, state};
use crate::auth::Role;
use crate::auth::session::Visitor;
use crate::console::assets::LIVE;
use crate::console::field::Field;
use crate::console::layout::{self, Nav, Page};
use crate::console::parts::{Tone, badge, confirm, facts, table, when};
use crate::hosts_catalog::show::{self, HostDetail};
use crate::store::hosts::DoubtKind;
use crate::{App, clock};

/// What a form that failed held, and why it failed.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) name: Option<String>,
    pub(super) member: String,
    pub(super) failure: Option<Failure>,
}

impl Kept {
    pub(super) fn of(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }
}

pub(super) async fn render(app: &App, visitor: &Visitor, host: &str, kept: Kept) -> Response {
    let detail = match show::show(app, &visitor.caller, host).await {
        Ok(detail) => detail,
        Err(failure) => return layout::failed(visitor, Nav::Hosts, &failure),
    };
    let body = html! {
        @if let Some(failure) = &kept.failure { (layout::problem(failure)) }
        div #warnings data-live {
            @for warning in &detail.warnings { p.note { (warning) } }
        }
        @if detail.is_owner && detail.host.doubt.is_some() { (doubt(visitor, &detail)) }
        div.split {
            div {
                div #live data-live { (live(&detail)) }
                (agents(&detail))
                @if detail.members.is_some() { (people(visitor, &detail, &kept.member)) }
            }
            div { (about(&detail)) (policy(&detail)) (changes(visitor, &detail, &kept)) }
        }
    };
    let status = kept
        .failure
        .as_ref()
        .map(|failure| layout::status_of(failure.code));
    let page = Page::new(visitor, Nav::Hosts, &detail.host.name)
        .under("Hosts", "/hosts")
        .beside(html! { span #state data-live { (state(&detail.host)) } })
        .script(LIVE);
    match status {
        Some(status) => page.status(status).body(body),
        None => page.body(body),
    }
}

fn live(detail: &HostDetail) -> Markup {
    html! {
        section.card {
            h2 { "Now" }
            @if !detail.usable {
                p.muted { "You administer this organization, so you see that this host exists and can remove it. To use it, ask " (detail.owner) " to let you in." }
            }
            (facts(&now_of(detail)))
        }
    }
}

fn now_of(detail: &HostDetail) -> Vec<(&'static str, Markup)> {
    let (host, now) = (&detail.host, clock::wall());
    let mut all = vec![(
        "State",
        html! { (state(host)) " " @if let Some(at) = host.online_since { span.muted { "since " (when(at, now)) } } @else { (seen(host, now)) } },
    )];
    if let Some((load, at)) = &host.load {
        let facts = host.facts.as_ref();
        all.extend([
            ("Load", html! { (format!("{:.2}", load.load_1m)) @if let Some(facts) = facts { span.muted { " on " (facts.cpus) " processors" } } }),
            ("Memory", html! { (size(load.memory_used_bytes)) " used" @if let Some(facts) = facts { span.muted { " of " (size(facts.memory_bytes)) } } }),
            ("Disk", html! { (size(load.disk_free_bytes)) " free" span.muted { " of " (size(load.disk_total_bytes)) } }),
            ("Measured", when(*at, now)),
            ("Runs going on", html! { (load.running_runs) }),
        ]);
    }
    if detail.usable {
        let of_it = |path: &str| format!("{path}?host={}", host.id);
        all.push((
            "On it",
            html! { a href=(of_it("/runs")) { "Runs" } ", " a href=(of_it("/automations")) { "automations" } ", " a href=(of_it("/workspaces")) { "workspaces" } ", " a href=(of_it("/projects")) { "projects" } },
        ));
    }
    all
}

fn about(detail: &HostDetail) -> Markup {
    let (host, now) = (&detail.host, clock::wall());
    let system = host.facts.as_ref();
    html! {
        section.card {
            h2 { "About" }
            (facts(&[
                ("Owner", html! { (detail.owner) @if !detail.owner_is_member { " " span.tag { "left the organization" } } }),
                ("System", html! { @match system { Some(facts) => { (facts.os) "/" (facts.arch) ", hostler " (facts.daemon_version) } None => { span.muted { "not told yet" } } } }),
                ("Enrolled", when(host.enrolled_at, now)),
                ("Key", html! { "since " (when(detail.key_since, now)) @if let Some(until) = detail.old_key_until { span.muted { ", the one before is good until " (when(until, now)) } } }),
                ("Id", html! { code { (host.id) } }),
            ]))
        }
    }
}

fn agents(detail: &HostDetail) -> Markup {
    let Some(known) = detail.host.facts.as_ref() else {
        return html! {};
    };
    let policy = known.policy.clone().unwrap_or_default();
    let (present, missing): (Vec<_>, Vec<_>) = known
        .agents
        .iter()
        .partition(|agent| agent.available || agent.problem.is_some());
    let missing: Vec<&str> = missing.iter().map(|agent| agent.label.as_str()).collect();
    let rows = present.into_iter().map(|agent| {
        let (tone, word) = if agent.problem.is_some() {
            (Tone::Bad, "problem")
        } else if !policy.allows_agent(&agent.id) {
            (Tone::Off, "not allowed")
        } else {
            (Tone::Good, "ready")
        };
        vec![
            html! { (agent.label) },
            html! { code { (agent.id) } },
            html! { (badge(tone, word)) @if let Some(problem) = &agent.problem { " " (problem) } },
            html! { @if let Some(version) = &agent.version { (version) } },
        ]
    });
    html! {
        section {
            h2 { "Agents" }
            (table("Agents", &["Agent", "Id", "State", "Version"], rows.collect()))
            @if !missing.is_empty() { p.hint { "Not installed: " (missing.join(", ")) "." } }
        }
    }
}

fn policy(detail: &HostDetail) -> Markup {
    let Some(known) = detail.host.facts.as_ref() else {
        return html! {};
    };
    let Some(policy) = &known.policy else {
        return html! {};
    };
    let listed = |list: &[String], none: &str| {
        if list.is_empty() {
            none.to_owned()
        } else {
            list.join(", ")
        }
    };
    let limited = |list: &Option<Vec<String>>, all: &str| match list {
        None => all.to_owned(),
        Some(list) => listed(list, "none"),
    };
    let autonomy = format!("{:?}", known.max_autonomy);
    html! {
        section.card {
            h2 { "What its owner allows" }
            (facts(&[
                ("Folders", html! { (listed(&policy.allowed_roots, "any")) }),
                ("Agents", html! { (limited(&policy.allowed_agents, "any")) }),
                ("Members", html! { (limited(&policy.allowed_members, "whoever is let in here")) }),
                ("Autonomy", html! { "at most " (autonomy.to_lowercase()) }),
                ("Runs at once", html! { (policy.max_runs) }),
            ]))
            p.hint { "Set in " code { "host.toml" } " on the machine, which has the last word." }
        }
    }
}

fn people(visitor: &Visitor, detail: &HostDetail, typed: &str) -> Markup {
    let (id, now) = (detail.host.id, clock::wall());
    let members = detail.members.as_deref().unwrap_or_default();
    let rows = members.iter().map(|member| {
        vec![
            html! { (member.name) },
            html! { (member.email) },
            html! { (when(member.since, now)) },
            html! {
                @if detail.is_owner {
                    form.inline method="post" action=(format!("/hosts/{id}/ungrant")) {
                        (layout::csrf(visitor))
                        input type="hidden" name="member" value=(member.user_id);
                        button.small type="submit" { "Take away" }
                    }
                }
            },
        ]
    });
    html! {
        section {
            h2 { "Who may use it" }
            @if members.is_empty() { p.muted { "Nobody but its owner." } }
            @else { (table("Members", &["Name", "Email", "Since", ""], rows.collect())) }
            @if detail.is_owner {
                form.filters method="post" action=(format!("/hosts/{id}/grant")) {
                    (layout::csrf(visitor))
                    (Field::email("member", "Let a member use it, by email").value(typed).required().class("grow"))
                    button type="submit" { "Let in" }
                }
            }
        }
    }
}

fn changes(visitor: &Visitor, detail: &HostDetail, kept: &Kept) -> Markup {
    let id = detail.host.id;
    let name = kept.name.as_deref().unwrap_or(&detail.host.name);
    let admin = visitor.caller.role >= Role::Admin;
    let may_transfer = detail.is_owner || (admin && !detail.owner_is_member);
    let at = |action: &str| format!("/hosts/{id}/{action}");
    let wrong = kept.failure.as_ref().filter(|_| kept.name.is_some());
    let wrong = wrong.filter(|failure| {
        matches!(
            failure.code,
            ErrorCode::InvalidArgument | ErrorCode::Conflict
        )
    });
    html! {
        @if detail.is_owner || admin {
            section.card {
                h2 { "Change" }
                @if detail.is_owner {
                    form.stack method="post" action=(at("rename")) {
                        (layout::csrf(visitor))
                        (Field::text("name", "Name").value(name).required().most(100).error(wrong.map(|failure| failure.message.as_str())))
                        div.actions { button type="submit" { "Rename" } }
                    }
                }
                @if may_transfer {
                    (confirm(visitor, "Hand over…", html! {
                        p { "The host becomes another member's. Automations of " (detail.owner) " on it are paused." }
                        (Field::email("member", "Email of the new owner").id("f-new-owner").required())
                    }, &at("transfer"), "Hand over"))
                }
                (confirm(visitor, "Remove this host…", html! {
                    p { "It is cut off at once and can never connect again under this identity. Runs going on there end. Automations for it are paused until they are moved to another host; their history stays. Nothing is deleted on the machine." }
                }, &at("revoke"), "Remove"))
            }
        }
    }
}

/// Which machine is right is for its owner to say.
fn doubt(visitor: &Visitor, detail: &HostDetail) -> Markup {
    let id = detail.host.id;
    let Some(doubt) = &detail.host.doubt else {
        return html! {};
    };
    html! {
        section {
            h2 { "Which machine is the host?" }
            form.stack method="post" action=(format!("/hosts/{id}/confirm")) {
                (layout::csrf(visitor))
                p { "Only you can know. A machine that was replaced or restored is the new one; a copied disk or a copied file is a copy." }
                div.actions {
                    button type="submit" name="right" value="old" { "The one it was on" }
                    @if doubt.how != DoubtKind::Both {
                        button.danger type="submit" name="right" value="new" { "The one that was refused" }
                    }
                }
            }
        }
    }
}
