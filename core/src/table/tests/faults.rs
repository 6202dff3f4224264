//! Durability: what is synced in which order, and what is left behind when the disk is full, a
//! compaction is cancelled, or a table becomes obsolete.

use std::ops::Bound;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::error::Code;

#[cfg(not(bug = "publish_table_early"))]
#[test]
fn tables_and_their_folder_are_synced_before_the_write_returns() {
    let mut room = Room::new(0);
    let tables = room.write(ascending(600), &small_options());
    assert!(tables.len() > 2);
    let calls = room.disk.take_calls();
    for table in &tables {
        let name = format!("sync sstable_{:06}.sst", table.meta().number);
        assert!(calls.contains(&name));
    }
    assert_eq!(calls.last().map(String::as_str), Some("sync_dir c"));
}

#[cfg(not(bug = "skip_dir_sync"))]
#[test]
fn a_manifest_is_replaced_in_four_durable_steps() {
    let room = Room::new(0);
    let manifest = Manifest::default();
    for _ in 0..2 {
        manifest.store(room.pool.vfs(), Path::new("c"), OWNER).unwrap();
        let calls = room.disk.take_calls();
        let expected = [
            "create MANIFEST.tmp",
            "sync MANIFEST.tmp",
            "rename MANIFEST.tmp MANIFEST",
            "sync_dir c",
        ];
        assert_eq!(calls, expected);
    }
}

#[test]
fn a_temporary_manifest_left_by_a_crash_is_no_obstacle() {
    let room = Room::new(0);
    room.disk.create(Path::new("c/MANIFEST.tmp"), false).unwrap();
    Manifest::default().store(room.pool.vfs(), Path::new("c"), OWNER).unwrap();
    assert_eq!(room.disk.names(), ["MANIFEST"]);
}

#[test]
fn a_full_disk_leaves_no_partial_table() {
    for writes in 0..6 {
        let room = Room::new(0);
        room.disk.fail_after_writes(writes);
        let dir = room.files.dir();
        let written = write_table(&room.pool, dir, OWNER, 1, 0, ascending(600), &small_options());
        assert_eq!(written.unwrap_err().code(), Code::StorageFull);
        assert_eq!(room.disk.names(), [""; 0]);
    }
}

#[test]
fn a_cancelled_compaction_gives_up_and_leaves_nothing() {
    let mut room = Room::new(0);
    let tables = room.write(ascending(600), &small_options());
    let before = room.disk.names();
    let inputs = tables.iter().map(|table| table.meta().number).collect();
    let job = Job { level_from: 0, level_to: 1, inputs, trivial_move: false };
    let (options, cancel) = (small_options(), AtomicBool::new(true));
    let mut number = 100;
    let mut take_number = || {
        number += 1;
        number
    };
    let result = compaction::run(&job, &tables, &room.files, &mut take_number, &options, &cancel);
    assert_eq!(result.unwrap_err().code(), Code::Unavailable);
    assert_eq!(room.disk.names(), before);
}

#[test]
fn an_obsolete_table_lives_as_long_as_a_scan_reads_it() {
    let mut room = Room::new(0);
    let tables = room.write(ascending(600), &small_options());
    let set = TableSet::new(Vec::new(), vec![Vec::new(), tables.clone()]);
    let mut scan = set.scan(Bound::Unbounded, Bound::Unbounded, u64::MAX, false);
    scan.next().unwrap().unwrap();
    tables.iter().for_each(|table| table.mark_obsolete());
    drop((set, tables));
    assert_eq!(scan.map(|entry| entry.unwrap().rank).sum::<u64>(), 599);
    assert_eq!(room.disk.names(), [""; 0]);
}

#[test]
fn files_that_no_manifest_names_are_removed_on_open() {
    let mut room = Room::new(0);
    let tables = room.write(ascending(600), &small_options());
    room.disk.create(Path::new("c/other.txt"), false).unwrap();
    let live = BTreeSet::from([1, 2]);
    let entries = room.disk.list(room.files.dir()).unwrap();
    let removed = room.files.remove_unlisted(&live, &entries).unwrap();
    assert_eq!(removed, (3..=tables.len() as u32).collect::<Vec<_>>());
    let names = ["other.txt", "sstable_000001.sst", "sstable_000002.sst"];
    assert_eq!(room.disk.names(), names);
}

#[test]
fn a_missing_table_file_is_an_error_and_not_an_absent_key() {
    let mut room = Room::new(0);
    let table = room.write(ascending(10), &TableOptions::default()).remove(0);
    room.forget(&table);
    room.disk.unlink(&table.path()).unwrap();
    assert_eq!(table.newest(b"user:00000000003", 99).unwrap_err().code(), Code::StorageFailed);
}

#[test]
fn a_warm_lookup_reads_no_file() {
    let mut room = Room::new(1 << 20);
    let table = room.write(ascending(2000), &TableOptions::default()).remove(0);
    let key = b"user:00000000777";
    assert_eq!(table.newest(key, u64::MAX).unwrap(), Some(Hit { rank: 1, seq: 2331 }));
    room.forget(&table);
    room.disk.unlink(&table.path()).unwrap();
    assert_eq!(table.newest(key, u64::MAX).unwrap(), Some(Hit { rank: 1, seq: 2331 }));
}

#[test]
fn readers_see_a_steady_snapshot_while_a_writer_inserts() {
    let memtable = Arc::new(MemTable::new());
    (0..500u64).for_each(|seq| memtable.insert(&seq.to_be_bytes(), 1, seq));
    let set = TableSet::default().with_memtable(memtable.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (500..20_000u64).for_each(|seq| memtable.insert(&(seq % 500).to_be_bytes(), seq, seq));
        });
        for _ in 0..20 {
            let scan = set.scan(Bound::Unbounded, Bound::Unbounded, 500, false);
            assert_eq!(
                scan.map(|entry| entry.unwrap().seq).collect::<Vec<_>>(),
                Vec::from_iter(0..500)
            );
            let scan = set.scan(Bound::Unbounded, Bound::Unbounded, 500, true).newest_only(500);
            assert_eq!(scan.count(), 500);
        }
    });
}
