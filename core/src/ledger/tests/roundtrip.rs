//! What goes in comes out, wherever it lies.

use super::*;

#[test]
fn leaves_of_every_kind_come_back_by_number_and_in_sequence() {
    let bench = Bench::new(20_000, 512);
    let ledger = bench.open(LedgerPosition::default());
    for count in [1, 2, 3, 40, 17, 1, 90, 64] {
        add(&ledger, count, Sample::any);
    }
    let position = ledger.sync().expect("a working disk");
    assert_eq!(position, ledger.position());
    assert!(position.segment > 3, "the segments did not roll: {position:?}");
    for ledger in [ledger, bench.open(position)] {
        let streamed: Vec<_> = ledger.iter(0, true).collect::<Result<_>>().expect("readable");
        assert_eq!(streamed.len() as u64, position.end_seq);
        let mut reader = ledger.reader();
        for (seq, leaf) in (0..).zip(&streamed) {
            assert_eq!(leaf.seq, seq);
            assert_eq!(ledger.read(seq).expect("readable").as_ref(), Some(leaf));
            match is_header(&ledger, seq) {
                true => assert_eq!(leaf.kind, LeafKind::BlockHeader),
                false => Sample::any(seq).assert_is(leaf),
            }
            assert_eq!(reader.read(seq).expect("readable").as_ref(), Some(leaf));
            let bare = ledger.read_leaf(seq).expect("readable").expect("below the end");
            let same = StoredLeaf { slot: bare.slot.clone(), ..leaf.clone() };
            assert_eq!(bare, same);
        }
        assert_eq!(ledger.read(position.end_seq).expect("no fault"), None);
        assert_eq!(ledger.header(position.blocks).expect("no fault"), None);
        for threads in [1, 3] {
            let (summary, faults, seen) = verify_all(&ledger, threads);
            assert_eq!(faults, []);
            assert_eq!((summary.blocks, seen), (position.blocks, position.end_seq));
            assert_eq!(summary.records, position.records);
            assert_eq!(summary.body_bytes, position.body_bytes);
        }
    }
}

#[test]
fn headers_are_found_by_block_and_by_leaf_and_chain_to_each_other() {
    let bench = Bench::new(3_000, 256);
    let ledger = bench.open(LedgerPosition::default());
    for count in 1..60 {
        add(&ledger, 1 + count % 5, |seq| Sample::record(seq, 60));
    }
    let mut previous = [0; 32];
    let mut first_seq = 0;
    for id in 0..ledger.position().blocks {
        let (header, hash) = ledger.header(id).expect("readable").expect("below the end");
        assert_eq!((header.id, header.first_seq, header.previous_hash), (id, first_seq, previous));
        let seq = header.first_seq + header.count;
        assert_eq!(hash, header.hash(COLLECTION, seq));
        for seq in first_seq..=seq {
            let found = ledger.header_of_seq(seq).expect("readable");
            assert_eq!(found, Some((header.clone(), hash)));
        }
        (previous, first_seq) = (hash, seq + 1);
    }
    assert_eq!(previous, ledger.position().head);
    assert_eq!(first_seq, ledger.position().end_seq);
}

#[test]
fn a_body_of_megabytes_has_a_frame_of_its_own() {
    let bench = Bench::new(1 << 20, 8 << 10);
    let ledger = bench.open(LedgerPosition::default());
    let make = |seq: u64| Sample::record(seq, if seq % 3 == 1 { 3 << 20 } else { 100 });
    add(&ledger, 5, make);
    add(&ledger, 2, make);
    for seq in [0, 1, 2, 3, 4, 6, 7] {
        make(seq).assert_is(&ledger.read(seq).expect("readable").expect("below the end"));
    }
    assert_eq!(ledger.position().segment, 2);
    assert_sound(&ledger);
}

#[test]
fn incompressible_and_uncompressed_frames_come_back() {
    let mut bench = Bench::new(1 << 20, 4096);
    bench.options.compression = Compression::None;
    let ledger = bench.open(LedgerPosition::default());
    add(&ledger, 200, |seq| Sample::record(seq, 100));
    Sample::record(77, 100).assert_is(&ledger.read(77).expect("readable").expect("there"));
    assert_sound(&ledger);
}

#[test]
fn several_blocks_may_be_sealed_before_the_first_is_appended() {
    let bench = Bench::new(1 << 20, 512);
    let ledger = bench.open(LedgerPosition::default());
    let make = |seq| Sample::record(seq, 30);
    let blocks: Vec<_> = (0..4).map(|_| seal(&ledger, 3, make).expect("a good seal")).collect();
    assert_eq!(ledger.position(), LedgerPosition::default());
    assert_eq!(ledger.read(0).expect("no fault"), None);
    for block in blocks {
        ledger.append(block).expect("in order");
    }
    assert_eq!(ledger.position().end_seq, 16);
    let (early, late) = (seal(&ledger, 1, make), seal(&ledger, 1, make));
    ledger.append(late.expect("a good seal")).expect_err("out of order");
    ledger.append(early.expect("a good seal")).expect("in order");
    ledger.unseal();
    add(&ledger, 1, make);
    assert_sound(&ledger);
}

#[test]
fn a_seal_with_other_leaves_than_it_says_changes_nothing() {
    let bench = Bench::new(1 << 20, 512);
    let ledger = bench.open(LedgerPosition::default());
    let samples: Vec<_> = (0..3).map(|seq| Sample::record(seq, 30)).collect();
    for count in [0, 2, 4] {
        ledger.seal(0, &mut samples.iter().map(Sample::pending), count).expect_err("wrong count");
    }
    let keyless = Sample { key: None, ..Sample::record(0, 30) };
    ledger.seal(0, &mut [keyless.pending()].into_iter(), 1).expect_err("a record without a key");
    let long = Sample { key: Some(vec![1; 65_500]), ..Sample::record(0, 30) };
    ledger.seal(0, &mut [long.pending()].into_iter(), 1).expect_err("a leaf too long");
    add(&ledger, 3, |seq| Sample::record(seq, 30));
    assert_sound(&ledger);
}

#[test]
fn a_position_survives_encoding_and_nonsense_is_refused() {
    let bench = Bench::new(2_000, 512);
    let ledger = bench.open(LedgerPosition::default());
    for _ in 0..5 {
        add(&ledger, 9, Sample::any);
    }
    for position in [LedgerPosition::default(), ledger.position()] {
        let mut bytes = Vec::new();
        position.encode(&mut bytes);
        assert_eq!(bytes.len(), LedgerPosition::ENCODED_BYTES);
        bytes.push(7);
        let mut input = &bytes[..];
        assert_eq!(LedgerPosition::decode(&mut input).expect("just encoded"), position);
        assert_eq!(input, [7]);
        LedgerPosition::decode(&mut &bytes[..99]).expect_err("too short");
    }
    LedgerPosition::decode(&mut &[0xff; 100][..]).expect_err("impossible numbers");
}

#[test]
fn an_idle_ledger_gives_its_memory_back_and_goes_on() {
    let bench = Bench::new(5_000, 512);
    let ledger = bench.open(LedgerPosition::default());
    for _ in 0..9 {
        add(&ledger, 9, |seq| Sample::record(seq, 90));
        ledger.release();
    }
    assert!(ledger.bytes_on_disk() > 5_000);
    let on_disk: usize =
        bench.disk.files().iter().map(|file| bench.disk.read_file(file).len()).sum();
    assert_eq!(ledger.bytes_on_disk(), on_disk as u64);
    assert_sound(&ledger);
}

#[test]
fn an_open_ledger_that_nobody_uses_takes_less_than_a_kibibyte() {
    use crate::ledger::store::Store;
    use crate::ledger::view::View;
    let fixed = size_of::<Ledger>() + size_of::<Store>() + size_of::<View>();
    let counts_and_path = 4 * 16 + 120;
    assert!(fixed + counts_and_path < 1024, "{fixed} bytes and a path");
}

#[test]
fn readers_run_beside_the_writer() {
    let bench = Bench::new(30_000, 1024);
    let ledger = bench.open(LedgerPosition::default());
    let make = |seq| Sample::record(seq, 80);
    std::thread::scope(|scope| {
        for reader in 0..2u64 {
            let ledger = &ledger;
            scope.spawn(move || {
                let mut seq = reader;
                // Bounded, so that a writer that fails is not waited for.
                for _ in 0..20_000 {
                    let end = match ledger.position().end_seq {
                        0 => continue,
                        3000.. => break,
                        end_seq => end_seq - 1,
                    };
                    seq = (seq * 31 + 7) % (end + 1);
                    let leaf = ledger.read(seq).expect("readable").expect("below the end");
                    if leaf.kind == LeafKind::Record {
                        make(seq).assert_is(&leaf);
                    }
                    ledger.release();
                }
            });
        }
        while ledger.position().end_seq < 3000 {
            add(&ledger, 10, make);
        }
    });
    assert_sound(&ledger);
}
