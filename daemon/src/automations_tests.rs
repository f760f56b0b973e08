//! Sync steps in every order, runs asked for, and schedules firing on a real database.

use std::collections::BTreeMap;

use hostler_proto::automation::{
    AutomationSpec, CatchUp, Overlap, Policies, RunTarget, ScheduleSpec,
};
use hostler_proto::event::Event;
use hostler_proto::ids::AutomationId;
use hostler_proto::run::{Finished, Outcome, RunResult};
use uuid::Uuid;

use super::*;
use crate::clock::Now;
use crate::scheduler::Scheduler;
use crate::store::occurrences;

/// 2026-03-02T12:00:00Z.
const NOON: i64 = 1_772_452_800_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

async fn context() -> (tempfile::TempDir, Context) {
    let home = tempfile::tempdir().unwrap();
    let context = crate::open_home(home.path()).await.unwrap();
    (home, context)
}

fn spec(number: u128, revision: u64) -> AutomationSpec {
    AutomationSpec {
        id: AutomationId(Uuid::from_u128(number)),
        revision,
        name: format!("automation {number}"),
        agent: "shell".into(),
        prompt: format!("echo {number}"),
        prompt_version: 1,
        enabled: true,
        target: RunTarget::Scratch,
        schedule: ScheduleSpec {
            rrule: "FREQ=HOURLY".into(),
            dtstart: "2026-03-02T12:00:00".parse().unwrap(),
            timezone: "UTC".into(),
            exdates: vec![],
            rdates: vec![],
        },
        plan_after: UtcMillis(NOON - 1),
        starts: 0,
        policies: Policies::default(),
        env: BTreeMap::new(),
        owner: None,
    }
}

fn step(from: u64, to: u64, upserts: Vec<AutomationSpec>, state: &[(u128, u64)]) -> DesiredStep {
    let state = state
        .iter()
        .map(|(number, revision)| (AutomationId(Uuid::from_u128(*number)), *revision));
    DesiredStep {
        from,
        to,
        upserts,
        hash: desired_hash(state),
        ..DesiredStep::default()
    }
}

fn revision(outcome: SyncOutcome) -> Result<u64, u64> {
    match outcome {
        SyncOutcome::Applied(ack) => Ok(ack.revision),
        SyncOutcome::Wanted(wanted) => Err(wanted.have),
    }
}

#[tokio::test]
async fn steps_apply_in_order_and_once() {
    let (_home, context) = context().await;
    let first = step(0, 1, vec![spec(1, 1)], &[(1, 1)]);
    let second = step(1, 2, vec![spec(2, 1)], &[(1, 1), (2, 1)]);
    assert_eq!(
        revision(apply(&context, second.clone()).await.unwrap()),
        Err(0)
    );
    assert_eq!(
        revision(apply(&context, first.clone()).await.unwrap()),
        Ok(1)
    );
    assert_eq!(
        revision(apply(&context, first.clone()).await.unwrap()),
        Ok(1)
    );
    assert_eq!(revision(apply(&context, second).await.unwrap()), Ok(2));
    assert_eq!(revision(apply(&context, first).await.unwrap()), Err(2));
    assert_eq!(context.store.automation_ids().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_step_with_another_hash_changes_nothing() {
    let (_home, context) = context().await;
    let wrong = step(0, 1, vec![spec(1, 1)], &[(1, 2)]);
    assert_eq!(revision(apply(&context, wrong).await.unwrap()), Err(0));
    assert!(context.store.automation_ids().await.unwrap().is_empty());
    assert_eq!(applied(&context).await.unwrap(), (0, String::new()));
}

#[tokio::test]
async fn an_unsent_plan_is_replaced_by_a_newer_one_of_the_same_automation() {
    let (_home, context) = context().await;
    let plan = |number: u128, revision| hostler_proto::automation::AutomationStatus {
        id: AutomationId(Uuid::from_u128(number)),
        revision,
        next_run_at: None,
        stopped: None,
    };
    let gone = Event::ProjectRemoved {
        id: hostler_proto::ids::ProjectId(Uuid::from_u128(1)),
    };
    let mut tx = context.store.begin().await.unwrap();
    let before = outbox::next(&mut tx).await.unwrap() - 1;
    let (now, first, second) = (UtcMillis(0), plan(1, 1), plan(2, 1));
    let append_plans = outbox::append_plans;
    append_plans(&mut tx, &[&first, &second], now)
        .await
        .unwrap();
    outbox::append(&mut tx, &gone, now).await.unwrap();
    append_plans(&mut tx, &[&plan(1, 2)], now).await.unwrap();
    append_plans(&mut tx, &[&plan(1, 3)], now).await.unwrap();
    assert_eq!(outbox::next(&mut tx).await.unwrap(), before + 6);
    context.store.commit(tx).await.unwrap();
    let left = context.store.outbox_after(before, 10).await.unwrap();
    let seqs: Vec<_> = left.iter().map(|(seq, _)| seq - before).collect();
    assert_eq!(seqs, [2, 3, 5], "{left:?}");
}

#[tokio::test]
async fn a_full_step_replaces_everything() {
    let (_home, context) = context().await;
    apply(
        &context,
        step(0, 1, vec![spec(1, 1), spec(2, 1)], &[(1, 1), (2, 1)]),
    )
    .await
    .unwrap();
    let full = DesiredStep {
        full: true,
        ..step(0, 9, vec![spec(2, 4), spec(3, 1)], &[(2, 4), (3, 1)])
    };
    assert_eq!(revision(apply(&context, full).await.unwrap()), Ok(9));
    let ids = context.store.automation_ids().await.unwrap();
    assert_eq!(ids, [spec(2, 1).id, spec(3, 1).id]);
}

#[tokio::test]
async fn the_planned_spec_is_kept_until_the_newest_is_planned() {
    let (_home, context) = context().await;
    let planned = async || context.store.plans().await.unwrap().remove(0).planned;
    apply(&context, step(0, 1, vec![spec(1, 1)], &[(1, 1)]))
        .await
        .unwrap();
    let mut scheduler = loaded(&context, at(NOON - 5)).await;
    batch(&context, &mut scheduler, at(NOON - 5)).await;
    assert_eq!(planned().await, None);
    for newer in [2, 3] {
        let step = step(newer - 1, newer, vec![spec(1, newer)], &[(1, newer)]);
        apply(&context, step).await.unwrap();
        assert_eq!(planned().await.map(|rule| rule.revision), Some(1));
    }
    batch(&context, &mut scheduler, at(NOON - 4)).await;
    assert_eq!(planned().await, None);
}

fn at(ms: i64) -> Now {
    let boot_ms = ms.unsigned_abs();
    Now {
        wall: UtcMillis(ms),
        boot_ms,
        awake_ms: boot_ms,
    }
}

/// One batch on the real database, as the scheduler's shell makes it.
async fn batch(context: &Context, scheduler: &mut Scheduler, now: Now) {
    let mut tx = context.store.begin().await.unwrap();
    let facts = occurrences::facts(&mut tx, scheduler.interest(now.wall))
        .await
        .unwrap();
    let effects = scheduler.handle(facts, now);
    occurrences::apply(&mut tx, &effects, now.wall)
        .await
        .unwrap();
    context.store.commit(tx).await.unwrap();
}

async fn loaded(context: &Context, now: Now) -> Scheduler {
    Scheduler::load(context.store.plans().await.unwrap(), false, now)
}

async fn finish(context: &Context, id: RunId, result: RunResult, now: UtcMillis) {
    let mut run = context.store.run(id).await.unwrap().unwrap().run;
    run.finish(Finished {
        result,
        started_at: None,
        finished_at: now,
        reason: None,
        exit_code: None,
        signal: None,
        outcome: Outcome::default(),
        log_bytes: 0,
    })
    .unwrap();
    let mut tx = context.store.begin().await.unwrap();
    runs::update(&mut tx, &run, now).await.unwrap();
    context.store.commit(tx).await.unwrap();
}

async fn events(context: &Context) -> Vec<Event> {
    let rows = context.store.outbox_after(0, 100).await.unwrap();
    rows.iter()
        .map(|(_, json)| serde_json::from_str(json).unwrap())
        .collect()
}

#[tokio::test]
async fn a_synced_automation_fires_with_its_prompt_and_survives_restarts() {
    let (_home, context) = context().await;
    apply(&context, step(0, 1, vec![spec(1, 1)], &[(1, 1)]))
        .await
        .unwrap();
    let mut scheduler = loaded(&context, at(NOON - 5)).await;
    batch(&context, &mut scheduler, at(NOON - 5)).await;
    // Decided, but the process dies before the commit.
    let mut tx = context.store.begin().await.unwrap();
    let facts = occurrences::facts(&mut tx, scheduler.interest(UtcMillis(NOON)))
        .await
        .unwrap();
    let lost = scheduler.handle(facts, at(NOON));
    occurrences::apply(&mut tx, &lost, UtcMillis(NOON))
        .await
        .unwrap();
    drop(tx);
    let mut scheduler = loaded(&context, at(NOON + 1)).await;
    batch(&context, &mut scheduler, at(NOON + 1)).await;
    let run = RunId::of_occurrence(spec(1, 1).id, UtcMillis(NOON), 1);
    let row = context.store.run(run).await.unwrap().unwrap();
    assert_eq!(
        (row.automation, row.run.state),
        (spec(1, 1), RunState::Queued)
    );
    // The same batch again, from an older view of the plan: the key refuses it.
    let mut stale = loaded(&context, at(NOON)).await;
    assert_eq!(stale.next_due(), Some(UtcMillis(NOON + HOUR)));
    batch(&context, &mut stale, at(NOON + 2)).await;
    assert_eq!(context.store.unfinished_runs().await.unwrap().len(), 1);
    let told = events(&context).await;
    let mut next = vec![];
    for event in told {
        if let Event::AutomationChanged(status) = event {
            next.extend(status.next_run_at);
        }
    }
    assert_eq!(next, [UtcMillis(NOON + HOUR)], "the newest plan alone");
}

/// The runs a `hello` would name.
async fn stated(context: &Context) -> Vec<RunId> {
    let marks = context.store.run_marks(9).await.unwrap();
    marks.into_iter().map(|mark| mark.0).collect()
}

#[tokio::test]
async fn overlap_retries_and_deletion_hold_on_the_database() {
    let (_home, context) = context().await;
    let mut wanted = spec(1, 1);
    wanted.policies.retries = 1;
    apply(&context, step(0, 1, vec![wanted], &[(1, 1)]))
        .await
        .unwrap();
    let mut scheduler = loaded(&context, at(NOON - 5)).await;
    for now in [NOON, NOON + HOUR] {
        batch(&context, &mut scheduler, at(now)).await;
    }
    let id = |hour: i64, attempt| {
        RunId::of_occurrence(spec(1, 1).id, UtcMillis(NOON + hour * HOUR), attempt)
    };
    assert!(
        context.store.run(id(1, 1)).await.unwrap().is_none(),
        "overlap is skipped"
    );
    let told = events(&context).await;
    assert!(told.iter().any(|event| matches!(event, Event::RunChanged(run) if run.id == id(1, 1) && run.state.word() == "skipped")));

    let failed_at = NOON + HOUR + 1000;
    finish(&context, id(0, 1), RunResult::Failed, UtcMillis(failed_at)).await;
    batch(&context, &mut scheduler, at(failed_at)).await;
    let mut scheduler = loaded(&context, at(failed_at + 1)).await;
    assert_eq!(scheduler.next_due(), Some(UtcMillis(failed_at + 60_000)));
    batch(&context, &mut scheduler, at(failed_at + 60_000)).await;
    let retry = context.store.run(id(0, 2)).await.unwrap().unwrap().run;
    assert_eq!(
        (retry.trigger, retry.attempt, retry.state),
        (Trigger::Retry, 2, RunState::Queued)
    );

    let gone = DesiredStep {
        tombstones: vec![spec(1, 1).id],
        ..step(1, 2, vec![], &[])
    };
    assert_eq!(revision(apply(&context, gone).await.unwrap()), Ok(2));
    batch(&context, &mut scheduler, at(failed_at + 61_000)).await;
    let queued = context.store.run(id(0, 2)).await.unwrap().unwrap().run;
    assert!(matches!(
        queued.state,
        RunState::Skipped {
            reason: hostler_proto::run::SkipReason::Deleted,
            ..
        }
    ));
    assert!(context.store.plans().await.unwrap().is_empty());
    let stated = stated(&context).await;
    assert_eq!(stated, [id(0, 1)], "a run that never began has no log");
    batch(&context, &mut scheduler, at(failed_at + 10 * HOUR)).await;
    assert!(context.store.unfinished_runs().await.unwrap().is_empty());
    assert!(
        context.store.run(id(0, 1)).await.unwrap().is_some(),
        "past runs stay"
    );
}

#[tokio::test]
async fn an_occurrence_that_waits_is_told_as_queued() {
    let (_home, context) = context().await;
    let mut wanted = spec(1, 1);
    wanted.policies.overlap = Overlap::QueueOne;
    apply(&context, step(0, 1, vec![wanted], &[(1, 1)]))
        .await
        .unwrap();
    let mut scheduler = loaded(&context, at(NOON - 5)).await;
    for now in [NOON, NOON + HOUR] {
        batch(&context, &mut scheduler, at(now)).await;
    }
    let id = |hour: i64| RunId::of_occurrence(spec(1, 1).id, UtcMillis(NOON + hour * HOUR), 1);
    let queued = |event: &Event| matches!(event, Event::RunChanged(run) if run.id == id(1) && run.state == RunState::Queued);
    assert!(events(&context).await.iter().any(queued));
    assert!(context.store.run(id(1)).await.unwrap().unwrap().waiting);
    // Stated with every hello: what is not stated is taken for lost.
    let marks = context.store.run_marks(9).await.unwrap();
    assert!(marks.contains(&(id(1), "queued".to_owned())), "{marks:?}");
    finish(
        &context,
        id(0),
        RunResult::Succeeded,
        UtcMillis(NOON + HOUR + 1),
    )
    .await;
    let mut edited = spec(1, 2);
    edited.policies.overlap = Overlap::QueueOne;
    apply(&context, step(1, 2, vec![edited], &[(1, 2)]))
        .await
        .unwrap();
    // Also after a restart, and as it was claimed.
    let mut scheduler = loaded(&context, at(NOON + HOUR + 1)).await;
    batch(&context, &mut scheduler, at(NOON + HOUR + 2)).await;
    let row = context.store.run(id(1)).await.unwrap().unwrap();
    assert!(!row.waiting);
    assert_eq!((row.run.rule_revision, row.automation.revision), (1, 1));
}

#[tokio::test]
async fn an_occurrence_that_waits_can_be_cancelled() {
    let (_home, context) = context().await;
    let mut wanted = spec(1, 1);
    wanted.policies.overlap = Overlap::QueueOne;
    apply(&context, step(0, 1, vec![wanted], &[(1, 1)]))
        .await
        .unwrap();
    let mut scheduler = loaded(&context, at(NOON - 5)).await;
    for now in [NOON, NOON + HOUR] {
        batch(&context, &mut scheduler, at(now)).await;
    }
    let id = |hour: i64| RunId::of_occurrence(spec(1, 1).id, UtcMillis(NOON + hour * HOUR), 1);
    let mut tx = context.store.begin().await.unwrap();
    let cancel = RunCancel {
        run_id: id(1),
        requested_by: "ada".into(),
        by: None,
    };
    let taken = cancel_run(&mut tx, &cancel).await.unwrap().unwrap();
    let already_over = false;
    let run_id = id(1);
    assert_eq!(
        taken,
        Reply::RunCancelled {
            run_id,
            already_over
        }
    );
    context.store.commit(tx).await.unwrap();
    let row = context.store.run(id(1)).await.unwrap().unwrap();
    assert_eq!(row.cancel_requested.as_deref(), Some("ada"));
    finish(
        &context,
        id(1),
        RunResult::Cancelled,
        UtcMillis(NOON + HOUR + 1),
    )
    .await;
    for (now, word) in [(2 * HOUR, "queued"), (3 * HOUR, "skipped")] {
        batch(&context, &mut scheduler, at(NOON + now)).await;
        let events = events(&context).await;
        let run = RunId::of_occurrence(spec(1, 1).id, UtcMillis(NOON + now), 1);
        let told = |event: &Event| matches!(event, Event::RunChanged(told) if told.id == run && told.state.word() == word);
        assert!(events.iter().any(told), "{word}: {events:?}");
    }
    let mut tx = context.store.begin().await.unwrap();
    automations::mark_deleted(&mut tx, spec(1, 1).id)
        .await
        .unwrap();
    context.store.commit(tx).await.unwrap();
    batch(&context, &mut scheduler, at(NOON + 3 * HOUR + 1)).await;
    let row = context.store.run(id(2)).await.unwrap().unwrap();
    assert_eq!(row.run.state.word(), "skipped", "deleted while it waited");
}

/// A day after a row that stands for many instants, the clock shows the day before again.
#[tokio::test]
async fn what_a_set_back_clock_misses_again_is_recorded_beside_what_was() {
    let (_home, context) = context().await;
    let mut wanted = spec(1, 1);
    wanted.policies.catch_up = CatchUp::Skip;
    apply(&context, step(0, 1, vec![wanted], &[(1, 1)]))
        .await
        .unwrap();
    let mut scheduler = loaded(&context, at(NOON - 5)).await;
    for hour in [0, 1] {
        batch(&context, &mut scheduler, at(NOON + hour * HOUR)).await;
        let run = RunId::of_occurrence(spec(1, 1).id, UtcMillis(NOON + hour * HOUR), 1);
        finish(
            &context,
            run,
            RunResult::Succeeded,
            UtcMillis(NOON + hour * HOUR + 1),
        )
        .await;
    }
    batch(&context, &mut scheduler, at(NOON + HOUR + 2)).await;
    // Set back to before noon, then asleep until past three.
    let back = Now {
        wall: UtcMillis(NOON - HOUR),
        ..at(NOON + HOUR + 3)
    };
    batch(&context, &mut scheduler, back).await;
    let later = Now {
        wall: UtcMillis(NOON + 3 * HOUR + MINUTE * 2),
        boot_ms: back.boot_ms + (4 * HOUR + 2 * MINUTE).unsigned_abs(),
        ..back
    };
    batch(&context, &mut scheduler, later).await;
    let missed = |event: Event| {
        let Event::RunChanged(run) = event else {
            return None;
        };
        let RunState::Skipped { count, until, .. } = run.state else {
            return None;
        };
        Some((run.scheduled_for, count, until))
    };
    let missed: Vec<_> = events(&context)
        .await
        .into_iter()
        .filter_map(missed)
        .collect();
    let (first, last) = (UtcMillis(NOON + 2 * HOUR), UtcMillis(NOON + 3 * HOUR));
    assert_eq!(missed, [(first, 2, Some(last))]);
}
