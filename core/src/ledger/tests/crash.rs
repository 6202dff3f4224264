//! Power losses: what was synced under a restart point survives all of them.

use super::*;
use crate::disk::simulated::CrashMode;

const COUNTS: [u64; 12] = [3, 1, 90, 2, 4, 120, 1, 30, 8, 5, 260, 7];

/// Appends all blocks with a sync after every third; returns the last position that was synced.
fn run(bench: &Bench) -> LedgerPosition {
    let ledger = bench.open(LedgerPosition::default());
    let mut durable = LedgerPosition::default();
    for (place, count) in COUNTS.into_iter().enumerate() {
        let Ok(block) = seal(&ledger, count, |seq| Sample::record(seq, 25)) else { break };
        if ledger.append(block).is_err() {
            break;
        }
        if place % 3 == 2 {
            match ledger.sync() {
                Ok(position) => durable = position,
                Err(_) => break,
            }
        }
    }
    durable
}

#[test]
fn whatever_a_power_loss_takes_the_synced_ledger_is_whole_and_goes_on() {
    let clean = Bench::new(4_000, 512);
    let start = clean.disk.ops();
    run(&clean);
    let end = clean.disk.ops();
    for op in start..=end {
        let bench = Bench::new(4_000, 512);
        bench.disk.crash_at(op);
        let durable = run(&bench);
        for (seed, mode) in (0..).zip(CrashMode::HONEST) {
            let image = bench.disk.crash_image(mode, op * 10 + seed);
            let bench = Bench::on(image, 4_000, 512);
            let ledger = bench.open(durable);
            ledger.cut().unwrap_or_else(|error| panic!("op {op}, {mode:?}: {error}"));
            assert_sound(&ledger);
            for count in &COUNTS[durable.blocks as usize..] {
                add(&ledger, *count, |seq| Sample::record(seq, 25));
            }
            let position = ledger.sync().expect("a working disk");
            assert_sound(&bench.open(position));
        }
    }
}

#[test]
fn a_failed_sync_is_not_forgotten() {
    use crate::disk::simulated::{Fault as DiskFault, OpKind};
    let bench = Bench::new(4_000, 512);
    let ledger = bench.open(LedgerPosition::default());
    add(&ledger, 5, |seq| Sample::record(seq, 25));
    bench.disk.fail_at(bench.disk.ops(), DiskFault::Once(std::io::ErrorKind::Other));
    ledger.sync().expect_err("a failing disk");
    bench.disk.record_trace(true);
    ledger.sync().expect("a working disk");
    let synced = bench.disk.trace().iter().filter(|op| op.kind == OpKind::SyncData).count();
    assert_eq!(synced, 2, "segment and tiles");
}
