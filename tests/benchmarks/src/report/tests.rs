//! What a reader of the tables relies on.

use super::*;
use std::collections::BTreeMap;

fn measured(records: u64, seconds: f64) -> Measured {
    Measured {
        records,
        seconds,
        background_seconds: 0.5,
        latency_us: None,
        disk_bytes: 3_000_000,
        written_bytes: 6_000_000,
        memory_peak_bytes: 9_000_000,
    }
}

fn outcome(workload: Workload, rates: &[u64]) -> Outcome {
    let runs = rates.iter().map(|rate| measured(*rate, 1.0)).collect();
    Outcome { workload, runs: BTreeMap::from([(Kind::Rocksdb, runs)]) }
}

#[test]
fn the_middle_round_counts_and_the_furthest_is_told() {
    let outcome = outcome(Workload::IngestTime, &[100, 4_000_000, 2_000_000]);
    let text = speeds(&[Kind::Rocksdb], &[outcome]);
    assert!(text.contains("2,000,000 ±100 %"), "{text}");
}

#[test]
fn more_than_one_is_better_for_rates_and_for_times() {
    assert_eq!(ratio(Workload::Get1, Some(30.0), Some(20.0)), "1.50");
    assert_eq!(ratio(Workload::Reopen, Some(20.0), Some(30.0)), "1.50");
    assert_eq!(ratio(Workload::Reopen, None, Some(30.0)), "");
}

#[test]
fn numbers_are_grouped_and_small_ones_keep_a_digit() {
    assert_eq!(grouped(1_234_567.0), "1,234,567");
    assert_eq!(grouped(999.6), "1,000");
    assert_eq!(grouped(12.34), "12.3");
}

#[test]
fn engines_are_told_with_the_version_that_was_linked() {
    assert!(version(Kind::Fjall).starts_with("3."));
    assert!(version(Kind::Sqlite).starts_with("3."));
    assert_eq!(version(Kind::Rocksdb).split('.').count(), 3);
}
