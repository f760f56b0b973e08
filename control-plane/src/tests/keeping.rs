//! Old logs go by age and by size; runs and their outcomes stay.

use super::*;
use crate::config::KeepLogs;
use crate::{ingest, retention, runs};

/// A run of so many days ago with a log of these bytes, delivered whole.
async fn logged(catalog: &Catalog, automation: AutomationId, number: u128, log: &[u8]) -> RunId {
    let record = run(number, automation, finished(log.len() as u64));
    let id = record.id;
    catalog.tell(&[Event::RunChanged(Box::new(record))]).await;
    log_bytes(&catalog.app, catalog.host, id, 0, log)
        .await
        .unwrap();
    let (size, crc) = (log.len() as u64, crc32fast::hash(log));
    ingest::log_final(&catalog.app, catalog.host, id, size, crc)
        .await
        .unwrap();
    id
}

#[tokio::test]
async fn old_logs_go_and_their_runs_say_so() {
    let catalog = Catalog::new().await;
    let automation = catalog.automation("a").await;
    let id = logged(&catalog, automation, 1, b"hello\n").await;
    let open = run(2, automation, RunState::Running { started_at: START }).id;
    log_bytes(&catalog.app, catalog.host, open, 0, b"still coming")
        .await
        .unwrap();
    let (app, caller) = (&catalog.app, &catalog.caller);
    let keep = KeepLogs { days: 90, gib: 20 };
    let now = clock::wall();
    assert_eq!(retention::round(app, keep, now).await.unwrap(), 0);
    let later = now.plus_ms(91 * 24 * 3_600_000);
    let forever = KeepLogs { days: 0, gib: 0 };
    assert_eq!(retention::round(app, forever, later).await.unwrap(), 0);
    assert_eq!(retention::round(app, keep, later).await.unwrap(), 1);
    assert_eq!(retention::round(app, keep, later).await.unwrap(), 0);

    let (automation, id) = (automation.to_string(), id.to_string());
    let read = runs::ReadLog {
        max_bytes: 99,
        ..runs::ReadLog::default()
    };
    let page = runs::log(app, caller, &automation, &id, read)
        .await
        .unwrap();
    assert_eq!((page.log.as_str(), page.done), ("", true));
    assert_eq!((page.next_cursor, page.run.log_bytes), (6, 6));
    assert_eq!(page.run.log_removed_at, Some(later));
    assert!(page.run.run.state.is_final());
    let kept = store::logs::read(&app.store, open, 0, 99).await.unwrap();
    assert_eq!(kept.bytes, b"still coming");
}

#[tokio::test]
async fn beyond_a_size_the_oldest_logs_go() {
    let catalog = Catalog::new().await;
    let automation = catalog.automation("a").await;
    for number in 1..=3 {
        logged(&catalog, automation, number, b"some output\n").await;
    }
    let app = &catalog.app;
    let sizes = [600 << 20, 300 << 20, 900 << 20];
    let mut tx = app.store.begin().await.unwrap();
    for (number, size) in (1..).zip(sizes) {
        let id = run(number, automation, RunState::Queued).id;
        let mut log = store::logs::state(&mut tx, id).await.unwrap().unwrap();
        log.stored = size;
        let at = START.plus_ms(i64::try_from(number).unwrap());
        store::logs::set_state(&mut tx, id, &log, at).await.unwrap();
    }
    app.store.commit(tx).await.unwrap();
    let keep = KeepLogs { days: 0, gib: 1 };
    assert_eq!(retention::round(app, keep, START).await.unwrap(), 2);
    let left = store::logs::oldest(&app.store, 9).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].0, run(3, automation, RunState::Queued).id);
}
