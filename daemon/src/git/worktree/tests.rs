//! Worktrees made, crashed, undone, removed and compared with what git itself makes.

use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::git::fixture::{self, Sample};

pub(super) struct Bench {
    pub(super) tools: Tools,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            tools: Tools::new(fixture::git()),
        }
    }

    pub(super) fn create(&self, repo: &Repo, plan: &Plan) -> Result<Made, Error> {
        self.create_until(repo, plan, &|_| ())
    }

    fn create_until(&self, repo: &Repo, plan: &Plan, at: &dyn Fn(Step)) -> Result<Made, Error> {
        let watch = Watch {
            progress: &|_| (),
            cancel: &AtomicBool::new(false),
        };
        create(&self.tools, repo, plan, &watch, at)
    }

    pub(super) fn new_branch(&self, sample: &Sample, branch: &str) -> Plan {
        let head = refs::resolve(&self.tools.git, &sample.repo(), "HEAD")
            .unwrap()
            .unwrap();
        Plan {
            token: format!("token-{}", names::folder(branch)),
            branch: branch.to_owned(),
            path: sample.dir().join("worktrees").join(names::folder(branch)),
            start: Start::New(head),
        }
    }
}

/// Everything git knows and everything on disk that a worktree could have left behind.
fn traces(sample: &Sample) -> (String, String, Vec<String>) {
    let branches = fixture::run(sample.root(), &["for-each-ref", "--format=%(refname)"]);
    let worktrees = fixture::run(sample.root(), &["worktree", "list", "--porcelain"]);
    let mut files = Vec::new();
    for folder in [
        sample.dir().join("worktrees"),
        sample.root().join(".git/worktrees"),
        sample.root().join(".git/hostler"),
    ] {
        files.extend(
            fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path().display().to_string()),
        );
    }
    (branches, worktrees, files)
}

#[test]
fn a_worktree_is_complete_and_git_agrees() {
    for sample in Sample::both_engines() {
        let bench = Bench::new();
        let plan = bench.new_branch(&sample, "feature/one");
        let made = bench.create(&sample.repo(), &plan).unwrap();
        assert_eq!(made.warnings, Vec::<String>::new());
        assert_eq!(made.entry, "feature-one");
        assert_eq!(entry_of(&plan.path).as_deref(), Some("feature-one"));
        assert_eq!(
            fixture::run(&plan.path, &["status", "--porcelain", "--branch"]),
            "## feature/one"
        );
        assert_eq!(
            fixture::run(&plan.path, &["rev-parse", "HEAD"]),
            made.commit
        );
        let list = fixture::run(sample.root(), &["worktree", "list", "--porcelain"]);
        assert!(
            list.contains("branch refs/heads/feature/one")
                && !list.contains("locked")
                && !list.contains("prunable"),
            "{list}"
        );
        fixture::run(&plan.path, &["fsck", "--strict"]);
        fixture::commit(&plan.path, "more.txt", "work goes on");
        fixture::run(sample.root(), &["worktree", "prune"]);
        assert_eq!(fixture::run(&plan.path, &["status", "--porcelain"]), "");
    }
}

#[test]
fn the_first_status_hashes_nothing() {
    let sample = Sample::new();
    let bench = Bench::new();
    let plan = bench.new_branch(&sample, "quick");
    bench.create(&sample.repo(), &plan).unwrap();
    let index = fs::metadata(sample.root().join(".git/worktrees/quick/index")).unwrap();
    let readme = fs::metadata(plan.path.join("README.md")).unwrap();
    let gap = index
        .modified()
        .unwrap()
        .duration_since(readme.modified().unwrap())
        .unwrap();
    assert!(gap.as_secs() >= 1, "{gap:?}");
    let trace = sample.dir().join("trace");
    let args = [
        "-c",
        &format!("trace2.perfTarget={}", trace.display()),
        "status",
        "--porcelain",
    ];
    assert_eq!(fixture::run(&plan.path, &args), "");
    let debug = fixture::run(&plan.path, &["ls-files", "--debug", "README.md"]);
    assert!(debug.contains("size: 9"), "{debug}");
    // A change of the same length right after is still seen.
    fs::write(plan.path.join("README.md"), "# Sample\n").unwrap();
    assert_eq!(
        fixture::run(&plan.path, &["status", "--porcelain"]),
        " M README.md"
    );
}

#[test]
fn a_crash_after_any_step_can_be_undone() {
    for sample in Sample::both_engines() {
        let bench = Bench::new();
        let before = traces(&sample);
        for step in Step::ALL {
            let plan = bench.new_branch(&sample, "crash");
            let crash = |reached: Step| assert!(reached != step, "crash after {step:?}");
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| ()));
            let result = catch_unwind(AssertUnwindSafe(|| {
                bench.create_until(&sample.repo(), &plan, &crash)
            }));
            std::panic::set_hook(hook);
            assert!(result.is_err(), "{step:?} was never reached");
            let after = Bench::new();
            let created = plan.start.created().map(String::as_str);
            for _ in 0..2 {
                undo(
                    &after.tools,
                    &sample.repo(),
                    &plan.path,
                    &plan.branch,
                    created,
                    &plan.token,
                )
                .unwrap();
                assert_eq!(traces(&sample), before, "{step:?}");
            }
            after.create(&sample.repo(), &plan).unwrap();
            remove(&after.tools, &sample.repo(), &plan.path, "t").unwrap();
            trash::sweep(plan.path.parent().unwrap());
            assert!(
                refs::delete(&after.tools.git, &sample.repo(), "crash", created.unwrap()).unwrap()
            );
            assert_eq!(traces(&sample), before, "{step:?}");
        }
    }
}

#[test]
fn a_failure_leaves_nothing_and_a_cancel_too() {
    let sample = Sample::new();
    fs::write(
        sample.root().join(".gitattributes"),
        "*.bad filter=broken\n",
    )
    .unwrap();
    fs::write(sample.root().join("x.bad"), "x\n").unwrap();
    fixture::run(sample.root(), &["add", "."]);
    fixture::run(sample.root(), &["commit", "-q", "-m", "filtered"]);
    fixture::run(sample.root(), &["config", "filter.broken.smudge", "false"]);
    fixture::run(sample.root(), &["config", "filter.broken.required", "true"]);
    let bench = Bench::new();
    let before = traces(&sample);
    let plan = bench.new_branch(&sample, "broken");
    let error = bench.create(&sample.repo(), &plan).unwrap_err();
    assert!(
        matches!(error, Error::Command { .. }) && error.detail().unwrap().contains("x.bad"),
        "{error:?}"
    );
    assert_eq!(traces(&sample), before);
    fixture::run(sample.root(), &["config", "filter.broken.smudge", "cat"]);
    let cancelled = AtomicBool::new(false);
    let watch = Watch {
        progress: &|_| (),
        cancel: &cancelled,
    };
    let at = |step| cancelled.store(step == Step::FolderMade, Ordering::Relaxed);
    let error = create(&bench.tools, &sample.repo(), &plan, &watch, &at).unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    assert_eq!(traces(&sample), before);
}

#[test]
fn a_taken_branch_names_its_place_and_stays() {
    for sample in Sample::both_engines() {
        let bench = Bench::new();
        let foreign = sample.dir().join("foreign");
        fixture::run(
            sample.root(),
            &[
                "worktree",
                "add",
                "-q",
                "-b",
                "theirs",
                foreign.to_str().unwrap(),
            ],
        );
        let before = traces(&sample);
        for (branch, place) in [("main", sample.root()), ("theirs", &*foreign)] {
            let plan = Plan {
                start: Start::Existing,
                ..bench.new_branch(&sample, branch)
            };
            let error = bench.create(&sample.repo(), &plan).unwrap_err();
            assert!(
                matches!(&error, Error::CheckedOut { path, .. } if path == place),
                "{error}"
            );
        }
        for (branch, wanted) in [
            ("MAIN", "upper and lower case"),
            ("theirs/sub", "files and folders"),
        ] {
            let error = bench
                .create(&sample.repo(), &bench.new_branch(&sample, branch))
                .unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
        assert_eq!(traces(&sample), before);
    }
}

#[test]
fn an_existing_folder_is_left_alone() {
    let sample = Sample::new();
    let bench = Bench::new();
    let plan = bench.new_branch(&sample, "there");
    for content in [None, Some("mine")] {
        fs::create_dir_all(&plan.path).unwrap();
        if let Some(content) = content {
            fs::write(plan.path.join("file"), content).unwrap();
        }
        let error = bench.create(&sample.repo(), &plan).unwrap_err();
        assert!(matches!(error, Error::Occupied { .. }), "{error}");
        assert!(plan.path.is_dir());
    }
    assert_eq!(fs::read_to_string(plan.path.join("file")).unwrap(), "mine");
}

#[test]
fn a_stale_entry_of_ours_makes_room() {
    for sample in Sample::both_engines() {
        let bench = Bench::new();
        let plan = bench.new_branch(&sample, "again");
        bench.create(&sample.repo(), &plan).unwrap();
        fs::remove_dir_all(&plan.path).unwrap();
        let again = Plan {
            start: Start::Existing,
            ..plan
        };
        bench.create(&sample.repo(), &again).unwrap();
        assert_eq!(
            fixture::run(&again.path, &["status", "--porcelain", "--branch"]),
            "## again"
        );
    }
}

#[test]
fn removing_handles_whatever_it_finds() {
    for sample in Sample::both_engines() {
        let bench = Bench::new();
        let repo = sample.repo();
        for state in ["whole", "locked", "folder gone", "entry gone"] {
            let plan = Plan {
                token: state.replace(' ', "-"),
                ..bench.new_branch(&sample, &state.replace(' ', "-"))
            };
            bench.create(&repo, &plan).unwrap();
            match state {
                "locked" => drop(fixture::run(
                    sample.root(),
                    &["worktree", "lock", plan.path.to_str().unwrap()],
                )),
                "folder gone" => fs::remove_dir_all(&plan.path).unwrap(),
                "entry gone" => fs::remove_dir_all(repo.entries_dir().join(&*plan.branch)).unwrap(),
                _ => {}
            }
            let removed = remove(&bench.tools, &repo, &plan.path, "t").unwrap();
            assert_eq!(removed.trashed.is_some(), state != "folder gone", "{state}");
            assert_eq!(removed.known, state != "entry gone", "{state}");
            assert_eq!(removed.locked.is_some(), state == "locked", "{state}");
            assert!(!plan.path.exists());
            assert_eq!(
                remove(&bench.tools, &repo, &plan.path, "t").unwrap(),
                Removed::default()
            );
        }
        assert_eq!(
            fixture::run(sample.root(), &["worktree", "list"])
                .lines()
                .count(),
            1
        );
        assert!(remove(&bench.tools, &repo, sample.root(), "t").is_err());
    }
}

#[test]
fn two_hundred_at_once() {
    let sample = Sample::new();
    let bench = Bench::new();
    let repo = sample.repo();
    thread::scope(|scope| {
        for n in 0..200 {
            let (bench, repo, sample) = (&bench, &repo, &sample);
            scope.spawn(move || {
                bench
                    .create(repo, &bench.new_branch(sample, &format!("many/{n}")))
                    .unwrap()
            });
        }
    });
    assert_eq!(
        fixture::run(sample.root(), &["worktree", "list"])
            .lines()
            .count(),
        201
    );
    for n in [0, 99, 199] {
        let path = sample.dir().join("worktrees").join(format!("many-{n}"));
        assert_eq!(fixture::run(&path, &["status", "--porcelain"]), "");
    }
}

#[test]
fn the_hook_runs_and_its_failure_is_a_warning() {
    for sample in Sample::both_engines() {
        let bench = Bench::new();
        let hook = sample.root().join(".git/hooks/post-checkout");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(
            &hook,
            "#!/bin/sh\necho \"$1 $2 $3\" > hooked\necho no good >&2\nexit 3\n",
        )
        .unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let plan = bench.new_branch(&sample, "hooked");
        let made = bench.create(&sample.repo(), &plan).unwrap();
        assert!(
            made.warnings.len() == 1 && made.warnings[0].contains("no good"),
            "{:?}",
            made.warnings
        );
        let zero = "0".repeat(made.commit.len());
        assert_eq!(
            fs::read_to_string(plan.path.join("hooked")).unwrap(),
            format!("{zero} {} 1\n", made.commit)
        );
    }
}

#[test]
fn partial_and_sparse_repositories_are_filled_by_git() {
    let sample = Sample::new();
    fixture::run(sample.root(), &["config", "uploadpack.allowFilter", "true"]);
    let partial = sample.dir().join("partial");
    let source = format!("file://{}", sample.root().display());
    let args = [
        "clone",
        "-q",
        "--filter=blob:none",
        "--no-checkout",
        &source,
    ];
    fixture::run(
        sample.dir(),
        &[&args[..], &[partial.to_str().unwrap()]].concat(),
    );
    let sparse = sample.clone_of_bare("sparse");
    fixture::run(
        &sparse,
        &["sparse-checkout", "set", "--no-cone", "/src/deep/"],
    );
    let bench = Bench::new();
    for (root, name, missing) in [(partial, "p", None), (sparse, "s", Some("src/main.sh"))] {
        let repo = Repo::discover(&root).unwrap();
        assert_ne!(repo.engine, Engine::Native);
        let head = refs::resolve(&bench.tools.git, &repo, "HEAD")
            .unwrap()
            .unwrap();
        let plan = Plan {
            token: name.to_owned(),
            branch: name.to_owned(),
            path: sample.dir().join("trees").join(name),
            start: Start::New(head),
        };
        bench.create(&repo, &plan).unwrap();
        assert_eq!(fixture::run(&plan.path, &["status", "--porcelain"]), "");
        assert!(plan.path.join("src/deep/a.txt").exists());
        assert_eq!(
            plan.path.join("src/main.sh").exists(),
            missing.is_none(),
            "{name}"
        );
    }
}
