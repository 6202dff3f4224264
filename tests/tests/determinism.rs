//! The same log entries give the same leaves, salts, bodies, headers and roots, whatever the sizes,
//! the threads, the compression, and however often the work was interrupted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use blockdb::database::Database;
use blockdb::host::simulated::Dice;
use blockdb::host::{Background, Host};
use blockdb::{Durability, Options, Tuning};
use blockdb_tests::simulation::campaign::{Campaign, Name};
use blockdb_tests::simulation::images::Crash;
use blockdb_tests::simulation::replica::{self, Committed};
use blockdb_tests::simulation::script::{Script, Step, Writer};
use blockdb_tests::simulation::session::Session;
use blockdb_tests::simulation::{FOLDER, Machine, mixed, tiny};

type Ledgers = BTreeMap<[u8; 16], Committed>;

/// Sizes at which nothing is flushed and no restart point is made: all entries stay in the log.
fn large() -> Tuning {
    Tuning { log_segment_bytes: 64 << 10, ..Tuning::for_memory(256 << 20) }
}

/// A bit of everything that is logged.
fn script(seed: u64) -> Script {
    let mut w = Writer::new(seed);
    w.create("a", true).create("b", false).create("gone", false);
    for round in 0..6u64 {
        w.insert_each("a", round * 50, round * 50 + 7).insert_batch(
            "b",
            round * 50,
            round * 50 + 30,
        );
        w.insert_batch("a", round * 50 + 10, round * 50 + 34).put("a", round * 50).put("a", 1);
        w.transaction(&format!("a=x b+{round}.1 a=x b+{round}.2 a=y a+{round}.3"));
        w.rolled_back(&format!("a=x b+{round}.4")).put("a", 1);
        match round {
            1 => w.configure("b", "block_records", 3).configure("a", "compression", "none"),
            2 => w.insert("gone", "x").drop_collection("gone", false),
            3 => w.step(Step::Elapse { ms: 1_500 }).step(Step::Background),
            4 => w.create("gone", true).put("gone", 1).seal("gone"),
            _ => w.seal("a"),
        };
        w.configure("b", "description", format!("round {round}"));
    }
    let mut script = w.finish("entries", Durability::Sync);
    script.tuning = large();
    script
}

/// Any sizes.
fn tuning(dice: &mut Dice) -> Tuning {
    let mut size = |small: u64, spread: u64| small << dice.below(spread);
    Tuning {
        file_handles_max: size(16, 5) as usize,
        log_bytes_max: size(32 << 10, 8),
        log_segment_bytes: size(4 << 10, 8),
        ledger_segment_bytes: size(1 << 10, 12),
        frame_bytes: size(64, 10) as usize,
        table_bytes_max: size(2 << 10, 10),
        flush_bytes_max: size(2 << 10, 12),
        close_flush_entries_min: size(1, 12) as usize,
        ..if dice.chance(1, 2) { tiny() } else { Tuning::for_memory(64 << 20) }
    }
}

fn open(machine: &Machine, background: Background) -> Result<Arc<Database>, String> {
    let host = Host {
        background,
        ..Host::simulated(Arc::new(machine.disk.clone()), machine.clock.clone(), machine.seed)
    };
    let options = Options::new().host(host).tuning(machine.tuning.clone());
    options.open_database(Path::new(FOLDER)).map_err(|error| format!("it does not open: {error}"))
}

/// Runs the script, seals everything, and returns the machine with all entries still in the log,
/// and what they commit to.
fn original(seed: u64) -> Result<(Machine, Ledgers), String> {
    let script = script(seed);
    let mut session =
        Session::new(Machine::new(script.tuning.clone(), script.durability, seed), None);
    session.run(&script)?;
    let (machine, _) = session.abandon();
    let database = open(&machine, Background::Manual)?;
    database.shard.seal_all().map_err(|error| error.to_string())?;
    database.shard.write_blocks().map_err(|error| error.to_string())?;
    let ledgers = replica::committed(&database)?;
    Ok((Machine { disk: machine.disk.process_crash_image(), ..machine }, ledgers))
}

/// Applies the same entries under other circumstances, and compares.
fn again(machine: &Machine, expected: &Ledgers, seed: u64) -> Result<u64, String> {
    let mut dice = Dice::new(seed);
    let mut disk = machine.disk.process_crash_image();
    let interruptions = dice.below(4);
    for number in 0..=interruptions {
        let machine =
            Machine { tuning: tuning(&mut dice), ..machine.with_disk(disk.clone(), seed + number) };
        let threads = dice.chance(1, 4);
        let background = if threads { Background::Threads } else { Background::Manual };
        if number < interruptions && !threads {
            // Power goes somewhere within recovery, flushing, compaction or the restart point.
            let budget = dice.below(260);
            machine.disk.crash_at(machine.disk.ops() + budget);
        }
        if let Ok(database) = open(&machine, background) {
            let settled = database.shard.settle();
            if number == interruptions {
                settled.map_err(|error| format!("settling: {error}"))?;
                let found = replica::committed(&database)?;
                return match replica::differ(expected, &found) {
                    Some(what) => Err(format!("with {:?}, {background:?}: {what}", machine.tuning)),
                    None => Ok(1),
                };
            }
        } else if number == interruptions || threads {
            open(&machine, background)?;
        }
        let power = blockdb::disk::simulated::CrashMode::HONEST[dice.below(4) as usize];
        disk = Crash { power: Some(power), seed: dice.bits() }.of(&machine.disk);
    }
    Ok(0)
}

#[test]
fn the_same_entries_give_the_same_leaves_headers_and_roots() {
    let test = "the_same_entries_give_the_same_leaves_headers_and_roots";
    Campaign::begin("determinism", test, 800).rounds(|campaign, seed| {
        let mut first = None;
        let name = |step| Name { seed, workload: "entries".to_owned(), step, crash: None };
        campaign.case(&name(None), || {
            first = Some(original(seed)?);
            Ok(0)
        });
        let Some((machine, expected)) = first else { return };
        let numbers: Vec<u64> = match campaign.step {
            Some(step) => vec![step],
            None => (0..campaign.cases).collect(),
        };
        campaign.each(&numbers, |number| {
            campaign
                .case(&name(Some(*number)), || again(&machine, &expected, mixed(seed, *number)));
        });
    });
}

#[test]
fn the_same_seed_gives_the_same_files() {
    let test = "the_same_seed_gives_the_same_files";
    Campaign::begin("determinism", test, 10).rounds(|campaign, seed| {
        for script in blockdb_tests::simulation::scripts::all(seed) {
            let name = Name { seed, workload: script.name.to_owned(), step: None, crash: None };
            campaign.case(&name, || {
                let run = || {
                    let machine = Machine::new(script.tuning.clone(), script.durability, seed);
                    let mut session = Session::new(machine, None);
                    session.run(&script)?;
                    Ok::<_, String>(session.machine.files())
                };
                match run()? == run()? {
                    true => Ok(1),
                    false => Err(format!("{}: two runs left different files", script.name)),
                }
            });
        }
    });
}
