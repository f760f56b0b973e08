//! Workspaces through the host database, with real repositories.

mod making;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use hostler_proto::command::{
    ProjectCreate, ProjectSource, WorkspaceCreate, WorkspaceCreated, WorkspaceDelete,
    WorkspaceDeleted,
};
use hostler_proto::ids::{ProjectId, RunId, WorkspaceId};
use hostler_proto::project::Project;
use hostler_proto::workspace::{WorkspaceKind, WorkspaceState};
use uuid::Uuid;

use super::create::Wish;
use super::*;
use crate::fixture::{Host, NOW, Scripted, silent};
use crate::git::fixture::{self, Sample};
use crate::projects;

struct World {
    host: Host,
    sample: Sample,
    project: Project,
    supervise: Scripted,
}

impl World {
    async fn new() -> Self {
        Self::around(Sample::new()).await
    }

    async fn around(sample: Sample) -> Self {
        let root = sample.root().to_owned();
        Self::importing(sample, &root).await
    }

    async fn importing(sample: Sample, root: &Path) -> Self {
        let host = Host::open().await;
        let command = ProjectCreate {
            project_id: ProjectId(Uuid::from_u128(1)),
            source: ProjectSource::Path(root.to_str().unwrap().to_owned()),
            name: Some("Shop".to_owned()),
            parent_dir: None,
            by: None,
        };
        let project = projects::create(&host.context, command, silent(), NOW)
            .await
            .unwrap()
            .project;
        Self {
            host,
            sample,
            project,
            supervise: Scripted::default(),
        }
    }

    fn wish(&self, number: u128, name: &str) -> WorkspaceCreate {
        WorkspaceCreate {
            workspace_id: WorkspaceId(Uuid::from_u128(number)),
            project_id: self.project.id,
            name: name.to_owned(),
            branch: None,
            base_branch: None,
            task_id: None,
            setup: true,
            created_by: "ada@example.com".to_owned(),
            by: None,
        }
    }

    async fn create(&self, command: WorkspaceCreate) -> Result<WorkspaceCreated, Failure> {
        create(&self.host.context, command, &self.supervise, silent(), NOW).await
    }

    async fn delete(
        &self,
        id: WorkspaceId,
        force: bool,
        delete_branch: bool,
    ) -> Result<WorkspaceDeleted, Failure> {
        let command = WorkspaceDelete {
            workspace_id: id,
            force,
            delete_branch,
            by: None,
        };
        delete(&self.host.context, command, &self.supervise, NOW).await
    }

    async fn states(&self) -> Vec<(String, WorkspaceState)> {
        let rows = self.host.context.store.workspaces().await.unwrap();
        let rows = rows
            .into_iter()
            .filter(|row| row.workspace.kind == WorkspaceKind::Worktree);
        rows.map(|row| {
            (
                row.workspace.branch.unwrap_or_default(),
                row.workspace.state,
            )
        })
        .collect()
    }

    /// What git and the disk know, for comparing before and after.
    fn traces(&self) -> (String, String, Vec<std::path::PathBuf>) {
        let root = self.sample.root();
        let mut files: Vec<_> = self
            .host
            .tree("worktrees")
            .into_iter()
            .filter(|path| !path.ends_with("shop"))
            .collect();
        files.extend(
            std::fs::read_dir(root.join(".git/hostler"))
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path()),
        );
        (
            fixture::run(root, &["for-each-ref", "--format=%(refname) %(objectname)"]),
            fixture::run(root, &["worktree", "list", "--porcelain"]),
            files,
        )
    }
}

#[tokio::test]
async fn dirty_and_unpushed_work_is_refused_and_listed() {
    for sample in Sample::both_engines() {
        let world = World::around(sample).await;
        let made = world.create(world.wish(7, "Work")).await.unwrap().workspace;
        let path = Path::new(&made.path);
        for (file, args) in [
            ("untracked.txt", None),
            ("staged.txt", Some(["add", "staged.txt"])),
        ] {
            std::fs::write(path.join(file), "precious\n").unwrap();
            if let Some(args) = args {
                fixture::run(path, &args);
            }
            let failure = world.delete(made.id, false, false).await.unwrap_err();
            assert_eq!(failure.code, ErrorCode::PreconditionFailed);
            assert!(failure.message.contains(file), "{failure}");
            assert!(path.join(file).exists());
        }
        fixture::run(path, &["add", "-A"]);
        fixture::run(path, &["commit", "-q", "-m", "only here"]);
        let failure = world.delete(made.id, false, true).await.unwrap_err();
        assert!(failure.message.contains("only here"), "{failure}");
        let gone = world.delete(made.id, true, true).await.unwrap();
        assert!(
            gone.branch_deleted && !gone.already_gone && !path.exists(),
            "{gone:?}"
        );
        assert_eq!(world.states().await, []);
        assert!(!fixture::run(world.sample.root(), &["branch"]).contains("work"));
        assert!(
            world
                .delete(made.id, false, false)
                .await
                .unwrap()
                .already_gone
        );
    }
}

#[tokio::test]
async fn a_branch_with_the_only_copy_of_a_commit_outlives_a_folder_deleted_by_hand() {
    let world = World::new().await;
    let made = world.create(world.wish(7, "Work")).await.unwrap().workspace;
    let path = Path::new(&made.path);
    fixture::run(path, &["commit", "-q", "--allow-empty", "-m", "only here"]);
    std::fs::remove_dir_all(path).unwrap();
    let gone = world.delete(made.id, false, true).await.unwrap();
    assert!(!gone.branch_deleted, "{gone:?}");
    assert!(gone.warnings[0].contains("nowhere else"), "{gone:?}");
    assert!(fixture::run(world.sample.root(), &["branch"]).contains("work"));
}

#[tokio::test]
async fn a_clean_workspace_goes_and_its_branch_stays_unless_asked() {
    let world = World::new().await;
    let made = world
        .create(world.wish(7, "Clean"))
        .await
        .unwrap()
        .workspace;
    let gone = world.delete(made.id, false, false).await.unwrap();
    assert!(!gone.branch_deleted && gone.warnings.is_empty(), "{gone:?}");
    assert!(fixture::run(world.sample.root(), &["branch"]).contains("clean"));
    let asked = world.supervise.asked.lock().unwrap().clone();
    assert_eq!(asked, [format!("vacate {}", made.id)]);
    fixture::eventually("the trash to be empty", || {
        !world.host.home().join("worktrees/shop/.trash").exists()
    });
    let again = world.create(world.wish(8, "Clean")).await.unwrap();
    assert_eq!(
        (again.existed, again.workspace.base_branch.as_deref()),
        (false, None)
    );
}

#[tokio::test]
async fn deletion_takes_what_it_finds() {
    let world = World::new().await;
    let root = world.sample.root();
    for (number, state) in ["folder gone", "locked", "entry gone"]
        .into_iter()
        .enumerate()
    {
        let made = world
            .create(world.wish(10 + number as u128, state))
            .await
            .unwrap()
            .workspace;
        let entry = root
            .join(".git/worktrees")
            .join(made.branch.as_deref().unwrap());
        match state {
            "folder gone" => std::fs::remove_dir_all(&made.path).unwrap(),
            "locked" => drop(fixture::run(root, &["worktree", "lock", &made.path])),
            _ => std::fs::remove_dir_all(&entry).unwrap(),
        }
        if state == "entry gone" {
            let failure = world.delete(made.id, false, false).await.unwrap_err();
            assert!(
                failure.message.contains("could not be checked"),
                "{failure}"
            );
        }
        let gone = world
            .delete(made.id, state == "entry gone", false)
            .await
            .unwrap();
        assert_eq!(
            gone.warnings.len(),
            usize::from(state == "locked"),
            "{state}: {gone:?}"
        );
        assert!(
            !Path::new(&made.path).exists() && !entry.exists(),
            "{state}"
        );
    }
    let main = main_workspace_id(world.project.id);
    let failure = world.delete(main, true, true).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::PreconditionFailed);
    assert!(root.join("README.md").exists());
}

#[tokio::test]
async fn a_deletion_that_a_crash_interrupted_goes_on() {
    let world = World::new().await;
    let made = world.create(world.wish(7, "Half")).await.unwrap().workspace;
    let mut row = world
        .host
        .context
        .store
        .workspace(made.id)
        .await
        .unwrap()
        .unwrap();
    row.workspace.state = WorkspaceState::Deleting;
    save(&world.host.context, &row, NOW).await.unwrap();
    let parent = Path::new(&made.path).parent().unwrap();
    std::fs::create_dir_all(parent.join(".trash/old")).unwrap();
    let host = world.host.reopened().await;
    recover(&host.context, NOW).await.unwrap();
    assert_eq!(world.states().await, []);
    assert!(!Path::new(&made.path).exists());
    fixture::eventually("the trash to be empty", || !parent.join(".trash").exists());
    assert_eq!(
        fixture::run(world.sample.root(), &["worktree", "list"])
            .lines()
            .count(),
        1
    );
}

#[tokio::test]
async fn what_happens_behind_our_back_is_noticed() {
    let world = World::new().await;
    let [switched, moved, deleted] =
        [(7, "Switched"), (8, "Moved"), (9, "Deleted")].map(|(n, name)| world.wish(n, name));
    let switched = world.create(switched).await.unwrap().workspace;
    let moved = world.create(moved).await.unwrap().workspace;
    let deleted = world.create(deleted).await.unwrap().workspace;
    fixture::run(
        Path::new(&switched.path),
        &["switch", "-q", "-c", "elsewhere"],
    );
    let place = world.sample.dir().join("new place");
    fixture::run(
        world.sample.root(),
        &["worktree", "move", &moved.path, place.to_str().unwrap()],
    );
    std::fs::remove_dir_all(&deleted.path).unwrap();
    fixture::run(world.sample.root(), &["switch", "-q", "-c", "main-moved"]);
    for _ in 0..2 {
        reconcile(&world.host.context, world.project.id, NOW)
            .await
            .unwrap();
    }
    let store = &world.host.context.store;
    let now = |id| async move { store.workspace(id).await.unwrap().map(|row| row.workspace) };
    assert_eq!(
        now(switched.id).await.unwrap().branch.as_deref(),
        Some("elsewhere")
    );
    assert_eq!(now(moved.id).await.unwrap().path, place.to_str().unwrap());
    assert_eq!(now(deleted.id).await, None);
    let main = now(main_workspace_id(world.project.id)).await.unwrap();
    assert_eq!(main.branch.as_deref(), Some("main-moved"));
    let list = fixture::run(world.sample.root(), &["worktree", "list"]);
    assert!(!list.contains("prunable"), "{list}");
    let again = world.create(world.wish(10, "Deleted")).await.unwrap();
    assert!(!again.existed);
}

#[tokio::test]
async fn the_base_is_fetched_and_a_failed_fetch_is_a_warning() {
    let sample = Sample::new();
    let copy = sample.clone_of_bare("copy");
    let pusher = sample.clone_of_bare("pusher");
    let newest = fixture::commit(&pusher, "theirs", "pushed by another");
    fixture::run(&pusher, &["push", "-q", "origin", "main", "main:shared"]);
    let world = World::importing(sample, &copy).await;
    let made = world.create(world.wish(7, "Newest")).await.unwrap();
    assert_eq!(
        (made.base.commit.as_str(), made.base.fetched_at),
        (&*newest, Some(NOW))
    );
    let shared = WorkspaceCreate {
        branch: Some("shared".to_owned()),
        ..world.wish(8, "Shared")
    };
    let shared = world.create(shared).await.unwrap();
    let upstream = fixture::run(
        Path::new(&shared.workspace.path),
        &["rev-parse", "--abbrev-ref", "@{upstream}"],
    );
    assert_eq!(
        (upstream.as_str(), shared.workspace.base_branch),
        ("origin/shared", None)
    );
    let bare = world.sample.bare_copy();
    std::fs::rename(&bare, bare.with_extension("away")).unwrap();
    let still = world.create(world.wish(9, "Still fresh")).await.unwrap();
    assert_eq!(still.warnings, Vec::<String>::new());
    for (name, after) in [("Later", 6 * 60_000), ("A moment later", 6 * 60_000 + 1)] {
        let wish = world.wish(u128::try_from(after).unwrap(), name);
        let made = create(
            &world.host.context,
            wish,
            &world.supervise,
            silent(),
            NOW.plus_ms(after),
        )
        .await
        .unwrap();
        assert!(
            made.warnings[0].contains("was not fetched"),
            "{:?}",
            made.warnings
        );
        assert_eq!(made.base.fetched_at, Some(NOW));
    }
}

#[tokio::test]
async fn setup_runs_and_its_failure_is_the_workspaces() {
    let sample = Sample::new();
    std::fs::create_dir(sample.root().join(".hostler")).unwrap();
    let config = r#"{"setup": ["make"], "teardown": ["make clean"], "copy": [".env"]}"#;
    std::fs::write(sample.root().join(".hostler/config.json"), config).unwrap();
    std::fs::write(sample.root().join(".gitignore"), ".env\n").unwrap();
    fixture::run(sample.root(), &["add", "-A"]);
    fixture::run(sample.root(), &["commit", "-q", "-m", "config"]);
    std::fs::write(sample.root().join(".env"), "A=1").unwrap();
    let mut world = World::around(sample).await;
    world.supervise.code = 3;
    let failed = world.create(world.wish(7, "Set up")).await.unwrap();
    assert!(
        matches!(&failed.workspace.state, WorkspaceState::Failed { error } if error.contains("'make' exited with 3"))
    );
    assert_eq!(failed.setup.unwrap().exit_code, Some(3));
    assert_eq!(
        std::fs::read_to_string(Path::new(&failed.workspace.path).join(".env")).unwrap(),
        "A=1"
    );
    world.supervise.code = 0;
    let again = world.create(world.wish(8, "Set up")).await.unwrap();
    assert_eq!(
        (again.existed, again.workspace.state),
        (true, WorkspaceState::Ready)
    );
    let gone = world
        .delete(again.workspace.id, false, false)
        .await
        .unwrap();
    assert!(gone.teardown.unwrap().ok);
    let asked = world.supervise.asked.lock().unwrap().clone();
    assert!(
        asked.last().unwrap().starts_with("teardown in "),
        "{asked:?}"
    );
}

#[tokio::test]
async fn runs_get_their_own_places() {
    let world = World::new().await;
    let run_id = RunId(Uuid::from_u128(0xabcd_1234));
    let place = RunPlace {
        run_id,
        project_id: world.project.id,
        automation: "Nightly checks".to_owned(),
        base_branch: None,
        created_by: "automation:x".to_owned(),
    };
    for existed in [false, true] {
        let made = for_run(
            &world.host.context,
            place.clone(),
            &world.supervise,
            silent(),
            NOW,
        )
        .await
        .unwrap();
        assert_eq!(
            (made.existed, made.workspace.id),
            (existed, run_workspace_id(run_id))
        );
        assert_eq!(
            made.workspace.branch.as_deref(),
            Some("hostler/nightly-checks-abcd1234")
        );
    }
    let scratch_run = RunId(Uuid::from_u128(5));
    let mut first = None;
    for _ in 0..2 {
        let made = scratch(
            &world.host.context,
            scratch_run,
            "Scratch",
            "automation:x",
            NOW,
        )
        .await
        .unwrap();
        assert_eq!(made.state, WorkspaceState::Ready);
        assert_eq!(*first.get_or_insert(made.clone()), made);
        assert_eq!(
            fixture::run(
                Path::new(&made.path),
                &["status", "--porcelain", "--branch"]
            ),
            "## main"
        );
    }
    let made = first.unwrap();
    std::fs::write(Path::new(&made.path).join("result.txt"), "x").unwrap();
    assert!(world.delete(made.id, false, false).await.is_err());
    world.delete(made.id, true, false).await.unwrap();
    assert!(!Path::new(&made.path).exists());
}

#[tokio::test]
async fn changes_are_counted_and_told_once() {
    let world = World::new().await;
    let made = world
        .create(world.wish(7, "Counted"))
        .await
        .unwrap()
        .workspace;
    let path = Path::new(&made.path);
    fixture::commit(path, "one", "one");
    std::fs::write(path.join("two"), "2").unwrap();
    let told = || async {
        world
            .host
            .context
            .store
            .outbox_after(0, 100)
            .await
            .unwrap()
            .len()
    };
    let seen = refresh(&world.host.context, made.id, NOW)
        .await
        .unwrap()
        .unwrap();
    let changes = seen.changes.unwrap();
    assert_eq!(
        (changes.ahead, changes.behind, changes.untracked),
        (1, 0, 1)
    );
    let before = told().await;
    refresh(&world.host.context, made.id, NOW).await.unwrap();
    assert_eq!(told().await, before);
}
