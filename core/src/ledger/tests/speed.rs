//! Measurements, run by hand in a release build:
//! `cargo test --release -p blockdb --lib ledger::tests::speed -- --ignored --nocapture`.

use super::*;
use crate::disk::Access;
use crate::disk::real::RealVfs;
use crate::proof::inclusion_path;

const RECORDS: u64 = 400_000;
const BLOCK: u64 = 16_000;

/// Bodies of 256 bytes that compress about as well as real ones do.
fn sample(seq: u64) -> Sample {
    let mut state = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut sample = Sample::record(seq, 0);
    let text = b"{\"name\":\"Ada Lovelace\",\"city\":\"London\",\"amount\":";
    sample.body.extend_from_slice(text);
    while sample.body.len() < 256 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let word = [&b",\"note\":\""[..], b"order", b"paid", b"invoice "][(state >> 62) as usize];
        sample.body.extend_from_slice(word);
        sample.body.extend_from_slice(format!("{:x}", state >> 40).as_bytes());
    }
    sample.body.truncate(256);
    for (place, byte) in sample.salt.iter_mut().enumerate() {
        *byte = (state >> (place * 3)) as u8;
    }
    sample
}

fn open_real(dir: &tempfile::TempDir, cache_bytes: u64) -> Ledger {
    let pool = Arc::new(FilePool::new(Arc::new(RealVfs::new()), 64));
    let cache = Arc::new(BlockCache::new(cache_bytes));
    let options = LedgerOptions { segment_bytes: 64 << 20, ..LedgerOptions::default() };
    Ledger::open(pool, cache, dir.path().into(), COLLECTION, options, LedgerPosition::default())
}

/// Nanoseconds this thread has run on a processor (Linux): a busy machine does not change them
/// much, as it does a clock.
fn cpu_ns() -> u64 {
    let path = std::path::Path::new("/proc/thread-self/schedstat");
    let file = RealVfs::new().open(path, Access::Read).expect("a Linux system");
    let mut bytes = [0; 64];
    let count = file.read_at(&mut bytes, 0).expect("readable");
    let text = std::str::from_utf8(&bytes[..count]).expect("digits");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

fn time(what: &str, count: u64, work: &mut dyn FnMut()) {
    let start = cpu_ns();
    work();
    let ns = (cpu_ns() - start) / count;
    println!("{what:44} {ns:7} ns each");
}

#[test]
#[ignore = "a measurement"]
fn a_read_of_what_lies_in_the_processors_cache_costs_this_much() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ledger = open_real(&dir, 64 << 20);
    for _ in 0..3 {
        add(&ledger, 5000, sample);
    }
    let count = 3_000_000;
    time("read, one frame over and over", count, &mut || {
        for at in 0..count {
            std::hint::black_box(ledger.read(1000 + at % 16).expect("readable"));
        }
    });
    time("read_leaf, one frame over and over", count, &mut || {
        for at in 0..count {
            std::hint::black_box(ledger.read_leaf(1000 + at % 16).expect("readable"));
        }
    });
    let mut reader = ledger.reader();
    time("reader, one frame over and over", count, &mut || {
        for at in 0..count {
            std::hint::black_box(reader.read(1000 + at % 16).expect("readable"));
        }
    });
}

#[test]
#[ignore = "a measurement"]
fn sealing_appending_and_reading_cost_this_much() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ledger = open_real(&dir, 512 << 20);
    let (mut seal_ns, mut append_ns, mut raw) = (0, 0, 0);
    for _ in 0..RECORDS / BLOCK {
        let first = ledger.sealed_end_seq();
        let samples: Vec<Sample> = (first..first + BLOCK).map(sample).collect();
        let leaves: Vec<PendingLeaf<'_>> = samples.iter().map(Sample::pending).collect();
        let start = cpu_ns();
        let block = ledger.seal(1, &mut leaves.iter().copied(), BLOCK).expect("good leaves");
        let middle = cpu_ns();
        ledger.append(block).expect("a working disk");
        seal_ns += middle - start;
        append_ns += cpu_ns() - middle;
        raw += samples.iter().map(|sample| sample.body.len() as u64).sum::<u64>();
    }
    println!("{:44} {:7} ns each", "seal (leaf hash, tree, encode, LZ4)", seal_ns / RECORDS);
    println!("{:44} {:7} ns each", "append (page cache)", append_ns / RECORDS);
    let share = ledger.bytes_on_disk() as f64 / raw as f64;
    println!("{:44} {share:7.3} of the bodies' bytes", "on disk, tiles included");
    let samples: Vec<Sample> = (0..1000).map(sample).collect();
    time("commitment of a body (before the seal)", 100_000, &mut || {
        for round in 0..100_000usize {
            let sample = &samples[round % 1000];
            std::hint::black_box(commitment(&sample.salt, &sample.body));
        }
    });
    let end = ledger.position().end_seq;
    let numbers: Vec<u64> = (0..end).map(|at| at * 7919 % end).collect();
    for what in ["read, cold cache, warm page cache", "read, hot, all over", "read, hot, all over"]
    {
        time(what, end, &mut || {
            for seq in &numbers {
                std::hint::black_box(ledger.read(*seq).expect("readable"));
            }
        });
    }
    time("read_leaf, hot, all over", end, &mut || {
        for seq in &numbers {
            std::hint::black_box(ledger.read_leaf(*seq).expect("readable"));
        }
    });
    time("reader, hot, in sequence", end, &mut || {
        let mut reader = ledger.reader();
        for seq in 0..end {
            std::hint::black_box(reader.read(seq).expect("readable"));
        }
    });
    time("iter with bodies", end, &mut || {
        assert_eq!(ledger.iter(0, true).count() as u64, end);
    });
    let tiles = ledger.tiles();
    time("inclusion path, hot", 100_000, &mut || {
        for seq in &numbers[..100_000] {
            std::hint::black_box(inclusion_path(&tiles, *seq, end).expect("whole"));
        }
    });
    time("verify", end, &mut || assert_eq!(verify_all(&ledger, 1).1, []));
}
