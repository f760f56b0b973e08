//! A host: its machine with its clocks, its disk, its agents' processes, and the daemon that can
//! die at any point between two of its actions.
//!
//! The scheduler is the product's; its shell here reads and writes as the daemon's does.

use hostler_daemon::clock::Now;
use hostler_daemon::scheduler::Scheduler;
use hostler_proto::ids::{HostId, InstanceId};
use hostler_proto::link::backoff::Backoff;
use hostler_proto::link::proof::HostKey;
use hostler_proto::time::UtcMillis;

use crate::chance::Chance;
use crate::disk::Disk;
use crate::host_link::HostLink;
use crate::network::Network;
use crate::processes::Processes;
use crate::runs::Runs;
use crate::witness::Witness;

/// The scheduler looks at least this often.
const LONGEST_SLEEP_MS: i64 = 15_000;
/// A longer time between two looks: the machine slept.
const SLEPT_MS: u64 = 60_000;
/// After a write failed it looks again this soon.
const AFTER_FAILURE_MS: u64 = 1_000;
/// 2026-03-02T12:00:00Z, a Monday.
pub(crate) const NOON: i64 = 1_772_452_800_000;

/// The daemon's process died.
#[derive(Debug)]
pub(crate) struct Died;

/// Where a process dies: after so many more points at which dying makes a difference.
#[derive(Debug, Default)]
pub(crate) struct Fuse(Option<u64>);

impl Fuse {
    pub(crate) fn light(&mut self, points: u64) {
        self.0 = Some(points);
    }

    pub(crate) fn put_out(&mut self) {
        self.0 = None;
    }

    pub(crate) fn point(&mut self) -> Result<(), Died> {
        match &mut self.0 {
            Some(0) => {
                self.0 = None;
                Err(Died)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    On,
    /// Until this true time.
    Asleep(u64),
    Off(u64),
}

#[derive(Debug)]
pub(crate) struct Clock {
    /// How far the wall clock is ahead of the true time.
    pub(crate) ahead_ms: i64,
    pub(crate) awake_ms: u64,
    pub(crate) boot_ms: u64,
    pub(crate) wall: UtcMillis,
}

impl Clock {
    pub(crate) fn now(&self) -> Now {
        Now {
            wall: self.wall,
            boot_ms: self.boot_ms,
            awake_ms: self.awake_ms,
        }
    }

    pub(crate) fn link_now(&self) -> hostler_proto::link::Now {
        hostler_proto::link::Now {
            ms: self.awake_ms,
            wall: self.wall,
        }
    }
}

pub(crate) struct Host {
    pub(crate) index: usize,
    pub(crate) id: HostId,
    pub(crate) key: HostKey,
    pub(crate) clock: Clock,
    pub(crate) power: Power,
    pub(crate) boot: u64,
    pub(crate) disk: Disk,
    pub(crate) processes: Processes,
    pub(crate) daemon: Option<Daemon>,
    /// True time at which the daemon is started again.
    pub(crate) restart_at: u64,
    pub(crate) fuse: Fuse,
    /// The next transaction of the scheduler fails.
    pub(crate) fail_write: bool,
    /// A copy of the database.
    pub(crate) backup: Option<Box<Disk>>,
    /// Its database was ever replaced by an older copy.
    pub(crate) restored: bool,
    pub(crate) chance: Chance,
}

/// One life of the daemon's process.
pub(crate) struct Daemon {
    pub(crate) instance: InstanceId,
    scheduler: Option<Scheduler>,
    /// Awake time of the scheduler's next look.
    pub(crate) look_at: u64,
    /// Boot time of its last look.
    looked_boot_ms: Option<u64>,
    /// The control plane's wishes are known and stored.
    pub(crate) heard: bool,
    pub(crate) runs: Runs,
    pub(crate) link: Option<HostLink>,
    pub(crate) backoff: Backoff,
    /// Awake time of the next attempt to connect, without a link.
    pub(crate) connect_at: u64,
    /// Why it will not connect again.
    pub(crate) stopped: Option<String>,
    /// Logs were completed since the link last looked at them.
    pub(crate) logs_changed: bool,
    /// How the last session ended, for whoever reads a failure.
    pub(crate) last_end: String,
}

/// What a host touches outside itself.
pub(crate) struct Around<'a> {
    pub(crate) network: &'a mut Network,
    pub(crate) witness: &'a mut Witness,
    pub(crate) server_up: bool,
    pub(crate) t: u64,
}

impl Host {
    pub(crate) fn new(index: usize, keys: bool, chance: &mut Chance) -> Self {
        let mut host = Self {
            index,
            id: HostId(chance.uuid()),
            key: HostKey::from_bytes(&chance.bytes32()),
            clock: Clock {
                ahead_ms: 0,
                awake_ms: 1_000_000,
                boot_ms: 1_000_000,
                wall: UtcMillis(NOON),
            },
            power: Power::On,
            boot: 1,
            disk: Disk::new(keys),
            processes: Processes::default(),
            daemon: None,
            restart_at: 0,
            fuse: Fuse::default(),
            fail_write: false,
            backup: None,
            restored: false,
            chance: Chance::new(chance.next()),
        };
        host.start_daemon();
        host
    }

    fn start_daemon(&mut self) {
        let mark = self.chance.next().to_string();
        self.disk.begin_life(mark);
        self.daemon = Some(Daemon {
            instance: InstanceId(self.chance.uuid()),
            scheduler: None,
            look_at: self.clock.awake_ms,
            looked_boot_ms: None,
            heard: false,
            runs: Runs::default(),
            link: None,
            backoff: Backoff::new(self.chance.next()),
            connect_at: self.clock.awake_ms,
            stopped: None,
            logs_changed: false,
            last_end: String::new(),
        });
    }

    /// The daemon's process ends: what is not on the disk is gone.
    pub(crate) fn kill(&mut self, back_in_ms: u64, silently: bool, network: &mut Network, t: u64) {
        self.fuse.put_out();
        self.restart_at = t + back_in_ms;
        let link = self.daemon.take().and_then(|daemon| daemon.link);
        if let Some(link) = link {
            if silently {
                network.cut(self.index, true, t);
            }
            link.hang_up(network, t);
        }
    }

    /// The newest copy of the database takes its place, while the daemon is not there.
    pub(crate) fn restore(&mut self, back_in_ms: u64, network: &mut Network, t: u64) {
        if let Some(copy) = self.backup.take() {
            self.kill(back_in_ms, false, network, t);
            self.disk.restore(&copy);
            self.restored = true;
        }
    }

    /// True time goes on.
    pub(crate) fn pass(&mut self, ms: u64, t: u64) {
        match self.power {
            Power::On => {
                self.clock.awake_ms += ms;
                self.clock.boot_ms += ms;
            }
            Power::Asleep(_) => self.clock.boot_ms += ms,
            Power::Off(_) => {}
        }
        self.clock.wall = UtcMillis(NOON + t.cast_signed() + self.clock.ahead_ms);
    }

    /// True time of the next thing this host does by itself.
    pub(crate) fn next_at(&self, t: u64) -> Option<u64> {
        match self.power {
            Power::Asleep(until) | Power::Off(until) => return Some(until),
            Power::On => {}
        }
        let awake_at = |at: u64| t + at.saturating_sub(self.clock.awake_ms);
        let processes = self.processes.next().map(awake_at);
        let Some(daemon) = &self.daemon else {
            return processes.into_iter().chain([self.restart_at]).min();
        };
        let connect = match (&daemon.link, &daemon.stopped) {
            (None, None) => Some(daemon.connect_at),
            (Some(link), _) => link.timeout(),
            (None, Some(_)) => None,
        };
        let own = [Some(daemon.look_at), daemon.runs.next(), connect];
        own.into_iter()
            .flatten()
            .map(awake_at)
            .chain(processes)
            .min()
    }

    /// Does everything that is due now.
    pub(crate) fn step(&mut self, around: &mut Around) -> Result<(), Died> {
        self.change_power(around.t);
        if self.power != Power::On {
            return Ok(());
        }
        let grew = self.processes.advance(self.clock.awake_ms, self.clock.wall);
        if self.daemon.is_none() {
            if around.t < self.restart_at {
                return Ok(());
            }
            self.start_daemon();
        }
        self.look_when_due()?;
        self.advance_runs(around)?;
        self.look_when_due()?;
        self.drive_link(grew, around)
    }

    fn change_power(&mut self, t: u64) {
        match self.power {
            Power::Asleep(until) if t >= until => {
                self.power = Power::On;
                self.wake_up();
            }
            Power::Off(until) if t >= until => {
                self.power = Power::On;
                self.boot += 1;
                self.clock.awake_ms = 1_000;
                self.clock.boot_ms = 1_000;
                self.restart_at = t;
            }
            Power::On | Power::Asleep(_) | Power::Off(_) => {}
        }
    }

    /// Timers did not run while asleep. The wake-up is noticed soon: by the timer that the system
    /// cancels, or by the next look of its own.
    fn wake_up(&mut self) {
        let (awake, noticed) = (self.clock.awake_ms, self.chance.within(0, 2_000));
        if let Some(daemon) = &mut self.daemon {
            daemon.connect_at = daemon.connect_at.min(awake + 2_000);
            if self.chance.percent(50) {
                daemon.look_at = daemon.look_at.min(awake + noticed);
            }
        }
    }

    fn look_when_due(&mut self) -> Result<(), Died> {
        for _ in 0..200 {
            let awake = self.clock.awake_ms;
            match &self.daemon {
                Some(daemon) if daemon.look_at <= awake => self.look()?,
                Some(_) | None => return Ok(()),
            }
        }
        panic!("host {} looks at its schedules without an end", self.index);
    }

    /// One batch of the scheduler, as its task does it.
    fn look(&mut self) -> Result<(), Died> {
        let now = self.clock.now();
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        let loaded = daemon.scheduler.take();
        let mut scheduler =
            loaded.unwrap_or_else(|| Scheduler::load(self.disk.records(), false, now));
        let before = daemon.looked_boot_ms.replace(now.boot_ms);
        if std::mem::take(&mut daemon.heard) {
            scheduler.heard();
        } else if before.is_none_or(|before| now.boot_ms.saturating_sub(before) > SLEPT_MS) {
            scheduler.await_word(now);
        }
        let facts = self.disk.facts(scheduler.interest(now.wall));
        let effects = scheduler.handle(facts, now);
        if !effects.changes.is_empty() {
            self.fuse.point()?;
            if std::mem::take(&mut self.fail_write) {
                daemon.look_at = now.awake_ms + AFTER_FAILURE_MS;
                return Ok(());
            }
            self.disk.apply(&effects, now.wall);
            self.fuse.point()?;
            daemon.wake_link();
        }
        let sleep = scheduler
            .next_due()
            .map_or(LONGEST_SLEEP_MS, |next| next.since(now.wall))
            .clamp(0, LONGEST_SLEEP_MS);
        daemon.look_at = now.awake_ms + sleep.unsigned_abs();
        daemon.scheduler = Some(scheduler);
        Ok(())
    }
}

impl Daemon {
    /// The control plane has said what it wants: the scheduler looks.
    pub(crate) fn heard(&mut self, awake_ms: u64) {
        self.heard = true;
        self.look_at = self.look_at.min(awake_ms);
    }

    /// A commit: the link looks at the outbox.
    pub(crate) fn wake_link(&mut self) {
        if let Some(link) = &mut self.link {
            link.session.outbox_changed();
        }
    }
}
