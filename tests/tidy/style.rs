//! How files look: their length, their opening, their names, and words that have no place in them.
//! The searched words are written in two parts here, so that this file does not find itself.

use crate::{
    assert_clean, assert_found,
    source::{File, Finding, Tree, lines_with},
};

const MOST_LINES: usize = 600;

fn too_long(tree: &Tree) -> Vec<Finding> {
    let sources = tree
        .files
        .iter()
        .filter(|file| matches!(file.extension(), "rs" | "py" | "sql"));
    sources
        .filter(|file| file.text.lines().count() > MOST_LINES)
        .map(|file| {
            file.finding(
                MOST_LINES + 1,
                format!(
                    "{} lines; a file has at most {MOST_LINES}",
                    file.text.lines().count()
                ),
            )
        })
        .collect()
}

/// Every module opens with what it does, its invariant and what it leaves to others.
fn without_opening(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| file.finding(1, "opens without `//!`: say what the module does"))
        .collect()
}

const UNFINISHED: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("TO", "DO"),
    concat!("#[ig", "nore"),
    concat!("#[ig", "nore]"),
];

fn unfinished(tree: &Tree) -> Vec<Finding> {
    let sources = tree
        .files
        .iter()
        .filter(|file| matches!(file.extension(), "rs" | "py" | "sh" | "sql" | "toml"));
    let mut findings = Vec::new();
    for file in sources {
        for (at, line) in file.text.lines().enumerate() {
            let word = UNFINISHED
                .iter()
                .find(|word| lines_with(line, word).next().is_some());
            findings.extend(word.map(|word| {
                file.finding(
                    at + 1,
                    format!("`{word}`: finish it, or say plainly what is not done"),
                )
            }));
        }
    }
    findings
}

/// A test waits for a state with a deadline; a pause is either too short or too long. A bench may
/// wait, and a method of that name (a simulated machine's) is no pause.
fn sleeps_in_tests(tree: &Tree) -> Vec<Finding> {
    let own = [concat!(".sle", "ep("), concat!("fn sle", "ep(")];
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !file.path.contains("benches/")) {
        let code = own
            .iter()
            .fold(file.test_code(), |code, name| code.replace(name, "("));
        for word in [
            concat!("sle", "ep("),
            concat!("sleep_", "until("),
            concat!("sle", "ep_ms("),
        ] {
            let what = "a test waits for a state with a deadline, not for time";
            findings.extend(lines_with(&code, word).map(|line| file.finding(line, what)));
        }
    }
    findings
}

/// Words that name the place where the product is made, not the product.
const WORKPLACE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!("/ro", "ot/."),
    concat!("/tmp", "/w/"),
    concat!("registry.", "npmjs"),
    concat!("index.", "crates"),
    concat!("static.", "crates"),
    concat!("files.", "pythonhosted"),
    concat!("pypi", ".org"),
];

fn names_workplace(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.name() != "Cargo.lock") {
        for (at, line) in file.text.lines().enumerate() {
            let word = WORKPLACE.iter().find(|word| names_place(line, word));
            findings.extend(
                word.map(|word| file.finding(at + 1, format!("`{word}` names a workplace"))),
            );
        }
    }
    findings
}

/// A folder counts only at the start of a path: `team/work/x` is no workplace.
fn names_place(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !word.starts_with('/')
            || !before.is_some_and(|c| c.is_alphanumeric() || "_.-}/$~".contains(c))
    })
}

/// Names that say nothing about what is in the file.
const EMPTY_NAMES: &[&str] = &[
    "manager", "helper", "helpers", "util", "utils", "common", "misc", "stuff", "info",
];

fn badly_named(tree: &Tree) -> Vec<Finding> {
    let empty = |file: &&File| {
        let path = file.path.to_lowercase();
        let mut words = path.split(['/', '_', '-', '.']);
        words.any(|word| EMPTY_NAMES.contains(&word))
    };
    tree.rust()
        .filter(empty)
        .map(|file| file.finding(1, "a name that says nothing; name the thing"))
        .collect()
}

/// Migrations are append-only: `0001_words.sql`, `0002_..`, each number once and none left out.
fn misnumbered_migrations(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut last: Option<(&str, u32)> = None;
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.contains("/migrations/") && file.extension() == "sql")
    {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let before = last
            .filter(|(last, _)| *last == folder)
            .map_or(0, |(_, number)| number);
        let number = migration_number(file.name());
        if number.is_none_or(|number| number <= before) {
            let next = before + 1;
            findings.push(file.finding(1, format!("expected {next:04}_what_it_does.sql or later")));
        }
        last = Some((folder, number.unwrap_or(before)));
    }
    findings
}

fn migration_number(name: &str) -> Option<u32> {
    let (number, words) = name.strip_suffix(".sql")?.split_once('_')?;
    let plain = !words.is_empty()
        && words
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    (number.len() == 4 && plain).then(|| number.parse().ok())?
}

#[test]
fn files_stay_short() {
    assert_clean(&too_long(&Tree::load()));
}

#[test]
fn modules_say_what_they_do() {
    assert_clean(&without_opening(&Tree::load()));
}

#[test]
fn nothing_is_left_unfinished() {
    assert_clean(&unfinished(&Tree::load()));
}

#[test]
fn tests_do_not_wait_for_time() {
    assert_clean(&sleeps_in_tests(&Tree::load()));
}

#[test]
fn no_file_names_a_workplace() {
    assert_clean(&names_workplace(&Tree::load()));
}

#[test]
fn files_are_named_for_what_they_hold() {
    assert_clean(&badly_named(&Tree::load()));
}

#[test]
fn migrations_are_numbered_in_order() {
    assert_clean(&misnumbered_migrations(&Tree::load()));
}

#[test]
fn broken_style_is_found() {
    let long = "//! Long.\n".to_owned() + &"\n".repeat(600);
    assert_found(
        &too_long(&Tree::of(&[("a.rs", &long), ("b.rs", "//! Short.\n")])),
        &["a.rs:601:"],
    );
    assert_found(
        &without_opening(&Tree::of(&[("a.rs", "use x;\n"), ("b.rs", "//! Fine.\n")])),
        &["a.rs:1:"],
    );
    let later = format!("//! Fine.\nfn f() {{ {}() }}\n// autodoc\n", UNFINISHED[0]);
    assert_found(&unfinished(&Tree::of(&[("a.rs", &later)])), &["a.rs:2:"]);
    let nap = format!(
        "//! Fine.\nfn f() {{ {}d) }}\n#[cfg(test)]\nmod tests {{\n fn t() {{ {}d) }}\n}}\n",
        "sleep(", "sleep("
    );
    assert_found(
        &sleeps_in_tests(&Tree::of(&[("daemon/src/a.rs", &nap)])),
        &["daemon/src/a.rs:5:"],
    );
    let place = format!(
        "see {}main\nteam{}main is fine\n",
        WORKPLACE[0], WORKPLACE[0]
    );
    assert_found(
        &names_workplace(&Tree::of(&[("a.md", &place)])),
        &["a.md:1:"],
    );
    assert_found(
        &badly_named(&Tree::of(&[
            ("daemon/src/run_utils.rs", ""),
            ("daemon/src/futile.rs", ""),
        ])),
        &["daemon/src/run_utils.rs:1:"],
    );
    let numbers = [
        ("d/migrations/0001_a.sql", ""),
        ("d/migrations/0001_b.sql", ""),
        ("d/migrations/0003_c.sql", ""),
        ("e/migrations/1_d.sql", ""),
    ];
    assert_found(
        &misnumbered_migrations(&Tree::of(&numbers)),
        &["d/migrations/0001_b.sql:1:", "e/migrations/1_d.sql:1:"],
    );
}
