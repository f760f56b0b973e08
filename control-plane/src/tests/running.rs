//! Runs in full and their end: who may, what is recorded for a host that is away, and whose word
//! stands when a cancel and an end meet.

use std::time::Duration;

use hostler_proto::command::{Command, Reply};
use hostler_proto::error::{ErrorCode, Failure};

use super::*;
use crate::automations::{self, ListAutomations, UpdateAutomation};
use crate::reconcile::settle;
use crate::runs;
use crate::runs::{ReadLog, cancel, get, log};

fn running() -> RunState {
    RunState::Running { started_at: START }
}

async fn told(catalog: &Catalog, automation: AutomationId, state: RunState) -> String {
    let record = run(1, automation, state);
    let id = record.id.to_string();
    catalog.tell(&[Event::RunChanged(Box::new(record))]).await;
    id
}

async fn word(catalog: &Catalog, id: &str) -> &'static str {
    let full = get(&catalog.app, &catalog.caller, id).await.unwrap();
    full.view.run.state.word()
}

#[tokio::test]
async fn runs_are_their_owners_alone() {
    let catalog = Catalog::new().await;
    let automation = catalog.automation("a").await;
    let id = told(&catalog, automation, running()).await;
    let stranger = add_org(&catalog.app, 2).await;
    let colleague = Caller {
        user_id: UserId(Uuid::from_u128(9)),
        ..catalog.caller.clone()
    };
    for (caller, id) in [
        (&stranger, id.as_str()),
        (&colleague, id.as_str()),
        (&catalog.caller, "nonsense"),
        (&catalog.caller, "01900000-0000-7000-8000-000000000006"),
    ] {
        let (read, ended) = (
            get(&catalog.app, caller, id).await.unwrap_err(),
            cancel(&catalog.app, caller, id).await.unwrap_err(),
        );
        for failure in [read, ended] {
            assert_eq!(failure.code, ErrorCode::NotFound, "{failure}");
            assert!(failure.message.contains(id), "{failure}");
        }
    }
    assert!(catalog.open_commands().await.is_empty());
}

#[tokio::test]
async fn a_run_is_read_in_full_also_after_its_automation_was_deleted() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let automation = catalog.automation("nightly").await;
    let place = workspace(1, None, WorkspaceState::Ready);
    let mut record = run(1, automation, finished(3));
    record.workspace_id = Some(place.id);
    catalog
        .tell(&[
            Event::WorkspaceChanged(place),
            Event::RunChanged(Box::new(record.clone())),
        ])
        .await;
    log_bytes(app, catalog.host, record.id, 0, b"end")
        .await
        .unwrap();
    automations::delete(app, caller, &automation.to_string())
        .await
        .unwrap();
    let full = get(app, caller, &record.id.to_string()).await.unwrap();
    assert_eq!(full.automation_name, "nightly");
    assert!(full.automation_deleted_at.is_some());
    assert_eq!(
        (full.host_name.as_str(), full.host_online),
        ("MacBook", false)
    );
    assert_eq!(full.place.unwrap().path, "/home/me/worktrees/1");
    assert_eq!(full.view.log_tail, "end");
    let deleted = async |deleted| {
        let wanted = ListAutomations {
            deleted,
            limit: 9,
            ..ListAutomations::default()
        };
        automations::list(app, caller, wanted).await.unwrap()
    };
    assert_eq!(deleted(false).await.total, 0);
    let [gone] = &deleted(true).await.automations[..] else {
        panic!("one deleted automation");
    };
    assert!(gone.deleted_at.is_some() && gone.last_run.is_some());
}

#[tokio::test]
async fn a_run_no_host_heard_of_is_over_at_once_and_stays_over() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let automation = catalog.automation("a").await;
    let asked = automations::run(app, caller, &automation.to_string())
        .await
        .unwrap();
    let id = asked.run_id.to_string();
    let ended = cancel(app, caller, &id).await.unwrap();
    assert_eq!(ended.run.run.state.word(), "cancelled");
    assert_eq!((ended.already_over, ended.pending), (false, false));
    let again = cancel(app, caller, &id).await.unwrap();
    assert_eq!((again.already_over, again.pending), (true, false));
    let open = catalog.open_commands().await;
    let [wish] = &open[..] else {
        panic!("only the wish is left: {open:?}");
    };
    assert!(matches!(wish.command, Command::RunCancel(_)));
    // Should the start have arrived after all, the host's word stands until it has ended the run.
    let mut record = get(app, caller, &id).await.unwrap().view.run;
    record.state = running();
    catalog
        .tell(&[Event::RunChanged(Box::new(record.clone()))])
        .await;
    assert_eq!(word(&catalog, &id).await, "running");
    assert_eq!(catalog.open_commands().await.len(), 1);
    record.state = finished(0);
    catalog.tell(&[Event::RunChanged(Box::new(record))]).await;
    assert_eq!(catalog.open_commands().await, []);
}

#[tokio::test]
async fn the_wish_to_end_a_run_waits_for_a_host_that_is_away() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let automation = catalog.automation("a").await;
    let id = told(&catalog, automation, running()).await;
    for _ in 0..2 {
        let asked = cancel(app, caller, &id).await.unwrap();
        assert_eq!((asked.already_over, asked.pending), (false, true));
        assert_eq!(asked.run.run.state.word(), "running");
    }
    assert_eq!(catalog.open_commands().await.len(), 1);
    let wish = get(app, caller, &id).await.unwrap().cancel.unwrap();
    assert_eq!(wish.by, caller.label);
    // News of a run that goes on, or the end of its automation, does not settle the wish.
    told(&catalog, automation, running()).await;
    automations::delete(app, caller, &automation.to_string())
        .await
        .unwrap();
    assert_eq!(word(&catalog, &id).await, "running");
    let catalog = catalog.crash().await;
    let open = catalog.open_commands().await;
    let answer = Ok(Reply::RunCancelled {
        run_id: id.parse().unwrap(),
        already_over: false,
    });
    settle(&catalog.app, &open[0], &answer, START)
        .await
        .unwrap();
    assert_eq!(catalog.open_commands().await, []);
    assert_eq!(
        word(&catalog, &id).await,
        "running",
        "its host tells the end"
    );
    told(&catalog, automation, finished(0)).await;
    let late = cancel(&catalog.app, &catalog.caller, &id).await.unwrap();
    assert!(late.already_over);
}

#[tokio::test]
async fn a_run_that_its_host_does_not_know_ends_in_the_catalog() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let automation = catalog.automation("a").await;
    for (state, expected) in [(RunState::Queued, "cancelled"), (running(), "lost")] {
        let id = told(&catalog, automation, state).await;
        cancel(app, caller, &id).await.unwrap();
        let open = catalog.open_commands().await;
        let unknown = Failure::new(ErrorCode::NotFound, "this host knows no run");
        settle(app, &open[0], &Err(unknown), START).await.unwrap();
        assert_eq!(word(&catalog, &id).await, expected);
        assert_eq!(catalog.open_commands().await, []);
    }
}

#[tokio::test]
async fn a_reader_that_waits_gets_what_comes_and_every_byte_of_it() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let automation = catalog.automation("a").await;
    let id = told(&catalog, automation, running()).await;
    let read = ReadLog {
        max_bytes: 100,
        patience: Duration::from_secs(30),
        exact: true,
        ..ReadLog::default()
    };
    let bytes = b"\xff\x00half of \xe2";
    let automation_id = automation.to_string();
    let (page, sent) = tokio::join!(
        log(app, caller, &automation_id, &id, read),
        log_bytes(app, catalog.host, id.parse().unwrap(), 0, bytes),
    );
    sent.unwrap();
    let page = page.unwrap();
    assert_eq!(
        (page.log.as_str(), page.next_cursor),
        ("/wBoYWxmIG9mIOI=", 11)
    );
    let end = ReadLog { cursor: 11, ..read };
    let (page, ()) = tokio::join!(log(app, caller, &automation_id, &id, end), async {
        drop(told(&catalog, automation, finished(11)).await);
    },);
    assert!(page.unwrap().done);
    let hasty = ReadLog {
        cursor: 99,
        patience: Duration::from_millis(1),
        ..read
    };
    let skipped = run(2, automation, RunState::Queued);
    catalog
        .tell(&[Event::RunChanged(Box::new(skipped.clone()))])
        .await;
    let page = log(app, caller, &automation_id, &skipped.id.to_string(), hasty)
        .await
        .unwrap();
    assert_eq!((page.log.as_str(), page.done), ("", false));
}

#[tokio::test]
async fn changes_at_once_are_all_made() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let id = catalog.automation("a").await.to_string();
    let change = |number: u32| {
        let id = id.clone();
        async move {
            let mut changes = UpdateAutomation::default();
            if number.is_multiple_of(2) {
                changes.policies.jitter_seconds = Some(number + 1);
            } else {
                changes.name = Some(format!("name {number}"));
            }
            automations::update(app, caller, &id, changes).await
        }
    };
    for changed in futures_util::future::join_all((0..50).map(change)).await {
        changed.unwrap();
    }
    let (mut tx, row) = (app.store.begin().await.unwrap(), id.parse().unwrap());
    let row = store::automations::by_id_in(&mut tx, caller.org_id, caller.user_id, row)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.revision, 51);
    assert!(row.name.starts_with("name ") && row.policies.jitter_seconds > 0);
    drop(tx);
    let none = runs::list(app, caller, &id, 5).await.unwrap();
    assert_eq!(none, []);
}
