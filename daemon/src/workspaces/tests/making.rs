//! Workspaces made: names, bases, twins, and crashes after every step.

use super::*;

#[tokio::test]
async fn a_workspace_is_made_listed_and_told() {
    let world = World::new().await;
    let made = world.create(world.wish(7, "Fix the Login!")).await.unwrap();
    let workspace = &made.workspace;
    assert!(!made.existed && made.warnings.is_empty() && made.setup.is_none());
    assert_eq!(workspace.state, WorkspaceState::Ready);
    assert_eq!(workspace.branch.as_deref(), Some("fix-the-login"));
    assert_eq!(workspace.base_branch.as_deref(), Some("main"));
    assert_eq!(
        workspace.path,
        world
            .host
            .home()
            .join("worktrees/shop/fix-the-login")
            .to_str()
            .unwrap()
    );
    assert_eq!(made.base.branch, "main");
    assert_eq!(
        made.base.commit,
        fixture::run(Path::new(&workspace.path), &["rev-parse", "HEAD"])
    );
    assert_eq!(
        fixture::run(Path::new(&workspace.path), &["status", "--porcelain"]),
        ""
    );
    let events = world.host.context.store.outbox_after(0, 100).await.unwrap();
    let last = &events.last().unwrap().1;
    assert!(
        last.contains("workspace_changed") && last.contains("\"ready\""),
        "{last}"
    );
}

#[tokio::test]
async fn bad_names_are_refused_before_anything_is_touched() {
    let world = World::new().await;
    fixture::run(world.sample.root(), &["branch", "a"]);
    let before = world.traces();
    let long = "x".repeat(300);
    for (branch, code) in [
        ("../../evil", ErrorCode::InvalidArgument),
        ("a.lock", ErrorCode::InvalidArgument),
        ("-x", ErrorCode::InvalidArgument),
        ("with space", ErrorCode::InvalidArgument),
        ("a~^:", ErrorCode::InvalidArgument),
        (&long, ErrorCode::InvalidArgument),
        ("a/b", ErrorCode::Conflict),
        ("MAIN", ErrorCode::Conflict),
        ("main", ErrorCode::Conflict),
    ] {
        let wish = WorkspaceCreate {
            branch: Some(branch.to_owned()),
            ..world.wish(7, "x")
        };
        let failure = world.create(wish).await.unwrap_err();
        assert_eq!(failure.code, code, "{branch}: {failure}");
        assert!(failure.hint.is_some());
    }
    assert_eq!(world.traces(), before);
    assert_eq!(world.states().await, []);
}

#[tokio::test]
async fn titles_bases_and_projects_are_checked_too() {
    let world = World::new().await;
    for name in ["", "   ", &"y".repeat(201)] {
        assert_eq!(
            world.create(world.wish(7, name)).await.unwrap_err().code,
            ErrorCode::InvalidArgument
        );
    }
    let nowhere = WorkspaceCreate {
        base_branch: Some("nowhere".to_owned()),
        ..world.wish(7, "x")
    };
    assert_eq!(
        world.create(nowhere).await.unwrap_err().code,
        ErrorCode::NotFound
    );
    let stranger = WorkspaceCreate {
        project_id: ProjectId(Uuid::from_u128(99)),
        ..world.wish(7, "x")
    };
    assert_eq!(
        world.create(stranger).await.unwrap_err().code,
        ErrorCode::NotFound
    );
    assert_eq!(world.states().await, []);
    let rocket = WorkspaceCreate {
        branch: Some("🚀/go".to_owned()),
        ..world.wish(8, "🚀🚀")
    };
    assert_eq!(
        world
            .create(rocket)
            .await
            .unwrap()
            .workspace
            .branch
            .as_deref(),
        Some("🚀/go")
    );
    let nameless = world.create(world.wish(9, "🚀🚀")).await.unwrap();
    assert_eq!(
        nameless.workspace.branch.as_deref(),
        Some("workspace-00000009")
    );
}

#[tokio::test]
async fn a_taken_branch_names_the_place() {
    let world = World::new().await;
    let foreign = world.sample.dir().join("foreign");
    fixture::run(
        world.sample.root(),
        &[
            "worktree",
            "add",
            "-q",
            "-b",
            "theirs",
            foreign.to_str().unwrap(),
        ],
    );
    let wish = WorkspaceCreate {
        branch: Some("theirs".to_owned()),
        ..world.wish(7, "x")
    };
    let failure = world.create(wish).await.unwrap_err();
    assert!(
        failure.message.contains(foreign.to_str().unwrap()),
        "{failure}"
    );
    assert_eq!(failure.code, ErrorCode::Conflict);
}

#[tokio::test]
async fn no_commits_no_workspace() {
    let sample = Sample::new();
    let world = World::new().await;
    let empty = sample.dir().join("empty.git");
    fixture::run(
        sample.dir(),
        &["init", "-q", "--bare", empty.to_str().unwrap()],
    );
    let command = ProjectCreate {
        project_id: ProjectId(Uuid::from_u128(2)),
        source: ProjectSource::Url(empty.to_str().unwrap().to_owned()),
        name: None,
        parent_dir: None,
        by: None,
    };
    let made = projects::create(&world.host.context, command, silent(), NOW)
        .await
        .unwrap();
    assert_eq!(made.project.default_branch, None);
    let wish = WorkspaceCreate {
        project_id: made.project.id,
        ..world.wish(7, "x")
    };
    let failure = world.create(wish).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::PreconditionFailed);
    assert!(failure.message.contains("no commits"), "{failure}");
}

#[tokio::test]
async fn twins_get_one_workspace() {
    let world = World::new().await;
    let wish = |n| WorkspaceCreate {
        branch: Some("same".to_owned()),
        ..world.wish(n, "Same")
    };
    let (a, b, c) = tokio::join!(
        world.create(wish(7)),
        world.create(wish(8)),
        world.create(wish(9))
    );
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(all.iter().filter(|made| !made.existed).count(), 1);
    let ids: BTreeSet<_> = all.iter().map(|made| made.workspace.id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(all[0].base.commit, all[2].base.commit);
    assert_eq!(
        fixture::run(world.sample.root(), &["worktree", "list"])
            .lines()
            .count(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_without_an_error() {
    let world = Arc::new(World::new().await);
    let mut all = tokio::task::JoinSet::new();
    for number in 0..200 {
        let world = Arc::clone(&world);
        all.spawn(async move {
            let wish = world.wish(1000 + number, &format!("Number {number}"));
            world.create(wish).await.map(drop)
        });
    }
    let results = all.join_all().await;
    let errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert_eq!(errors, []);
    assert_eq!(
        fixture::run(world.sample.root(), &["worktree", "list"])
            .lines()
            .count(),
        201
    );
    assert!(
        world
            .states()
            .await
            .iter()
            .all(|(_, state)| *state == WorkspaceState::Ready)
    );
}

/// Whether the creation ended by a panic, as a crash would end it: with nothing cleaned up.
async fn crashes(context: Context, wish: Wish, at: Crash) -> bool {
    let mut all = tokio::task::JoinSet::new();
    all.spawn(async move {
        let made = create_at(&context, wish, &Scripted::default(), silent(), at, NOW).await;
        drop(made);
    });
    matches!(all.join_next().await, Some(Err(ended)) if ended.is_panic())
}

#[tokio::test]
async fn a_crash_after_any_step_converges() {
    for sample in Sample::both_engines() {
        let world = World::around(sample).await;
        let before = world.traces();
        let steps = [
            "intent",
            "ref_created",
            "entry_published",
            "folder_made",
            "files_written",
            "index_written",
            "unlocked",
        ];
        for chosen in steps {
            let at: Crash = Arc::new(move |step| assert!(step != chosen, "crash"));
            let wish = Wish {
                command: world.wish(7, "Crash"),
                run_id: None,
            };
            let context = world.host.context.clone();
            assert!(crashes(context, wish, at).await, "{chosen}");
            assert_eq!(world.states().await.len(), 1, "{chosen}");
            let host = world.host.reopened().await;
            recover(&host.context, NOW).await.unwrap();
            reconcile(&host.context, world.project.id, NOW)
                .await
                .unwrap();
            let states = world.states().await;
            let interrupted = |error: &str| error.contains("interrupted");
            assert!(
                matches!(&states[..], [(_, WorkspaceState::Failed { error })] if interrupted(error))
            );
            assert_eq!(world.traces(), before, "{chosen}");
        }
        // The same request again, and another one for the same branch: one workspace each time.
        for number in [7, 8] {
            let made = world.create(world.wish(number, "Crash")).await.unwrap();
            assert_eq!(
                (made.existed, made.workspace.state),
                (number == 8, WorkspaceState::Ready)
            );
            assert!(
                made.workspace.path.ends_with("/crash"),
                "{}",
                made.workspace.path
            );
        }
        world
            .delete(WorkspaceId(Uuid::from_u128(7)), false, true)
            .await
            .unwrap();
        assert_eq!(world.states().await, []);
    }
}

#[tokio::test]
async fn a_crash_after_the_tree_is_recorded_keeps_it() {
    let world = World::new().await;
    let at: Crash = Arc::new(|step| assert!(step != "recorded", "crash"));
    let wish = Wish {
        command: world.wish(7, "Kept"),
        run_id: None,
    };
    let context = world.host.context.clone();
    assert!(crashes(context, wish, at).await);
    recover(&world.host.context, NOW).await.unwrap();
    assert!(
        matches!(&world.states().await[..], [(_, WorkspaceState::Failed { error })] if error.contains("interrupted"))
    );
    let again = world.create(world.wish(7, "Kept")).await.unwrap();
    assert_eq!(
        (again.existed, again.workspace.state),
        (true, WorkspaceState::Ready)
    );
}
