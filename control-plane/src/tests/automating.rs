//! Automations: validation, revisions, moving, running, and that they are their owner's alone.

use hostler_proto::automation::{Overlap, RunTarget, StopReason};
use hostler_proto::command::{Command, Reply};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::frame::payload::Sync;

use super::*;
use crate::automations::{
    self, ListAutomations, PolicyChanges, UpdateAutomation, create, delete, get, get_prompt, list,
    pause, resume, set_prompt, update,
};
use crate::ingest::{self, Stated};
use crate::reconcile;

async fn desired(catalog: &Catalog, host: HostId, from: Option<u64>) -> Sync {
    ingest::desired_state(&catalog.app, host, from)
        .await
        .unwrap()
}

async fn refused(catalog: &Catalog, input: CreateAutomation) -> Failure {
    create(&catalog.app, &catalog.caller, input)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn one_made_says_when_it_runs_and_reaches_its_host() {
    let catalog = Catalog::new().await;
    let made = create(&catalog.app, &catalog.caller, daily(" Nightly "))
        .await
        .unwrap();
    let view = &made.automation;
    assert_eq!(
        (view.name.as_str(), view.host_name.as_str()),
        ("Nightly", "MacBook")
    );
    assert!(view.enabled && !view.host_online);
    assert_eq!(made.next_runs.len(), 5);
    assert_eq!(view.next_run_at, Some(made.next_runs[0].at));
    assert!(
        made.next_runs[0].local.contains("T09:00:00+0"),
        "{:?}",
        made.next_runs[0]
    );
    assert!(!made.schedule_text.is_empty());
    let id = view.id.to_string();
    assert_eq!(
        get(&catalog.app, &catalog.caller, &id)
            .await
            .unwrap()
            .automation,
        *view
    );
    let prompt = get_prompt(&catalog.app, &catalog.caller, &id)
        .await
        .unwrap();
    assert_eq!((prompt.prompt.as_str(), prompt.version), ("echo hi", 1));
    let sync = desired(&catalog, catalog.host, None).await;
    assert!(sync.full);
    assert_eq!((sync.to, sync.upserts.len()), (1, 1));
    assert_eq!(sync.upserts[0].target, RunTarget::Scratch);
    assert_eq!(sync.hash, hostler_proto::link::desired_hash([(view.id, 1)]));
}

#[tokio::test]
async fn wrong_input_is_refused_with_what_to_do() {
    let catalog = Catalog::new().await;
    catalog
        .tell(&[Event::HostChanged(facts(Autonomy::Edits))])
        .await;
    let changed = |change: &dyn Fn(&mut CreateAutomation)| {
        let mut input = daily("a");
        change(&mut input);
        input
    };
    let cases = [
        (changed(&|it| it.name = "  ".into()), "name"),
        (changed(&|it| it.name = "x".repeat(201)), "201 characters"),
        (changed(&|it| it.prompt = "\n".into()), "prompt"),
        (changed(&|it| it.prompt = "x".repeat(100_001)), "100001"),
        (changed(&|it| it.rrule = "garbage".into()), "garbage"),
        (changed(&|it| it.rrule = "FREQ=SECONDLY".into()), "SECONDLY"),
        (changed(&|it| it.timezone = "Mars/Base".into()), "Mars/Base"),
        (changed(&|it| it.dtstart = Some("soon".into())), "soon"),
        (changed(&|it| it.exdates = vec!["never".into()]), "exdates"),
        (
            changed(&|it| {
                it.rrule = "FREQ=DAILY;COUNT=1".into();
                it.dtstart = Some("2020-01-01T00:00:00Z".into());
            }),
            "",
        ),
        (changed(&|it| it.agent = "hal".into()), "no agent"),
        (changed(&|it| it.agent = "codex".into()), "not installed"),
        (
            changed(&|it| it.base_branch = Some("main".into())),
            "baseBranch",
        ),
        (
            changed(&|it| it.project = Some("nothing".into())),
            "no project",
        ),
        (changed(&|it| it.host = Some("nowhere".into())), "no host"),
    ];
    expect_refusals(&catalog, &cases).await;
    let nothing = list(&catalog.app, &catalog.caller, ListAutomations::default()).await;
    assert_eq!(nothing.unwrap().total, 0);
}

#[tokio::test]
async fn policies_out_of_range_or_beyond_the_host_are_refused() {
    let catalog = Catalog::new().await;
    catalog
        .tell(&[Event::HostChanged(facts(Autonomy::Edits))])
        .await;
    let policy = |policies| CreateAutomation {
        policies,
        ..daily("a")
    };
    let cases = [
        (
            policy(PolicyChanges {
                autonomy: Some(Autonomy::Full),
                ..PolicyChanges::default()
            }),
            "edits at most",
        ),
        (
            policy(PolicyChanges {
                retries: Some(4),
                ..PolicyChanges::default()
            }),
            "retries is 4",
        ),
        (
            policy(PolicyChanges {
                jitter_seconds: Some(901),
                ..PolicyChanges::default()
            }),
            "jitterSeconds",
        ),
    ];
    expect_refusals(&catalog, &cases).await;
}

async fn expect_refusals(catalog: &Catalog, cases: &[(CreateAutomation, &str)]) {
    for (input, words) in cases {
        let failure = refused(catalog, input.clone()).await;
        assert!(failure.message.contains(words), "{failure:?} for {input:?}");
        assert!(failure.hint.is_some(), "{failure:?}");
    }
}

#[tokio::test]
async fn without_a_host_named_there_must_be_one_only() {
    let catalog = Catalog::new().await;
    let other = add_host(&catalog.app, &catalog.caller, "Build Box").await;
    let failure = refused(&catalog, daily("a")).await;
    assert_eq!(failure.code, ErrorCode::InvalidArgument);
    for name in ["MacBook", "Build Box", &other.to_string()] {
        assert!(failure.message.contains(name), "{failure}");
    }
    let named = CreateAutomation {
        host: Some("build BOX".into()),
        ..daily("a")
    };
    let made = create(&catalog.app, &catalog.caller, named).await.unwrap();
    assert_eq!(made.automation.host_id, other);
}

#[tokio::test]
async fn each_change_moves_the_revision_and_only_what_was_asked() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let id = catalog.automation("a").await.to_string();
    let before = get(app, caller, &id).await.unwrap().automation;
    let change = UpdateAutomation {
        name: Some("b".into()),
        policies: PolicyChanges {
            overlap: Some(Overlap::Allow),
            max_runs: Some(Some(3)),
            ..PolicyChanges::default()
        },
        ..UpdateAutomation::default()
    };
    let after = update(app, caller, &id, change).await.unwrap().automation;
    assert_eq!(
        (after.name.as_str(), after.policies.max_runs),
        ("b", Some(3))
    );
    assert_eq!(after.policies.overlap, Overlap::Allow);
    assert_eq!(after.schedule, before.schedule);
    let unlimited = UpdateAutomation {
        rrule: Some("FREQ=HOURLY".into()),
        policies: PolicyChanges {
            max_runs: Some(None),
            ..PolicyChanges::default()
        },
        ..UpdateAutomation::default()
    };
    let after = update(app, caller, &id, unlimited)
        .await
        .unwrap()
        .automation;
    assert_eq!(
        (after.policies.max_runs, after.schedule.rrule.as_str()),
        (None, "FREQ=HOURLY")
    );
    assert_eq!(after.schedule.dtstart, before.schedule.dtstart);
    let sync = desired(&catalog, catalog.host, Some(1)).await;
    assert_eq!((sync.from, sync.to, sync.full), (1, 3, false));
    assert_eq!(sync.upserts[0].revision, 3);
    assert!(sync.upserts[0].plan_after > before.created_at.plus_ms(-1));
    let none = desired(&catalog, catalog.host, Some(3)).await;
    assert_eq!((none.upserts.len(), none.hash), (0, sync.hash));
    let ahead = desired(&catalog, catalog.host, Some(99)).await;
    assert!(ahead.full, "a revision never given asks for everything");
    assert_eq!(ahead.upserts.len(), 1);
}

#[tokio::test]
async fn prompts_have_versions_and_the_older_stay() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let automation = catalog.automation("a").await;
    let id = automation.to_string();
    let second = set_prompt(app, caller, &id, "two", Some(1)).await.unwrap();
    assert_eq!(second.version, 2);
    let stale = set_prompt(app, caller, &id, "three", Some(1))
        .await
        .unwrap_err();
    assert_eq!(stale.code, ErrorCode::Conflict);
    assert_eq!(get_prompt(app, caller, &id).await.unwrap().prompt, "two");
    let first = store::automations::prompt(&app.store, automation, 1)
        .await
        .unwrap();
    assert_eq!(first.unwrap().prompt, "echo hi");
    assert_eq!(
        desired(&catalog, catalog.host, None).await.upserts[0].prompt,
        "two"
    );
}

#[tokio::test]
async fn pausing_and_resuming_twice_change_nothing_and_resuming_plans_from_now() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let id = catalog.automation("a").await.to_string();
    let paused = pause(app, caller, &id).await.unwrap();
    assert!(!paused.enabled && paused.next_run_at.is_none());
    assert_eq!(paused.paused_reason.as_deref(), Some("paused by its owner"));
    assert!(get(app, caller, &id).await.unwrap().next_runs.is_empty());
    assert_eq!(pause(app, caller, &id).await.unwrap(), paused);
    assert_eq!(catalog.host_row().await.desired_revision, 2);
    let before = clock::wall();
    let resumed = resume(app, caller, &id).await.unwrap();
    assert!(resumed.enabled && resumed.next_run_at.is_some());
    assert_eq!(resumed.paused_reason, None);
    assert_eq!(resume(app, caller, &id).await.unwrap(), resumed);
    assert_eq!(catalog.host_row().await.desired_revision, 3);
    assert!(desired(&catalog, catalog.host, None).await.upserts[0].plan_after >= before);
}

#[tokio::test]
async fn resuming_after_failures_clears_them() {
    let catalog = Catalog::new().await;
    let id = catalog.automation("a").await;
    let status = hostler_proto::automation::AutomationStatus {
        id,
        revision: 1,
        next_run_at: None,
        stopped: Some(StopReason::Failures { count: 5 }),
    };
    catalog.tell(&[Event::AutomationChanged(status)]).await;
    let resumed = resume(&catalog.app, &catalog.caller, &id.to_string())
        .await
        .unwrap();
    assert!(resumed.enabled && resumed.next_run_at.is_some());
    assert_eq!((resumed.paused_reason, resumed.stopped), (None, None));
}

#[tokio::test]
async fn a_deleted_one_leaves_its_host_and_keeps_its_runs() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let automation = catalog.automation("a").await;
    let id = automation.to_string();
    catalog
        .tell(&[Event::RunChanged(Box::new(run(1, automation, finished(0))))])
        .await;
    let waiting = automations::run(app, caller, &id).await.unwrap();
    assert_eq!(catalog.open_commands().await.len(), 1);
    assert_eq!(delete(app, caller, &id).await.unwrap(), automation);
    assert_eq!(
        catalog.open_commands().await,
        [],
        "the run asked for never takes place"
    );
    let again = delete(app, caller, &id).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::NotFound);
    assert_eq!(
        list(app, caller, ListAutomations::default())
            .await
            .unwrap()
            .total,
        0
    );
    let sync = desired(&catalog, catalog.host, Some(1)).await;
    assert_eq!((sync.upserts.len(), sync.tombstones), (0, vec![automation]));
    let runs = crate::runs::list(app, caller, &id, 10).await.unwrap();
    let words: Vec<_> = runs.iter().map(|run| run.run.state.word()).collect();
    assert_eq!(words, ["skipped", "succeeded"]);
    assert_eq!(runs[0].run.id, waiting.run_id);
}

#[tokio::test]
async fn a_moved_one_starts_elsewhere_only_when_its_old_host_let_go() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let id = catalog.automation("a").await;
    let other = add_host(app, caller, "Build").await;
    let stated = Stated {
        applied_revision: 1,
        ..Stated::default()
    };
    ingest::hello(app, catalog.host, &stated).await.unwrap();
    let change = |host: &str| UpdateAutomation {
        host: Some(host.into()),
        ..UpdateAutomation::default()
    };
    let moved = update(app, caller, &id.to_string(), change("build"))
        .await
        .unwrap();
    assert_eq!(moved.automation.host_id, other);
    assert_eq!(
        desired(&catalog, catalog.host, Some(1)).await.tombstones,
        [id]
    );
    assert_eq!(desired(&catalog, other, None).await.upserts, []);
    let early = automations::run(app, caller, &id.to_string())
        .await
        .unwrap_err();
    assert_eq!(early.code, ErrorCode::PreconditionFailed);

    ingest::sync_applied(app, catalog.host, 2).await.unwrap();
    let sync = desired(&catalog, other, None).await;
    assert_eq!(
        sync.upserts.iter().map(|spec| spec.id).collect::<Vec<_>>(),
        [id]
    );

    let back = update(app, caller, &id.to_string(), change("macbook"))
        .await
        .unwrap();
    assert_eq!(back.automation.host_id, catalog.host);
    assert_eq!(
        desired(&catalog, catalog.host, Some(2)).await.tombstones,
        []
    );
}

#[tokio::test]
async fn an_old_host_that_stays_away_lets_go_when_its_lease_has_run_out() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let id = catalog.automation("a").await;
    let other = add_host(app, caller, "Build").await;
    ingest::hello(app, catalog.host, &Stated::default())
        .await
        .unwrap();
    let change = UpdateAutomation {
        host: Some("Build".into()),
        ..UpdateAutomation::default()
    };
    update(app, caller, &id.to_string(), change).await.unwrap();
    let seen = clock::wall();
    reconcile::round(app, seen.plus_ms(9 * 60_000))
        .await
        .unwrap();
    assert_eq!(desired(&catalog, other, None).await.upserts, []);
    reconcile::round(app, seen.plus_ms(11 * 60_000))
        .await
        .unwrap();
    assert_eq!(desired(&catalog, other, None).await.upserts.len(), 1);
}

#[tokio::test]
async fn a_run_asked_of_an_absent_host_waits_and_is_settled_by_its_answer_or_its_events() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let automation = catalog.automation("a").await;
    let id = automation.to_string();
    let asked = automations::run(app, caller, &id).await.unwrap();
    assert_eq!((asked.state, asked.host_online), ("queued", false));
    let view = get(app, caller, &id).await.unwrap().automation;
    assert_eq!(view.last_run.unwrap().state, "queued");
    let open = catalog.open_commands().await;
    let Command::RunStart(start) = &open[0].command else {
        panic!("{open:?}");
    };
    assert_eq!(start.run_id, asked.run_id);

    let away = Err(Failure::new(ErrorCode::HostOffline, "away"));
    reconcile::settle(app, &open[0], &away, START)
        .await
        .unwrap();
    assert_eq!(
        catalog.open_commands().await,
        open,
        "a lost link is not an answer"
    );
    let yes = Ok(Reply::RunStarted {
        run_id: asked.run_id,
    });
    reconcile::settle(app, &open[0], &yes, START).await.unwrap();
    reconcile::settle(app, &open[0], &yes, START).await.unwrap();
    assert_eq!(catalog.open_commands().await, []);

    automations::run(app, caller, &id).await.unwrap();
    let open = catalog.open_commands().await;
    let mut told = run(1, automation, RunState::Preparing { since: START });
    told.id = RunId(open[0].subject);
    catalog.tell(&[Event::RunChanged(Box::new(told))]).await;
    assert_eq!(catalog.open_commands().await, []);
}

#[tokio::test]
async fn a_run_its_host_refuses_is_shown_as_failed_with_the_reason() {
    let catalog = Catalog::new().await;
    let (app, caller) = (&catalog.app, &catalog.caller);
    let id = catalog.automation("a").await.to_string();
    automations::run(app, caller, &id).await.unwrap();
    let open = catalog.open_commands().await;
    let no = Err(Failure::new(ErrorCode::HostError, "the disk is full"));
    reconcile::settle(app, &open[0], &no, clock::wall())
        .await
        .unwrap();
    let runs = crate::runs::list(app, caller, &id, 1).await.unwrap();
    let RunState::Finished(end) = &runs[0].run.state else {
        panic!("{runs:?}");
    };
    assert_eq!(end.reason.as_deref(), Some("the disk is full"));
    assert_eq!(catalog.open_commands().await, []);
}

#[tokio::test]
async fn to_everybody_else_it_does_not_exist() {
    let catalog = Catalog::new().await;
    let (app, id) = (&catalog.app, catalog.automation("a").await.to_string());
    let stranger = add_org(app, 2).await;
    let colleague = Caller {
        user_id: stranger.user_id,
        ..catalog.caller.clone()
    };
    for caller in [&stranger, &colleague] {
        let failures = [
            get(app, caller, &id).await.unwrap_err(),
            get_prompt(app, caller, &id).await.unwrap_err(),
            update(app, caller, &id, UpdateAutomation::default())
                .await
                .unwrap_err(),
            set_prompt(app, caller, &id, "x", None).await.unwrap_err(),
            pause(app, caller, &id).await.unwrap_err(),
            resume(app, caller, &id).await.unwrap_err(),
            automations::run(app, caller, &id).await.unwrap_err(),
            delete(app, caller, &id).await.unwrap_err(),
            crate::runs::list(app, caller, &id, 5).await.unwrap_err(),
        ];
        for failure in failures {
            assert_eq!(failure.code, ErrorCode::NotFound, "{failure}");
        }
        let page = list(app, caller, ListAutomations::default()).await.unwrap();
        assert_eq!((page.total, page.automations.len()), (0, 0));
    }
    assert!(
        get(app, &catalog.caller, &id)
            .await
            .unwrap()
            .automation
            .enabled
    );
}

#[tokio::test]
async fn pages_of_a_list_join() {
    let catalog = Catalog::new().await;
    for number in 0..5 {
        catalog.automation(&format!("a{number}")).await;
    }
    let page = async |offset| {
        let input = ListAutomations {
            limit: 2,
            offset,
            ..ListAutomations::default()
        };
        let page = list(&catalog.app, &catalog.caller, input).await.unwrap();
        let names: Vec<_> = page.automations.into_iter().map(|one| one.name).collect();
        (names.join(" "), page.total, page.has_more)
    };
    assert_eq!(page(0).await, ("a4 a3".into(), 5, true));
    assert_eq!(page(4).await, ("a0".into(), 5, false));
    assert_eq!(page(9).await, (String::new(), 5, false));
}
