//! Many groups, writers and readers at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use parking_lot::{Condvar, Mutex};

use super::*;
use crate::disk::simulated::{CrashMode, Fault, OpKind};

/// Lets the first sync from now on begin, and holds it until it is told to go on.
#[derive(Default)]
struct Held {
    syncs: AtomicU64,
    writes: AtomicU64,
    go: (Mutex<bool>, Condvar),
}

impl Held {
    fn on(disk: &SimDisk) -> Arc<Held> {
        let held = Arc::new(Held::default());
        let seen = held.clone();
        disk.observe(Some(Arc::new(move |_, op| match op.kind {
            OpKind::Write => drop(seen.writes.fetch_add(1, SeqCst)),
            OpKind::SyncData if seen.syncs.fetch_add(1, SeqCst) == 0 => {
                let mut go = seen.go.0.lock();
                while !*go {
                    seen.go.1.wait(&mut go);
                }
            }
            _ => {}
        })));
        held
    }

    fn is_syncing(&self) -> bool {
        self.syncs.load(SeqCst) > 0
    }

    fn go_on(&self) {
        *self.go.0.lock() = true;
        self.go.1.notify_all();
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn groups_that_come_while_another_syncs_share_one_write_and_one_sync() {
    let disk = disk();
    let log = open(&options(Arc::new(disk.clone())));
    let mut stores: Vec<LogStore> = (0..5).map(|shard| log.store(shard).unwrap()).collect();
    let held = Held::on(&disk);
    thread::scope(|scope| {
        for (number, store) in stores.iter_mut().enumerate() {
            scope.spawn(|| append(store, vec![entry(1, 0, 100)]).unwrap());
            wait_until(|| held.is_syncing() && log.pending_frames() == number);
        }
        held.go_on();
    });
    disk.observe(None);
    assert_eq!((held.writes.load(SeqCst), held.syncs.load(SeqCst)), (2, 2));
    let again = open(&options(Arc::new(disk.crash_image(CrashMode::M3, 1))));
    assert_eq!(again.shards(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_sync_that_fails_is_told_to_all_who_wait_for_it() {
    for at in 0..6 {
        let disk = disk();
        let log = open(&options(Arc::new(disk.clone())));
        let mut stores: Vec<LogStore> = (0..5).map(|shard| log.store(shard).unwrap()).collect();
        disk.fail_at(disk.ops() + at, Fault::SyncErrorThenClean);
        let acknowledged: Vec<bool> = thread::scope(|scope| {
            let write = |store| scope.spawn(move || append(store, vec![blank(1, 0)]).is_ok());
            let threads: Vec<_> = stores.iter_mut().map(write).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let again = open(&options(Arc::new(disk.crash_image(CrashMode::M3, at))));
        for (shard, acknowledged) in acknowledged.into_iter().enumerate() {
            let found = all(&again.store(shard as u32).unwrap()).unwrap();
            assert!(found.len() == 1 || !acknowledged, "group {shard}, fault {at}");
        }
    }
}

#[test]
fn a_purge_carries_over_what_another_group_has_in_the_buffer() {
    let disk = disk();
    let log = open(&small(&disk));
    let mut stores: Vec<LogStore> = (0..3).map(|shard| log.store(shard).unwrap()).collect();
    let [voter, purger, third] = &mut stores[..] else { unreachable!() };
    save_vote(voter, Vote::new(1, 1)).unwrap();
    for index in 0..20 {
        append(purger, vec![entry(1, index, 1000)]).unwrap();
    }
    let held = Held::on(&disk);
    thread::scope(|scope| {
        scope.spawn(|| save_vote(third, Vote::new(1, 1)).unwrap());
        wait_until(|| held.is_syncing());
        scope.spawn(|| purge(purger, id(1, 19)).unwrap());
        scope.spawn(|| save_vote(voter, Vote::new(2, 5)).unwrap());
        wait_until(|| log.pending_frames() == 1);
        held.go_on();
    });
    disk.observe(None);
    assert_eq!(log.segments().len(), 1);
    let again = open(&small(&disk.crash_image(CrashMode::M3, 1)));
    let found = super::model::Model::of(&mut again.store(0).unwrap()).unwrap();
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
