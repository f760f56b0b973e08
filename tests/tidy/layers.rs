//! The layer rule: which crate may see which, and which folder may use which tool. What is not in
//! the table is pure: it takes time and chance as parameters and gives decisions back.

use crate::{
    assert_clean, assert_found,
    source::{File, Finding, Tree},
};

/// One row of the table: these paths may be named only in these places.
struct Row {
    what: &'static str,
    paths: &'static [&'static str],
    /// Exceptions to `paths`.
    except: &'static [&'static str],
    /// A folder name (`store/`), or a file name (`clock.rs`), optionally with its folder (`runs/task.rs`).
    places: &'static [&'static str],
}

const TABLE: &[Row] = &[
    Row {
        what: "tokio's tasks, channels and timers",
        paths: &[
            "tokio::spawn",
            "tokio::select",
            "tokio::task",
            "tokio::time",
            "tokio::sync::mpsc",
            "tokio::sync::oneshot",
            "tokio::sync::broadcast",
            "tokio::sync::watch",
            "tokio::sync::Notify",
            "tokio_util::task",
        ],
        // Awaited where it stands, so it is a call and not a task.
        except: &["tokio::task::spawn_blocking", "tokio::task::JoinError"],
        places: &[
            "lib.rs",
            "lifecycle.rs",
            "lifecycle/",
            "link.rs",
            "link/",
            "task.rs",
            "hosts/",
            "mcp/",
            "console/",
            "edge/",
            "supervisor/",
        ],
    },
    Row {
        what: "sqlx",
        paths: &["sqlx"],
        except: &[],
        places: &["store/", "store.rs"],
    },
    Row {
        what: "libgit2 and gix",
        paths: &["git2", "gix"],
        except: &[],
        places: &["git/"],
    },
    Row {
        what: "spawning a process",
        paths: &[
            "std::process::Command",
            "process::Command",
            "tokio::process",
        ],
        except: &[],
        places: &["supervisor/", "runs/task.rs", "git/", "platform/"],
    },
    Row {
        what: "a clock or chance",
        paths: &[
            "SystemTime::now",
            "Instant::now",
            "Timestamp::now",
            "Zoned::now",
            "Uuid::now_v7",
            "Uuid::new_v4",
            "getrandom",
            "rand",
            "fastrand",
        ],
        except: &[],
        places: &["clock.rs"],
    },
];

/// Folders under the table. `packaging/` stands above it: it is the program's shell.
const CRATES: &[&str] = &["proto/src/", "daemon/src/", "control-plane/src/"];

fn breaks_table(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree
        .product()
        .filter(|file| CRATES.iter().any(|folder| file.path.starts_with(folder)))
    {
        for (line, path) in file.paths() {
            findings.extend(
                TABLE
                    .iter()
                    .filter_map(|row| row.broken_by(file, line, &path)),
            );
        }
    }
    findings
}

impl Row {
    fn broken_by(&self, file: &File, line: usize, path: &str) -> Option<Finding> {
        let named = self.paths.iter().any(|banned| names(path, banned));
        let excepted = self.except.iter().any(|fine| names(path, fine));
        if !named || excepted || self.places.iter().any(|place| stands_in(&file.path, place)) {
            return None;
        }
        Some(file.finding(
            line,
            format!(
                "`{path}`: {} belongs in {}",
                self.what,
                self.places.join(", ")
            ),
        ))
    }
}

/// Whether `path` is `banned` or something in it; a bare type path (`Instant::now`) also matches
/// behind any module (`std::time::Instant::now`).
fn names(path: &str, banned: &str) -> bool {
    let inside = |path: &str| {
        path.strip_prefix(banned)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let is_type = banned.starts_with(char::is_uppercase);
    inside(path)
        || (is_type
            && path
                .match_indices("::")
                .any(|(at, _)| inside(&path[at + 2..])))
}

/// Whether the file stands in a folder (`store/`) or is a file (`clock.rs`, `runs/task.rs`) of the table.
fn stands_in(path: &str, place: &str) -> bool {
    if place.ends_with('/') {
        path.contains(&format!("/{place}"))
    } else {
        path.ends_with(&format!("/{place}"))
    }
}

/// `proto` is pure, and the daemon and the control plane never see each other.
const NEVER: &[(&str, &[&str])] = &[
    (
        "proto",
        &[
            "tokio",
            "sqlx",
            "git2",
            "gix",
            "tokio_tungstenite",
            "tungstenite",
            "axum",
            "ureq",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "hostler_daemon",
            "hostler_control_plane",
        ],
    ),
    ("daemon", &["hostler_control_plane", "axum", "rmcp"]),
    ("control-plane", &["hostler_daemon", "git2", "gix"]),
];

fn crosses_crates(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (member, banned) in NEVER {
        for file in tree
            .product()
            .filter(|file| file.path.starts_with(&format!("{member}/src/")))
        {
            for (line, path) in file.paths() {
                if banned.iter().any(|banned| names(&path, banned)) {
                    findings.push(
                        file.finding(line, format!("`{path}` must not be seen from {member}")),
                    );
                }
            }
        }
        findings.extend(
            tree.files
                .iter()
                .filter(|file| file.path == format!("{member}/Cargo.toml"))
                .flat_map(|file| declares(file, banned)),
        );
    }
    findings
}

/// Dependencies of a Cargo.toml that are among `banned` (build and dev dependencies too).
fn declares(file: &File, banned: &[&str]) -> Vec<Finding> {
    let mut section = "";
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        let name = line
            .split(['.', '=', ' '])
            .next()
            .unwrap_or("")
            .replace('-', "_");
        let dev = section.contains("dev-dependencies");
        if section.contains("dependencies") && !dev && banned.iter().any(|banned| *banned == name) {
            findings.push(file.finding(at + 1, format!("must not depend on {name}")));
        }
    }
    findings
}

/// What differs between operating systems stands behind one interface.
fn names_a_platform(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree
        .product()
        .filter(|file| !file.path.starts_with("daemon/src/platform"))
    {
        for (at, line) in file.code().lines().enumerate() {
            let names_one = line.contains("target_os") || line.contains("target_vendor");
            let asks_family =
                line.contains("cfg") && (line.contains("(unix") || line.contains("(windows"));
            if names_one || asks_family {
                findings.push(file.finding(
                    at + 1,
                    "what differs by operating system belongs in daemon/src/platform",
                ));
            }
        }
    }
    findings
}

/// The same noun has the same file name at every layer, so a tool's file has a domain file and a
/// store file of its name.
fn tools_without_domain(tree: &Tree) -> Vec<Finding> {
    let tools = tree.product().filter(|file| {
        file.path.starts_with("control-plane/src/mcp/tools/")
            && !matches!(file.name(), "mod.rs" | "fixtures.rs")
    });
    let has = |path: String| tree.files.iter().any(|file| file.path == path);
    tools
        .filter(|file| {
            let stem = file.name().trim_end_matches(".rs");
            !has(format!("control-plane/src/{stem}.rs"))
                && !has(format!("control-plane/src/{stem}/mod.rs"))
        })
        .map(|file| {
            file.finding(
                1,
                format!("no control-plane/src/{} for these tools", file.name()),
            )
        })
        .collect()
}

#[test]
fn each_layer_uses_only_its_own_tools() {
    assert_clean(&breaks_table(&Tree::load()));
}

#[test]
fn crates_see_only_what_is_below_them() {
    assert_clean(&crosses_crates(&Tree::load()));
}

#[test]
fn only_the_platform_folder_names_an_operating_system() {
    assert_clean(&names_a_platform(&Tree::load()));
}

#[test]
fn tools_and_domain_share_their_names() {
    assert_clean(&tools_without_domain(&Tree::load()));
}

#[test]
fn the_table_is_kept_row_by_row() {
    let sample = Tree::of(&[
        (
            "daemon/src/dispatch.rs",
            "use tokio::{sync::{mpsc, Mutex}};\nfn f() { tokio::task::spawn_blocking(x); }\n",
        ),
        ("daemon/src/scheduler/task.rs", "use tokio::time::sleep;\n"),
        (
            "daemon/src/workspaces.rs",
            "fn f() { git2::Repository::open(x); std::time::Instant::now(); }\n",
        ),
        (
            "daemon/src/git/open.rs",
            "use git2::Repository;\nuse std::process::Command;\n",
        ),
        (
            "control-plane/src/tasks.rs",
            "fn f() { sqlx::query(\"\"); }\n",
        ),
        ("control-plane/src/store/tasks.rs", "use sqlx::query;\n"),
        ("control-plane/src/runs.rs", "use std::process::Command;\n"),
    ]);
    assert_found(
        &breaks_table(&sample),
        &[
            "daemon/src/dispatch.rs:1: `tokio::sync::mpsc`",
            "daemon/src/workspaces.rs:1: `git2::",
            "daemon/src/workspaces.rs:1: `std::time::Instant::now`",
            "control-plane/src/tasks.rs:1: `sqlx::query`",
            "control-plane/src/runs.rs:1: `std::process::Command`",
        ],
    );
}

#[test]
fn a_crate_that_sees_too_much_is_found() {
    let sample = Tree::of(&[
        (
            "proto/Cargo.toml",
            "[dependencies]\nserde.workspace = true\ntokio = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n",
        ),
        ("daemon/src/link.rs", "use hostler_control_plane::hosts;\n"),
        ("proto/src/frame.rs", "use std::fs;\nuse std::fmt;\n"),
    ]);
    assert_found(
        &crosses_crates(&sample),
        &[
            "proto/src/frame.rs:1: `std::fs`",
            "proto/Cargo.toml:3: must not depend on tokio",
            "daemon/src/link.rs:1: `hostler_control_plane::hosts`",
        ],
    );
}

#[test]
fn a_platform_named_elsewhere_is_found() {
    let sample = Tree::of(&[
        (
            "daemon/src/platform/mod.rs",
            "#[cfg(target_os = \"linux\")]\nmod linux;\n",
        ),
        (
            "daemon/src/host.rs",
            "fn a() {}\n#[cfg(target_os = \"macos\")]\nfn b() {}\n#[cfg(unix)]\nfn c() {}\n",
        ),
    ]);
    assert_found(
        &names_a_platform(&sample),
        &["daemon/src/host.rs:2:", "daemon/src/host.rs:4:"],
    );
}

#[test]
fn tools_without_a_domain_file_are_found() {
    let sample = Tree::of(&[
        ("control-plane/src/mcp/tools/tasks.rs", ""),
        ("control-plane/src/mcp/tools/hosts.rs", ""),
        ("control-plane/src/hosts/mod.rs", ""),
    ]);
    assert_found(
        &tools_without_domain(&sample),
        &["control-plane/src/mcp/tools/tasks.rs:1:"],
    );
}
