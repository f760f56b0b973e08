//! Tasks through the catalog.

use tempfile::TempDir;

use super::*;
use crate::auth::{Role, Scopes};
use crate::{Config, ControlPlane};
use hostler_proto::ids::OrgId;

struct World {
    _home: TempDir,
    plane: ControlPlane,
    me: Caller,
}

impl World {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = Config {
            home: home.path().to_owned(),
            listen: ([127, 0, 0, 1], 0).into(),
            public_url: None,
            keep_logs: crate::config::KeepLogs::default(),
            edge: crate::edge::Settings::default(),
            oauth: crate::config::OAuth::default(),
        };
        let plane = crate::open(config).await.unwrap();
        let (org, owner) = store::members::first_owner(&plane.app().store)
            .await
            .unwrap()
            .unwrap();
        let me = caller(org, owner.user_id, &owner.email);
        Self {
            _home: home,
            plane,
            me,
        }
    }

    fn app(&self) -> &App {
        self.plane.app()
    }

    async fn create(&self, title: &str) -> Task {
        let input = CreateTask {
            title: title.to_owned(),
            ..CreateTask::default()
        };
        create(self.app(), &self.me, input).await.unwrap().task
    }

    async fn change(&self, task: &Task, change: UpdateTask) -> Task {
        let id = task.id.to_string();
        update(self.app(), &self.me, &id, change)
            .await
            .unwrap()
            .task
    }

    async fn find(&self, wanted: ListTasks) -> (Vec<String>, u64, bool) {
        let wanted = ListTasks {
            limit: if wanted.limit == 0 { 50 } else { wanted.limit },
            ..wanted
        };
        let page = list(self.app(), &self.me, wanted).await.unwrap();
        let slugs = page.tasks.into_iter().map(|view| view.task.slug).collect();
        (slugs, page.total, page.has_more)
    }

    /// A person of another organization.
    async fn stranger(&self) -> Caller {
        let now = clock::wall();
        let org = OrgId::fresh(now, &clock::id_entropy());
        let user = UserId::fresh(now, &clock::id_entropy());
        let store = &self.app().store;
        let mut tx = store.begin().await.unwrap();
        store::members::insert_org(&mut tx, org, "Other", now)
            .await
            .unwrap();
        store::members::insert_user(&mut tx, user, "Eve@x.org", "Eve", now)
            .await
            .unwrap();
        store::members::insert_member(&mut tx, org, user, "owner", now)
            .await
            .unwrap();
        store.commit(tx).await.unwrap();
        caller(org, user, "Eve@x.org")
    }
}

fn caller(org: OrgId, user: UserId, label: &str) -> Caller {
    Caller {
        org_id: org,
        user_id: user,
        role: Role::Owner,
        token_id: uuid::Uuid::nil(),
        scopes: Scopes::all(),
        label: label.to_owned(),
        via: crate::auth::Via::default(),
    }
}

#[tokio::test]
async fn a_task_comes_back_as_it_was_made_and_changed() {
    let world = World::new().await;
    let input = CreateTask {
        title: "  Fix the login ".to_owned(),
        description: Some("why\nhow".to_owned()),
        status: Some("todo".to_owned()),
        priority: Some(Priority::High),
        assignee: Some(world.me.label.to_uppercase()),
        estimate: Some(2.5),
        due_at: Some(UtcMillis(1_000)),
        labels: vec!["Bug".to_owned(), " bug ".to_owned(), "ui".to_owned()],
        ..CreateTask::default()
    };
    let made = create(world.app(), &world.me, input).await.unwrap();
    let found = get(world.app(), &world.me, "FIX-the-login").await.unwrap();
    assert_eq!(found, made);
    let task = found.task;
    assert_eq!(task.title, "Fix the login");
    assert_eq!(task.status.name, "Todo");
    assert_eq!(task.labels, ["Bug", "ui"]);
    assert_eq!(task.assignee.as_ref().unwrap().id, world.me.user_id);
    let changed = world
        .change(
            &task,
            UpdateTask {
                title: Some("New words".to_owned()),
                description: Patch::Clear,
                priority: Patch::Clear,
                assignee: Patch::Clear,
                due_at: Patch::Clear,
                labels: Patch::Clear,
                pr_url: Patch::Set("https://example.com/pr/1".to_owned()),
                branch: Patch::Set("fix/login".to_owned()),
                ..UpdateTask::default()
            },
        )
        .await;
    assert_eq!(changed.slug, "fix-the-login");
    assert_eq!(changed.estimate, Some(2.5), "kept");
    assert_eq!(
        (changed.description, changed.assignee, changed.due_at),
        (None, None, None)
    );
    assert_eq!(changed.priority, "none");
    assert!(changed.labels.is_empty());
    assert_eq!(changed.branch.as_deref(), Some("fix/login"));
    let cleared = world
        .find(ListTasks {
            labels: vec!["bug".to_owned()],
            ..ListTasks::default()
        })
        .await;
    assert_eq!(cleared.1, 0, "cleared labels no longer find it");
}

#[tokio::test]
async fn slugs_are_numbered_and_free_after_deletion() {
    let world = World::new().await;
    let first = world.create("Same").await;
    assert_eq!(world.create("same!").await.slug, "same-1");
    assert_eq!(world.create("Same").await.slug, "same-2");
    let (id, slug) = delete(world.app(), &world.me, "same").await.unwrap();
    assert_eq!((id, slug.as_str()), (first.id, "same"));
    let again = delete(world.app(), &world.me, "same").await.unwrap_err();
    assert_eq!(again.code, ErrorCode::NotFound);
    let by_id = get(world.app(), &world.me, &id.to_string())
        .await
        .unwrap_err();
    assert_eq!(by_id.code, ErrorCode::NotFound);
    assert_eq!(world.create("Same").await.slug, "same");
}

#[tokio::test]
async fn twins_made_at_once_get_slugs_of_their_own() {
    let world = World::new().await;
    let made = futures_util::future::join_all((0..10).map(|_| world.create("Twin"))).await;
    let mut slugs: Vec<String> = made.into_iter().map(|task| task.slug).collect();
    slugs.sort();
    slugs.dedup();
    assert_eq!(slugs.len(), 10);
}

#[tokio::test]
async fn times_follow_the_status() {
    let world = World::new().await;
    let task = world.create("Work").await;
    assert_eq!((task.started_at, task.completed_at), (None, None));
    let to = |status: &str| UpdateTask {
        status: Some(status.to_owned()),
        ..UpdateTask::default()
    };
    let started = world.change(&task, to("In Progress")).await;
    assert!(started.started_at.is_some() && started.completed_at.is_none());
    let done = world.change(&task, to("completed")).await;
    assert_eq!(done.started_at, started.started_at);
    assert!(done.completed_at.is_some());
    let reopened = world.change(&task, to("backlog")).await;
    assert_eq!((reopened.started_at, reopened.completed_at), (None, None));
}

/// Five tasks: two with labels, one done, assigned and described.
async fn five(world: &World) -> Vec<Task> {
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(world.create(&format!("Task {n}")).await);
    }
    for (task, given) in [(0, words(&["a", "b"])), (1, words(&["A"]))] {
        let change = changing(|change| change.labels = Patch::Set(given));
        world.change(&made[task], change).await;
    }
    let change = changing(|change| {
        change.status = Some("Done".to_owned());
        change.assignee = Patch::Set(world.me.user_id.to_string());
        change.description = Patch::Set("100% Ünïque_words".to_owned());
    });
    world.change(&made[2], change).await;
    made
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn changing(change: impl FnOnce(&mut UpdateTask)) -> UpdateTask {
    let mut all = UpdateTask::default();
    change(&mut all);
    all
}

fn wanting(want: impl FnOnce(&mut ListTasks)) -> ListTasks {
    let mut all = ListTasks::default();
    want(&mut all);
    all
}

#[tokio::test]
async fn pages_join_from_the_newest() {
    let world = World::new().await;
    five(&world).await;
    let all = world.find(ListTasks::default()).await;
    assert_eq!(all.0, ["task-4", "task-3", "task-2", "task-1", "task-0"]);
    let page = wanting(|want| (want.limit, want.offset) = (2, 2));
    let expected = (words(&["task-2", "task-1"]), 5, true);
    assert_eq!(world.find(page).await, expected);
    let beyond = wanting(|want| want.offset = 9);
    assert_eq!(world.find(beyond).await, (vec![], 5, false));
}

#[tokio::test]
async fn filters_hold_together() {
    let world = World::new().await;
    let made = five(&world).await;
    let backlog = made[0].status.id.to_string();
    let text = |text: &str| Some(text.to_owned());
    for (wanted, expected) in [
        (
            wanting(|w| w.labels = words(&["a"])),
            &["task-1", "task-0"][..],
        ),
        (wanting(|w| w.labels = words(&["A", "b"])), &["task-0"]),
        (wanting(|w| w.status = text("COMPLETED")), &["task-2"]),
        (
            wanting(|w| (w.status_id, w.search) = (Some(backlog), text("TASK-1"))),
            &["task-1"],
        ),
        (
            wanting(|w| (w.assignee_me, w.creator_me) = (true, true)),
            &["task-2"],
        ),
        (wanting(|w| w.assignee = text(&world.me.label)), &["task-2"]),
        (wanting(|w| w.search = text("ÜNÏQUE_w")), &["task-2"]),
        (wanting(|w| w.search = text("0% ")), &["task-2"]),
        (
            wanting(|w| (w.search, w.status) = (text("%"), text("backlog"))),
            &[],
        ),
        (wanting(|w| w.priority = Some(Priority::Urgent)), &[]),
    ] {
        let shown = format!("{wanted:?}");
        assert_eq!(world.find(wanted).await.0, expected, "{shown}");
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let task = world.create("Still").await;
    let (id, status) = (task.id.to_string(), task.status.id.to_string());
    let text = |text: &str| Some(text.to_owned());
    let set = |text: &str| Patch::Set(text.to_owned());
    for (change, told) in [
        (changing(|c| c.status = text("nope")), "`status`"),
        (changing(|c| c.status_id = text("nope")), "`statusId`"),
        (
            changing(|c| (c.status, c.status_id) = (text("Done"), Some(status))),
            "different",
        ),
        (changing(|c| c.assignee = set("who@x.org")), "`assigneeId`"),
        (
            changing(|c| c.pr_url = set("javascript:alert(1)")),
            "`prUrl`",
        ),
        (changing(|c| c.title = text(" \t")), "`title`"),
    ] {
        let failure = update(world.app(), &world.me, &id, change)
            .await
            .unwrap_err();
        let code = match told {
            "`assigneeId`" => ErrorCode::NotFound,
            _ => ErrorCode::InvalidArgument,
        };
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(told), "{failure}");
    }
    assert_eq!(get(world.app(), &world.me, &id).await.unwrap().task, task);
}

#[tokio::test]
async fn another_organization_sees_and_changes_none_of_it() {
    let world = World::new().await;
    let task = world.create("Secret").await;
    let eve = world.stranger().await;
    let app = world.app();
    for reference in [task.id.to_string(), task.slug.clone()] {
        let change = UpdateTask::default();
        let answers = [
            get(app, &eve, &reference).await.map(|_| ()),
            update(app, &eve, &reference, change).await.map(|_| ()),
            delete(app, &eve, &reference).await.map(|_| ()),
            resolve(app, &eve, &reference).await.map(|_| ()),
        ];
        for answer in answers {
            assert_eq!(answer.unwrap_err().code, ErrorCode::NotFound);
        }
    }
    let wanted = ListTasks {
        limit: 10,
        ..ListTasks::default()
    };
    assert_eq!(list(app, &eve, wanted).await.unwrap().total, 0);
    let theirs = CreateTask {
        title: "Secret".to_owned(),
        ..CreateTask::default()
    };
    assert_eq!(create(app, &eve, theirs).await.unwrap().task.slug, "secret");
    let across = CreateTask {
        title: "x".to_owned(),
        assignee: Some("eve@x.org".to_owned()),
        ..CreateTask::default()
    };
    let failure = create(app, &world.me, across).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::NotFound);
}
