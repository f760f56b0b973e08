//! The supervisor's loop: one thread that waits for output, ended children, requests and deadlines.
//!
//! Invariant: a run gets its reason to end once, and is over only when no descendant is left.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use hostler_proto::time::UtcMillis;
use rustix::process::{Signal, WaitStatus};

use super::clients::Clients;
use super::ending::{Blow, Ending};
use super::record::{Ended, Exit, ExitDraft, Request, RunDir, Spec, Status, StepExit, StepKind};
use super::redact::Secrets;
use super::screen::Screen;
use super::spool::Spool;
use super::steps::{self, Feed, Pipes};
use super::tree::Tree;
use super::wakeup::{Signals, Woken};
use super::watch::{Activity, News};
use crate::clock::{self, Now};

mod conclude;
mod limits;

/// How long what was still exiting at the end of the last step is left alone, milliseconds.
const SETTLE_MS: u64 = 100;

/// How long the first client of a tied run may take to attach, milliseconds.
const TIE_MS: u64 = 5_000;

/// Longest wait of the loop, milliseconds: a bound on the harm of any missed wake-up.
const LONGEST_WAIT_MS: u64 = 5_000;

/// A run being supervised.
#[derive(Debug)]
pub(super) struct Supervision {
    dir: RunDir,
    spec: Spec,
    spool: Spool,
    tree: Tree,
    clients: Clients,
    signals: Signals,
    pipes: Pipes,
    secrets: Arc<Secrets>,
    feed: Option<Feed>,
    step: usize,
    current: Option<Current>,
    exits: Vec<StepExit>,
    agent_started_at: Option<UtcMillis>,
    /// Why the run is over, once it is.
    ended: Option<Ended>,
    /// Brings down whoever is left.
    ending: Option<Ending>,
    settled_at_ms: Option<u64>,
    leftovers: u32,
    commands_used_ms: u64,
    activity: Activity,
    screen: Screen,
    news: News,
    begun_ms: u64,
    /// When the socket was last seen to be there.
    socket_seen_ms: u64,
}

/// The step under way.
#[derive(Debug)]
struct Current {
    pid: i32,
    started_at: UtcMillis,
    began_ms: u64,
}

impl Supervision {
    /// Opens the log, the socket and the pipes of a run.
    pub(super) fn new(
        dir: RunDir,
        mut spec: Spec,
        marker: String,
        first: Option<UnixStream>,
    ) -> io::Result<Self> {
        let now = clock::now();
        let secrets = Arc::new(Secrets::of_env(&spec.env)?);
        for step in &mut spec.steps {
            step.label = secrets.clean(&step.label);
        }
        if let Some((name, value)) = marker.split_once('=') {
            spec.env.insert(name.to_owned(), value.to_owned());
        }
        let tree = Tree::new(marker).ok_or_else(|| io::Error::other("/proc cannot be read"))?;
        Ok(Self {
            spool: Spool::create(&dir, &spec.limits)?,
            tree,
            clients: Clients::new(&dir, first),
            signals: Signals::register()?,
            pipes: Pipes::new(Arc::clone(&secrets))?,
            secrets,
            feed: None,
            step: 0,
            current: None,
            exits: Vec::new(),
            agent_started_at: None,
            ended: None,
            ending: None,
            settled_at_ms: None,
            leftovers: 0,
            commands_used_ms: 0,
            activity: limits::activity(&spec.limits, now.awake_ms),
            screen: Screen::default(),
            news: News::default(),
            begun_ms: now.awake_ms,
            socket_seen_ms: now.awake_ms,
            dir,
            spec,
        })
    }

    /// Runs it to its end; returns the supervisor's exit code.
    pub(super) fn run(mut self, draft: ExitDraft) -> i32 {
        for note in std::mem::take(&mut self.spec.notes) {
            self.note(&note, clock::now());
        }
        self.start_step(clock::now());
        // Once started, nobody needs the secrets of the environment again. A spec that cannot be
        // rewritten stays as private as it was.
        Spec::forget_env(&self.dir).ok();
        loop {
            let now = clock::now();
            self.decide(now);
            if self.is_over(now) {
                break;
            }
            let length = self.spool.length();
            let written = self.spool.show_newest(now);
            self.after_write(written, now);
            if self.spool.length() > length {
                self.news.output();
            }
            if self.news.due(now.awake_ms) {
                self.clients.news();
            }
            let status = self.status(None);
            self.clients.flush(&status);
            let woken = self.wait(now);
            self.take_in(&woken);
        }
        self.conclude(draft)
    }

    fn take_in(&mut self, woken: &Woken) {
        let now = clock::now();
        for at in 0..self.pipes.sources.len() {
            if woken.sources[at] {
                self.read(at, now);
            }
        }
        if woken.feed && self.feed.as_mut().is_some_and(Feed::give) {
            self.feed = None;
        }
        if woken.clients {
            self.clients.accept();
            for request in self.clients.hear() {
                match request {
                    Request::Cancel { by } => self.end(Ended::Cancelled { by }, now),
                }
            }
        }
        if woken.signals {
            if let Some(signal) = self.signals.drain() {
                let by = format!("signal {signal} to its supervisor");
                self.end(Ended::Cancelled { by }, now);
            }
            self.reap(now);
        }
    }

    /// Reads one stream once. True when bytes came.
    fn read(&mut self, at: usize, now: Now) -> bool {
        let mut out = Vec::new();
        let source = &mut self.pipes.sources[at];
        let count = source.read(&mut out);
        let stream = source.stream;
        if count > 0 {
            self.activity.output(now.awake_ms);
        }
        let written = self.spool.write(stream, &out, now.wall);
        self.after_write(written, now);
        if !out.is_empty() {
            self.screen.push(&out);
            self.news.output();
        }
        count > 0
    }

    fn note(&mut self, text: &str, now: Now) {
        let written = self.spool.note(&self.secrets.clean(text), now.wall);
        self.after_write(written, now);
        self.news.output();
    }

    /// A log that cannot be written ends the run; its output is still read, so nothing blocks.
    fn after_write(&mut self, written: io::Result<()>, now: Now) {
        if let Err(error) = written {
            let error = error.to_string();
            self.end(Ended::SpoolFailed { error }, now);
        }
    }

    fn start_step(&mut self, now: Now) {
        let Some(step) = self.spec.steps.get(self.step).cloned() else {
            self.ended = Some(Ended::ByItself);
            return;
        };
        if step.kind != StepKind::Agent {
            self.note(&format!("{}: {}", step.kind.word(), step.label), now);
        }
        let started = steps::start(&step, &self.spec.env, &self.pipes);
        if self.step + 1 == self.spec.steps.len() {
            self.pipes.close_writers();
        }
        let started = match started {
            Ok(started) => started,
            Err(error) => {
                let error = format!("{} cannot be started: {error}", step.label);
                self.note(&error, now);
                self.ended.get_or_insert(Ended::NotStarted { error });
                return;
            }
        };
        if step.kind == StepKind::Agent {
            self.agent_started_at = Some(now.wall);
        }
        self.tree.begin_caging(&self.dir);
        self.feed = started.feed;
        self.current = Some(Current {
            pid: started.pid,
            started_at: now.wall,
            began_ms: now.awake_ms,
        });
        self.news.state();
    }

    fn reap(&mut self, now: Now) {
        for child in self.tree.reap() {
            if self
                .current
                .as_ref()
                .is_some_and(|step| step.pid == child.pid)
            {
                self.step_ended(child.status, now);
            }
        }
    }

    fn step_ended(&mut self, status: WaitStatus, now: Now) {
        let (Some(current), Some(step)) = (self.current.take(), self.spec.steps.get(self.step))
        else {
            return;
        };
        let exit = StepExit {
            kind: step.kind,
            label: step.label.clone(),
            started_at: current.started_at,
            finished_at: now.wall,
            code: status.exit_status(),
            signal: status.terminating_signal(),
        };
        if step.kind != StepKind::Agent {
            self.commands_used_ms += now.awake_ms.saturating_sub(current.began_ms);
        }
        let worked = exit.code == Some(0);
        let failure = (!worked && step.kind != StepKind::Agent).then(|| exit.in_words());
        self.exits.push(exit);
        self.feed = None;
        self.news.state();
        if let Some(words) = failure {
            self.note(&words, now);
        }
        if self.ended.is_some() {
            return;
        }
        if worked && self.step + 1 < self.spec.steps.len() {
            self.step += 1;
            self.start_step(now);
        } else {
            self.ended = Some(match self.full_disk().filter(|_| !worked) {
                Some(full) => full,
                None => Ended::ByItself,
            });
        }
    }

    fn decide(&mut self, now: Now) {
        if now.awake_ms >= self.socket_seen_ms + LONGEST_WAIT_MS {
            self.clients.reopen_if_gone(&self.dir);
            self.socket_seen_ms = now.awake_ms;
        }
        if self.ended.is_none() {
            self.check_limits(now);
        }
        if self.ended.is_none() && self.spec.tied && self.is_abandoned(now.awake_ms) {
            let by = "the end of the daemon that asked for it".to_owned();
            self.end(Ended::Cancelled { by }, now);
        }
        if let Some(ending) = &mut self.ending
            && let Some(blow) = ending.due(now.awake_ms)
        {
            match blow {
                Blow::Int => self.tree.signal(Signal::INT),
                Blow::Term => self.tree.signal(Signal::TERM),
                Blow::Kill => self.tree.kill(),
            }
        }
    }

    fn is_abandoned(&self, awake_ms: u64) -> bool {
        let late = awake_ms >= self.begun_ms + TIE_MS;
        self.clients.is_empty() && (self.clients.met || late)
    }

    /// The run is to end; the first reason stays.
    fn end(&mut self, reason: Ended, now: Now) {
        if self.ended.is_some() {
            return;
        }
        let words = reason.in_short();
        self.ended = Some(reason);
        self.ending = Some(Ending::new(self.spec.grace));
        self.news.state();
        self.note(&format!("{words}; ending the run"), now);
    }

    /// Whether nothing is left. The first time something is, it is left alone for a moment and
    /// then brought to its end.
    fn is_over(&mut self, now: Now) -> bool {
        if self.ended.is_none() {
            return false;
        }
        self.reap(now);
        let living = self.tree.living();
        if living.is_empty() {
            // Who ended between the reaping and the look would else be left for others to wait for.
            self.reap(now);
            return self.current.is_none();
        }
        if self.ending.is_none() {
            let settled = *self.settled_at_ms.get_or_insert(now.awake_ms + SETTLE_MS);
            if now.awake_ms >= settled {
                self.leftovers = u32::try_from(living.len()).unwrap_or(u32::MAX);
                let mut ending = Ending::of_leftovers(self.spec.grace);
                ending.due(now.awake_ms);
                self.ending = Some(ending);
                let words = format!(
                    "{} left over after the end; ending {}",
                    count(living.len()),
                    if living.len() == 1 { "it" } else { "them" }
                );
                self.note(&words, now);
                self.tree.signal(Signal::TERM);
            }
        }
        false
    }

    fn wait(&self, now: Now) -> Woken {
        let deadlines = [
            Some(now.awake_ms + LONGEST_WAIT_MS),
            self.ended
                .is_none()
                .then(|| self.step_deadline_ms())
                .flatten(),
            self.ended.is_none().then(|| self.activity.next_sample_ms()),
            self.ending.as_ref().and_then(Ending::next_ms),
            self.ending
                .is_none()
                .then_some(self.settled_at_ms)
                .flatten(),
            self.news.next_ms(),
            self.spool.next_newest_ms(),
            (self.spec.tied && !self.clients.met).then_some(self.begun_ms + TIE_MS),
        ];
        let next = deadlines.into_iter().flatten().min();
        let timeout_ms = next.unwrap_or(now.awake_ms).saturating_sub(now.awake_ms);
        super::wakeup::wait(
            timeout_ms,
            &self.signals,
            &self.pipes.sources,
            self.feed.as_ref(),
            &self.clients,
        )
    }

    fn status(&self, exit: Option<Exit>) -> Status {
        Status {
            log: self.spool.length(),
            agent_started_at: self.agent_started_at,
            step: self.step,
            ending: self.ending.is_some(),
            exit: exit.map(Box::new),
        }
    }
}

fn count(processes: usize) -> String {
    match processes {
        1 => "1 process was".to_owned(),
        many => format!("{many} processes were"),
    }
}
