//! The log room's claims, on a file system in memory.

mod crash;
mod full;
mod memory;
mod torn;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::memory::{Image, MemoryVfs};
use super::folder::segment_name;
use super::{Frame, FrameKind, FrameMeta, LogOptions, LogWriter, Position, Recovered};
use crate::disk::Vfs;
use crate::error::{Code, Error, Result};

const DATABASE: [u8; 16] = [7; 16];

fn dir() -> &'static Path {
    Path::new("db/log")
}

fn path(generation: u64) -> PathBuf {
    dir().join(segment_name(generation))
}

fn options(segment_bytes: u64) -> LogOptions {
    LogOptions { segment_bytes, ..LogOptions::new(DATABASE) }
}

fn replay_from(
    vfs: &Arc<MemoryVfs>,
    known_end: Option<Position>,
    from_generation: u64,
) -> Result<(Recovered, Vec<Frame>)> {
    let vfs: Arc<dyn Vfs> = vfs.clone();
    let mut frames = Vec::new();
    let recovered =
        super::replay(&vfs, dir(), DATABASE, known_end, from_generation, &mut |frame| {
            frames.push(frame);
            Ok(())
        })?;
    assert_eq!(recovered.frames, frames.len() as u64);
    Ok((recovered, frames))
}

fn replay(vfs: &Arc<MemoryVfs>) -> Result<(Recovered, Vec<Frame>)> {
    replay_from(vfs, None, 0)
}

/// Indexes of the frames a new process finds.
fn indexes(vfs: &Arc<MemoryVfs>) -> Vec<u64> {
    replay(vfs).unwrap().1.iter().map(|frame| frame.index).collect()
}

fn new_log(segment_bytes: u64) -> (Arc<MemoryVfs>, LogWriter) {
    let vfs = Arc::new(MemoryVfs::default());
    let log = LogWriter::open(vfs.clone(), dir(), options(segment_bytes), None).unwrap();
    (vfs, log)
}

/// Replays and opens what `vfs` holds.
fn reopen(vfs: &Arc<MemoryVfs>, segment_bytes: u64) -> LogWriter {
    let (recovered, _) = replay(vfs).unwrap();
    LogWriter::open(vfs.clone(), dir(), options(segment_bytes), Some(&recovered)).unwrap()
}

fn meta(index: u64) -> FrameMeta<'static> {
    FrameMeta {
        shard: (index % 3) as u32,
        kind: FrameKind::Entry,
        term: 2,
        index,
        request_id: &b"request-0123"[..(index % 13) as usize],
        txn: [index as u8; 16],
    }
}

/// A payload without zero bytes, so that no missing byte goes unseen.
fn payload(index: u64) -> Vec<u8> {
    (0..20 + index * 7 % 61).map(|at| ((index * 31 + at * 7) % 255 + 1) as u8).collect()
}

/// One group with entries `indexes`, written and synced.
fn commit(log: &mut LogWriter, indexes: std::ops::Range<u64>) {
    try_commit(log, indexes).unwrap();
}

fn try_commit(log: &mut LogWriter, indexes: std::ops::Range<u64>) -> Result<()> {
    for index in indexes {
        log.append(&meta(index), &payload(index))?;
    }
    log.write()?;
    log.sync()
}

fn check_frames(frames: &[Frame], expected: std::ops::Range<u64>) {
    assert_eq!(frames.iter().map(|f| f.index).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    for frame in frames {
        let meta = meta(frame.index);
        assert_eq!(frame.payload, payload(frame.index));
        assert_eq!((frame.shard, frame.kind, frame.term), (meta.shard, meta.kind, meta.term));
        assert_eq!((&frame.request_id[..], frame.txn), (meta.request_id, meta.txn));
    }
}

/// The error, which must be `corrupt` and name file and offset.
fn corrupt_at(error: &Error) -> (PathBuf, u64) {
    assert_eq!(error.code(), Code::Corrupt, "{error}");
    let (path, offset) = error.place().expect("a place");
    (path.to_owned(), offset.expect("an offset"))
}

fn with_file(image: &Image, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Arc<MemoryVfs> {
    let mut image = image.clone();
    change(image.get_mut(path).unwrap());
    MemoryVfs::with(&image)
}
