//! Taking a tree away at once and deleting it later.
//!
//! Invariant: [`discard`] moves the tree into a `.trash` folder beside it with one rename, so the
//! place is free when it returns; what lies in a `.trash` belongs to nobody and may be deleted at
//! any time, also after a restart ([`sweep`]).

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;

/// The name of the folder beside worktrees that holds what is being deleted.
pub const TRASH: &str = ".trash";

/// Moves `path` into the `.trash` beside it; `None` when nothing is there. `token` makes it unique.
pub fn discard(path: &Path, token: &str) -> Result<Option<PathBuf>, Error> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(None);
    }
    let parent = path.parent().unwrap_or(path);
    let trash = parent.join(TRASH);
    for attempt in 0..1000 {
        match fs::create_dir_all(&trash) {
            Ok(()) => {}
            // It stood there, and a sweep took it away before it was looked at.
            Err(gone) if gone.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(Error::io("could not create the folder", &trash)(error)),
        }
        let place = trash.join(format!("{token}-{attempt}"));
        if fs::symlink_metadata(&place).is_ok() {
            continue;
        }
        match fs::rename(path, &place) {
            Ok(()) => return Ok(Some(place)),
            // A sweep took the empty trash away just now, or somebody took the tree.
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => {
                if fs::symlink_metadata(path).is_err() {
                    return Ok(None);
                }
            }
            Err(error) => return Err(Error::io("could not move away the folder", path)(error)),
        }
    }
    Err(Error::Occupied { path: trash })
}

/// Deletes everything in the `.trash` of `parent`, and the folder itself when it is empty then.
pub fn sweep(parent: &Path) {
    let trash = parent.join(TRASH);
    let Ok(entries) = fs::read_dir(&trash) else {
        return;
    };
    for entry in entries.flatten() {
        delete(&entry.path());
    }
    drop(fs::remove_dir(&trash));
}

/// Deletes a tree, making read-only folders writable where that stands in the way.
pub fn delete(path: &Path) {
    if fs::remove_dir_all(path).is_ok() {
        return;
    }
    if fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_dir()) {
        drop(fs::remove_file(path));
        return;
    }
    make_writable(path);
    drop(fs::remove_dir_all(path));
}

fn make_writable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(meta) = fs::symlink_metadata(path) else {
        return;
    };
    if !meta.is_dir() {
        return;
    }
    drop(fs::set_permissions(path, fs::Permissions::from_mode(0o700)));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        make_writable(&entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_at_the_same_time_never_stands_in_the_way() {
        let parent = tempfile::tempdir().unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    sweep(parent.path());
                }
            });
            let tried = (0..300).try_for_each(|number| {
                let tree = parent.path().join(format!("tree{number}"));
                fs::create_dir(&tree).unwrap();
                discard(&tree, &number.to_string()).map(|_| assert!(!tree.exists()))
            });
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            tried.unwrap();
        });
    }

    #[test]
    fn the_place_is_free_at_once_and_the_sweep_deletes() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        for _ in 0..2 {
            fs::create_dir_all(tree.join("deep/er")).unwrap();
            fs::write(tree.join("deep/er/file"), "x").unwrap();
            assert!(discard(&tree, "same").unwrap().is_some());
            assert!(!tree.exists());
        }
        assert_eq!(discard(&tree, "same").unwrap(), None);
        assert_eq!(fs::read_dir(dir.path().join(TRASH)).unwrap().count(), 2);
        sweep(dir.path());
        assert!(!dir.path().join(TRASH).exists());
    }
}
