//! Damage and foreign logs: told, with the place, and nothing is made up.

use super::*;
use crate::error::Code;
use crate::log::{FrameKind, FrameMeta, LogOptions, LogWriter};

/// Writes one frame as it is, and opens the log.
fn open_with(kind: FrameKind, payload: &[u8]) -> crate::error::Result<RaftLog> {
    let disk = disk();
    let options = options(Arc::new(disk));
    let log_options = LogOptions::new(DATABASE);
    let mut writer = LogWriter::open(options.vfs.clone(), &options.dir, log_options, None).unwrap();
    let meta = FrameMeta { shard: 0, kind, term: 3, index: 5, request_id: b"r", txn: [4; 16] };
    writer.append(&meta, payload).unwrap();
    writer.close().unwrap();
    RaftLog::open(&options).map(|(log, _)| log)
}

#[test]
fn the_bytes_are_those_of_the_format() {
    let log = open_with(FrameKind::Entry, b"\x81\x00").unwrap();
    assert_eq!(all(&log.store(0).unwrap()).unwrap(), [blank(3, 5)]);
    let log = open_with(FrameKind::Entry, b"\x81\x01abc").unwrap();
    let Payload::Normal(command) = &all(&log.store(0).unwrap()).unwrap()[0].payload else {
        panic!("a command");
    };
    assert_eq!((&command.entry()[..], &command.request_id()[..]), (&b"abc"[..], &b"r"[..]));
    assert_eq!(command.txn(), [4; 16]);
    let membership = [
        &b"\x81\x02"[..],
        &b"\x02\x00"[..],
        &b"\x01\x00\x01\0\0\0\0\0\0\0"[..],
        &b"\x02\x00\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0"[..],
        &b"\x03\x00"[..],
        &b"\x01\0\0\0\0\0\0\0\x01\x00a\x00\x00"[..],
        &b"\x02\0\0\0\0\0\0\0\x02\x00bc\x01\x00d"[..],
        &b"\x03\0\0\0\0\0\0\0\x00\x00\x00\x00"[..],
    ]
    .concat();
    let log = open_with(FrameKind::Entry, &membership).unwrap();
    let Payload::Membership(found) = &all(&log.store(0).unwrap()).unwrap()[0].payload else {
        panic!("a membership");
    };
    let member = |peer: &str, client: &str| crate::cluster::Member::new(peer, client).unwrap();
    let nodes = [(1, member("a", "")), (2, member("bc", "d")), (3, member("", ""))];
    let nodes: std::collections::BTreeMap<u64, _> = nodes.into();
    let expected = crate::cluster::Membership::new(vec![[1].into(), [1, 2].into()], nodes);
    assert_eq!(*found, expected.unwrap());
    // Every shorter one is refused, and one byte more.
    for bytes in 0..membership.len() {
        let error = open_with(FrameKind::Entry, &membership[..bytes]).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "{bytes} bytes");
        assert!(error.place().is_some());
    }
    let longer = [&membership[..], b"\0"].concat();
    assert_eq!(open_with(FrameKind::Entry, &longer).unwrap_err().code(), Code::Corrupt);
    let mut state = vec![0x81, 15];
    (1..=7_u64).for_each(|word| state.extend_from_slice(&word.to_le_bytes()));
    let log = open_with(FrameKind::State, &state).unwrap();
    let found = super::model::Model::of(&mut log.store(0).unwrap()).unwrap();
    assert_eq!(found.vote, Some(Vote::new_committed(2, 3)));
    assert_eq!((found.committed, found.purged), (Some(id(4, 5)), Some(id(6, 7))));
}

#[test]
fn no_bytes_make_an_opening_panic() {
    let mut dice = crate::host::simulated::Dice::new(3);
    for round in 0..3000 {
        let mut payload = vec![0; dice.below(90) as usize];
        dice.fill(&mut payload);
        if let Some(first) = payload.first_mut().filter(|_| round % 4 > 0) {
            *first = 0x81;
        }
        if let Some(second) = payload.get_mut(1).filter(|_| round % 3 > 0) {
            *second %= 4;
        }
        let small = round % 2 > 0;
        payload.iter_mut().skip(2).filter(|_| small).for_each(|byte| *byte %= 3);
        let kinds = [FrameKind::Entry, FrameKind::State, FrameKind::Truncate];
        match open_with(kinds[dice.below(3) as usize], &payload) {
            Ok(log) => drop(all(&log.store(0).unwrap()).unwrap()),
            Err(error) => assert!(matches!(error.code(), Code::Corrupt | Code::Unsupported)),
        }
    }
}

#[test]
fn a_log_without_a_cluster_and_a_newer_one_are_told_by_name() {
    let error = open_with(FrameKind::Entry, b"\x01batch").unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.detail().contains("without a cluster"), "{error}");
    let error = open_with(FrameKind::Entry, b"\x82\x00").unwrap_err();
    assert!(error.detail().contains("newer"), "{error}");
}

/// A log of many segments, each needed.
fn long_log() -> SimDisk {
    let disk = disk();
    let log = open(&small(&disk));
    let mut store = log.store(1).unwrap();
    for index in 0..30 {
        append(&mut store, vec![entry(1, index, 1000)]).unwrap();
    }
    purge(&mut store, id(1, 9)).unwrap();
    append(&mut store, vec![entry(1, 30, 1000)]).unwrap();
    drop(store);
    log.close().unwrap();
    disk
}

#[test]
fn a_missing_oldest_segment_is_noticed() {
    let disk = long_log();
    let segments: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    assert!(segments.len() > 5);
    for count in 1..segments.len() {
        let image = disk.process_crash_image();
        for path in &segments[..count] {
            image.unlink(path).unwrap();
        }
        let error = RaftLog::open(&small(&image)).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "{count} missing");
    }
}

#[test]
fn an_entry_that_rotted_while_the_log_was_open_stops_the_group() {
    let disk = long_log();
    let options = RaftLogOptions { cache_bytes: 0, ..small(&disk) };
    let log = open(&options);
    let store = log.store(1).unwrap();
    let second = log.segments()[1].0;
    disk.flip(format!("{DIR}/wal_{second:010}.log"), 64 + 500, 4);
    let error = all(&store).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("checksum"), "{error}");
    let error = limited(&store, 29, 30).unwrap_err();
    assert!(error.to_string().contains("open it again"), "{error}");
}
