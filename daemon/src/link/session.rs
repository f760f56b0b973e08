//! One session on one socket: moves frames between the socket, the sans-IO session and this machine.
//!
//! Reading and writing go on side by side, so two ends that both send much never wait for each
//! other. Commands outlive the session that brought them; their replies are stored by whoever
//! carries them out, and the next session's repeat of the id gets them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hostler_proto::command::{Command, Progress, Reply};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{CommandId, HostId, InstanceId, RunId};
use hostler_proto::link::host::{Ended, HostConfig, HostEvent, HostSession, SyncOutcome, Want};
use hostler_proto::link::{Outgoing, TimeoutReason};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::sync::CancellationToken;

use super::connect::Socket;
use super::local::Local;
use super::now;
use super::standing::Teller;
use crate::enrol::Identity;
use crate::{Signals, clock};

/// Commands carried out at the same time; further ones wait.
const AT_ONCE: usize = 16;
/// Commands waiting or going on, over all sessions.
const MOST_COMMANDS: usize = 256;
/// A send that does not get through in this time ends the session.
const STALL: Duration = Duration::from_secs(10);
/// Time for the last frames of a session.
const FAREWELL: Duration = Duration::from_secs(1);
/// Time between two looks at the spools of watched runs, milliseconds.
const WATCH_MS: u64 = 20;
/// Shortest time between two looks at all logs, milliseconds: the first byte of a run that nobody
/// watches yet waits for no more.
const LOOK_MS: u64 = 10;
/// How long acknowledged offsets are kept in memory before they are recorded, milliseconds: they
/// save work after a restart, and the control plane says them again when a session begins.
const RECORD_MS: u64 = 1_000;
/// Bytes handed to the socket before it is flushed.
const BATCH: usize = 128 << 10;

type Report = (CommandId, Progress);
type Done = (CommandId, Result<Reply, Failure>);

/// What outlives sessions: the machine, and commands under way.
pub(super) struct Work<L> {
    local: Arc<L>,
    signals: Arc<Signals>,
    instance: InstanceId,
    commands: JoinSet<Done>,
    in_flight: BTreeSet<CommandId>,
    places: Arc<Semaphore>,
    reports: mpsc::Sender<Report>,
    progress: mpsc::Receiver<Report>,
    teller: Teller,
}

/// A session with its socket.
struct Wire {
    session: HostSession,
    host: HostId,
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    /// Since when what was handed to the socket is being flushed.
    flushing: Option<u64>,
    welcome_at: Option<u64>,
    /// When to look at the spools of watched runs; none while there are none.
    look_at: Option<u64>,
    /// When all logs were looked at last, and when to look again.
    looked_at: u64,
    look_again_at: Option<u64>,
    /// Acknowledged offsets that are not recorded yet, and when they are to be.
    acked: BTreeMap<RunId, u64>,
    record_at: Option<u64>,
    /// The revision of the desired state this host had when the session began.
    had_revision: u64,
    ended: Option<Ended>,
}

/// What woke the session.
enum Woken {
    Frame(Option<Result<Message, tokio_tungstenite::tungstenite::Error>>),
    Flushed(Result<(), tokio_tungstenite::tungstenite::Error>),
    Done(Option<Result<Done, tokio::task::JoinError>>),
    Progress(Option<(CommandId, Progress)>),
    Outbox,
    Logs,
    Time,
    Stop,
}

impl<L: Local> Work<L> {
    pub(super) fn new(
        local: Arc<L>,
        signals: Arc<Signals>,
        instance: InstanceId,
        teller: Teller,
    ) -> Self {
        let (reports, progress) = mpsc::channel(64);
        Self {
            local,
            signals,
            instance,
            commands: JoinSet::new(),
            in_flight: BTreeSet::new(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            reports,
            progress,
            teller,
        }
    }

    /// The link of this host is up, or down for this reason.
    pub(super) fn stands(&mut self, host: HostId, down: Option<&str>) {
        self.teller.say(host, down, clock::wall());
    }

    /// Runs one session to its end. Returns why it ended and for how long it was welcome.
    pub(super) async fn session(
        &mut self,
        identity: &Identity,
        socket: Socket,
        stop: &CancellationToken,
    ) -> (Ended, u64) {
        let facts = match self.local.hello().await {
            Ok(facts) => facts,
            Err(failure) => return (Ended::Protocol(failure.message), 0),
        };
        let (sink, stream) = socket.split();
        let had_revision = facts.applied_revision;
        let config = HostConfig {
            key: identity.key.clone(),
            host_id: identity.host_id,
            server_id: identity.server_id,
            instance_id: self.instance,
            seed: u64::from_le_bytes(clock::random()),
            facts,
        };
        let mut wire = Wire {
            session: HostSession::new(config, now()),
            host: identity.host_id,
            sink,
            stream,
            flushing: None,
            welcome_at: None,
            look_at: None,
            looked_at: 0,
            look_again_at: None,
            acked: BTreeMap::new(),
            record_at: None,
            had_revision,
            ended: None,
        };
        while wire.ended.is_none() {
            let woken = self.next(&mut wire, stop).await;
            self.handle(&mut wire, woken).await;
            self.settle(&mut wire).await;
            self.when_due(&mut wire).await;
            self.fill(&mut wire).await;
        }
        if wire.record_at.is_some() {
            self.record_acks(&mut wire).await;
        }
        wire.farewell().await;
        if let Some(how) = wire.ended.as_ref().and_then(Ended::dismissal)
            && let Err(failure) = self.local.dismissed(how).await
        {
            tracing::error!("what the control plane no longer wants was not stopped: {failure}");
        }
        let stable = wire.welcome_at.map_or(0, |at| now().ms.saturating_sub(at));
        (wire.ended.unwrap_or(Ended::Dead), stable)
    }

    async fn next(&mut self, wire: &mut Wire, stop: &CancellationToken) -> Woken {
        let until = wire.until();
        tokio::select! {
            biased;
            () = stop.cancelled() => Woken::Stop,
            flushed = wire.sink.flush(), if wire.flushing.is_some() => Woken::Flushed(flushed),
            frame = wire.stream.next() => Woken::Frame(frame),
            done = self.commands.join_next(), if !self.commands.is_empty() => Woken::Done(done),
            progress = self.progress.recv() => Woken::Progress(progress),
            () = self.signals.outbox.notified() => Woken::Outbox,
            () = self.signals.logs.notified() => Woken::Logs,
            () = tokio::time::sleep(until) => Woken::Time,
        }
    }

    async fn handle(&mut self, wire: &mut Wire, woken: Woken) {
        match woken {
            Woken::Frame(frame) => wire.frame(frame),
            Woken::Flushed(Ok(())) => wire.flushing = None,
            Woken::Flushed(Err(error)) => wire.session.handle_close(1006, &error.to_string()),
            Woken::Done(Some(Ok((id, result)))) => {
                self.in_flight.remove(&id);
                wire.session.reply(id, result);
            }
            Woken::Done(Some(Err(error))) => tracing::error!("a command ended abnormally: {error}"),
            Woken::Progress(Some((id, progress))) => wire.session.progress(id, progress),
            Woken::Done(None) | Woken::Progress(None) => {}
            Woken::Outbox => wire.session.outbox_changed(),
            Woken::Logs => {
                wire.look_again_at = Some(wire.looked_at + LOOK_MS);
            }
            Woken::Time => self.time(wire).await,
            Woken::Stop => {
                wire.session.leave("the host's daemon stops");
                wire.ended = Some(Ended::Closed(1000, "stopped".to_owned()));
            }
        }
    }

    async fn time(&mut self, wire: &mut Wire) {
        let beat = wire
            .session
            .poll_timeout()
            .is_some_and(|due| due.reason == TimeoutReason::Heartbeat && due.at_ms <= now().ms);
        if beat {
            wire.session.set_load(self.local.load().await);
        }
        if wire.stalled() {
            wire.session.handle_close(1006, "a send stalled for 10 s");
        }
        wire.session.handle_timeout(now());
    }

    /// What waits for its time.
    async fn when_due(&self, wire: &mut Wire) {
        let now_ms = now().ms;
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now_ms);
        if due(wire.look_again_at) {
            self.look_at_logs(wire).await;
        }
        self.look_at_watched(wire);
        if due(wire.record_at) {
            self.record_acks(wire).await;
        }
    }

    async fn record_acks(&self, wire: &mut Wire) {
        wire.record_at = None;
        let acks: Vec<(RunId, u64)> = std::mem::take(&mut wire.acked).into_iter().collect();
        if let Err(failure) = self.local.logs_acked(&acks).await {
            tracing::warn!("how far logs were delivered is not recorded: {failure}");
        }
    }

    async fn look_at_logs(&self, wire: &mut Wire) {
        wire.looked_at = now().ms;
        wire.look_again_at = None;
        match self.local.log_streams().await {
            Ok(streams) => wire.session.logs_changed(&streams),
            Err(failure) => tracing::error!("run logs cannot be listed: {failure}"),
        }
    }

    /// What supervisors say of their logs comes at their pace; somebody who watches is served from
    /// the spool itself.
    fn look_at_watched(&self, wire: &mut Wire) {
        let now_ms = now().ms;
        if wire.look_at.is_some_and(|at| at > now_ms) {
            return;
        }
        let watched = wire.session.watched();
        wire.look_at = (!watched.is_empty()).then_some(now_ms + WATCH_MS);
        for run in watched {
            wire.session.log_grew(run, self.local.log_end(run));
        }
    }

    /// Carries out what the session says has happened.
    async fn settle(&mut self, wire: &mut Wire) {
        while let Some(event) = wire.session.poll_event() {
            if let Err(failure) = self.happened(wire, event).await {
                // The session's positions and the machine's no longer agree: start over from the
                // database.
                tracing::error!("the link starts over: {failure}");
                wire.session.leave("starting over");
                wire.ended = Some(Ended::Protocol(failure.message));
            }
        }
    }

    async fn happened(&mut self, wire: &mut Wire, event: HostEvent) -> Result<(), Failure> {
        match event {
            HostEvent::Welcome(welcome) => {
                wire.welcome_at = Some(now().ms);
                self.local.welcomed(welcome.acks.seq).await?;
                tracing::info!(session = %welcome.session, epoch = welcome.epoch, "link up");
                self.stands(wire.host, None);
                if welcome.desired_revision == wire.had_revision {
                    self.signals.heard.notify_one();
                }
                self.look_at_logs(wire).await;
            }
            HostEvent::Command {
                id,
                command,
                deadline_ms,
            } => self.start(wire, id, *command, deadline_ms),
            HostEvent::Sync(step) => {
                let outcome: SyncOutcome = self.local.apply_sync(*step).await?;
                if matches!(outcome, SyncOutcome::Applied(_)) {
                    self.signals.heard.notify_one();
                }
                wire.session.sync_done(outcome);
            }
            HostEvent::EventsAcked(seq) => self.local.events_acked(seq).await?,
            HostEvent::EventRefused { seq, reason } => {
                tracing::warn!(seq, "an event was refused for good: {reason}");
                self.local.event_refused(seq, reason).await?;
            }
            HostEvent::LogAcked(ack) if ack.complete => {
                wire.acked.remove(&ack.run_id);
                self.local.log_delivered(ack.run_id).await?;
            }
            HostEvent::LogAcked(ack) => {
                wire.acked.insert(ack.run_id, ack.offset);
                wire.record_at.get_or_insert(now().ms + RECORD_MS);
            }
            HostEvent::LogStuck(run) => {
                tracing::error!(%run, "the run's log keeps failing its checksum");
            }
            HostEvent::Noticed(what) => tracing::warn!("{what}"),
            HostEvent::Ended(why) => wire.ended = Some(why),
        }
        Ok(())
    }

    /// Starts a command, unless its id is under way: then that one's end is the answer.
    fn start(&mut self, wire: &mut Wire, id: CommandId, command: Command, deadline_ms: u64) {
        if self.in_flight.contains(&id) {
            return;
        }
        if self.in_flight.len() >= MOST_COMMANDS {
            let busy = "this host has too many commands under way; repeat this one later";
            wire.session
                .reply(id, Err(Failure::new(ErrorCode::RateLimited, busy)));
            return;
        }
        self.in_flight.insert(id);
        let (local, places) = (Arc::clone(&self.local), Arc::clone(&self.places));
        let reports = self.reports.clone();
        let sink = Arc::new(move |progress: Progress| {
            // Only the newest report matters: one that finds the queue full is dropped.
            if reports.try_send((id, progress)).is_err() {
                tracing::trace!(%id, "a progress report was dropped");
            }
        });
        self.commands.spawn(async move {
            let patience = Duration::from_millis(deadline_ms.min(3_600_000));
            let Ok(Ok(_place)) = timeout(patience, places.acquire()).await else {
                let late = "the command's deadline passed before this host could start it";
                return (id, Err(Failure::new(ErrorCode::Timeout, late)));
            };
            (id, local.command(id, command, sink).await)
        });
    }

    /// Hands frames to the socket, most urgent first, as long as the last batch is through.
    async fn fill(&mut self, wire: &mut Wire) {
        let mut fed = 0;
        while wire.flushing.is_none() && fed < BATCH && wire.ended.is_none() {
            if let Some(out) = wire.session.poll_transmit() {
                fed += wire.feed(out).await;
            } else if let Some(want) = wire.session.poll_want(now()) {
                if let Err(failure) = self.supply(wire, want).await {
                    tracing::error!("the link starts over: {failure}");
                    wire.session.leave("starting over");
                    wire.ended = Some(Ended::Protocol(failure.message));
                }
                self.settle(wire).await;
            } else {
                break;
            }
        }
        if fed > 0 {
            wire.flushing = Some(now().ms);
        }
    }

    async fn supply(&self, wire: &mut Wire, want: Want) -> Result<(), Failure> {
        match want {
            Want::Events { after, limit } => {
                let events = self.local.events_after(after, limit).await?;
                wire.session.supply_events(events);
            }
            Want::Log {
                run_id,
                offset,
                max,
            } => {
                let part = self.local.log_read(run_id, offset, max).await?;
                wire.session
                    .supply_log(run_id, offset, part.bytes, part.records, now());
            }
        }
        Ok(())
    }
}

impl Wire {
    fn frame(&mut self, frame: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) {
        match frame {
            Some(Ok(Message::Text(text))) => self.session.handle_text(&text, now()),
            Some(Ok(Message::Binary(bytes))) => self.session.handle_binary(&bytes, now()),
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = frame.map_or((1005, String::new()), |f| {
                    (f.code.into(), f.reason.to_string())
                });
                self.session.handle_close(code, &reason);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                self.session.handle_alive(now());
            }
            Some(Err(error)) => self.session.handle_close(1006, &error.to_string()),
            None => self.session.handle_close(1006, "the connection ended"),
        }
    }

    /// Hands one frame to the socket and returns its size.
    async fn feed(&mut self, out: Outgoing) -> usize {
        let (size, message) = message(out);
        if let Err(error) = self.sink.feed(message).await {
            self.session.handle_close(1006, &error.to_string());
        }
        size
    }

    fn stalled(&self) -> bool {
        self.flushing
            .is_some_and(|since| now().ms.saturating_sub(since) >= duration_ms(STALL))
    }

    /// Until when nothing needs to be done.
    fn until(&self) -> Duration {
        let stall = self.flushing.map(|since| since + duration_ms(STALL));
        let due = self.session.poll_timeout().map(|due| {
            // Held-back data cannot go before the flush is through, which wakes by itself.
            let held = self.flushing.is_some() && due.reason == TimeoutReason::Pacing;
            due.at_ms.max(if held { now().ms + 250 } else { 0 })
        });
        let own = [self.look_at, self.look_again_at, self.record_at];
        let at = stall
            .into_iter()
            .chain(due)
            .chain(own.into_iter().flatten());
        let at = at.min();
        Duration::from_millis(at.unwrap_or(0).saturating_sub(now().ms))
    }

    /// The last frames (a close with its code), as far as the socket takes them.
    async fn farewell(&mut self) {
        let rest = async {
            while let Some(out) = self.session.poll_transmit() {
                self.sink.feed(message(out).1).await?;
            }
            self.sink.flush().await
        };
        if let Ok(Err(error)) = timeout(FAREWELL, rest).await {
            tracing::debug!("the socket was gone before the farewell: {error}");
        }
    }
}

fn message(out: Outgoing) -> (usize, Message) {
    match out {
        Outgoing::Text(text) => (text.len(), Message::text(text)),
        Outgoing::Binary(bytes) => (bytes.len(), Message::binary(bytes)),
        Outgoing::Close { code, reason } => (
            reason.len() + 4,
            Message::Close(Some(CloseFrame {
                code: code.into(),
                reason: reason.into(),
            })),
        ),
    }
}

fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
