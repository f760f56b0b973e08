//! What a workspace's row should say, given what git and the disk say. Pure.
//!
//! Invariant: judging twice with the same facts gives `Same` the second time. A workspace that is
//! being made or removed is never judged; its operation, or recovery, settles it.

use hostler_proto::workspace::{Workspace, WorkspaceKind, WorkspaceState};

use crate::git::entries::Entry;
use crate::store::workspaces::WorkspaceRow;

/// What was seen of a project's repository and of one workspace's folder.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// All linked worktrees git knows.
    pub entries: &'a [Entry],
    /// The branch the main checkout is on.
    pub main_branch: Option<&'a str>,
    /// Whether the workspace's folder is there.
    pub folder: bool,
}

/// What to do about a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is true.
    Same,
    /// The workspace is gone.
    Gone,
    /// This is true.
    Changed(Box<Workspace>),
}

const AWAY: &str = "its folder is not there, but it is locked, so it may come back";
const UNKNOWN: &str = "git no longer knows this worktree (its entry was pruned)";

/// Judges one row.
pub fn judge(row: &WorkspaceRow, seen: &Seen<'_>) -> Verdict {
    match row.workspace.state {
        WorkspaceState::Creating | WorkspaceState::Deleting => return Verdict::Same,
        WorkspaceState::Ready | WorkspaceState::Failed { .. } => {}
    }
    if row.workspace.kind == WorkspaceKind::Worktree && row.private.entry.is_none() {
        // It never came to be; its row says why.
        return Verdict::Same;
    }
    match row.workspace.kind {
        WorkspaceKind::Main => on_branch(row, seen.main_branch.map(str::to_owned)),
        WorkspaceKind::Scratch if seen.folder => Verdict::Same,
        WorkspaceKind::Scratch => Verdict::Gone,
        WorkspaceKind::Worktree => worktree(row, seen),
    }
}

fn worktree(row: &WorkspaceRow, seen: &Seen<'_>) -> Verdict {
    let by_id = |entry: &&Entry| Some(&entry.id) == row.private.entry.as_ref();
    let by_path = |entry: &&Entry| entry.path.to_str() == Some(row.workspace.path.as_str());
    let entry = seen
        .entries
        .iter()
        .find(by_path)
        .or_else(|| seen.entries.iter().find(by_id));
    match entry {
        Some(entry) if entry.present => {
            let mut workspace = row.workspace.clone();
            workspace.branch.clone_from(&entry.branch);
            if let Some(path) = entry.path.to_str() {
                path.clone_into(&mut workspace.path);
            }
            back(&mut workspace);
            changed(row, workspace)
        }
        Some(entry) if entry.locked.is_some() => failed(row, AWAY),
        None if seen.folder => failed(row, UNKNOWN),
        Some(_) | None => Verdict::Gone,
    }
}

/// A reason of ours to call it failed has gone; one of setup's stays.
fn back(workspace: &mut Workspace) {
    let ours = matches!(&workspace.state, WorkspaceState::Failed { error } if error == AWAY || error == UNKNOWN);
    if ours {
        workspace.state = WorkspaceState::Ready;
    }
}

fn on_branch(row: &WorkspaceRow, branch: Option<String>) -> Verdict {
    changed(
        row,
        Workspace {
            branch,
            ..row.workspace.clone()
        },
    )
}

fn failed(row: &WorkspaceRow, error: &str) -> Verdict {
    let state = WorkspaceState::Failed {
        error: error.to_owned(),
    };
    changed(
        row,
        Workspace {
            state,
            ..row.workspace.clone()
        },
    )
}

fn changed(row: &WorkspaceRow, workspace: Workspace) -> Verdict {
    if row.workspace == workspace {
        return Verdict::Same;
    }
    Verdict::Changed(Box::new(workspace))
}

#[cfg(test)]
mod tests {
    use hostler_proto::ids::WorkspaceId;
    use hostler_proto::time::UtcMillis;
    use uuid::Uuid;

    use super::*;
    use crate::store::workspaces::Private;

    fn row(kind: WorkspaceKind) -> WorkspaceRow {
        WorkspaceRow {
            workspace: Workspace {
                id: WorkspaceId(Uuid::nil()),
                project_id: None,
                name: "w".to_owned(),
                branch: Some("w".to_owned()),
                base_branch: None,
                base_commit: None,
                kind,
                state: WorkspaceState::Ready,
                path: "/trees/w".to_owned(),
                changes: None,
                task_id: None,
                created_by: "me".to_owned(),
                created_at: UtcMillis(0),
            },
            private: Private {
                entry: Some("w".to_owned()),
                ..Private::default()
            },
        }
    }

    fn entry(path: &str, branch: &str, present: bool, locked: bool) -> Entry {
        Entry {
            id: "w".to_owned(),
            path: path.into(),
            branch: Some(branch.to_owned()),
            locked: locked.then(String::new),
            present,
        }
    }

    fn seen(entries: &[Entry], folder: bool) -> Seen<'_> {
        Seen {
            entries,
            main_branch: Some("main"),
            folder,
        }
    }

    /// Judges, applies, and checks that judging again finds nothing.
    fn after(row: &WorkspaceRow, seen: Seen<'_>) -> Option<Workspace> {
        match judge(row, &seen) {
            Verdict::Same => Some(row.workspace.clone()),
            Verdict::Gone => None,
            Verdict::Changed(workspace) => {
                let again = WorkspaceRow {
                    workspace: *workspace.clone(),
                    ..row.clone()
                };
                assert_eq!(judge(&again, &seen), Verdict::Same);
                Some(*workspace)
            }
        }
    }

    #[test]
    fn a_worktree_follows_what_git_says() {
        let tree = row(WorkspaceKind::Worktree);
        assert_eq!(
            judge(&tree, &seen(&[entry("/trees/w", "w", true, false)], true)),
            Verdict::Same
        );
        let switched = after(
            &tree,
            seen(&[entry("/trees/w", "other", true, false)], true),
        )
        .unwrap();
        assert_eq!(switched.branch.as_deref(), Some("other"));
        let moved = after(&tree, seen(&[entry("/elsewhere", "w", true, false)], false)).unwrap();
        assert_eq!(moved.path, "/elsewhere");
        assert_eq!(
            after(&tree, seen(&[entry("/trees/w", "w", false, false)], false)),
            None
        );
        assert_eq!(after(&tree, seen(&[], false)), None);
    }

    #[test]
    fn what_may_come_back_is_kept_and_does() {
        let tree = row(WorkspaceKind::Worktree);
        for (facts, folder) in [
            (vec![entry("/trees/w", "w", false, true)], false),
            (vec![], true),
        ] {
            let failed = after(&tree, seen(&facts, folder)).unwrap();
            assert!(matches!(failed.state, WorkspaceState::Failed { .. }));
            let failed = WorkspaceRow {
                workspace: failed,
                ..tree.clone()
            };
            let back = after(&failed, seen(&[entry("/trees/w", "w", true, true)], true)).unwrap();
            assert_eq!(back.state, WorkspaceState::Ready);
        }
        let mut broken = tree;
        broken.workspace.state = WorkspaceState::Failed {
            error: "setup failed".to_owned(),
        };
        assert_eq!(
            judge(&broken, &seen(&[entry("/trees/w", "w", true, false)], true)),
            Verdict::Same
        );
    }

    #[test]
    fn main_and_scratch_have_their_own_rules() {
        let main = after(&row(WorkspaceKind::Main), seen(&[], false)).unwrap();
        assert_eq!(main.branch.as_deref(), Some("main"));
        assert_eq!(
            judge(&row(WorkspaceKind::Scratch), &seen(&[], true)),
            Verdict::Same
        );
        assert_eq!(
            judge(&row(WorkspaceKind::Scratch), &seen(&[], false)),
            Verdict::Gone
        );
        let mut husk = row(WorkspaceKind::Worktree);
        husk.private.entry = None;
        assert_eq!(judge(&husk, &seen(&[], false)), Verdict::Same);
        let mut making = row(WorkspaceKind::Worktree);
        making.workspace.state = WorkspaceState::Creating;
        assert_eq!(judge(&making, &seen(&[], false)), Verdict::Same);
    }
}
