//! Crashes, sleep and clocks that are set: nothing starts twice, nothing is dropped unseen.

use hostler_proto::automation::{CatchUp, Overlap};
use proptest::prelude::*;

use super::*;

#[test]
fn a_clock_set_back_does_not_fire_again_and_goes_on_firing() {
    let mut world = World::new(
        "FREQ=HOURLY",
        Policies {
            overlap: Overlap::Allow,
            ..Policies::default()
        },
    );
    world.live(3 * HOUR);
    assert_eq!(world.started(), [0, 60, 120]);
    world.set_clock(-2 * HOUR);
    world.live(4 * HOUR);
    assert_eq!(world.started(), [0, 60, 120, 180, 240]);
}

#[test]
fn after_a_clock_set_back_what_is_missed_again_is_recorded_beside_what_ran() {
    for (catch_up, last) in [
        (CatchUp::Skip, "120 skipped missed x4 to 300"),
        (CatchUp::Latest, "120 skipped missed x3 to 240"),
    ] {
        let mut world = World::new(
            "FREQ=HOURLY",
            Policies {
                overlap: Overlap::Allow,
                catch_up,
                ..Policies::default()
            },
        );
        world.live(HOUR + 2 * MINUTE);
        assert_eq!(world.started(), [0, 60]);
        world.set_clock(-2 * HOUR);
        world.live(2 * MINUTE);
        world.pass(6 * HOUR + MINUTE);
        assert_eq!(world.seen()[..3], ["0 open", "60 open", last]);
        assert_eq!(world.plan().starts as usize, world.started().len());
    }
}

#[test]
fn a_clock_that_was_years_ahead_does_not_silence_the_schedule() {
    let mut world = World::new(
        "FREQ=DAILY",
        Policies {
            overlap: Overlap::Allow,
            ..Policies::default()
        },
    );
    world.settle_down();
    world.set_clock(3650 * DAY);
    world.live(5 * MINUTE);
    world.crash();
    world.settle_down();
    world.set_clock(-3650 * DAY);
    world.crash();
    world.live(2 * DAY);
    let next = world.plan().next_at.unwrap();
    assert!(next.since(world.now.wall) <= DAY, "next is {next}");
    assert!(world.started().contains(&(24 * 60)));
}

#[test]
fn catching_up_waits_a_minute_after_the_clock_was_set() {
    let mut world = World::new("FREQ=HOURLY", Policies::default());
    world.settle_down();
    world.set_clock(5 * HOUR + 10 * MINUTE);
    world.live(59_000);
    assert!(world.rows.is_empty(), "{:?}", world.seen());
    world.live(2_000);
    assert_eq!(world.seen(), ["0 skipped missed x5 to 240", "300 open"]);
}

#[test]
fn after_a_start_what_was_missed_waits_for_the_control_planes_word() {
    for heard in [true, false] {
        let mut world = World::new("FREQ=HOURLY", Policies::default());
        world.settle_down();
        world.crash();
        world.clocks(2 * HOUR, 2 * HOUR);
        world.start_unheard();
        world.pass(5_000);
        assert_eq!(world.runs.len(), 0, "no word yet");
        if heard {
            world.hear();
        } else {
            world.pass(30_000);
        }
        world.settle_down();
        let started: Vec<_> = world.runs.values().map(|run| run.scheduled_for).collect();
        assert_eq!(started, [UtcMillis(NOON + HOUR)], "heard: {heard}");
    }
}

#[test]
fn a_word_that_it_has_run_before_is_heeded() {
    let mut world = World::new("FREQ=HOURLY", Policies::default());
    world.settle_down();
    world.crash();
    world.clocks(2 * HOUR, 2 * HOUR);
    world.start_unheard();
    world.settle_down();
    let record = world.record.as_mut().unwrap();
    record.rule.revision += 1;
    record.rule.plan_after = UtcMillis(NOON + HOUR);
    world.hear();
    world.settle_down();
    assert_eq!(world.runs.len(), 0);
    world.live(HOUR);
    assert_eq!(world.runs.len(), 1, "it goes on from there");
}

#[test]
fn a_clock_put_right_within_the_minute_caught_nothing_up() {
    let mut world = World::new("FREQ=HOURLY", Policies::default());
    world.settle_down();
    world.set_clock(5 * HOUR + 10 * MINUTE);
    world.live(20_000);
    world.set_clock(-5 * HOUR - 10 * MINUTE);
    world.live(HOUR);
    assert_eq!(world.started(), [0]);
}

#[test]
fn what_was_decided_but_not_committed_is_decided_again() {
    let mut world = World::new("FREQ=HOURLY", Policies::default());
    world.settle_down();
    world.pass(MINUTE - 1);
    world.now.wall = UtcMillis(NOON);
    let lost = world.decide();
    assert_eq!(lost.changes[0].steps.len(), 1);
    world.crash();
    world.settle_down();
    assert_eq!(world.started(), [0]);
}

#[test]
fn new_zones_replan_the_future_only() {
    let mut world = World::new("FREQ=DAILY", Policies::default());
    world.live(HOUR);
    let mut stored = world.record.clone().unwrap();
    let right = stored.state.next_at;
    // As if older zone data had put it an hour off.
    stored.state.next_at = right.map(|at| at.plus_ms(HOUR));
    let mut scheduler = Scheduler::load(vec![stored], true, world.now);
    let effects = scheduler.handle(Facts::default(), world.now);
    let change = &effects.changes[0];
    assert_eq!(change.plan.as_ref().unwrap().next_at, right);
    assert_eq!(change.status.as_ref().unwrap().next_run_at, right);
    assert!(change.steps.is_empty());
}

#[derive(Clone, Debug)]
enum Event {
    /// The scheduler is awake for so long.
    Live(i64),
    /// The machine sleeps.
    Sleep(i64),
    /// The process is killed after deciding, before committing, and starts again.
    CrashBeforeCommit,
    Restart,
    End(RunResult),
    SetClock(i64),
    Pause,
    Resume,
}

fn event() -> impl Strategy<Value = Event> {
    let result = prop_oneof![
        Just(RunResult::Succeeded),
        Just(RunResult::Failed),
        Just(RunResult::Lost),
        Just(RunResult::Cancelled)
    ];
    prop_oneof![
        4 => (1..2 * HOUR).prop_map(Event::Live),
        2 => (1..9 * HOUR).prop_map(Event::Sleep),
        2 => Just(Event::CrashBeforeCommit),
        2 => Just(Event::Restart),
        4 => result.prop_map(Event::End),
        1 => (-3 * HOUR..3 * HOUR).prop_map(Event::SetClock),
        1 => Just(Event::Pause),
        2 => Just(Event::Resume),
    ]
}

fn policies() -> impl Strategy<Value = Policies> {
    let catch_up = prop_oneof![
        Just(CatchUp::Latest),
        Just(CatchUp::Skip),
        Just(CatchUp::All)
    ];
    let overlap = prop_oneof![
        Just(Overlap::Skip),
        Just(Overlap::QueueOne),
        Just(Overlap::CancelPrevious),
        Just(Overlap::Allow)
    ];
    (catch_up, overlap, 0..4_u32, 0..900_u32).prop_map(
        |(catch_up, overlap, retries, jitter_seconds)| Policies {
            catch_up,
            overlap,
            retries,
            jitter_seconds,
            pause_after_failures: 0,
            ..Policies::default()
        },
    )
}

impl World {
    fn meet(&mut self, event: &Event) {
        match event {
            Event::Live(ms) => self.live(*ms),
            Event::Sleep(ms) => self.pass(*ms),
            Event::CrashBeforeCommit => {
                self.clocks(MINUTE, MINUTE);
                self.decide();
                self.crash();
            }
            Event::Restart => self.crash(),
            Event::End(result) if self.runs.values().any(|run| run.end.is_none()) => {
                self.end(*result);
            }
            Event::End(_) => {}
            Event::SetClock(ms) => self.set_clock(*ms),
            Event::Pause => self.edit(|rule| rule.enabled = false),
            Event::Resume => {
                let now = self.now.wall;
                self.edit(|rule| {
                    (rule.enabled, rule.plan_after) = (true, rule.plan_after.max(now));
                });
            }
        }
        self.settle_down();
    }

    /// Whether an instant is claimed or recorded.
    fn accounts_for(&self, at: UtcMillis) -> bool {
        let covers = |(first, row): (&UtcMillis, &Row)| {
            *first == at || (*first < at && row.until >= Some(at))
        };
        self.rows.range(..=at).any(covers)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The world's model asserts that no attempt starts twice; here: no instant that has passed is
    /// missing, whatever happened in between.
    #[test]
    fn every_instant_that_passed_is_claimed_or_recorded(
        policies in policies(),
        events in prop::collection::vec(event(), 1..25),
    ) {
        let mut world = World::new("FREQ=MINUTELY;INTERVAL=20", policies);
        world.settle_down();
        let mut instants = vec![];
        for event in &events {
            world.meet(event);
        }
        world.edit(|rule| rule.enabled = true);
        world.live(HOUR);
        let cursor = world.plan().cursor;
        let mut at = UtcMillis(NOON);
        while at <= cursor {
            instants.push(at);
            at = at.plus_ms(20 * MINUTE);
        }
        for at in instants {
            prop_assert!(world.accounts_for(at), "{at} is missing in {:?}", world.seen());
        }
        let lag = world.now.wall.since(cursor);
        prop_assert!(lag < 20 * MINUTE + 15 * MINUTE, "stands still for {lag} ms");
    }
}
