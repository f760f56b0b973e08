//! How late schedules fire: from an instant to the committed claim of its run, with 1, 1,000 and
//! 10,000 automations on a real database, about 17 instants a second with the larger two. And what
//! 10,000 of them cost at a cold start and while idle. Prints a table.
//! Run with `cargo bench -p hostler-daemon --bench lateness [SECONDS]` (120 for each row; the first
//! row has one instant a minute).

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program run by hand that measures by the clock and prints a table"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hostler_daemon::scheduler::{Effects, Scheduler, Step};
use hostler_daemon::store::{automations, occurrences};
use hostler_daemon::{Context, clock, platform};
use hostler_proto::automation::{AutomationSpec, Policies, RunTarget, ScheduleSpec};
use hostler_proto::ids::AutomationId;
use hostler_proto::time::UtcMillis;

/// The longest sleep of the scheduler's shell.
const LONGEST_SLEEP_MS: i64 = 15_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given = std::env::args().find_map(|arg| arg.parse().ok());
    let length = Duration::from_secs(given.unwrap_or(120));
    println!(
        "{:>11} {:>8} {:>9} {:>9} {:>9}   plan anew   load",
        "automations", "instants", "p50 ms", "p99 ms", "worst ms"
    );
    for count in [1_u32, 1_000, 10_000] {
        let home = tempfile::tempdir().unwrap();
        let context = hostler_daemon::open_home(home.path()).await.unwrap();
        let minutes = (count / 1_000).max(1);
        fill(&context, count, |n| {
            (format!("FREQ=MINUTELY;INTERVAL={minutes}"), n)
        })
        .await;
        lateness(&context, count, length).await;
    }
    idle(length).await;
}

async fn lateness(context: &Context, count: u32, length: Duration) {
    let began = Instant::now();
    let mut scheduler = load(context).await;
    while !step(context, &mut scheduler).await.0.changes.is_empty() {}
    let planning = began.elapsed();
    let began = Instant::now();
    scheduler = load(context).await;
    let loading = began.elapsed();
    let mut late = Vec::new();
    let (began, from) = (Instant::now(), clock::wall());
    while began.elapsed() < length {
        let (effects, committed) = step(context, &mut scheduler).await;
        let starts = effects.changes.iter().flat_map(|change| &change.steps);
        late.extend(starts.filter_map(|step| match step {
            Step::Start(run) if run.scheduled_for >= from => {
                Some(committed.since(run.scheduled_for))
            }
            Step::Start(_)
            | Step::Wait(_)
            | Step::Skip(_)
            | Step::Retry(_)
            | Step::Settle { .. }
            | Step::Cancel { .. }
            | Step::DropQueued { .. } => None,
        }));
        sleep(&scheduler).await;
    }
    late.sort_unstable();
    let at = |share: usize| late.get((late.len().max(1) - 1) * share / 100).copied();
    let shown = |value: Option<i64>| value.map_or("-".to_owned(), |ms| ms.to_string());
    println!(
        "{count:>11} {:>8} {:>9} {:>9} {:>9} {:>8} ms {:>3} ms",
        late.len(),
        shown(at(50)),
        shown(at(99)),
        shown(at(100)),
        planning.as_millis(),
        loading.as_millis()
    );
}

/// The share of a CPU that 10,000 automations use of which none is due.
async fn idle(length: Duration) {
    let home = tempfile::tempdir().unwrap();
    let context = hostler_daemon::open_home(home.path()).await.unwrap();
    fill(&context, 10_000, |n| ("FREQ=WEEKLY".to_owned(), n)).await;
    let mut scheduler = load(&context).await;
    while !step(&context, &mut scheduler).await.0.changes.is_empty() {}
    let own = i32::try_from(std::process::id()).unwrap();
    let before = platform::process(own).unwrap().cpu_ms;
    let began = Instant::now();
    while began.elapsed() < length {
        step(&context, &mut scheduler).await;
        sleep(&scheduler).await;
    }
    let used = platform::process(own).unwrap().cpu_ms - before;
    println!(
        "10,000 idle automations: {used} ms of CPU in {} s",
        began.elapsed().as_secs()
    );
}

async fn load(context: &Context) -> Scheduler {
    let plans = context.store.plans().await.unwrap();
    Scheduler::load(plans, false, clock::now())
}

/// One batch as the shell makes it: what was decided, and when it was committed.
async fn step(context: &Context, scheduler: &mut Scheduler) -> (Effects, UtcMillis) {
    let mut tx = context.store.begin().await.unwrap();
    let now = clock::now();
    let facts = occurrences::facts(&mut tx, scheduler.interest(now.wall)).await;
    let effects = scheduler.handle(facts.unwrap(), now);
    if !effects.changes.is_empty() {
        occurrences::apply(&mut tx, &effects, now.wall)
            .await
            .unwrap();
        context.store.commit(tx).await.unwrap();
    }
    (effects, clock::wall())
}

async fn sleep(scheduler: &Scheduler) {
    let left = scheduler
        .next_due()
        .map_or(LONGEST_SLEEP_MS, |due| due.since(clock::wall()));
    let left = left.clamp(0, LONGEST_SLEEP_MS).unsigned_abs();
    tokio::time::sleep(Duration::from_millis(left)).await;
}

/// Stores automations whose starts lie a second apart, the last of them a day ago.
async fn fill(context: &Context, count: u32, make: impl Fn(u32) -> (String, u32)) {
    let now = clock::wall();
    let mut tx = context.store.begin().await.unwrap();
    for number in 0..count {
        let (rrule, seconds) = make(number);
        let start = now.plus_ms(-86_400_000 - i64::from(seconds) * 1_000);
        let spec = AutomationSpec {
            id: AutomationId(uuid::Uuid::from_u128(u128::from(number) + 1)),
            revision: 1,
            name: format!("automation {number}"),
            agent: "shell".into(),
            prompt: "true".into(),
            prompt_version: 1,
            enabled: true,
            target: RunTarget::Scratch,
            schedule: ScheduleSpec {
                rrule,
                dtstart: start
                    .to_timestamp()
                    .to_zoned(jiff::tz::TimeZone::UTC)
                    .datetime(),
                timezone: "UTC".into(),
                exdates: vec![],
                rdates: vec![],
            },
            plan_after: now,
            starts: 0,
            policies: Policies::default(),
            env: BTreeMap::new(),
            owner: None,
        };
        automations::upsert(&mut tx, &spec).await.unwrap();
    }
    context.store.commit(tx).await.unwrap();
}
