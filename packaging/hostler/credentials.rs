//! `credentials.json`: what the commands on this machine sign in with, per control plane.
//!
//! Each entry holds an API key, the tokens of a sign-in, or both; the first one is the control plane
//! the commands mean. The file is private (0600) and replaced whole; whoever changes it holds its
//! lock and reads it again first. It asks no control plane for anything.

mod file;

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::failure::Failure;
use crate::output;

pub(crate) use file::{Lock, Room};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    /// The control planes, the one the commands mean first.
    pub(crate) entries: Vec<Entry>,
}

/// What is known about one control plane.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// Base URL of the control plane.
    pub(crate) url: String,
    /// URL of its MCP endpoint.
    pub(crate) mcp_url: String,
    /// Which control plane that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server_id: Option<Uuid>,
    /// API key `sk_live_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_key: Option<String>,
    /// The tokens of a sign-in; used before the API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oauth: Option<Tokens>,
}

/// The tokens of a sign-in, and whose they are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tokens {
    /// `at_…`
    pub(crate) access_token: String,
    /// `rt_…`; good for one refresh.
    pub(crate) refresh_token: String,
    /// When the access token ends, by this machine's clock.
    pub(crate) expires_at: Timestamp,
    /// How long it was good when it came, seconds.
    pub(crate) life_seconds: i64,
    /// The OAuth client that the tokens are for.
    pub(crate) client_id: String,
    /// The organization they are for.
    pub(crate) organization: String,
    /// The person's email.
    pub(crate) email: String,
}

/// How the file is written: the first entry's fields at the top, as ever.
#[derive(Serialize, Deserialize)]
struct Document {
    #[serde(flatten)]
    first: Entry,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Entry>,
}

impl Saved {
    /// What the file in `home` holds; empty when there is none. A file that others can read is made
    /// private, and the person is told.
    pub(crate) fn load(home: &Path) -> Result<Self, Failure> {
        let path = path(home);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                let words = format!("{} cannot be read: {error}.", path.display());
                return Err(Failure::unauthorized(words));
            }
        };
        keep_private(&path)?;
        Self::parse(&text).map_err(|error| {
            Failure::unauthorized(format!("{} is not valid: {error}.", path.display())).hint(
                "Remove it and run `hostler login URL`; or set HOSTLER_URL and HOSTLER_API_KEY.",
            )
        })
    }

    /// The entry of a control plane by its base URL.
    pub(crate) fn of(&self, url: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.url == url)
    }

    /// The same, to be changed.
    pub(crate) fn of_mut(&mut self, url: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.url == url)
    }

    /// Puts an entry in front, in the place of what was known about its control plane.
    pub(crate) fn put_first(&mut self, entry: Entry) {
        self.entries.retain(|old| old.url != entry.url);
        self.entries.insert(0, entry);
    }

    /// Forgets a control plane.
    pub(crate) fn forget(&mut self, url: &str) {
        self.entries.retain(|entry| entry.url != url);
    }

    fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let document: Document = serde_json::from_str(text)?;
        let mut entries = vec![document.first];
        entries.extend(document.others);
        Ok(Self { entries })
    }

    /// The file's text; none when nothing is left to keep.
    fn text(&self) -> Result<Option<String>, Failure> {
        let Some((first, others)) = self.entries.split_first() else {
            return Ok(None);
        };
        let document = Document {
            first: first.clone(),
            others: others.to_vec(),
        };
        let text = serde_json::to_string_pretty(&document)
            .map_err(|error| Failure::new(error.to_string()))?;
        Ok(Some(text + "\n"))
    }
}

impl Tokens {
    /// Whether the access token should be renewed now: in its last minute, or in the last quarter
    /// of a shorter life.
    pub(crate) fn ends_soon(&self, now: Timestamp) -> bool {
        let ahead = (self.life_seconds / 4).min(60);
        self.expires_at.as_second() - now.as_second() <= ahead
    }
}

/// Where the file stands.
pub(crate) fn path(home: &Path) -> PathBuf {
    home.join("credentials.json")
}

/// Changes the file under its lock, from what it holds then.
pub(crate) fn change(home: &Path, work: impl FnOnce(&mut Saved)) -> Result<(), Failure> {
    let lock = Lock::take(home)?;
    let mut saved = Saved::load(home)?;
    work(&mut saved);
    lock.save(&saved)
}

/// Makes the file private when others can read it, with a word to the person.
fn keep_private(path: &Path) -> Result<(), Failure> {
    let mode = fs::metadata(path)?.permissions().mode();
    let of_others = mode & 0o077;
    if of_others == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|error| {
        let words = "can be read by other users of this machine, and that cannot be changed";
        Failure::unauthorized(format!("{} {words}: {error}.", path.display()))
            .hint("It is not used as it is. Remove it as its owner, then run `hostler login URL`.")
    })?;
    output::note(&format!(
        "warning: {} could be read by other users of this machine (mode {:o}); it is private now. If somebody may have read it, run `hostler logout` and `hostler login`.",
        path.display(),
        mode & 0o777
    ));
    Ok(())
}

/// Secrets are not shown.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("url", &self.url)
            .field("api_key", &self.api_key.is_some())
            .field("oauth", &self.oauth)
            .finish_non_exhaustive()
    }
}

/// Secrets are not shown.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("email", &self.email)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
