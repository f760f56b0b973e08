//! Automations between two hosts, and hosts that come back knowing less than the catalog: an instant
//! is run by one of them, once, and none is dropped.

use hostler_proto::automation::AutomationStatus;
use hostler_proto::frame::payload::Life;
use hostler_proto::run::SkipReason;

use super::*;
use crate::automations::{PolicyChanges, UpdateAutomation, update};
use crate::ingest::{self, Stated};
use crate::reconcile;

const HOUR: i64 = 3_600_000;

/// When a host's new copy of the automation begins; none when it has none.
async fn planned_after(catalog: &Catalog, host: HostId) -> Option<UtcMillis> {
    let sync = ingest::desired_state(&catalog.app, host, None).await;
    sync.unwrap().upserts.first().map(|spec| spec.plan_after)
}

async fn move_to(catalog: &Catalog, id: AutomationId, host: &str) {
    let change = UpdateAutomation {
        host: Some(host.into()),
        ..UpdateAutomation::default()
    };
    update(&catalog.app, &catalog.caller, &id.to_string(), change)
        .await
        .unwrap();
}

/// The host connects, with the first revision applied.
async fn greet(catalog: &Catalog) {
    let stated = Stated {
        applied_revision: 1,
        ..Stated::default()
    };
    let greeted = ingest::hello(&catalog.app, catalog.host, &stated).await;
    greeted.unwrap();
}

fn planned(id: AutomationId, next: UtcMillis) -> Event {
    Event::AutomationChanged(AutomationStatus {
        id,
        revision: 1,
        next_run_at: Some(next),
        stopped: None,
    })
}

fn ran(number: u128, id: AutomationId, at: UtcMillis) -> Run {
    Run {
        scheduled_for: at,
        queued_at: at,
        ..run(number, id, finished(0))
    }
}

fn told(run: Run) -> Event {
    Event::RunChanged(Box::new(run))
}

#[tokio::test]
async fn the_new_host_goes_on_where_the_old_one_stopped() {
    let catalog = Catalog::new().await;
    let id = catalog.automation("a").await;
    let other = add_host(&catalog.app, &catalog.caller, "Build").await;
    let now = clock::wall();
    let missed = now.plus_ms(-2 * HOUR);
    greet(&catalog).await;
    catalog.tell(&[planned(id, missed)]).await;
    move_to(&catalog, id, "Build").await;
    assert_eq!(planned_after(&catalog, other).await, None);
    let let_go = ingest::sync_applied(&catalog.app, catalog.host, 2).await;
    let_go.unwrap();
    assert_eq!(
        planned_after(&catalog, other).await,
        Some(missed.plus_ms(-1)),
        "what the old host missed is the new one's to catch up"
    );
}

#[tokio::test]
async fn what_the_old_host_ran_before_it_let_go_is_not_run_again() {
    let catalog = Catalog::new().await;
    let id = catalog.automation("a").await;
    let other = add_host(&catalog.app, &catalog.caller, "Build").await;
    let last = clock::wall().plus_ms(-1);
    let by_hand = Run {
        trigger: Trigger::Manual,
        ..ran(2, id, last.plus_ms(1))
    };
    greet(&catalog).await;
    catalog.tell(&[planned(id, last)]).await;
    move_to(&catalog, id, "Build").await;
    // It has taken the step, and its link broke before its last events arrived.
    let away = Stated {
        applied_revision: 2,
        next_seq: 4,
        ..Stated::default()
    };
    ingest::hello(&catalog.app, catalog.host, &away)
        .await
        .unwrap();
    reconcile::round(&catalog.app, clock::wall()).await.unwrap();
    assert_eq!(
        planned_after(&catalog, other).await,
        None,
        "what it did before is not told yet"
    );
    catalog.tell(&[told(ran(1, id, last)), told(by_hand)]).await;
    let let_go = ingest::sync_applied(&catalog.app, catalog.host, 2).await;
    let_go.unwrap();
    assert_eq!(planned_after(&catalog, other).await, Some(last));
}

#[tokio::test]
async fn a_host_restored_from_a_backup_is_told_what_has_run() {
    let catalog = Catalog::new().await;
    let id = catalog.automation("a").await;
    let now = clock::wall();
    let newest = now.plus_ms(-HOUR);
    let ahead = ran(3, id, now.plus_ms(400 * 24 * HOUR));
    let before = planned_after(&catalog, catalog.host).await.unwrap();
    assert!(before > newest);
    let mut row = crate::store::automations::by_id(
        &catalog.app.store,
        catalog.caller.org_id,
        catalog.caller.user_id,
        id,
    )
    .await
    .unwrap()
    .unwrap();
    row.plan_after = now.plus_ms(-100 * HOUR);
    let mut tx = catalog.app.store.begin().await.unwrap();
    store::automations::put(&mut tx, &row).await.unwrap();
    catalog.app.store.commit(tx).await.unwrap();
    let first = ran(1, id, now.plus_ms(-2 * HOUR));
    catalog
        .tell(&[told(first.clone()), told(ran(2, id, newest)), told(ahead)])
        .await;

    let restored = Stated {
        applied_revision: 1,
        next_seq: 1,
        ..Stated::default()
    };
    let greeting = ingest::hello(&catalog.app, catalog.host, &restored).await;
    let greeting = greeting.unwrap();
    assert_eq!((greeting.acked_seq, greeting.desired_revision), (0, 2));
    assert_eq!(
        planned_after(&catalog, catalog.host).await,
        Some(newest),
        "after the newest that ran, and not what a wrong clock had run"
    );
    let lost = Run {
        state: RunState::Skipped {
            reason: SkipReason::Missed,
            at: now,
            count: 2,
            until: Some(newest),
            why: None,
        },
        ..first.clone()
    };
    catalog.tell(&[told(lost)]).await;
    let mut tx = catalog.app.store.begin().await.unwrap();
    let known = store::runs::record_in(&mut tx, first.id).await.unwrap();
    assert_eq!(known, Some(first), "what has run stays so");
}

/// However many events it has made since: they are from another life of the daemon.
#[tokio::test]
async fn a_restored_host_that_went_on_before_it_connects_is_told_what_has_run() {
    let catalog = Catalog::new().await;
    let id = catalog.automation("a").await;
    let now = clock::wall();
    let life = |first_seq, mark: &str| Life {
        first_seq,
        mark: mark.to_owned(),
    };
    let stated = |next_seq, lives: Vec<Life>| Stated {
        applied_revision: 1,
        next_seq,
        lives,
        ..Stated::default()
    };
    let first = stated(1, vec![life(1, "one")]);
    let greeting = ingest::hello(&catalog.app, catalog.host, &first).await;
    assert_eq!(greeting.unwrap().acked_seq, 0);
    let newest = ran(2, id, now);
    catalog
        .tell(&[told(ran(1, id, now.plus_ms(-HOUR))), told(newest.clone())])
        .await;
    let on = stated(3, vec![life(1, "one"), life(3, "two")]);
    let greeting = ingest::hello(&catalog.app, catalog.host, &on).await;
    let greeting = greeting.unwrap();
    assert_eq!(
        (greeting.acked_seq, greeting.desired_revision),
        (2, 1),
        "a restart is not a restore"
    );
    // A copy from before the second event; three events since, none of them told.
    let restored = stated(5, vec![life(1, "one"), life(2, "three")]);
    let greeting = ingest::hello(&catalog.app, catalog.host, &restored).await;
    let greeting = greeting.unwrap();
    assert_eq!((greeting.acked_seq, greeting.desired_revision), (1, 2));
    assert_eq!(
        planned_after(&catalog, catalog.host).await,
        Some(newest.scheduled_for)
    );
    // What it makes of the instants it has forgotten does not replace what is known.
    let skipped = Run {
        state: RunState::Skipped {
            reason: SkipReason::Paused,
            at: now,
            count: 1,
            until: None,
            why: None,
        },
        ..newest.clone()
    };
    catalog.tell(&[told(skipped)]).await;
    let mut tx = catalog.app.store.begin().await.unwrap();
    let known = store::runs::record_in(&mut tx, newest.id).await.unwrap();
    assert_eq!(known, Some(newest));
}

#[tokio::test]
async fn starts_are_counted_over_all_hosts() {
    let catalog = Catalog::new().await;
    let id = catalog.automation("a").await;
    let limited = UpdateAutomation {
        policies: PolicyChanges {
            max_runs: Some(Some(3)),
            ..PolicyChanges::default()
        },
        ..UpdateAutomation::default()
    };
    let caller = &catalog.caller;
    update(&catalog.app, caller, &id.to_string(), limited)
        .await
        .unwrap();
    let other = add_host(&catalog.app, caller, "Build").await;
    let now = clock::wall();
    greet(&catalog).await;
    let by_hand = Run {
        trigger: Trigger::Manual,
        ..ran(2, id, now)
    };
    let again = Run {
        trigger: Trigger::Retry,
        attempt: 2,
        ..ran(3, id, now)
    };
    let queued = Run {
        state: RunState::Queued,
        ..ran(4, id, now)
    };
    catalog
        .tell(&[
            told(ran(1, id, now)),
            told(by_hand),
            told(again),
            told(queued),
        ])
        .await;
    move_to(&catalog, id, "Build").await;
    ingest::sync_applied(&catalog.app, catalog.host, 9)
        .await
        .unwrap();
    let wanted = ingest::desired_state(&catalog.app, other, None).await;
    let starts: Vec<_> = wanted.unwrap().upserts.iter().map(|s| s.starts).collect();
    assert_eq!(starts, [1]);
}
