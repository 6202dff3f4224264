//! Opening: cutting at a restart point, and following another process's writer.

use super::*;
use crate::error::Code;

/// A ledger of small blocks and segments; returns the position after each block.
fn build(bench: &Bench) -> Vec<LedgerPosition> {
    let ledger = bench.open(LedgerPosition::default());
    let mut positions = vec![LedgerPosition::default()];
    for count in [3, 1, 90, 2, 4, 200, 1, 30, 8, 5] {
        add(&ledger, count, |seq| Sample::record(seq, 25));
        positions.push(ledger.position());
    }
    positions
}

fn files(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    disk.files().into_iter().map(|file| (file.clone(), disk.read_file(file))).collect()
}

#[test]
fn a_ledger_can_be_cut_at_every_restart_point_and_written_again() {
    let bench = Bench::new(3_000, 512);
    let positions = build(&bench);
    let whole = files(&bench.disk);
    for position in positions {
        let bench = Bench::on(bench.disk.process_crash_image(), 3_000, 512);
        let ledger = bench.open(position);
        let before: usize = whole.iter().map(|(_, bytes)| bytes.len()).sum();
        let cut = ledger.cut().expect("a whole ledger");
        assert_eq!(cut, before as u64 - ledger.bytes_on_disk());
        assert_eq!(ledger.position(), position);
        assert_sound(&ledger);
        let counts = [3, 1, 90, 2, 4, 200, 1, 30, 8, 5];
        for count in &counts[position.blocks as usize..] {
            add(&ledger, *count, |seq| Sample::record(seq, 25));
        }
        assert_eq!(files(&bench.disk), whole);
    }
}

#[test]
fn a_file_that_ends_before_the_restart_point_is_corrupt() {
    let bench = Bench::new(3_000, 512);
    let position = *build(&bench).last().expect("positions");
    for (path, bytes) in files(&bench.disk) {
        let bench = Bench::on(bench.disk.process_crash_image(), 3_000, 512);
        bench.disk.write_file(&path, &bytes[..bytes.len() - 1]);
        let ledger = bench.open(position);
        let finished = path != ledger.store.segment_path(position.segment)
            && path.starts_with(dir())
            && path.parent() == Some(&dir());
        match ledger.cut() {
            Err(error) => assert_eq!(error.code(), Code::Corrupt),
            // Finished segments are not looked at before they are read.
            Ok(_) => assert!(finished, "{}", path.display()),
        }
        bench.disk.unlink(&path).expect("there");
        assert_eq!(bench.open(position).cut().expect_err("missing").code(), Code::Corrupt);
    }
}

#[test]
fn another_ledgers_restart_point_is_refused() {
    let bench = Bench::new(1 << 20, 512);
    let positions = build(&bench);
    let mut position = positions[4];
    position.head[0] ^= 1;
    let ledger = bench.open(position);
    ledger.cut().expect("lengths fit");
    assert_eq!(ledger.read(0).expect_err("another head").code(), Code::Corrupt);
    seal(&ledger, 1, Sample::any).expect_err("another head");
}

#[test]
fn a_reader_follows_the_writer_of_another_process() {
    let bench = Bench::new(3_000, 512);
    let (writer, reader) =
        (bench.open(LedgerPosition::default()), bench.open(LedgerPosition::default()));
    assert_eq!(reader.extend_from_disk().expect("an empty ledger"), 0);
    for count in [1, 2, 300, 5, 80, 80, 80, 1] {
        add(&writer, count, |seq| Sample::record(seq, 25));
        assert_eq!(reader.extend_from_disk().expect("a working disk"), count + 1);
        assert_eq!(reader.position(), writer.position());
        assert_eq!(reader.extend_from_disk().expect("a working disk"), 0);
        assert_sound(&reader);
    }
    let late = bench.open(LedgerPosition::default());
    assert_eq!(late.extend_from_disk().expect("a working disk"), writer.position().end_seq);
    assert_eq!(late.position(), writer.position());
}

#[test]
fn a_reader_stops_before_the_first_block_that_is_not_whole() {
    let bench = Bench::new(3_000, 512);
    let positions = build(&bench);
    let start = positions[2];
    for (path, bytes) in files(&bench.disk) {
        for offset in (0..bytes.len()).step_by(41) {
            let bench = Bench::on(bench.disk.process_crash_image(), 3_000, 512);
            bench.disk.flip(&path, offset as u64, 0x10);
            let reader = bench.open(start);
            if reader.extend_from_disk().is_ok() {
                assert!(positions.contains(&reader.position()));
            }
            let changed = files(&bench.disk);
            let only_ours = changed.iter().filter(|(file, _)| *file != path);
            assert!(only_ours.eq(files(&bench.disk).iter().filter(|(file, _)| *file != path)));
        }
        let bench = Bench::on(bench.disk.process_crash_image(), 3_000, 512);
        for size in (0..bytes.len()).step_by(97) {
            bench.disk.write_file(&path, &bytes[..size]);
            let reader = bench.open(start);
            if reader.extend_from_disk().is_ok() {
                assert!(positions.contains(&reader.position()));
            }
        }
    }
}

#[test]
fn an_append_that_finds_the_disk_full_can_be_made_again() {
    use crate::disk::simulated::Fault as DiskFault;
    let clean = Bench::new(3_000, 512);
    build(&clean);
    let last = clean.disk.ops();
    for op in 0..last {
        let bench = Bench::new(3_000, 512);
        let ledger = bench.open(LedgerPosition::default());
        let start = bench.disk.ops();
        bench.disk.fail_at(start + op, DiskFault::ShortWrite);
        bench.disk.fail_at(start + op, DiskFault::NoSpace);
        for count in [3, 1, 90, 2, 4, 200, 1, 30, 8, 5] {
            let block = seal(&ledger, count, |seq| Sample::record(seq, 25)).expect("no writing");
            for _ in 0..3 {
                if ledger.append_ref(&block).is_ok() {
                    break;
                }
                assert_eq!(ledger.position().end_seq, block.first_seq);
                assert_sound(&ledger);
                bench.disk.clear_faults();
            }
        }
        assert_eq!(files(&bench.disk), files(&clean.disk), "fault at {op}");
    }
}
