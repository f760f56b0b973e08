//! Automations: what to run and when. The catalog owns them; the host they are for keeps a copy
//! and fires from it.
//!
//! Every change moves the host's desired-state revision in the same transaction, so a host that
//! was away learns of it. An automation is its owner's alone: to others it does not exist. What is
//! valid is decided in `check`; where it runs in `target`.

mod changes;
mod check;
mod leaving;
mod preview;
mod prompts;
mod record;
mod target;
mod view;

use hostler_proto::command::{Command, RunStart};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{AutomationId, CommandId, RunId};
use hostler_proto::run::{Run, RunState, SkipReason, Trigger};
use hostler_proto::time::UtcMillis;
use serde_json::{Value, json};

use crate::audit::{self, Thing};
use crate::auth::Caller;
use crate::store::automations::{AutomationRow, Filter, PromptRow};
use crate::store::commands::OpenCommand;
use crate::store::{self, StoreError, Tx};
use crate::{App, clock, hosts_catalog, names, reconcile};

pub(crate) use changes::{record_status, record_taken_over};
pub(crate) use check::stored as text_of;
pub(crate) use leaving::leave_behind;
pub use preview::{Field, Instant, Preview, faults, preview};
pub use prompts::{get_prompt, get_prompt_version, prompt_versions, set_prompt};
pub use record::{
    AutomationPage, AutomationView, CreateAutomation, LastRun, ListAutomations, NewPrompt, NextRun,
    Planned, PolicyChanges, PromptView, RunAsked, UpdateAutomation,
};
pub(crate) use view::pause_reason;

/// The caller's own automations, newest first.
pub async fn list(
    app: &App,
    caller: &Caller,
    input: ListAutomations,
) -> Result<AutomationPage, Failure> {
    let filter = Filter {
        name: input.name,
        enabled: input.enabled,
        host: input.host,
        deleted: input.deleted,
        limit: input.limit.clamp(1, 500),
        offset: input.offset,
    };
    let (org, owner) = (caller.org_id, caller.user_id);
    let (rows, total) = store::automations::list(&app.store, org, owner, &filter).await?;
    let ids: Vec<AutomationId> = rows.iter().map(|row| row.id).collect();
    let marks = store::runs::marks(&app.store, &ids, 1).await?;
    let now = clock::wall();
    let shown = rows.len() as u64;
    let views = rows.into_iter().map(|row| {
        let last = marks.iter().find(|mark| mark.automation_id == row.id);
        view::automation(app, row, last.map(|mark| &mark.run), now)
    });
    Ok(AutomationPage {
        automations: views.collect(),
        total,
        has_more: u64::from(input.offset) + shown < total,
    })
}

/// The newest runs (at most `each`) of each of some automations of the caller's, newest first.
pub async fn last_runs(
    app: &App,
    automations: &[AutomationView],
    each: u32,
) -> Result<Vec<Vec<Run>>, Failure> {
    let ids: Vec<AutomationId> = automations.iter().map(|one| one.id).collect();
    let mut runs = vec![Vec::new(); ids.len()];
    for mark in store::runs::marks(&app.store, &ids, each).await? {
        let at = ids.iter().position(|id| *id == mark.automation_id);
        if let Some(list) = at.and_then(|at| runs.get_mut(at)) {
            list.push(mark.run);
        }
    }
    Ok(runs)
}

/// One automation with what comes next.
pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<Planned, Failure> {
    let row = find(app, caller, id).await?;
    planned(app, row).await
}

/// What was done to an automation after a revision, in words, newest first.
pub async fn changes_since(
    app: &App,
    caller: &Caller,
    id: &str,
    revision: u64,
) -> Result<Vec<String>, Failure> {
    const MOST: u32 = 20;
    let row = find(app, caller, id).await?;
    let all = store::changes::newest(&app.store, row.id, MOST).await?;
    let later = all.into_iter().filter(|one| one.revision > revision);
    Ok(later.map(|one| one.what).collect())
}

/// One automation, also a deleted one.
pub async fn get_with_deleted(app: &App, caller: &Caller, id: &str) -> Result<Planned, Failure> {
    let row = find_with_deleted(app, caller, id).await?;
    planned(app, row).await
}

/// What comes next, with what clock changes have to do with it; none while it does not fire.
pub async fn coming(app: &App, caller: &Caller, id: &str) -> Result<Option<Preview>, Failure> {
    let row = find(app, caller, id).await?;
    Ok(view::coming(&row, clock::wall()))
}

/// Makes an automation.
pub async fn create(
    app: &App,
    caller: &Caller,
    input: CreateAutomation,
) -> Result<Planned, Failure> {
    let now = clock::wall();
    let name = check::name(&input.name)?;
    check::prompt(&input.prompt)?;
    let plan = check::schedule(&check::Written::of_new(&input), now)?;
    let host = hosts_catalog::resolve_or_only(app, caller, input.host.as_deref()).await?;
    check::agent(&input.agent, &host)?;
    let policies = check::policies(&check::defaults(&host), &input.policies, &host)?;
    let asked = target::Asked {
        project: input.project.as_deref(),
        workspace: input.workspace.as_deref(),
        base_branch: input.base_branch.as_deref(),
    };
    let target = target::resolve(app, caller, &host, asked).await?;
    let mut row = AutomationRow {
        id: AutomationId::fresh(now, &clock::id_entropy()),
        org_id: caller.org_id,
        owner_id: caller.user_id,
        host_id: host.id,
        host_name: host.name,
        host_seen: true,
        name,
        agent: input.agent,
        enabled: true,
        paused_reason: None,
        target,
        schedule: plan.spec,
        schedule_text: plan.text,
        policies,
        plan_after: now,
        revision: 1,
        host_revision: 0,
        prompt_version: 1,
        moving: None,
        status: None,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    let prompt = PromptRow {
        version: 1,
        prompt: input.prompt,
        created_at: now,
    };
    let mut tx = app.store.begin().await?;
    row.host_revision = store::hosts::next_revision(&mut tx, row.host_id).await?;
    store::automations::put(&mut tx, &row).await?;
    store::automations::insert_prompt(&mut tx, row.id, &prompt).await?;
    changes::record_new(&mut tx, &row).await?;
    let detail = json!({"host": row.host_name, "agent": row.agent, "schedule": row.schedule_text});
    noted(&mut tx, caller, "automation.create", &row, detail, now).await?;
    app.store.commit(tx).await?;
    app.hosts.sync_soon(row.host_id);
    planned(app, row).await
}

/// Changes an automation.
pub async fn update(
    app: &App,
    caller: &Caller,
    id: &str,
    input: UpdateAutomation,
) -> Result<Planned, Failure> {
    let now = clock::wall();
    if let Some(new) = &input.prompt {
        check::prompt(&new.text)?;
    }
    let mut before = find(app, caller, id).await?;
    let mut after = changed(app, caller, before.clone(), &input, now).await?;
    let mut tx = app.store.begin().await?;
    let current = find_in(&mut tx, caller, id).await?;
    if let Some(wanted) = input
        .if_revision
        .filter(|wanted| *wanted != current.revision)
    {
        return Err(changed_meanwhile(&current, wanted));
    }
    if current.revision != before.revision {
        // Somebody was quicker. This change is made to theirs, with nobody in between any more:
        // what it looks up is read beside the transaction that holds the right to write.
        after = changed(app, caller, current.clone(), &input, now).await?;
        before = current;
    }
    if let Some(new) = &input.prompt {
        prompts::replace(&mut tx, &mut after, &new.text, new.if_version, now).await?;
    }
    let row = write_change(&mut tx, &before, after, now).await?;
    let detail = json!({"changed": changes::in_words(&before, &row)});
    noted(&mut tx, caller, "automation.update", &row, detail, now).await?;
    app.store.commit(tx).await?;
    app.hosts.sync_soon(row.host_id);
    if row.host_id != before.host_id {
        app.hosts.sync_soon(before.host_id);
        reconcile::release_moved(app, before.host_id, now).await?;
    }
    get(app, caller, id).await
}

/// Stops it from firing; a run going on goes on. Pausing twice changes nothing.
pub async fn pause(app: &App, caller: &Caller, id: &str) -> Result<AutomationView, Failure> {
    toggle(app, caller, id, false).await
}

/// Lets it fire again, from now. Resuming twice changes nothing.
pub async fn resume(app: &App, caller: &Caller, id: &str) -> Result<AutomationView, Failure> {
    toggle(app, caller, id, true).await
}

/// Deletes it; its runs stay readable.
pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<AutomationId, Failure> {
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let before = find_in(&mut tx, caller, id).await?;
    let mut row = before.clone();
    row.deleted_at = Some(now);
    row.enabled = false;
    row.revision += 1;
    row.host_revision = store::hosts::next_revision(&mut tx, row.host_id).await?;
    store::automations::bury(&mut tx, row.host_id, row.id, row.host_revision).await?;
    store::automations::put(&mut tx, &row).await?;
    changes::record(&mut tx, &before, &row, now).await?;
    drop_undelivered_runs(&mut tx, &row, now).await?;
    noted(&mut tx, caller, "automation.delete", &row, Value::Null, now).await?;
    app.store.commit(tx).await?;
    app.hosts.sync_soon(row.host_id);
    Ok(row.id)
}

/// Asks for a run now and returns at once.
pub async fn run(app: &App, caller: &Caller, id: &str) -> Result<RunAsked, Failure> {
    let now = clock::wall();
    let known = find(app, caller, id).await?;
    may_run(app, caller, &known).await?;
    let mut tx = app.store.begin().await?;
    let row = find_in(&mut tx, caller, id).await?;
    if row.moving.is_some() {
        return Err(Failure::new(
            ErrorCode::PreconditionFailed,
            format!(
                "automation {} is still moving to host {}",
                row.id, row.host_name
            ),
        )
        .hint("its old host has to let go of it first; try again in some minutes"));
    }
    let run = manual_run(&row, now);
    let open = OpenCommand {
        id: CommandId::fresh(now, &clock::id_entropy()),
        org_id: row.org_id,
        host_id: row.host_id,
        subject: run.id.0,
        command: Command::RunStart(RunStart {
            run_id: run.id,
            automation_id: row.id,
            requested_at: now,
            by: Some(caller.actor()),
        }),
        created_at: now,
    };
    store::runs::put(&mut tx, row.org_id, row.host_id, &run, now).await?;
    store::commands::insert(&mut tx, &open).await?;
    let detail = json!({"runId": run.id});
    noted(&mut tx, caller, "automation.run", &row, detail, now).await?;
    app.store.commit(tx).await?;
    let host_online = app.hosts.online(row.host_id).is_some();
    let (sender, host) = (app.clone(), row.host_id);
    app.in_background(async move { reconcile::host_is_back(&sender, host).await });
    Ok(RunAsked {
        automation_id: row.id,
        run_id: run.id,
        state: run.state.word(),
        host_online,
        host_name: row.host_name,
    })
}

/// The row of the caller's own automation, also of a deleted one.
pub(crate) async fn find_with_deleted(
    app: &App,
    caller: &Caller,
    id: &str,
) -> Result<AutomationRow, Failure> {
    let (org, owner) = (caller.org_id, caller.user_id);
    let row = store::automations::by_id(&app.store, org, owner, parsed(id)?).await?;
    row.ok_or_else(|| missing(id))
}

async fn find(app: &App, caller: &Caller, id: &str) -> Result<AutomationRow, Failure> {
    existing(find_with_deleted(app, caller, id).await?, id)
}

async fn find_in(tx: &mut Tx, caller: &Caller, id: &str) -> Result<AutomationRow, Failure> {
    let (org, owner) = (caller.org_id, caller.user_id);
    let row = store::automations::by_id_in(tx, org, owner, parsed(id)?).await?;
    existing(row.ok_or_else(|| missing(id))?, id)
}

fn existing(row: AutomationRow, id: &str) -> Result<AutomationRow, Failure> {
    if row.deleted_at.is_none() {
        return Ok(row);
    }
    Err(
        Failure::new(ErrorCode::NotFound, format!("automation {id} was deleted"))
            .hint("its runs are still readable with automations_logs"),
    )
}

fn parsed(id: &str) -> Result<AutomationId, Failure> {
    id.trim().parse().ok().ok_or_else(|| missing(id))
}

fn changed_meanwhile(row: &AutomationRow, wanted: u64) -> Failure {
    let message = format!(
        "automation {} was changed meanwhile: it is at revision {}, not {wanted}",
        row.id, row.revision
    );
    Failure::new(ErrorCode::Conflict, message).hint("look at what it is now, then change that")
}

fn missing(id: &str) -> Failure {
    names::missing("automation of yours", "automations_list", id)
}

async fn planned(app: &App, row: AutomationRow) -> Result<Planned, Failure> {
    let now = clock::wall();
    let last = store::runs::newest(&app.store, row.org_id, row.id, 1).await?;
    let next_runs = view::next_runs(&row, now);
    let warnings = view::warnings(&row, now);
    let schedule_text = row.schedule_text.clone();
    let last = last.first().map(|last| &last.run);
    Ok(Planned {
        automation: view::automation(app, row, last, now),
        next_runs,
        schedule_text,
        warnings,
    })
}

/// The row with the changes asked for, checked, but not written.
async fn changed(
    app: &App,
    caller: &Caller,
    mut row: AutomationRow,
    input: &UpdateAutomation,
    now: UtcMillis,
) -> Result<AutomationRow, Failure> {
    let host = if let Some(reference) = &input.host {
        hosts_catalog::resolve_to_work(app, caller, reference).await?
    } else {
        let mut host = hosts_catalog::by_id(app, row.host_id).await?;
        host.name.clone_from(&row.host_name);
        host
    };
    if let Some(name) = &input.name {
        row.name = check::name(name)?;
    }
    let moved = host.id != row.host_id;
    if let Some(agent) = &input.agent {
        row.agent.clone_from(agent);
    }
    if moved || input.agent.is_some() {
        check::agent(&row.agent, &host)?;
    }
    row.policies = check::policies(&row.policies, &input.policies, &host)?;
    if moved || target::touched(input) {
        let kept = target::kept(&row.target);
        let asked = target::merge(&kept, input);
        row.target = target::resolve(app, caller, &host, asked).await?;
    }
    if moved && row.moving.is_none() {
        row.plan_after = view::open_since(&row, now);
    }
    if let Some(written) = check::Written::of_change(&row.schedule, input) {
        let plan = check::schedule(&written, now)?;
        row.schedule = plan.spec;
        row.schedule_text = plan.text;
        row.plan_after = now;
    }
    row.host_id = host.id;
    row.host_name = host.name;
    Ok(row)
}

/// Writes a changed row with its new revisions; a changed host is told to let go first.
async fn write_change(
    tx: &mut Tx,
    before: &AutomationRow,
    mut after: AutomationRow,
    now: UtcMillis,
) -> Result<AutomationRow, StoreError> {
    let (id, old, new) = (before.id, before.host_id, after.host_id);
    after.revision = before.revision + 1;
    after.updated_at = now;
    if old != new {
        let told = store::hosts::next_revision(tx, old).await?;
        store::automations::bury(tx, old, id, told).await?;
        store::automations::unbury(tx, new, id).await?;
        after.moving = match before.moving {
            Some((holder, _)) if holder == new => None,
            Some(held) => Some(held),
            None => Some((old, told)),
        };
    }
    after.host_revision = store::hosts::next_revision(tx, new).await?;
    store::automations::put(tx, &after).await?;
    changes::record(tx, before, &after, now).await?;
    Ok(after)
}

async fn toggle(
    app: &App,
    caller: &Caller,
    id: &str,
    enabled: bool,
) -> Result<AutomationView, Failure> {
    let now = clock::wall();
    if enabled {
        let known = find(app, caller, id).await?;
        may_run(app, caller, &known).await?;
    }
    let mut tx = app.store.begin().await?;
    let before = find_in(&mut tx, caller, id).await?;
    if before.enabled == enabled {
        drop(tx);
        return Ok(get(app, caller, id).await?.automation);
    }
    let mut after = before.clone();
    after.enabled = enabled;
    after.paused_reason = (!enabled).then(|| "paused by its owner".to_owned());
    if enabled {
        after.plan_after = now;
    }
    let row = write_change(&mut tx, &before, after, now).await?;
    let action = if enabled {
        "automation.resume"
    } else {
        "automation.pause"
    };
    noted(&mut tx, caller, action, &row, Value::Null, now).await?;
    app.store.commit(tx).await?;
    app.hosts.sync_soon(row.host_id);
    Ok(get(app, caller, id).await?.automation)
}

/// Notes in the audit log what was done to an automation.
async fn noted(
    tx: &mut Tx,
    caller: &Caller,
    action: &str,
    row: &AutomationRow,
    detail: Value,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let id = row.id.to_string();
    let thing = Thing {
        kind: "automation",
        id: &id,
        name: &row.name,
    };
    let detail = Some(detail).filter(|detail| !detail.is_null());
    audit::record(tx, caller, action, thing, detail, now).await
}

/// Refuses what would run on a host that is gone, or not its owner's to use any more.
async fn may_run(app: &App, caller: &Caller, row: &AutomationRow) -> Result<(), Failure> {
    let what = format!("automation {}", row.name);
    let host = hosts_catalog::to_work_on(app, caller, row.host_id, &what).await?;
    check::allowed_agent(&row.agent, &host)
}

/// Pauses an automation because of what became of its host or its owner. False when it was paused.
pub(crate) async fn pause_for(
    tx: &mut Tx,
    before: &AutomationRow,
    why: &str,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    if !before.enabled {
        return Ok(false);
    }
    let mut after = before.clone();
    after.enabled = false;
    after.paused_reason = Some(why.to_owned());
    write_change(tx, before, after, now).await?;
    Ok(true)
}

fn manual_run(row: &AutomationRow, now: UtcMillis) -> Run {
    Run {
        id: RunId::fresh(now, &clock::id_entropy()),
        automation_id: row.id,
        attempt: 1,
        trigger: Trigger::Manual,
        scheduled_for: now,
        rule_revision: row.revision,
        prompt_version: row.prompt_version,
        agent: row.agent.clone(),
        queued_at: now,
        workspace_id: None,
        branch: None,
        preparing_at: None,
        state: RunState::Queued,
    }
}

/// Runs asked for that the host was never told of will not take place.
async fn drop_undelivered_runs(
    tx: &mut Tx,
    row: &AutomationRow,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let waiting = store::runs::going_on(tx, row.host_id).await?;
    for (mut run, _) in waiting
        .into_iter()
        .filter(|(run, _)| run.automation_id == row.id)
    {
        if !store::commands::remove_start(tx, row.host_id, run.id).await? {
            continue;
        }
        run.state = RunState::Skipped {
            reason: SkipReason::Deleted,
            at: now,
            count: 1,
            until: None,
            why: None,
        };
        store::runs::put(tx, row.org_id, row.host_id, &run, now).await?;
    }
    Ok(())
}
