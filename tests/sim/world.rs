//! Two hosts, a control plane and the network between them in one true time, moved on from event to
//! event. Nothing happens that the seed did not decide.

use std::collections::BTreeSet;

use crate::chance::Chance;
use crate::control::Control;
use crate::invariants;
use crate::machine::{Around, Host, Power};
use crate::network::{Network, Way};
use crate::witness::Witness;

/// What of it is deliberately broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    /// The hosts' disks do not hold their keys unique.
    Keys,
    /// The control plane acknowledges events before it has stored them.
    AckFirst,
}

pub(crate) struct World {
    pub(crate) t: u64,
    pub(crate) hosts: [Host; 2],
    pub(crate) control: Control,
    pub(crate) network: Network,
    pub(crate) witness: Witness,
    /// What the script of the seed draws from.
    pub(crate) chance: Chance,
    /// What becomes of processes that died at a point of their own.
    fates: Chance,
    /// Parts of the script to leave out: how a story is made shorter.
    pub(crate) left_out: BTreeSet<usize>,
    /// How many parts the script has so far.
    pub(crate) parts: usize,
    /// Whether any host's clock was ever set.
    pub(crate) clocks_were_set: bool,
    /// Kept when a failed seed is run again.
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, broken: Broken, traced: bool) -> Self {
        let mut chance = Chance::new(seed);
        let keys = broken != Broken::Keys;
        let hosts = [0, 1].map(|index| Host::new(index, keys, &mut chance));
        let ids = [hosts[0].id, hosts[1].id];
        let ack_first = broken == Broken::AckFirst;
        Self {
            t: 0,
            hosts,
            control: Control::new(ids, ack_first, Chance::new(chance.next())),
            network: Network::new(Chance::new(chance.next())),
            witness: Witness::default(),
            fates: Chance::new(chance.next()),
            chance,
            left_out: BTreeSet::new(),
            parts: 0,
            clocks_were_set: false,
            trace: traced.then(Vec::new),
        }
    }

    /// Notes what happens, for whoever reads a failure.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        let t = self.t;
        if let Some(trace) = &mut self.trace {
            let seconds = t / 1000;
            trace.push(format!(
                "{:02}:{:02}:{:02}.{:03} {}",
                12 + seconds / 3600,
                seconds / 60 % 60,
                seconds % 60,
                t % 1000,
                what()
            ));
        }
    }

    /// Lets time pass, doing everything when it is due.
    pub(crate) fn pass(&mut self, ms: u64) -> Result<(), String> {
        let end = self.t + ms;
        loop {
            self.settle()?;
            if self.t >= end {
                return Ok(());
            }
            let next = self.next_at().max(self.t + 1).min(end);
            let passed = next - self.t;
            self.t = next;
            for host in &mut self.hosts {
                host.pass(passed, next);
            }
        }
    }

    /// Everything that is due now, and what follows from it at once.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..500 {
            let known = self.witness.starts.len();
            for index in 0..2 {
                self.step_host(index);
            }
            self.step_control();
            for at in known..self.witness.starts.len() {
                let start = self.witness.starts[at];
                self.note(|| format!("    host {} starts {start:?}", start.host));
            }
            invariants::after_step(self)?;
            if self.next_at() > self.t {
                return Ok(());
            }
        }
        Err("something is done again and again without time passing".into())
    }

    fn step_host(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let mut around = Around {
            network: &mut self.network,
            witness: &mut self.witness,
            server_up: self.control.process.is_some(),
            t: self.t,
        };
        if host.step(&mut around).is_err() {
            let back_in = self.fates.pick(&[0, 300, 5_000, 90_000, 400_000]);
            host.kill(back_in, false, &mut self.network, self.t);
            self.note(|| format!("    daemon {index} died there, back in {back_in} ms"));
        }
    }

    fn step_control(&mut self) {
        if self.control.step(&mut self.network, self.t).is_err() {
            let back_in = self.fates.pick(&[0, 2_000, 40_000]);
            self.control.kill(back_in, &mut self.network, self.t);
            self.note(|| format!("    control plane died there, back in {back_in} ms"));
        }
    }

    fn next_at(&self) -> u64 {
        let hosts = self.hosts.iter().filter_map(|host| host.next_at(self.t));
        let frames = self.network.open_ones().filter_map(|(id, host)| {
            let host = &self.hosts[host];
            let link = host.daemon.as_ref().and_then(|daemon| daemon.link.as_ref());
            let reads = host.power == Power::On && link.is_some_and(|link| link.conn() == id);
            let down = self.network.next_at(id, Way::Down).filter(|_| reads);
            let up = self.network.next_at(id, Way::Up);
            let up = up.filter(|_| self.control.process.is_some());
            down.into_iter().chain(up).min()
        });
        hosts
            .chain(frames)
            .chain([self.control.next_at()])
            .min()
            .unwrap_or(u64::MAX)
    }
}
