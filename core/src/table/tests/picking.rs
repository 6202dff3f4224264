//! The choice of compactions, as equations.

use super::*;
use crate::table::compaction::{Pressure, flush_level};

fn meta(number: u32, first: &str, last: &str, bytes: u64) -> TableMeta {
    TableMeta {
        number,
        level: 0,
        file_bytes: bytes,
        entries: 1,
        first_key: first.as_bytes().to_vec(),
        last_key: last.as_bytes().to_vec(),
        min_seq: u64::from(number),
        max_seq: u64::from(number),
        checksum: 0,
    }
}

fn options() -> CompactionOptions {
    CompactionOptions { level0_tables: 2, level1_bytes: 100, ..CompactionOptions::default() }
}

fn picked(levels: &[Vec<TableMeta>], busy: &[u32]) -> Option<(u8, Vec<u32>, bool)> {
    let job = pick(levels, &busy.iter().copied().collect(), &options())?;
    assert_eq!(job.level_to, job.level_from + 1);
    Some((job.level_from, job.inputs, job.trivial_move))
}

#[test]
fn nothing_is_due_below_the_thresholds() {
    assert_eq!(picked(&[], &[]), None);
    assert_eq!(picked(&[vec![meta(1, "a", "z", 10)]], &[]), None);
    assert_eq!(picked(&[vec![], vec![meta(1, "a", "z", 100)]], &[]), None);
}

#[test]
fn disjoint_tables_of_level_zero_move_down_unwritten() {
    let level0 = vec![meta(3, "x", "z", 10), meta(2, "k", "m", 10), meta(1, "a", "c", 10)];
    assert_eq!(picked(std::slice::from_ref(&level0), &[]), Some((0, vec![1, 2, 3], true)));
    let level1 = vec![meta(9, "l", "l", 10)];
    assert_eq!(picked(&[level0, level1], &[]), Some((0, vec![1, 3], true)));
}

#[test]
fn a_table_of_level_zero_goes_down_with_all_it_overlaps() {
    let level0 = vec![meta(3, "e", "h", 10), meta(2, "c", "f", 10), meta(1, "a", "d", 10)];
    let level1 = vec![meta(8, "g", "k", 10), meta(9, "l", "m", 10)];
    assert_eq!(picked(&[level0, level1], &[]), Some((0, vec![1, 2, 3, 8], false)));
}

#[test]
fn a_stretch_of_keys_that_is_being_written_is_left_alone() {
    // The job 1+2+8 runs and will cover a to k; table 3 would land in it.
    let level0 = [meta(4, "b", "c", 10), meta(3, "j", "j", 10)];
    let upper = [&level0[..], &[meta(2, "a", "d", 10), meta(1, "a", "d", 10)]].concat();
    let level1 = vec![meta(8, "d", "k", 10)];
    assert_eq!(picked(&[upper, level1], &[1, 2, 8]), None);
}

#[test]
fn jobs_on_distant_keys_run_at_once() {
    let level0 = vec![
        meta(4, "p", "r", 10),
        meta(3, "o", "q", 10),
        meta(2, "a", "c", 10),
        meta(1, "b", "d", 10),
    ];
    let levels = [level0, vec![meta(8, "c", "f", 10), meta(9, "q", "z", 10)]];
    assert_eq!(picked(&levels, &[]), Some((0, vec![1, 2, 8], false)));
    assert_eq!(picked(&levels, &[1, 2, 8]), Some((0, vec![3, 4, 9], false)));
    assert_eq!(picked(&levels, &[1, 2, 3, 4, 8, 9]), None);
}

#[test]
fn a_deeper_level_gives_up_the_table_that_drags_the_least_along() {
    let level1 = vec![meta(1, "a", "f", 60), meta(2, "g", "m", 60)];
    let level2 = vec![meta(3, "a", "c", 90), meta(4, "d", "g", 90), meta(5, "h", "z", 30)];
    let levels = [vec![], level1, level2];
    assert_eq!(picked(&levels, &[]), Some((1, vec![2, 4, 5], false)));
    assert_eq!(picked(&levels, &[4]), None, "both choices of the level meet a busy table");
    assert_eq!(picked(&levels, &[1]), None, "without the busy table the level is small enough");
}

#[test]
fn a_table_that_overlaps_nothing_below_moves_first() {
    let level1 = vec![meta(1, "a", "f", 60), meta(2, "g", "m", 60)];
    let levels = [vec![], level1, vec![meta(3, "a", "c", 1)]];
    assert_eq!(picked(&levels, &[]), Some((1, vec![2], true)));
}

#[test]
fn a_flush_lands_on_level_one_only_if_it_overlaps_nothing() {
    let levels = [vec![meta(1, "d", "f", 1)], vec![meta(2, "m", "p", 1)]];
    assert_eq!(flush_level(&levels, b"q", b"z"), 1);
    assert_eq!(flush_level(&levels, b"g", b"h"), 1);
    assert_eq!(flush_level(&levels, b"e", b"h"), 0);
    assert_eq!(flush_level(&levels, b"a", b"z"), 0);
    assert_eq!(flush_level(&levels, b"p", b"z"), 0);
    assert_eq!(flush_level(&[], b"a", b"z"), 1);
}

#[test]
fn pressure_rises_with_level_zero() {
    let options = CompactionOptions::default();
    assert_eq!(options.pressure(0), Pressure::None);
    assert_eq!(options.pressure(options.level0_slow_tables), Pressure::Slow);
    assert_eq!(options.pressure(options.level0_stop_tables), Pressure::Stop);
}
