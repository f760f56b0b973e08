//! Writing a worktree's files and its index.
//!
//! Invariant: attributes, line endings, encodings and filters (LFS) are applied as git does; every
//! file is dated two seconds back before the stat that goes into the index, so that no entry is
//! "racily clean" and the first `git status` hashes nothing. Where nothing is converted the files
//! are written by `plain`, else by gix; what gix writes otherwise than git (`ident` without its
//! last space, UTF-16 as UTF-8) is left to git: [`write`] gives `None`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::index::{Entry, entry::Mode, entry::Stat, extension};
use gix::progress::{Step, StepShared};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::error::with_causes;
use super::system::Watch;
use super::{Error, Progress, plain};

const BACK: i64 = 2;

/// A worktree whose files are written and whose index is not yet.
pub struct Written {
    index: gix::index::File,
    tree: extension::Tree,
    /// How many files there are.
    pub files: usize,
    /// Paths that could not be told apart on this file system (`README` and `readme`).
    pub collisions: Vec<String>,
}

/// Writes the files of the commit that the worktree at `path` is on. The folder holds only `.git`.
/// `None`, with nothing written, when git itself must do it.
pub fn write(path: &Path, threads: usize, watch: &Watch<'_>) -> Result<Option<Written>, Error> {
    let options = gix::open::Options::default().with(gix::sec::Trust::Full);
    let repo = gix::open_opts(path, options).map_err(failed("opening the new worktree"))?;
    let tree_id = repo
        .head_tree_id()
        .map_err(failed("reading the commit"))?
        .detach();
    let mut index = repo
        .index_from_tree(&tree_id)
        .map_err(failed("reading the commit's files"))?;
    let writer = writer(&repo, &index)?;
    if writer == Writer::Git {
        return Ok(None);
    }
    let tree = cache_tree(&repo, tree_id, &[])?;
    make_submodules(&index, path)?;
    let collisions = if writer == Writer::Plain {
        write_plain(&repo, &mut index, path, threads, watch)?
    } else {
        checkout(&repo, &mut index, path, threads, watch)?
    };
    if watch.cancel.load(Ordering::Relaxed) {
        return Err(Error::Cancelled {
            what: "writing the files".to_owned(),
        });
    }
    if writer == Writer::Gix {
        backdate(&mut index, path, threads)?;
    }
    Ok(Some(Written {
        files: index.entries().len(),
        index,
        tree,
        collisions: collisions
            .into_iter()
            .map(|path| path.to_string())
            .collect(),
    }))
}

impl Written {
    /// Writes the index beside the worktree's HEAD.
    pub fn finish(self) -> Result<(), Error> {
        let what = "could not write the index";
        let path = self.index.path().to_owned();
        let bytes = self.serialize().map_err(Error::io(what, &path))?;
        let lock = path.with_extension("lock");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&lock)
            .map_err(Error::io(what, &lock))?;
        file.write_all(&bytes).map_err(Error::io(what, &lock))?;
        drop(file);
        fs::rename(&lock, &path).map_err(Error::io(what, &path))
    }

    fn serialize(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.files * 96);
        let options = gix::index::write::Options {
            extensions: gix::index::write::Extensions::None,
            skip_hash: false,
        };
        let state: &gix::index::State = &self.index;
        state
            .write_to(&mut bytes, options)
            .map_err(std::io::Error::other)?;
        self.tree.write_to(&mut bytes)?;
        let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
        hasher.update(&bytes);
        let hash = hasher.try_finalize().map_err(std::io::Error::other)?;
        bytes.extend_from_slice(hash.as_slice());
        Ok(bytes)
    }
}

fn failed<E: std::error::Error + 'static>(what: &'static str) -> impl FnOnce(E) -> Error {
    Error::gix(what)
}

/// Who can write a commit's files as git would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Each file is its object.
    Plain,
    /// Some files may be converted.
    Gix,
    /// Some files may be converted in ways gix does otherwise.
    Git,
}

fn writer(repo: &gix::Repository, index: &gix::index::File) -> Result<Writer, Error> {
    let texts = attributes(repo, index)?;
    let any = |rule: fn(&[u8]) -> bool| texts.iter().any(|text| words(text).any(rule));
    if any(|word| word == b"ident" || word.starts_with(b"working-tree-encoding=")) {
        return Ok(Writer::Git);
    }
    let config = repo.config_snapshot();
    let says = |key: &str, value: &[u8]| {
        let found = config.string(key);
        found.is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    let converts = config.boolean("core.autocrlf") == Some(true)
        || says("core.eol", b"crlf")
        || config.boolean("core.symlinks") == Some(false)
        || any(|word| word.starts_with(b"filter") || word.starts_with(b"eol=crlf"));
    Ok(if converts { Writer::Gix } else { Writer::Plain })
}

/// All attributes files that may apply to the commit's files.
fn attributes(repo: &gix::Repository, index: &gix::index::File) -> Result<Vec<Vec<u8>>, Error> {
    let named = repo
        .config_snapshot()
        .trusted_path("core.attributesFile")
        .ok()
        .flatten();
    let xdg = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let user =
        xdg.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let files = [
        Some(PathBuf::from("/etc/gitattributes")),
        Some(repo.common_dir().join("info/attributes")),
        named,
        user.map(|dir| dir.join("git/attributes")),
    ];
    let mut texts: Vec<Vec<u8>> = files
        .into_iter()
        .flatten()
        .filter_map(|path| fs::read(path).ok())
        .collect();
    let is_attributes =
        |name: &BStr| name == ".gitattributes" || name.ends_with(b"/.gitattributes");
    for entry in index
        .entries()
        .iter()
        .filter(|entry| is_attributes(entry.path(index)) && entry.mode != Mode::COMMIT)
    {
        let blob = repo
            .find_blob(entry.id)
            .map_err(failed("reading the attributes"))?;
        texts.push(blob.detach().data);
    }
    Ok(texts)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
}

fn write_plain(
    repo: &gix::Repository,
    index: &mut gix::index::File,
    path: &Path,
    threads: usize,
    watch: &Watch<'_>,
) -> Result<Vec<BString>, Error> {
    let done = AtomicUsize::new(0);
    let total = index.entries().len();
    let plan = plain::Checkout {
        root: path,
        threads,
        cancel: watch.cancel,
        done: &done,
        date: crate::clock::wall().0.div_euclid(1000) - BACK,
    };
    let objects = objects(repo)?;
    reporting(watch, &done, total, || plan.run(&objects, index))
}

fn objects(repo: &gix::Repository) -> Result<gix::OdbHandleArc, Error> {
    repo.objects
        .clone()
        .into_arc()
        .map_err(failed("opening the objects"))
}

/// gix leaves submodules out; git makes their folder.
fn make_submodules(index: &gix::index::File, path: &Path) -> Result<(), Error> {
    for entry in index
        .entries()
        .iter()
        .filter(|entry| entry.mode == Mode::COMMIT)
    {
        let folder = path.join(entry.path(index).to_path_lossy());
        fs::create_dir_all(&folder).map_err(Error::io("could not create the folder", &folder))?;
    }
    Ok(())
}

fn checkout(
    repo: &gix::Repository,
    index: &mut gix::index::File,
    path: &Path,
    threads: usize,
    watch: &Watch<'_>,
) -> Result<Vec<BString>, Error> {
    let source = gix::worktree::stack::state::attributes::Source::IdMapping;
    let mut options = repo
        .checkout_options(source)
        .map_err(failed("reading the attributes"))?;
    options.destination_is_initially_empty = true;
    options.keep_going = true;
    options.thread_limit = Some(threads);
    let objects = objects(repo)?;
    let total = index.entries().len();
    let files = Count::default();
    let bytes = Count::default();
    let run = || {
        gix::worktree::state::checkout(index, path, objects, &files, &bytes, watch.cancel, options)
    };
    let outcome = reporting(watch, &files.0, total, run).map_err(failed("writing the files"))?;
    complain(&outcome, watch)?;
    let collisions = outcome.collisions.into_iter();
    Ok(collisions.map(|collision| collision.path).collect())
}

/// Reports how many files are written while `work` goes on.
fn reporting<T>(
    watch: &Watch<'_>,
    done: &AtomicUsize,
    total: usize,
    work: impl FnOnce() -> T,
) -> T {
    let over = AtomicBool::new(false);
    let tell = || {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let done = count(done.load(Ordering::Relaxed));
        (watch.progress)(Progress {
            phase: "Writing files".to_owned(),
            done,
            total: Some(count(total)),
            bytes: None,
        });
    };
    thread::scope(|scope| {
        let reporter = scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                thread::park_timeout(Duration::from_millis(100));
                tell();
            }
        });
        let result = work();
        over.store(true, Ordering::Release);
        reporter.thread().unpark();
        result
    })
}

fn complain(
    outcome: &gix::worktree::state::checkout::Outcome,
    watch: &Watch<'_>,
) -> Result<(), Error> {
    let mut complaints: Vec<String> = outcome
        .errors
        .iter()
        .take(10)
        .map(|record| format!("{}: {}", record.path, with_causes(&record.error)))
        .collect();
    let delayed = outcome
        .delayed_paths_unknown
        .iter()
        .chain(&outcome.delayed_paths_unprocessed);
    complaints.extend(
        delayed
            .take(10)
            .map(|path| format!("{path}: the filter did not deliver it")),
    );
    if complaints.is_empty() || watch.cancel.load(Ordering::Relaxed) {
        return Ok(());
    }
    Err(Error::Command {
        what: "writing the files".to_owned(),
        detail: complaints.join("\n"),
    })
}

fn backdate(index: &mut gix::index::File, root: &Path, threads: usize) -> Result<(), Error> {
    let state: &mut gix::index::State = index;
    let paths = state.take_path_backing();
    let mut entries: Vec<(&mut Entry, &BStr)> = state.entries_mut_with_paths_in(&paths).collect();
    let share = entries.len().div_ceil(threads.max(1)).max(1);
    let result = thread::scope(|scope| {
        let parts: Vec<_> = entries
            .chunks_mut(share)
            .map(|part| scope.spawn(|| backdate_all(part, root)))
            .collect();
        parts
            .into_iter()
            .try_for_each(|part| part.join().unwrap_or_else(|_| Err(gave_up())))
    });
    drop(entries);
    state.return_path_backing(paths);
    result
}

fn gave_up() -> Error {
    Error::Command {
        what: "dating the files".to_owned(),
        detail: "a thread ended early".to_owned(),
    }
}

fn backdate_all(entries: &mut [(&mut Entry, &BStr)], root: &Path) -> Result<(), Error> {
    let mut path = PathBuf::new();
    for (entry, name) in entries
        .iter_mut()
        // A file that collided with another has no stat, and the one on disk is not its own.
        .filter(|(entry, _)| entry.mode != Mode::COMMIT && entry.stat != Stat::default())
    {
        path.clear();
        path.push(root);
        path.push(name.to_path_lossy());
        entry.stat =
            backdate_one(&path, entry.stat).map_err(Error::io("could not date the file", &path))?;
    }
    Ok(())
}

fn backdate_one(path: &Path, stat: Stat) -> std::io::Result<Stat> {
    let time = Timespec {
        tv_sec: i64::from(stat.mtime.secs) - BACK,
        tv_nsec: i64::from(stat.mtime.nsecs),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    let meta = gix::index::fs::Metadata::from_path_no_follow(path)?;
    Stat::from_fs(&meta).map_err(std::io::Error::other)
}

/// The index's own record of which trees its entries came from; it saves `git status` the tree walk.
fn cache_tree(
    repo: &gix::Repository,
    id: gix::ObjectId,
    name: &[u8],
) -> Result<extension::Tree, Error> {
    let tree = repo
        .find_tree(id)
        .map_err(failed("reading a folder of the commit"))?;
    let mut children = Vec::new();
    let mut count = 0;
    for entry in tree.iter() {
        let entry = entry.map_err(failed("reading a folder of the commit"))?;
        if entry.mode().is_tree() {
            let child = cache_tree(repo, entry.object_id(), entry.filename())?;
            count += child.num_entries.unwrap_or(0);
            children.push(child);
        } else {
            count += 1;
        }
    }
    children.sort_by(|a, b| {
        a.name
            .len()
            .cmp(&b.name.len())
            .then_with(|| a.name.cmp(&b.name))
    });
    Ok(extension::Tree {
        name: name.into(),
        id,
        num_entries: Some(count),
        children,
    })
}

#[derive(Default)]
struct Count(StepShared);

impl gix::Count for Count {
    fn set(&self, step: Step) {
        self.0.store(step, Ordering::Relaxed);
    }

    fn step(&self) -> Step {
        self.0.load(Ordering::Relaxed)
    }

    fn inc_by(&self, step: Step) {
        self.0.fetch_add(step, Ordering::Relaxed);
    }

    fn counter(&self) -> StepShared {
        Arc::clone(&self.0)
    }
}
