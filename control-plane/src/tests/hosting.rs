//! Hosts and people: who may use one, what goes with a lost access, a removal, a change of hands.

use hostler_proto::error::ErrorCode;
use hostler_proto::host::HostPolicy;

use super::*;
use crate::hosts_catalog::manage::{self, Right};
use crate::hosts_catalog::{keys, members, show};
use crate::store::hosts::{Doubt, DoubtKind};
use crate::{automations, hosts_catalog, projects, runs, workspaces};

/// Somebody else of the same organization.
pub(super) async fn colleague(catalog: &Catalog, number: u128, role: Role) -> Caller {
    let caller = Caller {
        user_id: UserId(Uuid::from_u128(900 + number)),
        role,
        label: format!("colleague{number}@example.com"),
        ..catalog.caller.clone()
    };
    let mut tx = catalog.app.store.begin().await.unwrap();
    store::members::insert_user(&mut tx, caller.user_id, &caller.label, "Colleague", START)
        .await
        .unwrap();
    let (org, user) = (caller.org_id, caller.user_id);
    store::members::insert_member(&mut tx, org, user, role.word(), START)
        .await
        .unwrap();
    catalog.app.store.commit(tx).await.unwrap();
    caller
}

pub(super) async fn let_in(catalog: &Catalog, who: &Caller) {
    members::grant(&catalog.app, &catalog.caller, "MacBook", &who.label)
        .await
        .unwrap();
}

async fn names_seen(catalog: &Catalog, who: &Caller) -> Vec<String> {
    let hosts = hosts_catalog::list(&catalog.app, who, None).await.unwrap();
    hosts.into_iter().map(|host| host.name).collect()
}

async fn audited(catalog: &Catalog) -> Vec<String> {
    store::hosts::testing::audited(&catalog.app.store)
        .await
        .unwrap()
}

#[tokio::test]
async fn only_its_owner_lets_others_in_and_an_administrator_may_remove_but_not_use_it() {
    let catalog = Catalog::new().await;
    let app = &catalog.app;
    let (ada, admin) = (
        colleague(&catalog, 1, Role::Member).await,
        colleague(&catalog, 2, Role::Admin).await,
    );
    assert_eq!(names_seen(&catalog, &ada).await, [""; 0]);
    for (who, code) in [(&ada, ErrorCode::NotFound), (&admin, ErrorCode::Forbidden)] {
        let tries = [
            members::grant(app, who, "MacBook", &who.label)
                .await
                .map(drop),
            members::ungrant(app, who, "MacBook", &catalog.caller.label)
                .await
                .map(drop),
            manage::rename(app, who, "MacBook", "Mine").await.map(drop),
            manage::transfer(app, who, "MacBook", &who.label)
                .await
                .map(drop),
            manage::confirm(app, who, "MacBook", Right::New)
                .await
                .map(drop),
        ];
        for refused in tries {
            assert_eq!(refused.unwrap_err().code, code);
        }
    }
    assert_eq!(
        show::show(app, &ada, "MacBook").await.unwrap_err().code,
        ErrorCode::NotFound
    );
    let seen = show::show(app, &admin, "MacBook").await.unwrap();
    assert!(!seen.usable && seen.host.facts.is_none());
    assert_eq!(names_seen(&catalog, &admin).await, [""; 0]);
    let_in(&catalog, &ada).await;
    let_in(&catalog, &ada).await;
    assert_eq!(names_seen(&catalog, &ada).await, ["MacBook"]);
    // Being let in is not owning.
    for refused in [
        members::grant(app, &ada, "MacBook", &admin.label)
            .await
            .map(drop),
        manage::revoke(app, &ada, "MacBook").await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code, ErrorCode::Forbidden);
    }
    manage::revoke(app, &admin, "MacBook").await.unwrap();
    assert_eq!(names_seen(&catalog, &ada).await, [""; 0]);
    assert_eq!(audited(&catalog).await, ["host.grant", "host.revoke"]);
}

#[tokio::test]
async fn a_lost_access_takes_everything_of_the_host_along_and_stops_what_goes_on() {
    let catalog = Catalog::new().await;
    let app = &catalog.app;
    let ada = colleague(&catalog, 1, Role::Member).await;
    let_in(&catalog, &ada).await;
    let made = automations::create(app, &ada, daily("nightly"))
        .await
        .unwrap();
    let id = made.automation.id;
    let mut running = run(1, id, RunState::Running { started_at: START });
    running.branch = Some("secret-branch".into());
    catalog
        .tell(&[
            Event::ProjectChanged(project(1, "Api")),
            Event::WorkspaceChanged(workspace(1, None, WorkspaceState::Ready)),
            Event::RunChanged(Box::new(running.clone())),
        ])
        .await;
    let text = id.to_string();
    assert_eq!(runs::list(app, &ada, &text, 10).await.unwrap().len(), 1);
    members::ungrant(app, &catalog.caller, "macbook", &ada.label)
        .await
        .unwrap();

    let listed = workspaces::list(app, &ada, workspaces::ListWorkspaces::default()).await;
    assert_eq!(listed.unwrap(), []);
    assert_eq!(projects::list(app, &ada, None).await.unwrap(), []);
    assert_eq!(runs::list(app, &ada, &text, 10).await.unwrap(), []);
    let run_id = running.id.to_string();
    let gone = runs::get(app, &ada, &run_id).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound);
    let read = runs::ReadLog::default();
    let gone = runs::log(app, &ada, &text, &run_id, read)
        .await
        .unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound);
    // The definition is theirs, and tells nothing of the host.
    let kept = automations::get(app, &ada, &text).await.unwrap().automation;
    assert!(!kept.enabled && kept.last_run.is_none());
    assert!(kept.paused_reason.unwrap().contains("took away the access"));
    assert_ne!(kept.host_name, "MacBook");
    for refused in [
        automations::resume(app, &ada, &text).await.map(drop),
        automations::run(app, &ada, &text).await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code, ErrorCode::PreconditionFailed);
    }
    // What goes on is to be ended, and its owner reads all of it still.
    let open = catalog.open_commands().await;
    assert!(
        matches!(&open[0].command, hostler_proto::command::Command::RunCancel(cancel)
        if cancel.run_id == running.id && cancel.by.as_ref().unwrap().email == catalog.caller.label)
    );
    // Let in again, it is all back but for the pause.
    let_in(&catalog, &ada).await;
    assert_eq!(runs::list(app, &ada, &text, 10).await.unwrap().len(), 1);
    automations::resume(app, &ada, &text).await.unwrap();
}

/// Nothing that the host says is taken, whatever it is.
async fn not_heard(catalog: &Catalog, going_on: Run) {
    let app = &catalog.app;
    let host = catalog.host;
    let row = catalog.host_row().await;
    let batch = numbered(row.event_seq, &[Event::RunChanged(Box::new(going_on))]);
    let load = hostler_proto::host::HostLoad::default();
    let refusals = [
        crate::ingest::events(app, host, row.event_seq, &batch)
            .await
            .map(drop),
        crate::ingest::heartbeat(app, host, load).await,
        crate::ingest::sync_applied(app, host, 9).await,
        crate::ingest::desired_state(app, host, None)
            .await
            .map(drop),
        crate::ingest::hello(app, host, &crate::ingest::Stated::default())
            .await
            .map(drop),
        log_bytes(app, host, RunId(Uuid::from_u128(10_001)), 0, b"x")
            .await
            .map(drop),
        crate::ingest::log_final(app, host, RunId(Uuid::from_u128(10_001)), 0, 0)
            .await
            .map(drop),
    ];
    for refused in refusals {
        assert_eq!(refused.unwrap_err().code, ErrorCode::NotFound);
    }
}

#[tokio::test]
async fn a_removed_host_is_heard_no_more_and_leaves_its_name_and_its_past() {
    let catalog = Catalog::new().await;
    let app = &catalog.app;
    let id = catalog.automation("nightly").await;
    let going_on = run(1, id, RunState::Running { started_at: START });
    let over = run(2, id, finished(0));
    catalog
        .tell(&[
            Event::RunChanged(Box::new(going_on.clone())),
            Event::RunChanged(Box::new(over)),
        ])
        .await;
    automations::run(app, &catalog.caller, &id.to_string())
        .await
        .unwrap();
    let removed = manage::revoke(app, &catalog.caller, "MacBook")
        .await
        .unwrap();
    assert_eq!((removed.automations, removed.runs), (1, 2));
    let again = manage::revoke(app, &catalog.caller, "MacBook").await;
    assert_eq!(again.unwrap_err().code, ErrorCode::NotFound);

    not_heard(&catalog, going_on).await;
    assert_eq!(catalog.open_commands().await, []);
    let runs = runs::list(app, &catalog.caller, &id.to_string(), 10)
        .await
        .unwrap();
    let words: Vec<_> = runs.iter().map(|one| one.run.state.word()).collect();
    assert_eq!(runs.len(), 3, "{words:?}");
    assert_eq!(
        words.iter().filter(|word| **word == "lost").count(),
        2,
        "{words:?}"
    );
    let paused = automations::get(app, &catalog.caller, &id.to_string())
        .await
        .unwrap();
    assert!(!paused.automation.enabled);
    let why = paused.automation.paused_reason.unwrap();
    assert!(
        why.contains("MacBook was removed by owner1@example.com"),
        "{why}"
    );
    // The name is free, and the automation goes on there.
    add_host(app, &catalog.caller, "macbook").await;
    let moved = automations::UpdateAutomation {
        host: Some("MacBook".into()),
        ..automations::UpdateAutomation::default()
    };
    automations::update(app, &catalog.caller, &id.to_string(), moved)
        .await
        .unwrap();
    automations::resume(app, &catalog.caller, &id.to_string())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_host_changes_hands_by_its_owner_and_by_administrators_only_once_the_owner_left() {
    let catalog = Catalog::new().await;
    let app = &catalog.app;
    let ada = colleague(&catalog, 1, Role::Member).await;
    let admin = colleague(&catalog, 2, Role::Admin).await;
    manage::transfer(app, &catalog.caller, "MacBook", &ada.label)
        .await
        .unwrap();
    assert_eq!(names_seen(&catalog, &catalog.caller).await, [""; 0]);
    assert_eq!(names_seen(&catalog, &ada).await, ["MacBook"]);
    let refused = manage::transfer(app, &admin, "MacBook", &admin.label).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Forbidden);
    let mut tx = app.store.begin().await.unwrap();
    store::hosts::testing::remove_member(&mut tx, ada.org_id, ada.user_id)
        .await
        .unwrap();
    app.store.commit(tx).await.unwrap();
    assert!(
        !show::show(app, &admin, "MacBook")
            .await
            .unwrap()
            .owner_is_member
    );
    manage::transfer(app, &admin, "MacBook", &admin.label)
        .await
        .unwrap();
    assert_eq!(names_seen(&catalog, &admin).await, ["MacBook"]);
    let stranger = manage::transfer(app, &admin, "MacBook", "nobody@example.com").await;
    assert_eq!(stranger.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_name_is_its_owners_to_change_and_unique() {
    let catalog = Catalog::new().await;
    let app = &catalog.app;
    add_host(app, &catalog.caller, "Box").await;
    let rename = async |name: &str| manage::rename(app, &catalog.caller, "MacBook", name).await;
    for bad in ["", "  ", "a\nb", "a\u{202e}b", &"x".repeat(101)] {
        assert_eq!(
            rename(bad).await.unwrap_err().code,
            ErrorCode::InvalidArgument
        );
    }
    assert_eq!(rename("bOX").await.unwrap_err().code, ErrorCode::Conflict);
    assert_eq!(rename(" Desk ").await.unwrap().name, "Desk");
    assert_eq!(names_seen(&catalog, &catalog.caller).await, ["Box", "Desk"]);
    assert_eq!(audited(&catalog).await, ["host.rename"]);
}

#[tokio::test]
async fn enrolment_keys_are_seen_and_withdrawn_by_whoever_made_them() {
    let catalog = Catalog::new().await;
    let app = &catalog.app;
    let ada = colleague(&catalog, 1, Role::Member).await;
    let key = keys::issue(app, &catalog.caller).await.unwrap();
    assert_eq!(keys::open(app, &ada).await.unwrap(), []);
    let open = keys::open(app, &catalog.caller).await.unwrap();
    assert!(key.secret.starts_with(&open[0].prefix) && open.len() == 1);
    let id = open[0].id.to_string();
    assert_eq!(
        keys::withdraw(app, &ada, &id).await.unwrap_err().code,
        ErrorCode::NotFound
    );
    keys::withdraw(app, &catalog.caller, &open[0].prefix)
        .await
        .unwrap();
    assert_eq!(keys::open(app, &catalog.caller).await.unwrap(), []);
    assert_eq!(
        keys::withdraw(app, &catalog.caller, &id)
            .await
            .unwrap_err()
            .code,
        ErrorCode::NotFound
    );
}

#[tokio::test]
async fn what_the_machines_owner_does_not_allow_is_refused_before_it_is_asked() {
    let catalog = Catalog::new().await;
    let app = &catalog.app;
    let ada = colleague(&catalog, 1, Role::Member).await;
    let_in(&catalog, &ada).await;
    let mut told = facts(Autonomy::Edits);
    told.policy = Some(HostPolicy {
        allowed_members: Some(vec![catalog.caller.label.to_uppercase()]),
        allowed_agents: Some(vec!["claude".into()]),
        ..HostPolicy::default()
    });
    catalog.tell(&[Event::HostChanged(told)]).await;
    let make = workspaces::CreateWorkspace {
        host: "MacBook".into(),
        project: "x".into(),
        name: "w".into(),
        ..workspaces::CreateWorkspace::default()
    };
    let import = projects::CreateProject {
        host: "MacBook".into(),
        path: Some("/x".into()),
        ..projects::CreateProject::default()
    };
    let refusals = [
        workspaces::create(app, &ada, make, None).await.map(drop),
        projects::create(app, &ada, import, None).await.map(drop),
        automations::create(app, &ada, daily("a")).await.map(drop),
        // The agent, for everybody.
        automations::create(app, &catalog.caller, daily("a"))
            .await
            .map(drop),
    ];
    for refused in refusals {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden, "{refused}");
        assert!(refused.hint.is_some());
    }
}

#[tokio::test]
async fn its_owner_settles_which_machine_it_is() {
    let catalog = Catalog::new().await;
    let app = &catalog.app;
    let nothing = manage::confirm(app, &catalog.caller, "MacBook", Right::New).await;
    assert_eq!(nothing.unwrap_err().code, ErrorCode::PreconditionFailed);
    let doubt = Doubt {
        how: DoubtKind::Moved,
        since: START,
        last: START,
        machine: Some("new".into()),
        system: "linux/x86_64".into(),
    };
    for (right, machine) in [(Right::Old, "old"), (Right::New, "new")] {
        let mut tx = app.store.begin().await.unwrap();
        store::hosts::set_machine(&mut tx, catalog.host, Some("old"))
            .await
            .unwrap();
        store::hosts::set_doubt(&mut tx, catalog.host, Some(&doubt))
            .await
            .unwrap();
        app.store.commit(tx).await.unwrap();
        let shown = show::show(app, &catalog.caller, "MacBook").await.unwrap();
        assert!(
            shown.warnings[0].contains("hostler hosts confirm MacBook"),
            "{:?}",
            shown.warnings
        );
        manage::confirm(app, &catalog.caller, "MacBook", right)
            .await
            .unwrap();
        let row = catalog.host_row().await;
        assert_eq!((row.doubt, row.machine.as_deref()), (None, Some(machine)));
    }
}

#[tokio::test]
async fn automations_travel_with_whose_they_are() {
    let catalog = Catalog::new().await;
    catalog.automation("nightly").await;
    let step = crate::ingest::desired_state(&catalog.app, catalog.host, None)
        .await
        .unwrap();
    assert_eq!(step.upserts[0].owner, Some(catalog.caller.actor()));
}
