//! What befalls the world, drawn from its seed: users' wishes, faults of the network, crashes, sleep
//! and clocks that are set. At the end everything is put right and has to come to rest.

use hostler_proto::automation::{
    AutomationSpec, CatchUp, Overlap, Policies, RunTarget, ScheduleSpec,
};
use hostler_proto::ids::{AutomationId, CommandId, RunId};
use hostler_proto::time::UtcMillis;

use crate::chance::Chance;
use crate::control::Control;
use crate::invariants;
use crate::machine::Power;
use crate::network::Way;
use crate::world::World;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
/// By then a world without faults has come to rest.
const REST_MINUTES: u64 = 45;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Cut,
    CutSilently,
    Unreachable,
    Reachable,
    Stall,
    Repeat,
    DaemonDies,
    DaemonKilled,
    PowerLost,
    ControlDies,
    Suspend,
    SetClock,
    WriteFails,
    Backup,
    Restore,
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    Edit,
    ChangePolicies,
    ChangePrompt,
    Pause,
    Resume,
    Retarget,
    Run,
    Cancel,
    Delete,
}

const FAULTS: [Fault; 17] = [
    Fault::Cut,
    Fault::Cut,
    Fault::CutSilently,
    Fault::Unreachable,
    Fault::Reachable,
    Fault::Stall,
    Fault::Repeat,
    Fault::DaemonDies,
    Fault::DaemonDies,
    Fault::DaemonKilled,
    Fault::PowerLost,
    Fault::ControlDies,
    Fault::Suspend,
    Fault::SetClock,
    Fault::WriteFails,
    Fault::Backup,
    Fault::Restore,
];

const WISHES: [Wish; 13] = [
    Wish::Edit,
    Wish::Edit,
    Wish::ChangePolicies,
    Wish::ChangePrompt,
    Wish::Pause,
    Wish::Resume,
    Wish::Resume,
    Wish::Retarget,
    Wish::Retarget,
    Wish::Run,
    Wish::Run,
    Wish::Cancel,
    Wish::Delete,
];

/// Plays one seed to its end. The error is the invariant that did not hold.
pub(crate) fn play(world: &mut World) -> Result<(), String> {
    let sets_clocks = world.chance.percent(40);
    for number in 0..world.chance.within(2, 4) {
        part(world, |world| {
            create(world, number);
            Ok(())
        })?;
    }
    for _ in 0..world.chance.within(8, 30) {
        part(world, |world| {
            let gap = gap(world);
            world.pass(gap)?;
            happen(world, sets_clocks);
            Ok(())
        })?;
    }
    rest(world)
}

/// One part of the script. Each draws from a chance of its own, so that leaving one out changes
/// nothing of what the others are.
fn part(
    world: &mut World,
    play: impl FnOnce(&mut World) -> Result<(), String>,
) -> Result<(), String> {
    let number = world.parts;
    world.parts += 1;
    let own = Chance::new(world.chance.next());
    if world.left_out.contains(&number) {
        return Ok(());
    }
    let script = std::mem::replace(&mut world.chance, own);
    let played = play(world);
    world.chance = script;
    played
}

fn happen(world: &mut World, sets_clocks: bool) {
    if world.chance.percent(60) {
        let fault = world.chance.pick(&FAULTS);
        if sets_clocks || !matches!(fault, Fault::SetClock) {
            befall(world, fault);
        }
    } else {
        let wish = world.chance.pick(&WISHES);
        fulfil(world, wish);
    }
}

fn gap(world: &mut World) -> u64 {
    match world.chance.within(0, 99) {
        0..=24 => world.chance.within(0, 400),
        25..=64 => world.chance.within(400, 15 * SECOND),
        65..=94 => world.chance.within(15 * SECOND, 100 * SECOND),
        _ => world.chance.within(2 * MINUTE, 12 * MINUTE),
    }
}

fn befall(world: &mut World, fault: Fault) {
    let (t, at) = (world.t, world.chance.index(2));
    let long = world.chance.within(SECOND, 15 * MINUTE);
    let some = world.chance.within(100, 50 * SECOND);
    let way = world.chance.pick(&[Way::Up, Way::Down]);
    let points = world.chance.within(0, 6);
    let step = world.chance.within(6 * SECOND, 90 * MINUTE).cast_signed();
    let step = world.chance.pick(&[step, -step]);
    world.note(|| {
        format!("{fault:?} host {at} ({long} ms, {some} ms, {way:?}, {points} points, {step} ms)")
    });
    let host = &mut world.hosts[at];
    let on = host.power == Power::On;
    match fault {
        Fault::Cut => world.network.cut(at, false, t),
        Fault::CutSilently => world.network.cut(at, true, t),
        Fault::Unreachable => {
            world.network.reachable[at] = false;
            world.network.cut(at, true, t);
        }
        Fault::Reachable => world.network.reachable = [true; 2],
        Fault::Stall => world.network.stall(at, way, t + some),
        Fault::Repeat => world.network.repeat(at, way),
        Fault::DaemonDies => host.fuse.light(points),
        Fault::DaemonKilled => host.kill(some, false, &mut world.network, t),
        Fault::PowerLost if on => {
            host.kill(0, true, &mut world.network, t);
            host.processes.die();
            host.power = Power::Off(t + long.max(20 * SECOND));
        }
        Fault::ControlDies => world.control.fuse.light(points),
        Fault::Suspend if on => host.power = Power::Asleep(t + long),
        Fault::SetClock => {
            host.clock.ahead_ms += step;
            world.clocks_were_set = true;
        }
        Fault::WriteFails => host.fail_write = true,
        Fault::Backup => host.backup = Some(Box::new(host.disk.clone())),
        Fault::Restore => host.restore(some, &mut world.network, t),
        Fault::PowerLost | Fault::Suspend => {}
    }
}

fn create(world: &mut World, number: u64) {
    let id = AutomationId(world.chance.uuid());
    let host = world.chance.index(2);
    let now = Control::wall(world.t);
    let spec = AutomationSpec {
        id,
        revision: 1,
        name: format!("automation {number}"),
        agent: "shell".into(),
        prompt: "true".into(),
        prompt_version: 1,
        enabled: true,
        target: RunTarget::Scratch,
        schedule: schedule(world),
        plan_after: now,
        starts: 0,
        policies: policies(world),
        env: std::collections::BTreeMap::new(),
        owner: None,
    };
    world.note(|| {
        format!(
            "create {id} on host {host}: {:?} {:?}",
            spec.schedule, spec.policies
        )
    });
    world.witness.wanted(id, now, Some(spec.clone()));
    world.control.catalog.create(spec, host);
    world.control.sync_soon();
}

fn schedule(world: &mut World) -> ScheduleSpec {
    let every = world.chance.within(1, 6);
    let rrule = match world.chance.within(0, 9) {
        0..=5 => format!("FREQ=MINUTELY;INTERVAL={every}"),
        6 => format!("FREQ=MINUTELY;INTERVAL={every};COUNT=5"),
        7 => "FREQ=HOURLY;BYMINUTE=1,3,4,8,15,16,22,31,40,55".into(),
        _ => "FREQ=DAILY;BYHOUR=11,12,13,7,8;BYMINUTE=2,5,9,14,20,21,30,47".into(),
    };
    ScheduleSpec {
        rrule,
        dtstart: "2026-03-02T07:00:00".parse().unwrap(),
        timezone: world.chance.pick(&["UTC", "America/New_York"]).into(),
        exdates: vec![],
        rdates: vec![],
    }
}

fn policies(world: &mut World) -> Policies {
    let catch_up = [
        CatchUp::Latest,
        CatchUp::Latest,
        CatchUp::Skip,
        CatchUp::All,
    ];
    let overlap = [
        Overlap::Skip,
        Overlap::QueueOne,
        Overlap::CancelPrevious,
        Overlap::Allow,
    ];
    Policies {
        catch_up: world.chance.pick(&catch_up),
        overlap: world.chance.pick(&overlap),
        jitter_seconds: world.chance.pick(&[0, 0, 30]),
        retries: world.chance.pick(&[0, 0, 1, 3]),
        pause_after_failures: world.chance.pick(&[0, 2, 5]),
        max_runs: world.chance.pick(&[None, None, None, Some(3)]),
        ..Policies::default()
    }
}

/// A user's wish, when the control plane is there to hear it.
fn fulfil(world: &mut World, wish: Wish) {
    let living = world.control.catalog.automations.values();
    let living: Vec<_> = living.filter(|entry| !entry.deleted).cloned().collect();
    if world.control.process.is_none() || living.is_empty() {
        return;
    }
    let at = world.chance.index(living.len());
    let (entry, now) = (&living[at], Control::wall(world.t));
    let (mut spec, mut host) = (entry.spec.clone(), entry.host);
    world.note(|| format!("{wish:?} {}", spec.id));
    match wish {
        Wish::Edit => {
            spec.schedule = schedule(world);
            spec.plan_after = now;
        }
        Wish::ChangePolicies => spec.policies = policies(world),
        Wish::ChangePrompt => spec.prompt_version += 1,
        Wish::Pause if spec.enabled => spec.enabled = false,
        Wish::Resume if !spec.enabled => {
            spec.enabled = true;
            spec.plan_after = now;
        }
        Wish::Retarget => {
            host = 1 - host;
        }
        Wish::Run if entry.moving.is_none() => {
            let ids = (CommandId(world.chance.uuid()), RunId(world.chance.uuid()));
            world.control.catalog.ask_for_run(spec.id, ids, now);
            return world.control.send_open(host, world.t);
        }
        Wish::Cancel => return cancel(world, spec.id),
        Wish::Delete => return delete(world, spec.id, now),
        Wish::Pause | Wish::Resume | Wish::Run => return,
    }
    change(world, spec, host, now);
}

fn change(world: &mut World, spec: AutomationSpec, host: usize, now: UtcMillis) {
    let id = spec.id;
    world.control.catalog.change(spec, host, now);
    let spec = world.control.catalog.automations[&id].spec.clone();
    world.witness.wanted(id, now, Some(spec));
    world.control.release(world.t);
    world.control.sync_soon();
}

fn cancel(world: &mut World, id: AutomationId) {
    let runs = world.control.catalog.runs.iter();
    let mut going = runs.filter(|(_, (_, run))| run.automation_id == id && !run.state.is_final());
    if let Some((run, (host, _))) = going
        .next_back()
        .map(|(id, (host, run))| (*id, (*host, run)))
    {
        let command = CommandId(world.chance.uuid());
        world.control.catalog.ask_to_cancel(command, run);
        world.control.send_open(host, world.t);
    }
}

fn delete(world: &mut World, id: AutomationId, now: UtcMillis) {
    world.control.catalog.delete(id, now);
    world.witness.wanted(id, now, None);
    world.control.sync_soon();
}

/// Everything is put right; then it has to come to rest with nothing missing.
fn rest(world: &mut World) -> Result<(), String> {
    world.note(|| "everything is put right".into());
    let t = world.t;
    world.network.reachable = [true; 2];
    world.control.fuse.put_out();
    world.control.restart_at = t;
    for host in &mut world.hosts {
        host.fuse.put_out();
        host.fail_write = false;
        host.restart_at = t;
        host.clock.ahead_ms = 0;
        host.power = match host.power {
            Power::On => Power::On,
            Power::Asleep(_) => Power::Asleep(t),
            Power::Off(_) => Power::Off(t),
        };
    }
    let on = world.chance.pick(&[SECOND, SECOND, 4 * MINUTE]);
    world.pass(on)?;
    pause_all(world);
    for _ in 0..REST_MINUTES * 4 {
        if invariants::unrest(world).is_none() {
            return invariants::at_rest(world);
        }
        world.pass(15 * SECOND)?;
    }
    let what = invariants::unrest(world).unwrap_or_default();
    Err(format!("it does not come to rest: {what}"))
}

fn pause_all(world: &mut World) {
    let now = Control::wall(world.t);
    let entries = world.control.catalog.automations.values();
    let going = entries.filter(|entry| !entry.deleted && entry.spec.enabled);
    let going: Vec<_> = going.cloned().collect();
    world.note(|| format!("pause all: {}", going.len()));
    for entry in going {
        let mut spec = entry.spec;
        spec.enabled = false;
        change(world, spec, entry.host, now);
    }
}
