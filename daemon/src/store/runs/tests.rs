//! The runs' rows on a real database.

use hostler_proto::automation::{Policies, RunTarget, ScheduleSpec};
use hostler_proto::run::{Finished, RunResult, SkipReason, Trigger};
use uuid::Uuid;

use super::*;

async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("host.db"), || {})
        .await
        .unwrap();
    (dir, store)
}

fn automation() -> AutomationSpec {
    AutomationSpec {
        id: AutomationId(Uuid::from_u128(1)),
        revision: 1,
        name: "nightly".into(),
        agent: "shell".into(),
        prompt: "true".into(),
        prompt_version: 1,
        enabled: true,
        target: RunTarget::Scratch,
        schedule: ScheduleSpec {
            rrule: "FREQ=DAILY".into(),
            dtstart: jiff::civil::date(2026, 1, 1).at(9, 0, 0, 0),
            timezone: "UTC".into(),
            exdates: vec![],
            rdates: vec![],
        },
        plan_after: UtcMillis(0),
        starts: 0,
        policies: Policies::default(),
        env: std::collections::BTreeMap::new(),
        owner: None,
    }
}

fn run(number: u128, scheduled_for: i64) -> Run {
    Run {
        id: RunId(Uuid::from_u128(number)),
        automation_id: automation().id,
        attempt: 1,
        trigger: Trigger::Schedule,
        scheduled_for: UtcMillis(scheduled_for),
        rule_revision: 1,
        prompt_version: 1,
        agent: "shell".into(),
        queued_at: UtcMillis(scheduled_for + 5),
        workspace_id: None,
        branch: None,
        preparing_at: None,
        state: RunState::Queued,
    }
}

fn finished(at: i64) -> Finished {
    Finished {
        result: RunResult::Succeeded,
        started_at: Some(UtcMillis(at - 1)),
        finished_at: UtcMillis(at),
        reason: None,
        exit_code: Some(0),
        signal: None,
        outcome: hostler_proto::run::Outcome::default(),
        log_bytes: 3,
    }
}

async fn insert_one(store: &Store, run: &Run) -> bool {
    let mut tx = store.begin().await.unwrap();
    let new = insert(&mut tx, run, &automation()).await.unwrap();
    store.commit(tx).await.unwrap();
    new
}

#[tokio::test]
async fn inserting_twice_makes_one_run_and_one_event() {
    let (_dir, store) = store().await;
    assert!(insert_one(&store, &run(1, 10)).await);
    assert!(!insert_one(&store, &run(1, 10)).await);
    assert_eq!(store.outbox_after(0, 10).await.unwrap().len(), 1);
    let row = store.run(run(1, 10).id).await.unwrap().unwrap();
    assert_eq!(row.run, run(1, 10));
    assert_eq!(row.automation, automation());
}

#[tokio::test]
async fn queued_runs_come_in_the_order_of_their_plan() {
    let (_dir, store) = store().await;
    for (number, at) in [(1, 30), (2, 10), (3, 20)] {
        insert_one(&store, &run(number, at)).await;
    }
    let queued = store.queued_runs(2).await.unwrap();
    let plan: Vec<i64> = queued.iter().map(|row| row.run.scheduled_for.0).collect();
    assert_eq!(plan, [10, 20]);
}

#[tokio::test]
async fn a_final_run_does_not_change_again() {
    let (_dir, store) = store().await;
    let mut one = run(1, 10);
    insert_one(&store, &one).await;
    one.prepare(UtcMillis(11)).unwrap();
    one.finish(finished(20)).unwrap();
    let mut tx = store.begin().await.unwrap();
    assert!(update(&mut tx, &one, UtcMillis(20)).await.unwrap());
    one.state = RunState::Queued;
    assert!(!update(&mut tx, &one, UtcMillis(21)).await.unwrap());
    store.commit(tx).await.unwrap();
    assert!(store.unfinished_runs().await.unwrap().is_empty());
    assert_eq!(store.outbox_after(0, 10).await.unwrap().len(), 2);
    let newest = store.newest_runs_of(one.automation_id, 5).await.unwrap();
    assert_eq!(newest[0].run.state.word(), "succeeded");
}

#[tokio::test]
async fn what_recovery_needs_is_remembered() {
    let (_dir, store) = store().await;
    let one = run(1, 10);
    insert_one(&store, &one).await;
    let place = Place {
        workspace_id: WorkspaceId(Uuid::from_u128(9)),
        name: "nightly".into(),
        path: "/w".into(),
        root: "/r".into(),
        branch: None,
        head: Some("abc".into()),
        journal: None,
        owned: true,
    };
    let mut tx = store.begin().await.unwrap();
    set_place(&mut tx, one.id, &place).await.unwrap();
    set_launched(&mut tx, one.id, UtcMillis(12)).await.unwrap();
    request_cancel(&mut tx, one.id, "ann").await.unwrap();
    request_cancel(&mut tx, one.id, "bob").await.unwrap();
    assert_eq!(
        unfinished_of(&mut tx, one.automation_id)
            .await
            .unwrap()
            .len(),
        1
    );
    store.commit(tx).await.unwrap();
    let row = store.run(one.id).await.unwrap().unwrap();
    assert_eq!(row.place, Some(place));
    assert_eq!(row.launched_at, Some(UtcMillis(12)));
    assert_eq!(row.cancel_requested.as_deref(), Some("ann"));
}

#[tokio::test]
async fn a_log_is_undelivered_until_its_last_byte_is_acknowledged() {
    let (_dir, store) = store().await;
    let mut one = run(1, 10);
    insert_one(&store, &one).await;
    assert!(store.undelivered_logs().await.unwrap().is_empty());
    one.finish(finished(20)).unwrap();
    let mut tx = store.begin().await.unwrap();
    set_launched(&mut tx, one.id, UtcMillis(12)).await.unwrap();
    complete_log(&mut tx, one.id, 3, u32::MAX).await.unwrap();
    update(&mut tx, &one, UtcMillis(20)).await.unwrap();
    store.commit(tx).await.unwrap();
    store.logs_acked(&[(one.id, 2)]).await.unwrap();
    store.logs_acked(&[(one.id, 1)]).await.unwrap();
    let expected = LogState {
        run_id: one.id,
        acked: 2,
        complete: Some((3, u32::MAX)),
    };
    assert_eq!(store.undelivered_logs().await.unwrap(), [expected]);
    assert!(store.delivered_spools().await.unwrap().is_empty());
    store.log_delivered(one.id).await.unwrap();
    assert!(store.undelivered_logs().await.unwrap().is_empty());
    let spools = store.delivered_spools().await.unwrap();
    assert_eq!(spools, [(one.id, UtcMillis(20), 3)]);
    store.spool_deleted(one.id, UtcMillis(99)).await.unwrap();
    assert!(store.delivered_spools().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_skipped_run_has_no_log_to_deliver() {
    let (_dir, store) = store().await;
    let mut one = run(1, 10);
    one.state = RunState::Skipped {
        reason: SkipReason::Overlap,
        at: UtcMillis(11),
        count: 1,
        until: None,
        why: None,
    };
    insert_one(&store, &one).await;
    assert!(store.undelivered_logs().await.unwrap().is_empty());
    assert!(store.queued_runs(9).await.unwrap().is_empty());
}
