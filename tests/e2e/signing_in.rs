//! What the commands sign in with: an API key, or a sign-in by device code that renews itself, also
//! when several commands do so at once, the disk is full or the control plane is away.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use serde_json::{Value, json};

use crate::harness::{
    Ended, Home, Program, Service, Visitor, allow_device, device_page, eventually, passed, secs,
    set_up, soon,
};

/// Access tokens as short-lived as a server allows.
const SHORT: [(&str, &str); 1] = [("HOSTLER_ACCESS_TOKEN_SECONDS", "5")];

#[test]
fn what_the_commands_sign_in_with_is_told() {
    let home = Home::new();
    let up = home.up();
    let who = home.run(&["whoami", "--json"]).json();
    assert_eq!(who["credential"]["kind"], "api_key", "{who}");
    assert_eq!(who["role"], "owner", "{who}");
    assert!(!who.to_string().contains(&up.key), "{who}");
    let status = home.run(&["auth", "status", "--json"]).json();
    assert_eq!(status["signedIn"], true, "{status}");
    assert_eq!(status["host"]["state"], "online", "{status}");
    let text = home.run(&["auth", "status"]).ok();
    assert!(
        text.contains("credentials.json") && text.contains("API key"),
        "{text}"
    );
    let mut named = home.hostler(&["auth", "status", "--json"]);
    named.env("HOSTLER_API_KEY", &up.key);
    let named = Ended::of(named, secs(20)).json();
    assert_eq!(named["source"], "HOSTLER_API_KEY", "{named}");
    let (_, said) = home.run(&["auth", "refresh"]).failed();
    assert!(said.contains("API key"), "{said}");
    assert_eq!(home.run(&["console"]).ok().trim(), up.url);
}

#[test]
fn a_key_goes_to_no_other_server_and_no_other_user() {
    let home = Home::new();
    let _up = home.up();
    let other = home.run(&["whoami", "--server", "http://127.0.0.1:9"]);
    let (code, said) = other.failed();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("hostler login http://127.0.0.1:9"), "{said}");
    let far = home.run(&["whoami", "--server", "http://hostler.example.com"]);
    let (code, said) = far.failed();
    assert_eq!(code, 2, "{said}");
    let file = credentials(&home);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = home.run(&["whoami"]);
    assert!(ended.stderr.contains("other users"), "{}", ended.stderr);
    ended.ok();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = home.run(&["whoami"]);
    assert!(again.stderr.is_empty(), "{}", again.stderr);
}

#[test]
fn a_machine_joins_by_a_code_and_no_secret_is_pasted() {
    let (server, box_) = (Home::new(), Home::new());
    let service = server.server();
    let mut owner = set_up(&service);
    let mut join = Program::spawn(box_.hostler(&["join", &service.url, "--name", "build-box"]));
    allow_device(&mut owner, &mut join);
    let ended = join.wait(secs(30));
    assert!(ended.success(), "{}", join.output());
    let _daemon = box_.daemon();
    eventually("the host is online", secs(30), || {
        let status = Ended::of(box_.hostler(&["auth", "status", "--json"]), secs(20)).json();
        (status["host"]["state"] == "online").then_some(())
    });
    let who = box_.run(&["whoami", "--json"]).json();
    assert_eq!(who["person"]["email"], "olga@example.com", "{who}");
    assert_eq!(who["organization"]["name"], "Acme", "{who}");
    let saved = fs::read(credentials(&box_)).unwrap();
    let mode = fs::metadata(credentials(&box_))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    box_.run(&["logout"]).ok();
    assert!(!credentials(&box_).exists());
    signed_out(&box_);
    // The tokens were revoked, not only forgotten.
    fs::write(credentials(&box_), saved).unwrap();
    fs::set_permissions(credentials(&box_), fs::Permissions::from_mode(0o600)).unwrap();
    signed_out(&box_);
}

#[test]
fn a_sign_in_that_is_turned_down_saves_nothing() {
    let (server, box_) = (Home::new(), Home::new());
    let service = server.server();
    let mut owner = set_up(&service);
    let opened = box_.path("opened");
    let browser = box_.path("browser");
    fs::write(
        &browser,
        format!("#!/bin/sh\necho \"$1\" > '{}'\n", opened.display()),
    )
    .unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = box_.hostler(&["login", &service.url, "--browser"]);
    command.env("BROWSER", &browser);
    let mut login = Program::spawn(command);
    let page = device_page(&mut owner, &mut login);
    assert!(page.words().contains("127.0.0.1"), "{}", page.shown());
    let shown = eventually("the browser is opened", secs(10), || {
        fs::read_to_string(&opened)
            .ok()
            .filter(|text| text.ends_with('\n'))
    });
    assert!(shown.contains("/device?user_code="), "{shown}");
    owner.press(&page, "Refuse", &[]);
    let ended = login.wait(secs(30));
    assert_eq!(ended.code(), Some(3), "{}", login.output());
    eventually("it says why", secs(30), || {
        login.output().contains("turned down").then_some(())
    });
    assert!(!credentials(&box_).exists());
}

#[test]
fn commands_that_refresh_at_once_burn_no_token() {
    let (server, box_) = (Home::new(), Home::new());
    let service = server.server_with(&SHORT);
    login(&mut set_up(&service), &service, &box_);
    let first = saved(&box_);
    for _ in 0..2 {
        let before = server.count(REFRESHES);
        passed(&soon(5));
        let all: Vec<_> = (0..6)
            .map(|_| Program::spawn(box_.hostler(&["whoami"])))
            .collect();
        for mut one in all {
            let ended = one.wait(secs(60));
            assert!(ended.success(), "{}", one.output());
        }
        // Six commands may straddle the end of a token that lives five seconds.
        let spent = server.count(REFRESHES) - before;
        assert!((1..=2).contains(&spent), "{spent} refreshes for one expiry");
    }
    assert_ne!(saved(&box_)["refreshToken"], first["refreshToken"]);
    let before = saved(&box_);
    box_.run(&["auth", "refresh"]).ok();
    assert_ne!(saved(&box_)["accessToken"], before["accessToken"]);
}

#[test]
fn a_full_disk_costs_no_sign_in() {
    let (server, box_) = (Home::new(), Home::new());
    let service = server.server_with(&SHORT);
    login(&mut set_up(&service), &service, &box_);
    let before = saved(&box_);
    let refreshes = server.count(REFRESHES);
    passed(&soon(6));
    // No process below may write a byte to any file.
    let mut full = box_.command("sh");
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
    full.args(["-c", script, env!("CARGO_BIN_EXE_hostler"), "whoami"]);
    let (_, said) = Ended::of(full, secs(30)).failed();
    assert!(said.contains("credentials.json"), "{said}");
    assert_eq!(server.count(REFRESHES), refreshes, "nothing was asked for");
    assert_eq!(saved(&box_), before);
    box_.run(&["whoami"]).ok();
}

#[test]
fn a_control_plane_that_is_away_or_revokes_is_told_apart() {
    let (server, box_) = (Home::new(), Home::new());
    let mut service = server.server_with(&SHORT);
    let mut owner = set_up(&service);
    login(&mut owner, &service, &box_);
    service.program.stop();
    passed(&soon(6));
    let (code, said) = box_.run(&["whoami"]).failed();
    assert_eq!(code, 7, "{said}");
    let service = server.server_with(&SHORT);
    box_.run(&["whoami"]).ok();

    let revoke = "UPDATE tokens SET revoked_at = 1 WHERE client_id = 'hostler-cli'".to_owned();
    let catalog = server.hostler_home().join("control-plane/catalog.db");
    server.sql(&catalog, &[revoke]);
    let (code, said) = box_.run(&["hosts", "list"]).failed();
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains(&format!("hostler login {}", service.url)),
        "{said}"
    );
    signed_out(&box_);
}

/// Refresh tokens that were used, of the whole server.
const REFRESHES: &str =
    "SELECT COUNT(*) FROM tokens WHERE kind = 'refresh_token' AND spent_at IS NOT NULL";

/// `hostler login` on a machine, allowed by somebody in a browser.
#[track_caller]
fn login(person: &mut Visitor, service: &Service, machine: &Home) {
    let mut login = Program::spawn(machine.hostler(&["login", &service.url, "--json"]));
    allow_device(person, &mut login);
    let ended = login.wait(secs(30));
    assert!(ended.success(), "{}", login.output());
}

/// Commands say that nobody is signed in, and what to run.
#[track_caller]
fn signed_out(machine: &Home) {
    let (code, said) = machine.run(&["whoami"]).failed();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("hostler login"), "{said}");
    let status = machine.run(&["auth", "status", "--json"]);
    assert_eq!(status.code, Some(3));
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["signedIn"], json!(false), "{status}");
}

fn credentials(home: &Home) -> PathBuf {
    home.hostler_home().join("credentials.json")
}

/// The tokens that are saved.
#[track_caller]
fn saved(home: &Home) -> Value {
    home.credentials().unwrap()["oauth"].clone()
}
