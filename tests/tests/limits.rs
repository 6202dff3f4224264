//! Bounds hold: memory stays within the budget, the log under its limit, open files under theirs,
//! with many records and with many collections. The counts are cut for CI; `BLOCKDB_FULL=1` runs
//! those that the documents speak of (2 M and 5 M records).

#![allow(clippy::disallowed_methods)] // Measured from outside, with the system's own figures.

use std::path::Path;
use std::time::{Duration, Instant};

use blockdb::{CollectionOptions, Db, IndexOptions, Options, Value, VerifyOptions, doc};

/// The two tests measure one process, so they take turns.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn count(full: u64, cut: u64) -> u64 {
    if std::env::var_os("BLOCKDB_FULL").is_some() { full } else { cut }
}

fn items(count: u64) -> impl Iterator<Item = (String, blockdb::Document)> {
    (0..count).map(|number| {
        let mut body = vec![0u8; 256];
        body[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        (
            format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            doc! { "v": Value::Binary(body) },
        )
    })
}

/// Resident memory now, bytes; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn log_bytes(db: &Path) -> u64 {
    let entries = std::fs::read_dir(db.join("log")).expect("the log is a folder");
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
}

fn clean(db: &Db) {
    let report = db.verify(&VerifyOptions::default(), &|_, _| {}).expect("verify runs");
    assert!(report.is_clean(), "{:?}", report.faults);
}

#[test]
fn memory_stays_within_the_budget_of_an_import() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = Db::open(folder.path().join("db")).expect("it opens");
    let events = db.create_collection("events", CollectionOptions::new()).expect("it is made");
    let before = resident_bytes();
    let mut most = 0;
    let total = count(5_000_000, 300_000);
    let mut watch = |done: u64, _: &blockdb::BulkResult| {
        if done.is_multiple_of(10_000) {
            most = most.max(resident_bytes());
        }
    };
    events.insert_many_with(items(total), Default::default(), &mut watch).expect("it is imported");
    let used = most.saturating_sub(before) >> 20;
    println!("{total} records, at most {used} MiB more than before");
    assert!(used <= 256, "{used} MiB with a budget of 256");
    assert_eq!(events.count().expect("it can be counted"), total);
    db.close().expect("it closes");
}

#[test]
fn a_thousand_collections_share_one_log_few_files_and_one_budget() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, copy) = (folder.path().join("db"), folder.path().join("copy"));
    let collections = count(1000, 300);
    let db = Db::open(&path).expect("it opens");
    let before = open_files();
    for number in 0..collections {
        let one = db.create_collection(&format!("c{number:04}"), CollectionOptions::new());
        one.expect("it is made")
            .insert(("k", doc! { "n": number as i64 }))
            .expect("it is inserted");
    }
    let busy = db.create_collection("busy", CollectionOptions::new()).expect("it is made");
    let (mut files, mut log) = (0, 0);
    let mut watch = |done: u64, _: &blockdb::BulkResult| {
        if done.is_multiple_of(10_000) {
            files = files.max(open_files());
            log = log.max(log_bytes(&path));
        }
    };
    let total = count(2_000_000, 200_000);
    busy.insert_many_with(items(total), Default::default(), &mut watch).expect("it is imported");
    println!("{collections} collections, {total} records: {files} files, log {} MiB", log >> 20);
    assert!(files.saturating_sub(before) <= 256, "{files} open files");
    assert!(log <= 64 << 20, "the log grew to {log} bytes");

    // A copy of the live folder is what a killed process leaves.
    copy_dir(&path, &copy);
    let begun = Instant::now();
    let reopened = Options::new().create(false).open(&copy).expect("it opens unaided");
    let took = begun.elapsed();
    println!("reopening after a kill took {took:?}: {:?}", reopened.recovery());
    assert!(
        took < Duration::from_secs(if blockdb_tests::is_debug_build() { 10 } else { 1 }),
        "{took:?}"
    );
    for number in 0..collections {
        let one = reopened.collection(&format!("c{number:04}"));
        assert_eq!(one.count().expect("it can be counted"), 1);
    }
    assert_eq!(reopened.collection("busy").count().expect("it can be counted"), total);
    clean(&reopened);
    db.close().expect("it closes");
}

#[test]
fn thousands_of_collections_with_three_indexes_each_open_fast_and_stay_small() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("db");
    let collections = count(5000, 200);
    let db = Db::open(&path).expect("it opens");
    let (before, files_before) = (resident_bytes(), open_files());
    let mut files = 0;
    for number in 0..collections {
        let name = format!("c{number:05}");
        let one = db.create_collection(&name, CollectionOptions::new()).expect("it is made");
        for (index, fields) in [("a", ["n", "-m"]), ("b", ["m", "n"]), ("c", ["t", "n"])] {
            // Asked for before the first record, so that there is nothing to build.
            let options = IndexOptions { background: true, ..IndexOptions::default() };
            one.create_index(index, &fields, options).expect("it is asked for");
        }
        let document = doc! { "n": number as i64, "m": 1, "t": ["x", "y"] };
        one.insert(("k", document)).expect("it is inserted");
        if number % 100 == 0 {
            files = files.max(open_files());
        }
    }
    db.settle().expect("all of it is built");
    let used = resident_bytes().saturating_sub(before) >> 20;
    files = files.max(open_files()).saturating_sub(files_before);
    println!("{collections} collections with 3 indexes each: {used} MiB, {files} files");
    assert!(used <= 256, "{used} MiB with a budget of 256");
    assert!(files <= 512, "{files} open files");
    db.close().expect("it closes");

    let begun = Instant::now();
    let db = Db::open(&path).expect("it opens again");
    let took = begun.elapsed();
    println!("opening took {took:?}");
    let most = Duration::from_secs(if blockdb_tests::is_debug_build() { 10 } else { 1 });
    assert!(took < most, "{took:?}");
    for number in [0, collections / 2, collections - 1] {
        let one = db.collection(&format!("c{number:05}"));
        let found = one.find(doc! { "n": number as i64, "m": 1 }).expect("a query");
        assert_eq!(found.count().expect("it can be counted"), 1);
        assert!(one.indexes().expect("indexes").iter().all(|index| index.state == "ready"));
    }
    db.close().expect("it closes");
}

/// Copies a live folder; files that vanish meanwhile were not needed any more.
fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("a folder can be listed").flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().map(|kind| kind.is_dir()) {
            Ok(true) => copy_dir(&entry.path(), &target),
            _ => drop(std::fs::copy(entry.path(), target)),
        }
    }
}
