//! What must hold: after every step, and once the world has come to rest.

use std::collections::BTreeMap;

use hostler_proto::automation::AutomationSpec;
use hostler_proto::event::Event;
use hostler_proto::ids::{AutomationId, RunId};
use hostler_proto::run::{Run, RunState, Trigger};
use hostler_proto::schedule::{Schedule, ScheduleText};
use hostler_proto::time::UtcMillis;

use crate::catalog::{Catalog, forgotten, last_instant};
use crate::control::Control;
use crate::disk::{Occurrence, Stage};
use crate::machine::Host;
use crate::processes::log_bytes;
use crate::witness::Start;
use crate::world::World;

/// An instant this young may still be on its way.
const YOUNG_MS: i64 = 3 * 60_000;

/// Holds at every moment: nothing was started twice, and what a host was told is stored, is.
pub(crate) fn after_step(world: &mut World) -> Result<(), String> {
    for (first, again) in std::mem::take(&mut world.witness.doubles) {
        if !may_double(world, first.automation) || first.host == again.host {
            return Err(format!("started twice: {first:?} and {again:?}"));
        }
    }
    for host in &world.hosts {
        if let Some(wrong) = host.disk.wrong.first() {
            return Err(format!("host {}: {wrong}", host.index));
        }
        let stored = world.control.catalog.hosts[host.index].event_seq;
        if host.disk.acked_up_to > stored {
            return Err(format!(
                "host {} dropped events up to {} as acknowledged, and only {stored} are stored",
                host.index, host.disk.acked_up_to
            ));
        }
        if let Some(why) = host
            .daemon
            .as_ref()
            .and_then(|daemon| daemon.stopped.as_ref())
        {
            return Err(format!("host {} gave up its link: {why}", host.index));
        }
    }
    Ok(())
}

/// Two hosts may both run an instant only when a lease gave the automation away while its old host
/// could not be told, when a host's clock was wrong, or when a host was given back a database in
/// which the automation is still its own.
fn may_double(world: &World, id: AutomationId) -> bool {
    let restored = world.hosts.iter().any(|host| host.restored);
    restored || world.clocks_were_set || world.control.leased.contains(&id)
}

/// What is still going on, if anything is.
pub(crate) fn unrest(world: &World) -> Option<String> {
    let catalog = &world.control.catalog;
    for host in &world.hosts {
        let (disk, at) = (&host.disk, host.index);
        let link = host.daemon.as_ref().and_then(|daemon| daemon.link.as_ref());
        if !link.is_some_and(|link| link.session.is_live()) || !world.control.online(at) {
            let daemon = host.daemon.as_ref();
            let due = daemon.map(|daemon| (daemon.connect_at, daemon.last_end.clone()));
            let live = link.map(|link| (link.conn(), link.session.is_live(), link.timeout()));
            let clock = host.clock.awake_ms;
            return Some(format!(
                "host {at} has no link: {live:?} {due:?} at {clock}, {}",
                world.control.state()
            ));
        }
        if let Some(run) = disk.unfinished().first() {
            return Some(format!("run goes on: {run:?}"));
        }
        let stale = |row: &&crate::disk::AutomationRow| {
            row.deleted || row.spec.revision != row.plan.planned_revision
        };
        if let Some(row) = disk.automations.values().find(stale) {
            return Some(format!("host {at} has not planned {:?}", row.spec));
        }
        if let Some(((_, when), row)) = disk.occurrences.iter().find(|(_, row)| pending(row)) {
            return Some(format!("occurrence {when} is {row:?}"));
        }
        if !disk.outbox.is_empty() {
            return Some(format!("host {at} has {} events", disk.outbox.len()));
        }
        let undelivered = disk.runs.values().find(|row| !row.log_delivered);
        if let Some(row) = undelivered {
            return Some(format!("host {at} still states {row:?}"));
        }
        let (desired, applied) = (catalog.hosts[at].desired, catalog.hosts[at].applied);
        if desired != applied || disk.revision != desired {
            return Some(format!("host {at} is at {applied} of {desired}"));
        }
    }
    if let Some(open) = catalog.cancels.values().next() {
        return Some(format!("not answered: {open:?}"));
    }
    if let Some(open) = catalog.open.values().next() {
        return Some(format!("not answered: {open:?}"));
    }
    let moving = catalog.automations.values();
    moving
        .filter(|entry| !entry.deleted)
        .find(|entry| entry.moving.is_some())
        .map(|entry| format!("moving: {entry:?}"))
}

fn pending(row: &Occurrence) -> bool {
    match row.stage {
        Stage::Waiting | Stage::Open | Stage::Retrying(_) => true,
        Stage::Done | Stage::Skipped(_) => false,
    }
}

/// Holds once the world has come to rest.
pub(crate) fn at_rest(world: &World) -> Result<(), String> {
    let catalog = &world.control.catalog;
    for host in &world.hosts {
        same_runs(host, world)?;
        same_logs(host, world)?;
        same_plans(host, catalog)?;
    }
    let mut revived = world.control.catalog.revived.iter();
    let restored = |run| world.hosts[catalog.runs[run].0].restored;
    if let Some(run) = revived.find(|run| !restored(*run)) {
        return Err(format!("run {run} was over and goes on"));
    }
    nothing_invented(world)?;
    nothing_refused(world)?;
    limits_hold(world)?;
    every_start_was_wanted(world)?;
    if !world.clocks_were_set {
        every_instant_is_accounted_for(world)?;
    }
    Ok(())
}

/// The catalog's record of each run and of each skipped occurrence is the host's.
fn same_runs(host: &Host, world: &World) -> Result<(), String> {
    let (at, catalog) = (host.index, &world.control.catalog);
    let refused = refused_runs(catalog);
    for (id, entry) in &host.disk.runs {
        match catalog.runs.get(id) {
            Some((of, run)) if *of == at && *run == entry.row.run => {}
            Some((of, run)) if *of != at && may_double(world, run.automation_id) => {}
            // What is known to have run stays so, whatever a restored host makes of it.
            Some((_, run)) if host.restored && kept(run) && forgotten(&entry.row.run) => {}
            other => {
                return Err(format!(
                    "host {at} has {:?}, the catalog has {other:?}",
                    entry.row.run
                ));
            }
        }
    }
    for ((id, when), row) in &host.disk.occurrences {
        let Stage::Skipped(reason) = row.stage else {
            continue;
        };
        let told = catalog.runs.get(&row.run_id);
        let same = told.is_some_and(|(of, run)| {
            let told =
                matches!(run.state, RunState::Skipped { reason: told, .. } if told == reason);
            told || (*of != at && may_double(world, *id)) || (host.restored && kept(run))
        });
        if !same && !refused.contains(&row.run_id) {
            return Err(format!(
                "host {at}: {when} is {row:?}, the catalog has {told:?}"
            ));
        }
    }
    Ok(())
}

/// Whether the catalog keeps a record against what a host has forgotten.
fn kept(run: &Run) -> bool {
    run.state.is_final() && !forgotten(run)
}

fn refused_runs(catalog: &Catalog) -> Vec<RunId> {
    let run = |(_, _, event): &(usize, u64, Event)| match event {
        Event::RunChanged(run) => Some(run.id),
        Event::AutomationChanged(_)
        | Event::HostChanged(_)
        | Event::ProjectChanged(_)
        | Event::ProjectRemoved { .. }
        | Event::WorkspaceChanged(_)
        | Event::WorkspaceRemoved { .. } => None,
    };
    catalog.refused.iter().filter_map(run).collect()
}

fn same_logs(host: &Host, world: &World) -> Result<(), String> {
    let catalog = &world.control.catalog;
    for (id, entry) in &host.disk.runs {
        let id = *id;
        let of = catalog.runs.get(&id).map(|(of, _)| *of);
        let Some(log) = catalog.logs.get(&id).filter(|log| log.host == host.index) else {
            let double = may_double(world, entry.row.run.automation_id);
            if entry.row.launched_at.is_some() && of == Some(host.index) && !double {
                return Err(format!("the log of {id} never arrived"));
            }
            continue;
        };
        let written = host.processes.written(id);
        if host.restored && log.bytes.is_empty() {
            // Cancelled before its start came again to a host that had forgotten it.
            continue;
        }
        if !log.whole || log.bytes != log_bytes(id, 0, written) {
            return Err(format!(
                "the log of {id} has {written} bytes, the catalog {} ({})",
                log.bytes.len(),
                log.whole
            ));
        }
    }
    Ok(())
}

/// Spec and plan of each automation are the same on both ends.
fn same_plans(host: &Host, catalog: &Catalog) -> Result<(), String> {
    let wanted = catalog.automations.values();
    let wanted = wanted.filter(|entry| !entry.deleted && entry.host == host.index);
    let mut here: BTreeMap<_, _> = host.disk.automations.iter().collect();
    for entry in wanted {
        let Some(row) = here.remove(&entry.spec.id) else {
            return Err(format!("host {} lacks {:?}", host.index, entry.spec));
        };
        if row.spec.revision != entry.spec.revision || row.spec.schedule != entry.spec.schedule {
            return Err(format!("{:?} is not {:?}", row.spec, entry.spec));
        }
        let told = entry
            .status
            .as_ref()
            .map(|status| (status.revision, status.next_run_at, status.stopped.clone()));
        let plan = &row.plan;
        let is = (plan.planned_revision, plan.next_at, plan.stopped.clone());
        if told.as_ref() != Some(&is) {
            return Err(format!(
                "host {} plans {is:?}, the catalog was told {told:?}",
                host.index
            ));
        }
    }
    match here.keys().next() {
        Some(id) => Err(format!("host {} still has {id}", host.index)),
        None => Ok(()),
    }
}

/// The catalog believes nothing to go on that no host knows of.
fn nothing_invented(world: &World) -> Result<(), String> {
    for (id, (host, run)) in &world.control.catalog.runs {
        if !run.state.is_final() {
            return Err(format!(
                "the catalog believes {run:?} of host {host} to go on"
            ));
        }
        let started = world.witness.starts.iter().any(|start| start.run == *id);
        let skipped = matches!(run.state, RunState::Skipped { .. });
        if skipped && started && !may_double(world, run.automation_id) {
            return Err(format!(
                "{run:?} was started, and the catalog says it was not"
            ));
        }
    }
    Ok(())
}

fn nothing_refused(world: &World) -> Result<(), String> {
    for (host, seq, event) in &world.control.catalog.refused {
        let about = match event {
            Event::RunChanged(run) => Some(run.automation_id),
            Event::AutomationChanged(_)
            | Event::HostChanged(_)
            | Event::ProjectChanged(_)
            | Event::ProjectRemoved { .. }
            | Event::WorkspaceChanged(_)
            | Event::WorkspaceRemoved { .. } => None,
        };
        if !about.is_some_and(|id| may_double(world, id)) {
            return Err(format!("event {seq} of host {host} was refused: {event:?}"));
        }
    }
    Ok(())
}

/// Nothing was started more often than it may be, on however many hosts it was.
fn limits_hold(world: &World) -> Result<(), String> {
    for (id, eras) in &world.witness.eras {
        let limits = eras.iter().filter_map(|era| era.spec.as_ref());
        let most = limits.map(|spec| spec.policies.max_runs.unwrap_or(u32::MAX));
        let most = most.max().unwrap_or(u32::MAX);
        let by_plan =
            |start: &&Start| start.automation == *id && start.trigger == Trigger::Schedule;
        let starts = world.witness.starts.iter().filter(by_plan).count();
        if starts > usize::try_from(most).unwrap() && !may_double(world, *id) {
            return Err(format!(
                "{id} was started {starts} times, and {most} is its limit"
            ));
        }
    }
    Ok(())
}

/// Nothing was started for an instant that no schedule ever had.
fn every_start_was_wanted(world: &World) -> Result<(), String> {
    for start in &world.witness.starts {
        if start.trigger == Trigger::Manual {
            continue;
        }
        let eras = &world.witness.eras[&start.automation];
        let specs = eras.iter().filter_map(|era| era.spec.as_ref());
        let mut had = specs.filter(|spec| spec.plan_after < start.at);
        if !had.any(|spec| {
            compiled(spec)
                .first_at_or_after(start.at.to_timestamp())
                .map(UtcMillis::from)
                == Some(start.at)
        }) {
            return Err(format!("nobody wanted {start:?}"));
        }
    }
    Ok(())
}

/// Every instant that was due while its automation was enabled is a run, or recorded with a reason.
fn every_instant_is_accounted_for(world: &World) -> Result<(), String> {
    let end = Control::wall(world.t).plus_ms(-YOUNG_MS);
    for (id, eras) in &world.witness.eras {
        let limited = |spec: &AutomationSpec| spec.policies.max_runs.is_some();
        if eras.iter().filter_map(|era| era.spec.as_ref()).any(limited) {
            continue;
        }
        for (at, era) in eras.iter().enumerate() {
            let until = eras.get(at + 1).map_or(end, |next| next.from).min(end);
            let Some(spec) = era.spec.as_ref().filter(|spec| spec.enabled) else {
                continue;
            };
            let from = spec.plan_after.max(era.from).plus_ms(1);
            for instant in compiled(spec).instants_from(from.to_timestamp()) {
                let instant = UtcMillis::from(instant);
                if instant > until {
                    break;
                }
                let unheard = || unheard(world, (*id, at), spec, instant);
                if !accounted_for(world, *id, instant) && !unheard() {
                    return Err(format!("{id} has nothing for {instant}, of {spec:?}"));
                }
            }
        }
    }
    Ok(())
}

fn accounted_for(world: &World, id: AutomationId, instant: UtcMillis) -> bool {
    let at = instant.0.div_euclid(1000);
    world.hosts.iter().any(|host| {
        let rows = host.disk.occurrences.range((id, i64::MIN)..=(id, at));
        let covered = rows
            .rev()
            .any(|((_, first), row)| *first == at || row.until >= at);
        let plan = host.disk.automations.get(&id).map(|row| &row.plan);
        let stopped = plan.is_some_and(|plan| plan.stopped.is_some() && plan.cursor < instant);
        covered || stopped || (host.restored && is_told(world, id, instant))
    })
}

/// What a host has forgotten the catalog may still know.
fn is_told(world: &World, id: AutomationId, instant: UtcMillis) -> bool {
    let mut runs = world.control.catalog.scheduled_runs(id);
    runs.any(|run| run.scheduled_for <= instant && last_instant(run) >= instant)
}

/// Instants that nobody could account for, because no host could know of them in time:
/// * an edit applies after whatever its host had claimed by the time it heard of it;
/// * a rule that was replaced or paused and resumed before any host heard of it, or whose host had
///   let go of it before, was nobody's;
/// * nobody looks at what a deleted automation still had due while its host was away.
fn unheard(
    world: &World,
    (id, at): (AutomationId, usize),
    spec: &AutomationSpec,
    instant: UtcMillis,
) -> bool {
    let catalog = &world.control.catalog;
    let came_to = |host: &Host| {
        let mut heard = host
            .disk
            .planned
            .range((id, spec.revision)..=(id, u64::MAX));
        heard.next().map(|(_, cursor)| *cursor)
    };
    let mut runs = catalog.scheduled_runs(id);
    if world
        .hosts
        .iter()
        .any(|host| came_to(host) >= Some(instant))
        || runs.any(|run| run.rule_revision < spec.revision && last_instant(run) >= instant)
    {
        return true;
    }
    if catalog.automations[&id].deleted {
        return true;
    }
    let later = world.witness.eras[&id].iter().skip(at + 1);
    let mut later = later.filter_map(|era| era.spec.as_ref());
    let Some(later) = later.find(|later| later.plan_after >= instant) else {
        return false;
    };
    let heard = (id, spec.revision)..(id, later.revision);
    let heard = |host: &Host| host.disk.planned.range(heard.clone()).next().is_some();
    let moved = catalog.let_go.contains(&id);
    moved || !world.hosts.iter().any(heard)
}

pub(crate) fn compiled(spec: &AutomationSpec) -> Schedule {
    let schedule = &spec.schedule;
    Schedule::parse(&ScheduleText {
        rrule: schedule.rrule.clone(),
        dtstart: schedule.dtstart,
        timezone: schedule.timezone.clone(),
        exdates: vec![],
        rdates: vec![],
    })
    .unwrap()
}
