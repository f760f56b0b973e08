//! One sentence for each run: why it ran when it did, or why it did not. Pure.

use hostler_proto::run::{Finished, Run, RunResult, RunState, SkipReason, Trigger};
use hostler_proto::time::UtcMillis;

/// A start that comes later than this was a missed one that was caught up.
const GRACE_MS: i64 = 60_000;
/// A wait shorter than this is not worth a word.
const PROMPT_MS: i64 = 5_000;

/// What is known beside the run itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// Name of its host.
    pub(super) host: &'a str,
    /// How much later than its instant a run may be claimed by its own wish.
    pub(super) jitter_seconds: u32,
    /// Whether the automation is deleted by now.
    pub(super) deleted: bool,
}

/// The sentence, without its full stop.
pub(super) fn run(run: &Run, known: Known<'_>) -> String {
    match &run.state {
        RunState::Queued => format!(
            "{}; waits for a place on host {}",
            why(run, known),
            known.host
        ),
        RunState::Preparing { .. } => {
            format!("{}; its workspace is being prepared", why(run, known))
        }
        RunState::Running { started_at } => {
            let waited = waited(run, *started_at);
            format!("{}{waited}; it runs now", why(run, known))
        }
        RunState::Finished(finished) => ended(run, finished, known),
        RunState::Skipped {
            reason, count, why, ..
        } => {
            let skipped = skipped(*reason, *count, known);
            match why {
                Some(why) => format!("{skipped}: {why}"),
                None => skipped,
            }
        }
    }
}

fn ended(run: &Run, finished: &Finished, known: Known<'_>) -> String {
    let waited = finished
        .started_at
        .map_or(String::new(), |started| waited(run, started));
    let why = why(run, known);
    let reason = |word: &str| match &finished.reason {
        Some(reason) => format!("{why}{waited}; {word}: {reason}"),
        None => format!("{why}{waited}; {word}"),
    };
    match finished.result {
        RunResult::Succeeded => format!("{why}{waited}"),
        RunResult::Failed => reason("it failed"),
        RunResult::TimedOut => reason("it was ended at its time limit"),
        RunResult::Stalled => reason("it was ended because nothing moved any more"),
        RunResult::Cancelled => reason("it was cancelled"),
        RunResult::Lost => reason("how it ended is not known"),
    }
}

/// Why the run exists.
fn why(run: &Run, known: Known<'_>) -> String {
    match run.trigger {
        Trigger::Manual => "asked for by hand".to_owned(),
        Trigger::Retry => format!("attempt {}, because the one before it failed", run.attempt),
        Trigger::Schedule => {
            let late = run.queued_at.since(run.scheduled_for);
            let jitter = i64::from(known.jitter_seconds) * 1000;
            if late > GRACE_MS + jitter {
                let late = duration(late);
                format!("caught up {late} late: nobody could run it at its time")
            } else if late > jitter.max(PROMPT_MS) {
                format!("on schedule, {} late", duration(late))
            } else {
                "on schedule".to_owned()
            }
        }
    }
}

/// How long a claimed run waited for its start.
fn waited(run: &Run, started: UtcMillis) -> String {
    let waited = started.since(run.queued_at);
    if waited < PROMPT_MS {
        return String::new();
    }
    format!(", after {} of waiting and preparing", duration(waited))
}

fn skipped(reason: SkipReason, count: u32, known: Known<'_>) -> String {
    let host = known.host;
    let (it, them) = if count > 1 {
        ("they", "them")
    } else {
        ("it", "it")
    };
    match reason {
        SkipReason::Overlap => {
            "not run: an earlier run still went on, and by the overlap policy no other starts beside it"
                .to_owned()
        }
        SkipReason::Paused => {
            format!("not run: the automation was paused, and {it} stay{} undone", if count > 1 { "" } else { "s" })
        }
        SkipReason::Missed => format!(
            "not run: host {host} was off, asleep or not in charge when {it} came due, and by the \
             catch-up policy none or only a newer instant runs for {them}"
        ),
        SkipReason::HostBusy => format!("not run: host {host} had no free place for {them} in time"),
        SkipReason::DiskFull => format!(
            "not run: host {host} was too low on disk space to start {them}; hosts_list has the figures"
        ),
        SkipReason::Policy => format!("not run: host {host} does not allow {them}"),
        SkipReason::Deleted if known.deleted => {
            "not run: the automation was deleted before it started".to_owned()
        }
        SkipReason::Deleted => {
            format!("not run: the automation was moved away from host {host} before it started")
        }
    }
}

/// `40 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
fn duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let two = |big: i64, unit: &str, small: i64, rest: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {rest}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use hostler_proto::ids::{AutomationId, RunId};
    use hostler_proto::run::Outcome;
    use uuid::Uuid;

    use super::*;

    const KNOWN: Known<'_> = Known {
        host: "near",
        jitter_seconds: 0,
        deleted: false,
    };

    fn of(trigger: Trigger, queued_at: i64, state: RunState) -> Run {
        Run {
            id: RunId(Uuid::nil()),
            automation_id: AutomationId(Uuid::nil()),
            attempt: 2,
            trigger,
            scheduled_for: UtcMillis(0),
            rule_revision: 1,
            prompt_version: 1,
            agent: "shell".into(),
            queued_at: UtcMillis(queued_at),
            workspace_id: None,
            branch: None,
            preparing_at: None,
            state,
        }
    }

    fn finished(result: RunResult, started: i64, reason: Option<&str>) -> RunState {
        RunState::Finished(Box::new(Finished {
            result,
            started_at: Some(UtcMillis(started)),
            finished_at: UtcMillis(started + 1),
            reason: reason.map(str::to_owned),
            exit_code: None,
            signal: None,
            outcome: Outcome::default(),
            log_bytes: 0,
        }))
    }

    fn skip(reason: SkipReason, count: u32) -> RunState {
        RunState::Skipped {
            reason,
            at: UtcMillis(0),
            count,
            until: None,
            why: None,
        }
    }

    #[test]
    fn runs_say_why_they_ran_and_how_late() {
        use RunResult::{Failed, Lost, Succeeded};
        for (trigger, queued, state, said) in [
            (
                Trigger::Schedule,
                40,
                finished(Succeeded, 90, None),
                "on schedule",
            ),
            (
                Trigger::Schedule,
                40,
                finished(Failed, 90, Some("exit code 3")),
                "on schedule; it failed: exit code 3",
            ),
            (
                Trigger::Schedule,
                12_000,
                finished(Succeeded, 12_500, None),
                "on schedule, 12 s late",
            ),
            (
                Trigger::Schedule,
                3_720_000,
                finished(Succeeded, 3_721_000, None),
                "caught up 1 h 2 min late: nobody could run it at its time",
            ),
            (
                Trigger::Schedule,
                0,
                finished(Succeeded, 80_000, None),
                "on schedule, after 1 min 20 s of waiting and preparing",
            ),
            (
                Trigger::Manual,
                0,
                RunState::Queued,
                "asked for by hand; waits for a place on host near",
            ),
            (
                Trigger::Retry,
                0,
                finished(Lost, 1, None),
                "attempt 2, because the one before it failed; how it ended is not known",
            ),
        ] {
            assert_eq!(run(&of(trigger, queued, state), KNOWN), said);
        }
    }

    #[test]
    fn skipped_instants_say_why_not() {
        let deleted = Known {
            deleted: true,
            ..KNOWN
        };
        for (state, known, part) in [
            (
                skip(SkipReason::Overlap, 1),
                KNOWN,
                "an earlier run still went on",
            ),
            (
                skip(SkipReason::Paused, 3),
                KNOWN,
                "the automation was paused, and they stay undone",
            ),
            (
                skip(SkipReason::Missed, 3),
                KNOWN,
                "host near was off, asleep or not in charge when they came due",
            ),
            (
                skip(SkipReason::HostBusy, 1),
                KNOWN,
                "host near had no free place for it",
            ),
            (
                skip(SkipReason::Deleted, 1),
                KNOWN,
                "was moved away from host near",
            ),
            (
                skip(SkipReason::Deleted, 1),
                deleted,
                "the automation was deleted",
            ),
        ] {
            let said = run(&of(Trigger::Schedule, 0, state), known);
            assert!(
                said.starts_with("not run: ") && said.contains(part),
                "{said}"
            );
        }
    }

    #[test]
    fn jitter_is_no_lateness() {
        let known = Known {
            jitter_seconds: 600,
            ..KNOWN
        };
        let late = of(
            Trigger::Schedule,
            500_000,
            finished(RunResult::Succeeded, 500_100, None),
        );
        assert_eq!(run(&late, known), "on schedule");
    }
}
