//! Telling the control plane what this host is: its facts when they change, and everything when the
//! control plane is another one than before, or has forgotten what it was told.
//!
//! Invariant: what was told is recorded in the transaction that puts it into the outbox. It does not
//! find facts out and does not send.

use hostler_proto::event::Event;
use hostler_proto::host::HostFacts;
use hostler_proto::time::UtcMillis;

use crate::Context;
use crate::store::{StoreError, Tx, automations, meta, outbox, runs};

/// The facts last told (JSON).
const FACTS_KEY: &str = "host_facts";
/// Whom this host reports to.
const SERVER_KEY: &str = "announced_to";

/// Whether facts were ever told.
pub(crate) async fn has_facts(context: &Context) -> Result<bool, StoreError> {
    Ok(context.store.meta(FACTS_KEY).await?.is_some())
}

/// Tells the host's facts, if they are not what was told last.
pub(crate) async fn facts(
    context: &Context,
    facts: HostFacts,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let json = serde_json::to_string(&facts).map_err(StoreError::corrupt("set of host facts"))?;
    let mut tx = context.store.begin().await?;
    if meta::get(&mut tx, FACTS_KEY).await?.as_ref() == Some(&json) {
        return Ok(());
    }
    meta::set(&mut tx, FACTS_KEY, &json).await?;
    outbox::append(&mut tx, &Event::HostChanged(facts), now).await?;
    context.store.commit(tx).await
}

/// Notes whom this host reports to. A control plane that took the place of another one hears
/// everything from the beginning, and nothing of what the other one wanted goes on.
pub(crate) async fn server(
    context: &Context,
    server: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let mut tx = context.store.begin().await?;
    let before = meta::get(&mut tx, SERVER_KEY).await?;
    if before.as_deref() == Some(server) {
        return Ok(());
    }
    meta::set(&mut tx, SERVER_KEY, server).await?;
    if before.is_some() {
        tracing::info!(server, "this host reports to another control plane now");
        start_over(context, &mut tx, now).await?;
    }
    context.store.commit(tx).await?;
    context.signals.scheduler.notify_one();
    Ok(())
}

/// The control plane says which events it has. When it had more before, its catalog was restored
/// from an older copy: it is told everything once more, with the runs and the logs still here.
pub(crate) async fn known_there(
    context: &Context,
    seq: u64,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let mut tx = context.store.begin().await?;
    let had = outbox::acked(&mut tx).await?;
    if had <= seq {
        return Ok(());
    }
    tracing::warn!(
        had,
        has = seq,
        "the control plane has forgotten what it was told: everything is told again"
    );
    outbox::set_acked(&mut tx, seq).await?;
    what_there_is(context, &mut tx, now).await?;
    runs::tell_again(&mut tx, now).await?;
    context.store.commit(tx).await
}

async fn start_over(context: &Context, tx: &mut Tx, now: UtcMillis) -> Result<(), StoreError> {
    outbox::clear(tx).await?;
    outbox::set_acked(tx, 0).await?;
    runs::forget_logs(tx).await?;
    automations::mark_all_deleted(tx).await?;
    meta::set(tx, crate::automations::REVISION_KEY, "0").await?;
    meta::set(tx, crate::automations::HASH_KEY, "").await?;
    what_there_is(context, tx, now).await
}

/// Facts, projects and workspaces.
async fn what_there_is(context: &Context, tx: &mut Tx, now: UtcMillis) -> Result<(), StoreError> {
    let mut events = Vec::new();
    if let Some(json) = meta::get(tx, FACTS_KEY).await? {
        let facts =
            serde_json::from_str(&json).map_err(StoreError::corrupt("set of host facts"))?;
        events.push(Event::HostChanged(facts));
    }
    let projects = context.store.projects().await?;
    events.extend(
        projects
            .into_iter()
            .map(|row| Event::ProjectChanged(row.project)),
    );
    let workspaces = context.store.workspaces().await?;
    events.extend(
        workspaces
            .into_iter()
            .map(|row| Event::WorkspaceChanged(row.workspace)),
    );
    for event in &events {
        outbox::append(tx, event, now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hostler_proto::automation::Autonomy;

    use super::*;

    fn some_facts(cpus: u32) -> HostFacts {
        HostFacts {
            os: "linux".into(),
            arch: "x86_64".into(),
            daemon_version: "0.1.0".into(),
            cpus,
            memory_bytes: 1,
            agents: vec![],
            max_autonomy: Autonomy::Edits,
            tzdb_version: None,
            policy: None,
        }
    }

    async fn told(context: &Context) -> Vec<Event> {
        let rows = context.store.outbox_after(0, 100).await.unwrap();
        rows.iter()
            .map(|(_, json)| serde_json::from_str(json).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn facts_are_told_when_they_change_and_again_to_another_control_plane() {
        let home = tempfile::tempdir().unwrap();
        let context = crate::open_home(home.path()).await.unwrap();
        for cpus in [2, 2, 4] {
            facts(&context, some_facts(cpus), UtcMillis(1))
                .await
                .unwrap();
        }
        server(&context, "a", UtcMillis(2)).await.unwrap();
        server(&context, "a", UtcMillis(3)).await.unwrap();
        let (two, four) = (
            Event::HostChanged(some_facts(2)),
            Event::HostChanged(some_facts(4)),
        );
        assert_eq!(told(&context).await, [two, four.clone()]);
        server(&context, "b", UtcMillis(4)).await.unwrap();
        assert_eq!(told(&context).await, [four]);
        assert_eq!(
            context.store.outbox_next().await.unwrap(),
            4,
            "numbers are never used again"
        );
    }

    #[tokio::test]
    async fn a_control_plane_that_has_forgotten_is_told_everything_again() {
        use hostler_proto::run::{Finished, Outcome, RunResult, RunState};

        let home = tempfile::tempdir().unwrap();
        let context = crate::open_home(home.path()).await.unwrap();
        let store = &context.store;
        let started = crate::runs::launch::tests::row("shell", "true");
        let mut ended = started.run.clone();
        ended.state = RunState::Finished(Box::new(Finished {
            result: RunResult::Succeeded,
            started_at: None,
            finished_at: UtcMillis(5),
            reason: None,
            exit_code: Some(0),
            signal: None,
            outcome: Outcome::default(),
            log_bytes: 3,
        }));
        let mut tx = store.begin().await.unwrap();
        runs::insert(&mut tx, &started.run, &started.automation)
            .await
            .unwrap();
        runs::update(&mut tx, &ended, UtcMillis(5)).await.unwrap();
        runs::complete_log(&mut tx, ended.id, 3, 7).await.unwrap();
        store.commit(tx).await.unwrap();
        facts(&context, some_facts(2), UtcMillis(1)).await.unwrap();
        let told_up_to = context.store.outbox_next().await.unwrap() - 1;
        store.outbox_acked(told_up_to).await.unwrap();
        store.log_delivered(ended.id).await.unwrap();

        // One that knows all, and one that is told of something later than this, has forgotten nothing.
        for known in [told_up_to, told_up_to + 7] {
            known_there(&context, known, UtcMillis(6)).await.unwrap();
            assert_eq!(told(&context).await, []);
        }
        // Less than it said it has: its catalog is an older one.
        known_there(&context, 1, UtcMillis(7)).await.unwrap();
        let again = [
            Event::HostChanged(some_facts(2)),
            Event::RunChanged(Box::new(ended)),
        ];
        assert_eq!(told(&context).await, again);
        assert_eq!(store.undelivered_logs().await.unwrap().len(), 1);
        // Once.
        known_there(&context, 1, UtcMillis(8)).await.unwrap();
        assert_eq!(told(&context).await.len(), 2);
    }
}
