//! One host's socket on the control plane's side: moves frames between the socket, the sans-IO
//! session and the catalog.
//!
//! Frames are taken one after another and each is committed before it is acknowledged, so a host
//! never sends faster than the catalog stores. Log frames that are there already are committed
//! together: waiting for the disk once is what bounds a log's throughput. Reading and writing go on side by side.

mod desired;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hostler_proto::command::{Progress, Reply};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::frame::log::LogFrame;
use hostler_proto::frame::payload::{Acks, EventItem, Hello, LogAck, LogFinal, Reject};
use hostler_proto::ids::{CommandId, HostId, RunId};
use hostler_proto::link::control::{Accepted, ControlConfig, ControlEvent, ControlSession};
use hostler_proto::link::{Now, close};
use hostler_proto::time::UtcMillis;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;

use super::greeting::Place;
use super::registry::{Ask, Call, Handle, Wake};
use super::{ProgressSink, admit};
use crate::ingest::{self, Stated, StatedRun};
use crate::{App, clock};
pub use desired::Desired;
use wire::{Wire, Woken};

/// Log bytes committed together; less than what a host may have unacknowledged, so that it goes on
/// sending meanwhile.
const LOG_BATCH: usize = 512 << 10;
/// Requests waiting to be handed to the session.
const QUEUE: usize = 64;
/// How long a host waits for its turn to be admitted.
const TURN: Duration = Duration::from_secs(5);
/// How long a log stays watched after it was last read.
const WATCHED_MS: u64 = 30_000;
/// When hosts come back after a restart; spread by their own jitter.
const BACK_MS: u64 = 1_000;
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Serves one socket to its end.
pub(super) async fn serve(app: App, socket: Socket, place: Place) {
    let config = ControlConfig {
        server_id: app.server.id,
        nonce: clock::random(),
        seed: u64::from_le_bytes(clock::random()),
    };
    let (asks, asked) = mpsc::channel(QUEUE);
    let (closing, told_to_close) = watch::channel(None);
    let wake = Arc::new(Wake {
        sync: Notify::new(),
        close: closing,
    });
    let mut link = Link {
        app,
        wire: Wire::new(ControlSession::new(&config, now()), socket),
        asks,
        asked,
        wake,
        told_to_close,
        place: Some(place),
        joined: None,
        waiting: BTreeMap::new(),
        probes: Vec::new(),
        watched: BTreeMap::new(),
        log_frames: Vec::new(),
        desired: Desired::default(),
        events_acked: 0,
        applied: None,
        skew_told: false,
        good_until: None,
    };
    link.run().await;
    link.end().await;
}

struct Link {
    app: App,
    wire: Wire,
    asks: mpsc::Sender<Ask>,
    asked: mpsc::Receiver<Ask>,
    wake: Arc<Wake>,
    told_to_close: watch::Receiver<Option<(u16, String)>>,
    /// Held until the host is known.
    place: Option<Place>,
    joined: Option<Joined>,
    waiting: BTreeMap<CommandId, Vec<Waiting>>,
    probes: Vec<oneshot::Sender<bool>>,
    watched: BTreeMap<RunId, u64>,
    /// Log frames that are not committed yet.
    log_frames: Vec<LogFrame>,
    desired: Desired,
    /// Every event of the host up to here is stored.
    events_acked: u64,
    /// A revision the host has applied, which counts once its events before this number are stored:
    /// they tell what it did with what it had before.
    applied: Option<(u64, u64)>,
    skew_told: bool,
    /// The key it was opened with is good until then; none for the key the host has.
    good_until: Option<UtcMillis>,
}

/// The host behind the socket.
#[derive(Clone, Copy)]
struct Joined {
    host: HostId,
    number: u64,
}

struct Waiting {
    progress: Option<ProgressSink>,
    answer: oneshot::Sender<Result<Reply, Failure>>,
}

impl Link {
    async fn run(&mut self) {
        self.wire.fill().await;
        while !self.wire.over {
            let woken = self.next().await;
            self.handle(woken);
            self.take_events().await;
            while self.wants_more_log()
                && let Some(woken) = self.wire.frame_at_hand()
            {
                self.handle(woken);
                self.take_events().await;
            }
            self.commit_logs().await;
            self.push_desired().await;
            self.wire.fill().await;
        }
        self.wire.farewell().await;
    }

    async fn take_events(&mut self) {
        while let Some(event) = self.wire.session.poll_event() {
            if !matches!(event, ControlEvent::Log(_)) {
                // In the order they came: the end of a log follows its bytes.
                self.commit_logs().await;
            }
            self.happened(event).await;
        }
    }

    fn wants_more_log(&self) -> bool {
        let bytes: usize = self.log_frames.iter().map(|frame| frame.bytes.len()).sum();
        bytes > 0 && bytes < LOG_BATCH && !self.wire.over
    }

    async fn next(&mut self) -> Woken {
        let until = self.wire.until();
        tokio::select! {
            biased;
            () = self.app.shutdown.cancelled() => Woken::Shutdown,
            _ = self.told_to_close.changed() => Woken::Close,
            woken = self.wire.next() => woken,
            Some(ask) = self.asked.recv(), if self.joined.is_some() => Woken::Ask(ask),
            () = self.wake.sync.notified(), if self.joined.is_some() => Woken::Sync,
            () = tokio::time::sleep(until) => Woken::Time,
        }
    }

    fn handle(&mut self, woken: Woken) {
        match woken {
            Woken::Frame(frame) => self.wire.frame(frame),
            Woken::Flushed(result) => self.wire.flushed(result),
            Woken::Ask(ask) => self.ask(ask),
            Woken::Sync => self.desired.changed(),
            Woken::Time => {
                self.wire.time();
                self.unwatch();
            }
            Woken::Close => {
                let told = self.told_to_close.borrow_and_update().clone();
                let (code, reason) = told.unwrap_or((close::NORMAL, String::new()));
                self.wire.session.close(code, &reason);
            }
            Woken::Shutdown => self.wire.session.bye(BACK_MS),
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Call(call) => self.call(*call),
            Ask::Probe(answer) => {
                self.probes.push(answer);
                self.wire.session.probe(now());
            }
            Ask::Watch(run) => {
                if self.watched.insert(run, now().ms + WATCHED_MS).is_none() {
                    self.wire.session.watch(run, true);
                }
            }
        }
    }

    fn call(&mut self, call: Call) {
        let deadline_ms = u64::try_from(call.left.as_millis()).unwrap_or(u64::MAX);
        self.waiting.entry(call.id).or_default().push(Waiting {
            progress: call.progress,
            answer: call.answer,
        });
        self.wire
            .session
            .call(call.id, call.command, deadline_ms, now());
    }

    fn unwatch(&mut self) {
        let at = now().ms;
        let over: Vec<RunId> = self
            .watched
            .iter()
            .filter(|(_, until)| **until <= at)
            .map(|(run, _)| *run)
            .collect();
        for run in over {
            self.watched.remove(&run);
            self.wire.session.watch(run, false);
        }
    }

    async fn happened(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::Hello(hello) => self.hello(*hello).await,
            ControlEvent::Heartbeat { load, skew_ms } => self.heartbeat(load, skew_ms).await,
            ControlEvent::Reply { id, result, late } => {
                if late {
                    tracing::info!(%id, "a late answer; what it did arrives as events");
                }
                self.answer(id, &result);
            }
            ControlEvent::Progress { id, progress } => self.progress(id, &progress),
            ControlEvent::Expired(id) => self.answer(id, &Err(expired())),
            ControlEvent::SyncAcked(ack) => {
                if self.desired.acked(&ack) {
                    self.applied = Some((ack.revision, ack.next_seq.unwrap_or(0)));
                    self.note_applied().await;
                }
            }
            ControlEvent::SyncWanted(wanted) => self.desired.wanted(&wanted),
            ControlEvent::Events { prev, items } => self.events(prev, items).await,
            ControlEvent::Log(frame) => self.log_frames.push(frame),
            ControlEvent::LogFinal(last) => self.log_final(last).await,
            ControlEvent::Probed(alive) => {
                for probe in self.probes.drain(..) {
                    tell(probe, alive);
                }
            }
            ControlEvent::Noticed(what) => tracing::warn!(host = ?self.host(), "{what}"),
            ControlEvent::Ended(why) => {
                tracing::info!(host = ?self.host(), "link ended: {why}");
                self.wire.over = true;
            }
        }
    }

    async fn hello(&mut self, hello: Hello) {
        match self.admit(&hello).await {
            Ok(accepted) => {
                self.wire.session.accept(accepted, now());
                self.place = None;
            }
            Err(reject) => {
                tracing::warn!(host = %hello.host_id, code = ?reject.code, "a host was refused: {}", reject.message);
                self.wire.session.reject(reject);
            }
        }
    }

    async fn admit(&mut self, hello: &Hello) -> Result<Accepted, Reject> {
        let app = self.app.clone();
        let Ok(Ok(_turn)) = timeout(TURN, app.hosts.admitting.acquire()).await else {
            return Err(admit::overloaded());
        };
        let _gate = app.hosts.gate(hello.host_id).await;
        let known = admit::identify(&app, self.wire.session.challenge(), hello).await?;
        let row = &known.row;
        admit::the_same(&app, row, hello).await?;
        admit::no_other_alive(&app, row, hello).await?;
        let number = app.hosts.next_number();
        let identity = (hello.boot_id.clone(), hello.instance_id);
        let handle = Handle::new(
            number,
            self.asks.clone(),
            Arc::clone(&self.wake),
            identity,
            clock::wall(),
        );
        app.hosts.register(row.id, handle);
        self.joined = Some(Joined {
            host: row.id,
            number,
        });
        let greeting = ingest::hello(&app, row.id, &stated(hello)).await;
        let greeting = greeting.map_err(|failure| {
            if failure.code == ErrorCode::NotFound {
                // Its access was taken away since it was looked up.
                return admit::revoked();
            }
            tracing::error!(host = %row.id, "a host could not be greeted: {failure}");
            Reject {
                message: failure.message,
                ..admit::overloaded()
            }
        })?;
        self.good_until = known.by_old_key_until;
        self.desired
            .start(hello.applied_revision, &hello.applied_hash);
        self.events_acked = greeting.acked_seq;
        self.applied = Some((hello.applied_revision, hello.next_seq))
            .filter(|(_, next)| *next > greeting.acked_seq + 1);
        Ok(Accepted {
            session: hostler_proto::ids::uuid_v7(clock::wall(), &clock::id_entropy()),
            epoch: app.server.epoch,
            desired_revision: greeting.desired_revision,
            acks: Acks {
                // A host whose database is older than what is stored here starts over from there.
                seq: greeting.acked_seq.min(hello.next_seq.saturating_sub(1)),
                logs: log_acks(&greeting.logs),
            },
        })
    }

    async fn heartbeat(&mut self, load: Option<hostler_proto::host::HostLoad>, skew_ms: i64) {
        let Some(joined) = self.joined else { return };
        if self.good_until.is_some_and(|until| until <= clock::wall()) {
            let why = "the key this link was opened with is no longer good: use the new one";
            self.wire.session.close(close::AUTHENTICATE, why);
            return;
        }
        self.app
            .hosts
            .note(joined.host, joined.number, load.clone(), skew_ms);
        if skew_ms.abs() > super::CLOCK_OFF_MS && !self.skew_told {
            self.skew_told = true;
            tracing::warn!(host = %joined.host, skew_ms, "the host's clock is off; its schedules fire by it");
        }
        if let Some(load) = load {
            let stored = ingest::heartbeat(&self.app, joined.host, load).await;
            self.or_start_over(stored);
        }
    }

    async fn events(&mut self, prev: u64, items: Vec<EventItem>) {
        let Some(joined) = self.joined else { return };
        let batch: Vec<_> = items
            .into_iter()
            .map(|item| (item.seq, item.event))
            .collect();
        let stored = ingest::events(&self.app, joined.host, prev, &batch).await;
        if let Some(ack) = self.or_start_over(stored) {
            if ack.gap {
                self.wire.session.events_failed(ack.acked);
            } else {
                self.wire.session.events_stored(ack.acked, ack.refused);
                self.events_acked = ack.acked;
                self.note_applied().await;
            }
        }
    }

    async fn note_applied(&mut self) {
        let told = |&(_, next): &(u64, u64)| next <= self.events_acked + 1;
        let (Some(joined), Some((revision, _))) = (self.joined, self.applied.filter(told)) else {
            return;
        };
        self.applied = None;
        let stored = ingest::sync_applied(&self.app, joined.host, revision).await;
        self.or_start_over(stored);
    }

    /// Commits the log frames that came, then acknowledges them.
    async fn commit_logs(&mut self) {
        let frames = std::mem::take(&mut self.log_frames);
        let Some(joined) = self.joined.filter(|_| !frames.is_empty()) else {
            return;
        };
        let stored = ingest::log_frames(&self.app, joined.host, &frames).await;
        for one in self.or_start_over(stored).unwrap_or_default() {
            if one.gap {
                self.wire.session.log_resend(one.run_id, one.ack.offset);
            } else {
                let (offset, complete) = (one.ack.offset, one.ack.complete);
                self.wire.session.log_stored(one.run_id, offset, complete);
            }
        }
    }

    async fn log_final(&mut self, last: LogFinal) {
        let Some(joined) = self.joined else { return };
        let stored =
            ingest::log_final(&self.app, joined.host, last.run_id, last.size, last.crc32).await;
        if let Some(ack) = self.or_start_over(stored) {
            if ack.complete {
                self.wire.session.log_stored(last.run_id, ack.offset, true);
            } else {
                self.wire.session.log_resend(last.run_id, ack.offset);
            }
        }
    }

    /// Sends a step of desired state when there is one to send and none on its way.
    async fn push_desired(&mut self) {
        let Some(joined) = self.joined else { return };
        while let Some(from) = self.desired.due().filter(|_| self.wire.session.is_live()) {
            let step = ingest::desired_state(&self.app, joined.host, from).await;
            let Some(step) = self.or_start_over(step) else {
                return;
            };
            if let Some(step) = self.desired.push(step) {
                self.wire.session.sync(step);
            }
        }
    }

    fn answer(&mut self, id: CommandId, result: &Result<Reply, Failure>) {
        for waiting in self.waiting.remove(&id).unwrap_or_default() {
            tell(waiting.answer, result.clone());
        }
    }

    fn progress(&self, id: CommandId, progress: &Progress) {
        let waiting = self.waiting.get(&id).into_iter().flatten();
        for sink in waiting.filter_map(|waiting| waiting.progress.as_ref()) {
            sink(progress.clone());
        }
    }

    /// What the catalog could not take is not acknowledged: the host comes back and sends it again.
    fn or_start_over<T>(&mut self, stored: Result<T, Failure>) -> Option<T> {
        match stored {
            Ok(value) => Some(value),
            Err(failure) if failure.code == ErrorCode::NotFound => {
                let why = "this host was removed";
                self.wire.session.close(close::REVOKED, why);
                None
            }
            Err(failure) => {
                tracing::error!(host = ?self.host(), "the link starts over: {failure}");
                self.wire.session.close(close::RESTARTING, &failure.message);
                None
            }
        }
    }

    fn host(&self) -> Option<HostId> {
        self.joined.map(|joined| joined.host)
    }

    /// Sees the host off, unless a newer link of it has taken over.
    async fn end(self) {
        let Self {
            app,
            joined,
            asked,
            waiting,
            wire,
            ..
        } = self;
        // Whoever waits for this link learns at once that it is gone.
        drop((asked, waiting, wire));
        let Some(joined) = joined else { return };
        let _gate = app.hosts.gate(joined.host).await;
        if app.hosts.remove(joined.host, joined.number)
            && let Err(failure) = ingest::gone(&app, joined.host).await
        {
            tracing::error!(host = %joined.host, "a host's absence was not noted: {failure}");
        }
    }
}

/// Answers whoever asked; they may have stopped waiting.
fn tell<T>(answer: oneshot::Sender<T>, value: T) {
    if answer.send(value).is_err() {
        tracing::trace!("nobody waits for this answer any more");
    }
}

fn stated(hello: &Hello) -> Stated {
    let runs = hello.runs.iter().map(|run| StatedRun {
        run_id: run.run_id,
        state: run.state.clone(),
        log_end: run.log_end,
    });
    Stated {
        applied_revision: hello.applied_revision,
        next_seq: hello.next_seq,
        runs: runs.collect(),
        lives: hello.lives.clone(),
        machine: hello.machine.clone(),
    }
}

fn log_acks(logs: &[(RunId, ingest::LogAck)]) -> Vec<LogAck> {
    logs.iter()
        .map(|(run_id, ack)| LogAck {
            run_id: *run_id,
            offset: ack.offset,
            complete: ack.complete,
        })
        .collect()
}

fn expired() -> Failure {
    Failure::new(
        ErrorCode::Timeout,
        "the host did not answer within the deadline; it may still finish",
    )
    .hint("look again in a moment: what it did will show")
}

/// Both clocks as the session wants them.
pub(super) fn now() -> Now {
    let elapsed = clock::monotonic().duration_since(*START);
    Now {
        ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        wall: clock::wall(),
    }
}

static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(clock::monotonic);
