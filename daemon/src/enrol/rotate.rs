//! Changing this machine's key.
//!
//! The new key is written aside before it is posted and becomes the identity's once the control
//! plane has acknowledged it, so a crash or a lost answer at any point is repeated with the same new
//! key and does no harm: until then the old key is good, and from then on (24 hours or not) the
//! control plane takes the repeat by the new key alone.
//!
//! The old key is kept: a control plane restored from an older copy knows no other. It opens the link
//! there again, and the change is made once more. To any other it is worth nothing.

use std::path::{Path, PathBuf};

use hostler_proto::enrol::{ROTATE_PATH, RotateReply, RotateRequest, rotate_statement};
use hostler_proto::link::proof::HostKey;
use hostler_proto::time::UtcMillis;

use super::private;
use super::{EnrolError, Identity, file_error, forget, identity, post, save};
use crate::clock;
use crate::config::Layout;

/// A key is changed by itself once it is so old, milliseconds: 90 days.
const MOST_AGE_MS: i64 = 90 * 24 * 60 * 60 * 1000;

/// This machine has another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// Its name.
    pub name: String,
    /// Base address of the control plane.
    pub url: String,
    /// Until when the key before is good; none when it no longer is.
    pub old_key_until: Option<UtcMillis>,
}

/// Changes this machine's key, or finishes a change that was interrupted.
pub async fn rotate(home: &Path) -> Result<Rotated, EnrolError> {
    let home = home.to_owned();
    tokio::task::spawn_blocking(move || rotate_blocking(&home))
        .await
        .map_err(EnrolError::Interrupted)?
}

/// Changes the key if it is old, or if a change was interrupted; none when neither is so.
pub(crate) async fn rotate_when_due(home: &Path) -> Result<Option<Rotated>, EnrolError> {
    let home = home.to_owned();
    let look = move || {
        if identity(&home)?.is_none() || !(aside(&home).exists() || is_old(&home, clock::wall())) {
            return Ok(None);
        }
        rotate_blocking(&home).map(Some)
    };
    tokio::task::spawn_blocking(look)
        .await
        .map_err(EnrolError::Interrupted)?
}

/// Forgets a change that was begun, and the key before the last one: they were for another enrolment.
pub(super) fn abandon(home: &Path) -> Result<(), EnrolError> {
    forget(&aside(home))?;
    forget(&before(home))
}

/// Undoes the last change as far as this machine is concerned: the key before it is the identity's
/// again, and the change is one that was begun. False when there is none to go back to, or another
/// change was begun: that one is finished first.
pub(crate) fn back_to_old_key(home: &Path) -> Result<bool, EnrolError> {
    let path = before(home);
    if aside(home).exists() {
        return Ok(false);
    }
    private::guard(&path)?;
    let text = std::fs::read_to_string(&path).ok();
    let old = text.and_then(|text| HostKey::from_hex(text.trim()).ok());
    let (Some(old), Some(new)) = (old, identity(home)?) else {
        return Ok(false);
    };
    if old.public_hex() == new.key.public_hex() {
        return Ok(false);
    }
    private::write(&aside(home), &new.key.secret_hex())?;
    save(home, &Identity { key: old, ..new })?;
    forget(&path)?;
    Ok(true)
}

fn rotate_blocking(home: &Path) -> Result<Rotated, EnrolError> {
    let old = identity(home)?.ok_or(EnrolError::NotEnrolled)?;
    let fresh = kept_aside(home)?;
    let statement = rotate_statement(old.host_id, old.server_id, &fresh.public_hex());
    let request = RotateRequest {
        host_id: old.host_id,
        public_key: fresh.public_hex(),
        old_signature: old.key.sign(&statement),
        new_signature: fresh.sign(&statement),
    };
    let reply: RotateReply = post(&old.url, ROTATE_PATH, None, &request)?;
    private::write(&before(home), &old.key.secret_hex())?;
    let new = Identity { key: fresh, ..old };
    save(home, &new)?;
    forget(&aside(home))?;
    Ok(Rotated {
        name: new.name,
        url: new.url,
        old_key_until: reply.old_key_until.map(UtcMillis),
    })
}

/// The key of a change that was begun, or a fresh one; two who begin at once get the same.
fn kept_aside(home: &Path) -> Result<HostKey, EnrolError> {
    let path = aside(home);
    let read = || {
        let text = std::fs::read_to_string(&path).ok()?;
        HostKey::from_hex(text.trim()).ok()
    };
    if let Some(key) = read() {
        return Ok(key);
    }
    let fresh = HostKey::from_bytes(&clock::random());
    let name: [u8; 8] = clock::random();
    let temporary = path.with_extension(format!("rotating.{}", hex::encode(name)));
    private::write(&temporary, &fresh.secret_hex())?;
    // Made only if it is not there: a key that somebody may have posted is never replaced.
    let linked = std::fs::hard_link(&temporary, &path);
    forget(&temporary)?;
    match linked {
        Ok(()) => Ok(fresh),
        Err(error) => match read() {
            Some(key) => Ok(key),
            None => Err(file_error(&path, error)),
        },
    }
}

/// By the time its file was written, which is when the key was made or last changed.
fn is_old(home: &Path, now: UtcMillis) -> bool {
    let file = super::identity_path(home);
    let written = std::fs::metadata(file).and_then(|about| about.modified());
    let since = written
        .ok()
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_millis()).ok());
    since.is_some_and(|at| now.since(UtcMillis(at)) > MOST_AGE_MS)
}

fn aside(home: &Path) -> PathBuf {
    Layout::new(home).host().join("identity.rotating")
}

/// The key before the last change.
fn before(home: &Path) -> PathBuf {
    Layout::new(home).host().join("identity.before")
}
