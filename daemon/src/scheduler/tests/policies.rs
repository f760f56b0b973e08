//! Each policy by example.

use hostler_proto::automation::{CatchUp, Overlap, StopReason};

use super::*;

fn with(change: impl FnOnce(&mut Policies)) -> Policies {
    let mut policies = Policies::default();
    change(&mut policies);
    policies
}

fn overlap(overlap: Overlap) -> Policies {
    with(|policies| policies.overlap = overlap)
}

fn catch_up(catch_up: CatchUp) -> Policies {
    with(|policies| policies.catch_up = catch_up)
}

#[test]
fn an_instant_starts_once_at_its_time() {
    let mut world = World::new("FREQ=MINUTELY;INTERVAL=10", Policies::default());
    world.settle_down();
    assert_eq!(world.plan().next_at, Some(UtcMillis(NOON)));
    assert!(world.runs.is_empty());
    world.live(MINUTE);
    assert_eq!(world.started(), [0]);
    assert_eq!(world.plan().next_at, Some(UtcMillis(NOON + 10 * MINUTE)));
    world.end(RunResult::Succeeded);
    assert_eq!(world.seen(), ["0 done"]);
    let told: Vec<_> = world
        .told
        .iter()
        .map(|status| status.next_run_at.unwrap().0 - NOON)
        .collect();
    assert_eq!(told, [0, 10 * MINUTE]);
}

#[test]
fn overlap_skip_records_what_it_skips() {
    let mut world = World::new("FREQ=MINUTELY", overlap(Overlap::Skip));
    world.live(3 * MINUTE);
    assert_eq!(
        world.seen(),
        ["0 open", "1 skipped overlap", "2 skipped overlap"]
    );
    world.end(RunResult::Succeeded);
    world.live(MINUTE);
    assert_eq!(world.started(), [0, 3]);
}

#[test]
fn overlap_queue_one_lets_one_wait() {
    let mut world = World::new("FREQ=MINUTELY", overlap(Overlap::QueueOne));
    world.live(3 * MINUTE);
    assert_eq!(world.seen(), ["0 open", "1 waiting", "2 skipped overlap"]);
    world.crash();
    world.end(RunResult::Failed);
    assert_eq!(world.seen(), ["0 done", "1 open", "2 skipped overlap"]);
}

#[test]
fn one_that_waits_and_is_cancelled_makes_room_for_another() {
    let mut world = World::new(
        "FREQ=MINUTELY",
        Policies {
            max_runs: Some(2),
            ..overlap(Overlap::QueueOne)
        },
    );
    world.live(2 * MINUTE + 30_000);
    assert_eq!(world.seen(), ["0 open", "1 waiting"]);
    assert_eq!(world.plan().stopped, Some(StopReason::Finished));
    world.cancel_waiting(UtcMillis(NOON + MINUTE));
    assert_eq!(world.plan().stopped, None, "one start is left");
    world.live(MINUTE);
    world.crash();
    world.end(RunResult::Succeeded);
    assert_eq!(world.seen(), ["0 done", "1 done", "2 open"]);
    assert_eq!((world.plan().failures, world.plan().starts), (0, 2));
}

#[test]
fn overlap_cancel_previous_ends_the_old_and_then_starts() {
    let mut world = World::new("FREQ=MINUTELY", overlap(Overlap::CancelPrevious));
    world.live(3 * MINUTE);
    assert_eq!(world.seen(), ["0 open", "1 skipped overlap", "2 waiting"]);
    assert!(world.runs.values().all(|run| run.cancel));
    world.end(RunResult::Cancelled);
    assert_eq!(world.seen(), ["0 done", "1 skipped overlap", "2 open"]);
    assert_eq!(world.plan().failures, 0);
}

#[test]
fn overlap_allow_starts_beside() {
    let mut world = World::new("FREQ=MINUTELY", overlap(Overlap::Allow));
    world.live(3 * MINUTE);
    assert_eq!(world.started(), [0, 1, 2]);
}

#[test]
fn a_minute_late_is_on_time_and_more_is_missed() {
    for (late, seen) in [(MINUTE, "0 open"), (MINUTE + 1, "0 skipped missed")] {
        let mut world = World::new("FREQ=HOURLY", catch_up(CatchUp::Skip));
        world.settle_down();
        world.pass(MINUTE + late);
        assert_eq!(world.seen(), [seen], "{late} ms late");
    }
}

#[test]
fn catch_up_latest_runs_the_newest_and_records_the_rest() {
    let mut world = World::new("FREQ=HOURLY", catch_up(CatchUp::Latest));
    world.settle_down();
    world.crash();
    world.pass(5 * HOUR + 10 * MINUTE);
    assert_eq!(world.seen(), ["0 skipped missed x5 to 240", "300 open"]);
}

#[test]
fn catch_up_latest_prefers_what_is_on_time() {
    let mut world = World::new("FREQ=MINUTELY", catch_up(CatchUp::Latest));
    world.settle_down();
    world.pass(4 * MINUTE + 30_000);
    assert_eq!(world.seen(), ["0 skipped missed x3 to 2", "3 open"]);
}

#[test]
fn catch_up_latest_leaves_what_is_older_than_a_week() {
    let mut world = World::new("FREQ=MONTHLY", catch_up(CatchUp::Latest));
    world.settle_down();
    world.pass(8 * DAY);
    assert_eq!(world.seen(), ["0 skipped missed"]);
}

#[test]
fn catch_up_skip_runs_none() {
    let mut world = World::new("FREQ=HOURLY", catch_up(CatchUp::Skip));
    world.settle_down();
    world.pass(3 * HOUR + 10 * MINUTE);
    assert_eq!(world.seen(), ["0 skipped missed x4 to 180"]);
}

#[test]
fn catch_up_all_runs_the_ten_newest_one_after_another() {
    let mut world = World::new("FREQ=HOURLY", catch_up(CatchUp::All));
    world.settle_down();
    world.pass(14 * HOUR + 10 * MINUTE);
    assert_eq!(
        world.seen()[..3],
        ["0 skipped missed x5 to 240", "300 open", "360 waiting"]
    );
    for done in 1..=10 {
        assert_eq!(world.started().len(), done);
        world.end(RunResult::Succeeded);
    }
    assert_eq!(
        world.started(),
        (5..15).map(|hour| hour * 60).collect::<Vec<_>>()
    );
}

#[test]
fn a_year_of_missed_minutes_is_one_row() {
    let mut world = World::new("FREQ=MINUTELY", catch_up(CatchUp::Skip));
    world.settle_down();
    world.pass(365 * DAY + MINUTE);
    let missed = world.rows.values().next().unwrap();
    assert_eq!((missed.state, missed.count), ("skipped", 365 * 24 * 60 - 1));
}

#[test]
fn a_failure_is_tried_again_after_1_5_and_15_minutes() {
    let mut world = World::new("FREQ=DAILY", with(|policies| policies.retries = 3));
    world.live(MINUTE);
    for (attempt, minutes) in [(2, 1), (3, 5), (4, 15)] {
        world.end(RunResult::Failed);
        world.live(minutes * MINUTE - 1);
        assert!(
            world.runs.values().all(|run| run.end.is_some()),
            "too early"
        );
        world.crash();
        world.live(2);
        let newest = world.runs.values().map(|run| run.attempt).max();
        assert_eq!(newest, Some(attempt));
    }
    assert_eq!(world.plan().failures, 0);
    world.end(RunResult::TimedOut);
    assert_eq!(
        (world.seen(), world.plan().failures),
        (vec!["0 done".to_owned()], 1)
    );
    assert_eq!(world.plan().starts, 1);
}

#[test]
fn a_lost_run_is_a_failure_and_never_run_again() {
    let mut world = World::new("FREQ=DAILY", with(|policies| policies.retries = 3));
    world.live(MINUTE);
    world.end(RunResult::Lost);
    world.live(HOUR);
    assert_eq!((world.runs.len(), world.plan().failures), (1, 1));
}

#[test]
fn failures_in_a_row_stop_the_automation_until_it_is_resumed() {
    let mut world = World::new(
        "FREQ=HOURLY",
        with(|policies| policies.pause_after_failures = 2),
    );
    for result in [
        RunResult::Failed,
        RunResult::Succeeded,
        RunResult::Failed,
        RunResult::Stalled,
    ] {
        world.live(HOUR);
        world.end(result);
    }
    let stopped = Some(StopReason::Failures { count: 2 });
    assert_eq!(
        (world.plan().stopped.clone(), world.plan().next_at),
        (stopped.clone(), None)
    );
    assert_eq!(world.told.last().unwrap().stopped, stopped);
    world.live(5 * HOUR);
    assert_eq!(world.runs.len(), 4);
    let now = world.now.wall;
    world.edit(|rule| rule.plan_after = now);
    world.live(HOUR);
    assert_eq!((world.runs.len(), world.plan().failures), (5, 0));
    assert_eq!(world.seen()[4], "240 skipped paused x5 to 480");
}

#[test]
fn an_edit_that_is_no_resume_keeps_it_stopped() {
    let mut world = World::new(
        "FREQ=HOURLY",
        with(|policies| policies.pause_after_failures = 1),
    );
    world.live(HOUR);
    world.end(RunResult::Failed);
    world.edit(|rule| rule.prompt_version = 2);
    world.live(HOUR);
    assert!(matches!(
        world.plan().stopped,
        Some(StopReason::Failures { count: 1 })
    ));
    assert_eq!(world.runs.len(), 1);
}

#[test]
fn max_runs_counts_starts() {
    let mut world = World::new("FREQ=HOURLY", with(|policies| policies.max_runs = Some(2)));
    for _ in 0..2 {
        world.live(HOUR);
        world.end(RunResult::Failed);
    }
    world.live(5 * HOUR);
    assert_eq!(world.started(), [0, 60]);
    assert_eq!(world.plan().stopped, Some(StopReason::Finished));
}

#[test]
fn max_runs_goes_on_from_the_starts_elsewhere() {
    let mut world = World::new("FREQ=HOURLY", with(|policies| policies.max_runs = Some(3)));
    world.edit(|rule| rule.starts = 2);
    world.live(5 * HOUR);
    assert_eq!(world.started(), [0]);
    assert_eq!(world.plan().stopped, Some(StopReason::Finished));
    // What this host knows better stays, and a larger limit lets it go on.
    let now = world.now.wall;
    world.end(RunResult::Succeeded);
    world.edit(|rule| (rule.policies.max_runs, rule.plan_after) = (Some(4), now));
    world.live(HOUR);
    assert_eq!(world.started(), [0, 300]);
    assert_eq!(world.plan().starts, 4);
}

#[test]
fn count_runs_to_its_last_instant_and_then_it_is_finished() {
    let mut world = World::new("FREQ=HOURLY;COUNT=3", with(|policies| policies.retries = 1));
    for _ in 0..3 {
        world.live(HOUR);
        world.end(RunResult::Succeeded);
    }
    assert_eq!(world.started(), [0, 60, 120]);
    assert_eq!(world.plan().stopped, Some(StopReason::Finished));
    assert_eq!(
        world.told.last().unwrap().stopped,
        Some(StopReason::Finished)
    );
}

#[test]
fn until_runs_to_its_last_instant_and_then_it_is_finished() {
    let until = "FREQ=HOURLY;UNTIL=20260302T140000Z";
    let mut world = World::new(until, overlap(Overlap::Allow));
    world.live(2 * HOUR + 30_000);
    assert_eq!(world.plan().stopped, None, "the last one is to come");
    world.live(5 * HOUR);
    assert_eq!(world.started(), [0, 60, 120]);
    assert_eq!(world.plan().stopped, Some(StopReason::Finished));
    assert_eq!(world.told.last().unwrap().next_run_at, None);
}

#[test]
fn count_counts_instants_and_max_runs_counts_starts() {
    let mut world = World::new("FREQ=HOURLY;COUNT=3", overlap(Overlap::Skip));
    world.live(5 * HOUR);
    assert_eq!(
        world.seen(),
        ["0 open", "60 skipped overlap", "120 skipped overlap"]
    );
    assert_eq!(world.plan().stopped, Some(StopReason::Finished));

    let limited = with(|policies| policies.max_runs = Some(2));
    let mut world = World::new("FREQ=HOURLY", limited);
    world.live(3 * HOUR);
    world.end(RunResult::Succeeded);
    world.live(5 * HOUR);
    assert_eq!(world.started(), [0, 180]);
    assert_eq!(world.plan().stopped, Some(StopReason::Finished));
}

#[test]
fn without_a_limit_failures_pause_nothing() {
    let mut world = World::new(
        "FREQ=HOURLY",
        with(|policies| policies.pause_after_failures = 0),
    );
    for _ in 0..7 {
        world.live(HOUR);
        world.end(RunResult::Failed);
    }
    assert_eq!(
        (world.plan().failures, world.plan().stopped.clone()),
        (7, None)
    );
}

#[test]
fn jitter_does_not_make_an_instant_late_and_never_enters_its_key() {
    let jittered = with(|policies| {
        policies.jitter_seconds = 900;
        policies.catch_up = CatchUp::Skip;
    });
    for (late, seen) in [(MINUTE, "0 open"), (MINUTE + 1, "0 skipped missed")] {
        let mut world = World::new("FREQ=DAILY", jittered.clone());
        world.settle_down();
        let due = world.plan().due_at.unwrap();
        world.pass(due.since(world.now.wall) + late);
        assert_eq!(world.seen(), [seen], "{late} ms after its jittered start");
    }
}

#[test]
fn the_last_instant_may_be_tried_again() {
    let mut world = World::new("FREQ=HOURLY;COUNT=1", with(|policies| policies.retries = 1));
    world.live(MINUTE);
    world.end(RunResult::Failed);
    world.live(MINUTE);
    assert_eq!(world.runs.len(), 2);
}

#[test]
fn pausing_leaves_the_run_and_resuming_plans_from_then() {
    let mut world = World::new("FREQ=HOURLY", overlap(Overlap::QueueOne));
    world.live(2 * HOUR);
    assert_eq!(world.seen(), ["0 open", "60 waiting"]);
    world.edit(|rule| rule.enabled = false);
    world.live(3 * HOUR);
    assert_eq!(world.seen(), ["0 open", "60 skipped paused"]);
    assert_eq!(world.plan().next_at, None);
    let now = world.now.wall;
    world.edit(|rule| (rule.enabled, rule.plan_after) = (true, now));
    world.end(RunResult::Succeeded);
    world.live(HOUR);
    assert_eq!(
        world.seen(),
        [
            "0 done",
            "60 skipped paused",
            "120 skipped paused x3 to 240",
            "300 open"
        ]
    );
}

#[test]
fn what_was_due_before_a_late_pause_is_recorded_at_once() {
    let mut world = World::new("FREQ=HOURLY", Policies::default());
    world.settle_down();
    world.now.wall = UtcMillis(NOON + 2 * HOUR + MINUTE);
    world.now.boot_ms += (2 * HOUR + 2 * MINUTE).unsigned_abs();
    world.edit(|rule| rule.enabled = false);
    world.settle_down();
    assert_eq!(world.seen(), ["0 skipped paused x3 to 120"]);
}

#[test]
fn an_edit_heard_of_after_a_restart_still_records_what_was_due_before_it() {
    let mut world = World::new("FREQ=HOURLY", Policies::default());
    world.settle_down();
    let old = world.record.as_ref().unwrap().rule.clone();
    world.edit(|rule| {
        rule.plan_after = UtcMillis(NOON + MINUTE);
        rule.schedule.rrule = "FREQ=DAILY".into();
    });
    world.record.as_mut().unwrap().planned = Some(old);
    world.crash();
    world.now.wall = UtcMillis(NOON + 2 * MINUTE);
    world.settle_down();
    assert_eq!(world.seen(), ["0 skipped missed"]);
}

#[test]
fn an_edited_schedule_counts_from_the_edit() {
    let mut world = World::new("FREQ=HOURLY", overlap(Overlap::Allow));
    world.live(HOUR + 10 * MINUTE);
    let now = world.now.wall;
    world.edit(|rule| {
        rule.plan_after = now;
        rule.schedule.rrule = "FREQ=MINUTELY;INTERVAL=30".into();
    });
    world.live(HOUR);
    assert_eq!(world.started(), [0, 60, 90, 120]);
}

#[test]
fn a_deleted_automation_stops_at_once_and_its_rows_stay() {
    let mut world = World::new("FREQ=HOURLY", overlap(Overlap::QueueOne));
    world.live(2 * HOUR);
    world.record.as_mut().unwrap().deleted = true;
    world.live(HOUR);
    assert!(world.record.is_none());
    assert_eq!(world.seen(), ["0 open", "60 skipped deleted"]);
    world.crash();
    world.end(RunResult::Succeeded);
    assert_eq!(world.seen(), ["0 done", "60 skipped deleted"]);
}

#[test]
fn jitter_is_fixed_and_bounded() {
    let policies = with(|policies| policies.jitter_seconds = 900);
    for (rrule, most) in [
        ("FREQ=MINUTELY", 6_000),
        ("FREQ=HOURLY", 360_000),
        ("FREQ=DAILY", 900_000),
    ] {
        let mut world = World::new(rrule, policies.clone());
        world.settle_down();
        let jitter = world.plan().due_at.unwrap().since(UtcMillis(NOON));
        assert!((1..=most).contains(&jitter), "{rrule}: {jitter}");
        world.live(MINUTE + jitter - 1);
        assert!(world.runs.is_empty(), "{rrule} started early");
        world.live(2);
        assert_eq!(world.started(), [0], "{rrule}");
    }
}

#[test]
fn a_schedule_whose_zone_is_back_goes_on_where_it_stopped() {
    let policies = Policies {
        catch_up: CatchUp::All,
        ..Policies::default()
    };
    let mut world = World::new("FREQ=HOURLY", policies);
    world.live(HOUR);
    let before = world.started();
    let mut record = world.record.clone().unwrap();
    let message = "unknown".to_owned();
    record.state.stopped = Some(StopReason::Unplannable { message });
    record.state.next_at = None;
    record.state.due_at = None;
    let now = world.now;
    let load = |zones_changed| {
        let mut scheduler = Scheduler::load(vec![record.clone()], zones_changed, now);
        scheduler.handle(Facts::default(), now);
        scheduler.next_due()
    };
    assert_eq!(load(false), None, "it is not tried without a reason");
    let next = UtcMillis(NOON + i64::try_from(before.len()).unwrap() * HOUR);
    assert_eq!(load(true), Some(next), "no instant is left out");
}

#[test]
fn a_schedule_that_cannot_be_planned_here_says_why() {
    let mut world = World::new("FREQ=HOURLY", Policies::default());
    world.edit(|rule| rule.schedule.timezone = "Mars/Olympus".into());
    world.settle_down();
    let Some(StopReason::Unplannable { message }) = world.plan().stopped.clone() else {
        panic!("planned: {:?}", world.plan());
    };
    assert!(message.contains("Mars/Olympus"), "{message}");
    world.edit(|rule| rule.schedule.timezone = "UTC".into());
    world.live(HOUR);
    assert_eq!(world.started(), [0]);
}
