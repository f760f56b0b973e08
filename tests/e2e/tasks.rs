//! Tasks through the tools: a task's whole life, how lists are narrowed, and what is refused.

use serde_json::{Value, json};

use crate::harness::{Home, Mcp};

#[test]
fn a_task_lives_and_dies() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let full = json!({
        "title": "Fix the login page", "description": "It *blinks*.", "priority": "high",
        "estimate": 3, "dueDate": "2027-01-31T09:00:00+01:00", "labels": ["web", "bug"],
    });
    let task = mcp.ok("tasks_create", full)["task"].clone();
    assert_eq!(task["slug"], "fix-the-login-page");
    assert_eq!(task["status"]["type"], "backlog");
    assert_eq!(task["dueDate"], "2027-01-31T08:00:00Z");
    assert_eq!(task["labels"], json!(["web", "bug"]));
    assert_eq!(
        mcp.ok("tasks_get", json!({"idOrSlug": task["slug"]}))["task"],
        task
    );

    let change = json!({"id": task["slug"], "status": "In Progress", "priority": "urgent", "dueDate": null, "branch": "login", "prUrl": "https://example.com/pr/1"});
    let changed = mcp.ok("tasks_update", change)["task"].clone();
    assert_eq!(changed["title"], task["title"], "what is left out is kept");
    assert_eq!(
        (&changed["dueDate"], &changed["priority"]),
        (&Value::Null, &json!("urgent"))
    );
    assert!(
        changed["startedAt"].is_string() && changed["completedAt"].is_null(),
        "{changed}"
    );
    let done = mcp.ok(
        "tasks_update",
        json!({"id": task["id"], "status": "completed"}),
    )["task"]
        .clone();
    assert!(done["completedAt"].is_string(), "{done}");
    let reopened =
        mcp.ok("tasks_update", json!({"id": task["id"], "status": "Todo"}))["task"].clone();
    assert!(reopened["completedAt"].is_null(), "{reopened}");

    let gone = mcp.ok("tasks_delete", json!({"id": task["id"]}));
    assert_eq!(
        (&gone["deleted"], &gone["id"], &gone["slug"]),
        (&json!(true), &task["id"], &task["slug"])
    );
    mcp.refused("tasks_delete", json!({"id": task["id"]}), "not_found");
    mcp.refused("tasks_get", json!({"idOrSlug": task["slug"]}), "not_found");
    let again = mcp.ok("tasks_create", json!({"title": "Fix the login page"}))["task"].clone();
    assert_eq!(again["slug"], task["slug"], "the slug is free again");
}

#[test]
fn slugs_are_unique_and_short() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let slugs: Vec<_> = (0..3)
        .map(|_| create(&mcp, "Same name")["slug"].clone())
        .collect();
    assert_eq!(slugs, ["same-name", "same-name-1", "same-name-2"]);
    for title in [
        "x".repeat(500),
        "日本語のタスク".to_owned(),
        "../../etc/passwd".to_owned(),
        "!!!".to_owned(),
        "🦀".to_owned(),
    ] {
        let slug = create(&mcp, &title)["slug"].as_str().unwrap().to_owned();
        assert!(!slug.is_empty() && slug.len() <= 50, "{slug}");
        assert!(
            slug.chars().all(|c| c.is_alphanumeric() || c == '-'),
            "{slug}"
        );
        assert_eq!(
            mcp.ok("tasks_get", json!({"idOrSlug": slug}))["task"]["title"],
            title
        );
    }
}

#[test]
fn concurrent_creates_of_one_title_all_succeed() {
    let home = Home::new();
    let up = home.up();
    let mut slugs: Vec<String> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| create(&up.mcp(), "Race")["slug"].to_string()))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    slugs.sort();
    slugs.dedup();
    assert_eq!(slugs.len(), 12, "{slugs:?}");
}

#[test]
fn lists_are_narrowed_and_paged() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    for number in 0..5 {
        create(&mcp, &format!("Task {number}"));
    }
    mcp.ok("tasks_create", json!({"title": "Special", "description": "needle in HAY", "priority": "urgent", "labels": ["a", "b"], "status": "Todo"}));
    let list = |arguments: Value| mcp.ok("tasks_list", arguments);
    let titles = |page: &Value| {
        page["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["title"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    let first = list(json!({"limit": 2}));
    assert_eq!(
        (titles(&first), &first["total"], &first["hasMore"]),
        (
            vec!["Special".to_owned(), "Task 4".to_owned()],
            &json!(6),
            &json!(true)
        )
    );
    let end = list(json!({"limit": 2, "offset": 4}));
    assert_eq!(
        (titles(&end), &end["hasMore"]),
        (
            vec!["Task 1".to_owned(), "Task 0".to_owned()],
            &json!(false)
        )
    );
    assert_eq!(titles(&list(json!({"offset": 100}))), Vec::<String>::new());
    for narrow in [
        json!({"search": "NEEDLE"}),
        json!({"search": "special"}),
        json!({"priority": "urgent"}),
        json!({"labels": ["b", "a"]}),
        json!({"status": "todo"}),
        json!({"status": "unstarted"}),
    ] {
        assert_eq!(titles(&list(narrow.clone())), ["Special"], "{narrow}");
    }
    assert_eq!(
        titles(&list(json!({"labels": ["a", "c"]}))),
        Vec::<String>::new(),
        "all the labels"
    );
    assert_eq!(
        list(json!({"search": "100%_"}))["total"],
        0,
        "search text is no pattern"
    );
    assert_eq!(list(json!({"creatorMe": true}))["total"], 6);
    assert_eq!(list(json!({"assigneeMe": true}))["total"], 0);
}

#[test]
fn text_comes_back_as_it_went_in() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let text = "line\r\n\ttab \"quotes\" 'single' \\ \u{0} null, emoji 🦀, rtl \u{202e}, </script> '; DROP TABLE tasks; --".replace('\0', "");
    let task = mcp.ok("tasks_create", json!({"title": text, "description": text}))["task"].clone();
    let read = mcp.ok("tasks_get", json!({"idOrSlug": task["id"]}))["task"].clone();
    assert_eq!(read["description"], text);
    assert_eq!(read["title"], task["title"]);
    let long = "é".repeat(50_000);
    let task = mcp.ok(
        "tasks_create",
        json!({"title": "long", "description": long}),
    )["task"]
        .clone();
    assert_eq!(task["description"], long);
}

#[test]
fn values_outside_their_range_are_refused() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    for wrong in [
        json!({"title": ""}),
        json!({"title": "   "}),
        json!({"title": "x".repeat(501)}),
        json!({"title": "t", "description": "x".repeat(100_001)}),
        json!({"title": "t", "priority": "highest"}),
        json!({"title": "t", "estimate": 0}),
        json!({"title": "t", "estimate": -1}),
        json!({"title": "t", "dueDate": "tomorrow"}),
        json!({"title": "t", "dueDate": "2027-02-30T00:00:00Z"}),
        json!({"title": "t", "labels": "web"}),
    ] {
        mcp.refused("tasks_create", wrong, "invalid_argument");
    }
    for wrong in [
        json!({"limit": 0}),
        json!({"limit": 501}),
        json!({"offset": -1}),
        json!({"priority": "x"}),
    ] {
        mcp.refused("tasks_list", wrong, "invalid_argument");
    }
    assert_eq!(
        mcp.ok("tasks_list", json!({}))["total"],
        0,
        "a refused create leaves nothing"
    );
}

fn create(mcp: &Mcp, title: &str) -> Value {
    mcp.ok("tasks_create", json!({"title": title}))["task"].clone()
}
