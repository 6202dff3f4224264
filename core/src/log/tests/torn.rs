//! The torn-tail rule: what is cut, what is damage, and what a file's earlier life may not do.

use super::*;
use crate::log::frame::{self, FIRST_FRAME};

/// Three synced groups and a fourth that was only written; entries 0..9, the last group 7..9.
fn unclosed() -> (Image, Position, Position) {
    let (vfs, mut log) = new_log(64 << 10);
    commit(&mut log, 0..3);
    commit(&mut log, 3..6);
    commit(&mut log, 6..7);
    let synced = log.synced_end();
    log.append(&meta(7), &payload(7)).unwrap();
    log.append(&meta(8), &payload(8)).unwrap();
    log.write().unwrap();
    let end = log.written_end();
    (vfs.image(), synced, end)
}

#[test]
fn a_group_torn_at_any_byte_is_cut_and_reported_and_the_log_goes_on() {
    let (image, synced, end) = unclosed();
    let whole_from: Vec<u64> = replay(&MemoryVfs::with(&image)).unwrap().1[7..]
        .iter()
        .map(|frame| (frame.start().offset, 64 + frame.request_id.len() + frame.payload.len()))
        .map(|(start, bytes)| start + bytes as u64)
        .collect();
    let cut = |keep: u64, behind: &dyn Fn(&mut Vec<u8>)| {
        let vfs = with_file(&image, &path(1), |bytes| {
            bytes[keep as usize..end.offset as usize].fill(0);
            behind(bytes);
        });
        let (recovered, frames) = replay(&vfs).unwrap();
        let whole = 7 + whole_from.iter().filter(|end| keep >= **end).count() as u64;
        check_frames(&frames, 0..whole);
        assert!(!recovered.clean);
        let mut log = reopen(&vfs, 64 << 10);
        commit(&mut log, whole..whole + 2);
        log.close().unwrap();
        let (again, frames) = replay(&vfs).unwrap();
        check_frames(&frames, 0..whole + 2);
        assert!(again.clean && again.bytes_cut == 0);
        recovered
    };
    for keep in synced.offset..=end.offset {
        let zeros = cut(keep, &|_| {});
        let end_of_file = cut(keep, &|bytes| bytes.truncate(keep.next_multiple_of(512) as usize));
        assert_eq!(zeros, end_of_file);
        // Of the frame that is not whole, was anything kept that is not zero?
        let from = zeros.end.offset.min(keep) as usize;
        let torn = image[&path(1)][from..keep as usize].iter().any(|byte| *byte != 0);
        assert_eq!(zeros.cut_at.is_some(), torn, "kept {keep}");
        if torn {
            assert_eq!(zeros.cut_at, Some(zeros.end));
            // Zero bytes of a header may stand last; garbage further on is no part of it.
            let reported = zeros.end.offset + zeros.bytes_cut;
            assert!((keep - 7..=end.offset).contains(&reported), "kept {keep}: {zeros:?}");
        }
        let garbage = cut(keep, &|bytes| bytes[end.offset as usize..].fill(0xA5));
        assert!(garbage.bytes_cut > 0);
    }
}

#[test]
fn valid_frames_behind_a_torn_one_are_dropped_for_good() {
    let (image, synced, end) = unclosed();
    let vfs = with_file(&image, &path(1), |bytes| bytes[synced.offset as usize + 70] ^= 1);
    let (recovered, frames) = replay(&vfs).unwrap();
    check_frames(&frames, 0..7);
    assert_eq!(recovered.cut_at, Some(synced));
    assert_eq!(recovered.bytes_cut, end.offset - synced.offset);
    let log = reopen(&vfs, 64 << 10);
    drop(log);
    assert_eq!(indexes(&vfs), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn damage_before_the_last_synced_group_is_never_cut() {
    let (image, synced, _) = unclosed();
    let frames = replay(&MemoryVfs::with(&image)).unwrap().1;
    for at in FIRST_FRAME..synced.offset {
        for mask in [0x01, 0x80, 0xFF] {
            let vfs = with_file(&image, &path(1), |bytes| bytes[at as usize] ^= mask);
            let (file, offset) = corrupt_at(&replay(&vfs).unwrap_err());
            let hit = frames.iter().find(|frame| frame.position.offset > at).unwrap();
            assert_eq!((file, offset), (path(1), hit.start().offset), "byte {at}");
        }
    }
}

#[test]
fn a_lost_sector_in_the_middle_is_damage_even_if_it_reads_as_zeros() {
    let (image, synced, _) = unclosed();
    for at in (FIRST_FRAME..synced.offset).step_by(8) {
        let zeroed = |bytes: &mut Vec<u8>| {
            let end = (at as usize + 512).min(synced.offset as usize);
            bytes[at as usize..end].fill(0);
        };
        corrupt_at(&replay(&with_file(&image, &path(1), zeroed)).unwrap_err());
    }
}

#[test]
fn the_restart_point_turns_a_missing_end_into_damage() {
    let (vfs, mut log) = new_log(64 << 10);
    commit(&mut log, 0..3);
    let known = log.synced_end();
    let at = replay(&vfs).unwrap().1[2].start();
    let image = vfs.image();
    let damaged = with_file(&image, &path(1), |bytes| bytes[at.offset as usize + 64] ^= 1);
    assert_eq!(replay(&damaged).unwrap().0.cut_at, Some(at), "alone it looks like a torn write");
    let error = replay_from(&damaged, Some(known), 1).unwrap_err();
    assert_eq!(corrupt_at(&error), (path(1), at.offset));
    let (recovered, _) = replay_from(&vfs, Some(known), 1).unwrap();
    assert_eq!(recovered.end, known);

    let gone = MemoryVfs::default().into();
    assert_eq!(corrupt_at(&replay_from(&gone, Some(known), 1).unwrap_err()), (path(1), 0));
    assert_eq!(replay_from(&gone, None, 1).unwrap().0, Recovered::default());
    let later = Position { generation: 2, offset: 64 };
    assert_eq!(corrupt_at(&replay_from(&vfs, Some(later), 1).unwrap_err()), (path(2), 0));
}

/// A closed log of three segments.
fn closed() -> Image {
    let (vfs, mut log) = new_log(4096);
    for group in 0..30 {
        commit(&mut log, group * 3..group * 3 + 3);
    }
    log.close().unwrap();
    let image = vfs.image();
    assert!(image.len() >= 3, "{:?}", image.keys());
    image
}

#[test]
fn every_flipped_byte_of_a_closed_log_is_named() {
    let image = closed();
    for (name, bytes) in &image {
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xFF] {
                let vfs = with_file(&image, name, |bytes| bytes[at] ^= mask);
                let error = replay(&vfs).expect_err("no byte of a closed log is unused");
                // A higher version or a feature bit would be `unsupported`, were the sum right.
                let (file, offset) = corrupt_at(&error);
                assert_eq!(&file, name);
                assert!(offset <= at as u64 || at < 64, "byte {at}: {error}");
            }
        }
    }
}

#[test]
fn a_closed_log_cut_short_is_damaged() {
    let image = closed();
    let (name, bytes) = image.last_key_value().unwrap();
    let frames = replay(&MemoryVfs::with(&image)).unwrap().1;
    let newest = frames.iter().filter(|frame| &path(frame.position.generation) == name);
    let boundaries: Vec<u64> = newest.map(|frame| frame.position.offset).collect();
    for size in 0..bytes.len() {
        let vfs = with_file(&image, name, |bytes| bytes.truncate(size));
        // Honest limit: a length that a live log can have looks like one; the restart point knows.
        let at_boundary = boundaries.contains(&(size as u64)) || size == 64;
        if !at_boundary && size % 512 != 0 {
            assert_eq!(&corrupt_at(&replay(&vfs).unwrap_err()).0, name, "cut to {size}");
        } else if size > 0 {
            replay(&vfs).unwrap();
        }
        let end = Position { generation: image.len() as u64, offset: bytes.len() as u64 };
        assert!(replay_from(&vfs, Some(end), 0).is_err());
    }
}

#[test]
fn a_segment_that_is_missing_swapped_or_foreign_is_damage() {
    let image = closed();
    let mut lost = image.clone();
    lost.remove(&path(2));
    assert_eq!(corrupt_at(&replay(&MemoryVfs::with(&lost)).unwrap_err()), (path(2), 0));
    assert_eq!(
        corrupt_at(&replay_from(&MemoryVfs::with(&image), None, 9).unwrap_err()),
        (path(9), 0)
    );
    let mut swapped = image.clone();
    let first = swapped.insert(path(1), image[&path(2)].clone()).unwrap();
    swapped.insert(path(2), first);
    assert_eq!(corrupt_at(&replay(&MemoryVfs::with(&swapped)).unwrap_err()).0, path(1));
    let vfs: Arc<dyn Vfs> = MemoryVfs::with(&image);
    let error = super::super::replay(&vfs, dir(), [8; 16], None, 0, &mut |_| Ok(())).unwrap_err();
    assert_eq!(corrupt_at(&error).0, path(1));
}

#[test]
fn an_earlier_segment_must_be_complete() {
    let (vfs, mut log) = new_log(4096);
    commit(&mut log, 0..3);
    let torn = vfs.image()[&path(1)].clone();
    commit(&mut log, 3..40);
    assert!(log.current_generation() > 1);
    let vfs = with_file(&vfs.image(), &path(1), |bytes| *bytes = torn);
    assert_eq!(corrupt_at(&replay(&vfs).unwrap_err()).0, path(1));
}

#[test]
fn frames_of_an_earlier_life_are_neither_read_nor_reported() {
    let (vfs, mut log) = new_log(4096);
    let mut next = 0;
    let mut recycled = 0;
    while recycled < 5 {
        let before = log.current_generation();
        commit(&mut log, next..next + 3);
        next += 3;
        if log.current_generation() == before {
            continue;
        }
        let first = vfs.image()[&path(log.current_generation())].clone();
        recycled += u32::from(before > 1 && first[1024..3000].iter().any(|byte| *byte != 0));
        // A crash here: only frames of the segments that are still needed, and no torn write.
        let crashed = MemoryVfs::with(&vfs.image());
        let (recovered, frames) = replay_from(&crashed, None, before).unwrap();
        assert_eq!((recovered.bytes_cut, recovered.end), (0, log.written_end()));
        assert!(frames.is_sorted_by(|a, b| a.index + 1 == b.index));
        assert_eq!(frames.last().unwrap().index, next - 1);
        // The same with a torn write in front of the old frames.
        log.append(&meta(next), &payload(next)).unwrap();
        log.write().unwrap();
        let end = log.written_end().offset as usize;
        next += 1;
        let torn = with_file(&vfs.image(), &path(before + 1), |bytes| bytes[end - 9] ^= 1);
        let (recovered, frames) = replay_from(&torn, None, before).unwrap();
        assert_eq!(frames.last().unwrap().index, next - 2);
        assert_eq!(recovered.end.offset + recovered.bytes_cut, end as u64);
        log.retire(before + 1).unwrap();
    }
}

#[test]
fn a_segment_once_whole_again_never_resurrects_what_was_cut() {
    let (image, synced, _) = unclosed();
    let vfs = with_file(&image, &path(1), |bytes| bytes[synced.offset as usize + 70] ^= 1);
    drop(reopen(&vfs, 64 << 10));
    // The bit flips back, as a stale sector would: the cut bytes are gone from the file.
    let size = vfs.image()[&path(1)].len() as u64;
    assert!(size < synced.offset + 2 * 72);
    check_frames(&replay(&vfs).unwrap().1, 0..7);
}

#[test]
fn frames_of_a_newer_version_are_refused_and_nothing_is_changed() {
    let (vfs, mut log) = new_log(64 << 10);
    commit(&mut log, 0..1);
    let end = log.written_end();
    for (field, value) in [(20, 6), (20, 0), (21, 2), (23, 1)] {
        let mut newer = Vec::new();
        frame::push(&mut newer, &meta(1), 5).unwrap().fill(9);
        newer[field] = value;
        frame::stamp(&mut newer, 1, end.offset);
        let vfs = with_file(&vfs.image(), &path(1), |bytes| {
            bytes[end.offset as usize..][..newer.len()].copy_from_slice(&newer);
        });
        let before = vfs.image();
        let error = replay(&vfs).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported, "{error}");
        assert_eq!(vfs.image(), before);
    }
}

#[test]
fn bytes_that_only_look_like_frames_cost_bounded_work() {
    let (vfs, mut log) = new_log(1 << 20);
    commit(&mut log, 0..1);
    let end = log.written_end().offset as usize;
    let fake = |place: usize| {
        let mut header = [0; 64];
        header[4..8].copy_from_slice(&100_000u32.to_le_bytes());
        header[8..16].copy_from_slice(&1u64.to_le_bytes());
        header[40..48].copy_from_slice(&(place as u64).to_le_bytes());
        header
    };
    let vfs = with_file(&vfs.image(), &path(1), |bytes| {
        for place in (end..bytes.len() - 64).step_by(64) {
            bytes[place..place + 64].copy_from_slice(&fake(place));
        }
    });
    assert_eq!(corrupt_at(&replay(&vfs).unwrap_err()), (path(1), end as u64));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever stands in a log file, replay ends with frames or an error.
    #[test]
    fn any_bytes_are_answered(
        garbage in proptest::collection::vec(proptest::num::u8::ANY, 0..600),
        at in 64usize..900,
    ) {
        let (image, _, _) = unclosed();
        let vfs = with_file(&image, &path(1), |bytes| {
            bytes[at..at + garbage.len()].copy_from_slice(&garbage);
        });
        let _ = replay(&vfs);
    }
}
