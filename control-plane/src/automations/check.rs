//! What a valid automation is: its text, its schedule, its agent and its policies, against what the
//! host says it can do. Pure; every refusal says what to write instead.

use hostler_proto::automation::{Autonomy, Policies, ScheduleSpec};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::host::AgentFacts;
use hostler_proto::schedule::{self, Schedule, ScheduleError, ScheduleText};
use hostler_proto::time::UtcMillis;

use super::record::{CreateAutomation, PolicyChanges, UpdateAutomation};
use crate::names::shortened;
use crate::store::hosts::HostRow;

const MOST_NAME: usize = 200;
const MOST_PROMPT: usize = 100_000;

/// A schedule that was checked.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) spec: ScheduleSpec,
    pub(super) text: String,
}

/// A schedule as its user wrote it.
#[derive(Clone, Debug)]
pub(super) struct Written {
    rrule: String,
    start: Start,
    timezone: String,
    exdates: Vec<UtcMillisText>,
    rdates: Vec<UtcMillisText>,
}

#[derive(Clone, Debug)]
enum Start {
    /// As written, or now.
    Text(Option<String>),
    /// As stored before.
    Kept(jiff::civil::DateTime),
}

#[derive(Clone, Debug)]
enum UtcMillisText {
    Text(String),
    Kept(UtcMillis),
}

impl Written {
    pub(super) fn of_new(input: &CreateAutomation) -> Self {
        Self {
            rrule: input.rrule.clone(),
            start: Start::Text(input.dtstart.clone()),
            timezone: input.timezone.clone(),
            exdates: texts(&input.exdates),
            rdates: texts(&input.rdates),
        }
    }

    /// The stored schedule with the changes over it; none when nothing of it changes.
    pub(super) fn of_change(stored: &ScheduleSpec, input: &UpdateAutomation) -> Option<Self> {
        let untouched = input.rrule.is_none()
            && input.dtstart.is_none()
            && input.timezone.is_none()
            && input.exdates.is_none()
            && input.rdates.is_none();
        let dates = |change: &Option<Vec<String>>, kept: &[UtcMillis]| match change {
            Some(list) => texts(list),
            None => kept.iter().copied().map(UtcMillisText::Kept).collect(),
        };
        (!untouched).then(|| Self {
            rrule: input.rrule.clone().unwrap_or_else(|| stored.rrule.clone()),
            start: match &input.dtstart {
                Some(text) => Start::Text(Some(text.clone())),
                None => Start::Kept(stored.dtstart),
            },
            timezone: input
                .timezone
                .clone()
                .unwrap_or_else(|| stored.timezone.clone()),
            exdates: dates(&input.exdates, &stored.exdates),
            rdates: dates(&input.rdates, &stored.rdates),
        })
    }
}

/// The name without spaces around it.
pub(super) fn name(text: &str) -> Result<String, Failure> {
    let name = text.trim();
    let length = name.chars().count();
    if (1..=MOST_NAME).contains(&length) {
        return Ok(name.to_owned());
    }
    Err(invalid(
        format!("the name has {length} characters; 1 to {MOST_NAME} are allowed"),
        "pass a name that says what the automation does",
    ))
}

/// A prompt that says something and is not too long.
pub(super) fn prompt(text: &str) -> Result<(), Failure> {
    let length = text.chars().count();
    if length <= MOST_PROMPT && !text.trim().is_empty() {
        return Ok(());
    }
    Err(invalid(
        format!("the prompt has {length} characters; 1 to {MOST_PROMPT} are allowed"),
        "pass what the agent is to do; keep long material in the repository and refer to it",
    ))
}

/// Compiles the schedule and checks what automations may not do.
pub(super) fn schedule(written: &Written, now: UtcMillis) -> Result<Plan, Failure> {
    let at = now.to_timestamp();
    let dtstart = match &written.start {
        Start::Kept(start) => *start,
        Start::Text(text) => schedule::parse_dtstart(text.as_deref(), &written.timezone, at)
            .map_err(|error| refused(&error))?,
    };
    let spec = ScheduleSpec {
        rrule: written.rrule.trim().to_owned(),
        dtstart,
        timezone: written.timezone.trim().to_owned(),
        exdates: instants("exdates", &written.exdates)?,
        rdates: instants("rdates", &written.rdates)?,
    };
    let compiled = Schedule::parse(&stored(&spec)).map_err(|error| unread(&spec.rrule, &error))?;
    compiled
        .check_product(at)
        .map_err(|error| refused(&error))?;
    Ok(Plan {
        text: schedule::describe(&compiled),
        spec,
    })
}

/// A stored schedule as the engine takes it.
pub(crate) fn stored(spec: &ScheduleSpec) -> ScheduleText {
    let timestamps = |list: &[UtcMillis]| list.iter().map(|at| at.to_timestamp()).collect();
    ScheduleText {
        rrule: spec.rrule.clone(),
        dtstart: spec.dtstart,
        timezone: spec.timezone.clone(),
        exdates: timestamps(&spec.exdates),
        rdates: timestamps(&spec.rdates),
    }
}

/// An agent that the owner of the host allows there.
pub(super) fn allowed_agent(id: &str, host: &HostRow) -> Result<(), Failure> {
    let policy = host.facts.as_ref().and_then(|facts| facts.policy.as_ref());
    let Some(policy) = policy.filter(|policy| !policy.allows_agent(id)) else {
        return Ok(());
    };
    let allowed = policy.allowed_agents.clone().unwrap_or_default();
    Err(Failure::new(
        ErrorCode::Forbidden,
        format!(
            "the owner of host {} does not allow the agent {}",
            host.name,
            shortened(id)
        ),
    )
    .hint(if allowed.is_empty() {
        "no agent is allowed there: choose another host".to_owned()
    } else {
        format!("allowed there: {}", allowed.join(", "))
    }))
}

/// An agent that the host can run. A host that has said nothing yet is believed to.
pub(super) fn agent(id: &str, host: &HostRow) -> Result<(), Failure> {
    allowed_agent(id, host)?;
    let Some(facts) = &host.facts else {
        return agent_shape(id);
    };
    let found = facts.agents.iter().find(|agent| agent.id == id);
    if found.is_some_and(|agent| agent.available) {
        return Ok(());
    }
    let usable: Vec<&str> = facts
        .agents
        .iter()
        .filter(|agent| agent.available)
        .map(|agent| agent.id.as_str())
        .collect();
    let hint = format!(
        "agents that host {} can run: {}",
        host.name,
        usable.join(", ")
    );
    match found {
        Some(AgentFacts {
            label,
            problem: Some(problem),
            ..
        }) => Err(Failure::new(
            ErrorCode::PreconditionFailed,
            format!(
                "{label} ({id}) cannot be used on host {}: {problem}",
                host.name
            ),
        )
        .hint(format!("mend it there, or choose another; {hint}"))),
        Some(agent) => Err(Failure::new(
            ErrorCode::PreconditionFailed,
            format!(
                "{} ({}) is not installed on host {}",
                agent.label, agent.id, host.name
            ),
        )
        .hint(format!("install it there, or choose another; {hint}"))),
        None => Err(invalid(
            format!("host {} has no agent \"{}\"", host.name, shortened(id)),
            hint,
        )),
    }
}

/// The default policies, with no more autonomy than the host allows.
pub(super) fn defaults(host: &HostRow) -> Policies {
    let policies = Policies::default();
    Policies {
        autonomy: policies.autonomy.min(most_autonomy(host)),
        ..policies
    }
}

/// Policies with the changes over them, each in its range.
pub(super) fn policies(
    base: &Policies,
    changes: &PolicyChanges,
    host: &HostRow,
) -> Result<Policies, Failure> {
    let policies = Policies {
        catch_up: changes.catch_up.unwrap_or(base.catch_up),
        overlap: changes.overlap.unwrap_or(base.overlap),
        jitter_seconds: changes.jitter_seconds.unwrap_or(base.jitter_seconds),
        max_runtime_seconds: changes
            .max_runtime_seconds
            .unwrap_or(base.max_runtime_seconds),
        retries: changes.retries.unwrap_or(base.retries),
        pause_after_failures: changes
            .pause_after_failures
            .unwrap_or(base.pause_after_failures),
        max_runs: changes.max_runs.unwrap_or(base.max_runs),
        autonomy: changes.autonomy.unwrap_or(base.autonomy),
        keep_workspace: changes.keep_workspace.unwrap_or(base.keep_workspace),
    };
    in_range("jitterSeconds", policies.jitter_seconds, 0, 900)?;
    in_range(
        "maxRuntimeSeconds",
        policies.max_runtime_seconds,
        1,
        604_800,
    )?;
    in_range("retries", policies.retries, 0, 3)?;
    in_range(
        "pauseAfterFailures",
        policies.pause_after_failures,
        0,
        1_000,
    )?;
    if let Some(most) = policies.max_runs {
        in_range("maxRuns", most, 1, 1_000_000)?;
    }
    let most = most_autonomy(host);
    if policies.autonomy > most {
        return Err(invalid(
            format!(
                "host {} lets an agent do {} at most, and {} was asked for",
                host.name,
                autonomy_word(most),
                autonomy_word(policies.autonomy)
            ),
            format!(
                "pass autonomy {}, or raise max_autonomy in host.toml on that host",
                autonomy_word(most)
            ),
        ));
    }
    Ok(policies)
}

fn most_autonomy(host: &HostRow) -> Autonomy {
    host.facts
        .as_ref()
        .map_or(Autonomy::Full, |facts| facts.max_autonomy)
}

fn autonomy_word(autonomy: Autonomy) -> &'static str {
    match autonomy {
        Autonomy::ReadOnly => "read_only",
        Autonomy::Edits => "edits",
        Autonomy::Full => "full",
    }
}

fn agent_shape(id: &str) -> Result<(), Failure> {
    let fine = (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fine {
        return Ok(());
    }
    Err(invalid(
        format!("\"{}\" is not an agent's id", shortened(id)),
        "pass one such as claude, codex, gemini, opencode or shell",
    ))
}

fn in_range(what: &str, value: u32, least: u32, most: u32) -> Result<(), Failure> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(invalid(
        format!("{what} is {value}; {least} to {most} is allowed"),
        format!("pass {what} in that range, or leave it out"),
    ))
}

fn texts(list: &[String]) -> Vec<UtcMillisText> {
    list.iter().cloned().map(UtcMillisText::Text).collect()
}

fn instants(what: &str, list: &[UtcMillisText]) -> Result<Vec<UtcMillis>, Failure> {
    list.iter()
        .map(|one| match one {
            UtcMillisText::Kept(at) => Ok(*at),
            UtcMillisText::Text(text) => text
                .trim()
                .parse::<jiff::Timestamp>()
                .map(UtcMillis::from)
                .map_err(|error| {
                    invalid(
                        format!("{what} holds \"{}\", which is not a time", shortened(text)),
                        "pass RFC 3339 with an offset, such as 2026-03-01T09:00:00-05:00",
                    )
                    .detail(error.to_string())
                }),
        })
        .collect()
}

/// Cron text in the place of a rule is told its rule.
fn unread(text: &str, error: &ScheduleError) -> Failure {
    match schedule::from_cron(text) {
        Ok(rule) => invalid(
            format!("\"{}\" is cron text and no RFC 5545 rule", shortened(text)),
            format!("pass this rrule instead: {rule}"),
        ),
        Err(_) => refused(error),
    }
}

/// The engine's sentence: what is wrong, then what to write instead.
pub(super) fn refused(error: &ScheduleError) -> Failure {
    let text = error.to_string();
    match text.split_once("; ") {
        Some((message, hint)) => invalid(message, hint),
        None => invalid(text, "write a rule such as FREQ=DAILY;BYHOUR=9;BYMINUTE=0"),
    }
}

fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::InvalidArgument, message).hint(hint)
}
