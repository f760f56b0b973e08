//! One host with the daemon's own dispatch and database, both link sessions and a control plane,
//! while the line is cut, the host crashes and sleeps and clocks are set. What must hold in the end
//! does not depend on what happened: every fact arrived once, nothing ran twice.
//!
//! A real database takes its time, so these are few seeds beside the many of the modelled disk.
//! `HOSTLER_SIM_DATABASE_SEED=n` repeats one seed, `HOSTLER_SIM_DATABASE_SEEDS=n` tries that many.

mod host;
mod plane;

use std::collections::{BTreeMap, VecDeque};

use host::Host;
use hostler_daemon::clock::Now;
use hostler_proto::automation::{
    AutomationSpec, CatchUp, Overlap, Policies, RunTarget, ScheduleSpec,
};
use hostler_proto::command::{Command, RunCancel, RunStart};
use hostler_proto::ids::{AutomationId, CommandId, RunId};
use hostler_proto::link::{self, Outgoing};
use hostler_proto::run::RunState;
use hostler_proto::time::UtcMillis;
use plane::Plane;
use uuid::Uuid;

use crate::chance::Chance;

/// 2026-03-02T12:00:00Z.
const NOON: i64 = 1_772_452_800_000;
const MINUTE: i64 = 60_000;

struct World {
    chance: Chance,
    now: Now,
    host: Host,
    plane: Plane,
    to_host: VecDeque<Outgoing>,
    to_plane: VecDeque<Outgoing>,
    ids: u128,
}

impl World {
    async fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            now: Now {
                wall: UtcMillis(NOON),
                boot_ms: 1_000_000,
                awake_ms: 1_000_000,
            },
            host: Host::new().await,
            plane: Plane::default(),
            to_host: VecDeque::new(),
            to_plane: VecDeque::new(),
            ids: 1000,
        }
    }

    async fn step(&mut self) {
        match self.chance.below(20) {
            0 => self.cut(),
            1 => self.crash().await,
            2 => self.plane.session = None,
            3 => self.edit(),
            4 => self.command(),
            5 => {
                self.host.schedule(self.now, false).await;
                self.crash().await;
            }
            6 => self.suspend(),
            7 => self.set_clock(),
            8..=10 => {
                let ms = i64::try_from(self.chance.below(10)).unwrap() * MINUTE / 2;
                self.pass(ms);
            }
            11..=13 => self.host.run(self.now.wall, &mut self.chance, false).await,
            _ => self.exchange(true).await,
        }
        self.host.schedule(self.now, true).await;
    }

    fn pass(&mut self, ms: i64) {
        self.now.wall = self.now.wall.plus_ms(ms);
        self.now.boot_ms += ms.unsigned_abs();
        self.now.awake_ms += ms.unsigned_abs();
    }

    fn suspend(&mut self) {
        let ms = i64::try_from(self.chance.below(90)).unwrap() * MINUTE;
        self.now.wall = self.now.wall.plus_ms(ms);
        self.now.boot_ms += ms.unsigned_abs();
    }

    fn set_clock(&mut self) {
        let ms = (i64::try_from(self.chance.below(120)).unwrap() - 60) * MINUTE;
        self.now.wall = self.now.wall.plus_ms(ms);
    }

    fn cut(&mut self) {
        (self.host.session, self.plane.session) = (None, None);
        self.to_host.clear();
        self.to_plane.clear();
    }

    async fn crash(&mut self) {
        self.cut();
        self.host.crash().await;
    }

    fn link_now(&self) -> link::Now {
        link::Now {
            ms: self.now.awake_ms,
            wall: self.now.wall,
        }
    }

    /// Both ends do what they can; with `partly`, only some of the frames arrive for now.
    async fn exchange(&mut self, partly: bool) {
        let now = self.link_now();
        if self.host.session.is_none() || self.plane.session.is_none() {
            self.cut();
            let seed = self.chance.next();
            self.host.connect(seed, now).await;
            self.plane.accept_socket(seed, now);
        }
        for _ in 0..if partly { 4 } else { 60 } {
            self.to_plane.extend(self.host.pump(now).await);
            self.to_host.extend(self.plane.pump(now));
            let all = !partly;
            let (to_host, to_plane) = (self.to_host.len() as u64, self.to_plane.len() as u64);
            let (to_host, to_plane) = if all {
                (to_host, to_plane)
            } else {
                (
                    self.chance.below(to_host + 1),
                    self.chance.below(to_plane + 1),
                )
            };
            for frame in self.to_host.drain(..usize::try_from(to_host).unwrap()) {
                let Some(session) = &mut self.host.session else {
                    break;
                };
                match frame {
                    Outgoing::Text(text) => session.handle_text(&text, now),
                    Outgoing::Binary(bytes) => session.handle_binary(&bytes, now),
                    Outgoing::Close { code, reason } => session.handle_close(code, &reason),
                }
            }
            for frame in self.to_plane.drain(..usize::try_from(to_plane).unwrap()) {
                let Some(session) = &mut self.plane.session else {
                    break;
                };
                match frame {
                    Outgoing::Text(text) => session.handle_text(&text, now),
                    Outgoing::Binary(bytes) => session.handle_binary(&bytes, now),
                    Outgoing::Close { code, reason } => session.handle_close(code, &reason),
                }
            }
        }
    }

    fn fresh(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }

    /// Somebody creates, edits, pauses, resumes or deletes an automation.
    fn edit(&mut self) {
        let number = u128::from(self.chance.below(4));
        let id = AutomationId(Uuid::from_u128(number));
        let now = self.now.wall;
        let Some(spec) = self.plane.wanted.get(&id) else {
            let spec = self.new_spec(id);
            return self.plane.want(spec);
        };
        let mut spec = spec.clone();
        spec.revision += 1;
        match self.chance.below(5) {
            0 => return self.plane.unwant(id),
            1 => spec.enabled = false,
            2 => (spec.enabled, spec.plan_after) = (true, now.max(spec.plan_after)),
            3 => spec.prompt_version += 1,
            _ => {
                spec.plan_after = now.max(spec.plan_after);
                spec.schedule.rrule = "FREQ=MINUTELY;INTERVAL=7".into();
            }
        }
        self.plane.want(spec);
    }

    fn new_spec(&mut self, id: AutomationId) -> AutomationSpec {
        let catch_up = [CatchUp::Latest, CatchUp::Skip, CatchUp::All];
        let overlap = [
            Overlap::Skip,
            Overlap::QueueOne,
            Overlap::CancelPrevious,
            Overlap::Allow,
        ];
        let mut pick = |of: usize| usize::try_from(self.chance.below(of as u64)).unwrap();
        let policies = Policies {
            catch_up: catch_up[pick(3)],
            overlap: overlap[pick(4)],
            retries: u32::try_from(pick(3)).unwrap(),
            ..Policies::default()
        };
        AutomationSpec {
            id,
            revision: u64::try_from(self.fresh()).unwrap(),
            name: format!("automation {id}"),
            agent: "shell".into(),
            prompt: "true".into(),
            prompt_version: 1,
            enabled: true,
            target: RunTarget::Scratch,
            schedule: ScheduleSpec {
                rrule: "FREQ=MINUTELY;INTERVAL=5".into(),
                dtstart: "2026-03-02T12:00:00".parse().unwrap(),
                timezone: "Europe/Paris".into(),
                exdates: vec![],
                rdates: vec![],
            },
            plan_after: self.now.wall,
            starts: 0,
            policies,
            env: BTreeMap::new(),
            owner: None,
        }
    }

    /// Somebody asks for a run, or for the end of one.
    fn command(&mut self) {
        let id = CommandId(Uuid::from_u128(self.fresh()));
        let going = self
            .plane
            .runs
            .values()
            .find(|run| Host::is_going(&run.state))
            .map(|run| run.id);
        let command = match going {
            Some(run_id) if self.chance.one_in(2) => Command::RunCancel(RunCancel {
                run_id,
                requested_by: "ada".into(),
                by: None,
            }),
            Some(_) | None => Command::RunStart(RunStart {
                run_id: RunId(Uuid::from_u128(self.fresh())),
                automation_id: AutomationId(Uuid::from_u128(u128::from(self.chance.below(4)))),
                requested_at: self.now.wall,
                by: None,
            }),
        };
        self.plane.open.insert(id, command);
    }

    /// Everything is well again for long enough.
    async fn heal(&mut self) {
        let paused: Vec<AutomationSpec> = self.plane.wanted.values().cloned().collect();
        for mut spec in paused {
            spec.revision += 1;
            spec.enabled = false;
            self.plane.want(spec);
        }
        for round in 0..400 {
            self.pass(MINUTE / 2);
            self.cut();
            self.exchange(false).await;
            self.host.schedule(self.now, true).await;
            self.host.run(self.now.wall, &mut self.chance, true).await;
            self.exchange(false).await;
            let left = self.host.context.store.unfinished_runs().await.unwrap();
            if round > 3 && left.is_empty() {
                return;
            }
        }
    }

    async fn check(&self) {
        let store = &self.host.context.store;
        assert!(
            store.unfinished_runs().await.unwrap().is_empty(),
            "runs are left"
        );
        assert!(
            store.outbox_after(0, 10).await.unwrap().is_empty(),
            "events are left"
        );
        assert!(
            store.undelivered_logs().await.unwrap().is_empty(),
            "logs are left"
        );
        let ids = store.automation_ids().await.unwrap();
        assert_eq!(ids, self.plane.wanted.keys().copied().collect::<Vec<_>>());
        assert!(
            self.plane.open.is_empty(),
            "requests are left: {:?}",
            self.plane.open
        );
        for (run, starts) in &self.host.starts {
            assert_eq!(*starts, 1, "run {run} was started {starts} times");
        }
        for (id, run) in &self.plane.runs {
            let row = store.run(*id).await.unwrap();
            match row {
                Some(row) => assert_eq!(row.run, *run, "the two ends disagree"),
                None => assert!(matches!(run.state, RunState::Skipped { .. }), "{run:?}"),
            }
            if let Some((log, complete)) = self.plane.logs.get(id) {
                assert!(*complete, "the log of {id} did not arrive whole");
                assert_eq!(*log, self.host.log_of(*id));
            }
        }
        for run in self.host.starts.keys() {
            assert!(
                self.plane.runs.contains_key(run),
                "run {run} was never told of"
            );
        }
    }
}

/// Says which seed it was when a test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was HOSTLER_SIM_DATABASE_SEED={}", self.0);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_happens_every_fact_arrives_once_and_nothing_runs_twice() {
    let seeds = match number("HOSTLER_SIM_DATABASE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HOSTLER_SIM_DATABASE_SEEDS").unwrap_or(6),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for seed in seeds {
        let seed = Seed(seed);
        runtime.block_on(async {
            let mut world = World::new(seed.0).await;
            for _ in 0..3 {
                world.edit();
            }
            for _ in 0..150 {
                world.step().await;
            }
            world.heal().await;
            world.check().await;
            assert!(
                !world.host.starts.is_empty(),
                "a seed without a run proves nothing"
            );
        });
    }
}
