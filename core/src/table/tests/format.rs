//! The bytes on disk: every one is accounted for, and no bytes, however wrong, make a reader panic.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::error::Code;
use crate::table::block::{Block, BlockBuilder, Interval};
use crate::table::index::{Index, IndexBuilder, Place};
use crate::table::manifest::IndexTables;

fn is_named_corruption(error: &crate::Error, path: &Path) -> bool {
    error.code() == Code::Corrupt
        && error.place().is_some_and(|(found, offset)| found == path && offset.is_some())
}

/// A table of several data blocks, revisions, and more than one filter page.
fn one_table(room: &mut Room, compression: Compression) -> Arc<Table> {
    let entries = (0..520u64).map(|number| {
        let (key, rank) = (format!("user:{:08}", number / 2), 2 - number % 2);
        Ok(Entry { key: key.into_bytes(), rank, seq: number / 2 + 1000 * rank })
    });
    let options = TableOptions {
        block_bytes: 512,
        compression,
        filter_bits_per_key: 160,
        ..TableOptions::default()
    };
    let mut tables = room.write(Sorted::new(entries), &options);
    assert_eq!(tables.len(), 1);
    tables.remove(0)
}

#[test]
fn flipping_any_byte_of_a_table_is_found_and_named() {
    for compression in [Compression::None, Compression::Lz4] {
        let mut room = Room::new(0);
        let table = one_table(&mut room, compression);
        assert_eq!(collect(&table).unwrap().len(), 520);
        let path = table.path();
        let good = room.disk.bytes(&path);
        assert!(good.len() > 6000);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            room.disk.set_bytes(&path, bytes);
            let fresh = &room.open(vec![table.meta().clone()])[0];
            let error = collect(fresh).expect_err("the flip is found");
            assert!(is_named_corruption(&error, &path), "byte {at}: {error}");
        }
        for bytes in [&good[..good.len() - 1], &good[..70], &[], &[&good[..], &[0]].concat()] {
            room.disk.set_bytes(&path, bytes.to_vec());
            let fresh = &room.open(vec![table.meta().clone()])[0];
            let error = collect(fresh).expect_err("the length is checked");
            assert!(is_named_corruption(&error, &path), "{error}");
        }
    }
}

#[test]
fn a_lookup_and_a_scan_find_a_flipped_data_block() {
    let mut room = Room::new(1 << 20);
    let table = one_table(&mut room, Compression::Lz4);
    let path = table.path();
    let mut bytes = room.disk.bytes(&path);
    bytes[80] ^= 4;
    room.disk.set_bytes(&path, bytes);
    let error = table.newest(b"user:00000000", u64::MAX).unwrap_err();
    assert!(is_named_corruption(&error, &path));
    assert_eq!(error.place().unwrap().1, Some(64));
    let set = TableSet::new(Vec::new(), vec![vec![table.clone()]]);
    let mut scan =
        set.scan(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded, u64::MAX, false);
    assert!(is_named_corruption(&scan.next().unwrap().unwrap_err(), &path));
    assert!(scan.next().is_none());
    assert!(table.newest(b"user:00000250", u64::MAX).unwrap().is_some());
}

#[test]
fn a_table_of_another_manifest_or_owner_is_refused() {
    let mut room = Room::new(0);
    let table = one_table(&mut room, Compression::None);
    let strange = |change: &dyn Fn(&mut TableMeta)| {
        let mut meta = table.meta().clone();
        change(&mut meta);
        collect(&room.open(vec![meta])[0]).unwrap_err()
    };
    for error in [
        strange(&|meta| meta.checksum ^= 1),
        strange(&|meta| meta.entries += 1),
        strange(&|meta| meta.min_seq += 1),
        strange(&|meta| meta.first_key.push(b'x')),
        strange(&|meta| meta.last_key.push(b'x')),
        strange(&|meta| meta.file_bytes += 1),
    ] {
        assert!(is_named_corruption(&error, &table.path()), "{error}");
    }
    let files = Arc::new(TableFiles::primary(room.pool.clone(), Path::new("c"), [8; 16]));
    let foreign = Table::new(&files, &room.cache, table.meta().clone());
    assert_eq!(foreign.newest(b"user:00000000", 9999).unwrap_err().code(), Code::Corrupt);
}

#[test]
fn inline_values_come_back_and_do_not_disturb_lookups() {
    let values: Vec<Vec<u8>> = (0..100u8).map(|number| vec![number; usize::from(number)]).collect();
    let keys: Vec<String> = (0..100).map(|number| format!("k{number:03}")).collect();
    let mut room = Room::new(1 << 20);
    let options = TableOptions { block_bytes: 300, ..TableOptions::default() };
    let mut writer = writer::TableWriter::create(&room.files, 1, 0, &options).unwrap();
    for (number, (key, value)) in keys.iter().zip(&values).enumerate() {
        let inline = (number % 3 > 0).then_some(&value[..]);
        let seq = number as u64;
        writer.add(&EntryRef { key: key.as_bytes(), rank: 1, seq, inline }).unwrap();
    }
    let meta = writer.finish().unwrap();
    room.next_number += 1;
    let table = room.open(vec![meta]).remove(0);
    let mut number = 0;
    let verified = table.verify(&mut |entry| {
        let expected = (number % 3 > 0).then_some(&values[number][..]);
        assert_eq!(entry.inline, expected);
        number += 1;
        Ok(())
    });
    verified.unwrap();
    for (number, key) in keys.iter().enumerate() {
        let hit = Hit { rank: 1, seq: number as u64 };
        assert_eq!(table.newest(key.as_bytes(), u64::MAX).unwrap(), Some(hit));
    }
}

#[test]
fn entries_out_of_order_are_refused() {
    let room = Room::new(0);
    let options = TableOptions::default();
    let entry = |key, rank| EntryRef { key, rank, seq: 1, inline: None };
    for second in [entry(b"a", 5), entry(b"b", 5), entry(b"b", 6)] {
        let mut writer = writer::TableWriter::create(&room.files, 1, 0, &options).unwrap();
        writer.add(&entry(b"b", 5)).unwrap();
        assert_eq!(writer.add(&second).unwrap_err().code(), Code::Internal);
        room.files.remove(1);
    }
}

#[test]
fn an_open_table_costs_less_than_three_hundred_bytes() {
    assert!(size_of::<Table>() + 2 * size_of::<usize>() <= 240, "{}", size_of::<Table>());
}

#[test]
fn a_flipped_manifest_is_refused_and_a_foreign_one_too() {
    let room = Room::new(0);
    let table = TableMeta {
        number: 3,
        level: 1,
        file_bytes: 1000,
        entries: 10,
        first_key: b"a".to_vec(),
        last_key: b"bcd".to_vec(),
        min_seq: 5,
        max_seq: 50,
        checksum: 77,
    };
    let manifest = Manifest {
        watermark_seq: 51,
        next_number: 4,
        tables: vec![table.clone()],
        indexes: vec![IndexTables {
            id: 7,
            built_seq: 40,
            tables: vec![TableMeta { number: 2, ..table }],
        }],
    };
    let dir = Path::new("c");
    assert_eq!(Manifest::load(&room.pool, dir, OWNER).unwrap(), None);
    manifest.store(room.pool.vfs(), dir, OWNER).unwrap();
    assert_eq!(Manifest::load(&room.pool, dir, OWNER).unwrap(), Some(manifest.clone()));
    assert!(Manifest::load(&room.pool, dir, [9; 16]).is_err());
    let path = dir.join(manifest::MANIFEST_NAME);
    let good = room.disk.bytes(&path);
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        room.disk.set_bytes(&path, bytes);
        let error = Manifest::load(&room.pool, dir, OWNER).unwrap_err();
        assert!(is_named_corruption(&error, &path), "byte {at}: {error}");
    }
    for size in 0..good.len() {
        room.disk.set_bytes(&path, good[..size].to_vec());
        let error = Manifest::load(&room.pool, dir, OWNER).unwrap_err();
        assert!(is_named_corruption(&error, &path), "cut at {size}: {error}");
    }
}

#[test]
fn file_names_carry_their_number_and_nothing_else_is_taken_for_a_table() {
    let room = Room::new(0);
    assert_eq!(room.files.path(7), Path::new("c/sstable_000007.sst"));
    assert_eq!(room.files.number("sstable_000007.sst"), Some(7));
    assert_eq!(room.files.number("sstable_1234567.sst"), Some(1_234_567));
    for name in ["sstable_7.sst", "sstable_0000007.sst", "sstable_+00007.sst", "x_000007.sst"] {
        assert_eq!(room.files.number(name), None);
    }
    let index = TableFiles::index(room.pool.clone(), Path::new("c/indexes"), OWNER, "by_age");
    assert_eq!(index.path(1), Path::new("c/indexes/by_age_000001.idx"));
    assert_eq!(index.number("by_000001.idx"), None);
}

fn read_everything(bytes: &[u8], key: &[u8]) {
    if let Ok(block) = Block::new(bytes) {
        let _ = block.newest(key, u64::MAX, u64::MAX);
        let _ = block.newest(key, 1, 1);
        let mut interval = Interval::default();
        for number in 0..block.restart_count().min(64) {
            if interval.load(&block, number).is_ok() {
                for slot in 0..interval.count() {
                    let _ = interval.entry(slot, bytes);
                }
                let _ = interval.before(&Boundary::after(key));
            }
        }
    }
    if let Ok(index) = Index::new(bytes) {
        let _ = index.seek(&Boundary::before(key));
        for number in 0..index.count().min(64) {
            let _ = index.entry(number);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_make_a_block_or_index_panic(
        bytes in vec(any::<u8>(), 0..200),
        count in 0u32..20,
        key in vec(any::<u8>(), 0..8),
    ) {
        read_everything(&bytes, &key);
        read_everything(&[&bytes[..], &count.to_le_bytes()].concat(), &key);
    }

    #[test]
    fn mutated_blocks_and_indexes_never_panic(
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        key in "user:[0-9]{2}",
        is_index in any::<bool>(),
    ) {
        let mut bytes = if is_index {
            let mut builder = IndexBuilder::default();
            for number in 0..40u32 {
                let key = format!("user:{number:02}");
                builder.add(key.as_bytes(), 3, Place { offset: u64::from(number), bytes: 9 });
            }
            builder.finish(b"user:00", b"user:39")
        } else {
            let mut builder = BlockBuilder::default();
            for number in 0..40u64 {
                let key = format!("user:{number:02}");
                let inline = (number % 4 == 0).then_some(&b"value"[..]);
                let entry = EntryRef { key: key.as_bytes(), rank: 1, seq: number, inline };
                builder.add(&entry);
            }
            builder.finish(<[u8]>::to_vec)
        };
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_everything(&bytes, key.as_bytes());
    }
}
