//! Connecting, being asked, being replaced, being refused, and what a hostile socket gets.

use futures_util::future::join;
use hostler_proto::error::ErrorCode;
use hostler_proto::frame::payload::RejectCode;
use hostler_proto::link::close;
use hostler_proto::link::host::{Next, Want};

use super::*;
use crate::store;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_asked_and_answers_and_its_presence_is_on_disk() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let mut connected = host.connect().await;
    let row = store::hosts::by_id(&served.app.store, host.id).await;
    assert!(row.unwrap().unwrap().last_seen_at.is_some());
    assert!(served.app.hosts.online(host.id).is_some());
    let (id, command) = cancel(7);
    let asking = served
        .app
        .hosts
        .call(host.id, id, command.clone(), LIMIT, None);
    let answering = async {
        let HostEvent::Command { id, command, .. } = connected.next().await else {
            panic!("no command");
        };
        connected.session.reply(id, Ok(cancelled(&command)));
        connected.send_all().await;
    };
    let (answer, ()) = join(asking, answering).await;
    assert_eq!(answer.unwrap(), cancelled(&command));
    drop(connected);
    served
        .until("offline", async |app| app.hosts.online(host.id).is_none())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_there_or_does_not_answer_is_told_apart() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let (id, command) = cancel(1);
    let hosts = &served.app.hosts;
    let failure = hosts
        .call(host.id, id, command.clone(), LIMIT, None)
        .await
        .unwrap_err();
    assert_eq!(failure.code, ErrorCode::HostOffline);
    let _connected = host.connect().await;
    let brief = Duration::from_millis(50);
    let failure = hosts
        .call(host.id, id, command, brief, None)
        .await
        .unwrap_err();
    assert_eq!(failure.code, ErrorCode::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_lost_in_the_middle_of_a_command_asks_again_on_the_next() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let mut first = host.connect().await;
    let (id, command) = cancel(7);
    let app = served.app.clone();
    let asking = app.hosts.call(host.id, id, command.clone(), LIMIT, None);
    let answering = async {
        let HostEvent::Command { id: asked, .. } = first.next().await else {
            panic!("no command");
        };
        drop(first);
        let mut second = host.connect().await;
        let HostEvent::Command {
            id: again, command, ..
        } = second.next().await
        else {
            panic!("not asked again");
        };
        assert_eq!((asked, again), (id, id));
        second.session.reply(id, Ok(cancelled(&command)));
        second.send_all().await;
        second
    };
    let (answer, _second) = join(asking, answering).await;
    assert_eq!(answer.unwrap(), cancelled(&command));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_a_host_of_this_catalog_is_refused() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let stranger = Host {
        id: HostId(Uuid::from_u128(404)),
        ..host.clone()
    };
    let forger = Host {
        key: HostKey::from_bytes(&[9; 32]),
        ..host.clone()
    };
    for (who, code) in [
        (stranger, RejectCode::UnknownHost),
        (forger, RejectCode::BadSignature),
    ] {
        let Ended::Rejected(reject) = who.refused().await else {
            panic!("{code:?}");
        };
        assert_eq!((reject.code, reject.fatal), (code, true));
        assert!(
            reject.message.contains("hostler join"),
            "{}",
            reject.message
        );
    }
    assert!(served.app.hosts.online(host.id).is_none());
    host.connect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_host_is_closed_at_once_and_stops() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let mut connected = host.connect().await;
    served.app.hosts.disconnect(host.id, "removed by its owner");
    let why = connected.ended().await;
    assert_eq!(
        why,
        Ended::Closed(close::REVOKED, "removed by its owner".into())
    );
    assert!(matches!(why.next(), Next::Stop(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_connects_again_replaces_its_half_open_socket() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let mut old = host.connect().await;
    let mut new = host.connect().await;
    let why = old.ended().await;
    assert!(matches!(why, Ended::Closed(close::REPLACED, _)), "{why:?}");
    drop(old);
    let (id, command) = cancel(3);
    let asking = served.app.hosts.call(host.id, id, command, LIMIT, None);
    let served_one = async {
        let HostEvent::Command { id, command, .. } = new.next().await else {
            panic!("no command");
        };
        new.session.reply(id, Ok(cancelled(&command)));
        new.send_all().await;
    };
    let (answer, ()) = join(asking, served_one).await;
    answer.unwrap();
    assert!(served.app.hosts.online(host.id).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_start_waits_for_a_silent_socket_and_then_takes_over() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    // Nobody reads this socket any more: the machine lost power.
    let silent = host.connect().await;
    let rebooted = Host {
        instance: 2,
        boot: "boot-b".into(),
        ..host.clone()
    };
    let connected = rebooted.connect().await;
    drop(silent);
    let presence = served.app.hosts.online(host.id).unwrap();
    assert!(!presence.cloned);
    drop(connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_identity_is_refused_while_the_first_is_alive() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let mut first = host.connect().await;
    let copy = Host {
        instance: 2,
        boot: "boot-b".into(),
        ..host.clone()
    };
    let refused = tokio::select! {
        refused = copy.refused() => refused,
        _ = first.serve_commands() => panic!("the first was closed"),
    };
    let Ended::Rejected(reject) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((reject.code, reject.fatal), (RejectCode::Duplicate, true));
    let presence = served.app.hosts.online(host.id).unwrap();
    assert!(presence.cloned);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_sockets_are_closed_and_harm_nobody() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let _connected = host.connect().await;
    let frames = [
        Message::text("not json"),
        Message::text(r#"{"type":"heartbeat"}"#),
        Message::binary(vec![0xff; 64]),
        Message::text("x".repeat(2 << 20)),
        Message::text(format!(
            r#"{{"type":"hello","x":"{}"}}"#,
            "y".repeat(300 << 10)
        )),
    ];
    for frame in frames {
        let mut ws = open_socket(&served.url).await;
        // The far end may hang up before all of it is written.
        drop(ws.send(frame).await);
        let gone = async { while let Some(Ok(_)) = ws.next().await {} };
        assert!(timeout(LIMIT, gone).await.is_ok(), "still open");
    }
    // A cut in the middle of a frame.
    let mut ws = open_socket(&served.url).await;
    let MaybeTlsStream::Plain(stream) = ws.get_mut() else {
        panic!("not plain");
    };
    stream.try_write(&[0x81, 0xfe, 0x10]).unwrap();
    drop(ws);
    assert!(served.app.hosts.online(host.id).is_some());
    served
        .until("all greeting places free", async |app| {
            app.hosts.greeting.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_request_is_told_what_the_address_is_for() {
    let served = Served::start().await;
    let url = format!("{}{LINK_PATH}", served.url);
    let answered = tokio::task::spawn_blocking(move || ureq::get(url).call());
    let error = answered.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("426"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_says_goodbye_and_events_go_on_where_they_were() {
    let mut served = Served::start().await;
    let mut host = served.enrol("box").await;
    host.next_seq = 4;
    let mut connected = host.connect().await;
    let event = |seq: u64| {
        (
            seq,
            r#"{"type":"project_removed","payload":{"id":"00000000-0000-7000-8000-000000000001"}}"#
                .to_owned(),
        )
    };
    assert!(matches!(
        connected.session.poll_want(super::super::link::now()),
        Some(Want::Events { after: 0, .. })
    ));
    connected
        .session
        .supply_events(vec![event(1), event(2), (3, r#"{"type":"future"}"#.into())]);
    let mut refused = 0;
    loop {
        match connected.next().await {
            HostEvent::EventsAcked(3) => break,
            HostEvent::EventRefused { seq, .. } => refused = seq,
            _ => {}
        }
    }
    assert_eq!(
        refused, 3,
        "an event nobody can apply never blocks the rest"
    );
    let before = served.app.server.epoch;
    let (served, why) = join(served.restart(), connected.ended()).await;
    assert!(matches!(why, Ended::Bye(_)), "{why:?}");
    assert!(matches!(why.next(), Next::Later(Some(_))));
    assert!(served.app.hosts.online(host.id).is_none());
    let mut again = host.greet().await;
    let HostEvent::Welcome(welcome) = again.next().await else {
        panic!("not welcome");
    };
    assert_eq!(welcome.acks.seq, 3);
    assert!(welcome.epoch > before);
    // The same events once more change nothing.
    assert!(matches!(
        again.session.poll_want(super::super::link::now()),
        Some(Want::Events { after: 3, .. })
    ));
}
