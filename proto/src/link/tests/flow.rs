//! Events, logs and desired state through one pair of sessions.

use super::*;
use crate::automation::{AutomationSpec, Policies, RunTarget, ScheduleSpec};
use crate::frame::payload::{LogAck, LogFinal, LogResend, Sync, SyncAck};
use crate::frame::{Envelope, Message};
use crate::ids::AutomationId;
use crate::link::host::{LogState, SyncOutcome, Want};
use crate::link::{TimeoutReason, desired_hash};

fn log(n: u128, end: u64) -> LogState {
    LogState {
        run_id: run(n),
        end,
        acked: 0,
        finished: None,
    }
}

fn events(from: u64, to: u64) -> Vec<(u64, String)> {
    (from..=to)
        .map(|seq| (seq, format!(r#"{{"n":{seq}}}"#)))
        .collect()
}

#[test]
fn a_gap_in_events_is_nacked_once_and_filled() {
    let mut pair = Pair::live(Acks {
        seq: 3,
        logs: vec![],
    });
    assert_eq!(
        pair.host.poll_want(at(0)),
        Some(Want::Events {
            after: 3,
            limit: 64
        })
    );
    pair.host.supply_events(events(4, 5));
    while pair.host.poll_transmit().is_some() {}
    pair.host.supply_events(events(6, 7));
    pair.host.supply_events(events(8, 8));
    pair.exchange(at(1));
    assert!(pair.control_events().is_empty());
    assert_eq!(
        pair.host.poll_want(at(1)),
        Some(Want::Events {
            after: 3,
            limit: 64
        })
    );
    pair.host.supply_events(events(4, 8));
    pair.exchange(at(2));
    let got = pair.control_events();
    let [ControlEvent::Events { prev: 3, items }] = got.as_slice() else {
        panic!("{got:?}");
    };
    assert_eq!(
        items.iter().map(|item| item.seq).collect::<Vec<_>>(),
        [4, 5, 6, 7, 8]
    );
}

#[test]
fn an_event_that_fits_no_frame_is_set_aside_and_the_rest_goes_on() {
    let mut pair = Pair::live(Acks::default());
    let huge = format!(r#"{{"n":"{}"}}"#, "x".repeat(1 << 20));
    let outbox = [
        (1, "{}"),
        (2, huge.as_str()),
        (3, "not json"),
        (4, "{}"),
        (5, "{}"),
    ];
    while let Some(Want::Events { after, .. }) = pair.host.poll_want(at(0)) {
        let rest = outbox.iter().filter(|(seq, _)| *seq > after);
        let rest = rest.map(|(seq, json)| (*seq, (*json).to_owned()));
        pair.host.supply_events(rest.collect());
    }
    let refused: Vec<u64> = pair
        .host_events()
        .into_iter()
        .filter_map(|event| match event {
            HostEvent::EventRefused { seq, .. } => Some(seq),
            _ => None,
        })
        .collect();
    assert_eq!(refused, [2, 3]);
    pair.exchange(at(1));
    let got: Vec<u64> = pair
        .control_events()
        .into_iter()
        .flat_map(|event| match event {
            ControlEvent::Events { items, .. } => items,
            _ => vec![],
        })
        .map(|item| item.seq)
        .collect();
    assert_eq!(got, [1, 4, 5]);
}

#[test]
fn events_go_before_watched_logs_and_those_before_backlog() {
    let mut pair = Pair::live(Acks::default());
    pair.host.logs_changed(&[log(1, 500_000), log(2, 500_000)]);
    assert!(matches!(
        pair.host.poll_want(at(0)),
        Some(Want::Events { .. })
    ));
    pair.host.supply_events(vec![]);
    pair.control.watch(run(2), true);
    pair.exchange(at(0));
    for turn in 0..3 {
        let Some(Want::Log {
            run_id,
            offset,
            max,
        }) = pair.host.poll_want(at(turn))
        else {
            panic!("no log wanted");
        };
        assert_eq!(run_id, run(2));
        pair.host
            .supply_log(run_id, offset, vec![b'x'; max], vec![], at(turn));
    }
    pair.host.outbox_changed();
    assert!(matches!(
        pair.host.poll_want(at(4)),
        Some(Want::Events { .. })
    ));
    pair.host.supply_events(vec![]);
    pair.control.watch(run(2), false);
    pair.exchange(at(4));
    assert!(
        matches!(pair.host.poll_want(at(5)), Some(Want::Log { run_id, .. }) if run_id == run(1))
    );
}

#[test]
fn what_is_watched_does_not_wait_behind_the_backlog() {
    let mut pair = Pair::live(Acks::default());
    pair.host.supply_events(vec![]);
    pair.host.logs_changed(&[log(1, 50 << 20)]);
    // It is watched before it has a log.
    pair.control.watch(run(2), true);
    pair.exchange(at(0));
    assert_eq!(pair.host.watched(), []);
    pair.host.logs_changed(&[log(1, 50 << 20), log(2, 10)]);
    assert_eq!(pair.host.watched(), [run(2)]);
    let send = |pair: &mut Pair, now| {
        let Some(Want::Log {
            run_id,
            offset,
            max,
        }) = pair.host.poll_want(now)
        else {
            return None;
        };
        let size = if run_id == run(2) { 10 } else { max };
        pair.host
            .supply_log(run_id, offset, vec![b'x'; size], vec![], now);
        Some(run_id)
    };
    assert_eq!(send(&mut pair, at(1)), Some(run(2)));
    while let Some(sent) = send(&mut pair, at(1)) {
        assert_eq!(sent, run(1));
    }
    let backlog = pair.host.unacked();
    assert!(backlog <= 256 << 10, "{backlog}");
    // More of what is watched goes soon and although the backlog waits.
    pair.host.log_grew(run(2), 20);
    assert_eq!(pair.host.poll_timeout().unwrap().at_ms, 21);
    assert_eq!(send(&mut pair, at(20)), None);
    assert_eq!(send(&mut pair, at(21)), Some(run(2)));
    // Nobody watches any more: the backlog takes the whole window.
    pair.control.watch(run(2), false);
    pair.exchange(at(22));
    while send(&mut pair, at(22)).is_some() {}
    assert!(pair.host.unacked() > 1_000_000);
}

#[test]
fn no_more_than_the_window_is_in_flight() {
    let mut pair = Pair::live(Acks::default());
    pair.host.supply_events(vec![]);
    pair.host.logs_changed(&[log(1, 50 << 20)]);
    let fill = |pair: &mut Pair, now| {
        while let Some(Want::Log {
            run_id,
            offset,
            max,
        }) = pair.host.poll_want(now)
        {
            pair.host
                .supply_log(run_id, offset, vec![b'x'; max], vec![], now);
        }
    };
    fill(&mut pair, at(1));
    let first = pair.host.unacked();
    assert!((1_000_000..=1 << 20).contains(&first), "{first}");
    assert!(
        pair.host.poll_timeout().unwrap().at_ms > 1,
        "no busy waiting for acknowledgements"
    );
    pair.control.log_stored(run(1), 512 << 10, false);
    pair.exchange(at(2));
    fill(&mut pair, at(2));
    assert!((1_000_000..=1 << 20).contains(&pair.host.unacked()));
}

#[test]
fn first_bytes_leave_at_once_and_a_trickle_every_100_ms() {
    let mut pair = Pair::live(Acks::default());
    pair.host.supply_events(vec![]);
    pair.host.logs_changed(&[log(1, 10)]);
    assert!(matches!(
        pair.host.poll_want(at(1_000)),
        Some(Want::Log { offset: 0, .. })
    ));
    pair.host
        .supply_log(run(1), 0, vec![b'x'; 10], vec![], at(1_000));
    pair.host.logs_changed(&[log(1, 20)]);
    assert_eq!(
        pair.host.poll_want(at(1_200)),
        None,
        "not faster than stored"
    );
    pair.exchange(at(1_000));
    pair.control.log_stored(run(1), 10, false);
    pair.exchange(at(1_001));
    assert_eq!(pair.host.poll_want(at(1_001)), None);
    let due = pair.host.poll_timeout().unwrap();
    assert_eq!((due.at_ms, due.reason), (1_100, TimeoutReason::Pacing));
    assert!(matches!(
        pair.host.poll_want(at(1_100)),
        Some(Want::Log { offset: 10, .. })
    ));
    pair.host.logs_changed(&[log(1, 50_000)]);
    assert!(
        pair.host.poll_want(at(1_001)).is_some(),
        "32 KiB do not wait"
    );
}

#[test]
fn slow_limits_log_bytes_and_is_lifted() {
    let mut pair = Pair::live(Acks::default());
    pair.host.supply_events(vec![]);
    pair.host.logs_changed(&[log(1, 1 << 20)]);
    pair.control.slow(65_536);
    pair.exchange(at(0));
    let Some(Want::Log { max, .. }) = pair.host.poll_want(at(0)) else {
        panic!("nothing wanted");
    };
    assert_eq!(max, 65_536);
    pair.host
        .supply_log(run(1), 0, vec![b'x'; max], vec![], at(0));
    assert_eq!(pair.host.poll_want(at(999)), None);
    assert_eq!(pair.host.poll_timeout().unwrap().at_ms, 1_000);
    assert!(pair.host.poll_want(at(1_000)).is_some());
    pair.control.slow(0);
    pair.exchange(at(500));
    assert!(pair.host.poll_want(at(500)).is_some());
}

#[test]
fn a_finished_log_is_checked_and_sent_again_when_it_does_not_fit() {
    let mut pair = Pair::live(Acks::default());
    pair.host.supply_events(vec![]);
    let finished = LogState {
        finished: Some((4, 99)),
        ..log(1, 4)
    };
    pair.host.logs_changed(&[finished]);
    for attempt in 0..3 {
        pair.host
            .supply_log(run(1), 0, b"done".to_vec(), vec![], at(attempt));
        pair.exchange(at(attempt));
        let got = pair.control_events();
        assert!(matches!(got[0], ControlEvent::Log(_)), "{got:?}");
        let last = LogFinal {
            run_id: run(1),
            size: 4,
            crc32: 99,
        };
        assert_eq!(got[1..], [ControlEvent::LogFinal(last)]);
        pair.control.log_resend(run(1), 0);
        pair.exchange(at(attempt));
        assert!(matches!(
            pair.host.poll_want(at(attempt)),
            Some(Want::Log { offset: 0, .. })
        ));
    }
    pair.host
        .supply_log(run(1), 0, b"done".to_vec(), vec![], at(9));
    pair.exchange(at(9));
    pair.control.log_resend(run(1), 0);
    pair.exchange(at(9));
    assert!(pair.host_events().contains(&HostEvent::LogStuck(run(1))));
    assert_eq!(pair.host.poll_want(at(9)), None, "left to the next session");
}

#[test]
fn what_was_on_its_way_when_a_log_is_asked_for_again_is_passed_over() {
    let mut pair = Pair::live(Acks::default());
    let part = |run_id: RunId, offset| {
        let frame = crate::frame::log::LogFrame {
            run_id,
            offset,
            bytes: b"xxxx".to_vec(),
            records: vec![],
        };
        frame.encode().unwrap()
    };
    pair.control.log_resend(run(1), 8);
    pair.control.handle_binary(&part(run(1), 12), at(1));
    pair.control.handle_binary(&part(run(2), 12), at(1));
    pair.control.handle_binary(&part(run(1), 8), at(1));
    pair.control.handle_binary(&part(run(1), 12), at(1));
    let got: Vec<(RunId, u64)> = pair
        .control_events()
        .into_iter()
        .filter_map(|event| match event {
            ControlEvent::Log(frame) => Some((frame.run_id, frame.offset)),
            _ => None,
        })
        .collect();
    assert_eq!(got, [(run(2), 12), (run(1), 8), (run(1), 12)]);
}

#[test]
fn a_new_session_starts_each_log_where_the_control_plane_is() {
    let acks = Acks {
        seq: 0,
        logs: vec![LogAck {
            run_id: run(1),
            offset: 700,
            complete: false,
        }],
    };
    let mut pair = Pair::live(acks);
    pair.host.supply_events(vec![]);
    pair.host.logs_changed(&[LogState {
        acked: 200,
        ..log(1, 1_000)
    }]);
    assert!(matches!(
        pair.host.poll_want(at(0)),
        Some(Want::Log { offset: 700, .. })
    ));
    pair.host.handle_text(
        &Envelope::message(Message::LogResend(LogResend {
            run_id: run(1),
            offset: 100,
        }))
        .encode()
        .unwrap(),
        at(0),
    );
    assert!(matches!(
        pair.host.poll_want(at(0)),
        Some(Want::Log { offset: 100, .. })
    ));
}

fn spec(n: u128, prompt: usize) -> AutomationSpec {
    AutomationSpec {
        id: AutomationId(uuid::Uuid::from_u128(n)),
        revision: 1,
        name: "a".into(),
        agent: "shell".into(),
        prompt: "p".repeat(prompt),
        prompt_version: 1,
        enabled: true,
        target: RunTarget::Scratch,
        schedule: ScheduleSpec {
            rrule: "FREQ=DAILY".into(),
            dtstart: "2026-01-01T00:00:00".parse().unwrap(),
            timezone: "UTC".into(),
            exdates: vec![],
            rdates: vec![],
        },
        plan_after: UtcMillis(0),
        starts: 0,
        policies: Policies::default(),
        env: std::collections::BTreeMap::default(),
        owner: None,
    }
}

#[test]
fn a_large_desired_state_travels_in_parts_and_arrives_whole() {
    let mut pair = Pair::live(Acks::default());
    let step = Sync {
        from: 0,
        to: 9,
        upserts: (0..40).map(|n| spec(n, 90_000)).collect(),
        tombstones: (100..5_000)
            .map(|n| AutomationId(uuid::Uuid::from_u128(n)))
            .collect(),
        full: true,
        hash: desired_hash((0..40).map(|n| (AutomationId(uuid::Uuid::from_u128(n)), 1))),
        more: false,
    };
    pair.control.sync(step.clone());
    pair.exchange(at(1));
    assert_eq!(
        pair.host_events(),
        [HostEvent::Sync(Box::new(step.clone()))]
    );
    let ack = SyncAck {
        revision: 9,
        hash: step.hash,
        next_seq: None,
    };
    pair.host.sync_done(SyncOutcome::Applied(ack.clone()));
    pair.exchange(at(1));
    assert_eq!(pair.control_events(), [ControlEvent::SyncAcked(ack)]);
    let empty = Sync {
        from: 9,
        to: 10,
        ..Sync::default()
    };
    pair.control.sync(empty.clone());
    pair.exchange(at(2));
    assert_eq!(pair.host_events(), [HostEvent::Sync(Box::new(empty))]);
}
