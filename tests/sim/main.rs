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
//! A seed that fails is played again, and its story printed.

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
mod host_link;
mod invariants;
mod machine;
mod network;
mod processes;
mod runs;
mod script;
mod witness;
mod world;

use world::{Broken, World};

/// Seeds of a normal test run.
const SEEDS: u64 = 2_000;
/// Tests they are divided among, to run side by side.
const PARTS: u64 = 4;
/// Seeds within which a broken part must be noticed.
const BROKEN_SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}

fn play(seed: u64, broken: Broken, traced: bool) -> (Result<(), String>, World) {
    let mut world = World::new(seed, broken, traced);
    (script::play(&mut world), world)
}

fn story(world: &World) -> String {
    world
        .trace
        .as_ref()
        .map(|lines| lines.join("\n"))
        .unwrap_or_default()
}

/// Plays every seed of a part.
fn part(number_of_part: u64) {
    let seeds = number("HOSTLER_SIM_SEEDS").unwrap_or(SEEDS);
    for seed in (number_of_part..seeds).step_by(usize::try_from(PARTS).unwrap()) {
        if let (Err(what), _) = play(seed, Broken::Nothing, false) {
            let (again, world) = play(seed, Broken::Nothing, true);
            assert_eq!(again, Err(what.clone()), "the same seed fails alike");
            panic!("{}\nseed {seed}: {what}", story(&world));
        }
    }
}

#[test]
fn seeds_part_1_of_4() {
    part(0);
}

#[test]
fn seeds_part_2_of_4() {
    part(1);
}

#[test]
fn seeds_part_3_of_4() {
    part(2);
}

#[test]
fn seeds_part_4_of_4() {
    part(3);
}

#[test]
fn one_seed() {
    let seed = number("HOSTLER_SIM_SEED").unwrap_or(1);
    let (held, world) = play(seed, Broken::Nothing, true);
    eprintln!("{}\nseed {seed}: {held:?}", story(&world));
    held.unwrap();
}

/// The first seed that notices a broken part in the words expected, with all that it noticed.
fn caught(broken: Broken, words: &str) {
    let noticed = |seed| {
        let what = play(seed, broken, false).0.err()?;
        what.contains(words).then_some((seed, what))
    };
    let (seed, what) = (0..BROKEN_SEEDS).find_map(noticed).expect("nobody noticed");
    eprintln!("seed {seed}: {what}");
}

#[test]
fn a_disk_without_unique_keys_is_caught() {
    caught(Broken::Keys, "started twice");
}

#[test]
fn an_acknowledgement_before_the_commit_is_caught() {
    caught(Broken::AckFirst, "as acknowledged, and only");
}
