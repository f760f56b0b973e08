//! Each store function of workspaces, automations, runs and logs against a real database.

use hostler_proto::automation::{AutomationStatus, StopReason};
use hostler_proto::workspace::WorkspaceState;
use uuid::Uuid;

use super::*;
use crate::store::automations::Filter;
use crate::store::logs::{Chunk, LogRow};

#[tokio::test]
async fn workspaces_go_from_asked_for_to_confirmed() {
    let catalog = Catalog::new().await;
    let (store, org, host) = (&catalog.app.store, catalog.caller.org_id, catalog.host);
    let asked = workspace(1, None, WorkspaceState::Creating);
    let ready = workspace(1, None, WorkspaceState::Ready);
    let never = workspace(2, None, WorkspaceState::Creating);
    let mut tx = store.begin().await.unwrap();
    store::workspaces::insert_intent(&mut tx, org, host, &asked)
        .await
        .unwrap();
    store::workspaces::insert_intent(&mut tx, org, host, &never)
        .await
        .unwrap();
    assert!(
        store::workspaces::put(&mut tx, org, host, &ready, START)
            .await
            .unwrap()
    );
    assert!(
        store::workspaces::put(&mut tx, org, host, &asked, START)
            .await
            .unwrap()
    );
    let thief = HostId(Uuid::from_u128(1));
    assert!(
        !store::workspaces::put(&mut tx, org, thief, &asked, START)
            .await
            .unwrap()
    );
    store::workspaces::remove_intent(&mut tx, ready.id)
        .await
        .unwrap();
    store::workspaces::remove_intent(&mut tx, never.id)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    let rows = store::workspaces::list(store, org).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0].workspace, ready,
        "ready does not go back to creating"
    );
    assert!(rows[0].confirmed);
}

#[tokio::test]
async fn a_removed_workspace_stays_known_and_removed() {
    let catalog = Catalog::new().await;
    let (store, org, host) = (&catalog.app.store, catalog.caller.org_id, catalog.host);
    let ready = workspace(1, None, WorkspaceState::Ready);
    catalog
        .tell(&[Event::WorkspaceChanged(ready.clone())])
        .await;
    let mut tx = store.begin().await.unwrap();
    store::workspaces::set_delete_asked(&mut tx, ready.id, Some(START), None)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    let row = store::workspaces::by_id(store, org, ready.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.delete_asked_at, Some(START));
    let mut tx = store.begin().await.unwrap();
    store::workspaces::mark_removed(&mut tx, host, ready.id, START)
        .await
        .unwrap();
    assert!(
        store::workspaces::put(&mut tx, org, host, &ready, START)
            .await
            .unwrap()
    );
    store.commit(tx).await.unwrap();
    assert_eq!(store::workspaces::list(store, org).await.unwrap(), []);
    let row = store::workspaces::by_id(store, org, ready.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.removed_at, Some(START));
    let stranger = OrgId(Uuid::from_u128(9));
    assert_eq!(
        store::workspaces::by_id(store, stranger, ready.id)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn automations_are_found_by_part_of_their_name() {
    let catalog = Catalog::new().await;
    let (store, caller) = (&catalog.app.store, &catalog.caller);
    let first = catalog.automation("Nightly 100%").await;
    let second = catalog.automation("Ärger").await;
    let filter = |name: Option<&str>, enabled| Filter {
        host: None,
        deleted: false,
        name: name.map(str::to_owned),
        enabled,
        limit: 1,
        offset: 0,
    };
    let list = async |filter: Filter| {
        let listed = store::automations::list(store, caller.org_id, caller.user_id, &filter).await;
        let (rows, total) = listed.unwrap();
        (rows.iter().map(|row| row.id).collect::<Vec<_>>(), total)
    };
    assert_eq!(list(filter(None, None)).await, (vec![second], 2));
    assert_eq!(list(filter(Some("100%"), None)).await, (vec![first], 1));
    assert_eq!(list(filter(Some("10_%"), None)).await, (vec![], 0));
    assert_eq!(
        list(filter(Some("ÄRG"), Some(true))).await,
        (vec![second], 1)
    );
    assert_eq!(list(filter(None, Some(false))).await, (vec![], 0));
}

#[tokio::test]
async fn a_hosts_desired_state_is_told_from_any_revision() {
    let catalog = Catalog::new().await;
    let store = &catalog.app.store;
    let first = catalog.automation("1").await;
    let second = catalog.automation("2").await;
    let desired = store::automations::desired(store, catalog.host, 0)
        .await
        .unwrap();
    assert_eq!((desired.revision, desired.changed.len()), (2, 2));
    let desired = store::automations::desired(store, catalog.host, 1)
        .await
        .unwrap();
    assert_eq!(
        desired
            .changed
            .iter()
            .map(|spec| spec.id)
            .collect::<Vec<_>>(),
        [second]
    );
    assert_eq!(desired.changed[0].prompt, "echo hi");
    assert_eq!(desired.all.len(), 2);
    let later = store::automations::touched_after(store, catalog.host, 1)
        .await
        .unwrap();
    assert_eq!(later, [second]);

    let mut tx = store.begin().await.unwrap();
    assert!(
        store::automations::was_on(&mut tx, catalog.host, first)
            .await
            .unwrap()
    );
    assert!(
        !store::automations::was_on(&mut tx, HostId(Uuid::from_u128(9)), first)
            .await
            .unwrap()
    );
    store::automations::bury(&mut tx, catalog.host, first, 5)
        .await
        .unwrap();
    store::automations::unbury(&mut tx, catalog.host, second)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    let desired = store::automations::desired(store, catalog.host, 4)
        .await
        .unwrap();
    assert_eq!(desired.buried, [first]);
    assert_eq!(store::automations::left_hosts(store).await.unwrap(), []);
    let prompt = store::automations::prompt(store, first, 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(prompt.prompt, "echo hi");
    assert_eq!(
        store::automations::prompt(store, first, 2).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_plan_of_an_older_revision_is_not_taken() {
    let catalog = Catalog::new().await;
    let store = &catalog.app.store;
    let id = catalog.automation("a").await;
    let status = |revision| AutomationStatus {
        id,
        revision,
        next_run_at: None,
        stopped: Some(StopReason::Failures { count: 5 }),
    };
    let mut tx = store.begin().await.unwrap();
    let host = catalog.host;
    let old = store::automations::set_status(&mut tx, host, &status(9), Some("x")).await;
    assert!(!old.unwrap());
    let now = store::automations::set_status(&mut tx, host, &status(1), Some("x")).await;
    assert!(now.unwrap());
    store.commit(tx).await.unwrap();
    let caller = &catalog.caller;
    let row = store::automations::by_id(store, caller.org_id, caller.user_id, id).await;
    let row = row.unwrap().unwrap();
    assert!(!row.enabled);
    assert_eq!(row.paused_reason.unwrap(), "x");
    assert_eq!(row.status, Some(status(1)));
    let stranger = UserId(Uuid::from_u128(1));
    let none = store::automations::by_id(store, caller.org_id, stranger, id).await;
    assert_eq!(none.unwrap(), None);
}

#[tokio::test]
async fn runs_and_logs_are_read_as_they_were_written() {
    let catalog = Catalog::new().await;
    let (store, org, host) = (&catalog.app.store, catalog.caller.org_id, catalog.host);
    let automation = catalog.automation("a").await;
    let id = run(1, automation, RunState::Queued).id;
    let mut tx = store.begin().await.unwrap();
    for number in [2, 1, 3] {
        let record = run(number, automation, RunState::Queued);
        assert!(
            store::runs::put(&mut tx, org, host, &record, START)
                .await
                .unwrap()
        );
    }
    let stolen = run(1, automation, finished(1));
    let thief = HostId(Uuid::from_u128(1));
    assert!(
        !store::runs::put(&mut tx, org, thief, &stolen, START)
            .await
            .unwrap()
    );
    let mut log = LogRow::empty(host);
    for part in ["abc", "def", "ghi"] {
        let mut fresh = Chunk::default();
        fresh.push(part.as_bytes(), &[], START);
        store::logs::append(&mut tx, id, &mut log, fresh, START)
            .await
            .unwrap();
    }
    assert_eq!((log.end, log.crc), (9, crc32fast::hash(b"abcdefghi")));
    assert_eq!(store::logs::state(&mut tx, id).await.unwrap(), Some(log));
    assert_eq!(store::runs::host_in(&mut tx, id).await.unwrap(), Some(host));
    assert_eq!(store::runs::going_on(&mut tx, host).await.unwrap().len(), 3);
    let record = store::runs::record_in(&mut tx, id).await.unwrap();
    assert_eq!(record, Some(run(1, automation, RunState::Queued)));
    store.commit(tx).await.unwrap();

    let rows = store::runs::newest(store, org, automation, 2)
        .await
        .unwrap();
    let newest: Vec<_> = rows.iter().map(|row| row.run.scheduled_for).collect();
    assert_eq!(newest, [START.plus_ms(180_000), START.plus_ms(120_000)]);
    let row = store::runs::by_id(store, org, automation, id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.log_end, row.log_size), (9, None));
}

#[tokio::test]
async fn the_ends_of_logs_and_the_last_run_are_found() {
    let catalog = Catalog::new().await;
    let (app, store, org) = (&catalog.app, &catalog.app.store, catalog.caller.org_id);
    let automation = catalog.automation("a").await;
    let runs: Vec<_> = (1..=3)
        .map(|number| Event::RunChanged(Box::new(run(number, automation, RunState::Queued))))
        .collect();
    catalog.tell(&runs).await;
    let id = run(1, automation, RunState::Queued).id;
    for (at, part) in [(0, "abc"), (3, "def"), (6, "ghi")] {
        let sent = log_bytes(app, catalog.host, id, at, part.as_bytes());
        sent.await.unwrap();
    }
    let tails = store::logs::tails(store, org, automation, 3, 4)
        .await
        .unwrap();
    assert_eq!(tails, [(id, b"fghi".to_vec())]);
    assert_eq!(
        store::logs::tails(store, org, automation, 2, 4)
            .await
            .unwrap(),
        []
    );
    let last = store::runs::marks(store, &[automation], 1).await.unwrap();
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].run.scheduled_for, START.plus_ms(180_000));
}

#[tokio::test]
async fn every_range_of_a_log_is_exactly_its_bytes() {
    let catalog = Catalog::new().await;
    let (app, store) = (&catalog.app, &catalog.app.store);
    let id = RunId(Uuid::from_u128(1));
    for (at, part) in [(0, "abc"), (3, "def"), (6, "ghi")] {
        let sent = log_bytes(app, catalog.host, id, at, part.as_bytes());
        sent.await.unwrap();
    }
    for from in 0..=10_usize {
        for to in from..=10 {
            let read = store::logs::read(store, id, from as u64, to as u64)
                .await
                .unwrap();
            let (low, high) = (from.min(9), to.min(9));
            assert_eq!(read.bytes, &b"abcdefghi"[low..high], "{from}..{to}");
        }
    }
    let mut tx = store.begin().await.unwrap();
    let mut log = store::logs::state(&mut tx, id).await.unwrap().unwrap();
    store::logs::clear(&mut tx, id, &mut log, START)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    assert_eq!(
        store::logs::read(store, id, 0, 9).await.unwrap(),
        Chunk::default()
    );
}
