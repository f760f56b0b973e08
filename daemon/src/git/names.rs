//! Names: what a branch may be called, the branch made from a title, the folder made from a branch.
//!
//! Invariant: a name that passes [`check_branch`] is accepted by git (git-check-ref-format(1)) and
//! can be one folder on every file system we support.

use super::Error;

/// The longest branch name, in bytes: its folder and its `.lock` file must fit in 255.
pub const BRANCH_MAX: usize = 200;
/// The longest slug made from a title, in bytes.
pub const SLUG_MAX: usize = 100;

/// Checks `name` against git's rules for branches, saying which one is broken.
pub fn check_branch(name: &str) -> Result<(), Error> {
    match broken_rule(name) {
        Some(reason) => Err(Error::BranchName {
            name: shorten(name),
            reason,
        }),
        None => Ok(()),
    }
}

/// Checks a new branch against those that exist: no twin in another case, no file where a folder is.
pub fn check_beside(name: &str, existing: &[String]) -> Result<(), Error> {
    let folded = name.to_lowercase();
    for other in existing {
        if other == name {
            continue;
        }
        let other_folded = other.to_lowercase();
        if other_folded == folded {
            return Err(Error::BranchTwin {
                name: name.to_owned(),
                other: other.clone(),
            });
        }
        if is_folder_of(&folded, &other_folded) || is_folder_of(&other_folded, &folded) {
            return Err(Error::BranchClash {
                name: name.to_owned(),
                other: other.clone(),
            });
        }
    }
    Ok(())
}

/// A branch name from free text: lower case, words joined by `-`; `None` when nothing is left.
pub fn slug(text: &str) -> Option<String> {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            if slug.len() + c.len_utf8() > SLUG_MAX {
                break;
            }
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') && slug.len() < SLUG_MAX {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    (!slug.is_empty()).then(|| slug.to_owned())
}

/// The folder of a branch: one component, never hidden, `/` as `-`.
pub fn folder(branch: &str) -> String {
    branch.replace('/', "-")
}

fn is_folder_of(parent: &str, child: &str) -> bool {
    child
        .strip_prefix(parent)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn broken_rule(name: &str) -> Option<&'static str> {
    const SPECIAL: [char; 7] = ['~', '^', ':', '?', '*', '[', '\\'];
    let whole = [
        (name.is_empty(), "it is empty"),
        (name.len() > BRANCH_MAX, "it is longer than 200 bytes"),
        (name.starts_with('-'), "it starts with '-'"),
        (
            name == "HEAD" || name == "@",
            "git gives this word another meaning",
        ),
        (name.contains(".."), "it contains '..'"),
        (name.contains("@{"), "it contains '@{'"),
        (
            name.chars().any(|c| c.is_ascii_control()),
            "it contains a control character",
        ),
        (name.contains(char::is_whitespace), "it contains a space"),
        (name.contains(SPECIAL), "it contains one of ~ ^ : ? * [ \\"),
        (
            name.starts_with('/') || name.ends_with('/') || name.contains("//"),
            "it has an empty part between slashes",
        ),
        (name.ends_with('.'), "it ends with '.'"),
        (
            name.split('/').any(|part| part.starts_with('.')),
            "a part of it starts with '.'",
        ),
        (
            name.split('/').any(ends_with_lock),
            "a part of it ends with '.lock'",
        ),
    ];
    whole
        .into_iter()
        .find_map(|(broken, reason)| broken.then_some(reason))
}

fn ends_with_lock(part: &str) -> bool {
    part.len() >= 5 && part.as_bytes()[part.len() - 5..].eq_ignore_ascii_case(b".lock")
}

fn shorten(name: &str) -> String {
    if name.chars().count() <= 60 {
        return name.to_owned();
    }
    name.chars().take(57).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture;

    #[test]
    fn branch_names_follow_git() {
        let candidates = [
            "main",
            "a/b",
            "fix-1",
            "feature/ünïcode",
            "🚀",
            "a.b",
            "a@b",
            "x{y",
            "../../evil",
            "a.lock",
            "a.lock/b",
            "-x",
            "with space",
            "a~1",
            "a^",
            "a:b",
            "a?b",
            "a*b",
            "a[b",
            "a\\b",
            "a..b",
            "/a",
            "a/",
            "a//b",
            "a.",
            ".a",
            "a/.b",
            "@",
            "@{u}",
            "HEAD",
            "",
            "tab\tx",
        ];
        for name in candidates {
            let theirs = !name.is_empty() && fixture::git_accepts_branch(name);
            assert_eq!(check_branch(name).is_ok(), theirs, "{name:?}");
        }
        assert!(
            check_branch(&"x".repeat(300))
                .unwrap_err()
                .to_string()
                .contains("longer than 200")
        );
    }

    #[test]
    fn twins_and_clashes_are_told_apart() {
        let existing = ["main".to_owned(), "a".to_owned(), "deep/er".to_owned()];
        assert!(matches!(
            check_beside("MAIN", &existing),
            Err(Error::BranchTwin { .. })
        ));
        assert!(matches!(
            check_beside("a/b", &existing),
            Err(Error::BranchClash { .. })
        ));
        assert!(matches!(
            check_beside("deep", &existing),
            Err(Error::BranchClash { .. })
        ));
        assert!(check_beside("ab", &existing).is_ok());
        assert!(check_beside("main", &existing).is_ok());
    }

    #[test]
    fn slugs_are_branches() {
        assert_eq!(
            slug("Fix: the Login  (timeout)!").as_deref(),
            Some("fix-the-login-timeout")
        );
        assert_eq!(slug("修复 登录").as_deref(), Some("修复-登录"));
        assert_eq!(slug("🚀🚀"), None);
        let long = slug(&"wörd ".repeat(80)).unwrap();
        assert!(
            long.len() <= SLUG_MAX && check_branch(&long).is_ok(),
            "{long}"
        );
        assert_eq!(folder("fix/a/b"), "fix-a-b");
    }
}
