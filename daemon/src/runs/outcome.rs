//! How a run ended, from its supervisor's record, its agent's own words and its workspace. Pure.

use hostler_proto::run::{Finished, Outcome, RunResult};
use hostler_proto::time::UtcMillis;

use crate::agents::Report;
use crate::supervisor::record::{Ended, Exit, StepExit, StepKind};

/// The end of a run whose supervisor left a record. `changes`: what happened in the workspace.
pub fn finished(exit: &Exit, report: Report, changes: &Outcome) -> Finished {
    let agent = exit.agent();
    let last = exit.steps.last();
    let (result, reason) = verdict(exit, &report);
    let reason = with_sign_in(result, reason, report.sign_in.as_deref());
    Finished {
        result,
        started_at: agent.map(|step| step.started_at),
        finished_at: exit.finished_at,
        reason,
        exit_code: last.and_then(|step| step.code),
        signal: last.and_then(|step| step.signal),
        outcome: Outcome {
            result_text: report.result_text,
            session_id: report.session_id,
            tokens: report.tokens,
            cost_usd: report.cost_usd,
            denied: report.denied,
            peak_memory_bytes: Some(exit.peak_memory_bytes).filter(|bytes| *bytes > 0),
            cpu_seconds: Some(seconds(exit.cpu_ms)),
            ..changes.clone()
        },
        log_bytes: exit.log_bytes,
    }
}

/// The end of a run that has no record: it was never launched, or its supervisor vanished.
pub fn unrecorded(
    result: RunResult,
    reason: String,
    started_at: Option<UtcMillis>,
    log_bytes: u64,
    now: UtcMillis,
) -> Finished {
    Finished {
        result,
        started_at,
        finished_at: now,
        reason: Some(reason),
        exit_code: None,
        signal: None,
        outcome: Outcome::default(),
        log_bytes,
    }
}

/// A run that somebody ended, or that worked, had no trouble with its login.
fn with_sign_in(
    result: RunResult,
    reason: Option<String>,
    sign_in: Option<&str>,
) -> Option<String> {
    match (result, reason, sign_in) {
        (
            RunResult::Failed | RunResult::Stalled | RunResult::TimedOut,
            Some(reason),
            Some(sign_in),
        ) => Some(format!("{reason}. {sign_in}")),
        (_, reason, _) => reason,
    }
}

fn verdict(exit: &Exit, report: &Report) -> (RunResult, Option<String>) {
    let words = exit.ended.in_words();
    match &exit.ended {
        Ended::ByItself => match by_itself(exit, report) {
            None => (RunResult::Succeeded, None),
            Some(reason) => (RunResult::Failed, Some(reason)),
        },
        Ended::NotStarted { .. }
        | Ended::SpoolFailed { .. }
        | Ended::TooMuchMemory { .. }
        | Ended::DiskFull { .. } => (RunResult::Failed, Some(words)),
        Ended::TimedOut { .. } => (RunResult::TimedOut, Some(words)),
        Ended::Stalled { .. } => (RunResult::Stalled, Some(words)),
        Ended::Cancelled { .. } => (RunResult::Cancelled, Some(words)),
    }
}

/// Why a run that ended by itself did not succeed.
fn by_itself(exit: &Exit, report: &Report) -> Option<String> {
    let Some(last) = exit.steps.last() else {
        return Some("nothing was run".to_owned());
    };
    if last.kind != StepKind::Agent {
        return Some(format!("{}: see the end of the log", last.in_words()));
    }
    if let Some(words) = &report.failure {
        return Some(format!("the agent reports: {words}"));
    }
    if last.code != Some(0) {
        return Some(ended_badly(last));
    }
    if !report.denied.is_empty() {
        return Some(format!(
            "the agent was denied its tools ({}): give the automation more autonomy, or allow them in the agent's own settings",
            report.denied.join(", ")
        ));
    }
    None
}

fn ended_badly(step: &StepExit) -> String {
    match (step.code, step.signal) {
        (Some(code), _) => format!("the agent ended with exit code {code}"),
        (None, Some(signal)) => format!("the agent was ended by signal {signal}"),
        (None, None) => "the agent ended without saying how".to_owned(),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact for the first 285,000 years of CPU time"
)]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(kind: StepKind, code: Option<i32>, signal: Option<i32>) -> StepExit {
        StepExit {
            kind,
            label: "npm ci".into(),
            started_at: UtcMillis(10),
            finished_at: UtcMillis(20),
            code,
            signal,
        }
    }

    fn end(ended: Ended, steps: Vec<StepExit>, report: Report) -> Finished {
        let exit = Exit {
            ended,
            steps,
            finished_at: UtcMillis(21),
            log_bytes: 5,
            log_crc32: 0,
            peak_memory_bytes: 0,
            cpu_ms: 1_500,
            leftovers: 0,
        };
        finished(
            &exit,
            report,
            &Outcome {
                commits: 2,
                ..Outcome::default()
            },
        )
    }

    #[test]
    fn only_a_clean_exit_without_denials_succeeds() {
        let agent = |code| vec![step(StepKind::Agent, Some(code), None)];
        let good = end(Ended::ByItself, agent(0), Report::default());
        assert_eq!((good.result, good.reason), (RunResult::Succeeded, None));
        assert_eq!(
            (good.exit_code, good.started_at),
            (Some(0), Some(UtcMillis(10)))
        );
        assert_eq!(
            (good.outcome.commits, good.outcome.cpu_seconds),
            (2, Some(1.5))
        );
        let denied = Report {
            denied: vec!["Bash".into()],
            ..Report::default()
        };
        let denied = end(Ended::ByItself, agent(0), denied);
        assert_eq!(denied.result, RunResult::Failed);
        assert!(denied.reason.unwrap().contains("denied its tools (Bash)"));
        let failure = Report {
            failure: Some("no credit".into()),
            ..Report::default()
        };
        assert!(
            end(Ended::ByItself, agent(0), failure)
                .reason
                .unwrap()
                .contains("no credit")
        );
        let out = |code| Report {
            sign_in: Some("type `x login`".into()),
            denied: vec![format!("{code}")],
            ..Report::default()
        };
        let signed_out = end(Ended::ByItself, agent(1), out(1)).reason.unwrap();
        assert_eq!(
            signed_out,
            "the agent ended with exit code 1. type `x login`"
        );
        let cancelled = Ended::Cancelled { by: "ada".into() };
        let cancelled = end(cancelled, agent(1), out(1)).reason.unwrap();
        assert!(!cancelled.contains("login"), "{cancelled}");
        let bad = end(Ended::ByItself, agent(3), Report::default());
        assert_eq!((bad.result, bad.exit_code), (RunResult::Failed, Some(3)));
    }

    #[test]
    fn a_failed_setup_is_a_failed_run_that_never_started() {
        let steps = vec![step(StepKind::Setup, Some(4), None)];
        let end = end(Ended::ByItself, steps, Report::default());
        assert_eq!(
            (end.result, end.exit_code, end.started_at),
            (RunResult::Failed, Some(4), None)
        );
        assert!(
            end.reason
                .unwrap()
                .starts_with("setup `npm ci` ended with exit code 4")
        );
    }

    #[test]
    fn each_way_of_ending_has_its_word() {
        let by = "ada".to_owned();
        for (ended, result) in [
            (Ended::TimedOut { limit_ms: 60_000 }, RunResult::TimedOut),
            (
                Ended::Stalled {
                    limit_ms: 60_000,
                    asks: true,
                    last: "Login: ".into(),
                },
                RunResult::Stalled,
            ),
            (
                Ended::TooMuchMemory {
                    used_bytes: 2,
                    limit_bytes: 1,
                },
                RunResult::Failed,
            ),
            (
                Ended::DiskFull {
                    folder: "/w".into(),
                    free_bytes: 1,
                },
                RunResult::Failed,
            ),
            (Ended::Cancelled { by }, RunResult::Cancelled),
            (
                Ended::SpoolFailed {
                    error: "full".into(),
                },
                RunResult::Failed,
            ),
            (Ended::NotStarted { error: "no".into() }, RunResult::Failed),
        ] {
            let steps = vec![step(StepKind::Agent, None, Some(9))];
            let end = end(ended, steps, Report::default());
            assert_eq!((end.result, end.signal), (result, Some(9)));
            assert!(end.reason.is_some());
        }
    }
}
