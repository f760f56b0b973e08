//! What the editor lets one choose from: hosts, the agents a host has, where it can run, time zones.

use std::sync::OnceLock;

use hostler_proto::automation::Autonomy;
use hostler_proto::error::Failure;
use hostler_proto::host::AgentFacts;
use hostler_proto::project::ProjectState;
use hostler_proto::workspace::WorkspaceState;

use super::super::text;
use super::fields::{Choice, Group};
use super::form::Form;
use crate::App;
use crate::auth::Caller;
use crate::auth::session::Visitor;
use crate::hosts_catalog::HostView;
use crate::workspaces::ListWorkspaces;
use crate::{hosts_catalog, projects, workspaces};

/// So many workspaces are listed.
const MOST_WORKSPACES: u32 = 100;

/// Everything there is to choose from, for the host that is chosen.
#[derive(Debug)]
pub(super) struct Choices {
    hosts: Vec<HostView>,
    /// The host of an automation whose owner may not use it any more.
    lost: Option<String>,
    pub(super) host: Option<HostView>,
    pub(super) places: Vec<Group>,
}

impl Choices {
    /// What there is for a form; the first host when none is chosen yet, online ones first.
    pub(super) async fn of(app: &App, visitor: &Visitor, form: &Form) -> Result<Self, Failure> {
        let caller = &visitor.caller;
        let mut hosts = hosts_catalog::list(app, caller, None).await?;
        hosts.sort_by_key(|host| !host.online);
        let chosen = hosts.iter().find(|host| host.id.to_string() == form.host);
        let lost = (chosen.is_none() && !form.id.is_empty()).then(|| form.host.clone());
        let first = hosts.first().filter(|_| lost.is_none());
        let host = chosen.or(first).cloned();
        let mut places = vec![(
            "",
            vec![Choice::new("scratch", "A scratch folder for each run")],
        )];
        if let Some(host) = &host {
            places.extend(places_on(app, caller, host, &form.place).await?);
        }
        let mut known = places.iter().flat_map(|(_, choices)| choices);
        if !form.id.is_empty() && !known.any(|choice| choice.value == form.place) {
            let words = "The present one, which this host does not have now";
            places.push(("", vec![Choice::new(&form.place, words)]));
        }
        Ok(Self {
            hosts,
            lost,
            host,
            places,
        })
    }

    /// The hosts.
    pub(super) fn hosts(&self) -> Vec<Group> {
        let hosts = self.hosts.iter().map(|host| {
            let away = if host.online { "" } else { " (offline)" };
            Choice::new(host.id.to_string(), text::short(&host.name, 60) + away)
        });
        let lost = self.lost.iter();
        let lost =
            lost.map(|id| Choice::new(id, "The present host, which you may not use any more"));
        vec![("", lost.chain(hosts).collect())]
    }

    pub(super) fn has_hosts(&self) -> bool {
        !self.hosts.is_empty() || self.lost.is_some()
    }

    /// The agents of the chosen host, those it cannot run marked; none when it has not told of any.
    pub(super) fn agents(&self, chosen: &str) -> Option<Vec<Group>> {
        let facts = self.host.as_ref()?.facts.as_ref()?;
        let (able, unable): (Vec<_>, Vec<_>) =
            facts.agents.iter().partition(|agent| agent.available);
        let mut able: Vec<Choice> = able
            .into_iter()
            .map(|agent| agent_choice(agent, None))
            .collect();
        let unable = unable.into_iter().map(|agent| {
            let why = agent.problem.as_deref().unwrap_or("not installed");
            let choice = agent_choice(agent, Some(why));
            // What is chosen has to be sent, so it stays a choice.
            Choice {
                disabled: agent.id != chosen,
                ..choice
            }
        });
        let unable: Vec<Choice> = unable.collect();
        let known = able.iter().chain(&unable).any(|one| one.value == chosen);
        if !chosen.is_empty() && !known {
            able.insert(
                0,
                Choice::new(chosen, format!("{chosen} (not on this host)")),
            );
        }
        Some(vec![("", able), ("Not usable on this host", unable)])
    }

    /// The agent a new automation begins with.
    pub(super) fn first_agent(&self) -> Option<String> {
        let facts = self.host.as_ref()?.facts.as_ref()?;
        let mut agents = facts.agents.iter().filter(|agent| agent.available);
        agents.next().map(|agent| agent.id.clone())
    }

    /// How much an agent may do, as far as the host lets it.
    pub(super) fn autonomy(&self, chosen: &str) -> Vec<Group> {
        let most = self.host.as_ref().and_then(|host| host.facts.as_ref());
        let most = most.map_or(Autonomy::Full, |facts| facts.max_autonomy);
        let all = [
            (Autonomy::ReadOnly, "read_only", "Read only"),
            (Autonomy::Edits, "edits", "Edit files of its workspace"),
            (Autonomy::Full, "full", "Anything the host's user could do"),
        ];
        let choices = all.into_iter().map(|(autonomy, value, words)| {
            let disabled = autonomy > most && value != chosen;
            let words = if autonomy > most {
                format!("{words} (not allowed on this host)")
            } else {
                words.to_owned()
            };
            Choice {
                value: value.to_owned(),
                words,
                disabled,
            }
        });
        vec![("", choices.collect())]
    }
}

/// Where an automation can run on a host. Of many workspaces the newest, and the chosen one.
async fn places_on(
    app: &App,
    caller: &Caller,
    host: &HostView,
    chosen: &str,
) -> Result<[Group; 2], Failure> {
    let id = host.id.to_string();
    let found = projects::list(app, caller, Some(&id)).await?;
    let ready = |project: &&projects::ProjectView| {
        project
            .hosts
            .iter()
            .any(|place| place.host_id == host.id && place.state == ProjectState::Ready)
    };
    let found = found.iter().filter(ready).map(|project| {
        Choice::new(
            format!("project:{}", project.id),
            format!("A fresh worktree of {}", text::short(&project.name, 80)),
        )
    });
    let projects = ("Projects", found.collect());
    let wanted = ListWorkspaces {
        host: Some(id),
        state: Some("ready".to_owned()),
        ..ListWorkspaces::default()
    };
    let page = workspaces::page(app, caller, wanted, None, MOST_WORKSPACES, 0).await?;
    let mut found = page.workspaces;
    if let Some(chosen) = chosen.strip_prefix("workspace:")
        && !found
            .iter()
            .any(|one| one.workspace.id.to_string() == chosen)
        && let Ok(one) = workspaces::get(app, caller, chosen).await
        && one.host_id == host.id
        && one.workspace.state == WorkspaceState::Ready
    {
        found.insert(0, one);
    }
    let found = found.iter().map(|one| {
        let project = one.project_name.as_deref().unwrap_or("no project");
        let words = format!("Workspace {} of {project}", one.workspace.name);
        Choice::new(
            format!("workspace:{}", one.workspace.id),
            text::short(&words, 80),
        )
    });
    let label = if page.total > MOST_WORKSPACES.into() {
        "The newest workspaces (for another, begin on its own page)"
    } else {
        "Workspaces"
    };
    Ok([projects, (label, found.collect())])
}

fn agent_choice(agent: &AgentFacts, why: Option<&str>) -> Choice {
    let label = text::short(&agent.label, 60);
    let words = match (why, &agent.version) {
        (Some(why), _) => format!("{label}: {}", text::short(why, 80)),
        (None, Some(version)) => format!("{label} ({})", text::short(version, 40)),
        (None, None) => label,
    };
    Choice {
        value: agent.id.clone(),
        words,
        disabled: false,
    }
}

/// The names of all zones this server knows.
pub(super) fn zones() -> &'static [String] {
    static ZONES: OnceLock<Vec<String>> = OnceLock::new();
    ZONES.get_or_init(|| {
        let names = jiff::tz::db().available().map(|name| name.to_string());
        let mut names: Vec<String> = names
            .filter(|name| name.contains('/') || name == "UTC")
            .filter(|name| {
                !name.starts_with("posix/")
                    && !name.starts_with("right/")
                    && !name.starts_with("Etc/")
            })
            .collect();
        names.sort();
        names.dedup();
        names
    })
}
