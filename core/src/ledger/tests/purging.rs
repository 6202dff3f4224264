//! A purge erases every body and no proof.

use super::*;
use crate::error::Code;

fn build(bench: &Bench) -> (Ledger, LedgerPosition) {
    let ledger = bench.open(LedgerPosition::default());
    for count in [3, 1, 90, 2, 4, 70, 1] {
        add(&ledger, count, Sample::any);
    }
    let position = ledger.sync().expect("a working disk");
    assert!(position.segment > 2);
    (ledger, position)
}

fn assert_purged(bench: &Bench, ledger: &Ledger, hashes: &[Hash]) {
    assert_eq!(leaf_hashes(ledger), hashes);
    for leaf in ledger.iter(0, true) {
        let leaf = leaf.expect("readable");
        assert_eq!(ledger.read(leaf.seq).expect("readable").as_ref(), Some(&leaf));
        match leaf.slot {
            Slot::Header(_) => {}
            Slot::Erased(_) => Sample::any(leaf.seq).assert_is(&leaf),
            slot => panic!("leaf {} still has {slot:?}", leaf.seq),
        }
    }
    for file in bench.disk.files() {
        assert!(file.extension() != Some("tmp".as_ref()), "{} is left", file.display());
        let bytes = bench.disk.read_file(&file);
        assert!(!bytes.windows(9).any(|bytes| bytes == b"quick bro"), "{}", file.display());
    }
    assert_sound(ledger);
}

#[test]
fn a_purge_keeps_leaves_root_and_tiles() {
    let bench = Bench::new(20_000, 512);
    let (ledger, before) = build(&bench);
    let hashes = leaf_hashes(&ledger);
    let (summary, iter) = (assert_sound(&ledger), ledger.iter(0, true));
    ledger.purge_bodies().expect("a sound ledger");
    assert_purged(&bench, &ledger, &hashes);
    assert_eq!(assert_sound(&ledger), summary);
    drop(iter);
    let bytes = ledger.bytes_on_disk();
    ledger.purge_bodies().expect("nothing left to do");
    assert_eq!(ledger.bytes_on_disk(), bytes);
    // The restart point of before the purge still names the end.
    for position in [before, ledger.sync().expect("a working disk")] {
        let again = bench.open(position);
        assert_eq!(again.cut().expect("a purged ledger"), 0);
        assert_purged(&bench, &again, &hashes);
    }
    let again = bench.open(before);
    again.cut().expect("a purged ledger");
    add(&again, 3, Sample::any);
    assert_sound(&again);
    let after = again.sync().expect("a working disk");
    assert_sound(&bench.open(after));
    // What was appended after the purge is cut like anything else.
    let again = bench.open(before);
    assert!(again.cut().expect("a purged ledger") > 0);
    assert_purged(&bench, &again, &hashes);
}

#[test]
fn a_purge_may_be_interrupted_anywhere() {
    let bench = Bench::new(20_000, 512);
    let (ledger, position) = build(&bench);
    let hashes = leaf_hashes(&ledger);
    bench.disk.sync_dir(&dir()).expect("a working disk");
    let before = bench.disk.process_crash_image();
    let start = before.ops();
    let whole = Bench::on(before.clone(), 20_000, 512);
    let whole = Bench::on(whole.disk.process_crash_image(), 20_000, 512);
    let first = whole.disk.ops();
    whole.open(position).purge_bodies().expect("a sound ledger");
    let count = whole.disk.ops() - first;
    for op in 0..count {
        let crashed = Bench::on(before.process_crash_image(), 20_000, 512);
        crashed.disk.crash_at(start + op);
        crashed.open(position).purge_bodies().expect_err("the power is cut");
        for seed in 0..3 {
            let image = crashed.disk.crash_image(crate::disk::simulated::CrashMode::M3, seed);
            let bench = Bench::on(image, 20_000, 512);
            let ledger = bench.open(position);
            ledger.cut().expect("whole old and whole new segments");
            assert_eq!(leaf_hashes(&ledger), hashes);
            assert_sound(&ledger);
            ledger.purge_bodies().expect("a sound ledger");
            assert_purged(&bench, &ledger, &hashes);
        }
    }
}

#[test]
fn a_purge_does_not_hide_damage() {
    let bench = Bench::new(20_000, 512);
    let (ledger, position) = build(&bench);
    let (segment, tiles) = (ledger.store.segment_path(1), dir().join("tiles/0.dat"));
    let middle = bench.disk.read_file(&segment).len() as u64 / 2;
    for (path, offset) in [(segment, middle), (tiles, 64 + 32 * 50)] {
        let bench = Bench::on(bench.disk.process_crash_image(), 20_000, 512);
        bench.disk.flip(&path, offset, 1);
        let ledger = bench.open(position);
        assert_eq!(ledger.purge_bodies().expect_err("damage").code(), Code::Corrupt);
        bench.disk.flip(&path, offset, 1);
        ledger.purge_bodies().expect("repaired");
    }
}
