//! Reading runs and logs: exact bytes whatever the page, and quick whatever the number of runs.

use std::time::Duration;

use hostler_proto::error::ErrorCode;

use super::*;
use crate::runs::{ReadLog, list, log};

fn read(cursor: u64, max_bytes: u32) -> ReadLog {
    ReadLog {
        cursor,
        max_bytes,
        ..ReadLog::default()
    }
}

#[tokio::test]
async fn a_follower_misses_and_repeats_no_byte() {
    let catalog = Catalog::new().await;
    let (app, caller, host) = (&catalog.app, &catalog.caller, catalog.host);
    let automation = catalog.automation("a").await;
    let id = automation.to_string();
    let going = run(1, automation, RunState::Running { started_at: START });
    let run_id = going.id.to_string();
    catalog.tell(&[Event::RunChanged(Box::new(going))]).await;
    let whole = "zażółć gęślą jaźń 🦀\n".repeat(40);
    let (mut text, mut cursor) = (String::new(), 0);
    for (at, part) in whole.as_bytes().chunks(7).enumerate() {
        let sent = log_bytes(
            app,
            host,
            run(1, automation, RunState::Queued).id,
            at as u64 * 7,
            part,
        );
        sent.await.unwrap();
        let page = log(app, caller, &id, &run_id, read(cursor, 5))
            .await
            .unwrap();
        assert!(!page.done);
        assert!(page.next_cursor <= page.run.log_bytes);
        (text, cursor) = (text + &page.log, page.next_cursor);
    }
    let over = run(1, automation, finished(whole.len() as u64));
    catalog.tell(&[Event::RunChanged(Box::new(over))]).await;
    loop {
        let page = log(app, caller, &id, &run_id, read(cursor, 64))
            .await
            .unwrap();
        (text, cursor) = (text + &page.log, page.next_cursor);
        if page.done {
            break;
        }
    }
    assert_eq!(text, whole);
    assert_eq!(cursor, whole.len() as u64);
    let beyond = log(app, caller, &id, &run_id, read(cursor + 9, 64))
        .await
        .unwrap();
    assert_eq!((beyond.log.as_str(), beyond.done), ("", true));
    let listed = list(app, caller, &id, 5).await.unwrap();
    assert!(whole.ends_with(&listed[0].log_tail) && listed[0].log_tail.lines().count() == 20);
}

#[tokio::test]
async fn a_finished_run_is_done_only_when_its_last_byte_is_here() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let automation = catalog.automation("a").await;
    let record = run(1, automation, finished(6));
    catalog
        .tell(&[Event::RunChanged(Box::new(record.clone()))])
        .await;
    let (id, run_id) = (automation.to_string(), record.id.to_string());
    log_bytes(app, catalog.host, record.id, 0, b"abc")
        .await
        .unwrap();
    assert!(
        !log(app, caller, &id, &run_id, read(0, 100))
            .await
            .unwrap()
            .done
    );
    log_bytes(app, catalog.host, record.id, 3, b"de\xe2")
        .await
        .unwrap();
    let page = log(app, caller, &id, &run_id, read(0, 100)).await.unwrap();
    assert_eq!(
        (page.log.as_str(), page.next_cursor, page.done),
        ("abcde\u{fffd}", 6, true)
    );
    let part = log(app, caller, &id, &run_id, read(0, 4)).await.unwrap();
    assert_eq!(
        (part.log.as_str(), part.next_cursor, part.done),
        ("abcd", 4, false)
    );
}

#[tokio::test]
async fn runs_of_another_automation_are_not_found() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let (one, two) = (catalog.automation("1").await, catalog.automation("2").await);
    let record = run(1, one, finished(0));
    catalog
        .tell(&[Event::RunChanged(Box::new(record.clone()))])
        .await;
    for run_id in [record.id.to_string(), "nonsense".into()] {
        let failure = log(app, caller, &two.to_string(), &run_id, read(0, 9))
            .await
            .unwrap_err();
        assert_eq!(failure.code, ErrorCode::NotFound);
    }
}

#[tokio::test]
async fn ten_thousand_runs_are_listed_quickly() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let automation = catalog.automation("a").await;
    let mut tx = app.store.begin().await.unwrap();
    for number in 0..10_000 {
        let record = run(number, automation, finished(0));
        store::runs::put(&mut tx, caller.org_id, catalog.host, &record, START)
            .await
            .unwrap();
    }
    app.store.commit(tx).await.unwrap();
    for number in 9_900..10_000 {
        let id = run(number, automation, RunState::Queued).id;
        log_bytes(app, catalog.host, id, 0, &[b'x'; 5_000])
            .await
            .unwrap();
    }
    let before = clock::monotonic();
    let runs = list(app, caller, &automation.to_string(), 100)
        .await
        .unwrap();
    let took = before.elapsed();
    assert_eq!(runs.len(), 100);
    assert!(runs.iter().all(|run| run.log_tail.len() == 4096));
    assert!(took < Duration::from_millis(500), "{took:?}");
}
