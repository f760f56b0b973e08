//! Hints that something changed in a repository: file system events on its git directories.
//!
//! Invariant: whole trees are never watched (one checkout is thousands of watches), only the common
//! directory, the worktrees' entries and the folders that hold worktrees. A hint says where to look
//! and is never believed; losing one costs at most a minute, because everything is looked at then.

pub(crate) mod task;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use notify::{Config, Event, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher};

/// Where something may have changed; none means events were lost, so anywhere.
pub type Hint = Option<Vec<PathBuf>>;

/// The watches of this host.
pub struct Watches {
    notify: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

impl Watches {
    /// Watches nothing yet; `heard` is called from another thread for every hint.
    pub fn new(heard: impl Fn(Hint) + Send + 'static) -> Result<Self, notify::Error> {
        let handler = move |event: Result<Event, notify::Error>| match event {
            Ok(event) if !event.need_rescan() => heard(Some(event.paths)),
            Ok(_) | Err(_) => heard(None),
        };
        let config = Config::default().with_event_kinds(EventKindMask::CORE);
        Ok(Self {
            notify: RecommendedWatcher::new(handler, config)?,
            watched: BTreeSet::new(),
        })
    }

    /// Watches exactly these folders, as far as they exist. What cannot be watched is left to the
    /// full look; the answer is how many are watched.
    pub fn set(&mut self, wanted: &BTreeSet<PathBuf>) -> usize {
        for gone in self.watched.difference(wanted).cloned().collect::<Vec<_>>() {
            // The folder may be gone, and its watch with it.
            self.notify.unwatch(&gone).ok();
            self.watched.remove(&gone);
        }
        for path in wanted {
            if !path.is_dir() {
                self.watched.remove(path);
            } else if !self.watched.contains(path)
                && self.notify.watch(path, RecursiveMode::NonRecursive).is_ok()
            {
                self.watched.insert(path.clone());
            }
        }
        self.watched.len()
    }
}

/// The folders to watch for a repository whose worktrees are made in `trees`.
pub fn folders(common: &Path, trees: &Path) -> BTreeSet<PathBuf> {
    let entries = common.join("worktrees");
    let each = std::fs::read_dir(&entries).into_iter().flatten().flatten();
    let each: Vec<PathBuf> = each.map(|entry| entry.path()).collect();
    let fixed = [common.to_owned(), entries, trees.to_owned()];
    fixed.into_iter().chain(each).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::git::fixture::{self, Sample};

    #[test]
    fn a_switch_a_new_worktree_and_a_lost_tree_are_heard() {
        let sample = Sample::new();
        let trees = sample.dir().join("trees");
        std::fs::create_dir(&trees).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        let mut watches = Watches::new(move |hint| {
            told.lock().unwrap().extend(hint.unwrap_or_default());
        })
        .unwrap();
        let common = sample.root().join(".git");
        assert_eq!(watches.set(&folders(&common, &trees)), 2);
        let under = |place: &Path| {
            heard
                .lock()
                .unwrap()
                .iter()
                .any(|path| path.starts_with(place))
        };
        fixture::run(sample.root(), &["switch", "-q", "-c", "other"]);
        fixture::eventually("the switch to be heard", || under(&common.join("HEAD")));
        let tree = trees.join("one");
        fixture::run(
            sample.root(),
            &["worktree", "add", "-q", tree.to_str().unwrap()],
        );
        fixture::eventually("the tree to be heard", || under(&tree));
        assert_eq!(watches.set(&folders(&common, &trees)), 4);
        heard.lock().unwrap().clear();
        fixture::run(&tree, &["switch", "-q", "-c", "third"]);
        fixture::eventually("its switch to be heard", || {
            under(&common.join("worktrees/one"))
        });
        heard.lock().unwrap().clear();
        std::fs::remove_dir_all(&tree).unwrap();
        fixture::eventually("its loss to be heard", || under(&tree));
        assert_eq!(watches.set(&BTreeSet::new()), 0);
    }
}
