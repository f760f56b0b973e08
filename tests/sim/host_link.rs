//! The host's end of the link: the product's session between this host's disk and the network, as
//! the daemon's socket task drives it.

use hostler_proto::command::Command;
use hostler_proto::frame::payload::{LogAck, RunMark};
use hostler_proto::ids::{CommandId, RunId};
use hostler_proto::link::host::{
    Ended, HelloFacts, HostConfig, HostEvent, HostSession, LogState, Next, SyncOutcome, Want,
};

use crate::control::SERVER;
use crate::disk::RunEntry;
use crate::machine::{Around, Died, Host};
use crate::network::{ConnId, Frame, Network, Way};
use crate::processes::log_bytes;

/// A connection that nothing answers is given up after this.
const CONNECT_MS: u64 = 10_000;

pub(crate) struct HostLink {
    conn: ConnId,
    pub(crate) session: HostSession,
    /// Awake time of the welcome.
    welcome_at: Option<u64>,
    /// Revision of the desired state this host had when the session began.
    had_revision: u64,
    ended: Option<Ended>,
}

impl HostLink {
    /// Awake time at which the session wants to be called.
    pub(crate) fn timeout(&self) -> Option<u64> {
        self.session.poll_timeout().map(|due| due.at_ms)
    }

    pub(crate) fn conn(&self) -> ConnId {
        self.conn
    }

    /// The socket is gone, with or without good manners.
    pub(crate) fn hang_up(self, network: &mut Network, t: u64) {
        network.leave(self.conn, Way::Down, t);
    }
}

impl Host {
    /// Moves the link on: connects, reads, decides, writes.
    pub(crate) fn drive_link(&mut self, logs_grew: bool, around: &mut Around) -> Result<(), Died> {
        self.connect_when_due(around);
        let ended = self
            .daemon
            .as_mut()
            .map(|daemon| std::mem::take(&mut daemon.logs_changed));
        if logs_grew || ended == Some(true) {
            self.look_at_logs();
        }
        let now = self.clock.link_now();
        while let Some(link) = self.link() {
            let frame = around.network.take(link.conn, Way::Down, around.t);
            match frame {
                Some(Frame::Text(text)) => link.session.handle_text(&text, now),
                Some(Frame::Binary(bytes)) => link.session.handle_binary(&bytes, now),
                Some(Frame::Close(code, reason)) => link.session.handle_close(code, &reason),
                None => break,
            }
            self.settle()?;
            self.fill(around)?;
        }
        if let Some(link) = self.link()
            && link.timeout().is_some_and(|at| at <= now.ms)
        {
            link.session.handle_timeout(now);
        }
        self.settle()?;
        self.fill(around)?;
        self.end_link(around);
        Ok(())
    }

    fn link(&mut self) -> Option<&mut HostLink> {
        self.daemon.as_mut()?.link.as_mut()
    }

    fn connect_when_due(&mut self, around: &mut Around) {
        let now = self.clock.link_now();
        let due = |daemon: &crate::machine::Daemon| {
            daemon.link.is_none() && daemon.stopped.is_none() && daemon.connect_at <= now.ms
        };
        if !self.daemon.as_ref().is_some_and(due) {
            return;
        }
        let (seed, facts) = (self.chance.next(), self.facts());
        let Some(daemon) = &mut self.daemon else {
            return;
        };
        let reachable = around.network.reachable[self.index];
        if !reachable || !around.server_up {
            let gives_up = if reachable { 0 } else { CONNECT_MS };
            daemon.connect_at = now.ms + gives_up + daemon.backoff.next_ms(0, None);
            return;
        }
        let config = HostConfig {
            key: self.key.clone(),
            host_id: self.id,
            server_id: SERVER,
            instance_id: daemon.instance,
            seed,
            facts,
        };
        daemon.link = Some(HostLink {
            conn: around.network.open(self.index),
            session: HostSession::new(config, now),
            welcome_at: None,
            had_revision: self.disk.revision,
            ended: None,
        });
    }

    fn facts(&self) -> HelloFacts {
        let undelivered =
            |entry: &&RunEntry| !entry.row.run.state.is_final() || !entry.log_delivered;
        let mut rows: Vec<_> = self.disk.runs.values().filter(undelivered).collect();
        rows.sort_by_key(|entry| std::cmp::Reverse(entry.row.run.queued_at));
        let mark = |entry: &RunEntry| RunMark {
            run_id: entry.row.run.id,
            state: entry.row.run.state.word().to_owned(),
            log_end: self.processes.written(entry.row.run.id),
        };
        HelloFacts {
            boot_id: self.boot.to_string(),
            start_counter: self.disk.starts,
            applied_revision: self.disk.revision,
            applied_hash: self.disk.hash.clone(),
            next_seq: self.disk.last_seq + 1,
            runs: rows.into_iter().map(mark).collect(),
            lives: self.disk.lives.clone(),
            ..HelloFacts::default()
        }
    }

    fn look_at_logs(&mut self) {
        let entries = self.disk.runs.values().filter(|entry| {
            let begun = entry.row.launched_at.is_some() || entry.log_whole.is_some();
            !entry.log_delivered && begun
        });
        let states: Vec<LogState> = entries
            .map(|entry| LogState {
                run_id: entry.row.run.id,
                end: entry
                    .log_whole
                    .map_or(self.processes.written(entry.row.run.id), |(size, _)| size),
                acked: entry.log_acked,
                finished: entry.log_whole,
            })
            .collect();
        if let Some(link) = self.link() {
            link.session.logs_changed(&states);
        }
    }

    fn settle(&mut self) -> Result<(), Died> {
        while let Some(event) = self.link().and_then(|link| link.session.poll_event()) {
            self.happened(event)?;
        }
        Ok(())
    }

    fn happened(&mut self, event: HostEvent) -> Result<(), Died> {
        match event {
            HostEvent::Welcome(welcome) => {
                let now = self.clock.awake_ms;
                let Some(daemon) = &mut self.daemon else {
                    return Ok(());
                };
                let link = daemon.link.as_mut().unwrap();
                link.welcome_at = Some(now);
                if welcome.desired_revision == link.had_revision {
                    daemon.heard(now);
                }
                self.look_at_logs();
            }
            HostEvent::Command { id, command, .. } => self.command(id, *command)?,
            HostEvent::Sync(step) => {
                self.fuse.point()?;
                let outcome = self.disk.apply_sync(*step);
                self.fuse.point()?;
                let awake = self.clock.awake_ms;
                if let Some(daemon) = &mut self.daemon {
                    daemon.look_at = daemon.look_at.min(awake);
                    if matches!(outcome, SyncOutcome::Applied(_)) {
                        daemon.heard(awake);
                    }
                    daemon.wake_link();
                }
                if let Some(link) = self.link() {
                    link.session.sync_done(outcome);
                }
            }
            HostEvent::EventsAcked(seq) => {
                self.fuse.point()?;
                self.disk.acked(seq);
            }
            HostEvent::EventRefused { seq, .. } => {
                if let Some(event) = self.disk.outbox.remove(&seq) {
                    self.disk.quarantined.insert(seq, event);
                }
            }
            HostEvent::LogAcked(ack) => self.log_acked(ack),
            HostEvent::Ended(why) => {
                if let Some(link) = self.link() {
                    link.ended = Some(why);
                }
            }
            HostEvent::LogStuck(run) => panic!("the log of {run} keeps failing its checksum"),
            HostEvent::Noticed(_) => {}
        }
        Ok(())
    }

    fn log_acked(&mut self, ack: LogAck) {
        let Some(row) = self.disk.runs.get_mut(&ack.run_id) else {
            return;
        };
        if !ack.complete {
            row.log_acked = row.log_acked.max(ack.offset);
        } else if let Some((size, _)) = row.log_whole {
            row.log_acked = size;
            row.log_delivered = true;
        }
    }

    /// A request, carried out once: a repeat gets the stored reply.
    fn command(&mut self, id: CommandId, command: Command) -> Result<(), Died> {
        if !self.disk.commands.contains_key(&id) {
            self.fuse.point()?;
            match command {
                Command::RunStart(start) => self.disk.start_manual(id, &start, self.clock.wall),
                Command::RunCancel(cancel) => self.disk.cancel(id, &cancel),
                Command::ProjectCreate(_)
                | Command::WorkspaceCreate(_)
                | Command::WorkspaceDelete(_)
                | Command::WorkspacesCount(_) => panic!("not asked for here"),
            }
            self.fuse.point()?;
        }
        let outcome = self.disk.commands[&id].clone();
        if let Some(daemon) = &mut self.daemon {
            daemon.logs_changed = true;
            daemon.wake_link();
        }
        if let Some(link) = self.link() {
            link.session.reply(id, outcome);
        }
        Ok(())
    }

    fn fill(&mut self, around: &mut Around) -> Result<(), Died> {
        let now = self.clock.link_now();
        while let Some(link) = self.link() {
            if let Some(out) = link.session.poll_transmit() {
                around.network.send(link.conn, Way::Up, out, around.t);
                continue;
            }
            let Some(want) = link.session.poll_want(now) else {
                break;
            };
            self.supply(want);
            self.settle()?;
        }
        Ok(())
    }

    fn supply(&mut self, want: Want) {
        let now = self.clock.link_now();
        match want {
            Want::Events { after, limit } => {
                let rows = self.disk.outbox.range(after + 1..);
                let rows = rows.take(usize::try_from(limit).unwrap_or(1));
                let events = rows
                    .map(|(seq, event)| (*seq, serde_json::to_string(event).unwrap()))
                    .collect();
                if let Some(link) = self.link() {
                    link.session.supply_events(events);
                }
            }
            Want::Log {
                run_id,
                offset,
                max,
            } => {
                let bytes = self.spool(run_id, offset, max);
                if let Some(link) = self.link() {
                    link.session.supply_log(run_id, offset, bytes, vec![], now);
                }
            }
        }
    }

    fn spool(&self, run: RunId, offset: u64, max: usize) -> Vec<u8> {
        let end = self.processes.written(run);
        log_bytes(run, offset, end.min(offset + max as u64))
    }

    /// After the end of a session: when to come back.
    fn end_link(&mut self, around: &mut Around) {
        let awake = self.clock.awake_ms;
        let Some(daemon) = &mut self.daemon else {
            return;
        };
        let Some(link) = daemon.link.take_if(|link| link.ended.is_some()) else {
            return;
        };
        let stable = link.welcome_at.map_or(0, |at| awake.saturating_sub(at));
        let next = link.ended.as_ref().map(Ended::next);
        daemon.last_end = format!("{:?}", link.ended);
        link.hang_up(around.network, around.t);
        let wait = match next {
            Some(Next::Stop(why)) => {
                daemon.stopped = Some(why);
                return;
            }
            Some(Next::Now) if stable >= 1_000 => daemon.backoff.next_ms(u64::MAX, None) / 4,
            Some(Next::Now) | None => daemon.backoff.next_ms(0, None),
            Some(Next::Later(least)) => daemon.backoff.next_ms(stable, least),
        };
        daemon.connect_at = awake + wait;
    }
}
