//! `hostler up`: the first start, every later one, and the starts that must refuse with a clear
//! sentence and touch nothing.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Ended, Home, Program, Service, Stopwatch, eventually, free_port, secs};

#[test]
fn first_start_shows_all_a_newcomer_needs() {
    let home = Home::new();
    let up = home.up();
    assert!(up.key.starts_with("sk_live_"), "{}", up.key);
    assert_eq!(up.url, format!("http://127.0.0.1:{}", home.port()));
    let shown = up.program.stdout();
    for part in [
        &up.mcp_url,
        &up.key,
        "claude mcp add",
        "codex mcp add",
        "hostler connect",
    ] {
        assert!(shown.contains(part), "no {part:?} in:\n{shown}");
    }
    assert!(shown.lines().count() < 20, "too much at once:\n{shown}");
    let elsewhere = Home::new().run(&["connect", "cursor", "--server", &up.url]);
    assert!(elsewhere.stderr.contains("keys create"), "{elsewhere:?}");
    assert!(
        elsewhere.ok().contains(&up.mcp_url),
        "the address is enough"
    );
    let hosts = up.mcp().ok("hosts_list", json!({}));
    assert_eq!(hosts["hosts"].as_array().unwrap().len(), 1);
    assert_eq!(hosts["hosts"][0]["online"], true);
}

#[test]
fn a_lost_credentials_file_is_made_again_with_a_key_that_works() {
    let home = Home::new();
    let mut up = home.up();
    let first = up.key.clone();
    up.program.kill();
    fs::remove_file(home.hostler_home().join("credentials.json")).unwrap();
    let up = home.up();
    assert_ne!(up.key, first);
    up.mcp().ok("hosts_list", json!({}));
}

#[test]
fn what_it_keeps_is_private() {
    let home = Home::new();
    let up = home.up();
    let told = home.hostler_home().join("host/link.json");
    eventually("how the link stands is told", secs(30), || {
        told.exists().then_some(())
    });
    assert_eq!(mode(&home.hostler_home()), 0o700);
    assert_eq!(mode(&home.hostler_home().join("credentials.json")), 0o600);
    for path in files_under(&home.hostler_home()) {
        assert_eq!(
            mode(&path) & 0o077,
            0,
            "others can reach {}",
            path.display()
        );
    }
    let stored = files_under(&home.hostler_home())
        .into_iter()
        .filter(|path| !path.ends_with("credentials.json"));
    for path in stored {
        let bytes = fs::read(&path).unwrap();
        let found = bytes
            .windows(up.key.len())
            .any(|part| part == up.key.as_bytes());
        assert!(!found, "the key stands in plain text in {}", path.display());
    }
}

#[test]
fn later_starts_reuse_everything() {
    let home = Home::new();
    let mut up = home.up();
    let host = up.mcp().ok("hosts_list", json!({}))["hosts"][0]["id"].clone();
    let task = up.mcp().ok("tasks_create", json!({"title": "Still here"}))["task"]["id"].clone();
    let (status, took) = up.program.stop();
    assert!(
        status.success() && took < secs(5),
        "{status} after {took:?}"
    );

    let again = home.up();
    assert_eq!(again.key, up.key);
    assert!(
        !again.program.stdout().contains(&up.key),
        "a key is shown once:\n{}",
        again.program.stdout()
    );
    assert_eq!(
        again.mcp().ok("hosts_list", json!({}))["hosts"][0]["id"],
        host
    );
    assert_eq!(
        again.mcp().ok("tasks_get", json!({"idOrSlug": task}))["task"]["title"],
        "Still here"
    );
}

#[test]
fn host_name_and_port_are_a_choice() {
    let home = Home::new();
    let port = home.port().to_string();
    let up = Service::ready(
        &home,
        Program::spawn(home.hostler(&["up", "--port", &port, "--host-name", "MacBook"])),
    );
    up.wait_host_online(1);
    assert_eq!(
        up.mcp().ok("hosts_list", json!({}))["hosts"][0]["name"],
        "MacBook"
    );
    up.mcp().ok("workspaces_list", json!({"hostId": "macbook"}));
}

#[test]
fn interrupt_and_terminate_end_it_in_time() {
    let home = Home::new();
    for signal in [Signal::INT, Signal::TERM] {
        let mut up = home.up();
        let watch = Stopwatch::start();
        up.program.signal(signal);
        let status = up.program.wait(secs(10));
        assert!(
            status.success(),
            "{signal:?}: {status}: {}",
            up.program.output()
        );
        assert!(
            watch.elapsed() < secs(5),
            "{signal:?} took {:?}",
            watch.elapsed()
        );
    }
}

#[test]
fn killed_at_any_moment_it_starts_again() {
    let home = Home::new();
    let first = home.hostler(&["up", "--port", &home.port().to_string()]);
    let mut program = Program::spawn(first);
    eventually("it has begun to write", secs(10), || {
        (!files_under(&home.hostler_home()).is_empty()).then_some(())
    });
    program.kill();
    let mut up = home.up();
    up.program.kill();
    home.up();
}

#[test]
fn a_taken_port_is_named() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refused(&home, &port);
    assert!(said.contains(&port), "{said}");
    drop(taken);
    home.up();
}

#[test]
fn a_second_instance_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let up = home.up();
    let said = refused(&home, &free_port().to_string());
    assert!(said.to_lowercase().contains("already"), "{said}");
    up.mcp().ok("hosts_list", json!({"online": true}));
    assert_eq!(
        home.credentials().unwrap()["url"],
        up.url.as_str(),
        "the refused start changed the credentials"
    );
}

#[test]
fn a_corrupt_database_is_named_and_left_alone() {
    let home = Home::new();
    home.up().program.stop();
    for database in databases(&home) {
        let whole = fs::read(&database).unwrap();
        let corrupt = [b"this is no database ".repeat(300), whole.clone()].concat();
        fs::write(&database, &corrupt).unwrap();
        let said = refused(&home, &home.port().to_string());
        assert!(
            said.contains(database.file_name().unwrap().to_str().unwrap()),
            "{said}"
        );
        assert_eq!(
            fs::read(&database).unwrap(),
            corrupt,
            "{} was changed",
            database.display()
        );
        fs::write(&database, whole).unwrap();
    }
    home.up();
}

#[test]
fn a_newer_database_is_named_and_left_alone() {
    let home = Home::new();
    home.up().program.stop();
    for database in databases(&home) {
        let change = |statement: &str| home.sql(&database, &[statement.to_owned()]);
        change(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', 1, x'00', 0)",
        );
        let said = refused(&home, &home.port().to_string());
        assert!(said.contains("newer"), "{said}");
        change("DELETE FROM _sqlx_migrations WHERE version = 9999");
    }
    home.up();
}

#[test]
fn an_unwritable_home_is_named() {
    let home = Home::new();
    let file = home.path("file");
    fs::write(&file, "not a folder").unwrap();
    let inside_file = file.join("home");
    for place in [Path::new("/proc/hostler"), &file, &inside_file] {
        let mut command = home.hostler(&["up", "--port", &free_port().to_string()]);
        command.env("HOSTLER_HOME", place);
        let (_, said) = Ended::of(command, secs(20)).failed();
        assert!(said.contains(place.to_str().unwrap()), "{said}");
        assert_clear(&said);
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "not a folder");
}

#[test]
fn it_serves_within_a_second_alone() {
    let home = Home::new();
    for start in ["first", "later"] {
        let watch = Stopwatch::start();
        let port = home.port().to_string();
        let mut up = Service::ready(
            &home,
            Program::spawn(home.hostler(&["up", "--port", &port])),
        );
        up.mcp().tools();
        let took = watch.elapsed();
        assert!(took < secs(1), "the {start} start took {took:?}");
        up.program.stop();
    }
}

/// A start that must fail; gives what it said.
#[track_caller]
fn refused(home: &Home, port: &str) -> String {
    let (_, said) = Ended::of(home.hostler(&["up", "--port", port]), secs(20)).failed();
    assert_clear(&said);
    said
}

/// A sentence for a person: no panic, no debug output.
#[track_caller]
fn assert_clear(said: &str) {
    for bad in ["panicked", "RUST_BACKTRACE", "Error {", "Os {", "Database("] {
        assert!(!said.contains(bad), "not a clear sentence: {said}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_under(&entry.path()));
        } else if entry.file_type().unwrap().is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// Every SQLite database of a stopped home.
fn databases(home: &Home) -> Vec<PathBuf> {
    let is_database =
        |path: &PathBuf| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"));
    let found: Vec<_> = files_under(&home.hostler_home())
        .into_iter()
        .filter(is_database)
        .collect();
    assert!(
        found.len() >= 2,
        "a catalog and a host's database: {found:?}"
    );
    found
}
