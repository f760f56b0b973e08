//! Copies of a host's identity, changed keys, and hosts that talk on after they were removed.

use hostler_proto::enrol::{ROTATE_PATH, RotateReply, RotateRequest, rotate_statement};
use hostler_proto::frame::payload::{Life, RejectCode};
use hostler_proto::link::close;
use hostler_proto::link::host::Next;

use super::*;
use crate::auth::{Caller, Role, Scopes};
use crate::hosts_catalog::manage::{self, Right};
use crate::hosts_catalog::show;
use crate::store;
use crate::store::hosts::{DoubtKind, HostRow};

/// The owner of the first organization, who owns the hosts enrolled here.
async fn owner(app: &App) -> Caller {
    let (org_id, member) = store::members::first_owner(&app.store)
        .await
        .unwrap()
        .unwrap();
    Caller {
        org_id,
        user_id: member.user_id,
        role: Role::Owner,
        token_id: Uuid::nil(),
        scopes: Scopes::all(),
        label: member.email,
        via: crate::auth::Via::default(),
    }
}

async fn row(app: &App, host: &Host) -> HostRow {
    store::hosts::by_id(&app.store, host.id)
        .await
        .unwrap()
        .unwrap()
}

async fn rejected(host: &Host) -> RejectCode {
    match host.refused().await {
        Ended::Rejected(reject) => reject.code,
        other => panic!("{other:?}"),
    }
}

fn lives(marks: &[(u64, &str)]) -> Vec<Life> {
    let life = |(first_seq, mark): &(u64, &str)| Life {
        first_seq: *first_seq,
        mark: (*mark).to_owned(),
    };
    marks.iter().map(life).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_on_another_machine_is_refused_also_while_the_first_is_away() {
    let mut served = Served::start().await;
    let host = Host {
        machine: Some("first".into()),
        ..served.enrol("box").await
    };
    drop(host.connect().await);
    let copy = Host {
        machine: Some("second".into()),
        instance: 2,
        boot: "boot-b".into(),
        ..host.clone()
    };
    assert_eq!(rejected(&copy).await, RejectCode::Moved);
    let doubt = row(&served.app, &host).await.doubt.unwrap();
    assert_eq!(
        (doubt.how, doubt.machine.as_deref()),
        (DoubtKind::Moved, Some("second"))
    );
    // The doubt outlives the server; the one it was on goes on.
    let mut served = served.restart().await;
    drop(host.connect().await);
    assert!(row(&served.app, &host).await.doubt.is_some());
    let caller = owner(&served.app).await;
    let shown = show::show(&served.app, &caller, "box").await.unwrap();
    assert!(
        shown.warnings[0].contains("which one is right cannot be known"),
        "{shown:?}"
    );
    // Its owner says that it has moved: now the other one is refused.
    let mut first = host.connect().await;
    manage::confirm(&served.app, &caller, "box", Right::New)
        .await
        .unwrap();
    let why = first.ended().await;
    assert!(
        matches!(why, Ended::Closed(close::AUTHENTICATE, _)),
        "{why:?}"
    );
    assert_eq!(why.next(), Next::Now);
    copy.connect().await;
    assert_eq!(rejected(&host).await, RejectCode::Moved);
    served.stop.cancel();
    served.serving.join_next().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_a_name_of_its_own_is_told_apart_by_its_past() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let at = |instance: u128, next_seq, marks: &[(u64, &str)]| Host {
        instance,
        next_seq,
        lives: lives(marks),
        ..host.clone()
    };
    let original = at(1, 3, &[(1, "one")]);
    drop(original.connect().await);
    {
        let mut tx = served.app.store.begin().await.unwrap();
        store::hosts::set_event_seq(&mut tx, host.id, 2)
            .await
            .unwrap();
        served.app.store.commit(tx).await.unwrap();
    }
    // A copy of the identity with an empty database looks like one that was lost, and is taken.
    let gone = async |app: &App| app.hosts.online(host.id).is_none();
    served.until("the original is gone", gone).await;
    let copy = at(2, 1, &[(1, "new")]);
    drop(copy.connect().await);
    served.until("the copy is gone", gone).await;
    // The original comes back: two go on from one identity.
    let back = at(3, 4, &[(1, "one"), (3, "two")]);
    assert_eq!(rejected(&back).await, RejectCode::Moved);
    assert_eq!(
        row(&served.app, &host).await.doubt.unwrap().how,
        DoubtKind::Parted
    );
    let caller = owner(&served.app).await;
    manage::confirm(&served.app, &caller, "box", Right::New)
        .await
        .unwrap();
    drop(back.connect().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_are_flagged_for_good() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let mut first = host.connect().await;
    let copy = Host {
        instance: 2,
        boot: "boot-b".into(),
        ..host.clone()
    };
    let code = tokio::select! {
        code = rejected(&copy) => code,
        _ = first.serve_commands() => panic!("the first was closed"),
    };
    assert_eq!(code, RejectCode::Duplicate);
    drop(first);
    let served = served.restart().await;
    assert_eq!(
        row(&served.app, &host).await.doubt.unwrap().how,
        DoubtKind::Both
    );
    assert_eq!(
        store::hosts::testing::audited(&served.app.store)
            .await
            .unwrap(),
        ["host.enrol", "host.doubt"]
    );
}

async fn rotate(host: &Host, old: &HostKey, new: &HostKey) -> (u16, String) {
    let statement = rotate_statement(host.id, host.server_id, &new.public_hex());
    let request = RotateRequest {
        host_id: host.id,
        public_key: new.public_hex(),
        old_signature: old.sign(&statement),
        new_signature: new.sign(&statement),
    };
    let body = serde_json::to_string(&request).unwrap();
    post(&host.url, ROTATE_PATH, "", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_changed_by_whoever_has_it_and_a_repeat_does_no_harm() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let (fresh, thief) = (HostKey::from_bytes(&[7; 32]), HostKey::from_bytes(&[8; 32]));
    assert_eq!(rotate(&host, &thief, &thief).await.0, 401);
    let (status, first) = rotate(&host, &host.key, &fresh).await;
    assert_eq!(status, 200, "{first}");
    let reply: RotateReply = serde_json::from_str(&first).unwrap();
    let day = reply.old_key_until.unwrap() - clock::wall().0;
    assert!((86_000_000..=86_400_000).contains(&day), "{day}");
    // The answer was lost: the same again, even with an old key that nobody knows any more.
    assert_eq!(rotate(&host, &host.key, &fresh).await, (200, first.clone()));
    assert_eq!(rotate(&host, &thief, &fresh).await, (200, first));
    // The old key opens links for a day, and changes nothing any more.
    assert_eq!(rotate(&host, &host.key, &thief).await.0, 401);
    let new = Host {
        key: fresh,
        ..host.clone()
    };
    drop(host.connect().await);
    drop(new.connect().await);
    let mut old = host.connect().await;
    {
        let mut tx = served.app.store.begin().await.unwrap();
        let (key, until) = (host.key.public_hex(), clock::wall().plus_ms(-1));
        let now = clock::wall();
        store::hosts::set_key(
            &mut tx,
            host.id,
            &new.key.public_hex(),
            Some((&key, until)),
            now,
        )
        .await
        .unwrap();
        served.app.store.commit(tx).await.unwrap();
    }
    drop(old.session.poll_event());
    assert_eq!(rejected(&host).await, RejectCode::BadSignature);
    drop(new.connect().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opened_with_the_old_key_ends_with_it() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    {
        let mut tx = served.app.store.begin().await.unwrap();
        let (key, now) = (host.key.public_hex(), clock::wall());
        let new = HostKey::from_bytes(&[7; 32]).public_hex();
        // Good for the handshake, and over before the next heartbeat.
        let until = now.plus_ms(3_000);
        store::hosts::set_key(&mut tx, host.id, &new, Some((&key, until)), now)
            .await
            .unwrap();
        served.app.store.commit(tx).await.unwrap();
    }
    let mut connected = host.connect().await;
    let ending = async {
        loop {
            // Heartbeats, as a live host sends them.
            connected.session.handle_timeout(super::super::link::now());
            let next = timeout(Duration::from_millis(200), connected.next_in_time()).await;
            if let Ok(HostEvent::Ended(why)) = next {
                return why;
            }
        }
    };
    let why = timeout(LIMIT, ending).await.expect("never ended");
    assert!(
        matches!(why, Ended::Closed(close::AUTHENTICATE, _)),
        "{why:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubted_host_that_changes_its_key_leaves_the_copy_with_nothing() {
    let mut served = Served::start().await;
    let host = Host {
        machine: Some("first".into()),
        ..served.enrol("box").await
    };
    let mut connected = host.connect().await;
    let copy = Host {
        machine: Some("second".into()),
        instance: 2,
        ..host.clone()
    };
    assert_eq!(rejected(&copy).await, RejectCode::Moved);
    let fresh = HostKey::from_bytes(&[7; 32]);
    let (status, body) = rotate(&host, &host.key, &fresh).await;
    assert_eq!((status, body.contains("null")), (200, true), "{body}");
    let why = connected.ended().await;
    assert!(
        matches!(why, Ended::Closed(close::AUTHENTICATE, _)),
        "{why:?}"
    );
    assert_eq!(rejected(&copy).await, RejectCode::BadSignature);
    assert_eq!(row(&served.app, &host).await.doubt, None);
    let new = Host { key: fresh, ..host };
    new.connect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_host_is_cut_off_and_stays_out_however_it_comes_back() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let mut connected = host.connect().await;
    let caller = owner(&served.app).await;
    manage::revoke(&served.app, &caller, "box").await.unwrap();
    let why = connected.ended().await;
    assert!(matches!(why, Ended::Closed(close::REVOKED, _)), "{why:?}");
    assert!(matches!(why.next(), Next::Stop(_)));
    assert_eq!(rejected(&host).await, RejectCode::Revoked);
    // Whoever does not have its key learns nothing of that.
    let stranger = Host {
        key: HostKey::from_bytes(&[9; 32]),
        ..host.clone()
    };
    assert_eq!(rejected(&stranger).await, RejectCode::BadSignature);
    let fresh = HostKey::from_bytes(&[7; 32]);
    assert_eq!(rotate(&host, &host.key, &fresh).await.0, 401);
    let gone = async |app: &App| app.hosts.online(host.id).is_none();
    served.until("the link is gone", gone).await;
    // Its name is free.
    served.enrol("box").await;
}
