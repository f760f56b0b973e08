//! The editor's form: from an automation to fields, and from fields to what the operations take. What
//! cannot be read is told by field; what is valid, the operations decide.

use hostler_proto::automation::{Policies, ScheduleSpec};
use hostler_proto::schedule;
use hostler_proto::time::UtcMillis;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::moment;
use super::simple::Choices;
use crate::automations::{
    AutomationView, CreateAutomation, NewPrompt, PolicyChanges, UpdateAutomation,
};

/// What the form holds, as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Form {
    /// The automation that is edited; empty for a new one.
    pub(super) id: String,
    /// The revision it had when the form was filled.
    pub(super) revision: String,
    /// The version its prompt had then.
    pub(super) version: String,
    pub(super) name: String,
    pub(super) prompt: String,
    pub(super) host: String,
    pub(super) agent: String,
    /// `scratch`, `project:ID` or `workspace:ID`.
    pub(super) place: String,
    pub(super) base_branch: String,
    /// `simple`, `cron` or `rrule`.
    pub(super) kind: String,
    #[serde(flatten)]
    pub(super) choices: Choices,
    pub(super) cron: String,
    pub(super) rrule: String,
    pub(super) timezone: String,
    pub(super) dtstart: String,
    pub(super) exdates: String,
    pub(super) rdates: String,
    pub(super) catch_up: String,
    pub(super) overlap: String,
    pub(super) jitter_seconds: String,
    pub(super) max_runtime_seconds: String,
    pub(super) retries: String,
    pub(super) pause_after_failures: String,
    pub(super) max_runs: String,
    pub(super) autonomy: String,
    pub(super) keep_workspace: String,
}

/// What is wrong: the field and a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Errors(Vec<(&'static str, String)>);

impl Errors {
    pub(super) fn add(&mut self, field: &'static str, said: impl Into<String>) {
        self.0.push((field, said.into()));
    }

    /// What is wrong with a field.
    pub(super) fn of(&self, field: &str) -> Option<&str> {
        let mut all = self.0.iter();
        all.find(|(name, _)| *name == field)
            .map(|(_, said)| said.as_str())
    }

    pub(super) fn any(&self, fields: &[&str]) -> bool {
        self.0.iter().any(|(name, _)| fields.contains(name))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Only those of some fields.
    pub(super) fn only(mut self, fields: &[&str]) -> Self {
        self.0.retain(|(name, _)| fields.contains(name));
        self
    }
}

impl Form {
    /// A new automation's.
    pub(super) fn fresh() -> Self {
        let mut form = Self {
            kind: "simple".to_owned(),
            choices: Choices::fresh(),
            place: "scratch".to_owned(),
            timezone: "UTC".to_owned(),
            ..Self::default()
        };
        form.fill_policies(&Policies::default());
        form
    }

    /// An automation's.
    pub(super) fn of(view: &AutomationView, prompt: &str) -> Self {
        let mut form = Self {
            id: view.id.to_string(),
            revision: view.revision.to_string(),
            version: view.prompt_version.to_string(),
            name: view.name.clone(),
            prompt: prompt.to_owned(),
            host: view.host_id.to_string(),
            agent: view.agent.clone(),
            place: place_of(view),
            base_branch: view.base_branch.clone().unwrap_or_default(),
            ..Self::fresh()
        };
        form.fill_schedule(&view.schedule);
        form.fill_policies(&view.policies);
        form
    }

    fn fill_schedule(&mut self, schedule: &ScheduleSpec) {
        let zone = moment::zone(&schedule.timezone);
        self.rrule.clone_from(&schedule.rrule);
        self.timezone.clone_from(&schedule.timezone);
        self.dtstart = schedule.dtstart.to_string();
        self.exdates = dates(&schedule.exdates, &zone);
        self.rdates = dates(&schedule.rdates, &zone);
        match Choices::of_rule(&schedule.rrule) {
            Some(choices) => self.choices = choices,
            None => "rrule".clone_into(&mut self.kind),
        }
    }

    fn fill_policies(&mut self, policies: &Policies) {
        self.catch_up = word(&policies.catch_up);
        self.overlap = word(&policies.overlap);
        self.jitter_seconds = policies.jitter_seconds.to_string();
        self.max_runtime_seconds = policies.max_runtime_seconds.to_string();
        self.retries = policies.retries.to_string();
        self.pause_after_failures = policies.pause_after_failures.to_string();
        self.max_runs = policies
            .max_runs
            .map_or(String::new(), |most| most.to_string());
        self.autonomy = word(&policies.autonomy);
        self.keep_workspace = word(&policies.keep_workspace);
    }

    /// The rule that is meant.
    fn rule(&self, errors: &mut Errors) -> String {
        match self.kind.as_str() {
            "simple" => self.choices.rule().unwrap_or_else(|said| {
                errors.add("simple", said);
                String::new()
            }),
            "cron" => schedule::from_cron(&self.cron).unwrap_or_else(|error| {
                errors.add("cron", super::fields::sentence(&error.to_string()));
                String::new()
            }),
            _ => {
                if self.rrule.trim().is_empty() {
                    errors.add(
                        "rrule",
                        "Write a rule, such as FREQ=DAILY;BYHOUR=9;BYMINUTE=0.",
                    );
                }
                unix(&self.rrule)
            }
        }
    }

    /// All of it, for a new automation or to be checked.
    pub(super) fn read(&self) -> (CreateAutomation, Errors) {
        let mut errors = Errors::default();
        let rrule = self.rule(&mut errors);
        if TimeZone::get(self.timezone.trim()).is_err() {
            errors.add(
                "timezone",
                "Choose a time zone of the list, such as Europe/Berlin.",
            );
        }
        let (project, workspace) = match self.place.split_once(':') {
            Some(("project", id)) => (Some(id.to_owned()), None),
            Some(("workspace", id)) => (None, Some(id.to_owned())),
            Some(_) | None => (None, None),
        };
        let branch = some(&self.base_branch).filter(|_| project.is_some());
        let create = CreateAutomation {
            name: self.name.clone(),
            prompt: unix(&self.prompt),
            agent: self.agent.trim().to_owned(),
            host: some(&self.host),
            project,
            workspace,
            base_branch: branch,
            rrule,
            dtstart: some(&self.dtstart),
            timezone: self.timezone.trim().to_owned(),
            exdates: lines(&self.exdates),
            rdates: lines(&self.rdates),
            policies: self.policies(&mut errors),
        };
        (create, errors)
    }

    fn policies(&self, errors: &mut Errors) -> PolicyChanges {
        let mut number = |field: &'static str, text: &str, least: u32, most: u32| {
            let read = text.trim().parse().ok();
            let read = read.filter(|number| (least..=most).contains(number));
            if read.is_none() {
                errors.add(field, format!("A whole number from {least} to {most}."));
            }
            read
        };
        PolicyChanges {
            catch_up: choice(&self.catch_up),
            overlap: choice(&self.overlap),
            jitter_seconds: number("jitter_seconds", &self.jitter_seconds, 0, 900),
            max_runtime_seconds: number(
                "max_runtime_seconds",
                &self.max_runtime_seconds,
                1,
                604_800,
            ),
            retries: number("retries", &self.retries, 0, 3),
            pause_after_failures: number(
                "pause_after_failures",
                &self.pause_after_failures,
                0,
                1_000,
            ),
            max_runs: Some(match self.max_runs.trim() {
                "" => None,
                text => number("max_runs", text, 1, 1_000_000),
            }),
            autonomy: choice(&self.autonomy),
            keep_workspace: choice(&self.keep_workspace),
        }
    }

    /// What differs from the automation as it is.
    pub(super) fn changes(
        &self,
        all: CreateAutomation,
        view: &AutomationView,
        prompt: &str,
    ) -> UpdateAutomation {
        let stored = Self::of(view, prompt);
        let moved = all.host != Some(view.host_id.to_string());
        let replaced = self.place != stored.place || self.base_branch != stored.base_branch;
        UpdateAutomation {
            name: Some(all.name).filter(|name| name.trim() != view.name),
            agent: Some(all.agent).filter(|agent| *agent != view.agent),
            host: all.host.filter(|_| moved),
            project: replaced.then_some(all.project),
            workspace: replaced.then_some(all.workspace),
            base_branch: replaced.then_some(all.base_branch),
            rrule: Some(all.rrule).filter(|rule| *rule != unix(&view.schedule.rrule)),
            dtstart: all.dtstart.filter(|start| *start != stored.dtstart),
            timezone: Some(all.timezone).filter(|zone| *zone != view.schedule.timezone),
            exdates: Some(all.exdates).filter(|_| differs(&self.exdates, &stored.exdates)),
            rdates: Some(all.rdates).filter(|_| differs(&self.rdates, &stored.rdates)),
            policies: all.policies,
            prompt: Some(all.prompt)
                .filter(|text| *text != unix(prompt))
                .map(|text| NewPrompt {
                    text,
                    if_version: self.version.parse().ok(),
                }),
            if_revision: self.revision.parse().ok(),
        }
    }
}

/// The word that an enum without data is in JSON.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

/// The enum's value of a word; none for a word it does not have.
fn choice<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(Value::String(text.to_owned())).ok()
}

fn place_of(view: &AutomationView) -> String {
    match (view.project_id, view.workspace_id) {
        (Some(id), _) => format!("project:{id}"),
        (None, Some(id)) => format!("workspace:{id}"),
        (None, None) => "scratch".to_owned(),
    }
}

/// A browser ends lines with `\r\n`, whatever they ended with before.
fn unix(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn some(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn lines(text: &str) -> Vec<String> {
    text.split(['\n', ',']).filter_map(some).collect()
}

fn differs(one: &str, other: &str) -> bool {
    lines(one) != lines(other)
}

/// Instants a line each, as a clock in the zone shows them.
fn dates(list: &[UtcMillis], zone: &TimeZone) -> String {
    let written = list.iter().map(|at| {
        let local = at.to_timestamp().to_zoned(zone.clone());
        local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    });
    written.collect::<Vec<_>>().join("\n")
}
