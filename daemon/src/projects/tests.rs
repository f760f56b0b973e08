//! Importing and cloning through the host database, with real repositories.

use hostler_proto::command::{ProjectCreate, ProjectCreated, ProjectSource};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::ProjectId;
use hostler_proto::project::ProjectState;
use hostler_proto::workspace::WorkspaceKind;
use uuid::Uuid;

use super::*;
use crate::fixture::{Host, NOW, silent};
use crate::git::fixture::{self, Sample};

fn command(number: u128, source: ProjectSource) -> ProjectCreate {
    ProjectCreate {
        project_id: ProjectId(Uuid::from_u128(number)),
        source,
        name: None,
        parent_dir: None,
        by: None,
    }
}

async fn import(host: &Host, number: u128, path: &Path) -> Result<ProjectCreated, Failure> {
    let command = command(
        number,
        ProjectSource::Path(path.to_str().unwrap().to_owned()),
    );
    create(&host.context, command, silent(), NOW).await
}

async fn clone(host: &Host, number: u128, url: &str) -> Result<ProjectCreated, Failure> {
    create(
        &host.context,
        command(number, ProjectSource::Url(url.to_owned())),
        silent(),
        NOW,
    )
    .await
}

#[tokio::test]
async fn an_import_takes_the_root_once_with_its_main_workspace() {
    let host = Host::open().await;
    let sample = Sample::new();
    let first = import(&host, 1, &sample.root().join("src/deep"))
        .await
        .unwrap();
    assert!(!first.existed && first.project.imported);
    assert_eq!(first.project.path, sample.root().to_str().unwrap());
    assert_eq!(
        (
            first.project.slug.as_str(),
            first.project.default_branch.as_deref()
        ),
        ("repo", Some("main"))
    );
    let again = import(&host, 2, sample.root()).await.unwrap();
    assert_eq!(
        (again.existed, again.project),
        (true, first.project.clone())
    );
    let workspaces = host
        .context
        .store
        .workspaces_of(first.project.id)
        .await
        .unwrap();
    assert_eq!(workspaces.len(), 1);
    assert_eq!(workspaces[0].workspace.kind, WorkspaceKind::Main);
    assert_eq!(workspaces[0].workspace.branch.as_deref(), Some("main"));
    let other = Sample::new();
    let other = import(&host, 3, other.root()).await.unwrap();
    assert_eq!(other.project.slug, "repo-2");
    let clash = import(&host, 3, Sample::new().root()).await.unwrap_err();
    assert_eq!(clash.code, ErrorCode::Conflict);
}

#[tokio::test]
async fn what_cannot_be_imported_says_why() {
    let host = Host::open().await;
    let sample = Sample::new();
    let inside = sample.root().join(".git/objects");
    let (file, bare, missing) = (
        sample.root().join("README.md"),
        sample.bare_copy(),
        sample.dir().join("none"),
    );
    for (path, code, word) in [
        (file.as_path(), ErrorCode::InvalidArgument, "is a file"),
        (bare.as_path(), ErrorCode::InvalidArgument, "bare"),
        (
            inside.as_path(),
            ErrorCode::InvalidArgument,
            "git's own folder",
        ),
        (missing.as_path(), ErrorCode::NotFound, "nothing at"),
        (
            Path::new("some/where"),
            ErrorCode::InvalidArgument,
            "absolute",
        ),
        (
            Path::new("/"),
            ErrorCode::InvalidArgument,
            "not inside a git repository",
        ),
    ] {
        let failure = import(&host, 1, path).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        assert!(
            failure.message.contains(word) && failure.hint.is_some(),
            "{failure}"
        );
    }
    let mut narrow = Host::open().await;
    let config = crate::config::Config {
        allowed_roots: vec![narrow.home().join("allowed")],
        ..(*narrow.context.config).clone()
    };
    narrow.context.policy = Arc::new(crate::policy::Policy::fixed(&config));
    let failure = import(&narrow, 1, sample.root()).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::Forbidden);
    let failure = clone(&narrow, 1, bare.to_str().unwrap()).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::Forbidden);
    assert_eq!(host.context.store.projects().await.unwrap(), []);
}

#[tokio::test]
async fn a_repository_needs_a_commit_to_be_imported() {
    let host = Host::open().await;
    let sample = Sample::empty(&[]);
    let failure = import(&host, 1, sample.root()).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::PreconditionFailed);
    assert!(failure.message.contains("no commits"), "{failure}");
    sample.commit("first", "first");
    let made = import(&host, 1, sample.root()).await.unwrap();
    assert_eq!(made.project.default_branch.as_deref(), Some("main"));
}

#[tokio::test]
async fn a_clone_is_made_once_for_every_spelling() {
    let host = Host::open().await;
    let sample = Sample::new();
    let bare = sample.bare_copy();
    let by_url = format!("file://{}", bare.display());
    let first = clone(&host, 1, &by_url).await.unwrap();
    assert!(!first.existed && !first.project.imported);
    assert_eq!(
        first.project.path,
        host.home().join("projects/bare").to_str().unwrap()
    );
    assert_eq!(first.project.url.as_deref(), Some(&*by_url));
    assert_eq!(first.project.default_branch.as_deref(), Some("main"));
    let again = clone(&host, 2, bare.to_str().unwrap()).await.unwrap();
    assert_eq!((again.existed, again.project.id), (true, first.project.id));
    fixture::run(Path::new(&first.project.path), &["status"]);
    std::fs::remove_dir_all(&first.project.path).unwrap();
    reconcile(&host.context, NOW).await.unwrap();
    let gone = clone(&host, 3, &by_url).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::PreconditionFailed);
}

#[tokio::test]
async fn three_clones_at_once_are_one() {
    let host = Host::open().await;
    let sample = Sample::new();
    let url = sample.bare_copy().to_str().unwrap().to_owned();
    let (a, b, c) = tokio::join!(
        clone(&host, 1, &url),
        clone(&host, 2, &url),
        clone(&host, 3, &url)
    );
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(all.iter().filter(|made| !made.existed).count(), 1);
    assert_eq!(host.context.store.projects().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_clone_that_fails_leaves_neither_row_nor_folder() {
    let host = Host::open().await;
    for url in [
        "ext::sh -c touch% /tmp/x",
        "https://me:pw@host/r.git",
        "file:///nowhere/at/all.git",
        "-u",
    ] {
        let failure = clone(&host, 1, url).await.unwrap_err();
        assert!(failure.hint.is_some(), "{failure}");
        assert!(!failure.to_string().contains("pw"), "{failure}");
    }
    let taken = host.home().join("projects/bare");
    std::fs::create_dir_all(&taken).unwrap();
    let sample = Sample::new();
    let failure = clone(&host, 1, sample.bare_copy().to_str().unwrap())
        .await
        .unwrap_err();
    assert_eq!(failure.code, ErrorCode::Conflict);
    assert_eq!(host.context.store.projects().await.unwrap(), []);
    assert_eq!(host.tree("projects"), [taken]);
    let parent = command(
        1,
        ProjectSource::Url(sample.bare_copy().to_str().unwrap().to_owned()),
    );
    let parent = ProjectCreate {
        parent_dir: Some(sample.root().join("README.md").to_str().unwrap().to_owned()),
        ..parent
    };
    let failure = create(&host.context, parent, silent(), NOW)
        .await
        .unwrap_err();
    assert!(failure.message.contains("not a folder"), "{failure}");
}

#[tokio::test]
async fn a_crash_while_cloning_converges() {
    let sample = Sample::new();
    for finished in [false, true] {
        let host = Host::open().await;
        let made = clone(&host, 1, sample.bare_copy().to_str().unwrap())
            .await
            .unwrap();
        let mut row = host
            .context
            .store
            .project(made.project.id)
            .await
            .unwrap()
            .unwrap();
        row.project.state = ProjectState::Cloning;
        let mut tx = host.context.store.begin().await.unwrap();
        projects::put(&mut tx, &row, NOW).await.unwrap();
        host.context.store.commit(tx).await.unwrap();
        let half = host
            .home()
            .join(format!("projects/.hostler-clone-{}", made.project.id));
        if !finished {
            std::fs::rename(&made.project.path, &half).unwrap();
        }
        let host = host.reopened().await;
        recover(&host.context, NOW).await.unwrap();
        let rows = host.context.store.projects().await.unwrap();
        assert_eq!(rows.len(), usize::from(finished));
        assert!(
            rows.iter()
                .all(|row| row.project.state == ProjectState::Ready)
        );
        assert!(!half.exists());
    }
}
