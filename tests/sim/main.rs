//! The simulation: both ends of the link, the scheduler and the runs of two hosts, against disks
//! that keep only what was committed, while the network breaks, processes die, machines sleep and
//! clocks are set. The same seed plays the same story.
//!
//! The link sessions, the scheduler, the schedules, the run states, the backoff and the bookkeeping
//! of desired state are the product's own. Modelled are the disks, the network, the agents'
//! processes and the shells that move data between them.
//!
//! * `HOSTLER_SIM_SEEDS=100000 cargo nextest run --test sim` plays so many seeds instead of 2,000.
//! * `HOSTLER_SIM_SEED=4711 cargo nextest run --test sim one_seed --no-capture` plays one seed and
//!   prints its story.
//!
//! A seed that fails is played again with ever less of it, and the shortest story that still fails
//! in the same way is printed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "what only tests use fails and speaks as tests do"
)]

mod catalog;
mod chance;
mod control;
mod database;
mod disk;
mod greeting;
mod host_link;
mod invariants;
mod ledger;
mod machine;
mod network;
mod processes;
mod report;
mod runs;
mod script;
mod witness;
mod world;

use report::Telling;
use world::Broken;

/// Seeds of a normal test run.
const SEEDS: u64 = 2_000;
/// Tests they are divided among, to run side by side.
const PARTS: u64 = 8;
/// Seeds within which a broken part must be noticed.
const BROKEN_SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}

/// Plays every seed of a part.
fn part(number_of_part: u64) {
    let seeds = number("HOSTLER_SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("HOSTLER_SIM_FIRST").unwrap_or(0);
    let mine = (first + number_of_part..first + seeds).step_by(usize::try_from(PARTS).unwrap());
    for seed in mine {
        if let Err(what) = Telling::whole(seed, Broken::Nothing).play().0 {
            panic!("{}", report::of(seed, Broken::Nothing, &what));
        }
    }
}

macro_rules! parts {
    ($($name:ident $number:literal)*) => {$(
        #[test]
        fn $name() {
            part($number);
        }
    )*};
}

parts! {
    seeds_part_1_of_8 0 seeds_part_2_of_8 1 seeds_part_3_of_8 2 seeds_part_4_of_8 3
    seeds_part_5_of_8 4 seeds_part_6_of_8 5 seeds_part_7_of_8 6 seeds_part_8_of_8 7
}

#[test]
fn one_seed() {
    let seed = number("HOSTLER_SIM_SEED").unwrap_or(1);
    let mut told = Telling::whole(seed, Broken::Nothing);
    told.traced = true;
    let (held, world) = told.play();
    eprintln!("{}", world.trace.unwrap_or_default().join("\n"));
    if let Err(what) = held {
        panic!("{}", report::of(seed, Broken::Nothing, &what));
    }
}

/// The first seed that notices a broken part in the words expected, told in short.
fn caught(broken: Broken, words: &str) -> String {
    let noticed = |seed| {
        let what = Telling::whole(seed, broken).play().0.err()?;
        what.contains(words).then_some((seed, what))
    };
    let (seed, what) = (0..BROKEN_SEEDS).find_map(noticed).expect("nobody noticed");
    let report = report::of(seed, broken, &what);
    eprintln!("{report}");
    assert!(report.contains(words) && report.contains(&format!("seed {seed} ")));
    assert!(report.lines().count() < 40, "that is not short");
    report
}

#[test]
fn a_disk_without_unique_keys_is_caught() {
    let report = caught(Broken::Keys, "started twice");
    assert!(report.matches(" starts Start {").count() >= 2, "{report}");
}

#[test]
fn an_acknowledgement_before_the_commit_is_caught() {
    caught(Broken::AckFirst, "as acknowledged, and only");
}
