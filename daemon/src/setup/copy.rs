//! Copies what a project lists from the main checkout into a workspace.
//!
//! Invariant: nothing that is there is overwritten, nothing outside the main checkout is read and
//! nothing outside the workspace is written, also when links are followed. A link is copied as a
//! link.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Setup;

/// Copies what `copy` names where it exists in the main checkout at `root` and not yet here. Gives
/// what could not be copied, one sentence each.
pub fn copy(setup: &Setup, root: &Path, workspace: &Path) -> Vec<String> {
    let (Ok(root), Ok(workspace)) = (root.canonicalize(), workspace.canonicalize()) else {
        return Vec::new();
    };
    let copying = Copying { root, workspace };
    let mut problems = Vec::new();
    for pattern in &setup.copy {
        let is_pattern = pattern.contains(['*', '?', '[']);
        let found = if is_pattern && !copying.root.join(pattern).exists() {
            copying.matches(pattern)
        } else {
            vec![PathBuf::from(pattern)]
        };
        for path in found {
            if let Err(error) = copying.copy(&path) {
                problems.push(format!("{} was not copied: {error}", path.display()));
            }
        }
    }
    problems
}

/// From where to where, links resolved.
struct Copying {
    root: PathBuf,
    workspace: PathBuf,
}

impl Copying {
    fn copy(&self, path: &Path) -> io::Result<()> {
        let (from, to) = (self.root.join(path), self.workspace.join(path));
        let meta = match from.symlink_metadata() {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let words = format!("it is not in the main checkout {}", self.root.display());
                return Err(io::Error::new(ErrorKind::NotFound, words));
            }
            Err(error) => return Err(error),
        };
        stays_in(from.parent(), &self.root, "leaves the main checkout")?;
        stays_in(
            existing(to.parent()),
            &self.workspace,
            "leaves the workspace",
        )?;
        if meta.is_dir() {
            return self.copy_folder(path, &from, &to);
        }
        if to.symlink_metadata().is_ok() {
            return Ok(());
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        if meta.is_symlink() {
            return std::os::unix::fs::symlink(self.target(&from)?, to);
        }
        if !meta.is_file() {
            return Err(io::Error::other(
                "it is neither a file nor a folder nor a link",
            ));
        }
        fs::copy(from, to).map(drop)
    }

    fn copy_folder(&self, path: &Path, from: &Path, to: &Path) -> io::Result<()> {
        // A workspace inside the main checkout is not copied into itself.
        if from.starts_with(&self.workspace) || from.file_name().is_some_and(|name| name == ".git")
        {
            return Ok(());
        }
        match fs::create_dir(to) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(to)?,
            Err(error) => return Err(error),
        }
        for entry in from.read_dir()? {
            self.copy(&path.join(entry?.file_name()))?;
        }
        Ok(())
    }

    /// Where a link leads: as it is written, but absolute when it leads out of the main checkout
    /// from a place that the workspace does not share.
    fn target(&self, link: &Path) -> io::Result<PathBuf> {
        let written = link.read_link()?;
        match link.canonicalize() {
            Ok(real) if written.is_relative() && !real.starts_with(&self.root) => Ok(real),
            Ok(_) | Err(_) => Ok(written),
        }
    }

    /// The paths below the root that a pattern names, in order.
    fn matches(&self, pattern: &str) -> Vec<PathBuf> {
        let parts: Vec<&str> = pattern
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        let mut found = Vec::new();
        self.walk(Path::new(""), &parts, &mut found);
        found.sort();
        found.dedup();
        found
    }

    fn walk(&self, folder: &Path, parts: &[&str], found: &mut Vec<PathBuf>) {
        let Some((first, rest)) = parts.split_first() else {
            return;
        };
        if *first == "**" {
            self.walk(folder, rest, found);
        }
        let entries = self
            .root
            .join(folder)
            .read_dir()
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries {
            let name = entry.file_name();
            let path = folder.join(&name);
            // Links are not followed: they may lead round and round.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if name == ".git" || self.root.join(&path) == self.workspace {
                continue;
            }
            if *first == "**" {
                if rest.is_empty() && !is_folder {
                    found.push(path.clone());
                }
                if is_folder {
                    self.walk(&path, parts, found);
                }
            } else if names(first.as_bytes(), name.as_encoded_bytes()) {
                if rest.is_empty() {
                    found.push(path);
                } else if is_folder {
                    self.walk(&path, rest, found);
                }
            }
        }
    }
}

/// The nearest folder above that exists.
fn existing(mut folder: Option<&Path>) -> Option<&Path> {
    while let Some(path) = folder {
        if path.symlink_metadata().is_ok() {
            return Some(path);
        }
        folder = path.parent();
    }
    None
}

fn stays_in(folder: Option<&Path>, place: &Path, otherwise: &str) -> io::Result<()> {
    let real = folder.unwrap_or(place).canonicalize()?;
    if real.starts_with(place) {
        return Ok(());
    }
    let words = format!("its path {otherwise} by way of a link");
    Err(io::Error::new(ErrorKind::PermissionDenied, words))
}

/// Whether a pattern of one path component (`*`, `?`, `[a-c]`, `[!x]`) names this name.
fn names(pattern: &[u8], name: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_first() else {
        return name.is_empty();
    };
    match first {
        b'*' => (0..=name.len()).any(|at| names(rest, &name[at..])),
        b'?' => name
            .split_first()
            .is_some_and(|(_, left)| names(rest, left)),
        b'[' => match (set(rest), name.split_first()) {
            (Some((inside, rest)), Some((byte, left))) => inside(*byte) && names(rest, left),
            (Some(_), None) => false,
            (None, _) => name
                .strip_prefix(b"[")
                .is_some_and(|left| names(rest, left)),
        },
        byte => name
            .strip_prefix(&[*byte])
            .is_some_and(|left| names(rest, left)),
    }
}

/// The set after `[`, and what follows its `]`; none when it is not closed.
fn set(pattern: &[u8]) -> Option<(impl Fn(u8) -> bool, &[u8])> {
    let (negated, body) = match pattern.split_first() {
        Some((b'!' | b'^', body)) => (true, body),
        Some(_) | None => (false, pattern),
    };
    // A `]` that comes first is a member.
    let end = body.iter().skip(1).position(|byte| *byte == b']')? + 1;
    let (members, rest) = body.split_at(end);
    let has = move |byte: u8| {
        let ranges = members.windows(3).filter(|range| range[1] == b'-');
        members.contains(&byte)
            || ranges
                .into_iter()
                .any(|range| (range[0]..=range[2]).contains(&byte))
    };
    Some((move |byte| has(byte) != negated, &rest[1..]))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    struct Places(tempfile::TempDir);

    impl Places {
        fn new(files: &[(&str, &str)]) -> Self {
            let places = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(places.at("tree")).unwrap();
            for (path, text) in files {
                fs::create_dir_all(places.at(path).parent().unwrap()).unwrap();
                fs::write(places.at(path), text).unwrap();
            }
            places
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn copy(&self, list: &[&str]) -> Vec<String> {
            let setup = Setup {
                copy: list.iter().map(|path| (*path).to_owned()).collect(),
                ..Setup::default()
            };
            copy(&setup, &self.at("root"), &self.at("tree"))
        }

        fn text(&self, path: &str) -> Option<String> {
            fs::read_to_string(self.at(path)).ok()
        }
    }

    #[test]
    fn listed_files_and_folders_are_copied_and_nothing_is_overwritten() {
        let places = Places::new(&[
            ("root/.env", "SECRET=1"),
            ("root/run.sh", "x"),
            ("root/conf/deep/x", "x"),
            ("tree/conf/deep/x", "mine"),
            ("root/conf/deep/y", "y"),
        ]);
        fs::set_permissions(places.at("root/run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(
            places.copy(&[".env", "run.sh", "./conf"]),
            Vec::<String>::new()
        );
        assert_eq!(places.text("tree/.env").unwrap(), "SECRET=1");
        assert_eq!(places.text("tree/conf/deep/x").unwrap(), "mine");
        assert_eq!(places.text("tree/conf/deep/y").unwrap(), "y");
        let mode = places.at("tree/run.sh").metadata().unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o750);
        let missing = places.copy(&["missing"]);
        assert!(
            missing[0].contains("missing was not copied: it is not in"),
            "{missing:?}"
        );
    }

    #[test]
    fn patterns_name_what_they_do_in_a_shell() {
        let places = Places::new(&[
            ("root/.env", ""),
            ("root/.env.local", ""),
            ("root/a/.env.b", ""),
            ("root/a/c/.env.d", ""),
            ("root/a/c/k1.pem", ""),
            ("root/a/c/k2.pem", ""),
            ("root/a/c/kx.pem", ""),
            ("root/.git/.env.git", ""),
            ("root/[odd]", ""),
        ]);
        assert_eq!(
            places.copy(&[".env*", "a/**/k[0-9].pem", "[odd]", "no*"]),
            Vec::<String>::new()
        );
        for there in [".env", ".env.local", "a/c/k1.pem", "a/c/k2.pem", "[odd]"] {
            assert!(places.text(&format!("tree/{there}")).is_some(), "{there}");
        }
        for absent in ["a/.env.b", "a/c/kx.pem"] {
            assert_eq!(places.text(&format!("tree/{absent}")), None, "{absent}");
        }
        assert_eq!(places.copy(&["**/.env.?"]), Vec::<String>::new());
        assert!(places.text("tree/a/.env.b").is_some() && places.text("tree/a/c/.env.d").is_some());
        assert_eq!(places.text("tree/.git/.env.git"), None);
        for (pattern, name, matches) in [
            ("*", "", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXc", false),
            ("[!ab]x", "cx", true),
            ("[!ab]x", "ax", false),
            ("[]]", "]", true),
            ("[a", "[a", true),
        ] {
            assert_eq!(
                names(pattern.as_bytes(), name.as_bytes()),
                matches,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn links_are_copied_as_links_and_never_lead_out() {
        let places = Places::new(&[
            ("root/.env", "x"),
            ("outside/secret", "s"),
            ("outside/shared", "shared"),
        ]);
        let (root, tree) = (places.at("root"), places.at("tree"));
        symlink(".env", root.join("same")).unwrap();
        symlink("../outside/shared", root.join("shared")).unwrap();
        symlink("../outside", root.join("away")).unwrap();
        symlink(places.at("outside"), tree.join("dir")).unwrap();
        fs::create_dir(root.join("dir")).unwrap();
        fs::write(root.join("dir/file"), "f").unwrap();

        let problems = places.copy(&["same", "shared", "away/secret", "dir", "dir/file"]);
        assert_eq!(tree.join("same").read_link().unwrap(), Path::new(".env"));
        assert_eq!(places.text("tree/shared").unwrap(), "shared");
        assert!(problems[0].contains("away/secret") && problems[0].contains("leaves the main"));
        assert!(
            problems[1..]
                .iter()
                .all(|one| one.contains("leaves the workspace")),
            "{problems:?}"
        );
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert_eq!(places.text("outside/file"), None);
    }

    #[test]
    fn what_is_no_file_is_told_and_a_workspace_inside_is_not_copied_into_itself() {
        let places = Places::new(&[("root/x", "x")]);
        let _listening = std::os::unix::net::UnixListener::bind(places.at("root/socket")).unwrap();
        assert!(places.copy(&["socket"])[0].contains("neither a file"));
        let inner = places.at("root/trees/w");
        fs::create_dir_all(&inner).unwrap();
        let setup = Setup {
            copy: vec!["trees".into()],
            ..Setup::default()
        };
        assert_eq!(
            copy(&setup, &places.at("root"), &inner),
            Vec::<String>::new()
        );
        assert!(inner.join("trees").exists() && !inner.join("trees/w").exists());
    }
}
