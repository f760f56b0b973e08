//! Hosts that tell what is not theirs to tell: nothing of it changes what is another host's, also in
//! the same organization.

use serde_json::json;

use super::*;
use crate::ingest;

#[tokio::test]
async fn only_a_host_that_had_an_automation_tells_of_its_runs() {
    let catalog = Catalog::new().await;
    let (app, org) = (&catalog.app, catalog.caller.org_id);
    let automation = catalog.automation("a").await;
    let liar = add_host(app, &catalog.caller, "Liar").await;
    let made_up = run(1, automation, RunState::Running { started_at: START });
    let told = numbered(0, &[Event::RunChanged(Box::new(made_up.clone()))]);
    let ack = ingest::events(app, liar, 0, &told).await.unwrap();
    assert_eq!((ack.acked, ack.refused.len()), (1, 1));
    let counted = async || store::runs::count(&app.store, org, automation).await;
    assert_eq!(counted().await.unwrap(), 0, "made up by another host");
    // One that it is on, and one that it was on, may.
    catalog
        .tell(&[Event::RunChanged(Box::new(made_up.clone()))])
        .await;
    once_on(&catalog, liar, automation).await;
    let late = run(2, automation, RunState::Running { started_at: START });
    let told = numbered(1, &[Event::RunChanged(Box::new(late))]);
    let ack = ingest::events(app, liar, 1, &told).await.unwrap();
    assert_eq!(ack.refused, []);
    assert_eq!(counted().await.unwrap(), 2);
}

#[tokio::test]
async fn a_log_that_was_written_before_its_run_was_known_gives_way_to_the_runs_host() {
    let catalog = Catalog::new().await;
    let app = &catalog.app;
    let automation = catalog.automation("a").await;
    let liar = add_host(app, &catalog.caller, "Liar").await;
    let record = run(1, automation, RunState::Running { started_at: START });
    let id = record.id;
    let ack = log_bytes(app, liar, id, 0, b"made up").await.unwrap();
    assert_eq!(ack.offset, 7);
    catalog.tell(&[Event::RunChanged(Box::new(record))]).await;
    let ack = log_bytes(app, catalog.host, id, 0, b"true").await.unwrap();
    assert_eq!((ack.offset, ack.complete), (4, false));
    let crc = crc32fast::hash(b"true");
    let ack = ingest::log_final(app, catalog.host, id, 4, crc).await;
    assert!(ack.unwrap().complete);
    // And it comes no more.
    log_bytes(app, liar, id, 7, b" and more").await.unwrap();
    let read = store::logs::read(&app.store, id, 0, 99).await.unwrap();
    assert_eq!(read.bytes, b"true");
}

#[tokio::test]
async fn a_project_on_two_hosts_keeps_its_name_and_its_address() {
    let catalog = Catalog::new().await;
    let (app, org) = (&catalog.app, catalog.caller.org_id);
    let liar = add_host(app, &catalog.caller, "Liar").await;
    let known = project(1, "shop");
    catalog.tell(&[Event::ProjectChanged(known.clone())]).await;
    let other = Project {
        path: "/elsewhere".into(),
        ..project(1, "trap")
    };
    let told = numbered(0, &[Event::ProjectChanged(other)]);
    let ack = ingest::events(app, liar, 0, &told).await.unwrap();
    assert_eq!(ack.refused, []);
    let places = store::projects::places(&app.store, org).await.unwrap();
    assert_eq!(places.len(), 2);
    for place in &places {
        assert_eq!((&place.name, &place.url), (&known.name, &known.url));
    }
    // Its only host may.
    let mut tx = app.store.begin().await.unwrap();
    store::projects::remove(&mut tx, liar, known.id)
        .await
        .unwrap();
    app.store.commit(tx).await.unwrap();
    let renamed = Project {
        name: "store".into(),
        ..known
    };
    catalog.tell(&[Event::ProjectChanged(renamed)]).await;
    let places = store::projects::places(&app.store, org).await.unwrap();
    assert_eq!(places[0].name, "store");
}

#[tokio::test]
async fn what_is_refused_takes_little_room_however_much_comes() {
    let catalog = Catalog::new().await;
    let (app, host) = (&catalog.app, catalog.host);
    let nonsense = json!({ "type": "x".repeat(100_000) });
    let batch: Vec<_> = (1..=1_100).map(|seq| (seq, json!(seq))).collect();
    let ack = ingest::events(app, host, 0, &batch).await.unwrap();
    assert_eq!((ack.acked, ack.refused.len()), (1_100, 1_100));
    let ack = ingest::events(app, host, 1_100, &[(1_101, nonsense)]).await;
    assert!(ack.unwrap().refused[0].1.len() < 400);
    let kept = store::hosts::refused_events(&app.store, host)
        .await
        .unwrap();
    assert_eq!(kept.len(), 1_000);
    assert_eq!((kept[0].0, kept[999].0), (102, 1_101));
}
