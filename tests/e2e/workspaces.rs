//! Workspaces through the tools: a worktree of its own for every branch, whatever is asked, by how
//! many at once, and wherever the daemon is killed in the middle.

use std::{fs, path::Path, thread};

use serde_json::{Value, json};

use crate::harness::{Home, Mcp, Repo, eventually, git, secs};

#[test]
fn a_workspace_is_a_worktree_on_its_branch() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 20);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    let arguments = json!({"hostId": mcp.host()["name"].as_str().unwrap().to_uppercase(), "projectId": project, "name": "Fix the login"});
    let (result, _) = mcp.call_with_progress("workspaces_create", arguments.clone());
    let created = result.unwrap();
    let workspace = &created["workspace"];
    assert_eq!(
        (&created["existed"], &workspace["state"], &workspace["type"]),
        (&json!(false), &json!("ready"), &json!("worktree"))
    );
    assert_eq!(
        (&workspace["branch"], &workspace["name"]),
        (&json!("fix-the-login"), &json!("Fix the login"))
    );
    assert_eq!(
        (&created["base"]["branch"], &created["base"]["commit"]),
        (&json!("main"), &json!(repo.git(&["rev-parse", "main"])))
    );
    let path = Path::new(workspace["path"].as_str().unwrap());
    assert_eq!(
        git(&home, path, &["symbolic-ref", "--short", "HEAD"]),
        "fix-the-login"
    );
    assert_eq!(git(&home, path, &["status", "--porcelain"]), "");
    assert!(git(&home, path, &["fsck"]).is_empty());
    assert_eq!(repo.worktrees(), [path]);

    let again = mcp.ok("workspaces_create", arguments);
    assert_eq!(
        (&again["existed"], &again["workspace"]["id"]),
        (&json!(true), &workspace["id"])
    );
    let listed = mcp.ok(
        "workspaces_list",
        json!({"projectId": project, "state": "ready"}),
    );
    assert!(
        listed["workspaces"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["id"] == workspace["id"]),
        "{listed}"
    );
}

#[test]
fn base_and_branch_can_be_chosen() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 1);
    repo.git(&["checkout", "--quiet", "-b", "release"]);
    let release = repo.commit("release.txt", "1");
    repo.git(&["checkout", "--quiet", "main"]);
    repo.git(&["branch", "existing", "release"]);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    let made = create(&mcp, json!({"projectId": project, "name": "Patch", "branch": "fix/patch", "baseBranch": "release"})).unwrap();
    assert_eq!(made["base"]["commit"], release);
    let path = Path::new(made["workspace"]["path"].as_str().unwrap());
    assert!(path.join("release.txt").exists());
    assert!(path.ends_with("fix-patch"), "{}", path.display());
    let made = create(
        &mcp,
        json!({"projectId": project, "name": "Old", "branch": "existing"}),
    )
    .unwrap();
    let path = Path::new(made["workspace"]["path"].as_str().unwrap());
    assert_eq!(git(&home, path, &["rev-parse", "HEAD"]), release);
    let error = create(
        &mcp,
        json!({"projectId": project, "name": "New", "baseBranch": "no-such"}),
    )
    .unwrap_err();
    assert_eq!(error["code"], "not_found", "{error}");
    assert!(!repo.branches().contains(&"new".to_owned()));
}

#[test]
fn a_remote_branch_gets_a_local_one() {
    let home = Home::new();
    let origin = Repo::new(&home, "origin", 2);
    origin.git(&["checkout", "--quiet", "-b", "feature"]);
    let tip = origin.commit("feature.txt", "1");
    origin.git(&["checkout", "--quiet", "main"]);
    let bare = origin.bare_copy("shop.git");
    let up = home.up();
    let mcp = up.mcp();
    let cloned = mcp.ok(
        "projects_create",
        json!({"hostId": mcp.host()["id"], "url": bare}),
    );
    let project = &cloned["project"]["id"];
    let made = create(&mcp, json!({"projectId": project, "name": "feature"})).unwrap();
    let path = Path::new(made["workspace"]["path"].as_str().unwrap());
    assert_eq!(git(&home, path, &["rev-parse", "HEAD"]), tip);
    // What the remote got since the clone is there too: the base is fetched first.
    origin.git(&["push", "--quiet", bare.to_str().unwrap(), "main"]);
    let newer = origin.commit("newer.txt", "1");
    origin.git(&["push", "--quiet", bare.to_str().unwrap(), "main"]);
    let made = create(&mcp, json!({"projectId": project, "name": "later"})).unwrap();
    let fetched = made["base"]["commit"] == newer || made["base"]["fetchedAt"].is_string();
    assert!(fetched, "neither fetched nor said when: {made}");
}

#[test]
fn names_git_refuses_are_refused_before_anything_is_touched() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 1);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    let long = "b".repeat(300);
    for branch in [
        "../../evil",
        "a.lock",
        "-x",
        "with space",
        "a~b",
        "a^b",
        "a:b",
        "a?b",
        "a*b",
        "a[b",
        "a\\b",
        "a..b",
        "a@{b",
        "@",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a.",
        "HEAD",
        "refs/heads/",
        "\u{7f}",
        "a\tb",
        &long,
        "",
    ] {
        let error = create(
            &mcp,
            json!({"projectId": project, "name": "x", "branch": branch}),
        )
        .expect_err(branch);
        assert_eq!(error["code"], "invalid_argument", "{branch:?}: {error}");
    }
    assert_eq!(repo.branches(), ["main"]);
    assert_eq!(repo.worktrees().len(), 0);
    // Legal, if unusual: git takes it, so we do.
    let crab = create(
        &mcp,
        json!({"projectId": project, "name": "crab", "branch": "🦀"}),
    )
    .unwrap();
    assert_eq!(crab["workspace"]["branch"], "🦀");
}

#[test]
fn any_name_becomes_a_branch() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 1);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    for name in [
        "../../evil",
        "a.lock",
        "-x",
        "~^:",
        "日本語",
        "🦀🦀",
        &"n".repeat(200),
        "Ünï cödé",
        "con",
        "@",
    ] {
        let made = create(&mcp, json!({"projectId": project, "name": name})).unwrap();
        let path = Path::new(made["workspace"]["path"].as_str().unwrap())
            .canonicalize()
            .unwrap();
        assert!(
            path.starts_with(home.hostler_home().canonicalize().unwrap()),
            "{name} -> {}",
            path.display()
        );
        assert_eq!(made["workspace"]["name"], name);
    }
    for name in [String::new(), "n".repeat(201)] {
        assert_eq!(
            create(&mcp, json!({"projectId": project, "name": name})).unwrap_err()["code"],
            "invalid_argument"
        );
    }
}

#[test]
fn branches_that_cannot_stand_side_by_side_are_refused() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 1);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    create(&mcp, json!({"projectId": project, "name": "a"})).unwrap();
    create(
        &mcp,
        json!({"projectId": project, "name": "x", "branch": "deep/er"}),
    )
    .unwrap();
    for branch in ["a/b", "A", "MAIN", "deep", "main"] {
        let error = create(
            &mcp,
            json!({"projectId": project, "name": "y", "branch": branch}),
        )
        .expect_err(branch);
        assert_eq!(error["code"], "conflict", "{branch}: {error}");
    }
    repo.git(&["branch", "taken"]);
    let foreign = home.user().join("foreign");
    repo.git(&[
        "worktree",
        "add",
        "--quiet",
        foreign.to_str().unwrap(),
        "taken",
    ]);
    let error = create(&mcp, json!({"projectId": project, "name": "taken"})).unwrap_err();
    assert_eq!(error["code"], "conflict");
    assert!(
        error["message"].as_str().unwrap().contains("foreign"),
        "names the path: {error}"
    );
    // `a-b` and `a/b` want the same folder name.
    let first = create(
        &mcp,
        json!({"projectId": project, "name": "one", "branch": "c-d"}),
    )
    .unwrap();
    let second = create(
        &mcp,
        json!({"projectId": project, "name": "two", "branch": "c/d"}),
    )
    .unwrap();
    assert_ne!(first["workspace"]["path"], second["workspace"]["path"]);
}

#[test]
fn concurrent_creates_of_one_branch_make_one_workspace() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 200);
    let up = home.up();
    let project = up.mcp().import(&repo);
    let made = at_once(3, |_| {
        create(&up.mcp(), json!({"projectId": project, "name": "same"})).unwrap()
    });
    let new = made.iter().filter(|one| one["existed"] == false).count();
    assert_eq!(new, 1, "{made:?}");
    assert!(
        made.iter()
            .all(|one| one["workspace"]["id"] == made[0]["workspace"]["id"]),
        "{made:?}"
    );
    assert_eq!(repo.worktrees().len(), 1);
}

#[test]
fn a_hundred_creates_at_once_all_succeed() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 20);
    let up = home.up();
    let project = up.mcp().import(&repo);
    let made = at_once(100, |number| {
        create(
            &up.mcp(),
            json!({"projectId": project, "name": format!("w{number}")}),
        )
    });
    let errors: Vec<_> = made.iter().filter_map(|one| one.as_ref().err()).collect();
    assert!(
        errors.is_empty(),
        "{} errors, first {}",
        errors.len(),
        errors[0]
    );
    assert_eq!(repo.worktrees().len(), 100);
    assert_eq!(repo.branches().len(), 101);
}

#[test]
fn unsaved_work_is_kept_unless_forced() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 2);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    let (id, path) = mcp.workspace(&project, "dirty");
    fs::write(path.join("README.md"), "changed").unwrap();
    fs::write(path.join("staged.txt"), "new").unwrap();
    git(&home, &path, &["add", "staged.txt"]);
    fs::write(path.join("untracked.txt"), "new").unwrap();
    let error = mcp.refused(
        "workspaces_delete",
        json!({"id": id}),
        "precondition_failed",
    );
    for file in ["README.md", "staged.txt", "untracked.txt"] {
        assert!(
            error.whole.to_string().contains(file),
            "{file} is not listed: {error:?}"
        );
    }
    assert_eq!(
        fs::read_to_string(path.join("README.md")).unwrap(),
        "changed"
    );
    let gone = mcp.ok("workspaces_delete", json!({"id": id, "force": true}));
    assert_eq!(
        (&gone["deleted"], &gone["alreadyGone"]),
        (&json!(true), &json!(false))
    );
    assert!(!path.exists());
    assert!(
        repo.branches().contains(&"dirty".to_owned()),
        "the branch stays unless asked for"
    );
    let again = mcp.ok("workspaces_delete", json!({"id": id}));
    assert_eq!(again["alreadyGone"], true, "{again}");
    assert_eq!(repo.worktrees().len(), 0);
}

#[test]
fn commits_nobody_else_has_are_kept_unless_forced() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 2);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    let (id, path) = mcp.workspace(&project, "ahead");
    fs::write(path.join("work.txt"), "work").unwrap();
    git(&home, &path, &["add", "--all"]);
    git(
        &home,
        &path,
        &["commit", "--quiet", "--message", "Precious work"],
    );
    let error = mcp.refused(
        "workspaces_delete",
        json!({"id": id, "deleteBranch": true}),
        "precondition_failed",
    );
    assert!(
        error.whole.to_string().contains("Precious work"),
        "{error:?}"
    );
    assert!(path.join("work.txt").exists() && repo.branches().contains(&"ahead".to_owned()));
    let gone = mcp.ok(
        "workspaces_delete",
        json!({"id": id, "deleteBranch": true, "force": true}),
    );
    assert_eq!(gone["branchDeleted"], true, "{gone}");
    assert_eq!(repo.branches(), ["main"]);
}

#[test]
fn deleting_is_repeatable_and_takes_what_is_true() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 2);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    let (id, path) = mcp.workspace(&project, "vanished");
    fs::remove_dir_all(&path).unwrap();
    mcp.ok("workspaces_delete", json!({"id": id}));
    assert_eq!(
        repo.worktrees().len(),
        0,
        "git still lists the vanished worktree"
    );
    let (id, _) = mcp.workspace(&project, "locked");
    repo.git(&["worktree", "lock", repo.worktrees()[0].to_str().unwrap()]);
    mcp.ok("workspaces_delete", json!({"id": id, "force": true}));
    let (id, path) = mcp.workspace(&project, "forgotten");
    repo.git(&["worktree", "remove", "--force", path.to_str().unwrap()]);
    mcp.ok("workspaces_delete", json!({"id": id}));
    let (id, path) = mcp.workspace(&project, "racing");
    let results = at_once(4, |_| up.mcp().ok("workspaces_delete", json!({"id": id})));
    let first = results
        .iter()
        .filter(|one| one["alreadyGone"] == false)
        .count();
    assert_eq!(first, 1, "{results:?}");
    assert!(!path.exists());
    assert_eq!(repo.worktrees().len(), 0);
    let main = main_workspace(&mcp);
    if let Some(main) = main {
        mcp.refused(
            "workspaces_delete",
            json!({"id": main, "force": true}),
            "precondition_failed",
        );
    }
    assert!(repo.path.join("README.md").exists());
}

#[test]
fn changes_behind_our_back_are_seen() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", 2);
    let up = home.up();
    let mcp = up.mcp();
    let project = mcp.import(&repo);
    let (id, path) = mcp.workspace(&project, "watched");
    git(&home, &path, &["checkout", "--quiet", "-b", "switched"]);
    eventually("the switched branch is seen", secs(20), || {
        (mcp.find_workspace(&id)?["branch"] == "switched").then_some(())
    });
    fs::remove_dir_all(&path).unwrap();
    eventually("the removed folder is seen", secs(20), || {
        mcp.find_workspace(&id)
            .is_none_or(|one| one["state"] != "ready")
            .then_some(())
    });
}

#[test]
fn offline_hosts_are_listed_and_deleted_from_later() {
    let home = Home::new();
    let far = Home::new();
    let repo = Repo::new(&far, "shop", 2);
    let server = home.server();
    let mut daemon = far.join(&home, "far");
    server.wait_host_online(1);
    let mcp = server.mcp();
    let project = mcp.import(&repo);
    let (id, path) = mcp.workspace(&project, "later");
    daemon.stop();
    eventually("the host is offline", secs(60), || {
        mcp.ok("hosts_list", json!({"online": true}))["hosts"]
            .as_array()?
            .is_empty()
            .then_some(())
    });
    let listed = mcp.find_workspace(&id).unwrap();
    assert_eq!(listed["hostOnline"], false);
    assert!(listed["asOf"].is_string(), "{listed}");
    assert_eq!(
        create(&mcp, json!({"projectId": project, "name": "x"})).unwrap_err()["code"],
        "host_offline"
    );
    let pending = mcp.ok("workspaces_delete", json!({"id": id}));
    assert_eq!(pending["pending"], true, "{pending}");
    assert!(path.exists());
    let _daemon = far.daemon();
    eventually("the folder goes when the host is back", secs(30), || {
        (!path.exists()).then_some(())
    });
    assert_eq!(repo.worktrees().len(), 0);
}

/// Creates on the only host; the error comes back whole.
fn create(mcp: &Mcp, mut arguments: Value) -> Result<Value, Value> {
    arguments["hostId"] = mcp.host()["id"].clone();
    mcp.call("workspaces_create", arguments)
        .map_err(|error| error.whole)
}

fn main_workspace(mcp: &Mcp) -> Option<Value> {
    let listed = mcp.ok("workspaces_list", json!({}));
    listed["workspaces"]
        .as_array()?
        .iter()
        .find(|one| one["type"] == "main")
        .map(|one| one["id"].clone())
}

/// Runs this many calls at the same time.
fn at_once<T: Send>(count: usize, call: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let call = &call;
    thread::scope(|scope| {
        let started: Vec<_> = (0..count)
            .map(|number| scope.spawn(move || call(number)))
            .collect();
        started.into_iter().map(|one| one.join().unwrap()).collect()
    })
}
