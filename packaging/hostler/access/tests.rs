//! Renewal against a scripted token server: alone, together, refused, unanswered, unsaved.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::oauth::Poll;

const REFUSED: &str =
    r#"{"error": "invalid_grant", "error_description": "The refresh token was revoked."}"#;

/// How the scripted server answers.
#[derive(Clone, Copy)]
enum Script {
    /// With fresh tokens, each good for so many seconds; the old refresh token is spent.
    Rotate(i64),
    /// With this status and body.
    Say(u16, &'static str),
    /// Never.
    Hang,
}

/// A token server: it counts what it is asked, and a spent refresh token is refused.
struct TokenServer {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl TokenServer {
    fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            let mut kept = Vec::new();
            for client in listener.incoming().flatten() {
                let number = count.fetch_add(1, Ordering::SeqCst);
                if matches!(script, Script::Hang) {
                    kept.push(client);
                } else {
                    answer(client, script, number);
                }
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut client: TcpStream, script: Script, number: usize) {
    let form = form_of(&mut client);
    let current = format!("refresh_token=rt_{number}&");
    let (status, body) = match script {
        Script::Rotate(life) if form.contains(&current) => {
            let next = number + 1;
            let body = format!(
                r#"{{"access_token": "at_{next}", "refresh_token": "rt_{next}", "expires_in": {life}, "token_type": "Bearer"}}"#
            );
            (200, body)
        }
        Script::Rotate(_) => (400, REFUSED.to_owned()),
        Script::Say(status, body) => (status, body.to_owned()),
        Script::Hang => return,
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    client.write_all((head + &body).as_bytes()).unwrap();
}

/// The body of a request with a length.
fn form_of(client: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next());
            if body.len() >= length.and_then(|text| text.parse().ok()).unwrap_or(0) {
                return body.to_owned();
            }
        }
        let count = client.read(&mut chunk).unwrap();
        assert!(count > 0, "cut short: {text}");
        read.extend_from_slice(&chunk[..count]);
    }
}

/// A machine signed in at `url` with `at_0` and `rt_0`, that end in so many seconds.
fn signed_in(url: &str, left: i64, key: Option<&str>) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let granted = Granted {
        access_token: "at_0".to_owned(),
        refresh_token: Some("rt_0".to_owned()),
        expires_in: 3600,
    };
    let mut tokens = granted.with_names(when::now(), "hostler-cli", "Acme", "ann@example.com");
    tokens.expires_at = when::now() + SignedDuration::from_secs(left);
    let entry = Entry {
        url: url.to_owned(),
        mcp_url: format!("{url}/mcp"),
        server_id: None,
        api_key: key.map(str::to_owned),
        oauth: Some(tokens),
    };
    credentials::change(home.path(), |saved| saved.put_first(entry)).unwrap();
    home
}

fn tokens(home: &TempDir) -> Option<Tokens> {
    Saved::load(home.path()).unwrap().entries[0].oauth.clone()
}

fn bearer(home: &TempDir) -> String {
    saved(home.path(), None).unwrap().bearer
}

#[test]
fn a_token_that_ends_soon_is_renewed_once_and_saved() {
    let server = TokenServer::start(Script::Rotate(3600));
    let home = signed_in(&server.url, 30, None);
    assert_eq!(bearer(&home), "at_1");
    assert_eq!(bearer(&home), "at_1");
    assert_eq!(server.asked(), 1);
    let kept = tokens(&home).unwrap();
    assert_eq!(
        (kept.refresh_token.as_str(), kept.email.as_str()),
        ("rt_1", "ann@example.com")
    );
}

#[test]
fn processes_that_renew_at_once_spend_one_refresh_token() {
    let server = TokenServer::start(Script::Rotate(3600));
    let home = signed_in(&server.url, 3600, None);
    let together = Barrier::new(8);
    let renewed = || {
        together.wait();
        let asked = Server::new(&server.url);
        renew(home.path(), &asked, &server.url, Why::Refused("at_0")).map(|access| access.bearer)
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(renewed)).collect();
        for one in all {
            assert_eq!(one.join().unwrap().unwrap(), "at_1");
        }
    });
    assert_eq!(server.asked(), 1);
}

#[test]
fn a_refused_renewal_ends_the_sign_in_and_names_the_command() {
    let server = TokenServer::start(Script::Say(400, REFUSED));
    let home = signed_in(&server.url, 3600, None);
    let access = saved(home.path(), None).unwrap();
    let words = access.after_refusal(home.path()).err().unwrap().to_string();
    assert!(
        words.contains("was revoked") && words.contains("hostler login http"),
        "{words}"
    );
    assert_eq!(tokens(&home), None);
    let words = saved(home.path(), None).err().unwrap().to_string();
    let command = format!("hostler login {}", server.url);
    assert!(words.contains(&command), "{words}");
    assert_eq!(server.asked(), 1, "a dead token is not tried again");
}

#[test]
fn an_api_key_takes_over_when_the_renewal_is_refused() {
    let server = TokenServer::start(Script::Say(400, REFUSED));
    let home = signed_in(&server.url, 3600, Some("sk_live_x"));
    let access = saved(home.path(), None).unwrap();
    assert_eq!(access.bearer, "at_0");
    let next = access.after_refusal(home.path()).unwrap().unwrap();
    assert_eq!(
        (next.bearer.as_str(), next.source),
        ("sk_live_x", Source::SavedKey)
    );
    assert_eq!(bearer(&home), "sk_live_x");
}

#[test]
fn a_server_that_hangs_costs_a_limited_time_and_no_token() {
    let server = TokenServer::start(Script::Hang);
    let home = signed_in(&server.url, 3600, None);
    let asked = Server::patient(&server.url, Duration::from_millis(200));
    let outcome = renew(home.path(), &asked, &server.url, Why::Refused("at_0"));
    assert!(matches!(outcome, Err(NotRenewed::NotNow(_))));
    assert_eq!(tokens(&home).unwrap().refresh_token, "rt_0");
}

#[test]
fn a_server_in_trouble_ends_nothing() {
    for script in [
        Script::Say(503, "{}"),
        Script::Say(429, r#"{"error": "slow_down"}"#),
        Script::Say(302, ""),
        Script::Say(200, "<html>"),
        Script::Say(400, "not ours"),
    ] {
        let server = TokenServer::start(script);
        let home = signed_in(&server.url, 30, None);
        assert_eq!(bearer(&home), "at_0", "used while it is good");
        assert_eq!(tokens(&home).unwrap().refresh_token, "rt_0");
    }
}

#[test]
fn without_room_for_the_new_tokens_the_old_ones_are_not_spent() {
    let server = TokenServer::start(Script::Rotate(3600));
    let home = signed_in(&server.url, 30, None);
    // What stands where the new file would be written cannot be removed.
    let blocked = credentials::path(home.path()).with_extension("json.new");
    fs::create_dir(&blocked).unwrap();
    assert_eq!(bearer(&home), "at_0");
    assert_eq!(server.asked(), 0);
    fs::remove_dir(&blocked).unwrap();
    assert_eq!(bearer(&home), "at_1");
}

#[test]
fn a_clock_that_is_wrong_costs_a_renewal_at_most() {
    let server = TokenServer::start(Script::Rotate(3600));
    // Saved while the clock was a year behind: it seems to have ended long ago.
    let home = signed_in(&server.url, -366 * 24 * 3600, None);
    assert_eq!(
        (bearer(&home), bearer(&home)),
        ("at_1".to_owned(), "at_1".to_owned())
    );
    // Saved while it was a year ahead: it seems good for long, and the control plane knows better.
    let server = TokenServer::start(Script::Rotate(3600));
    let home = signed_in(&server.url, 366 * 24 * 3600, None);
    let access = saved(home.path(), None).unwrap();
    assert_eq!(access.bearer, "at_0");
    let next = access.after_refusal(home.path()).unwrap().unwrap();
    assert_eq!(next.bearer, "at_1");
    let kept = tokens(&home).unwrap();
    assert!(kept.expires_at < when::now() + SignedDuration::from_secs(3700));
}

#[test]
fn a_secret_goes_to_its_own_control_plane_only() {
    let home = signed_in("https://hostler.example.com", 3600, Some("sk_live_x"));
    for other in [
        "https://evil.example.com",
        "https://hostler.example.com:8443",
    ] {
        let words = saved(home.path(), Some(other)).err().unwrap().to_string();
        assert!(words.contains(&format!("hostler login {other}")), "{words}");
    }
}

#[test]
fn a_question_in_the_device_flow_tells_how_long_to_wait_or_that_it_is_over() {
    let poll = |status, body| {
        let server = TokenServer::start(Script::Say(status, body));
        Server::new(&server.url).poll("dc_1", 5)
    };
    for (status, body, wait) in [
        (400, r#"{"error": "authorization_pending"}"#, 5),
        (400, r#"{"error": "slow_down"}"#, 10),
        (429, "{}", 10),
        (502, "<html>", 10),
    ] {
        let answer = poll(status, body).unwrap();
        assert!(matches!(answer, Poll::Wait(next) if next == wait), "{body}");
    }
    for over in ["access_denied", "expired_token"] {
        let body = format!(r#"{{"error": "{over}"}}"#);
        let denied = poll(400, body.leak()).err();
        assert!(
            matches!(&denied, Some(Denied::Refused { code, .. }) if code == over),
            "{denied:?}"
        );
    }
}
