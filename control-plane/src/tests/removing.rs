//! Workspaces and projects through the catalog: asked for, settled, removed while a host is away.

use hostler_proto::command::{Base, Command, Reply, WorkspaceCreated, WorkspaceDeleted};
use hostler_proto::error::{ErrorCode, Failure};

use super::*;
use crate::reconcile::settle;
use crate::workspaces::{self, CreateWorkspace, DeleteWorkspace, ListWorkspaces, WorkspaceGone};
use crate::{hosts_catalog, projects};

async fn with_workspace(state: WorkspaceState) -> (Catalog, Workspace) {
    let catalog = Catalog::new().await;
    let api = project(1, "Api");
    let space = workspace(1, Some(api.id), state);
    catalog
        .tell(&[
            Event::ProjectChanged(api),
            Event::WorkspaceChanged(space.clone()),
        ])
        .await;
    (catalog, space)
}

async fn remove(catalog: &Catalog, id: &str, force: bool) -> Result<WorkspaceGone, Failure> {
    let input = DeleteWorkspace {
        id: id.into(),
        force,
        delete_branch: false,
    };
    workspaces::delete(&catalog.app, &catalog.caller, input).await
}

async fn shown(catalog: &Catalog) -> Vec<workspaces::WorkspaceView> {
    let listed = workspaces::list(&catalog.app, &catalog.caller, ListWorkspaces::default());
    listed.await.unwrap()
}

#[tokio::test]
async fn a_list_answers_while_hosts_are_away_and_takes_filters() {
    let (catalog, space) = with_workspace(WorkspaceState::Ready).await;
    let views = shown(&catalog).await;
    assert_eq!(views[0].workspace, space);
    assert_eq!(views[0].project_name.as_deref(), Some("Api"));
    assert_eq!(
        (views[0].host_name.as_str(), views[0].host_online),
        ("MacBook", false)
    );
    let count = async |host: Option<&str>, project: Option<&str>, state: Option<&str>| {
        let input = ListWorkspaces {
            host: host.map(str::to_owned),
            project: project.map(str::to_owned),
            state: state.map(str::to_owned),
        };
        let listed = workspaces::list(&catalog.app, &catalog.caller, input).await;
        listed
            .map(|views| views.len())
            .map_err(|failure| failure.code)
    };
    assert_eq!(
        count(Some("macbook"), Some("API"), Some("ready")).await,
        Ok(1)
    );
    assert_eq!(count(None, None, Some("failed")).await, Ok(0));
    assert_eq!(
        count(Some("nowhere"), None, None).await,
        Err(ErrorCode::NotFound)
    );
    assert_eq!(
        count(None, Some("nothing"), None).await,
        Err(ErrorCode::NotFound)
    );
    assert_eq!(
        count(None, None, Some("lost")).await,
        Err(ErrorCode::InvalidArgument)
    );
}

#[tokio::test]
async fn a_removal_while_the_host_is_away_is_done_when_it_is_back() {
    let (catalog, space) = with_workspace(WorkspaceState::Ready).await;
    let id = space.id.to_string();
    let gone = remove(&catalog, &id, false).await.unwrap();
    assert!(gone.pending && !gone.deleted);
    assert!(remove(&catalog, &id, true).await.unwrap().pending);
    let open = catalog.open_commands().await;
    assert_eq!(open.len(), 1, "the later takes the place of the earlier");
    let Command::WorkspaceDelete(delete) = &open[0].command else {
        panic!("{open:?}");
    };
    assert!(delete.force);
    assert_eq!(
        shown(&catalog).await[0].workspace.state,
        WorkspaceState::Deleting
    );

    let catalog = catalog.crash().await;
    assert_eq!(
        catalog.open_commands().await,
        open,
        "it outlives the control plane"
    );
    let done = Ok(Reply::WorkspaceDeleted(WorkspaceDeleted {
        workspace_id: space.id,
        already_gone: false,
        branch_deleted: false,
        teardown: None,
        warnings: vec![],
    }));
    settle(&catalog.app, &open[0], &done, START).await.unwrap();
    assert_eq!(shown(&catalog).await, []);
    assert_eq!(catalog.open_commands().await, []);
    let again = remove(&catalog, &id, false).await.unwrap();
    assert!(again.deleted && again.already_gone && !again.pending);
}

#[tokio::test]
async fn a_removal_refused_later_is_shown_with_its_reason() {
    let (catalog, space) = with_workspace(WorkspaceState::Ready).await;
    remove(&catalog, &space.id.to_string(), false)
        .await
        .unwrap();
    let open = catalog.open_commands().await;
    let late = Err(Failure::new(ErrorCode::Timeout, "no answer"));
    settle(&catalog.app, &open[0], &late, START).await.unwrap();
    assert_eq!(catalog.open_commands().await, open);
    let no = Err(Failure::new(
        ErrorCode::PreconditionFailed,
        "it holds 2 uncommitted files",
    ));
    settle(&catalog.app, &open[0], &no, START).await.unwrap();
    let views = shown(&catalog).await;
    assert_eq!(views[0].workspace.state, WorkspaceState::Ready);
    let error = views[0].error.as_deref().unwrap();
    assert!(error.contains("it holds 2 uncommitted files"), "{error}");
    assert_eq!(catalog.open_commands().await, []);
}

#[tokio::test]
async fn a_removal_of_what_the_host_does_not_know_is_done() {
    let (catalog, space) = with_workspace(WorkspaceState::Ready).await;
    remove(&catalog, &space.id.to_string(), false)
        .await
        .unwrap();
    let open = catalog.open_commands().await;
    let unknown = Err(Failure::new(ErrorCode::NotFound, "no such workspace"));
    settle(&catalog.app, &open[0], &unknown, START)
        .await
        .unwrap();
    assert_eq!(shown(&catalog).await, []);
}

#[tokio::test]
async fn the_main_checkout_is_never_removed_and_others_are_not_seen() {
    let catalog = Catalog::new().await;
    let mut main = workspace(1, None, WorkspaceState::Ready);
    main.kind = WorkspaceKind::Main;
    catalog.tell(&[Event::WorkspaceChanged(main.clone())]).await;
    let refused = remove(&catalog, &main.id.to_string(), true)
        .await
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::PreconditionFailed);
    let stranger = add_org(&catalog.app, 2).await;
    let input = || DeleteWorkspace {
        id: main.id.to_string(),
        ..DeleteWorkspace::default()
    };
    let foreign = workspaces::delete(&catalog.app, &stranger, input())
        .await
        .unwrap_err();
    assert_eq!(foreign.code, ErrorCode::NotFound);
    let colleague = Caller {
        user_id: stranger.user_id,
        ..catalog.caller.clone()
    };
    let unlet = workspaces::delete(&catalog.app, &colleague, input())
        .await
        .unwrap_err();
    assert_eq!(unlet.code, ErrorCode::NotFound);
    let id = main.id.to_string();
    let foreign = workspaces::get(&catalog.app, &stranger, &id)
        .await
        .unwrap_err();
    assert_eq!(foreign.code, ErrorCode::NotFound);
    for id in ["nonsense", "00000000-0000-0000-0000-000000000001"] {
        let failure = remove(&catalog, id, false).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::NotFound, "{failure}");
    }
    assert_eq!(catalog.open_commands().await, []);
}

#[tokio::test]
async fn nothing_is_recorded_for_a_host_that_is_away() {
    let (catalog, _) = with_workspace(WorkspaceState::Ready).await;
    let input = CreateWorkspace {
        host: "MacBook".into(),
        project: "api".into(),
        name: "new".into(),
        setup: true,
        ..CreateWorkspace::default()
    };
    let made = workspaces::create(&catalog.app, &catalog.caller, input, None).await;
    assert_eq!(made.unwrap_err().code, ErrorCode::HostOffline);
    assert_eq!(shown(&catalog).await.len(), 1);
    assert_eq!(catalog.open_commands().await, []);
}

/// An intent as `create` records it, with the command that makes it true.
async fn intended(catalog: &Catalog) -> store::commands::OpenCommand {
    let asked = workspace(7, None, WorkspaceState::Creating);
    let open = store::commands::OpenCommand {
        id: hostler_proto::ids::CommandId(Uuid::from_u128(70)),
        org_id: catalog.caller.org_id,
        host_id: catalog.host,
        subject: asked.id.0,
        command: Command::WorkspaceCreate(hostler_proto::command::WorkspaceCreate {
            workspace_id: asked.id,
            project_id: project(1, "Api").id,
            name: asked.name.clone(),
            branch: None,
            base_branch: None,
            task_id: None,
            setup: true,
            created_by: "me".into(),
            by: None,
        }),
        created_at: START,
    };
    let mut tx = catalog.app.store.begin().await.unwrap();
    let (org, host) = (catalog.caller.org_id, catalog.host);
    store::workspaces::insert_intent(&mut tx, org, host, &asked)
        .await
        .unwrap();
    store::commands::insert(&mut tx, &open).await.unwrap();
    catalog.app.store.commit(tx).await.unwrap();
    open
}

fn made(workspace: Workspace, existed: bool) -> Reply {
    Reply::WorkspaceCreated(Box::new(WorkspaceCreated {
        workspace,
        existed,
        base: Base {
            branch: "main".into(),
            commit: "0".repeat(40),
            fetched_at: None,
        },
        setup: None,
        warnings: vec![],
    }))
}

#[tokio::test]
async fn an_intent_is_settled_by_its_answer_its_events_or_its_refusal() {
    let catalog = Catalog::new().await;
    let states = async || {
        let views = shown(&catalog).await;
        let views = views
            .into_iter()
            .map(|view| (view.workspace.id, view.workspace.state));
        views.collect::<Vec<_>>()
    };
    let ready = workspace(7, None, WorkspaceState::Ready);

    let open = intended(&catalog).await;
    assert_eq!(states().await, [(ready.id, WorkspaceState::Creating)]);
    let lost = Err(Failure::new(ErrorCode::Timeout, "no answer"));
    settle(&catalog.app, &open, &lost, START).await.unwrap();
    assert_eq!(catalog.open_commands().await.len(), 1);
    let no = Err(Failure::new(ErrorCode::Conflict, "the branch is taken"));
    settle(&catalog.app, &open, &no, START).await.unwrap();
    assert_eq!(
        (states().await, catalog.open_commands().await),
        (vec![], vec![])
    );

    let open = intended(&catalog).await;
    let older = workspace(3, None, WorkspaceState::Ready);
    settle(&catalog.app, &open, &Ok(made(older.clone(), true)), START)
        .await
        .unwrap();
    assert_eq!(states().await, [(older.id, WorkspaceState::Ready)]);

    let open = intended(&catalog).await;
    catalog
        .tell(&[Event::WorkspaceChanged(ready.clone())])
        .await;
    assert_eq!(catalog.open_commands().await, []);
    settle(&catalog.app, &open, &Ok(made(ready.clone(), false)), START)
        .await
        .unwrap();
    assert_eq!(states().await.len(), 2);
}

#[tokio::test]
async fn a_project_is_named_by_id_slug_or_name_on_its_host() {
    let catalog = Catalog::new().await;
    let other = add_host(&catalog.app, &catalog.caller, "Build").await;
    let (api, mut twin) = (project(1, "Api"), project(2, "api"));
    twin.url = None;
    let only_there = project(3, "There");
    catalog.tell(&[Event::ProjectChanged(api.clone())]).await;
    let there = [
        Event::ProjectChanged(api.clone()),
        Event::ProjectChanged(twin.clone()),
        Event::ProjectChanged(only_there),
    ];
    tell(&catalog.app, other, &there).await;

    let listed = projects::list(&catalog.app, &catalog.caller, None)
        .await
        .unwrap();
    let hosts: Vec<_> = listed.iter().map(|view| view.hosts.len()).collect();
    assert_eq!(hosts, [2, 1, 1]);
    let here = projects::list(&catalog.app, &catalog.caller, Some("macbook"))
        .await
        .unwrap();
    assert_eq!(here.len(), 1);
    assert_eq!(here[0].hosts[0].path, "/home/me/Api");

    let pick = async |host: &str, reference: &str| {
        let host = hosts_catalog::resolve(&catalog.app, &catalog.caller, host)
            .await
            .unwrap();
        let place = projects::resolve_on(&catalog.app, &catalog.caller, &host, reference).await;
        place.map(|place| place.id)
    };
    assert_eq!(pick("MacBook", "api").await.unwrap(), api.id);
    assert_eq!(pick("Build", &twin.id.to_string()).await.unwrap(), twin.id);
    let both = pick("Build", "API").await.unwrap_err();
    assert_eq!(both.code, ErrorCode::InvalidArgument);
    for id in [api.id, twin.id] {
        assert!(both.message.contains(&id.to_string()), "{both}");
    }
    let elsewhere = pick("MacBook", "there").await.unwrap_err();
    assert_eq!(elsewhere.code, ErrorCode::NotFound);
    assert!(elsewhere.message.contains("it is on Build"), "{elsewhere}");
    let stranger = add_org(&catalog.app, 2).await;
    assert_eq!(
        projects::list(&catalog.app, &stranger, None).await.unwrap(),
        []
    );
}
