//! How the link stands, for the commands of this machine: a small file, written when it changes.
//!
//! It is a courtesy: that it cannot be written stops nothing. Whether the daemon runs at all is told
//! by its lock.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use hostler_proto::ids::HostId;
use hostler_proto::time::UtcMillis;
use serde::{Deserialize, Serialize};

use crate::config::Layout;
use crate::supervisor::record::private_file;

/// How the link of a host stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Which host.
    pub host_id: HostId,
    /// Whether the control plane has taken it.
    pub up: bool,
    /// Since when.
    pub since: UtcMillis,
    /// Why it is down, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How the link of a home's daemon stands, as it last said.
pub fn standing(home: &Path) -> Option<Standing> {
    let text = std::fs::read_to_string(file(&Layout::new(home))).ok()?;
    serde_json::from_str(&text).ok()
}

/// Says how the link stands, when that is news.
#[derive(Debug)]
pub(super) struct Teller {
    file: PathBuf,
    said: Option<Standing>,
}

impl Teller {
    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            file: file(layout),
            said: None,
        }
    }

    /// It is up, or down for this reason.
    pub(super) fn say(&mut self, host_id: HostId, down: Option<&str>, now: UtcMillis) {
        let up = down.is_none();
        let known = self.said.as_ref().filter(|said| said.up == up);
        let standing = Standing {
            host_id,
            up,
            since: known.map_or(now, |said| said.since),
            why: down.map(str::to_owned),
        };
        if self.said.as_ref() == Some(&standing) {
            return;
        }
        let new = self.file.with_extension("new");
        let written = serde_json::to_vec(&standing)
            .map_err(std::io::Error::from)
            .and_then(|text| private_file(&new)?.write_all(&text))
            .and_then(|()| std::fs::rename(&new, &self.file));
        if let Err(error) = written {
            tracing::debug!(%error, "how the link stands is not written down");
        }
        self.said = Some(standing);
    }
}

fn file(layout: &Layout) -> PathBuf {
    layout.host().join("link.json")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_is_said_is_read_with_since_when_it_holds() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(home.path());
        std::fs::create_dir_all(layout.host()).unwrap();
        assert_eq!(standing(home.path()), None);
        let mut teller = Teller::new(&layout);
        let host = HostId(Uuid::from_u128(1));
        let read = || {
            let read = standing(home.path()).unwrap();
            (read.up, read.since.0, read.why)
        };
        teller.say(host, Some("no answer"), UtcMillis(1));
        teller.say(host, Some("refused"), UtcMillis(2));
        assert_eq!(read(), (false, 1, Some("refused".to_owned())));
        teller.say(host, None, UtcMillis(3));
        teller.say(host, None, UtcMillis(4));
        assert_eq!(read(), (true, 3, None));
    }
}
