//! Every wrong byte is found, named, and never more than an error.

use super::*;
use crate::error::Code;
use crate::ledger::FaultKind;

/// Reads everything there is in every way there is; returns how many calls failed.
fn read_everything(bench: &Bench, position: LedgerPosition) -> usize {
    let ledger = bench.open(position);
    let mut failed = 0;
    let mut check = |result: Result<()>| {
        if let Err(error) = result {
            assert!(matches!(error.code(), Code::Corrupt | Code::Unsupported), "{error}");
            failed += 1;
        }
    };
    for seq in 0..position.end_seq {
        check(ledger.read(seq).map(|_| ()));
    }
    for id in 0..position.blocks {
        check(ledger.header(id).map(|_| ()));
    }
    check(ledger.iter(0, true).try_for_each(|leaf| leaf.map(|_| ())));
    check(bench.open(position).extend_from_disk().map(|_| ()));
    failed
}

fn assert_every_flip_is_found(bench: &Bench, position: LedgerPosition, step: usize, read: bool) {
    assert_sound(&bench.open(position));
    let ledger = bench.open(position);
    for path in bench.disk.files() {
        let size = bench.disk.read_file(&path).len();
        for offset in (0..size).step_by(step) {
            for mask in [0x01, 0x80, 0xff] {
                bench.disk.flip(&path, offset as u64, mask);
                let (_, faults, _) = verify_all(&ledger, 1);
                let named = faults
                    .iter()
                    .any(|fault| fault.path == path && fault.offset.abs_diff(offset as u64) < 4096);
                assert!(named, "{} at {offset} ^ {mask:#x}: {faults:?}", path.display());
                let others = faults.iter().any(|fault| fault.path != path);
                assert!(!others, "{} at {offset} ^ {mask:#x}: {faults:?}", path.display());
                if read {
                    read_everything(bench, position);
                }
                bench.disk.flip(&path, offset as u64, mask);
            }
        }
    }
}

#[test]
fn every_flipped_byte_of_a_small_ledger_is_reported_where_it_is() {
    let bench = Bench::new(900, 256);
    let ledger = bench.open(LedgerPosition::default());
    for count in [3, 2, 4] {
        add(&ledger, count, |seq| Sample::record(seq, 40));
    }
    add(&ledger, 1, |seq| Sample { txn: Some(vec![3; 16]), ..Sample::record(seq, 300) });
    assert!(ledger.position().segment > 1);
    assert_every_flip_is_found(&bench, ledger.position(), 1, true);
}

#[test]
fn flipped_bytes_of_a_ledger_with_two_tile_levels_are_reported_where_they_are() {
    let bench = Bench::new(9_000, 512);
    let ledger = bench.open(LedgerPosition::default());
    for count in [3, 200, 90, 4, 5, 300] {
        add(&ledger, count, |seq| Sample::record(seq, 40));
    }
    assert_every_flip_is_found(&bench, ledger.position(), 131, false);
    ledger.purge_bodies().expect("a sound ledger");
    assert_every_flip_is_found(&bench, ledger.position(), 173, false);
}

#[test]
fn a_finished_segment_with_many_index_pages_is_whole_and_watched() {
    let bench = Bench::new(8 << 20, 64);
    let ledger = bench.open(LedgerPosition::default());
    let noise = |seq: u64| {
        let body =
            (0..9000u64).map(|at| ((at + seq).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8);
        Sample { body: body.collect(), ..Sample::record(seq, 0) }
    };
    while ledger.position().segment < 2 {
        add(&ledger, 1, noise);
    }
    let position = ledger.position();
    for seq in (0..position.end_seq).step_by(2) {
        let leaf = ledger.read(seq).expect("readable").expect("below the end");
        assert_eq!(leaf.kind, LeafKind::Record);
    }
    for id in 0..position.blocks {
        ledger.header(id).expect("readable").expect("below the end");
    }
    assert_sound(&ledger);
    let path = ledger.store.segment_path(1);
    let size = bench.disk.read_file(&path).len();
    for offset in (size - 9000..size).step_by(1009) {
        bench.disk.flip(&path, offset as u64, 4);
        assert_eq!(verify_all(&ledger, 1).1.len(), 1);
        bench.disk.flip(&path, offset as u64, 4);
    }
}

#[test]
fn a_damaged_block_costs_its_own_leaves_only() {
    let bench = Bench::new(1 << 20, 512);
    let ledger = bench.open(LedgerPosition::default());
    for _ in 0..6 {
        add(&ledger, 20, |seq| Sample::record(seq, 100));
    }
    let position = ledger.position();
    let root = assert_sound(&ledger).root;
    let path = ledger.store.segment_path(1);
    let bytes = bench.disk.read_file(&path);
    let heads: Vec<usize> =
        (64..bytes.len() - 8).filter(|at| &bytes[at + 4..at + 8] == b"BLCK").collect();
    assert_eq!(heads.len(), 6);
    bench.disk.flip(&path, heads[2] as u64 + 70, 0xff);
    let (summary, faults, seen) = verify_all(&ledger, 2);
    assert_eq!((summary.blocks, seen, summary.leaves), (5, 5 * 21, position.end_seq));
    assert_eq!(summary.root, root, "the lost leaves' hashes are in the tiles");
    let kinds: Vec<_> = faults.iter().map(|fault| (fault.kind, fault.seq)).collect();
    assert_eq!(kinds, [(FaultKind::Damaged, None), (FaultKind::Missing, Some(42))]);
}

#[test]
fn missing_unknown_and_later_files_are_reported() {
    let bench = Bench::new(3_000, 512);
    let ledger = bench.open(LedgerPosition::default());
    for _ in 0..9 {
        add(&ledger, 20, |seq| Sample::record(seq, 100));
    }
    let position = ledger.position();
    assert!(position.segment > 4);
    let kinds = |bench: &Bench| -> Vec<FaultKind> {
        let (_, faults, _) = verify_all(&bench.open(position), 2);
        faults.into_iter().map(|fault| fault.kind).collect()
    };
    let copy = || Bench::on(bench.disk.process_crash_image(), 3_000, 512);
    for number in 1..=position.segment {
        let bench = copy();
        bench.disk.unlink(&ledger.store.segment_path(number)).expect("there");
        assert_eq!(kinds(&bench), [FaultKind::Missing, FaultKind::Missing], "file, then leaves");
    }
    let bench = copy();
    bench.disk.unlink(&dir().join("tiles/0.dat")).expect("there");
    assert_eq!(kinds(&bench), [FaultKind::Missing]);
    for name in ["blockchain_1.dat", "tiles/x.dat", "tiles/01.dat"] {
        let bench = copy();
        bench.disk.write_file(dir().join(name), b"?");
        assert_eq!(kinds(&bench), [FaultKind::Unknown], "{name}");
    }
    for name in ["blockchain_000099.dat", "blockchain_000001.dat.tmp", "tiles/3.dat"] {
        let bench = copy();
        bench.disk.write_file(dir().join(name), b"?");
        assert_eq!(kinds(&bench), [FaultKind::Trailing], "{name}");
    }
    for path in bench.disk.files() {
        let bench = copy();
        let mut bytes = bench.disk.read_file(&path);
        bytes.push(0);
        bench.disk.write_file(&path, bytes);
        let found = kinds(&bench);
        assert!(!found.is_empty(), "{} has a byte too many", path.display());
    }
}

/// Changes a body with all checksums made good again: what a forger without the tiles does.
#[test]
fn a_forged_body_under_good_checksums_is_found_by_the_tree() {
    let mut bench = Bench::new(1 << 20, 512);
    bench.options.compression = Compression::None;
    let ledger = bench.open(LedgerPosition::default());
    for _ in 0..3 {
        add(&ledger, 5, |seq| Sample::record(seq, 60));
    }
    let path = ledger.store.segment_path(1);
    let mut bytes = bench.disk.read_file(&path);
    let at = bytes.windows(10).rposition(|bytes| bytes == b"\"number\":1").expect("a body");
    let head = (64..at).rfind(|at| &bytes[at + 4..at + 8] == b"BLCK").expect("its block");
    bytes[at + 9] = b'7';
    let number = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
    };
    let frames = number(&bytes, head + 16) + number(&bytes, head + 20);
    let mut start = number(&bytes, head + 8);
    for frame in 0..frames {
        let entry = head + 160 + 17 * frame;
        let end = number(&bytes, entry + 4);
        let crc = crc32c::crc32c(&bytes[head + start..head + end]);
        bytes[entry + 12..entry + 16].copy_from_slice(&crc.to_le_bytes());
        start = end;
    }
    let crc = crc32c::crc32c(&bytes[head + 4..head + number(&bytes, head + 8)]);
    bytes[head..head + 4].copy_from_slice(&crc.to_le_bytes());
    bench.disk.write_file(&path, bytes);
    let (_, faults, _) = verify_all(&ledger, 1);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!((&faults[0].path, faults[0].seq.is_some()), (&path, true));
}
