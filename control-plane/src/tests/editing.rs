//! Forms that do not find the world as it was when they were opened: somebody else has changed the same
//! thing, the session has ended, the visitor works in another organization now, a host takes its time.

use std::collections::BTreeMap;

use hostler_proto::error::{ErrorCode, Failure};

use super::browser::Browser;
use super::*;
use crate::tasks::{self, CreateTask, UpdateTask};

/// The owner's browser, as one that says where a form comes from.
async fn owner(catalog: &Catalog) -> Browser {
    let caller = &catalog.caller;
    let mut browser = Browser::signed_in(&catalog.app, caller.user_id, caller.org_id).await;
    let site = ("sec-fetch-site", "same-origin".to_owned());
    browser.headers.push(site);
    browser
}

async fn task(catalog: &Catalog) -> tasks::Task {
    let input = CreateTask {
        title: "Fix it".to_owned(),
        description: Some("one".to_owned()),
        ..CreateTask::default()
    };
    let made = tasks::create(&catalog.app, &catalog.caller, input).await;
    made.unwrap().task
}

/// What the fields of a page's form hold, as a browser would send them back.
fn fields(page: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        let (value, _) = rest.split_once('"')?;
        Some(value.to_owned())
    };
    for tag in page.split("<input").skip(1) {
        let tag = tag.split('>').next().unwrap();
        if let Some(name) = attribute(tag, "name") {
            fields.insert(name, attribute(tag, "value").unwrap_or_default());
        }
    }
    for area in page.split("<textarea").skip(1) {
        let (tag, rest) = area.split_once('>').unwrap();
        let text = rest.split("</textarea>").next().unwrap();
        let text = text.trim_start_matches('\n').to_owned();
        fields.insert(attribute(tag, "name").unwrap(), text);
    }
    for select in page.split("<select").skip(1) {
        let (tag, options) = select.split_once('>').unwrap();
        let options = options.split("</select>").next().unwrap();
        let chosen = options
            .split("<option")
            .find(|one| one.contains(" selected"));
        let value = chosen.and_then(|one| attribute(one.split('>').next()?, "value"));
        fields.insert(attribute(tag, "name").unwrap(), value.unwrap_or_default());
    }
    fields
}

async fn send(
    browser: &mut Browser,
    path: &str,
    fields: &BTreeMap<String, String>,
) -> super::browser::Page {
    let all: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    browser.post_only(path, &all).await
}

#[tokio::test]
async fn two_people_who_edit_one_task_lose_nothing() {
    let catalog = Catalog::new().await;
    let task = task(&catalog).await;
    let path = format!("/tasks/{}/edit", task.slug);
    let mut ada = owner(&catalog).await;
    let mut form = fields(&ada.get(&path).await.text);
    let theirs = UpdateTask {
        status: Some("In Progress".to_owned()),
        description: crate::patch::Patch::Set("two".to_owned()),
        ..UpdateTask::default()
    };
    let (app, caller) = (&catalog.app, &catalog.caller);
    tasks::update(app, caller, &task.slug, theirs)
        .await
        .unwrap();

    // She has changed the title alone: both changes stay.
    form.insert("title".into(), "Fix it well".into());
    let saved = send(&mut ada, &path, &form).await;
    assert_eq!(saved.status, 303, "{}", saved.text);
    let now = tasks::get(app, caller, &task.slug).await.unwrap().task;
    assert_eq!(now.title, "Fix it well");
    assert_eq!(now.status.name, "In Progress");
    assert_eq!(now.description.as_deref(), Some("two"));

    // The same form again, with the description changed that is another now: both are shown, and
    // nothing is saved.
    form.insert("description".into(), "three".into());
    let refused = send(&mut ada, &path, &form).await;
    assert_eq!(refused.status, 409);
    let shown = fields(&refused.text);
    assert_eq!(shown["description"], "three");
    assert!(
        refused.text.contains("Somebody else has made it: two"),
        "{}",
        refused.text
    );
    let kept = tasks::get(app, caller, &task.slug).await.unwrap().task;
    assert_eq!(kept.description.as_deref(), Some("two"));

    // Now she has seen it.
    let saved = send(&mut ada, &path, &shown).await;
    assert_eq!(saved.status, 303, "{}", saved.text);
    let now = tasks::get(app, caller, &task.slug).await.unwrap().task;
    assert_eq!(now.description.as_deref(), Some("three"));
}

#[tokio::test]
async fn a_task_that_stays_as_it_was_is_no_change() {
    let catalog = Catalog::new().await;
    let task = task(&catalog).await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let same = || UpdateTask {
        title: Some(task.title.clone()),
        ..UpdateTask::default()
    };
    let kept = tasks::update(app, caller, &task.slug, same())
        .await
        .unwrap();
    assert_eq!(kept.task.updated_at, task.updated_at);
    let filter = crate::audit::Filter::default();
    let entries = crate::audit::list(app, caller, &filter, None, 50)
        .await
        .unwrap();
    let updates = entries.iter().filter(|one| one.action == "task.update");
    assert_eq!(updates.count(), 0);
    let stale = UpdateTask {
        if_changed_at: Some(task.updated_at.plus_ms(-1)),
        ..same()
    };
    let refused = tasks::update(app, caller, &task.slug, stale).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Conflict);
}

#[tokio::test]
async fn an_automation_changed_meanwhile_is_shown_with_what_was_done() {
    let catalog = Catalog::new().await;
    let id = catalog.automation("nightly").await.to_string();
    let (app, caller) = (&catalog.app, &catalog.caller);
    let mut ada = owner(&catalog).await;
    let form = fields(&ada.get(&format!("/automations/{id}/edit")).await.text);
    crate::automations::pause(app, caller, &id).await.unwrap();
    let renamed = crate::automations::UpdateAutomation {
        name: Some("weekly".to_owned()),
        ..Default::default()
    };
    crate::automations::update(app, caller, &id, renamed)
        .await
        .unwrap();
    let mut mine = form;
    mine.insert("name".into(), "hourly".into());
    let refused = send(&mut ada, &format!("/automations/{id}"), &mine).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    for said in [
        "What was done meanwhile",
        "weekly",
        "paused",
        "value=\"hourly\"",
    ] {
        assert!(refused.text.contains(said), "{said}: {}", refused.text);
    }
}

#[tokio::test]
async fn what_was_written_outlives_the_session() {
    let catalog = Catalog::new().await;
    let mut ada = owner(&catalog).await;
    let mut form = fields(&ada.get("/tasks/new").await.text);
    form.insert("title".into(), "A long thought".into());
    let again = owner(&catalog).await;
    ada.cookies.clear();
    let kept = send(&mut ada, "/tasks", &form).await;
    assert_eq!(kept.status, 401, "{}", kept.text);
    assert_eq!(kept.header("cache-control"), "no-store");
    // Signed in again, in another tab.
    ada.cookies = again.cookies;
    let asked = send(&mut ada, "/tasks", &fields(&kept.text)).await;
    assert_eq!(
        asked.status, 403,
        "it is not sent by itself: {}",
        asked.text
    );
    let made = send(&mut ada, "/tasks", &fields(&asked.text)).await;
    assert_eq!(made.status, 303, "{}", made.text);
    let page = ada.get("/tasks").await;
    assert!(page.text.contains("A long thought"), "{}", page.text);
}

#[tokio::test]
async fn nobody_elses_words_are_kept_for_a_visitor() {
    let catalog = Catalog::new().await;
    let mut ada = owner(&catalog).await;
    let form = [("csrf", "00"), ("title", "Theirs")];
    ada.headers.retain(|(name, _)| *name != "sec-fetch-site");
    let unsaid = ada.post_only("/tasks", &form).await;
    assert_eq!(unsaid.status, 403);
    assert!(!unsaid.text.contains("Theirs"), "{}", unsaid.text);
    ada.headers
        .push(("sec-fetch-site", "cross-site".to_owned()));
    ada.cookies.clear();
    let strangers = ada.post_only("/tasks", &form).await;
    assert!(!strangers.text.contains("Theirs"), "{}", strangers.text);
    // What is not written at length, and what holds secrets, is not kept either.
    ada.headers.retain(|(name, _)| *name != "sec-fetch-site");
    ada.headers
        .push(("sec-fetch-site", "same-origin".to_owned()));
    for path in [
        "/settings/profile/password",
        "/settings/keys",
        "/tasks/x/delete",
    ] {
        let sent = ada.post_only(path, &[("password", "a secret")]).await;
        assert_eq!(
            (sent.status.as_u16(), sent.text.contains("a secret")),
            (303, false),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_form_of_another_organization_keeps_its_words() {
    let catalog = Catalog::new().await;
    let mut ada = owner(&catalog).await;
    let mut form = fields(&ada.get("/tasks/new").await.text);
    form.insert("title".into(), "Of Acme".into());
    let made = ada.post("/organizations", &[("name", "Elsewhere")]).await;
    assert_eq!(made.status, 303, "{}", made.text);
    let kept = send(&mut ada, "/tasks", &form).await;
    assert_eq!(kept.status, 409, "{}", kept.text);
    assert!(kept.text.contains("Acme") && kept.text.contains("Elsewhere"));
    ada.get("/organizations").await;
    let back = format!("/organizations/{}/choose", catalog.caller.org_id);
    assert_eq!(ada.post(&back, &[]).await.status, 303);
    let sent = send(&mut ada, "/tasks", &fields(&kept.text)).await;
    assert_eq!(sent.status, 303, "{}", sent.text);
}

#[tokio::test]
async fn a_clone_that_fails_after_its_form_was_left_is_told() {
    let catalog = Catalog::new().await;
    let mut ada = owner(&catalog).await;
    let (clones, host) = (&catalog.app.clones, catalog.host.to_string());
    let number = clones.begin(&catalog.caller, &host, "https://example.com/shop.git");
    let page = ada.get("/projects").await.text;
    assert!(
        page.contains("Cloning") && page.contains("https://example.com/shop.git"),
        "{page}"
    );
    let failure = Failure::new(ErrorCode::HostError, "git could not reach it").detail("no <route>");
    clones.failed(number, &failure);
    let page = ada.get("/projects").await.text;
    for said in [
        "Git could not reach it",
        "no &lt;route&gt;",
        "MacBook",
        "Try again",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let number = number.to_string();
    let dismissed = ada.post("/projects/dismiss", &[("clone", &number)]).await;
    assert_eq!(dismissed.status, 303);
    assert!(!ada.get("/projects").await.text.contains("could not reach"));
}
