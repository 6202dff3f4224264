//! Measurements, to be run by hand in a release build with `--ignored --nocapture`. They print and
//! assert nothing about time.

use std::hint::black_box;
use std::ops::Bound;

use super::*;

/// `TABLE_KEYS` in the environment asks for another number, to tell instructions from cache misses.
fn key_count() -> u64 {
    let wanted = std::env::var("TABLE_KEYS").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(1_000_000)
}

/// A permutation of all numbers, so keys come in no order and repeat only when numbers do.
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    let digits = format!("{:016x}", scatter(number));
    key.copy_from_slice(digits.as_bytes());
    key
}

/// Nanoseconds this thread has run on a processor: other work on the machine does not count, though
/// its pressure on the caches still shows.
#[expect(clippy::disallowed_methods, reason = "a measurement is about real time")]
fn processor_ns() -> u64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    statistics.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn measure(what: &str, count: u64, mut work: impl FnMut(u64)) {
    let start = processor_ns();
    (0..count).for_each(&mut work);
    println!("{what}: {:.0} ns", (processor_ns() - start) as f64 / count as f64);
}

/// One table of keys of sixteen bytes, scattered or in order.
fn one_table(room: &mut Room, in_order: bool, options: &TableOptions) -> Vec<Arc<Table>> {
    let keys_total = key_count();
    let keys = (0..keys_total).map(|number| any_key(number, in_order));
    let mut entries: Vec<([u8; 16], u64)> = keys.zip(0..keys_total).collect();
    entries.sort_unstable();
    let entries = entries.into_iter();
    let owned = entries.map(|(key, seq)| Ok(Entry { key: key.to_vec(), rank: 1, seq }));
    let mut tables = Vec::new();
    let mut owned = Some(owned);
    measure("write of one table", 1, |_| {
        tables = room.write(Sorted::new(owned.take().expect("once")), options);
    });
    let bytes: u64 = tables.iter().map(|table| table.meta().file_bytes).sum();
    println!("{} tables, {:.1} bytes per entry", tables.len(), bytes as f64 / keys_total as f64);
    tables
}

fn any_key(number: u64, in_order: bool) -> [u8; 16] {
    if in_order {
        let text = format!("user:{number:011}");
        text.as_bytes().try_into().expect("sixteen bytes")
    } else {
        key(number)
    }
}

#[test]
#[ignore = "a measurement"]
fn memtable_insert_and_lookup() {
    for in_order in [false, true] {
        let memtable = MemTable::new();
        let keys: Vec<_> = (0..500_000).map(|number| any_key(number, in_order)).collect();
        println!("in order: {in_order}");
        measure("insert", 500_000, |number| {
            memtable.insert(&keys[number as usize], 1, number);
        });
        measure("newest", 500_000, |number| {
            let number = scatter(number) % 500_000;
            black_box(memtable.newest(&keys[number as usize], u64::MAX));
        });
        println!("{} bytes per entry by estimate", memtable.bytes() / 500_000);
    }
}

#[test]
#[ignore = "a measurement"]
fn table_lookup() {
    for in_order in [false, true] {
        for block_bytes in [2048, 4096, 8192] {
            for compression in [Compression::None, Compression::Lz4] {
                let options = TableOptions { block_bytes, compression, ..TableOptions::default() };
                println!("in order: {in_order}, blocks of {block_bytes}, {}", compression.as_str());
                lookups(in_order, &options);
            }
        }
    }
}

fn lookups(in_order: bool, options: &TableOptions) {
    let keys_total = key_count();
    let mut room = Room::new(256 << 20);
    let table = one_table(&mut room, in_order, options).remove(0);
    let keys: Vec<_> = (0..keys_total).map(|number| any_key(number, in_order)).collect();
    let absent: Vec<_> =
        (keys_total..2 * keys_total).map(|number| any_key(number, in_order)).collect();
    for what in ["cold", "warm"] {
        measure(&format!("{what} newest, present"), keys_total, |number| {
            let number = scatter(number) % keys_total;
            black_box(table.newest(&keys[number as usize], u64::MAX).unwrap());
        });
    }
    let mut passed = 0;
    if !in_order {
        measure("newest, absent", keys_total, |number| {
            let found = table.newest(&absent[number as usize], u64::MAX).unwrap();
            passed += u64::from(found.is_some());
        });
        assert_eq!(passed, 0);
    }
    let set = TableSet::new(Vec::new(), vec![Vec::new(), vec![table]]);
    let scan = set.scan(Bound::Unbounded, Bound::Unbounded, u64::MAX, false);
    let mut scan = scan.newest_only(u64::MAX);
    measure("scan", keys_total, |_| {
        black_box(scan.next().unwrap().unwrap());
    });
    measure("scan of ten", 100_000, |number| {
        let number = scatter(number) % keys_total;
        let from = Bound::Included(&keys[number as usize][..]);
        let scan = set.scan(from, Bound::Unbounded, u64::MAX, false);
        black_box(scan.take(10).count());
    });
    let (hits, misses) = room.cache.hits_and_misses();
    println!("{hits} hits, {misses} misses, {} bytes cached\n", room.cache.bytes());
}

#[test]
#[ignore = "a measurement"]
fn flush_and_compaction() {
    let memtable = Arc::new(MemTable::new());
    (0..500_000).for_each(|number| memtable.insert(&key(number), 2, key_count() + number));
    let mut room = Room::new(64 << 20);
    let options = TableOptions::default();
    let mut tables = Vec::new();
    measure("flush of 500000, all", 1, |_| tables = room.write(memtable.entries(), &options));
    let older = one_table(&mut room, false, &options);
    tables.extend(older);
    let inputs = tables.iter().map(|table| table.meta().number).collect();
    let job = Job { level_from: 0, level_to: 1, inputs, trivial_move: false };
    let cancel = std::sync::atomic::AtomicBool::new(false);
    let mut number = 100;
    let mut take_number = || {
        number += 1;
        number
    };
    measure("merge of 1500000, all", 1, |_| {
        let files = &room.files;
        compaction::run(&job, &tables, files, &mut take_number, &options, &cancel).unwrap();
    });
}
