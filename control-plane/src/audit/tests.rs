//! The log on a real catalog: the chain, who may read, filters, export, and a log that is long.

use serde_json::json;

use super::*;
use crate::auth::Scope;
use crate::tests::{Catalog, START};

async fn add(catalog: &Catalog, count: usize) {
    let mut tx = catalog.app.store.begin().await.unwrap();
    for number in 0..count {
        let (id, name) = (format!("id-{number}"), format!("Task {number}"));
        let thing = Thing {
            kind: "task",
            id: &id,
            name: &name,
        };
        let action = if number % 2 == 0 {
            "task.create"
        } else {
            "task_x"
        };
        let now = START.plus_ms(i64::try_from(number).unwrap());
        let detail = Some(json!({"number": number}));
        record(&mut tx, catalog.caller(), action, thing, detail, now)
            .await
            .unwrap();
    }
    catalog.app.store.commit(tx).await.unwrap();
}

async fn chain(catalog: &Catalog) -> Chain {
    verify(&catalog.app, catalog.caller()).await.unwrap()
}

#[tokio::test]
async fn a_change_a_gap_and_an_insertion_are_noticed() {
    for (statement, broken_at) in [
        (
            "UPDATE audit_log SET actor = 'nobody' WHERE seq = 4",
            Some(4),
        ),
        ("UPDATE audit_log SET detail = NULL WHERE seq = 5", Some(5)),
        ("DELETE FROM audit_log WHERE seq = 3", Some(4)),
        ("DELETE FROM audit_log WHERE seq = 1", Some(2)),
        ("UPDATE audit_log SET seq = 99 WHERE seq = 6", Some(99)),
        ("DELETE FROM audit_log WHERE seq = 6", None),
    ] {
        let catalog = Catalog::new().await;
        add(&catalog, 6).await;
        let before = chain(&catalog).await;
        assert_eq!((before.entries, before.broken_at), (6, None));
        crate::store::audit::tamper(&catalog.app.store, statement).await;
        let after = chain(&catalog).await;
        assert_eq!(after.broken_at, broken_at, "{statement}");
        if broken_at.is_some() {
            continue;
        }
        // A cut at the end shows by the digest that was seen before.
        assert_ne!(
            (after.entries, &after.digest),
            (before.entries, &before.digest)
        );
    }
}

#[tokio::test]
async fn only_admins_with_whole_credentials_read_it() {
    let catalog = Catalog::new().await;
    add(&catalog, 1).await;
    let caller = |role, scopes| Caller {
        role,
        scopes,
        ..catalog.caller().clone()
    };
    let some = Scopes::parse(Scope::TasksRead.name());
    for (caller, may) in [
        (caller(Role::Owner, Scopes::all()), true),
        (caller(Role::Admin, Scopes::all()), true),
        (caller(Role::Member, Scopes::all()), false),
        (caller(Role::Owner, some), false),
    ] {
        let listed = list(&catalog.app, &caller, &Filter::default(), None, 10).await;
        let exported = export(&catalog.app, &caller, Form::Csv, 0).await;
        let verified = verify(&catalog.app, &caller).await;
        assert_eq!(
            [listed.is_ok(), exported.is_ok(), verified.is_ok()],
            [may; 3]
        );
    }
    let elsewhere = crate::tests::add_org(&catalog.app, 2).await;
    let listed = list(&catalog.app, &elsewhere, &Filter::default(), None, 10).await;
    assert_eq!(listed.unwrap(), Vec::new());
}

#[tokio::test]
async fn a_long_log_is_read_in_pages_by_filters_and_whole() {
    const COUNT: usize = 100_000;
    let catalog = Catalog::new().await;
    add(&catalog, 1).await;
    // The same entry again and again, with names and times of its own.
    let many = "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
        INSERT INTO audit_log SELECT org_id, i, at + i - 1, actor_id, actor, client, address, \
        CASE i % 2 WHEN 1 THEN action ELSE 'task_x' END, thing_kind, 'id-' || (i - 1), \
        'Task ' || (i - 1), detail, digest FROM audit_log, n WHERE seq = 1";
    crate::store::audit::tamper(&catalog.app.store, many).await;
    let page = async |filter: Filter, before| {
        let begin = crate::clock::monotonic();
        let found = list(&catalog.app, catalog.caller(), &filter, before, 50)
            .await
            .unwrap();
        (found, begin.elapsed())
    };
    let (first, _) = page(Filter::default(), None).await;
    assert_eq!((first.len(), first[0].seq), (50, COUNT as u64));
    let (second, _) = page(Filter::default(), first.last().map(|entry| entry.seq)).await;
    assert_eq!(second[0].seq, COUNT as u64 - 50);
    let filters = [
        Filter {
            action: Some("task_".to_owned()),
            ..Filter::default()
        },
        Filter {
            thing_id: Some("id-77".to_owned()),
            ..Filter::default()
        },
        Filter {
            thing: Some("TASK 99999".to_owned()),
            ..Filter::default()
        },
        Filter {
            actor: Some("nobody at all".to_owned()),
            ..Filter::default()
        },
        Filter {
            until: Some(START.plus_ms(3)),
            ..Filter::default()
        },
    ];
    for (filter, expected) in filters.into_iter().zip([50, 1, 1, 0, 3]) {
        let (found, took) = page(filter.clone(), None).await;
        assert_eq!(found.len(), expected, "{filter:?}");
        println!("{took:?} for {filter:?}");
        assert!(took.as_millis() < 1_000, "{took:?} for {filter:?}");
    }
    let (mut lines, mut after) = (0, 0);
    while let Some((text, last)) = export(&catalog.app, catalog.caller(), Form::JsonLines, after)
        .await
        .unwrap()
    {
        lines += text.lines().count();
        after = last;
    }
    assert_eq!(lines, COUNT);
}
