//! `HOSTLER_HOME`: where it is and how it is made.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The folder: `HOSTLER_HOME`, or `~/.hostler`.
pub(crate) fn path() -> Result<PathBuf, Failure> {
    if let Some(home) = std::env::var_os("HOSTLER_HOME").filter(|home| !home.is_empty()) {
        return std::path::absolute(PathBuf::from(home)).map_err(Failure::from);
    }
    std::env::home_dir()
        .map(|home| home.join(".hostler"))
        .ok_or_else(|| {
            Failure::new("Your home folder is not known.")
                .hint("Set HOSTLER_HOME to a folder for hostler's data.")
        })
}

/// The folder, private (0700) unless it is one that also holds what is not ours.
pub(crate) fn ensure() -> Result<PathBuf, Failure> {
    let home = path()?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&home)
        .map_err(|error| unusable(&home, &error))?;
    if is_ours(&home).map_err(|error| unusable(&home, &error))? {
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))
            .map_err(|error| unusable(&home, &error))?;
    }
    let probe = home.join(".writable");
    fs::write(&probe, b"")
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|error| unusable(&home, &error))?;
    Ok(home)
}

/// Whether the folder is empty or holds our data: a shared folder such as `/tmp` keeps its mode, and
/// what stands in it is private by itself.
fn is_ours(home: &Path) -> std::io::Result<bool> {
    const OURS: [&str; 3] = ["control-plane", "host", "credentials.json"];
    if OURS.iter().any(|name| home.join(name).exists()) {
        return Ok(fs::metadata(home)?.permissions().mode() & 0o1000 == 0);
    }
    Ok(fs::read_dir(home)?.next().is_none())
}

fn unusable(home: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "The data folder {} cannot be used: {error}.",
        home.display()
    ))
    .hint("Make it writable for this user, or set HOSTLER_HOME to another folder.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_ours_is_made_private() {
        let home = tempfile::tempdir().unwrap();
        assert!(is_ours(home.path()).unwrap());
        fs::write(home.path().join("somebody's"), "").unwrap();
        assert!(!is_ours(home.path()).unwrap());
        fs::create_dir(home.path().join("host")).unwrap();
        assert!(is_ours(home.path()).unwrap());
    }
}
