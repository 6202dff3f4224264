//! Roots and tiles are those of RFC 6962 over the encoded leaves.

use super::*;
use crate::proof::{
    consistency_path, inclusion_path, root_at, verify_consistency, verify_inclusion,
};

/// Tile hashes of all levels, from the leaves up.
fn naive_tiles(leaves: &[Hash]) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves.to_vec()];
    loop {
        let above: Vec<Hash> = levels[levels.len() - 1].chunks_exact(256).map(naive_root).collect();
        if above.is_empty() {
            return levels;
        }
        levels.push(above);
    }
}

fn assert_tree(bench: &Bench, ledger: &Ledger) {
    let leaves = leaf_hashes(ledger);
    let (header, hash) =
        ledger.header(ledger.position().blocks - 1).expect("readable").expect("the last");
    let (last, before) = leaves.split_last().expect("not empty");
    assert_eq!(header.merkle_root, naive_root(before));
    assert_eq!(*last, hash);
    let levels = naive_tiles(&leaves);
    for (level, hashes) in levels.iter().enumerate() {
        let file = bench.disk.read_file(dir().join(format!("tiles/{level}.dat")));
        assert_eq!(file[64..], *hashes.as_flattened(), "level {level} of {}", leaves.len());
    }
    let tiles =
        bench.disk.files().iter().filter(|file| file.starts_with(dir().join("tiles"))).count();
    assert_eq!(tiles, levels.len());
    assert_eq!(root_at(&ledger.tiles(), leaves.len() as u64).expect("whole"), naive_root(&leaves));
}

#[test]
fn every_header_names_the_root_of_what_lies_before_it() {
    let bench = Bench::new(10_000, 512);
    let ledger = bench.open(LedgerPosition::default());
    for count in 1..25 {
        add(&ledger, count, Sample::any);
        assert_tree(&bench, &ledger);
    }
}

#[test]
fn tiles_are_whole_at_and_around_their_boundaries() {
    for size in [254, 255, 256, 257, 258, 511, 512, 513, 1025] {
        let bench = Bench::new(1 << 20, 4096);
        let ledger = bench.open(LedgerPosition::default());
        add(&ledger, 100, |seq| Sample::record(seq, 10));
        // Each block has a header leaf of its own.
        add(&ledger, size - 102, |seq| Sample::record(seq, 10));
        assert_eq!(ledger.position().end_seq, size);
        assert_tree(&bench, &ledger);
        assert_sound(&ledger);
    }
}

#[test]
fn the_third_level_begins_at_65536_leaves() {
    let bench = Bench::new(1 << 20, 8192);
    let ledger = bench.open(LedgerPosition::default());
    for count in [30_000, 35_533, 0, 1, 300] {
        if count > 0 {
            add(&ledger, count, |seq| Sample::record(seq, 8));
        }
        if ledger.position().end_seq > 65_000 {
            assert_tree(&bench, &ledger);
        }
    }
    assert_eq!(ledger.position().end_seq, 65_838);
    let (summary, faults, _) = verify_all(&ledger, 2);
    assert_eq!(faults, []);
    assert_eq!(summary.root, root_at(&ledger.tiles(), 65_838).expect("whole"));
}

#[test]
fn a_ledger_that_was_opened_again_goes_on_with_the_same_tree() {
    let bench = Bench::new(4_000, 512);
    let mut position = LedgerPosition::default();
    for count in (1..40).chain([300, 1, 2]) {
        let ledger = bench.open(position);
        assert_eq!(ledger.cut().expect("nothing to cut"), 0);
        add(&ledger, count, |seq| Sample::record(seq, 20));
        position = ledger.sync().expect("a working disk");
    }
    let ledger = bench.open(position);
    assert_tree(&bench, &ledger);
    assert_sound(&ledger);
}

#[test]
fn proofs_are_made_of_the_tiles() {
    let bench = Bench::new(10_000, 512);
    let ledger = bench.open(LedgerPosition::default());
    for count in [1, 5, 250, 13, 300] {
        add(&ledger, count, |seq| Sample::record(seq, 20));
    }
    let (leaves, tiles) = (leaf_hashes(&ledger), ledger.tiles());
    let size = leaves.len() as u64;
    let root = naive_root(&leaves);
    for index in (0..size).step_by(7) {
        let path = inclusion_path(&tiles, index, size).expect("whole");
        verify_inclusion(&leaves[index as usize], index, size, &path, &root).expect("a proof");
        let old = naive_root(&leaves[..=index as usize]);
        let path = consistency_path(&tiles, index + 1, size).expect("whole");
        verify_consistency(index + 1, &old, size, &root, &path).expect("a proof");
    }
    assert_eq!(tiles.tile(1, 0, 2).expect("complete"), naive_tiles(&leaves)[1].as_flattened());
    tiles.tile(1, 0, 3).expect_err("not complete");
    tiles.tile(0, 0, 257).expect_err("more than a tile");
}
