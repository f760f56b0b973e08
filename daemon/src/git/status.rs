//! What stands in a worktree: changes, commits nobody else has, what a run produced.
//!
//! Asked of the system's git for both engines: only it runs custom filters, so only it never calls
//! a clean file modified. Invariant: reading never writes (`--no-optional-locks`).

use std::fs;
use std::path::Path;

use super::{Error, Git, journal};

/// Counts and names of what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The branch; `None` when detached.
    pub branch: Option<String>,
    /// The commit checked out; `None` before the first.
    pub head: Option<String>,
    /// Commits the upstream does not have.
    pub ahead: u32,
    /// Commits of the upstream that are not here.
    pub behind: u32,
    /// Whether `ahead` and `behind` were counted against an upstream.
    pub upstream: bool,
    /// Files staged.
    pub staged: u32,
    /// Tracked files changed and not staged.
    pub unstaged: u32,
    /// Files neither tracked nor ignored (a new folder counts once).
    pub untracked: u32,
    /// What is dirty, as `git status --short` would list it; at most [`LISTED`].
    pub dirty: Vec<String>,
}

/// How many dirty files or commits are listed by name.
pub const LISTED: usize = 20;

/// Looks again at the branches when git fails: one that is deleted while git lists them makes it
/// give up ("bad object").
const LOOKS: u32 = 8;

impl Status {
    /// Whether nothing is staged, changed or untracked.
    pub fn clean(&self) -> bool {
        self.staged + self.unstaged + self.untracked == 0
    }
}

/// Looks at the worktree at `path`.
pub fn status(git: &Git, path: &Path) -> Result<Status, Error> {
    let args = [
        "--no-optional-locks",
        "status",
        "--porcelain=v2",
        "--branch",
        "-z",
        "--untracked-files=normal",
        "--ignore-submodules=none",
    ];
    let output = git.local(path, "looking at the changes", &args)?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Ahead and behind of HEAD against `base` (any revision), for a branch without an upstream.
pub fn against(git: &Git, path: &Path, base: &str) -> Result<(u32, u32), Error> {
    let range = format!("{base}...HEAD");
    let output = git.local(
        path,
        "counting commits",
        &[
            "rev-list",
            "--left-right",
            "--count",
            "--end-of-options",
            &range,
        ],
    )?;
    let text = output.text();
    let mut counts = text.split_whitespace().map(|n| n.parse().unwrap_or(0));
    let behind = counts.next().unwrap_or(0);
    Ok((counts.next().unwrap_or(0), behind))
}

/// Commits of `tip` (HEAD, or a commit) that no remote and no branch other than `branch` has, newest
/// first, as `abc1234 subject`; at most [`LISTED`].
pub fn unpushed(
    git: &Git,
    path: &Path,
    tip: &str,
    branch: Option<&str>,
) -> Result<Vec<String>, Error> {
    let limit = format!("--max-count={LISTED}");
    let exclude = branch.map(|branch| format!("--exclude={branch}"));
    let mut args = vec!["log", "--format=%h %s", &limit, tip, "--not", "--remotes"];
    args.extend(exclude.as_deref());
    args.push("--branches");
    let what = "looking for commits that are nowhere else";
    let mut look = git.local(path, what, &args);
    for _ in 0..LOOKS {
        if look.is_ok() {
            break;
        }
        look = git.local(path, what, &args);
    }
    Ok(look?.text().lines().map(str::to_owned).collect())
}

/// Commits of HEAD after `base`, newest first, as `commit abc1234 subject`; at most [`LISTED`].
pub fn since(git: &Git, path: &Path, base: &str) -> Result<Vec<String>, Error> {
    let (limit, range) = (format!("--max-count={LISTED}"), format!("{base}..HEAD"));
    let args = [
        "log",
        "--format=commit %h %s",
        &limit,
        "--end-of-options",
        &range,
    ];
    let output = git.local(path, "listing commits", &args)?;
    Ok(output.text().lines().map(str::to_owned).collect())
}

/// What happened in a worktree since a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Commits made.
    pub commits: u32,
    /// Files changed, committed or not, new ones included.
    pub files_changed: u32,
    /// Lines added.
    pub insertions: u32,
    /// Lines removed.
    pub deletions: u32,
    /// Whether anything is uncommitted.
    pub dirty: bool,
}

/// Compares the worktree, its uncommitted files included, with a commit; with nothing at all when
/// there was none. `journal`: where the journal of HEAD was then, see [`journal::position`].
pub fn outcome(
    git: &Git,
    path: &Path,
    base_commit: Option<&str>,
    journal: Option<u64>,
) -> Result<Outcome, Error> {
    let told = match journal {
        Some(from) => journal::made_since(git, path, from)?,
        None => None,
    };
    let commits = match told {
        Some(made) => made,
        None => commits_since(git, path, base_commit)?,
    };
    let base = match base_commit {
        Some(commit) => commit.to_owned(),
        None => empty_tree(git, path)?,
    };
    let numstat = git.local(
        path,
        "comparing files",
        &[
            "--no-optional-locks",
            "diff",
            "--no-ext-diff",
            "--numstat",
            "--end-of-options",
            &base,
        ],
    )?;
    let others = git.local(
        path,
        "looking for new files",
        &["ls-files", "--others", "--exclude-standard", "-z"],
    )?;
    let mut outcome = Outcome {
        commits,
        dirty: !status(git, path)?.clean(),
        ..Outcome::default()
    };
    for line in numstat.text().lines() {
        let mut columns = line.split('\t').map(|n| n.parse().unwrap_or(0));
        outcome.files_changed += 1;
        outcome.insertions += columns.next().unwrap_or(0);
        outcome.deletions += columns.next().unwrap_or(0);
    }
    for name in others
        .stdout
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        outcome.files_changed += 1;
        outcome.insertions += lines(&path.join(String::from_utf8_lossy(name).as_ref()));
    }
    Ok(outcome)
}

/// Commits HEAD has and `base` has not; all of them without a base.
fn commits_since(git: &Git, path: &Path, base: Option<&str>) -> Result<u32, Error> {
    let range = match base {
        Some(commit) => format!("{commit}..HEAD"),
        None => "HEAD".to_owned(),
    };
    let args = ["rev-list", "--count", "--end-of-options", &range];
    let output = git.attempt(path, "counting commits", &args)?;
    // No commit yet is none made.
    Ok(output.text().parse().unwrap_or(0))
}

/// The name of a tree without files, in the repository's own hash.
fn empty_tree(git: &Git, path: &Path) -> Result<String, Error> {
    let args = ["hash-object", "-t", "tree", "/dev/null"];
    Ok(git.local(path, "comparing files", &args)?.text())
}

/// Lines of a new text file; 0 for what is large, binary or not a file.
fn lines(path: &Path) -> u32 {
    if !fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= 1 << 20) {
        return 0;
    }
    let bytes = fs::read(path).unwrap_or_default();
    if bytes.contains(&0) {
        return 0;
    }
    let ends = bytes.split(|byte| *byte == b'\n').count()
        - usize::from(bytes.is_empty() || bytes.ends_with(b"\n"));
    u32::try_from(ends).unwrap_or(u32::MAX)
}

fn parse(text: &str) -> Status {
    let mut status = Status::default();
    let mut records = text.split('\0');
    while let Some(record) = records.next() {
        if let Some(header) = record.strip_prefix("# ") {
            status.header(header);
        } else if let Some(path) = record.strip_prefix("? ") {
            status.untracked += 1;
            status.list("??", path);
        } else if record.starts_with(['1', '2', 'u']) {
            status.changed(record);
            if record.starts_with('2') {
                // The name it had before.
                records.next();
            }
        }
    }
    status
}

impl Status {
    fn header(&mut self, header: &str) {
        if let Some(head) = header.strip_prefix("branch.head ") {
            self.branch = (head != "(detached)").then(|| head.to_owned());
        } else if let Some(id) = header.strip_prefix("branch.oid ") {
            self.head = (id != "(initial)").then(|| id.to_owned());
        } else if let Some(counts) = header.strip_prefix("branch.ab ") {
            self.upstream = true;
            let mut counts = counts
                .split(' ')
                .map(|n| n.trim_start_matches(['+', '-']).parse().unwrap_or(0));
            self.ahead = counts.next().unwrap_or(0);
            self.behind = counts.next().unwrap_or(0);
        }
    }

    fn changed(&mut self, record: &str) {
        let fields = match record.as_bytes().first() {
            Some(b'1') => 9,
            Some(b'2') => 10,
            _ => 11,
        };
        let mut parts = record.splitn(fields, ' ').skip(1);
        let code = parts.next().unwrap_or("..").to_owned();
        let path = parts.last().unwrap_or_default();
        self.staged += u32::from(!code.starts_with('.'));
        self.unstaged += u32::from(!code.ends_with('.'));
        self.list(&code.replace('.', " "), path);
    }

    fn list(&mut self, code: &str, path: &str) {
        if self.dirty.len() < LISTED {
            self.dirty.push(format!("{code} {path}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture::{self, Sample};

    #[test]
    fn every_kind_of_change_is_counted_and_listed() {
        for sample in Sample::both_engines() {
            let (git, root) = (fixture::git(), sample.root());
            assert!(status(&git, root).unwrap().clean());
            fs::write(root.join("README.md"), "changed\n").unwrap();
            fs::write(root.join("new file"), "1\n2\n3").unwrap();
            fs::write(root.join("staged"), "1\n").unwrap();
            fixture::run(root, &["add", "staged"]);
            fixture::run(root, &["mv", "src/deep/a.txt", "src/deep/b c.txt"]);
            let status = status(&git, root).unwrap();
            assert_eq!(
                (status.staged, status.unstaged, status.untracked),
                (2, 1, 1),
                "{status:?}"
            );
            assert_eq!(status.branch.as_deref(), Some("main"));
            for line in [
                " M README.md",
                "?? new file",
                "A  staged",
                "R  src/deep/b c.txt",
            ] {
                assert!(
                    status.dirty.iter().any(|dirty| dirty == line),
                    "{line}: {:?}",
                    status.dirty
                );
            }
        }
    }

    #[test]
    fn commits_nobody_else_has_are_listed() {
        let sample = Sample::new();
        let copy = sample.clone_of_bare("copy");
        let git = fixture::git();
        fixture::run(&copy, &["switch", "-q", "-c", "topic"]);
        assert!(
            unpushed(&git, &copy, "HEAD", Some("topic"))
                .unwrap()
                .is_empty()
        );
        fixture::commit(&copy, "x", "only here");
        let list = unpushed(&git, &copy, "HEAD", Some("topic")).unwrap();
        assert!(
            list.len() == 1 && list[0].ends_with(" only here"),
            "{list:?}"
        );
        assert_eq!(against(&git, &copy, "main").unwrap(), (1, 0));
        fixture::run(&copy, &["branch", "keeper"]);
        assert!(
            unpushed(&git, &copy, "HEAD", Some("topic"))
                .unwrap()
                .is_empty()
        );
        fixture::run(&copy, &["branch", "-q", "-D", "keeper"]);
        fixture::run(&copy, &["push", "-q", "-u", "origin", "topic"]);
        assert!(
            unpushed(&git, &copy, "HEAD", Some("topic"))
                .unwrap()
                .is_empty()
        );
        fixture::commit(&copy, "y", "ahead");
        let status = status(&git, &copy).unwrap();
        assert_eq!((status.upstream, status.ahead, status.behind), (true, 1, 0));
    }

    #[test]
    fn an_outcome_counts_committed_and_uncommitted_work() {
        let sample = Sample::new();
        let (git, root) = (fixture::git(), sample.root());
        let base = fixture::run(root, &["rev-parse", "HEAD"]);
        let journal = journal::position(root);
        let outcome = || outcome(&git, root, Some(&base), journal).unwrap();
        assert_eq!(outcome(), Outcome::default());
        fixture::commit(root, "made.txt", "one");
        fs::write(root.join("README.md"), "replaced\n").unwrap();
        fs::write(root.join("loose.txt"), "1\n2\n").unwrap();
        let got = outcome();
        assert_eq!(
            (got.commits, got.files_changed, got.dirty),
            (1, 3, true),
            "{got:?}"
        );
        assert!(got.insertions >= 4 && got.deletions >= 1, "{got:?}");
    }

    #[test]
    fn everything_is_new_where_there_was_no_commit() {
        let temp = tempfile::tempdir().unwrap();
        let (git, root) = (fixture::git(), temp.path());
        fixture::run(root, &["init", "-q"]);
        let journal = journal::position(root);
        let outcome = || outcome(&git, root, None, journal).unwrap();
        assert_eq!(outcome(), Outcome::default());
        fixture::commit(root, "made.txt", "one");
        fs::write(root.join("loose.txt"), "1\n2\n").unwrap();
        let got = outcome();
        assert_eq!(
            (got.commits, got.files_changed, got.dirty),
            (1, 2, true),
            "{got:?}"
        );
    }

    #[test]
    fn a_changed_submodule_is_one_changed_file() {
        let (sample, inner) = (Sample::new(), Sample::new());
        let (git, root) = (fixture::git(), sample.root());
        let url = inner.root().to_string_lossy().into_owned();
        let allow = "protocol.file.allow=always";
        fixture::run(
            root,
            &["-c", allow, "submodule", "add", "-q", &url, "inner"],
        );
        fixture::run(root, &["commit", "-qm", "with a submodule"]);
        let base = fixture::run(root, &["rev-parse", "HEAD"]);
        let journal = journal::position(root);
        fs::write(root.join("inner/README.md"), "changed\n").unwrap();
        let dirty = outcome(&git, root, Some(&base), journal).unwrap();
        assert_eq!(
            (dirty.commits, dirty.files_changed, dirty.dirty),
            (0, 1, true)
        );
        fixture::commit(&root.join("inner"), "README.md", "inside");
        fixture::run(root, &["commit", "-qam", "moves the submodule"]);
        let done = outcome(&git, root, Some(&base), journal).unwrap();
        assert_eq!(
            (done.commits, done.files_changed, done.dirty),
            (1, 1, false)
        );
    }
}
