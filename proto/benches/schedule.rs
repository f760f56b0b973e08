//! The next instant of twelve rules whose start lies ten years back, from a moving "now".
//!
//! `cargo bench -p hostler-proto --bench schedule`

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use hostler_proto::schedule::{Schedule, ScheduleText};
use jiff::{SignedDuration, Timestamp};

const START: &str = "2016-03-02T09:30:00";
const RULES: [&str; 12] = [
    "FREQ=DAILY",
    "FREQ=MINUTELY",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0",
    "FREQ=HOURLY;INTERVAL=2",
    "FREQ=MINUTELY;INTERVAL=15;BYHOUR=9,10,11,12,13,14,15,16,17;BYDAY=MO,TU,WE,TH,FR",
    "FREQ=MINUTELY;INTERVAL=7;BYHOUR=9;BYMINUTE=0",
    "FREQ=MINUTELY;BYMONTH=1;BYHOUR=3",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO",
    "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
    "FREQ=DAILY;COUNT=100000;BYHOUR=2;BYMINUTE=30",
];

/// Asks from a new moment each time: 4,099 hours and a second apart over fifty years.
fn moments() -> impl Iterator<Item = Timestamp> {
    let first = Timestamp::from_second(1_772_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
    (0..108).cycle().filter_map(move |n| {
        first
            .checked_add(SignedDuration::from_secs(n * 14_756_401 % 1_577_000_000))
            .ok()
    })
}

fn next_instant(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("next_instant");
    for rule in RULES {
        let text = ScheduleText {
            rrule: rule.to_owned(),
            dtstart: START.parse().unwrap_or_default(),
            timezone: "America/New_York".to_owned(),
            exdates: Vec::new(),
            rdates: Vec::new(),
        };
        let Ok(schedule) = Schedule::parse(&text) else {
            continue;
        };
        let mut moments = moments();
        group.bench_function(rule, |bencher| {
            bencher.iter(|| schedule.next_after(black_box(moments.next().unwrap_or_default())));
        });
    }
    group.finish();
}

fn parse(bench: &mut Criterion) {
    let text = ScheduleText {
        rrule: "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0".to_owned(),
        dtstart: START.parse().unwrap_or_default(),
        timezone: "America/New_York".to_owned(),
        exdates: Vec::new(),
        rdates: Vec::new(),
    };
    bench.bench_function("parse", |bencher| {
        bencher.iter(|| Schedule::parse(black_box(&text)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = next_instant, parse
}
criterion_main!(benches);
