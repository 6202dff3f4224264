//! Crashes and disk errors at every step. What is counted as a case is one opening that was judged.

use blockdb::disk::simulated::OpKind;
use blockdb::host::simulated::Dice;
use blockdb_tests::simulation::campaign::{Campaign, Name};
use blockdb_tests::simulation::history::History;
use blockdb_tests::simulation::images::Crash;
use blockdb_tests::simulation::moments::{Moment, Recorder};
use blockdb_tests::simulation::oracle::{self, Depth};
use blockdb_tests::simulation::script::Script;
use blockdb_tests::simulation::session::Session;
use blockdb_tests::simulation::{Machine, damage, faults, mixed, number_of, scripts};

/// Crashes tried at each moment at the most; fewer when built without optimisation.
const CRASHES_PER_MOMENT: u64 = 8;

fn machine(script: &Script, seed: u64) -> Machine {
    Machine::new(script.tuning.clone(), script.durability, mixed(seed, number_of(script.name)))
}

/// Runs a script undisturbed and gives its moments.
fn record(script: &Script, seed: u64, recorder: Recorder) -> Result<Recorder, String> {
    Session::new(machine(script, seed), Some(recorder.clone())).run(script)?;
    Ok(recorder)
}

fn name(script: &Script, seed: u64, step: Option<u64>, crash: Option<Crash>) -> Name {
    let crash = crash.map(|crash| crash.to_string());
    Name { seed, workload: script.name.to_owned(), step, crash }
}

/// The moments of a script that this run looks at.
fn moments(campaign: &Campaign, script: &Script, seed: u64) -> Vec<Moment> {
    let mut moments = Vec::new();
    campaign.case(&name(script, seed, None, None), || {
        let recorder = campaign.step.map_or_else(Recorder::new, Recorder::of_one);
        moments = record(script, seed, recorder)?.into_moments();
        Ok(0)
    });
    moments
}

/// The crashes of one moment, or the one the environment names.
fn crashes(campaign: &Campaign, seed: u64, moment: u64, count: u64) -> Vec<Crash> {
    match &campaign.crash {
        Some(crash) => vec![crash.parse().expect("BLOCKDB_CRASH")],
        None => Crash::plan(seed, moment, count).collect(),
    }
}

fn judge(
    machine: &Machine,
    history: &History,
    crash: Crash,
    disk: &blockdb::disk::simulated::SimDisk,
) -> Result<u64, String> {
    let machine = machine.with_disk(crash.of(disk), crash.seed).with_own_clock(crash.seed);
    let depth = if crash.seed.is_multiple_of(3) { Depth::Life } else { Depth::State };
    oracle::judge(&machine, history, depth)?;
    Ok(1)
}

#[test]
fn acknowledged_writes_survive_a_crash_at_every_step() {
    let test = "acknowledged_writes_survive_a_crash_at_every_step";
    Campaign::begin("crash", test, 26_000).rounds(|campaign, seed| {
        let scripts = campaign.chosen(scripts::all(seed));
        let per_script = campaign.cases / scripts.len().max(1) as u64;
        for script in &scripts {
            let moments = moments(campaign, script, seed);
            let each = (per_script / moments.len().max(1) as u64).clamp(1, CRASHES_PER_MOMENT);
            let stride = (moments.len() as u64 / per_script.max(1)).max(1) as usize;
            let chosen: Vec<&Moment> = moments.iter().step_by(stride).collect();
            let machine = machine(script, seed);
            campaign.each(&chosen, |moment| {
                for crash in crashes(campaign, seed, moment.number, each) {
                    let name = name(script, seed, Some(moment.number), Some(crash));
                    campaign.case(&name, || {
                        judge(&machine, &moment.history, crash, &moment.disk)
                            .map_err(|what| format!("{} at {moment}, {crash}: {what}", script.name))
                    });
                }
            });
        }
    });
}

/// Recovers what `crash` left of a moment, and crashes at every step of that; once in a while at
/// every step of the recovery from that, too.
fn crash_in_recovery(
    machine: &Machine,
    history: &History,
    crash: Crash,
    moment: &Moment,
    depth: u32,
) -> Result<u64, String> {
    let machine = machine.with_disk(crash.of(&moment.disk), crash.seed).with_own_clock(crash.seed);
    let recorder = Recorder::new();
    recorder.publish(history);
    recorder.watch(&machine.disk);
    let db = machine.open().map_err(|error| format!("the first recovery: {error}"))?;
    if crash.seed.is_multiple_of(4) {
        db.settle().map_err(|error| format!("settling after the first recovery: {error}"))?;
        db.close().map_err(|error| format!("closing after the first recovery: {error}"))?;
    }
    recorder.take(&machine.disk, None);
    machine.disk.observe(None);
    drop(db);
    let mut count = 1;
    for again in recorder.into_moments() {
        for crash in Crash::plan(crash.seed, again.number, 1) {
            let place = |what: String| format!("second crash at {again}, {crash}: {what}");
            count += judge(&machine, history, crash, &again.disk).map_err(place)?;
            if depth > 0 && crash.seed.is_multiple_of(199) {
                count += crash_in_recovery(&machine, history, crash, &again, depth - 1).map_err(
                    |what| format!("{what}\n  after a second crash at {again}, {crash}"),
                )?;
            }
        }
    }
    Ok(count)
}

#[test]
fn a_second_crash_during_recovery_loses_nothing_either() {
    let test = "a_second_crash_during_recovery_loses_nothing_either";
    Campaign::begin("crash", test, 216).rounds(|campaign, seed| {
        let scripts = campaign.chosen(scripts::all(seed));
        let per_script = campaign.cases.div_ceil(scripts.len().max(1) as u64);
        for script in &scripts {
            let moments = moments(campaign, script, seed);
            let mut dice = Dice::new(mixed(seed, number_of(script.name)));
            let chosen: Vec<&Moment> = match campaign.step {
                Some(_) => moments.iter().collect(),
                None => (0..per_script)
                    .filter_map(|_| moments.get(dice.below(moments.len() as u64) as usize))
                    .collect(),
            };
            let machine = machine(script, seed);
            campaign.each(&chosen, |moment| {
                for crash in crashes(campaign, seed, moment.number, 1) {
                    let name = name(script, seed, Some(moment.number), Some(crash));
                    campaign.case(&name, || {
                        crash_in_recovery(&machine, &moment.history, crash, moment, 1)
                            .map_err(|what| format!("{} at {moment}, {crash}: {what}", script.name))
                    });
                }
            });
        }
    });
}

/// Runs `act` for operations of every script that `wanted` chooses, as many in all as the campaign
/// wants.
fn at_operations(
    campaign: &Campaign,
    seed: u64,
    (reads, wanted): (bool, impl Fn(OpKind) -> bool),
    act: impl Fn(&Script, u64, (u64, OpKind)) -> Result<u64, String> + Sync,
) {
    // Lost answers are not failures of the disk: only mode sync says what must be there.
    let sync = |script: &Script| script.durability == blockdb::Durability::Sync;
    let scripts: Vec<Script> =
        campaign.chosen(scripts::all(seed)).into_iter().filter(sync).collect();
    let per_script = campaign.cases.div_ceil(scripts.len().max(1) as u64);
    for script in &scripts {
        let mut operations = Vec::new();
        campaign.case(&name(script, seed, None, None), || {
            let seed = mixed(seed, number_of(script.name));
            operations = faults::operations(script, seed, reads)?;
            Ok(0)
        });
        let numbered = (0..).zip(operations);
        let all: Vec<(u64, OpKind)> = numbered.filter(|(_, kind)| wanted(*kind)).collect();
        let stride = (all.len() as u64).div_ceil(per_script).max(1);
        let chosen: Vec<(u64, OpKind)> = match campaign.step {
            Some(step) => all.into_iter().filter(|(at, _)| *at == step).collect(),
            None => {
                all.into_iter().skip((seed % stride) as usize).step_by(stride as usize).collect()
            }
        };
        campaign.each(&chosen, |(at, kind)| {
            campaign.case(&name(script, seed, Some(*at), None), || {
                act(script, mixed(seed, number_of(script.name)), (*at, *kind))
                    .map_err(|what| format!("{}, operation {at} ({kind:?}): {what}", script.name))
            });
        });
    }
}

/// Whether an operation changes nothing.
fn is_read(kind: OpKind) -> bool {
    matches!(kind, OpKind::Open | OpKind::Read | OpKind::List)
}

fn fail(script: &Script, seed: u64, (at, kind): (u64, OpKind), reads: bool) -> Result<u64, String> {
    let mut count = 0;
    for fault in faults::kinds(kind) {
        count += faults::run(script, seed, (at, fault), reads, 1)
            .map_err(|what| format!("{fault:?}: {what}"))?;
    }
    Ok(count)
}

#[test]
fn an_error_of_any_change_loses_nothing() {
    let test = "an_error_of_any_change_loses_nothing";
    Campaign::begin("crash", test, 4_000).rounds(|campaign, seed| {
        at_operations(campaign, seed, (false, |_| true), |script, seed, operation| {
            fail(script, seed, operation, false)
        });
    });
}

#[test]
fn an_error_of_any_read_is_told_and_loses_nothing() {
    let test = "an_error_of_any_read_is_told_and_loses_nothing";
    Campaign::begin("crash", test, 2_000).rounds(|campaign, seed| {
        at_operations(campaign, seed, (true, is_read), |script, seed, operation| {
            fail(script, seed, operation, true)
        });
    });
}

#[test]
fn a_restart_after_a_failed_sync_does_not_trust_the_page_cache() {
    let test = "a_restart_after_a_failed_sync_does_not_trust_the_page_cache";
    Campaign::begin("crash", test, 1_000).rounds(|campaign, seed| {
        let syncs = (false, |kind| kind == OpKind::SyncData);
        at_operations(campaign, seed, syncs, |script, seed, (at, _)| {
            faults::restart(script, seed, at, 3)
        });
    });
}

#[test]
fn damage_in_the_log_is_told_and_never_cut_off() {
    let test = "damage_in_the_log_is_told_and_never_cut_off";
    Campaign::begin("crash", test, 4_000).rounds(|campaign, seed| {
        let scripts = campaign.chosen(scripts::all(seed));
        let per_script = campaign.cases / scripts.len().max(1) as u64;
        for script in scripts.iter().filter(|s| s.durability == blockdb::Durability::Sync) {
            let moments = moments(campaign, script, seed);
            let quiet: Vec<&Moment> =
                moments.iter().filter(|moment| moment.history.doubts.is_empty()).collect();
            let mut dice = Dice::new(mixed(seed, number_of(script.name)));
            let chosen: Vec<(&Moment, u64)> = (0..per_script)
                .filter_map(|_| {
                    let moment = quiet.get(dice.below(quiet.len() as u64) as usize)?;
                    Some((*moment, dice.bits()))
                })
                .collect();
            let machine = machine(script, seed);
            campaign.each(&chosen, |(moment, chance)| {
                campaign.case(&name(script, seed, Some(moment.number), None), || {
                    damage::flip_in_log(&machine, moment, *chance)
                        .map_err(|what| format!("{} at {moment}: {what}", script.name))
                });
            });
        }
    });
}
