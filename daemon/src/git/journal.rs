//! Which commits were made in a worktree, from the journal git keeps of its HEAD.
//!
//! A count of what HEAD has and a commit has not would miss what was committed on a branch that was
//! left again, and take what was fetched for made. Invariant: reading only; a repository that keeps
//! no journal (or not as a file) is told apart from one in which nothing was made.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Error, Git};

/// Commits asked about at once.
const MOST: usize = 1_000;

/// How far the journal of the worktree at `path` goes now, bytes; none when there is none to read.
pub fn position(path: &Path) -> Option<u64> {
    let file = file(path)?;
    // There is none before the first commit.
    Some(fs::metadata(file).map_or(0, |meta| meta.len()))
}

/// How many commits were made since the journal was at `from`, those that were replaced (amended,
/// rebased, thrown away) left out; none when the journal does not tell.
pub fn made_since(git: &Git, path: &Path, from: u64) -> Result<Option<u32>, Error> {
    let Some(journal) = file(path).and_then(|file| fs::read(file).ok()) else {
        return Ok(None);
    };
    let Some(fresh) = usize::try_from(from)
        .ok()
        .and_then(|from| journal.get(from..))
    else {
        return Ok(None);
    };
    let fresh = String::from_utf8_lossy(fresh);
    if fresh.trim().is_empty() {
        return Ok(None);
    }
    let made: BTreeSet<&str> = fresh.lines().filter_map(made).collect();
    let asked: Vec<&str> = made.iter().copied().take(MOST).collect();
    if asked.is_empty() {
        return Ok(Some(0));
    }
    let mut args = vec!["rev-list", "--ignore-missing"];
    args.extend(&asked);
    args.extend(["--not", "--branches", "--tags", "HEAD"]);
    let gone = git.local(path, "looking for replaced commits", &args)?;
    let gone = gone.text();
    let replaced = gone.lines().filter(|id| made.contains(id)).count();
    Ok(u32::try_from(made.len().saturating_sub(replaced)).ok())
}

/// The commit an entry of the journal made; none for one that only moved HEAD. An entry is
/// `<old> <new> <name> <<mail>> <time> <zone>\t<what>`.
fn made(entry: &str) -> Option<&str> {
    let (who, what) = entry.split_once('\t').unwrap_or((entry, ""));
    let mut ids = who.split(' ');
    let (old, new) = (ids.next()?, ids.next()?);
    let begins = ["commit", "cherry-pick", "revert", "am"]
        .iter()
        .any(|word| what.starts_with(word));
    let steps = [
        "Merge made by",
        "(pick)",
        "(reword)",
        "(edit)",
        "(squash)",
        "(fixup)",
        "(continue)",
    ];
    let made = what.is_empty() || begins || steps.iter().any(|step| what.contains(step));
    (made && old != new).then_some(new)
}

/// The journal's file; none in a repository that keeps its refs in another way.
fn file(path: &Path) -> Option<PathBuf> {
    let dot_git = path.join(".git");
    let folder = match fs::read_to_string(&dot_git) {
        Ok(text) => path.join(text.trim().strip_prefix("gitdir: ")?),
        Err(_) => dot_git,
    };
    let common = match fs::read_to_string(folder.join("commondir")) {
        Ok(text) => folder.join(text.trim()),
        Err(_) => folder.clone(),
    };
    let has_files = folder.join("HEAD").is_file() && !common.join("reftable").exists();
    has_files.then(|| folder.join("logs/HEAD"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture::{self, Sample};

    fn made_by(root: &Path, work: impl FnOnce()) -> Option<u32> {
        let from = position(root).unwrap();
        work();
        made_since(&fixture::git(), root, from).unwrap()
    }

    #[test]
    fn what_was_made_is_told_from_what_was_fetched_replaced_or_left() {
        let sample = Sample::new();
        let root = &sample.clone_of_bare("copy");
        let run = |args: &[&str]| fixture::run(root, args);
        assert_eq!(made_by(root, || ()), None);
        let elsewhere = made_by(root, || {
            run(&["switch", "-q", "-c", "topic"]);
            fixture::commit(root, "a", "on another branch");
            fixture::commit(root, "b", "and one more");
            run(&["switch", "-q", "main"]);
        });
        assert_eq!(elsewhere, Some(2));
        let amended = made_by(root, || {
            fixture::commit(root, "c", "first try");
            run(&["commit", "-q", "--amend", "-m", "second try"]);
        });
        assert_eq!(amended, Some(1));
        let dropped = made_by(root, || {
            fixture::commit(root, "d", "a mistake");
            run(&["reset", "-q", "--hard", "HEAD~1"]);
        });
        assert_eq!(dropped, Some(0));
        let moved = made_by(root, || {
            run(&["switch", "-q", "topic"]);
            run(&["switch", "-q", "-c", "from-topic"]);
            run(&["merge", "-q", "--ff-only", "topic"]);
        });
        assert_eq!(moved, Some(0));
        let merged = made_by(root, || {
            run(&["merge", "-q", "--no-edit", "main"]);
        });
        assert_eq!(merged, Some(1));
        let rebased = made_by(root, || {
            run(&["switch", "-q", "topic"]);
            run(&["rebase", "-q", "main"]);
        });
        assert_eq!(rebased, Some(2));
    }
}
