//! A full disk refuses a write, and the log goes on when space returns; any other failure ends it.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::*;

#[test]
fn a_full_disk_refuses_the_group_and_leaves_a_usable_log() {
    // Room for every number of bytes, so that the disk fills at each step of a rotation, too.
    for room in (0..9000).step_by(61) {
        let (vfs, mut log) = new_log(4096);
        commit(&mut log, 0..4);
        *vfs.knobs.write_bytes_left.lock() = Some(room);
        let mut next = 4;
        let refused = loop {
            match try_commit(&mut log, next..next + 3) {
                Ok(()) => next += 3,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.code(), Code::StorageFull, "{refused}");
        assert!(!log.poisoned());
        assert_eq!(log.written_end(), log.synced_end());
        check_frames(&replay(&MemoryVfs::with(&vfs.image())).unwrap().1, 0..next);
        *vfs.knobs.write_bytes_left.lock() = None;
        commit(&mut log, next..next + 1);
        let end = log.synced_end();
        for image in [vfs.image(), vfs.durable_image()] {
            let (recovered, frames) = replay(&MemoryVfs::with(&image)).unwrap();
            check_frames(&frames, 0..next + 1);
            assert_eq!((recovered.end, recovered.bytes_cut), (end, 0), "room {room}");
        }
        commit(&mut log, next + 1..next + 60);
        log.close().unwrap();
        check_frames(&replay(&vfs).unwrap().1, 0..next + 60);
    }
}

#[test]
fn a_full_disk_while_filling_ahead_is_cut_back() {
    let (vfs, mut log) = new_log(1 << 20);
    let big = vec![1; 200 << 10];
    log.append(&meta(0), &big).unwrap();
    log.write().unwrap();
    *vfs.knobs.write_bytes_left.lock() = Some(100_000);
    log.append(&meta(1), &big).unwrap();
    assert_eq!(log.write().unwrap_err().code(), Code::StorageFull);
    let size = vfs.image()[&path(1)].len() as u64;
    assert!(size < log.written_end().offset + 4096);
    *vfs.knobs.write_bytes_left.lock() = None;
    log.append(&meta(1), &big).unwrap();
    log.write().unwrap();
    log.sync().unwrap();
    assert_eq!(indexes(&vfs), [0, 1]);
}

#[test]
fn a_cut_that_fails_on_a_full_disk_ends_the_log() {
    let (vfs, mut log) = new_log(4096);
    commit(&mut log, 0..1);
    *vfs.knobs.write_bytes_left.lock() = Some(10);
    vfs.knobs.fail_set_len.store(true, SeqCst);
    assert_eq!(try_commit(&mut log, 1..2).unwrap_err().code(), Code::StorageFailed);
    *vfs.knobs.write_bytes_left.lock() = None;
    check_ended(&mut log);
}

#[test]
fn a_file_that_cannot_be_made_leaves_the_log_usable() {
    let (vfs, mut log) = new_log(4096);
    commit(&mut log, 0..20);
    vfs.knobs.fail_create.store(true, SeqCst);
    assert!(try_commit(&mut log, 20..50).is_err());
    assert!(!log.poisoned());
    commit(&mut log, 20..50);
    check_frames(&replay(&vfs).unwrap().1, 0..50);
}

fn check_ended(log: &mut LogWriter) {
    assert!(log.poisoned());
    for result in [
        log.append(&meta(99), b"x").map(drop),
        log.write(),
        log.sync(),
        log.sync_handle().sync().map(drop),
        log.retire(u64::MAX),
    ] {
        assert_eq!(result.unwrap_err().code(), Code::StorageFailed);
    }
}

/// Runs into `fault` in the middle of a rotation or of a plain commit; what was acknowledged before
/// must be durable, and the log must be over.
fn fails_for_good(fault: impl Fn(&MemoryVfs) -> &AtomicBool, first_batch: u64) {
    let (vfs, mut log) = new_log(4096);
    commit(&mut log, 0..first_batch);
    assert_eq!(log.current_generation(), 1);
    fault(&vfs).store(true, SeqCst);
    let error = try_commit(&mut log, first_batch..first_batch + 5).unwrap_err();
    assert_eq!(error.code(), Code::StorageFailed, "{error}");
    let syncs = vfs.knobs.syncs.load(SeqCst);
    check_ended(&mut log);
    assert_eq!(log.close().unwrap_err().code(), Code::StorageFailed);
    assert_eq!(vfs.knobs.syncs.load(SeqCst), syncs, "no sync after a failed one");
    let lost = MemoryVfs::with(&vfs.durable_image());
    let (_, frames) = replay(&lost).unwrap();
    assert!(frames.len() as u64 >= first_batch);
    let mut log = reopen(&lost, 4096);
    commit(&mut log, frames.len() as u64..60);
    check_frames(&replay(&lost).unwrap().1, 0..60);
}

#[test]
fn any_other_failure_ends_the_log_until_it_is_reopened() {
    // 4 leave room in the segment; with 30 the next group needs another one.
    for first_batch in [4, 30] {
        fails_for_good(|vfs| &vfs.knobs.fail_sync, first_batch);
        fails_for_good(|vfs| &vfs.knobs.fail_write, first_batch);
    }
    fails_for_good(|vfs| &vfs.knobs.fail_sync_dir, 30);
    fails_for_good(|vfs| &vfs.knobs.fail_set_len, 30);
}

#[test]
fn a_failed_sync_through_a_handle_ends_the_log_too() {
    let (vfs, mut log) = new_log(4096);
    log.append(&meta(0), b"x").unwrap();
    log.write().unwrap();
    let handle = log.sync_handle();
    vfs.knobs.fail_sync.store(true, SeqCst);
    assert_eq!(handle.sync().unwrap_err().code(), Code::StorageFailed);
    log.note_synced(handle.end());
    assert_ne!(log.synced_end(), handle.end());
    check_ended(&mut log);
}
