//! What hosts tell: each event once, each log byte once, whatever is repeated, cut or out of place.

use hostler_proto::automation::{AutomationStatus, StopReason};
use hostler_proto::run::SkipReason;
use serde_json::json;

use hostler_proto::frame::log::{LogRecord, LogStream};

use super::*;
use crate::ingest::{self, EventsAck, LogAck, Stated, StatedRun};

fn ack(acked: u64) -> EventsAck {
    EventsAck {
        acked,
        ..EventsAck::default()
    }
}

fn log_ack(offset: u64, complete: bool) -> LogAck {
    LogAck { offset, complete }
}

#[tokio::test]
async fn duplicates_change_nothing_and_a_gap_takes_nothing() {
    let catalog = Catalog::new().await;
    let (app, host) = (&catalog.app, catalog.host);
    let events = [
        Event::HostChanged(facts(Autonomy::Edits)),
        Event::ProjectChanged(project(1, "Api")),
        Event::WorkspaceChanged(workspace(1, None, WorkspaceState::Ready)),
    ];
    let batch = numbered(0, &events);
    assert_eq!(
        ingest::events(app, host, 0, &batch[..2]).await.unwrap(),
        ack(2)
    );
    let after = catalog.host_row().await;
    for (prev, part) in [(0, &batch[..2]), (1, &batch[1..2]), (0, &batch[..0])] {
        assert_eq!(ingest::events(app, host, prev, part).await.unwrap(), ack(2));
        assert_eq!(catalog.host_row().await, after);
    }
    let gap = ingest::events(app, host, 3, &numbered(3, &events[2..]))
        .await
        .unwrap();
    assert_eq!((gap.acked, gap.gap), (2, true));
    assert_eq!(catalog.host_row().await, after);
    assert_eq!(ingest::events(app, host, 0, &batch).await.unwrap(), ack(3));
    let org = catalog.caller.org_id;
    assert_eq!(
        store::workspaces::list(&app.store, org)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_crash_between_two_batches_loses_nothing_and_doubles_nothing() {
    let catalog = Catalog::new().await;
    let automation = catalog.automation("a").await;
    let host = catalog.host;
    let events: Vec<_> = (1..=6)
        .map(|number| Event::RunChanged(Box::new(run(number, automation, finished(0)))))
        .collect();
    let batch = numbered(0, &events);
    let stored = ingest::events(&catalog.app, host, 0, &batch[..4])
        .await
        .unwrap();
    assert_eq!(stored, ack(4));
    let catalog = catalog.crash().await;
    let hello = ingest::hello(&catalog.app, host, &Stated::default())
        .await
        .unwrap();
    assert_eq!(hello.acked_seq, 4);
    let stored = ingest::events(&catalog.app, host, 2, &batch[2..])
        .await
        .unwrap();
    assert_eq!(stored, ack(6));
    let org = catalog.caller.org_id;
    let runs = store::runs::newest(&catalog.app.store, org, automation, 100)
        .await
        .unwrap();
    assert_eq!(runs.len(), 6);
}

#[tokio::test]
async fn what_can_never_be_applied_is_set_aside_and_the_rest_goes_on() {
    let catalog = Catalog::new().await;
    let stranger = add_org(&catalog.app, 2).await;
    let foreign_host = add_host(&catalog.app, &stranger, "Theirs").await;
    let automation = catalog.automation("mine").await;
    tell(
        &catalog.app,
        catalog.host,
        &[Event::WorkspaceChanged(workspace(
            1,
            None,
            WorkspaceState::Ready,
        ))],
    )
    .await;
    let theft = Event::RunChanged(Box::new(run(1, automation, RunState::Queued)));
    let twin = Event::WorkspaceChanged(workspace(1, None, WorkspaceState::Deleting));
    let mut batch = numbered(0, &[theft, twin]);
    batch.push((3, json!({"type": "from_the_future", "payload": {}})));
    batch.extend(numbered(3, &[Event::HostChanged(facts(Autonomy::Full))]));
    let ack = ingest::events(&catalog.app, foreign_host, 0, &batch)
        .await
        .unwrap();
    assert_eq!(ack.acked, 4);
    let refused: Vec<_> = ack.refused.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(refused, [1, 2, 3]);
    let kept = store::hosts::refused_events(&catalog.app.store, foreign_host)
        .await
        .unwrap();
    assert_eq!(kept, ack.refused);
    let row = store::hosts::by_id(&catalog.app.store, foreign_host)
        .await
        .unwrap()
        .unwrap();
    assert!(row.facts.is_some(), "the event after them was applied");
    let org = catalog.caller.org_id;
    let spaces = store::workspaces::list(&catalog.app.store, org)
        .await
        .unwrap();
    assert_eq!(spaces[0].workspace.state, WorkspaceState::Ready);
}

#[tokio::test]
async fn a_host_restored_from_an_older_copy_is_heard_again() {
    let catalog = Catalog::new().await;
    let (app, host) = (&catalog.app, catalog.host);
    let seen = |number| Event::WorkspaceChanged(workspace(number, None, WorkspaceState::Ready));
    catalog.tell(&[seen(1), seen(2), seen(3)]).await;
    let stated = Stated {
        next_seq: 2,
        ..Stated::default()
    };
    let greeting = ingest::hello(app, host, &stated).await.unwrap();
    assert_eq!(greeting.acked_seq, 1);
    let other = numbered(1, &[seen(9)]);
    assert_eq!(ingest::events(app, host, 1, &other).await.unwrap(), ack(2));
    let org = catalog.caller.org_id;
    let spaces = store::workspaces::list(&app.store, org).await.unwrap();
    assert_eq!(spaces.len(), 4);
}

#[tokio::test]
async fn a_host_nobody_knows_is_told_so() {
    let catalog = Catalog::new().await;
    let unknown = HostId(Uuid::from_u128(5));
    let failure = ingest::hello(&catalog.app, unknown, &Stated::default())
        .await
        .unwrap_err();
    assert_eq!(failure.code, hostler_proto::error::ErrorCode::NotFound);
}

#[tokio::test]
async fn records_are_changed_and_removed_by_later_events() {
    let catalog = Catalog::new().await;
    let org = catalog.caller.org_id;
    let store = &catalog.app.store;
    let ready = workspace(1, None, WorkspaceState::Ready);
    catalog
        .tell(&[
            Event::ProjectChanged(project(1, "Api")),
            Event::WorkspaceChanged(ready.clone()),
            Event::WorkspaceRemoved { id: ready.id },
            Event::ProjectRemoved {
                id: project(1, "Api").id,
            },
        ])
        .await;
    assert_eq!(store::workspaces::list(store, org).await.unwrap(), []);
    assert_eq!(store::projects::places(store, org).await.unwrap(), []);
    let row = store::workspaces::by_id(store, org, ready.id)
        .await
        .unwrap()
        .unwrap();
    assert!(row.removed_at.is_some());
}

#[tokio::test]
async fn too_many_failures_pause_it_and_the_end_of_a_schedule_does_not() {
    let catalog = Catalog::new().await;
    let id = catalog.automation("a").await;
    let told = |stopped| {
        Event::AutomationChanged(AutomationStatus {
            id,
            revision: 1,
            next_run_at: None,
            stopped: Some(stopped),
        })
    };
    let get = async || {
        let view = crate::automations::get(&catalog.app, &catalog.caller, &id.to_string()).await;
        view.unwrap().automation
    };
    catalog.tell(&[told(StopReason::Finished)]).await;
    let view = get().await;
    assert!(view.enabled);
    assert_eq!(view.next_run_at, None);
    assert_eq!(
        view.paused_reason.unwrap(),
        "finished: nothing is left to run"
    );
    catalog
        .tell(&[told(StopReason::Failures { count: 5 })])
        .await;
    let view = get().await;
    assert!(!view.enabled);
    assert_eq!(
        view.paused_reason.unwrap(),
        "paused after 5 failures in a row"
    );
}

#[tokio::test]
async fn log_bytes_arrive_once_in_whatever_pieces() {
    let catalog = Catalog::new().await;
    let (app, host) = (&catalog.app, catalog.host);
    let automation = catalog.automation("a").await;
    let id = run(1, automation, RunState::Queued).id;
    let whole: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let send = async |from: usize, to: usize| {
        let sent = log_bytes(app, host, id, from as u64, &whole[from..to]).await;
        sent.unwrap()
    };
    assert_eq!(send(0, 100).await, log_ack(100, false));
    assert_eq!(send(0, 100).await, log_ack(100, false), "a repeat");
    assert_eq!(send(300, 400).await, log_ack(100, false), "a hole");
    assert_eq!(send(50, 250).await, log_ack(250, false), "an overlap");
    let early = ingest::log_final(app, host, id, 1000, 0).await.unwrap();
    assert_eq!(early, log_ack(250, false), "not all of it is here");
    assert_eq!(send(250, 1000).await, log_ack(1000, false));
    let crc = crc32fast::hash(&whole);
    let done = ingest::log_final(app, host, id, 1000, crc).await.unwrap();
    assert_eq!(done, log_ack(1000, true));
    assert_eq!(send(0, 1000).await, log_ack(1000, true));
    let again = ingest::log_final(app, host, id, 1000, crc).await.unwrap();
    assert_eq!(again, log_ack(1000, true));
    let read = store::logs::read(&app.store, id, 0, 5000)
        .await
        .unwrap()
        .bytes;
    assert_eq!(read, whole);
}

#[tokio::test]
async fn frames_that_come_together_are_one_answer_for_each_log() {
    let catalog = Catalog::new().await;
    let (app, host) = (&catalog.app, catalog.host);
    let (one, two) = (RunId(Uuid::from_u128(1)), RunId(Uuid::from_u128(2)));
    let frame = |run_id, offset, bytes: &[u8]| LogFrame {
        run_id,
        offset,
        bytes: bytes.to_vec(),
        records: Vec::new(),
    };
    let frames = [
        frame(one, 0, b"abc"),
        frame(two, 0, b"x"),
        frame(one, 2, b"cde"),
        frame(two, 5, b"lost"),
        frame(one, 5, b"f"),
    ];
    let stored = ingest::log_frames(app, host, &frames).await.unwrap();
    let seen: Vec<_> = stored
        .iter()
        .map(|one| (one.run_id, one.ack.offset, one.gap))
        .collect();
    assert_eq!(seen, [(one, 6, false), (two, 1, true)]);
    let read = store::logs::read(&app.store, one, 0, 9).await.unwrap();
    assert_eq!(read.bytes, b"abcdef");
}

#[tokio::test]
async fn a_large_log_is_packed_and_keeps_its_bytes_and_times() {
    let catalog = Catalog::new().await;
    let (app, host, id) = (&catalog.app, catalog.host, RunId(Uuid::from_u128(1)));
    let whole: Vec<u8> = (0..200_000_u32)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect();
    let (part, mut offset) = (50_000, 0);
    for (number, bytes) in whole.chunks(part).enumerate() {
        let record = |len: usize, stream| LogRecord {
            len: u32::try_from(len).unwrap(),
            at: START.plus_ms(i64::try_from(number).unwrap()),
            stream,
        };
        let records = vec![
            record(10, LogStream::Err),
            record(bytes.len() - 10, LogStream::Out),
        ];
        let frame = LogFrame {
            run_id: id,
            offset,
            bytes: bytes.to_vec(),
            records,
        };
        let stored = ingest::log_frames(app, host, &[frame]).await.unwrap();
        offset = stored[0].ack.offset;
        let tail = store::logs::read(&app.store, id, offset - 9, offset).await;
        assert!(whole.starts_with(&whole[..usize::try_from(offset).unwrap()]));
        assert_eq!(tail.unwrap().bytes, bytes[bytes.len() - 9..]);
    }
    let crc = crc32fast::hash(&whole);
    let size = whole.len() as u64;
    let done = ingest::log_final(app, host, id, size, crc).await.unwrap();
    assert_eq!(done, log_ack(size, true));
    let read = store::logs::read(&app.store, id, 0, size).await.unwrap();
    assert_eq!(read.bytes, whole);
    let fifth = store::logs::read(&app.store, id, 200_000, 200_020)
        .await
        .unwrap();
    let seen: Vec<_> = fifth
        .records
        .iter()
        .map(|record| (record.len, record.at, record.stream))
        .collect();
    let at = START.plus_ms(4);
    assert_eq!(seen, [(10, at, LogStream::Err), (10, at, LogStream::Out)]);
    let stored = store::logs::stored_bytes(&app.store).await.unwrap();
    assert!(stored > 0 && stored < size / 3, "{stored} of {size}");
}

#[tokio::test]
async fn a_log_that_does_not_fit_its_checksum_is_wanted_again() {
    let catalog = Catalog::new().await;
    let (app, host) = (&catalog.app, catalog.host);
    let id = RunId(Uuid::from_u128(1));
    log_bytes(app, host, id, 0, b"brokem").await.unwrap();
    let crc = crc32fast::hash(b"broken");
    let bad = ingest::log_final(app, host, id, 6, crc).await.unwrap();
    assert_eq!(bad, log_ack(0, false));
    log_bytes(app, host, id, 0, b"broken").await.unwrap();
    let good = ingest::log_final(app, host, id, 6, crc).await.unwrap();
    assert_eq!(good, log_ack(6, true));
}

#[tokio::test]
async fn a_crash_between_log_frames_goes_on_from_the_last_commit() {
    let catalog = Catalog::new().await;
    let (host, id) = (catalog.host, RunId(Uuid::from_u128(1)));
    log_bytes(&catalog.app, host, id, 0, b"hello ")
        .await
        .unwrap();
    let catalog = catalog.crash().await;
    let stated = Stated {
        runs: vec![StatedRun {
            run_id: id,
            state: "running".into(),
            log_end: 11,
        }],
        ..Stated::default()
    };
    let hello = ingest::hello(&catalog.app, host, &stated).await.unwrap();
    assert_eq!(hello.logs, [(id, log_ack(6, false))]);
    log_bytes(&catalog.app, host, id, 6, b"world")
        .await
        .unwrap();
    let crc = crc32fast::hash(b"hello world");
    let done = ingest::log_final(&catalog.app, host, id, 11, crc)
        .await
        .unwrap();
    assert_eq!(done, log_ack(11, true));
}

#[tokio::test]
async fn another_host_cannot_write_a_runs_log() {
    let catalog = Catalog::new().await;
    let automation = catalog.automation("a").await;
    let record = run(1, automation, RunState::Running { started_at: START });
    let id = record.id;
    catalog.tell(&[Event::RunChanged(Box::new(record))]).await;
    let other = add_host(&catalog.app, &catalog.caller, "Other").await;
    // Said to be complete: a refusal would come back with every connection.
    let bytes = log_bytes(&catalog.app, other, id, 0, b"x").await;
    assert_eq!(bytes.unwrap(), log_ack(1, true));
    let last = ingest::log_final(&catalog.app, other, id, 1, 7).await;
    assert_eq!(last.unwrap(), log_ack(1, true));
    let read = store::logs::read(&catalog.app.store, id, 0, 9)
        .await
        .unwrap();
    assert_eq!(read.bytes, b"");
}

#[tokio::test]
async fn what_one_host_skipped_gives_way_to_what_another_ran() {
    let catalog = Catalog::new().await;
    let automation = catalog.automation("a").await;
    let other = add_host(&catalog.app, &catalog.caller, "Other").await;
    once_on(&catalog, other, automation).await;
    let skipped = RunState::Skipped {
        reason: SkipReason::Missed,
        at: START,
        count: 1,
        until: None,
        why: None,
    };
    let skip = run(1, automation, skipped);
    let ran = run(1, automation, RunState::Running { started_at: START });
    catalog
        .tell(&[Event::RunChanged(Box::new(skip.clone()))])
        .await;
    tell(
        &catalog.app,
        other,
        &[Event::RunChanged(Box::new(ran.clone()))],
    )
    .await;
    let batch = numbered(1, &[Event::RunChanged(Box::new(skip))]);
    let ack = ingest::events(&catalog.app, catalog.host, 1, &batch).await;
    assert_eq!(ack.unwrap().refused.len(), 1, "a run is never taken back");
    let org = catalog.caller.org_id;
    let row = store::runs::by_id(&catalog.app.store, org, automation, ran.id).await;
    let row = row.unwrap().unwrap();
    assert_eq!((row.host_id, row.run), (other, ran));
}

#[tokio::test]
async fn a_run_its_host_no_longer_knows_is_lost_once_the_host_has_nothing_to_tell() {
    let catalog = Catalog::new().await;
    let automation = catalog.automation("a").await;
    let record = run(1, automation, RunState::Running { started_at: START });
    let skipped = RunState::Skipped {
        reason: SkipReason::Overlap,
        at: START,
        count: 1,
        until: None,
        why: None,
    };
    catalog
        .tell(&[
            Event::RunChanged(Box::new(record.clone())),
            Event::RunChanged(Box::new(run(2, automation, skipped))),
        ])
        .await;
    let words = async || {
        let org = catalog.caller.org_id;
        let rows = store::runs::newest(&catalog.app.store, org, automation, 9)
            .await
            .unwrap();
        rows.iter()
            .map(|row| row.run.state.word())
            .collect::<Vec<_>>()
    };
    let stated = |next_seq, runs| Stated {
        next_seq,
        runs,
        ..Stated::default()
    };
    let known = vec![StatedRun {
        run_id: record.id,
        state: "running".into(),
        log_end: 0,
    }];
    for harmless in [stated(3, known), stated(4, vec![])] {
        ingest::hello(&catalog.app, catalog.host, &harmless)
            .await
            .unwrap();
        assert_eq!(words().await, ["skipped", "running"]);
    }
    ingest::hello(&catalog.app, catalog.host, &stated(3, vec![]))
        .await
        .unwrap();
    assert_eq!(words().await, ["skipped", "lost"]);
}
