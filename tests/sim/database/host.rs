//! A host: the daemon's own database, dispatch and scheduler, with runs that end by chance. A crash
//! loses everything but the home folder and the runs' supervisors.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use hostler_daemon::clock::Now;
use hostler_daemon::dispatch::Dispatch;
use hostler_daemon::link::Local;
use hostler_daemon::runs::task::Runs;
use hostler_daemon::scheduler::Scheduler;
use hostler_daemon::store::{occurrences, runs};
use hostler_daemon::{Context, open_home};
use hostler_proto::ids::{HostId, InstanceId, RunId};
use hostler_proto::link::host::{HostConfig, HostEvent, HostSession, Want};
use hostler_proto::link::proof::HostKey;
use hostler_proto::link::{self, Outgoing};
use hostler_proto::run::{Finished, Outcome, RunResult, RunState};
use hostler_proto::time::UtcMillis;
use tempfile::TempDir;
use uuid::Uuid;

use super::plane::SERVER;
use crate::chance::Chance;

pub(crate) struct Host {
    home: TempDir,
    pub(crate) context: Context,
    local: Dispatch,
    scheduler: Option<Scheduler>,
    pub(crate) session: Option<HostSession>,
    /// How often each run's process was started.
    pub(crate) starts: BTreeMap<RunId, u32>,
    instance: u128,
}

impl Host {
    pub(crate) async fn new() -> Self {
        // In memory where there is such a folder: what is lost is decided here, not by a disk.
        let home = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let context = open_home(home.path()).await.unwrap();
        Self {
            home,
            local: dispatch(&context),
            context,
            scheduler: None,
            session: None,
            starts: BTreeMap::new(),
            instance: 1,
        }
    }

    /// The process is killed and started again.
    pub(crate) async fn crash(&mut self) {
        self.session = None;
        self.scheduler = None;
        self.context.store.close().await;
        self.context = open_home(self.home.path()).await.unwrap();
        self.local = dispatch(&self.context);
        self.instance += 1;
    }

    /// One batch of the scheduler; `commits` false is a crash just before the commit.
    pub(crate) async fn schedule(&mut self, now: Now, commits: bool) {
        let mut scheduler = match self.scheduler.take() {
            Some(scheduler) => scheduler,
            None => Scheduler::load(self.context.store.plans().await.unwrap(), false, now),
        };
        let mut tx = self.context.store.begin().await.unwrap();
        let interest = scheduler.interest(now.wall);
        let facts = occurrences::facts(&mut tx, interest).await.unwrap();
        let effects = scheduler.handle(facts, now);
        occurrences::apply(&mut tx, &effects, now.wall)
            .await
            .unwrap();
        if commits {
            self.context.store.commit(tx).await.unwrap();
            self.scheduler = Some(scheduler);
        }
    }

    /// Starts queued runs (two at once), lets others write and end. `all`: they end for certain.
    pub(crate) async fn run(&mut self, now: UtcMillis, chance: &mut Chance, all: bool) {
        let unfinished = self.context.store.unfinished_runs().await.unwrap();
        let going = unfinished
            .iter()
            .filter(|row| row.launched_at.is_some())
            .count();
        let mut places = 2_usize.saturating_sub(going);
        for row in unfinished {
            let mut run = row.run;
            let mut tx = self.context.store.begin().await.unwrap();
            if row.launched_at.is_none() && row.cancel_requested.is_some() {
                run.finish(ended(RunResult::Cancelled, now, 0)).unwrap();
                runs::complete_log(&mut tx, run.id, 0, 0).await.unwrap();
            } else if row.launched_at.is_none() && !row.waiting && places > 0 {
                places -= 1;
                run.prepare(now).unwrap();
                run.start(now).unwrap();
                runs::set_launched(&mut tx, run.id, now).await.unwrap();
                *self.starts.entry(run.id).or_default() += 1;
            } else if row.launched_at.is_some() {
                let log = self.write(run.id, chance);
                if !all && row.cancel_requested.is_none() && !chance.one_in(3) {
                    continue;
                }
                let results = [RunResult::Succeeded, RunResult::Failed, RunResult::Lost];
                let result = results[usize::try_from(chance.below(3)).unwrap()];
                let result = row
                    .cancel_requested
                    .map_or(result, |_| RunResult::Cancelled);
                run.finish(ended(result, now, log.len() as u64)).unwrap();
                let crc = crc32fast::hash(&log);
                runs::complete_log(&mut tx, run.id, log.len() as u64, crc)
                    .await
                    .unwrap();
            } else {
                continue;
            }
            assert!(runs::update(&mut tx, &run, now).await.unwrap());
            self.context.store.commit(tx).await.unwrap();
        }
    }

    /// The agent's output, which its supervisor writes whatever happens to the daemon.
    fn write(&self, run: RunId, chance: &mut Chance) -> Vec<u8> {
        let folder = self.context.layout.runs().join(run.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let log = folder.join("output.log");
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let line = format!("{run} says {}\n", chance.next());
        file.write_all(
            line.repeat(usize::try_from(chance.below(40)).unwrap())
                .as_bytes(),
        )
        .unwrap();
        std::fs::read(log).unwrap()
    }

    pub(crate) async fn connect(&mut self, seed: u64, now: link::Now) {
        let config = HostConfig {
            key: HostKey::from_bytes(&[7; 32]),
            host_id: HostId(Uuid::from_u128(5)),
            server_id: SERVER,
            instance_id: InstanceId(Uuid::from_u128(self.instance)),
            seed,
            facts: self.local.hello().await.unwrap(),
        };
        self.session = Some(HostSession::new(config, now));
    }

    /// Does what the session asks for, and collects what it has to send.
    pub(crate) async fn pump(&mut self, now: link::Now) -> Vec<Outgoing> {
        let mut out = Vec::new();
        let Some(mut session) = self.session.take() else {
            return out;
        };
        session.outbox_changed();
        session.logs_changed(&self.local.log_streams().await.unwrap());
        loop {
            while let Some(event) = session.poll_event() {
                if let HostEvent::Ended(_) = event {
                    return out;
                }
                self.happened(&mut session, event).await;
            }
            if let Some(frame) = session.poll_transmit() {
                out.push(frame);
            } else if let Some(want) = session.poll_want(now) {
                self.supply(&mut session, want, now).await;
            } else {
                break;
            }
        }
        self.session = Some(session);
        out
    }

    async fn happened(&mut self, session: &mut HostSession, event: HostEvent) {
        match event {
            HostEvent::Command { id, command, .. } => {
                let reply = self.local.command(id, *command, Arc::new(drop)).await;
                session.reply(id, reply);
            }
            HostEvent::Sync(step) => {
                session.sync_done(self.local.apply_sync(*step).await.unwrap());
            }
            HostEvent::EventsAcked(seq) => self.local.events_acked(seq).await.unwrap(),
            HostEvent::LogAcked(ack) => {
                let recorded = if ack.complete {
                    self.local.log_delivered(ack.run_id).await
                } else {
                    self.local.logs_acked(&[(ack.run_id, ack.offset)]).await
                };
                recorded.unwrap();
            }
            HostEvent::EventRefused { seq, reason } => panic!("event {seq} was refused: {reason}"),
            HostEvent::LogStuck(run) => panic!("the log of {run} is stuck"),
            HostEvent::Welcome(_) | HostEvent::Noticed(_) | HostEvent::Ended(_) => {}
        }
    }

    async fn supply(&self, session: &mut HostSession, want: Want, now: link::Now) {
        match want {
            Want::Events { after, limit } => {
                session.supply_events(self.local.events_after(after, limit).await.unwrap());
            }
            Want::Log {
                run_id,
                offset,
                max,
            } => {
                let part = self.local.log_read(run_id, offset, max).await.unwrap();
                session.supply_log(run_id, offset, part.bytes, part.records, now);
            }
        }
    }

    /// A run's whole log as it lies on disk.
    pub(crate) fn log_of(&self, run: RunId) -> Vec<u8> {
        let path = self
            .context
            .layout
            .runs()
            .join(run.to_string())
            .join("output.log");
        std::fs::read(path).unwrap_or_default()
    }

    pub(crate) fn is_going(state: &RunState) -> bool {
        !state.is_final()
    }
}

/// The daemon's own dispatch; its runs are never served, they end by chance here.
fn dispatch(context: &Context) -> Dispatch {
    Dispatch::new(context.clone(), Runs::new(context.clone()))
}

fn ended(result: RunResult, now: UtcMillis, log_bytes: u64) -> Finished {
    Finished {
        result,
        started_at: None,
        finished_at: now,
        reason: None,
        exit_code: None,
        signal: None,
        outcome: Outcome::default(),
        log_bytes,
    }
}
