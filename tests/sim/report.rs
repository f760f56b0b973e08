//! A failure as somebody can read it: the invariant that broke, and the shortest story found that
//! still breaks it.

use std::collections::BTreeSet;

use crate::script;
use crate::world::{Broken, World};

/// One way to tell a seed's story.
#[derive(Clone)]
pub(crate) struct Telling {
    seed: u64,
    broken: Broken,
    left_out: BTreeSet<usize>,
    pub(crate) traced: bool,
}

impl Telling {
    /// The whole of it, without a word.
    pub(crate) fn whole(seed: u64, broken: Broken) -> Self {
        Self {
            seed,
            broken,
            left_out: BTreeSet::new(),
            traced: false,
        }
    }

    pub(crate) fn play(&self) -> (Result<(), String>, World) {
        let mut world = World::new(self.seed, self.broken, self.traced);
        world.left_out.clone_from(&self.left_out);
        (script::play(&mut world), world)
    }
}

/// A failed seed, told in short.
pub(crate) fn of(seed: u64, broken: Broken, what: &str) -> String {
    let whole = Telling::whole(seed, broken);
    let (again, world) = whole.play();
    assert_eq!(again, Err(what.to_owned()), "the same seed fails alike");
    let mut short = shortened(whole, world.parts, what);
    short.traced = true;
    let (end, told) = short.play();
    let broke = end.err().unwrap_or_default();
    let (all, kept) = (world.parts, world.parts - short.left_out.len());
    let story = told.trace.unwrap_or_default().join("\n");
    format!(
        "seed {seed} breaks an invariant: {broke}\n\
         {kept} of its {all} parts are enough for that:\n{story}\n\
         Play the whole: HOSTLER_SIM_SEED={seed} cargo nextest run --test sim one_seed --no-capture"
    )
}

/// Leaves out what can be left out, from the end: first all of the rest, then part by part.
fn shortened(mut telling: Telling, parts: usize, what: &str) -> Telling {
    for from in (1..parts).rev() {
        let shorter = Telling {
            left_out: (from..parts).collect(),
            ..telling.clone()
        };
        if fails_alike(&shorter, what) {
            telling = shorter;
        }
    }
    for part in (0..parts).rev() {
        let mut shorter = telling.clone();
        if shorter.left_out.insert(part) && fails_alike(&shorter, what) {
            telling = shorter;
        }
    }
    telling
}

fn fails_alike(telling: &Telling, what: &str) -> bool {
    let end = telling.play().0;
    end.is_err_and(|other| kind(&other) == kind(what))
}

/// The words of a failure without what differs from story to story.
fn kind(what: &str) -> Vec<&str> {
    let words = what.split(|letter: char| !letter.is_ascii_alphanumeric());
    let plain = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    words.filter(plain).take(4).collect()
}
