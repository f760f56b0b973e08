//! `hostler login`, `logout` and `console`: signing this machine in and out of a control plane.
//!
//! Login is the device flow, so it works on a machine without a browser: the person agrees in any
//! browser, and no secret is pasted. What cannot be saved is taken back at once.

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use hostler_control_plane::auth::Scopes;
use hostler_daemon::platform::BROWSER_OPENERS;
use serde_json::{Value, json};

use crate::access::{Access, Source};
use crate::args::LoginArgs;
use crate::client::{self, Session, address};
use crate::credentials::{Entry, Lock, Room, Saved, Tokens};
use crate::failure::Failure;
use crate::home;
use crate::oauth::{CLIENT_ID, Denied, Device, Granted, Poll, Server};
use crate::output;
use crate::when;

/// Where a control plane listens by default.
const NEAR: &str = "http://127.0.0.1:4880";

/// How long a program that opens a browser may take to say that it cannot.
const OPENING: Duration = Duration::from_secs(2);

/// `hostler login [URL]`.
pub(crate) fn login(session: &Session, args: &LoginArgs) -> Result<ExitCode, Failure> {
    let url = meant(session, args.url.as_deref())?.unwrap_or_else(|| NEAR.to_owned());
    if args.with_key {
        keep_key(session, &url)?;
    } else {
        sign_in(session, &url, args.browser)?;
    }
    if let Some(name) = session.given_key() {
        output::note(&format!(
            "warning: {name} is set: commands use that key, not what was saved just now"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// `hostler logout [URL]`.
pub(crate) fn logout(session: &Session, url: Option<&str>) -> Result<ExitCode, Failure> {
    let home = home::path()?;
    let meant = meant(session, url)?;
    if !home.is_dir() {
        return Err(not_signed_in(meant.as_deref()));
    }
    let lock = Lock::take(&home)?;
    let mut saved = Saved::load(&home)?;
    let entry = meant.as_deref().and_then(|url| saved.of(url)).cloned();
    let Some(entry) = entry else {
        return Err(not_signed_in(meant.as_deref()));
    };
    let revoked = entry
        .oauth
        .as_ref()
        .map(|tokens| Server::new(&entry.url).revoke(&tokens.client_id, &tokens.refresh_token));
    saved.forget(&entry.url);
    lock.save(&saved)?;
    output::line(&format!("Signed out of {}.", entry.url))?;
    if let Some(Err(denied)) = revoked {
        output::note(&format!(
            "warning: it could not be told: {denied}. Until it is, the sign-in stays good there: revoke it in the console, Settings > MCP clients"
        ));
    }
    if entry.api_key.is_some() {
        output::note(
            "its API key was forgotten here, not revoked: the console's Settings > API keys does that",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// `hostler console [--open]`.
pub(crate) fn console(session: &Session, open: bool) -> Result<ExitCode, Failure> {
    let known = meant(session, None)?;
    let joined = || {
        let found = home::path()
            .ok()
            .map(|home| hostler_daemon::identity(&home));
        found.and_then(Result::ok).flatten()
    };
    let url = known
        .or_else(|| joined().map(|identity| identity.url))
        .ok_or_else(|| not_signed_in(None))?;
    if session.json() {
        output::json(&json!({"url": url}))?;
    } else {
        output::line(&url)?;
    }
    if open && let Err(why) = open_browser(&url) {
        output::note(&format!("no browser could be opened: {why}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// An enrolment key for this machine, asked for with the credential there is; without a good one
/// the person signs in first.
pub(crate) fn enrolment_key(session: &Session, url: &str) -> Result<String, Failure> {
    let ask = || {
        let access = session.access(Some(url))?;
        client::post(&access, hostler_proto::enrol::ENROLMENT_KEYS_PATH)
    };
    let answer = match ask() {
        Err(failure) if failure.wants_sign_in() && session.given_key().is_none() => {
            output::note(&format!(
                "you are not signed in at {url}: that comes first (or give an enrolment key with --key)"
            ));
            sign_in(session, url, false)?;
            ask()?
        }
        answer => answer?,
    };
    let key = answer["key"].as_str().map(str::to_owned);
    key.ok_or_else(|| Failure::new(format!("{url} gave no enrolment key.")))
}

/// The control plane a command means: the one named, else the first one known.
fn meant(session: &Session, url: Option<&str>) -> Result<Option<String>, Failure> {
    if let Some(url) = url {
        return address(url).map(Some);
    }
    if let Some(named) = session.named()? {
        return Ok(Some(named));
    }
    let saved = Saved::load(&home::path()?)?;
    Ok(saved.entries.first().map(|entry| entry.url.clone()))
}

/// The device flow, to its end.
fn sign_in(session: &Session, url: &str, browser: bool) -> Result<(), Failure> {
    // A folder that cannot be written is told before the person is troubled.
    drop(room(&home::ensure()?)?);
    let server = Server::new(url);
    let scope = format!("{} offline_access", Scopes::all());
    let device = server
        .device(&scope)
        .map_err(|denied| denied.told("begin a sign-in", url))?;
    introduce(session, url, &device)?;
    if browser {
        let complete = device.verification_uri_complete.as_ref();
        if let Err(why) = open_browser(complete.unwrap_or(&device.verification_uri)) {
            output::note(&format!(
                "no browser could be opened ({why}): open the address yourself, on any machine"
            ));
        }
    }
    let granted = wait(&server, url, &device)?;
    let entry = keep(url, &server, granted)?;
    told(session, &entry)
}

fn introduce(session: &Session, url: &str, device: &Device) -> Result<(), Failure> {
    if session.json() {
        return output::line(
            &json!({
                "verificationUri": device.verification_uri,
                "verificationUriComplete": device.verification_uri_complete,
                "userCode": device.user_code,
                "expiresIn": device.expires_in,
            })
            .to_string(),
        );
    }
    output::text_block(&format!(
        "To sign this machine in at {url}, open in any browser\n\n    {}\n\nand enter the code\n\n    {}\n",
        device.verification_uri, device.user_code
    ))?;
    if let Some(complete) = &device.verification_uri_complete {
        output::text_block(&format!("\n(or open {complete})\n"))?;
    }
    output::line(&format!(
        "\nWaiting; the code is good for {} minutes.",
        device.expires_in.div_ceil(60)
    ))
}

/// Asks until the person has answered or the code has expired.
fn wait(server: &Server, url: &str, device: &Device) -> Result<Granted, Failure> {
    let (mut interval, mut waited) = (device.interval.max(1), 0);
    while waited < device.expires_in {
        std::thread::sleep(Duration::from_secs(interval));
        waited += interval;
        match server.poll(&device.code, interval) {
            Ok(Poll::Granted(granted)) => return Ok(granted),
            Ok(Poll::Wait(next)) => interval = next,
            Err(Denied::Refused { code, .. }) if code == "access_denied" => {
                let words = format!("The sign-in at {url} was turned down in the browser.");
                let again = format!("If that was a mistake, run `hostler login {url}` again.");
                return Err(Failure::unauthorized(words).hint(again));
            }
            Err(Denied::Refused { code, .. }) if code == "expired_token" => break,
            Err(denied) => return Err(denied.told("sign this machine in", url)),
        }
    }
    Err(
        Failure::unauthorized(format!("Nobody entered the code at {url} in time."))
            .hint(format!("Run `hostler login {url}` for a new one.")),
    )
}

/// Saves new tokens under the names of their person; takes them back when they cannot be saved.
fn keep(url: &str, server: &Server, granted: Granted) -> Result<Entry, Failure> {
    let fresh = granted.refresh_token.clone();
    match saved_with_names(url, granted) {
        Ok((entry, replaced)) => {
            if let Some(old) = replaced {
                // What nobody can use any more is better gone; it expires in any case.
                drop(server.revoke(&old.client_id, &old.refresh_token));
            }
            Ok(entry)
        }
        Err(failure) => {
            if let Some(fresh) = fresh {
                drop(server.revoke(CLIENT_ID, &fresh));
            }
            Err(failure)
        }
    }
}

fn saved_with_names(url: &str, granted: Granted) -> Result<(Entry, Option<Tokens>), Failure> {
    let who = whose(url, &granted.access_token)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tokens = granted.with_names(
        when::now(),
        CLIENT_ID,
        &text(&who["organization"]["name"]),
        &text(&who["person"]["email"]),
    );
    update(url, &who, |entry| entry.oauth.replace(tokens))
}

/// Reads an API key from standard input and saves it.
fn keep_key(session: &Session, url: &str) -> Result<(), Failure> {
    let mut key = String::new();
    std::io::stdin().read_line(&mut key)?;
    let key = key.trim();
    if !key.starts_with("sk_live_") {
        return Err(
            Failure::usage("That is not an API key: it begins with sk_live_.")
                .hint("Give it on standard input: hostler login URL --with-key < key.txt"),
        );
    }
    let who = whose(url, key)?;
    let (entry, _) = update(url, &who, |entry| {
        entry.api_key = Some(key.to_owned());
        entry.oauth.take()
    })?;
    told(session, &entry)
}

/// What the control plane says about a secret that is not saved yet.
fn whose(url: &str, secret: &str) -> Result<Value, Failure> {
    let access = Access {
        url: url.to_owned(),
        bearer: secret.to_owned(),
        source: Source::Given("this sign-in"),
    };
    client::get(&access, "/v1/whoami")
}

/// Puts a control plane in front with what `set` changes in its entry.
fn update<T>(
    url: &str,
    who: &Value,
    set: impl FnOnce(&mut Entry) -> T,
) -> Result<(Entry, T), Failure> {
    let home = home::ensure()?;
    let lock = Lock::take(&home)?;
    let mut saved = Saved::load(&home)?;
    let mut entry = saved.of(url).cloned().unwrap_or_else(|| Entry {
        url: url.to_owned(),
        mcp_url: format!("{url}/api/v2/agent/mcp"),
        server_id: None,
        api_key: None,
        oauth: None,
    });
    let id = who["server"]["id"].as_str();
    entry.server_id = id.and_then(|id| id.parse().ok()).or(entry.server_id);
    let before = set(&mut entry);
    saved.put_first(entry.clone());
    lock.save(&saved)?;
    Ok((entry, before))
}

fn told(session: &Session, entry: &Entry) -> Result<(), Failure> {
    if session.json() {
        return output::line(&json!({"url": entry.url, "signedIn": true}).to_string());
    }
    match &entry.oauth {
        Some(tokens) => output::text_block(&format!(
            "Signed in at {} as {}, organization {}.",
            entry.url, tokens.email, tokens.organization
        )),
        None => output::line(&format!("The API key for {} is saved.", entry.url)),
    }
}

fn room(home: &std::path::Path) -> Result<Room, Failure> {
    Lock::take(home)?.room()
}

fn not_signed_in(url: Option<&str>) -> Failure {
    let at = url.map(|url| format!(" at {url}"));
    Failure::unauthorized(format!(
        "This machine is not signed in{}.",
        at.unwrap_or_default()
    ))
    .hint("Run `hostler login URL`.")
}

/// Opens an address in the person's browser: `$BROWSER`, else the system's way.
fn open_browser(url: &str) -> Result<(), String> {
    let chosen = std::env::var("BROWSER").unwrap_or_default();
    let chosen = chosen.split(':').filter(|program| !program.is_empty());
    let mut why = "there is no program for it".to_owned();
    for program in chosen.chain(BROWSER_OPENERS.iter().copied()) {
        let started = Command::new(program)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started.map(is_open) {
            Ok(true) => return Ok(()),
            Ok(false) => why = format!("{program} failed"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => why = format!("{program}: {error}"),
        }
    }
    Err(why)
}

/// Whether a program that opens a browser goes on, or has ended well.
fn is_open(mut child: std::process::Child) -> bool {
    const LOOK: Duration = Duration::from_millis(50);
    let mut left = OPENING;
    while !left.is_zero() {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(LOOK),
            Err(_) => return false,
        }
        left = left.saturating_sub(LOOK);
    }
    true
}
