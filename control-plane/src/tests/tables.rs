//! Each store function of tokens, members, hosts, commands and projects against a real database.

use hostler_proto::command::{Command, WorkspaceDelete};
use hostler_proto::host::HostLoad;
use hostler_proto::ids::CommandId;
use hostler_proto::workspace::WorkspaceState;
use uuid::Uuid;

use super::*;
use crate::store::commands::OpenCommand;
use crate::store::tokens::NewToken;

fn token(caller: &Caller, number: u128, kind: &str) -> NewToken {
    NewToken {
        id: Uuid::from_u128(number),
        kind: kind.into(),
        hash: format!("hash{number}"),
        prefix: "sk_live_abcd".into(),
        org_id: caller.org_id,
        user_id: caller.user_id,
        name: "laptop".into(),
        scopes: "tasks:read".into(),
        audience: None,
        client_id: None,
        family_id: Some(Uuid::from_u128(77)),
        created_at: START.plus_ms(i64::try_from(number).unwrap()),
        expires_at: Some(START.plus_ms(1_000)),
    }
}

#[tokio::test]
async fn tokens_are_found_by_hash_used_once_and_revoked() {
    let catalog = Catalog::new().await;
    let (store, caller) = (&catalog.app.store, &catalog.caller);
    let mut tx = store.begin().await.unwrap();
    for number in [1, 2] {
        let new = token(caller, number, "api_key");
        store::tokens::insert(&mut tx, &new).await.unwrap();
    }
    store::tokens::touch(&mut tx, Uuid::from_u128(1), START)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();

    let found = store::tokens::by_hash(store, "hash1")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.id, Uuid::from_u128(1));
    assert_eq!(found.email, "owner1@example.com");
    assert_eq!(found.role, "owner");
    assert_eq!(found.last_used_at, Some(START));
    assert_eq!(found.family_id, Some(Uuid::from_u128(77)));
    assert_eq!(
        store::tokens::by_hash(store, "nothing").await.unwrap(),
        None
    );
    let listed = store::tokens::list(store, caller.org_id, caller.user_id, "api_key").await;
    let ids: Vec<_> = listed.unwrap().into_iter().map(|token| token.id).collect();
    assert_eq!(ids, [Uuid::from_u128(2), Uuid::from_u128(1)]);

    let mut tx = store.begin().await.unwrap();
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let late = START.plus_ms(1_000);
    assert!(
        !store::tokens::spend(&mut tx, one, late).await.unwrap(),
        "expired"
    );
    assert!(store::tokens::spend(&mut tx, one, START).await.unwrap());
    assert!(
        !store::tokens::spend(&mut tx, one, START).await.unwrap(),
        "spent"
    );
    let stranger = OrgId(Uuid::from_u128(9));
    assert!(
        !store::tokens::revoke(&mut tx, stranger, two, START)
            .await
            .unwrap()
    );
    assert!(
        store::tokens::revoke(&mut tx, caller.org_id, two, START)
            .await
            .unwrap()
    );
    assert!(
        !store::tokens::revoke(&mut tx, caller.org_id, two, START)
            .await
            .unwrap()
    );
    assert!(
        !store::tokens::spend(&mut tx, two, START).await.unwrap(),
        "revoked"
    );
    store.commit(tx).await.unwrap();
}

#[tokio::test]
async fn server_facts_and_members_are_kept() {
    let catalog = Catalog::new().await;
    let store = &catalog.app.store;
    assert_eq!(store::meta::get(store, "x").await.unwrap(), None);
    let mut tx = store.begin().await.unwrap();
    store::meta::set(&mut tx, "x", "1").await.unwrap();
    store::meta::set(&mut tx, "x", "2").await.unwrap();
    let id = UserId(Uuid::from_u128(5));
    let twin = store::members::insert_user(&mut tx, id, "OWNER1@example.com", "Twin", START).await;
    assert!(twin.unwrap_err().is_duplicate());
    store.commit(tx).await.unwrap();
    assert_eq!(store::meta::get(store, "x").await.unwrap().unwrap(), "2");
    let members = store::members::list(store, catalog.caller.org_id)
        .await
        .unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!(members[0].email, "owner1@example.com");
    let (org, owner) = store::members::first_owner(store).await.unwrap().unwrap();
    assert_eq!(
        (org, owner.user_id),
        (catalog.caller.org_id, catalog.caller.user_id)
    );
}

#[tokio::test]
async fn hosts_are_seen_by_their_owner_and_by_those_let_in() {
    let catalog = Catalog::new().await;
    let (store, caller) = (&catalog.app.store, &catalog.caller);
    let guest = UserId(Uuid::from_u128(900));
    let mut tx = store.begin().await.unwrap();
    store::members::insert_user(&mut tx, guest, "guest@example.com", "G", START)
        .await
        .unwrap();
    store::members::insert_member(&mut tx, caller.org_id, guest, "member", START)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    assert_eq!(
        store::hosts::usable(store, caller.org_id, guest)
            .await
            .unwrap(),
        []
    );

    let mut tx = store.begin().await.unwrap();
    store::hosts::grant(&mut tx, catalog.host, guest, catalog.caller.user_id, START)
        .await
        .unwrap();
    store::hosts::grant(&mut tx, catalog.host, guest, catalog.caller.user_id, START)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    let seen = store::hosts::usable(store, caller.org_id, guest)
        .await
        .unwrap();
    assert_eq!(seen.len(), 1);
    let stranger = add_org(&catalog.app, 2).await;
    assert_eq!(
        store::hosts::usable(store, stranger.org_id, guest)
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn a_hosts_name_is_free_once_it_is_removed() {
    let catalog = Catalog::new().await;
    let (store, caller) = (&catalog.app.store, &catalog.caller);
    let twin = NewHost {
        id: HostId(Uuid::from_u128(1)),
        org_id: caller.org_id,
        owner_id: caller.user_id,
        name: "MACBOOK".into(),
        public_key: "00".into(),
        enrolled_at: START,
    };
    let mut tx = store.begin().await.unwrap();
    assert!(
        store::hosts::insert(&mut tx, &twin)
            .await
            .unwrap_err()
            .is_duplicate()
    );
    assert!(
        store::hosts::revoke(&mut tx, catalog.host, START)
            .await
            .unwrap()
    );
    assert!(
        !store::hosts::revoke(&mut tx, catalog.host, START)
            .await
            .unwrap()
    );
    store::hosts::insert(&mut tx, &twin).await.unwrap();
    store.commit(tx).await.unwrap();
    let seen = store::hosts::usable(store, caller.org_id, caller.user_id)
        .await
        .unwrap();
    assert_eq!(seen.iter().map(|row| row.id).collect::<Vec<_>>(), [twin.id]);
}

#[tokio::test]
async fn presence_readings_and_counters_of_a_host_are_kept() {
    let catalog = Catalog::new().await;
    let (store, id) = (&catalog.app.store, catalog.host);
    let load = HostLoad {
        running_runs: 3,
        ..HostLoad::default()
    };
    let mut tx = store.begin().await.unwrap();
    store::hosts::connected(&mut tx, id, 4, 2, START)
        .await
        .unwrap();
    store::hosts::set_load(&mut tx, id, &load, START.plus_ms(5))
        .await
        .unwrap();
    store::hosts::set_facts(&mut tx, id, &facts(Autonomy::Full))
        .await
        .unwrap();
    store::hosts::set_event_seq(&mut tx, id, 9).await.unwrap();
    assert_eq!(store::hosts::next_revision(&mut tx, id).await.unwrap(), 1);
    assert_eq!(store::hosts::next_revision(&mut tx, id).await.unwrap(), 2);
    store.commit(tx).await.unwrap();
    let row = catalog.host_row().await;
    assert_eq!(
        (row.load, row.load_at),
        (Some(load), Some(START.plus_ms(5)))
    );
    assert_eq!(row.facts, Some(facts(Autonomy::Full)));
    assert_eq!(
        (row.event_seq, row.desired_revision, row.applied_revision),
        (9, 2, 2)
    );
    assert_eq!(row.last_seen_at, Some(START.plus_ms(5)));

    let mut tx = store.begin().await.unwrap();
    store::hosts::set_applied(&mut tx, id, 7).await.unwrap();
    store::hosts::disconnected(&mut tx, id, START.plus_ms(9))
        .await
        .unwrap();
    store::hosts::reset_presence(&mut tx).await.unwrap();
    store::hosts::refuse_event(&mut tx, id, 4, "{}", "odd", START)
        .await
        .unwrap();
    store::hosts::refuse_event(&mut tx, id, 4, "{}", "odd", START)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    let row = catalog.host_row().await;
    assert_eq!(
        (row.applied_revision, row.last_seen_at),
        (7, Some(START.plus_ms(9)))
    );
    let refused = store::hosts::refused_events(store, id).await.unwrap();
    assert_eq!(refused, [(4, "odd".to_owned())]);
}

#[tokio::test]
async fn commands_stay_open_until_they_are_removed() {
    let catalog = Catalog::new().await;
    let store = &catalog.app.store;
    let subject = workspace(1, None, WorkspaceState::Ready);
    let open = |number: u128| OpenCommand {
        id: CommandId(Uuid::from_u128(number)),
        org_id: catalog.caller.org_id,
        host_id: catalog.host,
        subject: subject.id.0,
        command: Command::WorkspaceDelete(WorkspaceDelete {
            workspace_id: subject.id,
            force: false,
            delete_branch: true,
            by: None,
        }),
        created_at: START.plus_ms(i64::try_from(number).unwrap()),
    };
    let mut tx = store.begin().await.unwrap();
    for number in [2, 1, 3] {
        store::commands::insert(&mut tx, &open(number))
            .await
            .unwrap();
    }
    store.commit(tx).await.unwrap();
    assert_eq!(catalog.open_commands().await, [open(1), open(2), open(3)]);

    let mut tx = store.begin().await.unwrap();
    store::commands::remove(&mut tx, open(2).id).await.unwrap();
    store::commands::remove_creation(&mut tx, catalog.host, subject.id)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    assert_eq!(catalog.open_commands().await, [open(1), open(3)]);

    let stranger = add_host(&catalog.app, &catalog.caller, "other").await;
    let mut tx = store.begin().await.unwrap();
    store::commands::remove_of_subject(&mut tx, stranger, subject.id.0)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    assert_eq!(catalog.open_commands().await.len(), 2);
    let mut tx = store.begin().await.unwrap();
    store::commands::remove_of_subject(&mut tx, catalog.host, subject.id.0)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    assert_eq!(catalog.open_commands().await, []);
}

#[tokio::test]
async fn projects_are_one_row_with_a_place_per_host() {
    let catalog = Catalog::new().await;
    let (store, org) = (&catalog.app.store, catalog.caller.org_id);
    let other = add_host(&catalog.app, &catalog.caller, "Build").await;
    let api = project(1, "Api");
    let mut tx = store.begin().await.unwrap();
    for host in [catalog.host, other, other] {
        let taken = store::projects::put(&mut tx, org, host, &api, Some("key"), START).await;
        assert!(taken.unwrap());
    }
    let stranger = OrgId(Uuid::from_u128(9));
    let stolen = store::projects::put(&mut tx, stranger, other, &api, None, START).await;
    assert!(!stolen.unwrap(), "another organization's project");
    store.commit(tx).await.unwrap();

    let places = store::projects::places(store, org).await.unwrap();
    assert_eq!(places.len(), 2);
    assert_eq!(places[0].name, "Api");
    assert_eq!(places[0].state, ProjectState::Ready);
    assert_eq!(
        store::projects::by_url(store, org, "key").await.unwrap(),
        Some(api.id)
    );
    assert_eq!(
        store::projects::by_url(store, stranger, "key")
            .await
            .unwrap(),
        None
    );

    let mut tx = store.begin().await.unwrap();
    store::projects::remove(&mut tx, other, api.id)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    let places = store::projects::places(store, org).await.unwrap();
    assert_eq!(
        places.iter().map(|place| place.host_id).collect::<Vec<_>>(),
        [catalog.host]
    );
}
