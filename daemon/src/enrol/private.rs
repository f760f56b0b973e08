//! Files for their owner's eyes only: written whole or not at all, and brought back to 0600 when
//! somebody opened them up.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::{EnrolError, file_error, forget_if_there};

/// Writes a file, 0600, whole or not at all.
pub(super) fn write(path: &Path, text: &str) -> Result<(), EnrolError> {
    let folder = path.parent().unwrap_or(path);
    let temporary = path.with_extension("new");
    let write = || {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        forget_if_there(&temporary)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error: std::io::Error| file_error(path, error))
}

/// Takes away what others may do with a file, and says so; refuses one that belongs to somebody
/// else, who could put another in its place at any time. Nothing happens when it is not there.
pub(super) fn guard(path: &Path) -> Result<(), EnrolError> {
    let Ok(about) = std::fs::metadata(path) else {
        return Ok(());
    };
    let me = rustix::process::geteuid().as_raw();
    if about.uid() != me && me != 0 {
        let reason = format!("it belongs to another user (number {})", about.uid());
        return Err(file_error(path, reason));
    }
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o600))
            .map_err(|error| file_error(path, error))?;
        tracing::warn!(
            "{} could be read by others (mode {mode:04o}); it is 0600 now. Others on this machine may have copied the key: `hostler hosts rotate-key` makes a new one",
            path.display()
        );
    }
    Ok(())
}
