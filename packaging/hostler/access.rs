//! With which credential a command calls its control plane, and how that credential stays good.
//!
//! What was given with the call (`--api-key`, `HOSTLER_API_KEY`) wins and is never changed. Tokens
//! are renewed under the file's lock: whoever gets the lock second reads the file again and uses
//! what the first one saved, so no refresh token is spent twice. When a renewal is refused, the API
//! key takes over, else the person is told the command to run.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use crate::credentials::{self, Entry, Lock, Saved, Tokens};
use crate::failure::Failure;
use crate::oauth::{Denied, Granted, Server};
use crate::output;
use crate::when;

/// A credential in use.
#[derive(Clone)]
pub(crate) struct Access {
    /// Base URL of the control plane.
    pub(crate) url: String,
    /// What goes behind `Authorization: Bearer`.
    pub(crate) bearer: String,
    /// Where it is from.
    pub(crate) source: Source,
}

/// Where a credential is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Given with the call, by this name.
    Given(&'static str),
    /// The API key in `credentials.json`.
    SavedKey,
    /// The sign-in in `credentials.json`.
    SignIn,
}

/// How a renewal is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Why<'a> {
    /// The control plane refused this access token.
    Refused(&'a str),
    /// This access token ends soon.
    EndsSoon(&'a str),
    /// The person wants it.
    Wanted,
}

/// Why a renewal brought nothing.
#[derive(Debug)]
pub(crate) enum NotRenewed {
    /// The control plane will not renew it; the tokens were forgotten.
    Ended(Failure),
    /// It may work later; the tokens are as they were.
    NotNow(Failure),
}

impl NotRenewed {
    /// What to tell.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Ended(failure) | Self::NotNow(failure) => failure,
        }
    }
}

/// The credential for the control plane at `url`, or for the first one known. Tokens that end soon
/// are renewed; when that does not work now, they are used as long as they are good.
pub(crate) fn saved(home: &Path, url: Option<&str>) -> Result<Access, Failure> {
    let saved = Saved::load(home)?;
    let entry = match url {
        Some(url) => saved.of(url),
        None => saved.entries.first(),
    };
    let Some(entry) = entry else {
        return Err(nothing_for(home, url));
    };
    match &entry.oauth {
        Some(tokens) if tokens.ends_soon(when::now()) => {
            let why = Why::EndsSoon(&tokens.access_token);
            match renew(home, &Server::new(&entry.url), &entry.url, why) {
                Ok(access) => Ok(access),
                Err(NotRenewed::NotNow(_)) => Ok(of_tokens(&entry.url, tokens)),
                Err(NotRenewed::Ended(failure)) => of_key(entry).ok_or(failure),
            }
        }
        Some(tokens) => Ok(of_tokens(&entry.url, tokens)),
        None => of_key(entry).ok_or_else(|| nothing_for(home, Some(&entry.url))),
    }
}

impl Access {
    /// What to try after the control plane refused this with 401; none when there is nothing else.
    pub(crate) fn after_refusal(&self, home: &Path) -> Result<Option<Self>, Failure> {
        match self.source {
            Source::Given(_) | Source::SavedKey => Ok(None),
            Source::SignIn => {
                let server = Server::new(&self.url);
                match renew(home, &server, &self.url, Why::Refused(&self.bearer)) {
                    Ok(access) => Ok(Some(access)),
                    Err(NotRenewed::NotNow(failure)) => Err(failure),
                    Err(NotRenewed::Ended(failure)) => {
                        let saved = Saved::load(home)?;
                        let key = saved.of(&self.url).and_then(of_key);
                        key.map(Some).ok_or(failure)
                    }
                }
            }
        }
    }

    /// The failure of a call that was refused although everything was tried.
    pub(crate) fn refused(&self) -> Failure {
        let url = &self.url;
        match self.source {
            Source::Given(name) => {
                Failure::unauthorized(format!("{url} does not accept the API key of {name}."))
                    .hint(format!("Give another, or leave {name} out and run `hostler login {url}`."))
            }
            Source::SavedKey => Failure::unauthorized(format!(
                "{url} does not accept the API key in credentials.json: it was revoked or has expired."
            ))
            .hint(format!("Run `hostler login {url}`.")),
            Source::SignIn => {
                Failure::unauthorized(format!("{url} does not accept the sign-in of this machine."))
                    .hint(format!("Run `hostler login {url}`."))
            }
        }
    }
}

/// Renews the tokens for the control plane at `url`, unless another process has meanwhile.
pub(crate) fn renew(
    home: &Path,
    server: &Server,
    url: &str,
    why: Why<'_>,
) -> Result<Access, NotRenewed> {
    let lock = Lock::take(home).map_err(NotRenewed::NotNow)?;
    let mut saved = Saved::load(home).map_err(NotRenewed::NotNow)?;
    let Some(tokens) = saved.of(url).and_then(|entry| entry.oauth.clone()) else {
        return Err(NotRenewed::Ended(ended(url, "there is no sign-in")));
    };
    if renewed_by_another(&tokens, why, when::now()) {
        return Ok(of_tokens(url, &tokens));
    }
    // What comes back replaces the only refresh token: first make sure that it can be kept.
    let room = lock.room().map_err(NotRenewed::NotNow)?;
    match server.refresh(&tokens.client_id, &tokens.refresh_token) {
        Ok(granted) => {
            let next = successor(&tokens, granted, when::now());
            let access = of_tokens(url, &next);
            if let Some(entry) = saved.of_mut(url) {
                entry.oauth = Some(next);
            }
            if let Err(failure) = room.fill(&saved) {
                // This call can still be made with what came; the next one has to sign in.
                failure.print();
                output::note(&format!(
                    "warning: run `hostler login {url}` once that is mended"
                ));
            }
            Ok(access)
        }
        Err(denied @ Denied::NoAnswer(_)) => {
            Err(NotRenewed::NotNow(denied.told("renew the sign-in", url)))
        }
        Err(denied @ Denied::Refused { .. }) => {
            if let Some(entry) = saved.of_mut(url) {
                entry.oauth = None;
            }
            // Keeping a dead token does no harm: the next command is told the same.
            drop(room.fill(&saved));
            Err(NotRenewed::Ended(ended(url, &denied.to_string())))
        }
    }
}

/// Whether the file holds a better token than the one this process knew.
fn renewed_by_another(tokens: &Tokens, why: Why<'_>, now: Timestamp) -> bool {
    match why {
        Why::Refused(known) | Why::EndsSoon(known) => {
            tokens.access_token != known && !tokens.ends_soon(now)
        }
        Why::Wanted => false,
    }
}

/// The tokens that follow others of the same person and organization.
fn successor(old: &Tokens, granted: Granted, now: Timestamp) -> Tokens {
    let refresh_token = granted.refresh_token.clone();
    Tokens {
        refresh_token: refresh_token.unwrap_or_else(|| old.refresh_token.clone()),
        ..granted.with_names(now, &old.client_id, &old.organization, &old.email)
    }
}

impl Granted {
    /// These tokens as they are saved, with whose they are.
    pub(crate) fn with_names(
        self,
        now: Timestamp,
        client_id: &str,
        organization: &str,
        email: &str,
    ) -> Tokens {
        let life = SignedDuration::from_secs(self.expires_in.clamp(0, 366 * 24 * 3600));
        Tokens {
            access_token: self.access_token,
            refresh_token: self.refresh_token.unwrap_or_default(),
            expires_at: now.checked_add(life).unwrap_or(now),
            life_seconds: life.as_secs(),
            client_id: client_id.to_owned(),
            organization: organization.to_owned(),
            email: email.to_owned(),
        }
    }
}

fn of_tokens(url: &str, tokens: &Tokens) -> Access {
    Access {
        url: url.to_owned(),
        bearer: tokens.access_token.clone(),
        source: Source::SignIn,
    }
}

fn of_key(entry: &Entry) -> Option<Access> {
    entry.api_key.as_ref().map(|key| Access {
        url: entry.url.clone(),
        bearer: key.clone(),
        source: Source::SavedKey,
    })
}

fn ended(url: &str, why: &str) -> Failure {
    Failure::unauthorized(format!("Your sign-in at {url} has ended: {why}."))
        .hint(format!("Run `hostler login {url}`."))
}

fn nothing_for(home: &Path, url: Option<&str>) -> Failure {
    let file: PathBuf = credentials::path(home);
    let (whom, command) = match url {
        Some(url) => (format!(" for {url}"), format!("`hostler login {url}`")),
        None => (
            String::new(),
            "`hostler login URL`, or `hostler up` to start one on this machine".to_owned(),
        ),
    };
    Failure::unauthorized(format!(
        "You are not signed in: there are no credentials{whom} in {}.",
        file.display()
    ))
    .hint(format!(
        "Run {command}; or give --server and --api-key (HOSTLER_URL, HOSTLER_API_KEY)."
    ))
}

#[cfg(test)]
mod tests;
