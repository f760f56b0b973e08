//! The control plane's process: the product's session and desired-state bookkeeping for each
//! socket, over the catalog. It can die at any point; the catalog stays.
//!
//! `ack_first` is the deliberately broken one: it acknowledges events first and stores them later.

use std::collections::{BTreeMap, BTreeSet};

use hostler_control_plane::hosts::Desired;
use hostler_proto::frame::payload::{Acks, EventItem, Hello, Reject, RejectCode};
use hostler_proto::ids::{CommandId, InstanceId};
use hostler_proto::link::control::{Accepted, ControlConfig, ControlEvent, ControlSession};
use hostler_proto::link::{Now, close};
use hostler_proto::time::UtcMillis;
use uuid::Uuid;

use crate::catalog::Catalog;
use crate::chance::Chance;
use crate::machine::{Died, Fuse, NOON};
use crate::network::{ConnId, Frame, Network, Way};

pub(crate) const SERVER: Uuid = Uuid::from_u128(0x5e);

/// A request is given up after this, and asked again later.
const DEADLINE_MS: u64 = 30_000;
/// An old link has this long to show a sign of life.
const PROBE_MS: u64 = 2_500;
/// Leases are looked at this often.
const ROUND_MS: u64 = 15_000;
/// The broken one stores what it acknowledged this much later.
const LATE_MS: u64 = 700;

pub(crate) struct Control {
    pub(crate) catalog: Catalog,
    pub(crate) process: Option<Process>,
    /// True time at which it is started again.
    pub(crate) restart_at: u64,
    pub(crate) fuse: Fuse,
    ack_first: bool,
    epoch: u64,
    hosts: [hostler_proto::ids::HostId; 2],
    chance: Chance,
    /// Automations that a lease let go of, not the host.
    pub(crate) leased: Vec<hostler_proto::ids::AutomationId>,
}

/// One life of the process.
#[derive(Default)]
pub(crate) struct Process {
    links: BTreeMap<ConnId, Link>,
    registry: BTreeMap<usize, ConnId>,
    asking: BTreeSet<CommandId>,
    unwritten: Vec<(u64, usize, u64, Vec<EventItem>)>,
    next_round: u64,
    /// Hosts whose desired state may have changed.
    woken: BTreeSet<usize>,
}

struct Link {
    session: ControlSession,
    host: Option<usize>,
    instance: Option<InstanceId>,
    boot: String,
    desired: Desired,
    calls: BTreeSet<CommandId>,
    /// Every event of the host up to here is stored.
    events_acked: u64,
    /// A revision applied, and the number of the first event after it.
    applied: Option<(u64, u64)>,
    /// A hello that waits for the old link to answer, since when.
    judging: Option<(Box<Hello>, u64)>,
    alive: Option<bool>,
    over: bool,
}

impl Control {
    pub(crate) fn new(
        hosts: [hostler_proto::ids::HostId; 2],
        ack_first: bool,
        chance: Chance,
    ) -> Self {
        Self {
            catalog: Catalog::default(),
            process: Some(Process::default()),
            restart_at: 0,
            fuse: Fuse::default(),
            ack_first,
            epoch: 1,
            hosts,
            chance,
            leased: Vec::new(),
        }
    }

    pub(crate) fn wall(t: u64) -> UtcMillis {
        UtcMillis(NOON + t.cast_signed())
    }

    fn now(t: u64) -> Now {
        Now {
            ms: t,
            wall: Self::wall(t),
        }
    }

    pub(crate) fn kill(&mut self, back_in_ms: u64, network: &mut Network, t: u64) {
        self.fuse.put_out();
        self.restart_at = t + back_in_ms;
        self.process = None;
        let sockets: Vec<_> = network.open_ones().map(|(id, _)| id).collect();
        for id in sockets {
            if !network.is_shut(id, Way::Up) {
                network.leave(id, Way::Up, t);
            }
        }
    }

    pub(crate) fn online(&self, host: usize) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.registry.contains_key(&host))
    }

    /// For whoever reads a failure.
    pub(crate) fn state(&self) -> String {
        let links = self.process.iter().flat_map(|process| &process.links);
        let links = links.map(|(id, link)| (id, link.host, link.session.poll_timeout(), link.over));
        let registry = self.process.as_ref().map(|process| &process.registry);
        format!("{:?} {registry:?}", links.collect::<Vec<_>>())
    }

    /// The desired state of hosts changed: they learn of it.
    pub(crate) fn sync_soon(&mut self) {
        if let Some(process) = &mut self.process {
            process.woken.extend([0, 1]);
        }
    }

    /// True time of the next thing to do by itself.
    pub(crate) fn next_at(&self) -> u64 {
        let Some(process) = &self.process else {
            return self.restart_at;
        };
        let sessions = process.links.values().filter_map(|link| {
            let due = link.session.poll_timeout().map(|due| due.at_ms);
            let judged = link.judging.as_ref().map(|(_, since)| since + PROBE_MS);
            due.into_iter().chain(judged).min()
        });
        let unwritten = process.unwritten.iter().map(|(at, ..)| *at);
        let next = sessions.chain(unwritten).min().unwrap_or(u64::MAX);
        next.min(process.next_round)
    }

    pub(crate) fn step(&mut self, network: &mut Network, t: u64) -> Result<(), Died> {
        if self.process.is_none() {
            if t < self.restart_at {
                return Ok(());
            }
            self.epoch += 1;
            self.process = Some(Process::default());
        }
        self.write_late(t);
        self.accept(network, t);
        for id in self.link_ids() {
            self.serve(id, network, t)?;
        }
        self.round(t);
        for id in self.link_ids() {
            self.push_desired(id)?;
            self.transmit(id, network, t);
        }
        Ok(())
    }

    fn link_ids(&self) -> Vec<ConnId> {
        let process = self.process.iter();
        process
            .flat_map(|process| process.links.keys().copied())
            .collect()
    }

    fn link(&mut self, id: ConnId) -> Option<&mut Link> {
        self.process.as_mut()?.links.get_mut(&id)
    }

    /// The broken one's late writing.
    fn write_late(&mut self, t: u64) {
        let Some(process) = &mut self.process else {
            return;
        };
        let due = |at: u64| at <= t;
        for (_, host, prev, items) in process.unwritten.extract_if(.., |(at, ..)| due(*at)) {
            self.catalog.events(host, prev, &items);
        }
    }

    fn accept(&mut self, network: &Network, t: u64) {
        let Some(process) = &mut self.process else {
            return;
        };
        for (id, _) in network.open_ones() {
            if process.links.contains_key(&id) || network.is_shut(id, Way::Up) {
                continue;
            }
            let config = ControlConfig {
                server_id: SERVER,
                nonce: self.chance.bytes32(),
                seed: self.chance.next(),
            };
            let link = Link {
                session: ControlSession::new(&config, Self::now(t)),
                host: None,
                instance: None,
                boot: String::new(),
                desired: Desired::default(),
                calls: BTreeSet::new(),
                events_acked: 0,
                applied: None,
                judging: None,
                alive: None,
                over: false,
            };
            process.links.insert(id, link);
        }
    }

    fn serve(&mut self, id: ConnId, network: &mut Network, t: u64) -> Result<(), Died> {
        let now = Self::now(t);
        while let Some(link) = self.link(id).filter(|link| !link.over) {
            match network.take(id, Way::Up, t) {
                Some(Frame::Text(text)) => link.session.handle_text(&text, now),
                Some(Frame::Binary(bytes)) => link.session.handle_binary(&bytes, now),
                Some(Frame::Close(code, reason)) => link.session.handle_close(code, &reason),
                None => break,
            }
            self.settle(id, t)?;
        }
        if let Some(link) = self.link(id)
            && link
                .session
                .poll_timeout()
                .is_some_and(|due| due.at_ms <= t)
        {
            link.session.handle_timeout(now);
        }
        self.settle(id, t)?;
        self.judge_waiting(id, t);
        self.settle(id, t)
    }

    fn settle(&mut self, id: ConnId, t: u64) -> Result<(), Died> {
        while let Some(event) = self.link(id).and_then(|link| link.session.poll_event()) {
            self.happened(id, event, t)?;
        }
        Ok(())
    }

    fn happened(&mut self, id: ConnId, event: ControlEvent, t: u64) -> Result<(), Died> {
        let host = self.link(id).and_then(|link| link.host);
        let wall = Self::wall(t);
        match (event, host) {
            (ControlEvent::Hello(hello), _) => self.hello(id, hello, t),
            (ControlEvent::Heartbeat { .. }, Some(host)) => {
                self.catalog.seen(host, wall);
                self.send_open(host, t);
            }
            (
                ControlEvent::Reply {
                    id: command,
                    result,
                    ..
                },
                Some(_),
            ) => {
                self.fuse.point()?;
                self.catalog.settle(command, &result, wall);
                self.no_longer_asking(id, command);
            }
            (ControlEvent::Expired(command), _) => self.no_longer_asking(id, command),
            (ControlEvent::SyncAcked(ack), Some(host)) => {
                if let Some(link) = self.link(id)
                    && link.desired.acked(&ack)
                {
                    link.applied = Some((ack.revision, ack.next_seq.unwrap_or(0)));
                    self.note_applied(id, host, t)?;
                }
            }
            (ControlEvent::SyncWanted(wanted), Some(_)) => {
                if let Some(link) = self.link(id) {
                    link.desired.wanted(&wanted);
                }
            }
            (ControlEvent::Events { prev, items }, Some(host)) => {
                self.events(id, host, (prev, items), t)?;
            }
            (ControlEvent::Log(frame), Some(host)) => {
                self.fuse.point()?;
                let ack = self.catalog.log_bytes(host, &frame);
                self.fuse.point()?;
                self.answer_log(id, ack, frame.offset);
            }
            (ControlEvent::LogFinal(last), Some(host)) => {
                self.fuse.point()?;
                let ack = self.catalog.log_final(host, &last);
                self.fuse.point()?;
                self.answer_log(id, ack, if ack.complete { 0 } else { u64::MAX });
            }
            (ControlEvent::Probed(alive), _) => {
                if let Some(link) = self.link(id) {
                    link.alive = Some(alive);
                }
            }
            (ControlEvent::Ended(_), _) => self.ended(id),
            (ControlEvent::Progress { .. } | ControlEvent::Noticed(_), _) | (_, None) => {}
        }
        Ok(())
    }

    fn events(
        &mut self,
        id: ConnId,
        host: usize,
        (prev, items): (u64, Vec<EventItem>),
        t: u64,
    ) -> Result<(), Died> {
        if self.ack_first {
            let last = items.last().map_or(prev, |item| item.seq);
            if let Some(link) = self.link(id) {
                link.session.events_stored(last, Vec::new());
            }
            if let Some(process) = &mut self.process {
                process.unwritten.push((t + LATE_MS, host, prev, items));
            }
            return Ok(());
        }
        self.fuse.point()?;
        let stored = self.catalog.events(host, prev, &items);
        self.fuse.point()?;
        if let Some(link) = self.link(id) {
            if stored.gap {
                link.session.events_failed(stored.acked);
            } else {
                link.session.events_stored(stored.acked, stored.refused);
                link.events_acked = stored.acked;
            }
        }
        self.note_applied(id, host, t)
    }

    /// A revision counts as applied once every event before it is stored.
    fn note_applied(&mut self, id: ConnId, host: usize, t: u64) -> Result<(), Died> {
        let Some(link) = self.link(id) else {
            return Ok(());
        };
        let events_acked = link.events_acked;
        let told = link.applied.take_if(|(_, next)| *next <= events_acked + 1);
        if let Some((revision, _)) = told {
            self.fuse.point()?;
            self.catalog.applied(host, revision);
            self.release(t);
            self.send_open(host, t);
        }
        Ok(())
    }

    fn answer_log(&mut self, id: ConnId, ack: hostler_proto::frame::payload::LogAck, offset: u64) {
        let Some(link) = self.link(id) else { return };
        if ack.offset < offset {
            link.session.log_resend(ack.run_id, ack.offset);
        } else {
            link.session
                .log_stored(ack.run_id, ack.offset, ack.complete);
        }
    }

    fn no_longer_asking(&mut self, id: ConnId, command: CommandId) {
        if let Some(process) = &mut self.process {
            process.asking.remove(&command);
            if let Some(link) = process.links.get_mut(&id) {
                link.calls.remove(&command);
            }
        }
    }

    /// Takes a host, or first asks whether its old link is alive: last one wins, but two daemons of
    /// one identity do not.
    fn hello(&mut self, id: ConnId, hello: Box<Hello>, t: u64) {
        let host = self.hosts.iter().position(|of| *of == hello.host_id);
        let host = host.expect("only our hosts connect");
        let Some(process) = &mut self.process else {
            return;
        };
        let old = process.registry.get(&host).copied();
        let other = old.and_then(|old| process.links.get_mut(&old));
        match other {
            Some(old) if old.instance != Some(hello.instance_id) => {
                old.alive = None;
                old.session.probe(Self::now(t));
                if let Some(link) = process.links.get_mut(&id) {
                    link.host = None;
                    link.judging = Some((hello, t));
                }
            }
            Some(_) | None => self.admit(id, host, &hello, t),
        }
    }

    fn judge_waiting(&mut self, id: ConnId, t: u64) {
        let Some((hello, since)) = self.link(id).and_then(|link| link.judging.clone()) else {
            return;
        };
        let host = self
            .hosts
            .iter()
            .position(|of| *of == hello.host_id)
            .unwrap();
        let process = self.process.as_ref();
        let old = process.and_then(|process| {
            let old = process.registry.get(&host)?;
            process.links.get(old)
        });
        let alive = match old {
            Some(old) if t < since + PROBE_MS => old.alive,
            Some(_) | None => Some(false),
        };
        let same_boot = old.is_some_and(|old| old.boot == hello.boot_id);
        match alive {
            None => return,
            Some(false) => self.admit(id, host, &hello, t),
            Some(true) => {
                let reject = Reject {
                    code: RejectCode::Duplicate,
                    message: "another daemon is connected with this identity".to_owned(),
                    retry_after_ms: Some(60_000),
                    fatal: !same_boot,
                    versions: None,
                };
                if let Some(link) = self.link(id) {
                    link.session.reject(reject);
                }
            }
        }
        if let Some(link) = self.link(id) {
            link.judging = None;
        }
    }

    fn admit(&mut self, id: ConnId, host: usize, hello: &Hello, t: u64) {
        let (session, epoch) = (self.chance.uuid(), self.epoch);
        let logs = self.catalog.hello(host, hello, Self::wall(t));
        let seq = self.catalog.hosts[host].event_seq;
        let Some(process) = &mut self.process else {
            return;
        };
        let old = process.registry.insert(host, id);
        if let Some(old) = old.and_then(|old| process.links.get_mut(&old)) {
            old.session.close(close::REPLACED, "a newer link took over");
        }
        let Some(link) = process.links.get_mut(&id) else {
            return;
        };
        link.host = Some(host);
        link.instance = Some(hello.instance_id);
        link.boot.clone_from(&hello.boot_id);
        link.desired
            .start(hello.applied_revision, &hello.applied_hash);
        link.events_acked = seq;
        link.applied =
            Some((hello.applied_revision, hello.next_seq)).filter(|(_, next)| *next > seq + 1);
        let accepted = Accepted {
            session,
            epoch,
            desired_revision: self.catalog.hosts[host].desired,
            acks: Acks { seq, logs },
        };
        link.session.accept(accepted, Self::now(t));
        self.release(t);
        self.send_open(host, t);
    }

    /// Sends what is open for a host and not being asked already.
    pub(crate) fn send_open(&mut self, host: usize, t: u64) {
        let Some(process) = &mut self.process else {
            return;
        };
        let id = process.registry.get(&host);
        let Some(link) = id.and_then(|id| process.links.get_mut(id)) else {
            return;
        };
        for (id, command) in self.catalog.ready(host) {
            if process.asking.insert(id) {
                link.calls.insert(id);
                link.session.call(id, command, DEADLINE_MS, Self::now(t));
            }
        }
    }

    /// Lets go of what moved; what a lease alone let go is remembered for the invariants.
    pub(crate) fn release(&mut self, t: u64) {
        let online = [self.online(0), self.online(1)];
        let (told, leased) = self.catalog.release(online, Self::wall(t));
        if !told.is_empty() || !leased.is_empty() {
            self.sync_soon();
        }
        self.leased.extend(leased);
    }

    fn round(&mut self, t: u64) {
        let due = |process: &Process| process.next_round <= t;
        if self.process.as_ref().is_some_and(due) {
            self.release(t);
            if let Some(process) = &mut self.process {
                process.next_round = t + ROUND_MS;
            }
        }
        let Some(process) = &mut self.process else {
            return;
        };
        for host in std::mem::take(&mut process.woken) {
            let id = process.registry.get(&host);
            if let Some(link) = id.and_then(|id| process.links.get_mut(id)) {
                link.desired.changed();
            }
        }
    }

    fn push_desired(&mut self, id: ConnId) -> Result<(), Died> {
        while let Some((host, from)) = self.link(id).and_then(|link| {
            let host = link.host.filter(|_| link.session.is_live())?;
            Some((host, link.desired.due()?))
        }) {
            self.fuse.point()?;
            let step = self.catalog.desired(host, from);
            if let Some(link) = self.link(id)
                && let Some(step) = link.desired.push(step)
            {
                link.session.sync(step);
            }
        }
        Ok(())
    }

    fn transmit(&mut self, id: ConnId, network: &mut Network, t: u64) {
        let Some(link) = self.link(id) else { return };
        while let Some(out) = link.session.poll_transmit() {
            network.send(id, Way::Down, out, t);
        }
        if link.over {
            network.leave(id, Way::Up, t);
            if let Some(process) = &mut self.process {
                process.links.remove(&id);
            }
        }
    }

    /// The link is over: whoever waits on it stops, and a newer link is not taken down.
    fn ended(&mut self, id: ConnId) {
        let Some(process) = &mut self.process else {
            return;
        };
        if let Some(link) = process.links.get_mut(&id) {
            link.over = true;
            for call in std::mem::take(&mut link.calls) {
                process.asking.remove(&call);
            }
        }
        process.registry.retain(|_, of| *of != id);
    }
}
