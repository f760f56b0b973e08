//! Writing a worktree's files when each is exactly its object: no filter, no line ending and no
//! encoding to convert. Most repositories are so, and this is several times quicker than asking
//! for every file's attributes.
//!
//! Invariant: a path is written only where nothing stood, and links are made only after all folders
//! and files, so that nothing is ever written through a link of the commit's own.
//! Deliberately not here: whether a repository is plain (`files` decides), and submodules.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use gix::bstr::{BStr, BString, ByteSlice};
use gix::index::{Entry, entry::Mode, entry::Stat, fs::Metadata};
use gix::objs::FindExt;
use rustix::fs::{AtFlags, CWD, Mode as Bits, OFlags, Timespec, Timestamps};

use super::Error;

/// What is written, and how.
pub(super) struct Checkout<'a> {
    /// The folder, which holds only `.git`.
    pub root: &'a Path,
    /// How many threads write.
    pub threads: usize,
    /// Ends the work early.
    pub cancel: &'a AtomicBool,
    /// Counts the files as they are written.
    pub done: &'a AtomicUsize,
    /// What every file is dated, in Unix seconds.
    pub date: i64,
}

/// One worker's share at a time: small enough to even out, large enough to stay in its folders.
const SHARE: usize = 64;

impl Checkout<'_> {
    /// Writes the entries and notes in each what stands on disk. Gives the paths that could not be
    /// told apart on this file system.
    pub(super) fn run<Objects: gix::objs::Find + Clone + Send>(
        &self,
        objects: &Objects,
        index: &mut gix::index::State,
    ) -> Result<Vec<BString>, Error> {
        let paths = index.take_path_backing();
        let result = self.write(objects, index.entries_mut_with_paths_in(&paths).collect());
        index.return_path_backing(paths);
        result
    }

    fn write<'e, Objects: gix::objs::Find + Clone + Send>(
        &self,
        objects: &Objects,
        mut entries: Vec<(&'e mut Entry, &'e BStr)>,
    ) -> Result<Vec<BString>, Error> {
        let shares = Mutex::new(entries.chunks_mut(SHARE));
        let next = || {
            let mut shares = shares.lock().unwrap_or_else(PoisonError::into_inner);
            shares.next()
        };
        let mut collisions = thread::scope(|scope| {
            let workers: Vec<_> = (1..self.threads.max(1))
                .map(|_| {
                    let (objects, next) = (objects.clone(), &next);
                    scope.spawn(move || self.work(&objects, next))
                })
                .collect();
            let mut all = self.work(objects, &next)?;
            for worker in workers {
                all.extend(worker.join().unwrap_or_else(|_| Err(gave_up()))?);
            }
            Ok::<_, Error>(all)
        })?;
        for (entry, name) in &mut entries {
            if entry.mode == Mode::SYMLINK && !self.link(objects, entry, name)? {
                collisions.push((*name).to_owned());
            }
        }
        collisions.sort();
        Ok(collisions)
    }

    fn work<'e, 'p: 'e>(
        &self,
        objects: &impl gix::objs::Find,
        next: &impl Fn() -> Option<&'e mut [(&'p mut Entry, &'p BStr)]>,
    ) -> Result<Vec<BString>, Error> {
        let mut buffer = Vec::new();
        let mut folder = Folder::default();
        let mut collisions = Vec::new();
        while let Some(share) = next().filter(|_| !self.cancel.load(Ordering::Relaxed)) {
            for (entry, name) in share {
                let executable = entry.mode == Mode::FILE_EXECUTABLE;
                if entry.mode == Mode::SYMLINK {
                    self.make_room(name)?;
                }
                if !executable && entry.mode != Mode::FILE {
                    continue;
                }
                let content = objects
                    .find_blob(&entry.id, &mut buffer)
                    .map_err(Error::gix("reading a file of the commit"))?
                    .data;
                match self.file(&mut folder, name, executable, content) {
                    Ok(stat) => entry.stat = stat,
                    Err(error) if collides(&error) => collisions.push((*name).to_owned()),
                    Err(error) => return Err(self.failed(name)(error)),
                }
                self.done.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(collisions)
    }

    fn file(
        &self,
        folder: &mut Folder,
        name: &BStr,
        executable: bool,
        content: &[u8],
    ) -> std::io::Result<Stat> {
        let (parent, leaf) = name
            .rsplit_once_str("/")
            .map_or((BStr::new(""), name.as_bytes()), |(parent, leaf)| {
                (BStr::new(parent), leaf)
            });
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let bits = Bits::from_raw_mode(if executable { 0o777 } else { 0o666 });
        let folder = folder.at(self.root, parent)?;
        let mut file = File::from(rustix::fs::openat(folder, leaf, flags, bits)?);
        file.write_all(content)?;
        rustix::fs::futimens(&file, &self.times())?;
        Stat::from_fs(&Metadata::from_file(&file)?).map_err(std::io::Error::other)
    }

    /// Makes the folder of a link while there are no links yet that it could lead through.
    fn make_room(&self, name: &BStr) -> Result<(), Error> {
        let path = self.root.join(name.to_path_lossy());
        match std::fs::create_dir_all(path.parent().unwrap_or(self.root)) {
            Err(error) if !collides(&error) => Err(self.failed(name)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Makes a link; `false` when something else stands there.
    fn link(
        &self,
        objects: &impl gix::objs::Find,
        entry: &mut Entry,
        name: &BStr,
    ) -> Result<bool, Error> {
        let mut buffer = Vec::new();
        let target = objects
            .find_blob(&entry.id, &mut buffer)
            .map_err(Error::gix("reading a link of the commit"))?
            .data;
        let path = self.root.join(name.to_path_lossy());
        match rustix::fs::symlink(target, &path).map_err(std::io::Error::from) {
            Err(error) if collides(&error) => return Ok(false),
            Err(error) => return Err(self.failed(name)(error)),
            Ok(()) => {}
        }
        let dated = rustix::fs::utimensat(CWD, &path, &self.times(), AtFlags::SYMLINK_NOFOLLOW);
        entry.stat = dated
            .map_err(std::io::Error::from)
            .and_then(|()| Metadata::from_path_no_follow(&path))
            .and_then(|meta| Stat::from_fs(&meta).map_err(std::io::Error::other))
            .map_err(self.failed(name))?;
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    fn times(&self) -> Timestamps {
        let time = Timespec {
            tv_sec: self.date,
            tv_nsec: 0,
        };
        Timestamps {
            last_access: time,
            last_modification: time,
        }
    }

    fn failed(&self, name: &BStr) -> impl FnOnce(std::io::Error) -> Error {
        let path = self.root.join(name.to_path_lossy());
        move |source| Error::io("could not write the file", &path)(source)
    }
}

/// The folder a worker writes into, held open so that the kernel looks up only the last name.
#[derive(Default)]
struct Folder(Option<(BString, OwnedFd)>);

impl Folder {
    fn at(&mut self, root: &Path, name: &BStr) -> std::io::Result<&OwnedFd> {
        if self.0.as_ref().is_none_or(|(held, _)| held != name) {
            self.0 = Some((name.to_owned(), open_folder(root, name)?));
        }
        self.0
            .as_ref()
            .map(|(_, folder)| folder)
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

fn open_folder(root: &Path, name: &BStr) -> std::io::Result<OwnedFd> {
    let path: PathBuf = root.join(name.to_path_lossy());
    std::fs::create_dir_all(&path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(&path, flags, Bits::empty())?)
}

/// Whether another name of the commit took this one's place (`README` and `readme`, or a file
/// where this needs a folder).
fn collides(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory
    )
}

fn gave_up() -> Error {
    Error::Command {
        what: "writing the files".to_owned(),
        detail: "a thread ended early".to_owned(),
    }
}
