//! Many groups, writers and readers at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use parking_lot::{Condvar, Mutex};

use super::*;
use crate::disk::simulated::OpKind;

#[test]
fn groups_that_write_while_another_syncs_share_the_next_sync() {
    let disk = disk();
    let log = open(&options(Arc::new(disk.clone())));
    let mut stores: Vec<LogStore> = (0..5).map(|shard| log.store(shard).unwrap()).collect();
    let writes = Arc::new((Mutex::new(0), Condvar::new()));
    let syncs = Arc::new(AtomicU64::new(0));
    let (written, synced) = (writes.clone(), syncs.clone());
    disk.observe(Some(Arc::new(move |_, op| match op.kind {
        OpKind::Write => {
            *written.0.lock() += 1;
            written.1.notify_all();
        }
        // The first sync takes as long as the others need to write.
        OpKind::SyncData if synced.fetch_add(1, SeqCst) == 0 => {
            let mut count = written.0.lock();
            while *count < 5 {
                written.1.wait(&mut count);
            }
        }
        _ => {}
    })));
    thread::scope(|scope| {
        for store in &mut stores {
            scope.spawn(|| append(store, vec![entry(1, 0, 100)]).unwrap());
        }
    });
    disk.observe(None);
    // One who wrote last may still be about to wait when the second sync begins.
    assert!(syncs.load(SeqCst) <= 3, "{syncs:?} syncs for five groups");
    let image = disk.crash_image(crate::disk::simulated::CrashMode::M3, 1);
    let again = open(&options(Arc::new(image)));
    assert_eq!(again.shards(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_purge_carries_over_what_another_group_has_written_and_not_yet_synced() {
    let disk = disk();
    let log = open(&small(&disk));
    let (mut voter, mut purger) = (log.store(1).unwrap(), log.store(2).unwrap());
    save_vote(&mut voter, Vote::new(1, 1)).unwrap();
    for index in 0..20 {
        append(&mut purger, vec![entry(1, index, 1000)]).unwrap();
    }
    let writes = Arc::new((Mutex::new(0), Condvar::new()));
    let wait_for = |writes: &(Mutex<i32>, Condvar), wanted: i32| {
        let mut count = writes.0.lock();
        while *count < wanted {
            writes.1.wait(&mut count);
        }
    };
    let (seen, syncs) = (writes.clone(), AtomicU64::new(0));
    disk.observe(Some(Arc::new(move |_, op| match op.kind {
        OpKind::Write => {
            *seen.0.lock() += 1;
            seen.1.notify_all();
        }
        // The vote is written, and its sync lasts until the purge has written too.
        OpKind::SyncData if syncs.fetch_add(1, SeqCst) == 0 => wait_for(&seen, 2),
        _ => {}
    })));
    thread::scope(|scope| {
        scope.spawn(|| save_vote(&mut voter, Vote::new(2, 5)).unwrap());
        scope.spawn(|| {
            wait_for(&writes, 1);
            purge(&mut purger, id(1, 19)).unwrap();
        });
    });
    disk.observe(None);
    assert_eq!(log.segments().len(), 1);
    let again = open(&small(&disk.crash_image(crate::disk::simulated::CrashMode::M3, 1)));
    let found = super::model::Model::of(&mut again.store(1).unwrap()).unwrap();
    assert_eq!(found.vote, Some(Vote::new(2, 5)));
}

#[test]
fn readers_see_whole_entries_while_segments_are_recycled() {
    let disk = disk();
    let log = open(&RaftLogOptions { cache_bytes: 3000, ..small(&disk) });
    let done = [AtomicBool::new(false), AtomicBool::new(false)];
    let read = [AtomicU64::new(0), AtomicU64::new(0)];
    thread::scope(|scope| {
        for shard in 0..2_u32 {
            let mut store = log.store(shard).unwrap();
            let reader = store.reader();
            let (done, read) = (&done[shard as usize], &read[shard as usize]);
            scope.spawn(move || {
                for index in 0..1500 {
                    let bytes = (index % 700) as usize;
                    append(&mut store, vec![entry(u64::from(shard), index, bytes)]).unwrap();
                    // Every other time the reader is let come close, to be overtaken by the next.
                    while index % 80 == 39 && read.load(SeqCst) + 60 < index {
                        thread::yield_now();
                    }
                    if index % 40 == 39 {
                        purge(&mut store, id(u64::from(shard), index - 20)).unwrap();
                    }
                }
                done.store(true, SeqCst);
            });
            scope.spawn(move || {
                let mut reader = reader;
                let mut next = 0;
                while !done.load(SeqCst) {
                    let part = RaftLogReader::<TypeConfig>::limited_get_log_entries;
                    match now(part(&mut reader, next, next + 30)) {
                        Ok(entries) => {
                            for found in entries {
                                let bytes = (next % 700) as usize;
                                assert_eq!(found, entry(u64::from(shard), next, bytes));
                                next += 1;
                            }
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
                            next += 10;
                        }
                    }
                    read.store(next, SeqCst);
                }
            });
        }
    });
    for shard in 0..2 {
        purge(&mut log.store(shard).unwrap(), id(u64::from(shard), 1499)).unwrap();
    }
    assert_eq!(log.segments().len(), 1);
}
