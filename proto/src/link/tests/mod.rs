//! Both sessions against each other: one fault at a time (`faults`, `flow`), and everything at
//! once over a pipe that cuts anywhere (`pipe`).

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks the one event it is about"
)]

mod faults;
mod flow;
mod pipe;

use uuid::Uuid;

use super::control::{Accepted, ControlConfig, ControlEvent, ControlSession};
use super::host::{HelloFacts, HostConfig, HostEvent, HostSession};
use super::proof::{self, HostKey};
use super::{Now, Outgoing};
use crate::frame::payload::{Acks, Hello};
use crate::ids::{CommandId, HostId, InstanceId, RunId};
use crate::time::UtcMillis;

const SERVER: Uuid = Uuid::from_u128(77);

fn key() -> HostKey {
    HostKey::from_bytes(&[7; 32])
}

fn at(ms: u64) -> Now {
    Now {
        ms,
        wall: UtcMillis(1_772_000_000_000 + i64::try_from(ms).unwrap()),
    }
}

fn run(n: u128) -> RunId {
    RunId(Uuid::from_u128(n))
}

fn command_id(n: u128) -> CommandId {
    CommandId(Uuid::from_u128(n))
}

fn host_session(facts: HelloFacts, seed: u64, now: Now) -> HostSession {
    let config = HostConfig {
        key: key(),
        host_id: HostId(Uuid::from_u128(5)),
        server_id: SERVER,
        instance_id: InstanceId(Uuid::from_u128(6)),
        seed,
        facts,
    };
    HostSession::new(config, now)
}

fn control_session(seed: u64, now: Now) -> ControlSession {
    let mut nonce = [0; 32];
    nonce[..8].copy_from_slice(&seed.to_le_bytes());
    let config = ControlConfig {
        server_id: SERVER,
        nonce,
        seed,
    };
    ControlSession::new(&config, now)
}

fn accepted(acks: Acks) -> Accepted {
    Accepted {
        session: Uuid::from_u128(1),
        epoch: 1,
        desired_revision: 0,
        acks,
    }
}

/// A pair that has shaken hands.
struct Pair {
    host: HostSession,
    control: ControlSession,
    hello: Hello,
}

impl Pair {
    fn live(acks: Acks) -> Self {
        let mut pair = Self::greeted(HelloFacts {
            next_seq: 1,
            ..HelloFacts::default()
        });
        pair.control.accept(accepted(acks), at(0));
        pair.exchange(at(0));
        // The first heartbeat is due at once.
        pair.host.handle_timeout(at(0));
        pair.exchange(at(0));
        assert!(pair.host.is_live() && pair.control.is_live());
        drain_host(&mut pair.host);
        drain_control(&mut pair.control);
        pair
    }

    /// A pair whose hello the control plane has yet to judge.
    fn greeted(facts: HelloFacts) -> Self {
        let mut host = host_session(facts, 1, at(0));
        let mut control = control_session(2, at(0));
        deliver_to_host(&mut control, &mut host, at(0));
        deliver_to_control(&mut host, &mut control, at(0));
        let hello = drain_control(&mut control)
            .into_iter()
            .find_map(|event| match event {
                ControlEvent::Hello(hello) => Some(*hello),
                _ => None,
            })
            .expect("a hello");
        assert!(proof::verify_hello(
            &key().public_hex(),
            control.challenge(),
            &hello
        ));
        Self {
            host,
            control,
            hello,
        }
    }

    /// Delivers everything both have to send.
    fn exchange(&mut self, now: Now) {
        for _ in 0..10 {
            deliver_to_host(&mut self.control, &mut self.host, now);
            deliver_to_control(&mut self.host, &mut self.control, now);
        }
    }

    fn host_events(&mut self) -> Vec<HostEvent> {
        drain_host(&mut self.host)
    }

    fn control_events(&mut self) -> Vec<ControlEvent> {
        drain_control(&mut self.control)
    }
}

fn deliver_to_host(control: &mut ControlSession, host: &mut HostSession, now: Now) {
    while let Some(out) = control.poll_transmit() {
        match out {
            Outgoing::Text(text) => host.handle_text(&text, now),
            Outgoing::Binary(bytes) => host.handle_binary(&bytes, now),
            Outgoing::Close { code, reason } => host.handle_close(code, &reason),
        }
    }
}

fn deliver_to_control(host: &mut HostSession, control: &mut ControlSession, now: Now) {
    while let Some(out) = host.poll_transmit() {
        match out {
            Outgoing::Text(text) => control.handle_text(&text, now),
            Outgoing::Binary(bytes) => control.handle_binary(&bytes, now),
            Outgoing::Close { code, reason } => control.handle_close(code, &reason),
        }
    }
}

fn drain_host(host: &mut HostSession) -> Vec<HostEvent> {
    std::iter::from_fn(|| host.poll_event()).collect()
}

fn drain_control(control: &mut ControlSession) -> Vec<ControlEvent> {
    std::iter::from_fn(|| control.poll_event()).collect()
}
