//! The shell around [`super::next`]: takes up runs, follows their supervisors, records what happened.
//!
//! Invariant: every change of a run and its event are one transaction, and a supervisor is started
//! only after the transaction that says so. Stopping the daemon stops only the following.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hostler_proto::automation::RunTarget;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::RunId;
use hostler_proto::run::{BadTransition, Run, RunResult, RunState};
use hostler_proto::time::UtcMillis;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::commands::{STEPS, remove_abandoned};
use super::launch::{Launch, Means, launch};
use super::place::{self, Prepared};
use super::room::Low;
use super::{Next, Seen, environment};
use crate::store::runs::{self as rows, RunRow};
use crate::supervisor::awake::Awake;
use crate::supervisor::client;
use crate::supervisor::record::{Exit, Request, RunDir, Status};
use crate::{Context, clock, policy, space};

/// A look at the rows although nothing woke us: a bound on the harm of a lost wake-up.
const LOOK: Duration = Duration::from_secs(15);

/// Pause before a run is taken up again after its record could not be written.
const AGAIN: Duration = Duration::from_secs(2);

/// Shortest and longest pause before attaching again to a supervisor that lives and does not answer:
/// it is just starting, or just ending, or its socket's file is gone until it notices.
const ATTACH_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Time between two rounds of deleting old spools.
const RETENTION: Duration = Duration::from_secs(6 * 60 * 60);

/// This host's runs, shared by handle.
#[derive(Clone, Debug)]
pub struct Runs(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) context: Context,
    /// Runs this daemon works on, with what asks for their end.
    active: Mutex<BTreeMap<RunId, CancellationToken>>,
    /// A run or a list of commands has ended.
    pub(super) ended: Notify,
    /// What was told of a lack of space.
    low: Mutex<Option<Low>>,
    /// Room is being made.
    making_room: AtomicBool,
}

/// How the following of a supervisor came to an end.
enum Followed {
    /// The daemon stops; the run goes on.
    Stopped,
    /// The supervisor is gone, with its record if it told one.
    Gone(Option<Box<Exit>>),
}

impl Runs {
    /// Over the daemon's context.
    pub fn new(context: Context) -> Self {
        Self(Arc::new(Shared {
            context,
            active: Mutex::default(),
            ended: Notify::new(),
            low: Mutex::default(),
            making_room: AtomicBool::new(false),
        }))
    }

    /// Takes up and follows runs until `stop`.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), String> {
        let mut tasks = JoinSet::new();
        let steps = self.0.context.layout.host().join(STEPS);
        tasks.spawn_blocking(move || remove_abandoned(&steps));
        tasks.spawn(self.clone().leave_places());
        let mut awake = Awake::default();
        let mut retention = tokio::time::interval(RETENTION);
        while !stop.is_cancelled() {
            if let Err(failure) = self.look(&mut tasks, &stop).await {
                tracing::error!(%failure, "runs cannot be looked at");
            }
            awake.set(!self.active().is_empty());
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.0.context.signals.runs.notified() => {}
                Some(_) = tasks.join_next() => {}
                _ = retention.tick() => drop(tasks.spawn(self.clone().delete_spools())),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    /// Takes up every row that needs something and that nobody works on.
    async fn look(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> Result<(), Failure> {
        let room =
            usize::try_from(self.0.context.policy.rules().told.max_runs).unwrap_or(usize::MAX);
        let low = self.watch_space(tasks, stop);
        for row in self.0.context.store.unfinished_runs().await? {
            let id = row.run.id;
            if let Some(cancel) = self.active().get(&id) {
                if row.cancel_requested.is_some() {
                    cancel.cancel();
                }
                continue;
            }
            let next = super::next(&row, self.seen(&row));
            let places = super::room(&row.run, room);
            if next == Next::Nothing || (next == Next::Start && self.active().len() >= places) {
                continue;
            }
            if next == Next::Start
                && let Some(low) = &low
            {
                self.skip_for_space(&row, low).await?;
                continue;
            }
            if next == Next::Start
                && let Some(why) = policy::refuses_run(&self.0.context, &row).await?
            {
                self.refuse(&row, why).await?;
                continue;
            }
            let cancel = CancellationToken::new();
            if row.cancel_requested.is_some() {
                cancel.cancel();
            }
            self.active().insert(id, cancel.clone());
            tasks.spawn(self.clone().work(row, next, cancel, stop.clone()));
        }
        Ok(())
    }

    /// What this host lacks of space, if anything; then room is being made.
    fn watch_space(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> Option<Low> {
        let words = space::low(&self.0.context);
        let mut told = self.0.low.lock().unwrap_or_else(PoisonError::into_inner);
        match &words {
            Some(words) if told.is_none() => tracing::warn!("low on disk space: {words}"),
            None if told.is_some() => tracing::warn!("there is disk space again; runs start"),
            Some(_) | None => {}
        }
        let since = told.as_ref().map_or_else(clock::wall, |low| low.since);
        let low = words.map(|words| Low { words, since });
        (*told).clone_from(&low);
        drop(told);
        if low.is_some() && !self.0.making_room.swap(true, Ordering::Relaxed) {
            let (runs, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move {
                if !runs.make_room().await {
                    // What could go is gone: it is looked at again, but not over and over.
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(LOOK) => {}
                    }
                }
                runs.0.making_room.store(false, Ordering::Relaxed);
            });
        }
        low
    }

    fn active(&self) -> MutexGuard<'_, BTreeMap<RunId, CancellationToken>> {
        self.0.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dir(&self, id: RunId) -> RunDir {
        RunDir::new(&self.0.context.layout.runs().join(id.to_string()))
    }

    fn seen(&self, row: &RunRow) -> Seen {
        let dir = self.dir(row.run.id);
        let launched = row.launched_at.is_some() || dir.spec().exists();
        if !launched {
            return Seen {
                launched,
                supervised: false,
                exit: None,
            };
        }
        // The lock first: a supervisor that ends in between has left its record.
        let supervised = client::is_supervised(&dir);
        Seen {
            launched,
            supervised,
            exit: Exit::load(&dir),
        }
    }

    /// Everything this daemon does for one run.
    async fn work(
        self,
        row: RunRow,
        next: Next,
        cancel: CancellationToken,
        stop: CancellationToken,
    ) {
        let id = row.run.id;
        if let Err(failure) = self.take_up(row, next, &cancel, &stop).await {
            tracing::error!(run = %id, %failure, "a run cannot be recorded; it is taken up again");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        self.active().remove(&id);
        self.0.ended.notify_waiters();
    }

    async fn take_up(
        &self,
        mut row: RunRow,
        next: Next,
        cancel: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        match next {
            Next::Nothing => Ok(()),
            Next::Start | Next::Prepare => match self.start(&mut row, cancel, stop).await? {
                Some(socket) => self.follow_on(row, Some(socket), cancel, stop).await,
                None => Ok(()),
            },
            Next::Attach => self.follow_on(row, None, cancel, stop).await,
            Next::Finish(exit) => self.finish(row, &exit).await,
            Next::CancelUnlaunched { by } => {
                let reason = format!("cancelled by {by} before it started");
                self.end_unlaunched(row, RunResult::Cancelled, reason).await
            }
            Next::Lose => self.lose(row).await,
        }
    }

    /// Prepares and launches a run. None when it ended before, or the daemon stops.
    async fn start(
        &self,
        row: &mut RunRow,
        cancel: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<Option<StdStream>, Failure> {
        let makes_place = !matches!(row.automation.target, RunTarget::Workspace { .. });
        if makes_place && row.run.state == RunState::Queued {
            self.record(row, Run::prepare).await?;
        }
        let Some(prepared) = self.prepare(row, cancel).await? else {
            return Ok(None);
        };
        if stop.is_cancelled() {
            return Ok(None);
        }
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => {
                let reason = sentence(&failure);
                self.end_unlaunched(row.clone(), RunResult::Failed, reason)
                    .await?;
                return Ok(None);
            }
        };
        if cancel.is_cancelled() {
            row.place = Some(prepared.place);
            self.cancel_unlaunched(row.clone()).await?;
            return Ok(None);
        }
        row.place = Some(prepared.place.clone());
        match self.means_and_launch(row, &prepared).await {
            Ok(launch) => self.launch(row, launch).await,
            Err(reason) => {
                self.end_unlaunched(row.clone(), RunResult::Failed, reason)
                    .await?;
                Ok(None)
            }
        }
    }

    /// Makes the run's place. None when the run was cancelled meanwhile: it is over at once, and what
    /// is made for it is made whole, and then left.
    async fn prepare(
        &self,
        row: &RunRow,
        cancel: &CancellationToken,
    ) -> Result<Option<Result<Prepared, Failure>>, Failure> {
        let mut preparing = std::pin::pin!(place::prepare(&self.0.context, row, clock::wall()));
        tokio::select! {
            biased;
            prepared = &mut preparing => return Ok(Some(prepared)),
            () = cancel.cancelled() => {}
        }
        self.cancel_unlaunched(row.clone()).await?;
        if let Ok(prepared) = preparing.await {
            self.leave_unused(row, &prepared.place).await;
        }
        Ok(None)
    }

    async fn cancel_unlaunched(&self, row: RunRow) -> Result<(), Failure> {
        let by = self.who_cancelled(row.run.id).await;
        let reason = format!("cancelled by {by} before it started");
        self.end_unlaunched(row, RunResult::Cancelled, reason).await
    }

    /// What to launch. An agent that is not found is looked for once more with a fresh PATH.
    async fn means_and_launch(&self, row: &RunRow, prepared: &Prepared) -> Result<Launch, String> {
        let (runs, row, prepared) = (self.clone(), row.clone(), prepared.clone());
        let planned = tokio::task::spawn_blocking(move || {
            let shared = &runs.0;
            let dir = runs.dir(row.run.id);
            let machine = &shared.context.machine;
            let plan = || {
                let means = Means {
                    agents: &machine.agents(),
                    env: environment::base(&machine.user(), &shared.context.config.env),
                    max_autonomy: shared.context.policy.rules().max_autonomy,
                    run_dir: dir.path(),
                    setup: prepared.setup.clone(),
                    limits: shared.context.config.limits,
                    notes: prepared.warnings.clone(),
                };
                launch(&row, &prepared.place, &means)
            };
            plan().or_else(|_| {
                machine.ask_path();
                plan()
            })
        });
        planned.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Records the launch, then starts the supervisor.
    async fn launch(&self, row: &mut RunRow, launch: Launch) -> Result<Option<StdStream>, Failure> {
        let now = clock::wall();
        if row.run.state == RunState::Queued {
            row.run.prepare(now).map_err(|error| wrong(&error))?;
        }
        row.launched_at = Some(now);
        let store = &self.0.context.store;
        let mut tx = store.begin().await?;
        if let Some(place) = &row.place {
            row.run.workspace_id = Some(place.workspace_id);
            row.run.branch.clone_from(&place.branch);
            rows::set_place(&mut tx, row.run.id, place).await?;
        }
        rows::set_launched(&mut tx, row.run.id, now).await?;
        rows::update(&mut tx, &row.run, now).await?;
        store.commit(tx).await?;
        let (dir, program) = (self.dir(row.run.id), self.program());
        let launched = tokio::task::spawn_blocking(move || {
            let program = program?;
            if let Some((path, text)) = &launch.prompt_file {
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                std::fs::write(path, text)?;
            }
            client::launch(&program, &dir, &launch.spec)
        });
        match launched
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        {
            Ok(launched) => Ok(Some(launched.socket)),
            Err(error) => {
                let reason = format!("its supervisor cannot be started: {error}");
                self.end_unlaunched(row.clone(), RunResult::Failed, reason)
                    .await?;
                Ok(None)
            }
        }
    }

    /// Follows a supervisor to its end, attaching again while it lives, and settles the run.
    async fn follow_on(
        &self,
        mut row: RunRow,
        socket: Option<StdStream>,
        cancel: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let dir = self.dir(row.run.id);
        let mut socket = socket;
        let mut told = None;
        let mut pause = ATTACH_AGAIN.0;
        while told.is_none() {
            let stream = match socket.take() {
                Some(stream) => Some(stream),
                None => client::attach(&dir).ok(),
            };
            if let Some(stream) = stream {
                pause = ATTACH_AGAIN.0;
                match self.follow(&mut row, stream, cancel, stop).await? {
                    Followed::Stopped => return Ok(()),
                    Followed::Gone(exit) => told = exit,
                }
            }
            if !client::is_supervised(&dir) {
                break;
            }
            if told.is_none() {
                if stop.is_cancelled() {
                    return Ok(());
                }
                // The log is delivered all the same.
                self.0.context.signals.logs.notify_one();
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(ATTACH_AGAIN.1),
                }
            }
        }
        match told.map(|exit| *exit).or_else(|| Exit::load(&dir)) {
            Some(exit) => self.finish(row, &exit).await,
            None => self.lose(row).await,
        }
    }

    async fn follow(
        &self,
        row: &mut RunRow,
        socket: StdStream,
        cancel: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<Followed, Failure> {
        let stream = socket
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(socket));
        let Ok(stream) = stream else {
            return Ok(Followed::Gone(None));
        };
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut asked = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(Followed::Stopped),
                () = cancel.cancelled(), if !asked => {
                    asked = true;
                    let by = self.who_cancelled(row.run.id).await;
                    // A supervisor that is gone needs no asking.
                    write.write_all(&client::line(&Request::Cancel { by })).await.ok();
                }
                line = lines.next_line() => {
                    let Ok(Some(line)) = line else {
                        return Ok(Followed::Gone(None));
                    };
                    let Ok(status) = serde_json::from_str::<Status>(&line) else {
                        continue;
                    };
                    self.0.context.signals.logs.notify_one();
                    self.note_start(row, &status).await?;
                    if let Some(exit) = status.exit {
                        return Ok(Followed::Gone(Some(exit)));
                    }
                }
            }
        }
    }

    async fn note_start(&self, row: &mut RunRow, status: &Status) -> Result<(), Failure> {
        let (Some(at), RunState::Preparing { .. }) = (status.agent_started_at, &row.run.state)
        else {
            return Ok(());
        };
        self.record(row, |run, _| run.start(at)).await
    }

    async fn who_cancelled(&self, id: RunId) -> String {
        let row = self.0.context.store.run(id).await;
        let by = row.ok().flatten().and_then(|row| row.cancel_requested);
        by.unwrap_or_else(|| "this host".to_owned())
    }

    /// Changes the run's state and records it.
    async fn record(
        &self,
        row: &mut RunRow,
        change: impl FnOnce(&mut Run, UtcMillis) -> Result<(), BadTransition>,
    ) -> Result<(), Failure> {
        let now = clock::wall();
        change(&mut row.run, now).map_err(|error| wrong(&error))?;
        let store = &self.0.context.store;
        let mut tx = store.begin().await?;
        rows::update(&mut tx, &row.run, now).await?;
        Ok(store.commit(tx).await?)
    }

    pub(super) fn program(&self) -> std::io::Result<PathBuf> {
        match &self.0.context.config.supervisor {
            Some(program) => Ok(program.clone()),
            None => crate::platform::own_program(),
        }
    }
}

/// A failure as one reason: what happened and what to do.
fn sentence(failure: &Failure) -> String {
    let mut text = failure.message.clone();
    for more in [&failure.detail, &failure.hint].into_iter().flatten() {
        text.push_str(". ");
        text.push_str(more);
    }
    text
}

/// A transition that makes no sense is an error of this program.
pub(super) fn wrong(error: &BadTransition) -> Failure {
    Failure::new(ErrorCode::HostError, error.to_string())
}
