//! Projects through the tools: importing a checkout, cloning a remote, and every source that must be
//! refused with nothing left behind.

use std::{fs, net::TcpListener, path::Path};

use serde_json::{Value, json};

use crate::harness::{Ended, Home, Mcp, Repo, secs};

#[test]
fn a_checkout_is_imported_from_anywhere_inside_it() {
    let home = Home::new();
    let up = home.up();
    let repo = Repo::new(&home, "shop", 3);
    let mcp = up.mcp();
    let first = import(&mcp, &repo.path.join("src/part0")).unwrap();
    assert_eq!(
        (&first["existed"], &first["defaultBranch"]),
        (&json!(false), &json!("main"))
    );
    assert_eq!(first["path"], repo.text());
    assert_eq!(first["project"]["name"], "shop");
    let again = import(&mcp, &repo.path).unwrap();
    assert_eq!(
        (&again["existed"], &again["project"]["id"]),
        (&json!(true), &first["project"]["id"])
    );

    let listed = mcp.ok("projects_list", json!({}));
    let hosts = &listed["projects"][0]["hosts"];
    assert_eq!(listed["projects"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&hosts[0]["path"], &hosts[0]["defaultBranch"]),
        (&json!(repo.text()), &json!("main"))
    );
    assert!(
        repo.git(&["status", "--porcelain"]).is_empty(),
        "importing changed the checkout"
    );
}

#[test]
fn a_bare_repository_is_cloned_with_progress() {
    let home = Home::new();
    let up = home.up();
    let bare = Repo::new(&home, "origin", 300).bare_copy("shop.git");
    let url = format!("file://{}", bare.display());
    let mcp = up.mcp();
    let arguments = json!({"hostId": mcp.host()["id"], "url": url});
    let (result, notifications) = mcp.call_with_progress("projects_create", arguments.clone());
    let cloned = result.unwrap();
    assert_eq!(
        (&cloned["existed"], &cloned["project"]["name"]),
        (&json!(false), &json!("shop"))
    );
    let path = Path::new(cloned["path"].as_str().unwrap());
    assert!(
        path.ends_with("shop") && path.join("src/part0/file0.txt").exists(),
        "{}",
        path.display()
    );
    assert!(!notifications.is_empty(), "no progress on a clone");
    let steps: Vec<_> = notifications
        .iter()
        .map(|one| one["params"]["progress"].as_f64().unwrap())
        .collect();
    assert!(steps.is_sorted(), "progress goes back: {steps:?}");
    assert_eq!(mcp.ok("projects_create", arguments)["existed"], true);
}

#[test]
fn clones_go_where_they_are_asked_to_and_are_named() {
    let home = Home::new();
    let up = home.up();
    let bare = Repo::new(&home, "origin", 1).bare_copy("shop.git");
    let mcp = up.mcp();
    let parent = home.user().join("code");
    fs::create_dir_all(&parent).unwrap();
    let arguments =
        json!({"hostId": mcp.host()["id"], "url": bare, "name": "Web Shop", "parentDir": parent});
    let cloned = mcp.ok("projects_create", arguments);
    assert_eq!(cloned["path"], parent.join("shop").to_str().unwrap());
    for reference in [
        &cloned["project"]["id"],
        &json!("web shop"),
        &json!("web-shop"),
    ] {
        mcp.ok("workspaces_list", json!({"projectId": reference}));
    }
}

#[test]
fn paths_that_are_no_checkout_are_refused() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let repo = Repo::new(&home, "shop", 1);
    let bare = repo.bare_copy("shop.git");
    let empty = Repo::empty(&home, "empty");
    let folder = home.user().join("plain");
    fs::create_dir_all(&folder).unwrap();
    let dangling = home.user().join("dangling");
    std::os::unix::fs::symlink("/nowhere", &dangling).unwrap();
    for path in [
        home.user().join("missing"),
        repo.path.join("README.md"),
        bare,
        empty.path.clone(),
        folder,
        dangling,
        repo.path.join(".git"),
        "relative/path".into(),
        "".into(),
        "/".into(),
        "/dev/null".into(),
    ] {
        let error = import(&mcp, &path).expect_err(&format!("{} is no checkout", path.display()));
        let code = error["code"].as_str().unwrap();
        assert!(
            ["invalid_argument", "not_found", "precondition_failed"].contains(&code),
            "{}: {error}",
            path.display()
        );
    }
    assert_eq!(mcp.ok("projects_list", json!({}))["projects"], json!([]));
}

#[test]
fn another_users_repository_is_refused() {
    let home = Home::new();
    let up = home.up();
    let repo = Repo::new(&home, "theirs", 1);
    let mut chown = if rustix::process::geteuid().is_root() {
        home.command("chown")
    } else {
        home.command("sudo")
    };
    if !rustix::process::geteuid().is_root() {
        chown.arg("chown");
    }
    chown.args(["-R", "12345:12345"]).arg(&repo.path);
    Ended::of(chown, secs(10)).ok();
    let error = import(&up.mcp(), &repo.path).unwrap_err();
    assert!(
        error["message"].as_str().unwrap().contains("another user"),
        "{error}"
    );
}

#[test]
fn dangerous_urls_are_refused_and_never_run_or_kept() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let trace = home.path("ran");
    let run = format!("ext::sh -c touch% {}", trace.display());
    let upload = format!("--upload-pack=touch {}", trace.display());
    let many = format!("https://example.com/{}", "x".repeat(5000));
    for url in [
        run.as_str(),
        upload.as_str(),
        "-x",
        "fd::17",
        "http::http://example.com/x",
        "https://user:hunter2secret@example.com/x.git",
        "https://hunter2secret@example.com/x.git",
        "https://example.com/x.git?token=hunter2secret",
        "javascript:alert(1)",
        "ssh://-oProxyCommand=touch/x",
        "",
        many.as_str(),
        "https://example.com/a\nb",
    ] {
        let error = mcp.refused(
            "projects_create",
            json!({"hostId": mcp.host()["id"], "url": url}),
            "invalid_argument",
        );
        assert!(
            !error.whole.to_string().contains("hunter2secret"),
            "a secret is repeated: {error:?}"
        );
    }
    assert!(!trace.exists(), "a helper transport ran");
    assert_secret_nowhere(&home, "hunter2secret");
}

#[test]
fn a_target_that_exists_is_left_alone() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let bare = Repo::new(&home, "origin", 1).bare_copy("shop.git");
    let parent = home.user().join("code");
    fs::create_dir_all(parent.join("shop")).unwrap();
    fs::write(parent.join("shop/mine.txt"), "mine").unwrap();
    let create = |parent: &Path| {
        mcp.call(
            "projects_create",
            json!({"hostId": mcp.host()["id"], "url": bare, "parentDir": parent}),
        )
    };
    assert_eq!(create(&parent).unwrap_err().code, "conflict");
    assert_eq!(
        fs::read_to_string(parent.join("shop/mine.txt")).unwrap(),
        "mine"
    );
    assert_eq!(
        create(&parent.join("shop/mine.txt")).unwrap_err().code,
        "invalid_argument"
    );
    assert_eq!(
        create(Path::new("relative")).unwrap_err().code,
        "invalid_argument"
    );
    assert_eq!(fs::read_dir(&parent).unwrap().count(), 1);
}

#[test]
fn a_failed_clone_leaves_nothing() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let parent = home.user().join("code");
    fs::create_dir_all(&parent).unwrap();
    let broken = Repo::new(&home, "broken", 1).bare_copy("broken.git");
    fs::remove_dir_all(broken.join("objects")).unwrap();
    fs::create_dir_all(broken.join("objects")).unwrap();
    let missing = format!("file://{}", home.path("missing.git").display());
    let refused = "http://127.0.0.1:9/x.git".to_owned();
    for url in [missing, refused, broken.display().to_string()] {
        let error = mcp
            .call(
                "projects_create",
                json!({"hostId": mcp.host()["id"], "url": url, "parentDir": parent}),
            )
            .unwrap_err();
        assert!(
            ["host_error", "not_found", "precondition_failed"].contains(&error.code.as_str()),
            "{url}: {error:?}"
        );
        assert_eq!(
            fs::read_dir(&parent).unwrap().count(),
            0,
            "{url} left something"
        );
    }
    assert_eq!(mcp.ok("projects_list", json!({}))["projects"], json!([]));
}

#[test]
fn a_server_that_never_answers_is_given_up_minutes() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let parent = home.user().join("code");
    fs::create_dir_all(&parent).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.git", silent.local_addr().unwrap());
    let error = mcp
        .call(
            "projects_create",
            json!({"hostId": mcp.host()["id"], "url": url, "parentDir": parent}),
        )
        .unwrap_err();
    assert_eq!(error.code, "timeout", "{error:?}");
    assert_eq!(fs::read_dir(&parent).unwrap().count(), 0);
    mcp.ok("hosts_list", json!({"online": true}));
}

#[test]
fn exactly_one_source_is_needed() {
    let home = Home::new();
    let up = home.up();
    let mcp = up.mcp();
    let repo = Repo::new(&home, "shop", 1);
    mcp.refused(
        "projects_create",
        json!({"hostId": mcp.host()["id"]}),
        "invalid_argument",
    );
    mcp.refused(
        "projects_create",
        json!({"hostId": mcp.host()["id"], "path": repo.text(), "url": repo.text()}),
        "invalid_argument",
    );
}

/// Imports a path; the error comes back whole.
fn import(mcp: &Mcp, path: &Path) -> Result<Value, Value> {
    mcp.call(
        "projects_create",
        json!({"hostId": mcp.host()["id"], "path": path}),
    )
    .map_err(|error| error.whole)
}

/// No file of this home holds the text.
fn assert_secret_nowhere(home: &Home, secret: &str) {
    let mut grep = home.command("grep");
    grep.args([
        "--recursive",
        "--files-with-matches",
        "--binary-files=text",
        secret,
    ])
    .arg(home.hostler_home());
    let found = Ended::of(grep, secs(20));
    assert_eq!(found.code, Some(1), "{found:?}");
}
