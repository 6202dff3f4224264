//! Appending, syncing, rotating, retiring, closing and opening again.

use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::log::{FRAME_HEADER_BYTES, frame_bytes};

#[test]
fn frames_come_back_as_they_were_appended() {
    let (vfs, mut log) = new_log(64 << 10);
    let mut ends = Vec::new();
    for index in 0..40 {
        ends.push(log.append(&meta(index), &payload(index)).unwrap());
        if index % 4 == 3 {
            log.write().unwrap();
            assert_eq!(log.written_end(), ends[index as usize]);
            assert!(log.synced_end() < log.written_end());
            log.sync().unwrap();
            assert_eq!(log.synced_end(), log.written_end());
        }
    }
    let state = FrameMeta { kind: FrameKind::State, ..meta(40) };
    let end = log.append_with(&state, 3, |bytes| bytes.copy_from_slice(b"abc")).unwrap();
    log.write().unwrap();
    let (recovered, frames) = replay(&vfs).unwrap();
    assert_eq!((recovered.end, recovered.clean), (end, false));
    check_frames(&frames[..40], 0..40);
    assert_eq!(frames.iter().map(|f| f.position).take(40).collect::<Vec<_>>(), ends);
    assert_eq!(frames[1].start(), frames[0].position);
    assert_eq!((frames[40].kind, &frames[40].payload[..]), (FrameKind::State, &b"abc"[..]));
}

#[test]
fn what_is_acknowledged_survives_the_loss_of_everything_unsynced() {
    let (vfs, mut log) = new_log(4096);
    for index in 0..200 {
        log.append(&meta(index), &payload(index)).unwrap();
        log.write().unwrap();
        if index % 3 == 0 {
            log.sync().unwrap();
            let lost = MemoryVfs::with(&vfs.durable_image());
            check_frames(&replay(&lost).unwrap().1, 0..index + 1);
        }
        if index % 50 == 49 {
            log = reopen(&vfs, 4096);
        }
    }
}

#[test]
fn an_idle_sync_does_nothing() {
    let (vfs, mut log) = new_log(4096);
    commit(&mut log, 0..1);
    let syncs = vfs.knobs.syncs.load(SeqCst);
    log.write().unwrap();
    log.sync().unwrap();
    assert_eq!(vfs.knobs.syncs.load(SeqCst), syncs);
}

#[test]
fn a_handle_syncs_while_the_next_group_is_written() {
    let (vfs, mut log) = new_log(4096);
    log.append(&meta(0), &payload(0)).unwrap();
    log.write().unwrap();
    let handle = log.sync_handle();
    log.append(&meta(1), &payload(1)).unwrap();
    log.write().unwrap();
    assert_eq!(handle.sync().unwrap(), handle.end());
    log.note_synced(handle.end());
    assert_eq!(log.synced_end(), handle.end());
    log.note_synced(Position { generation: 1, offset: u64::MAX });
    assert_eq!(log.synced_end(), log.written_end(), "no more than what is written");

    // A rotation overtakes a sync in flight: it has synced the old segment itself.
    log.append(&meta(2), &payload(2)).unwrap();
    log.write().unwrap();
    let late = log.sync_handle();
    for index in 3..40 {
        log.append(&meta(index), &payload(index)).unwrap();
    }
    log.write().unwrap();
    assert_eq!(log.current_generation(), 2);
    assert!(log.synced_end() > late.end());
    check_frames(&replay(&MemoryVfs::with(&vfs.durable_image())).unwrap().1, 0..3);
    late.sync().unwrap();
    let before = log.synced_end();
    log.note_synced(late.end());
    assert_eq!(log.synced_end(), before);
}

#[test]
fn a_watermark_names_only_what_is_synced() {
    let (vfs, mut log) = new_log(4096);
    commit(&mut log, 0..2);
    let synced = log.synced_end().offset;
    let mut places = Vec::new();
    for index in 2..4 {
        places.push(log.written_end().offset as usize);
        log.append(&meta(index), &payload(index)).unwrap();
        log.write().unwrap();
    }
    let bytes = vfs.image()[&path(1)].clone();
    for place in places {
        assert_eq!(bytes[place + 40..place + 48], synced.to_le_bytes());
    }
}

#[test]
fn a_group_moves_to_the_next_segment_as_a_whole() {
    let (vfs, mut log) = new_log(4096);
    commit(&mut log, 0..20);
    let first = log.append(&meta(20), &payload(20)).unwrap();
    assert_eq!(first.generation, 1);
    let mut last = first;
    for index in 21..40 {
        let next = log.append(&meta(index), &payload(index)).unwrap();
        assert!(next > last);
        last = next;
    }
    log.write().unwrap();
    assert_eq!((log.written_end(), log.current_generation()), (last, 2));
    log.sync().unwrap();
    let (_, frames) = replay(&vfs).unwrap();
    check_frames(&frames, 0..40);
    assert_eq!(frames[20].start(), Position { generation: 2, offset: 64 });
    let sizes: Vec<u64> = (1..=2).map(|g| vfs.image()[&path(g)].len() as u64).collect();
    assert_eq!(log.segments(), [(1, sizes[0]), (2, last.offset)]);
    assert_eq!(log.total_bytes(), sizes[0] + last.offset);
}

#[test]
fn a_group_larger_than_a_segment_gets_a_larger_one() {
    let (vfs, mut log) = new_log(4096);
    commit(&mut log, 0..3);
    let big = vec![0x5A; 700_000];
    let end = log.append(&meta(3), &big).unwrap();
    log.write().unwrap();
    log.sync().unwrap();
    assert_eq!(log.synced_end(), end);
    for index in 4..60 {
        commit(&mut log, index..index + 1);
    }
    log.retire(log.current_generation()).unwrap();
    let kept = vfs.image();
    assert!(kept.values().all(|bytes| bytes.len() <= 4096), "a large segment is not kept");
    log.close().unwrap();

    let (vfs, mut log) = new_log(4096);
    log.append(&meta(0), &big).unwrap();
    log.append(&meta(1), &big).unwrap();
    log.write().unwrap();
    log.close().unwrap();
    let (recovered, frames) = replay(&vfs).unwrap();
    assert!(recovered.clean);
    assert_eq!(frames.iter().map(|f| f.payload.len()).collect::<Vec<_>>(), [700_000; 2]);
}

#[test]
fn a_closed_log_has_no_unused_byte_and_no_spares() {
    // Sizes all around the place where the Close frame would end with a sector.
    for size in 0..600 {
        let (vfs, mut log) = new_log(16 << 20);
        log.append(&meta(0), &vec![1; size]).unwrap();
        let end = log.close().unwrap();
        let image = vfs.image();
        assert_eq!(image.keys().collect::<Vec<_>>(), [&path(1)]);
        let bytes = image[&path(1)].len();
        assert_eq!(bytes as u64, end.offset);
        assert!(bytes <= 64 + frame_bytes(0, size) + 72 && !bytes.is_multiple_of(512));
        assert_eq!(vfs.durable_image(), image);
        let (recovered, frames) = replay(&vfs).unwrap();
        assert_eq!((recovered.end, recovered.clean, frames.len()), (end, true, 1));
    }
}

#[test]
fn closing_and_opening_again_keeps_everything() {
    let vfs: Arc<MemoryVfs> = MemoryVfs::default().into();
    for run in 0..6 {
        let mut log = reopen(&vfs, 4096);
        commit(&mut log, run * 10..run * 10 + 10);
        if run % 2 == 0 {
            log.close().unwrap();
        }
        let (recovered, frames) = replay(&vfs).unwrap();
        assert_eq!(recovered.clean, run % 2 == 0);
        check_frames(&frames, 0..run * 10 + 10);
    }
}

#[test]
fn a_crash_while_opening_loses_nothing() {
    let (vfs, mut log) = new_log(4096);
    commit(&mut log, 0..3);
    log.append(&meta(3), &payload(3)).unwrap();
    log.write().unwrap();
    let torn_at = log.written_end().offset as usize - 8;
    let image = with_file(&vfs.image(), &path(1), |bytes| bytes[torn_at] ^= 4).image();
    for room in 0..1200 {
        let vfs = MemoryVfs::with(&image);
        let (recovered, _) = replay(&vfs).unwrap();
        *vfs.knobs.write_bytes_left.lock() = Some(room);
        let opened = LogWriter::open(vfs.clone(), dir(), options(4096), Some(&recovered));
        assert!(opened.is_err());
        for image in [vfs.image(), vfs.durable_image()] {
            let again = MemoryVfs::with(&image);
            check_frames(&replay(&again).unwrap().1, 0..3);
            let mut log = reopen(&again, 4096);
            commit(&mut log, 3..5);
            check_frames(&replay(&again).unwrap().1, 0..5);
        }
    }
}

#[test]
fn opening_makes_durable_what_was_only_read() {
    let (vfs, mut log) = new_log(4096);
    log.append(&meta(0), &payload(0)).unwrap();
    log.write().unwrap();
    drop(log);
    check_frames(&replay(&MemoryVfs::with(&vfs.durable_image())).unwrap().1, 0..0);
    drop(reopen(&vfs, 4096));
    check_frames(&replay(&MemoryVfs::with(&vfs.durable_image())).unwrap().1, 0..1);
}

#[test]
fn a_log_is_opened_only_after_its_own_replay() {
    let (vfs, mut log) = new_log(4096);
    commit(&mut log, 0..1);
    let wrong = |recovered: Option<&Recovered>| {
        let opened = LogWriter::open(vfs.clone(), dir(), options(4096), recovered);
        assert_eq!(opened.unwrap_err().code(), Code::InvalidArgument);
    };
    wrong(None);
    wrong(Some(&Recovered::default()));
    let end = Position { generation: 2, offset: 64 };
    wrong(Some(&Recovered { end, ..Recovered::default() }));
}

#[test]
fn retired_segments_are_used_again_and_never_more_than_two_kept() {
    let (vfs, mut log) = new_log(4096);
    let mut next = 0;
    while log.current_generation() < 6 {
        commit(&mut log, next..next + 3);
        next += 3;
    }
    log.retire(4).unwrap();
    assert_eq!(log.segments().iter().map(|s| s.0).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(vfs.image().len(), 5, "three segments and two spares");
    assert_eq!(vfs.durable_image().keys().count(), 5);
    log.retire(u64::MAX).unwrap();
    assert_eq!(log.segments().len(), 1, "the current one stays");
    while log.current_generation() < 12 {
        commit(&mut log, next..next + 3);
        next += 3;
        log.retire(log.current_generation() - 1).unwrap();
        assert!(vfs.image().len() <= 4);
        let frames = replay(&vfs).unwrap().1;
        assert_eq!(frames.last().unwrap().index, next - 1);
    }
    log.close().unwrap();
    assert!(vfs.image().keys().all(|path| !path.to_str().unwrap().contains("spare")));
}

#[test]
fn segments_left_over_from_an_unfinished_retirement_are_ignored_and_retired_later() {
    let (vfs, mut log) = new_log(4096);
    let mut next = 0;
    while log.current_generation() < 5 {
        commit(&mut log, next..next + 3);
        next += 3;
    }
    let mut image = vfs.image();
    image.remove(&path(2));
    image.insert(dir().join("spare.tmp"), vec![1; 100]);
    image.insert(dir().join("spare_1.tmp"), vec![2; 4000]);
    let vfs = MemoryVfs::with(&image);
    assert!(replay_from(&vfs, None, 0).is_err());
    let (recovered, frames) = replay_from(&vfs, None, 3).unwrap();
    assert_eq!(frames.last().unwrap().index, next - 1);
    let opened = LogWriter::open(vfs.clone(), dir(), options(4096), Some(&recovered));
    let mut log = opened.unwrap();
    log.retire(3).unwrap();
    assert_eq!(log.segments().iter().map(|s| s.0).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert_eq!(replay_from(&vfs, None, 3).unwrap().1, frames);
}

#[test]
fn what_is_too_large_or_reserved_is_refused_and_the_group_stays() {
    let (vfs, mut log) = new_log(4096);
    log.append(&meta(0), &payload(0)).unwrap();
    let long = FrameMeta { request_id: &[b'x'; 65], ..meta(1) };
    assert_eq!(log.append(&long, b"").unwrap_err().code(), Code::TooLarge);
    let bytes = crate::log::PAYLOAD_BYTES_MAX + 1;
    assert_eq!(log.append_with(&meta(1), bytes, |_| {}).unwrap_err().code(), Code::TooLarge);
    for kind in [FrameKind::End, FrameKind::Close] {
        let reserved = FrameMeta { kind, ..meta(1) };
        assert_eq!(log.append(&reserved, b"").unwrap_err().code(), Code::InvalidArgument);
    }
    let exact = FrameMeta { request_id: &[b'x'; 64], ..meta(1) };
    log.append(&exact, b"").unwrap();
    log.write().unwrap();
    assert_eq!(indexes(&vfs), [0, 1]);
    let giant = LogOptions { segment_bytes: u64::MAX, ..options(0) };
    assert!(LogWriter::open(Arc::new(MemoryVfs::default()), dir(), giant, None).is_err());
}

#[test]
fn a_frame_is_laid_out_as_documented() {
    let (vfs, mut log) = new_log(4096);
    let meta = FrameMeta {
        shard: 0x0A0B0C0D,
        kind: FrameKind::Entry,
        term: 0x11,
        index: 0x22,
        request_id: b"id",
        txn: [0xEE; 16],
    };
    log.append(&meta, b"hello").unwrap();
    log.write().unwrap();
    let frame = &vfs.image()[&path(1)][64..64 + 72].to_vec();
    let mut expected = Vec::new();
    expected.extend_from_slice(&5u32.to_le_bytes());
    expected.extend_from_slice(&1u64.to_le_bytes());
    expected.extend_from_slice(&0x0A0B0C0Du32.to_le_bytes());
    expected.extend_from_slice(&[1, 1, 2, 0]);
    expected.extend_from_slice(&0x11u64.to_le_bytes());
    expected.extend_from_slice(&0x22u64.to_le_bytes());
    expected.extend_from_slice(&64u64.to_le_bytes());
    expected.extend_from_slice(&[0xEE; 16]);
    assert_eq!(expected.len(), FRAME_HEADER_BYTES - 4);
    expected.extend_from_slice(b"idhello\0");
    assert_eq!(frame[4..], expected);
    let seeded = [&1u64.to_le_bytes()[..], &0x0A0B0C0Du32.to_le_bytes(), &expected].concat();
    assert_eq!(frame[..4], crc32c::crc32c(&seeded).to_le_bytes());
}
