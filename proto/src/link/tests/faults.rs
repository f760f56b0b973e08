//! One fault at a time.

use super::*;
use crate::command::{Command, Progress, Reply, RunStart};
use crate::error::{ErrorCode, Failure};
use crate::frame::payload::{Reject, RejectCode};
use crate::frame::{Envelope, Message};
use crate::ids::AutomationId;
use crate::link::host::{Ended, Next};
use crate::link::{TimeoutReason, close};

fn start(n: u128) -> Command {
    Command::RunStart(RunStart {
        run_id: run(n),
        automation_id: AutomationId(uuid::Uuid::from_u128(3)),
        requested_at: UtcMillis(0),
        by: None,
    })
}

fn started(n: u128) -> Reply {
    Reply::RunStarted { run_id: run(n) }
}

fn closes(control: &mut ControlSession) -> Option<u16> {
    std::iter::from_fn(|| control.poll_transmit()).find_map(|out| match out {
        Outgoing::Close { code, .. } => Some(code),
        Outgoing::Text(_) | Outgoing::Binary(_) => None,
    })
}

fn ended(events: &[HostEvent]) -> Option<&Ended> {
    events.iter().find_map(|event| match event {
        HostEvent::Ended(why) => Some(why),
        _ => None,
    })
}

#[test]
fn a_request_gets_one_answer_and_its_newest_progress() {
    let mut pair = Pair::live(Acks::default());
    pair.control.call(command_id(1), start(1), 5_000, at(10));
    pair.control.call(command_id(1), start(1), 5_000, at(10));
    pair.exchange(at(10));
    let asked = pair.host_events();
    assert!(
        matches!(
            asked.as_slice(),
            [HostEvent::Command {
                deadline_ms: 5_000,
                ..
            }]
        ),
        "{asked:?}"
    );
    for done in 0..100 {
        let phase = "receiving objects".to_owned();
        let total = Some(100);
        pair.host
            .progress(command_id(1), Progress { phase, done, total });
    }
    pair.exchange(at(20));
    assert!(matches!(
        pair.control_events().as_slice(),
        [ControlEvent::Progress {
            progress: Progress { done: 99, .. },
            ..
        }]
    ));
    pair.host.reply(command_id(1), Ok(started(1)));
    pair.host.reply(command_id(1), Ok(started(1)));
    pair.exchange(at(30));
    let answers = pair.control_events();
    assert!(
        matches!(
            answers.as_slice(),
            [ControlEvent::Reply {
                late: false,
                result: Ok(_),
                ..
            }]
        ),
        "{answers:?}"
    );
}

#[test]
fn a_failure_travels_with_its_words() {
    let mut pair = Pair::live(Acks::default());
    pair.control.call(command_id(1), start(1), 5_000, at(10));
    pair.exchange(at(10));
    let failure = Failure::new(ErrorCode::Conflict, "taken")
        .hint("another")
        .detail("git");
    pair.host.reply(command_id(1), Err(failure.clone()));
    pair.exchange(at(10));
    let answers = pair.control_events();
    assert!(matches!(&answers[0], ControlEvent::Reply { result: Err(f), .. } if *f == failure));
}

#[test]
fn after_the_deadline_the_answer_is_late_and_still_told_once() {
    let mut pair = Pair::live(Acks::default());
    pair.control.call(command_id(1), start(1), 5_000, at(0));
    pair.exchange(at(0));
    let due = pair.control.poll_timeout().unwrap();
    assert_eq!((due.at_ms, due.reason), (5_000, TimeoutReason::Deadline));
    pair.control.handle_timeout(at(5_000));
    assert_eq!(
        pair.control_events(),
        [ControlEvent::Expired(command_id(1))]
    );
    pair.host.reply(command_id(1), Ok(started(1)));
    pair.exchange(at(5_001));
    let answers = pair.control_events();
    assert!(
        matches!(answers.as_slice(), [ControlEvent::Reply { late: true, .. }]),
        "{answers:?}"
    );
}

#[test]
fn an_unknown_type_is_answered_and_nothing_closes() {
    let mut pair = Pair::live(Acks::default());
    pair.host.handle_text(
        r#"{"id":"zz","type":"teleport","payload":{"to":"moon"}}"#,
        at(1),
    );
    let Some(Outgoing::Text(text)) = pair.host.poll_transmit() else {
        panic!("no answer");
    };
    assert!(
        text.contains(r#""re":"zz""#) && text.contains("unsupported"),
        "{text}"
    );
    pair.control
        .handle_text(r#"{"id":"yy","type":"teleport"}"#, at(1));
    let Some(Outgoing::Text(text)) = pair.control.poll_transmit() else {
        panic!("no answer");
    };
    assert!(
        text.contains(r#""re":"yy""#) && text.contains("unsupported"),
        "{text}"
    );
    assert!(pair.host.is_live() && pair.control.is_live());
}

#[test]
fn a_bad_payload_or_id_is_answered_and_nothing_closes() {
    let mut pair = Pair::live(Acks::default());
    let good_id = command_id(4).to_string();
    for (id, payload) in [(good_id.as_str(), "{}"), ("no-uuid", r#"{"run_id":7}"#)] {
        let text = format!(r#"{{"id":"{id}","type":"run_start","payload":{payload}}}"#);
        pair.host.handle_text(&text, at(1));
        let Some(Outgoing::Text(text)) = pair.host.poll_transmit() else {
            panic!("no answer");
        };
        assert!(
            text.contains(id) && text.contains("invalid_argument"),
            "{text}"
        );
    }
    assert!(pair.host.is_live());
}

#[test]
fn garbage_and_oversized_frames_close_with_their_code() {
    let huge = format!(r#"{{"type":"{}"}}"#, "x".repeat(1 << 20));
    for (text, code) in [
        ("not json", close::NOT_READABLE),
        (huge.as_str(), close::TOO_LARGE),
    ] {
        let mut pair = Pair::live(Acks::default());
        pair.control.handle_text(text, at(1));
        assert_eq!(closes(&mut pair.control), Some(code));
        assert!(matches!(
            pair.control_events().last(),
            Some(ControlEvent::Ended(_))
        ));
    }
    for (bytes, code) in [
        (vec![0xff; 300], close::PROTOCOL),
        (vec![], close::PROTOCOL),
        (vec![0; 200 << 10], close::TOO_LARGE),
    ] {
        let mut pair = Pair::live(Acks::default());
        pair.control.handle_binary(&bytes, at(1));
        assert_eq!(closes(&mut pair.control), Some(code));
    }
}

#[test]
fn nothing_but_hello_is_taken_before_welcome() {
    for text in [
        r#"{"type":"heartbeat"}"#,
        r#"{"type":"events","payload":{"prev":0,"items":[]}}"#,
        r#"{"type":"hello","payload":{"version":1}}"#,
    ] {
        let mut control = control_session(1, at(0));
        control.handle_text(text, at(1));
        assert_eq!(closes(&mut control), Some(close::PROTOCOL), "{text}");
    }
    let mut control = control_session(1, at(0));
    control.handle_binary(b"\0\0", at(1));
    assert_eq!(closes(&mut control), Some(close::PROTOCOL));
}

#[test]
fn who_never_says_hello_is_closed_after_ten_seconds() {
    let mut control = control_session(1, at(0));
    control.handle_timeout(at(9_999));
    assert!(control.poll_event().is_none());
    assert_eq!(control.poll_timeout().unwrap().at_ms, 10_000);
    control.handle_timeout(at(10_000));
    assert_eq!(closes(&mut control), Some(close::STALE));
    assert!(control.poll_timeout().is_none());

    let mut host = host_session(HelloFacts::default(), 1, at(0));
    host.handle_timeout(at(10_000));
    assert_eq!(ended(&drain_host(&mut host)), Some(&Ended::NoHandshake));
}

#[test]
fn both_ends_beat_every_ten_seconds_and_die_after_thirty() {
    let mut pair = Pair::live(Acks::default());
    for end in [pair.host.poll_timeout(), pair.control.poll_timeout()] {
        assert!(end.is_some_and(|due| due.at_ms <= 11_000));
    }
    let mut beats = 0;
    for second in 1..=120 {
        pair.host.handle_timeout(at(second * 1_000));
        pair.control.handle_timeout(at(second * 1_000));
        pair.exchange(at(second * 1_000));
        beats += pair.control_events().len();
    }
    assert!(
        (10..=13).contains(&beats),
        "{beats} heartbeats in two minutes"
    );
    pair.control.probe(at(120_000));
    pair.exchange(at(120_000));
    pair.control.handle_timeout(at(149_999));
    pair.host.handle_timeout(at(149_999));
    assert!(pair.control.is_live() && pair.host.is_live());
    pair.control.handle_timeout(at(150_000));
    pair.host.handle_timeout(at(150_000));
    assert!(!pair.control.is_live());
    assert_eq!(ended(&pair.host_events()), Some(&Ended::Dead));
    assert_eq!(closes(&mut pair.control), Some(close::STALE));
}

#[test]
fn any_frame_counts_as_a_sign_of_life() {
    let mut pair = Pair::live(Acks::default());
    for second in (5..200).step_by(5) {
        pair.host.handle_text(
            r#"{"type":"slow","payload":{"max_bps":0}}"#,
            at(second * 1_000),
        );
        pair.host.handle_timeout(at(second * 1_000));
    }
    assert!(pair.host.is_live());
}

#[test]
fn a_machine_that_slept_connects_again_at_once() {
    let mut pair = Pair::live(Acks::default());
    let mut now = at(5_000);
    now.wall.0 += 4_000;
    pair.host.handle_timeout(now);
    assert!(pair.host.is_live(), "a small step is no sleep");
    let mut now = at(10_000);
    now.wall.0 += 3_600_000;
    pair.host.handle_timeout(now);
    let events = pair.host_events();
    assert!(matches!(ended(&events), Some(Ended::Woke(_))), "{events:?}");
    assert_eq!(ended(&events).unwrap().next(), Next::Now);
}

#[test]
fn drifting_clocks_are_not_a_sleep() {
    let mut pair = Pair::live(Acks::default());
    for step in 1..1_000 {
        let mut now = at(step * 5_000);
        now.wall.0 += i64::try_from(step).unwrap() * 100;
        pair.host.handle_alive(now);
        pair.host.handle_timeout(now);
    }
    assert!(pair.host.is_live());
}

#[test]
fn a_probe_is_answered_or_fails_after_two_seconds() {
    let mut pair = Pair::live(Acks::default());
    pair.control.probe(at(100));
    pair.exchange(at(150));
    assert_eq!(pair.control_events()[0], ControlEvent::Probed(true));
    pair.control.probe(at(200));
    while pair.control.poll_transmit().is_some() {}
    pair.control.handle_timeout(at(2_199));
    assert!(pair.control_events().is_empty());
    pair.control.handle_timeout(at(2_200));
    assert_eq!(pair.control_events(), [ControlEvent::Probed(false)]);
}

#[test]
fn refusals_say_whether_to_come_back() {
    for (code, fatal, retry, next) in [
        (
            RejectCode::Overloaded,
            false,
            Some(9_000),
            Next::Later(Some(9_000)),
        ),
        (
            RejectCode::Revoked,
            true,
            None,
            Next::Stop("gone for good".into()),
        ),
    ] {
        let mut pair = Pair::greeted(HelloFacts::default());
        pair.control.reject(Reject {
            code,
            message: "gone for good".into(),
            retry_after_ms: retry,
            fatal,
            versions: None,
        });
        pair.exchange(at(1));
        assert_eq!(ended(&pair.host_events()).unwrap().next(), next);
    }
    for code in [close::REVOKED, close::GONE] {
        let mut pair = Pair::live(Acks::default());
        pair.control.close(code, "bye");
        pair.exchange(at(1));
        assert!(matches!(
            ended(&pair.host_events()).unwrap().next(),
            Next::Stop(_)
        ));
    }
    let mut pair = Pair::live(Acks::default());
    pair.control.bye(1_500);
    pair.exchange(at(1));
    assert_eq!(
        ended(&pair.host_events()).unwrap().next(),
        Next::Later(Some(1_500))
    );
}

#[test]
fn a_version_nobody_speaks_is_refused_with_what_is_spoken() {
    let mut pair = Pair::greeted(HelloFacts::default());
    let mut hello = pair.hello.clone();
    hello.version = 99;
    let mut control = control_session(3, at(0));
    control.poll_transmit();
    let frame = Envelope::message(Message::Hello(Box::new(hello)));
    control.handle_text(&frame.encode().unwrap(), at(1));
    deliver_to_host(&mut control, &mut pair.host, at(1));
    let events = pair.host_events();
    let Some(Ended::Rejected(reject)) = ended(&events) else {
        panic!("{events:?}");
    };
    assert_eq!(reject.code, RejectCode::VersionUnsupported);
    assert!(reject.versions.is_some_and(|range| range.contains(1)) && !reject.fatal);
}

#[test]
fn a_challenge_of_another_control_plane_is_not_answered() {
    let mut host = host_session(HelloFacts::default(), 1, at(0));
    let config = ControlConfig {
        server_id: uuid::Uuid::from_u128(666),
        nonce: [1; 32],
        seed: 1,
    };
    let mut control = ControlSession::new(&config, at(0));
    deliver_to_host(&mut control, &mut host, at(0));
    assert!(matches!(host.poll_transmit(), Some(Outgoing::Close { .. })));
    let events = drain_host(&mut host);
    assert!(matches!(ended(&events).unwrap().next(), Next::Stop(_)));
}

#[test]
fn skew_is_estimated_and_told_with_heartbeats() {
    let mut pair = Pair::live(Acks::default());
    let mut now = at(11_000);
    now.wall.0 += 40_000;
    let beat = Message::Heartbeat(crate::frame::payload::Heartbeat {
        time: now.wall,
        ..Default::default()
    });
    let text = Envelope::message(beat).encode().unwrap();
    pair.control.handle_text(&text, at(11_000));
    assert!(matches!(
        pair.control_events()[0],
        ControlEvent::Heartbeat {
            skew_ms: 40_000,
            ..
        }
    ));
}

#[test]
fn too_many_open_requests_are_refused_to_be_repeated() {
    let mut pair = Pair::live(Acks::default());
    for n in 0..257 {
        pair.control.call(command_id(n), start(n), 60_000, at(0));
    }
    pair.exchange(at(0));
    let commands = pair.host_events();
    let asked = commands
        .iter()
        .filter(|e| matches!(e, HostEvent::Command { .. }))
        .count();
    assert_eq!(asked, 256);
    let answers = pair.control_events();
    assert!(matches!(
        answers.as_slice(),
        [ControlEvent::Reply { result: Err(failure), .. }] if failure.code == ErrorCode::RateLimited
    ));
}
