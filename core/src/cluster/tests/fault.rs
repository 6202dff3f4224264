//! Disks that fail: the call fails, so does every later one, and after opening again there is what
//! was acknowledged.

use super::crash::{Truth, check_image};
use super::model::Model;
use super::*;
use crate::disk::simulated::{CrashMode, Fault};
use crate::host::simulated::Dice;

const SHARDS: [u32; 2] = [0, 7];

/// Takes steps until a fault strikes; false if none did.
fn run(seed: u64, at: u64, fault: Fault) -> bool {
    let disk = disk();
    let label = format!("seed {seed}, {fault:?} at {at}");
    let mut truth = Truth::new(&SHARDS);
    let mut dice = Dice::new(seed);
    let log = open(&small(&disk));
    disk.fail_at(disk.ops() + at, fault);
    for _ in 0..40 {
        let shard = SHARDS[dice.below(2) as usize];
        let step = truth.0[&shard].acked.roll(&mut dice);
        truth.begin(shard, &step);
        let mut store = log.store(shard).unwrap();
        let Err(error) = step.call(&mut store) else {
            truth.acknowledge(shard);
            continue;
        };
        assert!(error.to_string().contains("storage_f"), "{label}: {error}");
        disk.clear_faults();
        check_dead(&mut store, &label);
        drop(store);
        assert!(log.store(shard).is_err(), "{label}");
        // The other group goes on if the log itself does, and harms nobody.
        let other = SHARDS[usize::from(shard == SHARDS[0])];
        let mut store = log.store(other);
        for _ in 0..10 {
            let Ok(store) = &mut store else { break };
            let step = truth.0[&other].acked.roll(&mut dice);
            truth.begin(other, &step);
            match step.call(store) {
                Ok(()) => truth.acknowledge(other),
                Err(_) => break,
            }
        }
        for mode in CrashMode::HONEST {
            check_image(
                &disk.crash_image(mode, seed),
                &truth,
                &format!("{label}, {mode:?}"),
                false,
            );
        }
        check_image(&disk.process_crash_image(), &truth, &label, false);
        return true;
    }
    false
}

/// Nothing is written and nothing is read after a failure.
fn check_dead(store: &mut LogStore, label: &str) {
    let failures = [
        append(store, vec![blank(1 << 40, 1 << 40)]).err(),
        save_vote(store, Vote::new(1 << 40, 0)).err(),
        save_committed(store, None).err(),
        truncate(store, None).err(),
        purge(store, id(1 << 40, 1 << 40)).err(),
        limited(store, 0, 10).err(),
        Model::of(store).err(),
    ];
    for failure in failures {
        let failure = failure.unwrap_or_else(|| panic!("{label}: a call after a failure"));
        assert!(failure.to_string().contains("open it again"), "{label}: {failure}");
    }
}

#[test]
fn an_error_stops_the_group_and_loses_nothing_acknowledged() {
    let faults = [
        Fault::NoSpace,
        Fault::ShortWrite,
        Fault::SyncErrorThenClean,
        Fault::Once(std::io::ErrorKind::Other),
        Fault::Once(std::io::ErrorKind::StorageFull),
        Fault::ForGood(std::io::ErrorKind::Other),
    ];
    let mut struck = 0;
    for seed in 1..=3 {
        for fault in faults {
            for at in 0..40 {
                struck += u64::from(run(seed, at, fault));
            }
        }
    }
    assert!(struck > 500, "{struck}");
}

#[test]
fn what_raft_must_never_ask_for_is_refused() {
    let disk = disk();
    let log = open(&small(&disk));
    let refused = |shard: u32, call: &dyn Fn(&mut LogStore) -> std::io::Result<()>| {
        let mut store = log.store(shard).unwrap();
        append(&mut store, (0..5).map(|index| blank(2, index)).collect()).unwrap();
        save_vote(&mut store, Vote::new_committed(2, 1)).unwrap();
        save_committed(&mut store, Some(id(2, 2))).unwrap();
        let error = call(&mut store).unwrap_err();
        assert!(error.to_string().contains("refuse"), "{error}");
        check_dead(&mut store, "refused");
    };
    refused(1, &|store| append(store, vec![blank(2, 6)]));
    refused(2, &|store| append(store, vec![blank(2, 4)]));
    refused(3, &|store| append(store, vec![blank(2, 5), blank(2, 7)]));
    refused(4, &|store| append(store, vec![blank(1, 5)]));
    refused(5, &|store| truncate(store, Some(id(2, 1))));
    refused(6, &|store| truncate(store, None));
    refused(7, &|store| save_vote(store, Vote::new(1, 4)));
    refused(8, &|store| save_vote(store, Vote::new(2, 1)));
}

#[test]
fn a_group_has_one_writer_and_the_log_closes_only_without() {
    let disk = disk();
    let options = small(&disk);
    let log = open(&options);
    let store = log.store(1).unwrap();
    assert_eq!(log.store(1).unwrap_err().code(), crate::error::Code::Locked);
    assert_eq!(log.clone().close().unwrap_err().code(), crate::error::Code::Locked);
    let mut reader = store.reader();
    drop(store);
    drop(log.store(1).unwrap());
    log.clone().close().unwrap();
    let late = now(RaftLogReader::<TypeConfig>::limited_get_log_entries(&mut reader, 0, 1));
    assert!(late.is_err());
    assert!(log.store(1).is_err());
    assert!(open(&options).store(1).is_ok());
}
