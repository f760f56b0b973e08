//! The console's pages of automations and runs: what they show, to whom, and what a form does.

use super::browsing::Browser;
use super::*;
use crate::automations;
use crate::store::runs::marks;

/// Text that would act if it were shown as it is: markup, a terminal's title and link, the reading
/// direction.
const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{1b}]0;title\u{7}\u{1b}]8;;http://x\u{1b}\\\u{202e}\u{2066}\u{9b}2J";

async fn a_run(catalog: &Catalog, number: u128, automation: AutomationId, log: &[u8]) -> RunId {
    let mut record = run(number, automation, finished(log.len() as u64));
    record.branch = Some(HOSTILE.into());
    if let RunState::Finished(finished) = &mut record.state {
        finished.result = RunResult::Failed;
        finished.reason = Some(HOSTILE.into());
        finished.outcome.result_text = Some(HOSTILE.into());
        finished.outcome.denied = vec![HOSTILE.into()];
        finished.outcome.resume = Some(HOSTILE.into());
    }
    let id = record.id;
    catalog.tell(&[Event::RunChanged(Box::new(record))]).await;
    log_bytes(&catalog.app, catalog.host, id, 0, log)
        .await
        .unwrap();
    id
}

fn form<'a>(name: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![
        ("name", name),
        ("prompt", "echo hi"),
        ("agent", "shell"),
        ("place", "scratch"),
        ("kind", "simple"),
        ("every", "weekdays"),
        ("at", "09:30"),
        ("timezone", "Europe/Berlin"),
        ("catch_up", "latest"),
        ("overlap", "skip"),
        ("jitter_seconds", "0"),
        ("max_runtime_seconds", "600"),
        ("retries", "1"),
        ("pause_after_failures", "5"),
        ("max_runs", ""),
        ("autonomy", "edits"),
        ("keep_workspace", "if_changed"),
    ];
    for (field, value) in more {
        form.retain(|(known, _)| known != field);
        form.push((field, value));
    }
    form
}

#[tokio::test]
async fn another_persons_automations_and_runs_are_the_same_page_as_none() {
    let catalog = Catalog::new().await;
    let automation = catalog.automation("mine").await;
    let run = a_run(&catalog, 1, automation, b"log").await;
    let mine = Browser::of(&catalog.app, &catalog.caller).await;
    let stranger = Browser::of(&catalog.app, &add_org(&catalog.app, 2).await).await;
    let pages = |automation: &str, run: &str| {
        [
            format!("/automations/{automation}"),
            format!("/automations/{automation}/edit"),
            format!("/automations/{automation}/prompt"),
            format!("/runs?automation={automation}"),
            format!("/runs/{run}"),
            format!("/runs/{run}/log.txt"),
            format!("/runs/{run}/live"),
        ]
    };
    let (real_one, real_run) = (automation.to_string(), run.to_string());
    let none = Uuid::from_u128(9).to_string();
    for (real, unreal) in pages(&real_one, &real_run).iter().zip(&pages(&none, &none)) {
        assert_eq!(mine.get(real).await.status, 200, "{real}");
        let (theirs, nothing) = (stranger.get(real).await, stranger.get(unreal).await);
        assert_eq!(theirs.status, 404, "{real}");
        assert_eq!(nothing.status, 404, "{unreal}");
        let told = theirs
            .text
            .replace(&real_one, &none)
            .replace(&real_run, &none);
        assert_eq!(told, nothing.text, "{real}");
    }
    for action in ["run", "pause", "resume", "delete"] {
        let path = format!("/automations/{automation}/{action}");
        assert_eq!(stranger.post(&path, &[]).await.status, 404, "{path}");
        let bare = mine.post_bare(&path, &[("csrf", "0")]).await;
        assert_eq!(bare.status, 403, "{path}");
    }
    for action in ["cancel", "retry"] {
        let path = format!("/runs/{run}/{action}");
        assert_eq!(stranger.post(&path, &[]).await.status, 404, "{path}");
    }
    let list = stranger.get("/runs").await;
    assert!(list.text.contains("No runs yet"), "{}", list.text);
    assert!(!stranger.get("/automations").await.text.contains("mine"));
}

#[tokio::test]
async fn what_others_wrote_is_shown_and_does_nothing() {
    let catalog = Catalog::new().await;
    let named = automations::CreateAutomation {
        prompt: HOSTILE.into(),
        ..daily(HOSTILE)
    };
    let made = automations::create(&catalog.app, &catalog.caller, named).await;
    let automation = made.unwrap().automation.id;
    let log = format!(
        "{HOSTILE}\n{{\"type\":\"result\",\"result\":\"{}\"}}\nlast\n",
        "<script>alert(2)</script>\\u202e"
    );
    let run = a_run(&catalog, 1, automation, log.as_bytes()).await;
    let mine = Browser::of(&catalog.app, &catalog.caller).await;
    for path in [
        "/automations".to_owned(),
        format!("/automations/{automation}"),
        format!("/automations/{automation}/edit"),
        format!("/automations/{automation}/prompt"),
        "/runs".to_owned(),
        format!("/runs?automation={automation}"),
        format!("/runs/{run}"),
        format!("/runs/{run}?raw=1"),
    ] {
        let page = mine.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text.contains("<script>alert"), "{path}");
        assert!(page.text.contains("&lt;script&gt;alert(1)"), "{path}");
        let acts =
            |sign: char| sign != '\n' && (sign.is_control() || "\u{202e}\u{2066}".contains(sign));
        // A field gives back what was typed; there it is text to be edited.
        if !path.ends_with("/edit") {
            assert_eq!(page.text.chars().find(|sign| acts(*sign)), None, "{path}");
        }
    }
}

#[tokio::test]
async fn a_form_makes_and_changes_an_automation_and_keeps_what_was_typed() {
    let catalog = Catalog::new().await;
    let mine = Browser::of(&catalog.app, &catalog.caller).await;
    let wrong = form(
        "",
        &[
            ("at", ""),
            ("timezone", "Mars/Base"),
            ("retries", "9"),
            ("prompt", "keep <me>"),
        ],
    );
    let refused = mine.post("/automations", &wrong).await;
    assert_eq!(refused.status, 400);
    for said in [
        "f-name-error",
        "f-timezone-error",
        "f-retries-error",
        "Choose a time of day",
        "keep &lt;me&gt;",
    ] {
        assert!(refused.text.contains(said), "{said}: {}", refused.text);
    }
    let made = mine.post("/automations", &form("nightly", &[])).await;
    assert_eq!(made.status, 303, "{}", made.text);
    let page = mine.get(made.leads_to()).await;
    for said in [
        "nightly",
        "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=30",
        "Created on host MacBook",
    ] {
        assert!(page.text.contains(said), "{said}: {}", page.text);
    }
    let id = made
        .leads_to()
        .trim_start_matches("/automations/")
        .to_owned();
    let path = format!("/automations/{id}");
    let cron = [
        ("kind", "cron"),
        ("cron", "0 7 * * 1"),
        ("revision", "1"),
        ("version", "1"),
        ("prompt", "echo two"),
    ];
    let changed = mine.post(&path, &form("nightly", &cron)).await;
    assert_eq!(changed.status, 303, "{}", changed.text);
    let (app, caller) = (&catalog.app, &catalog.caller);
    let now = automations::get(app, caller, &id).await.unwrap().automation;
    assert_eq!(
        now.schedule.rrule,
        "FREQ=DAILY;BYDAY=MO;BYHOUR=7;BYMINUTE=0"
    );
    assert_eq!((now.prompt_version, now.revision), (2, 2));
    // The same form again: it was filled from a revision that is no more.
    let stale = mine.post(&path, &form("other", &cron)).await;
    assert_eq!(stale.status, 409);
    assert!(stale.text.contains("name=\"revision\" value=\"2\"") && stale.text.contains("other"));
    let prompt = automations::get_prompt(app, caller, &id).await.unwrap();
    assert_eq!(prompt.prompt, "echo two");
}

#[tokio::test]
async fn a_preview_shows_the_next_times_and_what_clock_changes_do() {
    let catalog = Catalog::new().await;
    let mine = Browser::of(&catalog.app, &catalog.caller).await;
    let night = [
        ("every", "daily"),
        ("at", "02:30"),
        ("prompt", ""),
        ("dtstart", "2026-01-01T00:00"),
    ];
    let page = mine.post("/automations/preview", &form("", &night)).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("02:30 CE"), "{}", page.text);
    assert!(
        page.text.contains("does not exist") || page.text.contains("comes twice"),
        "{}",
        page.text
    );
    assert!(
        !page.text.contains("f-name-error"),
        "only the schedule is judged"
    );
    let odd = mine
        .post(
            "/automations/preview",
            &form("", &[("kind", "rrule"), ("rrule", "FREQ=SECONDLY")]),
        )
        .await;
    assert!(odd.text.contains("class=\"error\""), "{}", odd.text);
}

#[tokio::test]
async fn runs_of_all_automations_follow_one_another_page_by_page() {
    let catalog = Catalog::new().await;
    let (one, two) = (
        catalog.automation("one").await,
        catalog.automation("two").await,
    );
    let events: Vec<Event> = (0..130_u128)
        .map(|number| {
            let automation = if number % 3 == 0 { one } else { two };
            let state = if number % 5 == 0 {
                RunState::Queued
            } else {
                finished(0)
            };
            Event::RunChanged(Box::new(run(number, automation, state)))
        })
        .collect();
    catalog.tell(&events).await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let walk = async |wanted: crate::runs::ListRuns| {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let wanted = crate::runs::ListRuns {
                after: after.clone(),
                limit: 7,
                ..wanted.clone()
            };
            let page = crate::runs::listed(app, caller, wanted).await.unwrap();
            ids.extend(page.runs.iter().map(|listed| listed.view.run.id));
            match page.next {
                Some(next) => after = Some(next),
                None => return ids,
            }
        }
    };
    let all = walk(crate::runs::ListRuns::default()).await;
    let expected: Vec<RunId> = (0..130)
        .rev()
        .map(|number| RunId(Uuid::from_u128(10_000 + number)))
        .collect();
    assert_eq!(all, expected);
    let some = |text: &str| Some(text.to_owned());
    let queued = walk(crate::runs::ListRuns {
        state: some("queued"),
        ..Default::default()
    })
    .await;
    assert_eq!(queued.len(), 26);
    let ones = walk(crate::runs::ListRuns {
        automation: some(&one.to_string()),
        ..Default::default()
    })
    .await;
    assert_eq!(ones.len(), 44);
    let named = walk(crate::runs::ListRuns {
        name: some("TW"),
        host: some(&catalog.host.to_string()),
        ..Default::default()
    })
    .await;
    assert_eq!(named.len(), 86);
}

#[tokio::test]
async fn a_list_of_runs_is_filtered_and_a_strip_has_the_newest() {
    let catalog = Catalog::new().await;
    let automation = catalog.automation("one").await;
    let events: Vec<Event> = (0..30)
        .map(|number| {
            let state = if number % 5 == 0 {
                RunState::Queued
            } else {
                finished(0)
            };
            Event::RunChanged(Box::new(run(number, automation, state)))
        })
        .collect();
    catalog.tell(&events).await;
    let app = &catalog.app;
    let strip = marks(&app.store, &[automation], 20).await.unwrap();
    let newest: Vec<RunId> = strip.iter().map(|mark| mark.run.id).collect();
    let expected = (10..30)
        .rev()
        .map(|number| RunId(Uuid::from_u128(10_000 + number)));
    assert_eq!(newest, expected.collect::<Vec<_>>());
    let mine = Browser::of(app, &catalog.caller).await;
    let page = mine.get("/runs?state=queued").await;
    assert_eq!(page.text.matches("badge wait").count(), 6, "{}", page.text);
    assert_eq!(mine.get("/runs?state=odd").await.status, 400);
    assert_eq!(mine.get("/runs?after=odd").await.status, 400);
}

#[tokio::test]
async fn of_many_workspaces_the_editor_lists_the_newest_and_the_chosen_one() {
    let catalog = Catalog::new().await;
    let ready = |number| workspace(number, None, WorkspaceState::Ready);
    let all: Vec<_> = (0..120)
        .map(|number| Event::WorkspaceChanged(ready(number)))
        .collect();
    catalog.tell(&all).await;
    let mine = Browser::of(&catalog.app, &catalog.caller).await;
    let value = |number| format!("value=\"workspace:{}\"", ready(number).id);
    let page = mine.get("/automations/new").await;
    assert_eq!(page.text.matches("value=\"workspace:").count(), 100);
    let missing = (0..120).find(|number| !page.text.contains(&value(*number)));
    let missing = missing.unwrap();
    let wanted = format!("/automations/new?workspace={}", ready(missing).id);
    let page = mine.get(&wanted).await;
    assert_eq!(page.text.matches("value=\"workspace:").count(), 101);
    let chosen = format!("{} selected", value(missing));
    assert!(page.text.contains(&chosen), "{}", page.text);
}
