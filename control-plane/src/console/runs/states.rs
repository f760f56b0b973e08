//! States of runs as people see them: a word, a tone, a row of small marks.

use hostler_proto::run::{Run, RunState};
use hostler_proto::time::UtcMillis;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::moment;
use super::super::parts::{self, Tone};

/// The word of a state with spaces: `timed out`.
pub(crate) fn words(word: &str) -> String {
    word.replace('_', " ")
}

/// What a state means.
pub(crate) fn tone(word: &str) -> Tone {
    match word {
        "succeeded" => Tone::Good,
        "preparing" | "running" => Tone::Busy,
        "queued" => Tone::Wait,
        "cancelled" | "skipped" => Tone::Off,
        _ => Tone::Bad,
    }
}

/// The state as a badge.
pub(crate) fn badge(word: &str) -> Markup {
    parts::badge(tone(word), &words(word))
}

/// The newest runs (newest first), drawn from the oldest to the newest, each a link to its run.
pub(crate) fn strip(name: &str, runs: &[&Run], zone: &TimeZone) -> Markup {
    html! {
        @if !runs.is_empty() {
            ul.strip aria-label=(format!("Last runs of {name}, oldest first")) {
                @for run in runs.iter().rev() {
                    @let said = format!("{}, {}", words(run.state.word()), moment::local(run.scheduled_for, zone));
                    li { a class={ "mark " (mark(run.state.word())) } href=(format!("/runs/{}", run.id)) title=(said) {
                        span.hidden { (said) }
                    } }
                }
            }
        }
    }
}

fn mark(word: &str) -> &'static str {
    match tone(word) {
        Tone::Good => "good",
        Tone::Busy => "busy",
        Tone::Wait => "wait",
        Tone::Bad => "bad",
        Tone::Off => "off",
    }
}

/// When a run's agent started and when it ended, as far as both happened.
pub(crate) fn times(run: &Run) -> (Option<UtcMillis>, Option<UtcMillis>) {
    match &run.state {
        RunState::Queued | RunState::Preparing { .. } => (None, None),
        RunState::Running { started_at } => (Some(*started_at), None),
        RunState::Finished(finished) => (finished.started_at, Some(finished.finished_at)),
        RunState::Skipped { at, .. } => (None, Some(*at)),
    }
}

/// How long a run took, or has taken so far.
pub(crate) fn took(run: &Run, now: UtcMillis) -> Option<String> {
    let (started, ended) = times(run);
    started.map(|started| moment::length(ended.unwrap_or(now).since(started)))
}

/// What a run did, in a few words: `2 commits, 5 files +40 −3`.
pub(crate) fn summary(run: &Run) -> String {
    let finished = match &run.state {
        RunState::Finished(finished) => finished,
        RunState::Skipped { reason, count, .. } => {
            let times = if *count > 1 {
                format!(", {count} instants")
            } else {
                String::new()
            };
            return words(reason.word()) + &times;
        }
        RunState::Queued | RunState::Preparing { .. } | RunState::Running { .. } => {
            return String::new();
        }
    };
    let outcome = &finished.outcome;
    let mut said = Vec::new();
    if let Some(code) = finished.exit_code.filter(|code| *code != 0) {
        said.push(format!("exit code {code}"));
    }
    if outcome.commits > 0 {
        let s = if outcome.commits == 1 { "" } else { "s" };
        said.push(format!("{} commit{s}", outcome.commits));
    }
    if outcome.files_changed > 0 {
        let s = if outcome.files_changed == 1 { "" } else { "s" };
        said.push(format!(
            "{} file{s} +{} −{}",
            outcome.files_changed, outcome.insertions, outcome.deletions
        ));
    }
    if !outcome.denied.is_empty() {
        said.push(format!("{} denied", outcome.denied.len()));
    }
    said.join(", ")
}
